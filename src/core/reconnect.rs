//! Coming back: FAST keeps the session and its peer connections, REJOIN makes everything anew,
//! MIGRATE goes to another edge while the old one plays. One runs at a time; what triggers another
//! one meanwhile is merged into it.
//!
//! Must not know: sockets, the engine. Limits and waits are in `io::limits` and `backoff`.

use super::{backoff, limits, model::*, Core, End, EndReason, Event, NetworkChange, Output, Phase, State, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

/// Own session ids remembered, so that no former self is shown.
const FORMER_SESSIONS: usize = 32;

/// The reconnect under way.
#[derive(Debug)]
pub(super) struct Reconnect {
    pub strategy: Strategy,
    /// When the loss was noticed.
    since: Duration,
    /// Attempts that failed.
    failed: u32,
    /// Attempts begun.
    tries: u32,
    why: String,
    /// The last session that was joined; set by REJOIN.
    previous_session_id: String,
    from_edge: String,
    announced: Vec<TrackInfo>,
    /// This run has been offline: its time counts from `since` all the same.
    deadline: Option<Duration>,
}

impl Core {
    /// The connection needs to be made again. What comes while that is under way is merged into it.
    pub(super) fn reconnect(&mut self, now: Duration, want: Strategy, why: &str) {
        if !self.is_open() || !self.joined_once {
            return;
        }
        let Some(running) = &mut self.reconnect else { return self.begin_reconnect(now, want, why) };
        self.counters.triggers_merged += 1;
        let fast = running.strategy == Strategy::Fast;
        match self.phase {
            Phase::Offline if want != Strategy::Fast => running.strategy = Strategy::Rejoin,
            Phase::Offline => {}
            // The new leg of a migration has failed.
            Phase::Joined => self.escalate(now),
            // What FAST would keep has failed.
            _ if fast && want != Strategy::Fast => self.escalate(now),
            _ => {}
        }
    }

    fn begin_reconnect(&mut self, now: Duration, want: Strategy, why: &str) {
        let edge = self.admission.as_ref().map(|a| a.edge_name.clone()).unwrap_or_default();
        // Reconnects that do not last are slowed down like attempts that fail.
        let quick = self.reconnected_at.is_some_and(|at| now < at + limits::STABLE);
        self.flaps = if quick { self.flaps + 1 } else { 0 };
        let failed = self.flaps.saturating_sub(1);
        let strategy = match want {
            Strategy::Fast if self.fast_allowed(now, now, failed) => Strategy::Fast,
            Strategy::Migrate
                if !edge.is_empty()
                    && self.transport.is_some()
                    && self.config.dialect.capabilities.has(Capabilities::MIGRATE) =>
            {
                Strategy::Migrate
            }
            _ => Strategy::Rejoin,
        };
        self.reconnect = Some(Reconnect {
            strategy,
            since: now,
            failed,
            tries: 0,
            why: why.to_owned(),
            previous_session_id: String::new(),
            from_edge: String::new(),
            announced: Vec::new(),
            deadline: None,
        });
        self.out(Output::Debug(format!("reconnecting: {why}").into(), self.generation));
        let wait = if failed == 0 { Duration::ZERO } else { backoff::reconnect(failed, &mut self.rng) };
        match strategy {
            Strategy::Migrate => {
                self.note_announced();
                self.exclude(edge.clone());
                if let Some(r) = &mut self.reconnect {
                    r.from_edge = edge;
                }
                self.leave_behind(now);
            }
            Strategy::Fast => {
                self.interrupt(limits::CLOSE_REPLACED, "replaced");
                self.start_deadline(now);
                self.set_state(State::Reconnecting);
            }
            _ => {
                self.start_deadline(now);
                self.set_state(State::Reconnecting);
                if wait.is_zero() {
                    return self.attempt(now);
                }
                self.interrupt(limits::CLOSE_REPLACED, "replaced");
            }
        }
        if wait.is_zero() {
            self.attempt(now);
        } else {
            self.phase = Phase::WaitingRetry;
            self.timers.set(Timer::RetryJoin, now + wait);
        }
    }

    /// FAST may still work: the server keeps the session, and there is something to keep here.
    fn fast_allowed(&self, now: Duration, since: Duration, failed: u32) -> bool {
        self.admission.is_some()
            && self.transport.is_some()
            && self.peers_healthy()
            && failed < limits::FAST_ATTEMPTS
            && now <= since + self.fast_deadline
    }

    fn start_deadline(&mut self, now: Duration) {
        let timeout = self.config.disconnect_timeout;
        if let Some(r) = self.reconnect.as_mut().filter(|r| r.deadline.is_none() && !timeout.is_zero()) {
            r.deadline = Some(now + timeout);
        }
        self.keep_deadline();
    }

    fn keep_deadline(&mut self) {
        if let Some(at) = self.reconnect.as_ref().and_then(|r| r.deadline) {
            self.timers.set(Timer::Disconnected, at);
        }
    }

    /// The socket's generation is over, the peer connections stay: what waits for a reply never gets one.
    fn interrupt(&mut self, code: u16, reason: &str) {
        self.drop_queued_offers();
        self.drop_held();
        self.rpcs.clear();
        self.timers.clear();
        self.keep_deadline();
        self.forget_socket(code, reason);
        self.interrupt_publisher();
        self.interrupt_subscriber();
    }

    /// Begins one attempt with the strategy of the reconnect.
    pub(super) fn attempt(&mut self, now: Duration) {
        let Some(running) = &mut self.reconnect else { return };
        running.tries += 1;
        let strategy = running.strategy;
        self.counters.reconnect_attempts += 1;
        if strategy == Strategy::Fast {
            let Some(admission) = self.admission.clone() else { return };
            // Another door of the service leads to the same session.
            if self.failed_edges.contains(&admission.edge_name) {
                return self.admit(now);
            }
            self.phase = Phase::Opening;
            self.generation.0 += 1;
            return self.open_socket(admission);
        }
        while self.rejoins.front().is_some_and(|at| *at + limits::REJOIN_WINDOW < now) {
            self.rejoins.pop_front();
        }
        if self.rejoins.len() >= limits::REJOINS {
            let error = Error::new(Code::Network, "reconnect: 10 rejoins within 120 s, the connection does not last");
            let text = error.message.to_string();
            return self.give_up(End { reason: EndReason::ReconnectLimit, error: Some(error), text });
        }
        self.rejoins.push_back(now);
        self.reconnect_attempt += 1;
        self.token_renewed = false;
        if strategy == Strategy::Rejoin {
            if self.never_came_up() {
                return;
            }
            self.prepare_rejoin(now);
        }
        self.admit(now);
    }

    /// Everything of the session that was is let go; the call, its tracks and its handles stay.
    fn prepare_rejoin(&mut self, now: Duration) {
        self.note_announced();
        self.drop_queued_offers();
        self.drop_held();
        self.rpcs.clear();
        self.timers.clear();
        self.start_deadline(now);
        let (generation, session_id) = (self.generation, self.session_id.clone());
        if self.phase != Phase::Joined {
            self.old_goodbye("reconnecting");
        }
        self.close_old_leg();
        if self.socket_open {
            let request = SfuRequest::Leave { session_id: session_id.clone(), reason: "reconnecting".into() };
            self.out(Output::Send { generation, request });
        }
        self.forget_socket(limits::CLOSE_NORMAL, "");
        self.close_transport();
        self.publisher.restart();
        self.subscriber.restart();
        if let Some(r) = &mut self.reconnect {
            if self.session_joined {
                r.previous_session_id.clone_from(&session_id);
            }
        }
        self.session_joined = false;
        self.retire_session(session_id);
        self.session_id = self.rng.uuid();
        self.set_state(State::Reconnecting);
    }

    /// A session of ours is over; whatever is still said of it concerns nobody.
    pub(super) fn retire_session(&mut self, session_id: String) {
        self.roster.remove(&session_id);
        if self.former_sessions.len() >= FORMER_SESSIONS {
            self.former_sessions.remove(0);
        }
        self.former_sessions.push(session_id);
    }

    /// What the SFU has been told to exist, before it is made anew.
    fn note_announced(&mut self) {
        let announced = self.announced_tracks();
        if let Some(r) = self.reconnect.as_mut().filter(|_| !announced.is_empty()) {
            r.announced = announced;
        }
    }

    /// What JoinRequest says of a reconnect; nothing on a first join.
    pub(super) fn reconnect_details(&self) -> Option<ReconnectDetails> {
        let r = self.reconnect.as_ref()?;
        Some(ReconnectDetails {
            strategy: r.strategy,
            announced_tracks: match r.strategy {
                Strategy::Fast => self.announced_tracks(),
                _ => r.announced.clone(),
            },
            subscriptions: Vec::new(),
            attempt: self.reconnect_attempt,
            from_sfu_id: r.from_edge.clone(),
            previous_session_id: match r.strategy {
                Strategy::Rejoin => r.previous_session_id.clone(),
                _ => String::new(),
            },
            reason: r.why.chars().take(limits::LEAVE_REASON).collect(),
        })
    }

    /// The SFU has let us in again.
    pub(super) fn on_rejoined(&mut self, now: Duration, joined: JoinState) {
        let Some(strategy) = self.reconnect.as_ref().map(|r| r.strategy) else { return };
        if strategy == Strategy::Fast {
            if !joined.reconnected {
                return self.escalate(now);
            }
            if !self.peers_healthy() {
                return self.escalate(now);
            }
        }
        self.enter(now, joined);
        match strategy {
            Strategy::Migrate => self.migrated_if_told(now),
            _ => self.reconnected(now),
        }
        self.resume(now);
    }

    /// Back for the application.
    pub(super) fn reconnected(&mut self, now: Duration) {
        let Some(r) = self.reconnect.take() else { return };
        self.timers.cancel(Timer::Disconnected);
        self.reconnected_at = Some(now);
        self.failed_edges.clear();
        match r.strategy {
            Strategy::Fast => self.counters.reconnects_fast += 1,
            Strategy::Migrate => self.counters.reconnects_migrate += 1,
            _ => self.counters.reconnects_rejoin += 1,
        }
        self.set_state(State::Joined);
        self.event(Event::Reconnected {
            strategy: r.strategy,
            attempts: r.tries,
            session_id: self.session_id.clone(),
            elapsed_ms: u64::try_from(now.saturating_sub(r.since).as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// What is under way cannot succeed: REJOIN, at once.
    pub(super) fn escalate(&mut self, now: Duration) {
        self.timers.cancel(Timer::JoinResponse);
        if let Some(r) = &mut self.reconnect {
            r.strategy = Strategy::Rejoin;
            self.attempt(now);
        }
    }

    /// One attempt failed: again after a while, with what still can succeed.
    pub(super) fn attempt_failed(&mut self, now: Duration, at: &str, failure: &Failure, edge_to_blame: bool) {
        let final_refusal = match failure.kind {
            _ if failure.unrecoverable => true,
            FailureKind::Http { status } if !edge_to_blame => {
                (400..500).contains(&status) && status != 429 && status != 408
            }
            FailureKind::Insecure => true,
            FailureKind::Sfu => matches!(failure.code, 300 | 400 | 403),
            _ => false,
        };
        let fast = self.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Fast);
        if final_refusal && !fast {
            let mut error = super::join::join_error("reconnect", at, failure, 1);
            if error.code == Code::Cancelled {
                error.code = Code::Refused;
            }
            let text = error.message.to_string();
            return self.give_up(End { reason: EndReason::ReconnectRefused, error: Some(error), text });
        }
        if edge_to_blame && !fast {
            self.blame_edge(failure);
        }
        let Some(r) = &mut self.reconnect else { return };
        r.failed += 1;
        let (since, failed) = (r.since, r.failed);
        // Nobody there, and somebody elsewhere: the session may be kept behind that door as well.
        let elsewhere = self.next_door(failure);
        if fast && elsewhere {
            self.leave_edge();
        }
        if fast && (failure.kind == FailureKind::Sfu || !self.fast_allowed(now, since, failed)) {
            if let Some(r) = &mut self.reconnect {
                r.strategy = Strategy::Rejoin;
            }
        } else if let Some(r) = self.reconnect.as_mut().filter(|r| r.strategy == Strategy::Migrate) {
            r.strategy = Strategy::Rejoin;
            self.timers.cancel(Timer::Migration);
            self.start_deadline(now);
        }
        self.keep_deadline();
        self.phase = Phase::WaitingRetry;
        let wait = if elsewhere { Duration::ZERO } else { backoff::reconnect(failed, &mut self.rng) };
        let wait = wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(30_000)));
        self.timers.set(Timer::RetryJoin, now + wait);
    }

    /// Nobody answers at this door, and there is one that was not tried yet: no need to wait.
    pub(super) fn next_door(&self, failure: &Failure) -> bool {
        let known = self.known_edges;
        self.config.dialect.admits_at_socket
            && failure.kind == FailureKind::Connect
            && known > 1
            && self.failed_edges.len() < known
    }

    /// The network is gone, or back; told by the application or seen by the operating system.
    pub(super) fn on_network(&mut self, now: Duration, change: NetworkChange) {
        if !self.is_open() || !self.joined_once {
            return;
        }
        match (change, self.phase) {
            (NetworkChange::Offline, Phase::Offline) => {}
            (NetworkChange::Offline, _) => self.go_offline(now),
            (_, Phase::Offline) => self.back_online(now),
            // Nobody was offline: nothing to come back from.
            (NetworkChange::Online, _) => self.late(),
            // A new socket shows whether the way is still there, and ICE is tried on it.
            (NetworkChange::Unsettled, _) => self.reconnect(now, Strategy::Fast, "addresses of this machine changed"),
            // Sockets are bound to addresses that may be gone.
            (NetworkChange::Changed, _) => self.reconnect(now, Strategy::Rejoin, "the network of this machine changed"),
        }
    }

    fn go_offline(&mut self, now: Duration) {
        let strategy = if self.old.is_some() || self.transport.is_none() { Strategy::Rejoin } else { Strategy::Fast };
        match &mut self.reconnect {
            // A failed edge of a migration has nothing left to keep.
            Some(r) if r.strategy != Strategy::Fast => r.strategy = Strategy::Rejoin,
            Some(_) => {}
            None => {
                self.reconnect = Some(Reconnect {
                    strategy,
                    since: now,
                    failed: 0,
                    tries: 0,
                    why: "the network was gone".into(),
                    previous_session_id: String::new(),
                    from_edge: String::new(),
                    announced: Vec::new(),
                    deadline: None,
                });
            }
        }
        self.interrupt(limits::CLOSE_REPLACED, "offline");
        self.close_old_leg();
        self.start_deadline(now);
        self.phase = Phase::Offline;
        self.set_state(State::Offline);
    }

    fn back_online(&mut self, now: Duration) {
        let Some((strategy, since)) = self.reconnect.as_ref().map(|r| (r.strategy, r.since)) else { return };
        if strategy == Strategy::Fast && !self.fast_allowed(now, since, 0) {
            if let Some(r) = &mut self.reconnect {
                r.strategy = Strategy::Rejoin;
            }
        }
        self.set_state(State::Reconnecting);
        self.attempt(now);
    }

    pub(super) fn on_disconnected_too_long(&mut self) {
        let after = self.config.disconnect_timeout.as_millis();
        let why = self.reconnect.as_ref().map(|r| r.why.clone()).unwrap_or_default();
        let error = Error::new(
            Code::Network,
            format!("connection lost and not found again within {after} ms; it began with: {why}"),
        );
        let text = error.message.to_string();
        self.give_up(End { reason: EndReason::ConnectionLost, error: Some(error), text });
    }

    /// Coming back has failed for good.
    pub(super) fn give_up(&mut self, end: End) {
        if self.is_open() {
            self.set_state(State::ReconnectingFailed);
            self.end_now(end);
        }
    }
}
