// main.swift - the overhead of an event and 20 ms of audio from the library to a handler in Swift: 100 calls in ten
// rooms of ten, one sender in each, all receive. Prints one line of JSON. Beside a development SFU (OFFHOOK_SFU_URL).
//
//   bench [SECONDS]
import CBench
import Foundation
import Offhook

let seconds = CommandLine.arguments.dropFirst().first.flatMap(Double.init) ?? 5
let url = ProcessInfo.processInfo.environment["OFFHOOK_SFU_URL"] ?? ""

func percentiles(_ values: [UInt32]) -> String {
  let sorted = values.sorted()
  func at(_ share: Double) -> UInt32 {
    sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
  }
  return #"{"p50":\#(at(0.5)),"p99":\#(at(0.99))}"#
}

func samples(audio: Bool) -> [cb_sample] {
  var count: UInt64 = 0
  let first = cb_samples(audio ? 1 : 0, &count)
  return Array(UnsafeBufferPointer(start: first, count: Int(count)))
}

func mean(_ samples: [cb_sample]) -> String {
  let sum = samples.reduce(0) { $0 + Int($1.allocations) }
  return String(format: "%.3f", Double(sum) / Double(max(1, samples.count)))
}

let handlers = CallHandlers(onEvent: { _, _ in cb_entered() }, onAudio: { _, _ in cb_entered() })
let calls = try await withThrowingTaskGroup(of: (Int, Call).self) { group in
  for i in 0..<100 {
    group.addTask {
      let client = try Client(ClientOptions(url: url, userID: "u\(i)", token: "development"))
      return (i, try await client.join(CallOptions(callID: "bench-\(i / 10)", delivery: .handlers(handlers))))
    }
  }
  var calls: [(Int, Call)] = []
  for try await call in group { calls.append(call) }
  return calls
}

let second = (0..<48000).map { Int16(9000 * sin(2 * .pi * 440 * Double($0) / 48000)) }
var senders: [Task<Void, any Error>] = []
for (i, call) in calls where i % 10 == 0 {
  var options = AudioTrackOptions()
  options.noDTX = true
  let track = try call.publishAudio(options)
  senders.append(Task { while !Task.isCancelled { try await track.play(second) } })
}
// All receive audio before the measurement begins.
let deadline = ContinuousClock.now + .seconds(20)
for (i, call) in calls where i % 10 != 0 {
  while try call.stats().framesPlayed < 10 {
    guard ContinuousClock.now < deadline else { fatalError("u\(i) receives nothing") }
    try await Task.sleep(for: .milliseconds(10))
  }
}
let droppedBefore = try calls.reduce(0) { try $0 + $1.1.stats().audioFramesDropped }
cb_measure(1)
try await Task.sleep(for: .seconds(seconds))
// More events: each participant that leaves is reported to the nine others.
for sender in senders { sender.cancel() }
for (_, call) in calls.filter({ $0.0 % 10 == 9 }) { try await call.leave() }
cb_measure(0)
let dropped = try calls.reduce(0) { try $0 + $1.1.stats().audioFramesDropped } - droppedBefore

let (frames, events) = (samples(audio: true), samples(audio: false))
let late = (frames + events).count { $0.return_ns > 20_000_000 }
print(
  #"{"language":"swift","seconds":\#(seconds),"calls":\#(calls.count),"frames":\#(frames.count),"events":\#(events.count),"#
    + #""frame_ns":\#(percentiles(frames.map(\.enter_ns))),"frame_return_ns":\#(percentiles(frames.map(\.return_ns))),"#
    + #""event_ns":\#(percentiles(events.map(\.enter_ns))),"event_return_ns":\#(percentiles(events.map(\.return_ns))),"#
    + #""allocations_per_frame":\#(mean(frames)),"allocations_per_event":\#(mean(events)),"#
    + #""late":\#(late),"dropped":\#(dropped),"#
    + #""method":"ns from the entry of the C callback to the entry of the handler, and to the callback's return; allocations are malloc calls on that thread in the callback; late: callbacks of more than 20 ms; dropped: frames that the library dropped; not measured: the time before the C callback, and the hop to another task of the streams"}"#
)
for (_, call) in calls { _ = try? await call.leave() }
