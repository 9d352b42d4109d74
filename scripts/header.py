#!/usr/bin/env python3
"""header.py RAW OUT: makes include/offhook.h from the output of cbindgen for src/capi (RAW) and from include/offhook.h.in.

The header is ordered by noun, with each noun's types before its functions, which cbindgen cannot do. It leaves out what C
readers do not need: the sections for Rust ("# Safety"), and the integer types that stand for enums (see src/capi/mod.rs).
Anything unrecognised is an error, so that nothing is left out by accident.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cheader  # noqa: E402

ROOT = cheader.ROOT
WIDTH = 120
# Titles in order, and the files of src/capi whose items belong to each. Handles are a separate section, because they
# are members of everything else.
SECTIONS = [
    ("Results", ["result"]),
    ("Basics", ["basic", "sized"]),
    ("Handles", []),
    ("The library", ["library", "limits"]),
    ("Participants and their tracks", ["people"]),
    ("Received audio", ["audio"]),
    ("Events", ["event", "event_payloads"]),
    ("Protocols", ["protocol"]),
    ("Clients", ["network", "client"]),
    ("Calls", ["call", "snapshot", "stats"]),
    ("Pulled events", ["pull"]),
    ("Data, texts and procedure calls", ["data"]),
    ("Publisher", ["publisher"]),
    ("Local tracks", ["track"]),
    ("Subscriber", ["subscriber"]),
    ("Access tokens", ["token"]),
    ("Diagnosis", ["diagnose"]),
]
# Functions whose noun differs from that of their file.
ELSEWHERE = {"oh_call_get_capabilities": "Calls", "oh_call_set_attributes": "Calls", "oh_call_state_get_name": "Calls",
             "oh_track_stats": "Local tracks", "oh_track_get_stats": "Local tracks",
             "oh_remote_track_stats": "Subscriber", "oh_subscriber_get_track_stats": "Subscriber"}


def fail(text):
    sys.exit(f"header: {text}")


def homes():
    """Item -> file of src/capi, without .rs."""
    found = {}
    for file in sorted((ROOT / "src/capi").glob("*.rs")):
        text = file.read_text()
        for name in re.findall(r"^pub (?:unsafe )?(?:extern \"C\" )?(?:struct|enum|union|type|fn|const) (\w+)", text, re.M):
            found[name] = file.stem
    return found


def comment(doc, indent=None):
    """A doc comment; for a member (with an indent) on one line if it fits."""
    doc = re.split(r"^# Safety$", doc, flags=re.M)[0].strip()
    if not doc:
        fail("something has no documentation")
    lines = doc.split("\n")
    if len(lines) == 1 and indent is not None and len(indent) + len(doc) + 7 <= WIDTH:
        return f"{indent}/** {doc} */\n"
    indent = indent or ""
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"


class Writer:
    def __init__(self, items):
        self.enums = {i.name for i in items if i.kind == "enum"}
        self.known = {"char", "void", "int16_t", "int32_t", "int64_t", "uint8_t", "uint32_t", "uint64_t", "size_t", "float"}
        self.names = {i.name for i in items}

    def type(self, text, where):
        """A type in C; a type that it needs must be declared above, or be used as a pointer."""
        text = re.sub(r"\b(oh_\w+)_t\b", lambda m: m[1] if m[1] in self.enums else m[0], text)
        name = re.search(r"\b(?!const\b)\w+", text)[0]
        if name not in self.known:
            if name not in self.names or "*" not in text:
                fail(f"{where} needs {name}, which is not declared above it: see SECTIONS")
            text = text.replace(name, f"struct {name}")
        return text

    def declare(self, member, where):
        kind = self.type(member.type, f"{where}.{member.name}")
        return f"{kind}{'' if kind.endswith('*') else ' '}{member.name}"

    def item(self, item):
        text = self.body(item)
        self.known.add(item.name)
        return comment(item.doc) + text

    def body(self, item):
        name = item.name
        if item.kind == "enum":
            values = "".join(comment(m.doc, "    ") + f"    {m.name} = {m.value},\n" for m in item.members)
            return f"OH_ENUM({name}) {{\n{values}}};\n"
        if item.kind in ("struct", "union"):
            fields = "".join(comment(m.doc, "    ") + f"    {self.declare(m, name)};\n" for m in item.members)
            return f"typedef {item.kind} {name} {{\n{fields}}} {name};\n"
        if item.kind == "alias":
            return f"typedef {self.type(item.type, name)} {name};\n"
        result = self.type(item.type, name)
        result += "" if result.endswith("*") else " "
        parameters = [self.declare(m, name) for m in item.members] or ["void"]
        head = f"typedef {result}(*{name})(" if item.kind == "callback" else f"OH_API {result}{name}("
        line = head + ", ".join(parameters) + ");"
        if len(line) > WIDTH:
            line = head + (",\n" + " " * len(head)).join(parameters) + ");"
        return line + "\n"


def constant(item):
    value = item.type
    return comment(item.doc, "") + f"#define {item.name} {value}\n"


def main():
    raw, out = map(pathlib.Path, sys.argv[1:])
    items = cheader.parse_raw(raw.read_text())
    constants = [i for i in items if i.kind == "macro" and re.fullmatch(r"OH_[A-Z_]+", i.name)]
    items = [i for i in items if i.kind != "macro"]
    enums = {i.name for i in items if i.kind == "enum"}
    # Integer types that stand for enums.
    items = [i for i in items if not (i.kind == "alias" and i.name.removesuffix("_t") in enums)]
    home = homes()
    sections = {title: [] for title, _ in SECTIONS}
    for item in items:
        titles = [title for title, files in SECTIONS if home.get(item.name) in files]
        title = ELSEWHERE.get(item.name, titles[0] if titles else None)
        if item.kind == "struct" and [m.name for m in item.members] == ["id"]:
            title = "Handles"
        if not title:
            fail(f"{item.name} belongs to no section (src/capi/{home.get(item.name)}.rs)")
        sections[title].append(item)
    writer, text = Writer(items), []
    for title, _ in SECTIONS:
        text.append(f"/* {'-' * 8} {title} {'-' * (WIDTH - 15 - len(title))} */\n")
        in_section = sections[title]
        for item in [i for i in in_section if i.kind != "function"] + [i for i in in_section if i.kind == "function"]:
            text.append(writer.item(item))
    version = re.search(r'^version = "((\d+)\.(\d+)\.(\d+))"', (ROOT / "Cargo.toml").read_text(), re.M)
    major, minor, patch = map(int, version.groups()[1:])
    header = (ROOT / "include/offhook.h.in").read_text()
    fields = {"VERSION": version[1], "MAJOR": major, "MINOR": minor, "PATCH": patch,
              "NUMBER": major * 1_000_000 + minor * 1_000 + patch,
              "CONSTANTS": "\n".join(map(constant, constants)).rstrip(), "ITEMS": "\n".join(text)}
    for name, value in fields.items():
        header = header.replace(f"@{name}@", str(value))
    out.write_text(header)


main()
