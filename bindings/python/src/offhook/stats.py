"""stats.py: the figures of a call, and tools that need no call."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ._native import check, ffi, last_error, lib, text
from .enums import Network, Result
from .errors import error_for
from .options import AccessTokenOptions, Filled, Limits

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Stats:
    """Figures of one call since its join (oh_call_stats); times in ms, 0: not yet."""

    participants: int  #: self included
    join_ms: int
    first_audio_ms: int  #: to the first sound handed over
    late_offers: int  #: offers dropped: leaving, or the subscriber closed, freed, never created, or of old
    late_offers_leaving: int  #: those of late_offers that came while the call was leaving
    late_messages: int  #: other late or stale messages, replies and candidates, dropped
    malformed_messages: int
    unknown_messages: int
    offers_answered: int
    offers_failed: int
    join_attempts: int
    rpcs: int
    rpc_retries: int
    errors: int  #: events of the kinds ErrorEvent and LocalFailed
    candidates_dropped: int
    packets_received: int
    bytes_received: int
    packets_lost: int
    packets_late: int
    frames_played: int
    frames_concealed: int
    frames_restored: int
    packets_sent: int
    bytes_sent: int
    media_dropped: int  #: frames the library dropped because they were not taken in time
    events_lost: int  #: events the library dropped because they were not taken in time
    jitter_ms: int
    reconnects_fast: int
    reconnects_rejoin: int
    reconnects_migrate: int
    reconnect_attempts: int
    reconnect_triggers_merged: int
    data_dropped: int
    packets_unplayable: int  #: RTP packets that could not be decoded: encrypted end to end, or of another codec
    packets_unassigned: int  #: RTP packets that could not be assigned to a track of a participant
    packets_padding: int  #: RTP packets of padding only
    frames_restored_red: int  #: lost, and restored from redundant audio (RED)
    audio_dropped_ms: int  #: dropped by a live track that was written too fast, or by Track.clear
    data_encrypted: int  #: packets and texts encrypted end to end, part of data_dropped
    data_unsent: int  #: accepted and not sent before the end: packets, texts, custom events, answers
    event_bytes: int  #: bytes of payload in events that wait for the application now


_NAMES = tuple(f.name for f in fields(Stats))


def stats_of(handle: Any) -> Stats:
    """Reads the figures of a call."""
    raw = ffi.new("oh_call_stats *")
    raw.size = ffi.sizeof("oh_call_stats")
    check(lib.oh_call_get_stats(handle, raw))
    return Stats(*(getattr(raw, name) for name in _NAMES))


def access_token(
    api_key: str, api_secret: str, user_id: str, call_id: str, **options: Unpack[AccessTokenOptions]
) -> str:
    """An access token (JWT) for Protocol.LIVEKIT. For servers and tests: keep the secret on servers."""
    filled = Filled(
        "oh_access_token_options", options, api_key=api_key, api_secret=api_secret, user_id=user_id, call_id=call_id
    )
    size = 2048
    while True:
        room = ffi.new("char[]", size)
        result = lib.oh_access_token(filled.pointer, room, size)
        if result == Result.BUFFER and size < 1 << 20:
            size *= 2
            continue
        if result:
            raise error_for(result, last_error())
        return str(ffi.string(room).decode())


def network_changed(what: Network) -> None:
    """Tells all calls of the process what the application knows of the network. Returns at once; any thread."""
    check(lib.oh_network_changed(int(what)))


def set_limits(**limits: Unpack[Limits]) -> None:
    """Sets bounds of the whole process (oh_limits_set); what is left out is the library's default."""
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
    """The name of a result as in offhook.h, for instance "OH_ERR_HANDLE"; any number is fine."""
    return text(lib.oh_result_name(result))


def result_message(result: int) -> str:
    """The general meaning of a result, in words; any number is fine."""
    return text(lib.oh_result_message(result))


def state_name(state: int) -> str:
    """The library's name of a state, for instance "joined"; "unknown" for other numbers."""
    return text(lib.oh_state_name(state))
