//! The reconnect under way, and what is remembered of those before: how often, how long ago, and what still may be
//! tried. Must not know: how an attempt is made.

use crate::core::context::Context;
use crate::core::{limits, model::*};
use std::{collections::VecDeque, time::Duration};

/// The reconnect under way.
#[derive(Debug)]
pub(super) struct Run {
    pub strategy: Strategy,
    /// When the loss was noticed.
    pub since: Duration,
    /// Attempts that failed.
    pub failed: u32,
    /// Attempts begun.
    pub tries: u32,
    pub why: String,
    /// How the last attempt failed; empty: none has.
    pub last: String,
    /// The last session that was joined; set by REJOIN.
    pub previous_session_id: String,
    pub from_edge: String,
    pub announced: Vec<TrackInfo>,
    /// When it has taken long enough.
    deadline: Option<Duration>,
}

impl Run {
    pub fn new(strategy: Strategy, since: Duration, failed: u32, why: &str) -> Self {
        Self {
            strategy,
            since,
            failed,
            tries: 0,
            why: why.to_owned(),
            last: String::new(),
            previous_session_id: String::new(),
            from_edge: String::new(),
            announced: Vec::new(),
            deadline: None,
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::core) struct Reconnects {
    pub(super) running: Option<Run>,
    /// How long FAST is allowed.
    fast_deadline: Duration,
    /// REJOINs and MIGRATEs so far, as reported to the SFU.
    attempt: u32,
    rejoins: VecDeque<Duration>,
    reconnected_at: Option<Duration>,
    /// Reconnects, each soon after the one before.
    flaps: u32,
    /// Peer connections in a row that never connected, in halves of the time they should have had.
    never_connected: u32,
    /// When a message was too large last, since the socket was lost for another reason.
    too_large_at: Option<Duration>,
}

impl Reconnects {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn is_fast(&self) -> bool {
        self.running.as_ref().is_some_and(|run| run.strategy == Strategy::Fast)
    }

    /// In the call; for so many seconds FAST is allowed.
    pub fn entered(&mut self, fast_deadline_s: u64) {
        self.fast_deadline = Duration::from_secs(fast_deadline_s);
    }

    /// A peer connection has connected.
    pub fn connected(&mut self) {
        self.never_connected = 0;
    }

    /// One has not; true when that was once too often.
    pub fn never_connected(&mut self, halves: u32) -> bool {
        self.never_connected += halves;
        self.never_connected >= 2 * limits::NEVER_CONNECTED
    }

    /// Reconnects that do not last are slowed down like attempts that fail: as how many this one counts.
    pub fn count_flap(&mut self, now: Duration) -> u32 {
        let quick = self.reconnected_at.is_some_and(|at| now < at + limits::STABLE);
        self.flaps = if quick { self.flaps + 1 } else { 0 };
        self.flaps.saturating_sub(1)
    }

    pub fn fast_in_time(&self, now: Duration, since: Duration, failed: u32) -> bool {
        failed < limits::FAST_ATTEMPTS && now <= since + self.fast_deadline
    }

    /// Another REJOIN or MIGRATE; false: there were too many.
    pub fn may_rejoin(&mut self, now: Duration) -> bool {
        while self.rejoins.front().is_some_and(|at| *at + limits::REJOIN_WINDOW < now) {
            self.rejoins.pop_front();
        }
        let may = self.rejoins.len() < limits::REJOINS;
        if may {
            self.rejoins.push_back(now);
            self.attempt += 1;
        }
        may
    }

    /// Whether a message was too large for the second time.
    pub fn too_large_again(&mut self, now: Duration) -> bool {
        self.too_large_at.replace(now).is_some_and(|at| now < at + limits::TOO_LARGE_AGAIN)
    }

    /// From now on it has as long as the application allows, unless it had already.
    pub fn start_deadline(&mut self, cx: &Context) {
        let timeout = cx.config.disconnect_timeout;
        if let Some(run) = self.running.as_mut().filter(|run| run.deadline.is_none() && !timeout.is_zero()) {
            run.deadline = Some(cx.now + timeout);
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.running.as_ref().and_then(|run| run.deadline)
    }

    /// What JoinRequest says of a reconnect; nothing on a first join. `announced`: the tracks that the SFU knows.
    pub fn details(&self, announced: Vec<TrackInfo>) -> Option<ReconnectDetails> {
        let run = self.running.as_ref()?;
        Some(ReconnectDetails {
            strategy: run.strategy,
            announced_tracks: match run.strategy {
                Strategy::Fast => announced,
                _ => run.announced.clone(),
            },
            subscriptions: Vec::new(),
            attempt: self.attempt,
            from_sfu_id: run.from_edge.clone(),
            previous_session_id: match run.strategy {
                Strategy::Rejoin => run.previous_session_id.clone(),
                _ => String::new(),
            },
            reason: run.why.chars().take(limits::LEAVE_REASON).collect(),
        })
    }

    /// Back.
    pub(super) fn finish(&mut self, now: Duration) -> Option<Run> {
        let run = self.running.take()?;
        self.reconnected_at = Some(now);
        Some(run)
    }
}
