"""participants.py: participants and their tracks, of events and of the snapshot Call.participants. All are copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._native import known, text
from .enums import (
    ConnectionQuality, LeaveReason, ParticipantKind, Right, TrackSource, UnplayableReason, UnpublishCause,
)  # fmt: skip


@dataclass(frozen=True)
class TrackInfo:
    """A track that a participant publishes (oh_track_info)."""

    user_id: str  #: of its participant
    session_id: str  #: of its participant
    track_id: str  #: the SFU's id, for Subscriber.set_track; "" in protocols without one
    name: str  #: the name that its publisher gave it; may be ""
    source: TrackSource  #: what it carries
    cause: UnpublishCause = UnpublishCause.UNKNOWN  #: TrackUnpublished: why
    muted: bool = False  #: published, and muted
    local: bool = False  #: a track of the local participant (in an event: that a moderator changed)
    held: bool = False  #: a moderator unmuted it, and it stays muted until set_muted(False)
    encrypted: bool = False  #: end to end
    track: int = 0  #: snapshot, local track: Track.id
    received: bool = False  #: snapshot, remote track: its media arrives and can be played
    unplayable: UnplayableReason = UnplayableReason.NONE  #: snapshot, remote track: why its media cannot be played
    published: bool = False  #: snapshot, local track: published over the present connection; packets can be sent
    moderated: bool = False  #: snapshot, local track: a moderator muted it


@dataclass(frozen=True)
class Participant:
    """A participant, as last described by the SFU (oh_participant)."""

    user_id: str  #: one user can be in a call more than once (not on LiveKit)
    session_id: str  #: identifies the participant in this call
    name: str  #: the display name; may be ""
    image_url: str  #: may be ""
    custom_json: str  #: custom data as a JSON object; may be ""
    metadata: str  #: the application's own text about the participant; may be ""
    attributes_json: str  #: names and values as a JSON object of strings; may be ""
    tracks: tuple[TrackInfo, ...]  #: its tracks (track_count in C)
    rights: Right | None  #: its rights; None in protocols that do not report them (rights_known in C)
    kind: ParticipantKind
    quality: ConnectionQuality
    leave_reason: LeaveReason = LeaveReason.UNKNOWN  #: ParticipantLeft: why
    audio_level: float = 0.0  #: 0.0 (silence) to 1.0
    speaking: bool = False
    dominant: bool = False  #: the dominant speaker
    local: bool = False  #: the local participant


@dataclass(frozen=True)
class Pin:
    """A pinned participant (oh_pin)."""

    user_id: str
    session_id: str


def track_info_of(raw: Any) -> TrackInfo:
    """Copies an oh_track_info."""
    t = known(raw)
    return TrackInfo(
        text(t.user_id), text(t.session_id), text(t.track_id), text(t.name), TrackSource(t.source),
        UnpublishCause(t.cause), t.muted != 0, t.local != 0, t.held != 0, t.encrypted != 0, t.track.id, t.received != 0,
        UnplayableReason(t.unplayable), t.published != 0, t.moderated != 0,
    )  # fmt: skip


def participant_of(raw: Any) -> Participant:
    """Copies an oh_participant."""
    p = known(raw)
    return Participant(
        text(p.user_id), text(p.session_id), text(p.name), text(p.image_url), text(p.custom_json), text(p.metadata),
        text(p.attributes_json), tuple(track_info_of(p.tracks[i]) for i in range(p.track_count)),
        Right(p.rights) if p.rights_known else None, ParticipantKind(p.kind), ConnectionQuality(p.quality),
        LeaveReason(p.leave_reason), p.audio_level, p.speaking != 0, p.dominant != 0, p.local != 0,
    )  # fmt: skip


def participants_of(raw: Any) -> tuple[Participant, ...]:
    """Copies an oh_participants (participant_count pointers)."""
    snapshot = known(raw)
    return tuple(participant_of(snapshot.participants[i]) for i in range(snapshot.participant_count))


def pin_of(raw: Any) -> Pin:
    """Copies an oh_pin."""
    pin = known(raw)
    return Pin(text(pin.user_id), text(pin.session_id))
