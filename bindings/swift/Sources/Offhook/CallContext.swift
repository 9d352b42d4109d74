// CallContext.swift - the user_data of the callbacks of one call: its handlers or streams, and the tasks that wait. The
// library holds it from the join until it calls destroy, and its Call as long as that lives.
import COffhook
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Unchecked: `given` and `names` are used only by callbacks, which run one at a time, and by destroy, which runs after
/// the last of them.
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

  private var given = CallHandlers()
  private var names = NameCache()
  private let mailbox: Mailbox?
  private let audioSink: AsyncStream<AudioFrame>.Continuation?
  private let waiting = Mutex(Waiting())
  private let droppedFrames = Atomic<UInt64>(0)
  private let failures = Atomic<UInt64>(0)
  let events: AsyncStream<Event>
  let audio: AsyncStream<AudioFrame>

  var audioFramesDropped: UInt64 { droppedFrames.load(ordering: .relaxed) }
  var handlerErrors: UInt64 { failures.load(ordering: .relaxed) }

  init(_ delivery: Delivery) {
    switch delivery {
    case .handlers(let handlers):
      given = handlers
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

  /// The callbacks, with a reference that destroy releases. When the join fails, destroy is not called: the caller
  /// releases it.
  func handlers() -> (oh_call_handlers, Unmanaged<CallContext>) {
    let me = Unmanaged.passRetained(self)
    var handlers = defaults(oh_call_handlers.self)
    handlers.user_data = me.toOpaque()
    handlers.on_event = { user, call, event in
      Unmanaged<CallContext>.fromOpaque(user!)._withUnsafeGuaranteedRef { $0.take(event!, call) }
    }
    if given.onAudio != nil || audioSink != nil {
      handlers.on_audio = { user, call, frame in
        Unmanaged<CallContext>.fromOpaque(user!)._withUnsafeGuaranteedRef { $0.take(frame!, call) }
      }
    }
    handlers.destroy = { user in
      let me = Unmanaged<CallContext>.fromOpaque(user!).takeRetainedValue()
      me.destroyed()
    }
    return (handlers, me)
  }

  // MARK: callbacks

  private func take(_ c: UnsafePointer<oh_event>, _ call: oh_call) {
    let event = Event(c)
    observe(event)  // first: a handler that blocks does not delay tasks that wait
    if let mailbox {
      mailbox.put(event)
    } else if let handler = given.onEvent {
      do { try handler(event.call, event) } catch { failed(error, event.call) }
    }
  }

  private func take(_ c: UnsafePointer<oh_audio_frame>, _ call: oh_call) {
    let c = known(c)
    let name = names.find(c.user_id, c.session_id, c.track_id)
    let frame = AudioFrame(c, user: name.user, session: name.session, track: name.track)
    if let audioSink {
      if case .dropped = audioSink.yield(frame) { droppedFrames.wrappingAdd(1, ordering: .relaxed) }
    } else if let handler = given.onAudio {
      do { try handler(CallHandle(call), frame) } catch { failed(error, CallHandle(call)) }
    }
  }

  private func failed(_ error: any Error, _ call: CallHandle) {
    failures.wrappingAdd(1, ordering: .relaxed)
    if let onError = given.onError {
      onError(call, error)
    } else {
      let line = "offhook: a handler of call \(call.id) threw: \(error)\n"
      _ = line.withCString { write(2, $0, strlen($0)) }
    }
  }

  private func destroyed() {
    given = CallHandlers()
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
      waiting.withLock { $0.ended = ended }  // destroy comes next and resumes the tasks
    case .rpcResponse(let response):
      let waiter = waiting.withLock { $0.rpcs.removeValue(forKey: response.rpcID) }
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

  /// `start` is called with the lock held, so that a response that comes before the id is known finds its task.
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

/// The id of a procedure call, once it is known.
private final class Started: Sendable {
  let id = Mutex<UInt64?>(nil)
}
