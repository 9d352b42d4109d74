"""_base.py: what the calls, clients and tracks of asyncio and of threads have in common: all that does not wait.

Everything here may be called from every thread. A call owns its publisher, subscriber and tracks, a client its calls:
what is freed takes the rest along, in any order, and using it afterwards raises HandleError or ClosedError.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ._native import check, ffi, lib, optional, text as text_of
from .audio import Samples, flat
from .enums import AudioFormat, Capability, State
from .errors import ArgumentError
from .options import AudioTrackOptions, ClientOptions, DataOptions, Filled, Json, RemoteTrackOptions, json_text
from .stats import Stats, stats_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T", bound="BaseTrack")


def freed_with(owner: object, free: Any, handle: Any) -> Any:
    """Has free(handle) called when the owner is collected, or when the result is called; once. Not at the end of the
    interpreter, which is _native's."""
    finalizer: Any = weakref.finalize(owner, free, handle)
    finalizer.atexit = False
    return finalizer


@dataclass(frozen=True)
class Cleared:
    """What Track.clear gives (oh_track_clear)."""

    sent_ms: int  #: of everything written since the track was published, was sent
    dropped_ms: int  #: was discarded now


class BaseTrack:
    """A track that I publish (oh_track). It is the call's: it lives until it or the call is freed, or the call ends."""

    def __init__(self, call: BaseCall[Any], options: AudioTrackOptions) -> None:
        filled = Filled("oh_audio_track_options", options)
        out = ffi.new("oh_track *")
        check(lib.oh_call_publish_audio(call._handle, filled.pointer, out))
        self._handle: Any = out[0]
        self.call = call
        self.format = AudioFormat(options.get("format", AudioFormat.S16))
        self.rate: int = options.get("rate") or 48000  #: samples per second and channel of what is written
        self.channels: int = options.get("channels") or 1
        self.buffer_ms: int = options.get("buffer_ms") or 200

    @property
    def id(self) -> int:
        """The number that LocalPublished and LocalFailed name."""
        return int(self._handle.id)

    def write_nowait(self, samples: Samples) -> None:
        """Writes sound: all of it, or none (FullError). Never waits; the library sends it at its own pace.

        An array of int16 or float32, of shape (frames,) or (frames, channels), or bytes of 16-bit samples.
        ClosedError when the track or its call is over, StateError for a track of Opus packets.
        """
        self._write(flat(samples, self.channels))

    def _write(self, array: Any) -> None:
        frames, rest = divmod(array.size, self.channels)
        if rest:
            raise ArgumentError(f"{array.size} samples do not make whole frames of {self.channels} channels")
        data = ffi.from_buffer(array)
        if array.dtype == np.int16:
            check(lib.oh_track_write_s16(self._handle, ffi.cast("int16_t *", data), frames))
        else:
            check(lib.oh_track_write_f32(self._handle, ffi.cast("float *", data), frames))

    def write_opus_nowait(self, packet: bytes) -> None:
        """Writes one Opus packet (1 to 1500 bytes) on a track of AudioFormat.OPUS; else as write_nowait."""
        check(lib.oh_track_write_opus(self._handle, ffi.from_buffer(packet), len(packet)))

    def buffered_ms(self) -> int:
        """How much was written and not sent yet, in ms."""
        out = ffi.new("uint32_t *")
        check(lib.oh_track_buffered_ms(self._handle, out))
        return int(out[0])

    def clear(self) -> Cleared:
        """Empties the buffer at once: what was written and not sent yet is never sent (a speaker is interrupted)."""
        sent, dropped = ffi.new("uint64_t *"), ffi.new("uint32_t *")
        check(lib.oh_track_clear(self._handle, sent, dropped))
        return Cleared(int(sent[0]), int(dropped[0]))

    def set_muted(self, muted: bool) -> None:
        """Mutes or unmutes; what was written while muted is never sent. The others are told."""
        check(lib.oh_track_set_muted(self._handle, bool(muted)))

    def free(self) -> None:
        """Stops and unpublishes the track; does not wait: what was written is still sent. Twice is fine."""
        lib.oh_track_free(self._handle)


class Publisher:
    """What I send in a call (oh_publisher)."""

    def __init__(self, call: BaseCall[Any]) -> None:
        out = ffi.new("oh_publisher *")
        check(lib.oh_call_publisher(call._handle, out))
        self._handle: Any = out[0]

    def close(self) -> None:
        """Stops sending for good while the call goes on; the tracks are over. Twice is fine."""
        check(lib.oh_publisher_close(self._handle))

    def free(self) -> None:
        """Closes it and gives its handle back; the call goes on. Twice is fine."""
        lib.oh_publisher_free(self._handle)


class Subscriber:
    """What I receive in a call (oh_subscriber)."""

    def __init__(self, call: BaseCall[Any]) -> None:
        out = ffi.new("oh_subscriber *")
        check(lib.oh_call_subscriber(call._handle, out))
        self._handle: Any = out[0]

    def set_track(self, track_id: str, **options: Unpack[RemoteTrackOptions]) -> None:
        """Says what is wanted of one remote track (Capability.SUBSCRIPTIONS); the last wish wins."""
        filled = Filled("oh_remote_track_options", options)
        check(lib.oh_subscriber_set_track(self._handle, optional(track_id), filled.pointer))

    def close(self) -> None:
        """Stops receiving for good while the call goes on; offers of the SFU are dropped without an error. Twice is fine."""
        check(lib.oh_subscriber_close(self._handle))

    def free(self) -> None:
        """Closes it and gives its handle back; the call goes on. Twice is fine."""
        lib.oh_subscriber_free(self._handle)


class BaseCall(Generic[T]):
    """A call: one participant's presence (oh_call), from the join until it is freed."""

    _track_class: type[T]
    _handle: Any

    def __init__(self, client: BaseClient) -> None:
        self.client = client  # a client that is gone takes its calls along: so it stays

    @property
    def id(self) -> int:
        """The number of the handle, never used twice in a process."""
        return int(self._handle.id)

    @property
    def state(self) -> State:
        """Where the call is now."""
        out = ffi.new("int32_t *")
        check(lib.oh_call_state(self._handle, out))
        return State(out[0])

    @property
    def capabilities(self) -> Capability:
        """What the call's protocol can do."""
        out = ffi.new("uint64_t *")
        check(lib.oh_call_capabilities(self._handle, out))
        return Capability(int(out[0]))

    @property
    def publisher(self) -> Publisher:
        """What is sent; the same each time."""
        return Publisher(self)

    @property
    def subscriber(self) -> Subscriber:
        """What is received; the same each time."""
        return Subscriber(self)

    def stats(self) -> Stats:
        """The figures of the call; also when it is over, until it is freed."""
        return stats_of(self._handle)

    def trace(self) -> str:
        """What the call was given and what it decided, as lines of JSON without secrets: for a report of a defect. Also
        when it is over, until it is freed."""
        size, needed = 256 * 1024, ffi.new("size_t *")
        while True:
            room = ffi.new("char[]", size)
            check(lib.oh_call_trace(self._handle, room, size, needed))
            if needed[0] < size:
                return text_of(room)
            size = needed[0] + needed[0] // 2 + 1  # a call that goes on may need more the next time

    def publish_audio(self, **options: Unpack[AudioTrackOptions]) -> T:
        """Publishes an audio track, one per call at a time. LocalPublished or LocalFailed tells the result."""
        return self._track_class(self, options)

    def provide_token(self, token: str | None) -> None:
        """Answers TokenNeeded; None: there is none, the join fails with AuthError."""
        check(lib.oh_call_provide_token(self._handle, optional(token)))

    def send_custom(self, json: Json) -> None:
        """Sends a custom event, a JSON object, to everyone who watches the call."""
        check(lib.oh_call_send_custom(self._handle, optional(json_text(json))))

    def send_data(self, data: bytes, **options: Unpack[DataOptions]) -> None:
        """Sends a packet to other participants (Capability.DATA). FullError: try again later."""
        filled = Filled("oh_data_options", options)  # holds what its pointer leads to, until the call has returned
        check(lib.oh_call_send_data(self._handle, filled.pointer, ffi.from_buffer(data), len(data)))

    def send_text(self, text: str, **options: Unpack[DataOptions]) -> None:
        """Sends a text of any length to other participants (Capability.TEXT); it arrives whole."""
        filled = Filled("oh_data_options", options)
        check(lib.oh_call_send_text(self._handle, filled.pointer, optional(text)))

    def rpc_nowait(self, to: str, method: str, payload: str = "", *, timeout_ms: int = 0) -> int:
        """Calls a procedure of another participant (Capability.RPC); the number that RpcResponse will name."""
        filled = Filled("oh_rpc_options", {}, to=to, method=method, payload=payload, timeout_ms=timeout_ms)
        out = ffi.new("uint64_t *")
        check(lib.oh_call_rpc(self._handle, filled.pointer, out))
        return int(out[0])

    def rpc_answer(
        self, request_id: str, payload: str = "", *, error_code: int = 0, error_text: str | None = None
    ) -> None:
        """Answers RpcRequest; an error_code (RpcErrorCode, or one of your own) says that it failed."""
        check(lib.oh_call_rpc_answer(
            self._handle, optional(request_id), optional(payload), int(error_code), optional(error_text)
        ))  # fmt: skip

    def set_attributes(
        self, name: str | None = None, metadata: str | None = None, attributes_json: Json | None = None
    ) -> None:
        """Changes what this participant says of itself (Capability.ATTRIBUTES); None: stays."""
        check(lib.oh_call_set_attributes(
            self._handle, optional(name), optional(metadata), optional(json_text(attributes_json))
        ))  # fmt: skip

    def leave_nowait(self, reason: str | None = None) -> None:
        """Begins to leave and returns at once; Ended comes within 2 s. Twice is fine."""
        check(lib.oh_call_leave(self._handle, optional(reason)))

    def free(self) -> None:
        """Leaves if that was not done, and frees the call with its tracks; no handler runs any more afterwards.

        Waits for a handler in progress on another of the library's threads (blocking), never inside a handler. Twice
        is fine; everything else raises HandleError from then on.
        """
        lib.oh_call_free(self._handle)


class BaseClient:
    """How to reach the service, and as whom (oh_client); calls are made from it."""

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        """Contacts nobody. ArgumentError, InsecureError for plain http to a host that is not loopback, AbiError."""
        filled = Filled("oh_client_options", options, url=url)
        out = ffi.new("oh_client *")
        check(lib.oh_client_new(filled.pointer, out))
        self._handle: Any = out[0]
        self._dropped = freed_with(self, lib.oh_client_free, self._handle)

    def free(self) -> None:
        """Frees the client and what is left of its calls, which leave. Twice is fine."""
        self._dropped()
        lib.oh_client_free(self._handle)
