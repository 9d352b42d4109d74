"""log.py: the library's log, to a function or to a logger of the standard library. Without one nothing is logged."""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Any, Callable, Union

from ._native import check, ffi, known, lib, on_exit, text
from .enums import LogLevel

LogHandler = Callable[[LogLevel, str], None]

_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARN: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.TRACE: logging.DEBUG - 5,
}

_handlers: dict[int, LogHandler] = {}
_numbers = itertools.count(1)


def _line(user_data: Any, raw: Any) -> None:
    handler = _handlers.get(int(ffi.cast("uintptr_t", user_data)))
    if handler is None:
        return
    try:
        record = known(raw)
        handler(LogLevel(record.level), text(record.text))
    except BaseException as error:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
        )


def _destroy(user_data: Any) -> None:
    _handlers.pop(int(ffi.cast("uintptr_t", user_data)), None)


_line_callback = ffi.callback("oh_log_handler", _line)
_destroy_callback = ffi.callback("oh_destroy", _destroy)


def set_log(handler: Union[LogHandler, logging.Logger, None], level: int = LogLevel.INFO) -> None:
    """Sets, replaces or (None) removes the log handler of the process.

    It is called on a thread of the library, one line at a time. When it is too slow, lines are dropped, and the number
    dropped is logged. Calls are unaffected. What it raises goes to threading.excepthook. No line holds a token. When
    this returns, the former handler does not run any more.
    """
    if handler is None:
        check(lib.oh_log_set(int(LogLevel.OFF), ffi.NULL, ffi.NULL, ffi.NULL))
        return
    if isinstance(handler, logging.Logger):
        logger = handler
        function: LogHandler = lambda level, line: logger.log(_LEVELS.get(level, logging.INFO), "%s", line)  # noqa: E731
    else:
        function = handler
    number = next(_numbers)
    _handlers[number] = function
    try:
        check(lib.oh_log_set(int(level), _line_callback, ffi.cast("void *", number), _destroy_callback))
    except BaseException:
        _handlers.pop(number, None)
        raise


def _no_more() -> None:
    if _handlers:
        lib.oh_log_set(int(LogLevel.OFF), ffi.NULL, ffi.NULL, ffi.NULL)


on_exit(_no_more)
