//! Locks, condition variables, threads and time for the modules that a model checker runs.
//!
//! The handle registry, the dispatcher and the close latch import these from here and from nowhere else, so that
//! `tests/loom` can compile the same files with the checker's primitives in their place.
//! Must not know: who uses them.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::{thread, thread_local, time::Instant};

/// A process-wide static. The checker creates it anew for every run.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])*
        static $name: $type = $value;
    };
}
pub(crate) use global;
