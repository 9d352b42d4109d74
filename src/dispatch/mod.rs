//! Ordered, bounded delivery of events and media to the application's callbacks.
//!
//! Must not know: calls, the C API, the network, tokio.
//!
//! Each call owns one [`Mailbox`]: what happens is posted by I/O threads, which never wait, and
//! handed over by the threads of a [`Pool`], one item at a time, in order, with no lock held. The
//! pool is as small as it can be: two threads serve every call, and only callbacks that block make
//! it grow. A mailbox without a handler is pulled instead ([`Mailbox::next`]).

mod inner;
mod mailbox;
mod pool;
mod queue;
mod waits;
mod wake;

pub use mailbox::{Closing, Handler, Mailbox, Posted};
pub use pool::{Pool, PoolConfig, PoolStats};
pub use queue::{Class, Counts, Delivery, Limits};
pub use wake::WakeDescriptor;

use crate::{
    log::{oh_log, Level},
    panics::Inside,
};
use std::{
    any::Any,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{Arc, LazyLock},
};

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

/// Runs something that may panic; logs the panic and gives its text, cut to 200 characters. Nothing may
/// be locked by the caller that logging needs.
///
/// For code at the edge of the library, where a panic must end with one session at most.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let (place, text) = (inside.place(), panic_text(payload));
        oh_log!(Level::Error, "a panic was contained at {place}: {text}");
        text
    })
}

/// The text of a panic, cut to 200 characters. The payload's own drop may panic too.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text.chars().take(200).collect(),
        (_, Some(text)) => text.chars().take(200).collect(),
        _ => String::from("panic without a text"),
    };
    let _inside = Inside::enter();
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
    text
}
