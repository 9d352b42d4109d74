// Client.swift - configuration, credentials and connections; calls are made from it.
import COffhook
import Dispatch

/// Who joins calls, and where. It lives as long as somebody holds it or one of its calls.
public final class Client: Sendable {
  let handle: UInt64
  var c: oh_client { oh_client(id: handle) }

  /// Contacts nobody. Throws ``ResultCode/abi`` when the library that is loaded is not the one this was built for.
  public init(_ options: ClientOptions) throws {
    try Library.ready()
    var made = oh_client()
    try options.withC { try check(oh_client_new($0, &made)) }
    handle = made.id
  }

  /// Freeing may wait for a handler in progress, so it is done elsewhere: whoever lets go of the last reference does
  /// not wait.
  deinit {
    let handle = handle
    DispatchQueue.global().async { oh_client_free(oh_client(id: handle)) }
  }

  /// Leaves and closes all its calls and itself; may wait for handlers in progress on other threads. Closing twice
  /// does nothing. Inside a handler of one of its calls that call is closed when the handler returns.
  public func close() {
    oh_client_free(c)
  }

  /// Joins a call and returns when the SFU has let it in. Throws what the join ended with; when the task is cancelled
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

  /// Starts to join and returns at once; ``Call/joined()`` waits for the result, events tell it.
  public func start(_ options: CallOptions) throws -> Call {
    let context = CallContext(options.delivery)
    var made = oh_call()
    try options.withC { o in
      let retained = context.install(in: &o)
      let result = oh_call_join(c, &o, &made)
      if result != OH_OK.rawValue {
        let error = failure(result)
        retained.release()
        throw error
      }
    }
    return Call(CallHandle(made), context, self)
  }

  /// Starts to join a call in pull mode: nothing is called, ``PulledCall/next(timeout:)`` gives what happens and, with
  /// `audio`, what is heard. Returns at once.
  public func pull(_ options: CallOptions, audio: Bool = true) throws -> PulledCall {
    var made = oh_call()
    try options.withC { o in
      o.pull_audio = audio ? 1 : 0
      try check(oh_call_join(c, &o, &made))
    }
    return PulledCall(CallHandle(made), self)
  }
}
