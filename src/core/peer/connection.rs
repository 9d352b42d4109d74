//! Common to publisher and subscriber: one peer connection, its candidates and its connectivity (ICE, RFC 8445).
//!
//! If it never connects: one ICE restart after 5 s, failed after 5 s more. If it is lost: the protocol's grace period,
//! then an ICE restart, then REJOIN. Must not know: the engine, sockets, who offers.

use super::candidates::{Candidates, Verdict};
use crate::core::context::{Context, Need, Settled};
use crate::core::{limits, model::*, timers::Timer, Action, Event, Op, Output, PeerChange};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Created when first needed.
    Absent,
    Creating(Op),
    Open,
    Closing,
    /// Permanently.
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LinkState {
    #[default]
    New,
    Connected,
    Disconnected,
    /// Failed or closed: a new peer connection is needed.
    Failed,
}

/// Connectivity of the peer connection.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    state: LinkState,
    ever: bool,
    /// Closed by the SFU; its reason may still arrive.
    closed: bool,
    /// The watchdog restarted ICE before the first connection.
    restarted: bool,
}

#[derive(Debug)]
pub(in crate::core) struct Connection {
    kind: PeerKind,
    slot: Slot,
    link: Link,
    candidates: Candidates,
    /// Local candidates that wait for the first answer or for a socket.
    local: Vec<String>,
    /// The SFU's DTLS identity.
    identity: Option<String>,
    /// The first answer is set on both sides.
    pub answered: bool,
    /// Consecutive failed negotiations.
    pub failures: u32,
    /// The last report of the connection attempt; may be from the previous peer connection.
    path: Path,
    /// Directions of which connected media was reported to the application, possibly for the previous peer connection.
    reported: Vec<PeerKind>,
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
            reported: Vec::new(),
        }
    }

    /// Resets for a new peer connection, or for none.
    pub fn restart(&mut self, enabled: bool) {
        let (path, reported) = (std::mem::take(&mut self.path), std::mem::take(&mut self.reported));
        *self = Self { path, reported, ..Self::new(self.kind, enabled) };
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

    // Lifecycle.

    pub fn is_absent(&self) -> bool {
        self.slot == Slot::Absent
    }

    /// Not created yet, or still being created: no offer has been applied.
    pub fn awaits_offer(&self) -> bool {
        self.is_absent() || self.is_creating()
    }

    pub fn is_creating(&self) -> bool {
        matches!(self.slot, Slot::Creating(_))
    }

    pub fn is_open(&self) -> bool {
        self.slot == Slot::Open
    }

    /// A peer connection exists or is being created.
    pub fn is_live(&self) -> bool {
        self.is_open() || self.is_creating()
    }

    pub fn is_closing(&self) -> bool {
        self.slot == Slot::Closing
    }

    /// Permanently closed or closing.
    pub fn is_gone(&self) -> bool {
        matches!(self.slot, Slot::Closing | Slot::Closed)
    }

    pub fn create(&mut self, cx: &mut Context) {
        let ice_servers = cx.ice_servers();
        self.slot = Slot::Creating(cx.op(self.kind, Action::Create { ice_servers }));
    }

    /// True if this is the result of [`Connection::create`]. The connection is then open, or can be created again.
    pub fn created(&mut self, op: Op, made: bool) -> bool {
        let ours = self.slot == Slot::Creating(op);
        if ours {
            self.slot = if made { Slot::Open } else { Slot::Absent };
        }
        ours
    }

    /// Closes it permanently.
    pub fn close(&mut self, cx: &mut Context) {
        let live = self.is_live();
        if self.slot != Slot::Closing {
            self.slot = if live { Slot::Closing } else { Slot::Closed };
        }
        if live {
            cx.out(Output::ClosePeer { generation: cx.peers_of(), peer: self.kind });
        }
    }

    /// Closes it so that a new one can replace it.
    pub fn drop_live(&self, cx: &mut Context, generation: Generation) {
        if self.is_live() {
            cx.out(Output::ClosePeer { generation, peer: self.kind });
        }
    }

    /// The engine has closed the connection, as requested by [`Connection::close`].
    pub fn closed(&mut self) {
        if self.slot == Slot::Closing {
            self.slot = Slot::Closed;
        }
    }

    // Negotiation.

    /// Queues one engine operation.
    pub fn op(&self, cx: &mut Context, action: Action) -> Op {
        cx.op(self.kind, action)
    }

    /// Stores the DTLS identity of the first description.
    ///
    /// # Errors
    /// A later description has another identity: the SFU has created a new peer connection, to which the local one
    /// cannot connect.
    pub fn check_identity(&mut self, description: &str) -> Settled {
        match (self.identity.as_deref(), sdp::fingerprint(description)) {
            (Some(known), Some(now)) if !known.eq_ignore_ascii_case(now) => {
                Err(Need::rejoin(format!("the SFU has created a new {} peer connection", self.name())))
            }
            (None, Some(now)) => {
                self.identity = Some(now.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// True if a description starts another ICE generation than the current one.
    pub fn begins_anew(&self, description: &str) -> bool {
        self.candidates.begins_anew(description)
    }

    /// The candidates to pass to the engine together with the remote description.
    pub fn give_candidates(&mut self, description: &str) -> Vec<String> {
        self.candidates.give(description)
    }

    /// The remote description was not set.
    pub fn take_candidates_back(&mut self) {
        self.candidates.take_back();
    }

    /// The remote description is set: adds the candidates that belong to it.
    pub fn remote_set(&mut self, cx: &mut Context, description: &str) {
        let (ready, dropped) = self.candidates.remote_set(description);
        cx.counters.candidates_dropped += dropped as u64;
        for json in ready {
            self.op(cx, Action::AddCandidate(json));
        }
    }

    /// The SFU has the local description: connecting starts.
    pub fn first_answer(&mut self, cx: &mut Context) {
        if !std::mem::replace(&mut self.answered, true) {
            self.watch(cx);
            self.flush_local(cx);
        }
    }

    // Candidates.

    /// `unsettled`: a description is being set that decides whether the candidate is superseded.
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

    /// Handles a local candidate. It is sent once the SFU has the description that it belongs to. `wait`: there is one
    /// that the SFU does not have yet.
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

    /// Sends the held candidates, whether or not an answer is set.
    pub fn send_local(&mut self, cx: &mut Context) {
        for json in std::mem::take(&mut self.local) {
            self.trickle(cx, json);
        }
    }

    /// Sends the candidates that waited for the first answer or for a new socket.
    pub fn flush_local(&mut self, cx: &mut Context) {
        if cx.is_joined() && self.answered && !self.is_gone() {
            self.send_local(cx);
        }
    }

    fn trickle(&self, cx: &mut Context, candidate: String) {
        let session_id = cx.session_id.clone();
        cx.request(RpcCall::IceTrickle { session_id, peer: self.kind, candidate });
    }

    // Connectivity.

    /// It does not need to be replaced.
    pub fn is_healthy(&self) -> bool {
        !self.is_open() || (self.link.state != LinkState::Failed && !self.link.closed)
    }

    pub fn was_connected(&self) -> bool {
        self.link.ever
    }

    /// Waiting for the result of the watchdog's ICE restart.
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
            // Before the first connection this adds nothing to the watchdog.
            PeerChange::Disconnected if !self.link.ever || self.link.state == LinkState::Failed => {}
            PeerChange::Disconnected => {
                self.link.state = LinkState::Disconnected;
                self.media_down(cx, "no packets from the SFU");
                if joined {
                    cx.timers.set(Timer::IceGrace(self.kind), cx.now + cx.config.dialect.ice_grace);
                }
            }
            PeerChange::Failed => return self.failed(cx, "failed"),
            // An SFU that ends the call also closes the peer connections; its message may arrive after that.
            PeerChange::Closed if joined && self.link.state != LinkState::Failed => {
                self.link.closed = true;
                cx.timers.set(Timer::PeerClosed(self.kind), cx.now + limits::CALL_ENDED_GRACE);
            }
            PeerChange::Closed => return self.on_gone(cx),
        }
        Ok(())
    }

    /// The SFU closed it and sent no reason.
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
        for direction in [PeerKind::Publisher, PeerKind::Subscriber] {
            // A direction that stays open although the application has closed it is not reported.
            let closed = match direction {
                PeerKind::Publisher => cx.send_disabled,
                PeerKind::Subscriber => cx.receive_disabled,
            };
            let carried = direction == self.kind || cx.one_connection;
            if carried && !closed && !self.reported.contains(&direction) {
                self.reported.push(direction);
                cx.event(Event::Media { direction, connected: true, text: String::new() });
            }
        }
    }

    /// Reports disconnected media once, and only after connected media was reported.
    pub fn media_down(&mut self, cx: &mut Context, why: &str) {
        for direction in std::mem::take(&mut self.reported) {
            let path = &self.path.text;
            let text = if path.is_empty() { why.to_owned() } else { format!("{why}; {path}") };
            cx.event(Event::Media { direction, connected: false, text });
        }
    }

    /// The old leg of a migration has played until now: if the new connection is not up, media is disconnected.
    pub fn media_handed_over(&mut self, cx: &mut Context) {
        if self.link.state != LinkState::Connected {
            self.media_down(cx, "the old connection was closed and the new one is not connected yet");
        }
    }

    /// The application closes this direction: do not report its end.
    pub fn media_unreported(&mut self, direction: PeerKind) {
        self.reported.retain(|known| *known != direction);
    }

    /// Starts the connect watchdog of a negotiated peer connection.
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

    /// After a FAST reconnect: a lost connection gets the time of an ICE restart; one that never connected starts
    /// again.
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

    /// The grace period is over: restart ICE.
    pub fn on_grace_over(&mut self, cx: &mut Context) -> Settled {
        if cx.is_joined() && self.link.state == LinkState::Disconnected {
            self.await_restart(cx);
            return Err(Need::RestartIce(self.kind));
        }
        Ok(())
    }

    pub fn on_restart_timeout(&mut self, cx: &Context) -> Settled {
        if cx.is_joined() && self.link.state == LinkState::Disconnected {
            let why = format!("an ICE restart did not restore the {} peer connection", self.name());
            return Err(Need::rejoin(why));
        }
        Ok(())
    }

    pub fn on_connect_timeout(&mut self, cx: &mut Context) -> Settled {
        if self.kind == PeerKind::Subscriber && self.awaits_offer() {
            // The first offer or the answer was lost: a resume makes the SFU send the offer again.
            return Err(Need::fast("the SFU did not offer anything to the subscriber"));
        }
        if !self.is_open() || self.link.state != LinkState::New {
            return Ok(());
        }
        if !std::mem::replace(&mut self.link.restarted, true) {
            self.watch_connect(cx);
            return Err(Need::RestartIce(self.kind));
        }
        self.failed(cx, "did not connect")
    }

    /// Requests a report of the connection attempt.
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

/// Why peer connections never connected, as far as known. Advice is given only if the cause is known.
pub(in crate::core) fn what_was_tried(of: [&Connection; 2]) -> String {
    let mut text = "consecutive peer connections never connected".to_owned();
    let mut silent = false;
    for connection in of {
        let path = connection.path();
        if !path.text.is_empty() {
            text += &format!("; {}: {}", connection.name(), path.text);
            silent |= path.silent;
        }
    }
    if silent {
        text += ". Signalling works, but no UDP packets are received: allow UDP to the SFU, or configure TURN servers";
    }
    text
}
