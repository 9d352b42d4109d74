//! The callbacks that a thread is in, and the wait-for graph of threads.
//!
//! Must not know: queues, pools, items.
//!
//! A thread that frees an object waits for the callback that another thread is in. If that callback in turn waits for a
//! callback of the first thread, directly or indirectly, both would wait without limit. So before a thread waits it
//! follows the chain, and does not wait when the chain leads back to itself.

use crate::sync::{global, thread_local, Mutex};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
};

/// Identifies a thread; never 0, never reused.
pub(super) type Token = u64;

static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static TOKEN: Cell<Token> = const { Cell::new(0) };
    /// Mailboxes whose callback or destroy runs on this thread, outermost first.
    static RUNNING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Token of the calling thread. (Not `std::thread::current`, which allocates on foreign threads and may panic while a
/// thread's locals are being destroyed.)
pub(super) fn token() -> Token {
    TOKEN
        .try_with(|t| {
            if t.get() == 0 {
                t.set(NEXT_TOKEN.fetch_add(1, Relaxed));
            }
            t.get()
        })
        // The thread is ending: it cannot be inside a callback of the library, so any new token will do.
        .unwrap_or_else(|_| NEXT_TOKEN.fetch_add(1, Relaxed))
}

/// Marks this thread as being in a callback of a mailbox, until dropped.
pub(super) struct Inside(());

impl Inside {
    pub(super) fn enter(mailbox: u64) -> Self {
        let _ = RUNNING.try_with(|r| r.borrow_mut().push(mailbox));
        Inside(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|r| r.borrow_mut().pop());
    }
}

pub(super) fn inside(mailbox: u64) -> bool {
    RUNNING.try_with(|r| r.borrow().contains(&mailbox)).unwrap_or(false)
}

pub(super) fn inside_any() -> bool {
    RUNNING.try_with(|r| !r.borrow().is_empty()).unwrap_or(false)
}

/// Ordering of the runner's changes and of reads of it: both agree on one total order.
pub(super) const ORDER: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

global! {
    /// Waiting thread → runner of the mailbox that it waits for (0: none now). The thread itself removes its edge, or
    /// the thread that ends the callback does so before anything else: an edge left behind would look like a cycle.
    static WAITS: Mutex<BTreeMap<Token, Arc<AtomicU64>>> = Mutex::new(BTreeMap::new());
}

/// Records that `me` waits for the callbacks of a mailbox, given by its runner; false when that would close a cycle,
/// and then nothing is recorded. All threads of a cycle wait, so the one that would close it detects it: the runner of
/// their callbacks does not change meanwhile, and a mailbox without a runner is not run later by a thread that waits.
pub(super) fn try_wait(me: Token, running: &Arc<AtomicU64>) -> bool {
    let mut waits = WAITS.lock();
    let mut at = running.load(ORDER);
    // No thread is visited twice, unless two edges change meanwhile.
    for _ in 0..=waits.len() {
        if at == me {
            return false;
        }
        match waits.get(&at) {
            Some(next) => at = next.load(ORDER),
            None => break,
        }
    }
    waits.insert(me, running.clone());
    true
}

pub(super) fn waited(who: Token) {
    WAITS.lock().remove(&who);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_any_length_is_seen() {
        // Tokens that no thread of this process ever has.
        let t = |n: u64| u64::MAX - n;
        let try_wait = |me, runner| super::try_wait(me, &Arc::new(AtomicU64::new(runner)));
        assert!(!try_wait(t(1), t(1)));
        assert!(try_wait(t(1), t(2)));
        assert!(try_wait(t(2), t(3)));
        assert!(!try_wait(t(3), t(1)));
        assert!(try_wait(t(4), t(1)));
        assert!(!try_wait(t(3), t(4)));
        waited(t(1));
        assert!(try_wait(t(3), t(1)));
        for n in 1..=4 {
            waited(t(n));
        }
    }

    #[test]
    fn a_wait_that_began_before_the_callback_is_seen() {
        let t = |n: u64| u64::MAX - 100 - n;
        let (a, b) = (Arc::new(AtomicU64::new(t(1))), Arc::new(AtomicU64::new(0)));
        // b has no runner when the callback of a begins to wait for it; then a thread runs b and waits for a.
        assert!(try_wait(t(1), &b));
        b.store(t(2), ORDER);
        assert!(!try_wait(t(2), &a));
        waited(t(1));
        assert!(try_wait(t(2), &a));
        waited(t(2));
    }

    #[test]
    fn a_thread_knows_what_it_is_inside() {
        assert!(!inside_any());
        let a = Inside::enter(1);
        let b = Inside::enter(2);
        assert!(inside(1) && inside(2) && inside_any());
        drop(b);
        assert!(inside(1) && !inside(2));
        drop(a);
        assert!(!inside_any());
        assert_eq!(token(), token());
        assert_ne!(token(), std::thread::spawn(token).join().unwrap());
    }
}
