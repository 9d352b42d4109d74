//! The engine's tasks: counted, with a notification when one ends for any reason.
//!
//! Must not know: any engine's types.

use crate::inject;
use crate::log::{oh_log, Level};
use crate::panics::panic_text;
use crate::share::Share;
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Spawns onto one tokio runtime and counts live tasks. Cloning shares the count.
#[derive(Clone, Debug)]
pub struct Tasks {
    handle: Handle,
    live: Arc<AtomicUsize>,
    /// The call's share of the I/O threads: that of the task that created this.
    share: Arc<Share>,
}

/// Runs its closure when dropped: on return, panic and abort of a task.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Tasks {
    pub fn new(handle: Handle, live: Arc<AtomicUsize>) -> Self {
        Self { handle, live, share: Share::current() }
    }

    /// Enters the runtime while the guard is held.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }

    pub fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Spawns `future`; `at_end` runs once it has ended or was dropped unfinished.
    fn spawn_then(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
        at_end: impl FnMut() + Send + 'static,
    ) -> JoinHandle<()> {
        self.live.fetch_add(1, Ordering::AcqRel);
        let live = self.live.clone();
        let count = AtEnd(move || {
            live.fetch_sub(1, Ordering::AcqRel);
        });
        let at_end = AtEnd(at_end);
        // Boxed: every future around it would store it twice, as its argument and as the future it awaits.
        let future = Box::pin(inject::task(name, future));
        self.handle.spawn(self.share.run(async move {
            // Dropped in reverse order: the future first, then `at_end`, then the count.
            let _count = count;
            let _at_end = at_end;
            future.await;
        }))
    }

    /// Spawns `future`; `on_panic` runs if it panics, `at_end` once it has ended for any reason. Both run on the task:
    /// hand off, never block.
    pub fn spawn_guarded(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
        on_panic: impl FnOnce() + Send + 'static,
        at_end: impl FnMut() + Send + 'static,
    ) -> JoinHandle<()> {
        let future = Box::pin(inject::task(name, future));
        let guarded = async move {
            if let Err(payload) = AssertUnwindSafe(future).catch_unwind().await {
                oh_log!(Level::Error, "a task ({name}) panicked: {}", panic_text(payload));
                on_panic();
            }
        };
        self.spawn_then("guarded", guarded, at_end)
    }

    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.spawn_then(name, future, || {})
    }
}
