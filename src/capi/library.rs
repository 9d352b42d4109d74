//! The library as a whole: version, log, shutdown.

use super::{
    basic::oh_destroy,
    convert::argument,
    process,
    result::{guard, oh_result},
    sized::sized,
};
use crate::core::NetworkChange;
use crate::error::{Code, Error};
use crate::{dispatch, log, lookup, runtime, session};
use std::{
    ffi::{c_char, c_void},
    time::{Duration, Instant},
};

/// The ABI of this header: the number in the SONAME. oh_get_abi_version() has that of the library.
pub const OH_ABI_VERSION: u32 = 1;

/// As a timeout: no limit.
pub const OH_FOREVER: u32 = u32::MAX;

/// As an option: zero, where 0 stands for the default.
pub const OH_ZERO: u32 = u32::MAX - 1;

/// Threads for name look-ups that have nothing to do end in less.
const NAMES: Duration = Duration::from_millis(50);

/// major * 1000000 + minor * 1000 + patch.
const VERSION_NUMBER: u32 = {
    const fn number(text: &str) -> u32 {
        let (bytes, mut n, mut at) = (text.as_bytes(), 0, 0);
        while at < bytes.len() {
            n = n * 10 + (bytes[at] - b'0') as u32;
            at += 1;
        }
        n
    }
    number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + number(env!("CARGO_PKG_VERSION_PATCH"))
};

/// Milliseconds from C.
pub(super) fn timeout(ms: u32) -> Duration {
    if ms == OH_FOREVER {
        Duration::MAX
    } else {
        Duration::from_millis(u64::from(ms))
    }
}

/// The ABI of the library that is loaded; compare it with OH_ABI_VERSION, that of the header. Any thread.
#[no_mangle]
pub extern "C" fn oh_get_abi_version() -> u32 {
    OH_ABI_VERSION
}

/// The version of the library that is loaded as a number; compare it with OH_VERSION_NUMBER. Any thread.
#[no_mangle]
pub extern "C" fn oh_get_version_number() -> u32 {
    VERSION_NUMBER
}

/// The version of the library that is loaded, for instance "0.1.0". Static text. Any thread.
#[no_mangle]
pub extern "C" fn oh_get_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Levels of log lines, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_log_level {
    /// Nothing is logged.
    OH_LOG_OFF = 0,
    /// A defect of the library, contained to one object.
    OH_LOG_ERROR = 1,
    /// A failure in a call, as reported by OH_EVENT_ERROR and OH_EVENT_LOCAL_TRACK_FAILED.
    OH_LOG_WARN = 2,
    /// States and ends of calls; ICE servers that gave no address; changes of the network.
    OH_LOG_INFO = 3,
    /// Details, and what was dropped because it came late.
    OH_LOG_DEBUG = 4,
    /// Every message.
    OH_LOG_TRACE = 5,
}
pub type oh_log_level_t = i32;

/// A log line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_log_record {
    /// sizeof(oh_log_record) in the library.
    pub size: usize,
    /// The line: UTF-8, no newline, no secrets; the message is cut to 1024 bytes.
    pub text: *const c_char,
    /// Its level.
    pub level: oh_log_level_t,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_log_record to reserved);

/// Called with each log line.
///
/// @param user_data  as given to oh_log_set.
/// @param record     valid until the handler returns.
///
/// Runs on a callback thread, one line at a time. When it is too slow, lines are dropped, and the number dropped is
/// logged. Calls are unaffected. It may use the library.
pub type oh_log_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, record: *const oh_log_record)>;

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

/// Sets, replaces or removes the log handler of the process. Without one nothing is logged. Tokens, passwords and media
/// never appear in a line.
///
/// @param level      the least important level to log.
/// @param handler    see oh_log_handler; NULL removes the present one; user_data and destroy are then
///                   ignored.
/// @param user_data  passed to handler.
/// @param destroy    called once after the last use of user_data; may be NULL. Not called on failure: user_data then
///                   stays the caller's.
/// @return           OH_OK; OH_ERR_ARGUMENT for an unknown level.
///
/// Any thread. When it returns, the former handler does not run any more and its destroy has been called; inside the
/// former handler: both happen when that handler returns.
#[no_mangle]
pub extern "C" fn oh_log_set(
    level: oh_log_level_t,
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
            let record = oh_log_record {
                size: size_of::<oh_log_record>(),
                text: text.as_ptr(),
                level: record.level as i32,
                reserved: 0,
            };
            // SAFETY: the application's function; record and text live until it returns.
            unsafe { handler(pointer.pointer, &record) };
        };
        log::global().set(level, call, move || user.release());
        Ok(())
    })
}

/// A change of the machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_network_change {
    /// There is no network: calls stop retrying and wait, in OH_STATE_OFFLINE, reconnect_timeout_ms at most. Calls that
    /// have not joined yet ignore every change.
    OH_NETWORK_OFFLINE = 1,
    /// It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
    OH_NETWORK_ONLINE = 2,
    /// It is another one (other addresses): calls reconnect with a new session (OH_RECONNECT_REJOIN).
    OH_NETWORK_CHANGED = 3,
}
pub type oh_network_change_t = i32;

/// Reports a change of the network to all calls of the process, for instance on a phone. On Linux the library detects it
/// by itself; reporting it as well does no harm. Calls to servers on this machine follow only the application.
///
/// @param change  what changed.
/// @return        OH_OK; OH_ERR_ARGUMENT for an unknown value.
///
/// Any thread, callbacks included. Returns at once; state events report what follows.
#[no_mangle]
pub extern "C" fn oh_network_report(change: oh_network_change_t) -> oh_result {
    guard(|| {
        let change = match change {
            1 => NetworkChange::Offline,
            2 => NetworkChange::Online,
            3 => NetworkChange::Changed,
            _ => return Err(argument("oh_network_report: change must be one of oh_network_change")),
        };
        session::network::notify(session::network::Source::Application, change);
        Ok(())
    })
}

/// Shuts the library down: leaves all calls (each gets its OH_EVENT_ENDED), waits for them, ends the library's threads.
/// Calls end at once, without sending what waits: OH_EVENT_UNSENT reports it. To send it, leave the calls first. Handles
/// stay valid until they are freed. The library can be used again afterwards; after success it can be unloaded (dlclose).
///
/// @param timeout_ms  how long to wait; OH_FOREVER: no limit. 2500 is enough for any network, but a callback of yours
///                    that does not return is waited for. However short it is, the calls leave in the same way: what did
///                    not finish in time continues in the background, and a second oh_shutdown_wait waits for that.
/// @return            OH_OK; OH_ERR_TIMEOUT when something still runs; OH_ERR_WOULD_DEADLOCK inside a callback.
///
/// A name look-up that blocks in the system's resolver is not waited for: its thread ends when the resolver returns, and
/// the library's code then stays in memory for good, also after dlclose.
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
                _ => "a name lookup has not returned",
            };
            Err(Error::new(Code::Timeout, format!("oh_shutdown_wait: {what} within {timeout_ms} ms")))
        }
    })
}
