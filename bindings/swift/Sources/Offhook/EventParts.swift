// EventParts.swift - the values of events.
import COffhook

/// The state of the call changed.
public struct StateChange: Sendable, Hashable {
  public let state: CallState
  public let previous: CallState
  init(_ c: oh_event_state) {
    state = CallState(rawValue: c.state)
    previous = CallState(rawValue: c.previous)
  }
}

/// The call is joined.
public struct Joined: Sendable, Hashable {
  /// The session id of the local participant.
  public let sessionID: String
  /// Since the join began.
  public let joinMilliseconds: UInt64
  /// Participants in the call, the local one and anonymous ones included.
  public let participants: UInt32
  /// Anonymous participants: counted, not listed.
  public let anonymousParticipants: UInt32
  init(_ c: oh_event_joined) {
    sessionID = text(c.session_id)
    joinMilliseconds = c.join_ms
    participants = c.participants
    anonymousParticipants = c.anonymous_participants
  }
}

/// The number of participants, as counted by the SFU.
public struct Counts: Sendable, Hashable {
  /// Participants in the call, the local one and anonymous ones included.
  public let participants: UInt32
  /// Anonymous participants: counted, not listed.
  public let anonymousParticipants: UInt32
  init(_ c: oh_event_counts) {
    participants = c.participants
    anonymousParticipants = c.anonymous_participants
  }
}

/// How loud a participant is.
public struct AudioLevel: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  /// 0.0 (silence) to 1.0.
  public let level: Float
  public let isSpeaking: Bool
  init(_ c: oh_event_audio_level) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    level = c.level
    isSpeaking = c.speaking != 0
  }
}

/// How well a participant is connected.
public struct QualityChange: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  public let quality: ConnectionQuality
  init(_ c: oh_event_connection_quality) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    quality = ConnectionQuality(rawValue: c.quality)
  }
}

/// The result of publishing a local track.
public struct LocalTrackResult: Sendable {
  /// None when the application has freed it meanwhile.
  public let track: TrackHandle
  /// nil when it is published.
  public let error: OffhookError?
  init(_ c: oh_event_local_track) {
    track = TrackHandle(c.track)
    error = OffhookError(c.error, c.text, c.server_code)
  }
}

/// Events that are missing, because the application did not take them in time.
public struct Lost: Sendable, Hashable {
  /// Everything that is missing: events, packets and texts.
  public internal(set) var total: UInt64 = 0
  /// Packets of participants, part of `total`.
  public internal(set) var dataPackets: UInt64 = 0
  /// Bytes of these packets.
  public internal(set) var dataBytes: UInt64 = 0
  /// Texts of participants, part of `total`.
  public internal(set) var texts: UInt64 = 0
  init() {}
  init(_ c: oh_event_lost) {
    total = c.total
    dataPackets = c.data_packets
    dataBytes = c.data_bytes
    texts = c.texts
  }

  /// One more event, dropped by a stream of this package.
  mutating func add(_ body: Event.Body) {
    total += 1
    switch body {
    case .data(let packet):
      dataPackets += 1
      dataBytes += UInt64(packet.data.count)
    case .text: texts += 1
    default: break
    }
  }
}

/// How a call ended.
public struct Ended: Sendable, Hashable {
  public let reason: EndReason
  /// nil when the call ended without a failure.
  public let error: OffhookError?
  /// The reason in words.
  public let text: String
  init(_ c: oh_event_ended) {
    reason = EndReason(rawValue: c.reason)
    text = Offhook.text(c.text)
    error = OffhookError(c.error, c.text, c.server_code)
  }
}

/// The connection was lost and is made again.
public struct Reconnected: Sendable, Hashable {
  /// The session id of the local participant now.
  public let sessionID: String
  /// Since the loss was detected.
  public let elapsedMilliseconds: UInt64
  /// How it was connected again.
  public let kind: ReconnectKind
  /// The successful one included.
  public let attempts: UInt32
  init(_ c: oh_event_reconnected) {
    sessionID = text(c.session_id)
    elapsedMilliseconds = c.elapsed_ms
    kind = ReconnectKind(rawValue: c.kind)
    attempts = c.attempts
  }
}

/// A custom event from a participant or your backend. Your own are echoed.
public struct CustomEvent: Sendable, Hashable {
  /// The sender; "" when the coordinator does not say.
  public let userID: String
  /// The member `type` of the data when it is a string; else "".
  public let type: String
  /// The data as a JSON object.
  public let dataJSON: String
  init(_ c: oh_event_custom) {
    userID = text(c.user_id)
    type = text(c.custom_type)
    dataJSON = text(c.data_json)
  }
}

/// The room.
public struct Room: Sendable, Hashable {
  /// The server's id of the room.
  public let roomID: String
  /// Its name, usually the call id that was joined.
  public let name: String
  /// The application's own text about the room; may be "".
  public let metadata: String
  public let isRecording: Bool
  init(_ c: oh_event_room) {
    roomID = text(c.room_id)
    name = text(c.name)
    metadata = text(c.metadata)
    isRecording = c.recording != 0
  }
}

/// A packet from a participant, or from the application's server.
public struct DataPacket: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// The topic that the sender set; may be "".
  public let topic: String
  public let data: [UInt8]
  /// It came over the lossy channel.
  public let isLossy: Bool
  init(_ c: oh_event_data) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    topic = text(c.topic)
    data = Array(UnsafeBufferPointer(start: c.data, count: c.data == nil ? 0 : c.data_size))
    isLossy = c.lossy != 0
  }
}

/// A complete text from a participant.
public struct TextMessage: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// The topic that the sender set; may be "".
  public let topic: String
  /// The sender's id of this text.
  public let textID: String
  public let text: String
  /// Names and values that the sender attached, as a JSON object of strings; may be "".
  public let attributesJSON: String
  init(_ c: oh_event_text) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    topic = Offhook.text(c.topic)
    textID = Offhook.text(c.text_id)
    text = Offhook.text(c.text)
    attributesJSON = Offhook.text(c.attributes_json)
  }
}

/// A part of a text that is still arriving.
public struct TextPart: Sendable, Hashable {
  /// The sender; "" for the application's server.
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// The topic that the sender set; may be "".
  public let topic: String
  /// The sender's id of this text: the same for all of its parts and for the complete text.
  public let textID: String
  /// The new part; whole characters only.
  public let text: String
  /// Names and values that the sender attached, as a JSON object of strings; may be "".
  public let attributesJSON: String
  /// Bytes of the text (UTF-8) before this part.
  public let offsetBytes: UInt64
  init(_ c: oh_event_text_part) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    topic = Offhook.text(c.topic)
    textID = Offhook.text(c.text_id)
    text = Offhook.text(c.text)
    attributesJSON = Offhook.text(c.attributes_json)
    offsetBytes = c.offset_bytes
  }
}

/// A participant calls a procedure: answer with ``CallOperations/answer(_:payload:)`` or
/// ``CallOperations/fail(_:_:)``.
public struct RPCRequest: Sendable, Hashable {
  public let requestID: String
  /// The caller.
  public let userID: String
  public let method: String
  public let payload: String
  /// How long the caller waits for the answer, as it says.
  public let timeoutMilliseconds: UInt32
  init(_ c: oh_event_rpc_request) {
    requestID = text(c.request_id)
    userID = text(c.user_id)
    method = text(c.method)
    payload = text(c.payload)
    timeoutMilliseconds = c.timeout_ms
  }
}

/// The result of a procedure call.
public struct RPCResponse: Sendable {
  /// The id that ``CallOperations/startRPC(to:method:payload:timeout:)`` returned.
  public let rpcID: UInt64
  public let result: Result<String, RPCError>
  init(_ c: oh_event_rpc_response) {
    rpcID = c.rpc_id
    result =
      c.error_code == 0
      ? .success(text(c.payload))
      : .failure(RPCError(code: RPCCode(rawValue: c.error_code), message: text(c.text), data: text(c.payload)))
  }
}

/// Permission to subscribe to a track was revoked or restored.
public struct SubscriptionPermission: Sendable, Hashable {
  /// The user id of the track's participant.
  public let userID: String
  public let sessionID: String
  public let trackID: String
  public let isAllowed: Bool
  init(_ c: oh_event_subscription_permission) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    trackID = text(c.track_id)
    isAllowed = c.allowed != 0
  }
}

/// Media of one direction was connected or lost.
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

/// What was accepted and could not be sent before the call ended.
public struct Unsent: Sendable, Hashable {
  /// All tracks together.
  public let audioMilliseconds: UInt64
  public let dataPackets: UInt64
  public let texts: UInt64
  public let customEvents: UInt64
  public let rpcAnswers: UInt64
  /// Bytes of everything but audio.
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

/// Media or data that cannot be decoded.
public struct Unplayable: Sendable, Hashable {
  /// The sender; "" when it is not known.
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// "" when it is not known, and for data.
  public let trackID: String
  /// What was found and what to do.
  public let text: String
  /// ``TrackSource/unknown`` for data.
  public let source: TrackSource
  public let reason: UnplayableReason
  init(_ c: oh_event_unplayable) {
    userID = Offhook.text(c.user_id)
    sessionID = Offhook.text(c.session_id)
    trackID = Offhook.text(c.track_id)
    text = Offhook.text(c.text)
    source = TrackSource(rawValue: c.source)
    reason = UnplayableReason(rawValue: c.reason)
  }
}

/// A key of a telephone was pressed.
public struct DTMF: Sendable, Hashable {
  public let userID: String
  /// "" when it is not known.
  public let sessionID: String
  /// "0" to "9", "*", "#", "A" to "D".
  public let digit: String
  /// Its number (RFC 4733): 0 to 15.
  public let code: UInt32
  init(_ c: oh_event_dtmf) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    digit = text(c.digit)
    code = c.code
  }
}

/// A STUN or TURN server gave no address.
public struct IceServerFailure: Sendable, Hashable {
  /// The server's URL, without credentials.
  public let url: String
  /// What was found and what to do.
  public let text: String
  /// The code of its error response, for instance 401 or 486; 701: it was not reached.
  public let code: UInt32
  init(_ c: oh_event_ice_server) {
    url = Offhook.text(c.url)
    text = Offhook.text(c.text)
    code = c.code
  }
}
