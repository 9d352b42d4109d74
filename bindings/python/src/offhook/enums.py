"""enums.py: the constants of offhook.h as enumerations.

The values stand here as numbers for type checkers and editors; a test compares each of them with the header. A value
that only a newer library has becomes a member named UNKNOWN_n, equal to the number.
"""

from __future__ import annotations

import enum

#: As a timeout in milliseconds: no limit (OH_FOREVER).
FOREVER = 0xFFFFFFFF


class _Open(enum.IntEnum):
    """An enumeration to which newer libraries may add values."""

    @classmethod
    def _missing_(cls, value: object) -> _Open | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Result(_Open):
    """The result of a function: 0 is success, everything else a negative number. Numbers are never changed or
    reused; later versions have more. oh_result_get_message has the general meaning, oh_get_last_error the details
    of the last failure on the calling thread. (oh_result)"""

    #: OH_OK: Success.
    OK = 0
    #: OH_ERR_ARGUMENT: An argument is NULL, out of its range, not UTF-8, or does not fit the others.
    ARGUMENT = -1
    #: OH_ERR_HANDLE: The handle is none, stale (freed), forged or of another kind. Nothing happened.
    HANDLE = -2
    #: OH_ERR_STATE: Not possible in the present state (for instance: the call is over).
    STATE = -3
    #: OH_ERR_CLOSED: The object was closed by the application.
    CLOSED = -4
    #: OH_ERR_FULL: A bounded queue is full; nothing was taken. Try again later.
    FULL = -5
    #: OH_ERR_TIMEOUT: The timeout expired.
    TIMEOUT = -6
    #: OH_ERR_WOULD_DEADLOCK: Waiting here would wait for itself: a `_wait` function inside a callback of the same
    #: call.
    WOULD_DEADLOCK = -7
    #: OH_ERR_UNSUPPORTED: Not supported by this build, protocol or call.
    UNSUPPORTED = -8
    #: OH_ERR_NETWORK: A server could not be reached, or the connection was lost.
    NETWORK = -9
    #: OH_ERR_TLS: TLS failed: certificate, name or version.
    TLS = -10
    #: OH_ERR_REFUSED: The server refused; the event or oh_get_last_error has its own code and text.
    REFUSED = -11
    #: OH_ERR_PROTOCOL: The server's answer is not valid.
    PROTOCOL = -12
    #: OH_ERR_AUTH: The token is missing, expired or not accepted.
    AUTH = -13
    #: OH_ERR_CANCELLED: The application left, freed or shut down meanwhile.
    CANCELLED = -14
    #: OH_ERR_LIMIT: A limit of the system (descriptors, threads, memory) or of the configuration was reached.
    LIMIT = -15
    #: OH_ERR_INSECURE: Plain http or ws to an address that is not loopback, or a host that a server must not name;
    #: see oh_client_options.allow_insecure and allow_other_hosts.
    INSECURE = -16
    #: OH_ERR_FORKED: This process was forked from one that uses the library; only exec may follow.
    FORKED = -17
    #: OH_ERR_MEDIA: A codec or the WebRTC engine failed.
    MEDIA = -18
    #: OH_ERR_INTERNAL: A defect of the library, contained to one object. Please report it.
    INTERNAL = -19
    #: OH_ERR_ABI: A structure's `size` is wrong, or it sets members that this library does not have: header and
    #: library differ. oh_get_last_error names the structure.
    ABI = -20
    #: OH_ERR_EMPTY: Nothing is available right now.
    EMPTY = -21
    #: OH_ERR_BUFFER: The buffer given is too small.
    BUFFER = -22


class CallState(_Open):
    """The state of a call. (oh_call_state)"""

    #: OH_STATE_IDLE: Not started: between oh_call_join and the first attempt.
    IDLE = 0
    #: OH_STATE_JOINING: Joining: admission, signalling, peer connections.
    JOINING = 1
    #: OH_STATE_JOINED: Joined: media can flow.
    JOINED = 2
    #: OH_STATE_RECONNECTING: Connection lost; reconnecting.
    RECONNECTING = 3
    #: OH_STATE_MIGRATING: The SFU moves this participant to another edge; media flows over the old one until then.
    MIGRATING = 4
    #: OH_STATE_OFFLINE: The machine has no network; the call waits for it.
    OFFLINE = 5
    #: OH_STATE_RECONNECTING_FAILED: Reconnecting failed; OH_STATE_LEFT follows at once.
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
    #: OH_END_JOIN_FAILED: The join failed; see error, server_code and text.
    JOIN_FAILED = 4
    #: OH_END_CONNECTION_LOST: The connection was lost, and reconnecting failed.
    CONNECTION_LOST = 5
    #: OH_END_DISCONNECTED: The SFU disconnected this client.
    DISCONNECTED = 6
    #: OH_END_SHUTDOWN: oh_shutdown_wait.
    SHUTDOWN = 7
    #: OH_END_INTERNAL: A defect of the library, contained to this call.
    INTERNAL = 8
    #: OH_END_RECONNECT_LIMIT: More than ten reconnects within two minutes.
    RECONNECT_LIMIT = 9
    #: OH_END_NEGOTIATION_FAILED: Offers of the SFU could not be answered, in three consecutive sessions.
    NEGOTIATION_FAILED = 10
    #: OH_END_NETWORK_UNSUPPORTED: Peer connections cannot be established on this network; `text` has what was tried
    #: and found: candidates and pairs by type, TURN servers without a relay, whether anything was received.
    NETWORK_UNSUPPORTED = 11
    #: OH_END_RECONNECT_REFUSED: A reconnect was refused: the token has expired, the call is gone, or access was
    #: denied.
    RECONNECT_REFUSED = 12
    #: OH_END_REPLACED: Another client joined as this participant.
    REPLACED = 13


class EventKind(_Open):
    """Kind of an event: which member of oh_event.u is set. Later versions have more: skip the kinds that you do not
    know. (oh_event_kind)"""

    #: OH_EVENT_STATE: `state`: the call is in another state.
    STATE = 1
    #: OH_EVENT_JOINED: `joined`: the SFU admitted this participant; peer connections are being made. Media of a
    #: direction flows once OH_EVENT_MEDIA says that it is connected.
    JOINED = 2
    #: OH_EVENT_TOKEN_NEEDED: No member: a token is needed. Answer with oh_call_provide_token within 30 s.
    TOKEN_NEEDED = 3
    #: OH_EVENT_PARTICIPANT_JOINED: `participant`: a participant joined. On join, sent once for everyone already
    #: present. Where one identity is in a call only once (OH_PROTOCOL_LIVEKIT), OH_EVENT_PARTICIPANT_LEFT of the
    #: replaced session comes before.
    PARTICIPANT_JOINED = 4
    #: OH_EVENT_PARTICIPANT_UPDATED: `participant`: a participant changed. With `local`: the local participant, once
    #: after each join (as the token describes it) and whenever the server changes it.
    PARTICIPANT_UPDATED = 5
    #: OH_EVENT_PARTICIPANT_LEFT: `participant`: a participant left; see leave_reason. Also sent for those who left
    #: while the connection was lost. OH_EVENT_TRACK_UNPUBLISHED of their tracks came before, and procedure calls to
    #: them have failed.
    PARTICIPANT_LEFT = 6
    #: OH_EVENT_TRACK_PUBLISHED: `track`: a participant published a track, muted or not: once, and again each time
    #: it is unmuted. With `local`: a moderator unmuted a local track. Packets are sent only after this event was
    #: delivered: when the callback has returned, or the pulled event was freed.
    TRACK_PUBLISHED = 7
    #: OH_EVENT_TRACK_UNPUBLISHED: `track`: a track ended, or was muted (`muted` is true, cause OH_UNPUBLISH_MUTED):
    #: then it still exists, and its end is sent as well. With `local`: a moderator muted a local track. All audio
    #: of the track is delivered before this event, none after it until the track is published again.
    TRACK_UNPUBLISHED = 8
    #: OH_EVENT_AUDIO_LEVEL: `audio_level`: how loud a participant is.
    AUDIO_LEVEL = 9
    #: OH_EVENT_DOMINANT_SPEAKER: `dominant_speaker`: another participant speaks most.
    DOMINANT_SPEAKER = 10
    #: OH_EVENT_CONNECTION_QUALITY: `connection_quality`: how well a participant is connected.
    CONNECTION_QUALITY = 11
    #: OH_EVENT_COUNTS: `counts`: the number of participants.
    COUNTS = 12
    #: OH_EVENT_RIGHTS: `rights`: what the local participant may do, on join and whenever it changes. From then on,
    #: functions whose right is missing return OH_ERR_REFUSED.
    RIGHTS = 13
    #: OH_EVENT_PINS: `pins`: the pinned participants.
    PINS = 14
    #: OH_EVENT_LOCAL_TRACK_PUBLISHED: `local_track`: local track published; again after each reconnect that made a
    #: new session.
    LOCAL_TRACK_PUBLISHED = 15
    #: OH_EVENT_LOCAL_TRACK_FAILED: `local_track`: a local track could not be published, or is not published any
    #: more.
    LOCAL_TRACK_FAILED = 16
    #: OH_EVENT_ERROR: `error`: something failed that does not end the call.
    ERROR = 17
    #: OH_EVENT_LOST: `lost`: events are missing here, because the application did not take them in time. Packets
    #: and texts of participants wait for the application without being dropped; they are missing when a connection
    #: ended before they were taken, or when a text was never completed.
    LOST = 18
    #: OH_EVENT_AUDIO: `audio`: audio of a track; in pull mode only (else see oh_audio_handler).
    AUDIO = 19
    #: OH_EVENT_ENDED: `ended`: the call is over. Exactly one, the last event of a call.
    ENDED = 20
    #: OH_EVENT_RECONNECTED: `reconnected`: the connection was lost and is made again; state JOINED came just
    #: before.
    RECONNECTED = 21
    #: OH_EVENT_CUSTOM: `custom`: custom event from a participant or your backend. Your own are echoed. Only with
    #: oh_client_options.receive_custom_events. Can come before OH_EVENT_JOINED.
    CUSTOM = 22
    #: OH_EVENT_ROOM: `room`: the room, on join and when it changed (OH_CAP_ROOM).
    ROOM = 23
    #: OH_EVENT_DATA: `data`: a packet from a participant, or from the application's server (OH_CAP_DATA).
    DATA = 24
    #: OH_EVENT_TEXT: `text`: a complete text from a participant (OH_CAP_TEXT).
    TEXT = 25
    #: OH_EVENT_RPC_REQUEST: `rpc_request`: a participant calls a procedure; answer with oh_call_answer_rpc
    #: (OH_CAP_RPC).
    RPC_REQUEST = 26
    #: OH_EVENT_RPC_RESPONSE: `rpc_response`: result of oh_call_perform_rpc; exactly one for each, before
    #: OH_EVENT_ENDED at the latest.
    RPC_RESPONSE = 27
    #: OH_EVENT_SUBSCRIPTION_PERMISSION: `subscription_permission`: permission to subscribe to a track was revoked
    #: or restored (OH_CAP_SUBSCRIPTIONS).
    SUBSCRIPTION_PERMISSION = 28
    #: OH_EVENT_MEDIA: `media`: media of one direction was connected, or lost; once for each change. Sending is
    #: connected when something is published (a track, or data), receiving when the SFU has something to send, or at
    #: the join. A direction that the application closes is not reported as lost, and the end of the call is
    #: OH_EVENT_ENDED.
    MEDIA = 29
    #: OH_EVENT_UNSENT: `unsent`: the call ended before everything that was accepted could be sent; before
    #: OH_EVENT_ENDED, at most once.
    UNSENT = 30
    #: OH_EVENT_UNPLAYABLE: `unplayable`: media or data of a participant cannot be decoded; once for each track
    #: (data: participant) and reason.
    UNPLAYABLE = 31
    #: OH_EVENT_TEXT_PART: `text_part`: a part of a text that is still arriving; only with
    #: oh_call_options.text_parts. The complete text follows as OH_EVENT_TEXT, or OH_EVENT_LOST counts it.
    TEXT_PART = 32
    #: OH_EVENT_DTMF: `dtmf`: a participant (SIP) pressed a key of the telephone.
    DTMF = 33
    #: OH_EVENT_ICE_SERVER: `ice_server`: a STUN or TURN server gave no address: it was not reached, or refused. Once
    #: for each server and code in a call. The call goes on with the addresses that it has.
    ICE_SERVER = 34


class ParticipantKind(_Open):
    """What kind of participant it is. (oh_participant_kind)"""

    #: OH_PARTICIPANT_STANDARD: A person with a client, or a program that joined as one.
    STANDARD = 0
    #: OH_PARTICIPANT_INGRESS: A stream that is ingested into the call (RTMP, WHIP).
    INGRESS = 1
    #: OH_PARTICIPANT_EGRESS: A recording or a stream of the call.
    EGRESS = 2
    #: OH_PARTICIPANT_SIP: A telephone (SIP).
    SIP = 3
    #: OH_PARTICIPANT_AGENT: An agent: a program that acts by itself.
    AGENT = 4
    #: OH_PARTICIPANT_RECORDER: Records the call.
    RECORDER = 5
    #: OH_PARTICIPANT_OTHER: Of a kind that this version does not know.
    OTHER = 6


class ConnectionQuality(_Open):
    """How well a participant is connected, as measured by the SFU. (oh_connection_quality)"""

    #: OH_QUALITY_UNKNOWN: Not measured.
    UNKNOWN = 0
    #: OH_QUALITY_POOR: Media is impaired.
    POOR = 1
    #: OH_QUALITY_GOOD: Some loss or delay.
    GOOD = 2
    #: OH_QUALITY_EXCELLENT: No impairment.
    EXCELLENT = 3
    #: OH_QUALITY_LOST: The SFU receives nothing from the participant.
    LOST = 4


class LeaveReason(_Open):
    """Why a participant left. (oh_leave_reason)"""

    #: OH_LEAVE_UNKNOWN: It has not left, or the server did not say.
    UNKNOWN = 0
    #: OH_LEAVE_CLIENT: It left by itself.
    CLIENT = 1
    #: OH_LEAVE_REPLACED: Another client joined as the same participant.
    REPLACED = 2
    #: OH_LEAVE_SERVER_SHUTDOWN: Its server shut down.
    SERVER_SHUTDOWN = 3
    #: OH_LEAVE_REMOVED: It was removed.
    REMOVED = 4
    #: OH_LEAVE_ROOM_DELETED: The room was deleted.
    ROOM_DELETED = 5
    #: OH_LEAVE_STATE_MISMATCH: Server and client disagreed about its session.
    STATE_MISMATCH = 6
    #: OH_LEAVE_JOIN_FAILURE: Its join failed.
    JOIN_FAILURE = 7
    #: OH_LEAVE_MIGRATION: It moved to another server.
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
    """What a participant may do, and two marks; bits of oh_rights. (oh_right)"""

    #: OH_RIGHT_AUDIO: May publish audio of a microphone.
    AUDIO = 1
    #: OH_RIGHT_VIDEO: May publish video of a camera.
    VIDEO = 2
    #: OH_RIGHT_SCREEN_SHARE: May publish a screen and its audio.
    SCREEN_SHARE = 4
    #: OH_RIGHT_DATA: May send data, texts and procedure calls.
    DATA = 8
    #: OH_RIGHT_SUBSCRIBE: May receive tracks.
    SUBSCRIBE = 16
    #: OH_RIGHT_SET_ATTRIBUTES: May change its own name, metadata and attributes (oh_call_set_attributes).
    SET_ATTRIBUTES = 32
    #: OH_RIGHT_HIDDEN: No right: the participant is not visible to others.
    HIDDEN = 64
    #: OH_RIGHT_RECORDER: No right: the participant records the call.
    RECORDER = 128


class TrackSource(_Open):
    """What a track carries, and from where. (oh_track_source)"""

    #: OH_SOURCE_UNKNOWN: Not known; data and texts have no source.
    UNKNOWN = 0
    #: OH_SOURCE_MICROPHONE: Audio of a microphone.
    MICROPHONE = 1
    #: OH_SOURCE_CAMERA: Video of a camera.
    CAMERA = 2
    #: OH_SOURCE_SCREEN_SHARE: Video of a shared screen.
    SCREEN_SHARE = 3
    #: OH_SOURCE_SCREEN_SHARE_AUDIO: Audio of a shared screen.
    SCREEN_SHARE_AUDIO = 4


class UnpublishCause(_Open):
    """Why a track ended or was muted. (oh_unpublish_cause)"""

    #: OH_UNPUBLISH_UNKNOWN: The server did not say.
    UNKNOWN = 0
    #: OH_UNPUBLISH_MUTED: Its participant muted it.
    MUTED = 1
    #: OH_UNPUBLISH_PERMISSION_REVOKED: Its participant lost the right to publish it.
    PERMISSION_REVOKED = 2
    #: OH_UNPUBLISH_MODERATION: A moderator muted or removed it.
    MODERATION = 3


class Direction(_Open):
    """Direction of media, seen from the local participant. (oh_direction)"""

    #: OH_DIRECTION_SEND: Published media.
    SEND = 1
    #: OH_DIRECTION_RECEIVE: Received media.
    RECEIVE = 2


class UnplayableReason(_Open):
    """Why received media or data cannot be decoded. (oh_unplayable_reason)"""

    #: OH_UNPLAYABLE_NONE: It can, as far as is known.
    NONE = 0
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


class IpFamily(_Open):
    """Which IP addresses media uses. (oh_ip_family)"""

    #: OH_IP_ANY: IPv4 and IPv6.
    ANY = 0
    #: OH_IP_V4: IPv4 only.
    V4 = 1
    #: OH_IP_V6: IPv6 only.
    V6 = 2


class AudioFormat(_Open):
    """Format of audio. (oh_audio_format)"""

    #: OH_AUDIO_S16: Interleaved 16-bit integers in the machine's byte order.
    S16 = 0
    #: OH_AUDIO_F32: Interleaved 32-bit floats, -1.0 to 1.0.
    F32 = 1
    #: OH_AUDIO_OPUS: Opus packets (RFC 6716), 48 kHz clock.
    OPUS = 2


class LogLevel(_Open):
    """Levels of log lines, most important first. (oh_log_level)"""

    #: OH_LOG_OFF: Nothing is logged.
    OFF = 0
    #: OH_LOG_ERROR: A defect of the library, contained to one object.
    ERROR = 1
    #: OH_LOG_WARN: A failure in a call, as reported by OH_EVENT_ERROR and OH_EVENT_LOCAL_TRACK_FAILED.
    WARN = 2
    #: OH_LOG_INFO: States and ends of calls; ICE servers that gave no address; changes of the network.
    INFO = 3
    #: OH_LOG_DEBUG: Details, and what was dropped because it came late.
    DEBUG = 4
    #: OH_LOG_TRACE: Every message.
    TRACE = 5


class ReconnectKind(_Open):
    """How a lost connection was made again. (oh_reconnect_kind)"""

    #: OH_RECONNECT_FAST: A new socket for the same session; media continued meanwhile.
    FAST = 2
    #: OH_RECONNECT_REJOIN: A new session; local tracks were published again.
    REJOIN = 3
    #: OH_RECONNECT_MIGRATE: Another edge of the SFU; media flowed over the old one until then.
    MIGRATE = 4


class NetworkChange(_Open):
    """A change of the machine's network. (oh_network_change)"""

    #: OH_NETWORK_OFFLINE: There is no network: calls stop retrying and wait, in OH_STATE_OFFLINE.
    OFFLINE = 1
    #: OH_NETWORK_ONLINE: It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
    ONLINE = 2
    #: OH_NETWORK_CHANGED: It is another one (other addresses): calls reconnect with new sockets.
    CHANGED = 3


class Protocol(_Open):
    """The protocol of a service. (oh_protocol)"""

    #: OH_PROTOCOL_AUTO: By the URL: wss:// and ws:// mean OH_PROTOCOL_LIVEKIT, https:// and http://
    #: OH_PROTOCOL_STREAM.
    AUTO = 0
    #: OH_PROTOCOL_STREAM: Stream Video, also spoken by the development SFU.
    STREAM = 1
    #: OH_PROTOCOL_LIVEKIT: LiveKit: the open server and its cluster. Tokens are made by the application's server,
    #: or with oh_access_token_create.
    LIVEKIT = 2


class Capability(enum.IntFlag):
    """What only some protocols have; bits of oh_capabilities. A function that needs a capability which the call's
    protocol lacks returns OH_ERR_UNSUPPORTED and says so in oh_get_last_error. (oh_capability)"""

    #: OH_CAP_CUSTOM_EVENTS: oh_call_send_custom_event, OH_EVENT_CUSTOM.
    CUSTOM_EVENTS = 1
    #: OH_CAP_RING: oh_call_options: ring, notify, data_json, no_create; otherwise they are ignored.
    RING = 2
    #: OH_CAP_PINS: OH_EVENT_PINS.
    PINS = 4
    #: OH_CAP_DOMINANT_SPEAKER: OH_EVENT_DOMINANT_SPEAKER.
    DOMINANT_SPEAKER = 8
    #: OH_CAP_MIGRATE: OH_STATE_MIGRATING: an SFU moves its participants to another edge while media flows.
    MIGRATE = 16
    #: OH_CAP_DATA: oh_call_send_data, OH_EVENT_DATA.
    DATA = 32
    #: OH_CAP_TEXT: oh_call_send_text, OH_EVENT_TEXT.
    TEXT = 64
    #: OH_CAP_RPC: oh_call_perform_rpc, OH_EVENT_RPC_REQUEST.
    RPC = 128
    #: OH_CAP_ATTRIBUTES: oh_call_set_attributes, and the metadata and attributes of participants.
    ATTRIBUTES = 256
    #: OH_CAP_ROOM: OH_EVENT_ROOM.
    ROOM = 512
    #: OH_CAP_SUBSCRIPTIONS: oh_subscriber_set_track, oh_call_options.no_auto_subscribe,
    #: OH_EVENT_SUBSCRIPTION_PERMISSION.
    SUBSCRIPTIONS = 1024


class VideoLayer(_Open):
    """A layer of simulcast video. (oh_video_layer)"""

    #: OH_LAYER_HIGH: The best that the network allows.
    HIGH = 0
    #: OH_LAYER_MEDIUM: The middle one.
    MEDIUM = 1
    #: OH_LAYER_LOW: The smallest one.
    LOW = 2


class RpcErrorCode(_Open):
    """Why a procedure call failed, as detected by clients. Applications use codes of their own from 1 to 999 and
    from 2000 on. (oh_rpc_error)"""

    #: OH_RPC_UNSUPPORTED_METHOD: The participant has no such procedure.
    UNSUPPORTED_METHOD = 1400
    #: OH_RPC_RECIPIENT_NOT_FOUND: No participant with this user id is in the call, and nobody acknowledged the
    #: request within 2 s.
    RECIPIENT_NOT_FOUND = 1401
    #: OH_RPC_REQUEST_TOO_LARGE: The payload is too long for the participant.
    REQUEST_TOO_LARGE = 1402
    #: OH_RPC_UNSUPPORTED_VERSION: The participant uses another version of procedure calls.
    UNSUPPORTED_VERSION = 1404
    #: OH_RPC_APPLICATION: The procedure failed.
    APPLICATION = 1500
    #: OH_RPC_CONNECTION_TIMEOUT: The participant did not acknowledge the request within 7 s.
    CONNECTION_TIMEOUT = 1501
    #: OH_RPC_RESPONSE_TIMEOUT: The participant acknowledged the request, and did not answer in time.
    RESPONSE_TIMEOUT = 1502
    #: OH_RPC_RECIPIENT_DISCONNECTED: The participant left.
    RECIPIENT_DISCONNECTED = 1503
    #: OH_RPC_RESPONSE_TOO_LARGE: The answer was too long.
    RESPONSE_TOO_LARGE = 1504
    #: OH_RPC_SEND_FAILED: The request was not sent: the call ended, or too many requests are in progress.
    SEND_FAILED = 1505
