"""cdef.py: what cffi is told about the library, made from offhook.h itself.

Only the header says what a structure looks like; nothing of it is written down a second time. The preprocessor below
knows the few conditions that the header uses: not C++, and a C older than C23.
"""

from __future__ import annotations

import re


def from_header(header: str) -> str:
    """The declarations of the header as cffi wants them: no comments, includes, or macros but the ABI number."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    lines: list[str] = []
    shown = [True]
    for line in text.splitlines():
        line = line.split("//")[0].rstrip()
        word = line.strip()
        if word.startswith("#if"):
            shown.append(shown[-1] and _holds(word))
        elif word.startswith("#else"):
            shown[-1] = shown[-2] and not shown[-1]
        elif word.startswith("#endif"):
            shown.pop()
        elif not shown[-1] or not word:
            continue
        elif word.startswith("#"):
            if re.match(r"#define OH_ABI_VERSION \d+$", word):
                lines.append(word)
        else:
            lines.append(line)
    if len(shown) != 1:
        raise ValueError("offhook.h: the conditions are not balanced")
    return "\n".join(lines) + "\n"


def _holds(condition: str) -> bool:
    if condition.startswith("#ifndef"):
        return True
    if condition.startswith("#ifdef __cplusplus"):
        return False
    if re.fullmatch(r"#if (defined\(__cplusplus\) \|\| )?__STDC_VERSION__ >= 202311L", condition):
        return False
    raise ValueError(f"offhook.h: a condition that is not known here: {condition}")


def write_module(header: str, module: str, path: str) -> None:
    """Writes the Python module `module` for this header to `path` (ABI mode: no compiler, here or later)."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(from_header(header))
    ffi.set_source(module, None)
    ffi.emit_python_code(path)
