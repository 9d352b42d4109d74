//! Join: token → coordinator → SFU socket → JoinRequest → JoinResponse, with retries on other edges.
//!
//! Codes 700 (full), 600 (shutting down) and 301 (participant limit), coordinator 5xx and 429, and broken connections
//! are retried, on another edge if the edge is at fault. Everything else fails the join at once, with the server's code
//! and text.

use super::super::context::Phase;
use super::super::{backoff, limits, model::*, Core, End, EndReason, Event, Output, State, Timer};
use super::join_error;
use crate::error::{Code, Error, Secret};
use std::time::Duration;

impl Core {
    pub(in crate::core) fn start(&mut self) {
        if self.cx.phase != Phase::Idle {
            return;
        }
        self.cx.set_state(State::Joining);
        self.admit();
    }

    /// The delay before the next attempt has passed.
    pub(in crate::core) fn retry(&mut self) {
        match self.reconnects.is_running() {
            true => self.attempt(),
            false => self.admit(),
        }
    }

    /// Requests an edge from the coordinator; without a token, first requests a token from the application.
    pub(super) fn admit(&mut self) {
        let cx = &mut self.cx;
        if self.tokens.current().is_empty() {
            if cx.is_draining() {
                // After a leave the application is not asked for anything.
                return self.on_drained();
            }
            cx.phase = Phase::WaitingToken;
            cx.timers.set(Timer::Token, cx.now + limits::TOKEN);
            return cx.out(Output::NeedToken);
        }
        cx.phase = Phase::Admitting;
        cx.generation.0 += 1;
        cx.counters.join_attempts += u64::from(!self.joined_once);
        let request = AdmissionRequest {
            call_type: cx.config.call_type.clone(),
            call_id: cx.config.call_id.clone(),
            create: cx.config.create,
            ring: cx.config.ring,
            notify: cx.config.notify,
            video: false,
            members_limit: 0,
            data_json: cx.config.data_json.clone(),
            location: cx.config.location.clone(),
            connection_id: String::new(),
            migrating_from: self.edges.failed().last().cloned().unwrap_or_default(),
            migrating_from_list: self.edges.failed().to_vec(),
        };
        let (generation, token) = (cx.generation, self.tokens.current().clone());
        cx.out(Output::Admit { generation, token, request: Box::new(request) });
    }

    pub(in crate::core) fn on_token(&mut self, token: Option<Secret>) {
        if self.cx.phase != Phase::WaitingToken {
            return;
        }
        self.cx.timers.cancel(Timer::Token);
        match token.filter(|t| !t.is_empty()) {
            Some(token) => {
                self.tokens.given(token);
                self.admit();
            }
            None => self.no_token(Error::new(
                Code::Auth,
                "join: the application supplied no token; answer OH_EVENT_TOKEN_NEEDED with \
                 oh_call_provide_token within 30 s",
            )),
        }
    }

    pub(in crate::core) fn on_admitted(&mut self, generation: Generation, result: Result<Box<Admission>, Failure>) {
        let cx = &mut self.cx;
        if !cx.is_current(generation) || cx.phase != Phase::Admitting {
            return cx.late();
        }
        match result {
            Ok(admission) => {
                cx.phase = Phase::Opening;
                // The coordinator has done this: a retry must not ring or notify again.
                (cx.config.ring, cx.config.notify) = (false, false);
                self.edges.admitted(&admission);
                cx.admission = Some(admission.clone());
                self.open_socket(admission);
            }
            Err(failure) if self.tokens.replace(&cx.config, &failure) => self.admit(),
            Err(failure) => self.join_attempt_failed("the coordinator", failure, false),
        }
    }

    pub(super) fn open_socket(&mut self, admission: Box<Admission>) {
        let (generation, session_id) = (self.cx.generation, self.cx.session_id.clone());
        let (attempt, resume) = (self.socket.next(), self.reconnects.is_fast());
        self.cx.out(Output::OpenSocket { generation, admission, session_id, attempt, resume });
    }

    pub(in crate::core) fn on_socket_opened(&mut self, generation: Generation, result: Result<(), Failure>) {
        let cx = &mut self.cx;
        if !cx.is_current(generation) || cx.phase != Phase::Opening {
            // Opened after teardown: not needed.
            let in_use = cx.is_current(generation) && self.socket.open || self.migration.is_leg(generation);
            if result.is_ok() && !in_use {
                cx.out(Output::DropSocket { generation });
            }
            return cx.late();
        }
        if let Err(failure) = result {
            let admits = cx.config.dialect.admits_at_socket;
            if admits && self.tokens.replace(&cx.config, &failure) {
                self.forget_socket(limits::CLOSE_JOIN_FAILED, "join failed");
                return self.admit();
            }
            // A refusal by the admitting socket applies to the whole service.
            let refused = matches!(failure.kind, FailureKind::Http { status } if status < 500);
            return self.join_attempt_failed("the SFU socket", failure, !(admits && refused));
        }
        self.socket.open = true;
        self.subscriber.begin_socket(self.reconnects.is_fast());
        cx.phase = Phase::Joining;
        let request = JoinRequest {
            session_id: cx.session_id.clone(),
            unified_session_id: cx.unified_session_id.clone(),
            subscriber_sdp: cx.config.subscriber_sdp.clone(),
            publisher_sdp: cx.config.publisher_sdp.clone(),
            reconnect: self.reconnects.details(self.publisher.announced(cx)),
        };
        cx.timers.set(Timer::JoinResponse, cx.now + limits::JOIN_RESPONSE);
        cx.out(Output::Send { generation, request: SfuRequest::Join(Box::new(request)) });
    }

    pub(in crate::core) fn on_join_response_timeout(&mut self) {
        if self.cx.phase == Phase::Joining {
            let failure = Failure::new(FailureKind::Timeout, "no JoinResponse within 5 s of the SFU socket's opening");
            self.join_attempt_failed("the SFU", failure, true);
        }
    }

    /// Advice instead of JoinResponse: use another edge or another strategy.
    pub(in crate::core) fn on_advice_while_joining(&mut self, strategy: Strategy, why: String, leave_edge: bool) {
        if leave_edge {
            self.edges.leave(&self.cx);
        }
        if self.reconnects.is_running() && strategy == Strategy::Rejoin {
            return self.escalate();
        }
        self.join_attempt_failed("the SFU", Failure::new(FailureKind::Connect, why), true);
    }

    pub(in crate::core) fn on_joined(&mut self, joined: JoinState) {
        let cx = &mut self.cx;
        cx.timers.cancel(Timer::JoinResponse);
        if !joined.session_id.is_empty() && joined.session_id != cx.session_id {
            let former = std::mem::replace(&mut cx.session_id, joined.session_id.clone());
            if self.session_joined {
                // FAST was requested but the SFU assigned another session: the former one is not another participant.
                self.room.retire_session(former);
            }
        }
        if self.reconnects.is_running() {
            return self.on_rejoined(joined);
        }
        self.join_failures = 0;
        self.joined_once = true;
        self.edges.forgive();
        cx.set_state(State::Joined);
        cx.event(Event::Joined { counts: joined.counts, session_id: cx.session_id.clone() });
        self.enter(joined);
        self.resume();
    }

    /// Joined, with the state sent by the SFU; differences from the previous state become events.
    pub(super) fn enter(&mut self, joined: JoinState) {
        let cx = &mut self.cx;
        cx.phase = Phase::Joined;
        self.session_joined = true;
        if cx.transport.is_none() {
            cx.transport = Some(cx.generation);
            // FAST keeps the peer connections as they were made.
            cx.one_connection = joined.one_connection;
        }
        self.room.counts = joined.counts;
        self.publisher.options = joined.publish_options;
        self.reconnects.entered(u64::try_from(joined.fast_reconnect_deadline_s).unwrap_or(0));
        self.tokens.begin_attempt();
        cx.requests.begin_session();
        self.edges.joined();
        let bounded = |d: Duration| d.clamp(limits::HEALTH_LEAST, limits::HEALTH_MOST);
        self.health =
            joined.health.map_or(limits::HEALTH, |h| Health { ping: bounded(h.ping), silent: bounded(h.silent) });
        if let (Some(servers), Some(admission)) = (joined.ice_servers, &mut cx.admission) {
            admission.ice_servers = servers;
        }
        self.room.reconcile(cx, &mut self.messaging, joined.participants);
        if let Some(room) = joined.room {
            cx.event(Event::Room(Box::new(room)));
        }
        // Used once per admission: the SFU reports later changes.
        let admitted = cx.admission.as_mut().and_then(|admission| admission.grants.take());
        let admitted = admitted.filter(|grants| cx.grants.unwrap_or(Grants::ALL) != *grants);
        if let Some(grants) = joined.grants.or(admitted) {
            self.on_grants(grants);
        }
        let cx = &mut self.cx;
        if cx.one_connection {
            let tracks = self.room.roster.all_except(&cx.session_id);
            let audio = tracks.iter().flat_map(|p| &p.published).filter(|track| track.kind.is_audio());
            self.publisher.begin_receiving(cx, audio.count());
        } else if joined.publisher_first {
            self.publisher.want_channels(cx);
        }
        if !joined.pins.is_empty() {
            cx.event(Event::Pins(joined.pins));
        }
        if joined.offers_at_once && self.subscriber.connection.awaits_offer() {
            cx.timers.set(Timer::PeerConnect(PeerKind::Subscriber), cx.now + limits::PEER_CONNECT);
        }
        self.stats.begin(cx);
        self.reset_silence_timer();
        self.cx.timers.set(Timer::HealthPing, self.cx.now + self.health.ping);
    }

    /// Continues everything that waited for JoinResponse.
    pub(super) fn resume(&mut self) {
        self.publisher.resume(&mut self.cx);
        self.subscriber.connection.flush_local(&mut self.cx);
        self.publisher.connection.flush_local(&mut self.cx);
        self.each_connection(|connection, cx| connection.watch_again(cx));
        self.room.resume(&mut self.cx);
        for message in self.held.take() {
            let settled = self.dispatch(message);
            self.settle(settled);
        }
        self.publisher.negotiate(&mut self.cx);
    }

    /// One attempt failed: retries on another edge, or fails the join.
    pub(in crate::core) fn join_attempt_failed(&mut self, at: &str, failure: Failure, edge_to_blame: bool) {
        self.forget_socket(limits::CLOSE_JOIN_FAILED, "join failed");
        self.held.clear(&mut self.cx);
        if self.reconnects.is_running() {
            self.cx.timers.cancel(Timer::JoinResponse);
            return self.attempt_failed(at, &failure, edge_to_blame);
        }
        self.cx.timers.clear();
        let again = !failure.unrecoverable
            && match failure.kind {
                FailureKind::Timeout | FailureKind::Connect => true,
                FailureKind::Http { status } => status == 429 || status >= 500,
                FailureKind::Sfu => matches!(failure.code, 700 | 600 | 301),
                // A limit of this client: every edge would send the same again.
                FailureKind::Tls | FailureKind::Insecure | FailureKind::Malformed | FailureKind::TooLarge => false,
            };
        self.join_failures += 1;
        if !again || self.join_failures > self.cx.config.join_retries {
            let tries = self.join_failures;
            return self.fail_join(join_error("join", at, &failure, tries));
        }
        if edge_to_blame {
            self.edges.blame(&mut self.cx, &failure);
        }
        let wait = match self.edges.has_another(&failure) {
            true => Duration::ZERO,
            false => backoff::join(self.join_failures, &mut self.cx.rng),
        };
        self.wait_for_retry(wait, &failure);
    }

    fn no_token(&mut self, error: Error) {
        if !self.reconnects.is_running() {
            return self.fail_join(error);
        }
        let error = Error::new(Code::Auth, "reconnect: the token has expired and the application supplied no new one");
        self.give_up(EndReason::ReconnectRefused, error);
    }

    fn fail_join(&mut self, error: Error) {
        let text = error.message.to_string();
        self.end_now(End { reason: EndReason::JoinFailed, error: Some(error), text });
    }
}
