// PulledCall.swift - a call in pull mode: its events and audio are taken by the application.
import COffhook
import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A call in pull mode, owned. One thread or task at a time takes its events.
public final class PulledCall: Sendable, CallOperations {
  public let handle: CallHandle
  /// The client lives as long as its calls.
  public let client: Client

  init(_ handle: CallHandle, _ client: Client) {
    self.handle = handle
    self.client = client
  }

  deinit {
    let handle = handle
    DispatchQueue.global().async { oh_call_free(handle.c) }
  }

  /// Waits for the next event; blocks this thread. nil: there was none in time. Throws ``ResultCode/closed`` after the
  /// ended event, ``ResultCode/state`` while another thread waits.
  public func next(timeout: Timeout = .milliseconds(0)) throws -> Event? {
    var c: UnsafePointer<oh_event>?
    let result = oh_call_wait_event(handle.c, timeout.milliseconds, &c)
    if result == OH_ERR_EMPTY.rawValue { return nil }
    try check(result)
    defer { oh_event_free(c) }
    return Event(c!)
  }

  /// Waits for the next event without blocking a thread; nil after the ended event.
  public func nextEvent() async throws -> Event? {
    while true {
      do {
        if let event = try next() { return event }
        try await readable()
      } catch let error as OffhookError where error.code == .closed {
        return nil
      }
    }
  }

  /// A descriptor that polls readable while there is an event, for poll, epoll or kqueue. The library owns it: do not
  /// read, write or close it; it is closed with the call.
  public func wakeDescriptor() throws -> Int32 {
    var fd: Int32 = -1
    try check(oh_call_get_wake_fd(handle.c, &fd))
    return fd
  }

  /// Leaves, if that was not done, and frees the call. Closing twice does nothing.
  public func close() {
    oh_call_free(handle.c)
  }

  /// Waits until the descriptor is readable, half a second at most, so that a call that is closed meanwhile is noticed.
  private func readable() async throws {
    let descriptor = dup(try wakeDescriptor())  // a duplicate stays valid when the call is closed meanwhile
    if descriptor < 0 { throw OffhookError(code: .limit, detail: "no descriptor is left") }
    let wait = ReadableWait(descriptor)
    try await withTaskCancellationHandler {
      try await wait.run()
    } onCancel: {
      wait.finish(.failure(CancellationError()))
    }
  }
}

/// One wait for a descriptor, which it closes.
private final class ReadableWait: Sendable {
  private struct State {
    var waiter: CheckedContinuation<Void, any Error>?
    var result: Result<Void, any Error>?
  }

  private let state = Mutex(State())
  // Unchecked: dispatch sources are thread-safe, and not declared so everywhere.
  private nonisolated(unsafe) let source: any DispatchSourceRead

  init(_ fd: Int32) {
    source = DispatchSource.makeReadSource(fileDescriptor: fd, queue: .global())
    source.setCancelHandler { _ = close(fd) }
  }

  func run() async throws {
    source.setEventHandler { self.finish(.success(())) }
    source.activate()
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(500)) { self.finish(.success(())) }
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      let now = state.withLock { s in
        if s.result == nil { s.waiter = continuation }
        return s.result
      }
      if let now { continuation.resume(with: now) }
    }
  }

  /// The first result counts.
  func finish(_ result: Result<Void, any Error>) {
    let (first, waiter) = state.withLock { s in
      let first = s.result == nil
      if first { s.result = result }
      defer { s.waiter = nil }
      return (first, s.waiter)
    }
    guard first else { return }
    source.activate()
    source.cancel()
    waiter?.resume(with: result)
  }
}
