//! The library as a whole: version, log, shutdown.

use super::{
    convert::argument,
    process,
    result::{guard, oh_result},
};
use crate::core::NetworkChange;
use crate::error::{Code, Error};
use crate::{dispatch, log, lookup, runtime, session};
use std::{
    ffi::{c_char, c_void},
    time::{Duration, Instant},
};

/// Version of the binary interface; the same number as in the SONAME. It changes when a program
/// that was built against an older header would no longer work.
pub const OH_ABI_VERSION: u32 = 0;

/// As a timeout: as long as it takes.
pub const OH_FOREVER: u32 = u32::MAX;

/// As oh_call_options.drain_ms: what was accepted and not sent yet is given up at once.
pub const OH_NO_DRAIN: u32 = u32::MAX;

/// Threads for name look-ups that have nothing to do end in less.
const NAMES: Duration = Duration::from_millis(50);

/// Milliseconds from C.
pub(super) fn timeout(ms: u32) -> Duration {
    if ms == OH_FOREVER {
        Duration::MAX
    } else {
        Duration::from_millis(u64::from(ms))
    }
}

/// The ABI version of the library that is loaded; compare with OH_ABI_VERSION, that of the header.
/// Any thread.
#[no_mangle]
pub extern "C" fn oh_abi_version() -> u32 {
    OH_ABI_VERSION
}

/// The version of the library that is loaded, for instance "0.1.0". Static text. Any thread.
#[no_mangle]
pub extern "C" fn oh_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Levels of log lines, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_log_level {
    /// Nothing.
    OH_LOG_OFF = 0,
    /// A defect of the library, contained to one object.
    OH_LOG_ERROR = 1,
    /// What failed in a call, as OH_EVENT_ERROR and OH_EVENT_LOCAL_FAILED tell it.
    OH_LOG_WARN = 2,
    /// Calls change their state and end; the network changes.
    OH_LOG_INFO = 3,
    /// How it happens, and what was dropped because it came late.
    OH_LOG_DEBUG = 4,
    /// Every message.
    OH_LOG_TRACE = 5,
}

/// Gets a log line.
///
/// @param user_data  as given to oh_log_set.
/// @param level      one of oh_log_level.
/// @param text       one line, UTF-8, no newline, no secrets; valid during the call only.
///
/// Runs on a callback thread, one line at a time; when it is too slow lines are dropped and their
/// number is told. It delays no call. It may use the library.
pub type oh_log_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, text: *const c_char)>;

/// Releases what user_data points to; called exactly once, after the last callback that used it.
pub type oh_destroy = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// `user_data` of the application, with its destroy.
pub(super) struct UserData {
    pub pointer: *mut c_void,
    pub destroy: oh_destroy,
}

// SAFETY: the header says that callbacks come from threads of the library, one at a time; the
// pointer is only handed back, never looked into.
unsafe impl Send for UserData {}

impl UserData {
    /// Calls destroy; for who can promise that no callback uses the pointer any more.
    pub fn release(self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the application's function with the application's pointer, once.
            unsafe { destroy(self.pointer) };
        }
    }
}

fn level_of(level: i32) -> Option<log::Level> {
    Some(match level {
        0 => log::Level::Off,
        1 => log::Level::Error,
        2 => log::Level::Warn,
        3 => log::Level::Info,
        4 => log::Level::Debug,
        5 => log::Level::Trace,
        _ => return None,
    })
}

/// Sets, replaces or (handler NULL) removes the one log handler of the process. Without one
/// nothing is logged. Tokens, passwords and media never appear in a line.
///
/// @param level      the least important level wanted, one of oh_log_level.
/// @param handler    see oh_log_handler; NULL removes the present one.
/// @param user_data  handed back to handler.
/// @param destroy    may be NULL. On failure it is not called: user_data stays the caller's.
/// @return           OH_OK; OH_ERR_ARGUMENT for an unknown level.
///
/// Any thread. When it returns, the former handler does not run any more and its destroy has been
/// called, unless it was called inside that handler: then both when the handler returns.
#[no_mangle]
pub extern "C" fn oh_log_set(
    level: i32,
    handler: oh_log_handler,
    user_data: *mut c_void,
    destroy: oh_destroy,
) -> oh_result {
    guard(|| {
        process::init();
        let level = level_of(level).ok_or_else(|| argument("oh_log_set: level must be one of oh_log_level"))?;
        let Some(handler) = handler else {
            log::global().remove();
            return Ok(());
        };
        let user = UserData { pointer: user_data, destroy };
        let pointer = UserData { pointer: user_data, destroy: None };
        let call = move |record: &log::Record| {
            let pointer = &pointer;
            let text = super::convert::c_text(&format!("{}: {}", record.target, record.text));
            // SAFETY: the application's function; the text lives until it returns.
            unsafe { handler(pointer.pointer, record.level as i32, text.as_ptr()) };
        };
        log::global().set(level, call, move || user.release());
        Ok(())
    })
}

/// What happened to the machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_network {
    /// There is none: calls stop trying and wait, in OH_STATE_OFFLINE.
    OH_NETWORK_OFFLINE = 0,
    /// It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
    OH_NETWORK_ONLINE = 1,
    /// It is another one (other addresses): calls reconnect with new sockets.
    OH_NETWORK_CHANGED = 2,
}

/// Tells all calls of the process what the application knows of the network, for instance on a phone.
/// On Linux the library sees it by itself; telling it twice does no harm. Calls to servers on the
/// machine itself follow only the application.
///
/// @param what  one of oh_network.
/// @return      OH_OK; OH_ERR_ARGUMENT for an unknown value.
///
/// Any thread, callbacks included. Returns at once; state events tell what follows.
#[no_mangle]
pub extern "C" fn oh_network_changed(what: i32) -> oh_result {
    guard(|| {
        let change = match what {
            0 => NetworkChange::Offline,
            1 => NetworkChange::Online,
            2 => NetworkChange::Changed,
            _ => return Err(argument("oh_network_changed: what must be one of oh_network")),
        };
        session::network::tell(session::network::Source::Application, change);
        Ok(())
    })
}

/// Ends everything: leaves all calls (each gets its OH_EVENT_ENDED), waits for them, ends the
/// library's threads. Handles stay valid until they are freed. The library can be used again
/// afterwards; after success it can be unloaded (dlclose).
///
/// @param timeout_ms  how long to wait, OH_FOREVER for as long as it takes; 2500 is enough for any
///                    network, but a callback of yours that does not return is waited for. The calls leave in
///                    the same way however short it is: what there was no time for goes on in the background,
///                    and a second oh_shutdown_wait waits for that, too.
/// @return            OH_OK; OH_ERR_TIMEOUT when something still runs; OH_ERR_WOULD_DEADLOCK inside
///                    a callback.
///
/// A name look-up that hangs in the system's resolver is not waited for: its thread ends when the resolver returns,
/// and until then, and afterwards, the library's code stays in memory, also after dlclose.
///
/// Any thread but a callback's.
#[no_mangle]
pub extern "C" fn oh_shutdown_wait(timeout_ms: u32) -> oh_result {
    guard(|| {
        if dispatch::in_any_callback() {
            return Err(Error::new(
                Code::WouldDeadlock,
                "oh_shutdown_wait: inside a callback, which it would wait for; call it from another thread",
            ));
        }
        let began = Instant::now();
        let limit = timeout(timeout_ms);
        let tasks = runtime::shutdown(limit);
        let threads = dispatch::pool().shutdown(limit.saturating_sub(began.elapsed()));
        // What hangs in the system's resolver is nobody's any more; its thread ends when the resolver returns.
        let names = lookup::global().stop(Instant::now() + NAMES) == 0 || process::stay();
        if tasks && threads && names {
            Ok(())
        } else {
            let what = match (tasks, threads) {
                (false, _) => "a call has not ended",
                (_, false) => "a callback has not returned",
                _ => "a name look-up has not returned",
            };
            Err(Error::new(Code::Timeout, format!("oh_shutdown_wait: {what} within {timeout_ms} ms")))
        }
    })
}
