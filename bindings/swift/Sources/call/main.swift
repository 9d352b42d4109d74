// main.swift - an example: joins a call, plays a tone, prints events and received audio, and leaves on Enter, Ctrl-C or
// after --seconds.
//
//   swift run call --url http://127.0.0.1:PORT --user ann --call demo [--tone 440] [--seconds 10]
//   swift run call --livekit ws://127.0.0.1:PORT --token T
import Dispatch
import Foundation
import Offhook

struct Usage: Error {}

struct Arguments {
  var options = ClientOptions(url: "", token: "development")  // a real service needs the user's JWT
  var call: String?
  var tone = 440.0
  var seconds: Double?

  init(_ words: [String]) throws {
    var words = words[...]
    while let name = words.popFirst() {
      guard let value = words.popFirst() else { throw Usage() }
      switch name {
      case "--url": options.url = value
      case "--livekit":
        options.url = value
        options.serviceProtocol = .liveKit
      case "--user": options.userID = value
      case "--token": options.token = value
      case "--call": call = value
      case "--tone": tone = Double(value) ?? 440
      case "--seconds": seconds = Double(value)
      default: throw Usage()
      }
    }
    if options.url.isEmpty { throw Usage() }
    if options.serviceProtocol == .auto && (options.userID == nil || call == nil) { throw Usage() }
  }
}

/// Prints a line without buffering, also into a pipe.
func say(_ line: String) {
  print(line)
  fflush(nil)
}

func show(_ event: Event) {
  switch event.body {
  case .state(let change): say("state: \(change.state)")
  case .joined(let joined): say("joined after \(joined.joinMilliseconds) ms, \(joined.participants) participants")
  case .participantJoined(let who): say("\(who.userID) joined")
  case .participantLeft(let who): say("\(who.userID) left")
  case .trackPublished(let track): say("\(track.userID) published a track")
  case .trackUnpublished(let track): say("\(track.userID) muted or unpublished a track")
  case .reconnected(let how): say("reconnected after \(how.elapsedMilliseconds) ms")
  case .localTrackFailed(let track): say("not published: \(track.error.map { "\($0)" } ?? "")")
  case .error(let error): say("error: \(error)")
  case .ended(let ended): say("ended: \(ended.text)")
  default: break
  }
}

// Enter, Ctrl-C or the time limit, whichever is first.
let (stop, stopper) = AsyncStream.makeStream(of: String.self)
signal(SIGINT, SIG_IGN)
let interrupt = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
interrupt.setEventHandler { stopper.yield("Ctrl-C") }
interrupt.activate()
Thread.detachNewThread { if readLine() != nil { stopper.yield("Enter") } }

do {
  let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
  let client = try Client(arguments.options)
  let call = try client.start(CallOptions(callID: arguments.call))
  let events = Task { for await event in call.events { show(event) } }
  let listening = Task {
    var frames: [String: Int] = [:]
    for await frame in call.audio {
      if frames.updateValue((frames[frame.userID] ?? 0) + 1, forKey: frame.userID) == nil {
        say("audio of \(frame.userID)")
      }
    }
    return frames
  }
  try await call.joined()

  let track = try call.publishAudio()
  let hz = arguments.tone
  let speech = Task {
    let second = (0..<48000).map { Int16(6000 * sin(2 * Double.pi * hz.rounded() * Double($0) / 48000)) }
    while !Task.isCancelled { try await track.play(second) }
  }
  if let seconds = arguments.seconds {
    DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { stopper.yield("the time is up") }
  }
  let over = Task { if (try? await call.ended()) != nil { stopper.yield("the call has ended") } }
  for await why in stop {
    say(why)
    break
  }
  over.cancel()
  speech.cancel()
  try await call.leave(reason: "bye")
  await events.value
  for (user, frames) in await listening.value { say("received \(user) for \(frames * 20) ms") }
} catch is Usage {
  say("usage: call --url URL --user NAME --call ID [--token T] [--tone HZ] [--seconds N]")
  say("   or: call --livekit URL --token T [...]")
  exit(2)
} catch {
  say("failed: \(error)")
  exit(1)
}
