//! Types that every noun of the header uses: truth values and the end of `user_data`.

use std::ffi::c_void;

/// A truth value: 0 is false, everything else is true. The library writes 0 or 1.
pub type oh_bool = u32;

/// Releases what `user_data` points to. Called exactly once, after the last callback that used it.
pub type oh_destroy = Option<unsafe extern "C" fn(user_data: *mut c_void)>;
