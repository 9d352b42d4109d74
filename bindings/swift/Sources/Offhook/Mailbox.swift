// Mailbox.swift - the bounded queue behind Call.events: events beyond its limit are dropped and reported in their place;
// essential ones are never dropped.
import Synchronization

final class Mailbox: Sendable {
  private struct State {
    var queue: [Event] = []
    var head = 0
    var keptBytes = 0
    var waiters: [CheckedContinuation<Event?, Never>] = []
    var lost = Lost()
    var lastLost: (call: CallHandle, at: UInt64)?
    var finished = false

    var count: Int { queue.count - head }

    mutating func take() -> Event? {
      guard head < queue.count else { return nil }
      let event = queue[head]
      keptBytes -= event.keptBytes
      head += 1
      if head == queue.count {
        queue.removeAll(keepingCapacity: true)
        head = 0
      } else if head > 64, head * 2 > queue.count {
        queue.removeFirst(head)
        head = 0
      }
      return event
    }

    /// The event that reports those dropped so far, once.
    mutating func notice() -> Event? {
      guard lost.total > 0, let last = lastLost else { return nil }
      let event = Event(lost: lost, call: last.call, at: last.at)
      lost = Lost()
      return event
    }
  }

  /// Beyond the limit reliable data, texts and procedure calls wait, all together up to so many bytes.
  private static let mostKept = 4 << 20
  private let limit: Int
  private let state = Mutex(State())

  init(limit: Int) { self.limit = max(1, limit) }

  func put(_ event: Event) {
    let waiter: CheckedContinuation<Event?, Never>? = state.withLock { s in
      if s.finished { return nil }
      if !s.waiters.isEmpty { return s.waiters.removeFirst() }
      let bytes = event.keptBytes
      let kept = bytes > 0 && s.keptBytes + bytes <= Mailbox.mostKept
      if s.count >= limit && !event.isEssential && !kept {
        s.lost.add(event.body)
        s.lastLost = (event.call, event.atMilliseconds)
        return nil
      }
      // There is room, or this event needs none: what was dropped is reported before it.
      if let notice = s.notice() { s.queue.append(notice) }
      s.keptBytes += bytes
      s.queue.append(event)
      return nil
    }
    waiter?.resume(returning: event)
  }

  /// No more events come; those in the queue can still be taken.
  func finish() {
    let waiters = state.withLock { s in
      s.finished = true
      defer { s.waiters = [] }
      return s.waiters
    }
    for waiter in waiters { waiter.resume(returning: nil) }
  }

  /// The next event; nil at the end.
  func next() async -> Event? {
    await withCheckedContinuation { (continuation: CheckedContinuation<Event?, Never>) in
      let now: Event?? = state.withLock { s in
        if let event = s.take() ?? s.notice() { return .some(event) }
        if s.finished || Task.isCancelled { return .some(nil) }
        s.waiters.append(continuation)
        return nil
      }
      if let now { continuation.resume(returning: now) }
    }
  }

  func stream() -> AsyncStream<Event> {
    AsyncStream(unfolding: { await self.next() }, onCancel: { self.finish() })
  }
}
