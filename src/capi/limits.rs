//! `oh_limits`: what all calls of the process together may use.

use super::{
    convert::{argument, sized},
    process,
    result::{guard, oh_result},
};
use crate::dispatch::{self, budget};

/// What all calls of the process together may use. Begin with OH_LIMITS_INIT or oh_limits_init.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_limits {
    /// sizeof(oh_limits).
    pub size: u32,
    /// Threads for callbacks at most, 8 to 65536; 0: 512. There are two, and more only while callbacks block. When
    /// so many block, the callbacks of other calls wait; only calls whose last callback returned within 100 ms go
    /// on, on four threads more (replaced, up to a quarter of callback_threads, should they block as well).
    pub callback_threads: u32,
    /// Bytes of payload in events and of sound that wait for the application, of all calls together, 1048576 to
    /// 1099511627776; 0: 268435456. Beyond it what a call gets is dropped as beyond oh_call_options.event_bytes (a call
    /// in which no more than 65536 bytes wait goes on), and oh_call_join gives OH_ERR_LIMIT.
    pub queue_bytes: u64,
}

const DEFAULTS: oh_limits = oh_limits { size: size_of::<oh_limits>() as u32, callback_threads: 0, queue_bytes: 0 };

/// Fills in the defaults; the same as OH_LIMITS_INIT, for languages without macros.
///
/// @param limits  may be NULL: then nothing happens.
///
/// # Safety
/// `limits` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_limits_init(limits: *mut oh_limits) {
    if !limits.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { limits.write(DEFAULTS) };
    }
}

/// Sets what all calls of the process together may use, from now on; what waits or runs already stays.
///
/// @param limits  NULL: the defaults.
/// @return        OH_OK; OH_ERR_ARGUMENT; OH_ERR_ABI.
///
/// Any thread, at any time.
///
/// # Safety
/// `limits` must be NULL or point to a structure as large as its `size`.
#[no_mangle]
pub unsafe extern "C" fn oh_limits_set(limits: *const oh_limits) -> oh_result {
    guard(|| {
        process::init();
        // SAFETY: by the caller's contract.
        let limits = unsafe { sized(limits, DEFAULTS, size_of::<oh_limits>(), "oh_limits")? };
        let threads = match limits.callback_threads {
            0 => dispatch::PoolConfig::default().cap,
            threads @ 8..=65_536 => threads as usize,
            _ => return Err(argument("oh_limits.callback_threads must be 0 or 8 to 65536")),
        };
        let bytes = match limits.queue_bytes {
            0 => budget::DEFAULT,
            bytes @ 1_048_576..=1_099_511_627_776 => usize::try_from(bytes).unwrap_or(usize::MAX),
            _ => return Err(argument("oh_limits.queue_bytes must be 0 or 1048576 to 1099511627776")),
        };
        dispatch::pool().set_cap(threads);
        budget::set_limit(bytes);
        Ok(())
    })
}
