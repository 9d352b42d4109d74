//! Changes of the machine's network, for every call of the process.
//!
//! A small broadcast: a slow receiver misses old changes, never new ones. Must not know: rules, C.

use crate::core::NetworkChange;
use crate::netwatch;
use std::sync::LazyLock;
use tokio::sync::broadcast;

/// Changes that a call may leave unread.
const UNREAD: usize = 16;

static CHANGES: LazyLock<broadcast::Sender<(Source, NetworkChange)>> = LazyLock::new(|| broadcast::Sender::new(UNREAD));

/// Source of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Applies to every call.
    Application,
    /// Does not apply to connections within the machine.
    System,
}

/// Sends a change to every call. Any thread; never waits.
pub fn notify(source: Source, change: NetworkChange) {
    // Without a call there is no receiver.
    let _ = CHANGES.send((source, change));
}

/// The sources of changes of one call.
#[derive(Debug)]
pub(super) struct NetworkChanges {
    receiver: broadcast::Receiver<(Source, NetworkChange)>,
    system: netwatch::Subscription,
}

pub(super) fn changes() -> NetworkChanges {
    NetworkChanges { receiver: CHANGES.subscribe(), system: netwatch::subscribe() }
}

/// The next change for a call; `local`: its servers are on this machine. Cancel safe.
pub(super) async fn next(changes: &mut NetworkChanges, local: bool) -> NetworkChange {
    loop {
        let received = tokio::select! {
            received = changes.receiver.recv() => received,
            change = changes.system.next() => Ok((Source::System, change)),
        };
        if received.as_ref().is_ok_and(|(_, change)| *change != NetworkChange::Offline) {
            crate::lookup::global().forget_all();
        }
        match received {
            Ok((Source::System, _)) if local => {}
            // Containers come and go; only the application can report that the machine is on another network.
            Ok((Source::System, NetworkChange::Changed)) => return NetworkChange::Unsettled,
            Ok((_, change)) => return change,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            // The sender is never dropped.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
