//! Ordered, bounded delivery of events and media to the application's callbacks.
//!
//! Must not know: calls, the C API, the network, tokio.
//!
//! Each call owns one [`Mailbox`]. I/O threads post events and media to it and never wait. The threads of a [`Pool`]
//! deliver them, one item at a time, in order, with no lock held. The pool is as small as possible: two threads serve
//! all calls, and only blocking callbacks make it grow. A mailbox without a handler is pulled instead
//! ([`Mailbox::next`]).

pub mod budget;
mod inner;
mod mailbox;
mod pool;
mod queue;
mod waits;
mod wake;

pub use mailbox::{Closing, Handler, Mailbox, Posted, Waiting};
pub use pool::{Pool, PoolConfig, PoolStats};
pub use queue::{Class, Counts, DataLost, Delivery, Limits, Weight};
pub use wake::WakeDescriptor;

use std::sync::{Arc, LazyLock};

static POOL: LazyLock<Arc<Pool>> = LazyLock::new(|| Pool::new(PoolConfig::default()));

/// The pool of the process. It has no thread until something is posted, and none after [`Pool::shutdown`]; a later post
/// starts it again.
pub fn pool() -> &'static Arc<Pool> {
    &POOL
}

/// Whether the calling thread is inside a callback (or a `destroy`) of any mailbox.
pub fn in_any_callback() -> bool {
    waits::inside_any()
}
