// Participants.swift - participants and their tracks, of events and of the snapshot.
import COffhook

/// A participant, as last described by the SFU.
public struct Participant: Sendable, Hashable {
  /// One user can be in a call more than once (not on LiveKit).
  public let userID: String
  /// Identifies the participant in this call.
  public let sessionID: String
  /// The display name; may be "".
  public let name: String
  /// URL of a picture; may be "".
  public let imageURL: String
  /// Custom data as a JSON object; may be "".
  public let customJSON: String
  /// The application's own text about the participant; may be "" (``Capabilities/attributes``).
  public let metadata: String
  /// Names and values as a JSON object of strings; may be "" (``Capabilities/attributes``).
  public let attributesJSON: String
  public let tracks: [TrackInfo]
  /// nil in protocols that do not report the rights of participants.
  public let rights: Rights?
  public let kind: ParticipantKind
  public let quality: ConnectionQuality
  /// ``Event/Body/participantLeft(_:)``: why.
  public let leaveReason: LeaveReason
  /// 0.0 (silence) to 1.0.
  public let audioLevel: Float
  public let isSpeaking: Bool
  /// The dominant speaker.
  public let isDominant: Bool
  /// The local participant.
  public let isLocal: Bool

  init(_ c: oh_participant) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    name = text(c.name)
    imageURL = text(c.image_url)
    customJSON = text(c.custom_json)
    metadata = text(c.metadata)
    attributesJSON = text(c.attributes_json)
    tracks = known(c.tracks, c.track_count).map(TrackInfo.init)
    rights = c.rights_known != 0 ? Rights(rawValue: c.rights) : nil
    kind = ParticipantKind(rawValue: c.kind)
    quality = ConnectionQuality(rawValue: c.quality)
    leaveReason = LeaveReason(rawValue: c.leave_reason)
    audioLevel = c.audio_level
    isSpeaking = c.speaking != 0
    isDominant = c.dominant != 0
    isLocal = c.local != 0
  }
}

/// A track that a participant publishes.
public struct TrackInfo: Sendable, Hashable {
  /// The user id of its participant.
  public let userID: String
  /// The session id of its participant.
  public let sessionID: String
  /// The SFU's id, for ``CallSubscriber/setTrack(_:_:)``; "" in protocols without one.
  public let trackID: String
  /// The name that its publisher gave it; may be "".
  public let name: String
  /// Snapshot, local track: its handle; else none.
  public let track: TrackHandle
  /// What it carries.
  public let source: TrackSource
  /// ``Event/Body/trackUnpublished(_:)``: why.
  public let cause: UnpublishCause
  /// Published, and muted.
  public let isMuted: Bool
  /// A track of the local participant (in an event: that a moderator changed).
  public let isLocal: Bool
  /// A moderator unmuted it, and it stays muted until `setMuted(false)`; see ``CallOptions/holdUnmute``.
  public let isHeld: Bool
  /// Encrypted end to end.
  public let isEncrypted: Bool
  /// Snapshot, remote track: its media arrives and can be played.
  public let isReceived: Bool
  /// Snapshot, remote track: why its media cannot be played.
  public let unplayable: UnplayableReason
  /// Snapshot, local track: it is published over the present connection; packets can be sent.
  public let isPublished: Bool
  /// Snapshot, local track: a moderator muted it.
  public let isModerated: Bool

  init(_ c: oh_track_info) {
    userID = text(c.user_id)
    sessionID = text(c.session_id)
    trackID = text(c.track_id)
    name = text(c.name)
    track = TrackHandle(c.track)
    source = TrackSource(rawValue: c.source)
    cause = UnpublishCause(rawValue: c.cause)
    isMuted = c.muted != 0
    isLocal = c.local != 0
    isHeld = c.held != 0
    isEncrypted = c.encrypted != 0
    isReceived = c.received != 0
    unplayable = UnplayableReason(rawValue: c.unplayable)
    isPublished = c.published != 0
    isModerated = c.moderated != 0
  }
}

/// One presence of a user in a call: pinned participants, the dominant speaker.
public struct ParticipantID: Sendable, Hashable {
  public let userID: String
  public let sessionID: String
  init(_ user: UnsafePointer<CChar>?, _ session: UnsafePointer<CChar>?) {
    userID = text(user)
    sessionID = text(session)
  }
}
