"""stats.py: the statistics of calls and tracks, and functions that need no call."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._native import check, ffi, lib, structure, text
from .enums import NetworkChange, Result, TrackSource
from .options import AccessTokenOptions, Filled, Limits

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Stats:
    """Statistics of one call, counted since its join (oh_call_stats). What an older library does not count is 0."""

    participants: int  #: participants that are known, the local one included
    jitter_ms: int  #: variation of arrival times (jitter), the greatest of all received tracks, in ms
    join_ms: int  #: milliseconds from the join to CallState.JOINED; 0: not yet
    first_audio_ms: int  #: milliseconds from the join to the first audio delivered; 0: none yet
    late_offers: int
    """Offers of the SFU dropped because the call was leaving, or the subscriber was closed, freed, never created or
    replaced."""
    late_offers_leaving: int  #: those of late_offers that came while the call was leaving
    late_messages: int  #: other late or stale messages, replies and candidates, dropped
    malformed_messages: int  #: messages of the SFU that could not be parsed, dropped
    unknown_messages: int  #: messages of kinds that this version does not know, or does not use
    offers_answered: int  #: offers of the SFU that were answered
    offers_failed: int  #: offers of the SFU that could not be answered
    join_attempts: int  #: attempts to join, the first one included
    sfu_requests: int  #: requests to the SFU
    sfu_request_retries: int  #: requests to the SFU that were sent again
    error_events: int  #: ErrorEvent and LocalTrackFailed
    candidates_dropped: int  #: ICE candidates that were stale, malformed or too many, dropped
    packets_received: int  #: RTP packets received
    bytes_received: int  #: bytes of packets_received
    packets_lost: int  #: audio packets that never arrived
    packets_late: int  #: audio packets that arrived too late to be played
    packets_unplayable: int
    """RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not
    supported."""
    packets_unassigned: int  #: RTP packets that could not be assigned to a track of a participant
    packets_padding: int  #: RTP packets with padding only
    frames_played: int  #: audio frames (20 ms, or one Opus packet) put out for the application
    frames_concealed: int  #: audio frames synthesised by packet-loss concealment
    frames_recovered_fec: int  #: lost audio frames recovered by forward error correction
    frames_recovered_red: int  #: lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played
    audio_frames_dropped: int  #: audio frames dropped because the application did not take them in time
    events_dropped: int  #: events dropped because the application did not take them in time
    queued_event_bytes: int  #: bytes of payload in events that wait for the application now
    packets_sent: int  #: RTP packets sent
    bytes_sent: int  #: bytes of packets_sent
    audio_dropped_ms: int
    """Milliseconds of audio dropped because a live track was written faster than it is sent, or by Track.clear."""
    reconnects_fast: int  #: reconnects that succeeded with a new socket only
    reconnects_rejoin: int  #: reconnects that succeeded with a new session
    reconnects_migrate: int  #: reconnects that succeeded by moving to another edge
    reconnect_attempts: int  #: attempts to reconnect, failed ones included
    reconnect_triggers_merged: int  #: further reasons to reconnect during a reconnect
    data_dropped: int
    """Packets and texts between participants that were lost, malformed, never completed, or more than can wait."""
    data_encrypted: int  #: packets and texts of participants that were encrypted end to end, part of data_dropped
    data_unsent: int  #: packets, texts, custom events and answers that were accepted and not sent before the end


@dataclass(frozen=True)
class TrackStats:
    """Statistics of a local track, counted since it was published (oh_track_stats)."""

    packets_sent: int  #: RTP packets sent, over all connections
    bytes_sent: int  #: bytes of the payloads of packets_sent
    packets_failed: int  #: packets and frames that could not be sent
    sent_ms: int  #: milliseconds of what was written that were sent
    dropped_ms: int  #: milliseconds dropped because a live track was written faster than it is sent, or by Track.clear
    unsent_ms: int  #: milliseconds that were not sent before the end of the track
    reported_lost: int
    """Packets that the receiver reports as lost, since the beginning; negative when it received duplicates."""
    report_age_ms: int  #: age of the receiver's report in ms
    buffered_ms: int  #: milliseconds that were written and not sent yet
    source: TrackSource  #: what the track carries
    published: bool  #: it is published: packets can be sent
    muted: bool  #: it is muted, by the application or a moderator
    moderated: bool  #: a moderator muted it
    has_report: bool
    """The receiver has sent a report (RFC 3550 section 6.4.1); else the members that begin with `reported_` are 0."""
    reported_fraction_lost: float  #: share of packets lost since the report before, 0.0 to 1.0
    reported_jitter_ms: float  #: variation of arrival times (jitter) at the receiver, in ms
    reported_round_trip_ms: float  #: round-trip time to the receiver in ms; 0: not measured


@dataclass(frozen=True)
class RemoteTrackStats:
    """Statistics of a remote track, over mutes and reconnects (oh_remote_track_stats)."""

    packets_received: int  #: RTP packets received
    bytes_received: int  #: bytes of the payloads of packets_received
    packets_lost: int  #: packets that never arrived
    packets_late: int  #: packets that arrived too late to be played
    packets_duplicate: int  #: packets that arrived more than once
    packets_discarded: int  #: packets dropped as malformed, or because too many were waiting
    packets_padding: int  #: packets with padding only
    packets_unplayable: int  #: packets that could not be decoded
    frames_played: int  #: audio frames (20 ms, or one Opus packet) put out for the application
    frames_concealed: int  #: audio frames synthesised by packet-loss concealment
    frames_recovered_fec: int  #: lost audio frames recovered by forward error correction
    frames_recovered_red: int  #: lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played
    jitter_ms: float  #: variation of arrival times (jitter), in ms (RFC 3550 section 6.4.1)
    buffered_ms: float  #: audio that waits in the jitter buffer, in ms
    delay_ms: float  #: delay of the jitter buffer now, in ms
    target_delay_ms: float  #: delay that the jitter buffer aims at, in ms
    source: TrackSource  #: what the track carries
    received: bool  #: a stream carries it now


S = TypeVar("S", Stats, TrackStats, RemoteTrackStats)

_STRUCTURES: dict[type[Any], str] = {
    Stats: "oh_call_stats", TrackStats: "oh_track_stats", RemoteTrackStats: "oh_remote_track_stats",
}  # fmt: skip
_NAMES = {kind: tuple(f.name for f in fields(kind)) for kind in _STRUCTURES}
_TYPES: dict[str, Callable[[Any], Any]] = {
    "source": TrackSource, "published": bool, "muted": bool, "moderated": bool, "has_report": bool, "received": bool,
}  # fmt: skip


def stats_of(kind: type[S], get: Callable[[Any], int]) -> S:
    """Reads statistics with get(pointer), a function of the library."""
    raw = structure(_STRUCTURES[kind])
    check(get(raw))
    return kind(**{name: _TYPES.get(name, _same)(getattr(raw, name)) for name in _NAMES[kind]})


def _same(value: Any) -> Any:
    return value


def create_access_token(
    api_key: str, api_secret: str, user_id: str, call_id: str, **options: Unpack[AccessTokenOptions]
) -> str:
    """An access token (JWT) for Protocol.LIVEKIT. For servers and tests: keep the secret on servers."""
    filled = Filled(
        "oh_access_token_options", options, api_key=api_key, api_secret=api_secret, user_id=user_id, call_id=call_id
    )
    length = ffi.new("size_t *")
    room = ffi.NULL
    size = 0
    while (result := lib.oh_access_token_create(filled.pointer, room, size, length)) == Result.BUFFER:
        size = length[0] + 1
        room = ffi.new("char[]", size)
    check(result)
    return text(room)


def report_network(change: NetworkChange) -> None:
    """Reports a change of the machine's network to all calls of the process. Returns at once; any thread."""
    check(lib.oh_network_report(int(change)))


def set_limits(**limits: Unpack[Limits]) -> None:
    """Sets what all calls of the process together may use; what is left out has the library's default."""
    filled = Filled("oh_limits", limits)
    check(lib.oh_limits_set(filled.pointer))


def shutdown(timeout: float = 2.5) -> None:
    """Leaves all calls of the process, waits for them (seconds), and ends the library's threads.

    Not needed before the end of the interpreter, where it happens by itself. The library can be used again afterwards.
    Blocks; from asyncio use `await asyncio.to_thread(offhook.shutdown)`. Raises TimedOutError, or WouldDeadlockError
    inside a handler on one of the library's threads.
    """
    check(lib.oh_shutdown_wait(max(0, int(timeout * 1000))))


def result_name(result: int) -> str:
    """The name of a result as in offhook.h, for instance "OH_ERR_HANDLE"; any number is allowed."""
    return text(lib.oh_result_get_name(result))


def result_message(result: int) -> str:
    """The general meaning of a result, in words; any number is allowed."""
    return text(lib.oh_result_get_message(result))


def state_name(state: int) -> str:
    """The library's name of a state, for instance "joined"; "unknown" for numbers that are no state."""
    return text(lib.oh_call_state_get_name(state))
