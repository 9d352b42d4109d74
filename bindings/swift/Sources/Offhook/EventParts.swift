// EventParts.swift - the values of events, one structure for each member of the union of C.
import COffhook

public struct StateChange: Sendable, Hashable {
  public let state: CallState
  public let previous: CallState
  init(_ c: oh_event_state) {
    state = CallState(rawValue: c.state)
    previous = CallState(rawValue: c.previous)
  }
}

/// Head count, self included.
public struct Counts: Sendable, Hashable {
  public let total: UInt32
  public let anonymous: UInt32
  init(_ c: oh_event_counts) {
    total = c.total
    anonymous = c.anonymous
  }
}

public struct Joined: Sendable, Hashable {
  /// Own session id.
  public let sessionID: String
  public let counts: Counts
  /// Since the join was started.
  public let joinMilliseconds: UInt32
  init(_ c: oh_event_joined) {
    sessionID = text(c.session_id)
    counts = Counts(c.counts)
    joinMilliseconds = c.join_ms
  }
}

/// Who: one user may be in a call more than once, a session is one presence.
public struct Person: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  init(_ user: UnsafePointer<CChar>?, _ session: UnsafePointer<CChar>?) {
    userID = text(user)
    sessionID = text(session)
  }
}

/// How well somebody is connected.
public struct ConnectionQuality: RawRepresentable, Sendable, Hashable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public static let unknown = Self(rawValue: 0)
  public static let poor = Self(rawValue: 1)
  public static let good = Self(rawValue: 2)
  public static let excellent = Self(rawValue: 3)
  public static let lost = Self(rawValue: 4)
}

public struct Participant: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  public let name: String
  public let image: String
  /// Custom data as JSON, "" without any.
  public let custom: String
  public let quality: ConnectionQuality
  public let isSpeaking: Bool
  public let isDominant: Bool
  /// 0.0 to 1.0.
  public let level: Float
  /// The application's own text about this participant (``Capabilities/attributes``).
  public let metadata: String
  /// Names and values as a JSON object, "" without any (``Capabilities/attributes``).
  public let attributes: String
  public let kind: ParticipantKind
  /// The local participant.
  public let isLocal: Bool
  /// Why it left.
  public let reason: LeaveReason
  /// None in protocols that do not say them of others.
  public let rights: Rights
  init(_ c: oh_event_participant) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    name = text(c.name)
    image = text(c.image)
    custom = text(c.custom)
    quality = ConnectionQuality(rawValue: c.quality)
    isSpeaking = c.speaking != 0
    isDominant = c.dominant != 0
    level = c.level
    metadata = text(c.metadata)
    attributes = text(c.attributes)
    kind = ParticipantKind(rawValue: c.kind)
    isLocal = c.local != 0
    reason = LeaveReason(rawValue: c.reason)
    rights = Rights(rawValue: c.rights)
  }
}

/// A track of somebody else.
public struct RemoteTrack: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  public let kind: TrackKind
  public let cause: Cause
  /// For ``CallSubscriber/setTrack(_:_:)``; "" in protocols without one.
  public let trackID: String
  /// As its publisher calls it; may be "".
  public let name: String
  /// Published, and muted.
  public let isMuted: Bool
  /// A track of the local participant, changed by a moderator.
  public let isLocal: Bool
  /// Unmuted by a moderator, and still muted here; see ``CallOptions/holdUnmute``.
  public let isHeld: Bool
  /// End to end.
  public let isEncrypted: Bool

  /// Why a track ended.
  public struct Cause: RawRepresentable, Sendable, Hashable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    public static let notSaid = Self(rawValue: 0)
    public static let mutedByUser = Self(rawValue: 1)
    public static let permissionRevoked = Self(rawValue: 2)
    public static let moderation = Self(rawValue: 3)
  }

  init(_ c: oh_event_track) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    kind = TrackKind(rawValue: c.kind)
    cause = Cause(rawValue: c.cause)
    trackID = text(c.track_id)
    name = text(c.name)
    isMuted = c.muted != 0
    isLocal = c.local != 0
    isHeld = c.held != 0
    isEncrypted = c.encrypted != 0
  }
}

public struct AudioLevel: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  /// 0.0 to 1.0.
  public let level: Float
  public let isSpeaking: Bool
  init(_ c: oh_event_level) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    level = c.level
    isSpeaking = c.speaking != 0
  }
}

public struct Quality: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  public let quality: ConnectionQuality
  init(_ c: oh_event_quality) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    quality = ConnectionQuality(rawValue: c.quality)
  }
}

/// What this participant may do, and how others see it.
public struct Grants: Sendable, Hashable {
  public let audio: Bool
  public let video: Bool
  public let screenShare: Bool
  /// Data, texts and procedure calls.
  public let data: Bool
  /// Receiving tracks.
  public let subscribe: Bool
  /// Changing its own name, metadata and attributes.
  public let updateMetadata: Bool
  /// Not visible to others.
  public let isHidden: Bool
  /// Records the call.
  public let isRecorder: Bool
  init(_ c: oh_event_grants) {
    audio = c.audio != 0
    video = c.video != 0
    screenShare = c.screen_share != 0
    data = c.data != 0
    subscribe = c.subscribe != 0
    updateMetadata = c.update_metadata != 0
    isHidden = c.hidden != 0
    isRecorder = c.recorder != 0
  }
}

/// A track of mine is on the air, or is not (any more) and why.
public struct LocalTrack: Sendable {
  /// None when the application has freed it meanwhile.
  public let track: TrackHandle
  /// nil when it is on the air.
  public let error: OffhookError?
  init(_ c: oh_event_local) {
    track = TrackHandle(c.track)
    error =
      c.error == OH_OK.rawValue
      ? nil : OffhookError(code: ResultCode(rawValue: c.error), detail: text(c.text), serverCode: c.server_code)
  }
}

/// Events that were dropped because the application was too slow to take them.
public struct Lost: Sendable, Hashable {
  public internal(set) var count: UInt64 = 0
  /// Packets of participants, part of `count`.
  public internal(set) var dataPackets: UInt64 = 0
  /// Bytes of these packets.
  public internal(set) var dataBytes: UInt64 = 0
  /// Texts of participants, part of `count`.
  public internal(set) var texts: UInt64 = 0
  init() {}
  init(_ c: oh_event_lost) {
    count = c.count
    dataPackets = c.data_packets
    dataBytes = c.data_bytes
    texts = c.texts
  }

  /// One more, that a stream of this package had no room for.
  mutating func add(_ body: Event.Body) {
    count += 1
    switch body {
    case .data(let packet):
      dataPackets += 1
      dataBytes += UInt64(packet.bytes.count)
    case .text: texts += 1
    default: break
    }
  }
}

/// How a call ended.
public struct Ended: Sendable, Hashable {
  public let code: EndReason
  /// nil when the call ended as wanted.
  public let error: OffhookError?
  /// In words.
  public let reason: String
  init(_ c: oh_event_ended) {
    code = EndReason(rawValue: c.code)
    reason = text(c.reason)
    error =
      c.error == OH_OK.rawValue
      ? nil : OffhookError(code: ResultCode(rawValue: c.error), detail: reason, serverCode: c.server_code)
  }
}

public struct Reconnected: Sendable, Hashable {
  /// Own session id now.
  public let sessionID: String
  public let how: ReconnectKind
  /// Attempts that it took.
  public let attempts: UInt32
  /// Since the loss was noticed.
  public let elapsedMilliseconds: UInt64
  init(_ c: oh_event_reconnected) {
    sessionID = text(c.session_id)
    how = ReconnectKind(rawValue: c.how)
    attempts = c.attempts
    elapsedMilliseconds = c.elapsed_ms
  }
}

/// Told to everyone who watches the call; one's own come back, too.
public struct CustomEvent: Sendable, Hashable {
  /// Who sent it; "" when that is not said.
  public let userID: String
  /// The member `type` of the data when it is text, else "".
  public let type: String
  public let json: String
  init(_ c: oh_event_custom) {
    userID = text(c.user_id)
    type = text(c.custom_type)
    json = text(c.json)
  }
}

public struct Room: Sendable, Hashable {
  /// The server's name of it.
  public let id: String
  public let name: String
  public let metadata: String
  public let isRecording: Bool
  init(_ c: oh_event_room) {
    id = text(c.id)
    name = text(c.name)
    metadata = text(c.metadata)
    isRecording = c.recording != 0
  }
}

public struct DataPacket: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  public let sessionID: String
  public let topic: String
  public let bytes: [UInt8]
  /// It came over the lossy channel.
  public let isLossy: Bool
  init(_ c: oh_event_data_packet) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    topic = text(c.topic)
    bytes = Array(UnsafeBufferPointer(start: c.bytes, count: Int(c.size)))
    isLossy = c.lossy != 0
  }
}

public struct TextMessage: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  public let sessionID: String
  public let topic: String
  /// The sender's name of this text.
  public let id: String
  public let text: String
  /// What its sender attached, names and values as a JSON object, "" without any.
  public let attributes: String
  init(_ c: oh_event_text) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    topic = Offhook.text(c.topic)
    id = Offhook.text(c.id)
    text = Offhook.text(c.text)
    attributes = Offhook.text(c.attributes)
  }
}

/// Another participant calls a procedure: answer with ``CallOperations/answer(_:payload:)`` or
/// ``CallOperations/fail(_:_:)``.
public struct RPCRequest: Sendable, Hashable {
  public let requestID: String
  /// Who calls.
  public let userID: String
  public let method: String
  public let payload: String
  /// How long the caller waits for the answer.
  public let timeoutMilliseconds: UInt32
  init(_ c: oh_event_rpc) {
    requestID = text(c.request_id)
    userID = text(c.user_id)
    method = text(c.method)
    payload = text(c.payload)
    timeoutMilliseconds = c.timeout_ms
  }
}

/// What became of a procedure call of mine.
public struct RPCResponse: Sendable {
  /// The number that ``CallOperations/startRPC(to:method:payload:timeout:)`` gave.
  public let callID: UInt64
  public let result: Result<String, RPCError>
  init(_ c: oh_event_rpc) {
    callID = c.call_id
    result =
      c.error_code == 0
      ? .success(text(c.payload))
      : .failure(RPCError(code: RPCCode(rawValue: c.error_code), message: text(c.text), data: text(c.payload)))
  }
}

/// A track cannot be had any more, or again.
public struct Subscribable: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  public let trackID: String
  public let isAllowed: Bool
  init(_ c: oh_event_subscribable) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    trackID = text(c.track_id)
    isAllowed = c.allowed != 0
  }
}

/// Media of one direction.
public struct MediaConnection: Sendable, Hashable {
  public let direction: MediaDirection
  /// false: it was connected and was lost.
  public let isConnected: Bool
  /// What was tried and found; "" when connected.
  public let text: String
  init(_ c: oh_event_media) {
    direction = MediaDirection(rawValue: c.direction)
    isConnected = c.connected != 0
    text = Offhook.text(c.text)
  }
}

/// What was accepted and could not be sent.
public struct Unsent: Sendable, Hashable {
  /// All tracks together.
  public let audioMilliseconds: UInt64
  public let dataPackets: UInt64
  public let texts: UInt64
  public let customEvents: UInt64
  public let rpcAnswers: UInt64
  /// Of all of them but audio.
  public let bytes: UInt64
  init(_ c: oh_event_unsent) {
    audioMilliseconds = c.audio_ms
    dataPackets = c.data_packets
    texts = c.texts
    customEvents = c.custom_events
    rpcAnswers = c.rpc_answers
    bytes = c.bytes
  }
}

/// What cannot be decoded.
public struct Unplayable: Sendable, Hashable {
  /// The sender; "" when it is not known.
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// "" when it is not known, and of data.
  public let trackID: String
  /// What was found and what to do.
  public let text: String
  /// Of data 0.
  public let kind: TrackKind
  public let reason: UnplayableReason
  init(_ c: oh_event_unplayable) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    trackID = Offhook.text(c.track_id)
    text = Offhook.text(c.text)
    kind = TrackKind(rawValue: c.kind)
    reason = UnplayableReason(rawValue: c.reason)
  }
}

/// A piece of a text that is still arriving.
public struct TextPart: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  public let sessionID: String
  public let topic: String
  /// The sender's name of this text, the same for all pieces and for the whole.
  public let id: String
  /// What its sender attached, names and values as a JSON object, "" without any.
  public let attributes: String
  /// The new piece; whole characters only.
  public let text: String
  /// Bytes of the text (in UTF-8) before this piece.
  public let offset: UInt64
  init(_ c: oh_event_text_part) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    topic = Offhook.text(c.topic)
    id = Offhook.text(c.id)
    attributes = Offhook.text(c.attributes)
    text = Offhook.text(c.text)
    offset = c.offset
  }
}

/// A key of a telephone.
public struct DTMF: Sendable, Hashable {
  /// Who pressed it.
  public let userID: String
  public let sessionID: String
  /// "0" to "9", "*", "#", "A" to "D".
  public let digit: String
  /// Its number by RFC 4733: 0 to 15.
  public let code: UInt32
  init(_ c: oh_event_dtmf) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    digit = text(c.digit)
    code = c.code
  }
}
