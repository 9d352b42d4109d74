//! Locks, condition variables, threads and time for the parts that a model checker looks at.
//!
//! The handle registry, the dispatcher and the close latch take these from here and from nowhere
//! else, so that `tests/loom` can compile the same files with a checker's primitives in their place.
//! Must not know: who uses them.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::{thread, thread_local, time::Instant};

/// A variable of the process. The checker makes it anew for every run.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])*
        static $name: $type = $value;
    };
}
pub(crate) use global;
