#!/usr/bin/env python3
"""third-party.py PACKAGE: the licences of everything that is linked into a package of this workspace, as one text.

What is shipped holds other people's code, and their licences ask that their texts come along. Reads the
sources of the crates; equal texts are printed once, with all crates under them. Where a crate may be had under
MIT or something else, MIT is taken.
"""

import json
import pathlib
import re
import subprocess
import sys

NAMES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?", re.I)
RULE = "=" * 100


def linked(package):
    """The crates whose code ends up in the package: `cargo tree` knows its features, `cargo metadata` the sources."""
    host = next(line.split()[1] for line in subprocess.check_output(["rustc", "-vV"], text=True).splitlines()
                if line.startswith("host:"))
    tree = subprocess.check_output(
        ["cargo", "tree", "--locked", "-p", package, "-e", "normal,no-proc-macro", "--target", host,
         "--prefix", "none", "--format", "{p}"], text=True)
    wanted = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
    metadata = json.loads(subprocess.check_output(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]))
    crates = [p for p in metadata["packages"] if (p["name"], "v" + p["version"]) in wanted]
    if len(crates) != len(wanted):
        sys.exit(f"third-party: {len(wanted)} crates are linked, of {len(crates)} the sources are known")
    return sorted((p for p in crates if p["id"] not in metadata["workspace_members"]), key=lambda p: (p["name"], p["version"]))


def texts(crate):
    """The licence files of a crate, those of what it carries along (Opus, fiat) included."""
    root = pathlib.Path(crate["manifest_path"]).parent
    files = [f for depth in ("*", "*/*", "*/*/*") for f in sorted(root.glob(depth)) if f.is_file() and NAMES.fullmatch(f.name)]
    files = [f for f in files if f.suffix not in (".rs", ".h", ".c", ".html", ".py", ".sh") and "test" not in str(f.relative_to(root))]
    mit = [f for f in files if f.parent == root and "mit" in f.name.lower()]
    if mit and re.search(r"MIT( OR |/)|( OR |/)MIT", crate["license"] or ""):
        files = mit + [f for f in files if f.parent != root]
    return [f.read_text(errors="replace").replace("\r\n", "\n").strip() for f in files]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n")[0])
    crates = linked(sys.argv[1])
    print(f"What is linked into {sys.argv[1]} besides its own code, and under which licences.\n")
    print("The Rust standard library: MIT OR Apache-2.0, by the Rust project's developers.")
    own, by_text = [], {}
    for crate in crates:
        name = f"{crate['name']} {crate['version']}"
        print(f"{name}: {crate['license']}{', by ' + ', '.join(crate['authors']) if crate['authors'] else ''}")
        found = texts(crate)
        if not found:
            own.append(name)
        for text in found:
            by_text.setdefault(" ".join(text.split()), (text, []))[1].append(name)
    if own:
        print(f"\nWithout a text of their own in their sources: {', '.join(own)}.\nTheir licences' texts are among the following.")
    for text, names in by_text.values():
        print(f"\n{RULE}\n{', '.join(dict.fromkeys(names))}\n{RULE}\n\n{text}")
    if not any("opus" in n for _, names in by_text.values() for n in names) and sys.argv[1] == "offhook":
        sys.exit("third-party: the licence of Opus was not found")


main()
