// CallTests.swift - calls: rows join, send-receive, mute, participants, leave, leave-twice, trace, late-offers,
// reconnect, network-options, diagnose of tests/scenarios.md.
import Offhook
import Synchronization
import XCTest

final class CallTests: XCTestCase {
  /// join
  func testJoin() async throws {
    let client = try makeClient("sw-join")
    let call = try await within(15, "joined") { try await client.join(CallOptions(callID: "sw-join")) }
    XCTAssertEqual(try call.state(), .joined)
    let (joined, states) = try await within(5, "the event") {
      var states: [CallState] = []
      for await event in call.events {
        switch event.body {
        case .state(let change): states.append(change.state)
        case .joined(let joined): return (joined, states)
        default: break
        }
      }
      throw TestFailure("the stream ended")
    }
    XCTAssertFalse(joined.sessionID.isEmpty)
    XCTAssertEqual(joined.participants, 1)
    XCTAssertEqual(states.first, .joining)
    XCTAssertEqual(try SFU.session("sw-join")?.values["session_id"] as? String, joined.sessionID)
    let ended = try await within(5, "leaves") { try await call.leave() }
    XCTAssertEqual(ended.reason, .left)

    // An unreachable server.
    let nowhere = try Client(ClientOptions(url: "http://127.0.0.1:1", userID: "sw-join", token: "x"))
    do {
      _ = try await within(30, "an error") {
        var options = CallOptions(callID: "sw-join")
        options.joinRetries = 0
        return try await nowhere.join(options)
      }
      XCTFail("joined nowhere")
    } catch let error as OffhookError {
      XCTAssertEqual(error.code, .network)
      XCTAssertFalse(error.detail.isEmpty)
      XCTAssertTrue("\(error)".contains("OH_ERR_NETWORK"), "\(error)")
    }
    XCTAssertEqual(code { _ = try Client(ClientOptions(url: "no url")) }, .argument)
    do {
      _ = try Client(ClientOptions(url: "http://sfu.example.com", userID: "u", token: "x"))
      XCTFail("plain http to another host")
    } catch let error as OffhookError {
      XCTAssertEqual(error.code, .insecure)
      XCTAssertFalse(error.detail.isEmpty)
    }
  }

  /// network-options
  func testNetworkOptions() async throws {
    func refused(_ name: String, _ change: (inout ClientOptions) -> Void) {
      var options = ClientOptions(url: SFU.url, userID: "sw-network", token: "development")
      change(&options)
      do {
        _ = try Client(options)
        XCTFail("\(name) is accepted")
      } catch {
        let error = error as? OffhookError
        XCTAssertEqual(error?.code, .argument)
        XCTAssertTrue(error?.detail.contains(name) == true, "\(name): \(String(describing: error))")
        XCTAssertFalse(error?.detail.contains("5ecret") == true)
      }
    }
    refused("proxy") { $0.proxy = "ftp://user:5ecret@127.0.0.1" }
    refused("interfaces") { $0.interfaces = ["eth0", ""] }
    refused("ip_family") { $0.ipFamily = IPFamily(rawValue: 99) }
    refused("media_port_max") { $0.mediaPorts = 40000...40000 }
    refused("dscp") { $0.dscp = 64 }
    var options = ClientOptions(url: SFU.url, userID: "sw-network", token: "development")
    (options.proxy, options.interfaces, options.ipFamily) = ("none", ["lo", "!docker*"], .v4)
    (options.mediaPorts, options.dscp) = (20000...29999, 46)
    let client = try Client(options)
    let call = try await within(15, "joined") { try await client.join(CallOptions(callID: "sw-network")) }
    XCTAssertEqual(try call.state(), .joined)
    let ended = try await within(5, "leaves") { try await call.leave() }
    XCTAssertEqual(ended.reason, .left)
  }

  /// diagnose
  func testDiagnose() async throws {
    let token = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123"
    let client = ClientOptions(url: SFU.url, userID: "sw-doctor", token: token)
    let options = DiagnoseOptions(client: client, callID: "sw-diagnosis")
    let good = try await within(30, "a report") { try await diagnose(options) }
    XCTAssertTrue(good.ok && good.reportJSON.contains("\"publisher\""), good.text)
    XCTAssertFalse((good.text + good.reportJSON).contains("5ecret"))
    let closed = DiagnoseOptions(client: ClientOptions(url: "http://127.0.0.1:1"))
    let bad = try await within(30, "a report") { try await diagnose(closed) }
    XCTAssertFalse(bad.ok)
    XCTAssertEqual(bad.stepsFailed, 1)
    XCTAssertFalse(bad.incomplete)
    XCTAssertTrue(bad.stepsWarning >= 0 && bad.reportJSON.contains("\"cause\":\"refused\""), bad.reportJSON)
    func refused(_ name: String, _ change: (inout DiagnoseOptions) -> Void) async {
      var wrong = closed
      change(&wrong)
      do {
        _ = try await diagnose(wrong)
        XCTFail("\(name) is accepted")
      } catch {
        let error = error as? OffhookError
        XCTAssertEqual(error?.code, .argument)
        XCTAssertTrue(error?.detail.contains(name) == true, "\(name): \(String(describing: error))")
      }
    }
    await refused("url") { $0.client.url = "" }
    await refused("timeout_ms") { $0.timeout = .milliseconds(1) }
    await refused("oh_ice_server.url") { $0.iceServers = [ICEServer(url: "")] }
    await refused("ice_server_count") { $0.iceServers = Array(repeating: ICEServer(url: "stun:127.0.0.1"), count: 17) }
  }

  /// send-receive, with streams
  func testSendReceive() async throws {
    let sender = try await Peer("sw-sender", "sw-send-receive")
    let client = try makeClient("sw-receiver")
    let receiver = try await within(15, "joined") { try await client.join(CallOptions(callID: "sw-send-receive")) }
    try sender.publishTone(440)
    let pcm = try await within(15, "audio") {
      // The first second may contain the start of the tone: a stretch that is all tone counts.
      var pcm: [Int16] = []
      for await frame in receiver.audio {
        guard frame.userID == "sw-sender", case .s16(let samples) = frame.samples else { continue }
        guard frame.sampleRateHz == 48000, frame.channels == 1, frame.frames == 960, samples.count == 960 else {
          throw TestFailure("a frame of another form: \(frame.sampleRateHz) Hz, \(frame.channels) channels, \(frame.frames)")
        }
        pcm += samples
        if pcm.count > 9600 { pcm.removeFirst(pcm.count - 9600) }
        if pcm.count == 9600, power(pcm, 440) > 10 * power(pcm, 1000), power(pcm, 440) > 1e3 { return pcm }
      }
      throw TestFailure("the stream ended")
    }
    XCTAssertGreaterThan(power(pcm, 440), 10 * power(pcm, 1000))
    try sender.noErrors()
    try await sender.leave()
    _ = try await within(5, "leaves") { try await receiver.leave() }
  }

  /// mute
  func testMute() async throws {
    let sender = try await Peer("sw-muter", "sw-mute")
    let receiver = try await Peer("sw-mute-receiver", "sw-mute")
    let track = try sender.publishTone(440)
    try await receiver.recorder.waitTone("sw-muter", 440, against: 1000)
    let mark = receiver.recorder.events.count
    try track.setMuted(true)
    let cause = try await receiver.recorder.wait(from: mark, "informed of the mute") { body in
      if case .trackUnpublished(let track) = body, track.userID == "sw-muter" { track.cause } else { nil }
    }
    XCTAssertEqual(cause, .muted)
    // Audio in transit is still played; then a stretch of 400 ms without audio, which a tone never has.
    var (loud, since) = (receiver.recorder.loud("sw-muter"), ContinuousClock.now)
    try await eventually(within: 5, "quiet after the mute") {
      let now = receiver.recorder.loud("sw-muter")
      if now != loud { (loud, since) = (now, .now) }
      return ContinuousClock.now - since > .milliseconds(400)
    }
    XCTAssertEqual(receiver.recorder.loud("sw-muter"), loud)
    receiver.recorder.clearAudio("sw-muter")
    let second = receiver.recorder.events.count
    try track.setMuted(false)
    _ = try await receiver.recorder.wait(from: second, "informed of the unmute") { body in
      if case .trackPublished(let track) = body, track.userID == "sw-muter" { track } else { nil }
    }
    try await receiver.recorder.waitTone("sw-muter", 440, against: 1000)
    try sender.noErrors()
    try receiver.noErrors()
    try await sender.leave()
    try await receiver.leave()
  }

  /// participants
  func testParticipants() async throws {
    let one = try await Peer("sw-one", "sw-people")
    let two = try await Peer("sw-two", "sw-people")
    _ = try await one.recorder.wait("two comes") { person($0, "sw-two", joined: true) }
    let third = try await Peer("sw-three", "sw-people")
    for peer in [one, two] {
      let here = try await peer.recorder.wait("three comes") { person($0, "sw-three", joined: true) }
      XCTAssertFalse(here.sessionID.isEmpty)
    }
    try await third.leave()
    for peer in [one, two] {
      _ = try await peer.recorder.wait("three goes") { person($0, "sw-three", joined: false) }
      XCTAssertEqual(try peer.call.state(), .joined)
    }
    try await one.leave()
    try await two.leave()
  }

  /// leave
  func testLeave() async throws {
    let peer = try await Peer("sw-leaver", "sw-leave")
    let began = ContinuousClock.now
    try peer.call.startLeave(reason: "enough")
    XCTAssertLessThan(ContinuousClock.now - began, .milliseconds(200))
    let call = peer.call
    let ended = try await within(5, "the end") { try await call.ended() }
    XCTAssertLessThan(ContinuousClock.now - began, .seconds(2))
    XCTAssertEqual(ended.reason, .left)
    XCTAssertNil(ended.error)
    XCTAssertEqual(peer.recorder.events.last?.kind, .ended)
    XCTAssertEqual(peer.recorder.count(.ended), 1)
    try await SFU.wait("sw-leaver", "leave_received", 1)
    XCTAssertEqual(try SFU.session("sw-leaver")?.values["leave_reason"] as? String, "enough")
    // Ended, but not closed: it can still be queried.
    XCTAssertEqual(try call.state(), .left)
    XCTAssertEqual(code { try call.sendCustomEvent(dataJSON: "{}") }, .state)
  }

  /// trace
  func testTrace() async throws {
    let peer = try await Peer("sw-traced", "sw-trace")
    let call = peer.call
    let first = try call.trace()
    XCTAssertTrue(first.hasPrefix(#"{"offhook_trace":1,"#) && first.hasSuffix("\n"))
    XCTAssertTrue(first.contains("SocketOpened") && !first.contains(#""Ended""#))
    _ = try await within(5, "leaves") { try await call.leave() }
    let last = try call.trace()
    XCTAssertTrue(last.count > first.count && last.contains(#""Ended""#))
    call.close()
    XCTAssertEqual(code { _ = try call.trace() }, .handle)
  }

  /// leave-twice
  func testLeaveTwice() async throws {
    let peer = try await Peer("sw-twice", "sw-twice")
    let call = peer.call
    let codes = try await within(10, "both") {
      await withTaskGroup(of: [ResultCode?].self) { group in
        for _ in 0..<2 {
          group.addTask {
            var codes: [ResultCode?] = []
            for _ in 0..<2 { codes.append(code { try call.startLeave() }) }
            for _ in 0..<2 { call.close() }
            return codes
          }
        }
        return await group.reduce([], +)
      }
    }
    XCTAssertEqual(codes.count, 4)
    for code in codes { XCTAssertTrue(code == nil || code == .handle, "\(code!)") }
    XCTAssertEqual(code { try call.startLeave() }, .handle)
    XCTAssertLessThanOrEqual(peer.recorder.count(.ended), 1)
    XCTAssertEqual(peer.recorder.errors, [])
  }

  /// late-offers
  func testLateOffers() async throws {
    let left = try await Peer("sw-left", "sw-bystanders")
    let right = try await Peer("sw-right", "sw-bystanders")
    try left.publishTone(400)
    try right.publishTone(900)
    try await left.recorder.waitTone("sw-right", 900, against: 400)
    try await right.recorder.waitTone("sw-left", 400, against: 900)
    left.recorder.forgetGaps()
    right.recorder.forgetGaps()

    let bot = try await Peer("sw-late", "sw-late")
    try bot.publishTone(500)
    _ = try await bot.recorder.wait("published") { if case .localTrackPublished = $0 { true } else { nil } }
    try bot.call.subscriber().close()
    try SFU.ctl("late_offer", #"{"user_id":"sw-late","count":200,"wait":true}"#)
    try await SFU.wait("sw-late", "late_offers_sent", 200)
    try await eventually("all are counted") { try bot.call.stats().lateOffers >= 200 }
    try bot.noErrors()
    XCTAssertEqual(try bot.call.state(), .joined)
    let sent = try bot.call.stats().packetsSent
    try await eventually("it still sends") { try bot.call.stats().packetsSent > sent + 5 }

    try SFU.ctl("late_offer", #"{"user_id":"sw-late","count":200,"when":"leave"}"#)
    let call = bot.call
    let ended = try await within(5, "the end") { try await call.leave() }
    XCTAssertEqual(ended.reason, .left)
    XCTAssertNil(ended.error)
    XCTAssertEqual(bot.recorder.count(.error), 0)

    for (peer, other) in [(left, "sw-right"), (right, "sw-left")] {
      XCTAssertLessThan(peer.recorder.gap(other), .milliseconds(800), "\(peer.user) received nothing for a while")
      peer.recorder.clearAudio(other)
      try peer.noErrors()
      XCTAssertEqual(try peer.call.stats().lateOffers, 0)
    }
    try await left.recorder.waitTone("sw-right", 900, against: 400)
    try await right.recorder.waitTone("sw-left", 400, against: 900)
    try await left.leave()
    try await right.leave()
  }

  /// reconnect
  func testReconnect() async throws {
    let sender = try await Peer("sw-rec-sender", "sw-reconnect")
    let receiver = try await Peer("sw-rec-receiver", "sw-reconnect")
    try sender.publishTone(440)
    try await receiver.recorder.waitTone("sw-rec-sender", 440, against: 1000)
    let mark = receiver.recorder.events.count
    try SFU.ctl("drop_ws", #"{"user_id":"sw-rec-receiver"}"#)
    let how = try await receiver.recorder.wait(from: mark, within: 20, "reconnected") { body in
      if case .reconnected(let how) = body { how } else { nil }
    }
    XCTAssertEqual(how.kind, .fast)
    XCTAssertGreaterThanOrEqual(how.attempts, 1)
    let states = receiver.recorder.events.dropFirst(mark).compactMap { event -> CallState? in
      if case .state(let change) = event.body { change.state } else { nil }
    }
    XCTAssertEqual(states, [.reconnecting, .joined])
    receiver.recorder.clearAudio("sw-rec-sender")
    try await receiver.recorder.waitTone("sw-rec-sender", 440, against: 1000)
    XCTAssertEqual(try receiver.call.stats().reconnectsFast, 1)
    try await sender.leave()
    try await receiver.leave()
  }
}

private func person(_ body: Event.Body, _ user: String, joined: Bool) -> Participant? {
  switch body {
  case .participantJoined(let p) where joined && p.userID == user: p
  case .participantLeft(let p) where !joined && p.userID == user: p
  default: nil
  }
}
