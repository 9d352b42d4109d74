#!/usr/bin/env python3
"""check-abi.py [--write] [--header FILE] [--lib FILE] [--dump-dir DIR]

Compares the binary interface with the recorded one: abi/offhook-N.abi, N being OH_ABI_VERSION. Additions (functions,
constants, fields at the end) must be recorded in that file with --write and committed. Changes that break compiled programs
(a removed item, another value, offset, type or signature, a smaller struct) fail, and --write rejects them: such a change
needs another OH_ABI_VERSION, SONAME and version node, and gets its own file.

Numbers come from the C compiler: a generated program prints all sizes, offsets and values.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cheader  # noqa: E402

ROOT = cheader.ROOT
HEAD = """\
# The binary interface of ABI {abi}: made by scripts/check-abi.py --write, compared by make check-abi.
# One line per fact, so that a change can be read in a diff. Sizes and offsets are those of x86-64 Linux.
"""


def fail(text):
    sys.exit(f"check-abi: {text}")


def is_constant(item):
    """Whether it is a constant of the interface. The version is not: it changes with each release."""
    return item.kind == "macro" and not item.name.startswith("OH_VERSION")


def signature(item):
    """A function without the names of its parameters, which are not part of the interface."""
    return f"{item.type} ({', '.join(m.type for m in item.members) or 'void'})"


def measure(header, items):
    """Sizes, offsets and values from the compiler: lines `name number...`, as a dict."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", f'#include "{header.resolve()}"', "int main(void) {"]

    def put(name, *numbers):
        values = "".join(f", (long long)({n})" for n in numbers)
        lines.append(f'printf("{name}{" %lld" * len(numbers)}\\n"{values});')

    for item in items:
        if item.kind == "enum":
            for value in item.members:
                put(value.name, value.name)
        elif item.kind in ("struct", "union"):
            put(item.name, f"sizeof({item.name})", f"_Alignof({item.name})")
            for f in item.members:
                put(f"{item.name}.{f.name}", f"offsetof({item.name}, {f.name})", f"sizeof((({item.name} *)0)->{f.name})")
        elif is_constant(item):
            put(item.name, item.name)
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as work:
        source, program = pathlib.Path(work, "measure.c"), pathlib.Path(work, "measure")
        source.write_text("\n".join(lines))
        built = subprocess.run(["cc", "-std=c11", "-o", program, source], capture_output=True, text=True)
        if built.returncode:
            fail(f"the header does not compile:\n{built.stderr[:2000]}")
        output = subprocess.check_output([program], text=True)
    return {name: tuple(map(int, rest)) for name, *rest in map(str.split, output.splitlines())}


def exported(lib):
    """The exported functions with the version of each, and the library's SONAME."""
    symbols = {}
    for line in subprocess.check_output(["nm", "-D", "--defined-only", lib], text=True).splitlines():
        _, kind, name = line.split()
        if kind != "A":
            name, _, version = name.partition("@@")
            symbols[name] = version or "none"
    dynamic = subprocess.check_output(["readelf", "-d", lib], text=True)
    soname = re.search(r"\(SONAME\).*\[(.*)\]", dynamic)
    return symbols, soname[1] if soname else "none"


def facts(header, lib):
    """The current interface: an ordered dict, name of the fact -> fact."""
    items = cheader.parse(header.read_text())
    numbers = measure(header, items)
    symbols, soname = exported(lib)
    found = {"library SONAME": soname}
    for item in items:
        if is_constant(item):
            found[f"constant {item.name}"] = str(numbers[item.name][0])
        elif item.kind == "enum":
            found[f"enum {item.name}"] = item.type
            for value in item.members:
                if numbers[value.name][0] != value.value:
                    fail(f"{value.name} is {value.value} in the text, {numbers[value.name][0]} to the compiler")
                found[f"value {item.name}.{value.name}"] = str(value.value)
        elif item.kind in ("struct", "union"):
            size, align = numbers[item.name]
            found[f"{item.kind} {item.name}"] = f"size {size} align {align}"
            for f in item.members:
                offset, length = numbers[f"{item.name}.{f.name}"]
                array = f"[{f.array}]" if f.array else ""
                found[f"field {item.name}.{f.name}"] = f"offset {offset} size {length} {f.type}{array}"
        elif item.kind == "alias":
            found[f"type {item.name}"] = item.type
        elif item.kind == "callback":
            found[f"callback {item.name}"] = signature(item)
        elif item.kind == "function":
            if item.name not in symbols:
                fail(f"{item.name} is in the header, and the library does not export it")
            found[f"function {item.name}"] = f"{symbols.pop(item.name)} {signature(item)}"
    if symbols:
        fail(f"exported, but not in the header: {' '.join(sorted(symbols))}")
    return found


def read(dump):
    lines = [line for line in dump.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" = ", 1) for line in lines)


def numbers_of(fact):
    """The two numbers of `size 8 align 8` or `offset 0 size 8 char *`."""
    words = fact.split(" ", 4)
    return int(words[1]), int(words[3])


def fields_of(found, record):
    prefix = f"field {record}."
    return {k[len(prefix):]: numbers_of(v) for k, v in found.items() if k.startswith(prefix)}


def has_size(found, record):
    first = next(iter(fields_of(found, record)), None)
    return first == "size" and found[f"field {record}.size"] == "offset 0 size 8 size_t"


def frozen(found):
    """Parts that cannot grow later, or could grow without detection: lines of text."""
    wrong = []
    sized = {k.split()[1] for k in found if k.startswith("struct ") and has_size(found, k.split()[1])}
    for name, fact in found.items():
        kind, _, what = name.partition(" ")
        if kind == "struct" and what in sized:
            end = 0
            for field, (offset, size) in fields_of(found, what).items():
                if offset != end:
                    wrong.append(f"{name} has padding before {field}: a later field could be there, which old programs do not set")
                end = offset + size
            if end != numbers_of(fact)[0]:
                wrong.append(f"{name} has padding at its end: add a reserved field")
        elif kind == "struct" and list(fields_of(found, what)) != ["id"]:
            wrong.append(f"{name} does not begin with its size, and can never grow")
        elif kind == "field" and fact.split(" ", 4)[4].split("[")[0] in sized:
            wrong.append(f"{name} holds a structure by value, which can never grow")
        elif kind == "field" and (m := re.fullmatch(r"const (oh_\w+) \*", fact.split(" ", 4)[4])) and f"{name[:-1]}_count" in found:
            wrong.append(f"{name} is an array of {m[1]}, which can never grow: use an array of pointers")
        elif kind == "function" and set(re.findall(r"\b(oh_\w+)\b(?! \*)", fact)) & sized:
            wrong.append(f"{name} passes a structure by value, which can never grow")
    return wrong


def breaks(old, new):
    """Changes in `new` that break a program compiled for `old`: lines of text."""
    wrong = []
    for name, was in old.items():
        kind, _, what = name.partition(" ")
        now = new.get(name)
        if now == was:
            continue
        if now is None:
            record, _, member = what.partition(".")
            if kind == "field" and member.startswith("reserved") and fits_reserved(old, new, record, member):
                continue
            wrong.append(f"{name} was removed (it was: {was})")
        elif kind == "struct":
            (size, align), (size_now, align_now) = numbers_of(was), numbers_of(now)
            if size_now < size:
                wrong.append(f"{name} is smaller: {was}, now {now}")
            elif align_now != align:
                wrong.append(f"{name} has another alignment: {was}, now {now}")
            elif not has_size(old, what):
                wrong.append(f"{name} has grown, and does not begin with its size: {was}, now {now}")
        else:
            wrong.append(f"{name} changed: {was}, now {now}")
    for name in new.keys() - old.keys():
        kind, _, what = name.partition(" ")
        record, _, member = what.partition(".")
        if kind == "field" and f"struct {record}" in old:
            offset, size = numbers_of(new[name])
            end = numbers_of(old[f"struct {record}"])[0]
            reserved = [f for m, f in fields_of(old, record).items() if m.startswith("reserved")]
            inside = any(start <= offset and offset + size <= start + length for start, length in reserved)
            if offset < end and not inside:
                wrong.append(f"{name} is at offset {offset}, inside the existing {end} bytes")
        if kind == "value" and f"enum {record}" in old:
            same = [n for n, v in old.items() if n.startswith(f"value {record}.") and v == new[name]]
            if same and same[0] in new:
                wrong.append(f"{name} has the number of {same[0].split('.')[1]}: {new[name]}")
    return sorted(wrong)


def fits_reserved(old, new, record, member):
    """Whether new fields replace a reserved field, all within its bytes. A reserved field is zero until then."""
    start, length = fields_of(old, record)[member]
    before = fields_of(old, record)
    return any(start <= o and o + s <= start + length for m, (o, s) in fields_of(new, record).items() if m not in before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--header", type=pathlib.Path, default=cheader.HEADER)
    parser.add_argument("--lib", type=pathlib.Path)
    parser.add_argument("--dump-dir", type=pathlib.Path, default=ROOT / "abi")
    options = parser.parse_args()
    lib = options.lib
    if not lib:
        lib = ROOT / subprocess.check_output([ROOT / "scripts/link-lib.sh", "target/built"], text=True).strip()
    now = facts(options.header, lib)

    abi = now["constant OH_ABI_VERSION"]
    if now["library SONAME"] != f"liboffhook.so.{abi}":
        fail(f"OH_ABI_VERSION is {abi}, the SONAME {now['library SONAME']}: they belong together")
    if wrong := frozen(now):
        fail("structures that cannot grow:\n  " + "\n  ".join(wrong))
    # A later node for additions is allowed, for example OFFHOOK_1_2.
    strange = {v.split()[0] for k, v in now.items() if k.startswith("function ")}
    strange = {v for v in strange if not re.fullmatch(rf"OFFHOOK_{abi}(_\d+)*", v)}
    if strange:
        fail(f"OH_ABI_VERSION is {abi}, and symbols have the version {' '.join(sorted(strange))}")

    dump = options.dump_dir / f"offhook-{abi}.abi"
    text = HEAD.format(abi=abi) + "".join(f"{name} = {fact}\n" for name, fact in now.items())
    if dump.exists():
        wrong = breaks(read(dump), now)
        if wrong:
            fail("programs that were compiled before would break:\n  " + "\n  ".join(wrong)
                 + "\nIf it must be: another OH_ABI_VERSION, SONAME and version node (docs/abi.md).")
        if not options.write and dump.read_text() != text:
            was = read(dump)
            more = [f"{n} = {f}" for n, f in now.items() if was.get(n) != f]
            more += [f"{n} was removed" for n in was if n not in now]
            fail(f"{dump.name} does not have, or has in another order:\n  " + "\n  ".join(more)
                 + "\nscripts/check-abi.py --write, then commit it.")
    elif not options.write:
        fail(f"{dump.name} is missing: scripts/check-abi.py --write, then commit it")
    if options.write:
        options.dump_dir.mkdir(exist_ok=True)
        dump.write_text(text)
    functions = sum(k.startswith("function ") for k in now)
    print(f"ok ABI {abi}: {functions} functions, {len(now)} facts, as {'written' if options.write else 'promised'}")


main()
