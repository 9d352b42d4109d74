// The first call: plays a tone until it has received a second of audio, or the time is over. URL NAME [SECONDS]
import Foundation
import Offhook

let arguments = CommandLine.arguments
let environment = ProcessInfo.processInfo.environment
let url = arguments.count > 1 ? arguments[1] : environment["OFFHOOK_SFU_URL"] ?? "http://127.0.0.1:8080"
let name = arguments.count > 2 ? arguments[2] : "ann"
let seconds = arguments.count > 3 ? Int(arguments[3]) ?? 20 : 20

// A real service needs the user's JWT, made by your server.
var options = ClientOptions(url: url, userID: name, token: environment["OFFHOOK_TOKEN"] ?? "development")
if url.hasPrefix("ws") {  // LiveKit; the defaults are those of `livekit-server --dev`
  options.token = try AccessToken(
    apiKey: environment["LIVEKIT_API_KEY"] ?? "devkey", apiSecret: environment["LIVEKIT_API_SECRET"] ?? "secret",
    userID: name, callID: "my-first-call"
  ).make()
}
let client = try Client(options)
let call = try await client.join(CallOptions(callID: "my-first-call"))
print("joined; waiting \(seconds) s at most for audio of another participant: start a second one with another name")

let listening = Task {
  var frames = 0  // 20 ms each
  for await frame in call.audio where !frame.isSilence {
    frames += 1
    if frames == 50 {
      print("a second of \(frame.userID)")
      return true
    }
  }
  return false
}
let events = Task {
  for await event in call.events {
    if case .participantJoined(let who) = event.body { print("\(who.userID) joined") }
  }
}

let track = try call.publishAudio()
let speaking = Task {
  let tone = (0..<seconds * 48000).map { Int16(8000 * sin(2 * .pi * 440 * Double($0) / 48000)) }
  do { try await track.play(tone) } catch {}
}
let leaving = Task {
  await speaking.value
  do { try await call.leave(reason: "bye") } catch { print(error) }  // events and audio end with it
}
let received = await listening.value
if received { try? await Task.sleep(for: .seconds(2)) }  // so that the other one receives enough as well
speaking.cancel()
await leaving.value
await events.value
if !received { print("no audio was received") }
exit(received ? 0 : 1)
