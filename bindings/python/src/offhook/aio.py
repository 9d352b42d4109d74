"""aio.py: calls for asyncio. This is what `offhook.Client` and `offhook.Call` are.

A call is in the library's pull mode: the loop watches its descriptor and takes the events. No thread of the library
ever needs the interpreter. What is not taken in time waits in the library's bounded queues and in bounded queues here;
what they drop is counted.

Methods that wait, handlers and iterators belong to the loop in which the call was joined; the others, whose names often
end in _nowait, may be called from every thread.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Generator
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from ._backlog import Backlog
from ._base import BaseCall, BaseClient, BaseTrack, freed_with
from ._native import check, ffi, last_error, lib
from .audio import AudioFrame, Samples, flat, frame_of
from .enums import EventKind, Result
from .errors import ClosedError, FullError, RpcError, StateError, error_for
from .events import (
    DataEvent, Ended, Event, Joined, LocalTrackEvent, Lost, RpcRequest, RpcResponse, StateChanged, TextEvent,
    TokenNeeded, Unsent, event_of,
)  # fmt: skip
from .options import CallOptions, ClientOptions, Filled

if TYPE_CHECKING:
    from typing_extensions import Unpack

V = TypeVar("V")

# Events that a full backlog does not drop: what they report happens once, or does not repeat itself.
_ESSENTIAL = (StateChanged, TokenNeeded, LocalTrackEvent, RpcResponse, Unsent, Ended)

#: Handlers: plain functions or coroutine functions. They get the call, so that one serves many.
EventHandler = Callable[["Call", Event], Optional[Awaitable[None]]]
AudioHandler = Callable[["Call", AudioFrame], Optional[Awaitable[None]]]
TokenHandler = Callable[["Call"], Union[Optional[str], Awaitable[Optional[str]]]]

# Events taken in one turn of the loop at most.
_BATCH = 64

# The library's defaults.
_MAX_QUEUED_EVENT_BYTES = 4194304
_MAX_QUEUED_EVENTS = 1024
_MAX_QUEUED_AUDIO_FRAMES = 50


class Track(BaseTrack):
    """A local track. `await write(...)` waits for room."""

    call: Call

    async def write(self, samples: Samples) -> None:
        """Writes audio of any length, waiting for room; returns when all of it is buffered.

        The buffer does not drain until the track is published. When the task is cancelled, what was written so far is
        still sent (see clear). Otherwise as write_nowait.
        """
        array = flat(samples, self.channels)
        step = max(1, self.sample_rate_hz // 50) * self.channels
        for start in range(0, array.size, step):
            piece = array[start : start + step]
            await self._with_room(lambda piece=piece: self._write(piece))  # type: ignore[misc]

    async def write_opus(self, packet: bytes) -> None:
        """Writes one Opus packet, waiting for room."""
        await self._with_room(lambda: self.write_opus_nowait(packet))

    async def drain(self) -> None:
        """Waits until everything that was written has been sent. ClosedError when the track or its call has ended."""
        while (result := lib.oh_track_wait_drained(self._handle, 0)) == Result.TIMEOUT:
            await asyncio.sleep(0.01)
        check(result)

    async def _with_room(self, write: Callable[[], None]) -> None:
        while True:
            try:
                return write()
            except FullError:
                # The library sends 20 ms every 20 ms.
                await asyncio.sleep(0.01)


class _Pump:
    """Takes the events of a call from the library when its descriptor is readable. It holds the call by a weak
    reference, so that a call without other references is collected and freed."""

    def __init__(self, call: Call, handle: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.call = weakref.ref(call)
        self.handle = handle
        self.loop = loop
        self.out = ffi.new("const oh_event **")
        descriptor = ffi.new("int32_t *")
        check(lib.oh_call_get_wake_fd(handle, descriptor))
        # A duplicate: the loop must not watch a descriptor that the library has closed. When the call is freed, it is
        # readable at its end, and the pump stops.
        self.descriptor = os.dup(descriptor[0])
        self.watching = True
        self.paused = False
        loop.add_reader(self.descriptor, self.ready)

    def ready(self) -> None:
        call = self.call()
        for _ in range(_BATCH):
            if call is not None and call._behind():
                # What comes now waits in the library, which delays the senders of reliable data.
                self.paused = True
                self.loop.remove_reader(self.descriptor)
                return
            result = lib.oh_call_wait_event(self.handle, 0, self.out)
            if result == Result.EMPTY:
                return
            if result:
                if result not in (Result.CLOSED, Result.HANDLE):
                    self.report("offhook: events cannot be taken", error_for(result, last_error()), call)
                break
            event = self.out[0]
            try:
                item = frame_of(event.u.audio) if event.kind == EventKind.AUDIO else event_of(event)
            finally:
                lib.oh_event_free(event)
            if call is not None:
                call._take(item)
            if isinstance(item, Ended):
                break
        else:
            return  # the descriptor is still readable: the loop comes back
        self.stop()
        if call is not None:
            call._over()

    def report(self, message: str, error: BaseException, call: Call | None) -> None:
        self.loop.call_exception_handler({"message": message, "exception": error, "call": call})

    def resume(self) -> None:
        if self.paused and self.watching:
            self.loop.add_reader(self.descriptor, self.ready)
        self.paused = False

    def stop(self) -> None:
        """In the loop's thread."""
        if self.watching:
            self.watching = False
            self.loop.remove_reader(self.descriptor)
            os.close(self.descriptor)

    def __del__(self) -> None:
        if getattr(self, "watching", False):  # the loop was closed before the call ended
            os.close(self.descriptor)


class Call(BaseCall[Track]):
    """A call. Client.join makes it, and its client holds it until it ends. Without a reference to the client or one of
    its calls, the calls leave when they are collected."""

    _track_class = Track

    def __init__(
        self,
        client: Client,
        call_id: str | None,
        on_event: EventHandler | None,
        on_audio: AudioHandler | None,
        on_token: TokenHandler | None,
        options: CallOptions,
    ) -> None:
        super().__init__(client)
        self.client: Client = client
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_audio = on_audio
        self._on_token = on_token
        self._joined: asyncio.Future[Joined] = self._loop.create_future()
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._rpcs: dict[int, asyncio.Future[str]] = {}
        self._running: asyncio.Task[None] | None = None
        self._tokens: set[asyncio.Task[None]] = set()
        self._events: Backlog[Event] = Backlog(
            options.get("max_queued_events") or _MAX_QUEUED_EVENTS,
            self._loop,
            weigh=_weight,
            most=options.get("max_queued_event_bytes") or _MAX_QUEUED_EVENT_BYTES,
            lost=_lost,
        )
        self._awaits_end = False
        self._frames: Backlog[AudioFrame] = Backlog(
            options.get("max_queued_audio_frames") or _MAX_QUEUED_AUDIO_FRAMES, self._loop
        )
        options.setdefault("pull_audio", True)
        filled = Filled("oh_call_options", options, call_id=call_id)
        out = ffi.new("oh_call *")
        check(lib.oh_call_join(client._handle, filled.pointer, out))
        self._handle = out[0]
        self._dropped = freed_with(self, lib.oh_call_free, self._handle)
        try:
            self._pump = _Pump(self, self._handle, self._loop)
        except BaseException:
            self._dropped()
            raise
        client._calls.add(self)

    # What was taken from the library comes here, in order.

    def _take(self, item: Event | AudioFrame) -> None:
        if isinstance(item, AudioFrame):
            if self._on_audio is None or self._running is not None:
                self._frames.newest(item)
            else:
                self._handle_with(self._on_audio, item)
            return
        self._notice(item)
        if self._on_event is None or self._running is not None:
            self._events.offer(item, essential=isinstance(item, _ESSENTIAL))
        else:
            self._handle_with(self._on_event, item)

    def _behind(self) -> bool:
        """Whether on_event is so far behind that nothing more is taken. Never while something waits for a later event,
        because the handler itself may be waiting."""
        waits = self._rpcs or self._awaits_end or not self._joined.done()
        return self._running is not None and not waits and 2 * self._events.weight >= self._events.most

    def _notice(self, event: Event) -> None:
        if isinstance(event, Joined):
            if not self._joined.done():
                self._joined.set_result(event)
        elif isinstance(event, Ended):
            self._ended.set_result(event)
        elif isinstance(event, TokenNeeded) and self._on_token is not None:
            task = self._loop.create_task(self._answer(self._on_token))
            self._tokens.add(task)
            task.add_done_callback(self._tokens.discard)
        elif isinstance(event, RpcResponse):
            future = self._rpcs.pop(event.rpc_id, None)
            if future is not None and not future.done():
                if event.error_code:
                    future.set_exception(RpcError(event.error_code, event.text, event.payload))
                else:
                    future.set_result(event.payload)

    async def _answer(self, ask: TokenHandler) -> None:
        token: str | None = None
        try:
            answer = ask(self)
            token = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            self._pump.report("offhook: on_token failed", error, self)
        try:
            self.provide_token(token)
        except Exception as error:
            if self._ended.done() or not self._pump.watching:
                return  # too late: the call has ended
            self._pump.report("offhook: the token was not accepted", error, self)

    def _handle_with(self, handler: Callable[[Call, Any], Any], item: Any) -> None:
        try:
            waiting = handler(self, item)
        except Exception as error:
            self._pump.report("offhook: a handler raised", error, self)
            return
        if inspect.isawaitable(waiting):
            # One handler at a time: what comes meanwhile waits in the backlogs.
            self._running = self._loop.create_task(self._finish(waiting))

    async def _finish(self, waiting: Awaitable[Any]) -> None:
        try:
            await waiting
        except Exception as error:
            self._pump.report("offhook: a handler raised", error, self)
        finally:
            self._running = None
            self._catch_up()

    def _catch_up(self) -> None:
        while self._running is None:
            if self._on_event is not None and self._events.queue:
                self._handle_with(self._on_event, self._events.take())
            elif self._on_audio is not None and self._frames.queue:
                self._handle_with(self._on_audio, self._frames.take())
            else:
                break
        if not self._behind():
            self._pump.resume()

    def _over(self) -> None:
        """No more events come: the call has ended, or was freed here."""
        self.client._calls.discard(self)
        error: Exception
        if self._ended.done():
            error = self._ended.result().exception()
        else:
            error = ClosedError("the call was freed")
            self._ended.set_exception(error)
            self._ended.exception()  # it need not be retrieved
        if not self._joined.done():
            self._joined.set_exception(error)
            self._joined.exception()
        for future in self._rpcs.values():
            if not future.done():
                future.set_exception(error)
        self._rpcs.clear()
        self._events.finish()
        self._frames.finish()

    # What the application calls.

    async def joined(self) -> Joined:
        """Waits until the call is joined; raises the error with which the join failed."""
        return await asyncio.shield(self._joined)

    async def ended(self) -> Ended:
        """Waits for the end of the call; ClosedError when it was freed before it had ended."""
        self._awaits_end = True
        self._pump.resume()
        return await asyncio.shield(self._ended)

    def events(self) -> AsyncIterator[Event]:
        """`async for event in call.events()`: all events since the join, in order, until the end of the call.

        For a call without on_event. One reader at a time, else StateError. At most max_queued_events wait here; reliable
        data, texts and procedure calls wait beyond it, up to max_queued_event_bytes. Further ones are dropped, and Lost
        has their number. Never dropped are StateChanged, TokenNeeded, LocalTrackPublished, LocalTrackFailed,
        RpcResponse, Unsent and Ended.
        """
        if self._on_event is not None:
            raise StateError("the events of this call go to on_event")
        return _Reader(self, self._events)

    def audio(self) -> AsyncIterator[AudioFrame]:
        """`async for frame in call.audio()`: audio of all received tracks, 20 ms of one track at a time, until the end.

        For a call without on_audio. One reader at a time, else StateError. At most max_queued_audio_frames wait here;
        then the oldest are dropped and counted in audio_frames_dropped.
        """
        if self._on_audio is not None:
            raise StateError("the audio of this call goes to on_audio")
        return _Reader(self, self._frames)

    @property
    def audio_frames_dropped(self) -> int:
        """Frames dropped here because audio() or on_audio did not take them in time. Those that the library dropped are
        in Stats.audio_frames_dropped."""
        return self._frames.dropped

    @property
    def events_dropped(self) -> int:
        """Events dropped here because events() or on_event did not take them in time. Those that the library dropped are
        in Stats.events_dropped."""
        return self._events.dropped

    async def perform_rpc(self, to: str, method: str, payload: str = "", *, timeout_ms: int = 0) -> str:
        """Calls a procedure of another participant (Capability.RPC) and waits for the answer; RpcError when it fails."""
        rpc_id = self.perform_rpc_nowait(to, method, payload, timeout_ms=timeout_ms)
        future: asyncio.Future[str] = self._loop.create_future()
        self._rpcs[rpc_id] = future
        self._pump.resume()
        try:
            return await future
        finally:
            self._rpcs.pop(rpc_id, None)

    async def leave(self, reason: str | None = None) -> Ended:
        """Leaves and waits for the end, 2 s at most. Leaving twice does nothing."""
        self.leave_nowait(reason)
        return await self.ended()

    async def close(self) -> None:
        """Leaves, waits for the end, and frees the call. Closing twice, or after free, does nothing."""
        try:
            await self.leave()
        except (ClosedError, StateError):
            pass
        except Exception as error:
            if getattr(error, "code", None) != Result.HANDLE:
                raise
        self.free()

    def free(self) -> None:
        """Leaves if that was not done, and frees the call with its tracks at once; no handler is called afterwards."""
        self._on_event = self._on_audio = self._on_token = None
        self._awaits_end = True
        if self._pump.paused:
            try:
                self._loop.call_soon_threadsafe(self._pump.resume)  # the pump notices the end, and stops
            except RuntimeError:
                pass  # the loop is closed
        self.client._calls.discard(self)
        self._dropped()
        super().free()

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _weight(event: Event) -> int:
    """Bytes of events that must arrive (reliable data, texts, procedure calls) and their overhead; 0 of others."""
    if isinstance(event, DataEvent):
        return 0 if event.lossy else 256 + len(event.data)
    if isinstance(event, TextEvent):
        return 256 + len(event.text)
    return 256 + len(event.payload) if isinstance(event, RpcRequest) else 0


def _lost(before: Event | None, event: Event) -> Event:
    assert before is None or isinstance(before, Lost)
    size = len(event.data) if isinstance(event, DataEvent) else 0
    data, text = int(isinstance(event, DataEvent)), int(isinstance(event, TextEvent))
    if before is None:
        return Lost(event.at_ms, 1, data, size, text)
    return Lost(event.at_ms, before.total + 1, before.data_packets + data, before.data_bytes + size, before.texts + text)


class _Reader(AsyncIterator[V]):
    """Reads a backlog; holds the call."""

    def __init__(self, call: Call, backlog: Backlog[V]) -> None:
        self._call = call
        self._backlog = backlog

    def __aiter__(self) -> _Reader[V]:
        return self

    async def __anext__(self) -> V:
        if not await self._backlog.something():
            raise StopAsyncIteration
        return self._backlog.take()


class Joining(Awaitable[Call]):
    """The result of Client.join: `await` it for the call, or `async with` it, which closes the call at the end."""

    def __init__(self, start: Callable[[], Call]) -> None:
        self._start = start
        self._call: Call | None = None

    async def _join(self) -> Call:
        call = self._start()
        try:
            await call.joined()
        except BaseException:
            call.free()
            raise
        return call

    def __await__(self) -> Generator[Any, None, Call]:
        return self._join().__await__()

    async def __aenter__(self) -> Call:
        self._call = await self._join()
        return self._call

    async def __aexit__(self, *_: object) -> None:
        if self._call is not None:
            await self._call.close()


class Client(BaseClient):
    """How to reach the service, and as whom. `async with offhook.Client(url, ...)` closes it at the end."""

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(url, **options)
        self._calls: set[Call] = set()  # held until they end

    def join(
        self,
        call_id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        on_token: TokenHandler | None = None,
        **options: Unpack[CallOptions],
    ) -> Joining:
        """Joins a call: `call = await client.join("demo")`, or `async with client.join("demo") as call`.

        Raises the error with which the join failed; cancelling it frees the call. `call_id` can be None on LiveKit: the
        room of the token. Handlers are called in the loop, one at a time per call and in order; a coroutine function is
        awaited before the next. What they raise goes to loop.call_exception_handler. `on_token` returns a token when
        one is needed, also before the call is joined.
        """
        return Joining(
            lambda: self.join_nowait(call_id, on_event=on_event, on_audio=on_audio, on_token=on_token, **options)
        )

    def join_nowait(
        self,
        call_id: str | None,
        *,
        on_event: EventHandler | None = None,
        on_audio: AudioHandler | None = None,
        on_token: TokenHandler | None = None,
        **options: Unpack[CallOptions],
    ) -> Call:
        """As join, without waiting: Call.joined() and the events have the result. Inside a running loop."""
        return Call(self, call_id, on_event, on_audio, on_token, options)

    def free(self) -> None:
        """Frees the client and its calls at once; they leave, and no handler is called afterwards. Freeing twice does
        nothing."""
        for call in tuple(self._calls):
            call.free()
        super().free()

    async def close(self) -> None:
        """Leaves all calls, waits for their ends, and frees everything. Closing twice does nothing."""
        await asyncio.gather(*(call.close() for call in tuple(self._calls)), return_exceptions=True)
        self.free()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
