// main.swift - uses the library for the first time, in a separate process: for the test of versions. Prints a line
// for each refusal; exits with their number.
import Offhook

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

func refused(_ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return 0
  } catch {
    print(error)
    return 1
  }
}

let client = refused { _ = try Client(ClientOptions(url: "http://127.0.0.1:1", userID: "u", token: "t")) }
let token = refused { _ = try AccessToken(apiKey: "key", apiSecret: "secret", userID: "u", callID: "c").make() }
let log = refused { try Log.off() }
exit(client + token + log)
