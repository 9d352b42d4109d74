// Codes.swift - the numbers of the interface as types. Newer libraries may pass values that have no name here.
import COffhook

/// Made from the constants of C, whose enumerations have the name of a typedef and cannot be spelled in Swift.
protocol FromC: RawRepresentable where RawValue: FixedWidthInteger {
  init(rawValue: RawValue)
}

extension FromC {
  init<C: RawRepresentable>(_ c: C) where C.RawValue: FixedWidthInteger {
    self.init(rawValue: RawValue(c.rawValue))
  }
}

/// The result of a function: 0 is success, everything else a negative number. Numbers are never changed or reused;
/// later versions have more. ``message`` has the general meaning.
public struct ResultCode: RawRepresentable, FromC, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Success.
  public static let ok = Self(OH_OK)
  /// An argument is NULL, out of its range, not UTF-8, or does not fit the others.
  public static let argument = Self(OH_ERR_ARGUMENT)
  /// The handle is none, stale (freed), forged or of another kind. Nothing happened.
  public static let handle = Self(OH_ERR_HANDLE)
  /// Not possible in the present state (for instance: the call is over).
  public static let state = Self(OH_ERR_STATE)
  /// The object was closed by the application.
  public static let closed = Self(OH_ERR_CLOSED)
  /// A bounded queue is full; nothing was taken. Try again later.
  public static let full = Self(OH_ERR_FULL)
  /// The timeout expired.
  public static let timeout = Self(OH_ERR_TIMEOUT)
  /// Waiting here would wait for itself: a wait inside a handler of the same call.
  public static let wouldDeadlock = Self(OH_ERR_WOULD_DEADLOCK)
  /// Not supported by this build, protocol or call.
  public static let unsupported = Self(OH_ERR_UNSUPPORTED)
  /// A server could not be reached, or the connection was lost.
  public static let network = Self(OH_ERR_NETWORK)
  /// TLS failed: certificate, name or version.
  public static let tls = Self(OH_ERR_TLS)
  /// The server refused; the event or error has its own code and text.
  public static let refused = Self(OH_ERR_REFUSED)
  /// The server's answer is not valid.
  public static let `protocol` = Self(OH_ERR_PROTOCOL)
  /// The token is missing, expired or not accepted.
  public static let auth = Self(OH_ERR_AUTH)
  /// The application left, freed or shut down meanwhile.
  public static let cancelled = Self(OH_ERR_CANCELLED)
  /// A limit of the system (descriptors, threads, memory) or of the configuration was reached.
  public static let limit = Self(OH_ERR_LIMIT)
  /// Plain http or ws to an address that is not loopback, or a host that a server must not name; see
  /// ``ClientOptions/allowInsecure`` and ``ClientOptions/allowOtherHosts``.
  public static let insecure = Self(OH_ERR_INSECURE)
  /// This process was forked from one that uses the library; only exec may follow.
  public static let forked = Self(OH_ERR_FORKED)
  /// A codec or the WebRTC engine failed.
  public static let media = Self(OH_ERR_MEDIA)
  /// A defect of the library, contained to one object. Please report it.
  public static let `internal` = Self(OH_ERR_INTERNAL)
  /// A structure sets members that this library does not have: header and library differ.
  public static let abi = Self(OH_ERR_ABI)
  /// Nothing is available right now.
  public static let empty = Self(OH_ERR_EMPTY)
  /// The buffer given is too small.
  public static let buffer = Self(OH_ERR_BUFFER)

  /// The name in the C header, for instance "OH_ERR_HANDLE".
  public var description: String { String(cString: oh_result_get_name(rawValue)) }
  /// The general meaning in words.
  public var message: String { String(cString: oh_result_get_message(rawValue)) }
}

/// The state of a call.
public struct CallState: RawRepresentable, FromC, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Not started: between the join and the first attempt.
  public static let idle = Self(OH_STATE_IDLE)
  /// Joining: admission, signalling, peer connections.
  public static let joining = Self(OH_STATE_JOINING)
  /// Joined: media can flow.
  public static let joined = Self(OH_STATE_JOINED)
  /// Connection lost; reconnecting.
  public static let reconnecting = Self(OH_STATE_RECONNECTING)
  /// The SFU moves this participant to another edge; media flows over the old one until then.
  public static let migrating = Self(OH_STATE_MIGRATING)
  /// The machine has no network; the call waits for it.
  public static let offline = Self(OH_STATE_OFFLINE)
  /// Reconnecting failed; ``left`` follows at once.
  public static let reconnectingFailed = Self(OH_STATE_RECONNECTING_FAILED)
  /// Over; nothing follows but the ended event.
  public static let left = Self(OH_STATE_LEFT)

  /// The name of the state, for instance "joined".
  public var description: String { String(cString: oh_call_state_get_name(rawValue)) }
}

/// Why a call ended.
public struct EndReason: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The application left or freed the call.
  public static let left = Self(OH_END_LEFT)
  /// The call was ended for everybody.
  public static let callEnded = Self(OH_END_CALL_ENDED)
  /// The livestream or session in it ended.
  public static let sessionEnded = Self(OH_END_SESSION_ENDED)
  /// This participant was removed.
  public static let kicked = Self(OH_END_KICKED)
  /// The join failed; see error, server_code and text.
  public static let joinFailed = Self(OH_END_JOIN_FAILED)
  /// The connection was lost, and reconnecting failed.
  public static let connectionLost = Self(OH_END_CONNECTION_LOST)
  /// The SFU disconnected this client.
  public static let disconnected = Self(OH_END_DISCONNECTED)
  /// ``Library/shutdown(timeout:)``.
  public static let shutdown = Self(OH_END_SHUTDOWN)
  /// A defect of the library, contained to this call.
  public static let `internal` = Self(OH_END_INTERNAL)
  /// More than ten reconnects within two minutes.
  public static let reconnectLimit = Self(OH_END_RECONNECT_LIMIT)
  /// Offers of the SFU could not be answered, in three consecutive sessions.
  public static let negotiationFailed = Self(OH_END_NEGOTIATION_FAILED)
  /// Peer connections cannot be established on this network; `text` has what was tried and found: candidates and pairs
  /// by type, TURN servers without a relay, whether anything was received.
  public static let networkUnsupported = Self(OH_END_NETWORK_UNSUPPORTED)
  /// A reconnect was refused: the token has expired, the call is gone, or access was denied.
  public static let reconnectRefused = Self(OH_END_RECONNECT_REFUSED)
  /// Another client joined as this participant.
  public static let replaced = Self(OH_END_REPLACED)
}

/// Kind of an event; ``Event/body`` has its values.
public struct EventKind: RawRepresentable, FromC, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let state = Self(OH_EVENT_STATE)
  public static let joined = Self(OH_EVENT_JOINED)
  public static let tokenNeeded = Self(OH_EVENT_TOKEN_NEEDED)
  public static let participantJoined = Self(OH_EVENT_PARTICIPANT_JOINED)
  public static let participantUpdated = Self(OH_EVENT_PARTICIPANT_UPDATED)
  public static let participantLeft = Self(OH_EVENT_PARTICIPANT_LEFT)
  public static let trackPublished = Self(OH_EVENT_TRACK_PUBLISHED)
  public static let trackUnpublished = Self(OH_EVENT_TRACK_UNPUBLISHED)
  public static let audioLevel = Self(OH_EVENT_AUDIO_LEVEL)
  public static let dominantSpeaker = Self(OH_EVENT_DOMINANT_SPEAKER)
  public static let connectionQuality = Self(OH_EVENT_CONNECTION_QUALITY)
  public static let counts = Self(OH_EVENT_COUNTS)
  public static let rights = Self(OH_EVENT_RIGHTS)
  public static let pins = Self(OH_EVENT_PINS)
  public static let localTrackPublished = Self(OH_EVENT_LOCAL_TRACK_PUBLISHED)
  public static let localTrackFailed = Self(OH_EVENT_LOCAL_TRACK_FAILED)
  public static let error = Self(OH_EVENT_ERROR)
  public static let lost = Self(OH_EVENT_LOST)
  public static let audio = Self(OH_EVENT_AUDIO)
  public static let ended = Self(OH_EVENT_ENDED)
  public static let reconnected = Self(OH_EVENT_RECONNECTED)
  public static let custom = Self(OH_EVENT_CUSTOM)
  public static let room = Self(OH_EVENT_ROOM)
  public static let data = Self(OH_EVENT_DATA)
  public static let text = Self(OH_EVENT_TEXT)
  public static let rpcRequest = Self(OH_EVENT_RPC_REQUEST)
  public static let rpcResponse = Self(OH_EVENT_RPC_RESPONSE)
  public static let subscriptionPermission = Self(OH_EVENT_SUBSCRIPTION_PERMISSION)
  public static let media = Self(OH_EVENT_MEDIA)
  public static let unsent = Self(OH_EVENT_UNSENT)
  public static let unplayable = Self(OH_EVENT_UNPLAYABLE)
  public static let textPart = Self(OH_EVENT_TEXT_PART)
  public static let dtmf = Self(OH_EVENT_DTMF)
  public static let iceServer = Self(OH_EVENT_ICE_SERVER)

  /// The name of the kind, for instance "participant_joined".
  public var description: String { String(cString: oh_event_kind_get_name(rawValue)) }
}

/// What kind of participant it is.
public struct ParticipantKind: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// A person with a client, or a program that joined as one.
  public static let standard = Self(OH_PARTICIPANT_STANDARD)
  /// A stream that is ingested into the call (RTMP, WHIP).
  public static let ingress = Self(OH_PARTICIPANT_INGRESS)
  /// A recording or a stream of the call.
  public static let egress = Self(OH_PARTICIPANT_EGRESS)
  /// A telephone (SIP).
  public static let sip = Self(OH_PARTICIPANT_SIP)
  /// An agent: a program that acts by itself.
  public static let agent = Self(OH_PARTICIPANT_AGENT)
  /// Records the call.
  public static let recorder = Self(OH_PARTICIPANT_RECORDER)
  /// Of a kind that this version does not know.
  public static let other = Self(OH_PARTICIPANT_OTHER)
}

/// Why a participant left.
public struct LeaveReason: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// It has not left, or the server did not say.
  public static let unknown = Self(OH_LEAVE_UNKNOWN)
  /// It left by itself.
  public static let client = Self(OH_LEAVE_CLIENT)
  /// Another client joined as the same participant.
  public static let replaced = Self(OH_LEAVE_REPLACED)
  /// Its server shut down.
  public static let serverShutdown = Self(OH_LEAVE_SERVER_SHUTDOWN)
  /// It was removed.
  public static let removed = Self(OH_LEAVE_REMOVED)
  /// The room was deleted.
  public static let roomDeleted = Self(OH_LEAVE_ROOM_DELETED)
  /// Server and client disagreed about its session.
  public static let stateMismatch = Self(OH_LEAVE_STATE_MISMATCH)
  /// Its join failed.
  public static let joinFailure = Self(OH_LEAVE_JOIN_FAILURE)
  /// It moved to another server.
  public static let migration = Self(OH_LEAVE_MIGRATION)
  /// Its signalling connection was lost.
  public static let signalClose = Self(OH_LEAVE_SIGNAL_CLOSE)
  /// The room was closed.
  public static let roomClosed = Self(OH_LEAVE_ROOM_CLOSED)
  /// SIP: the callee did not answer.
  public static let userUnavailable = Self(OH_LEAVE_USER_UNAVAILABLE)
  /// SIP: the callee declined.
  public static let userRejected = Self(OH_LEAVE_USER_REJECTED)
  /// SIP: the trunk failed.
  public static let sipTrunkFailure = Self(OH_LEAVE_SIP_TRUNK_FAILURE)
  /// Its connection timed out.
  public static let connectionTimeout = Self(OH_LEAVE_CONNECTION_TIMEOUT)
  /// Its media failed.
  public static let mediaFailure = Self(OH_LEAVE_MEDIA_FAILURE)
  /// The agent failed.
  public static let agentError = Self(OH_LEAVE_AGENT_ERROR)
}

/// What a participant may do, and two marks. Bits that have no name here may be set.
public struct Rights: OptionSet, FromC, Hashable, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// May publish audio of a microphone.
  public static let audio = Self(OH_RIGHT_AUDIO)
  /// May publish video of a camera.
  public static let video = Self(OH_RIGHT_VIDEO)
  /// May publish a screen and its audio.
  public static let screenShare = Self(OH_RIGHT_SCREEN_SHARE)
  /// May send data, texts and procedure calls.
  public static let data = Self(OH_RIGHT_DATA)
  /// May receive tracks.
  public static let subscribe = Self(OH_RIGHT_SUBSCRIBE)
  /// May change its own name, metadata and attributes
  /// (``CallOperations/setAttributes(name:metadata:attributesJSON:)``).
  public static let setAttributes = Self(OH_RIGHT_SET_ATTRIBUTES)
  /// No right: the participant is not visible to others.
  public static let hidden = Self(OH_RIGHT_HIDDEN)
  /// No right: the participant records the call.
  public static let recorder = Self(OH_RIGHT_RECORDER)
}

/// How well a participant is connected, as measured by the SFU.
public struct ConnectionQuality: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Not measured.
  public static let unknown = Self(OH_QUALITY_UNKNOWN)
  /// Media is impaired.
  public static let poor = Self(OH_QUALITY_POOR)
  /// Some loss or delay.
  public static let good = Self(OH_QUALITY_GOOD)
  /// No impairment.
  public static let excellent = Self(OH_QUALITY_EXCELLENT)
  /// The SFU receives nothing from the participant.
  public static let lost = Self(OH_QUALITY_LOST)
}

/// What a track carries, and from where.
public struct TrackSource: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Not known; data and texts have no source.
  public static let unknown = Self(OH_SOURCE_UNKNOWN)
  /// Audio of a microphone.
  public static let microphone = Self(OH_SOURCE_MICROPHONE)
  /// Video of a camera.
  public static let camera = Self(OH_SOURCE_CAMERA)
  /// Video of a shared screen.
  public static let screenShare = Self(OH_SOURCE_SCREEN_SHARE)
  /// Audio of a shared screen.
  public static let screenShareAudio = Self(OH_SOURCE_SCREEN_SHARE_AUDIO)
}

/// Why a track ended or was muted.
public struct UnpublishCause: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The server did not say.
  public static let unknown = Self(OH_UNPUBLISH_UNKNOWN)
  /// Its participant muted it.
  public static let muted = Self(OH_UNPUBLISH_MUTED)
  /// Its participant lost the right to publish it.
  public static let permissionRevoked = Self(OH_UNPUBLISH_PERMISSION_REVOKED)
  /// A moderator muted or removed it.
  public static let moderation = Self(OH_UNPUBLISH_MODERATION)
}

/// Direction of media, seen from the local participant.
public struct MediaDirection: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Published media.
  public static let send = Self(OH_DIRECTION_SEND)
  /// Received media.
  public static let receive = Self(OH_DIRECTION_RECEIVE)
}

/// Why received media or data cannot be decoded.
public struct UnplayableReason: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// It can, as far as is known.
  public static let none = Self(OH_UNPLAYABLE_NONE)
  /// The track is encrypted end to end.
  public static let encrypted = Self(OH_UNPLAYABLE_ENCRYPTED)
  /// Its codec is not supported.
  public static let codec = Self(OH_UNPLAYABLE_CODEC)
  /// The stream cannot be assigned to a track of a participant.
  public static let unassigned = Self(OH_UNPLAYABLE_UNASSIGNED)
  /// Its payload type was not negotiated.
  public static let payloadType = Self(OH_UNPLAYABLE_PAYLOAD_TYPE)
  /// Data or a text is encrypted end to end.
  public static let dataEncrypted = Self(OH_UNPLAYABLE_DATA_ENCRYPTED)
}

/// Format of audio.
public struct AudioFormat: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Interleaved 16-bit integers in the machine's byte order.
  public static let s16 = Self(OH_AUDIO_S16)
  /// Interleaved 32-bit floats, -1.0 to 1.0.
  public static let f32 = Self(OH_AUDIO_F32)
  /// Opus packets (RFC 6716), 48 kHz clock.
  public static let opus = Self(OH_AUDIO_OPUS)
}

/// Levels of log lines, most important first.
public struct LogLevel: RawRepresentable, FromC, Hashable, Comparable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  /// Nothing is logged.
  public static let off = Self(OH_LOG_OFF)
  /// A defect of the library, contained to one object.
  public static let error = Self(OH_LOG_ERROR)
  /// A failure in a call, as reported by the events error and localTrackFailed.
  public static let warn = Self(OH_LOG_WARN)
  /// States and ends of calls; ICE servers that gave no address; changes of the network.
  public static let info = Self(OH_LOG_INFO)
  /// Details, and what was dropped because it came late.
  public static let debug = Self(OH_LOG_DEBUG)
  /// Every message.
  public static let trace = Self(OH_LOG_TRACE)
}

/// How a lost connection was made again.
public struct ReconnectKind: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// A new socket for the same session; media continued meanwhile.
  public static let fast = Self(OH_RECONNECT_FAST)
  /// A new session; local tracks were published again.
  public static let rejoin = Self(OH_RECONNECT_REJOIN)
  /// Another edge of the SFU; media flowed over the old one until then.
  public static let migrate = Self(OH_RECONNECT_MIGRATE)
}

/// A change of the machine's network.
public struct NetworkChange: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// There is no network: calls stop retrying and wait, in ``CallState/offline``.
  public static let offline = Self(OH_NETWORK_OFFLINE)
  /// It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
  public static let online = Self(OH_NETWORK_ONLINE)
  /// It is another one (other addresses): calls reconnect with new sockets.
  public static let changed = Self(OH_NETWORK_CHANGED)
}

/// The protocol of a service.
public struct ServiceProtocol: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// By the URL: wss:// and ws:// mean ``liveKit``, https:// and http:// ``stream``.
  public static let auto = Self(OH_PROTOCOL_AUTO)
  /// Stream Video, also spoken by the development SFU.
  public static let stream = Self(OH_PROTOCOL_STREAM)
  /// LiveKit: the open server and its cluster. Tokens are made by the application's server, or with ``AccessToken``.
  public static let liveKit = Self(OH_PROTOCOL_LIVEKIT)
}

/// Which IP addresses media uses.
public struct IPFamily: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// IPv4 and IPv6.
  public static let any = Self(OH_IP_ANY)
  /// IPv4 only.
  public static let v4 = Self(OH_IP_V4)
  /// IPv6 only.
  public static let v6 = Self(OH_IP_V6)
}

/// What only some protocols have. A function that needs a capability which the protocol of the call lacks throws
/// ``ResultCode/unsupported``. Bits that have no name here may be set.
public struct Capabilities: OptionSet, FromC, Hashable, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// ``CallOperations/sendCustomEvent(dataJSON:)``, ``Event/Body/custom(_:)``.
  public static let customEvents = Self(OH_CAP_CUSTOM_EVENTS)
  /// ``CallOptions``: `ring`, `notify`, `dataJSON`, `noCreate`; otherwise they are ignored.
  public static let ring = Self(OH_CAP_RING)
  /// ``Event/Body/pins(_:)``.
  public static let pins = Self(OH_CAP_PINS)
  /// ``Event/Body/dominantSpeaker(_:)``.
  public static let dominantSpeaker = Self(OH_CAP_DOMINANT_SPEAKER)
  /// ``CallState/migrating``: an SFU moves its participants to another edge while media flows.
  public static let migrate = Self(OH_CAP_MIGRATE)
  /// ``CallOperations/send(data:_:)``, ``Event/Body/data(_:)``.
  public static let data = Self(OH_CAP_DATA)
  /// ``CallOperations/send(text:_:)``, ``Event/Body/text(_:)``.
  public static let text = Self(OH_CAP_TEXT)
  /// ``Call/performRPC(to:method:payload:timeout:)``, ``Event/Body/rpcRequest(_:)``.
  public static let rpc = Self(OH_CAP_RPC)
  /// ``CallOperations/setAttributes(name:metadata:attributesJSON:)``, and the metadata and attributes of participants.
  public static let attributes = Self(OH_CAP_ATTRIBUTES)
  /// ``Event/Body/room(_:)``.
  public static let room = Self(OH_CAP_ROOM)
  /// ``CallSubscriber/setTrack(_:_:)``, ``CallOptions/noAutoSubscribe``, ``Event/Body/subscriptionPermission(_:)``.
  public static let subscriptions = Self(OH_CAP_SUBSCRIPTIONS)
}

/// A layer of simulcast video.
public struct VideoLayer: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The best that the network allows.
  public static let high = Self(OH_LAYER_HIGH)
  /// The middle one.
  public static let medium = Self(OH_LAYER_MEDIUM)
  /// The smallest one.
  public static let low = Self(OH_LAYER_LOW)
}

/// Why a procedure call failed, as detected by clients. Applications use codes of their own from 1 to 999 and from 2000
/// on.
public struct RPCCode: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The participant has no such procedure.
  public static let unsupportedMethod = Self(OH_RPC_UNSUPPORTED_METHOD)
  /// No participant with this user id is in the call, and nobody acknowledged the request within 2 s.
  public static let recipientNotFound = Self(OH_RPC_RECIPIENT_NOT_FOUND)
  /// The payload is too long for the participant.
  public static let requestTooLarge = Self(OH_RPC_REQUEST_TOO_LARGE)
  /// The participant uses another version of procedure calls.
  public static let unsupportedVersion = Self(OH_RPC_UNSUPPORTED_VERSION)
  /// The procedure failed.
  public static let application = Self(OH_RPC_APPLICATION)
  /// The participant did not acknowledge the request within 7 s.
  public static let connectionTimeout = Self(OH_RPC_CONNECTION_TIMEOUT)
  /// The participant acknowledged the request, and did not answer in time.
  public static let responseTimeout = Self(OH_RPC_RESPONSE_TIMEOUT)
  /// The participant left.
  public static let recipientDisconnected = Self(OH_RPC_RECIPIENT_DISCONNECTED)
  /// The answer was too long.
  public static let responseTooLarge = Self(OH_RPC_RESPONSE_TOO_LARGE)
  /// The request was not sent: the call ended, or too many requests are in progress.
  public static let sendFailed = Self(OH_RPC_SEND_FAILED)
}
