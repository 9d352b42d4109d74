//! What comes in from C, checked: texts and outputs. And text going out.

use super::library::OH_ZERO;
use crate::error::{Code, Error, Result};
use std::ffi::{c_char, CStr, CString};

/// Longest text taken for a name, url, token or metadata, in bytes; a token may carry metadata as well.
const MAX_TEXT: usize = 1 << 20;
/// Longest id that becomes a part of a path, in bytes.
const MAX_PATH_PART: usize = 1024;

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
    unsafe { optional(text, what)? }.ok_or_else(|| missing(what))
}

/// What has to be there is not.
pub(super) fn missing(what: &str) -> Error {
    argument(format!("{what} is missing; it must not be NULL or empty"))
}

/// A token, key or secret: what surrounds it (the line break at the end of a file) is not part of it.
///
/// # Errors
/// As [`optional`]; blanks, line breaks or other control characters inside, by name and never with the text.
///
/// # Safety
/// As [`optional`].
pub(super) unsafe fn credential(text: *const c_char, what: &'static str) -> Result<Option<String>> {
    // SAFETY: by the caller's contract.
    unsafe { trimmed(text, what, false) }
}

/// As [`credential`], for a secret that signs: any words will do, blanks between them included.
///
/// # Safety
/// As [`optional`].
pub(super) unsafe fn secret(text: *const c_char, what: &'static str) -> Result<Option<String>> {
    // SAFETY: by the caller's contract.
    unsafe { trimmed(text, what, true) }
}

/// # Safety
/// As [`optional`].
unsafe fn trimmed(text: *const c_char, what: &'static str, words: bool) -> Result<Option<String>> {
    // SAFETY: by the caller's contract.
    let Some(text) = (unsafe { optional(text, what)? }) else { return Ok(None) };
    let noise = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}';
    let kept = text.trim_matches(noise);
    if kept.is_empty() {
        return Err(argument(format!("{what} holds nothing but blanks or line breaks")));
    }
    match kept.char_indices().find(|(_, c)| noise(*c) && !(words && *c == ' ')) {
        Some((at, _)) => {
            let at = at + (kept.as_ptr() as usize - text.as_ptr() as usize);
            Err(argument(format!(
                "{what} has a blank, a line break or another control character inside (at byte {at})"
            )))
        }
        None => Ok(Some(kept.to_owned())),
    }
}

/// An id that becomes a part of a URL's path, where some texts would lead elsewhere instead of naming anything.
pub(super) fn path_part(id: &str, what: &str) -> Result<()> {
    if matches!(id, "." | "..") {
        return Err(argument(format!("{what} must not be \".\" or \"..\"")));
    }
    if id.chars().any(char::is_control) {
        return Err(argument(format!("{what} holds a control character (tab, line break)")));
    }
    if id.len() > MAX_PATH_PART {
        return Err(argument(format!("{what} is longer than {MAX_PATH_PART} bytes")));
    }
    Ok(())
}

/// A number among options: 0 is its default, OH_ZERO is zero. `None`: out of range.
pub(super) fn number(value: u32, default: u32, range: &std::ops::RangeInclusive<u32>) -> Option<u32> {
    match value {
        0 => Some(default),
        OH_ZERO => range.contains(&0).then_some(0),
        value => range.contains(&value).then_some(value),
    }
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

/// Copies the lines of a text that fit, with a NUL behind them.
///
/// # Safety
/// `buf` must point to `len` writable bytes, or `len` be 0.
pub(super) unsafe fn put_lines(text: &str, buf: *mut c_char, len: usize) {
    let Some(room) = len.checked_sub(1) else { return };
    let fits = match text.len() <= room {
        true => text,
        false => &text[..text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)],
    };
    // SAFETY: by the caller's contract; what fits is at most `len` - 1 bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(fits.as_ptr(), buf.cast(), fits.len());
        *buf.add(fits.len()) = 0;
    }
}

/// Text for C: what cannot be in a C string (NUL) becomes U+FFFD, so that nothing behind it is lost.
pub(super) fn c_text(text: &str) -> CString {
    match CString::new(text) {
        Ok(text) => text,
        Err(_) => CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential_of(text: &str) -> Result<Option<String>> {
        let text = CString::new(text).unwrap();
        // SAFETY: a C string.
        unsafe { credential(text.as_ptr(), "token") }
    }

    #[test]
    fn what_surrounds_a_credential_is_no_part_of_it() {
        for text in ["abc", "abc\n", " abc\r\n", "\u{feff}abc\t", "\n\nabc\u{a0}"] {
            assert_eq!(credential_of(text).unwrap().as_deref(), Some("abc"), "{text:?}");
        }
        assert_eq!(credential_of("").unwrap(), None);
        for text in ["\n", "a c", "abc\nx: y", "a\u{7f}c"] {
            let error = credential_of(text).unwrap_err();
            assert_eq!(error.code, Code::Argument);
            assert!(error.message.starts_with("token ") && !error.message.contains("abc"), "{error}");
        }
        assert!(credential_of(" a c").unwrap_err().message.contains("byte 2"));
    }

    #[test]
    fn a_secret_may_be_words() {
        let secret_of = |text: &str| {
            let text = CString::new(text).unwrap();
            // SAFETY: a C string.
            unsafe { secret(text.as_ptr(), "secret") }
        };
        assert_eq!(secret_of("a secret of words\n").unwrap().as_deref(), Some("a secret of words"));
        assert_eq!(secret_of("one\ntwo").unwrap_err().code, Code::Argument);
    }

    #[test]
    fn ids_that_lead_elsewhere() {
        for bad in [".", "..", ".\t.", "a\nb", "\u{85}"] {
            assert_eq!(path_part(bad, "id").unwrap_err().code, Code::Argument, "{bad:?}");
        }
        for good in ["a", "...", "a/../b", "%2e%2e", "a b", "\u{e9}"] {
            assert_eq!(path_part(good, "id"), Ok(()), "{good:?}");
        }
        assert!(path_part(&"x".repeat(1025), "id").is_err());
    }

    #[test]
    fn zero_is_the_default_and_has_a_word_of_its_own() {
        for (value, expected) in [(0, Some(7)), (OH_ZERO, Some(0)), (3, Some(3)), (9, None), (u32::MAX, None)] {
            assert_eq!(number(value, 7, &(0..=8)), expected, "{value}");
        }
        assert_eq!(number(OH_ZERO, 7, &(1..=8)), None);
    }

    #[test]
    fn a_zero_byte_costs_nothing_behind_it() {
        assert_eq!(c_text("a\0b\0").to_str(), Ok("a\u{fffd}b\u{fffd}"));
        assert_eq!(c_text("").to_bytes(), b"");
    }
}
