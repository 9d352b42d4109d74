// Codes.swift - the numbers of the interface as types: open sets (later libraries may know more), each with its
// constants and a name in words.
import COffhook

/// Made from the constants of C, whose types have the name of an integer's typedef and cannot be spelled.
protocol FromC: RawRepresentable where RawValue: FixedWidthInteger {
  init(rawValue: RawValue)
}

extension FromC {
  init<C: RawRepresentable>(_ c: C) where C.RawValue: FixedWidthInteger {
    self.init(rawValue: RawValue(c.rawValue))
  }
}

/// What a function says of itself; 0 is success, all errors are negative and stable.
public struct ResultCode: RawRepresentable, FromC, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let ok = Self(OH_OK)
  /// An argument is missing, out of its range, or does not fit the others.
  public static let argument = Self(OH_ERR_ARGUMENT)
  /// The handle is none, stale (freed) or of another kind.
  public static let handle = Self(OH_ERR_HANDLE)
  /// Not possible in the state the object is in, for instance when the call is over.
  public static let state = Self(OH_ERR_STATE)
  /// The object was closed by the application.
  public static let closed = Self(OH_ERR_CLOSED)
  /// A bounded queue is full; nothing was taken.
  public static let full = Self(OH_ERR_FULL)
  public static let timeout = Self(OH_ERR_TIMEOUT)
  /// A wait that would wait for itself: inside a handler of the same call.
  public static let wouldDeadlock = Self(OH_ERR_WOULD_DEADLOCK)
  /// Not offered by this build, protocol or call.
  public static let unsupported = Self(OH_ERR_UNSUPPORTED)
  public static let network = Self(OH_ERR_NETWORK)
  public static let tls = Self(OH_ERR_TLS)
  /// The server refused; its own code and words are in the event or the error's detail.
  public static let refused = Self(OH_ERR_REFUSED)
  public static let `protocol` = Self(OH_ERR_PROTOCOL)
  /// The token is missing, expired or not accepted.
  public static let auth = Self(OH_ERR_AUTH)
  /// The application left, freed or shut down while this was going on.
  public static let cancelled = Self(OH_ERR_CANCELLED)
  /// A limit of the system or of the configuration was reached.
  public static let limit = Self(OH_ERR_LIMIT)
  /// Plain http or ws to an address that is not loopback.
  public static let insecure = Self(OH_ERR_INSECURE)
  /// This process was forked from one that uses the library.
  public static let forked = Self(OH_ERR_FORKED)
  public static let media = Self(OH_ERR_MEDIA)
  /// A defect of the library, contained to one object.
  public static let `internal` = Self(OH_ERR_INTERNAL)
  /// Header and library differ.
  public static let abi = Self(OH_ERR_ABI)
  /// There is nothing to return right now.
  public static let empty = Self(OH_ERR_EMPTY)
  public static let buffer = Self(OH_ERR_BUFFER)

  /// The name in the C header, for instance "OH_ERR_HANDLE".
  public var description: String { String(cString: oh_result_name(rawValue)) }
  /// The general meaning in words.
  public var message: String { String(cString: oh_result_message(rawValue)) }
}

/// Where a call is.
public struct CallState: RawRepresentable, FromC, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let idle = Self(OH_STATE_IDLE)
  public static let joining = Self(OH_STATE_JOINING)
  public static let joined = Self(OH_STATE_JOINED)
  public static let reconnecting = Self(OH_STATE_RECONNECTING)
  public static let migrating = Self(OH_STATE_MIGRATING)
  public static let offline = Self(OH_STATE_OFFLINE)
  public static let reconnectingFailed = Self(OH_STATE_RECONNECTING_FAILED)
  /// Over; nothing follows but the ended event.
  public static let left = Self(OH_STATE_LEFT)

  public var description: String { String(cString: oh_state_name(rawValue)) }
}

/// Why a call ended.
public struct EndReason: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The application left or freed the call.
  public static let left = Self(OH_END_LEFT)
  /// The call was ended for everybody.
  public static let callEnded = Self(OH_END_CALL_ENDED)
  public static let sessionEnded = Self(OH_END_SESSION_ENDED)
  /// This participant was removed.
  public static let kicked = Self(OH_END_KICKED)
  public static let joinFailed = Self(OH_END_JOIN_FAILED)
  public static let connectionLost = Self(OH_END_CONNECTION_LOST)
  /// The SFU told this client to disconnect.
  public static let disconnected = Self(OH_END_DISCONNECTED)
  public static let shutdown = Self(OH_END_SHUTDOWN)
  public static let `internal` = Self(OH_END_INTERNAL)
  public static let reconnectLimit = Self(OH_END_RECONNECT_LIMIT)
  public static let negotiationFailed = Self(OH_END_NEGOTIATION_FAILED)
  public static let networkUnsupported = Self(OH_END_NETWORK_UNSUPPORTED)
  public static let reconnectRefused = Self(OH_END_RECONNECT_REFUSED)
  /// Somebody else has joined as this participant.
  public static let replaced = Self(OH_END_REPLACED)
}

/// What an event is about, as a number; ``Event/body`` has the same with its values.
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
  public static let grants = Self(OH_EVENT_GRANTS)
  public static let pins = Self(OH_EVENT_PINS)
  public static let localPublished = Self(OH_EVENT_LOCAL_PUBLISHED)
  public static let localFailed = Self(OH_EVENT_LOCAL_FAILED)
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
  public static let subscribable = Self(OH_EVENT_SUBSCRIBABLE)
  public static let media = Self(OH_EVENT_MEDIA)
  public static let unsent = Self(OH_EVENT_UNSENT)
  public static let unplayable = Self(OH_EVENT_UNPLAYABLE)
  public static let textPart = Self(OH_EVENT_TEXT_PART)
  public static let dtmf = Self(OH_EVENT_DTMF)

  public var description: String { String(cString: oh_event_kind_name(rawValue)) }
}

/// What kind of participant it is.
public struct ParticipantKind: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// A person with a client, or a program that joined as one.
  public static let standard = Self(OH_PARTICIPANT_STANDARD)
  /// A stream that is fed into the call (RTMP, WHIP).
  public static let ingress = Self(OH_PARTICIPANT_INGRESS)
  /// A stream or recording that is made of the call.
  public static let egress = Self(OH_PARTICIPANT_EGRESS)
  /// A telephone.
  public static let sip = Self(OH_PARTICIPANT_SIP)
  /// A program that acts by itself.
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

  /// Not said by the server.
  public static let unknown = Self(OH_LEAVE_UNKNOWN)
  /// By its own decision.
  public static let client = Self(OH_LEAVE_CLIENT)
  /// Another client joined as the same participant.
  public static let replaced = Self(OH_LEAVE_REPLACED)
  public static let serverShutdown = Self(OH_LEAVE_SERVER_SHUTDOWN)
  public static let removed = Self(OH_LEAVE_REMOVED)
  public static let roomDeleted = Self(OH_LEAVE_ROOM_DELETED)
  /// Server and client did not agree about its session.
  public static let stateMismatch = Self(OH_LEAVE_STATE_MISMATCH)
  public static let joinFailure = Self(OH_LEAVE_JOIN_FAILURE)
  /// It went on to another server.
  public static let migration = Self(OH_LEAVE_MIGRATION)
  /// Its signalling connection was lost.
  public static let signalClose = Self(OH_LEAVE_SIGNAL_CLOSE)
  public static let roomClosed = Self(OH_LEAVE_ROOM_CLOSED)
  /// SIP: the callee did not answer.
  public static let userUnavailable = Self(OH_LEAVE_USER_UNAVAILABLE)
  /// SIP: the callee declined.
  public static let userRejected = Self(OH_LEAVE_USER_REJECTED)
  public static let sipTrunkFailure = Self(OH_LEAVE_SIP_TRUNK_FAILURE)
  public static let connectionTimeout = Self(OH_LEAVE_CONNECTION_TIMEOUT)
  public static let mediaFailure = Self(OH_LEAVE_MEDIA_FAILURE)
  public static let agentError = Self(OH_LEAVE_AGENT_ERROR)
}

/// Rights of a participant; other bits may be set by later libraries.
public struct Rights: OptionSet, FromC, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// May publish audio of a microphone.
  public static let audio = Self(OH_RIGHT_AUDIO)
  /// May publish video of a camera.
  public static let video = Self(OH_RIGHT_VIDEO)
  /// May publish the screen and its audio.
  public static let screenShare = Self(OH_RIGHT_SCREEN_SHARE)
  /// May send data, texts and procedure calls.
  public static let data = Self(OH_RIGHT_DATA)
  /// May receive tracks.
  public static let subscribe = Self(OH_RIGHT_SUBSCRIBE)
  /// May change its own name, metadata and attributes.
  public static let updateMetadata = Self(OH_RIGHT_UPDATE_METADATA)
  /// Is not visible to others.
  public static let hidden = Self(OH_RIGHT_HIDDEN)
  /// Records the call.
  public static let recorder = Self(OH_RIGHT_RECORDER)
}

/// Direction of media, seen from here.
public struct MediaDirection: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// What is published.
  public static let send = Self(OH_DIRECTION_SEND)
  /// What is received.
  public static let receive = Self(OH_DIRECTION_RECEIVE)
}

/// Why something that arrived cannot be decoded.
public struct UnplayableReason: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

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

/// Form of sound.
public struct AudioFormat: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Interleaved 16-bit integers.
  public static let s16 = Self(OH_AUDIO_S16)
  /// Interleaved 32-bit floats, -1 to 1.
  public static let f32 = Self(OH_AUDIO_F32)
  /// Opus packets (RFC 6716), 48 kHz clock.
  public static let opus = Self(OH_AUDIO_OPUS)
}

/// What a track carries.
public struct TrackKind: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let audio = Self(OH_TRACK_AUDIO)
  public static let video = Self(OH_TRACK_VIDEO)
  public static let screenShare = Self(OH_TRACK_SCREEN_SHARE)
  public static let screenShareAudio = Self(OH_TRACK_SCREEN_SHARE_AUDIO)
}

/// Levels of log lines, most important first.
public struct LogLevel: RawRepresentable, FromC, Hashable, Comparable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  public static let off = Self(OH_LOG_OFF)
  public static let error = Self(OH_LOG_ERROR)
  public static let warn = Self(OH_LOG_WARN)
  public static let info = Self(OH_LOG_INFO)
  public static let debug = Self(OH_LOG_DEBUG)
  public static let trace = Self(OH_LOG_TRACE)
}

/// How a lost connection was found again.
public struct ReconnectKind: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// A new socket for the same session; sound went on meanwhile.
  public static let fast = Self(OH_RECONNECT_FAST)
  /// A new session; what was published is published again.
  public static let rejoin = Self(OH_RECONNECT_REJOIN)
  /// Another edge of the SFU, the old one played until it took over.
  public static let migrate = Self(OH_RECONNECT_MIGRATE)
}

/// What happened to the machine's network.
public struct NetworkChange: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let offline = Self(OH_NETWORK_OFFLINE)
  public static let online = Self(OH_NETWORK_ONLINE)
  /// It is another one: calls reconnect with new sockets.
  public static let changed = Self(OH_NETWORK_CHANGED)
}

/// The protocol of an SFU.
public struct ServiceProtocol: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Stream Video's, which the development SFU speaks as well.
  public static let stream = Self(OH_PROTOCOL_STREAM)
  /// LiveKit's; tokens are made by the application's server, or with ``AccessToken``.
  public static let liveKit = Self(OH_PROTOCOL_LIVEKIT)
}

/// What only some protocols have; other bits may be set by later libraries.
public struct Capabilities: OptionSet, FromC, Hashable, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public static let customEvents = Self(OH_CAP_CUSTOM_EVENTS)
  public static let ring = Self(OH_CAP_RING)
  public static let pins = Self(OH_CAP_PINS)
  public static let dominantSpeaker = Self(OH_CAP_DOMINANT_SPEAKER)
  public static let migrate = Self(OH_CAP_MIGRATE)
  public static let data = Self(OH_CAP_DATA)
  public static let text = Self(OH_CAP_TEXT)
  public static let rpc = Self(OH_CAP_RPC)
  public static let attributes = Self(OH_CAP_ATTRIBUTES)
  public static let room = Self(OH_CAP_ROOM)
  public static let subscriptions = Self(OH_CAP_SUBSCRIPTIONS)
}

/// A layer of simulcast video.
public struct VideoLayer: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// As good as the network allows.
  public static let high = Self(OH_LAYER_HIGH)
  public static let medium = Self(OH_LAYER_MEDIUM)
  public static let low = Self(OH_LAYER_LOW)
}

/// Why a procedure call failed; applications add codes of their own from 1 to 999 and from 2000 on.
public struct RPCCode: RawRepresentable, FromC, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let unsupportedMethod = Self(OH_RPC_UNSUPPORTED_METHOD)
  /// Who is called is not in the call.
  public static let recipientNotFound = Self(OH_RPC_RECIPIENT_NOT_FOUND)
  public static let requestTooLarge = Self(OH_RPC_REQUEST_TOO_LARGE)
  public static let unsupportedVersion = Self(OH_RPC_UNSUPPORTED_VERSION)
  /// The procedure failed.
  public static let application = Self(OH_RPC_APPLICATION)
  /// The other participant did not confirm the request within 7 s.
  public static let connectionTimeout = Self(OH_RPC_CONNECTION_TIMEOUT)
  public static let responseTimeout = Self(OH_RPC_RESPONSE_TIMEOUT)
  public static let recipientDisconnected = Self(OH_RPC_RECIPIENT_DISCONNECTED)
  public static let responseTooLarge = Self(OH_RPC_RESPONSE_TOO_LARGE)
  /// The request was not sent: the call has ended, or too many are under way.
  public static let sendFailed = Self(OH_RPC_SEND_FAILED)
}
