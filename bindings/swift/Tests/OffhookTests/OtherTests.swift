// OtherTests.swift - rows version, unsupported, token, pull, log of tests/scenarios.md; and features specific to this
// binding: streams without a reader, options and texts.
import Foundation
import Offhook
import Synchronization
import XCTest

final class OtherTests: XCTestCase {
  /// version
  func testVersion() throws {
    let other = try XCTUnwrap(ProcessInfo.processInfo.environment["OFFHOOK_OTHER_ABI"], "scripts/with-sfu.sh sets it")
    func run(_ preload: String?) throws -> (Int32, String) {
      let child = Process()
      child.executableURL = Bundle.main.executableURL?.deletingLastPathComponent().appendingPathComponent(
        "version-child")
      if !FileManager.default.isExecutableFile(atPath: child.executableURL!.path) {
        child.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
          .deletingLastPathComponent().appendingPathComponent("version-child")
      }
      var environment = ProcessInfo.processInfo.environment
      environment["LD_PRELOAD"] = preload
      child.environment = environment
      let pipe = Pipe()
      child.standardOutput = pipe
      try child.run()
      let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      child.waitUntilExit()
      return (child.terminationStatus, text)
    }
    let (good, plain) = try run(nil)
    XCTAssertEqual(good, 0, plain)
    let (bad, text) = try run(other)
    XCTAssertEqual(bad, 3, text)
    XCTAssertEqual(text.split(separator: "\n").count, 3, text)  // client, token and log: each refused
    for line in text.split(separator: "\n") {
      XCTAssertTrue(line.contains("OH_ERR_ABI") && line.contains("ABI 4711"), text)
      XCTAssertTrue(line.contains("ABI \(Library.expectedABIVersion)"), text)
    }
    XCTAssertEqual(Library.abiVersion, Library.expectedABIVersion)
    XCTAssertFalse(Library.version.isEmpty)
  }

  /// unsupported
  func testUnsupported() async throws {
    let peer = try await Peer("sw-unsupported", "sw-unsupported")
    XCTAssertFalse(try peer.call.capabilities().contains(.text))
    XCTAssertTrue(try peer.call.capabilities().contains(.customEvents))
    do {
      try peer.call.send(text: "hello", DataOptions(topic: "t", to: ["a", "b"]))
      XCTFail("sent")
    } catch let error as OffhookError {
      XCTAssertEqual(error.code, .unsupported)
      XCTAssertFalse(error.detail.isEmpty)
      XCTAssertNotEqual(error.detail, ResultCode.unsupported.message)
    }
    XCTAssertEqual(code { try peer.call.send(data: [1, 2, 3]) }, .unsupported)
    XCTAssertEqual(code { try peer.call.setAttributes(name: "n") }, .unsupported)
    XCTAssertEqual(code { try peer.call.subscriber().setTrack("t", RemoteTrackOptions()) }, .unsupported)
    do {
      let call = peer.call
      _ = try await within(5, "an answer") { try await call.performRPC(to: "a", method: "m") }
      XCTFail("called")
    } catch let error as OffhookError {
      XCTAssertEqual(error.code, .unsupported)
    }
    try await peer.leave()
  }

  /// token
  func testToken() async throws {
    try SFU.ctl("expire_tokens", #"{"user_id":"sw-token","count":1}"#)
    let asked = Atomic<Int>(0)
    let client = try makeClient("sw-token", token: "the-first")
    let handlers = CallHandlers(onEvent: { call, event in
      guard case .tokenNeeded = event.body else { return }
      asked.wrappingAdd(1, ordering: .relaxed)
      try call.provideToken("development")
    })
    var options = CallOptions(callID: "sw-token", delivery: .handlers(handlers))
    options.renewToken = true
    let given = options
    let call = try await within(15, "joined with the second") { try await client.join(given) }
    XCTAssertEqual(asked.load(ordering: .relaxed), 1)
    XCTAssertEqual(call.handlerErrors, 0)
    _ = try await within(5, "leaves") { try await call.leave() }
    // Without any token: one is requested, and refused when there is none.
    let without = try makeClient("sw-no-token", token: nil)
    let none = CallHandlers(onEvent: { call, event in
      if case .tokenNeeded = event.body { try call.provideToken(nil) }
    })
    do {
      _ = try await within(10, "an error") {
        try await without.join(CallOptions(callID: "sw-token", delivery: .handlers(none)))
      }
      XCTFail("joined without a token")
    } catch let error as OffhookError {
      XCTAssertEqual(error.code, .auth)
    }
  }

  /// pull
  func testPull() async throws {
    let sender = try await Peer("sw-pull-sender", "sw-pull")
    try sender.publishTone(440)
    let client = try makeClient("sw-puller")
    // Event by event, with a deadline.
    do {
      let call = try client.pull(CallOptions(callID: "sw-pull"))
      XCTAssertGreaterThanOrEqual(try call.wakeDescriptor(), 0)
      var (order, pcm): ([EventKind], [Int16]) = ([], [])
      var received = false
      let deadline = ContinuousClock.now + .seconds(20)
      reading: while true {
        guard ContinuousClock.now < deadline else { throw TestFailure("no end; there was \(Set(order))") }
        guard let event = try call.next(timeout: .milliseconds(200)) else { continue }
        order.append(event.kind)
        switch event.body {
        case .audio(let frame):
          guard frame.userID == "sw-pull-sender", case .s16(let samples) = frame.samples else { continue }
          pcm = Array((pcm + samples).suffix(9600))
          if !received, pcm.count == 9600, power(pcm, 440) > 10 * power(pcm, 1000) {
            received = true
            try call.startLeave()
          }
        case .ended(let ended):
          XCTAssertEqual(ended.reason, .left)
          break reading
        default: break
        }
      }
      XCTAssertTrue(received)
      let (joined, audio) = (order.firstIndex(of: .joined), order.firstIndex(of: .audio))
      XCTAssertNotNil(joined)
      XCTAssertNotNil(audio)
      XCTAssertLessThan(joined ?? 0, audio ?? 0)
      XCTAssertEqual(order.last, .ended)
      XCTAssertEqual(code { _ = try call.next() }, .closed)
      call.close()
      XCTAssertEqual(code { _ = try call.next() }, .handle)
    }
    // By a task; without audio.
    let quiet = try client.pull(CallOptions(callID: "sw-pull-2"), audio: false)
    let kinds = try await within(15, "joined and ended") {
      var kinds: [EventKind] = []
      while let event = try await quiet.nextEvent() {
        kinds.append(event.kind)
        if event.kind == .joined { try quiet.startLeave() }
      }
      return kinds
    }
    XCTAssertTrue(kinds.contains(.joined))
    XCTAssertEqual(kinds.last, .ended)
    XCTAssertFalse(kinds.contains(.audio))
    try await sender.leave()
  }

  /// log
  func testLog() async throws {
    let lines = Mutex<[String]>([])
    let secret = "sw-log-secret-token-4711"
    try Log.set(level: .trace) { _, line in lines.withLock { $0.append(line) } }
    let client = try makeClient("sw-log", token: secret)
    let call = try await within(15, "joined") { try await client.join(CallOptions(callID: "sw-log")) }
    _ = try await within(5, "leaves") { try await call.leave() }
    try await eventually("lines arrive") { lines.withLock { $0.count } > 0 }
    try Log.off()
    let before = lines.withLock { $0 }
    XCTAssertFalse(before.contains { $0.contains(secret) })
    XCTAssertFalse(before.contains { $0.contains("\n") })
    let again = try await within(15, "joined") { try await client.join(CallOptions(callID: "sw-log")) }
    _ = try await within(5, "leaves") { try await again.leave() }
    XCTAssertEqual(lines.withLock { $0.count }, before.count)
    XCTAssertEqual(code { try Log.set(level: LogLevel(rawValue: 99)) { _, _ in } }, .argument)
  }

  func testStreamsThatAreNotRead() async throws {
    let sender = try await Peer("sw-slow-sender", "sw-slow")
    try sender.publishTone(440)
    let client = try makeClient("sw-slow")
    let call = try await within(15, "joined") {
      try await client.join(CallOptions(callID: "sw-slow", delivery: .streams(eventBuffer: 4, audioBuffer: 5)))
    }
    try await eventually("audio is dropped and counted") { call.audioFramesDropped > 10 }
    let session = try XCTUnwrap(SFU.session("sw-slow")?.values["session_id"] as? String)
    for i in 0..<20 {
      try SFU.ctl("pins", #"{"cid":"default:sw-slow","sessions":[\#(i % 2 == 0 ? "\"\(session)\"" : "")]}"#)
    }
    // Events are put into the stream, or dropped from it, in their order: these come before those of a later leave.
    try await eventually("all pins have come") {
      try call.trace().split(separator: "\n").filter { $0.hasPrefix(#"{"out":{"Event":{"Pins":"#) }.count >= 20
    }
    _ = try await within(5, "leaves") { try await call.leave() }
    let events = try await within(5, "the stream ends") {
      var events: [Event] = []
      for await event in call.events { events.append(event) }
      return events
    }
    let lost = events.reduce(into: UInt64(0)) { if case .lost(let lost) = $1.body { $0 += lost.total } }
    XCTAssertGreaterThan(lost, 10)
    XCTAssertEqual(events.last?.kind, .ended)
    XCTAssertEqual(events.count { $0.kind == .state }, 3)  // joining, joined, left: never lost
    XCTAssertLessThan(events.count, 12)
    let frames = try await within(5, "the audio ends") {
      var frames = 0
      for await _ in call.audio { frames += 1 }
      return frames
    }
    XCTAssertEqual(frames, 5)
    try await sender.leave()
  }

  func testCancelledTasks() async throws {
    try SFU.ctl("silent", #"{"stage":"join_response","user_id":"sw-cancel"}"#)
    let client = try makeClient("sw-cancel")
    let join = Task { try await client.join(CallOptions(callID: "sw-cancel")) }
    try await eventually("it is asked for") { try SFU.joinRequests("sw-cancel") > 0 }
    join.cancel()
    let result = try await within(5, "the task ends") { await join.result }
    XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
    // The call was left: no further join request is sent, and it ends with its object.
    try await within(5, "the library has nothing left to do") { try await Library.shutdown() }
    XCTAssertEqual(try SFU.joinRequests("sw-cancel"), 1)
  }

  func testTokensAndTexts() throws {
    var token = AccessToken(apiKey: "key", apiSecret: "a secret of some length, really", userID: "ann", callID: "room")
    XCTAssertEqual(try token.make().split(separator: ".").count, 3)
    token.metadata = String(repeating: "x", count: 5000)  // does not fit the first buffer
    XCTAssertGreaterThan(try token.make().count, 5000)
    token.userID = ""
    XCTAssertEqual(code { _ = try token.make() }, .argument)
    token.userID = "a\0b"
    XCTAssertEqual(code { _ = try token.make() }, .argument)
    XCTAssertEqual("\(EventKind.participantJoined)", "participant_joined")
    XCTAssertEqual("\(CallState.joined)", "joined")
    XCTAssertEqual("\(ResultCode.handle)", "OH_ERR_HANDLE")
    XCTAssertEqual(code { try Library.reportNetwork(NetworkChange(rawValue: 99)) }, .argument)
    XCTAssertNoThrow(try Library.reportNetwork(.online))
  }
}
