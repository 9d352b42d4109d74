//! Rules that hold for every call after every step, whatever the environment does.
//!
//! The checker sees each input before the core does and each output as it is emitted. It keeps its own small model of
//! the call and does not ask the core for its state, except for what is still queued.

use super::sim::{action_name, event};
use crate::core::{limits, model::*, *};
use std::{collections::HashMap, collections::HashSet, time::Duration};

/// Maximum outputs of one step: the longest lists that tests send, and their consequences.
const MAX_OUTPUTS: usize = 4_000;

#[derive(Default)]
struct PeerPicture {
    /// True from the Create action until Create fails.
    live: bool,
    ever: bool,
    closed: bool,
    /// The engine step of the negotiation in progress.
    step: Option<(Op, &'static str)>,
    remote_set: bool,
    /// Id of the SetPublisher or SendAnswer in progress.
    asking: Option<u64>,
}

#[derive(Default)]
pub struct Checker {
    /// The first violated rule.
    pub fault: Option<String>,
    /// The readable schedule; recorded on request only.
    pub trace: Option<Vec<String>>,
    generation: Generation,
    opened: bool,
    joined: bool,
    leaving_since: Option<Duration>,
    outputs: usize,
    /// Keyed by the attempt that created them.
    peers: HashMap<(Generation, PeerKind), PeerPicture>,
    /// The attempt whose peer connections are in use.
    transport: Generation,
    /// Closed sockets.
    closed: HashSet<Generation>,
    /// Peer connections that the application closed permanently.
    gone: HashSet<PeerKind>,
    /// Tries of each unsettled RPC; `true` while one is in progress.
    tries: HashMap<u64, (u32, bool, &'static str)>,
    offers_in: u64,
    offered: Vec<u32>,
    answered: usize,
    bound: HashSet<RemoteId>,
    errors: u64,
    /// URL and code of the reported failures of ICE servers.
    ice_servers: HashSet<(String, u16)>,
    /// Last reported media state of publisher and subscriber.
    media: [bool; 2],
    ended: u32,
    finished: bool,
    created_by_join: u32,
}

impl Checker {
    pub fn traced() -> Self {
        Self { trace: Some(Vec::new()), ..Self::default() }
    }

    fn fault(&mut self, what: impl Into<String>) {
        let what = what.into();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("         BROKEN: {what}"));
        }
        self.fault.get_or_insert(what);
    }

    pub fn assert_rules_hold(&self) {
        if let Some(fault) = &self.fault {
            panic!("{fault}");
        }
    }

    /// `input: None` is a timer tick.
    pub fn before(&mut self, core: &Core, now: Duration, input: Option<&Input>) {
        if let Some(trace) = &mut self.trace {
            let text = input.map_or("tick".to_owned(), |i| format!("{i:?}"));
            let short: String = text.chars().take(300).collect();
            trace.push(format!("{:>8} > {short}", now.as_millis()));
        }
        self.outputs = 0;
        match input {
            Some(Input::Drain { .. }) => {
                self.gone.insert(PeerKind::Subscriber);
            }
            Some(Input::ClosePeer(peer)) => {
                self.media[*peer as usize] = false;
                self.gone.insert(*peer);
            }
            Some(Input::Message { generation, message: SfuMessage::SubscriberOffer { negotiation_id, .. } }) => {
                self.offers_in += 1;
                if *generation == core.generation() {
                    self.offered.push(*negotiation_id);
                }
            }
            Some(Input::Op { generation, peer, op, result }) => {
                let in_use = Some(*generation) == core.cx.transport;
                let Some(picture) = self.peers.get_mut(&(*generation, *peer)) else { return };
                let Some((_, name)) = picture.step.filter(|(o, _)| o == op) else { return };
                picture.step = None;
                match (name, result) {
                    // The result of Create is ignored for a connection that is no longer in use.
                    ("Create", Err(_)) if !picture.closed && in_use => picture.live = false,
                    ("Answer" | "SetAnswer", Ok(_)) => picture.remote_set = true,
                    _ => {}
                }
            }
            Some(Input::Rpc { generation, id, result }) if *generation == self.generation => {
                let Some((tries, under_way, name)) = self.tries.get_mut(id) else { return };
                *under_way = false;
                let (tries, name) = (*tries, *name);
                if result.is_ok() || tries >= limits::RPC_TRIES {
                    self.tries.remove(id);
                }
                if name == "SetPublisher" || name == "SendAnswer" {
                    for picture in self.peers.values_mut() {
                        picture.asking = picture.asking.filter(|i| i != id);
                    }
                }
            }
            _ => {}
        }
    }

    pub fn output(&mut self, now: Duration, output: &Output) {
        if let Some(trace) = &mut self.trace {
            let text = format!("{output:?}");
            let short: String = text.chars().take(200).collect();
            trace.push(format!("{:>8}     < {short}", now.as_millis()));
        }
        self.outputs += 1;
        if self.outputs == MAX_OUTPUTS {
            self.fault("one step gives more and more outputs");
        }
        if self.finished {
            return self.fault(format!("after Finished: {output:?}"));
        }
        if self.ended > 0 && !matches!(output, Output::Finished) {
            return self.fault(format!("after the terminal event: {output:?}"));
        }
        let dead = self.leaving_since.is_some();
        if let Some(event) = event(output) {
            return self.event(event);
        }
        match output {
            Output::Admit { generation, token, .. } => {
                if dead || token.is_empty() || generation.0 != self.generation.0 + 1 {
                    self.fault(format!("admission of {generation:?} after {:?}", self.generation));
                }
                self.next_generation(*generation);
            }
            Output::OpenSocket { generation, .. } => {
                // FAST needs no admission.
                if self.opened && generation.0 == self.generation.0 + 1 {
                    self.next_generation(*generation);
                }
                if dead || self.opened || *generation != self.generation {
                    self.fault(format!("unexpected {output:?}"));
                }
                (self.opened, self.created_by_join) = (true, 0);
            }
            Output::Send { generation, request } => self.send(*generation, request, dead),
            Output::CloseSocket { generation, .. } => {
                self.closed.insert(*generation);
            }
            // A socket that was opened for an attempt that does not exist.
            Output::DropSocket { generation }
                if *generation > self.generation || *generation == self.generation && !self.opened => {}
            Output::DropSocket { generation } => {
                self.closed.insert(*generation);
                if *generation == self.generation {
                    // Pending RPCs on this socket cannot be answered any more.
                    for picture in self.peers.values_mut() {
                        picture.asking = None;
                    }
                }
            }
            Output::Rpc { generation, id, call } => self.rpc(*generation, *id, call, dead),
            Output::Engine { generation, peer, op, action } => {
                if *generation != self.transport {
                    self.fault(format!("an engine step of {generation:?}, in use is {:?}", self.transport));
                }
                if dead || !self.joined {
                    self.fault(format!("an engine step in a call that is not joined: {output:?}"));
                }
                self.engine(*peer, *op, action);
            }
            Output::ClosePeer { generation, peer } => {
                let picture = self.peers.entry((*generation, *peer)).or_default();
                if !picture.live || std::mem::replace(&mut picture.closed, true) {
                    self.fault(format!("{peer:?} closed twice, or never made"));
                }
            }
            Output::Bind { id, .. } if dead || self.gone.contains(&PeerKind::Subscriber) || !self.bound.insert(*id) => {
                self.fault(format!("remote track {id} bound twice, or after the end"));
            }
            Output::Unbind { id } => {
                self.bound.remove(id);
            }
            Output::Forget { id } if self.bound.contains(id) => {
                self.fault(format!("remote track {id} is forgotten, and still played"));
            }
            Output::Sending { on: true, track } if dead || self.gone.contains(&PeerKind::Publisher) => {
                self.fault(format!("track {track} is published after the end"));
            }
            Output::NeedToken if dead => self.fault("a token is requested after the end"),
            Output::Finished => {
                self.finished = true;
                if self.ended != 1 {
                    self.fault("finished without the terminal event");
                }
                if self.peers.values().any(|p| p.live && !p.closed) {
                    self.fault("finished with an open peer connection");
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, event: &Event) {
        if let Event::Media { direction, connected, text } = event {
            let reported = &mut self.media[*direction as usize];
            if std::mem::replace(reported, *connected) == *connected || connected != &text.is_empty() {
                self.fault(format!("media out of turn: {event:?}"));
            }
        }
        match event {
            Event::Joined { .. } => {
                if self.joined || self.leaving_since.is_some() {
                    self.fault("joined twice, or after the end");
                }
                self.joined = true;
            }
            Event::Error(_) | Event::LocalFailed { .. } => {
                self.errors += 1;
                if self.leaving_since.is_some() && matches!(event, Event::Error(_)) {
                    self.fault("an error is reported while leaving");
                }
            }
            Event::IceServer(failure) => {
                let remembered = self.ice_servers.len() < limits::ICE_SERVER_FAILURES;
                let new = self.ice_servers.insert((failure.url.clone(), failure.code));
                if !new && remembered || self.leaving_since.is_some() {
                    self.fault(format!("reported twice, or while leaving: {event:?}"));
                }
            }
            Event::Ended(_) => {
                self.ended += 1;
                if self.ended > 1 {
                    self.fault("two terminal events");
                }
            }
            _ => {}
        }
    }

    fn current(&mut self, generation: Generation, what: &str) {
        if generation != self.generation {
            self.fault(format!("{what} of {generation:?}, current is {:?}", self.generation));
        }
    }

    /// A new attempt: offer and request numbers start again.
    fn next_generation(&mut self, generation: Generation) {
        (self.generation, self.opened, self.answered) = (generation, false, 0);
        self.offered.clear();
        self.tries.clear();
        for picture in self.peers.values_mut() {
            picture.asking = None;
        }
    }

    fn send(&mut self, generation: Generation, request: &SfuRequest, dead: bool) {
        // The old socket of a migration may still send a leave message.
        if !matches!(request, SfuRequest::Leave { .. }) {
            self.current(generation, "Send");
        }
        if self.closed.contains(&generation) {
            self.fault(format!("{request:?} on a closed socket"));
        }
        match request {
            SfuRequest::Join(join) => {
                if join.reconnect.as_ref().is_none_or(|r| r.strategy != Strategy::Fast) {
                    self.transport = generation;
                }
                self.created_by_join += 1;
                if dead || !self.opened || self.created_by_join > 1 {
                    self.fault("JoinRequest at the wrong moment");
                }
            }
            SfuRequest::Health if dead || !self.joined => self.fault("a ping outside of the call"),
            SfuRequest::Leave { reason, .. } => {
                if dead || reason.len() > limits::LEAVE_REASON {
                    self.fault("a leave message after the close, or too long");
                }
            }
            SfuRequest::Health => {}
        }
    }

    fn rpc(&mut self, generation: Generation, id: u64, call: &RpcCall, dead: bool) {
        self.current(generation, "RPC");
        if self.closed.contains(&generation) {
            self.fault(format!("{call:?} for a dead generation"));
        }
        let name = call.name();
        if dead || !self.joined {
            self.fault(format!("{name} in a call that is not joined"));
        }
        let entry = self.tries.entry(id).or_insert((0, false, name));
        entry.0 += 1;
        let (tries, under_way) = (entry.0, std::mem::replace(&mut entry.1, true));
        if tries > limits::RPC_TRIES || under_way {
            self.fault(format!("{name} {id}: try {tries} without need"));
        }
        let peer = match call {
            RpcCall::SetPublisher { .. } => PeerKind::Publisher,
            RpcCall::SendAnswer { .. } => PeerKind::Subscriber,
            RpcCall::IceTrickle { peer, .. } | RpcCall::IceRestart { peer, .. } => *peer,
            _ => PeerKind::Publisher,
        };
        // Mute states and subscriptions belong to the session, not to a peer connection.
        let about_peer = !matches!(call, RpcCall::UpdateMuteStates { .. } | RpcCall::UpdateSubscriptions { .. });
        let transport = self.transport;
        if about_peer && self.peers.get(&(transport, peer)).is_some_and(|p| p.closed) {
            self.fault(format!("{name} for a closed {peer:?}"));
        }
        if matches!(call, RpcCall::UpdateMuteStates { .. })
            && self
                .tries
                .iter()
                .filter(|(i, (_, live, name))| **i != id && *live && *name == "UpdateMuteStates")
                .count()
                > 0
        {
            self.fault("two mute requests at once");
        }
        if name == "SetPublisher" || name == "SendAnswer" {
            let picture = self.peers.entry((transport, peer)).or_default();
            let busy = picture.step.is_some() || picture.asking.is_some_and(|i| i != id);
            picture.asking = Some(id);
            if busy {
                self.fault(format!("{name} overlaps with another negotiation"));
            }
        }
        if let (RpcCall::SendAnswer { negotiation_id, .. }, 1) = (call, tries) {
            // In the order of the offers, each at most once; failed offers are skipped.
            match self.offered[self.answered..].iter().position(|o| o == negotiation_id) {
                Some(at) => self.answered += at + 1,
                None => self.fault(format!("offer {negotiation_id} answered out of order, or twice")),
            }
        }
    }

    fn engine(&mut self, peer: PeerKind, op: Op, action: &Action) {
        let name = action_name(action);
        let picture = self.peers.entry((self.transport, peer)).or_default();
        if picture.closed {
            return self.fault(format!("{name} on a closed {peer:?}"));
        }
        let candidates = match action {
            Action::AddCandidate(json) => std::slice::from_ref(json),
            Action::Answer { candidates, .. } => &candidates[..],
            _ => &[],
        };
        let early = name == "AddCandidate" && !picture.remote_set;
        let foreign = match peer {
            PeerKind::Publisher => "candidate:Subscriber",
            PeerKind::Subscriber => "candidate:Publisher",
        };
        if early || candidates.iter().any(|json| json.contains(foreign)) {
            return self.fault(format!("candidate too early or on the wrong peer connection: {peer:?} {action:?}"));
        }
        if name == "AddCandidate" {
            return;
        }
        let busy = picture.step.replace((op, name));
        if busy.is_some() || picture.asking.is_some() {
            return self.fault(format!("{name} of the {peer:?} while {busy:?} is under way"));
        }
        let creates = name == "Create";
        if creates == picture.live {
            return self.fault(format!("{name}: {peer:?} is made twice or never"));
        }
        (picture.live, picture.ever) = (true, true);
    }

    pub fn after(&mut self, core: &Core, now: Duration) {
        let over = matches!(core.cx.phase, Phase::Leaving | Phase::Over);
        if over && self.leaving_since.is_none() {
            self.leaving_since = Some(now);
        }
        if self.joined && core.state() == State::Joining {
            self.fault("a joined call went back to joining");
        }
        if core.cx.is_open() && self.joined && core.cx.phase != Phase::Offline && core.deadline().is_none() {
            // The code that performs admission and socket opening enforces their timeouts.
            if !matches!(core.cx.phase, Phase::Admitting | Phase::Opening) {
                self.fault("a call that reconnects waits for nothing: it could hang");
            }
        }
        if let Some(since) = self.leaving_since {
            if !over {
                self.fault("a call that was leaving came back");
            }
            if core.cx.phase == Phase::Leaving && core.deadline().is_none_or(|d| d > since + limits::LEAVE) {
                self.fault("a call that is leaving has no end in sight");
            }
        }
        if core.is_over() && (!self.finished || core.deadline().is_some()) {
            self.fault("ended, but not finished");
        }
        if core.state() == State::Joined && core.deadline().is_none() {
            self.fault("a joined call waits for nothing: it could hang");
        }
        let counters = core.counters();
        if counters.error_events != self.errors {
            self.fault(format!("{} errors reported, {} counted", self.errors, counters.error_events));
        }
        let done = counters.offers_answered + counters.offers_failed + counters.late_offers;
        let waiting = core.offers_waiting() as u64;
        if done + waiting != self.offers_in {
            self.fault(format!(
                "{} offers came, but {} answered + {} failed + {} late + {waiting} waiting",
                self.offers_in, counters.offers_answered, counters.offers_failed, counters.late_offers
            ));
        }
        if waiting as usize > 2 * limits::QUEUED_OFFERS + 1 {
            self.fault("offers pile up");
        }
        if self.leaving_since.is_some() && waiting != 0 {
            self.fault("offers wait in a call that is leaving");
        }
    }

    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn offers_in(&self) -> u64 {
        self.offers_in
    }
}
