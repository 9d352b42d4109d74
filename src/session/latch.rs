//! The latch between the end of a call and the threads that wait for it.
//!
//! Must not know: calls, events, mailboxes.

use crate::sync::{Condvar, Instant, Mutex};

/// Whether the terminal event was delivered. A wait for the end of the call waits for this, so that a free right after
/// it discards nothing.
#[derive(Debug, Default)]
pub struct HandedOver {
    done: Mutex<bool>,
    changed: Condvar,
}

impl HandedOver {
    /// Marks that nothing more is delivered.
    pub fn mark(&self) {
        *self.done.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for the mark until `deadline` (none: without limit); false when it was not set in time.
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
