// CallOperations.swift - what can be done with a call, by its owner or by its handle.
import COffhook

/// The 64-bit number of a call, without ownership: copy it, keep it, send it to other tasks. Once the call is freed,
/// every function throws ``ResultCode/handle``. Handlers and events have it.
public struct CallHandle: Sendable, Hashable, CallOperations {
  public let id: UInt64
  public static let none = Self(id: 0)
  public init(id: UInt64) { self.id = id }
  init(_ c: oh_call) { id = c.id }
  var c: oh_call { oh_call(id: id) }
  public var handle: CallHandle { self }
}

/// What ``Call``, ``PulledCall`` and ``CallHandle`` can do. Every function may be called from every thread, inside
/// handlers too, and returns at once unless it says otherwise. Functions throw ``OffhookError``.
public protocol CallOperations: Sendable {
  var handle: CallHandle { get }
}

extension CallOperations {
  /// The state of the call now.
  public func state() throws -> CallState {
    var value: Int32 = 0
    try check(oh_call_get_state(handle.c, &value))
    return CallState(rawValue: value)
  }

  /// What the call received and decided, as lines of JSON without secrets, for a report of a defect. Works until the
  /// call is freed, also after its end.
  public func trace() throws -> String {
    var size = 256 * 1024
    while true {
      var buffer = [CChar](repeating: 0, count: size)
      var length = 0
      try check(oh_call_get_trace(handle.c, &buffer, buffer.count, &length))
      if length < size { return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } }
      size = length + length / 2 + 1  // it can be more at the next call
    }
  }

  /// What the protocol of the call can do.
  public func capabilities() throws -> Capabilities {
    var bits: oh_capabilities = 0
    try check(oh_call_get_capabilities(handle.c, &bits))
    return Capabilities(rawValue: bits)
  }

  /// Statistics of the call. Works until it is freed, also after its end.
  public func stats() throws -> CallStats {
    var c = defaults(oh_call_stats.self)
    try check(oh_call_get_stats(handle.c, &c))
    return CallStats(c)
  }

  /// All participants of the call with their tracks: the local one first, the others by session id. A snapshot, at least
  /// as new as any event that was delivered, and complete also when events were dropped. Before the join it has the
  /// local participant alone, after the end none.
  public func participants() throws -> [Participant] {
    var snapshot: UnsafePointer<oh_participants>?
    try check(oh_call_get_participants(handle.c, &snapshot))
    defer { oh_participants_free(snapshot) }
    let c = known(snapshot)
    return known(c.participants, c.participant_count).map(Participant.init)
  }

  /// Starts to leave; the ended event follows within 2 s. Leaving twice, or after the end, does nothing.
  public func startLeave(reason: String? = nil) throws {
    try withTexts { c in try check(oh_call_leave(handle.c, c(reason))) }
  }

  /// Blocks this thread until the call is in a state; not for tasks. Throws ``ResultCode/timeout``, the error that the
  /// call ended with, or ``ResultCode/wouldDeadlock`` inside a handler of the same call.
  @available(*, noasync, message: "blocks the thread: use joined() or ended() of Call")
  public func wait(for state: CallState, timeout: Timeout) throws {
    try check(oh_call_wait_state(handle.c, state.rawValue, timeout.milliseconds))
  }

  /// Answers ``Event/Body/tokenNeeded``, inside the handler or later; nil: there is no token, the join fails.
  public func provideToken(_ token: String?) throws {
    try withTexts { c in try check(oh_call_provide_token(handle.c, c(token))) }
  }

  /// Sends a custom event, a JSON object of at most 16384 bytes, to all clients of the call that receive custom events.
  /// A failure is reported as ``Event/Body/error(_:)``.
  public func sendCustomEvent(dataJSON: String) throws {
    try withTexts { c in try check(oh_call_send_custom_event(handle.c, c(dataJSON))) }
  }

  /// Sends a packet of at most 60000 bytes to other participants (``Capabilities/data``).
  public func send(data: some Sequence<UInt8>, _ options: DataOptions = DataOptions()) throws {
    let bytes = ContiguousArray(data)
    try options.withC { o in
      try bytes.withUnsafeBufferPointer { try check(oh_call_send_data(handle.c, o, $0.baseAddress, $0.count)) }
    }
  }

  /// Sends a text of at most 1 MiB to other participants (``Capabilities/text``). It arrives complete.
  public func send(text: String, _ options: DataOptions = DataOptions()) throws {
    try withTexts { c in
      let text = try c(text)
      try options.withC { o in try check(oh_call_send_text(handle.c, o, text)) }
    }
  }

  /// Changes the name, metadata and attributes of the local participant (``Capabilities/attributes``); nil: unchanged.
  /// Of the attributes only those named change, and "" deletes one. A refusal by the server is reported as
  /// ``Event/Body/error(_:)``.
  public func setAttributes(name: String? = nil, metadata: String? = nil, attributesJSON: String? = nil) throws {
    try withTexts { c in
      try check(oh_call_set_attributes(handle.c, c(name), c(metadata), c(attributesJSON)))
    }
  }

  /// Publishes an audio track; ``Event/Body/localTrackPublished(_:)`` or ``Event/Body/localTrackFailed(_:)`` is the
  /// result. May be called before the call is joined. A call has up to 32 local tracks at a time, several of one source
  /// included. The track ends with the object or the call.
  public func publishAudio(_ options: AudioTrackOptions = AudioTrackOptions()) throws -> AudioTrack {
    var track = oh_track()
    try options.withC { try check(oh_call_publish_audio(handle.c, $0, &track)) }
    return AudioTrack(TrackHandle(track))
  }

  /// The publisher of the call; the same handle each time.
  public func publisher() throws -> CallPublisher {
    var c = oh_publisher()
    try check(oh_call_get_publisher(handle.c, &c))
    return CallPublisher(id: c.id)
  }

  /// The subscriber of the call; the same handle each time.
  public func subscriber() throws -> CallSubscriber {
    var c = oh_subscriber()
    try check(oh_call_get_subscriber(handle.c, &c))
    return CallSubscriber(id: c.id)
  }
}

/// What the local participant sends in a call; owned by the call.
public struct CallPublisher: Sendable, Hashable {
  public let id: UInt64
  var c: oh_publisher { oh_publisher(id: id) }
  /// Stops sending at once and for good while the call goes on. Closing twice does nothing.
  public func close() throws { try check(oh_publisher_close(c)) }
  /// Closes it and frees its handle; the call goes on. Freeing twice does nothing.
  public func free() { oh_publisher_free(c) }
}

/// What the local participant receives in a call; owned by the call.
public struct CallSubscriber: Sendable, Hashable {
  public let id: UInt64
  var c: oh_subscriber { oh_subscriber(id: id) }

  /// Stops receiving for good while the call goes on: no audio is delivered afterwards. Waits for a handler in progress
  /// on another thread. Closing twice does nothing.
  public func close() throws { try check(oh_subscriber_close(c)) }

  /// Closes it and frees its handle; the call goes on. Freeing twice does nothing.
  public func free() { oh_subscriber_free(c) }

  /// Sets the subscription of a remote track (``Capabilities/subscriptions``); nil: receive it, as well as the network
  /// allows. The last call wins, and it is kept over reconnects.
  public func setTrack(_ trackID: String, _ options: RemoteTrackOptions? = nil) throws {
    try withTexts { texts in
      let track = try texts(trackID)
      if let options {
        try options.withC { try check(oh_subscriber_set_track(c, track, $0)) }
      } else {
        try check(oh_subscriber_set_track(c, track, nil))
      }
    }
  }

  /// Statistics of a remote track, by its id; in protocols without track ids (nil or "") of the participant's track with
  /// that source. Throws ``ResultCode/empty`` when nothing of such a track was received, or the track has ended. Works
  /// also after the end of the call.
  public func trackStats(sessionID: String, trackID: String? = nil, source: TrackSource = .microphone) throws
    -> RemoteTrackStats
  {
    try withTexts { texts in
      var stats = defaults(oh_remote_track_stats.self)
      try check(
        oh_subscriber_get_track_stats(c, texts(sessionID), texts(trackID), source.rawValue, &stats))
      return RemoteTrackStats(stats)
    }
  }
}
