// Audio.swift - received audio: 20 ms of one track, as a value.
import COffhook

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// 20 ms of one track's audio, or one Opus packet. A copy that stays valid.
public struct AudioFrame: Sendable {
  public let userID: String
  /// The session id of the participant; one user can be in a call more than once.
  public let sessionID: String
  /// As in ``TrackInfo``; "" in protocols without track ids.
  public let trackID: String
  public let samples: Samples
  /// Samples per channel; 0 for Opus.
  public let frames: Int
  /// As set in ``CallOptions/audioSampleRateHz``.
  public let sampleRateHz: Int
  public let channels: Int
  /// When the first sample was captured: microseconds since 1970 by the clock of the sender, which is the same for all
  /// tracks of a participant; 0: not known (yet). Clocks of different machines differ.
  public let captureTimeMicroseconds: Int64
  /// When the packet of the first sample arrived: microseconds since the join began, by the clock of this machine; 0: it
  /// was in no packet (concealed, silence).
  public let arrivalTimeMicroseconds: Int64
  /// RTP timestamp of the first sample, 48 kHz; wraps around.
  public let rtpTimestamp: UInt32
  /// Audio level, 0.0 (silence) to 1.0; 0 for Opus.
  public let level: Float
  /// What the track carries.
  public let source: TrackSource
  /// Synthesised by packet-loss concealment (Opus: packets before this one were lost).
  public let isConcealed: Bool
  /// The sender sent nothing (muted, or discontinuous transmission); the samples are zero.
  public let isSilence: Bool

  /// Interleaved samples, or a packet, as set in ``CallOptions/audioFormat``.
  public enum Samples: Sendable {
    case s16([Int16])
    case f32([Float])
    case opus([UInt8])
  }

  public var format: AudioFormat {
    switch samples {
    case .s16: .s16
    case .f32: .f32
    case .opus: .opus
    }
  }

  init(_ c: oh_audio_frame) {
    self.init(c, user: text(c.user_id), session: text(c.session_id), track: text(c.track_id))
  }

  init(_ c: oh_audio_frame, user: String, session: String, track: String) {
    userID = user
    sessionID = session
    trackID = track
    let count = c.frames * Int(c.channels)
    if let p = c.samples_s16 {
      samples = .s16(Array(UnsafeBufferPointer(start: p, count: count)))
    } else if let p = c.samples_f32 {
      samples = .f32(Array(UnsafeBufferPointer(start: p, count: count)))
    } else {
      samples = .opus(Array(UnsafeBufferPointer(start: c.opus_packet, count: c.opus_packet == nil ? 0 : c.opus_packet_size)))
    }
    frames = c.frames
    sampleRateHz = Int(c.sample_rate_hz)
    channels = Int(c.channels)
    captureTimeMicroseconds = c.capture_time_us
    arrivalTimeMicroseconds = c.arrival_time_us
    rtpTimestamp = c.rtp_timestamp
    level = c.level
    source = TrackSource(rawValue: c.source)
    isConcealed = c.concealed != 0
    isSilence = c.silence != 0
  }
}

/// The names of received tracks, so that a frame needs no new strings. Used by one callback at a time.
struct NameCache {
  typealias Names = (user: String, session: String, track: String)
  private var names: [Names] = []
  private var last = 0

  mutating func find(
    _ user: UnsafePointer<CChar>?, _ session: UnsafePointer<CChar>?, _ track: UnsafePointer<CChar>?
  ) -> Names {
    guard let user, let session, let track else { return (text(user), text(session), text(track)) }
    if last < names.count, same(names[last], user, session, track) { return names[last] }
    for i in names.indices where same(names[i], user, session, track) {
      last = i
      return names[i]
    }
    if names.count == 64 { names.removeAll(keepingCapacity: true) }
    last = names.count
    names.append((String(cString: user), String(cString: session), String(cString: track)))
    return names[last]
  }

  private func same(
    _ known: Names, _ user: UnsafePointer<CChar>, _ session: UnsafePointer<CChar>, _ track: UnsafePointer<CChar>
  ) -> Bool {
    same(known.session, session) && same(known.track, track) && same(known.user, user)
  }

  private func same(_ text: String, _ c: UnsafePointer<CChar>) -> Bool {
    let count = text.utf8.count
    return text.utf8.withContiguousStorageIfAvailable {
      strncmp($0.baseAddress!, c, count) == 0 && c[count] == 0
    } ?? (text == String(cString: c))
  }
}

private func strncmp(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<CChar>, _ count: Int) -> Int32 {
  a.withMemoryRebound(to: CChar.self, capacity: count) { strncmp($0, b, count) }
}
