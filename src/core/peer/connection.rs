//! What publisher and subscriber have in common: one peer connection, its candidates, and whether it carries packets
//! (ICE, RFC 8445).
//!
//! Never connected: one ICE restart after 5 s, given up after 5 s more. Lost: 2.5 s of patience, then
//! an ICE restart, then REJOIN. Must not know: the engine, sockets, who offers.

use super::candidates::{Candidates, Verdict};
use crate::core::context::{Context, Need, Settled};
use crate::core::{limits, model::*, timers::Timer, Action, Event, Op, Output, PeerChange};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Made when it is first needed.
    Absent,
    Creating(Op),
    Open,
    Closing,
    /// For good.
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LinkState {
    #[default]
    New,
    Connected,
    Disconnected,
    /// Failed or closed: only a new peer connection helps.
    Failed,
}

/// Whether packets flow.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    state: LinkState,
    ever: bool,
    /// Closed by the SFU, whose reason is still waited for.
    closed: bool,
    /// The watchdog has restarted ICE before it first connected.
    restarted: bool,
}

#[derive(Debug)]
pub(in crate::core) struct Connection {
    kind: PeerKind,
    slot: Slot,
    link: Link,
    candidates: Candidates,
    /// Local candidates that wait for the first answer, or for a socket.
    local: Vec<String>,
    /// The SFU's DTLS identity.
    identity: Option<String>,
    /// The first answer is in force on both sides.
    pub answered: bool,
    /// Negotiations in a row that failed.
    pub failures: u32,
    /// What has been tried to connect, as it was seen last; also of the one before.
    path: Path,
    /// The application was told that media is connected; the one before may have been.
    reported: bool,
}

impl Connection {
    pub fn new(kind: PeerKind, enabled: bool) -> Self {
        Self {
            kind,
            slot: if enabled { Slot::Absent } else { Slot::Closed },
            link: Link::default(),
            candidates: Candidates::default(),
            local: Vec::new(),
            identity: None,
            answered: false,
            failures: 0,
            path: Path::default(),
            reported: false,
        }
    }

    /// For a new peer connection; what was closed for good stays closed.
    pub fn restart(&mut self) {
        let (path, reported) = (std::mem::take(&mut self.path), self.reported);
        *self = Self { path, reported, ..Self::new(self.kind, !self.is_gone()) };
    }

    pub fn kind(&self) -> PeerKind {
        self.kind
    }

    pub fn name(&self) -> &'static str {
        match self.kind {
            PeerKind::Publisher => "publisher",
            PeerKind::Subscriber => "subscriber",
        }
    }

    // Its life.

    pub fn is_absent(&self) -> bool {
        self.slot == Slot::Absent
    }

    /// Nothing was offered to it, or not long enough ago.
    pub fn awaits_offer(&self) -> bool {
        self.is_absent() || self.is_creating()
    }

    pub fn is_creating(&self) -> bool {
        matches!(self.slot, Slot::Creating(_))
    }

    pub fn is_open(&self) -> bool {
        self.slot == Slot::Open
    }

    /// There is a peer connection, or one is being made.
    pub fn is_live(&self) -> bool {
        self.is_open() || self.is_creating()
    }

    pub fn is_closing(&self) -> bool {
        self.slot == Slot::Closing
    }

    /// Closed for good, or about to be.
    pub fn is_gone(&self) -> bool {
        matches!(self.slot, Slot::Closing | Slot::Closed)
    }

    pub fn create(&mut self, cx: &mut Context) {
        let ice_servers = cx.ice_servers();
        self.slot = Slot::Creating(cx.op(self.kind, Action::Create { ice_servers }));
    }

    /// Whether this is the result of [`Connection::create`]; then it is there, or can be made again.
    pub fn created(&mut self, op: Op, made: bool) -> bool {
        let ours = self.slot == Slot::Creating(op);
        if ours {
            self.slot = if made { Slot::Open } else { Slot::Absent };
        }
        ours
    }

    /// For good.
    pub fn close(&mut self, cx: &mut Context) {
        let live = self.is_live();
        if self.slot != Slot::Closing {
            self.slot = if live { Slot::Closing } else { Slot::Closed };
        }
        if live {
            cx.out(Output::ClosePeer { generation: cx.peers_of(), peer: self.kind });
        }
    }

    /// Closed to make room for another one.
    pub fn drop_live(&self, cx: &mut Context, generation: Generation) {
        if self.is_live() {
            cx.out(Output::ClosePeer { generation, peer: self.kind });
        }
    }

    /// The engine has closed what [`Connection::close`] asked it to close.
    pub fn closed(&mut self) {
        if self.slot == Slot::Closing {
            self.slot = Slot::Closed;
        }
    }

    // Its negotiation.

    /// Orders one step of the engine.
    pub fn op(&self, cx: &mut Context, action: Action) -> Op {
        cx.op(self.kind, action)
    }

    /// Remembers the identity of the first description.
    ///
    /// # Errors
    /// A later one has another: the other side has made a new peer connection, which ours cannot talk to.
    pub fn check_identity(&mut self, description: &str) -> Settled {
        match (self.identity.as_deref(), sdp::fingerprint(description)) {
            (Some(known), Some(now)) if !known.eq_ignore_ascii_case(now) => {
                Err(Need::rejoin(format!("the SFU's side of the {} is another one", self.name())))
            }
            (None, Some(now)) => {
                self.identity = Some(now.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a description is of another ICE generation than the one in force.
    pub fn begins_anew(&self, description: &str) -> bool {
        self.candidates.begins_anew(description)
    }

    /// The candidates that go to the engine together with the other side's description.
    pub fn give_candidates(&mut self, description: &str) -> Vec<String> {
        self.candidates.give(description)
    }

    /// That description was not set.
    pub fn take_candidates_back(&mut self) {
        self.candidates.take_back();
    }

    /// The other side's description is in force: so are the candidates that belong to it.
    pub fn remote_set(&mut self, cx: &mut Context, description: &str) {
        let (ready, dropped) = self.candidates.remote_set(description);
        cx.counters.candidates_dropped += dropped as u64;
        for json in ready {
            self.op(cx, Action::AddCandidate(json));
        }
    }

    /// The SFU knows our description: it begins to connect.
    pub fn first_answer(&mut self, cx: &mut Context) {
        if !std::mem::replace(&mut self.answered, true) {
            self.watch(cx);
            self.flush_local(cx);
        }
    }

    // Candidates.

    /// `unsettled`: a description is being set, which decides whether the candidate is superseded.
    pub fn on_remote_candidate(&mut self, cx: &mut Context, json: String, unsettled: bool) {
        let verdict = if unsettled { self.candidates.hold(&json) } else { self.candidates.offer(&json) };
        match verdict {
            Verdict::Add => {
                self.op(cx, Action::AddCandidate(json));
            }
            Verdict::Held => {}
            Verdict::Dropped => cx.counters.candidates_dropped += 1,
        }
    }

    /// A candidate of ours: sent once the SFU knows the description that it belongs to. `wait`: there is one that it
    /// does not know yet.
    pub fn on_local_candidate(&mut self, cx: &mut Context, json: String, wait: bool) {
        if cx.is_joined() && self.answered && !wait {
            self.trickle(cx, json);
        } else if self.local.len() < limits::HELD_MESSAGES {
            self.local.push(json);
        } else {
            cx.counters.candidates_dropped += 1;
        }
    }

    pub fn has_local(&self) -> bool {
        !self.local.is_empty()
    }

    /// Sends the candidates that waited, whether an answer is in force or not.
    pub fn send_local(&mut self, cx: &mut Context) {
        for json in std::mem::take(&mut self.local) {
            self.trickle(cx, json);
        }
    }

    /// Sends the candidates that waited for the first answer, or for a new socket.
    pub fn flush_local(&mut self, cx: &mut Context) {
        if cx.is_joined() && self.answered && !self.is_gone() {
            self.send_local(cx);
        }
    }

    fn trickle(&self, cx: &mut Context, candidate: String) {
        let session_id = cx.session_id.clone();
        cx.request(RpcCall::IceTrickle { session_id, peer: self.kind, candidate });
    }

    // Packets.

    /// It need not be replaced.
    pub fn is_healthy(&self) -> bool {
        !self.is_open() || (self.link.state != LinkState::Failed && !self.link.closed)
    }

    pub fn was_connected(&self) -> bool {
        self.link.ever
    }

    /// The watchdog waits for what it has restarted.
    pub fn is_stuck(&self) -> bool {
        self.is_open() && self.link.restarted && !self.link.ever && self.link.state == LinkState::New
    }

    pub fn on_change(&mut self, cx: &mut Context, change: PeerChange) -> Settled {
        let joined = cx.is_joined();
        match change {
            PeerChange::Connected => {
                (self.link.state, self.link.ever) = (LinkState::Connected, true);
                self.forget_timers(cx);
                self.media_up(cx);
            }
            // Before the first connection it says nothing that the watchdog does not know.
            PeerChange::Disconnected if !self.link.ever || self.link.state == LinkState::Failed => {}
            PeerChange::Disconnected => {
                self.link.state = LinkState::Disconnected;
                self.media_down(cx, "nothing arrives from the SFU any more");
                if joined {
                    cx.timers.set(Timer::IceGrace(self.kind), cx.now + cx.config.dialect.ice_grace);
                }
            }
            PeerChange::Failed => return self.failed(cx, "failed"),
            // An SFU that ends the call closes the peer connections, too; its word may come after that.
            PeerChange::Closed if joined && self.link.state != LinkState::Failed => {
                self.link.closed = true;
                cx.timers.set(Timer::PeerClosed(self.kind), cx.now + limits::CALL_ENDED_GRACE);
            }
            PeerChange::Closed => return self.on_gone(cx),
        }
        Ok(())
    }

    /// The SFU has closed it, and said nothing that would explain it.
    pub fn on_gone(&mut self, cx: &mut Context) -> Settled {
        match self.is_open() {
            true => self.failed(cx, "was closed by the SFU"),
            false => Ok(()),
        }
    }

    fn failed(&mut self, cx: &mut Context, how: &str) -> Settled {
        self.forget_timers(cx);
        if std::mem::replace(&mut self.link.state, LinkState::Failed) == LinkState::Failed {
            return Ok(());
        }
        self.media_down(cx, &format!("the peer connection {how}"));
        let why = format!("the {} peer connection {how}", self.name());
        if self.link.ever {
            return Err(Need::rejoin(why));
        }
        cx.debug(format!("{why}: {}", self.path.text));
        Err(Need::NeverConnected(why))
    }

    fn media_up(&mut self, cx: &mut Context) {
        // A connection that stays, though nothing is to be received any more, is none to the application.
        let unwanted = self.kind == PeerKind::Subscriber && cx.receive_disabled;
        if !unwanted && !std::mem::replace(&mut self.reported, true) {
            cx.event(Event::Media { direction: self.kind, connected: true, text: String::new() });
        }
    }

    /// Reported once, and only after it was reported that it is connected.
    pub fn media_down(&mut self, cx: &mut Context, why: &str) {
        if std::mem::take(&mut self.reported) {
            let path = &self.path.text;
            let text = if path.is_empty() { why.to_owned() } else { format!("{why}; {path}") };
            cx.event(Event::Media { direction: self.kind, connected: false, text });
        }
    }

    /// The old leg of a migration has played until now; what is not up in the new one is down.
    pub fn media_handed_over(&mut self, cx: &mut Context) {
        if self.link.state != LinkState::Connected {
            self.media_down(cx, "the connection that was left is closed and the new one is not up yet");
        }
    }

    /// The application closes it: its end is no news.
    pub fn media_unreported(&mut self) {
        self.reported = false;
    }

    /// A negotiated peer connection begins to connect.
    pub fn watch(&mut self, cx: &mut Context) {
        if self.link.state == LinkState::New {
            self.watch_connect(cx);
        }
    }

    fn watch_connect(&self, cx: &mut Context) {
        let at = cx.now + limits::PEER_CONNECT;
        cx.timers.set(Timer::PeerConnect(self.kind), at);
        cx.timers.set(Timer::Inspect(self.kind), at.saturating_sub(limits::INSPECT));
    }

    /// After a FAST reconnect: what was down gets as long as any ICE restart, what never came up starts anew.
    pub fn watch_again(&mut self, cx: &mut Context) {
        match self.link.state {
            _ if !self.is_open() => {}
            LinkState::Disconnected => self.await_restart(cx),
            LinkState::New if self.answered => self.watch_connect(cx),
            _ => {}
        }
    }

    fn await_restart(&self, cx: &mut Context) {
        cx.timers.set(Timer::IceRestart(self.kind), cx.now + limits::ICE_RESTART);
    }

    pub fn forget_timers(&self, cx: &mut Context) {
        for timer in [Timer::PeerConnect, Timer::Inspect, Timer::IceGrace, Timer::IceRestart, Timer::PeerClosed] {
            cx.timers.cancel(timer(self.kind));
        }
    }

    /// Patience is over: ICE anew.
    pub fn on_grace_over(&mut self, cx: &mut Context) -> Settled {
        if cx.is_joined() && self.link.state == LinkState::Disconnected {
            self.await_restart(cx);
            return Err(Need::RestartIce(self.kind));
        }
        Ok(())
    }

    pub fn on_restart_timeout(&mut self, cx: &Context) -> Settled {
        if cx.is_joined() && self.link.state == LinkState::Disconnected {
            let why = format!("an ICE restart did not bring back the {} peer connection", self.name());
            return Err(Need::rejoin(why));
        }
        Ok(())
    }

    pub fn on_connect_timeout(&mut self, cx: &mut Context) -> Settled {
        if self.kind == PeerKind::Subscriber && self.awaits_offer() {
            // The first offer was lost, or the answer's way: a resume makes the SFU say it again.
            return Err(Need::fast("the SFU did not offer anything to the subscriber"));
        }
        if !self.is_open() || self.link.state != LinkState::New {
            return Ok(());
        }
        if !std::mem::replace(&mut self.link.restarted, true) {
            self.watch_connect(cx);
            return Err(Need::RestartIce(self.kind));
        }
        self.failed(cx, "did not come up")
    }

    /// Asks what it has tried so far.
    pub fn inspect(&self, cx: &mut Context) {
        if let (Some(generation), true) = (cx.transport, self.is_open()) {
            cx.out(Output::Inspect { generation, peer: self.kind });
        }
    }

    pub fn on_path(&mut self, path: Path) {
        if self.is_open() {
            self.path = path;
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Why peer connections never connected, as far as was seen. What to do is said only where that is found.
pub(in crate::core) fn what_was_tried(of: [&Connection; 2]) -> String {
    let mut text = "peer connections in a row never connected".to_owned();
    let mut silent = false;
    for connection in of {
        let path = connection.path();
        if !path.text.is_empty() {
            text += &format!("; {}: {}", connection.name(), path.text);
            silent |= path.silent;
        }
    }
    if silent {
        text += ". Signalling works, but nothing comes back over UDP: let UDP to the SFU through, or give TURN servers";
    }
    text
}
