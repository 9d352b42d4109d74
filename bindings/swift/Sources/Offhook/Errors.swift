// Errors.swift - what functions throw, with the library's text; and texts for C.
import COffhook

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The error that functions of this package throw, unless they say otherwise.
public struct OffhookError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Which kind of error; stable.
  public let code: ResultCode
  /// The library's text: what failed, where, and what to do. No secrets.
  public let detail: String
  /// The server's own code (SFU error code or HTTP status); 0 without one.
  public let serverCode: Int32

  public init(code: ResultCode, detail: String, serverCode: Int32 = 0) {
    self.code = code
    self.detail = detail
    self.serverCode = serverCode
  }

  /// The error of an event; nil for OH_OK.
  init?(_ code: Int32, _ text: UnsafePointer<CChar>?, _ serverCode: Int32) {
    if code == OH_OK.rawValue { return nil }
    self.init(code: ResultCode(rawValue: code), detail: Offhook.text(text), serverCode: serverCode)
  }

  public var description: String {
    detail.isEmpty ? "\(code): \(code.message)" : "\(code): \(detail)"
  }
}

/// The details of the last failure on this thread: to be read at once, before anything can move a task elsewhere.
func lastError() -> String {
  var need = 0
  let short: String? = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
    need = oh_get_last_error(buffer.baseAddress, buffer.count)
    if need == 0 { return "" }
    return need < buffer.count ? String(cString: buffer.baseAddress!) : nil
  }
  if let short { return short }
  return withUnsafeTemporaryAllocation(of: CChar.self, capacity: need + 1) { buffer in
    _ = oh_get_last_error(buffer.baseAddress, buffer.count)
    return String(cString: buffer.baseAddress!)
  }
}

/// Throws what a function of C returned, unless that is OK. Nothing may come between the function and this.
@inline(__always)
func check(_ result: Int32) throws {
  if result != OH_OK.rawValue { throw failure(result) }
}

@inline(never)
func failure(_ result: Int32) -> OffhookError {
  OffhookError(code: ResultCode(rawValue: result), detail: lastError())
}

/// Texts for C, valid until the closure returns. A text with a NUL inside is refused rather than cut.
func withTexts<R>(_ body: (Texts) throws -> R) rethrows -> R {
  let texts = Texts()
  defer { texts.release() }
  return try body(texts)
}

final class Texts {
  private var copies: [UnsafeMutablePointer<CChar>] = []

  func callAsFunction(_ text: String?) throws -> UnsafePointer<CChar>? {
    guard let text else { return nil }
    if text.utf8.contains(0) {
      throw OffhookError(code: .argument, detail: "text must not hold a NUL character")
    }
    let copy = strdup(text)!
    copies.append(copy)
    return UnsafePointer(copy)
  }

  fileprivate func release() {
    for copy in copies { free(copy) }
    copies = []
  }
}
