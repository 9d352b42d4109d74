//! One peer connection without a clock, a socket or a task. Inputs: datagrams, time and commands. Outputs: datagrams,
//! events and the next deadline.
//!
//! Part of the engine's module. Works around the engine's bugs and gaps on the wire. Must not know: who calls,
//! observers, tokio.

use super::super::candidate;
use super::super::engine::*;
use super::super::link::Port;
use super::super::stun::{nominates, transaction};
use super::super::trace::Trace;
use super::channels::Channels;
use super::crypto::{Records, Watched, APPLICATION, HANDSHAKE};
use super::gather::Gather;
use super::gathering::{has_local_server, servers};
use super::handshake::{gives_up, Flight, SeenMessages};
use super::inbound::{Inbound, InboundEvent};
use super::links::StreamEnd;
use super::media::{media_engine, setting_engine, Server};
use super::negotiate::Negotiation;
use super::nominate::nomination;
use super::relay::{meaning, Relay, RelayOutput, NO_ANSWER};
use super::tcp::TcpPairs;
use super::writer::SenderState;
use super::{described, error};
use crate::core::model::PeerKind;
use crate::media::clock::NtpTime;
use bytes::BytesMut;
use parking_lot::Mutex;
use rtc::crypto::RTCCryptoProvider;
use rtc::peer_connection::event::RTCPeerConnectionEvent as Event;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCIceCandidate;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// DTLS timeout, from the time ICE has a pair.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// Maximum DTLS datagrams held until they can be used: a ClientHello and its retransmissions.
const MAX_HELD: usize = 4;
/// The same for SCTP that arrives before the answer.
const MAX_EARLY: usize = 8;
/// Maximum synthesised nominations until a pair is in use.
const MAX_MADE_UP: u8 = 4;
/// Timer interval while only ICE needs a timer.
const QUIET_TICK: Duration = Duration::from_secs(1);
/// Minimum time between two timeouts.
const MIN_TICK: Duration = Duration::from_millis(1);
/// How far ahead of its tick ICE is run when a response has arrived.
const ICE_TICK: Duration = Duration::from_millis(250);

/// Parameters of a new peer connection.
pub(super) struct Setup {
    pub(super) kind: PeerKind,
    pub(super) options: PeerOptions,
    pub(super) trace: Arc<Trace>,
    pub(super) policy: Arc<NetworkPolicy>,
    /// Whether servers can be reached over streams.
    pub(super) streams: bool,
    /// Addresses of its sockets.
    pub(super) sockets: Vec<SocketAddr>,
    /// Wall clock of this machine at creation of the core.
    pub(super) wall: NtpTime,
}

/// Events of a peer connection.
#[derive(Debug)]
pub(super) enum CoreEvent {
    State(PeerState),
    Candidate(String),
    /// Events of received packets.
    Inbound(InboundEvent),
    Unplayable(Box<RemoteTrackInfo>),
    /// Feedback of the receivers of a local sender.
    Feedback(Arc<SenderState>, TrackFeedback),
    ChannelOpen(Arc<str>),
    /// Lost messages of a channel, and their bytes.
    Unread(Arc<str>, u64, u64),
    /// Requests a name look-up of this server. Its result is passed to [`Core::resolved`].
    LookUp {
        server: usize,
        host: String,
        port: u16,
    },
    ServerFailed(ServerFailure),
}

/// What is asked of the links, before the datagrams that follow are sent.
#[derive(Debug)]
pub(super) enum LinkRequest {
    /// Open a socket from which this address is reached, unless there is one: see [`Core::add_socket`].
    Reach(IpAddr),
    OpenStream(u32, StreamEnd),
    CloseStream(u32),
}

/// A datagram to send.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) port: Port,
    pub(super) to: SocketAddr,
    pub(super) contents: BytesMut,
}

/// See the module.
pub(super) struct Core {
    pub(super) setup: Setup,
    pub(super) pc: RTCPeerConnection,
    pub(super) provider: Arc<dyn RTCCryptoProvider>,
    records: Arc<Mutex<Records>>,
    pub(super) inbound: Arc<Mutex<Inbound>>,
    pub(super) negotiation: Negotiation,
    pub(super) channels: Channels,
    pub(super) gather: Gather,
    /// Whether gathering has started.
    pub(super) gathering: bool,
    /// Servers, with their addresses once these are known.
    pub(super) servers: Vec<(Server, Vec<SocketAddr>)>,
    pub(super) relays: Vec<Relay>,
    pub(super) tcp: TcpPairs,
    /// The signalling is with a server on this machine or link.
    pub(super) local_server: bool,
    /// Number of streams opened.
    pub(super) streams: u32,
    /// Addresses whose routes were asked for.
    pub(super) reached: Vec<IpAddr>,
    pub(super) requests: VecDeque<LinkRequest>,
    /// Failures of servers already reported.
    pub(super) reported: Vec<(String, u16)>,
    /// ICE user name fragment of the local description for which candidates were gathered.
    pub(super) gathered_for: String,
    /// First mid with its m-line index, and ICE user name fragment of the local description, for candidates.
    pub(super) local: (String, u16, String),
    /// DTLS received before ICE had a pair, and SCTP received before there was an association for it.
    held: VecDeque<(TransportContext, BytesMut)>,
    early: VecDeque<(TransportContext, BytesMut)>,
    /// The last check that nominated a pair while none was in use.
    nomination: Option<(TransportContext, BytesMut)>,
    /// The pair on which a local check was answered last, while none was in use.
    answering: Option<TransportContext>,
    /// Nominations synthesised since then.
    made_up: u8,
    seen_messages: SeenMessages,
    flight: Flight<TransportContext>,
    pub(super) ice_up: bool,
    /// ICE is searching for a pair: at first, and again after a restart, during which media has no pair.
    pub(super) checking: bool,
    /// When ICE first had a pair.
    ice_since: Option<Instant>,
    connected: bool,
    failed: bool,
    pub(super) closed: bool,
    /// The remote peer sent packets that cannot be accidental: its DTLS is not read any more.
    hostile: bool,
    out: VecDeque<Datagram>,
    pub(super) events: VecDeque<CoreEvent>,
    deadline: Option<Instant>,
    ticked: Instant,
}

/// The engine's object and its instrumentation.
type Made = (RTCPeerConnection, Arc<dyn RTCCryptoProvider>, Arc<Mutex<Records>>, Arc<Mutex<Inbound>>);

fn make(now: Instant, setup: &Setup) -> EngineResult<Made> {
    let internal = EngineErrorKind::Internal;
    let inbound = Arc::new(Mutex::new(match setup.kind {
        PeerKind::Publisher => Inbound::with_clock(now, setup.wall),
        PeerKind::Subscriber => Inbound::reporting(),
    }));
    let records = Arc::<Mutex<Records>>::default();
    let provider = Watched::new(records.clone()).map_err(|e| described(internal, "set up cryptography", &e))?;
    let provider: Arc<dyn RTCCryptoProvider> = Arc::new(provider);
    let (media, registry) = media_engine(setup.kind, &inbound).map_err(|e| described(internal, "set up media", &e))?;
    let settings = setting_engine(setup.kind, setup.options.disconnected_after, provider.clone());
    let pc = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .build(now)
        .map_err(|e| described(EngineErrorKind::System, "open the peer connection", &e))?;
    Ok((pc, provider, records, inbound))
}

/// A path of UDP datagrams.
fn udp(local_addr: SocketAddr, peer_addr: SocketAddr) -> TransportContext {
    TransportContext { local_addr, peer_addr, transport_protocol: TransportProtocol::UDP, ecn: None }
}

impl Core {
    pub(super) fn new(now: Instant, setup: Setup) -> EngineResult<Self> {
        let (pc, provider, records, inbound) = make(now, &setup)?;
        Ok(Self {
            servers: servers(&setup),
            local_server: has_local_server(&setup.options),
            setup,
            pc,
            provider,
            records,
            inbound,
            negotiation: Negotiation::default(),
            channels: Channels::default(),
            gather: Gather::default(),
            gathering: false,
            relays: Vec::new(),
            tcp: TcpPairs::default(),
            streams: 0,
            reached: Vec::new(),
            requests: VecDeque::new(),
            reported: Vec::new(),
            gathered_for: String::new(),
            local: Default::default(),
            held: VecDeque::new(),
            early: VecDeque::new(),
            nomination: None,
            answering: None,
            made_up: 0,
            seen_messages: SeenMessages::default(),
            flight: Flight::default(),
            ice_up: false,
            checking: true,
            ice_since: None,
            connected: false,
            failed: false,
            closed: false,
            hostile: false,
            out: VecDeque::new(),
            events: VecDeque::new(),
            deadline: None,
            ticked: now,
        })
    }

    /// Replaces an engine object that has negotiated nothing by a new one.
    pub(super) fn reopen(&mut self, now: Instant) -> EngineResult<()> {
        let (pc, provider, records, inbound) = make(now, &self.setup)?;
        (self.pc, self.provider, self.records, self.inbound) = (pc, provider, records, inbound);
        (self.held, self.early, self.seen_messages, self.flight) = Default::default();
        (self.ice_up, self.ice_since, self.connected, self.failed) = (false, None, false, false);
        (self.checking, self.nomination, self.answering, self.made_up) = (true, None, None, 0);
        Ok(())
    }

    // ---- outputs

    pub(super) fn take_datagram(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    pub(super) fn take_request(&mut self) -> Option<LinkRequest> {
        self.requests.pop_front()
    }

    pub(super) fn take_event(&mut self) -> Option<CoreEvent> {
        self.events.pop_front()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Core::timeout`] is to be called next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    // ---- inputs

    /// Handles a datagram received on one of the links; `from` has no meaning for a stream.
    pub(super) fn datagram(&mut self, now: Instant, port: Port, from: SocketAddr, contents: &[u8]) {
        if self.closed {
            return;
        }
        let path = match port {
            Port::Udp(local) => Some(udp(local, from)),
            Port::Stream(number) => self.tcp.pair(number),
        };
        // With relays alone, the sockets are only for their servers.
        let direct = path.filter(|_| !self.setup.policy.relay_only);
        match (contents.first(), direct) {
            // A media packet affects nothing but the output here.
            (Some(128..=191), Some(path)) => {
                if self.ice_up && self.checking && self.answering == Some(path) {
                    self.nominated(now, path);
                }
                self.feed(now, path, contents.into());
                if self.collect() {
                    self.settle(now);
                }
            }
            (Some(0..=3), direct) => {
                let from = path.map_or(from, |path| path.peer_addr);
                if !self.server_message(now, port, from, contents) {
                    if let Some(path) = direct {
                        self.stun(now, path, contents);
                    }
                }
                self.settle(now);
            }
            (Some(20..=63), Some(path)) => {
                self.setup.trace.received(path.peer_addr, contents);
                self.dtls(now, path, contents);
                self.settle(now);
            }
            (Some(64..=79), _) => {
                self.relayed(now, port, from, contents, None);
                self.settle(now);
            }
            _ => {}
        }
    }

    /// Handles the deadline, when it is reached or nearly reached.
    pub(super) fn timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.ticked = now;
        for (from, to, contents) in self.gather.timeout(now) {
            self.send(Port::Udp(from), to, BytesMut::from(&contents[..]));
        }
        for url in self.gather.take_silent() {
            self.server_failed(&url, NO_ANSWER, meaning(NO_ANSWER));
        }
        self.relays.iter_mut().for_each(|relay| relay.timeout(now));
        self.try_tcp(now);
        for (transport, message) in self.flight.due(now) {
            self.forward(now, TaggedBytesMut { now, transport, message: message[..].into() });
        }
        // It stops at the first part that fails; the parts after it would never run again.
        if self.pc.handle_timeout(now).is_err() {
            self.fail();
        }
        let late = self.ice_since.is_some_and(|since| now.saturating_duration_since(since) >= HANDSHAKE_TIME);
        if late && !self.connected {
            self.fail();
        }
        self.settle(now);
    }

    /// Sends close_notify (RFC 5246, 7.2.1) and releases the relays' allocations; later input is ignored.
    pub(super) fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let _ = self.pc.close();
        while let Some(out) = self.pc.poll_write() {
            self.route(now, out);
        }
        self.relays.iter_mut().for_each(|relay| relay.close(now));
        self.poll_relays(now);
        self.deadline = None;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    // ---- internals

    pub(super) fn is_connected(&self) -> bool {
        self.connected && !self.closed
    }

    /// Whether media leaves this machine. During an ICE restart no pair is selected, and the engine drops it.
    pub(super) fn sends_media(&self) -> bool {
        self.is_connected() && !self.checking
    }

    /// The pair in use.
    pub(super) fn pair(&mut self) -> Option<Pair> {
        let senders: Vec<_> = self.pc.get_senders().collect();
        let receivers: Vec<_> = self.pc.get_receivers().collect();
        // All transceivers share one transport, which is read through any of them.
        let mut pair = self.pc.sctp().and_then(|sctp| sctp.transport().ice_transport().get_selected_candidate_pair());
        for id in senders {
            pair = pair.or_else(|| {
                self.pc.rtp_sender(id)?.transport().and_then(|t| t.ice_transport().get_selected_candidate_pair())
            });
        }
        for id in receivers {
            pair = pair.or_else(|| {
                self.pc.rtp_receiver(id)?.transport().and_then(|t| t.ice_transport().get_selected_candidate_pair())
            });
        }
        let pair = pair?;
        let (local, remote) = (pair.local(), pair.remote());
        let at = |candidate: &RTCIceCandidate| -> Option<SocketAddr> {
            Some(SocketAddr::new(candidate.address.parse().ok()?, candidate.port))
        };
        let (local_at, remote_at) = (at(local)?, at(remote)?);
        let relay = self.relays.iter().find(|relay| relay.relayed == Some(local_at)).map(|relay| relay.url.clone());
        Some(Pair {
            local_kind: local.typ.to_string(),
            remote_kind: remote.typ.to_string(),
            local: local_at,
            remote: remote_at,
            tcp: local.protocol.to_string().eq_ignore_ascii_case("tcp"),
            relay,
        })
    }

    /// A pair is in use: the streams of the others are closed.
    fn close_unused_streams(&mut self) {
        let Some(pair) = self.pair() else { return };
        if pair.tcp {
            self.tcp.stream(pair.local, pair.remote, false);
        }
        let unused = self.tcp.unused();
        self.requests.extend(unused.into_iter().map(LinkRequest::CloseStream));
    }

    fn feed(&mut self, now: Instant, path: TransportContext, message: BytesMut) {
        if matches!(message.first(), Some(128..=191)) {
            self.flight.arrived();
        }
        // Packets that cannot be parsed or decrypted are dropped.
        let _ = self.pc.handle_read(TaggedBytesMut { now, transport: path, message });
    }

    /// Whether a message is a server's response.
    fn server_message(&mut self, now: Instant, port: Port, from: SocketAddr, contents: &[u8]) -> bool {
        let before = self.gather.found.len();
        if self.gather.answered(contents) {
            self.setup.trace.received(from, contents);
            self.found(before);
            return true;
        }
        self.relayed(now, port, from, contents, transaction(contents))
    }

    fn stun(&mut self, now: Instant, path: TransportContext, contents: &[u8]) {
        self.setup.trace.received(path.peer_addr, contents);
        let searches = !self.ice_up || self.checking;
        if searches && nominates(contents, &self.local.2) {
            // The engine neither answers nor remembers it while its own check of the pair is in progress, and the
            // sender repeats it only after half a second.
            self.nomination = Some((path, contents.into()));
        }
        self.feed(now, path, contents.into());
        if contents.starts_with(&[1, 1]) && searches {
            self.answering = Some(path);
            // The nomination of another pair waits for the response on that pair.
            let waits = self.nomination.as_ref().filter(|(of, _)| *of == path);
            if let Some((_, check)) = waits.cloned() {
                self.feed(now, path, check);
            }
        }
        // A response to a check: a pair that becomes valid is nominated at once, not at the next tick. After a restart
        // only by the offerer, which nominates: every run checks all pairs again, and each is checked seven times.
        let looks_ahead = !self.ice_up || (self.checking && self.setup.kind == PeerKind::Publisher);
        if contents.starts_with(&[1, 1]) && looks_ahead {
            self.look_ahead(now);
        }
    }

    /// Media arrived on a working pair, but its nomination did not.
    fn nominated(&mut self, now: Instant, path: TransportContext) {
        self.answering = None;
        // An unsolicited response looks the same here, and each address is one more for the engine to check.
        if self.setup.kind == PeerKind::Publisher || self.made_up >= MAX_MADE_UP {
            return;
        }
        self.made_up += 1;
        if let Some(check) = nomination(&self.pc, &*self.provider) {
            self.nomination = Some((path, check.clone()));
            self.feed(now, path, check);
            self.settle(now);
        }
    }

    /// The remote peer has answered: after a restart the first checks are sent at once. The engine would otherwise keep
    /// the interval of a stable connection, and media has no pair until then.
    pub(super) fn answered(&mut self, now: Instant) {
        while let Some(event) = self.pc.poll_event() {
            self.event(now, event);
        }
        if self.ice_up && self.checking {
            self.look_ahead(now);
        }
    }

    /// Runs the next tick of ICE now.
    fn look_ahead(&mut self, now: Instant) {
        if let Some(tick) = self.pc.poll_timeout().filter(|tick| *tick <= now + ICE_TICK) {
            if self.pc.handle_timeout(tick.max(now)).is_err() {
                self.fail();
            }
        }
    }

    /// Whether a datagram belongs to a relay.
    fn relayed(
        &mut self,
        now: Instant,
        port: Port,
        from: SocketAddr,
        contents: &[u8],
        transaction: Option<[u8; 12]>,
    ) -> bool {
        let Some(relay) = self.relays.iter_mut().find(|relay| relay.owns(port, from, transaction)) else {
            return false;
        };
        self.setup.trace.received(relay.server, contents);
        relay.received(now, contents);
        self.poll_relays(now);
        true
    }

    /// Handles the relays' output; true if there was any.
    fn poll_relays(&mut self, now: Instant) -> bool {
        let mut any = false;
        for index in 0..self.relays.len() {
            while let Some(output) = self.relays[index].poll(now) {
                any = true;
                match output {
                    RelayOutput::Send(contents) => {
                        let (port, server) = (self.relays[index].port, self.relays[index].server);
                        self.send(port, server, BytesMut::from(&contents[..]));
                    }
                    RelayOutput::Failed(code) => {
                        let url = self.relays[index].url.clone();
                        self.server_failed(&url, code, meaning(code));
                    }
                    RelayOutput::Relayed(relayed) => {
                        let before = self.gather.found.len();
                        let (relay, hides) = (&self.relays[index], self.setup.policy.relay_only);
                        self.gather.relayed(relayed, relay.local, (&relay.url, relay.transport), hides);
                        self.found(before);
                    }
                    RelayOutput::Received(from, contents) => {
                        let Some(relayed) = self.relays[index].relayed else { continue };
                        let path = udp(relayed, from);
                        match contents.first() {
                            Some(0..=3) => self.stun(now, path, &contents),
                            Some(20..=63) => {
                                self.setup.trace.received(from, &contents);
                                self.dtls(now, path, &contents);
                            }
                            Some(128..=191) => self.feed(now, path, BytesMut::from(&contents[..])),
                            _ => {}
                        }
                    }
                }
            }
        }
        any
    }

    fn dtls(&mut self, now: Instant, path: TransportContext, contents: &[u8]) {
        let content = contents[0];
        if self.hostile {
            return;
        }
        if !self.ice_up {
            // The engine drops it, and the remote peer retransmits it only after a second.
            if content == HANDSHAKE && self.held.len() < MAX_HELD {
                self.held.push_back((path, contents.into()));
            }
            return;
        }
        if content == APPLICATION {
            self.flight.arrived();
        }
        if content == APPLICATION && self.pc.sctp().is_none() {
            // There is no association for it; if data is refused, there never is. Otherwise it is the remote peer's
            // first packet, retransmitted only after three seconds.
            if !self.setup.options.refuse_data && self.early.len() < MAX_EARLY {
                self.early.push_back((path, contents.into()));
            }
            return;
        }
        if !self.connected && !self.checking && self.seen_messages.repeats(contents) {
            self.flight.is_missed(now);
            return;
        }
        if self.connected && content == HANDSHAKE {
            self.flight.is_missed(now);
        }
        self.feed(now, path, contents.into());
        let (closed, hostile) = {
            let records = self.records.lock();
            (records.closed, records.is_hostile())
        };
        if hostile {
            self.hostile = true;
            self.fail();
        }
        if closed {
            self.events.push_back(CoreEvent::State(PeerState::Closed));
        }
    }

    /// Handles everything that follows from the input.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            let mut any = false;
            while let Some(event) = self.pc.poll_event() {
                any = true;
                self.event(now, event);
            }
            while let Some(out) = self.pc.poll_write() {
                any = true;
                self.route(now, out);
            }
            any |= self.poll_relays(now);
            let held = if self.ice_up { std::mem::take(&mut self.held) } else { VecDeque::new() };
            let begun = !self.early.is_empty() && self.pc.sctp().is_some();
            let early = if begun { std::mem::take(&mut self.early) } else { VecDeque::new() };
            for (path, contents) in held.into_iter().chain(early) {
                any = true;
                self.dtls(now, path, &contents);
            }
            if !any {
                break;
            }
        }
        self.collect();
        self.deadline = self.next();
    }

    fn next(&mut self) -> Option<Instant> {
        let mut engine = self.pc.poll_timeout();
        let is_quiet = self.connected
            && !self.checking
            && self.relays.is_empty()
            && self.setup.options.disconnected_after.is_none()
            && self.pc.sctp().is_none();
        if is_quiet {
            engine = engine.map(|at| at.max(self.ticked + QUIET_TICK));
        }
        let handshake = self.ice_since.filter(|_| !self.connected && !self.failed).map(|since| since + HANDSHAKE_TIME);
        let relays = self.relays.iter_mut().filter_map(Relay::deadline).min();
        let tcp = self.tcp.deadline().filter(|_| !self.ice_up || self.checking);
        let next = [engine, handshake, relays, self.gather.deadline(), tcp, self.flight.deadline()]
            .into_iter()
            .flatten()
            .min();
        next.map(|at| at.max(self.ticked + MIN_TICK))
    }

    /// Takes over the tap's events; true if a stream is new, because its reports then have deadlines.
    fn collect(&mut self) -> bool {
        let mut inbound = self.inbound.lock();
        let mut new = false;
        while let Some(event) = inbound.take() {
            new |= matches!(event, InboundEvent::Track(..));
            if let InboundEvent::Feedback(ssrc, feedback) = event {
                let sender_state = self.negotiation.sender_state(ssrc);
                self.events.extend(sender_state.map(|sender_state| CoreEvent::Feedback(sender_state, feedback)));
                continue;
            }
            if let (
                InboundEvent::Unassigned { ssrc, packets, new: false },
                Some(CoreEvent::Inbound(InboundEvent::Unassigned { ssrc: last, packets: sum, .. })),
            ) = (&event, self.events.back_mut())
            {
                if ssrc == last {
                    *sum += packets;
                    continue;
                }
            }
            self.events.push_back(CoreEvent::Inbound(event));
        }
        new
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::OnIceCandidateEvent(found) => {
                let Ok(init) = found.candidate.to_json() else { return };
                // The remote peer could not connect to it (RFC 6544 section 5.2).
                if init.candidate.contains(" tcptype active") {
                    return;
                }
                self.setup.trace.local(&init.candidate);
                let (mid, index, ufrag) = &self.local;
                self.events.push_back(CoreEvent::Candidate(candidate::to_json(&init.candidate, mid, *index, ufrag)));
            }
            Event::OnIceConnectionStateChangeEvent(
                RTCIceConnectionState::Connected | RTCIceConnectionState::Completed,
            ) => {
                self.ice_up = true;
                (self.checking, self.nomination, self.answering, self.made_up) = (false, None, None, 0);
                self.ice_since.get_or_insert(now);
                if self.connected {
                    self.close_unused_streams();
                }
            }
            Event::OnIceConnectionStateChangeEvent(RTCIceConnectionState::Checking) => self.checking = true,
            Event::OnConnectionStateChangeEvent(state) => {
                let state = match state {
                    RTCPeerConnectionState::Connecting => PeerState::Connecting,
                    RTCPeerConnectionState::Connected => {
                        if !std::mem::replace(&mut self.connected, true) {
                            self.close_unused_streams();
                        }
                        PeerState::Connected
                    }
                    RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
                    RTCPeerConnectionState::Failed => PeerState::Failed,
                    // New is the initial state, and `close` reports Closed, once.
                    _ => return,
                };
                // A peer connection that failed on this side does not recover.
                if !self.failed {
                    self.events.push_back(CoreEvent::State(state));
                }
            }
            Event::OnDataChannel(event) => self.channel_event(event),
            _ => {}
        }
    }

    /// Fails this peer connection, whatever its state in the engine.
    pub(super) fn fail(&mut self) {
        if !std::mem::replace(&mut self.failed, true) {
            self.events.push_back(CoreEvent::State(PeerState::Failed));
        }
    }

    fn route(&mut self, now: Instant, out: TaggedBytesMut) {
        if matches!(out.message.first(), Some(20..=63)) {
            self.flight.sent(now, out.transport, &out.message);
        }
        if !self.connected && gives_up(&out.message) {
            self.fail();
        }
        self.forward(now, out);
    }

    /// Sends on the pair.
    fn forward(&mut self, now: Instant, out: TaggedBytesMut) {
        let (local, to) = (out.transport.local_addr, out.transport.peer_addr);
        if out.transport.transport_protocol == TransportProtocol::TCP {
            return self.send_on_stream(local, to, out.message);
        }
        match self.relays.iter_mut().find(|relay| relay.relayed == Some(local)) {
            Some(relay) => {
                self.setup.trace.sent(to, &out.message);
                relay.send(now, to, &out.message);
            }
            None => self.send(Port::Udp(local), to, out.message),
        }
    }

    /// Sends on the stream of a TCP pair; the first check of the pair opens it.
    fn send_on_stream(&mut self, local: SocketAddr, to: SocketAddr, contents: BytesMut) {
        let checks = contents.first().is_some_and(|first| *first < 4);
        if let Some(number) = self.tcp.stream(local, to, checks) {
            return self.send(Port::Stream(number), to, contents);
        }
        // A pair that is not in use is not worth a stream once another one is.
        if !checks || (self.ice_up && !self.checking) {
            return;
        }
        let number = self.next_stream();
        if self.tcp.open(number, local, to) {
            self.requests.push_back(LinkRequest::OpenStream(number, StreamEnd::Peer(to)));
            self.send(Port::Stream(number), to, contents);
        }
    }

    pub(super) fn send(&mut self, port: Port, to: SocketAddr, contents: BytesMut) {
        if contents.first().is_some_and(|first| *first < 64) {
            self.setup.trace.sent(to, &contents);
        }
        self.out.push_back(Datagram { port, to, contents });
    }

    /// Requests a key frame from the sender of a stream (PLI, RFC 4585 section 6.3.1).
    pub(super) fn request_key_frame(&mut self, now: Instant, ssrc: u32) -> EngineResult<()> {
        use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
        use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
        if !self.is_connected() {
            return Ok(());
        }
        let asked = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
        let message = RTCMessage::RtcpPacket(Default::default(), vec![Box::new(asked)]);
        self.pc
            .handle_write(TaggedRTCMessage { now, message })
            .map_err(|_| error(EngineErrorKind::Internal, "the engine rejected the packet"))?;
        self.flush(now);
        Ok(())
    }

    /// Sends the engine's pending datagrams.
    fn flush(&mut self, now: Instant) {
        while let Some(out) = self.pc.poll_write() {
            self.route(now, out);
        }
        // Those through a relay.
        self.poll_relays(now);
    }

    /// Sends one packet; it is dropped if there is no connection.
    pub(super) fn write_rtp(&mut self, now: Instant, packet: rtc::rtp::Packet) -> EngineResult<()> {
        use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
        if !self.sends_media() {
            return Ok(());
        }
        let message = RTCMessage::RtpPacket(Default::default(), packet);
        // The engine's error text would quote the packet.
        self.pc
            .handle_write(TaggedRTCMessage { now, message })
            .map_err(|_| error(EngineErrorKind::Internal, "the engine rejected the packet"))?;
        // One packet becomes one datagram, and all earlier input has already sent its output: polling again would walk
        // through the whole engine a second time.
        if let Some(out) = self.pc.poll_write() {
            self.route(now, out);
        }
        debug_assert!(self.pc.poll_write().is_none(), "a datagram was left behind");
        self.poll_relays(now);
        Ok(())
    }
}
