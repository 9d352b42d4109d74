"""_native.py: the library: where it is, whether its ABI fits, its errors, texts and structures, and the end of the process.

Nothing is loaded before the first use. `lib.oh_name` is a function of offhook.h; while it runs, other Python threads
run too.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

from ._binding import ffi
from .errors import AbiError, ArgumentError, error_for

__all__ = [
    "ABI_VERSION", "SONAME", "abi_version", "check", "ffi", "known", "last_error", "lib", "library_path", "on_exit",
    "optional", "structure", "text", "version", "version_number",
]  # fmt: skip

#: The ABI that this package was made for (OH_ABI_VERSION of its header).
ABI_VERSION: int = ffi.integer_const("OH_ABI_VERSION")

#: The name under which the library is loaded.
SONAME = f"liboffhook.so.{ABI_VERSION}"

_lock = threading.Lock()
_loaded: Any = None
_path = ""
_before_shutdown: list[Any] = []


class _Library:
    """Functions of the library by name; the first use of each loads it."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(_load(), name)
        setattr(self, name, function)
        return function


lib: Any = _Library()


def library_path() -> str:
    """The library in use, or that would be loaded.

    OFFHOOK_LIBRARY; else one that the process has loaded already (LD_PRELOAD, or a program that embeds Python and is
    linked to it), "" then; else the one in this package; else the system's.
    """
    if _path:
        return _path
    chosen = os.environ.get("OFFHOOK_LIBRARY")
    if chosen:
        return chosen
    try:
        ffi.dlopen(None).oh_get_abi_version
        return ""
    except (AttributeError, ffi.error):
        pass
    beside = Path(__file__).with_name(SONAME)
    return str(beside) if beside.exists() else beside.name


def _load() -> Any:
    global _loaded, _path
    with _lock:
        if _loaded is None:
            path = library_path()
            library = ffi.dlopen(path or None)
            name = path or "the library in this process"
            try:
                there = int(library.oh_get_abi_version())
            except AttributeError:
                raise AbiError(
                    f"{name} has no oh_get_abi_version: it is not a library of ABI version {ABI_VERSION}, for which this"
                    " package was made"
                ) from None
            if there != ABI_VERSION:
                raise AbiError(
                    f"{name} has ABI version {there}, and this package was made for {ABI_VERSION}:"
                    " install the offhook that belongs to the library"
                )
            _loaded, _path = library, path
            atexit.register(_at_exit)
    return _loaded


def on_exit(step: Any) -> None:
    """Calls step() at the end of the interpreter, before the library's threads end."""
    _before_shutdown.append(step)


def _at_exit() -> None:
    # Calls that still run leave (2 s at most), and the library's threads end: none of them can ask for the interpreter
    # while it is torn down. In a forked child all of this does nothing.
    for step in _before_shutdown:
        step()
    _loaded.oh_shutdown_wait(2500)


def last_error() -> str:
    """The details of the last failure on this thread; read them before anything else is called."""
    size = 512
    while True:
        room = ffi.new("char[]", size)
        needed = lib.oh_get_last_error(room, size)
        if needed < size:
            return text(room)
        size = needed + 1


def check(result: int) -> None:
    """Raises the exception for a result; nothing for OH_OK."""
    if result:
        detail = last_error()
        raise error_for(result, detail or text(lib.oh_result_get_message(result)))


def structure(name: str) -> Any:
    """A structure for the library with its defaults; lives as long as the result does."""
    made = ffi.new(name + " *")
    lib.oh_struct_init(made, ffi.sizeof(name))
    return made


# sizeof of the structures that the library passes to us, by the type of the pointer.
_sizes: dict[Any, int] = {}


def known(pointer: Any) -> Any:
    """A structure of the library, at least as long as the header of this package says.

    An older library passes shorter structures: they are copied, and members that they do not have are zero.
    """
    kind = ffi.typeof(pointer)
    size = _sizes.get(kind)
    if size is None:
        size = _sizes[kind] = ffi.sizeof(kind.item)
    if pointer.size >= size:
        return pointer
    copy = ffi.new(kind)
    ffi.memmove(copy, pointer, pointer.size)
    return copy


def text(pointer: Any) -> str:
    """A text of the library, copied; "" for NULL."""
    return str(ffi.string(pointer).decode("utf-8", "replace")) if pointer else ""


def optional(value: str | None) -> Any:
    """A text for the library, or NULL for None; lives as long as the result does."""
    if value is None:
        return ffi.NULL
    if not isinstance(value, str):
        raise ArgumentError(f"text is needed, not {type(value).__name__}")
    data = value.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ArgumentError("text must not hold a NUL character")
    return ffi.new("char[]", data)


def version() -> str:
    """The version of the library that is loaded, for instance "0.1.0"."""
    return text(lib.oh_get_version())


def version_number() -> int:
    """The version of the library that is loaded as a number: major * 1000000 + minor * 1000 + patch."""
    return int(lib.oh_get_version_number())


def abi_version() -> int:
    """The ABI version of the library that is loaded. It equals ABI_VERSION: other libraries are refused."""
    return int(lib.oh_get_abi_version())
