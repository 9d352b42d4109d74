//! Bytes queued in all mailboxes of the process, and their limit.
//!
//! Must not know: queues, items.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Limit unless the application sets another.
pub const DEFAULT: usize = 256 << 20;
/// A queue with no more than this accepts items even when the budget is used up: other queues hold it.
pub(super) const ALWAYS: usize = 64 << 10;

static WAITING: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT);

/// Sets how many bytes may be queued. Items already queued stay.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// Bytes that may be queued.
pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Bytes queued now.
pub fn waiting() -> usize {
    WAITING.load(Relaxed)
}

/// Whether there is room for one more queue.
pub fn takes_another() -> bool {
    has_room(ALWAYS)
}

/// Whether that many more bytes may be queued.
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
