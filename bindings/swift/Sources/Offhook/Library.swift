// Library.swift - what concerns the whole process: versions, the end, the network, time limits, blocking waits.
import COffhook
import Dispatch

/// The library as a whole.
public enum Library {
  /// The version of the library that is loaded, for instance "0.1.0".
  public static var version: String { String(cString: oh_version()) }
  /// The ABI version of the library that is loaded.
  public static var abiVersion: UInt32 { oh_abi_version() }
  /// The ABI version that this package was built for.
  public static var expectedABIVersion: UInt32 { UInt32(OH_ABI_VERSION) }

  /// Tells all calls what the application knows of the network, for instance on a phone. Returns at once.
  public static func networkChanged(_ what: NetworkChange) throws {
    try ready()
    try check(oh_network_changed(what.rawValue))
  }

  /// Sets bounds of the whole process.
  public static func setLimits(_ limits: Limits) throws {
    try ready()
    var c = coffhook_limits()
    c.callback_threads = limits.callbackThreads
    c.queue_bytes = limits.queueBytes
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
    let have = oh_abi_version()
    if have == expectedABIVersion { return nil }
    return OffhookError(
      code: .abi,
      detail: "the library that is loaded has ABI \(have), this package was built for ABI \(expectedABIVersion)")
  }()

  /// The first use of anything: refuses a library of another ABI.
  static func ready() throws {
    if let problem { throw problem }
  }
}

/// Bounds of the whole process; 0: the library's default.
public struct Limits: Sendable, Hashable {
  /// Threads that run handlers, at most.
  public var callbackThreads: UInt32 = 0
  /// Bytes of payload that wait for the application, all calls together.
  public var queueBytes: UInt64 = 0
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
  /// For C: rounded up, never below zero, never "for ever".
  var wholeMilliseconds: UInt32 {
    let (seconds, attoseconds) = components
    if seconds < 0 || attoseconds < 0 { return 0 }
    if seconds >= Int64(OH_FOREVER / 1000) { return OH_FOREVER - 1 }
    let ms = UInt64(seconds) * 1000 + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    return UInt32(clamping: min(ms, UInt64(OH_FOREVER) - 1))
  }
}

/// Runs what may block on a thread that is not one of the few that tasks share. What it throws was made there, so
/// that the details belong to the same thread.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global().async { continuation.resume(with: Result(catching: body)) }
  }
}
