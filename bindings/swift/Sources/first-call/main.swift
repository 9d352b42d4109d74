// The first call: joins, says a second of a tone, hears whoever is there, leaves.
import Foundation
import Offhook

let environment = ProcessInfo.processInfo.environment
let client = try Client(
  ClientOptions(
    url: environment["OFFHOOK_SFU_URL"] ?? "http://127.0.0.1:8080",
    userID: "ann", token: environment["OFFHOOK_TOKEN"] ?? "development"))
let call = try await client.join(CallOptions(id: "my-first-call"))

let listening = Task {
  for await frame in call.audio { print("\(frame.userID): 20 ms, level \(frame.level)") }
}
let telling = Task {
  for await event in call.events {
    if case .participantJoined(let who) = event.body { print("\(who.userID) is here") }
  }
}

let track = try call.publishAudio()
try await track.play((0..<48000).map { Int16(8000 * sin(2 * .pi * 440 * Double($0) / 48000)) })
try await track.drain()

let ended = try await call.leave(reason: "bye")  // events and audio end with it
await telling.value
await listening.value
print("ended: \(ended.reason)")
