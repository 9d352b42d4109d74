//! `oh_limits`: what all calls of the process together may use.

use super::{
    convert::argument,
    process,
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::dispatch::{self, budget};

/// What all calls of the process together may use. Begin with OH_INIT(oh_limits).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_limits {
    /// sizeof(oh_limits).
    pub size: usize,
    /// Bytes of payload in events and of audio that wait for the application at most, all calls together, 1048576 to
    /// 1099511627776; 0: 268435456. Beyond it events and audio are dropped as beyond
    /// oh_call_options.max_queued_event_bytes (a call with at most 65536 waiting bytes is not affected), and oh_call_join
    /// returns OH_ERR_LIMIT. Reliable data counts, and is limited by its call alone.
    pub max_queued_bytes: usize,
    /// Threads for callbacks at most, 8 to 65536; 0: 512. There are two, and more only while callbacks run longer
    /// than 10 ms or wait longer than 50 ms. When all of
    /// them block, callbacks of other calls wait. Calls whose last callback returned within 100 ms go on, on four more
    /// threads (replaced, up to a quarter of max_callback_threads, when they block as well).
    pub max_callback_threads: u32,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_limits to reserved);

/// Sets what all calls of the process together may use, from now on. What waits or runs already stays.
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
        let limits = unsafe { read(limits)? };
        let threads = match limits.max_callback_threads {
            0 => dispatch::PoolConfig::default().cap,
            threads @ 8..=65_536 => threads as usize,
            _ => return Err(argument("oh_limits.max_callback_threads must be 0 or 8 to 65536")),
        };
        let bytes = match limits.max_queued_bytes {
            0 => budget::DEFAULT,
            bytes @ 1_048_576.. if bytes as u64 <= 1_099_511_627_776 => bytes,
            _ => return Err(argument("oh_limits.max_queued_bytes must be 0 or 1048576 to 1099511627776")),
        };
        dispatch::pool().set_cap(threads);
        budget::set_limit(bytes);
        Ok(())
    })
}
