// Log.swift - the one log handler of the process.
import COffhook

/// The library's log. Without a handler nothing is logged. Tokens, passwords and media never appear in a line.
public enum Log {
  /// Sets or replaces the handler. It runs on a thread of the library, one line at a time. When it is too slow, lines
  /// are dropped, and the number dropped is logged. When this returns, the former handler does not run any more (unless
  /// this was called inside it).
  public static func set(level: LogLevel, handler: @escaping @Sendable (LogLevel, String) -> Void) throws {
    try Library.ready()
    let box = Unmanaged.passRetained(LogBox(handler))
    let result = oh_log_set(
      level.rawValue,
      { user, record in
        let box = Unmanaged<LogBox>.fromOpaque(user!).takeUnretainedValue()
        let record = known(record)
        box.handler(LogLevel(rawValue: record.level), text(record.text))
      },
      box.toOpaque(),
      { Unmanaged<LogBox>.fromOpaque($0!).release() })
    if result != OH_OK.rawValue {
      let error = failure(result)
      box.release()
      throw error
    }
  }

  /// Removes the handler.
  public static func off() throws {
    try Library.ready()
    try check(oh_log_set(LogLevel.off.rawValue, nil, nil, nil))
  }
}

private final class LogBox: Sendable {
  let handler: @Sendable (LogLevel, String) -> Void
  init(_ handler: @escaping @Sendable (LogLevel, String) -> Void) { self.handler = handler }
}
