// Call.swift - one participant's presence in a call, owned.
import COffhook
import Dispatch

/// A call, from the join until this object goes or ``close()`` is called. Handlers are given its handle, not this
/// object: one that captures it keeps it alive until the call ends.
public final class Call: Sendable, CallOperations {
  public let handle: CallHandle
  /// The client lives as long as its calls.
  public let client: Client
  private let context: CallContext

  init(_ handle: CallHandle, _ context: CallContext, _ client: Client) {
    self.handle = handle
    self.context = context
    self.client = client
  }

  /// Leaves, if that was not done. Elsewhere, because it may wait for a handler in progress.
  deinit {
    let handle = handle
    DispatchQueue.global().async { oh_call_free(handle.c) }
  }

  /// What happens, in order, the ended event last (with ``Delivery/streams(eventBuffer:audioBuffer:audio:)``; else it
  /// ends at once). One task reads it; cancelling that task ends the stream, not the call.
  public var events: AsyncStream<Event> { context.events }

  /// What is heard, 20 ms of a participant at a time; as ``events``.
  public var audio: AsyncStream<AudioFrame> { context.audio }

  /// Frames that were dropped because ``audio`` was not read fast enough.
  public var lostAudioFrames: UInt64 { context.lostAudioFrames }

  /// How often a handler has thrown.
  public var handlerErrors: UInt64 { context.handlerErrors }

  /// Waits until the SFU has let this participant in; throws what the join ended with.
  public func joined() async throws {
    try await context.joined()
  }

  /// Waits until the call is over and everything was handed over. Throws ``ResultCode/closed`` when it was closed
  /// without having ended.
  public func ended() async throws -> Ended {
    try await context.ended()
  }

  /// Leaves, and returns when the call is over, within 2 s. ``CallOperations/startLeave(reason:)`` does not wait.
  @discardableResult
  public func leave(reason: String? = nil) async throws -> Ended {
    try startLeave(reason: reason)
    return try await ended()
  }

  /// Calls a procedure of another participant (``Capabilities/rpc``) and gives its answer; throws ``RPCError``.
  /// `timeout` is 1 s to 10 min; zero: 15 s.
  public func rpc(to user: String, method: String, payload: String = "", timeout: Duration = .zero) async throws
    -> String
  {
    try await context.rpc { try startRPC(to: user, method: method, payload: payload, timeout: timeout) }
  }

  /// Leaves, if that was not done, and frees the call: after it no handler runs. Waits for a handler in progress on
  /// another thread; inside a handler of this call it takes effect when the handler returns. Closing twice does
  /// nothing.
  public func close() {
    oh_call_free(handle.c)
  }
}
