//! Bytes that wait in all queues of the process together, and how many there may be.
//!
//! Must not know: queues, items.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Unless the application wants it otherwise.
pub const DEFAULT: usize = 256 << 20;
/// A queue with no more than this in it goes on when the process has no room: what others hold is not its fault.
pub(super) const ALWAYS: usize = 64 << 10;

static WAITING: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT);

/// Sets how many bytes may wait. What waits already stays.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// Bytes that may wait.
pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Bytes that wait now.
pub fn waiting() -> usize {
    WAITING.load(Relaxed)
}

/// Whether there is room for one more queue.
pub fn takes_another() -> bool {
    has_room(ALWAYS)
}

/// Whether so many more may wait.
pub(super) fn has_room(bytes: usize) -> bool {
    waiting().saturating_add(bytes) <= limit()
}

pub(super) fn take(bytes: usize) {
    if bytes > 0 {
        WAITING.fetch_add(bytes, Relaxed);
    }
}

pub(super) fn give(bytes: usize) {
    if bytes > 0 {
        WAITING.fetch_sub(bytes, Relaxed);
    }
}
