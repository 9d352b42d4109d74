//! Orders of the application that are never refused. They are kept apart, where none can be lost, and the actor checks
//! them before anything else.
//!
//! Bounded: one state per part of the call and per track. Must not know: rules, C.

use crate::core::TrackId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Notify;

/// The pending orders; of each kind the last one counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub close_subscriber: bool,
    pub close_publisher: bool,
    /// The application sends data: data channels are needed.
    pub want_data: bool,
    pub muted: BTreeMap<TrackId, bool>,
    pub freed: BTreeSet<TrackId>,
    /// With the reason given.
    pub leave: Option<String>,
    /// Another call of this process joins as the same participant: this one, which is leaving, must not come back.
    pub stay_away: bool,
}

#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    asked: Notify,
}

impl Orders {
    pub fn give(&self, order: impl FnOnce(&mut Waiting)) {
        order(&mut self.waiting.lock());
        self.wake();
    }

    /// Wakes the actor.
    pub fn wake(&self) {
        self.asked.notify_one();
    }

    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether orders are pending.
    pub fn any(&self) -> bool {
        *self.waiting.lock() != Waiting::default()
    }

    pub fn take(&self) -> Waiting {
        std::mem::take(&mut self.waiting.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_order_counts_and_nothing_piles_up() {
        let orders = Orders::default();
        for n in 0..100_000u64 {
            orders.give(|w| {
                w.close_subscriber = true;
                w.muted.insert(n % 3, n % 2 == 0);
                w.freed.insert(n % 3);
            });
            assert!(orders.any());
        }
        let waiting = orders.take();
        assert!(!orders.any() && waiting.close_subscriber && !waiting.close_publisher);
        assert_eq!((waiting.muted.len(), waiting.freed.len()), (3, 3));
        assert_eq!(waiting.muted[&0], 99_999u64.is_multiple_of(2));
        assert!(orders.take().freed.is_empty(), "taken once");
    }
}
