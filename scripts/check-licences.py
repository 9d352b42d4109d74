#!/usr/bin/env python3
"""Checks that every crate the workspace links, builds with or tests with has an allowed licence.

Reads `cargo metadata` and evaluates each SPDX expression: of an OR one side must be allowed, of an AND both. deny.toml has
the same rules for cargo-deny.
"""

import json
import re
import subprocess
import sys

ALLOWED = {
    "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0",
    "ISC", "Zlib", "Unicode-3.0", "Unicode-DFS-2016", "0BSD",
}  # fmt: skip


def allowed(expression):
    """Whether the listed licences satisfy the SPDX expression. `/` is an old form of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def parse_or(i):
        value, i = parse_and(i)
        while i < len(tokens) and tokens[i] == "OR":
            right, i = parse_and(i + 1)
            value = value or right
        return value, i

    def parse_and(i):
        value, i = parse_term(i)
        while i < len(tokens) and tokens[i] == "AND":
            right, i = parse_term(i + 1)
            value = value and right
        return value, i

    def parse_term(i):
        if tokens[i] == "(":
            value, i = parse_or(i + 1)
            if i >= len(tokens) or tokens[i] != ")":
                raise ValueError("unbalanced parentheses")
            return value, i + 1
        if i + 2 < len(tokens) and tokens[i + 1] == "WITH":
            return f"{tokens[i]} WITH {tokens[i + 2]}" in ALLOWED, i + 3
        return tokens[i] in ALLOWED, i + 1

    value, end = parse_or(0)
    if end != len(tokens):
        raise ValueError(f"trailing {tokens[end]!r}")
    return value


def self_test():
    assert allowed("MIT") and allowed("MIT/Apache-2.0") and allowed("Unlicense OR MIT")
    assert allowed("ISC AND (Apache-2.0 OR GPL-3.0)") and allowed("Apache-2.0 WITH LLVM-exception")
    assert not allowed("GPL-3.0") and not allowed("MIT AND GPL-3.0") and not allowed("Unlicense")


def main():
    self_test()
    host = next(
        line.split()[1] for line in subprocess.check_output(["rustc", "-vV"], text=True).splitlines()
        if line.startswith("host:")
    )  # fmt: skip
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.check_output(command))
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    members = set(metadata["workspace_members"])
    bad, counts = [], {}
    for package in metadata["packages"]:
        if package["id"] not in used or package["id"] in members:
            continue
        licence = package["license"] or ""
        try:
            fits = bool(licence) and allowed(licence)
        except (ValueError, IndexError) as error:
            licence, fits = f"{licence} ({error})", False
        counts[licence] = counts.get(licence, 0) + 1
        if not fits:
            bad.append(f"{package['name']} {package['version']}: {licence or 'no licence given'}")
    for line in bad:
        print(f"check-licences: not allowed: {line}", file=sys.stderr)
    if bad:
        return 1
    print(f"ok {sum(counts.values())} crates under {len(counts)} licence expressions, all allowed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
