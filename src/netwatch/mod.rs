//! Watches the machine's network: offline, online, changed. Linux (rtnetlink); elsewhere it reports nothing.
//!
//! One socket and one task for the process, only while there is a subscription. Nothing is polled, and no host is ever
//! contacted. Changes concern addresses that other machines could answer to: loopback works without them.
//! Must not know: calls, what a change leads to.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod machine;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub mod message;
#[cfg(test)]
mod tests;

use crate::core::NetworkChange;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    online: bool,
    /// Number of changes.
    changes: u64,
}

/// The status sender of the watching task, while it runs. Only the task keeps it alive: a handle of the task would keep
/// its whole runtime alive.
static WATCHER: Mutex<Weak<watch::Sender<Status>>> = Mutex::new(Weak::new());

/// Subscribes to changes from now on; starts the watching task if there is none. Never waits. Where the network cannot
/// be watched, no change is ever reported (one debug line says so).
pub fn subscribe() -> Subscription {
    let mut watcher = WATCHER.lock();
    let status = match watcher.upgrade() {
        Some(sender) => sender.subscribe(),
        None => {
            let (sender, status) = watch::channel(Status { online: true, changes: 0 });
            let sender = Arc::new(sender);
            *watcher = Arc::downgrade(&sender);
            start(sender);
            status
        }
    };
    let seen = status.borrow().changes;
    Subscription { status, seen, reported_offline: false }
}

#[cfg(target_os = "linux")]
fn start(status: Arc<watch::Sender<Status>>) {
    kernel::start(status);
}

#[cfg(not(target_os = "linux"))]
fn start(_: Arc<watch::Sender<Status>>) {}

/// Whether the machine's network can be watched; the reason if not. Opens a socket for a moment; inside the runtime.
pub fn can_be_watched() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return kernel::check().map_err(|error| error.kind().to_string());
    #[cfg(not(target_os = "linux"))]
    Err("only Linux reports changes to the library".to_owned())
}

/// One subscription. Dropping the last one ends the watching task.
#[derive(Debug)]
pub struct Subscription {
    status: watch::Receiver<Status>,
    seen: u64,
    reported_offline: bool,
}

impl Subscription {
    /// Whether the machine has a usable address, as far as is known.
    pub fn is_online(&self) -> bool {
        self.status.borrow().online
    }

    /// The next change. All changes since the last one are merged. Online is reported only after Offline. Cancel safe.
    pub async fn next(&mut self) -> NetworkChange {
        loop {
            if let Some(change) = self.take_change() {
                return change;
            }
            if self.status.changed().await.is_err() {
                // The watching task has ended: the library is shutting down, or cannot watch.
                std::future::pending::<()>().await;
            }
        }
    }

    fn take_change(&mut self) -> Option<NetworkChange> {
        let status = *self.status.borrow_and_update();
        if std::mem::replace(&mut self.seen, status.changes) == status.changes {
            return None;
        }
        let was_offline = std::mem::replace(&mut self.reported_offline, !status.online);
        match (was_offline, status.online) {
            (false, false) => Some(NetworkChange::Offline),
            (true, true) => Some(NetworkChange::Online),
            (false, true) => Some(NetworkChange::Changed),
            (true, false) => None,
        }
    }
}
