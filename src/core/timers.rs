//! Deadlines of one call, as data. Must not know: any clock; the time is passed in.

use super::model::PeerKind;
use std::time::Duration;

/// What to do at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Try another edge, or the same coordinator again.
    RetryJoin,
    /// JoinResponse did not come.
    JoinResponse,
    /// Send the health ping.
    HealthPing,
    /// Nothing received from the SFU for too long.
    HealthSilent,
    /// The application did not supply a token in time.
    Token,
    /// Retry this RPC.
    RpcRetry(u64),
    /// Offer the publisher's tracks again after a failed negotiation.
    Republish,
    /// This peer connection did not come up.
    PeerConnect(PeerKind),
    /// Inspect the connection attempt of this peer connection.
    Inspect(PeerKind),
    /// The answer waits no longer for the first candidate.
    FirstCandidate,
    /// Until then a lost peer connection may recover by itself.
    IceGrace(PeerKind),
    /// The SFU closed the peer connection; the reason may still arrive.
    PeerClosed(PeerKind),
    /// The SFU does not know the session; the reason may still arrive.
    SessionGone,
    /// The ICE restart did not restore the connection in time.
    IceRestart(PeerKind),
    /// Media arrived from a participant that the SFU has not announced.
    OwnerUnknown,
    /// The stream belongs to no participant.
    Unassigned,
    /// Send a media statistics report.
    Stats,
    /// End of the time for which the old connection of a migration is kept.
    Migration,
    /// The reconnect timeout.
    Disconnected,
    /// The time to send the remaining data is over.
    Drain,
    /// The time limit for leaving.
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
