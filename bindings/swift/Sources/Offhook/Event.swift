// Event.swift - the events of a call, as copies that stay valid.
import COffhook

/// An event of a call.
public struct Event: Sendable {
  public let call: CallHandle
  public let kind: EventKind
  /// Milliseconds since the join began.
  public let atMilliseconds: UInt64
  public let body: Body

  /// The kind together with its values.
  public enum Body: Sendable {
    case state(StateChange)
    /// The SFU admitted this participant. Media of a direction flows once media says that it is connected.
    case joined(Joined)
    /// Answer with ``CallOperations/provideToken(_:)`` within 30 s.
    case tokenNeeded
    /// A participant joined. On join, sent once for everyone already present.
    case participantJoined(Participant)
    /// A participant changed; also the local one, once after each join and when the server changes it.
    case participantUpdated(Participant)
    /// A participant left; trackUnpublished of its tracks came before.
    case participantLeft(Participant)
    /// A participant published a track: once, and again each time it is unmuted. Local: a moderator unmuted it.
    case trackPublished(TrackInfo)
    /// A track ended, or was muted (then it still exists). Local: a moderator muted it.
    case trackUnpublished(TrackInfo)
    case audioLevel(AudioLevel)
    /// Another participant speaks most.
    case dominantSpeaker(ParticipantID)
    case connectionQuality(QualityChange)
    case counts(Counts)
    /// What the local participant may do, on join and whenever it changes.
    case rights(Rights)
    /// All pinned participants, most important first.
    case pins([ParticipantID])
    /// Local track published; again after each reconnect that made a new session.
    case localTrackPublished(LocalTrackResult)
    /// A local track could not be published, or is not published any more.
    case localTrackFailed(LocalTrackResult)
    /// Something failed that does not end the call.
    case error(OffhookError)
    /// Events are missing here, because the application did not take them in time.
    case lost(Lost)
    /// Audio of a track; in pull mode only.
    case audio(AudioFrame)
    /// The call has ended. The last event of a call.
    case ended(Ended)
    /// The connection was lost and is made again; the state joined came just before.
    case reconnected(Reconnected)
    /// A custom event; only with ``ClientOptions/receiveCustomEvents``.
    case custom(CustomEvent)
    /// The room, on join and when it changed (``Capabilities/room``).
    case room(Room)
    /// A packet from a participant, or from the application's server (``Capabilities/data``).
    case data(DataPacket)
    /// A complete text from a participant (``Capabilities/text``).
    case text(TextMessage)
    /// A participant calls a procedure (``Capabilities/rpc``).
    case rpcRequest(RPCRequest)
    /// The result of a procedure call; exactly one for each.
    case rpcResponse(RPCResponse)
    /// Permission to subscribe to a track was revoked or restored (``Capabilities/subscriptions``).
    case subscriptionPermission(SubscriptionPermission)
    /// Media of one direction was connected or lost.
    case media(MediaConnection)
    /// The call ended before everything that was accepted could be sent; before ended, at most once.
    case unsent(Unsent)
    /// Media or data of a participant cannot be decoded; once for each track (data: participant) and reason.
    case unplayable(Unplayable)
    /// A part of a text that is still arriving; only with ``CallOptions/textParts``. The complete text follows.
    case textPart(TextPart)
    /// A participant (SIP) pressed a key of the telephone.
    case dtmf(DTMF)
    /// A STUN or TURN server gave no address; once for each server and code in a call. The call goes on with the addresses
    /// that it has.
    case iceServer(IceServerFailure)
    /// A kind that this package does not know; of a newer library.
    case unknown
  }

  init(_ event: UnsafePointer<oh_event>) {
    let c = known(event)
    call = CallHandle(c.call)
    kind = EventKind(rawValue: c.kind)
    atMilliseconds = c.at_ms
    body = Body(kind, c.u)
  }

  /// An event of the package itself: what was dropped from a stream.
  init(lost: Lost, call: CallHandle, at ms: UInt64) {
    self.call = call
    kind = .lost
    atMilliseconds = ms
    body = .lost(lost)
  }

  /// Bytes of events that must arrive (reliable data, texts, procedure calls) and their overhead; 0 of others.
  var keptBytes: Int {
    switch body {
    case .data(let packet): packet.isLossy ? 0 : 256 + packet.data.count
    case .text(let message): 256 + message.text.utf8.count
    case .rpcRequest(let request): 256 + request.payload.utf8.count
    default: 0
    }
  }

  /// Never dropped: what these events report happens once, or does not repeat itself.
  var isEssential: Bool {
    switch body {
    case .state, .tokenNeeded, .localTrackPublished, .localTrackFailed, .rpcResponse, .unsent, .ended: true
    default: false
    }
  }
}

extension Event.Body {
  init(_ kind: EventKind, _ u: oh_event_payload) {
    switch kind {
    case .state: self = .state(StateChange(known(u.state)))
    case .joined: self = .joined(Joined(known(u.joined)))
    case .tokenNeeded: self = .tokenNeeded
    case .participantJoined: self = .participantJoined(Participant(known(u.participant)))
    case .participantUpdated: self = .participantUpdated(Participant(known(u.participant)))
    case .participantLeft: self = .participantLeft(Participant(known(u.participant)))
    case .trackPublished: self = .trackPublished(TrackInfo(known(u.track)))
    case .trackUnpublished: self = .trackUnpublished(TrackInfo(known(u.track)))
    case .audioLevel: self = .audioLevel(AudioLevel(known(u.audio_level)))
    case .dominantSpeaker:
      let speaker = known(u.dominant_speaker)
      self = .dominantSpeaker(ParticipantID(speaker.user_id, speaker.session_id))
    case .connectionQuality: self = .connectionQuality(QualityChange(known(u.connection_quality)))
    case .counts: self = .counts(Counts(known(u.counts)))
    case .rights: self = .rights(Rights(rawValue: known(u.rights).rights))
    case .pins:
      let pins = known(u.pins)
      self = .pins(known(pins.pins, pins.pin_count).map { ParticipantID($0.user_id, $0.session_id) })
    case .localTrackPublished: self = .localTrackPublished(LocalTrackResult(known(u.local_track)))
    case .localTrackFailed: self = .localTrackFailed(LocalTrackResult(known(u.local_track)))
    case .error:
      let c = known(u.error)
      self = .error(
        OffhookError(code: ResultCode(rawValue: c.error), detail: Offhook.text(c.text), serverCode: c.server_code))
    case .lost: self = .lost(Lost(known(u.lost)))
    case .audio: self = .audio(AudioFrame(known(u.audio)))
    case .ended: self = .ended(Ended(known(u.ended)))
    case .reconnected: self = .reconnected(Reconnected(known(u.reconnected)))
    case .custom: self = .custom(CustomEvent(known(u.custom)))
    case .room: self = .room(Room(known(u.room)))
    case .data: self = .data(DataPacket(known(u.data)))
    case .text: self = .text(TextMessage(known(u.text)))
    case .rpcRequest: self = .rpcRequest(RPCRequest(known(u.rpc_request)))
    case .rpcResponse: self = .rpcResponse(RPCResponse(known(u.rpc_response)))
    case .subscriptionPermission:
      self = .subscriptionPermission(SubscriptionPermission(known(u.subscription_permission)))
    case .media: self = .media(MediaConnection(known(u.media)))
    case .unsent: self = .unsent(Unsent(known(u.unsent)))
    case .unplayable: self = .unplayable(Unplayable(known(u.unplayable)))
    case .textPart: self = .textPart(TextPart(known(u.text_part)))
    case .dtmf: self = .dtmf(DTMF(known(u.dtmf)))
    case .iceServer: self = .iceServer(IceServerFailure(known(u.ice_server)))
    default: self = .unknown  // of a newer library: in `u.other`
    }
  }
}
