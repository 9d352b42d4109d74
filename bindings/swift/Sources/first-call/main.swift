// The first call: says a tone until somebody else was heard for a second, or the time is up. URL NAME [SECONDS]
import Foundation
import Offhook

let arguments = CommandLine.arguments
let environment = ProcessInfo.processInfo.environment
let url = arguments.count > 1 ? arguments[1] : environment["OFFHOOK_SFU_URL"] ?? "http://127.0.0.1:8080"
let name = arguments.count > 2 ? arguments[2] : "ann"
let seconds = arguments.count > 3 ? Int(arguments[3]) ?? 20 : 20

// A real service wants the user's JWT, made by your server.
var options = ClientOptions(url: url, userID: name, token: environment["OFFHOOK_TOKEN"] ?? "development")
if url.hasPrefix("ws") {  // LiveKit; without the settings that of `livekit-server --dev`
  options.serviceProtocol = .liveKit
  options.token = try AccessToken(
    apiKey: environment["LIVEKIT_API_KEY"] ?? "devkey", apiSecret: environment["LIVEKIT_API_SECRET"] ?? "secret",
    userID: name, callID: "my-first-call"
  ).make()
}
let client = try Client(options)
let call = try await client.join(CallOptions(id: "my-first-call"))
print("joined; waiting \(seconds) s at most for somebody to be heard: start another one with another name")

let listening = Task {
  var frames = 0  // of 20 ms
  for await frame in call.audio where !frame.isSilence {
    frames += 1
    if frames == 50 {
      print("a second of \(frame.userID)")
      return true
    }
  }
  return false
}
let telling = Task {
  for await event in call.events {
    if case .participantJoined(let who) = event.body { print("\(who.userID) is here") }
  }
}

let track = try call.publishAudio()
let saying = Task {
  let tone = (0..<seconds * 48000).map { Int16(8000 * sin(2 * .pi * 440 * Double($0) / 48000)) }
  do { try await track.play(tone) } catch {}
}
let waiting = Task {
  await saying.value
  do { try await call.leave(reason: "bye") } catch { print(error) }  // events and audio end with it
}
let heard = await listening.value
if heard { try? await Task.sleep(for: .seconds(2)) }  // so that the other hears enough, too
saying.cancel()
await waiting.value
await telling.value
if !heard { print("nobody was heard") }
exit(heard ? 0 : 1)
