// Call.swift - a call, owned: the presence of the local participant.
import COffhook
import Dispatch

/// A call, from the join until this object is released or ``close()`` is called. Handlers receive its handle, not this
/// object: a handler that captures it keeps it alive until the call ends.
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

  /// Leaves, if that was not done; on another thread, because freeing may wait for a handler in progress.
  deinit {
    let handle = handle
    DispatchQueue.global().async { oh_call_free(handle.c) }
  }

  /// The events, in order, the ended event last (with ``Delivery/streams(eventBuffer:audioBuffer:audio:)``; else it is
  /// empty). One task reads it; cancelling that task ends the stream, not the call.
  public var events: AsyncStream<Event> { context.events }

  /// Audio of all received tracks, 20 ms of one track at a time; otherwise as ``events``.
  public var audio: AsyncStream<AudioFrame> { context.audio }

  /// Frames that were dropped here because ``audio`` was not read fast enough.
  public var audioFramesDropped: UInt64 { context.audioFramesDropped }

  /// How often a handler threw.
  public var handlerErrors: UInt64 { context.handlerErrors }

  /// Waits until the call is joined; throws the error with which the join failed.
  public func joined() async throws {
    try await context.joined()
  }

  /// Waits until the call has ended and everything was delivered. Throws ``ResultCode/closed`` when it was closed
  /// before.
  public func ended() async throws -> Ended {
    try await context.ended()
  }

  /// Leaves, and returns when the call has ended, within 2 s. ``CallOperations/startLeave(reason:)`` does not wait.
  @discardableResult
  public func leave(reason: String? = nil) async throws -> Ended {
    try startLeave(reason: reason)
    return try await ended()
  }

  /// Calls a procedure of another participant (``Capabilities/rpc``) and returns its answer; throws ``RPCError``.
  /// `timeout` is 1 s to 10 min; nil: 15 s.
  public func performRPC(to user: String, method: String, payload: String = "", timeout: Duration? = nil) async throws
    -> String
  {
    try await context.rpc { try startRPC(to: user, method: method, payload: payload, timeout: timeout) }
  }

  /// Leaves, if that was not done, and frees the call: afterwards no handler runs. Waits for a handler in progress on
  /// another thread; inside a handler of this call it takes effect when the handler returns. Closing twice does
  /// nothing.
  public func close() {
    oh_call_free(handle.c)
  }
}
