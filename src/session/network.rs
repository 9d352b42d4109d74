//! News of the machine's network, for every call of the process.
//!
//! A small broadcast: who is too slow misses old news, never new ones. Must not know: rules, C.

use crate::core::NetworkChange;
use crate::netwatch;
use std::sync::LazyLock;
use tokio::sync::broadcast;

/// News that a call may leave unread.
const UNREAD: usize = 16;

static NEWS: LazyLock<broadcast::Sender<(Source, NetworkChange)>> = LazyLock::new(|| broadcast::Sender::new(UNREAD));

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its word counts for every call.
    Application,
    /// It does not speak of connections within the machine.
    System,
}

/// Tells every call. From any thread; never waits.
pub fn tell(source: Source, change: NetworkChange) {
    // Nobody listens while there is no call.
    let _ = NEWS.send((source, change));
}

/// What one call hears of.
#[derive(Debug)]
pub(super) struct News {
    told: broadcast::Receiver<(Source, NetworkChange)>,
    system: netwatch::Subscription,
}

pub(super) fn news() -> News {
    News { told: NEWS.subscribe(), system: netwatch::subscribe() }
}

/// The next news for a call; `local`: its servers are on this machine. Cancel safe.
pub(super) async fn next(news: &mut News, local: bool) -> NetworkChange {
    loop {
        let heard = tokio::select! {
            heard = news.told.recv() => heard,
            change = news.system.next() => Ok((Source::System, change)),
        };
        if heard.as_ref().is_ok_and(|(_, change)| *change != NetworkChange::Offline) {
            crate::lookup::global().forget_all();
        }
        match heard {
            Ok((Source::System, _)) if local => {}
            // Containers come and go; only the application knows that it is on another network.
            Ok((Source::System, NetworkChange::Changed)) => return NetworkChange::Unsettled,
            Ok((_, change)) => return change,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            // The sender is never dropped.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
