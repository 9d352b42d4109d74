//! The machine's network, watched: gone, back, or another one. Linux (rtnetlink); elsewhere silent.
//!
//! One socket and one task for the process, only while somebody has subscribed; nothing is polled,
//! and no host is ever contacted to find out. What it says is about addresses that other machines
//! could answer to: loopback goes on without them. Must not know: calls, what a change leads to.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod machine;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod message;
#[cfg(test)]
mod tests;

use crate::core::NetworkChange;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    online: bool,
    /// Counts the changes.
    changes: u64,
}

/// The task that watches, as long as it does.
/// The task alone keeps it: a handle of the task would keep its whole runtime.
static WATCHER: Mutex<Weak<watch::Sender<Status>>> = Mutex::new(Weak::new());

/// Hears of changes from now on; starts to watch if nobody did. Never waits. Where the network cannot
/// be watched, nothing is ever heard (one debug line says so).
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
    Subscription { status, seen, told_offline: false }
}

#[cfg(target_os = "linux")]
fn start(status: Arc<watch::Sender<Status>>) {
    kernel::start(status);
}

#[cfg(not(target_os = "linux"))]
fn start(_: Arc<watch::Sender<Status>>) {}

/// One listener. Dropping the last one ends the watching.
#[derive(Debug)]
pub struct Subscription {
    status: watch::Receiver<Status>,
    seen: u64,
    told_offline: bool,
}

impl Subscription {
    /// Whether the machine has a usable address, as far as is known.
    pub fn is_online(&self) -> bool {
        self.status.borrow().online
    }

    /// The next change; what happened since the last one was taken is put together. Online is told
    /// after Offline only. Cancel safe.
    pub async fn next(&mut self) -> NetworkChange {
        loop {
            if let Some(change) = self.news() {
                return change;
            }
            if self.status.changed().await.is_err() {
                // Nobody watches (any more): the library is being shut down, or cannot watch.
                std::future::pending::<()>().await;
            }
        }
    }

    fn news(&mut self) -> Option<NetworkChange> {
        let status = *self.status.borrow_and_update();
        if std::mem::replace(&mut self.seen, status.changes) == status.changes {
            return None;
        }
        let was_offline = std::mem::replace(&mut self.told_offline, !status.online);
        match (was_offline, status.online) {
            (false, false) => Some(NetworkChange::Offline),
            (true, true) => Some(NetworkChange::Online),
            (false, true) => Some(NetworkChange::Changed),
            (true, false) => None,
        }
    }
}
