// Options.swift - how to reach the service, what to join, where events and audio go, what is sent and to whom.
import COffhook

/// How to reach the service, and as whom. Zero and nil are the library's defaults.
public struct ClientOptions: Sendable {
  /// Base URL of the coordinator. On LiveKit the URL of the server; several of one cluster may be given,
  /// space-separated; tried in order.
  public var url: String
  /// The application's API key.
  public var apiKey: String?
  /// The user id; nil: the claim `user_id` (LiveKit: `sub`) of the token.
  public var userID: String?
  /// The user's token (a JWT); nil: every call asks for one with ``Event/Body/tokenNeeded``.
  public var token: String?
  /// PEM file with certificates to trust besides those of the system.
  public var caFile: String?
  /// URL whose response names the nearest edge in the header `x-amz-cf-pop`; nil: not requested.
  public var hintURL: String?
  /// Largest message accepted from an SFU, in bytes, 1024 to 67108864; 0: 1 MiB, on LiveKit 16 MiB.
  public var maxMessageBytes = 0
  /// The protocol of the service; by default by the URL.
  public var serviceProtocol: ServiceProtocol = .auto
  /// Allow plain http and ws to hosts that are not loopback. Tokens then travel in the clear.
  public var allowInsecure = false
  /// Allow tokens to be sent to hosts that the server names over a connection without TLS.
  public var allowOtherHosts = false
  /// Receive custom events of the coordinator (``Event/Body/custom(_:)``).
  public var receiveCustomEvents = false
  /// HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
  /// "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h://. nil: as the environment says
  /// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). "none": no proxy. Servers on loopback are always reached directly.
  public var proxy: String?
  /// The only network interfaces to use for media, by name: ["eth0", "wl*"]. A * at the end stands for any rest; a name
  /// that begins with ! is not used. Empty: those that routes to the SFU lead through.
  public var interfaces: [String] = []
  /// IP addresses to use for media.
  public var ipFamily: IPFamily = .any
  /// Use only addresses of TURN servers for media, and send the SFU no others.
  public var relayOnly = false
  /// Local UDP ports for media; nil: any. A session uses up to two ports of each local address, and while a call
  /// reconnects there are two sessions. All calls share the range; it holds at least two ports.
  public var mediaPorts: ClosedRange<UInt16>?
  /// Differentiated services code point of media packets, 0 to 63, for instance 46 (EF) for voice; 0: the system's.
  public var dscp: UInt8 = 0

  public init(url: String, userID: String? = nil, token: String? = nil) {
    self.url = url
    self.userID = userID
    self.token = token
  }

  func withC<R>(_ body: (UnsafePointer<oh_client_options>) throws -> R) throws -> R {
    try withTexts { c in
      var o = defaults(oh_client_options.self)
      o.url = try c(url)
      o.api_key = try c(apiKey)
      o.user_id = try c(userID)
      o.token = try c(token)
      o.ca_file = try c(caFile)
      o.hint_url = try c(hintURL)
      o.max_message_bytes = try nonNegative(maxMessageBytes, "maxMessageBytes")
      o.protocol = serviceProtocol.rawValue
      o.allow_insecure = allowInsecure.c
      o.allow_other_hosts = allowOtherHosts.c
      o.receive_custom_events = receiveCustomEvents.c
      o.proxy = try c(proxy)
      o.interfaces = try c(interfaces.isEmpty ? nil : interfaces.joined(separator: ","))
      o.ip_family = ipFamily.rawValue
      o.relay_only = relayOnly.c
      o.media_port_min = UInt32(mediaPorts?.lowerBound ?? 0)
      o.media_port_max = UInt32(mediaPorts?.upperBound ?? 0)
      o.dscp = UInt32(dscp)
      return try body(&o)
    }
  }
}

/// Where events and audio of a call go.
public enum Delivery: Sendable {
  /// ``Call/events`` and ``Call/audio``, bounded. Beyond `eventBuffer` new events are dropped and an event has their
  /// number. Never dropped are states, token requests, results of publishing and of procedure calls, and the end;
  /// reliable data, texts and procedure calls are dropped only beyond 4 MiB. Beyond `audioBuffer` frames of 20 ms the
  /// oldest is dropped and counted in ``Call/audioFramesDropped``. `audio: false`: audio is not delivered.
  case streams(eventBuffer: Int = 1024, audioBuffer: Int = 50, audio: Bool = true)
  /// Functions that are called on threads of the library.
  case handlers(CallHandlers)
}

/// Functions that the library calls on its own threads: those of one call one at a time and in order. They may use
/// everything of this package. One that blocks delays its own call only.
///
/// What a handler throws goes to `onError`, and the call goes on. Without `onError` it is printed to standard error.
public struct CallHandlers: Sendable {
  /// Receives events; nil: events are not delivered.
  public var onEvent: (@Sendable (CallHandle, Event) throws -> Void)?
  /// Receives audio; nil: audio is not delivered.
  public var onAudio: (@Sendable (CallHandle, AudioFrame) throws -> Void)?
  /// Receives what the other two throw.
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

/// What to join, and how. Zero and nil are the library's defaults, except where a comment says "zero".
public struct CallOptions: Sendable {
  /// Which call; on LiveKit the room, nil: the one that the token is for.
  public var callID: String?
  /// The type of the call; nil: "default".
  public var callType: String?
  /// Token for this call instead of the client's.
  public var token: String?
  /// The `data` of the join request as a JSON object.
  public var dataJSON: String?
  /// Where events and audio go; not used in pull mode.
  public var delivery: Delivery = .streams()
  /// Bytes of payload in events that wait in the library at most, 65536 to 1073741824; 0: 4194304.
  public var maxQueuedEventBytes = 0
  /// Events that wait in the library at most, 16 to 65536; 0: 1024.
  public var maxQueuedEvents: UInt32 = 0
  /// Audio frames that wait in the library at most, all tracks together, 1 to 4096; 0: 50.
  public var maxQueuedAudioFrames: UInt32 = 0
  /// Sample rate of received audio in Hz, 8000 to 192000; 0: 48000.
  public var audioSampleRateHz: UInt32 = 0
  /// Channels of received audio, 1 or 2; 0: 1.
  public var audioChannels: UInt32 = 0
  /// Format of received audio.
  public var audioFormat: AudioFormat = .s16
  /// Jitter buffer: least delay, 1 ms to 2 s; zero: none; nil: 20 ms.
  public var audioMinDelay: Duration?
  /// Jitter buffer: greatest delay, 20 ms to 2 s; nil: 200 ms, or the least delay when that is more.
  public var audioMaxDelay: Duration?
  /// Attempts to join on other edges after a failed one, 1 to 10; zero: none; nil: 3.
  public var joinRetries: UInt32?
  /// How long the call tries to reconnect before it ends; zero: it ends instead of reconnecting; nil: 30 s.
  public var reconnectTimeout: Timeout?
  /// How long leaving and closing go on sending what was accepted before, 1 ms to 1 s; zero: nothing more is sent; nil:
  /// 1 s.
  public var drain: Duration?
  /// Never receive (for a bot that only publishes).
  public var noSubscriber = false
  /// A track is received only when ``CallSubscriber/setTrack(_:_:)`` asks for it (``Capabilities/subscriptions``).
  public var noAutoSubscribe = false
  /// Deliver parts of texts while they arrive (``Event/Body/textPart(_:)``).
  public var textParts = false
  /// A track that a moderator unmutes stays muted until `setMuted(false)`; see ``TrackInfo/isHeld``.
  public var holdUnmute = false
  /// Ask for a new token with ``Event/Body/tokenNeeded`` when the token has expired. Always so without a token.
  public var renewToken = false
  /// Do not create the call when it does not exist (``Capabilities/ring``).
  public var noCreate = false
  /// Ring the members (``Capabilities/ring``).
  public var ring = false
  /// Notify the members (``Capabilities/ring``).
  public var notify = false

  public init(callID: String?, delivery: Delivery = .streams()) {
    self.callID = callID
    self.delivery = delivery
  }

  func withC<R>(_ body: (inout oh_call_options) throws -> R) throws -> R {
    try withTexts { c in
      var o = defaults(oh_call_options.self)
      o.call_id = try c(callID)
      o.call_type = try c(callType)
      o.token = try c(token)
      o.data_json = try c(dataJSON)
      o.max_queued_event_bytes = try nonNegative(maxQueuedEventBytes, "maxQueuedEventBytes")
      o.max_queued_events = maxQueuedEvents
      o.max_queued_audio_frames = maxQueuedAudioFrames
      o.audio_sample_rate_hz = audioSampleRateHz
      o.audio_channels = audioChannels
      o.audio_format = audioFormat.rawValue
      o.audio_min_delay_ms = option(audioMinDelay?.wholeMilliseconds)
      o.audio_max_delay_ms = audioMaxDelay?.wholeMilliseconds ?? 0
      o.join_retries = option(joinRetries)
      o.reconnect_timeout_ms = option(reconnectTimeout?.milliseconds)
      o.drain_ms = option(drain?.wholeMilliseconds)
      o.no_subscriber = noSubscriber.c
      o.no_auto_subscribe = noAutoSubscribe.c
      o.text_parts = textParts.c
      o.hold_unmute = holdUnmute.c
      o.renew_token = renewToken.c
      o.no_create = noCreate.c
      o.ring = ring.c
      o.notify = notify.c
      return try body(&o)
    }
  }
}

/// What is published, and how. Zero and nil are the library's defaults, except where a comment says "zero".
public struct AudioTrackOptions: Sendable {
  /// What the track carries: ``TrackSource/microphone`` or ``TrackSource/screenShareAudio``.
  public var source: TrackSource = .microphone
  /// Format of what will be written. 16-bit integers and floats may be mixed.
  public var format: AudioFormat = .s16
  /// Sample rate of what will be written in Hz, 8000 to 192000; 0: 48000.
  public var sampleRateHz: UInt32 = 0
  /// Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
  public var channels: UInt32 = 0
  /// Bit rate of Opus in bit/s, 6000 to 510000; 0: 64000, with music 128000.
  public var bitrateBps: UInt32 = 0
  /// Complexity of the Opus encoder, zero to 10; nil: the library's choice.
  public var complexity: UInt32?
  /// How much can be written ahead, 40 ms to 5 s; nil: 200 ms.
  public var buffer: Duration?
  /// Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent again with
  /// each packet, 1 or 2; zero: none; nil: 1.
  public var redFrames: UInt32?
  /// Music rather than speech.
  public var music = false
  /// No discontinuous transmission: silence is sent as well.
  public var noDTX = false
  /// No forward error correction inside Opus packets. It is used only while redundant audio is not.
  public var noFEC = false
  /// Publish it muted.
  public var muted = false
  /// Live audio (a microphone, a bridge): at most 40 ms wait; beyond it the oldest is dropped and counted
  /// (``CallStats/audioDroppedMilliseconds``). Writing never throws ``ResultCode/full``.
  public var live = false

  public init() {}

  func withC<R>(_ body: (UnsafePointer<oh_audio_track_options>) throws -> R) rethrows -> R {
    var o = defaults(oh_audio_track_options.self)
    o.source = source.rawValue
    o.format = format.rawValue
    o.sample_rate_hz = sampleRateHz
    o.channels = channels
    o.bitrate_bps = bitrateBps
    o.complexity = option(complexity)
    o.buffer_ms = buffer?.wholeMilliseconds ?? 0
    o.red_frames = option(redFrames)
    o.music = music.c
    o.no_dtx = noDTX.c
    o.no_fec = noFEC.c
    o.muted = muted.c
    o.live = live.c
    return try body(&o)
  }
}

/// Subscription settings of a remote track.
public struct RemoteTrackOptions: Sendable {
  /// Do not receive the track.
  public var unsubscribe = false
  /// Receive nothing for the moment; continues faster than after `unsubscribe`.
  public var pause = false
  /// Video: the layer, when neither width nor height is set.
  public var layer: VideoLayer = .high
  /// Video: width at which it is shown, in pixels; 0: not set.
  public var width: UInt32 = 0
  /// Video: height at which it is shown, in pixels; 0: not set.
  public var height: UInt32 = 0
  /// Video: frames per second at most; 0: no limit.
  public var maxFPS: UInt32 = 0
  /// When bandwidth is short: 1 is served first; 0: the SFU decides.
  public var priority: UInt32 = 0

  public init() {}

  func withC<R>(_ body: (UnsafePointer<oh_remote_track_options>) throws -> R) rethrows -> R {
    var o = defaults(oh_remote_track_options.self)
    o.unsubscribe = unsubscribe.c
    o.pause = pause.c
    o.layer = layer.rawValue
    o.width = width
    o.height = height
    o.max_fps = maxFPS
    o.priority = priority
    return try body(&o)
  }
}

/// To whom data or a text is sent, and how.
public struct DataOptions: Sendable {
  /// A topic for the application's own use.
  public var topic: String?
  /// User ids; empty: all participants.
  public var to: [String] = []
  /// Send each packet once, without repeating lost ones. Otherwise every packet arrives, in order. Ignored for texts.
  public var lossy = false

  public init(topic: String? = nil, to: [String] = [], lossy: Bool = false) {
    self.topic = topic
    self.to = to
    self.lossy = lossy
  }

  func withC<R>(_ body: (UnsafePointer<oh_data_options>) throws -> R) throws -> R {
    try withTexts { c in
      var o = defaults(oh_data_options.self)
      o.lossy = lossy.c
      o.topic = try c(topic)
      let names = try to.map { try c($0) }
      return try names.withUnsafeBufferPointer { names in
        o.to = names.isEmpty ? nil : names.baseAddress
        o.to_count = names.count
        return try body(&o)
      }
    }
  }
}

/// A number for a size_t of C, which Swift has as a signed one.
func nonNegative(_ value: Int, _ name: String) throws -> Int {
  guard value >= 0 else { throw OffhookError(code: .argument, detail: "\(name) must not be negative") }
  return value
}
