"""_native.py: the library itself: where it is, that it fits, its errors and texts, and the end of the process.

Nothing is loaded before the first use. `lib.oh_name` is a function of offhook.h; calling one lets other Python threads
run meanwhile.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

from ._binding import ffi
from .errors import AbiError, ArgumentError, error_for

__all__ = ["ABI_VERSION", "abi_version", "check", "ffi", "last_error", "lib", "library_path", "on_exit", "optional", "text", "version"]

#: The version of the binary interface this package was made for (OH_ABI_VERSION of its header).
ABI_VERSION: int = ffi.integer_const("OH_ABI_VERSION")

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

    OFFHOOK_LIBRARY; else one that the process has already (LD_PRELOAD, or a program with Python inside that is linked
    to it), "" then; else the one in this package; else the system's.
    """
    if _path:
        return _path
    chosen = os.environ.get("OFFHOOK_LIBRARY")
    if chosen:
        return chosen
    try:
        ffi.dlopen(None).oh_abi_version
        return ""
    except (AttributeError, ffi.error):
        pass
    beside = Path(__file__).with_name("liboffhook.so.0")
    return str(beside) if beside.exists() else beside.name


def _load() -> Any:
    global _loaded, _path
    with _lock:
        if _loaded is None:
            path = library_path()
            library = ffi.dlopen(path or None)
            there = int(library.oh_abi_version())
            if there != ABI_VERSION:
                raise AbiError(
                    f"{path or 'the library in this process'} has ABI version {there}, and this package was made for {ABI_VERSION}:"
                    " install the offhook that belongs to the library"
                )
            _loaded, _path = library, path
            atexit.register(_at_exit)
    return _loaded


def on_exit(step: Any) -> None:
    """Has step() called at the end of the interpreter, before the library's threads are ended."""
    _before_shutdown.append(step)


def _at_exit() -> None:
    # Whatever still runs says goodbye and ends (2 s at most), and with it the library's threads: none of them can ask
    # for the interpreter any more when that is torn down. In a forked child all of this does nothing.
    for step in _before_shutdown:
        step()
    _loaded.oh_shutdown_wait(2500)


def last_error() -> str:
    """The details of the last failure on this thread; read them before anything else is called."""
    size = 512
    while True:
        room = ffi.new("char[]", size)
        needed = lib.oh_last_error(room, size)
        if needed < size:
            return text(room)
        size = needed + 1


def check(result: int) -> None:
    """Raises what a result stands for; nothing for OH_OK."""
    if result:
        detail = last_error()
        raise error_for(result, detail or text(lib.oh_result_message(result)))


def text(pointer: Any) -> str:
    """A text of the library, copied."""
    return str(ffi.string(pointer).decode("utf-8", "replace")) if pointer else ""


def optional(value: str | None) -> Any:
    """A text for the library, or its NULL; lives as long as the result does."""
    if value is None:
        return ffi.NULL
    if not isinstance(value, str):
        raise ArgumentError(f"text is wanted, not {type(value).__name__}")
    data = value.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ArgumentError("a text must not hold a NUL character")
    return ffi.new("char[]", data)


def version() -> str:
    """The version of the library that is loaded, for instance "0.1.0"."""
    return text(lib.oh_version())


def abi_version() -> int:
    """The ABI version of the library that is loaded; the same as ABI_VERSION, or it would not have been loaded."""
    return int(lib.oh_abi_version())
