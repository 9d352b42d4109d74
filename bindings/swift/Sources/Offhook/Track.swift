// Track.swift - local tracks.
import COffhook

/// The 64-bit number of a local track, without ownership.
public struct TrackHandle: Sendable, Hashable, TrackOperations {
  public let id: UInt64
  public static let none = Self(id: 0)
  public init(id: UInt64) { self.id = id }
  init(_ c: oh_track) { id = c.id }
  var c: oh_track { oh_track(id: id) }
  public var handle: TrackHandle { self }
}

/// The result of ``TrackOperations/clear()``.
public struct Cleared: Sendable, Hashable {
  /// How much of everything written to the track was sent since it was published.
  public let sentMilliseconds: UInt64
  /// How much was discarded now.
  public let droppedMilliseconds: UInt64
}

/// A local track, owned: it is unpublished when the object is released.
public final class AudioTrack: Sendable, TrackOperations {
  public let handle: TrackHandle
  init(_ handle: TrackHandle) { self.handle = handle }
  deinit { oh_track_free(handle.c) }

  /// Unpublishes it and returns at once; what was written before is still sent. Closing twice does nothing.
  public func close() { oh_track_free(handle.c) }
}

/// What ``AudioTrack`` and ``TrackHandle`` can do. Every function may be called from every thread; writers of one track
/// should take turns.
public protocol TrackOperations: Sendable {
  var handle: TrackHandle { get }
}

extension TrackOperations {
  /// Writes interleaved 16-bit samples. Never waits: throws ``ResultCode/full`` when there is no room for all of it
  /// now (nothing was taken), ``ResultCode/closed`` when the track or its call has ended.
  public func write(_ samples: [Int16], channels: Int = 1) throws {
    try samples.withUnsafeBufferPointer { try write($0, channels: channels) }
  }

  /// As ``write(_:channels:)``, without an array.
  public func write(_ samples: UnsafeBufferPointer<Int16>, channels: Int = 1) throws {
    let frames = try frameCount(samples.count, channels)
    try check(oh_track_write_s16(handle.c, samples.baseAddress, frames))
  }

  /// Writes interleaved floats, -1 to 1; otherwise as with 16-bit samples.
  public func write(_ samples: [Float], channels: Int = 1) throws {
    try samples.withUnsafeBufferPointer { try write($0, channels: channels) }
  }

  public func write(_ samples: UnsafeBufferPointer<Float>, channels: Int = 1) throws {
    let frames = try frameCount(samples.count, channels)
    try check(oh_track_write_f32(handle.c, samples.baseAddress, frames))
  }

  /// Writes one Opus packet of 1 to 1500 bytes, on a track of the format ``AudioFormat/opus``.
  public func write(opus packet: [UInt8]) throws {
    try packet.withUnsafeBufferPointer { try check(oh_track_write_opus(handle.c, $0.baseAddress, $0.count)) }
  }

  /// Writes samples of any length, waiting for room; returns when all of them are buffered. The buffer does not drain until
  /// the track is published. Throws CancellationError when its task is cancelled; what was written before is still sent
  /// (see ``clear()``).
  public func play(_ samples: [Int16], channels: Int = 1, sampleRateHz: Int = 48000) async throws {
    try await play(samples, channels, sampleRateHz) { try write($0, channels: channels) }
  }

  public func play(_ samples: [Float], channels: Int = 1, sampleRateHz: Int = 48000) async throws {
    try await play(samples, channels, sampleRateHz) { try write($0, channels: channels) }
  }

  private func play<S>(
    _ samples: [S], _ channels: Int, _ rate: Int, _ write: (UnsafeBufferPointer<S>) throws -> Void
  ) async throws {
    _ = try frameCount(samples.count, channels)
    var at = 0
    while at < samples.count {
      let next = min(at + max(1, rate / 50) * channels, samples.count)
      do {
        try samples.withUnsafeBufferPointer { try write(UnsafeBufferPointer(rebasing: $0[at..<next])) }
        at = next
      } catch let error as OffhookError where error.code == .full {
        try await Task.sleep(for: .milliseconds(10))
      }
    }
  }

  /// Blocks this thread until there is room for so many samples per channel (a track of Opus packets: packets); not for
  /// tasks. Throws ``ResultCode/timeout``; ``ResultCode/wouldDeadlock`` inside a handler.
  @available(*, noasync, message: "blocks the thread: use play()")
  public func waitWritable(frames: Int, timeout: Timeout) throws {
    try check(oh_track_wait_writable(handle.c, nonNegative(frames, "frames"), timeout.milliseconds))
  }

  /// How much was written and not sent yet.
  public func bufferedMilliseconds() throws -> UInt32 {
    var ms: UInt32 = 0
    try check(oh_track_get_buffered_ms(handle.c, &ms))
    return ms
  }

  /// Statistics of the track. Works until it is closed, also after its end.
  public func stats() throws -> TrackStats {
    var c = defaults(oh_track_stats.self)
    try check(oh_track_get_stats(handle.c, &c))
    return TrackStats(c)
  }

  /// Waits until everything that was written has been sent. Throws ``ResultCode/closed`` when the track or its call is
  /// over.
  public func drain() async throws {
    while true {
      let result = oh_track_wait_drained(handle.c, 0)
      if result != OH_ERR_TIMEOUT.rawValue { return try check(result) }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Discards what was written and not sent yet; what is written next is sent at once. For an answer that is interrupted
  /// (barge-in).
  @discardableResult
  public func clear() throws -> Cleared {
    var sent: UInt64 = 0
    var dropped: UInt64 = 0
    try check(oh_track_clear(handle.c, &sent, &dropped))
    return Cleared(sentMilliseconds: sent, droppedMilliseconds: dropped)
  }

  /// Mutes or unmutes the track. What is written while muted is never sent. The others are informed, and the track stays
  /// published.
  public func setMuted(_ muted: Bool) throws {
    try check(oh_track_set_muted(handle.c, muted.c))
  }

  private func frameCount(_ samples: Int, _ channels: Int) throws -> Int {
    guard channels > 0, samples % channels == 0 else {
      throw OffhookError(code: .argument, detail: "\(samples) samples are not whole frames of \(channels) channels")
    }
    return samples / channels
  }
}
