// Ctl.swift - the control API of the development SFU (docs/sfu.md), over plain loopback sockets; and counters of this
// process.
import Foundation
import XCTest

#if canImport(Glibc)
  import Glibc
#endif

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ text: String) { description = text }
}

enum SFU {
  static let url: String = ProcessInfo.processInfo.environment["OFFHOOK_SFU_URL"] ?? ""
  static let port: UInt16 = {
    guard url.hasPrefix("http://127.0.0.1:"), let port = UInt16(url.dropFirst(17)) else {
      fatalError("OFFHOOK_SFU_URL must be http://127.0.0.1:PORT (scripts/with-sfu.sh sets it)")
    }
    return port
  }()

  /// POST /ctl/NAME; the status must be 200.
  @discardableResult
  static func ctl(_ name: String, _ body: String = "{}") throws -> [String: Any] {
    let (status, answer) = try http("POST", "/ctl/\(name)", body)
    guard status == 200 else { throw TestFailure("ctl \(name) \(body): HTTP \(status)") }
    return try JSONSerialization.jsonObject(with: answer) as? [String: Any] ?? [:]
  }

  /// The newest session of a user, live or ended.
  static func session(_ user: String) throws -> (live: Bool, values: [String: Any])? {
    let (_, answer) = try http("GET", "/ctl/state", "")
    guard let state = try JSONSerialization.jsonObject(with: answer) as? [String: Any] else { return nil }
    for list in ["sessions", "gone"] {
      let all = state[list] as? [[String: Any]] ?? []
      if let found = all.last(where: { $0["user_id"] as? String == user }) { return (list == "sessions", found) }
    }
    return nil
  }

  static func number(_ user: String, _ field: String) throws -> Int {
    (try session(user)?.values[field] as? NSNumber)?.intValue ?? -1
  }

  /// The number of join requests of a user at the coordinator.
  static func joinRequests(_ user: String) throws -> Int {
    let (_, answer) = try http("GET", "/ctl/state", "")
    let state = try JSONSerialization.jsonObject(with: answer) as? [String: Any]
    return (state?["joins"] as? [[String: Any]] ?? []).count { $0["user_id"] as? String == user }
  }

  /// Waits until a number of a user's session is at least `value`.
  static func wait(_ user: String, _ field: String, _ value: Int, within seconds: Double = 10) async throws {
    var last = -1
    try await eventually(within: seconds, "\(user): \(field) is \(last), not \(value)") {
      last = try number(user, field)
      return last >= value
    }
  }

  private static func http(_ method: String, _ path: String, _ body: String) throws -> (Int, Data) {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard fd >= 0 else { throw TestFailure("no socket") }
    defer { close(fd) }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var to = sockaddr_in()
    to.sin_family = sa_family_t(AF_INET)
    to.sin_port = port.bigEndian
    to.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let connected = withUnsafePointer(to: &to) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw TestFailure("the SFU cannot be reached") }
    let request =
      "\(method) \(path) HTTP/1.1\r\nhost: 127.0.0.1:\(port)\r\nconnection: close\r\n"
      + "content-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    var out = Array(request.utf8)[...]
    while !out.isEmpty {
      let n = out.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard n > 0 else { throw TestFailure("the SFU takes no request") }
      out = out.dropFirst(n)
    }
    var reply = Data()
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
      let n = recv(fd, &piece, piece.count, 0)
      guard n >= 0 else { throw TestFailure("\(path): no answer") }
      if n == 0 { break }
      reply.append(contentsOf: piece[..<n])
    }
    guard let end = reply.range(of: Data("\r\n\r\n".utf8)),
      let status = Int(String(decoding: reply.dropFirst(9).prefix(3), as: UTF8.self))
    else { throw TestFailure("\(path): the answer is not HTTP") }
    return (status, reply.subdata(in: end.upperBound..<reply.endIndex))
  }
}

/// Polls until a condition is true; fails with a message at the deadline.
func eventually(
  within seconds: Double = 10, _ words: @autoclosure () -> String, _ condition: () throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while true {
    if try condition() { return }
    if ContinuousClock.now > deadline { throw TestFailure("not within \(seconds) s: \(words())") }
    try await Task.sleep(for: .milliseconds(5))
  }
}

/// Runs an async function with a deadline; a test that hangs fails.
func within<R: Sendable>(
  _ seconds: Double, _ words: String, _ body: @escaping @Sendable () async throws -> R
) async throws -> R {
  try await withThrowingTaskGroup(of: R.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: .seconds(seconds))
      throw TestFailure("not within \(seconds) s: \(words)")
    }
    defer { group.cancelAll() }
    return try await group.next()!
  }
}

func threadCount() throws -> Int {
  try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
}
