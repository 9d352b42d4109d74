"""errors.py: one exception class for each error of the library.

All are offhook.Error. `code` is the result, `detail` the library's text about this failure (never a secret), and
`server_code` the server's own code, 0 without one.
"""

from __future__ import annotations

import builtins

from .enums import Result


class Error(Exception):
    """A failure of the library; the base of all others."""

    code: Result = Result.INTERNAL

    def __init__(self, detail: str = "", *, code: Result | None = None, server_code: int = 0) -> None:
        if code is not None:
            self.code = code
        self.detail = detail
        self.server_code = server_code
        name = "OH_ERR_" + self.code.name
        super().__init__(f"{detail} ({name})" if detail else name)


class ArgumentError(Error, ValueError):
    """An argument is missing, out of its range, not text, or does not fit the others."""

    code = Result.ARGUMENT


class HandleError(Error):
    """The object was freed, or its owner was."""

    code = Result.HANDLE


class StateError(Error):
    """Not possible in the present state; for instance, the call has ended."""

    code = Result.STATE


class ClosedError(Error):
    """The object was closed by the application, or its call has ended."""

    code = Result.CLOSED


class FullError(Error):
    """A bounded queue is full and nothing was taken; try again later."""

    code = Result.FULL


class TimedOutError(Error, builtins.TimeoutError):
    """The timeout expired. Also a built-in TimeoutError."""

    code = Result.TIMEOUT


class WouldDeadlockError(Error):
    """Waiting here would wait for itself: inside a handler of the same call."""

    code = Result.WOULD_DEADLOCK


class UnsupportedError(Error):
    """Not supported by this build, protocol or call."""

    code = Result.UNSUPPORTED


class NetworkError(Error, ConnectionError):
    """A server could not be reached, or the connection was lost. Also a built-in ConnectionError."""

    code = Result.NETWORK


class TlsError(Error):
    """TLS failed: certificate, name or version."""

    code = Result.TLS


class RefusedError(Error):
    """The server refused; see server_code and detail."""

    code = Result.REFUSED


class ProtocolError(Error):
    """The server's answer is not valid."""

    code = Result.PROTOCOL


class AuthError(Error):
    """The token is missing, expired or not accepted."""

    code = Result.AUTH


class CallCancelledError(Error):
    """The application left, freed or shut down meanwhile. Not asyncio.CancelledError."""

    code = Result.CANCELLED


class LimitError(Error):
    """A limit of the system or of the configuration was reached."""

    code = Result.LIMIT


class InsecureError(Error):
    """Plain http or ws to an address that is not loopback, or a host that a server must not name; see the options
    allow_insecure and allow_other_hosts."""

    code = Result.INSECURE


class ForkedError(Error):
    """This process was forked from one that uses the library; only exec may follow."""

    code = Result.FORKED


class MediaError(Error):
    """A codec or the WebRTC engine failed."""

    code = Result.MEDIA


class InternalError(Error):
    """A defect of the library, contained to one object. Please report it."""

    code = Result.INTERNAL


class AbiError(Error):
    """Library and package differ in their ABI."""

    code = Result.ABI


class EmptyError(Error):
    """Nothing is available right now."""

    code = Result.EMPTY


class BufferTooSmallError(Error):
    """The buffer given is too small."""

    code = Result.BUFFER


class RpcError(Exception):
    """A procedure call failed (Call.perform_rpc). `code` is an RpcErrorCode, or a code of the other application."""

    def __init__(self, code: int, text: str, data: str) -> None:
        self.code = code
        self.text = text
        self.data = data
        super().__init__(f"{text or 'the procedure call failed'} ({code})")


_CLASSES: dict[int, type[Error]] = {
    int(kind.code): kind for kind in Error.__subclasses__()
}


def error_for(code: int, detail: str = "", server_code: int = 0) -> Error:
    """The exception for a result of the library; an unknown one is a plain Error."""
    kind = _CLASSES.get(code)
    if kind is None:
        return Error(detail, code=Result(code), server_code=server_code)
    return kind(detail, server_code=server_code)
