#!/usr/bin/env python3
"""third-party.py PACKAGE: the licences of everything that is linked into a package of this workspace, as one text.

The release binaries contain third-party code, whose licences require their texts to be included. Reads the sources of the
crates; identical texts are printed once, with the names of all their crates. For a crate under MIT or another licence, the
MIT text is used.
"""

import json
import pathlib
import re
import subprocess
import sys

NAMES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?", re.I)
RULE = "=" * 100


def linked(package):
    """The crates linked into the package: `cargo tree` resolves its features, `cargo metadata` finds the sources."""
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
    """The licence files of a crate, including those of bundled code (Opus, fiat)."""
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
    print(f"Third-party code linked into {sys.argv[1]}, with its licences.\n")
    print("The Rust standard library: MIT OR Apache-2.0, by the Rust project's developers.")
    without_text, by_text = [], {}
    for crate in crates:
        name = f"{crate['name']} {crate['version']}"
        print(f"{name}: {crate['license']}{', by ' + ', '.join(crate['authors']) if crate['authors'] else ''}")
        found = texts(crate)
        if not found:
            without_text.append(name)
        for text in found:
            by_text.setdefault(" ".join(text.split()), (text, []))[1].append(name)
    if without_text:
        print(f"\nWithout a licence text in their sources: {', '.join(without_text)}.\nTheir licences' texts are among the following.")
    for text, names in by_text.values():
        print(f"\n{RULE}\n{', '.join(dict.fromkeys(names))}\n{RULE}\n\n{text}")
    if not any("opus" in n for _, names in by_text.values() for n in names) and sys.argv[1] == "offhook":
        sys.exit("third-party: the licence of Opus was not found")


main()
