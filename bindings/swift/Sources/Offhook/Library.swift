// Library.swift - the whole process: versions, shutdown, the network, limits; and timeouts.
import COffhook
import Dispatch

/// The library as a whole.
public enum Library {
  /// The version of the library that is loaded, for instance "0.1.0".
  public static var version: String { String(cString: oh_get_version()) }
  /// The version of the library that is loaded as a number: major * 1000000 + minor * 1000 + patch.
  public static var versionNumber: UInt32 { oh_get_version_number() }
  /// The ABI version of the library that is loaded.
  public static var abiVersion: UInt32 { oh_get_abi_version() }
  /// The ABI version that this package was built for.
  public static var expectedABIVersion: UInt32 { UInt32(OH_ABI_VERSION) }

  /// Reports a change of the network to all calls of the process, for instance on a phone. Returns at once.
  public static func reportNetwork(_ change: NetworkChange) throws {
    try ready()
    try check(oh_network_report(change.rawValue))
  }

  /// Sets what all calls of the process together may use.
  public static func setLimits(_ limits: Limits) throws {
    try ready()
    var c = defaults(oh_limits.self)
    c.max_callback_threads = limits.maxCallbackThreads
    c.max_queued_bytes = try nonNegative(limits.maxQueuedBytes, "maxQueuedBytes")
    try check(oh_limits_set(&c))
  }

  /// Leaves all calls, waits for their ends and ends the library's threads. It can be used again afterwards.
  /// Throws ``ResultCode/timeout`` when something still runs. 2.5 s is enough for any network, but a handler that
  /// does not return is waited for.
  public static func shutdown(timeout: Timeout = .milliseconds(2500)) async throws {
    try ready()
    try await blocking { try check(oh_shutdown_wait(timeout.milliseconds)) }
  }

  private static let problem: OffhookError? = {
    let have = oh_get_abi_version()
    if have == expectedABIVersion { return nil }
    return OffhookError(
      code: .abi,
      detail: "the library that is loaded has ABI \(have), this package was built for ABI \(expectedABIVersion)")
  }()

  /// Checked before everything else: refuses a library of another ABI.
  static func ready() throws {
    if let problem { throw problem }
  }
}

/// What all calls of the process together may use; 0: the library's default.
public struct Limits: Sendable, Hashable {
  /// Threads for handlers at most, 8 to 65536; 0: 512.
  public var maxCallbackThreads: UInt32 = 0
  /// Bytes of payload in events and of audio that wait for the application at most; 0: 268435456.
  public var maxQueuedBytes = 0
  public init() {}
}

/// How long to wait.
public enum Timeout: Sendable, Hashable {
  case after(Duration)
  case forever

  public static func milliseconds(_ ms: Int) -> Self { .after(.milliseconds(ms)) }
  public static func seconds(_ s: Double) -> Self { .after(.milliseconds(Int64(s * 1000))) }

  var milliseconds: UInt32 {
    switch self {
    case .forever: OH_FOREVER
    case .after(let duration): duration.wholeMilliseconds
    }
  }
}

extension Duration {
  /// For C: rounded up, never below zero, never the value of "no limit".
  var wholeMilliseconds: UInt32 {
    let (seconds, attoseconds) = components
    if seconds < 0 || attoseconds < 0 { return 0 }
    if seconds >= Int64(OH_FOREVER / 1000) { return COFFHOOK_ZERO - 1 }
    let ms = UInt64(seconds) * 1000 + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    return UInt32(clamping: min(ms, UInt64(COFFHOOK_ZERO) - 1))
  }
}

/// Runs what may block on a thread of Dispatch, not on one of the few that tasks share. Errors are made there, because
/// their details belong to that thread.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global().async { continuation.resume(with: Result(catching: body)) }
  }
}
