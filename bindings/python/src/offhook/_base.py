"""_base.py: what the calls, clients and tracks of asyncio and of threads share: everything that does not wait.

Every method here may be called from every thread. A call owns its publisher, subscriber and tracks, and a client owns
its calls: freeing the owner frees them, in any order. Using them afterwards raises HandleError or ClosedError.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ._native import check, ffi, lib, optional, text as text_of
from .audio import Samples, flat
from .enums import AudioFormat, CallState, Capability, TrackSource
from .errors import ArgumentError
from .options import AudioTrackOptions, ClientOptions, DataOptions, Filled, Json, RemoteTrackOptions, json_text
from .participants import Participant, participants_of
from .stats import RemoteTrackStats, Stats, TrackStats, stats_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T", bound="BaseTrack")


def freed_with(owner: object, free: Any, handle: Any) -> Any:
    """Calls free(handle) when the owner is collected, or when the result is called; once. Not at the end of the
    interpreter: _native does that."""
    finalizer: Any = weakref.finalize(owner, free, handle)
    finalizer.atexit = False
    return finalizer


@dataclass(frozen=True)
class Cleared:
    """The result of Track.clear (oh_track_clear)."""

    sent_ms: int  #: how much of everything written to the track was sent since it was published
    dropped_ms: int  #: how much was discarded now


class BaseTrack:
    """A local track (oh_track). It is published until it or its call is freed, or the call ends."""

    def __init__(self, call: BaseCall[Any], options: AudioTrackOptions) -> None:
        filled = Filled("oh_audio_track_options", options)
        out = ffi.new("oh_track *")
        check(lib.oh_call_publish_audio(call._handle, filled.pointer, out))
        self._handle: Any = out[0]
        self.call = call
        self.format = AudioFormat(options.get("format", AudioFormat.S16))
        self.sample_rate_hz: int = options.get("sample_rate_hz") or 48000  #: of what is written
        self.channels: int = options.get("channels") or 1  #: of what is written
        self.buffer_ms: int = options.get("buffer_ms") or 200  #: how much can be written ahead

    @property
    def id(self) -> int:
        """The number of the handle, as in LocalTrackPublished and LocalTrackFailed."""
        return int(self._handle.id)

    def write_nowait(self, samples: Samples) -> None:
        """Writes audio: all of it, or none (FullError). Never waits; the library sends it by its own clock.

        An array of int16 or float32, of shape (frames,) or (frames, channels), or bytes of 16-bit samples.
        ClosedError when the track or its call has ended, StateError for a track of Opus packets.
        """
        self._write(flat(samples, self.channels))

    def _write(self, array: Any) -> None:
        frames, rest = divmod(array.size, self.channels)
        if rest:
            raise ArgumentError(f"{array.size} samples are not whole frames of {self.channels} channels")
        data = ffi.from_buffer(array)
        if array.dtype == np.int16:
            check(lib.oh_track_write_s16(self._handle, ffi.cast("int16_t *", data), frames))
        else:
            check(lib.oh_track_write_f32(self._handle, ffi.cast("float *", data), frames))

    def write_opus_nowait(self, packet: bytes) -> None:
        """Writes one Opus packet (1 to 1500 bytes) on a track of AudioFormat.OPUS; else as write_nowait."""
        check(lib.oh_track_write_opus(self._handle, ffi.from_buffer(packet), len(packet)))

    @property
    def buffered_ms(self) -> int:
        """How much was written and not sent yet."""
        out = ffi.new("uint32_t *")
        check(lib.oh_track_get_buffered_ms(self._handle, out))
        return int(out[0])

    def stats(self) -> TrackStats:
        """The statistics of the track. Works until it is freed, also after its end."""
        return stats_of(TrackStats, lambda raw: lib.oh_track_get_stats(self._handle, raw))

    def clear(self) -> Cleared:
        """Discards what was written and not sent yet; what is written next is sent at once. For an answer that is
        interrupted (barge-in)."""
        sent, dropped = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        check(lib.oh_track_clear(self._handle, sent, dropped))
        return Cleared(int(sent[0]), int(dropped[0]))

    def set_muted(self, muted: bool) -> None:
        """Mutes or unmutes the track. What is written while muted is never sent. The track stays published, and the
        others are informed."""
        check(lib.oh_track_set_muted(self._handle, bool(muted)))

    def free(self) -> None:
        """Unpublishes the track and returns at once; what was written before is still sent. Freeing twice does nothing."""
        lib.oh_track_free(self._handle)


class Publisher:
    """What the local participant sends in a call (oh_publisher)."""

    def __init__(self, call: BaseCall[Any]) -> None:
        out = ffi.new("oh_publisher *")
        check(lib.oh_call_get_publisher(call._handle, out))
        self._handle: Any = out[0]

    def close(self) -> None:
        """Stops sending at once and for good while the call goes on; its tracks end. Closing twice does nothing."""
        check(lib.oh_publisher_close(self._handle))

    def free(self) -> None:
        """Closes it and frees its handle; the call goes on. Freeing twice does nothing."""
        lib.oh_publisher_free(self._handle)


class Subscriber:
    """What the local participant receives in a call (oh_subscriber)."""

    def __init__(self, call: BaseCall[Any]) -> None:
        out = ffi.new("oh_subscriber *")
        check(lib.oh_call_get_subscriber(call._handle, out))
        self._handle: Any = out[0]

    def set_track(self, track_id: str, **options: Unpack[RemoteTrackOptions]) -> None:
        """Sets the subscription of a remote track (Capability.SUBSCRIPTIONS); the last call wins."""
        filled = Filled("oh_remote_track_options", options)
        check(lib.oh_subscriber_set_track(self._handle, optional(track_id), filled.pointer))

    def track_stats(
        self, session_id: str, track_id: str | None = None, source: TrackSource = TrackSource.MICROPHONE
    ) -> RemoteTrackStats:
        """The statistics of a remote track: by its track_id, or in protocols without track ids by its source.

        EmptyError when nothing of such a track was received, or the track has ended. Works also after the end of the
        call.
        """
        session, track = optional(session_id), optional(track_id)
        return stats_of(
            RemoteTrackStats,
            lambda raw: lib.oh_subscriber_get_track_stats(self._handle, session, track, int(source), raw),
        )

    def close(self) -> None:
        """Stops receiving for good while the call goes on. Later offers of the SFU are dropped without an error and
        counted. Closing twice does nothing."""
        check(lib.oh_subscriber_close(self._handle))

    def free(self) -> None:
        """Closes it and frees its handle; the call goes on. Freeing twice does nothing."""
        lib.oh_subscriber_free(self._handle)


class BaseCall(Generic[T]):
    """A call: the presence of the local participant (oh_call), from the join until it is freed."""

    _track_class: type[T]
    _handle: Any

    def __init__(self, client: BaseClient) -> None:
        self.client = client  # a call keeps its client: freeing the client would free the call

    @property
    def id(self) -> int:
        """The number of the handle, never used twice in a process."""
        return int(self._handle.id)

    @property
    def state(self) -> CallState:
        """The state of the call now."""
        out = ffi.new("oh_call_state *")
        check(lib.oh_call_get_state(self._handle, out))
        return CallState(out[0])

    @property
    def capabilities(self) -> Capability:
        """What the protocol of the call can do."""
        out = ffi.new("oh_capabilities *")
        check(lib.oh_call_get_capabilities(self._handle, out))
        return Capability(int(out[0]))

    @property
    def publisher(self) -> Publisher:
        """The publisher of the call; the same handle each time."""
        return Publisher(self)

    @property
    def subscriber(self) -> Subscriber:
        """The subscriber of the call; the same handle each time."""
        return Subscriber(self)

    def stats(self) -> Stats:
        """The statistics of the call. Works until it is freed, also after its end."""
        return stats_of(Stats, lambda raw: lib.oh_call_get_stats(self._handle, raw))

    def participants(self) -> tuple[Participant, ...]:
        """All participants of the call with their tracks: the local one first, the others by session id.

        A snapshot, at least as new as any event that was delivered, and complete also when events were dropped. Before
        the join it has the local participant alone, after the end none.
        """
        out = ffi.new("const oh_participants **")
        check(lib.oh_call_get_participants(self._handle, out))
        try:
            return participants_of(out[0])
        finally:
            lib.oh_participants_free(out[0])

    def trace(self) -> str:
        """What the call received and decided, as lines of JSON without secrets, for a report of a defect. Works until it
        is freed, also after its end."""
        size, length = 256 * 1024, ffi.new("size_t *")
        while True:
            room = ffi.new("char[]", size)
            check(lib.oh_call_get_trace(self._handle, room, size, length))
            if length[0] < size:
                return text_of(room)
            size = length[0] + length[0] // 2 + 1  # it can be more at the next call

    def publish_audio(self, **options: Unpack[AudioTrackOptions]) -> T:
        """Publishes an audio track. Returns at once; LocalTrackPublished or LocalTrackFailed is the result.

        A call has up to 32 local tracks at a time, several of one source included; with 32 LimitError.
        """
        return self._track_class(self, options)

    def provide_token(self, token: str | None) -> None:
        """Answers TokenNeeded. None: there is no token, the join fails with AuthError."""
        check(lib.oh_call_provide_token(self._handle, optional(token)))

    def send_custom_event(self, data_json: Json) -> None:
        """Sends a custom event, a JSON object, to all clients of the call that receive custom events."""
        check(lib.oh_call_send_custom_event(self._handle, optional(json_text(data_json))))

    def send_data(self, data: bytes, **options: Unpack[DataOptions]) -> None:
        """Sends a packet to other participants (Capability.DATA). FullError: try again later."""
        filled = Filled("oh_data_options", options)  # keeps what its pointer leads to, until the call has returned
        check(lib.oh_call_send_data(self._handle, filled.pointer, ffi.from_buffer(data), len(data)))

    def send_text(self, text: str, **options: Unpack[DataOptions]) -> None:
        """Sends a text to other participants (Capability.TEXT). It arrives complete."""
        filled = Filled("oh_data_options", options)
        check(lib.oh_call_send_text(self._handle, filled.pointer, optional(text)))

    def perform_rpc_nowait(self, to: str, method: str, payload: str = "", *, timeout_ms: int = 0) -> int:
        """Calls a procedure of another participant (Capability.RPC). Returns the rpc_id of the RpcResponse."""
        filled = Filled("oh_rpc_options", {}, to=to, method=method, payload=payload, timeout_ms=timeout_ms)
        out = ffi.new("uint64_t *")
        check(lib.oh_call_perform_rpc(self._handle, filled.pointer, out))
        return int(out[0])

    def answer_rpc(
        self, request_id: str, payload: str = "", *, error_code: int = 0, error_text: str | None = None
    ) -> None:
        """Answers RpcRequest. A failure has an error_code: an RpcErrorCode, or a code of the application."""
        check(lib.oh_call_answer_rpc(
            self._handle, optional(request_id), optional(payload), int(error_code), optional(error_text)
        ))  # fmt: skip

    def set_attributes(
        self, name: str | None = None, metadata: str | None = None, attributes_json: Json | None = None
    ) -> None:
        """Changes the name, metadata and attributes of the local participant (Capability.ATTRIBUTES); None: unchanged."""
        check(lib.oh_call_set_attributes(
            self._handle, optional(name), optional(metadata), optional(json_text(attributes_json))
        ))  # fmt: skip

    def leave_nowait(self, reason: str | None = None) -> None:
        """Starts to leave and returns at once; Ended follows within 2 s. Leaving twice does nothing."""
        check(lib.oh_call_leave(self._handle, optional(reason)))

    def free(self) -> None:
        """Leaves if that was not done, and frees the call with its tracks; no handler runs afterwards.

        Waits for a handler in progress on another thread of the library (blocking), never inside a handler. Freeing
        twice does nothing; every other method raises HandleError from then on.
        """
        lib.oh_call_free(self._handle)


class BaseClient:
    """How to reach the service, and as whom (oh_client). Calls are joined with it."""

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        """Opens no connection. Raises ArgumentError, InsecureError for plain http to a host that is not loopback, AbiError."""
        filled = Filled("oh_client_options", options, url=url)
        out = ffi.new("oh_client *")
        check(lib.oh_client_new(filled.pointer, out))
        self._handle: Any = out[0]
        self._dropped = freed_with(self, lib.oh_client_free, self._handle)

    def free(self) -> None:
        """Frees the client and its calls, which leave. Freeing twice does nothing."""
        self._dropped()
        lib.oh_client_free(self._handle)
