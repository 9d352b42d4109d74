//! Deadlines of one call, as data. Must not know: any clock; the time is handed in.

use super::model::PeerKind;
use std::time::Duration;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Another edge, or the same coordinator again.
    RetryJoin,
    /// JoinResponse did not come.
    JoinResponse,
    /// Time to say that we are alive.
    HealthPing,
    /// Nothing heard for too long.
    HealthSilent,
    /// The application did not bring a token.
    Token,
    /// Try this RPC again.
    RpcRetry(u64),
    /// Offer the publisher's tracks again after a failed negotiation.
    Republish,
    /// This peer connection did not come up.
    PeerConnect(PeerKind),
    /// Time to look at what this peer connection has tried.
    Inspect(PeerKind),
    /// The answer has waited long enough for the first candidate.
    FirstCandidate,
    /// A lost peer connection may come back by itself until then.
    IceGrace(PeerKind),
    /// The SFU closed it; the reason may still come.
    PeerClosed(PeerKind),
    /// The SFU knows nothing of the session; the reason may still come.
    SessionGone,
    /// An ICE restart should have helped by then.
    IceRestart(PeerKind),
    /// Media has come of a participant whom the SFU has not announced.
    OwnerUnknown,
    /// The stream belongs to no participant.
    Unassigned,
    /// Time for a report of how media flows.
    Stats,
    /// The old connection of a migration is kept until then.
    Migration,
    /// Long enough without a connection.
    Disconnected,
    /// What still waits to be sent has had its time.
    Drain,
    /// Leaving has taken long enough.
    LeaveLimit,
}

#[derive(Debug, Default)]
pub struct Timers(Vec<(Duration, Timer)>);

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, timer: Timer, at: Duration) {
        self.cancel(timer);
        self.0.push((at, timer));
    }

    pub fn cancel(&mut self, timer: Timer) {
        self.0.retain(|(_, t)| *t != timer);
    }

    pub fn is_set(&self, timer: Timer) -> bool {
        self.0.iter().any(|(_, t)| *t == timer)
    }

    /// When it is due, if it is set.
    pub fn at(&self, timer: Timer) -> Option<Duration> {
        self.0.iter().find(|(_, t)| *t == timer).map(|(at, _)| *at)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn next(&self) -> Option<Duration> {
        self.0.iter().map(|(at, _)| *at).min()
    }

    /// Takes the earliest timer that is due.
    pub fn due(&mut self, now: Duration) -> Option<Timer> {
        let index = self.0.iter().enumerate().filter(|(_, (at, _))| *at <= now).min_by_key(|(_, (at, _))| *at)?.0;
        Some(self.0.swap_remove(index).1)
    }
}
