"""enums.py: the constants of offhook.h, as enumerations of Python.

The values stand here as numbers, so that type checkers and editors know them; a test compares each with the header. A
number that a newer library sends and that is not known here becomes a member named UNKNOWN_n: it compares equal to the
number and breaks nothing.
"""

from __future__ import annotations

import enum

#: As a timeout in milliseconds: as long as it takes (OH_FOREVER).
FOREVER = 0xFFFFFFFF

#: As the option drain_ms: what was accepted and not sent yet is given up at once (OH_NO_DRAIN).
NO_DRAIN = 0xFFFFFFFF


class _Open(enum.IntEnum):
    """An enumeration to which later versions of the library may add."""

    @classmethod
    def _missing_(cls, value: object) -> _Open | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Result(_Open):
    """What a function says of itself: 0 is success, everything else a stable negative number that is never reused.
    oh_result_message gives its general meaning, oh_last_error the details of the last failure on the calling
    thread. (oh_result)"""

    #: OH_OK: Success.
    OK = 0
    #: OH_ERR_ARGUMENT: An argument is NULL, out of its range, not UTF-8, or does not fit the others.
    ARGUMENT = -1
    #: OH_ERR_HANDLE: The handle is none, stale (freed), forged or of another kind. Nothing happened.
    HANDLE = -2
    #: OH_ERR_STATE: Not possible in the state the object is in (for instance: the call is over).
    STATE = -3
    #: OH_ERR_CLOSED: The object was closed by the application.
    CLOSED = -4
    #: OH_ERR_FULL: A bounded queue is full; nothing was taken. Try again later.
    FULL = -5
    #: OH_ERR_TIMEOUT: A deadline passed.
    TIMEOUT = -6
    #: OH_ERR_WOULD_DEADLOCK: Waiting here would wait for itself: a _wait inside a callback of the same call.
    WOULD_DEADLOCK = -7
    #: OH_ERR_UNSUPPORTED: Not offered by this build, protocol or call.
    UNSUPPORTED = -8
    #: OH_ERR_NETWORK: A server could not be reached, or the connection was lost.
    NETWORK = -9
    #: OH_ERR_TLS: TLS failed: certificate, name or version.
    TLS = -10
    #: OH_ERR_REFUSED: The server refused; its own code and words are in the event or in oh_last_error.
    REFUSED = -11
    #: OH_ERR_PROTOCOL: A server answered with something that cannot be understood.
    PROTOCOL = -12
    #: OH_ERR_AUTH: The token is missing, expired or not accepted.
    AUTH = -13
    #: OH_ERR_CANCELLED: The application left, freed or shut down while this was going on.
    CANCELLED = -14
    #: OH_ERR_LIMIT: A limit of the system (descriptors, threads, memory) or of the configuration was reached.
    LIMIT = -15
    #: OH_ERR_INSECURE: Plain http or ws to an address that is not loopback; see oh_client_options.allow_insecure.
    INSECURE = -16
    #: OH_ERR_FORKED: This process was forked from one that uses the library; only exec may follow.
    FORKED = -17
    #: OH_ERR_MEDIA: A codec or the WebRTC engine failed.
    MEDIA = -18
    #: OH_ERR_INTERNAL: A defect of the library, contained to one object. Please report it.
    INTERNAL = -19
    #: OH_ERR_ABI: The size of a structure is not one that this library knows: header and library differ.
    ABI = -20
    #: OH_ERR_EMPTY: There is nothing to return right now.
    EMPTY = -21
    #: OH_ERR_BUFFER: The buffer given is too small.
    BUFFER = -22


class State(_Open):
    """Where a call is. (oh_state)"""

    #: OH_STATE_IDLE
    IDLE = 0
    #: OH_STATE_JOINING
    JOINING = 1
    #: OH_STATE_JOINED
    JOINED = 2
    #: OH_STATE_RECONNECTING
    RECONNECTING = 3
    #: OH_STATE_MIGRATING
    MIGRATING = 4
    #: OH_STATE_OFFLINE
    OFFLINE = 5
    #: OH_STATE_RECONNECTING_FAILED
    RECONNECTING_FAILED = 6
    #: OH_STATE_LEFT: Over; nothing follows but OH_EVENT_ENDED.
    LEFT = 7


class EndReason(_Open):
    """Why a call ended. (oh_end_reason)"""

    #: OH_END_LEFT: The application left or freed the call.
    LEFT = 0
    #: OH_END_CALL_ENDED: The call was ended for everybody.
    CALL_ENDED = 1
    #: OH_END_SESSION_ENDED: The livestream or session in it ended.
    SESSION_ENDED = 2
    #: OH_END_KICKED: This participant was removed.
    KICKED = 3
    #: OH_END_JOIN_FAILED: The join did not succeed; error, server_code and text tell why.
    JOIN_FAILED = 4
    #: OH_END_CONNECTION_LOST: The connection was lost.
    CONNECTION_LOST = 5
    #: OH_END_DISCONNECTED: The SFU told this client to disconnect.
    DISCONNECTED = 6
    #: OH_END_SHUTDOWN: oh_shutdown_wait.
    SHUTDOWN = 7
    #: OH_END_INTERNAL: A defect of the library, contained to this call.
    INTERNAL = 8
    #: OH_END_RECONNECT_LIMIT: More than ten reconnects within two minutes: the connection does not last.
    RECONNECT_LIMIT = 9
    #: OH_END_NEGOTIATION_FAILED: Offers of the SFU could not be answered, in three sessions one after the other.
    NEGOTIATION_FAILED = 10
    #: OH_END_NETWORK_UNSUPPORTED: Peer connections never come up on this network (is UDP allowed?).
    NETWORK_UNSUPPORTED = 11
    #: OH_END_RECONNECT_REFUSED: This participant is not let in again: the token has expired, the call is gone, or
    #: it is refused.
    RECONNECT_REFUSED = 12
    #: OH_END_REPLACED: Somebody else has joined as this participant.
    REPLACED = 13


class EventKind(_Open):
    """What an event is about; tells which member of the union holds. More may be added: ignore what you do not
    know. (oh_event_kind)"""

    #: OH_EVENT_STATE: state: the call is in another state.
    STATE = 1
    #: OH_EVENT_JOINED: joined: the SFU has let this participant in; OH_EVENT_MEDIA says when
    #: media of a direction flows.
    JOINED = 2
    #: OH_EVENT_TOKEN_NEEDED: No member: a token is needed; answer with oh_call_provide_token within 30 s.
    TOKEN_NEEDED = 3
    #: OH_EVENT_PARTICIPANT_JOINED: participant: a participant joined; on join sent once for everybody
    #: already present.
    PARTICIPANT_JOINED = 4
    #: OH_EVENT_PARTICIPANT_UPDATED: participant: something about a participant changed; with `local`
    #: about the local one.
    PARTICIPANT_UPDATED = 5
    #: OH_EVENT_PARTICIPANT_LEFT: participant: somebody is gone.
    PARTICIPANT_LEFT = 6
    #: OH_EVENT_TRACK_PUBLISHED: track: a participant published a track, once, muted or not, and again each
    #: time it is unmuted; with `local`: a moderator unmuted a local track.
    TRACK_PUBLISHED = 7
    #: OH_EVENT_TRACK_UNPUBLISHED: track: a participant's track ended (or was muted; see cause).
    TRACK_UNPUBLISHED = 8
    #: OH_EVENT_AUDIO_LEVEL: level: how loud a participant is now.
    AUDIO_LEVEL = 9
    #: OH_EVENT_DOMINANT_SPEAKER: level: who speaks most; only the names hold.
    DOMINANT_SPEAKER = 10
    #: OH_EVENT_CONNECTION_QUALITY: quality: how well a participant is connected.
    CONNECTION_QUALITY = 11
    #: OH_EVENT_COUNTS: counts: how many are in the call, by the SFU's count.
    COUNTS = 12
    #: OH_EVENT_GRANTS: grants: what this participant may send.
    GRANTS = 13
    #: OH_EVENT_PINS: pins: the pinned participants.
    PINS = 14
    #: OH_EVENT_LOCAL_PUBLISHED: local: a track of mine is on the air.
    LOCAL_PUBLISHED = 15
    #: OH_EVENT_LOCAL_FAILED: local: a track of mine could not be published, or not any more; error tells why.
    LOCAL_FAILED = 16
    #: OH_EVENT_ERROR: error: something failed that does not end the call.
    ERROR = 17
    #: OH_EVENT_LOST: lost: events were dropped here because the application was too slow to take them.
    LOST = 18
    #: OH_EVENT_AUDIO: audio: sound of a participant; in pull mode only (else see oh_audio_handler).
    AUDIO = 19
    #: OH_EVENT_ENDED: ended: the call is over. The one terminal event, the last of all.
    ENDED = 20
    #: OH_EVENT_RECONNECTED: reconnected: the connection was lost and is back; state JOINED came just before.
    RECONNECTED = 21
    #: OH_EVENT_CUSTOM: custom: somebody, or the application's server, told everyone who watches the call; only
    #: with oh_client_options.events. May come before OH_EVENT_JOINED. One's own come back, too.
    CUSTOM = 22
    #: OH_EVENT_ROOM: room: the room, at the join and when it has changed (OH_CAP_ROOM).
    ROOM = 23
    #: OH_EVENT_DATA: data: a packet of another participant, or of the application's server (OH_CAP_DATA).
    DATA = 24
    #: OH_EVENT_TEXT: text: a text of another participant, put together (OH_CAP_TEXT).
    TEXT = 25
    #: OH_EVENT_RPC_REQUEST: rpc: another participant calls a procedure; answer with oh_call_rpc_answer
    #: (OH_CAP_RPC).
    RPC_REQUEST = 26
    #: OH_EVENT_RPC_RESPONSE: rpc: what became of an oh_call_rpc; exactly one for each, before OH_EVENT_ENDED at
    #: the latest.
    RPC_RESPONSE = 27
    #: OH_EVENT_SUBSCRIBABLE: subscribable: a track cannot be had any more, or again (OH_CAP_SUBSCRIPTIONS).
    SUBSCRIBABLE = 28
    #: OH_EVENT_MEDIA: media: media of one direction is connected, or was lost.
    MEDIA = 29
    #: OH_EVENT_UNSENT: unsent: the call has ended before everything that was accepted could be sent; comes before
    #: OH_EVENT_ENDED, at most once.
    UNSENT = 30
    #: OH_EVENT_UNPLAYABLE: unplayable: media or data of a participant arrives that cannot be decoded; once for each
    #: track (of data: participant) and reason.
    UNPLAYABLE = 31
    #: OH_EVENT_TEXT_PART: text_part: a piece of a text that is still arriving; only with the option partial_texts.
    #: The whole text follows as OH_EVENT_TEXT.
    TEXT_PART = 32
    #: OH_EVENT_DTMF: dtmf: a participant (of SIP) pressed a key of the telephone.
    DTMF = 33


class ParticipantKind(_Open):
    """What kind of participant it is. (oh_participant_kind)"""

    #: OH_PARTICIPANT_STANDARD: A person with a client, or a program that joined as one.
    STANDARD = 0
    #: OH_PARTICIPANT_INGRESS: A stream that is fed into the call (RTMP, WHIP).
    INGRESS = 1
    #: OH_PARTICIPANT_EGRESS: A stream or recording that is made of the call.
    EGRESS = 2
    #: OH_PARTICIPANT_SIP: A telephone.
    SIP = 3
    #: OH_PARTICIPANT_AGENT: A program that acts by itself.
    AGENT = 4
    #: OH_PARTICIPANT_RECORDER: Records the call.
    RECORDER = 5
    #: OH_PARTICIPANT_OTHER: Of a kind that this version does not know.
    OTHER = 6


class LeaveReason(_Open):
    """Why a participant left. (oh_leave_reason)"""

    #: OH_LEAVE_UNKNOWN: Not said by the server.
    UNKNOWN = 0
    #: OH_LEAVE_CLIENT: By its own decision.
    CLIENT = 1
    #: OH_LEAVE_REPLACED: Another client joined as the same participant.
    REPLACED = 2
    #: OH_LEAVE_SERVER_SHUTDOWN: Its server shut down.
    SERVER_SHUTDOWN = 3
    #: OH_LEAVE_REMOVED: It was removed.
    REMOVED = 4
    #: OH_LEAVE_ROOM_DELETED: The room was deleted.
    ROOM_DELETED = 5
    #: OH_LEAVE_STATE_MISMATCH: Server and client did not agree about its session.
    STATE_MISMATCH = 6
    #: OH_LEAVE_JOIN_FAILURE: It did not get in.
    JOIN_FAILURE = 7
    #: OH_LEAVE_MIGRATION: It went on to another server.
    MIGRATION = 8
    #: OH_LEAVE_SIGNAL_CLOSE: Its signalling connection was lost.
    SIGNAL_CLOSE = 9
    #: OH_LEAVE_ROOM_CLOSED: The room was closed.
    ROOM_CLOSED = 10
    #: OH_LEAVE_USER_UNAVAILABLE: SIP: the callee did not answer.
    USER_UNAVAILABLE = 11
    #: OH_LEAVE_USER_REJECTED: SIP: the callee declined.
    USER_REJECTED = 12
    #: OH_LEAVE_SIP_TRUNK_FAILURE: SIP: the trunk failed.
    SIP_TRUNK_FAILURE = 13
    #: OH_LEAVE_CONNECTION_TIMEOUT: Its connection timed out.
    CONNECTION_TIMEOUT = 14
    #: OH_LEAVE_MEDIA_FAILURE: Its media failed.
    MEDIA_FAILURE = 15
    #: OH_LEAVE_AGENT_ERROR: The agent failed.
    AGENT_ERROR = 16


class Right(enum.IntFlag):
    """Rights of a participant. (oh_right)"""

    #: OH_RIGHT_AUDIO: May publish audio of a microphone.
    AUDIO = 1
    #: OH_RIGHT_VIDEO: May publish video of a camera.
    VIDEO = 2
    #: OH_RIGHT_SCREEN_SHARE: May publish the screen and its audio.
    SCREEN_SHARE = 4
    #: OH_RIGHT_DATA: May send data, texts and procedure calls.
    DATA = 8
    #: OH_RIGHT_SUBSCRIBE: May receive tracks.
    SUBSCRIBE = 16
    #: OH_RIGHT_UPDATE_METADATA: May change its own name, metadata and attributes.
    UPDATE_METADATA = 32
    #: OH_RIGHT_HIDDEN: Is not visible to others.
    HIDDEN = 64
    #: OH_RIGHT_RECORDER: Records the call.
    RECORDER = 128


class Direction(_Open):
    """Direction of media, seen from here. (oh_direction)"""

    #: OH_DIRECTION_SEND: What is published.
    SEND = 1
    #: OH_DIRECTION_RECEIVE: What is received.
    RECEIVE = 2


class UnplayableReason(_Open):
    """Why something that arrived cannot be decoded. (oh_unplayable)"""

    #: OH_UNPLAYABLE_ENCRYPTED: The track is encrypted end to end.
    ENCRYPTED = 1
    #: OH_UNPLAYABLE_CODEC: Its codec is not supported.
    CODEC = 2
    #: OH_UNPLAYABLE_UNASSIGNED: The stream cannot be assigned to a track of a participant.
    UNASSIGNED = 3
    #: OH_UNPLAYABLE_PAYLOAD_TYPE: Its payload type was not negotiated.
    PAYLOAD_TYPE = 4
    #: OH_UNPLAYABLE_DATA_ENCRYPTED: Data or a text is encrypted end to end.
    DATA_ENCRYPTED = 5


class AudioFormat(_Open):
    """Form of sound. (oh_audio_format)"""

    #: OH_AUDIO_S16: Interleaved 16-bit integers in the machine's byte order.
    S16 = 0
    #: OH_AUDIO_F32: Interleaved 32-bit floats, -1.0 to 1.0.
    F32 = 1
    #: OH_AUDIO_OPUS: Opus packets (RFC 6716), 48 kHz clock.
    OPUS = 2


class TrackKind(_Open):
    """What a track carries. (oh_track_kind)"""

    #: OH_TRACK_AUDIO
    AUDIO = 1
    #: OH_TRACK_VIDEO
    VIDEO = 2
    #: OH_TRACK_SCREEN_SHARE
    SCREEN_SHARE = 3
    #: OH_TRACK_SCREEN_SHARE_AUDIO
    SCREEN_SHARE_AUDIO = 4


class LogLevel(_Open):
    """Levels of log lines, most important first. (oh_log_level)"""

    #: OH_LOG_OFF
    OFF = 0
    #: OH_LOG_ERROR
    ERROR = 1
    #: OH_LOG_WARN
    WARN = 2
    #: OH_LOG_INFO
    INFO = 3
    #: OH_LOG_DEBUG
    DEBUG = 4
    #: OH_LOG_TRACE
    TRACE = 5


class ReconnectKind(_Open):
    """How a lost connection was found again. (oh_reconnect)"""

    #: OH_RECONNECT_FAST: A new socket for the same session; sound went on meanwhile.
    FAST = 2
    #: OH_RECONNECT_REJOIN: A new session; what was published is published again.
    REJOIN = 3
    #: OH_RECONNECT_MIGRATE: Another edge of the SFU, the old one played until it took over.
    MIGRATE = 4


class Network(_Open):
    """What happened to the machine's network. (oh_network)"""

    #: OH_NETWORK_OFFLINE: There is none: calls stop trying and wait, in OH_STATE_OFFLINE.
    OFFLINE = 0
    #: OH_NETWORK_ONLINE: It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
    ONLINE = 1
    #: OH_NETWORK_CHANGED: It is another one (other addresses): calls reconnect with new sockets.
    CHANGED = 2


class Protocol(_Open):
    """The protocol of an SFU. (oh_protocol)"""

    #: OH_PROTOCOL_STREAM: Stream Video's, which the development SFU speaks as well.
    STREAM = 0
    #: OH_PROTOCOL_LIVEKIT: LiveKit's, of the open server and its cluster. Tokens are made by the application's
    #: server, or with oh_access_token.
    LIVEKIT = 1


class Capability(enum.IntFlag):
    """What only some protocols have; bits of oh_call_capabilities. A function that needs one which the call's
    protocol lacks gives OH_ERR_UNSUPPORTED and says so in oh_last_error. (oh_capability)"""

    #: OH_CAP_CUSTOM_EVENTS: oh_call_send_custom, OH_EVENT_CUSTOM.
    CUSTOM_EVENTS = 1
    #: OH_CAP_RING: oh_call_options: ring, notify, data_json, no_create; else they are ignored.
    RING = 2
    #: OH_CAP_PINS: OH_EVENT_PINS.
    PINS = 4
    #: OH_CAP_DOMINANT_SPEAKER: OH_EVENT_DOMINANT_SPEAKER.
    DOMINANT_SPEAKER = 8
    #: OH_CAP_MIGRATE: OH_STATE_MIGRATING: an SFU hands its participants over while media flows.
    MIGRATE = 16
    #: OH_CAP_DATA: oh_call_send_data, OH_EVENT_DATA.
    DATA = 32
    #: OH_CAP_TEXT: oh_call_send_text, OH_EVENT_TEXT.
    TEXT = 64
    #: OH_CAP_RPC: oh_call_rpc, OH_EVENT_RPC_REQUEST.
    RPC = 128
    #: OH_CAP_ATTRIBUTES: oh_call_set_attributes, and the metadata and attributes of participants.
    ATTRIBUTES = 256
    #: OH_CAP_ROOM: OH_EVENT_ROOM.
    ROOM = 512
    #: OH_CAP_SUBSCRIPTIONS: oh_subscriber_set_track, oh_call_options.no_auto_subscribe, OH_EVENT_SUBSCRIBABLE.
    SUBSCRIPTIONS = 1024


class Layer(_Open):
    """A layer of simulcast video. (oh_layer)"""

    #: OH_LAYER_HIGH: As good as the network allows.
    HIGH = 0
    #: OH_LAYER_MEDIUM
    MEDIUM = 1
    #: OH_LAYER_LOW
    LOW = 2


class RpcErrorCode(_Open):
    """Why a procedure call failed, as far as clients themselves find out; applications add codes of their own from
    1 to 999 and from 2000 on. (oh_rpc_error)"""

    #: OH_RPC_UNSUPPORTED_METHOD: The other participant has no such procedure.
    UNSUPPORTED_METHOD = 1400
    #: OH_RPC_RECIPIENT_NOT_FOUND: Who is called is not in the call.
    RECIPIENT_NOT_FOUND = 1401
    #: OH_RPC_REQUEST_TOO_LARGE: The payload is too long for the other side.
    REQUEST_TOO_LARGE = 1402
    #: OH_RPC_UNSUPPORTED_VERSION: The other side speaks another version of procedure calls.
    UNSUPPORTED_VERSION = 1404
    #: OH_RPC_APPLICATION: The procedure failed.
    APPLICATION = 1500
    #: OH_RPC_CONNECTION_TIMEOUT: The other participant did not confirm the request within 7 s: it is not here, or
    #: does not hear.
    CONNECTION_TIMEOUT = 1501
    #: OH_RPC_RESPONSE_TIMEOUT: It has the request, and did not answer in time.
    RESPONSE_TIMEOUT = 1502
    #: OH_RPC_RECIPIENT_DISCONNECTED: It left.
    RECIPIENT_DISCONNECTED = 1503
    #: OH_RPC_RESPONSE_TOO_LARGE: Its answer was too long.
    RESPONSE_TOO_LARGE = 1504
    #: OH_RPC_SEND_FAILED: The request was not sent: the call has ended, or too many are under way.
    SEND_FAILED = 1505
