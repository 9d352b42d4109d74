#!/usr/bin/env python3
"""check-bindings.py [NAME...]: checks that each binding covers the header.

For every binding in bindings/ (or those named): each function, constant and field of include/offhook.h must be named in
its sources, or be listed in bindings/NAME/not-covered.txt with the reason ("oh_name: reason"). An entry there that is
covered, or that is not in the header, is an error as well. Each row of tests/scenarios.md must be named in its tests.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A binding's sources and its tests. Generated and vendored files do not count.
BINDINGS = {
    "cpp": (["include/**/*.hpp"], ["tests/*.cpp", "tests/*.hpp"]),
    "go": (["*.go", "*.c", "*.h"], ["*_test.go"]),
    "python": (["src/**/*.py", "src/**/*.pyi", "src/**/*.c"], ["tests/*.py"]),
    "swift": (["Sources/Offhook/*.swift"], ["Tests/**/*.swift"]),
}


def header():
    text = (ROOT / "include/offhook.h").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    public = text[: text.index("static inline")] if "static inline" in text else text
    functions = set(re.findall(r"^[\w ]+?[ *](oh_[a-z0-9_]+)\(", public, re.M))
    constants = set(re.findall(r"^\s+(OH_[A-Z0-9_]+) = ", public, re.M)) | {"OH_ABI_VERSION", "OH_FOREVER", "OH_ZERO"}
    fields = set()
    for name, body in re.findall(r"typedef (?:struct|union) (oh_\w+) \{(.*?)^\}", public, re.M | re.S):
        for declaration in body.split(";"):
            if m := re.search(r"(\w+)(?:\[\w+\])?\s*$", declaration):
                fields.add((name, m.group(1)))
    if not (len(functions) > 40 and len(constants) > 80 and len(fields) > 100):
        sys.exit(f"check-bindings: the header was not recognised: {len(functions)}, {len(constants)}, {len(fields)}")
    return functions, constants, fields


def words(folder, patterns, without=()):
    found = set()
    files = {f for p in patterns for f in folder.glob(p)} - {f for p in without for f in folder.glob(p)}
    for file in files:
        found |= set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", file.read_text()))
    return files, found


def check(name):
    functions, constants, fields = header()
    folder = ROOT / "bindings" / name
    sources, tests = BINDINGS[name]
    files, have = words(folder, sources, tests)
    wrong = []
    if not files:
        return [f"{name}: no sources match {sources}"]
    excused = {}
    excuses = folder / "not-covered.txt"
    for line in excuses.read_text().splitlines() if excuses.exists() else []:
        if line.strip() and not line.startswith("#"):
            item, _, reason = line.partition(":")
            excused[item.strip()] = reason.strip()
    items = {i: i in have for i in functions | constants}
    items |= {f"{s}.{f}": f in have for s, f in fields}
    for item, covered in sorted(items.items()):
        if not covered and item not in excused:
            wrong.append(f"{name}: {item} is in the header and not in the binding")
        if covered and item in excused:
            wrong.append(f"{name}: {item} is in not-covered.txt, but covered")
    for item, reason in excused.items():
        if item not in items:
            wrong.append(f"{name}: {item} is in not-covered.txt, but not in the header")
        if not reason:
            wrong.append(f"{name}: {item} is in not-covered.txt without a reason")
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "tests/scenarios.md").read_text(), re.M)
    text = "".join(f.read_text() for p in tests for f in folder.glob(p))
    wrong += [f"{name}: scenario {row} is in no test" for row in rows if not re.search(rf"(?<![\w-]){row}(?![\w-])", text)]
    if not wrong:
        print(f"ok {name}: {sum(items.values())} of {len(items)} items, {len(excused)} excused, {len(rows)} scenarios")
    return wrong


names = sys.argv[1:] or [b for b in BINDINGS if (ROOT / "bindings" / b).exists()]
complaints = [c for n in names for c in check(n)]
print("\n".join(complaints))
sys.exit(1 if complaints else 0)
