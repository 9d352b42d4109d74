"""Parses the declarations of include/offhook.h in the form that header.py writes: for check-abi.py and docs.py.

Not a C parser: it rejects everything that it does not recognise, so that nothing is left out silently.
"""

import pathlib
import re
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/offhook.h"


class NotUnderstood(Exception):
    """The header has a form that this module does not recognise."""


@dataclass
class Member:
    """A value of an enum (type "" and its number), a field of a struct, or a parameter of a function."""

    name: str
    type: str = ""
    value: int = 0
    doc: str = ""
    array: str = ""


@dataclass
class Item:
    """kind: enum, struct, union, callback, function, macro. type: base of an enum, result of a function."""

    kind: str
    name: str
    doc: str
    type: str = ""
    members: list = field(default_factory=list)
    line: int = 0
    source: str = ""  # the declaration, without its comments


def undress(comment):
    """The text of a /** comment */, without the stars."""
    lines = comment.strip()[3:-2].strip("\n").split("\n")
    return "\n".join(re.sub(r"^\s*\* ?", "", line).rstrip() for line in lines).strip()


def plain(text):
    """A type in normal form: no struct and enum before names, single spaces, stars next to the words."""
    text = re.sub(r"\b(struct|union|enum)\s+", "", " ".join(text.split()))
    return re.sub(r"\s*\*\s*", " *", text).replace("* *", "**").replace("*const", "*const ").replace("  ", " ").strip()


def declaration(text):
    """Type, name and array length of a declaration such as `const char *const *to` or `uint64_t reserved[24]`."""
    found = re.fullmatch(r"(.*?[\s*])(\w+)(?:\[(\w+)\])?", " ".join(text.split()))
    if not found:
        raise NotUnderstood(f"a declaration: {text!r}")
    return plain(found[1]), found[2], found[3] or ""


def parameters(text):
    text = " ".join(text.split())
    return [] if text in ("", "void") else [Member(n, t) for t, n, _ in map(declaration, text.split(","))]


def members(body, separator, read):
    """Each member of a body, with the comment before it."""
    found, doc, rest = [], "", body
    while rest := rest.lstrip():
        if rest.startswith("/**"):
            end = rest.index("*/") + 2
            doc, rest = undress(rest[:end]), rest[end:]
            continue
        text, _, rest = rest.partition(separator)
        member = read(text.strip())
        member.doc, doc = doc, ""
        found.append(member)
    return found


def enum_value(text):
    found = re.fullmatch(r"(OH_\w+) = (-?\d+)", text)
    if not found:
        raise NotUnderstood(f"a value of an enum: {text!r}")
    return Member(found[1], value=int(found[2]))


def struct_field(text):
    kind, name, array = declaration(text)
    return Member(name, kind, array=array)


SHAPES = [
    ("enum", re.compile(r"OH_ENUM\((oh_\w+)\) \{(.*?)\n\};", re.S)),
    ("record", re.compile(r"typedef (struct|union) (oh_\w+) \{(.*?)\n\} (oh_\w+);", re.S)),
    ("callback", re.compile(r"typedef (\w+) \(\*(oh_\w+)\)\(([^;]*)\);", re.S)),
    ("alias", re.compile(r"typedef (\w+) (oh_\w+);")),
    ("macro", re.compile(r"#define ([A-Z]\w+) ([^\n]+)")),
    ("function", re.compile(r"(?:OH_API )?((?:const )?(?:enum )?\w+ \*?)(oh_\w+)\(([^;{]*)\);", re.S)),
]
# Enums as cbindgen writes them.
RAW_ENUM = re.compile(r"enum (oh_\w+)\n#if [^\n]*\n  : (?:\w+)\n#endif[^\n]*\n \{(.*?)\n\};\n(?:#ifndef __cplusplus\n)?.*?#endif[^\n]*\n"
                      r"(?:#endif // __cplusplus\n)?", re.S)
# Text between the items that is not an item.
FILLER = re.compile(r'#(?:ifndef OFFHOOK_H|define OFFHOOK_H|include|if|elif|ifdef|endif|else| define)\b[^\n]*|extern "C" \{[^\n]*'
                    r'|\} /\* extern[^\n]*|/\*.*?\*/|extern "C\+\+" [^\n]*|\s+', re.S)


def parse(text, shapes=SHAPES):
    """All items, in the order of the header."""
    items, doc, at = {}, "", 0
    while at < len(text):
        if text.startswith("/**", at):
            end = text.index("*/", at) + 2
            doc, at = undress(text[at:end]), end
            continue
        for shape, pattern in shapes:
            if found := pattern.match(text, at):
                break
        else:
            filler = FILLER.match(text, at)
            if not filler:
                raise NotUnderstood(f"line {text.count(chr(10), 0, at) + 1}: {text[at:at + 60]!r}")
            at = filler.end()
            continue
        if shape == "enum":
            item = Item("enum", found[1], doc, "int32_t", members(found[2], ",", enum_value))
        elif shape == "record":
            item = Item(found[1], found[2], doc, "", members(found[3], ";", struct_field))
        elif shape == "macro":
            item = Item("macro", found[1], doc, found[2])
        elif shape == "alias":
            item = Item("alias", found[2], doc, found[1])
        else:
            item = Item(shape, found[2], doc, plain(found[1]), parameters(found[3]))
        if item.name in items:
            raise NotUnderstood(f"{item.name} is declared twice")
        item.line = text.count("\n", 0, at) + 1
        item.source = found[0]
        items[item.name] = item
        doc, at = "", found.end()
    kinds = [i.kind for i in items.values()]
    if not (kinds.count("function") > 40 and kinds.count("enum") > 8 and kinds.count("struct") > 20):
        raise NotUnderstood(f"only {len(kinds)} items were found")
    return list(items.values())


def parse_raw(text):
    """As parse(), for the output of cbindgen."""
    return parse(text, [("enum", RAW_ENUM)] + SHAPES[1:])


def introduction(text):
    """The manual at the start of the header: pairs of a title and the text below it."""
    head = text[text.index("/*") : text.index("*/")]
    lines = [re.sub(r"^ \* ?", "", line) for line in head.split("\n")[1:]]
    parts = []
    for line in lines:
        if re.fullmatch(r"[A-Z][A-Z ]+", line):
            parts.append((line.capitalize(), []))
        elif parts:
            parts[-1][1].append(line)
    return [(title, "\n".join(body).strip("\n")) for title, body in parts]
