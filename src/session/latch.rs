//! The latch between the end of a call and those who wait for it.
//!
//! Must not know: calls, events, mailboxes.

use crate::sync::{Condvar, Instant, Mutex};

/// Whether the terminal event was handed over: who waits for the end waits for that, so that a free
/// right after it takes nothing away.
#[derive(Debug, Default)]
pub struct HandedOver {
    done: Mutex<bool>,
    changed: Condvar,
}

impl HandedOver {
    /// Nothing will be handed over any more.
    pub fn mark(&self) {
        *self.done.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for the mark until `deadline` (none: for as long as it takes); false when it did not come.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut done = self.done.lock();
        while !*done {
            match deadline {
                Some(deadline) if self.changed.wait_until(&mut done, deadline).timed_out() => return *done,
                Some(_) => {}
                None => self.changed.wait(&mut done),
            }
        }
        true
    }
}
