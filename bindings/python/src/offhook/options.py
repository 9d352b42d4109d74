"""options.py: the options structures of offhook.h as typed keyword arguments.

An option that is left out, or None, has the library's default. 0 means zero where zero is a possible value ("0:" in the
comment), and the default elsewhere. Options whose name ends in _json take JSON text or a dict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypedDict, Union

from ._native import ffi, optional, structure
from .errors import ArgumentError

Json = Union[str, Mapping[str, Any]]


class ClientOptions(TypedDict, total=False):
    """oh_client_options: how to reach the service, and as whom (`url` is an argument of its own)."""

    api_key: Optional[str]  #: the application's API key
    user_id: Optional[str]  #: the user; default: the claim `user_id` (LiveKit: `sub`) of the token
    token: Optional[str]  #: the user's token (a JWT); default: every call asks for one
    ca_file: Optional[str]  #: PEM file with certificates to trust besides those of the system
    hint_url: Optional[str]  #: URL whose response names the nearest edge in the header `x-amz-cf-pop`
    max_message_bytes: int  #: largest message accepted from an SFU; default: 1048576, LiveKit: 16777216
    protocol: int  #: a Protocol; default: Protocol.AUTO, by the URL
    allow_insecure: bool  #: allow plain http and ws to hosts that are not loopback
    allow_other_hosts: bool  #: allow tokens to hosts that the server names over a connection without TLS
    receive_custom_events: bool  #: receive custom events of the coordinator (CustomEvent)
    #: HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
    #: "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h://; "none": no proxy; default:
    #: as the environment says (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). Servers on loopback are reached directly
    proxy: Optional[str]
    #: the only network interfaces to use for media, by name: ["eth0", "wl*"]; a * at the end stands for any rest, a name
    #: that begins with ! is not used; default: those that routes to the SFU lead through
    interfaces: Optional[Union[str, Sequence[str]]]
    ip_family: int  #: an IpFamily, for media; default: ANY
    relay_only: bool  #: use only addresses of TURN servers for media, and send the SFU no others
    #: first local UDP port for media, 1 to 65535; default: any. A session uses up to two ports of each local address,
    #: and while a call reconnects there are two sessions; all calls share the range, which holds at least two ports
    media_port_min: int
    media_port_max: int  #: last local UDP port for media, more than media_port_min
    dscp: int  #: differentiated services code point of media packets, 1 to 63, e.g. 46 (EF); default: the system's


class CallOptions(TypedDict, total=False):
    """oh_call_options: what to join, and how (`call_id` is an argument of its own)."""

    call_type: Optional[str]  #: type of the call; default: "default"
    token: Optional[str]  #: token for this call instead of the client's
    data_json: Optional[Json]  #: the `data` of the join request, a JSON object
    max_queued_event_bytes: int  #: bytes of payload in events that wait at most, 65536 to 1073741824; default: 4194304
    max_queued_events: int  #: events that wait at most, 16 to 65536; default: 1024
    max_queued_audio_frames: int  #: audio frames that wait at most, all tracks together, 1 to 4096; default: 50
    audio_sample_rate_hz: int  #: sample rate of received audio, 8000 to 192000; default: 48000
    audio_channels: int  #: channels of received audio, 1 or 2; default: 1
    audio_format: int  #: an AudioFormat; default: S16
    audio_min_delay_ms: int  #: jitter buffer: least delay, 1 to 2000; default: 20; 0: none
    audio_max_delay_ms: int  #: jitter buffer: greatest delay, 20 to 2000; default: 200, or the least delay if that is more
    join_retries: int  #: attempts to join on other edges after a failed one, 1 to 10; default: 3; 0: none
    reconnect_timeout_ms: int  #: the call ends after reconnecting for so long; default: 30000; 0: at once; FOREVER
    drain_ms: int  #: how long a leave goes on sending what was accepted, 1 to 1000; default: 1000; 0: not at all
    no_subscriber: bool  #: never receive (a bot that only publishes)
    no_auto_subscribe: bool  #: a track is received only when Subscriber.set_track asks for it
    pull_audio: bool  #: deliver audio: in offhook.blocking to wait_event, with asyncio to audio() and on_audio (default)
    text_parts: bool  #: deliver parts of texts while they arrive (TextPart)
    hold_unmute: bool  #: a track that a moderator unmutes stays muted until set_muted(False) (TrackInfo.held)
    renew_token: bool  #: ask with TokenNeeded when the token has expired; always so without a token
    no_create: bool  #: do not create the call when it does not exist
    ring: bool  #: ring the members
    notify: bool  #: notify the members


class AudioTrackOptions(TypedDict, total=False):
    """oh_audio_track_options: what is published, and how."""

    source: int  #: TrackSource.MICROPHONE or SCREEN_SHARE_AUDIO; default: MICROPHONE
    format: int  #: an AudioFormat of what is written; S16 and F32 may be mixed; default: S16
    sample_rate_hz: int  #: sample rate of what is written, 8000 to 192000; default: 48000
    channels: int  #: channels of what is written, 1 to 8 (more than two are mixed down); default: 1
    bitrate_bps: int  #: bit rate of Opus, 6000 to 510000; default: 64000, with music 128000
    complexity: int  #: complexity of the Opus encoder, 0 to 10; default: the library's choice
    buffer_ms: int  #: how much can be written ahead, 40 to 5000; default: 200
    red_frames: int  #: redundant audio (RED): earlier frames sent with each packet, 1 or 2; default: 1; 0: none
    music: bool  #: music rather than speech
    no_dtx: bool  #: no discontinuous transmission: silence is sent as well
    no_fec: bool  #: no forward error correction in Opus; it is used only without redundant audio
    muted: bool  #: publish it muted
    live: bool  #: live audio: at most 40 ms wait, beyond it the oldest is dropped and counted; no FullError


class DataOptions(TypedDict, total=False):
    """oh_data_options: to whom data or a text is sent, and how."""

    topic: Optional[str]  #: a topic for the application's own use
    to: Optional[Sequence[str]]  #: user ids (to_count in C); default: all participants
    lossy: bool  #: send each packet once, without repeating lost ones; ignored for texts


class RemoteTrackOptions(TypedDict, total=False):
    """oh_remote_track_options: subscription settings of a remote track."""

    unsubscribe: bool  #: do not receive the track
    pause: bool  #: receive nothing for the moment; continues faster than after unsubscribe
    layer: int  #: video: a VideoLayer, when neither width nor height is set
    width: int  #: video: width at which it is shown, in pixels
    height: int  #: video: height at which it is shown, in pixels
    max_fps: int  #: video: frames per second at most
    priority: int  #: when bandwidth is short: 1 is served first; default: the SFU decides


class AccessTokenOptions(TypedDict, total=False):
    """oh_access_token_options: what the participant is called, and what it may do."""

    name: Optional[str]  #: the display name
    metadata: Optional[str]  #: the application's own text about the participant
    attributes_json: Optional[Json]  #: names and values, a JSON object of strings
    ttl_s: int  #: seconds until the token expires, 1 to 31536000; default: 21600
    no_publish: bool  #: may not publish
    no_subscribe: bool  #: may not receive tracks
    no_data: bool  #: may not send data
    allow_set_attributes: bool  #: may call Call.set_attributes
    hidden: bool  #: is not visible to others
    room_admin: bool  #: may administrate the room over the server's own API


class Limits(TypedDict, total=False):
    """oh_limits: what all calls of the process together may use."""

    max_queued_bytes: int  #: bytes of payload in events and of audio that wait at most; default: 268435456
    max_callback_threads: int  #: threads for handlers of offhook.blocking at most, 8 to 65536; default: 512


# The keyword arguments that belong to each structure.
_KNOWN: dict[str, Any] = {
    "oh_client_options": ClientOptions,
    "oh_call_options": CallOptions,
    "oh_audio_track_options": AudioTrackOptions,
    "oh_data_options": DataOptions,
    "oh_remote_track_options": RemoteTrackOptions,
    "oh_access_token_options": AccessTokenOptions,
    "oh_limits": Limits,
}

# In C a 0 is the default everywhere, and OH_ZERO stands for zero itself where that is a value of its own.
_OH_ZERO = 0xFFFFFFFE
_ZERO_IS_A_VALUE = {
    "audio_min_delay_ms", "join_retries", "reconnect_timeout_ms", "drain_ms", "complexity", "red_frames",
}  # fmt: skip


def json_text(value: Any) -> Any:
    """JSON text of a dict; text stays as it is."""
    return json.dumps(value) if isinstance(value, Mapping) else value


class Filled:
    """A structure of options, and what its pointers lead to. `pointer` is valid as long as this object lives."""

    def __init__(self, name: str, given: Mapping[str, Any], **more: Any) -> None:
        known = _KNOWN.get(name)
        self.pointer: Any = structure(name)
        self._kept: list[Any] = []
        for option, value in given.items():
            if known is None or option not in known.__annotations__:
                raise TypeError(f"{name[3:]}: there is no option {option!r}")
            self._set(option, value)
        for option, value in more.items():
            self._set(option, value)

    def keep(self, value: Any) -> Any:
        """Keeps what a pointer of the structure leads to."""
        self._kept.append(value)
        return value

    def _set(self, name: str, value: Any) -> None:
        if value is None:
            return
        if name == "interfaces" and not isinstance(value, str):
            value = ",".join(value)
        if name == "to" and not isinstance(value, str):
            texts = self.keep([optional(one) for one in value])
            value = self.keep(ffi.new("char *[]", texts))
            self.pointer.to_count = len(texts)
        elif isinstance(value, Mapping) and name.endswith("_json") or isinstance(value, str):
            value = self.keep(optional(json_text(value)))
        elif name in _ZERO_IS_A_VALUE and value == 0:
            value = _OH_ZERO
        try:
            setattr(self.pointer, name, value)
        except (TypeError, OverflowError) as error:
            raise ArgumentError(f"option {name}: {error}") from None
