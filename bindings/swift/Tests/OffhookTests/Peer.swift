// Peer.swift - a participant for tests: client, call, recorded events and audio, and optionally a tone.
import Foundation
import Offhook
import Synchronization
import XCTest

/// The events of a call, in order, and its audio.
final class Recorder: Sendable {
  private struct State {
    var events: [Event] = []
    var pcm: [String: [Int16]] = [:]
    var frames: [String: Int] = [:]
    var loud: [String: Int] = [:]
    var lastFrame: [String: ContinuousClock.Instant] = [:]
    var gap: [String: Duration] = [:]
    var errors: [String] = []
  }
  private let state = Mutex(State())

  var handlers: CallHandlers {
    CallHandlers(
      onEvent: { _, event in self.add(event) }, onAudio: { _, frame in self.add(frame) },
      onError: { _, error in self.add(error) })
  }

  func add(_ event: Event) { state.withLock { $0.events.append(event) } }
  func add(_ error: any Error) { state.withLock { $0.errors.append("\(error)") } }
  func add(_ frame: AudioFrame) {
    let now = ContinuousClock.now
    state.withLock { s in
      let user = frame.userID
      s.frames[user, default: 0] += 1
      if let last = s.lastFrame[user] { s.gap[user] = max(s.gap[user] ?? .zero, now - last) }
      s.lastFrame[user] = now
      guard case .s16(let samples) = frame.samples else { return }
      if samples.contains(where: { abs(Int32($0)) > 500 }) { s.loud[user, default: 0] += 1 }
      s.pcm[user, default: []].append(contentsOf: samples)
      let over = s.pcm[user]!.count - 9600  // the last 200 ms
      if over > 0 { s.pcm[user]!.removeFirst(over) }
    }
  }

  var events: [Event] { state.withLock { $0.events } }
  var errors: [String] { state.withLock { $0.errors } }
  func frames(_ user: String) -> Int { state.withLock { $0.frames[user] ?? 0 } }
  func loud(_ user: String) -> Int { state.withLock { $0.loud[user] ?? 0 } }
  func gap(_ user: String) -> Duration { state.withLock { $0.gap[user] ?? .zero } }
  func forgetGaps() { state.withLock { $0.gap = [:] } }
  func clearAudio(_ user: String) { state.withLock { $0.pcm[user] = [] } }

  func count(_ kind: EventKind) -> Int { events.count { $0.kind == kind } }

  /// Waits for an event, from `mark` on, for which the closure returns a value; returns that value.
  func wait<R>(
    from mark: Int = 0, within seconds: Double = 10, _ words: String, _ fits: (Event.Body) -> R?
  ) async throws -> R {
    var found: R?
    try await eventually(within: seconds, "\(words); there is \(events.dropFirst(mark).map(\.kind))") {
      for event in events.dropFirst(mark) where found == nil { found = fits(event.body) }
      return found != nil
    }
    return found!
  }

  /// Waits for a tone of a user that is 10 times louder than another one.
  func waitTone(_ user: String, _ hz: Double, against other: Double, within seconds: Double = 10) async throws {
    try await eventually(within: seconds, "\(user)'s tone of \(hz) Hz is received, in \(frames(user)) frames") {
      let pcm = state.withLock { $0.pcm[user] ?? [] }
      return pcm.count >= 9600 && power(pcm, hz) > 10 * power(pcm, other) && power(pcm, hz) > 1e3
    }
  }
}

/// The strength of a frequency in mono audio at 48 kHz (Goertzel), as an amplitude.
func power(_ pcm: [Int16], _ hz: Double) -> Double {
  let w = 2 * cos(2 * Double.pi * hz / 48000)
  var (a, b) = (0.0, 0.0)
  for x in pcm { (a, b) = (Double(x) + w * a - b, a) }
  return 2 * (a * a + b * b - w * a * b).squareRoot() / Double(max(1, pcm.count))
}

func tone(_ hz: Double, milliseconds: Int, from start: Int = 0) -> [Int16] {
  (0..<48 * milliseconds).map { Int16(9830 * sin(2 * Double.pi * hz * Double(start + $0) / 48000)) }
}

/// A user of the development SFU.
func makeClient(_ user: String, token: String? = "development") throws -> Client {
  try Client(ClientOptions(url: SFU.url, userID: user, token: token))
}

final class Peer: Sendable {
  let user: String
  let client: Client
  let call: Call
  let recorder: Recorder
  private let voice = Mutex<(track: AudioTrack, task: Task<Void, Never>)?>(nil)

  /// Joined when this returns.
  init(_ user: String, _ room: String, change: (inout CallOptions) -> Void = { _ in }) async throws {
    self.user = user
    recorder = Recorder()
    client = try makeClient(user)
    var options = CallOptions(callID: room, delivery: .handlers(recorder.handlers))
    change(&options)
    let (client, given) = (client, options)
    call = try await within(15, "\(user) joins") { try await client.join(given) }
  }

  /// Publishes a tone until the call is left.
  @discardableResult
  func publishTone(_ hz: Double) throws -> AudioTrack {
    var options = AudioTrackOptions()
    options.noDTX = true
    let track = try call.publishAudio(options)
    let task = Task {
      var at = 0
      while !Task.isCancelled {
        do { try await track.play(tone(hz, milliseconds: 20, from: at)) } catch { return }
        at = (at + 960) % 48000
      }
    }
    voice.withLock { $0 = (track, task) }
    return track
  }

  /// Leaves; checks the reason and the time of the end.
  func leave() async throws {
    voice.withLock { $0?.task.cancel() }
    let call = call
    let ended = try await within(5, "\(user) leaves") { try await call.leave(reason: "bye") }
    XCTAssertEqual(ended.reason, .left)
    XCTAssertNil(ended.error)
    call.close()
    client.close()
  }

  func noErrors(file: StaticString = #filePath, line: UInt = #line) throws {
    XCTAssertEqual(recorder.count(.error), 0, user, file: file, line: line)
    XCTAssertEqual(recorder.count(.localTrackFailed), 0, user, file: file, line: line)
    XCTAssertEqual(recorder.errors, [], user, file: file, line: line)
    let stats = try call.stats()
    XCTAssertEqual(stats.errorEvents, 0, user, file: file, line: line)
    XCTAssertEqual(stats.offersFailed, 0, user, file: file, line: line)
    XCTAssertEqual(stats.joinAttempts, 1, user, file: file, line: line)
  }
}

/// The code of the error that the closure throws, or nil.
func code(_ body: () throws -> Void) -> ResultCode? {
  do {
    try body()
    return nil
  } catch {
    return (error as? OffhookError)?.code
  }
}
