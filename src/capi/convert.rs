//! What comes in from C, checked: text, structures with a size, slices. And text going out.

use crate::error::{Code, Error, Result};
use std::ffi::{c_char, CStr, CString};

/// Longest text taken for a name, url or token, in bytes.
const MAX_TEXT: usize = 64 * 1024;

pub(super) fn argument(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::Argument, text)
}

/// Optional text: NULL and "" are both none.
///
/// # Safety
/// `text` must be NULL or a NUL-terminated string.
pub(super) unsafe fn optional(text: *const c_char, what: &'static str) -> Result<Option<String>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: by the caller's contract.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    if bytes.len() > MAX_TEXT {
        return Err(argument(format!("{what} is longer than {MAX_TEXT} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| argument(format!("{what} is not UTF-8")))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Text that must be there.
///
/// # Safety
/// As [`optional`].
pub(super) unsafe fn required(text: *const c_char, what: &'static str) -> Result<String> {
    // SAFETY: by the caller's contract.
    unsafe { optional(text, what)? }.ok_or_else(|| argument(format!("{what} is missing; it must not be NULL or empty")))
}

/// A structure that begins with its own size. One that is larger than ours comes from a newer
/// header: fine as long as what we do not know is zero.
///
/// # Safety
/// `given` must be NULL or point to as many readable bytes as its first field says.
pub(super) unsafe fn sized<T: Copy>(given: *const T, defaults: T, what: &'static str) -> Result<T> {
    if given.is_null() {
        return Ok(defaults);
    }
    let ours = std::mem::size_of::<T>();
    // SAFETY: the first field of every such structure is a u32.
    let size = unsafe { given.cast::<u32>().read() } as usize;
    let abi = |text: String| Error::new(Code::Abi, text);
    if size < ours {
        return Err(abi(format!(
            "{what}.size is {size}, this library needs {ours}: set it with the INIT macro or the init function, \
             and build against the header of this library"
        )));
    }
    if size > ours.saturating_add(4096) {
        return Err(abi(format!("{what}.size is {size}, which no version of the header has")));
    }
    // SAFETY: `size` bytes are readable by the caller's contract.
    let rest = unsafe { std::slice::from_raw_parts(given.cast::<u8>().add(ours), size - ours) };
    if rest.iter().any(|b| *b != 0) {
        return Err(abi(format!("{what} uses options of a newer header that this library does not know")));
    }
    // SAFETY: `ours` bytes are readable; the alignment is not assumed.
    Ok(unsafe { given.read_unaligned() })
}

/// Fills in what the caller asked for.
///
/// # Safety
/// `out` must be NULL or writable.
pub(super) unsafe fn give<T>(out: *mut T, what: &'static str, value: impl FnOnce() -> Result<T>) -> Result<()> {
    if out.is_null() {
        return Err(argument(format!("{what} must not be NULL")));
    }
    let value = value()?;
    // SAFETY: writable by the caller's contract.
    unsafe { out.write(value) };
    Ok(())
}

/// Text for C: what cannot be in a C string (NUL) is cut off there.
pub(super) fn c_text(text: &str) -> CString {
    let end = text.bytes().position(|b| b == 0).unwrap_or(text.len());
    CString::new(&text.as_bytes()[..end]).unwrap_or_default()
}
