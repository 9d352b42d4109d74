// CallContext.swift - what the callbacks of one call are given: the handlers or streams, and the tasks that wait. The
// library holds it from the join until it calls destroy, its Call as long as that lives.
import COffhook
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Unchecked: `handlers` and `names` are touched by callbacks only, which run one at a time, and by destroy, which
/// comes after the last of them.
final class CallContext: @unchecked Sendable {
  private struct Waiting {
    var joined = false
    var ended: Ended?
    var over = false
    var forJoin: [UInt64: CheckedContinuation<Void, any Error>] = [:]
    var forEnd: [UInt64: CheckedContinuation<Ended, any Error>] = [:]
    var rpcs: [UInt64: CheckedContinuation<String, any Error>] = [:]
    var next: UInt64 = 0
  }

  private var handlers = CallHandlers()
  private var names = NameCache()
  private let mailbox: Mailbox?
  private let audioSink: AsyncStream<AudioFrame>.Continuation?
  private let waiting = Mutex(Waiting())
  private let lostFrames = Atomic<UInt64>(0)
  private let failures = Atomic<UInt64>(0)
  let events: AsyncStream<Event>
  let audio: AsyncStream<AudioFrame>

  var lostAudioFrames: UInt64 { lostFrames.load(ordering: .relaxed) }
  var handlerErrors: UInt64 { failures.load(ordering: .relaxed) }

  init(_ delivery: Delivery) {
    switch delivery {
    case .handlers(let given):
      handlers = given
      mailbox = nil
      audioSink = nil
      events = AsyncStream { $0.finish() }
      audio = AsyncStream { $0.finish() }
    case .streams(let eventBuffer, let audioBuffer, let wanted):
      let box = Mailbox(limit: eventBuffer)
      mailbox = box
      events = box.stream()
      let made = AsyncStream.makeStream(of: AudioFrame.self, bufferingPolicy: .bufferingNewest(max(1, audioBuffer)))
      audio = made.stream
      audioSink = wanted ? made.continuation : nil
      if !wanted { made.continuation.finish() }
    }
  }

  /// Fills in the callbacks, with a reference that destroy releases. When the join fails there is no destroy: the
  /// caller releases it.
  func install(in options: inout oh_call_options) -> Unmanaged<CallContext> {
    let me = Unmanaged.passRetained(self)
    options.handlers.user_data = me.toOpaque()
    options.handlers.on_event = { user, call, event in
      Unmanaged<CallContext>.fromOpaque(user!)._withUnsafeGuaranteedRef { $0.take(event!, call) }
    }
    if handlers.onAudio != nil || audioSink != nil {
      options.handlers.on_audio = { user, call, audio in
        Unmanaged<CallContext>.fromOpaque(user!)._withUnsafeGuaranteedRef { $0.take(audio!, call) }
      }
    }
    options.handlers.destroy = { user in
      let me = Unmanaged<CallContext>.fromOpaque(user!).takeRetainedValue()
      me.destroyed()
    }
    return me
  }

  // MARK: callbacks

  private func take(_ c: UnsafePointer<oh_event>, _ call: oh_call) {
    let event = Event(c)
    observe(event)  // first: a handler that blocks does not hold up who waits
    if let mailbox {
      mailbox.put(event)
    } else if let handler = handlers.onEvent {
      do { try handler(event.call, event) } catch { failed(error, event.call) }
    }
  }

  private func take(_ c: UnsafePointer<oh_audio>, _ call: oh_call) {
    let who = names.find(c.pointee.user_id, c.pointee.session_id, c.pointee.track_id)
    let frame = AudioFrame(c.pointee, user: who.user, session: who.session, track: who.track)
    if let audioSink {
      if case .dropped = audioSink.yield(frame) { lostFrames.wrappingAdd(1, ordering: .relaxed) }
    } else if let handler = handlers.onAudio {
      do { try handler(CallHandle(call), frame) } catch { failed(error, CallHandle(call)) }
    }
  }

  private func failed(_ error: any Error, _ call: CallHandle) {
    failures.wrappingAdd(1, ordering: .relaxed)
    if let onError = handlers.onError {
      onError(call, error)
    } else {
      let line = "offhook: a handler of call \(call.id) threw: \(error)\n"
      _ = line.withCString { write(2, $0, strlen($0)) }
    }
  }

  private func destroyed() {
    handlers = CallHandlers()
    mailbox?.finish()
    audioSink?.finish()
    let (ended, join, end, rpcs) = waiting.withLock { w in
      w.over = true
      defer { (w.forJoin, w.forEnd, w.rpcs) = ([:], [:], [:]) }
      return (w.ended, w.forJoin, w.forEnd, w.rpcs)
    }
    let closed = OffhookError(code: .closed, detail: "the call was closed")
    for waiter in join.values { waiter.resume(throwing: ended?.error ?? closed) }
    for waiter in end.values {
      if let ended { waiter.resume(returning: ended) } else { waiter.resume(throwing: closed) }
    }
    for waiter in rpcs.values { waiter.resume(throwing: closed) }
  }

  // MARK: tasks that wait

  private func observe(_ event: Event) {
    switch event.body {
    case .joined:
      let waiters = waiting.withLock { w in
        w.joined = true
        defer { w.forJoin = [:] }
        return w.forJoin
      }
      for waiter in waiters.values { waiter.resume() }
    case .ended(let ended):
      waiting.withLock { $0.ended = ended }  // destroy comes next, and tells
    case .rpcResponse(let response):
      let waiter = waiting.withLock { $0.rpcs.removeValue(forKey: response.callID) }
      waiter?.resume(with: response.result.mapError { $0 })
    default: break
    }
  }

  func joined() async throws {
    let id = ticket()
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let now: Result<Void, any Error>? = waiting.withLock { w in
          if w.joined { return .success(()) }
          if w.over { return .failure(w.ended?.error ?? OffhookError(code: .closed, detail: "the call was closed")) }
          if Task.isCancelled { return .failure(CancellationError()) }
          w.forJoin[id] = continuation
          return nil
        }
        if let now { continuation.resume(with: now) }
      }
    } onCancel: {
      waiting.withLock { $0.forJoin.removeValue(forKey: id) }?.resume(throwing: CancellationError())
    }
  }

  func ended() async throws -> Ended {
    let id = ticket()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Ended, any Error>) in
        let now: Result<Ended, any Error>? = waiting.withLock { w in
          if w.over {
            if let ended = w.ended { return .success(ended) }
            return .failure(OffhookError(code: .closed, detail: "the call was closed"))
          }
          if Task.isCancelled { return .failure(CancellationError()) }
          w.forEnd[id] = continuation
          return nil
        }
        if let now { continuation.resume(with: now) }
      }
    } onCancel: {
      waiting.withLock { $0.forEnd.removeValue(forKey: id) }?.resume(throwing: CancellationError())
    }
  }

  /// `start` is called with the lock held, so that a response that is faster than its number finds its task.
  func rpc(_ start: () throws -> UInt64) async throws -> String {
    let started = Started()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String, any Error>) in
        do {
          try waiting.withLock { w in
            if Task.isCancelled { throw CancellationError() }
            let id = try start()
            w.rpcs[id] = continuation
            started.id.withLock { $0 = id }
          }
        } catch {
          continuation.resume(throwing: error)
        }
      }
    } onCancel: {
      let waiter = waiting.withLock { w in started.id.withLock { $0 }.flatMap { w.rpcs.removeValue(forKey: $0) } }
      waiter?.resume(throwing: CancellationError())
    }
  }

  private func ticket() -> UInt64 {
    waiting.withLock { w in
      w.next += 1
      return w.next
    }
  }
}

/// The number of a procedure call, once it has one.
private final class Started: Sendable {
  let id = Mutex<UInt64?>(nil)
}
