// Audio.swift - sound that is heard: 20 ms of one participant, as a value.
import COffhook

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// 20 ms of one participant: an owned copy.
public struct AudioFrame: Sendable {
  public let userID: String
  /// Names the participant; one user may be in a call more than once.
  public let sessionID: String
  /// As in ``RemoteTrack``; "" in protocols without such names.
  public let trackID: String
  public let samples: Samples
  /// Samples per channel; 0 for Opus.
  public let frames: Int
  /// Samples per second and channel, as asked for.
  public let rate: Int
  public let channels: Int
  /// RTP timestamp of the first sample, 48 kHz, wraps around.
  public let timestamp: UInt32
  /// Loudness, 0.0 (silence) to 1.0; 0 for Opus.
  public let level: Float
  public let kind: TrackKind
  /// Invented to hide a loss (of Opus: packets before this one were lost).
  public let isConcealed: Bool
  /// The sender sent nothing; the samples are zero.
  public let isSilence: Bool

  /// Interleaved samples, or a packet, as asked for in ``CallOptions/audioFormat``.
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

  init(_ c: oh_audio) {
    self.init(c, user: text(c.user_id), session: text(c.session_id), track: text(c.track_id))
  }

  init(_ c: oh_audio, user: String, session: String, track: String) {
    userID = user
    sessionID = session
    trackID = track
    let count = Int(c.frames) * Int(c.channels)
    if let p = c.samples {
      samples = .s16(Array(UnsafeBufferPointer(start: p, count: count)))
    } else if let p = c.samples_f32 {
      samples = .f32(Array(UnsafeBufferPointer(start: p, count: count)))
    } else {
      samples = .opus(Array(UnsafeBufferPointer(start: c.packet, count: Int(c.packet_size))))
    }
    frames = Int(c.frames)
    rate = Int(c.rate)
    channels = Int(c.channels)
    timestamp = c.timestamp
    level = c.level
    kind = TrackKind(rawValue: c.kind)
    isConcealed = c.concealed != 0
    isSilence = c.silence != 0
  }
}

/// The names of those who are heard, so that a frame costs no text. Used by one callback at a time.
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
