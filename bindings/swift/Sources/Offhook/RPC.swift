// RPC.swift - procedure calls between participants (Capabilities.rpc).
import COffhook

/// Why a procedure call failed. A procedure of the application throws it to report a failure.
public struct RPCError: Error, Sendable, Hashable, CustomStringConvertible {
  public let code: RPCCode
  public let message: String
  /// Data of the error, usually "".
  public let data: String
  public init(code: RPCCode = .application, message: String, data: String = "") {
    self.code = code
    self.message = message
    self.data = data
  }
  public var description: String { "RPC error \(code.rawValue): \(message)" }
}

extension CallOperations {
  /// Calls a procedure of another participant; ``Event/Body/rpcResponse(_:)`` with the id returned is the result. `timeout`
  /// is 1 s to 10 min; nil: 15 s. With a ``Call`` use ``Call/performRPC(to:method:payload:timeout:)``.
  public func startRPC(to user: String, method: String, payload: String = "", timeout: Duration? = nil) throws
    -> UInt64
  {
    try withTexts { c in
      var o = defaults(oh_rpc_options.self)
      o.timeout_ms = timeout?.wholeMilliseconds ?? 0
      o.to = try c(user)
      o.method = try c(method)
      o.payload = try c(payload)
      var id: UInt64 = 0
      try check(oh_call_perform_rpc(handle.c, &o, &id))
      return id
    }
  }

  /// Answers a request with at most 15360 bytes, inside the handler or later. A late or second answer is dropped.
  public func answer(_ request: RPCRequest, payload: String) throws {
    try withTexts { c in
      try check(oh_call_answer_rpc(handle.c, c(request.requestID), c(payload), 0, nil))
    }
  }

  /// Answers a request with a failure.
  public func fail(_ request: RPCRequest, _ error: RPCError) throws {
    try withTexts { c in
      try check(
        oh_call_answer_rpc(handle.c, c(request.requestID), c(error.data), error.code.rawValue, c(error.message)))
    }
  }

  /// Answers with the result of the procedure; an error that it throws becomes the failure.
  public func answer(_ request: RPCRequest, with procedure: (RPCRequest) throws -> String) throws {
    let payload: String
    do {
      payload = try procedure(request)
    } catch let error as RPCError {
      return try fail(request, error)
    } catch {
      return try fail(request, RPCError(message: "\(error)"))
    }
    try answer(request, payload: payload)
  }
}
