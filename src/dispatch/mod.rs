//! Ordered, bounded delivery of events and media to the application's callbacks.
//!
//! Must not know: calls, the C API, the network, tokio.
//!
//! Each call owns one [`Mailbox`]: what happens is posted by I/O threads, which never wait, and
//! handed over by the threads of a [`Pool`], one item at a time, in order, with no lock held. The
//! pool is as small as it can be: two threads serve every call, and only callbacks that block make
//! it grow. A mailbox without a handler is pulled instead ([`Mailbox::next`]).

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

/// The pool of the process. It has no thread until something is posted, and none after
/// [`Pool::shutdown`]; what is posted later starts it again.
pub fn pool() -> &'static Arc<Pool> {
    &POOL
}

/// Whether the calling thread is inside a callback (or a `destroy`) of any mailbox.
pub fn in_any_callback() -> bool {
    waits::inside_any()
}
