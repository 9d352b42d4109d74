//! The running reconnect, and the history of earlier ones: how many, how long ago, and which strategies are still
//! allowed. Must not know: how an attempt is made.

use crate::core::context::Context;
use crate::core::{limits, model::*};
use std::{collections::VecDeque, time::Duration};

/// The running reconnect.
#[derive(Debug)]
pub(super) struct Run {
    pub strategy: Strategy,
    /// When the loss was detected.
    pub since: Duration,
    /// Failed attempts.
    pub failed: u32,
    /// Started attempts.
    pub tries: u32,
    pub why: String,
    /// Why the last attempt failed; empty if none has.
    pub last: String,
    /// The last joined session; set by REJOIN.
    pub previous_session_id: String,
    pub from_edge: String,
    pub announced: Vec<TrackInfo>,
    /// When the reconnect timeout expires.
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
    /// How long FAST is allowed after a loss.
    fast_deadline: Duration,
    /// REJOINs and MIGRATEs so far, as reported to the SFU.
    attempt: u32,
    rejoins: VecDeque<Duration>,
    reconnected_at: Option<Duration>,
    /// Consecutive reconnects, each soon after the previous one.
    flaps: u32,
    /// Consecutive peer connections that never connected, in halves of the connect timeout.
    never_connected: u32,
    /// When a message was last too large.
    too_large_at: Option<Duration>,
}

impl Reconnects {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn is_fast(&self) -> bool {
        self.running.as_ref().is_some_and(|run| run.strategy == Strategy::Fast)
    }

    /// Joined; FAST is allowed for this many seconds.
    pub fn entered(&mut self, fast_deadline_s: u64) {
        self.fast_deadline = Duration::from_secs(fast_deadline_s);
    }

    /// A peer connection has connected.
    pub fn connected(&mut self) {
        self.never_connected = 0;
    }

    /// A peer connection never connected; true if the limit is reached.
    pub fn never_connected(&mut self, halves: u32) -> bool {
        self.never_connected += halves;
        self.never_connected >= 2 * limits::NEVER_CONNECTED
    }

    /// Unstable reconnects are delayed like failed attempts: returns as how many failures this one counts.
    pub fn count_flap(&mut self, now: Duration) -> u32 {
        let quick = self.reconnected_at.is_some_and(|at| now < at + limits::STABLE);
        self.flaps = if quick { self.flaps + 1 } else { 0 };
        self.flaps.saturating_sub(1)
    }

    pub fn fast_in_time(&self, now: Duration, since: Duration, failed: u32) -> bool {
        failed < limits::FAST_ATTEMPTS && now <= since + self.fast_deadline
    }

    /// Starts another REJOIN or MIGRATE; false if there were too many.
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

    /// True if this is the second oversized message.
    pub fn too_large_again(&mut self, now: Duration) -> bool {
        self.too_large_at.replace(now).is_some_and(|at| now < at + limits::TOO_LARGE_AGAIN)
    }

    /// Starts the reconnect timeout, unless it is already running.
    pub fn start_deadline(&mut self, cx: &Context) {
        let timeout = cx.config.disconnect_timeout;
        if let Some(run) = self.running.as_mut().filter(|run| run.deadline.is_none() && !timeout.is_zero()) {
            run.deadline = Some(cx.now + timeout);
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.running.as_ref().and_then(|run| run.deadline)
    }

    /// Reconnect details for JoinRequest; `None` on a first join. `announced`: the tracks known to the SFU.
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

    /// The reconnect succeeded.
    pub(super) fn finish(&mut self, now: Duration) -> Option<Run> {
        let run = self.running.take()?;
        self.reconnected_at = Some(now);
        Some(run)
    }
}
