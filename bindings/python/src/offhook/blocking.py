"""blocking.py: calls without asyncio: handlers on the library's own threads, or events taken by hand.

A thin layer: `Client.join(id, on_event=..., on_audio=...)` has the handlers called on threads of the library (those of
one call one at a time and in order, those of different calls at the same time); a call without handlers is read with
`Call.next_event`. Methods that wait let other Python threads run, and Ctrl-C through.

What a handler raises goes to threading.excepthook, and the call goes on. At the end of the interpreter handlers are not
called any more; one in progress is waited for, as a thread is that is no daemon.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._base import BaseCall, BaseClient, BaseTrack, freed_with
from ._native import check, ffi, lib, on_exit
from .audio import AudioFrame, Samples, flat, frame_of
from .enums import Result, State
from .events import Ended, Event, event_of
from .options import CallOptions, ClientOptions, Filled

if TYPE_CHECKING:
    from typing_extensions import Unpack

EventHandler = Callable[["Call", Event], None]
AudioHandler = Callable[["Call", AudioFrame], None]

# A wait in C is cut into such pieces, so that signals are seen between them.
_SLICE_MS = 100

# What user_data stands for, from the join until `destroy`: the call, which may be gone (then nothing is called).
_registered: dict[int, weakref.ref[Call]] = {}
_numbers = itertools.count(1)
_exiting = False
_inside = 0
_inside_lock = threading.Lock()


def _tell(error: BaseException) -> None:
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
        _tell(error)
    finally:
        with _inside_lock:
            _inside -= 1


def _event(user_data: Any, _call: Any, event: Any) -> None:
    call = _found(user_data)
    if call is not None:
        _run(call._on_event, call, event_of, event)


def _audio(user_data: Any, _call: Any, audio: Any) -> None:
    call = _found(user_data)
    if call is not None:
        _run(call._on_audio, call, frame_of, audio)


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
    """At the end of the interpreter: no handler begins any more, and those in progress return first."""
    global _exiting
    with _inside_lock:
        _exiting = True
    while _inside:
        if lib.oh_shutdown_wait(_SLICE_MS) in (Result.WOULD_DEADLOCK, Result.FORKED):
            return
        time.sleep(0.001)


on_exit(_no_more)


def _sliced(wait: Callable[[int], int], timeout: float | None) -> int:
    """Repeats wait(ms) until it says something else than that the time is up, or it really is."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _SLICE_MS if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999))
        result = wait(min(left, _SLICE_MS))
        if result not in (Result.TIMEOUT, Result.EMPTY) or left <= _SLICE_MS and end is not None:
            return result


class Track(BaseTrack):
    """A track that I publish; write(...) paces what is written."""

    call: Call

    def write(self, samples: Samples, timeout: float | None = None) -> None:
        """Writes sound of any length, waiting for room as often as needed; TimedOutError after so many seconds.

        Not inside a handler: WouldDeadlockError. Else as write_nowait.
        """
        array = flat(samples, self.channels)
        frames = max(1, self.rate // 50)
        for start in range(0, array.size, frames * self.channels):
            piece = array[start : start + frames * self.channels]
            self.wait(piece.size // self.channels, timeout)
            self._write(piece)

    def wait(self, frames: int, timeout: float | None = None) -> None:
        """Waits until there is room for so many samples per channel (of a track of Opus packets: packets)."""
        check(_sliced(lambda ms: lib.oh_track_wait(self._handle, frames, ms), timeout))

    def drain(self, timeout: float | None = None) -> None:
        """Waits until all that was written was sent; TimedOutError after so many seconds. Not inside a handler."""
        check(_sliced(lambda ms: lib.oh_track_drain(self._handle, ms), timeout))


class Call(BaseCall[Track]):
    """A call. Made by Client.join, held by its client until it is over (without handlers: freed). When nobody holds the
    client and its calls any more they leave, as soon as they are collected."""

    _track_class = Track

    def __init__(
        self,
        client: Client,
        id: str | None,
        on_event: EventHandler | None,
        on_audio: AudioHandler | None,
        options: CallOptions,
    ) -> None:
        super().__init__(client)
        self.client: Client = client
        self._on_event = on_event
        self._on_audio = on_audio
        self._out = ffi.new("oh_call *")
        filled = Filled("oh_call_options", options, id=id)
        number = next(_numbers)
        handlers = filled.pointer.handlers
        if on_event is not None or on_audio is not None:
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
        if handlers.destroy and number not in _registered:  # it is over already
            client._calls.discard(self)

    @property
    def _handle(self) -> Any:
        return self._out[0]  # the library has written it before the first handler runs

    def wait(self, state: State = State.JOINED, timeout: float | None = None) -> None:
        """Waits until the call is in a state; State.LEFT: until Ended was handed over.

        TimedOutError; the error by which the call ended; WouldDeadlockError inside a handler of this call.
        """
        check(_sliced(lambda ms: lib.oh_call_wait(self._handle, int(state), ms), timeout))

    def next_event(self, timeout: float | None = None) -> Event:
        """The next event of a call without handlers; with pull_audio=True sound, too (AudioEvent).

        Waits for so many seconds (None: as long as it takes), then raises EmptyError. ClosedError after Ended, and when
        the call was freed; StateError for a call with handlers, or while another thread is here.
        """
        out = ffi.new("const oh_event **")
        check(_sliced(lambda ms: lib.oh_call_next_event(self._handle, ms, out), timeout))
        try:
            return event_of(out[0])
        finally:
            lib.oh_event_free(out[0])

    def events(self) -> Iterator[Event]:
        """All events of a call without handlers, Ended being the last."""
        event: Optional[Event] = None
        while not isinstance(event, Ended):
            event = self.next_event()
            yield event

    def leave(self, reason: str | None = None, timeout: float | None = 5.0) -> None:
        """Leaves and waits for the end. Twice is fine. Inside a handler: leave_nowait."""
        self.leave_nowait(reason)
        self.wait(State.LEFT, timeout)

    def close(self) -> None:
        """Leaves, and frees the call once it has ended; inside a handler at once. Twice is fine."""
        result = lib.oh_call_leave(self._handle, ffi.NULL)
        if result == Result.OK and (self._on_event is not None or self._on_audio is not None):
            _sliced(lambda ms: lib.oh_call_wait(self._handle, int(State.LEFT), ms), 3.0)
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
        id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        timeout: float | None = 30.0,
        **options: Unpack[CallOptions],
    ) -> Call:
        """Joins a call and waits until it is joined; raises the error by which that failed.

        A token that is asked for is given by on_event (TokenNeeded); see Client of asyncio for the rest.
        """
        call = self.join_nowait(id, on_event=on_event, on_audio=on_audio, **options)
        try:
            call.wait(State.JOINED, timeout)
        except BaseException:
            call.free()
            raise
        return call

    def join_nowait(
        self,
        id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        **options: Unpack[CallOptions],
    ) -> Call:
        """As join, without waiting: Call.wait or the events tell the result. Without handlers: see next_event."""
        return Call(self, id, on_event, on_audio, options)

    def close(self) -> None:
        """Frees the client; its calls leave and are freed."""
        self.free()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
