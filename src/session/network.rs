//! Changes of the machine's network, for every call of the process.
//!
//! A small broadcast: a slow receiver misses old changes, never new ones. Must not know: rules, C.

use crate::core::NetworkChange;
use crate::netwatch;
use crate::rtc::engine::Routes;
use std::{sync::LazyLock, time::Duration};
use tokio::{
    sync::broadcast,
    time::{sleep_until, Instant},
};

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

/// A destination that cannot be reached counts only after this time: a renewed lease takes an address away for a moment.
const GONE_FOR: Duration = Duration::from_secs(1);

/// The sources of changes of one call, and what is known of its own network.
#[derive(Debug)]
pub(super) struct NetworkChanges {
    receiver: broadcast::Receiver<(Source, NetworkChange)>,
    system: netwatch::Subscription,
    /// When to ask again about routes that are gone.
    again: Option<Instant>,
    /// Reported: no destination can be reached.
    offline: bool,
}

pub(super) fn changes() -> NetworkChanges {
    let (receiver, system) = (CHANGES.subscribe(), netwatch::subscribe());
    NetworkChanges { receiver, system, again: None, offline: false }
}

impl NetworkChanges {
    /// What a change of the machine means for the call; `None`: nothing. Another interface that comes or goes leaves
    /// the routes of the call as they are.
    fn judge(&mut self, now: Instant, change: NetworkChange, routes: Routes, local: bool) -> Option<NetworkChange> {
        if routes != Routes::Gone {
            self.again = None;
        }
        match routes {
            Routes::Unknown if local => None,
            Routes::Unknown => Some(match change {
                NetworkChange::Changed => NetworkChange::Unsettled,
                change => change,
            }),
            Routes::Same => std::mem::take(&mut self.offline).then_some(NetworkChange::Online),
            Routes::Moved => {
                let was_offline = std::mem::take(&mut self.offline);
                Some(if was_offline { NetworkChange::Online } else { NetworkChange::Unsettled })
            }
            Routes::Gone if self.offline => None,
            Routes::Gone => {
                let at = *self.again.get_or_insert(now + GONE_FOR);
                if at > now {
                    return None;
                }
                (self.again, self.offline) = (None, true);
                Some(NetworkChange::Offline)
            }
        }
    }
}

/// The next change for a call. `local`: its signalling is on this machine. `routes` asks where its media can go.
/// Cancel safe.
pub(super) async fn next(changes: &mut NetworkChanges, local: bool, routes: impl Fn() -> Routes) -> NetworkChange {
    loop {
        let again = changes.again;
        let received = tokio::select! {
            received = changes.receiver.recv() => received,
            change = changes.system.next() => Ok((Source::System, change)),
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                Ok((Source::System, NetworkChange::Offline))
            }
        };
        if received.as_ref().is_ok_and(|(_, change)| *change != NetworkChange::Offline) {
            crate::lookup::global().forget_all();
        }
        match received {
            Ok((Source::System, change)) => {
                if let Some(change) = changes.judge(Instant::now(), change, routes(), local) {
                    return change;
                }
            }
            Ok((Source::Application, change)) => {
                // Sockets are opened where routes lead now.
                routes();
                return change;
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            // The sender is never dropped.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NetworkChange::{Changed, Offline, Online, Unsettled};

    #[tokio::test]
    async fn only_the_routes_of_the_call_count() {
        let mut changes = changes();
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        // Other interfaces come and go.
        for change in [Changed, Offline, Online] {
            assert_eq!(changes.judge(at(0), change, Routes::Same, false), None);
        }
        assert_eq!(changes.judge(at(0), Changed, Routes::Moved, false), Some(Unsettled));
        // A renewed lease.
        assert_eq!(changes.judge(at(0), Offline, Routes::Gone, false), None);
        assert!(changes.again.is_some());
        assert_eq!(changes.judge(at(500), Online, Routes::Same, false), None);
        assert_eq!(changes.again, None);
        // The cable was pulled.
        assert_eq!(changes.judge(at(0), Offline, Routes::Gone, false), None);
        assert_eq!(changes.judge(at(1_000), Offline, Routes::Gone, false), Some(Offline));
        assert_eq!(changes.judge(at(1_100), Changed, Routes::Gone, false), None, "once");
        assert_eq!(changes.judge(at(5_000), Online, Routes::Moved, false), Some(Online));
        assert_eq!(changes.judge(at(5_000), Changed, Routes::Same, false), None);
        // Its peer connections are closed while it waits.
        assert_eq!(changes.judge(at(0), Offline, Routes::Gone, false), None);
        assert_eq!(changes.judge(at(1_000), Offline, Routes::Unknown, true), None);
        assert_eq!(changes.again, None, "it does not ask again at once, for ever");
        // Before there is a peer connection.
        assert_eq!(changes.judge(at(0), Changed, Routes::Unknown, false), Some(Unsettled));
        assert_eq!(changes.judge(at(0), Offline, Routes::Unknown, false), Some(Offline));
        assert_eq!(changes.judge(at(0), Offline, Routes::Unknown, true), None);
    }
}
