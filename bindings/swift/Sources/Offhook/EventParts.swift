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

/// What this participant may send.
public struct Grants: Sendable, Hashable {
  public let audio: Bool
  public let video: Bool
  public let screenShare: Bool
  init(_ c: oh_event_grants) {
    audio = c.audio != 0
    video = c.video != 0
    screenShare = c.screen_share != 0
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
  init(_ c: oh_event_text) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    topic = Offhook.text(c.topic)
    id = Offhook.text(c.id)
    text = Offhook.text(c.text)
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
