//! Connection management: join, reconnect, migrate, leave.
//!
//! FAST keeps the session and its peer connections, REJOIN recreates everything, MIGRATE moves to another edge while
//! the old one plays. One reconnect runs at a time; further triggers are merged into it. These flows involve every part
//! of the call. Must not know: sockets, the engine.

mod edges;
mod held;
mod join;
mod leave;
mod lost;
mod migrate;
mod run;
mod tokens;

pub(super) use edges::Edges;
pub(super) use held::Held;
pub(super) use migrate::Migration;
pub(super) use run::Reconnects;
pub(super) use tokens::Tokens;

use super::context::Phase;
use super::peer::what_was_tried;
use super::{backoff, limits, model::*, Core, End, EndReason, Event, NetworkChange, State, Timer};
use crate::error::{Code, Error};
use run::Run;
use std::time::Duration;

/// The socket to the SFU.
#[derive(Debug, Default)]
pub(super) struct Socket {
    pub open: bool,
    /// Number of sockets opened so far.
    opened: u32,
}

impl Socket {
    fn next(&mut self) -> u32 {
        let number = self.opened;
        self.opened += 1;
        number
    }
}

impl Core {
    /// Starts a reconnect. During one, further triggers are merged into it.
    pub(super) fn reconnect(&mut self, want: Strategy, why: &str) {
        if !self.cx.is_open() || !self.joined_once {
            return;
        }
        if self.cx.is_draining() && want == Strategy::Migrate {
            // The call leaves soon anyway.
            return;
        }
        let Some(running) = &mut self.reconnects.running else { return self.begin_reconnect(want, why) };
        self.cx.counters.triggers_merged += 1;
        let fast = running.strategy == Strategy::Fast;
        match self.cx.phase {
            Phase::Offline if want != Strategy::Fast => running.strategy = Strategy::Rejoin,
            Phase::Offline => {}
            // The new leg of a migration has failed.
            Phase::Joined => self.escalate(),
            // The connection that FAST would keep has failed.
            _ if fast && want != Strategy::Fast => self.escalate(),
            _ => {}
        }
    }

    fn begin_reconnect(&mut self, want: Strategy, why: &str) {
        let edge = self.cx.admission.as_ref().map(|a| a.edge_name.clone()).unwrap_or_default();
        let failed = self.reconnects.count_flap(self.cx.now);
        let migrates = !edge.is_empty()
            && self.cx.transport.is_some()
            && self.cx.config.dialect.capabilities.has(Capabilities::MIGRATE);
        let strategy = match want {
            Strategy::Fast if self.fast_allowed(self.cx.now, failed) => Strategy::Fast,
            Strategy::Migrate if migrates => Strategy::Migrate,
            _ => Strategy::Rejoin,
        };
        self.reconnects.running = Some(Run::new(strategy, self.cx.now, failed, why));
        self.cx.debug(format!("reconnecting: {why}"));
        let wait = if failed == 0 { Duration::ZERO } else { backoff::reconnect(failed, &mut self.cx.rng) };
        match strategy {
            Strategy::Migrate => {
                self.note_announced();
                self.edges.exclude(edge.clone());
                if let Some(run) = &mut self.reconnects.running {
                    run.from_edge = edge;
                }
                self.leave_behind();
            }
            Strategy::Fast => {
                self.interrupt(limits::CLOSE_REPLACED, "replaced");
                self.start_deadline();
                self.cx.set_state(State::Reconnecting);
            }
            _ => {
                self.start_deadline();
                self.cx.set_state(State::Reconnecting);
                if !wait.is_zero() {
                    self.interrupt(limits::CLOSE_REPLACED, "replaced");
                }
            }
        }
        if wait.is_zero() {
            return self.attempt();
        }
        self.cx.phase = Phase::WaitingRetry;
        self.cx.timers.set(Timer::RetryJoin, self.cx.now + wait);
        self.drain_if_possible();
    }

    /// True if FAST may work: the server still keeps the session, and there are peer connections to keep.
    fn fast_allowed(&self, since: Duration, failed: u32) -> bool {
        self.cx.admission.is_some()
            && self.cx.transport.is_some()
            && self.peers_healthy()
            && self.reconnects.fast_in_time(self.cx.now, since, failed)
    }

    /// Neither peer connection needs to be replaced.
    fn peers_healthy(&self) -> bool {
        self.publisher.connection.is_healthy() && self.subscriber.connection.is_healthy()
    }

    fn start_deadline(&mut self) {
        self.reconnects.start_deadline(&self.cx);
        self.keep_deadline();
    }

    fn keep_deadline(&mut self) {
        if let Some(at) = self.reconnects.deadline() {
            self.cx.timers.set(Timer::Disconnected, at);
        }
    }

    /// Ends the socket's generation: pending replies and deadlines are dropped.
    fn abandon(&mut self) {
        self.subscriber.drop_offers(&mut self.cx);
        self.held.clear(&mut self.cx);
        self.cx.requests.clear();
        self.cx.timers.clear();
        self.keep_drain();
    }

    /// Ends the socket's generation; the peer connections stay.
    fn interrupt(&mut self, code: u16, reason: &str) {
        self.abandon();
        self.keep_deadline();
        self.forget_socket(code, reason);
        self.publisher.interrupt(&mut self.cx);
        self.subscriber.interrupt();
    }

    /// Replaces the current peer connections with new ones.
    fn restart_peers(&mut self) {
        self.publisher.restart();
        self.subscriber.restart();
        self.room.remotes.restart();
        // The next session may be on a server that differs in this.
        self.cx.one_connection = false;
    }

    /// Starts one attempt with the strategy of the reconnect.
    fn attempt(&mut self) {
        let Some(run) = &mut self.reconnects.running else { return };
        run.tries += 1;
        let strategy = run.strategy;
        self.cx.counters.reconnect_attempts += 1;
        if strategy == Strategy::Fast {
            let Some(admission) = self.cx.admission.clone() else { return };
            // Another edge of the service reaches the same session.
            if self.edges.has_failed(&admission.edge_name) {
                return self.admit();
            }
            self.cx.phase = Phase::Opening;
            self.cx.generation.0 += 1;
            return self.open_socket(admission);
        }
        if !self.reconnects.may_rejoin(self.cx.now) {
            let error = Error::new(Code::Network, "reconnect: 10 rejoins within 120 s; the connection is unstable");
            return self.give_up(EndReason::ReconnectLimit, error);
        }
        self.tokens.begin_attempt();
        if strategy == Strategy::Rejoin {
            if self.never_came_up() {
                return;
            }
            self.prepare_rejoin();
        }
        self.admit();
    }

    /// Drops everything of the previous session; the call, its tracks and its handles stay.
    fn prepare_rejoin(&mut self) {
        self.note_announced();
        self.abandon();
        self.start_deadline();
        let (generation, session_id) = (self.cx.generation, self.cx.session_id.clone());
        if !self.cx.is_joined() {
            self.leave_old_leg("reconnecting");
        }
        self.close_old_leg();
        if self.socket.open {
            let request = SfuRequest::Leave { session_id: session_id.clone(), reason: "reconnecting".into() };
            self.cx.out(super::Output::Send { generation, request });
        }
        self.forget_socket(limits::CLOSE_NORMAL, "");
        let why = self.reconnects.running.as_ref().map(|run| run.why.clone()).unwrap_or_default();
        let why = format!("reconnecting ({why})");
        self.each_connection(|connection, cx| connection.media_down(cx, &why));
        self.close_transport();
        self.restart_peers();
        if let Some(run) = self.reconnects.running.as_mut().filter(|_| self.session_joined) {
            run.previous_session_id.clone_from(&session_id);
        }
        self.session_joined = false;
        self.room.retire_session(session_id);
        self.cx.session_id = self.cx.rng.uuid();
        self.cx.set_state(State::Reconnecting);
    }

    /// Closes the current peer connections so that new ones can replace them.
    fn close_transport(&mut self) {
        let Some(generation) = self.cx.transport.take() else { return };
        self.each_connection(|connection, cx| connection.drop_live(cx, generation));
        self.room.remotes.unbind_of(&mut self.cx, generation);
    }

    /// Saves the tracks announced to the SFU before they are recreated.
    fn note_announced(&mut self) {
        let announced = self.publisher.announced(&self.cx);
        if let Some(run) = self.reconnects.running.as_mut().filter(|_| !announced.is_empty()) {
            run.announced = announced;
        }
    }

    /// The SFU accepted the reconnect.
    fn on_rejoined(&mut self, joined: JoinState) {
        if self.reconnects.is_fast() && !(joined.reconnected && self.peers_healthy()) {
            return self.escalate();
        }
        let migrates = self.reconnects.running.as_ref().is_some_and(|run| run.strategy == Strategy::Migrate);
        self.enter(joined);
        match migrates {
            true => self.migrated_if_complete(),
            false => self.reconnected(),
        }
        self.resume();
    }

    /// Reports the reconnect to the application.
    fn reconnected(&mut self) {
        let Some(run) = self.reconnects.finish(self.cx.now) else { return };
        let cx = &mut self.cx;
        cx.timers.cancel(Timer::Disconnected);
        self.edges.forgive();
        match run.strategy {
            Strategy::Fast => cx.counters.reconnects_fast += 1,
            Strategy::Migrate => cx.counters.reconnects_migrate += 1,
            _ => cx.counters.reconnects_rejoin += 1,
        }
        cx.set_state(State::Joined);
        cx.event(Event::Reconnected {
            strategy: run.strategy,
            attempts: run.tries,
            session_id: cx.session_id.clone(),
            elapsed_ms: u64::try_from(cx.now.saturating_sub(run.since).as_millis()).unwrap_or(u64::MAX),
        });
        self.room.remotes.watch_unassigned(cx);
    }

    /// The current attempt cannot succeed: REJOIN at once.
    fn escalate(&mut self) {
        self.cx.timers.cancel(Timer::JoinResponse);
        if self.cx.is_draining() && self.migration.keeps_peers() {
            return self.stay_on_old_leg();
        }
        if let Some(run) = &mut self.reconnects.running {
            run.strategy = Strategy::Rejoin;
            self.attempt();
        }
    }

    /// One attempt failed: retries after a delay, with a strategy that can still succeed.
    fn attempt_failed(&mut self, at: &str, failure: &Failure, edge_to_blame: bool) {
        if failure.kind == FailureKind::TooLarge {
            return self.too_large(&failure.message);
        }
        let fast = self.reconnects.is_fast();
        if is_final(failure, edge_to_blame) && !fast {
            return self.give_up(EndReason::ReconnectRefused, join_error("reconnect", at, failure, 1));
        }
        if edge_to_blame && !fast {
            self.edges.blame(&mut self.cx, failure);
        }
        if self.cx.is_draining() && self.migration.keeps_peers() {
            return self.stay_on_old_leg();
        }
        let Some(run) = &mut self.reconnects.running else { return };
        run.last = format!("{at}: {}", failure.message);
        run.failed += 1;
        let (since, failed) = (run.since, run.failed);
        // This edge is unreachable and there are others: they may reach the same session.
        let elsewhere = self.edges.has_another(failure);
        if fast && elsewhere {
            self.edges.leave(&self.cx);
        }
        let hopeless = fast && (failure.kind == FailureKind::Sfu || !self.fast_allowed(since, failed));
        if let Some(run) = &mut self.reconnects.running {
            if hopeless {
                run.strategy = Strategy::Rejoin;
            } else if run.strategy == Strategy::Migrate {
                run.strategy = Strategy::Rejoin;
                self.cx.timers.cancel(Timer::Migration);
                self.start_deadline();
            }
        }
        self.keep_deadline();
        let wait = if elsewhere { Duration::ZERO } else { backoff::reconnect(failed, &mut self.cx.rng) };
        self.wait_for_retry(wait, failure);
    }

    /// Retries after `wait`, or after the server's Retry-After if that is longer.
    fn wait_for_retry(&mut self, wait: Duration, failure: &Failure) {
        self.cx.phase = Phase::WaitingRetry;
        let wait = wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(30_000)));
        self.cx.timers.set(Timer::RetryJoin, self.cx.now + wait);
        self.drain_if_possible();
    }

    /// A call that is about to leave does not wait for an attempt that comes too late.
    fn drain_if_possible(&mut self) {
        let until = self.cx.draining.as_ref().map(|draining| draining.until);
        if until.is_some_and(|until| !self.can_still_send(until)) {
            self.on_drained();
        }
    }

    /// The reconnect failed permanently.
    fn give_up(&mut self, reason: EndReason, error: Error) {
        if self.cx.is_draining() {
            // The call was about to leave anyway.
            return self.on_drained();
        }
        if self.cx.is_open() {
            let text = error.message.to_string();
            self.cx.set_state(State::ReconnectingFailed);
            self.end_now(End { reason, error: Some(error), text });
        }
    }
}

/// A retry would be refused again.
fn is_final(failure: &Failure, edge_to_blame: bool) -> bool {
    match failure.kind {
        _ if failure.unrecoverable => true,
        FailureKind::Http { status } if !edge_to_blame => {
            (400..500).contains(&status) && status != 429 && status != 408
        }
        FailureKind::Insecure => true,
        FailureKind::Sfu => matches!(failure.code, 300 | 400 | 403),
        _ => false,
    }
}

/// The typed error of a failed join, with the server's code and text.
fn join_error(what: &str, at: &str, failure: &Failure, tries: u32) -> Error {
    let tried = if tries > 1 { format!(" ({tries} attempts)") } else { String::new() };
    let number = match failure.server_code() {
        0 => String::new(),
        code => format!(" {code}"),
    };
    failure.error(format!("{what}: {at} failed{number}: {}{tried}", failure.message))
}
