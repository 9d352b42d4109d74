"""events.py: the events of a call, a dataclass for each kind.

Each is a copy and stays valid. `at_ms` are milliseconds since the join began. Kinds that only a newer library has are
UnknownEvent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar

from ._native import ffi, known, lib, text
from .audio import AudioFrame, frame_of
from .enums import (
    CallState, ConnectionQuality, Direction, EndReason, EventKind, ReconnectKind, Result, Right, TrackSource,
    UnplayableReason,
)  # fmt: skip
from .errors import Error, error_for
from .participants import Participant, Pin, TrackInfo, participant_of, pin_of, track_info_of


@dataclass(frozen=True)
class Event:
    """An event of a call (oh_event)."""

    kind: ClassVar[EventKind]
    at_ms: int

    @property
    def kind_name(self) -> str:
        """The library's name of the kind, for instance "participant_joined"."""
        return text(lib.oh_event_kind_get_name(self.kind))


@dataclass(frozen=True)
class StateChanged(Event):
    """The state of the call changed."""

    kind = EventKind.STATE
    state: CallState
    previous: CallState


@dataclass(frozen=True)
class Joined(Event):
    """The SFU admitted this participant. Media of a direction flows once MediaEvent says that it is connected."""

    kind = EventKind.JOINED
    session_id: str  #: of the local participant
    join_ms: int  #: milliseconds since the join began
    participants: int  #: participants in the call, the local one and anonymous ones included
    anonymous_participants: int  #: counted, not listed


@dataclass(frozen=True)
class TokenNeeded(Event):
    """A token is needed: answer with provide_token within 30 s (or give on_token to the join)."""

    kind = EventKind.TOKEN_NEEDED


@dataclass(frozen=True)
class ParticipantEvent(Event):
    """About a participant; the base of three kinds."""

    participant: Participant

    @property
    def user_id(self) -> str:
        """The user id of the participant."""
        return self.participant.user_id

    @property
    def session_id(self) -> str:
        """The session id of the participant."""
        return self.participant.session_id


@dataclass(frozen=True)
class ParticipantJoined(ParticipantEvent):
    """A participant joined. On join, sent once for everyone already present."""

    kind = EventKind.PARTICIPANT_JOINED


@dataclass(frozen=True)
class ParticipantUpdated(ParticipantEvent):
    """A participant changed. With `local`: the local one, once after each join and when the server changes it."""

    kind = EventKind.PARTICIPANT_UPDATED


@dataclass(frozen=True)
class ParticipantLeft(ParticipantEvent):
    """A participant left; see leave_reason. TrackUnpublished of its tracks came before."""

    kind = EventKind.PARTICIPANT_LEFT


@dataclass(frozen=True)
class TrackEvent(Event):
    """About a track; the base of two kinds."""

    track: TrackInfo

    @property
    def user_id(self) -> str:
        """The user id of the track's participant."""
        return self.track.user_id

    @property
    def session_id(self) -> str:
        """The session id of the track's participant."""
        return self.track.session_id


@dataclass(frozen=True)
class TrackPublished(TrackEvent):
    """A participant published a track: once, and again each time it is unmuted. With `local`: a moderator unmuted it."""

    kind = EventKind.TRACK_PUBLISHED


@dataclass(frozen=True)
class TrackUnpublished(TrackEvent):
    """A track ended, or was muted (then it still exists); see cause. With `local`: a moderator muted a local track."""

    kind = EventKind.TRACK_UNPUBLISHED


@dataclass(frozen=True)
class AudioLevel(Event):
    """How loud a participant is."""

    kind = EventKind.AUDIO_LEVEL
    user_id: str
    session_id: str
    level: float  #: 0.0 (silence) to 1.0
    speaking: bool


@dataclass(frozen=True)
class DominantSpeaker(Event):
    """Another participant speaks most."""

    kind = EventKind.DOMINANT_SPEAKER
    user_id: str
    session_id: str


@dataclass(frozen=True)
class ConnectionQualityChanged(Event):
    """How well a participant is connected."""

    kind = EventKind.CONNECTION_QUALITY
    user_id: str
    session_id: str
    quality: ConnectionQuality


@dataclass(frozen=True)
class Counts(Event):
    """The number of participants, as counted by the SFU."""

    kind = EventKind.COUNTS
    participants: int  #: the local one and anonymous ones included
    anonymous_participants: int  #: counted, not listed


@dataclass(frozen=True)
class RightsChanged(Event):
    """What the local participant may do, on join and whenever it changes."""

    kind = EventKind.RIGHTS
    rights: Right


@dataclass(frozen=True)
class Pins(Event):
    """All pinned participants, most important first (pin_count in C)."""

    kind = EventKind.PINS
    pins: tuple[Pin, ...]


@dataclass(frozen=True)
class LocalTrackEvent(Event):
    """The result of publishing a local track; the base of two kinds."""

    track: int  #: Track.id; 0 when the application has freed the track meanwhile
    error: Result
    server_code: int  #: the server's own code; 0 without one
    text: str  #: why it failed


@dataclass(frozen=True)
class LocalTrackPublished(LocalTrackEvent):
    """Local track published; again after each reconnect that made a new session."""

    kind = EventKind.LOCAL_TRACK_PUBLISHED


@dataclass(frozen=True)
class LocalTrackFailed(LocalTrackEvent):
    """A local track could not be published, or is not published any more."""

    kind = EventKind.LOCAL_TRACK_FAILED

    def exception(self) -> Error:
        """The same as an exception."""
        return error_for(self.error, self.text, self.server_code)


@dataclass(frozen=True)
class ErrorEvent(Event):
    """Something failed that does not end the call."""

    kind = EventKind.ERROR
    error: Result
    server_code: int  #: SFU error code or HTTP status; 0 without one
    text: str  #: what failed and what to do

    def exception(self) -> Error:
        """The same as an exception."""
        return error_for(self.error, self.text, self.server_code)


@dataclass(frozen=True)
class Lost(Event):
    """Events are missing here, because the application did not take them in time."""

    kind = EventKind.LOST
    total: int  #: everything that is missing: events, packets and texts
    data_packets: int = 0  #: packets of participants, part of total
    data_bytes: int = 0  #: bytes of these packets
    texts: int = 0  #: texts of participants, part of total


@dataclass(frozen=True)
class AudioEvent(Event):
    """Audio of a track; only from blocking.Call.wait_event (asyncio: Call.audio, on_audio)."""

    kind = EventKind.AUDIO
    audio: AudioFrame


@dataclass(frozen=True)
class Ended(Event):
    """The call has ended. The last event of a call."""

    kind = EventKind.ENDED
    reason: EndReason
    error: Result  #: OK when the call ended without a failure
    server_code: int  #: the server's own code; 0 without one
    text: str  #: the reason in words

    def exception(self) -> Error:
        """Why the call ended, as an exception; CallCancelledError when the application left."""
        return error_for(self.error or Result.CANCELLED, self.text, self.server_code)


@dataclass(frozen=True)
class Reconnected(Event):
    """The connection was lost and is made again; state JOINED came just before."""

    kind = EventKind.RECONNECTED
    session_id: str  #: of the local participant now
    elapsed_ms: int  #: since the loss was detected
    reconnect_kind: ReconnectKind  #: how it was connected again (kind in C)
    attempts: int  #: the successful one included


@dataclass(frozen=True)
class CustomEvent(Event):
    """A custom event from a participant or your backend. Your own are echoed."""

    kind = EventKind.CUSTOM
    user_id: str  #: of the sender; "" when the coordinator does not say
    custom_type: str  #: the member `type` of the data when it is a string; else ""
    data_json: str  #: the data as a JSON object


@dataclass(frozen=True)
class RoomEvent(Event):
    """The room, on join and when it changed."""

    kind = EventKind.ROOM
    room_id: str  #: the server's id of the room
    name: str  #: usually the call id that was joined
    metadata: str  #: the application's own text about the room; may be ""
    recording: bool


@dataclass(frozen=True)
class DataEvent(Event):
    """A packet from a participant, or from the application's server."""

    kind = EventKind.DATA
    user_id: str  #: of the sender; "" for the application's server
    session_id: str  #: "" when it is not known
    topic: str
    data: bytes  #: data_size bytes
    lossy: bool  #: it came over the lossy channel


@dataclass(frozen=True)
class TextEvent(Event):
    """A complete text from a participant."""

    kind = EventKind.TEXT
    user_id: str  #: of the sender; "" for the application's server
    session_id: str  #: "" when it is not known
    topic: str
    text_id: str  #: the sender's id of this text
    text: str
    attributes_json: str = ""  #: names and values that the sender attached, as a JSON object of strings; may be ""


@dataclass(frozen=True)
class TextPart(Event):
    """A part of a text that is still arriving; only with the option text_parts. TextEvent or Lost follows."""

    kind = EventKind.TEXT_PART
    user_id: str  #: of the sender; "" for the application's server
    session_id: str  #: "" when it is not known
    topic: str
    text_id: str  #: the same for all parts and for TextEvent
    text: str  #: the new part; whole characters only
    attributes_json: str  #: names and values that the sender attached, as a JSON object of strings; may be ""
    offset_bytes: int  #: bytes of the text (UTF-8) before this part


@dataclass(frozen=True)
class RpcRequest(Event):
    """A participant calls a procedure; answer with answer_rpc(request_id, ...)."""

    kind = EventKind.RPC_REQUEST
    request_id: str
    user_id: str  #: of the caller
    method: str
    payload: str
    timeout_ms: int  #: how long the caller waits for the answer, as it says


@dataclass(frozen=True)
class RpcResponse(Event):
    """The result of a procedure call (perform_rpc_nowait); exactly one for each."""

    kind = EventKind.RPC_RESPONSE
    rpc_id: int  #: that perform_rpc_nowait returned
    payload: str  #: the answer; on failure the data of the error
    text: str  #: why it failed; "" on success
    error_code: int  #: 0 on success; else an RpcErrorCode, or a code of the other application


@dataclass(frozen=True)
class SubscriptionPermission(Event):
    """Permission to subscribe to a track was revoked or restored."""

    kind = EventKind.SUBSCRIPTION_PERMISSION
    user_id: str  #: of the track's participant
    session_id: str
    track_id: str
    allowed: bool


@dataclass(frozen=True)
class MediaEvent(Event):
    """Media of one direction was connected or lost."""

    kind = EventKind.MEDIA
    direction: Direction
    connected: bool  #: False: it was connected and was lost
    text: str  #: what was tried and found; "" when connected


@dataclass(frozen=True)
class Unsent(Event):
    """The call ended before everything that was accepted could be sent; before Ended, at most once."""

    kind = EventKind.UNSENT
    audio_ms: int  #: all tracks together
    data_packets: int
    texts: int
    custom_events: int
    rpc_answers: int
    bytes: int  #: of everything but audio


@dataclass(frozen=True)
class UnplayableEvent(Event):
    """Media or data of a participant cannot be decoded; once for each track (data: participant) and reason."""

    kind = EventKind.UNPLAYABLE
    user_id: str  #: "" when it is not known
    session_id: str  #: "" when it is not known
    track_id: str  #: "" when it is not known, and for data
    source: TrackSource  #: UNKNOWN for data
    reason: UnplayableReason
    text: str  #: what was found and what to do


@dataclass(frozen=True)
class Dtmf(Event):
    """A participant (SIP) pressed a key of the telephone."""

    kind = EventKind.DTMF
    user_id: str
    session_id: str  #: "" when it is not known
    digit: str  #: "0" to "9", "*", "#", "A" to "D"
    code: int  #: its number (RFC 4733): 0 to 15


@dataclass(frozen=True)
class IceServerEvent(Event):
    """A STUN or TURN server gave no address; once for each server and code in a call. The call goes on with the addresses
    that it has."""

    kind = EventKind.ICE_SERVER
    url: str  #: of the server, without credentials
    code: int  #: of its error response, for instance 401 or 486; 701: it was not reached
    text: str  #: what was found and what to do


@dataclass(frozen=True)
class UnknownEvent(Event):
    """An event of a kind that this version of the package does not know."""

    number: int  #: the kind


# Readers of the payloads, which get the milliseconds and the payload.

Reader = Callable[[int, Any], Event]


def _participant(kind: type[ParticipantEvent]) -> Reader:
    return lambda at, p: kind(at, participant_of(p))


def _track(kind: type[TrackEvent]) -> Reader:
    return lambda at, t: kind(at, track_info_of(t))


def _local_track(kind: type[LocalTrackEvent]) -> Reader:
    return lambda at, t: kind(at, t.track.id, Result(t.error), t.server_code, text(t.text))


def _joined(at: int, j: Any) -> Event:
    return Joined(at, text(j.session_id), j.join_ms, j.participants, j.anonymous_participants)


def _level(at: int, level: Any) -> Event:
    return AudioLevel(at, text(level.user_id), text(level.session_id), level.level, level.speaking != 0)


def _speaker(at: int, s: Any) -> Event:
    return DominantSpeaker(at, text(s.user_id), text(s.session_id))


def _quality(at: int, q: Any) -> Event:
    return ConnectionQualityChanged(at, text(q.user_id), text(q.session_id), ConnectionQuality(q.quality))


def _error(at: int, e: Any) -> Event:
    return ErrorEvent(at, Result(e.error), e.server_code, text(e.text))


def _ended(at: int, e: Any) -> Event:
    return Ended(at, EndReason(e.reason), Result(e.error), e.server_code, text(e.text))


def _reconnected(at: int, r: Any) -> Event:
    return Reconnected(at, text(r.session_id), r.elapsed_ms, ReconnectKind(r.kind), r.attempts)


def _custom(at: int, c: Any) -> Event:
    return CustomEvent(at, text(c.user_id), text(c.custom_type), text(c.data_json))


def _room(at: int, r: Any) -> Event:
    return RoomEvent(at, text(r.room_id), text(r.name), text(r.metadata), r.recording != 0)


def _data(at: int, d: Any) -> Event:
    data = bytes(ffi.buffer(d.data, d.data_size)) if d.data_size else b""
    return DataEvent(at, text(d.user_id), text(d.session_id), text(d.topic), data, d.lossy != 0)


def _text(at: int, t: Any) -> Event:
    return TextEvent(
        at, text(t.user_id), text(t.session_id), text(t.topic), text(t.text_id), text(t.text), text(t.attributes_json)
    )  # fmt: skip


def _text_part(at: int, t: Any) -> Event:
    return TextPart(
        at, text(t.user_id), text(t.session_id), text(t.topic), text(t.text_id), text(t.text), text(t.attributes_json),
        t.offset_bytes,
    )  # fmt: skip


def _request(at: int, r: Any) -> Event:
    return RpcRequest(at, text(r.request_id), text(r.user_id), text(r.method), text(r.payload), r.timeout_ms)


def _response(at: int, r: Any) -> Event:
    return RpcResponse(at, r.rpc_id, text(r.payload), text(r.text), r.error_code)


def _permission(at: int, s: Any) -> Event:
    return SubscriptionPermission(at, text(s.user_id), text(s.session_id), text(s.track_id), s.allowed != 0)


def _media(at: int, m: Any) -> Event:
    return MediaEvent(at, Direction(m.direction), m.connected != 0, text(m.text))


def _unsent(at: int, u: Any) -> Event:
    return Unsent(at, u.audio_ms, u.data_packets, u.texts, u.custom_events, u.rpc_answers, u.bytes)


def _unplayable(at: int, p: Any) -> Event:
    return UnplayableEvent(
        at, text(p.user_id), text(p.session_id), text(p.track_id), TrackSource(p.source), UnplayableReason(p.reason),
        text(p.text),
    )  # fmt: skip


def _dtmf(at: int, d: Any) -> Event:
    return Dtmf(at, text(d.user_id), text(d.session_id), text(d.digit), d.code)


def _ice_server(at: int, s: Any) -> Event:
    return IceServerEvent(at, text(s.url), s.code, text(s.text))


# For each kind the member of the union (None: it has none), and the reader of its payload.
_READ: dict[int, tuple[str | None, Reader]] = {
    EventKind.STATE: ("state", lambda at, s: StateChanged(at, CallState(s.state), CallState(s.previous))),
    EventKind.JOINED: ("joined", _joined),
    EventKind.TOKEN_NEEDED: (None, lambda at, _: TokenNeeded(at)),
    EventKind.PARTICIPANT_JOINED: ("participant", _participant(ParticipantJoined)),
    EventKind.PARTICIPANT_UPDATED: ("participant", _participant(ParticipantUpdated)),
    EventKind.PARTICIPANT_LEFT: ("participant", _participant(ParticipantLeft)),
    EventKind.TRACK_PUBLISHED: ("track", _track(TrackPublished)),
    EventKind.TRACK_UNPUBLISHED: ("track", _track(TrackUnpublished)),
    EventKind.AUDIO_LEVEL: ("audio_level", _level),
    EventKind.DOMINANT_SPEAKER: ("dominant_speaker", _speaker),
    EventKind.CONNECTION_QUALITY: ("connection_quality", _quality),
    EventKind.COUNTS: ("counts", lambda at, c: Counts(at, c.participants, c.anonymous_participants)),
    EventKind.RIGHTS: ("rights", lambda at, r: RightsChanged(at, Right(r.rights))),
    EventKind.PINS: ("pins", lambda at, p: Pins(at, tuple(pin_of(p.pins[i]) for i in range(p.pin_count)))),
    EventKind.LOCAL_TRACK_PUBLISHED: ("local_track", _local_track(LocalTrackPublished)),
    EventKind.LOCAL_TRACK_FAILED: ("local_track", _local_track(LocalTrackFailed)),
    EventKind.ERROR: ("error", _error),
    EventKind.LOST: ("lost", lambda at, n: Lost(at, n.total, n.data_packets, n.data_bytes, n.texts)),
    EventKind.AUDIO: ("audio", lambda at, a: AudioEvent(at, frame_of(a))),
    EventKind.ENDED: ("ended", _ended),
    EventKind.RECONNECTED: ("reconnected", _reconnected),
    EventKind.CUSTOM: ("custom", _custom),
    EventKind.ROOM: ("room", _room),
    EventKind.DATA: ("data", _data),
    EventKind.TEXT: ("text", _text),
    EventKind.RPC_REQUEST: ("rpc_request", _request),
    EventKind.RPC_RESPONSE: ("rpc_response", _response),
    EventKind.SUBSCRIPTION_PERMISSION: ("subscription_permission", _permission),
    EventKind.MEDIA: ("media", _media),
    EventKind.UNSENT: ("unsent", _unsent),
    EventKind.UNPLAYABLE: ("unplayable", _unplayable),
    EventKind.TEXT_PART: ("text_part", _text_part),
    EventKind.DTMF: ("dtmf", _dtmf),
    EventKind.ICE_SERVER: ("ice_server", _ice_server),
}


def event_of(raw: Any) -> Event:
    """Copies an oh_event, as far as header and library both know it."""
    event = known(raw)
    member, read = _READ.get(event.kind, (None, None))
    if read is None:
        return UnknownEvent(event.at_ms, event.kind)
    return read(event.at_ms, None if member is None else known(getattr(event.u, member)))
