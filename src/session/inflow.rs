//! Flow control for participants' data, from the data channel to the application's handler.
//!
//! Every message accepted holds room until the application has had it. Without room the reader of a reliable channel
//! waits, the channel's window closes, and the remote sender keeps its data: nothing is lost, and no other part of the
//! call waits. Must not know: channels, wire types, who delivers.

use std::{
    future::Future,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc,
    },
};
use tokio::sync::Notify;

/// Bounds of the queued data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub messages: usize,
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { messages: 1_024, bytes: 4 << 20 }
    }
}

#[derive(Debug)]
pub(super) struct Inflow {
    bounds: Bounds,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Waiting readers.
    waiting: AtomicUsize,
    freed: Notify,
}

/// The room of one message; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Room {
    held: Option<(Arc<Inflow>, usize)>,
}

impl Inflow {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let (messages, bytes, waiting) = Default::default();
        Arc::new(Self { bounds, messages, bytes, waiting, freed: Notify::new() })
    }

    /// Whether the bounds are not reached.
    pub fn has_room(&self) -> bool {
        self.is_below(1)
    }

    fn is_below(&self, part: usize) -> bool {
        self.messages.load(SeqCst) < self.bounds.messages.div_ceil(part)
            && self.bytes.load(SeqCst) < self.bounds.bytes.div_ceil(part)
    }

    /// Takes room, even if there is none: a reader that may wait checks first.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Room {
        self.messages.fetch_add(1, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
        Room { held: Some((self.clone(), bytes)) }
    }

    /// Resolves when half of the room is free, so that a waiting reader continues with more than one message. Cancel
    /// safe.
    pub fn room(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let inflow = self.clone();
        async move {
            let waits = Waits::new(&inflow);
            loop {
                let freed = waits.0.freed.notified();
                tokio::pin!(freed);
                // Before the check: room given back in between wakes this, too.
                freed.as_mut().enable();
                if waits.0.is_below(2) {
                    return;
                }
                freed.await;
            }
        }
    }

    /// Bytes taken.
    #[cfg(test)]
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    fn give_back(&self, bytes: usize) {
        self.messages.fetch_sub(1, SeqCst);
        self.bytes.fetch_sub(bytes, SeqCst);
        if self.waiting.load(SeqCst) > 0 && self.is_below(2) {
            self.freed.notify_waiters();
        }
    }
}

/// Counts a reader while it waits.
struct Waits<'a>(&'a Inflow);

impl<'a> Waits<'a> {
    fn new(inflow: &'a Inflow) -> Self {
        inflow.waiting.fetch_add(1, SeqCst);
        Self(inflow)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((inflow, bytes)) = self.held.take() {
            inflow.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_waiting_reader_resumes_when_half_is_free() {
        let inflow = Inflow::new(Bounds { messages: 4, bytes: 100 });
        let mut held: Vec<Room> = (0..4).map(|_| inflow.take(1)).collect();
        assert!(!inflow.has_room());
        let waiter = tokio::spawn(inflow.room());
        held.pop();
        held.pop();
        tokio::task::yield_now().await;
        assert!(inflow.has_room() && !waiter.is_finished(), "half of it is in use");
        held.pop();
        timeout(SOON, waiter).await.expect("woken").expect("no panic");
        // Bytes are bounded as well, and one message may exceed the bound.
        let large = inflow.take(1_000);
        assert!(!inflow.has_room());
        drop(large);
        assert!(inflow.has_room());
        drop(held);
        assert_eq!((inflow.waiting_bytes(), inflow.messages.load(SeqCst)), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_is_lost() {
        let inflow = Inflow::new(Bounds { messages: 2, bytes: 100 });
        for _ in 0..2_000 {
            let held = [inflow.take(1), inflow.take(1)];
            let waiter = tokio::spawn(inflow.room());
            let giver = tokio::task::spawn_blocking(move || drop(held));
            timeout(SOON, waiter).await.expect("woken").expect("no panic");
            giver.await.expect("no panic");
        }
        assert_eq!(inflow.waiting.load(SeqCst), 0);
    }
}
