"""blocking.py: calls without asyncio: handlers on threads of the library, or pulled events.

Handlers given to `Client.join(call_id, on_event=..., on_audio=...)` run on threads of the library: those of one call one
at a time and in order, those of different calls at the same time. A call without handlers is read with `Call.wait_event`.
While a method waits, other Python threads run, and Ctrl-C interrupts it.

What a handler raises goes to threading.excepthook, and the call goes on. At the end of the interpreter no handler is
called any more; one in progress is waited for, like a thread that is not a daemon.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._base import BaseCall, BaseClient, BaseTrack, freed_with
from ._diagnose import diagnose_wait as diagnose
from ._native import check, ffi, lib, on_exit, structure
from .audio import AudioFrame, Samples, flat, frame_of
from .enums import CallState, Result
from .events import Ended, Event, event_of
from .options import CallOptions, ClientOptions, Filled

if TYPE_CHECKING:
    from typing_extensions import Unpack

EventHandler = Callable[["Call", Event], None]
AudioHandler = Callable[["Call", AudioFrame], None]

# A wait in C is cut into pieces of this length; signals are handled between them.
_SLICE_MS = 100

# user_data is a key of this, from the join until `destroy`. The call may be collected already: nothing is called then.
_registered: dict[int, weakref.ref[Call]] = {}
_numbers = itertools.count(1)
_exiting = False
_inside = 0
_inside_lock = threading.Lock()


def _report(error: BaseException) -> None:
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )


def _found(user_data: Any) -> Call | None:
    reference = _registered.get(int(ffi.cast("uintptr_t", user_data)))
    return reference() if reference is not None else None


def _run(handler: Callable[[Call, Any], None] | None, call: Call, convert: Callable[[Any], Any], raw: Any) -> None:
    global _inside
    if handler is None:
        return
    with _inside_lock:
        if _exiting:
            return
        _inside += 1
    try:
        handler(call, convert(raw))
    except BaseException as error:
        _report(error)
    finally:
        with _inside_lock:
            _inside -= 1


def _event(user_data: Any, _call: Any, event: Any) -> None:
    call = _found(user_data)
    if call is not None:
        _run(call._on_event, call, event_of, event)


def _audio(user_data: Any, _call: Any, frame: Any) -> None:
    call = _found(user_data)
    if call is not None:
        _run(call._on_audio, call, frame_of, frame)


def _destroy(user_data: Any) -> None:
    reference = _registered.pop(int(ffi.cast("uintptr_t", user_data)), None)
    call = reference() if reference is not None else None
    if call is not None:
        call.client._calls.discard(call)


# For the whole life of the process: the library may call them at any time.
_event_callback = ffi.callback("oh_event_handler", lambda *given: _event(*given))
_audio_callback = ffi.callback("oh_audio_handler", lambda *given: _audio(*given))
_destroy_callback = ffi.callback("oh_destroy", _destroy)


def _no_more() -> None:
    """At the end of the interpreter: no further handler starts, and those in progress return first."""
    global _exiting
    with _inside_lock:
        _exiting = True
    while _inside:
        if lib.oh_shutdown_wait(_SLICE_MS) in (Result.WOULD_DEADLOCK, Result.FORKED):
            return
        time.sleep(0.001)


on_exit(_no_more)


def _sliced(wait: Callable[[int], int], timeout: float | None) -> int:
    """Repeats wait(ms) until its result is another one than a timeout, or the whole timeout has expired."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _SLICE_MS if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999))
        result = wait(min(left, _SLICE_MS))
        if result not in (Result.TIMEOUT, Result.EMPTY) or left <= _SLICE_MS and end is not None:
            return result


class Track(BaseTrack):
    """A local track. write(...) waits for room."""

    call: Call

    def write(self, samples: Samples, timeout: float | None = None) -> None:
        """Writes audio of any length, waiting for room; TimedOutError when there is none within `timeout` seconds.

        WouldDeadlockError inside a handler. Otherwise as write_nowait.
        """
        array = flat(samples, self.channels)
        frames = max(1, self.sample_rate_hz // 50)
        for start in range(0, array.size, frames * self.channels):
            piece = array[start : start + frames * self.channels]
            self.wait_writable(piece.size // self.channels, timeout)
            self._write(piece)

    def wait_writable(self, frames: int, timeout: float | None = None) -> None:
        """Waits until there is room for so many samples per channel (a track of Opus packets: packets)."""
        check(_sliced(lambda ms: lib.oh_track_wait_writable(self._handle, frames, ms), timeout))

    def drain(self, timeout: float | None = None) -> None:
        """Waits until everything that was written has been sent; TimedOutError after `timeout` seconds. WouldDeadlockError
        inside a handler."""
        check(_sliced(lambda ms: lib.oh_track_wait_drained(self._handle, ms), timeout))


class Call(BaseCall[Track]):
    """A call. Client.join makes it, and its client holds it until it has ended (without handlers: freed). Without a
    reference to the client or one of its calls, the calls leave when they are collected."""

    _track_class = Track

    def __init__(
        self,
        client: Client,
        call_id: str | None,
        on_event: EventHandler | None,
        on_audio: AudioHandler | None,
        options: CallOptions,
    ) -> None:
        super().__init__(client)
        self.client: Client = client
        self._on_event = on_event
        self._on_audio = on_audio
        self._out = ffi.new("oh_call *")
        filled = Filled("oh_call_options", options, call_id=call_id)
        number = next(_numbers)
        handled = on_event is not None or on_audio is not None
        if handled:
            handlers = filled.keep(structure("oh_call_handlers"))
            filled.pointer.handlers = handlers
            _registered[number] = weakref.ref(self)
            handlers.on_event = _event_callback if on_event is not None else ffi.NULL
            handlers.on_audio = _audio_callback if on_audio is not None else ffi.NULL
            handlers.destroy = _destroy_callback
            handlers.user_data = ffi.cast("void *", number)
        try:
            check(lib.oh_call_join(client._handle, filled.pointer, self._out))
        except BaseException:
            _registered.pop(number, None)
            raise
        self._dropped = freed_with(self, lib.oh_call_free, self._handle)
        client._calls.add(self)
        if handled and number not in _registered:  # it has ended already
            client._calls.discard(self)

    @property
    def _handle(self) -> Any:
        return self._out[0]  # the library writes it before the first handler runs

    def wait_state(self, state: CallState = CallState.JOINED, timeout: float | None = None) -> None:
        """Waits until the call is in a state; CallState.LEFT: until Ended was delivered.

        Raises TimedOutError, the error with which the call ended, or WouldDeadlockError inside a handler of this call.
        """
        check(_sliced(lambda ms: lib.oh_call_wait_state(self._handle, int(state), ms), timeout))

    def wait_event(self, timeout: float | None = None) -> Event:
        """Waits for the next event of a call without handlers; with pull_audio=True audio as well (AudioEvent).

        EmptyError when there is none within `timeout` seconds (None: no limit). ClosedError after Ended, and when the
        call was freed; StateError for a call with handlers, or while another thread waits.
        """
        out = ffi.new("const oh_event **")
        check(_sliced(lambda ms: lib.oh_call_wait_event(self._handle, ms, out), timeout))
        try:
            return event_of(out[0])
        finally:
            lib.oh_event_free(out[0])

    def events(self) -> Iterator[Event]:
        """All events of a call without handlers; Ended is the last."""
        event: Optional[Event] = None
        while not isinstance(event, Ended):
            event = self.wait_event()
            yield event

    def leave(self, reason: str | None = None, timeout: float | None = 5.0) -> None:
        """Leaves and waits for the end. Leaving twice does nothing. Inside a handler: leave_nowait."""
        self.leave_nowait(reason)
        self.wait_state(CallState.LEFT, timeout)

    def close(self) -> None:
        """Leaves, and frees the call once it has ended; inside a handler at once. Closing twice does nothing."""
        result = lib.oh_call_leave(self._handle, ffi.NULL)
        if result == Result.OK and (self._on_event is not None or self._on_audio is not None):
            _sliced(lambda ms: lib.oh_call_wait_state(self._handle, int(CallState.LEFT), ms), 3.0)
        self.free()

    def free(self) -> None:
        self.client._calls.discard(self)
        self._dropped()
        super().free()

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client(BaseClient):
    """How to reach the service, and as whom. `with offhook.blocking.Client(url, ...)` frees it at the end."""

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(url, **options)
        self._calls: set[Call] = set()

    def free(self) -> None:
        self._calls.clear()
        super().free()

    def join(
        self,
        call_id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        timeout: float | None = 30.0,
        **options: Unpack[CallOptions],
    ) -> Call:
        """Joins a call and waits until it is joined; raises the error with which the join failed.

        When a token is needed, on_event answers TokenNeeded. See Client of asyncio for the rest.
        """
        call = self.join_nowait(call_id, on_event=on_event, on_audio=on_audio, **options)
        try:
            call.wait_state(CallState.JOINED, timeout)
        except BaseException:
            call.free()
            raise
        return call

    def join_nowait(
        self,
        call_id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        **options: Unpack[CallOptions],
    ) -> Call:
        """As join, without waiting: Call.wait_state and the events have the result. Without handlers: see wait_event."""
        return Call(self, call_id, on_event, on_audio, options)

    def close(self) -> None:
        """Frees the client; its calls leave and are freed."""
        self.free()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
