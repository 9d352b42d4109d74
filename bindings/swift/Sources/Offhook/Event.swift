// Event.swift - what happens in a call, as values that are yours to keep; read from the events of C.
import COffhook

/// Something that happened in a call: an owned copy.
public struct Event: Sendable {
  public let call: CallHandle
  public let kind: EventKind
  /// Milliseconds since the join was started.
  public let atMilliseconds: UInt64
  public let body: Body

  /// The kind together with its values.
  public enum Body: Sendable {
    case state(StateChange)
    /// The SFU has let this participant in; media says when media of a direction flows.
    case joined(Joined)
    /// Answer with ``CallOperations/provideToken(_:)`` within 30 s.
    case tokenNeeded
    case participantJoined(Participant)
    case participantUpdated(Participant)
    case participantLeft(Participant)
    case trackPublished(RemoteTrack)
    case trackUnpublished(RemoteTrack)
    case audioLevel(AudioLevel)
    case dominantSpeaker(Person)
    case connectionQuality(Quality)
    case counts(Counts)
    case grants(Grants)
    case pins([Person])
    case localPublished(LocalTrack)
    case localFailed(LocalTrack)
    /// Something failed that does not end the call.
    case error(OffhookError)
    /// Events were dropped here because the application was too slow to take them.
    case lost(Lost)
    /// Sound, in pull mode only.
    case audio(AudioFrame)
    /// The call is over: the last event of all.
    case ended(Ended)
    case reconnected(Reconnected)
    case custom(CustomEvent)
    case room(Room)
    case data(DataPacket)
    case text(TextMessage)
    case rpcRequest(RPCRequest)
    case rpcResponse(RPCResponse)
    case subscribable(Subscribable)
    /// Media of one direction is connected, or was lost.
    case media(MediaConnection)
    /// The call has ended before everything that was accepted could be sent; comes before ended, at most once.
    case unsent(Unsent)
    /// Media or data of a participant arrives that cannot be decoded; once for each track (of data: participant) and
    /// reason.
    case unplayable(Unplayable)
    /// A piece of a text that is still arriving; only with ``CallOptions/partialTexts``. The whole follows as text.
    case textPart(TextPart)
    /// A participant (of SIP) pressed a key of the telephone.
    case dtmf(DTMF)
    /// A kind that this package does not know: a later library.
    case unknown
  }

  init(_ event: UnsafePointer<oh_event>) {
    let c = event.pointee
    call = CallHandle(c.call)
    kind = EventKind(rawValue: c.kind)
    atMilliseconds = c.at_ms
    body = Body(kind, c.u)
  }

  /// One that the package itself has to tell: what was lost in a stream.
  init(lost: Lost, call: CallHandle, at ms: UInt64) {
    self.call = call
    kind = .lost
    atMilliseconds = ms
    body = .lost(lost)
  }

  /// Bytes of what its sender was promised to arrive, and what an event costs besides; 0 of other events.
  var keptBytes: Int {
    switch body {
    case .data(let packet): packet.isLossy ? 0 : 256 + packet.bytes.count
    case .text(let message): 256 + message.text.utf8.count
    case .rpcRequest(let request): 256 + request.payload.utf8.count
    default: 0
    }
  }

  /// State events and the end are never dropped, as in the library itself.
  var mustArrive: Bool { kind == .state || kind == .ended || kind == .tokenNeeded || kind == .unsent }
}

extension Event.Body {
  init(_ kind: EventKind, _ u: oh_event_data) {
    switch kind {
    case .state: self = .state(StateChange(u.state))
    case .joined: self = .joined(Joined(u.joined))
    case .tokenNeeded: self = .tokenNeeded
    case .participantJoined: self = .participantJoined(Participant(u.participant))
    case .participantUpdated: self = .participantUpdated(Participant(u.participant))
    case .participantLeft: self = .participantLeft(Participant(u.participant))
    case .trackPublished: self = .trackPublished(RemoteTrack(u.track))
    case .trackUnpublished: self = .trackUnpublished(RemoteTrack(u.track))
    case .audioLevel: self = .audioLevel(AudioLevel(u.level))
    case .dominantSpeaker: self = .dominantSpeaker(Person(u.level.user_id, u.level.session_id))
    case .connectionQuality: self = .connectionQuality(Quality(u.quality))
    case .counts: self = .counts(Counts(u.counts))
    case .grants: self = .grants(Grants(u.grants))
    case .pins:
      self = .pins(
        UnsafeBufferPointer(start: u.pins.pins, count: Int(u.pins.count)).map { Person($0.user_id, $0.session_id) })
    case .localPublished: self = .localPublished(LocalTrack(u.local))
    case .localFailed: self = .localFailed(LocalTrack(u.local))
    case .error:
      self = .error(
        OffhookError(
          code: ResultCode(rawValue: u.error.error), detail: Offhook.text(u.error.text), serverCode: u.error.server_code
        ))
    case .lost: self = .lost(Lost(u.lost))
    case .audio: self = .audio(AudioFrame(u.audio))
    case .ended: self = .ended(Ended(u.ended))
    case .reconnected: self = .reconnected(Reconnected(u.reconnected))
    case .custom: self = .custom(CustomEvent(u.custom))
    case .room: self = .room(Room(u.room))
    case .data: self = .data(DataPacket(u.data))
    case .text: self = .text(TextMessage(u.text))
    case .rpcRequest: self = .rpcRequest(RPCRequest(u.rpc))
    case .rpcResponse: self = .rpcResponse(RPCResponse(u.rpc))
    case .subscribable: self = .subscribable(Subscribable(u.subscribable))
    case .media: self = .media(MediaConnection(u.media))
    case .unsent: self = .unsent(Unsent(u.unsent))
    case .unplayable: self = .unplayable(Unplayable(u.unplayable))
    case .textPart: self = .textPart(TextPart(u.text_part))
    case .dtmf: self = .dtmf(DTMF(u.dtmf))
    default: self = .unknown
    }
  }
}

/// Text of an event; never NULL by contract, "" if it were.
func text(_ c: UnsafePointer<CChar>?) -> String {
  guard let c else { return "" }
  return String(cString: c)
}
