// Client.swift - configuration, credentials and connections to the service; calls are joined with it.
import COffhook
import Dispatch

/// How to reach the service, and as whom. It lives as long as a reference to it or to one of its calls.
public final class Client: Sendable {
  let handle: UInt64
  var c: oh_client { oh_client(id: handle) }

  /// Opens no connection. Throws ``ResultCode/abi`` when the library that is loaded is of another ABI.
  public init(_ options: ClientOptions) throws {
    try Library.ready()
    var made = oh_client()
    try options.withC { try check(oh_client_new($0, &made)) }
    handle = made.id
  }

  /// On another thread, because freeing may wait for a handler in progress: releasing the last reference does not wait.
  deinit {
    let handle = handle
    DispatchQueue.global().async { oh_client_free(oh_client(id: handle)) }
  }

  /// Frees the client and its calls, which leave; may wait for handlers in progress on other threads. Inside a handler
  /// of one of its calls, that call is freed when the handler returns. Closing twice does nothing.
  public func close() {
    oh_client_free(c)
  }

  /// Joins a call and returns when it is joined. Throws the error with which the join failed; when the task is cancelled,
  /// the call is left.
  public func join(_ options: CallOptions) async throws -> Call {
    let call = try start(options)
    do {
      try await call.joined()
    } catch {
      try? call.startLeave()
      throw error
    }
    return call
  }

  /// Starts to join and returns at once; ``Call/joined()`` waits for the result, and events have it.
  public func start(_ options: CallOptions) throws -> Call {
    let context = CallContext(options.delivery)
    var made = oh_call()
    try options.withC { o in
      let (handlers, retained) = context.handlers()
      let result = withUnsafePointer(to: handlers) {
        o.handlers = $0
        return oh_call_join(c, &o, &made)
      }
      if result != OH_OK.rawValue {
        let error = failure(result)
        retained.release()
        throw error
      }
    }
    return Call(CallHandle(made), context, self)
  }

  /// Starts to join a call in pull mode: ``PulledCall/next(timeout:)`` returns its events and, with `audio`, its audio.
  /// Returns at once.
  public func pull(_ options: CallOptions, audio: Bool = true) throws -> PulledCall {
    var made = oh_call()
    try options.withC { o in
      o.pull_audio = audio.c
      try check(oh_call_join(c, &o, &made))
    }
    return PulledCall(CallHandle(made), self)
  }
}
