// MoreTests.swift - tests beyond the rows: formats of audio, several tracks, kinds of events, sizes of structures.
// The development SFU has no data and no RPC: their events are passed as the library passes them.
import COffhook
import Foundation
import Synchronization
import XCTest

@testable import Offhook

final class MoreTests: XCTestCase {
  func testFormats() async throws {
    let sender = try await Peer("sw-form-sender", "sw-forms")
    var trackOptions = AudioTrackOptions()
    trackOptions.format = .f32
    trackOptions.sampleRateHz = 44100
    trackOptions.channels = 2
    trackOptions.noDTX = true
    let track = try sender.call.publishAudio(trackOptions)
    let playing = Task {
      let second = (0..<44100).flatMap { i -> [Float] in
        let x = Float(0.3 * sin(2 * Double.pi * 440 * Double(i) / 44100))
        return [x, x]
      }
      while !Task.isCancelled { try await track.play(second, channels: 2, sampleRateHz: 44100) }
    }
    defer { playing.cancel() }
    let client = try makeClient("sw-form-receiver")
    var options = CallOptions(callID: "sw-forms")
    options.audioFormat = .f32
    options.audioSampleRateHz = 16000
    options.audioChannels = 2
    options.audioMaxDelay = .milliseconds(300)
    let floats = options
    let first = try await within(15, "floats") {
      let call = try await client.join(floats)
      for await frame in call.audio where frame.level > 0.05 { return frame }
      throw TestFailure("the stream ended")
    }
    guard case .f32(let samples) = first.samples else { return XCTFail("\(first.format) instead of floats") }
    XCTAssertEqual([first.sampleRateHz, first.channels, first.frames, samples.count], [16000, 2, 320, 640])
    XCTAssertEqual(first.source, .microphone)
    // Packets in both directions.
    options = CallOptions(callID: "sw-forms")
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
        guard frame.userID == "sw-form-sender", case .opus(let packet) = frame.samples else { continue }
        try relay.write(opus: packet)
        relayed += 1
        if try relayed > 20 && call.stats().packetsSent > 10 { return relayed }
      }
      return relayed
    }
    XCTAssertGreaterThan(relayed, 20)
    XCTAssertEqual(code { try track.write([0, 0, 0] as [Float], channels: 2) }, .argument)
    try await sender.leave()
  }

  func testSnapshotAndSeveralTracks() async throws {
    let sender = try await Peer("sw-snap-sender", "sw-snap")
    let listener = try await Peer("sw-snap-listener", "sw-snap")
    let voice = try sender.publishTone(440)
    var options = AudioTrackOptions()
    options.source = .screenShareAudio
    options.noDTX = true
    let screen = try sender.call.publishAudio(options)
    let playing = Task {
      while !Task.isCancelled { try await screen.play(tone(880, milliseconds: 1000)) }
    }
    defer { playing.cancel() }
    let sources: Set<TrackSource> = [.microphone, .screenShareAudio]
    try await eventually(within: 15, "both tracks are received") {
      let other = try listener.call.participants().last
      return other?.tracks.count == 2 && other?.tracks.allSatisfy(\.isReceived) == true
    }
    let own = try sender.call.participants()
    XCTAssertEqual(own.map(\.userID), ["sw-snap-sender", "sw-snap-listener"])
    XCTAssertEqual(own.map(\.isLocal), [true, false])
    XCTAssertEqual(Set(own[0].tracks.map(\.track)), [voice.handle, screen.handle])
    XCTAssertEqual(Set(own[0].tracks.map(\.source)), sources)
    let other = try XCTUnwrap(listener.call.participants().last)
    XCTAssertEqual(Set(other.tracks.map(\.source)), sources)
    let subscriber = try listener.call.subscriber()
    for track in other.tracks {
      try await eventually("statistics of \(track.source.rawValue)") {
        try subscriber.trackStats(sessionID: other.sessionID, trackID: track.trackID, source: track.source).framesPlayed > 5
      }
    }
    XCTAssertEqual(code { _ = try subscriber.trackStats(sessionID: "nobody") }, .empty)
    for (track, source) in [(voice, TrackSource.microphone), (screen, .screenShareAudio)] {
      let stats = try track.stats()
      XCTAssertEqual(stats.source, source)
      XCTAssertTrue(stats.isPublished && stats.packetsSent > 5 && stats.sentMilliseconds > 0)
    }
    playing.cancel()
    let cleared = try screen.clear()
    XCTAssertGreaterThan(cleared.sentMilliseconds, 0)
    try await within(5, "drained") { try await screen.drain() }
    screen.close()
    try await eventually("the closed track is not in the snapshot") {
      try sender.call.participants().first?.tracks.map(\.source) == [.microphone]
    }
    try await sender.leave()
    try await listener.leave()
  }

  func testKindsOfEvents() async throws {
    let other = try await Peer("sw-kinds-other", "sw-kinds")
    var service = ClientOptions(url: SFU.url, userID: "sw-kinds", token: "development")
    service.receiveCustomEvents = true
    let client = try Client(service)
    let recorder = Recorder()
    let call = try await within(15, "joined") {
      try await client.join(CallOptions(callID: "sw-kinds", delivery: .handlers(recorder.handlers)))
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
    try call.sendCustomEvent(dataJSON: #"{"type":"greeting","n":1}"#)

    let quality = try await recorder.wait("quality") { if case .connectionQuality(let q) = $0 { q } else { nil } }
    XCTAssertEqual([quality.userID, quality.sessionID], ["sw-kinds-other", session])
    XCTAssertEqual(quality.quality, .poor)
    let level = try await recorder.wait("level") { if case .audioLevel(let l) = $0, l.isSpeaking { l } else { nil } }
    XCTAssertEqual(level.level, 0.5)
    let speaker = try await recorder.wait("speaker") { if case .dominantSpeaker(let p) = $0 { p } else { nil } }
    XCTAssertEqual(speaker.userID, "sw-kinds-other")
    let pins = try await recorder.wait("pins") { if case .pins(let p) = $0, !p.isEmpty { p } else { nil } }
    XCTAssertEqual(pins.map(\.sessionID), [session])
    let rights = try await recorder.wait("rights") { if case .rights(let r) = $0, !r.contains(.audio) { r } else { nil } }
    XCTAssertTrue(rights.isSuperset(of: [.video, .screenShare]))
    let error = try await recorder.wait("error") { if case .error(let e) = $0 { e } else { nil } }
    XCTAssertEqual(error.serverCode, 500)
    XCTAssertFalse(error.detail.isEmpty)
    let custom = try await recorder.wait("custom") { if case .custom(let c) = $0 { c } else { nil } }
    XCTAssertEqual([custom.userID, custom.type], ["sw-kinds", "greeting"])
    XCTAssertTrue(custom.dataJSON.contains("\"n\":1"))
    _ = try await within(5, "leaves") { try await call.leave() }
    try await other.leave()
  }

  /// Passes events to the callbacks of a call, as the library does.
  private final class Feed: @unchecked Sendable {
    let context: CallContext
    private let handlers: oh_call_handlers

    init(_ delivery: Delivery) {
      context = CallContext(delivery)
      handlers = context.handlers().0
    }
    func give(_ kind: EventKind, _ fill: (inout oh_event_payload) -> Void = { _ in }) {
      var event = defaults(oh_event.self)
      event.kind = kind.rawValue
      event.call = oh_call(id: 7)
      event.at_ms = 11
      fill(&event.u)
      handlers.on_event(handlers.user_data, event.call, &event)
    }
    /// With the payload of the kind, whose size is that of the header unless `fill` changes it.
    func give<T: CStructure>(
      _ kind: EventKind, _ member: WritableKeyPath<oh_event_payload, UnsafePointer<T>?>, _ fill: (inout T) -> Void
    ) {
      var payload = defaults(T.self)
      fill(&payload)
      withUnsafePointer(to: payload) { pointer in give(kind) { $0[keyPath: member] = pointer } }
    }
    func destroy() { handlers.destroy(handlers.user_data) }
  }

  private final class Begun: Sendable {
    let number = Atomic<Int>(0)
  }

  func testProcedureCalls() async throws {
    let feed = Feed(.handlers(CallHandlers()))
    @Sendable func respond(_ id: UInt64, _ payload: String, _ code: UInt32 = 0, _ why: String = "") {
      payload.withCString { payload in
        why.withCString { why in
          feed.give(.rpcResponse, \.rpc_response) {
            ($0.rpc_id, $0.payload, $0.text, $0.error_code) = (id, payload, why, code)
          }
        }
      }
    }
    let context = feed.context
    // Answered by another thread before the request has returned its id: the response waits for its task.
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
          feed.give(.data, \.data) {
            ($0.user_id, $0.session_id, $0.topic, $0.lossy) = (a, b, b, 1)
            ($0.data, $0.data_size) = (bytes.baseAddress, 3)
          }
        }
        guard case .data(let data) = last() else { return XCTFail("data") }
        XCTAssertEqual(data.data, [1, 0, 255])
        XCTAssertEqual([data.userID, data.sessionID, data.topic], ["a", "b", "b"])
        XCTAssertTrue(data.isLossy)
        feed.give(.data, \.data) { ($0.user_id, $0.session_id, $0.topic) = (a, b, b) }
        guard case .data(let none) = last() else { return XCTFail("data") }
        XCTAssertEqual(none.data, [])
        feed.give(.text, \.text) {
          ($0.user_id, $0.session_id, $0.topic, $0.text_id, $0.text, $0.attributes_json) = (a, b, b, a, b, a)
        }
        guard case .text(let text) = last() else { return XCTFail("text") }
        XCTAssertEqual([text.userID, text.sessionID, text.topic, text.textID, text.text], ["a", "b", "b", "a", "b"])
        XCTAssertEqual(text.attributesJSON, "a")
        feed.give(.textPart, \.text_part) { ($0.text_id, $0.text, $0.offset_bytes) = (a, b, 12) }
        guard case .textPart(let part) = last() else { return XCTFail("part") }
        XCTAssertEqual([part.textID, part.text], ["a", "b"])
        XCTAssertEqual(part.offsetBytes, 12)
        feed.give(.room, \.room) { ($0.room_id, $0.name, $0.metadata, $0.recording) = (a, b, b, 1) }
        guard case .room(let room) = last() else { return XCTFail("room") }
        XCTAssertEqual([room.roomID, room.name, room.metadata], ["a", "b", "b"])
        XCTAssertTrue(room.isRecording)
        feed.give(.rpcRequest, \.rpc_request) {
          ($0.request_id, $0.user_id, $0.method, $0.payload, $0.timeout_ms) = (a, b, a, b, 5000)
        }
        guard case .rpcRequest(let request) = last() else { return XCTFail("request") }
        XCTAssertEqual([request.requestID, request.userID, request.method, request.payload], ["a", "b", "a", "b"])
        XCTAssertEqual(request.timeoutMilliseconds, 5000)
        feed.give(.subscriptionPermission, \.subscription_permission) {
          ($0.user_id, $0.session_id, $0.track_id, $0.allowed) = (a, b, a, 1)
        }
        guard case .subscriptionPermission(let track) = last() else { return XCTFail("permission") }
        XCTAssertEqual([track.userID, track.sessionID, track.trackID], ["a", "b", "a"])
        XCTAssertTrue(track.isAllowed)
        feed.give(.unplayable, \.unplayable) {
          ($0.user_id, $0.text, $0.source, $0.reason) = (a, b, OH_SOURCE_CAMERA.code, OH_UNPLAYABLE_CODEC.code)
        }
        guard case .unplayable(let odd) = last() else { return XCTFail("unplayable") }
        XCTAssertEqual([odd.userID, odd.text], ["a", "b"])
        XCTAssertEqual(odd.source, .camera)
        XCTAssertEqual(odd.reason, .codec)
        feed.give(.dtmf, \.dtmf) { ($0.user_id, $0.digit, $0.code) = (a, b, 11) }
        guard case .dtmf(let key) = last() else { return XCTFail("dtmf") }
        XCTAssertEqual([key.userID, key.digit], ["a", "b"])
        XCTAssertEqual(key.code, 11)
        feed.give(.iceServer, \.ice_server) { ($0.url, $0.text, $0.code) = (a, b, 701) }
        guard case .iceServer(let server) = last() else { return XCTFail("iceServer") }
        XCTAssertEqual([server.url, server.text], ["a", "b"])
        XCTAssertEqual(server.code, 701)
        feed.give(EventKind(rawValue: 4711))
        guard case .unknown = last() else { return XCTFail("a kind of a newer library") }
      }
    }
    feed.destroy()
  }

  func testParticipantsAndTracks() throws {
    let seen = Mutex<[Event.Body]>([])
    let feed = Feed(.handlers(CallHandlers(onEvent: { _, event in seen.withLock { $0.append(event.body) } })))
    "a".withCString { a in
      var tracks = [defaults(oh_track_info.self), defaults(oh_track_info.self)]
      (tracks[0].track_id, tracks[0].source, tracks[0].received) = (a, OH_SOURCE_MICROPHONE.code, 1)
      (tracks[1].track, tracks[1].source, tracks[1].published) = (oh_track(id: 9), OH_SOURCE_CAMERA.code, 1)
      tracks.withUnsafeBufferPointer { tracks in
        let pointers: [UnsafePointer<oh_track_info>?] = [tracks.baseAddress! + 1, tracks.baseAddress!]
        pointers.withUnsafeBufferPointer { pointers in
          feed.give(.participantUpdated, \.participant) {
            ($0.user_id, $0.name, $0.image_url, $0.custom_json) = (a, a, a, a)
            ($0.tracks, $0.track_count) = (pointers.baseAddress, 2)
            ($0.rights, $0.rights_known, $0.local, $0.audio_level) = (129, 1, 1, 0.25)
            $0.quality = OH_QUALITY_GOOD.code
          }
        }
      }
    }
    guard case .participantUpdated(let p) = seen.withLock({ $0.last! }) else { return XCTFail("participant") }
    XCTAssertEqual([p.userID, p.sessionID, p.name, p.imageURL, p.customJSON], ["a", "", "a", "a", "a"])
    XCTAssertEqual(p.rights, [.audio, .recorder])
    XCTAssertEqual(p.quality, .good)
    XCTAssertTrue(p.isLocal && !p.isSpeaking && !p.isDominant && p.audioLevel == 0.25)
    XCTAssertEqual(p.tracks.map(\.source), [.camera, .microphone])
    XCTAssertEqual(p.tracks.map(\.trackID), ["", "a"])
    XCTAssertEqual(p.tracks.map(\.track.id), [9, 0])
    XCTAssertEqual(p.tracks.map(\.isReceived), [false, true])
    XCTAssertEqual(p.tracks.map(\.isPublished), [true, false])
    feed.give(.participantJoined, \.participant) { _ in }
    guard case .participantJoined(let none) = seen.withLock({ $0.last! }) else { return XCTFail("participant") }
    XCTAssertNil(none.rights)
    XCTAssertEqual(none.tracks, [])
    feed.destroy()
  }

  /// Structures of an older library are shorter, and are not read beyond their size.
  func testStructuresOfOtherSizes() throws {
    // A structure at the end of readable memory: reading one byte more ends the process.
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let memory = try XCTUnwrap(mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
    XCTAssertEqual(mprotect(memory + page, page, PROT_NONE), 0)
    defer { munmap(memory, 2 * page) }
    func ends<T: CStructure>(_ structure: T, after size: Int) -> UnsafePointer<T> {
      let there = memory + page - size
      withUnsafeBytes(of: structure) { there.copyMemory(from: $0.baseAddress!, byteCount: size) }
      there.storeBytes(of: size, as: Int.self)
      return UnsafePointer(there.assumingMemoryBound(to: T.self))
    }
    let text = strdup("text")!
    defer { free(text) }
    var participant = defaults(oh_participant.self)
    (participant.user_id, participant.session_id, participant.name) = (UnsafePointer(text), UnsafePointer(text), UnsafePointer(text))
    (participant.track_count, participant.local) = (3, 1)
    let word = MemoryLayout<Int>.size
    for words in 1...MemoryLayout<oh_participant>.size / word {
      let c = known(ends(participant, after: words * word))
      XCTAssertEqual(c.user_id != nil, words > 1)
      XCTAssertEqual(c.session_id != nil, words > 2)
      XCTAssertEqual(c.track_count, words > 9 ? 3 : 0)
      XCTAssertEqual(c.local, words == MemoryLayout<oh_participant>.size / word ? 1 : 0)
    }
    XCTAssertEqual(Participant(known(ends(participant, after: 2 * word))).userID, "text")
    // Payloads of every kind, from only the size up.
    func check<T: CStructure>(_ kind: EventKind, _ member: WritableKeyPath<oh_event_payload, UnsafePointer<T>?>) {
      for words in 1...MemoryLayout<T>.size / word {
        var event = defaults(oh_event.self)
        event.kind = kind.rawValue
        event.u[keyPath: member] = ends(defaults(T.self), after: words * word)
        XCTAssertEqual(Event(&event).kind, kind)
      }
    }
    check(.state, \.state)
    check(.joined, \.joined)
    check(.participantJoined, \.participant)
    check(.trackPublished, \.track)
    check(.audioLevel, \.audio_level)
    check(.dominantSpeaker, \.dominant_speaker)
    check(.connectionQuality, \.connection_quality)
    check(.counts, \.counts)
    check(.rights, \.rights)
    check(.pins, \.pins)
    check(.localTrackFailed, \.local_track)
    check(.error, \.error)
    check(.lost, \.lost)
    check(.audio, \.audio)
    check(.ended, \.ended)
    check(.reconnected, \.reconnected)
    check(.custom, \.custom)
    check(.room, \.room)
    check(.data, \.data)
    check(.text, \.text)
    check(.textPart, \.text_part)
    check(.rpcRequest, \.rpc_request)
    check(.rpcResponse, \.rpc_response)
    check(.subscriptionPermission, \.subscription_permission)
    check(.media, \.media)
    check(.unsent, \.unsent)
    check(.unplayable, \.unplayable)
    check(.dtmf, \.dtmf)
    check(.iceServer, \.ice_server)
    // A newer library: longer structures, whose additional bytes are not read.
    let longer = memory + page - MemoryLayout<oh_pin>.size - 64
    longer.initializeMemory(as: UInt8.self, repeating: 0xa5, count: MemoryLayout<oh_pin>.size + 64)
    var pin = defaults(oh_pin.self)
    pin.user_id = UnsafePointer(text)
    withUnsafeBytes(of: pin) { longer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    longer.storeBytes(of: MemoryLayout<oh_pin>.size + 64, as: Int.self)
    XCTAssertEqual(known(UnsafePointer(longer.assumingMemoryBound(to: oh_pin.self))).user_id, UnsafePointer(text))
  }

  func testOptionsWithZero() throws {
    var call = CallOptions(callID: "c")
    try call.withC { XCTAssertEqual([$0.join_retries, $0.drain_ms, $0.audio_min_delay_ms, $0.reconnect_timeout_ms], [0, 0, 0, 0]) }
    (call.joinRetries, call.drain, call.audioMinDelay, call.reconnectTimeout) = (0, .zero, .zero, .after(.zero))
    let zero = UInt32.max - 1
    try call.withC {
      XCTAssertEqual([$0.join_retries, $0.drain_ms, $0.audio_min_delay_ms, $0.reconnect_timeout_ms], [zero, zero, zero, zero])
      XCTAssertEqual($0.size, MemoryLayout<oh_call_options>.size)
    }
    call.reconnectTimeout = .forever
    try call.withC { XCTAssertEqual($0.reconnect_timeout_ms, UInt32.max) }
    var track = AudioTrackOptions()
    (track.complexity, track.redFrames) = (0, 0)
    track.withC { XCTAssertEqual([$0.pointee.complexity, $0.pointee.red_frames, $0.pointee.buffer_ms], [zero, zero, 0]) }
    call.maxQueuedEventBytes = -1
    XCTAssertEqual(code { try call.withC { _ in } }, .argument)
  }
}

extension RawRepresentable where RawValue: FixedWidthInteger {
  /// A constant of C as the type of its members.
  fileprivate var code: Int32 { Int32(rawValue) }
}
