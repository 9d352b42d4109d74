//! State shared by all parts of the call logic: configuration, time, pending commands, timers and counters.
//!
//! Must not know: the rules.

use super::requests::Requests;
use super::timers::Timers;
use super::{model::*, rng::Rng, Action, Config, Counters, Event, Op, Output, State};
use std::{borrow::Cow, collections::VecDeque, time::Duration};

/// State of the connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    WaitingToken,
    Admitting,
    WaitingRetry,
    Opening,
    Joining,
    Joined,
    /// The network is down; no attempt starts before it is back.
    Offline,
    /// The call is about to leave and sends over the old connection of a migration; no other attempt starts.
    Staying,
    Leaving,
    Over,
}

/// An action that a part of the call cannot do itself. Returned as an error: the rest of the step is skipped.
#[derive(Debug)]
pub(super) enum Need {
    /// The connection must be made again.
    Reconnect(Strategy, Cow<'static, str>),
    /// This session cannot be negotiated.
    Renegotiate(&'static str),
    /// A peer connection failed before it ever connected.
    NeverConnected(String),
    /// ICE of this peer connection must be restarted.
    RestartIce(PeerKind),
}

impl Need {
    pub fn fast(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Reconnect(Strategy::Fast, why.into())
    }

    pub fn rejoin(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Reconnect(Strategy::Rejoin, why.into())
    }
}

pub(super) type Settled = Result<(), Need>;

/// A leave that waits until the data accepted before it is sent.
#[derive(Debug)]
pub(super) struct Draining {
    pub reason: String,
    /// When to stop waiting.
    pub until: Duration,
}

#[derive(Debug)]
pub(super) struct Context {
    pub config: Config,
    /// Time of the current input.
    pub now: Duration,
    pub rng: Rng,
    pub phase: Phase,
    pub state: State,
    pub generation: Generation,
    /// The generation in which the current peer connections were created; FAST keeps them.
    pub transport: Option<Generation>,
    /// Identifies this participant across all reconnects.
    pub unified_session_id: String,
    pub session_id: String,
    pub admission: Option<Box<Admission>>,
    pub grants: Option<Grants>,
    /// The publisher's peer connection carries both directions; there is no subscriber's.
    pub one_connection: bool,
    /// Receiving is disabled, whether or not there is a subscriber.
    pub receive_disabled: bool,
    /// The application has closed the publisher.
    pub send_disabled: bool,
    /// Set when the application leaves as soon as its data is sent.
    pub draining: Option<Draining>,
    /// Consecutive sessions that were abandoned because negotiation failed.
    pub failed_sessions: u32,
    pub timers: Timers,
    pub requests: Requests,
    pub counters: Counters,
    pub next_op: Op,
    outputs: VecDeque<Output>,
}

impl Context {
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let unified_session_id = rng.uuid();
        Self {
            one_connection: false,
            receive_disabled: !config.subscribe,
            send_disabled: false,
            config,
            now: Duration::ZERO,
            rng,
            phase: Phase::Idle,
            state: State::Idle,
            generation: Generation(0),
            transport: None,
            session_id: unified_session_id.clone(),
            unified_session_id,
            admission: None,
            grants: None,
            draining: None,
            failed_sessions: 0,
            timers: Timers::default(),
            requests: Requests::default(),
            counters: Counters::default(),
            next_op: 0,
            outputs: VecDeque::new(),
        }
    }

    pub fn is_current(&self, generation: Generation) -> bool {
        generation == self.generation
    }

    pub fn is_joined(&self) -> bool {
        self.phase == Phase::Joined
    }

    /// Neither leaving nor ended: new work may start.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Leaving | Phase::Over)
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// The generation that identifies the current peer connections.
    pub fn peers_of(&self) -> Generation {
        self.transport.unwrap_or(self.generation)
    }

    /// Closed permanently. The subscriber stays open if the SFU would treat its end as the participant's end.
    pub fn subscriber_closed(&self) -> bool {
        self.receive_disabled && !self.config.dialect.subscriber_stays
    }

    /// Neither closed nor part of a lost connection; the socket may be reconnecting.
    pub fn subscriber_open(&self) -> bool {
        self.transport.is_some() && self.is_open() && !self.is_draining() && !self.subscriber_closed()
    }

    /// Open, and the SFU accepts requests.
    pub fn subscriber_alive(&self) -> bool {
        self.is_joined() && self.subscriber_open()
    }

    pub fn ice_servers(&self) -> Vec<IceServer> {
        self.admission.as_ref().map(|a| a.ice_servers.clone()).unwrap_or_default()
    }

    pub fn out(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn event(&mut self, event: Event) {
        if matches!(event, Event::Error(_) | Event::LocalFailed { .. }) {
            self.counters.error_events += 1;
        }
        self.out(Output::Event(event));
    }

    pub fn debug(&mut self, text: impl Into<Cow<'static, str>>) {
        self.out(Output::Debug(text.into(), self.generation));
    }

    pub fn set_state(&mut self, state: State) {
        if self.state != state {
            let previous = std::mem::replace(&mut self.state, state);
            self.event(Event::State { state, previous });
        }
    }

    /// Queues one engine operation; the number identifies it until its result arrives.
    pub fn op(&mut self, peer: PeerKind, action: Action) -> Op {
        self.next_op += 1;
        let (op, generation) = (self.next_op, self.peers_of());
        self.out(Output::Engine { generation, peer, op, action });
        op
    }

    /// Sends a request to the SFU; the number identifies it until it is settled.
    pub fn request(&mut self, call: RpcCall) -> u64 {
        let (id, sent) = self.requests.begin(&call);
        if sent {
            self.counters.rpcs += 1;
            self.out(Output::Rpc { generation: self.generation, id, call });
        } else {
            self.counters.candidates_dropped += 1;
        }
        id
    }

    /// Counts an input that refers to something that no longer exists.
    pub fn late(&mut self) {
        self.counters.late_other += 1;
    }

    /// Drops a late offer: one counter, one debug line, nothing else.
    pub fn drop_offer(&mut self, why: &'static str, generation: Generation) {
        self.counters.late_offers += 1;
        self.counters.offers_while_leaving += u64::from(self.phase == Phase::Leaving || self.is_draining());
        if self.phase != Phase::Over {
            self.out(Output::Debug(why.into(), generation));
        }
    }
}
