// CallOperations.swift - everything that can be done with a call, whether one owns it or has only its handle.
import COffhook

/// The 64-bit number of a call, without ownership: copy it, keep it, send it to other tasks. When the call is gone
/// everything throws ``ResultCode/handle``. Handlers and events are given this.
public struct CallHandle: Sendable, Hashable, CallOperations {
  public let id: UInt64
  public static let none = Self(id: 0)
  public init(id: UInt64) { self.id = id }
  init(_ c: oh_call) { id = c.id }
  var c: oh_call { oh_call(id: id) }
  public var handle: CallHandle { self }
}

/// What ``Call``, ``PulledCall`` and ``CallHandle`` can do. Everything may be called from every thread, inside
/// handlers too, and returns at once unless it says otherwise. Throws ``OffhookError``.
public protocol CallOperations: Sendable {
  var handle: CallHandle { get }
}

extension CallOperations {
  /// The state the call is in now.
  public func state() throws -> CallState {
    var value: Int32 = 0
    try check(oh_call_state(handle.c, &value))
    return CallState(rawValue: value)
  }

  /// What the call was given and what it decided, as lines of JSON without secrets: for a report of a defect. Also when
  /// it is over, until it is freed.
  public func trace() throws -> String {
    var size = 256 * 1024
    while true {
      var buffer = [CChar](repeating: 0, count: size)
      var needed = 0
      try check(oh_call_trace(handle.c, &buffer, buffer.count, &needed))
      if needed < size { return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } }
      size = needed + needed / 2 + 1  // a call that goes on may need more the next time
    }
  }

  /// What the call's protocol can do.
  public func capabilities() throws -> Capabilities {
    var bits: UInt64 = 0
    try check(oh_call_capabilities(handle.c, &bits))
    return Capabilities(rawValue: bits)
  }

  /// Figures of the call, also when it is over, until it is closed.
  public func stats() throws -> CallStats {
    var c = oh_call_stats()
    c.size = UInt32(MemoryLayout<oh_call_stats>.size)
    try check(oh_call_get_stats(handle.c, &c))
    return CallStats(c)
  }

  /// Begins to leave; the ended event comes within 2 s. Leaving twice, or after the end, is fine.
  public func startLeave(reason: String? = nil) throws {
    try withTexts { c in try check(oh_call_leave(handle.c, c(reason))) }
  }

  /// Blocks this thread until the call is in a state; not for tasks. Throws ``ResultCode/timeout``, what the call
  /// ended with, or ``ResultCode/wouldDeadlock`` inside a handler of the same call.
  @available(*, noasync, message: "blocks the thread: use joined() or ended() of Call")
  public func wait(for state: CallState, timeout: Timeout) throws {
    try check(oh_call_wait(handle.c, state.rawValue, timeout.milliseconds))
  }

  /// Answers ``Event/Body/tokenNeeded``, inside the handler or later; nil: there is none, the join fails.
  public func provideToken(_ token: String?) throws {
    try withTexts { c in try check(oh_call_provide_token(handle.c, c(token))) }
  }

  /// Sends a custom event, a JSON object of 16384 bytes at most, to everyone who watches the call. What could not be
  /// sent comes as ``Event/Body/error(_:)``.
  public func sendCustom(json: String) throws {
    try withTexts { c in try check(oh_call_send_custom(handle.c, c(json))) }
  }

  /// Sends a packet, 60000 bytes at most, to other participants (``Capabilities/data``).
  public func send(data: some Sequence<UInt8>, _ options: DataOptions = DataOptions()) throws {
    let bytes = ContiguousArray(data)
    try options.withC { o in
      try bytes.withUnsafeBufferPointer { try check(oh_call_send_data(handle.c, o, $0.baseAddress, $0.count)) }
    }
  }

  /// Sends a text, 1 MiB at most, to other participants (``Capabilities/text``); it arrives whole.
  public func send(text: String, _ options: DataOptions = DataOptions()) throws {
    try withTexts { c in
      let text = try c(text)
      try options.withC { o in try check(oh_call_send_text(handle.c, o, text)) }
    }
  }

  /// Changes what this participant says of itself (``Capabilities/attributes``); nil stays as it is, of the
  /// attributes only those named change and "" deletes. What the server refuses comes as ``Event/Body/error(_:)``.
  public func setAttributes(name: String? = nil, metadata: String? = nil, attributesJSON: String? = nil) throws {
    try withTexts { c in
      try check(oh_call_set_attributes(handle.c, c(name), c(metadata), c(attributesJSON)))
    }
  }

  /// Publishes an audio track; ``Event/Body/localPublished(_:)`` or ``Event/Body/localFailed(_:)`` tells the result.
  /// May be called before the call is joined. One at a time per call. The track ends with the object or the call.
  public func publishAudio(_ options: AudioTrackOptions = AudioTrackOptions()) throws -> AudioTrack {
    var track = oh_track()
    try options.withC { try check(oh_call_publish_audio(handle.c, $0, &track)) }
    return AudioTrack(TrackHandle(track))
  }

  /// What I send in this call.
  public func publisher() throws -> CallPublisher {
    var c = oh_publisher()
    try check(oh_call_publisher(handle.c, &c))
    return CallPublisher(id: c.id)
  }

  /// What I receive in this call.
  public func subscriber() throws -> CallSubscriber {
    var c = oh_subscriber()
    try check(oh_call_subscriber(handle.c, &c))
    return CallSubscriber(id: c.id)
  }
}

/// What I send in a call; owned by the call.
public struct CallPublisher: Sendable, Hashable {
  public let id: UInt64
  var c: oh_publisher { oh_publisher(id: id) }
  /// Stops sending for good while the call goes on. Closing twice is fine.
  public func close() throws { try check(oh_publisher_close(c)) }
  /// Closes it and frees its handle; the call goes on. Freeing twice does nothing.
  public func free() { oh_publisher_free(c) }
}

/// What I receive in a call; owned by the call.
public struct CallSubscriber: Sendable, Hashable {
  public let id: UInt64
  var c: oh_subscriber { oh_subscriber(id: id) }
  /// Stops receiving for good while the call goes on: no sound is handed over afterwards. Waits for a handler in
  /// progress on another thread. Closing twice is fine.
  public func close() throws { try check(oh_subscriber_close(c)) }
  /// Closes it and frees its handle; the call goes on. Freeing twice does nothing.
  public func free() { oh_subscriber_free(c) }
  /// Says what is wanted of one remote track (``Capabilities/subscriptions``); nil: the track, as good as it is. The
  /// last wish wins and is kept over reconnects.
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
}
