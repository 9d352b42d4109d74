"""cdef.py: the declarations for cffi, generated from offhook.h.

The header is the only description of the structures; nothing of it is repeated here. The preprocessor below
supports the few conditions of the header: C, older than C23, on a system that is not Windows.
"""

from __future__ import annotations

import re


def from_header(header: str) -> str:
    """The declarations as cffi accepts them: no comments, no includes, and only macros that are plain numbers."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    lines: list[str] = []
    # For each open condition: whether this branch is read, and whether one of its branches was read already.
    open_parts: list[tuple[bool, bool]] = [(True, True)]
    for line in text.splitlines():
        line = line.split("//")[0].rstrip()
        word = re.sub(r"^#\s+", "#", line.strip())
        if word.startswith(("#ifdef", "#ifndef", "#if ")):
            holds = _holds(word)
            open_parts.append((open_parts[-1][0] and holds, holds))
        elif word.startswith(("#elif", "#else")):
            _, taken = open_parts.pop()
            holds = not taken and (word == "#else" or _holds(word))
            open_parts.append((open_parts[-1][0] and holds, taken or holds))
        elif word.startswith("#endif"):
            open_parts.pop()
        elif not open_parts[-1][0] or not word:
            continue
        elif word.startswith("#"):
            if re.match(r"#define OH_\w+ \d+$", word):
                lines.append(word)
        else:
            line = re.sub(r"^OH_API ", "", line)
            lines.append(re.sub(r"^OH_ENUM\((\w+)\)", r"typedef int32_t \1;\nenum \1", line))
    if len(open_parts) != 1:
        raise ValueError("offhook.h: the conditions are not balanced")
    return "\n".join(lines) + "\n"


def _holds(condition: str) -> bool:
    if condition.startswith("#ifndef") or condition == "#elif defined(__GNUC__)":
        return True
    if "__cplusplus" in condition or "_WIN32" in condition or "__STDC_VERSION__" in condition:
        return False
    raise ValueError(f"offhook.h: unknown condition: {condition}")


def write_module(header: str, module: str, path: str) -> None:
    """Writes the Python module `module` for this header to `path` (ABI mode: no compiler, here or later)."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(from_header(header))
    ffi.set_source(module, None)
    ffi.emit_python_code(path)
