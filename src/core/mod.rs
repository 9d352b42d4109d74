//! The rules of a call, as pure code: `handle(now, input)`, then take the outputs and the next
//! deadline. Must not know: tokio, sockets, any clock or source of randomness, the engine, wire
//! types. Time is a `Duration` since an epoch of the caller's choice.
//!
//! The flow of one offer, the founding promise: [`Input::Message`] → is its generation current? →
//! `subscriber.rs` queues it → checked again when it starts and after each engine step → SendAnswer.
//! Any "no" on the way: counted in `late_offers`, one debug line, end.

pub mod backoff;
mod data;
mod ice;
pub mod io;
mod join;
mod leave;
mod link;
mod messages;
mod migrate;
pub mod model;
mod mute;
mod publisher;
mod reconnect;
pub mod rng;
mod roster;
mod rpcs;
mod stats;
mod subscriber;
#[cfg(test)]
mod tests;
mod timers;
mod track;
mod wishes;

pub use io::{
    limits, Action, AudioOffer, Config, Counters, End, EndReason, Event, Input, NetworkChange, Op, OpDone, OpFailed,
    Output, PeerChange, RemoteId, State, TrackId,
};

use crate::error::{Code, Error, Secret};
use model::*;
use rng::Rng;
use std::{collections::VecDeque, time::Duration};
use timers::{Timer, Timers};

/// Shorter tokens are words, and no secrets.
const SHORTEST_SECRET: usize = 8;

/// Where the attempt to be connected is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    WaitingToken,
    Admitting,
    WaitingRetry,
    Opening,
    Joining,
    Joined,
    /// The network is gone; nothing is tried before it is back.
    Offline,
    Leaving,
    Over,
}

/// The rules and the state of one call.
#[derive(Debug)]
pub struct Core {
    config: Config,
    rng: Rng,
    phase: Phase,
    state: State,
    generation: Generation,
    /// The attempt in which the peer connections in use were made; FAST keeps them.
    transport: Option<Generation>,
    reconnect: Option<reconnect::Reconnect>,
    /// What a migration leaves; still plays.
    old: Option<migrate::OldLeg>,
    /// MigrationComplete came before the new edge's JoinResponse.
    migration_told: bool,
    /// The application has been told JOINED.
    joined_once: bool,
    /// The session of `session_id` has been joined.
    session_joined: bool,
    former_sessions: Vec<String>,
    fast_deadline: Duration,
    /// REJOINs and MIGRATEs so far, as the SFU is told.
    reconnect_attempt: u32,
    rejoins: VecDeque<Duration>,
    reconnected_at: Option<Duration>,
    /// Reconnects, each soon after the one before.
    flaps: u32,
    /// Peer connections in a row that never connected, in halves of the time they should have had.
    never_connected: u32,
    /// Sessions in a row given up because offers could not be answered.
    negotiation_rejoins: u32,
    /// The application was asked for a token in this attempt.
    token_renewed: bool,
    /// A reply said that there is no such session: what to do about it, and the code.
    session_gone: Option<(Strategy, i32)>,
    /// One name for this participant over all its reconnects.
    unified_session_id: String,
    session_id: String,
    token: Secret,
    /// The application's; the service may have brought another since.
    given_token: Secret,
    admission: Option<Box<Admission>>,
    /// Edges that refused or failed, last one last.
    failed_edges: Vec<String>,
    /// How many edges there are, as far as the admission tells.
    known_edges: usize,
    /// How often each edge failed otherwise.
    edge_failures: Vec<(String, u32)>,
    join_failures: u32,
    /// SFU sockets of this call so far.
    sockets: u32,
    socket_open: bool,
    /// Messages that came before JoinResponse.
    held: VecDeque<SfuMessage>,
    roster: roster::Roster,
    counts: Counts,
    publish_options: Vec<PublishOption>,
    grants: Option<Grants>,
    remotes: Vec<messages::Remote>,
    publisher: publisher::Publisher,
    subscriber: subscriber::Subscriber,
    rpcs: rpcs::Rpcs,
    stats: stats::Stats,
    data: data::Data,
    wishes: wishes::Wishes,
    health: Health,
    end: Option<End>,
    timers: Timers,
    next_op: Op,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Core {
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let unified_session_id = rng.uuid();
        let token = config.token.clone();
        let mut subscriber = subscriber::Subscriber::new(config.subscribe || config.dialect.subscriber_stays);
        subscriber.deaf = !config.subscribe;
        Self {
            config,
            rng,
            phase: Phase::Idle,
            state: State::Idle,
            generation: Generation(0),
            transport: None,
            reconnect: None,
            old: None,
            migration_told: false,
            joined_once: false,
            session_joined: false,
            former_sessions: Vec::new(),
            fast_deadline: Duration::ZERO,
            reconnect_attempt: 0,
            rejoins: VecDeque::new(),
            reconnected_at: None,
            flaps: 0,
            never_connected: 0,
            negotiation_rejoins: 0,
            token_renewed: false,
            session_gone: None,
            session_id: unified_session_id.clone(),
            unified_session_id,
            given_token: token.clone(),
            token,
            admission: None,
            failed_edges: Vec::new(),
            known_edges: 0,
            edge_failures: Vec::new(),
            join_failures: 0,
            sockets: 0,
            socket_open: false,
            held: VecDeque::new(),
            roster: roster::Roster::default(),
            counts: Counts::default(),
            publish_options: Vec::new(),
            grants: None,
            remotes: Vec::new(),
            publisher: publisher::Publisher::default(),
            subscriber,
            rpcs: rpcs::Rpcs::default(),
            stats: stats::Stats::default(),
            data: data::Data::default(),
            wishes: wishes::Wishes::default(),
            health: limits::HEALTH,
            end: None,
            timers: Timers::default(),
            next_op: 0,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The participants as they are now, self included.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.roster.iter()
    }

    /// Nothing will ever come out again.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// When [`Core::tick`] wants to be called; `None`: not at all.
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        [self.timers.next(), self.data.next()].into_iter().flatten().min()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Duration, mut input: Input) {
        self.hide_token(&mut input);
        if self.is_over() {
            self.count_late(&input);
            return;
        }
        match input {
            Input::Start => self.start(now),
            Input::Token(token) => self.on_token(now, token),
            Input::Admitted { generation, result } => self.on_admitted(now, generation, result),
            Input::SocketOpened { generation, result } => self.on_socket_opened(now, generation, result),
            Input::Message { generation, message } => self.on_message(now, generation, message),
            Input::Malformed { generation } => {
                self.counters.malformed += 1;
                if self.is_current(generation) {
                    self.heard(now);
                }
            }
            Input::SocketClosed { generation, code, failure } => self.on_socket_closed(now, generation, code, failure),
            Input::Rpc { generation, id, result } => self.on_rpc(now, generation, id, result),
            Input::Op { generation, peer, op, result } => self.on_op(now, generation, peer, op, result),
            Input::LocalCandidate { generation, peer, json } => self.on_local_candidate(now, generation, peer, json),
            Input::Peer { generation, peer, change } => self.on_peer_change(now, generation, peer, change),
            Input::PeerClosed { generation, peer } => self.on_peer_closed(generation, peer),
            Input::RemoteTrack { generation, id, owner } => self.on_remote_track(now, generation, id, owner),
            Input::Data { generation, data } => self.on_data(generation, now, data),
            Input::RemoteTrackGone { id } => self.remotes.retain(|r| r.id != id),
            Input::Publish { track, offer } => self.on_publish(now, track, offer),
            Input::Unpublish { track } => self.on_unpublish(now, track),
            Input::Mute { track, muted } => self.on_mute(now, track, muted),
            Input::ClosePeer(peer) => self.on_close_peer(now, peer),
            Input::WantData => self.on_want_data(now),
            Input::CallRpc { id, to, method, payload, timeout } => {
                self.on_call_rpc(now, id, to, method, payload, timeout)
            }
            Input::AnswerRpc { id, answer } => self.on_answer_rpc(id, answer),
            Input::Wish { track_id, wish } => self.on_wish(track_id, wish),
            Input::UpdateSelf(update) => self.on_update_self(update),
            Input::Leave { reason } => self.on_leave(now, reason),
            Input::Abort(end) => self.abort(end),
            Input::Network(change) => self.on_network(now, change),
            Input::Stats { generation, mark, publisher, subscriber } => {
                self.on_stats(generation, mark, publisher, subscriber)
            }
        }
    }

    /// The time has come that [`Core::deadline`] named (harmless when it has not).
    pub fn tick(&mut self, now: Duration) {
        if self.data.next().is_some_and(|at| at <= now) && !self.is_over() {
            self.on_data_due(now);
        }
        while !self.is_over() {
            let Some(timer) = self.timers.due(now) else { return };
            match timer {
                Timer::RetryJoin if self.reconnect.is_some() => self.attempt(now),
                Timer::RetryJoin => self.admit(now),
                Timer::JoinResponse => self.on_join_response_timeout(now),
                Timer::HealthPing => self.ping(now),
                Timer::HealthSilent => self.on_silence(now),
                Timer::Token => self.on_token(now, None),
                Timer::RpcRetry(id) => self.retry_rpc(id),
                Timer::Republish => self.negotiate_publisher(now),
                Timer::PeerConnect(peer) => self.on_peer_connect_timeout(now, peer),
                Timer::FirstCandidate => self.answer_gathered(now),
                Timer::SessionGone => self.on_session_gone(now),
                Timer::PeerClosed(peer) => self.on_peer_gone(now, peer),
                Timer::Orphans => self.on_orphans(now),
                Timer::IceGrace(peer) => self.on_ice_grace(now, peer),
                Timer::IceRestart(peer) => self.on_ice_restart_timeout(now, peer),
                Timer::Stats => self.on_stats_due(now),
                Timer::Migration => self.on_migration_timeout(now),
                Timer::Disconnected => self.on_disconnected_too_long(),
                Timer::LeaveLimit => self.finish(),
            }
        }
    }

    /// A server may quote the user's token in its words; from here on they go to logs and events.
    fn hide_token(&self, input: &mut Input) {
        let token = self.token.reveal();
        let text = match input {
            Input::Message { message: SfuMessage::Error { error, .. }, .. } => &mut error.message,
            Input::Rpc { result: Err(failure), .. }
            | Input::Admitted { result: Err(failure), .. }
            | Input::SocketOpened { result: Err(failure), .. }
            | Input::SocketClosed { failure: Some(failure), .. } => &mut failure.message,
            _ => return,
        };
        if token.len() >= SHORTEST_SECRET && text.contains(token) {
            *text = text.replace(token, "<secret>");
        }
    }

    fn is_current(&self, generation: Generation) -> bool {
        generation == self.generation
    }

    /// Not leaving, not over: new work may start.
    fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Leaving | Phase::Over)
    }

    fn out(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn event(&mut self, event: Event) {
        if matches!(event, Event::Error(_) | Event::LocalFailed { .. }) {
            self.counters.error_events += 1;
        }
        self.out(Output::Event(event));
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            let previous = std::mem::replace(&mut self.state, state);
            self.event(Event::State { state, previous });
        }
    }

    fn op(&mut self, peer: PeerKind, action: Action) -> Op {
        self.next_op += 1;
        let (op, generation) = (self.next_op, self.transport.unwrap_or(self.generation));
        self.out(Output::Engine { generation, peer, op, action });
        op
    }

    fn late(&mut self) {
        self.counters.late_other += 1;
    }

    /// Something came after the end: an offer is one of the late offers, the rest is counted too.
    fn count_late(&mut self, input: &Input) {
        match input {
            Input::Message { message: SfuMessage::SubscriberOffer { .. }, generation } => {
                self.drop_offer("late offer dropped: the call is over", *generation)
            }
            Input::Message { message: SfuMessage::LateOffer, generation } => {
                self.drop_offer("late offer dropped: the call is over", *generation)
            }
            Input::Message { .. } | Input::Rpc { .. } | Input::Op { .. } => self.late(),
            _ => {}
        }
    }

    fn on_op(
        &mut self,
        now: Duration,
        generation: Generation,
        peer: PeerKind,
        op: Op,
        result: Result<OpDone, OpFailed>,
    ) {
        match peer {
            PeerKind::Publisher => self.on_publisher_op(now, generation, op, result),
            PeerKind::Subscriber => self.on_subscriber_op(now, generation, op, result),
        }
    }

    fn on_update_self(&mut self, update: SelfUpdate) {
        if self.phase != Phase::Joined {
            let text = "attributes: the call is not joined; try again when it is";
            return self.event(Event::Error(Error::new(Code::State, text)));
        }
        let session_id = self.session_id.clone();
        self.rpc(RpcCall::UpdateSelf { session_id, update });
    }

    fn on_close_peer(&mut self, now: Duration, peer: PeerKind) {
        match peer {
            PeerKind::Publisher => self.close_publisher(now),
            PeerKind::Subscriber => self.close_subscriber(),
        }
    }
}
