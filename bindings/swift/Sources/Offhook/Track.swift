// Track.swift - a track that I publish.
import COffhook

/// The 64-bit number of a track, without ownership.
public struct TrackHandle: Sendable, Hashable, TrackOperations {
  public let id: UInt64
  public static let none = Self(id: 0)
  public init(id: UInt64) { self.id = id }
  init(_ c: oh_track) { id = c.id }
  var c: oh_track { oh_track(id: id) }
  public var handle: TrackHandle { self }
}

/// What `clear` gives.
public struct Cleared: Sendable, Hashable {
  /// Of everything written since the track was published, was sent.
  public let sentMilliseconds: UInt64
  /// Was discarded now.
  public let droppedMilliseconds: UInt32
}

/// A track of mine, owned: when the object goes, the track stops and is unpublished.
public final class AudioTrack: Sendable, TrackOperations {
  public let handle: TrackHandle
  init(_ handle: TrackHandle) { self.handle = handle }
  deinit { oh_track_free(handle.c) }

  /// Stops and unpublishes it; does not wait: what was written is still sent. Closing twice does nothing.
  public func close() { oh_track_free(handle.c) }
}

/// What ``AudioTrack`` and ``TrackHandle`` can do. Every thread; writers of one track should take turns.
public protocol TrackOperations: Sendable {
  var handle: TrackHandle { get }
}

extension TrackOperations {
  /// Writes interleaved 16-bit samples. Never waits: throws ``ResultCode/full`` when there is no room for all of it
  /// now (nothing was taken), ``ResultCode/closed`` when the track or its call is over.
  public func write(_ samples: [Int16], channels: Int = 1) throws {
    try samples.withUnsafeBufferPointer { try write($0, channels: channels) }
  }

  /// As ``write(_:channels:)``, without an array.
  public func write(_ samples: UnsafeBufferPointer<Int16>, channels: Int = 1) throws {
    let frames = try frameCount(samples.count, channels)
    try check(oh_track_write_s16(handle.c, samples.baseAddress, frames))
  }

  /// Writes interleaved floats, -1 to 1; else as with 16-bit samples.
  public func write(_ samples: [Float], channels: Int = 1) throws {
    try samples.withUnsafeBufferPointer { try write($0, channels: channels) }
  }

  public func write(_ samples: UnsafeBufferPointer<Float>, channels: Int = 1) throws {
    let frames = try frameCount(samples.count, channels)
    try check(oh_track_write_f32(handle.c, samples.baseAddress, frames))
  }

  /// Writes one Opus packet of 1 to 1500 bytes, on a track of that format.
  public func write(opus packet: [UInt8]) throws {
    try packet.withUnsafeBufferPointer { try check(oh_track_write_opus(handle.c, $0.baseAddress, UInt32($0.count))) }
  }

  /// Writes samples as soon as there is room for them, a piece at a time; returns when all was taken. Before the
  /// track is on the air nothing makes room. Throws CancellationError when its task is cancelled.
  public func play(_ samples: [Int16], channels: Int = 1, rate: Int = 48000) async throws {
    try await play(samples, channels, rate) { try write($0, channels: channels) }
  }

  public func play(_ samples: [Float], channels: Int = 1, rate: Int = 48000) async throws {
    try await play(samples, channels, rate) { try write($0, channels: channels) }
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

  /// Blocks this thread until there is room for so many samples per channel (of a track of Opus: packets); not for
  /// tasks. Throws ``ResultCode/timeout``; ``ResultCode/wouldDeadlock`` inside a handler.
  @available(*, noasync, message: "blocks the thread: use play()")
  public func waitForRoom(frames: Int, timeout: Timeout) throws {
    try check(oh_track_wait(handle.c, UInt32(clamping: frames), timeout.milliseconds))
  }

  /// What was written and not sent yet, in ms.
  public func bufferedMilliseconds() throws -> UInt32 {
    var ms: UInt32 = 0
    try check(oh_track_buffered_ms(handle.c, &ms))
    return ms
  }

  /// Waits until all that was written was sent; for the end of what was said. Throws ``ResultCode/closed`` when the
  /// track or its call is over.
  public func drain() async throws {
    while true {
      let result = oh_track_drain(handle.c, 0)
      if result != OH_ERR_TIMEOUT.rawValue { return try check(result) }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Empties the buffer at once: what was written and not sent yet is never sent (a speaker is interrupted).
  @discardableResult
  public func clear() throws -> Cleared {
    var sent: UInt64 = 0
    var dropped: UInt32 = 0
    try check(oh_track_clear(handle.c, &sent, &dropped))
    return Cleared(sentMilliseconds: sent, droppedMilliseconds: dropped)
  }

  /// Mutes or unmutes: media follows at once, the others are told, the last intent wins.
  public func setMuted(_ muted: Bool) throws {
    try check(oh_track_set_muted(handle.c, muted ? 1 : 0))
  }

  private func frameCount(_ samples: Int, _ channels: Int) throws -> UInt32 {
    guard channels > 0, samples % channels == 0, let frames = UInt32(exactly: samples / channels) else {
      throw OffhookError(code: .argument, detail: "\(samples) samples are not whole frames of \(channels) channels")
    }
    return frames
  }
}
