// Diagnosis.swift - why a call does not connect: each step with what was found and what to do.
import COffhook

/// A STUN or TURN server.
public struct ICEServer: Sendable {
  /// Its URL, for instance "turn:turn.example.com:3478?transport=tcp".
  public var url: String
  /// The user name; required for TURN.
  public var username: String?
  /// The password; required for TURN. It is never part of a report.
  public var password: String?

  public init(url: String, username: String? = nil, password: String? = nil) {
    self.url = url
    self.username = username
    self.password = password
  }
}

/// The result of ``diagnose(_:)``.
public struct Diagnosis: Sendable {
  /// The report for people.
  public var text: String
  /// The report for programs.
  public var reportJSON: String
  /// Steps that failed.
  public var stepsFailed: Int
  /// Steps with a warning.
  public var stepsWarning: Int
  /// The time was over, or the library shut down, before all steps were taken.
  public var incomplete: Bool

  /// Whether no step failed.
  public var ok: Bool { stepsFailed == 0 && !incomplete }
}

/// What to diagnose. Zero and nil are the library's defaults.
public struct DiagnoseOptions: Sendable {
  /// The service and how to reach it; without a token it is asked whether it is there.
  public var client: ClientOptions
  /// The call to join for a moment, without audio; nil: none.
  public var callID: String?
  /// The type of the call; nil: "default".
  public var callType: String?
  /// Servers to check besides those that the service names; at most 16.
  public var iceServers: [ICEServer] = []
  /// Longest time for everything, 100 ms to 10 minutes; nil: 20 s.
  public var timeout: Duration?

  public init(client: ClientOptions, callID: String? = nil) {
    self.client = client
    self.callID = callID
  }
}

/// Finds out why a call does not connect, step by step. What is wrong with the network or the service is in the report;
/// this throws for options that cannot be used. The diagnosis ends by itself, within its timeout.
public func diagnose(_ options: DiagnoseOptions) async throws -> Diagnosis {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Diagnosis, any Error>) in
    do {
      try begin(options) { continuation.resume(returning: $0) }
    } catch {
      continuation.resume(throwing: error)
    }
  }
}

/// The handler is called exactly once, unless this throws.
private func begin(_ options: DiagnoseOptions, _ handler: @escaping @Sendable (Diagnosis) -> Void) throws {
  try Library.ready()
  try options.client.withC { client in
    try withTexts { c in
      var o = defaults(oh_diagnose_options.self)
      o.client = client
      o.call_id = try c(options.callID)
      o.call_type = try c(options.callType)
      o.timeout_ms = options.timeout?.wholeMilliseconds ?? 0
      let servers = UnsafeMutablePointer<oh_ice_server>.allocate(capacity: max(options.iceServers.count, 1))
      defer { servers.deallocate() }
      var pointers: [UnsafePointer<oh_ice_server>?] = []
      for (index, server) in options.iceServers.enumerated() {
        var s = defaults(oh_ice_server.self)
        s.url = try c(server.url)
        s.username = try c(server.username)
        s.password = try c(server.password)
        (servers + index).initialize(to: s)
        pointers.append(UnsafePointer(servers + index))
      }
      o.ice_server_count = pointers.count
      try pointers.withUnsafeBufferPointer { all in
        o.ice_servers = pointers.isEmpty ? nil : all.baseAddress
        let box = Unmanaged.passRetained(DiagnosisBox(handler))
        let result = oh_diagnose(
          &o,
          { user, raw in
            let box = Unmanaged<DiagnosisBox>.fromOpaque(user!).takeUnretainedValue()
            let c = known(raw)
            box.handler(
              Diagnosis(
                text: text(c.text), reportJSON: text(c.report_json), stepsFailed: Int(c.steps_failed),
                stepsWarning: Int(c.steps_warning), incomplete: c.incomplete != 0))
          },
          box.toOpaque(),
          { Unmanaged<DiagnosisBox>.fromOpaque($0!).release() })
        if result != OH_OK.rawValue {
          let error = failure(result)
          box.release()
          throw error
        }
      }
    }
  }
}

private final class DiagnosisBox: Sendable {
  let handler: @Sendable (Diagnosis) -> Void
  init(_ handler: @escaping @Sendable (Diagnosis) -> Void) { self.handler = handler }
}
