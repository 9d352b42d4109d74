//! Join: token → coordinator → SFU socket → JoinRequest → JoinResponse, with its retries elsewhere.
//!
//! Codes 700 (full), 600 (shutting down) and 301 (participant limit), coordinator 5xx and 429, and
//! broken connections are tried again, on another edge where one is to blame; everything else fails
//! the join at once with the server's code and text kept.

use super::{backoff, limits, model::*, subscriber::Slot, Core, End, EndReason, Event, Output, Phase, State, Timer};
use crate::error::{Code, Error, Secret};
use std::time::Duration;

/// Edges remembered as failed, at most.
const MAX_FAILED_EDGES: usize = 32;

impl Core {
    pub(super) fn start(&mut self, now: Duration) {
        if self.phase != Phase::Idle {
            return;
        }
        self.set_state(State::Joining);
        self.admit(now);
    }

    /// Asks the coordinator for an edge; first the application for a token when there is none.
    pub(super) fn admit(&mut self, now: Duration) {
        if self.token.is_empty() {
            self.phase = Phase::WaitingToken;
            self.timers.set(Timer::Token, now + limits::TOKEN);
            self.out(Output::NeedToken);
            return;
        }
        self.phase = Phase::Admitting;
        self.generation.0 += 1;
        self.counters.join_attempts += u64::from(!self.joined_once);
        let request = AdmissionRequest {
            call_type: self.config.call_type.clone(),
            call_id: self.config.call_id.clone(),
            create: self.config.create,
            ring: self.config.ring,
            notify: self.config.notify,
            video: false,
            members_limit: 0,
            data_json: self.config.data_json.clone(),
            location: self.config.location.clone(),
            connection_id: String::new(),
            migrating_from: self.failed_edges.last().cloned().unwrap_or_default(),
            migrating_from_list: self.failed_edges.clone(),
        };
        let (generation, token) = (self.generation, self.token.clone());
        self.out(Output::Admit { generation, token, request: Box::new(request) });
    }

    pub(super) fn on_token(&mut self, now: Duration, token: Option<Secret>) {
        if self.phase != Phase::WaitingToken {
            return;
        }
        self.timers.cancel(Timer::Token);
        match token.filter(|t| !t.is_empty()) {
            Some(token) => {
                self.token = token.clone();
                self.given_token = token;
                self.admit(now);
            }
            None => self.no_token(Error::new(
                Code::Auth,
                "join: the application gave no token when it was asked; answer OH_EVENT_TOKEN_NEEDED with \
                 oh_call_provide_token within 30 s",
            )),
        }
    }

    pub(super) fn on_admitted(
        &mut self,
        now: Duration,
        generation: Generation,
        result: Result<Box<Admission>, Failure>,
    ) {
        if !self.is_current(generation) || self.phase != Phase::Admitting {
            return self.late();
        }
        match result {
            Ok(admission) => {
                self.phase = Phase::Opening;
                // Done by this answer: a retry must not ring or notify anybody again.
                (self.config.ring, self.config.notify) = (false, false);
                self.known_edges = admission.alternatives;
                self.admission = Some(admission.clone());
                self.open_socket(admission);
            }
            Err(failure) => match self.next_token(&failure) {
                Some(token) => {
                    self.token = token;
                    self.admit(now);
                }
                None => self.join_attempt_failed(now, "the coordinator", failure, false),
            },
        }
    }

    pub(super) fn on_socket_opened(&mut self, now: Duration, generation: Generation, result: Result<(), Failure>) {
        if !self.is_current(generation) || self.phase != Phase::Opening {
            // Opened after teardown: nobody wants it any more.
            let in_use = self.is_current(generation) && self.socket_open || self.is_old_leg(generation);
            if result.is_ok() && !in_use {
                self.out(Output::DropSocket { generation });
            }
            return self.late();
        }
        if let Err(failure) = result {
            if self.config.dialect.admits_at_socket {
                if let Some(token) = self.next_token(&failure) {
                    self.forget_socket(limits::CLOSE_JOIN_FAILED, "join failed");
                    self.token = token;
                    return self.admit(now);
                }
            }
            // A door that says no says it for the whole service.
            let refused = matches!(failure.kind, FailureKind::Http { status } if status < 500);
            let edge_to_blame = !(self.config.dialect.admits_at_socket && refused);
            return self.join_attempt_failed(now, "the SFU socket", failure, edge_to_blame);
        }
        self.socket_open = true;
        self.phase = Phase::Joining;
        let request = JoinRequest {
            session_id: self.session_id.clone(),
            unified_session_id: self.unified_session_id.clone(),
            subscriber_sdp: self.config.subscriber_sdp.clone(),
            publisher_sdp: self.config.publisher_sdp.clone(),
            reconnect: self.reconnect_details(),
        };
        self.timers.set(Timer::JoinResponse, now + limits::JOIN_RESPONSE);
        self.out(Output::Send { generation, request: SfuRequest::Join(Box::new(request)) });
    }

    pub(super) fn on_join_response_timeout(&mut self, now: Duration) {
        if self.phase == Phase::Joining {
            let failure = Failure::new(FailureKind::Timeout, "no JoinResponse within 5 s of the SFU socket's opening");
            self.join_attempt_failed(now, "the SFU", failure, true);
        }
    }

    /// In place of JoinResponse: not here, or not like this.
    pub(super) fn on_advice_while_joining(&mut self, now: Duration, strategy: Strategy, why: String, leave_edge: bool) {
        if leave_edge {
            self.leave_edge();
        }
        if self.reconnect.is_some() && strategy == Strategy::Rejoin {
            return self.escalate(now);
        }
        let failure = Failure::new(FailureKind::Connect, why);
        self.join_attempt_failed(now, "the SFU", failure, true);
    }

    /// The SFU brings a token in place of the one that will expire.
    pub(super) fn on_fresh_token(&mut self, token: Secret) {
        if token.is_empty() {
            return;
        }
        if let Some(admission) = &mut self.admission {
            admission.token = token.clone();
        }
        self.token = token;
    }

    /// The SFU says itself that it is the wrong one.
    pub(super) fn leave_edge(&mut self) {
        let edge = self.admission.as_ref().map(|a| a.edge_name.clone()).unwrap_or_default();
        if !edge.is_empty() {
            self.exclude(edge);
        }
    }

    pub(super) fn on_joined(&mut self, now: Duration, joined: JoinState) {
        if self.phase != Phase::Joining {
            return self.late();
        }
        self.timers.cancel(Timer::JoinResponse);
        if !joined.session_id.is_empty() && joined.session_id != self.session_id {
            let former = std::mem::replace(&mut self.session_id, joined.session_id.clone());
            if self.session_joined {
                // FAST was asked for, and another session given: who we were is nobody else.
                self.retire_session(former);
            }
        }
        if self.reconnect.is_some() {
            return self.on_rejoined(now, joined);
        }
        self.join_failures = 0;
        self.joined_once = true;
        self.failed_edges.clear();
        self.set_state(State::Joined);
        self.event(Event::Joined { counts: joined.counts, session_id: self.session_id.clone() });
        self.enter(now, joined);
        self.resume(now);
    }

    /// In the call, with what the SFU says of it; what has changed since the last time becomes events.
    pub(super) fn enter(&mut self, now: Duration, joined: JoinState) {
        self.phase = Phase::Joined;
        self.session_joined = true;
        self.transport.get_or_insert(self.generation);
        self.counts = joined.counts;
        self.publish_options = joined.publish_options;
        let fast = u64::try_from(joined.fast_reconnect_deadline_s).unwrap_or(0);
        self.fast_deadline = Duration::from_secs(fast);
        self.token_renewed = false;
        self.session_gone = None;
        self.edge_failures.clear();
        let bounded = |d: Duration| d.clamp(limits::HEALTH_LEAST, limits::HEALTH_MOST);
        self.health =
            joined.health.map_or(limits::HEALTH, |h| Health { ping: bounded(h.ping), silent: bounded(h.silent) });
        if let (Some(servers), Some(admission)) = (joined.ice_servers, &mut self.admission) {
            admission.ice_servers = servers;
        }
        self.reconcile(joined.participants);
        if let Some(room) = joined.room {
            self.event(Event::Room(Box::new(room)));
        }
        if let Some(grants) = joined.grants {
            self.on_grants(now, grants);
        }
        if joined.publisher_first {
            self.on_want_data(now);
        }
        if !joined.pins.is_empty() {
            self.event(Event::Pins(joined.pins));
        }
        if joined.offers_at_once && self.subscriber.slot == Slot::Absent {
            self.timers.set(Timer::PeerConnect(PeerKind::Subscriber), now + limits::PEER_CONNECT);
        }
        self.begin_stats(now);
        self.heard(now);
        self.timers.set(Timer::HealthPing, now + self.health.ping);
    }

    /// What waited for JoinResponse.
    pub(super) fn resume(&mut self, now: Duration) {
        self.resume_publisher();
        self.flush_local();
        self.watch_links(now);
        self.resume_wishes();
        for message in std::mem::take(&mut self.held) {
            self.dispatch(now, message);
        }
        self.negotiate_publisher(now);
    }

    pub(super) fn open_socket(&mut self, admission: Box<Admission>) {
        let (generation, session_id) = (self.generation, self.session_id.clone());
        let attempt = self.sockets;
        self.sockets += 1;
        let resume = self.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Fast);
        self.out(Output::OpenSocket { generation, admission, session_id, attempt, resume });
    }

    /// The token was refused: that of the application when it was the service's own, then a fresh one, for
    /// which the application is asked (an empty one).
    fn next_token(&mut self, failure: &Failure) -> Option<Secret> {
        if failure.kind != (FailureKind::Http { status: 401 }) {
            return None;
        }
        if self.token != self.given_token {
            return Some(self.given_token.clone());
        }
        let ask = self.config.renew_token && !self.token_renewed;
        self.token_renewed |= ask;
        ask.then(Secret::default)
    }

    /// One attempt failed: again elsewhere, or the join is over.
    pub(super) fn join_attempt_failed(&mut self, now: Duration, at: &str, failure: Failure, edge_to_blame: bool) {
        self.forget_socket(limits::CLOSE_JOIN_FAILED, "join failed");
        self.drop_held();
        if self.reconnect.is_some() {
            self.timers.cancel(Timer::JoinResponse);
            return self.attempt_failed(now, at, &failure, edge_to_blame);
        }
        self.timers.clear();
        let again = !failure.unrecoverable
            && match failure.kind {
                FailureKind::Timeout | FailureKind::Connect => true,
                FailureKind::Http { status } => status == 429 || status >= 500,
                FailureKind::Sfu => matches!(failure.code, 700 | 600 | 301),
                FailureKind::Tls | FailureKind::Insecure | FailureKind::Malformed => false,
            };
        self.join_failures += 1;
        if !again || self.join_failures > self.config.join_retries {
            let tries = self.join_failures;
            return self.fail_join(join_error("join", at, &failure, tries));
        }
        if edge_to_blame {
            self.blame_edge(&failure);
        }
        self.phase = Phase::WaitingRetry;
        let wait = match self.next_door(&failure) {
            true => Duration::ZERO,
            false => backoff::join(self.join_failures, &mut self.rng),
        };
        let wait = wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(30_000)));
        self.timers.set(Timer::RetryJoin, now + wait);
    }

    /// An edge that says it cannot is left at once, one that fails otherwise at the second time.
    pub(super) fn blame_edge(&mut self, failure: &Failure) {
        let Some(edge) = self.admission.take().map(|a| a.edge_name).filter(|e| !e.is_empty()) else { return };
        if failure.kind == FailureKind::Sfu && matches!(failure.code, 700 | 600 | 301) {
            return self.exclude(edge);
        }
        let failures = match self.edge_failures.iter_mut().find(|(e, _)| *e == edge) {
            Some((_, failures)) => {
                *failures += 1;
                *failures
            }
            None => {
                self.edge_failures.truncate(MAX_FAILED_EDGES - 1);
                self.edge_failures.push((edge.clone(), 1));
                1
            }
        };
        if failures >= self.config.dialect.edge_failures {
            self.exclude(edge);
        }
    }

    /// The last one last: it is also `migrating_from`.
    pub(super) fn exclude(&mut self, edge: String) {
        self.failed_edges.retain(|e| *e != edge);
        if self.failed_edges.len() >= MAX_FAILED_EDGES {
            self.failed_edges.remove(0);
        }
        self.failed_edges.push(edge);
    }

    fn no_token(&mut self, error: Error) {
        if self.reconnect.is_none() {
            return self.fail_join(error);
        }
        let error = Error::new(Code::Auth, "reconnect: the token has expired and the application gave no other");
        let text = error.message.to_string();
        self.give_up(End { reason: EndReason::ReconnectRefused, error: Some(error), text });
    }

    fn fail_join(&mut self, error: Error) {
        let text = error.message.to_string();
        self.end_now(End { reason: EndReason::JoinFailed, error: Some(error), text });
    }
}

/// The typed error of a failed join, the server's code and words kept.
pub(super) fn join_error(what: &str, at: &str, failure: &Failure, tries: u32) -> Error {
    let code = match failure.kind {
        FailureKind::Timeout => Code::Timeout,
        FailureKind::Connect => Code::Network,
        FailureKind::Tls => Code::Tls,
        FailureKind::Insecure => Code::Insecure,
        FailureKind::Http { status: 401 } => Code::Auth,
        FailureKind::Http { .. } => Code::Refused,
        FailureKind::Sfu if failure.code == 401 => Code::Auth,
        FailureKind::Sfu => Code::Refused,
        FailureKind::Malformed => Code::Protocol,
    };
    let server_code = match (failure.code, &failure.kind) {
        (0, FailureKind::Http { status }) => i32::from(*status),
        (code, _) => code,
    };
    let tried = if tries > 1 { format!(" ({tries} attempts)") } else { String::new() };
    let number = if server_code != 0 { format!(" {server_code}") } else { String::new() };
    Error::new(code, format!("{what}: {at} failed{number}: {}{tried}", failure.message)).with_server_code(server_code)
}
