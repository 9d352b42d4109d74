// LifetimeTests.swift - ownership, handlers and many calls: rows free-in-callback, handler-throws, dropped, wrong-order,
// hundred, blocked-handler of tests/scenarios.md.
import Dispatch
import Offhook
import Synchronization
import XCTest

final class LifetimeTests: XCTestCase {
  /// free-in-callback
  func testFreeInCallback() async throws {
    let noise = try await Peer("sw-noise", "sw-free")
    try noise.publishTone(440)
    // Inside the event handler and inside the audio handler; only the call, and the client with it.
    for (round, inAudio) in [false, true].enumerated() {
      for withClient in [false, true] {
        let user = "sw-free-\(round)-\(withClient)"
        let box = Box()
        let after = Atomic<Int>(0)
        let closed = Atomic<Bool>(false)
        let act: @Sendable () -> Void = {
          if closed.load(ordering: .relaxed) {
            after.wrappingAdd(1, ordering: .relaxed)
            return
          }
          guard let (client, call) = box.take() else { return }  // not set yet
          if withClient { client.close() }
          call.close()
          closed.store(true, ordering: .relaxed)
        }
        // Whichever handler closes the call, the other must not run afterwards either.
        let handlers = CallHandlers(
          onEvent: { _, _ in if !inAudio || closed.load(ordering: .relaxed) { act() } },
          onAudio: { _, _ in if inAudio || closed.load(ordering: .relaxed) { act() } })
        var client: Client? = try makeClient(user)
        var call: Call? = try client!.start(CallOptions(callID: "sw-free", delivery: .handlers(handlers)))
        let handle = call!.handle
        box.put(client!, call!)
        client = nil
        call = nil
        try await eventually("closed inside the handler, \(user)") { closed.load(ordering: .relaxed) }
        try await eventually("\(user) is gone") { code { _ = try handle.state() } == .handle }
        try await eventually("\(user) has left the SFU") { try SFU.session(user)?.live != true }
        XCTAssertEqual(after.load(ordering: .relaxed), 0, "a handler ran after the close")
      }
    }
    try noise.noErrors()
    try await noise.leave()
  }

  /// handler-throws
  func testHandlerThrows() async throws {
    struct HandlerError: Error {}
    let sender = try await Peer("sw-throw-sender", "sw-throw")
    try sender.publishTone(440)
    let recorder = Recorder()
    let thrown = Atomic<Int>(0)
    let inAudio = Atomic<Int>(0)
    let client = try makeClient("sw-thrower")
    let handlers = CallHandlers(
      onEvent: { _, event in
        recorder.add(event)
        if event.kind == .joined { throw HandlerError() }
      },
      onAudio: { _, frame in
        recorder.add(frame)
        if inAudio.wrappingAdd(1, ordering: .relaxed).newValue <= 3 { throw HandlerError() }
      },
      onError: { _, error in
        if error is HandlerError { thrown.wrappingAdd(1, ordering: .relaxed) }
      })
    let call = try await within(15, "joined") {
      try await client.join(CallOptions(callID: "sw-throw", delivery: .handlers(handlers)))
    }
    try await recorder.waitTone("sw-throw-sender", 440, against: 1000)
    XCTAssertEqual(thrown.load(ordering: .relaxed), 4)
    XCTAssertEqual(call.handlerErrors, 4)
    let mark = recorder.events.count
    let guest = try await Peer("sw-throw-guest", "sw-throw")
    _ = try await recorder.wait(from: mark, "the next event comes") { body in
      if case .participantJoined(let p) = body, p.userID == "sw-throw-guest" { true } else { nil }
    }
    try await guest.leave()
    let ended = try await within(5, "leaves") { try await call.leave() }
    XCTAssertEqual(ended.reason, .left)
    try await sender.leave()
  }

  /// dropped
  func testDropped() async throws {
    final class Witness: Sendable {}
    weak var witness: Witness?
    weak var dropped: Call?
    do {
      let object = Witness()
      witness = object
      let client = try makeClient("sw-dropped")
      let handlers = CallHandlers(onEvent: { _, _ in withExtendedLifetime(object) {} })
      let call = try await within(15, "joined") {
        try await client.join(CallOptions(callID: "sw-dropped", delivery: .handlers(handlers)))
      }
      let track = try call.publishAudio()
      dropped = call
      XCTAssertEqual(try SFU.session("sw-dropped")?.live, true)
      withExtendedLifetime((client, call, track)) {}
    }
    try await eventually("the call ends at the SFU") { try SFU.session("sw-dropped")?.live == false }
    try await eventually("the handlers are released") { witness == nil }
    XCTAssertNil(dropped)
    XCTAssertEqual(try SFU.number("sw-dropped", "leave_received"), 1)
    // Only the call, and only a track: their owners stay.
    let keeper = try makeClient("sw-dropped-call")
    let witnessing = try await Peer("sw-dropped-receiver", "sw-dropped-2")
    var alone: Call? = try await within(15, "joined") { try await keeper.join(CallOptions(callID: "sw-dropped-2")) }
    let handle = alone!.handle
    var track: AudioTrack? = try alone!.publishAudio()
    _ = try await witnessing.recorder.wait("published") { if case .trackPublished(let t) = $0 { t } else { nil } }
    XCTAssertNoThrow(try track!.setMuted(false))
    track = nil
    _ = try await witnessing.recorder.wait("unpublished") { if case .trackUnpublished(let t) = $0 { t } else { nil } }
    XCTAssertEqual(try handle.state(), .joined)
    alone = nil
    try await eventually("the call is freed") { code { _ = try handle.state() } == .handle }
    try await eventually("it has left") { try SFU.session("sw-dropped-call")?.live == false }
    withExtendedLifetime(keeper) {}
    try await witnessing.leave()
    // While it is still joining, with a reader of its stream.
    var client: Client? = try makeClient("sw-dropped-early")
    var call: Call? = try client!.start(CallOptions(callID: "sw-dropped"))
    let events = call!.events
    client = nil
    call = nil
    try await within(10, "the stream ends") { for await _ in events {} }
    try await eventually("it has left") { try SFU.session("sw-dropped-early")?.live != true }
  }

  /// wrong-order
  func testWrongOrder() async throws {
    let peer = try await Peer("sw-order", "sw-order")
    let track = try peer.call.publishAudio()
    let subscriber = try peer.call.subscriber()
    let publisher = try peer.call.publisher()
    let call = peer.call
    peer.client.close()
    XCTAssertEqual(code { try call.startLeave() }, .handle)
    XCTAssertEqual(code { _ = try call.state() }, .handle)
    XCTAssertEqual(code { _ = try call.stats() }, .handle)
    XCTAssertEqual(code { _ = try call.publishAudio() }, .handle)
    XCTAssertEqual(code { _ = try call.subscriber() }, .handle)
    XCTAssertEqual(code { try call.provideToken("x") }, .handle)
    XCTAssertEqual(code { _ = try peer.client.start(CallOptions(callID: "sw-order")) }, .handle)
    let afterClient = code { try track.write([Int16](repeating: 0, count: 960)) }
    XCTAssertTrue(afterClient == .handle || afterClient == .closed, "\(String(describing: afterClient))")
    XCTAssertEqual(code { try track.setMuted(true) }, .handle)
    XCTAssertEqual(code { try subscriber.close() }, .handle)
    XCTAssertEqual(code { try publisher.close() }, .handle)
    subscriber.free()
    publisher.free()
    call.close()
    track.close()
    peer.client.close()
    let error = await joinedError(call)
    XCTAssertTrue(error == nil || error == .closed, "\(String(describing: error))")  // it had been joined
    // A track after its call.
    let other = try await Peer("sw-order-2", "sw-order")
    let second = try other.call.publishAudio()
    other.call.close()
    let afterCall = code { try second.write([Int16](repeating: 0, count: 960)) }
    XCTAssertTrue(afterCall == .handle || afterCall == .closed, "\(String(describing: afterCall))")
    second.close()
    XCTAssertEqual(code { _ = try second.bufferedMilliseconds() }, .handle)
    XCTAssertEqual(code { _ = try CallHandle.none.state() }, .handle)
    XCTAssertEqual(code { _ = try CallHandle(id: 0xdead_beef).state() }, .handle)
  }

  /// hundred
  func testHundred() async throws {
    let before = try threadCount()
    let calls = try await within(60, "all join") {
      try await withThrowingTaskGroup(of: (Client, Call).self) { group in
        for i in 0..<100 {
          group.addTask {
            let client = try makeClient("sw-h\(i)")
            return (client, try await client.join(CallOptions(callID: "sw-hundred-\(i / 10)")))
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
    }
    XCTAssertEqual(calls.count, 100)
    for (_, call) in calls { XCTAssertEqual(try call.state(), .joined) }
    let threads = try threadCount()
    print("hundred: \(threads) threads with 100 calls, \(before) before")
    XCTAssertLessThan(threads, 40)
    let ended = try await within(30, "all end") {
      try await withThrowingTaskGroup(of: Ended.self) { group in
        for (_, call) in calls { group.addTask { try await call.leave() } }
        return try await group.reduce(into: [Ended]()) { $0.append($1) }
      }
    }
    XCTAssertEqual(ended.count { $0.reason == .left && $0.error == nil }, 100)
  }

  /// blocked-handler
  func testBlockedHandler() async throws {
    let gate = DispatchSemaphore(value: 0)
    let inside = Atomic<Bool>(false)
    let returned = Atomic<Bool>(false)
    let client = try makeClient("sw-blocked")
    let handlers = CallHandlers(onEvent: { _, event in
      guard event.kind == .joined else { return }
      inside.store(true, ordering: .relaxed)
      gate.wait()
      returned.store(true, ordering: .relaxed)
    })
    let blocked = try client.start(CallOptions(callID: "sw-blocked", delivery: .handlers(handlers)))
    try await eventually("the handler blocks") { inside.load(ordering: .relaxed) }
    let sender = try await Peer("sw-free-sender", "sw-unblocked")
    let receiver = try await Peer("sw-free-receiver", "sw-unblocked")
    try sender.publishTone(440)
    try await receiver.recorder.waitTone("sw-free-sender", 440, against: 1000)
    try await sender.leave()
    try await receiver.leave()
    XCTAssertFalse(returned.load(ordering: .relaxed))
    gate.signal()
    let ended = try await within(10, "the blocked one goes on and leaves") { try await blocked.leave() }
    XCTAssertEqual(ended.reason, .left)
    XCTAssertTrue(returned.load(ordering: .relaxed))
  }
}

private func joinedError(_ call: Call) async -> ResultCode? {
  do {
    try await call.joined()
    return nil
  } catch {
    return (error as? OffhookError)?.code
  }
}

/// Holds a client and a call for a handler that closes and releases them.
private final class Box: Sendable {
  private let inside = Mutex<(Client, Call)?>(nil)
  func put(_ client: Client, _ call: Call) { inside.withLock { $0 = (client, call) } }
  func take() -> (Client, Call)? {
    inside.withLock { inside in
      defer { inside = nil }
      return inside
    }
  }
}
