//! `oh_result`, the texts of results, and the guard around every entry.
//!
//! The only place where an [`Error`] becomes an `oh_result`.

use crate::error::{Code, Error, Result};
use crate::panics::contain;
use std::{
    cell::{Cell, RefCell},
    ffi::c_char,
};

/// The result of a function: 0 is success, everything else a negative number. Numbers are never changed or reused; later
/// versions have more. oh_result_get_message has the general meaning, oh_get_last_error the details of the last failure
/// on the calling thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_result {
    /// Success.
    OH_OK = 0,
    /// An argument is NULL, out of its range, not UTF-8, or does not fit the others.
    OH_ERR_ARGUMENT = -1,
    /// The handle is none, stale (freed), forged or of another kind. Nothing happened.
    OH_ERR_HANDLE = -2,
    /// Not possible in the present state (for instance: the call is over).
    OH_ERR_STATE = -3,
    /// The object was closed by the application, or has ended.
    OH_ERR_CLOSED = -4,
    /// A bounded queue is full; nothing was taken. Try again later.
    OH_ERR_FULL = -5,
    /// The timeout expired.
    OH_ERR_TIMEOUT = -6,
    /// Waiting here would wait for itself: a `_wait` function inside a callback of the same call.
    OH_ERR_WOULD_DEADLOCK = -7,
    /// Not supported by this build, protocol or call.
    OH_ERR_UNSUPPORTED = -8,
    /// A server could not be reached, or the connection was lost.
    OH_ERR_NETWORK = -9,
    /// TLS failed: certificate, name or version.
    OH_ERR_TLS = -10,
    /// The server refused (the event or oh_get_last_error has its own code and text), or the participant lacks the right.
    OH_ERR_REFUSED = -11,
    /// The server's answer is not valid.
    OH_ERR_PROTOCOL = -12,
    /// The token is missing, expired or not accepted.
    OH_ERR_AUTH = -13,
    /// The application left, freed or shut down meanwhile.
    OH_ERR_CANCELLED = -14,
    /// A limit of the system (descriptors, threads, memory) or of the configuration was reached.
    OH_ERR_LIMIT = -15,
    /// Plain http or ws to an address that is not loopback, or a host that a server must not name; see
    /// oh_client_options.allow_insecure and allow_other_hosts.
    OH_ERR_INSECURE = -16,
    /// This process was forked from one that uses the library; only exec may follow.
    OH_ERR_FORKED = -17,
    /// A codec or the WebRTC engine failed.
    OH_ERR_MEDIA = -18,
    /// A defect of the library, contained to one object. Please report it.
    OH_ERR_INTERNAL = -19,
    /// A structure's `size` is wrong, or it sets members that this library does not have: header and library differ.
    /// oh_get_last_error names the structure.
    OH_ERR_ABI = -20,
    /// Nothing is available right now.
    OH_ERR_EMPTY = -21,
    /// The buffer given is too small.
    OH_ERR_BUFFER = -22,
}
pub type oh_result_t = i32;

use oh_result::*;

/// Every result with its name and general meaning; the one table.
const TABLE: [(oh_result, &str, &str); 23] = [
    (OH_OK, "OH_OK\0", "success\0"),
    (OH_ERR_ARGUMENT, "OH_ERR_ARGUMENT\0", "an argument is NULL, out of range or not UTF-8\0"),
    (OH_ERR_HANDLE, "OH_ERR_HANDLE\0", "the handle is none, stale, forged or of another kind\0"),
    (OH_ERR_STATE, "OH_ERR_STATE\0", "not possible in the present state\0"),
    (OH_ERR_CLOSED, "OH_ERR_CLOSED\0", "closed by the application\0"),
    (OH_ERR_FULL, "OH_ERR_FULL\0", "no room at the moment; try again later\0"),
    (OH_ERR_TIMEOUT, "OH_ERR_TIMEOUT\0", "the timeout expired\0"),
    (OH_ERR_WOULD_DEADLOCK, "OH_ERR_WOULD_DEADLOCK\0", "waiting here would wait for itself\0"),
    (OH_ERR_UNSUPPORTED, "OH_ERR_UNSUPPORTED\0", "not supported\0"),
    (OH_ERR_NETWORK, "OH_ERR_NETWORK\0", "the server cannot be reached\0"),
    (OH_ERR_TLS, "OH_ERR_TLS\0", "TLS failed\0"),
    (OH_ERR_REFUSED, "OH_ERR_REFUSED\0", "the server refused\0"),
    (OH_ERR_PROTOCOL, "OH_ERR_PROTOCOL\0", "the server's answer is not valid\0"),
    (OH_ERR_AUTH, "OH_ERR_AUTH\0", "the token is missing, expired or not accepted\0"),
    (OH_ERR_CANCELLED, "OH_ERR_CANCELLED\0", "cancelled by the application\0"),
    (OH_ERR_LIMIT, "OH_ERR_LIMIT\0", "a limit was reached\0"),
    (OH_ERR_INSECURE, "OH_ERR_INSECURE\0", "plain http or ws, or a host that a server must not name\0"),
    (OH_ERR_FORKED, "OH_ERR_FORKED\0", "not usable in a forked child\0"),
    (OH_ERR_MEDIA, "OH_ERR_MEDIA\0", "a codec or the WebRTC engine failed\0"),
    (OH_ERR_INTERNAL, "OH_ERR_INTERNAL\0", "a defect of the library\0"),
    (OH_ERR_ABI, "OH_ERR_ABI\0", "header and library differ\0"),
    (OH_ERR_EMPTY, "OH_ERR_EMPTY\0", "nothing is available right now\0"),
    (OH_ERR_BUFFER, "OH_ERR_BUFFER\0", "the buffer is too small\0"),
];

impl From<Code> for oh_result {
    fn from(code: Code) -> Self {
        // Both are the same stable numbers; the test below holds them together.
        TABLE.iter().map(|(r, ..)| *r).find(|r| *r as i32 == code as i32).unwrap_or(OH_ERR_INTERNAL)
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    /// Something failed on this thread in a forked child: its text is [`FORKED_TEXT`]. Apart from `LAST`, because in
    /// such a child nothing may be allocated or freed.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

const FORKED_TEXT: &str =
    "this process was forked from one that uses the library; use it after exec, or start it in the child only";

pub(super) fn remember(error: &Error) {
    // While a thread ends its storage may be gone; then nobody can ask either.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            last.clear();
            last.push_str(&error.message);
        }
    });
}

/// Runs the body of an entry: refuses in a forked child, contains panics, keeps the error's text.
pub(super) fn guard(body: impl FnOnce() -> Result<()>) -> oh_result {
    if super::process::forked() {
        let _ = REFUSED.try_with(|refused| refused.set(true));
        return OH_ERR_FORKED;
    }
    let result = contain(body).unwrap_or_else(|text| {
        Err(Error::new(Code::Internal, format!("a defect of the library was contained: {text}")))
    });
    match result {
        Ok(()) => OH_OK,
        Err(error) => {
            remember(&error);
            error.code.into()
        }
    }
}

fn text_of(result: i32, pick: impl Fn(&(oh_result, &'static str, &'static str)) -> &'static str) -> *const c_char {
    let text = TABLE.iter().find(|(r, ..)| *r as i32 == result).map_or("unknown result\0", pick);
    text.as_ptr().cast()
}

/// The general meaning of a result, in words.
///
/// @param result  any number.
/// @return        static text, never NULL; "unknown result" for numbers that are none. Any thread, also in a forked
///                child.
#[no_mangle]
pub extern "C" fn oh_result_get_message(result: oh_result_t) -> *const c_char {
    text_of(result, |(_, _, message)| message)
}

/// The name of a result as in this header, for instance "OH_ERR_HANDLE".
///
/// @param result  any number.
/// @return        static text, never NULL; "unknown result" for numbers that are none. Any thread, also in a forked
///                child.
#[no_mangle]
pub extern "C" fn oh_result_get_name(result: oh_result_t) -> *const c_char {
    text_of(result, |(_, name, _)| name)
}

/// Gets the details of the last failure on the calling thread: what failed, where, and what to do. It holds no secrets.
/// A successful call does not clear it.
///
/// @param buf       receives the text, cut to fit and always NUL-terminated; may be NULL when buf_size is 0.
/// @param buf_size  bytes at buf.
/// @return          length of the complete text without its NUL; 0 when nothing has failed.
///
/// # Safety
/// `buf` must be NULL or point to `buf_size` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_get_last_error(buf: *mut c_char, buf_size: usize) -> usize {
    if REFUSED.try_with(Cell::get).unwrap_or(false) {
        // SAFETY: by the caller's contract, here and below.
        return unsafe { copy(FORKED_TEXT, buf, buf_size) };
    }
    LAST.try_with(|last| last.try_borrow().map_or(0, |last| unsafe { copy(&last, buf, buf_size) })).unwrap_or(0)
}

/// # Safety
/// As of [`oh_get_last_error`].
unsafe fn copy(text: &str, buf: *mut c_char, len: usize) -> usize {
    if !buf.is_null() && len > 0 {
        let mut cut = text.len().min(len - 1);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        // SAFETY: the caller gives `len` writable bytes; cut + 1 <= len, and neither the thread-local text nor the
        // static one can overlap the caller's buffer.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buf.cast(), cut);
            *buf.add(cut) = 0;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_results_are_the_same_numbers() {
        use Code::*;
        let codes = [
            Ok,
            Argument,
            Handle,
            State,
            Closed,
            Full,
            Timeout,
            WouldDeadlock,
            Unsupported,
            Network,
            Tls,
            Refused,
            Protocol,
            Auth,
            Cancelled,
            Limit,
            Insecure,
            Forked,
            Media,
            Internal,
            Abi,
            Empty,
            Buffer,
        ];
        assert_eq!(codes.len(), TABLE.len());
        for (code, (result, name, message)) in codes.into_iter().zip(TABLE) {
            assert_eq!(code as i32, result as i32);
            assert_eq!(format!("{result:?}\0"), name);
            assert!(message.len() > 3 && message.ends_with('\0'));
            assert_eq!(oh_result::from(code), result);
        }
    }
}
