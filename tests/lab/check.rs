//! Rules that hold for every session after every step, whatever the simulation does.
//!
//! It sees each input before the core does and each output before the simulation does. It keeps its own small model of
//! the session and does not ask the core for its state, except for its counters.

use super::{
    check_data::DataCheck,
    view::View,
    world::{time, Ms},
};
use offhook::core::{limits, model::*, Action, Core, Event, Input, Op, Output, State};
use std::collections::{HashMap, HashSet};

/// Maximum time from Leave to Ended.
pub const LEAVE_WITHIN: Ms = 2_000;
/// Maximum ticks within one virtual second.
const MAX_TICKS: u32 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SockState {
    Opening,
    Open,
    /// The core has sent its close; it still reads.
    Closing,
    Gone,
}

#[derive(Debug)]
struct Sock {
    generation: Generation,
    state: SockState,
    session_id: String,
    join_sent: bool,
    joined: bool,
    /// Offers in order of arrival, and how many of them were passed by an answer.
    offered: Vec<u32>,
    passed: usize,
}

#[derive(Debug)]
struct Peer {
    generation: Generation,
    kind: PeerKind,
    /// Its creation failed.
    failed: bool,
    closing: bool,
    closed: bool,
    /// The negotiation step in progress.
    step: Option<(Op, &'static str)>,
}

#[derive(Debug)]
struct Try {
    tries: u32,
    under_way: bool,
    name: &'static str,
    generation: Generation,
}

pub struct Checker {
    pub broken: Option<String>,
    /// Peer connections that the application closed permanently.
    closed: Vec<PeerKind>,
    socks: Vec<Sock>,
    peers: Vec<Peer>,
    rpcs: HashMap<u64, Try>,
    newest: Generation,
    state: State,
    joined: u32,
    /// The last event was state JOINED.
    now_joined: bool,
    pub offers_in: u64,
    errors: u64,
    ended: Option<Ms>,
    finished: bool,
    left_at: Option<Ms>,
    /// Left by a leave, not by an abort.
    politely: bool,
    leave_sent: bool,
    pub sending: HashSet<u64>,
    pub bound: HashMap<u64, String>,
    pub view: View,
    /// The SFU has disconnected this session permanently, or ended the call.
    pub caused_disconnect: bool,
    pub caused_end: bool,
    ticks: (Ms, u32),
    last_session: String,
    /// The SFU names sessions, admits at its socket, and sends offers by itself.
    livekit: bool,
    /// There is only the publisher's peer connection; it stays open when either direction is closed.
    one_connection: bool,
    pub data: DataCheck,
}

impl Checker {
    pub fn new(livekit: bool, one_connection: bool) -> Self {
        Self {
            broken: None,
            closed: Vec::new(),
            socks: Vec::new(),
            peers: Vec::new(),
            rpcs: HashMap::new(),
            newest: Generation(0),
            state: State::Idle,
            joined: 0,
            now_joined: false,
            offers_in: 0,
            errors: 0,
            ended: None,
            finished: false,
            left_at: None,
            politely: false,
            leave_sent: false,
            sending: HashSet::new(),
            bound: HashMap::new(),
            view: View::default(),
            caused_disconnect: false,
            caused_end: false,
            ticks: (0, 0),
            last_session: String::new(),
            livekit,
            one_connection,
            data: DataCheck::default(),
        }
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.broken.get_or_insert(what.into());
    }

    fn sock(&mut self, generation: Generation) -> Option<&mut Sock> {
        self.socks.iter_mut().rev().find(|s| s.generation == generation)
    }

    fn peer(&mut self, generation: Generation, kind: PeerKind) -> Option<&mut Peer> {
        self.peers.iter_mut().rev().find(|p| p.generation == generation && p.kind == kind)
    }

    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn socket_is_live(&self, generation: Generation) -> bool {
        self.socks.iter().any(|s| s.generation == generation && s.state != SockState::Gone)
    }

    pub fn open_sockets(&self) -> usize {
        self.socks.iter().filter(|s| s.state == SockState::Open).count()
    }

    pub fn peer_is_live(&self, generation: Generation, kind: PeerKind) -> bool {
        self.live_peers(kind).contains(&generation)
    }

    pub fn live_peers(&self, kind: PeerKind) -> Vec<Generation> {
        let live = |p: &&Peer| p.kind == kind && !p.failed && !p.closing;
        self.peers.iter().filter(live).map(|p| p.generation).collect()
    }

    /// The edge has sent a new snapshot of the room.
    pub fn snapshot_sent(&mut self) {
        self.view.tainted = false;
    }

    pub fn tick(&mut self, now: Ms) {
        if self.ticks.0 != now / 1_000 {
            self.ticks = (now / 1_000, 0);
        }
        self.ticks.1 += 1;
        if self.ticks.1 > MAX_TICKS {
            self.fault("timers spin");
        }
        self.now_joined = false;
    }

    pub fn before(&mut self, now: Ms, input: &Input, _state: State) {
        self.now_joined = false;
        self.data.before(input);
        match input {
            Input::Message { generation, message: SfuMessage::SubscriberOffer { negotiation_id, .. } } => {
                self.offers_in += 1;
                if let Some(sock) = self.sock(*generation) {
                    sock.offered.push(*negotiation_id);
                }
            }
            Input::Message { generation, message: SfuMessage::Joined(state) } => {
                let named = !state.session_id.is_empty();
                let Some(sock) = self.sock(*generation).filter(|s| !s.joined) else { return };
                sock.joined = true;
                if named {
                    sock.session_id.clone_from(&state.session_id);
                    self.view.add_local(&state.session_id);
                }
            }
            Input::SocketOpened { generation, result } => {
                let state = if result.is_ok() { SockState::Open } else { SockState::Gone };
                if let Some(sock) = self.sock(*generation).filter(|s| s.state == SockState::Opening) {
                    sock.state = state;
                }
            }
            Input::SocketClosed { generation, .. } => {
                if let Some(sock) = self.sock(*generation).filter(|s| s.state != SockState::Opening) {
                    sock.state = SockState::Gone;
                }
            }
            Input::Rpc { generation, id, result } => {
                let Some(one) = self.rpcs.get_mut(id).filter(|r| r.generation == *generation) else { return };
                one.under_way = false;
                if result.is_ok() || one.tries >= limits::RPC_TRIES {
                    self.rpcs.remove(id);
                }
            }
            Input::Op { generation, peer, op, result } => {
                let Some(peer) = self.peer(*generation, *peer) else { return };
                let Some((_, name)) = peer.step.take_if(|(o, _)| o == op) else { return };
                if name == "create" && result.is_err() {
                    peer.failed = true;
                }
            }
            Input::PeerClosed { generation, peer } => {
                if let Some(peer) = self.peer(*generation, *peer) {
                    peer.closed = true;
                }
            }
            Input::RemoteTrackGone { id } => {
                self.bound.remove(id);
            }
            Input::ClosePeer(peer) => self.closed.push(*peer),
            Input::Leave { .. } | Input::Abort(_) if self.ended.is_none() => {
                self.left_at.get_or_insert(now);
                self.politely = matches!(input, Input::Leave { .. });
            }
            _ => {}
        }
    }

    pub fn output(&mut self, now: Ms, output: &Output) {
        if self.finished {
            return self.fault(format!("after Finished: {output:?}"));
        }
        if self.ended.is_some() && !matches!(output, Output::Finished) {
            return self.fault(format!("after the terminal event: {output:?}"));
        }
        let leaving = self.left_at.is_some();
        if let Err(what) = self.data.output(output, leaving || self.closed.contains(&PeerKind::Subscriber)) {
            self.fault(what);
        }
        match output {
            Output::NeedToken if leaving => self.fault("a token is requested while leaving"),
            Output::Admit { generation, token, .. } => {
                if leaving || token.is_empty() || *generation <= self.newest {
                    self.fault(format!("admission of {generation:?} after {:?}", self.newest));
                }
                self.newest = *generation;
            }
            Output::OpenSocket { generation, session_id, .. } => {
                let again = self.socks.iter().any(|s| s.generation >= *generation);
                if leaving || again || *generation < self.newest {
                    self.fault(format!("unexpected socket of {generation:?}"));
                }
                self.newest = *generation;
                self.view.add_local(session_id);
                self.socks.push(Sock {
                    generation: *generation,
                    state: SockState::Opening,
                    session_id: session_id.clone(),
                    join_sent: false,
                    joined: false,
                    offered: Vec::new(),
                    passed: 0,
                });
            }
            Output::Send { generation, request } => self.send(*generation, request),
            Output::CloseSocket { generation, code, .. } => {
                let (leaving, leave_sent) = (leaving, self.leave_sent);
                let Some(sock) = self.sock(*generation) else {
                    return self.fault(format!("CloseSocket of {generation:?}, which was never opened"));
                };
                let (was, joined, newest) = (sock.state, sock.joined, *generation);
                sock.state = SockState::Closing;
                // A session that is disconnected while leaving may close once more.
                if was != SockState::Open && !(was == SockState::Closing && leaving) {
                    self.fault(format!("CloseSocket of {generation:?}, which is {was:?}"));
                }
                let last = newest == self.newest;
                if leaving && joined && last && *code == 1000 && !leave_sent && self.politely && self.left_by_app() {
                    self.fault("the application left without a LeaveCallRequest on a healthy socket");
                }
            }
            Output::DropSocket { generation } => {
                if let Some(sock) = self.sock(*generation) {
                    sock.state = SockState::Gone;
                }
            }
            Output::Rpc { generation, id, call } => self.rpc(*generation, *id, call),
            Output::SendData(_) if leaving => self.fault("data is sent while leaving"),
            Output::SendData(_) => {}
            Output::Engine { generation, peer, op, action } => self.engine(*generation, *peer, *op, action),
            Output::ClosePeer { generation, peer } => {
                let kind = *peer;
                match self.peer(*generation, kind) {
                    Some(peer) if !peer.closing => peer.closing = true,
                    _ => self.fault(format!("{kind:?} of {generation:?} closed twice, or never made")),
                }
            }
            Output::Bind { id, session_id, .. } => {
                if self.closed.contains(&PeerKind::Subscriber) {
                    self.fault(format!("remote track {id} bound, and the application has closed its subscriber"));
                }
                if leaving || self.bound.insert(*id, session_id.clone()).is_some() {
                    self.fault(format!("remote track {id} bound twice, or after the end"));
                }
                if !self.view.knows(session_id) {
                    self.fault(format!("remote track {id} bound to {session_id}, which is not in the room"));
                }
            }
            Output::Unbind { id } => {
                self.bound.remove(id);
            }
            Output::Forget { id } => {
                if self.bound.contains_key(id) {
                    self.fault(format!("remote track {id} is forgotten, and still played"));
                }
            }
            Output::Sending { track, on } => {
                if *on && leaving {
                    self.fault(format!("track {track} is published while leaving"));
                }
                match on {
                    true => self.sending.insert(*track),
                    false => self.sending.remove(track),
                };
            }
            Output::Event(event) => self.event(now, event),
            Output::Finished => self.finish(),
            Output::PlayOut { id } => {
                if !self.bound.contains_key(id) {
                    self.fault(format!("remote track {id} is played out, but was not bound"));
                }
            }
            Output::Debug(..) | Output::NeedToken | Output::Inspect { .. } | Output::Drain => {}
            Output::Moderated { .. } | Output::Lifted { .. } => {}
            Output::CollectStats { .. } | Output::CommitStats { .. } | Output::FlushStats { .. } => {}
        }
    }

    fn left_by_app(&self) -> bool {
        !self.caused_end && !self.caused_disconnect
    }

    fn finish(&mut self) {
        self.finished = true;
        if self.ended.is_none() {
            self.fault("finished without the terminal event");
        }
        if let Some(peer) = self.peers.iter().find(|p| !p.failed && !p.closing) {
            let text = format!("finished; the {:?} of {:?} is not closed", peer.kind, peer.generation);
            self.fault(text);
        }
        if let Some(sock) = self.socks.iter().find(|s| s.state == SockState::Open) {
            let text = format!("finished; the socket of {:?} is not closed", sock.generation);
            self.fault(text);
        }
        if !self.sending.is_empty() || !self.bound.is_empty() {
            let text = format!("finished; still sending {:?}, still playing {:?}", self.sending, self.bound);
            self.fault(text);
        }
    }

    fn event(&mut self, now: Ms, event: &Event) {
        let after_joined = std::mem::take(&mut self.now_joined);
        match event {
            Event::State { state, previous } => {
                if *previous != self.state || state == previous {
                    self.fault(format!("state {previous:?} → {state:?}, it was {:?}", self.state));
                }
                if self.state == State::Left {
                    self.fault(format!("{state:?} after LEFT"));
                }
                if self.left_at.is_some() && *state == State::Joined {
                    self.fault("JOINED after the application had left");
                }
                self.state = *state;
                self.now_joined = *state == State::Joined;
            }
            Event::Joined { session_id, .. } => {
                self.joined += 1;
                if self.joined > 1 {
                    self.fault("joined twice");
                }
                if !after_joined || !self.is_session(session_id) {
                    self.fault("the Joined event is out of place");
                }
                self.last_session.clone_from(session_id);
            }
            Event::Reconnected { session_id, .. } => {
                if !after_joined || !self.is_session(session_id) {
                    self.fault("the Reconnected event is out of place");
                }
                self.last_session.clone_from(session_id);
            }
            Event::Error(_) | Event::LocalFailed { .. } => self.errors += 1,
            Event::Ended(_) => {
                if self.state != State::Left {
                    self.fault(format!("ended in state {:?}", self.state));
                }
                self.ended = Some(now);
                if let Some(left) = self.left_at.filter(|left| now > left + LEAVE_WITHIN) {
                    self.fault(format!("leaving took {} ms", now - left));
                }
            }
            _ => {}
        }
        if let Err(what) = self.view.event(event) {
            self.fault(what);
        }
    }

    fn is_session(&self, session_id: &str) -> bool {
        self.socks.last().is_some_and(|s| s.session_id == session_id)
    }

    fn send(&mut self, generation: Generation, request: &SfuRequest) {
        let last = self.last_session.clone();
        let Some(sock) = self.sock(generation) else {
            return self.fault(format!("a message on {generation:?}, which has no socket"));
        };
        if sock.state != SockState::Open {
            let state = sock.state;
            return self.fault(format!("a message on the socket of {generation:?}, which is {state:?}: {request:?}"));
        }
        let session_id = sock.session_id.clone();
        let (joined, join_sent) = (sock.joined, sock.join_sent);
        match request {
            SfuRequest::Join(request) => {
                sock.join_sent = true;
                let is_fast = request.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Fast);
                let is_migrate = request.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Migrate);
                let is_rejoin = request.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Rejoin);
                if join_sent || request.session_id != session_id {
                    self.fault("JoinRequest at the wrong moment or for another session");
                }
                if (is_fast || is_migrate) && request.session_id != last {
                    self.fault(format!("{} is not the session to keep, {last} is", request.session_id));
                }
                if is_rejoin && request.session_id == last {
                    self.fault("a REJOIN under the old session id");
                }
                if self.joined > 0 && request.reconnect.is_none() {
                    self.fault("a second JoinRequest without reconnect details");
                }
            }
            SfuRequest::Health if !joined => self.fault("a ping before JoinResponse"),
            SfuRequest::Health => {}
            SfuRequest::Leave { reason, session_id: left_session } => {
                if reason.len() > limits::LEAVE_REASON || *left_session != session_id {
                    self.fault("a leave message that is too long, or of another session");
                }
                self.leave_sent = true;
            }
        }
    }

    fn rpc(&mut self, generation: Generation, id: u64, call: &RpcCall) {
        let name = call.name();
        let (session_id, peer) = match call {
            RpcCall::SetPublisher { session_id, .. } => (session_id, Some(PeerKind::Publisher)),
            RpcCall::SendAnswer { session_id, .. } => (session_id, Some(PeerKind::Subscriber)),
            RpcCall::IceTrickle { session_id, peer, .. } | RpcCall::IceRestart { session_id, peer } => {
                (session_id, Some(*peer))
            }
            RpcCall::UpdateSubscriptions { session_id, .. }
            | RpcCall::UpdateMuteStates { session_id, .. }
            | RpcCall::UpdateSelf { session_id, .. }
            | RpcCall::SendStats { session_id, .. } => (session_id, None),
        };
        if self.left_at.is_some() {
            self.fault(format!("{name} while leaving"));
        }
        if self.livekit && name == "IceRestart" {
            self.fault("IceRestart is sent, which this protocol does not have");
        }
        let Some(sock) = self.sock(generation) else {
            return self.fault(format!("{name} of {generation:?}, which has no socket"));
        };
        if sock.state != SockState::Open || !sock.joined || sock.session_id != *session_id {
            let (state, of) = (sock.state, sock.session_id.clone());
            return self.fault(format!("{name} of {generation:?}: its socket is {state:?}, its session {of}"));
        }
        if let RpcCall::SendAnswer { negotiation_id, .. } = call {
            let sock_passed = sock.passed;
            let again = self.rpcs.contains_key(&id);
            if let (false, Some(sock)) = (again, self.sock(generation)) {
                // In the order of the offers, each at most once; failed and late ones are skipped.
                match sock.offered[sock_passed..].iter().position(|o| o == negotiation_id) {
                    Some(at) => sock.passed += at + 1,
                    None => {
                        self.fault(format!("offer {negotiation_id} is answered out of order, twice, or never came"))
                    }
                }
            }
        }
        if let Some(kind) = peer {
            let asks_for_one = name == "IceRestart";
            if self.is_shut(kind) || (self.live_peers(kind).is_empty() && !asks_for_one) {
                self.fault(format!("{name} without a {kind:?}"));
            }
        }
        let entry = self.rpcs.entry(id).or_insert(Try { tries: 0, under_way: false, name, generation });
        entry.tries += 1;
        let busy = std::mem::replace(&mut entry.under_way, true);
        if entry.tries > limits::RPC_TRIES || busy || entry.generation != generation {
            let tries = entry.tries;
            self.fault(format!("{name} {id}: try {tries} without need"));
        }
        if matches!(name, "SetPublisher" | "SendAnswer" | "UpdateMuteStates") {
            let twin = |(i, r): (&u64, &Try)| *i != id && r.under_way && r.name == name && r.generation == generation;
            if self.rpcs.iter().any(twin) {
                self.fault(format!("two requests {name} at once"));
            }
        }
    }

    /// Closed permanently. Where the SFU treats the subscriber's connection as the participant's, it stays open and
    /// receives nothing.
    fn is_shut(&self, kind: PeerKind) -> bool {
        self.closed.contains(&kind) && !(self.livekit && kind == PeerKind::Subscriber) && !self.one_connection
    }

    fn engine(&mut self, generation: Generation, kind: PeerKind, op: Op, action: &Action) {
        let name = action.name();
        if self.left_at.is_some() {
            self.fault(format!("{name} of the {kind:?} while leaving"));
        }
        if self.one_connection && kind == PeerKind::Subscriber {
            self.fault(format!("{name} of a subscriber, and the publisher's peer connection carries both directions"));
        }
        if self.is_shut(kind) {
            self.fault(format!("{name} of the {kind:?}, which the application has closed"));
        }
        if matches!(action, Action::Create { .. }) {
            let again = self.peers.iter().any(|p| p.generation == generation && p.kind == kind && !p.failed);
            if again || self.live_peers(kind).len() >= 2 {
                self.fault(format!("{kind:?} of {generation:?} is one too many"));
            }
            self.peers.retain(|p| !(p.generation == generation && p.kind == kind));
            let step = Some((op, name));
            return self.peers.push(Peer { generation, kind, failed: false, closing: false, closed: false, step });
        }
        let Some(peer) = self.peer(generation, kind).filter(|p| !p.failed) else {
            return self.fault(format!("{name}: there is no {kind:?} of {generation:?}"));
        };
        if peer.closing || peer.closed {
            return self.fault(format!("{name} on the {kind:?} of {generation:?}, which is closed"));
        }
        if matches!(action, Action::AddCandidate(_)) {
            return;
        }
        if let Some((_, busy)) = peer.step.replace((op, name)) {
            self.fault(format!("{name} of the {kind:?} of {generation:?} while '{busy}' is under way"));
        }
    }

    pub fn after(&mut self, now: Ms, core: &Core) {
        if core.is_over() && (!self.finished || core.deadline().is_some()) {
            self.fault("ended, but not finished");
        }
        if !core.is_over() && core.state() != State::Idle && core.deadline().is_none() && self.has_no_pending_attempt()
        {
            self.fault("it waits for nothing: it could hang");
        }
        if core.deadline().is_some_and(|d| d > time(now + 130_000)) {
            self.fault("a deadline far away");
        }
        let counters = core.counters();
        if counters.error_events != self.errors {
            self.fault(format!("{} errors reported, {} counted", self.errors, counters.error_events));
        }
        let done = counters.offers_answered + counters.offers_failed + counters.late_offers;
        let waiting = self.offers_in.saturating_sub(done);
        if done > self.offers_in || (self.finished && waiting > 0) || waiting > 130 {
            self.fault(format!("{} offers came, {done} are accounted for: {counters:?}", self.offers_in));
        }
    }

    /// No admission and no socket is pending.
    fn has_no_pending_attempt(&self) -> bool {
        let newest = self.newest;
        let waiting = |s: &Sock| s.state == SockState::Opening || s.state == SockState::Closing;
        let admitted = self.socks.iter().any(|s| s.generation == newest);
        admitted && !self.socks.iter().any(waiting) && self.state != State::Left
    }
}
