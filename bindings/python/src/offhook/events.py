"""events.py: what happens in a call, as dataclasses of their own.

Each is a copy and stays good for ever. `at_ms` are milliseconds since the join began. More kinds may come with later
versions of the library: they are UnknownEvent here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar

from ._native import ffi, lib, text
from .audio import AudioFrame, frame_of
from .enums import (
    Direction, EndReason, EventKind, LeaveReason, ParticipantKind, ReconnectKind, Result, Right, State, TrackKind,
    UnplayableReason,
)  # fmt: skip
from .errors import Error, error_for


@dataclass(frozen=True)
class Event:
    """Something that happened in a call (oh_event)."""

    kind: ClassVar[EventKind]
    at_ms: int

    @property
    def name(self) -> str:
        """The library's name of the kind, for instance "participant_joined"."""
        return text(lib.oh_event_kind_name(self.kind))


@dataclass(frozen=True)
class StateChanged(Event):
    """The call is in another state."""

    kind = EventKind.STATE
    state: State
    previous: State


@dataclass(frozen=True)
class Joined(Event):
    """The SFU has let this participant in; MediaEvent says when media of a direction flows."""

    kind = EventKind.JOINED
    session_id: str  #: own
    total: int  #: participants, self included (counts.total)
    anonymous: int
    join_ms: int


@dataclass(frozen=True)
class TokenNeeded(Event):
    """A token is needed: answer with provide_token within 30 s (or give on_token to the join)."""

    kind = EventKind.TOKEN_NEEDED


@dataclass(frozen=True)
class ParticipantEvent(Event):
    """About a participant; the base of the three kinds."""

    user_id: str
    session_id: str
    name_shown: str  #: the participant's name (`name` in C)
    image: str
    custom: str  #: JSON, "" without any
    quality: int  #: 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost
    speaking: bool
    dominant: bool
    level: float  #: 0.0 to 1.0
    metadata: str
    attributes: str  #: a JSON object, "" without any
    participant_kind: ParticipantKind = ParticipantKind.STANDARD  #: `kind` in C
    local: bool = False  #: the local participant
    reason: LeaveReason = LeaveReason.UNKNOWN  #: ParticipantLeft: why
    rights: Right = Right(0)  #: none in protocols that do not say them of others


@dataclass(frozen=True)
class ParticipantJoined(ParticipantEvent):
    """A participant joined; on join sent once for everybody already present."""

    kind = EventKind.PARTICIPANT_JOINED


@dataclass(frozen=True)
class ParticipantUpdated(ParticipantEvent):
    """Something about a participant changed; with `local` about the local one, after each join and when the server does."""

    kind = EventKind.PARTICIPANT_UPDATED


@dataclass(frozen=True)
class ParticipantLeft(ParticipantEvent):
    """Somebody is gone."""

    kind = EventKind.PARTICIPANT_LEFT


@dataclass(frozen=True)
class TrackEvent(Event):
    """About a participant's track; the base of the two kinds."""

    user_id: str
    session_id: str
    track_kind: TrackKind  #: `kind` in C
    cause: int  #: why it ended: 0 not said, 1 muted by its user, 2 permission revoked, 3 moderation
    track_id: str  #: for Subscriber.set_track; "" in protocols without one
    track_name: str  #: as its publisher calls it (`name` in C)
    muted: bool = False  #: published, and muted
    local: bool = False  #: a track of the local participant, changed by a moderator
    held: bool = False  #: unmuted by a moderator, and still muted here (option hold_unmute)
    encrypted: bool = False  #: end to end


@dataclass(frozen=True)
class TrackPublished(TrackEvent):
    """A participant published a track, once, muted or not, and again each time it is unmuted; `local`: by a moderator."""

    kind = EventKind.TRACK_PUBLISHED


@dataclass(frozen=True)
class TrackUnpublished(TrackEvent):
    """A participant's track ended, or was muted; see cause."""

    kind = EventKind.TRACK_UNPUBLISHED


@dataclass(frozen=True)
class AudioLevel(Event):
    """How loud a participant is now."""

    kind = EventKind.AUDIO_LEVEL
    user_id: str
    session_id: str
    level: float  #: 0.0 to 1.0
    speaking: bool


@dataclass(frozen=True)
class DominantSpeaker(Event):
    """Who speaks most."""

    kind = EventKind.DOMINANT_SPEAKER
    user_id: str
    session_id: str


@dataclass(frozen=True)
class ConnectionQuality(Event):
    """How well a participant is connected."""

    kind = EventKind.CONNECTION_QUALITY
    user_id: str
    session_id: str
    quality: int  #: 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost


@dataclass(frozen=True)
class Counts(Event):
    """How many are in the call, by the SFU's count."""

    kind = EventKind.COUNTS
    total: int
    anonymous: int


@dataclass(frozen=True)
class Grants(Event):
    """What this participant may do, and how others see it."""

    kind = EventKind.GRANTS
    audio: bool
    video: bool
    screen_share: bool
    data: bool = True  #: data, texts and procedure calls
    subscribe: bool = True  #: receiving tracks
    update_metadata: bool = True  #: changing its own name, metadata and attributes
    hidden: bool = False  #: not visible to others
    recorder: bool = False  #: records the call


@dataclass(frozen=True)
class Pin:
    """A pinned participant (oh_pin)."""

    user_id: str
    session_id: str


@dataclass(frozen=True)
class Pins(Event):
    """The pinned participants, most important first."""

    kind = EventKind.PINS
    pins: tuple[Pin, ...]


@dataclass(frozen=True)
class LocalEvent(Event):
    """About a track of mine; the base of the two kinds."""

    track: int  #: Track.id; 0 when it was freed meanwhile
    error: Result
    server_code: int
    text: str


@dataclass(frozen=True)
class LocalPublished(LocalEvent):
    """A track of mine is on the air."""

    kind = EventKind.LOCAL_PUBLISHED


@dataclass(frozen=True)
class LocalFailed(LocalEvent):
    """A track of mine could not be published, or not any more."""

    kind = EventKind.LOCAL_FAILED


@dataclass(frozen=True)
class ErrorEvent(Event):
    """Something failed that does not end the call."""

    kind = EventKind.ERROR
    error: Result
    server_code: int  #: SFU error code or HTTP status, 0 without one
    text: str  #: what failed and what to do

    def exception(self) -> Error:
        """The same as an exception."""
        return error_for(self.error, self.text, self.server_code)


@dataclass(frozen=True)
class Lost(Event):
    """Events were dropped here, because the application was too slow to take them."""

    kind = EventKind.LOST
    count: int
    data_packets: int = 0  #: packets of participants, part of count
    data_bytes: int = 0  #: bytes of these packets
    texts: int = 0  #: texts of participants, part of count


@dataclass(frozen=True)
class AudioEvent(Event):
    """Sound of a participant; only from blocking.Call.next_event (asyncio: Call.audio, on_audio)."""

    kind = EventKind.AUDIO
    audio: AudioFrame


@dataclass(frozen=True)
class Ended(Event):
    """The call is over. The last event of all."""

    kind = EventKind.ENDED
    code: EndReason
    error: Result  #: OK when it ended as wanted
    server_code: int
    reason: str  #: in words

    def exception(self) -> Error:
        """Why the call ended, as an exception; CallCancelledError when the application left."""
        return error_for(self.error or Result.CANCELLED, self.reason, self.server_code)


@dataclass(frozen=True)
class Reconnected(Event):
    """The connection was lost and is back."""

    kind = EventKind.RECONNECTED
    session_id: str  #: own, now
    how: ReconnectKind
    attempts: int
    elapsed_ms: int


@dataclass(frozen=True)
class CustomEvent(Event):
    """Somebody, or the application's server, told everyone who watches the call."""

    kind = EventKind.CUSTOM
    user_id: str
    custom_type: str
    json: str


@dataclass(frozen=True)
class RoomEvent(Event):
    """The room, at the join and when it has changed."""

    kind = EventKind.ROOM
    id: str
    room_name: str  #: `name` in C
    metadata: str
    recording: bool


@dataclass(frozen=True)
class DataEvent(Event):
    """A packet of another participant, or of the application's server."""

    kind = EventKind.DATA
    user_id: str
    session_id: str
    topic: str
    data: bytes  #: `bytes` in C
    lossy: bool


@dataclass(frozen=True)
class TextEvent(Event):
    """A text of another participant, put together."""

    kind = EventKind.TEXT
    user_id: str
    session_id: str
    topic: str
    id: str  #: the sender's name of this text
    text: str
    attributes: str = ""  #: what its sender attached, names and values as a JSON object, "" without any


@dataclass(frozen=True)
class RpcRequest(Event):
    """Another participant calls a procedure; answer with rpc_answer(request_id, ...)."""

    kind = EventKind.RPC_REQUEST
    request_id: str
    user_id: str
    method: str
    payload: str
    timeout_ms: int  #: how long the caller waits for the answer


@dataclass(frozen=True)
class RpcResponse(Event):
    """What became of a procedure call (rpc_nowait); exactly one for each."""

    kind = EventKind.RPC_RESPONSE
    call_id: int
    payload: str
    text: str  #: why it failed, else ""
    error_code: int  #: 0, an RpcErrorCode, or a number of the other application's


@dataclass(frozen=True)
class Subscribable(Event):
    """A track cannot be had any more, or again."""

    kind = EventKind.SUBSCRIBABLE
    user_id: str
    session_id: str
    track_id: str
    allowed: bool


@dataclass(frozen=True)
class MediaEvent(Event):
    """Media of one direction is connected, or was lost."""

    kind = EventKind.MEDIA
    direction: Direction
    connected: bool  #: False: it was connected and was lost
    text: str  #: what was tried and found; "" when connected


@dataclass(frozen=True)
class Unsent(Event):
    """The call has ended before everything that was accepted could be sent; comes before Ended, at most once."""

    kind = EventKind.UNSENT
    audio_ms: int  #: all tracks together
    data_packets: int
    texts: int
    custom_events: int
    rpc_answers: int
    bytes: int  #: of all of them but audio


@dataclass(frozen=True)
class UnplayableEvent(Event):
    """Media or data of a participant arrives that cannot be decoded; once for each track (of data: participant) and
    reason."""

    kind = EventKind.UNPLAYABLE
    user_id: str  #: "" when it is not known
    session_id: str  #: "" when it is not known
    track_id: str  #: "" when it is not known, and of data
    text: str  #: what was found and what to do
    track_kind: TrackKind  #: `kind` in C; 0 of data
    reason: UnplayableReason


@dataclass(frozen=True)
class TextPart(Event):
    """A piece of a text that is still arriving; only with the option partial_texts. TextEvent follows with the whole."""

    kind = EventKind.TEXT_PART
    user_id: str  #: "" for the application's server
    session_id: str  #: "" when it is not known
    topic: str
    id: str  #: the same for all pieces and for TextEvent
    attributes: str  #: what its sender attached, names and values as a JSON object, "" without any
    text: str  #: the new piece; whole characters only
    offset: int  #: bytes of the text (in UTF-8) before this piece


@dataclass(frozen=True)
class Dtmf(Event):
    """A participant (of SIP) pressed a key of the telephone."""

    kind = EventKind.DTMF
    user_id: str
    session_id: str  #: "" when it is not known
    digit: str  #: "0" to "9", "*", "#", "A" to "D"
    code: int  #: its number by RFC 4733: 0 to 15


@dataclass(frozen=True)
class UnknownEvent(Event):
    """Of a kind that this version of the package does not know."""

    number: int


def _participant(kind: type[ParticipantEvent]) -> Callable[[int, Any], Event]:
    def read(at: int, u: Any) -> Event:
        p = u.participant
        return kind(
            at, text(p.user_id), text(p.session_id), text(p.name), text(p.image), text(p.custom), p.quality,
            p.speaking != 0, p.dominant != 0, p.level, text(p.metadata), text(p.attributes), ParticipantKind(p.kind),
            p.local != 0, LeaveReason(p.reason), Right(p.rights),
        )  # fmt: skip

    return read


def _track(kind: type[TrackEvent]) -> Callable[[int, Any], Event]:
    def read(at: int, u: Any) -> Event:
        t = u.track
        return kind(
            at, text(t.user_id), text(t.session_id), TrackKind(t.kind), t.cause, text(t.track_id), text(t.name),
            t.muted != 0, t.local != 0, t.held != 0, t.encrypted != 0,
        )  # fmt: skip

    return read


def _local(kind: type[LocalEvent]) -> Callable[[int, Any], Event]:
    def read(at: int, u: Any) -> Event:
        local = u.local
        return kind(at, local.track.id, Result(local.error), local.server_code, text(local.text))

    return read


def _joined(at: int, u: Any) -> Event:
    j = u.joined
    return Joined(at, text(j.session_id), j.counts.total, j.counts.anonymous, j.join_ms)


def _level(at: int, u: Any) -> Event:
    level = u.level
    return AudioLevel(at, text(level.user_id), text(level.session_id), level.level, level.speaking != 0)


def _quality(at: int, u: Any) -> Event:
    q = u.quality
    return ConnectionQuality(at, text(q.user_id), text(q.session_id), q.quality)


def _grants(at: int, u: Any) -> Event:
    g = u.grants
    return Grants(
        at, g.audio != 0, g.video != 0, g.screen_share != 0, g.data != 0, g.subscribe != 0, g.update_metadata != 0,
        g.hidden != 0, g.recorder != 0,
    )  # fmt: skip


def _lost(at: int, u: Any) -> Event:
    lost = u.lost
    return Lost(at, lost.count, lost.data_packets, lost.data_bytes, lost.texts)


def _pins(at: int, u: Any) -> Event:
    pins = u.pins
    return Pins(at, tuple(Pin(text(pins.pins[i].user_id), text(pins.pins[i].session_id)) for i in range(pins.count)))


def _ended(at: int, u: Any) -> Event:
    e = u.ended
    return Ended(at, EndReason(e.code), Result(e.error), e.server_code, text(e.reason))


def _reconnected(at: int, u: Any) -> Event:
    r = u.reconnected
    return Reconnected(at, text(r.session_id), ReconnectKind(r.how), r.attempts, r.elapsed_ms)


def _custom(at: int, u: Any) -> Event:
    c = u.custom
    return CustomEvent(at, text(c.user_id), text(c.custom_type), text(c.json))


def _room(at: int, u: Any) -> Event:
    r = u.room
    return RoomEvent(at, text(r.id), text(r.name), text(r.metadata), r.recording != 0)


def _data(at: int, u: Any) -> Event:
    d = u.data
    data = bytes(ffi.buffer(d.bytes, d.size)) if d.size else b""
    return DataEvent(at, text(d.user_id), text(d.session_id), text(d.topic), data, d.lossy != 0)


def _text(at: int, u: Any) -> Event:
    t = u.text
    return TextEvent(at, text(t.user_id), text(t.session_id), text(t.topic), text(t.id), text(t.text), text(t.attributes))


def _request(at: int, u: Any) -> Event:
    r = u.rpc
    return RpcRequest(at, text(r.request_id), text(r.user_id), text(r.method), text(r.payload), r.timeout_ms)


def _response(at: int, u: Any) -> Event:
    r = u.rpc
    return RpcResponse(at, r.call_id, text(r.payload), text(r.text), r.error_code)


def _subscribable(at: int, u: Any) -> Event:
    s = u.subscribable
    return Subscribable(at, text(s.user_id), text(s.session_id), text(s.track_id), s.allowed != 0)


def _media(at: int, u: Any) -> Event:
    m = u.media
    return MediaEvent(at, Direction(m.direction), m.connected != 0, text(m.text))


def _unsent(at: int, u: Any) -> Event:
    left = u.unsent
    return Unsent(
        at, left.audio_ms, left.data_packets, left.texts, left.custom_events, left.rpc_answers, left.bytes
    )  # fmt: skip


def _unplayable(at: int, u: Any) -> Event:
    p = u.unplayable
    return UnplayableEvent(
        at, text(p.user_id), text(p.session_id), text(p.track_id), text(p.text), TrackKind(p.kind),
        UnplayableReason(p.reason),
    )  # fmt: skip


def _text_part(at: int, u: Any) -> Event:
    t = u.text_part
    return TextPart(
        at, text(t.user_id), text(t.session_id), text(t.topic), text(t.id), text(t.attributes), text(t.text), t.offset
    )  # fmt: skip


def _dtmf(at: int, u: Any) -> Event:
    d = u.dtmf
    return Dtmf(at, text(d.user_id), text(d.session_id), text(d.digit), d.code)


_READ: dict[int, Callable[[int, Any], Event]] = {
    EventKind.STATE: lambda at, u: StateChanged(at, State(u.state.state), State(u.state.previous)),
    EventKind.JOINED: _joined,
    EventKind.TOKEN_NEEDED: lambda at, u: TokenNeeded(at),
    EventKind.PARTICIPANT_JOINED: _participant(ParticipantJoined),
    EventKind.PARTICIPANT_UPDATED: _participant(ParticipantUpdated),
    EventKind.PARTICIPANT_LEFT: _participant(ParticipantLeft),
    EventKind.TRACK_PUBLISHED: _track(TrackPublished),
    EventKind.TRACK_UNPUBLISHED: _track(TrackUnpublished),
    EventKind.AUDIO_LEVEL: _level,
    EventKind.DOMINANT_SPEAKER: lambda at, u: DominantSpeaker(at, text(u.level.user_id), text(u.level.session_id)),
    EventKind.CONNECTION_QUALITY: _quality,
    EventKind.COUNTS: lambda at, u: Counts(at, u.counts.total, u.counts.anonymous),
    EventKind.GRANTS: _grants,
    EventKind.PINS: _pins,
    EventKind.LOCAL_PUBLISHED: _local(LocalPublished),
    EventKind.LOCAL_FAILED: _local(LocalFailed),
    EventKind.ERROR: lambda at, u: ErrorEvent(at, Result(u.error.error), u.error.server_code, text(u.error.text)),
    EventKind.LOST: _lost,
    EventKind.AUDIO: lambda at, u: AudioEvent(at, frame_of(u.audio)),
    EventKind.ENDED: _ended,
    EventKind.RECONNECTED: _reconnected,
    EventKind.CUSTOM: _custom,
    EventKind.ROOM: _room,
    EventKind.DATA: _data,
    EventKind.TEXT: _text,
    EventKind.RPC_REQUEST: _request,
    EventKind.RPC_RESPONSE: _response,
    EventKind.SUBSCRIBABLE: _subscribable,
    EventKind.MEDIA: _media,
    EventKind.UNSENT: _unsent,
    EventKind.UNPLAYABLE: _unplayable,
    EventKind.TEXT_PART: _text_part,
    EventKind.DTMF: _dtmf,
}


def event_of(event: Any) -> Event:
    """Copies an oh_event; AudioEvent for sound."""
    read = _READ.get(event.kind)
    return read(event.at_ms, event.u) if read else UnknownEvent(event.at_ms, event.kind)
