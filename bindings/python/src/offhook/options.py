"""options.py: the options structures of offhook.h as keyword arguments, typed.

Every option may be left out: then it is the library's default. None is the same as leaving it out. Options whose name
ends in _json take JSON text or a dict. Numbers that are yes or no in C are bool here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypedDict, Union

from ._native import ffi, lib, optional
from .errors import ArgumentError

Json = Union[str, Mapping[str, Any]]


class ClientOptions(TypedDict, total=False):
    """oh_client_options: how to reach the service, and as whom (`url` is an argument of its own)."""

    api_key: Optional[str]  #: the application's key at the service
    user_id: Optional[str]  #: who joins; left out: the claim in the token
    token: Optional[str]  #: the user's token (a JWT); left out: every call asks for one
    ca_file: Optional[str]  #: PEM file with certificates to trust besides those of the system
    hint_url: Optional[str]  #: URL that tells the nearest edge in its x-amz-cf-pop header
    allow_insecure: bool  #: plain http and ws also to hosts that are not loopback
    events: bool  #: also hear the coordinator's own events (CustomEvent)
    protocol: int  #: a Protocol; the default is Protocol.STREAM
    max_message_bytes: int  #: largest message taken from an SFU; 1048576, with LiveKit 16777216
    allow_other_hosts: bool  #: tokens may go to hosts that the server names over a connection without TLS


class CallOptions(TypedDict, total=False):
    """oh_call_options: what to join and how (`id` is an argument of its own)."""

    join_retries: int  #: retries of a failed join on other edges, 0 to 10; 3
    call_type: Optional[str]  #: "default"
    token: Optional[str]  #: for this call instead of the client's
    data_json: Optional[Json]  #: the `data` of the join request, a JSON object
    audio_rate: int  #: samples per second of what is heard, 8000 to 192000; 48000
    audio_channels: int  #: 1 or 2; 1
    audio_format: int  #: an AudioFormat; S16
    audio_min_delay_ms: int  #: receive buffer, least and greatest delay; 20 to 200
    audio_max_delay_ms: int
    event_queue: int  #: events that may wait, 16 to 65536; 1024
    audio_queue: int  #: frames of 20 ms that may wait, all participants together, 1 to 4096; 50
    no_subscriber: bool  #: never receive (a bot that only publishes)
    pull_audio: bool  #: whether sound is taken at all; asyncio: yes unless on_audio or audio() is not wanted
    no_create: bool  #: do not create the call when it does not exist
    ring: bool  #: ring the members
    notify: bool  #: notify the members
    disconnect_timeout_ms: int  #: how long a lost connection is looked for; 30000; FOREVER
    renew_token: bool  #: ask with TokenNeeded when the token given has expired
    no_auto_subscribe: bool  #: a track is received only when Subscriber.set_track asks for it
    drain_ms: int  #: how long a leave goes on sending what was accepted before, 1 to 1000; 1000; NO_DRAIN
    partial_texts: bool  #: pieces of texts come as they arrive, too (TextPart)
    hold_unmute: bool  #: a track that a moderator unmutes stays muted until set_muted agrees (TrackEvent.held)
    event_bytes: int  #: bytes of payload in events that may wait, 65536 to 1073741824; 4194304


class AudioTrackOptions(TypedDict, total=False):
    """oh_audio_track_options: what is sent and how."""

    format: int  #: an AudioFormat of what will be written; S16 and F32 may be mixed freely; S16
    rate: int  #: samples per second of what will be written, 8000 to 192000; 48000
    channels: int  #: 1 to 8, more than two are mixed down; 1
    bitrate: int  #: bit/s of Opus, 6000 to 510000; 64000, with music 128000
    complexity: int  #: effort of the encoder, 0 to 10; -1: the library's choice
    buffer_ms: int  #: how much may be written ahead, 40 to 5000; 200
    music: bool  #: music rather than speech
    no_dtx: bool  #: silence is sent, too
    no_fec: bool  #: no forward error correction
    muted: bool  #: start muted
    live: bool  #: at most 40 ms wait, beyond it the oldest is dropped and counted; a write never raises FullError
    red: int  #: redundant audio (RED): earlier frames sent along with each packet, 1 or 2; -1: none, 0: 1


class DataOptions(TypedDict, total=False):
    """oh_data_options: to whom, and how."""

    lossy: bool  #: sent once, and what is lost is lost (texts always arrive)
    topic: Optional[str]  #: what it is about, for the application's own use
    to: Optional[Sequence[str]]  #: user ids (to_count in C); left out: everybody in the call


class RemoteTrackOptions(TypedDict, total=False):
    """oh_remote_track_options: what is wanted of one remote track."""

    unsubscribe: bool  #: nothing at all
    pause: bool  #: nothing for the moment; comes back faster than after unsubscribe
    layer: int  #: a Layer, where no size is given
    width: int  #: the size at which video is shown, in pixels
    height: int
    fps: int  #: frames per second at most
    priority: int  #: where bandwidth is short: 1 goes first; 0: the SFU decides


class AccessTokenOptions(TypedDict, total=False):
    """oh_access_token_options: who is let in where, and may do what."""

    ttl_s: int  #: seconds that the token is good for; 21600
    name: Optional[str]  #: shown to people
    metadata: Optional[str]  #: the application's own text about the participant
    attributes_json: Optional[Json]  #: names and values, a JSON object of texts
    no_publish: bool  #: may not publish
    no_subscribe: bool  #: may not receive
    no_data: bool  #: may not send data
    may_set_attributes: bool  #: may call Call.set_attributes
    hidden: bool  #: the others do not see it
    room_admin: bool  #: may also administrate the room over the server's own API


class Limits(TypedDict, total=False):
    """oh_limits: bounds of the whole process."""

    callback_threads: int  #: threads that run handlers of offhook.blocking, at most
    queue_bytes: int  #: bytes of payload that wait for the application, all calls together


_SPECS: dict[str, tuple[str, Any]] = {
    "oh_client_options": ("oh_client_options_init", ClientOptions),
    "oh_call_options": ("oh_call_options_init", CallOptions),
    "oh_audio_track_options": ("oh_audio_track_options_init", AudioTrackOptions),
    "oh_data_options": ("oh_data_options_init", DataOptions),
    "oh_remote_track_options": ("oh_remote_track_options_init", RemoteTrackOptions),
    "oh_access_token_options": ("oh_access_token_options_init", AccessTokenOptions),
    "oh_limits": ("oh_limits_init", Limits),
    "oh_rpc_options": ("oh_rpc_options_init", None),
}


def json_text(value: Any) -> Any:
    """JSON text of a dict; text stays as it is."""
    return json.dumps(value) if isinstance(value, Mapping) else value


class Filled:
    """A structure of options, and what its pointers lead to. `pointer` holds as long as this object lives."""

    def __init__(self, structure: str, given: Mapping[str, Any], **more: Any) -> None:
        init, known = _SPECS[structure]
        # The library's structure may be longer than the one that this package knows, and init fills in all of it.
        room = ffi.new("char[]", ffi.sizeof(structure) + 4096)
        self.pointer: Any = ffi.cast(structure + " *", room)
        self._kept: list[Any] = [room]
        getattr(lib, init)(self.pointer)
        self.pointer.size = ffi.sizeof(structure)
        for name, value in given.items():
            if known is None or name not in known.__annotations__:
                raise TypeError(f"{structure[3:]}: there is no option {name!r}")
            self._set(name, value)
        for name, value in more.items():
            self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        if value is None:
            return
        if name == "to" and not isinstance(value, str):
            texts = [optional(one) for one in value]
            value = ffi.new("char *[]", texts)
            self._kept += [texts, value]
            self.pointer.to_count = len(texts)
        elif isinstance(value, Mapping) and name.endswith("_json") or isinstance(value, str):
            value = optional(json_text(value))
            self._kept.append(value)
        try:
            setattr(self.pointer, name, value)
        except (TypeError, OverflowError) as error:
            raise ArgumentError(f"option {name}: {error}") from None
