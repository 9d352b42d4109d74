//! Waiting for a state of a call. Must not know: C.

use super::call::Call;
use crate::core::{EndReason, State};
use crate::error::{Code, Error, Result};
use std::time::{Duration, Instant};

impl Call {
    /// Waits until the call is in `state`; for `Left`, until the terminal event was delivered.
    ///
    /// # Errors
    /// `Timeout`; when the call ends first, the error it ended with, `Cancelled` when the
    /// application itself left; `WouldDeadlock` inside a callback of this call.
    pub fn wait(&self, state: State, timeout: Duration) -> Result<()> {
        if self.shared.mailbox.in_callback_of_this() {
            return Err(Error::new(
                Code::WouldDeadlock,
                "oh_call_wait_state: called inside a callback of the same call; use the events instead",
            ));
        }
        // The end comes after the last callback has returned: that callback must not wait for this thread.
        let waiting = (state == State::Left).then(|| self.shared.mailbox.wait_for_end());
        if matches!(waiting, Some(None)) {
            return Err(Error::new(
                Code::WouldDeadlock,
                "oh_call_wait_state: deadlock: a callback of that call waits for the current callback",
            ));
        }
        let deadline = Instant::now().checked_add(timeout);
        let mut status = self.shared.status.lock();
        loop {
            if status.state == state && state != State::Left {
                return Ok(());
            }
            if state == State::Left && status.end.is_some() {
                drop(status);
                return if self.shared.handed_over.wait(deadline) {
                    Ok(())
                } else {
                    Err(Error::new(
                        Code::Timeout,
                        "oh_call_wait_state: the call has ended, but a callback has not returned",
                    ))
                };
            }
            if let Some(end) = &status.end {
                return Err(end.error.clone().unwrap_or_else(|| match end.reason {
                    EndReason::Left => Error::new(Code::Cancelled, "the application left the call"),
                    _ => Error::new(Code::State, format!("the call has ended: {}", end.text)),
                }));
            }
            let timed_out = match deadline {
                Some(deadline) => self.shared.changed.wait_until(&mut status, deadline).timed_out(),
                None => {
                    self.shared.changed.wait(&mut status);
                    false
                }
            };
            if timed_out && (status.state != state || state == State::Left) && status.end.is_none() {
                return Err(Error::new(
                    Code::Timeout,
                    format!("oh_call_wait_state: still {} after {} ms", status.state.name(), timeout.as_millis()),
                ));
            }
        }
    }
}
