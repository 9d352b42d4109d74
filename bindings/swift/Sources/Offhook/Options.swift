// Options.swift - how to reach the service, what to join, who hears it, what is sent and to whom.
import COffhook

/// How to reach the service, and as whom.
public struct ClientOptions: Sendable {
  /// Base URL of the coordinator; with ``ServiceProtocol/liveKit`` the server's, several parted by spaces.
  public var url: String
  /// Who joins; nil: the user named in the token.
  public var userID: String?
  /// The user's token (a JWT); nil: every call asks for one with ``Event/Body/tokenNeeded``.
  public var token: String?
  /// The application's key at the service.
  public var apiKey: String?
  public var serviceProtocol: ServiceProtocol = .stream
  /// PEM file with certificates to trust besides those of the system.
  public var caFile: String?
  /// URL that tells the nearest edge.
  public var hintURL: String?
  /// Allows plain http and ws to hosts that are not loopback: tokens then travel in the clear.
  public var allowInsecure = false
  /// Also hear the coordinator's own events (``Event/Body/custom(_:)``).
  public var events = false
  /// Largest message taken from an SFU, in bytes, 1024 to 67108864; 0: 1 MiB, with LiveKit 16 MiB.
  public var maxMessageBytes: UInt32 = 0
  /// Tokens may go to hosts that the server names over a connection without TLS.
  public var allowOtherHosts = false

  public init(url: String, userID: String? = nil, token: String? = nil) {
    self.url = url
    self.userID = userID
    self.token = token
  }

  func withC<R>(_ body: (UnsafePointer<oh_client_options>) throws -> R) throws -> R {
    try withTexts { c in
      var o = coffhook_client_options()
      o.url = try c(url)
      o.user_id = try c(userID)
      o.token = try c(token)
      o.api_key = try c(apiKey)
      o.ca_file = try c(caFile)
      o.hint_url = try c(hintURL)
      o.allow_insecure = allowInsecure ? 1 : 0
      o.events = events ? 1 : 0
      o.protocol = serviceProtocol.rawValue
      o.max_message_bytes = maxMessageBytes
      o.allow_other_hosts = allowOtherHosts ? 1 : 0
      return try body(&o)
    }
  }
}

/// Who hears what happens in a call.
public enum Delivery: Sendable {
  /// ``Call/events`` and ``Call/audio``, bounded: beyond `eventBuffer` new events are dropped and an event says how
  /// many (states, token questions and the end never are, and reliable data, texts and procedure calls only beyond
  /// 4 MiB); beyond `audioBuffer` frames of 20 ms the oldest is dropped and counted in ``Call/lostAudioFrames``.
  /// `audio: false`: sound is not told.
  case streams(eventBuffer: Int = 1024, audioBuffer: Int = 50, audio: Bool = true)
  /// Called on threads of the library.
  case handlers(CallHandlers)
}

/// Functions that the library calls, those of one call one at a time and in order, on its own threads. They may use
/// everything of this package. One that blocks delays its own call only.
///
/// What a handler throws goes to `onError`; the call goes on. Without `onError` it is printed to standard error.
public struct CallHandlers: Sendable {
  public var onEvent: (@Sendable (CallHandle, Event) throws -> Void)?
  /// nil: sound is not told.
  public var onAudio: (@Sendable (CallHandle, AudioFrame) throws -> Void)?
  public var onError: (@Sendable (CallHandle, any Error) -> Void)?

  public init(
    onEvent: (@Sendable (CallHandle, Event) throws -> Void)? = nil,
    onAudio: (@Sendable (CallHandle, AudioFrame) throws -> Void)? = nil,
    onError: (@Sendable (CallHandle, any Error) -> Void)? = nil
  ) {
    self.onEvent = onEvent
    self.onAudio = onAudio
    self.onError = onError
  }
}

/// How long a leave goes on sending what was accepted before: audio, data, texts, custom events, answers.
public enum Drain: Sendable, Hashable {
  /// The library's default: 1 s.
  case standard
  /// 1 ms to 1 s.
  case upTo(Duration)
  /// What was not sent yet is given up at once.
  case off

  var milliseconds: UInt32 {
    switch self {
    case .standard: 0
    case .upTo(let duration): max(1, duration.wholeMilliseconds)
    case .off: OH_NO_DRAIN
    }
  }
}

/// What to join and how. Zero and nil mean the library's default.
public struct CallOptions: Sendable {
  /// Which call; with ``ServiceProtocol/liveKit`` the room, nil: the one that the token is for.
  public var id: String?
  /// nil: "default".
  public var callType: String?
  /// Token for this call instead of the client's.
  public var token: String?
  /// The `data` of the join request as a JSON object.
  public var dataJSON: String?
  /// Retries of a failed join on other edges, 0 to 10.
  public var joinRetries: Int32 = 3
  /// Samples per second of what is heard, 8000 to 192000; 0: 48000.
  public var audioRate: UInt32 = 0
  /// Channels of what is heard, 1 or 2; 0: 1.
  public var audioChannels: UInt32 = 0
  public var audioFormat: AudioFormat = .s16
  /// Receive buffer: least and greatest delay, up to 2 s; both zero: 20 to 200 ms.
  public var audioMinDelay: Duration = .zero
  public var audioMaxDelay: Duration = .zero
  /// Events that the library queues at most, 16 to 65536; 0: 1024.
  public var eventQueue: UInt32 = 0
  /// Frames of 20 ms that the library queues at most, 1 to 4096; 0: 50.
  public var audioQueue: UInt32 = 0
  /// Never receive (a publish-only bot).
  public var noSubscriber = false
  /// Do not create the call when it does not exist.
  public var noCreate = false
  /// Ring the members.
  public var ring = false
  /// Notify the members.
  public var notify = false
  /// How long a lost connection is looked for before the call ends; nil: 30 s.
  public var disconnectTimeout: Timeout?
  /// Ask with ``Event/Body/tokenNeeded`` when the token given has expired. Always so when none was given.
  public var renewToken = false
  /// A track is received only when ``CallSubscriber/setTrack(_:_:)`` asks for it (``Capabilities/subscriptions``).
  public var noAutoSubscribe = false
  /// How long leaving and closing go on sending what was accepted before.
  public var drain: Drain = .standard
  /// Pieces of texts come as they arrive, too (``Event/Body/textPart(_:)``).
  public var partialTexts = false
  /// A track that a moderator unmutes stays muted until `setMuted` agrees; see ``RemoteTrack/isHeld``.
  public var holdUnmute = false
  /// Bytes of payload in events that the library queues at most, 65536 to 1073741824; 0: 4194304.
  public var eventBytes: UInt32 = 0
  /// Who hears it; not looked at in pull mode.
  public var delivery: Delivery = .streams()

  public init(id: String?, delivery: Delivery = .streams()) {
    self.id = id
    self.delivery = delivery
  }

  func withC<R>(_ body: (inout oh_call_options) throws -> R) throws -> R {
    try withTexts { c in
      var o = coffhook_call_options()
      o.id = try c(id)
      o.call_type = try c(callType)
      o.token = try c(token)
      o.data_json = try c(dataJSON)
      o.join_retries = joinRetries
      o.audio_rate = audioRate
      o.audio_channels = audioChannels
      o.audio_format = audioFormat.rawValue
      o.audio_min_delay_ms = audioMinDelay.wholeMilliseconds
      o.audio_max_delay_ms = audioMaxDelay.wholeMilliseconds
      o.event_queue = eventQueue
      o.audio_queue = audioQueue
      o.no_subscriber = noSubscriber ? 1 : 0
      o.no_create = noCreate ? 1 : 0
      o.ring = ring ? 1 : 0
      o.notify = notify ? 1 : 0
      o.disconnect_timeout_ms = disconnectTimeout?.milliseconds ?? 0
      o.renew_token = renewToken ? 1 : 0
      o.no_auto_subscribe = noAutoSubscribe ? 1 : 0
      o.drain_ms = drain.milliseconds
      o.partial_texts = partialTexts ? 1 : 0
      o.hold_unmute = holdUnmute ? 1 : 0
      o.event_bytes = eventBytes
      return try body(&o)
    }
  }
}

/// What is sent and how. Zero means the library's default.
public struct AudioTrackOptions: Sendable {
  /// What will be written; 16-bit integers and floats may be mixed freely.
  public var format: AudioFormat = .s16
  /// Samples per second, 8000 to 192000; 0: 48000.
  public var rate: UInt32 = 0
  /// 1 to 8; 0: 1. More than two are mixed down.
  public var channels: UInt32 = 0
  /// bit/s of Opus, 6000 to 510000; 0: 64000, with music 128000.
  public var bitrate: UInt32 = 0
  /// Effort of the encoder, 0 to 10; -1: the library's choice.
  public var complexity: Int32 = -1
  /// How much may be written ahead, 40 ms to 5 s; zero: 200 ms.
  public var buffer: Duration = .zero
  /// Music rather than speech.
  public var music = false
  /// No discontinuous transmission: silence is sent, too.
  public var noDTX = false
  /// No forward error correction.
  public var noFEC = false
  /// Start muted.
  public var muted = false
  /// Live audio (a microphone, a bridge): at most 40 ms wait, beyond it the oldest is dropped and counted
  /// (``CallStats/audioDroppedMilliseconds``). A write never throws ``ResultCode/full`` then.
  public var live = false
  /// Redundant audio (RED, RFC 2198), where the SFU accepts it: earlier frames sent along, 1 or 2; -1: none, 0: 1.
  public var red: Int32 = 0

  public init() {}

  func withC<R>(_ body: (UnsafePointer<oh_audio_track_options>) throws -> R) rethrows -> R {
    var o = coffhook_audio_track_options()
    o.format = format.rawValue
    o.rate = rate
    o.channels = channels
    o.bitrate = bitrate
    o.complexity = complexity
    o.buffer_ms = buffer.wholeMilliseconds
    o.music = music ? 1 : 0
    o.no_dtx = noDTX ? 1 : 0
    o.no_fec = noFEC ? 1 : 0
    o.muted = muted ? 1 : 0
    o.live = live ? 1 : 0
    o.red = red
    return try body(&o)
  }
}

/// What is wanted of one remote track.
public struct RemoteTrackOptions: Sendable {
  /// Nothing at all.
  public var unsubscribe = false
  /// Nothing for the moment; comes back faster than after `unsubscribe`.
  public var pause = false
  /// Where no size is given.
  public var layer: VideoLayer = .high
  /// The size at which video is shown, in pixels; 0: not said.
  public var width: UInt32 = 0
  public var height: UInt32 = 0
  /// Frames per second at most; 0: not said.
  public var fps: UInt32 = 0
  /// Where bandwidth is short: 1 goes first; 0: the SFU decides.
  public var priority: UInt32 = 0

  public init() {}

  func withC<R>(_ body: (UnsafePointer<oh_remote_track_options>) throws -> R) rethrows -> R {
    var o = coffhook_remote_track_options()
    o.unsubscribe = unsubscribe ? 1 : 0
    o.pause = pause ? 1 : 0
    o.layer = layer.rawValue
    o.width = width
    o.height = height
    o.fps = fps
    o.priority = priority
    return try body(&o)
  }
}

/// To whom data or a text goes, and how.
public struct DataOptions: Sendable {
  /// Sent once, and what is lost is lost; else every one arrives, in order. Texts always do.
  public var lossy = false
  /// What it is about, for the application's own use.
  public var topic: String?
  /// User ids; empty: everybody in the call.
  public var to: [String] = []

  public init(topic: String? = nil, to: [String] = [], lossy: Bool = false) {
    self.topic = topic
    self.to = to
    self.lossy = lossy
  }

  func withC<R>(_ body: (UnsafePointer<oh_data_options>) throws -> R) throws -> R {
    try withTexts { c in
      var o = coffhook_data_options()
      o.lossy = lossy ? 1 : 0
      o.topic = try c(topic)
      let names = try to.map { try c($0) }
      return try names.withUnsafeBufferPointer { names in
        o.to = names.isEmpty ? nil : names.baseAddress
        o.to_count = UInt32(names.count)
        return try body(&o)
      }
    }
  }
}
