// MoreTests.swift - what the rows leave out: other forms of sound, many kinds of events; and, because the development
// SFU has no data and no procedure calls, those as the library would hand them over.
import COffhook
import Foundation
import Synchronization
import XCTest

@testable import Offhook

final class MoreTests: XCTestCase {
  func testFormats() async throws {
    let talker = try await Peer("sw-form-talker", "sw-forms")
    var sound = AudioTrackOptions()
    sound.format = .f32
    sound.rate = 44100
    sound.channels = 2
    sound.noDTX = true
    let track = try talker.call.publishAudio(sound)
    let playing = Task {
      let second = (0..<44100).flatMap { i -> [Float] in
        let x = Float(0.3 * sin(2 * Double.pi * 440 * Double(i) / 44100))
        return [x, x]
      }
      while !Task.isCancelled { try await track.play(second, channels: 2, rate: 44100) }
    }
    defer { playing.cancel() }
    let client = try makeClient("sw-form-hearer")
    var options = CallOptions(id: "sw-forms")
    options.audioFormat = .f32
    options.audioRate = 16000
    options.audioChannels = 2
    options.audioMaxDelay = .milliseconds(300)
    let floats = options
    let first = try await within(15, "floats") {
      let call = try await client.join(floats)
      for await frame in call.audio where frame.level > 0.05 { return frame }
      throw TestFailure("the stream ended")
    }
    guard case .f32(let samples) = first.samples else { return XCTFail("\(first.format) instead of floats") }
    XCTAssertEqual([first.rate, first.channels, first.frames, samples.count], [16000, 2, 320, 640])
    XCTAssertEqual(first.kind, .audio)
    // Packets in, packets out.
    options = CallOptions(id: "sw-forms")
    options.audioFormat = .opus
    let packets = options
    let relayed = try await within(20, "packets passed on") {
      let call = try await makeClient("sw-form-relay").join(packets)
      var form = AudioTrackOptions()
      form.format = .opus
      form.buffer = .seconds(2)
      let relay = try call.publishAudio(form)
      XCTAssertEqual(code { try relay.write([Int16](repeating: 0, count: 960)) }, .state)
      XCTAssertEqual(code { try relay.write(opus: []) }, .argument)
      var relayed = 0
      for await frame in call.audio {
        guard frame.userID == "sw-form-talker", case .opus(let packet) = frame.samples else { continue }
        try relay.write(opus: packet)
        relayed += 1
        if try relayed > 20 && call.stats().packetsSent > 10 { return relayed }
      }
      return relayed
    }
    XCTAssertGreaterThan(relayed, 20)
    XCTAssertEqual(code { try track.write([0, 0, 0] as [Float], channels: 2) }, .argument)
    try await talker.leave()
  }

  func testKindsOfEvents() async throws {
    let other = try await Peer("sw-kinds-other", "sw-kinds")
    var service = ClientOptions(url: SFU.url, userID: "sw-kinds", token: "development")
    service.events = true
    let client = try Client(service)
    let recorder = Recorder()
    let call = try await within(15, "joined") {
      try await client.join(CallOptions(id: "sw-kinds", delivery: .handlers(recorder.handlers)))
    }
    let session = try XCTUnwrap(SFU.session("sw-kinds-other")?.values["session_id"] as? String)
    func send(_ event: String) throws { try SFU.ctl("send_event", #"{"user_id":"sw-kinds","event":{\#(event)}}"#) }
    try send(
      #""connectionQualityChanged":{"connectionQualityUpdates":[{"userId":"sw-kinds-other","sessionId":"\#(session)","connectionQuality":"CONNECTION_QUALITY_POOR"}]}"#
    )
    try send(
      #""audioLevelChanged":{"audioLevels":[{"userId":"sw-kinds-other","sessionId":"\#(session)","level":0.5,"isSpeaking":true}]}"#
    )
    try send(#""dominantSpeakerChanged":{"userId":"sw-kinds-other","sessionId":"\#(session)"}"#)
    try SFU.ctl("pins", #"{"cid":"default:sw-kinds","sessions":["\#(session)"]}"#)
    try SFU.ctl("grants", #"{"user_id":"sw-kinds","audio":false,"video":true,"screenshare":true,"message":"hush"}"#)
    try SFU.ctl("error", #"{"user_id":"sw-kinds","code":500,"message":"only said","strategy":0,"should_retry":false}"#)
    try call.sendCustom(json: #"{"type":"greeting","n":1}"#)

    let quality = try await recorder.wait("quality") { if case .connectionQuality(let q) = $0 { q } else { nil } }
    XCTAssertEqual([quality.userID, quality.sessionID], ["sw-kinds-other", session])
    XCTAssertEqual(quality.quality, .poor)
    let level = try await recorder.wait("level") { if case .audioLevel(let l) = $0, l.isSpeaking { l } else { nil } }
    XCTAssertEqual(level.level, 0.5)
    let speaker = try await recorder.wait("speaker") { if case .dominantSpeaker(let p) = $0 { p } else { nil } }
    XCTAssertEqual(speaker.userID, "sw-kinds-other")
    let pins = try await recorder.wait("pins") { if case .pins(let p) = $0, !p.isEmpty { p } else { nil } }
    XCTAssertEqual(pins.map(\.sessionID), [session])
    let grants = try await recorder.wait("grants") { if case .grants(let g) = $0, !g.audio { g } else { nil } }
    XCTAssertTrue(grants.video && grants.screenShare)
    let error = try await recorder.wait("error") { if case .error(let e) = $0 { e } else { nil } }
    XCTAssertEqual(error.serverCode, 500)
    XCTAssertFalse(error.detail.isEmpty)
    let custom = try await recorder.wait("custom") { if case .custom(let c) = $0 { c } else { nil } }
    XCTAssertEqual([custom.userID, custom.type], ["sw-kinds", "greeting"])
    XCTAssertTrue(custom.json.contains("\"n\":1"))
    _ = try await within(5, "leaves") { try await call.leave() }
    try await other.leave()
  }

  /// Hands the callbacks of a call what the library would.
  private final class Feed: @unchecked Sendable {
    let context: CallContext
    private var options = oh_call_options()

    init(_ delivery: Delivery) {
      context = CallContext(delivery)
      _ = context.install(in: &options)
    }
    func give(_ kind: Int32, _ fill: (inout oh_event_data) -> Void) {
      var event = oh_event()
      event.kind = kind
      event.call = oh_call(id: 7)
      event.at_ms = 11
      fill(&event.u)
      options.handlers.on_event(options.handlers.user_data, event.call, &event)
    }
    func destroy() { options.handlers.destroy(options.handlers.user_data) }
  }

  private final class Begun: Sendable {
    let number = Atomic<Int>(0)
  }

  func testProcedureCalls() async throws {
    let feed = Feed(.handlers(CallHandlers()))
    @Sendable func respond(_ id: UInt64, _ payload: String, _ code: UInt32 = 0, _ why: String = "") {
      payload.withCString { payload in
        why.withCString { why in
          feed.give(EventKind.rpcResponse.rawValue) {
            $0.rpc = oh_event_rpc(
              call_id: id, request_id: why, user_id: why, method: why, payload: payload, text: why, error_code: code,
              timeout_ms: 0)
          }
        }
      }
    }
    let context = feed.context
    // Answered by another thread while the call is still being made: the answer waits for its task.
    let fast = try await within(5, "the fast answer") {
      try await context.rpc {
        Thread.detachNewThread { respond(5, "forty-two") }
        return 5
      }
    }
    XCTAssertEqual(fast, "forty-two")
    let begun = Begun()
    let failing = Task {
      try await context.rpc {
        begun.number.store(6, ordering: .releasing)
        return 6
      }
    }
    try await eventually("it has begun") { begun.number.load(ordering: .acquiring) == 6 }
    respond(99, "somebody else's")
    respond(6, "data", RPCCode.unsupportedMethod.rawValue, "no such procedure")
    let failed = try await within(5, "the failure") { await failing.result }
    XCTAssertThrowsError(try failed.get()) {
      XCTAssertEqual($0 as? RPCError, RPCError(code: .unsupportedMethod, message: "no such procedure", data: "data"))
    }
    let cancelled = Task { try await context.rpc { 8 } }
    cancelled.cancel()
    let result = try await within(5, "cancelled") { await cancelled.result }
    XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError) }
    let last = Task {
      try await context.rpc {
        begun.number.store(9, ordering: .releasing)
        return 9
      }
    }
    try await eventually("it has begun") { begun.number.load(ordering: .acquiring) == 9 }
    feed.destroy()
    let over = try await within(5, "the end") { await last.result }
    XCTAssertThrowsError(try over.get()) { XCTAssertEqual(($0 as? OffhookError)?.code, .closed) }
  }

  func testEventsOfOtherProtocols() throws {
    let seen = Mutex<[Event.Body]>([])
    let feed = Feed(.handlers(CallHandlers(onEvent: { _, event in seen.withLock { $0.append(event.body) } })))
    func last() -> Event.Body { seen.withLock { $0.last! } }
    "a".withCString { a in
      "b".withCString { b in
        let bytes: [UInt8] = [1, 0, 255]
        bytes.withUnsafeBufferPointer { bytes in
          feed.give(EventKind.data.rawValue) {
            $0.data = oh_event_data_packet(
              user_id: a, session_id: b, topic: b, bytes: bytes.baseAddress, size: 3, lossy: 1)
          }
        }
        guard case .data(let data) = last() else { return XCTFail("data") }
        XCTAssertEqual(data.bytes, [1, 0, 255])
        XCTAssertEqual([data.userID, data.sessionID, data.topic], ["a", "b", "b"])
        XCTAssertTrue(data.isLossy)
        feed.give(EventKind.data.rawValue) {
          $0.data = oh_event_data_packet(user_id: a, session_id: b, topic: b, bytes: nil, size: 0, lossy: 0)
        }
        guard case .data(let none) = last() else { return XCTFail("data") }
        XCTAssertEqual(none.bytes, [])
        feed.give(EventKind.text.rawValue) {
          $0.text.user_id = a
          $0.text.session_id = b
          $0.text.topic = b
          $0.text.id = a
          $0.text.text = b
        }
        guard case .text(let text) = last() else { return XCTFail("text") }
        XCTAssertEqual([text.userID, text.id, text.text], ["a", "a", "b"])
        feed.give(EventKind.room.rawValue) {
          $0.room.id = a
          $0.room.name = b
          $0.room.metadata = b
          $0.room.recording = 1
        }
        guard case .room(let room) = last() else { return XCTFail("room") }
        XCTAssertEqual([room.id, room.name, room.metadata], ["a", "b", "b"])
        XCTAssertTrue(room.isRecording)
        feed.give(EventKind.rpcRequest.rawValue) {
          $0.rpc = oh_event_rpc(
            call_id: 0, request_id: a, user_id: b, method: a, payload: b, text: b, error_code: 0, timeout_ms: 5000)
        }
        guard case .rpcRequest(let request) = last() else { return XCTFail("request") }
        XCTAssertEqual([request.requestID, request.userID, request.method, request.payload], ["a", "b", "a", "b"])
        XCTAssertEqual(request.timeoutMilliseconds, 5000)
        feed.give(EventKind.subscribable.rawValue) {
          $0.subscribable.user_id = a
          $0.subscribable.session_id = b
          $0.subscribable.track_id = a
          $0.subscribable.allowed = 1
        }
        guard case .subscribable(let track) = last() else { return XCTFail("subscribable") }
        XCTAssertEqual([track.userID, track.sessionID, track.trackID], ["a", "b", "a"])
        XCTAssertTrue(track.isAllowed)
        feed.give(4711) { _ in }
        guard case .unknown = last() else { return XCTFail("a kind of later") }
      }
    }
    feed.destroy()
  }
}
