//! The library's log: one handler per process, lines of bounded size, no formatting without a handler.
//!
//! Must not know: calls, the C API. Callers must not log tokens, passwords or SDP.
//!
//! Lines go through a mailbox, so a blocked handler delays no caller. When the handler falls behind, lines are lost and
//! a line reports how many.

use crate::dispatch::{self, Class, Closing, Delivery, Handler, Limits, Mailbox, Posted};
use crate::panics;
use parking_lot::RwLock;
use std::{
    convert::Infallible,
    fmt::{self, Write},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A line is cut to this many bytes.
pub const LINE_BYTES: usize = 1024;
/// Most lines queued for the handler.
const LINES: usize = 1024;

/// How much is logged; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Off = 0,
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
    Trace = 5,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Wall clock, microseconds since 1970.
    pub unix_us: u64,
    pub level: Level,
    /// Module that logs the line.
    pub target: &'static str,
    /// At most [`LINE_BYTES`] bytes, without control characters.
    pub text: String,
}

struct Sink {
    level: Level,
    mailbox: Mailbox<Record, Infallible>,
}

/// A log with one handler; the process has one ([`global`]).
pub struct Log {
    level: AtomicU8,
    sink: RwLock<Option<Sink>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish()
    }
}

/// The log of the process.
pub fn global() -> &'static Log {
    static GLOBAL: Log = Log::new();
    &GLOBAL
}

/// Whether a line of this level would reach the process's handler. One relaxed load.
#[inline]
pub fn enabled(level: Level) -> bool {
    global().enabled(level)
}

/// `oh_log!(Level::Debug, "text {}", value)`: formats only when the level is enabled.
macro_rules! oh_log {
    ($level:expr, $($text:tt)+) => {{
        let level: $crate::log::Level = $level;
        if $crate::log::enabled(level) {
            $crate::log::global().write(level, module_path!(), format_args!($($text)+));
        }
    }};
}
pub(crate) use oh_log;

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Log {
    /// Off, without a handler.
    pub const fn new() -> Self {
        Self { level: AtomicU8::new(0), sink: RwLock::new(None) }
    }

    /// Whether a line of this level would reach a handler. One relaxed load.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level != Level::Off && level as u8 <= self.level.load(Relaxed)
    }

    /// Sets or replaces the handler. `call` gets every line up to `level`, one at a time, on a callback thread. Lines
    /// that it logs itself (by calling the library) are not passed back to it. `destroy` runs exactly once after the
    /// last line.
    ///
    /// Returns how the previous handler ended: `Done` means that it will not be called any more. Lines still queued for
    /// it are discarded.
    pub fn set(
        &self,
        level: Level,
        mut call: impl FnMut(&Record) + Send + 'static,
        destroy: impl FnOnce() + Send + 'static,
    ) -> Closing {
        panics::report_to(|text| global().report(text));
        let handler = Handler::new(move |delivery| match delivery {
            Delivery::Control(record) => call(&record),
            Delivery::Lost { count, .. } => call(&Record {
                unix_us: unix_us(),
                level: Level::Warn,
                target: module_path!(),
                text: format!("{count} lines were lost: the log handler is too slow"),
            }),
            Delivery::Media(never) => match never {},
        })
        .destroy(destroy);
        let limits = Limits { control: LINES, vital: 0, media: 0, ..Limits::default() };
        let mailbox = Mailbox::with_handler(dispatch::pool(), limits, handler);
        self.replace(Some(Sink { level, mailbox }))
    }

    /// Changes the level of the current handler; does nothing without one.
    pub fn set_level(&self, level: Level) {
        let mut sink = self.sink.write();
        if let Some(sink) = &mut *sink {
            sink.level = level;
            self.level.store(level as u8, Relaxed);
        }
    }

    /// Removes the handler. After `Done` it will not be called any more and its `destroy` has run;
    /// `Deferred` inside the handler itself.
    pub fn remove(&self) -> Closing {
        self.replace(None)
    }

    fn replace(&self, new: Option<Sink>) -> Closing {
        let mut sink = self.sink.write();
        self.level.store(new.as_ref().map_or(Level::Off, |s| s.level) as u8, Relaxed);
        let old = std::mem::replace(&mut *sink, new);
        drop(sink);
        old.map_or(Closing::Done, |old| old.mailbox.close_and_wait())
    }

    /// Logs a panic inside the library.
    fn report(&self, text: fmt::Arguments<'_>) {
        if self.enabled(Level::Error) {
            self.write(Level::Error, "offhook::panics", text);
        }
    }

    /// Queues one line. Use the macro, which checks [`enabled`](Self::enabled) first.
    #[cold]
    pub fn write(&self, level: Level, target: &'static str, text: fmt::Arguments<'_>) {
        // Format before taking the lock: formatting may log, too.
        let record = Record { unix_us: unix_us(), level, target, text: line(text) };
        let sink = self.sink.read();
        let Some(mailbox) = sink.as_ref().map(|s| s.mailbox.clone()) else { return };
        drop(sink);
        // A handler that calls the library must not log to itself without limit.
        if mailbox.in_callback_of_this() {
            return;
        }
        if mailbox.post(record, Class::Normal) == Posted::Closed {
            self.forget(&mailbox);
        }
    }

    /// Removes a handler that panicked, whose mailbox is closed: no more lines are formatted for it.
    fn forget(&self, gone: &Mailbox<Record, Infallible>) {
        let mut sink = self.sink.write();
        if sink.as_ref().is_some_and(|s| s.mailbox.is_same(gone)) {
            *sink = None;
            self.level.store(Level::Off as u8, Relaxed);
        }
    }
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Collects text until the line is full. Control characters (a forged line end, a terminal escape) become blanks.
struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if self.0.len() + c.len_utf8() > LINE_BYTES {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

fn line(text: fmt::Arguments<'_>) -> String {
    let mut line = Line(String::new());
    // An error means "full": the line is cut there.
    let _ = line.write_fmt(text);
    line.0
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
