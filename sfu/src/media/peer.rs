//! One peer connection: an `Rtc`, its transports, and the loop that drives both in one task.
//!
//! A `Role` implements the differences between publisher and subscriber. Must not know: rooms or messages.

use crate::{
    faults::{Faults, Loss, Lossy},
    media::{
        delay::DelayQueue,
        forward::MediaPacket,
        frames::MAX_FRAME,
        ports::{Arrival, Path, Ports, Transport},
        sdp,
        tcp::Opened,
    },
};
use futures_util::FutureExt;
use std::{
    future::pending,
    io,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};
use str0m::{
    format::CodecConfig,
    net::{Protocol, Receive, Transmit},
    rtp::{Extension, ExtensionMap},
    Candidate, CandidateKind, Event, Input, Output, Rtc, RtcConfig,
};
use tokio::{sync::mpsc, time::sleep_until};

/// Capacity of a peer connection's command queue.
pub const COMMANDS: usize = 256;
/// Capacity of a subscriber's packet queue: about half a second of fifty audio tracks.
pub const MEDIA: usize = 1024;
/// Maximum datagrams read in a row before other work gets a turn.
const BATCH: usize = 32;
/// Engine errors that a connection survives; one more closes it.
const MAX_ERRORS: u32 = 100;

/// Counters of one peer connection, readable from any thread.
#[derive(Debug, Default)]
pub struct PeerStats {
    pub connected: AtomicBool,
    pub closed: AtomicBool,
    pub connect_ms: AtomicU64,
    pub datagrams_in: AtomicU64,
    pub datagrams_out: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub rtp_in: AtomicU64,
    pub rtp_out: AtomicU64,
    pub unreadable: AtomicU64,
    pub lost_up: AtomicU64,
    pub lost_down: AtomicU64,
    pub queue_dropped: Arc<AtomicU64>,
    pub keyframe_requests: AtomicU64,
    pub errors: AtomicU64,
    /// TCP connections now.
    pub tcp_open: AtomicU64,
    pub tcp_in: AtomicU64,
    pub tcp_out: AtomicU64,
    /// Packets dropped because the client did not read fast enough.
    pub tcp_dropped: AtomicU64,
}

impl PeerStats {
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "connected": self.connected.load(Relaxed),
            "closed": self.closed.load(Relaxed),
            "connect_ms": self.connect_ms.load(Relaxed),
            "datagrams_in": self.datagrams_in.load(Relaxed),
            "datagrams_out": self.datagrams_out.load(Relaxed),
            "bytes_in": self.bytes_in.load(Relaxed),
            "bytes_out": self.bytes_out.load(Relaxed),
            "rtp_in": self.rtp_in.load(Relaxed),
            "rtp_out": self.rtp_out.load(Relaxed),
            "unreadable": self.unreadable.load(Relaxed),
            "lost_up": self.lost_up.load(Relaxed),
            "lost_down": self.lost_down.load(Relaxed),
            "queue_dropped": self.queue_dropped.load(Relaxed),
            "keyframe_requests": self.keyframe_requests.load(Relaxed),
            "errors": self.errors.load(Relaxed),
            "tcp_open": self.tcp_open.load(Relaxed),
            "tcp_in": self.tcp_in.load(Relaxed),
            "tcp_out": self.tcp_out.load(Relaxed),
            "tcp_dropped": self.tcp_dropped.load(Relaxed),
        })
    }
}

/// Action after a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Go,
    /// Send DTLS close_notify and end.
    Close,
    /// End without close_notify.
    Vanish,
}

/// Behaviour of a peer connection as publisher or subscriber.
pub trait Role: Send + 'static {
    type Command: Send;
    /// Executes a command.
    fn command(&mut self, core: &mut Core, command: Self::Command) -> Next;
    /// Sends a packet (subscribers only).
    fn media(&mut self, _: &mut Core, _: MediaPacket) {}
    /// Handles an engine event.
    fn event(&mut self, core: &mut Core, event: Event);
    /// Time at which to call `on_deadline`.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn on_deadline(&mut self, _: &mut Core, _: Instant) {}
    /// Called when the connection has ended, for any reason.
    fn ended(&mut self, core: &mut Core);
}

/// The engine with its transports.
pub struct Core {
    pub rtc: Rtc,
    pub stats: Arc<PeerStats>,
    /// Candidates received before the description they belong to, with their ufrag.
    early: Vec<(Option<String>, Candidate)>,
    remote_ufrag: Option<String>,
    candidates: usize,
    max_candidates: usize,
    ports: Ports,
    loss: LossState,
    /// Delayed datagrams from and to the client. Empty unless a fault adds delay.
    up: DelayQueue<Path>,
    down: DelayQueue<Path>,
    created: Instant,
    errors: u32,
}

struct LossState {
    faults: Arc<Faults>,
    version: u64,
    rule: Option<(Lossy, Loss, Loss)>,
    session: String,
    user: String,
}

impl LossState {
    /// Delay and jitter of the rule applied to the last packet.
    fn delay(&self, up: bool) -> (Duration, Duration) {
        let Some((rule, ..)) = &self.rule else { return Default::default() };
        let delay = if up { rule.delay_up_ms } else { rule.delay_down_ms };
        (Duration::from_millis(delay), Duration::from_millis(rule.jitter_ms))
    }

    /// Looks up the rule again if any rule has changed.
    fn refresh(&mut self) {
        let version = self.faults.lossy_version();
        if version != self.version {
            self.version = version;
            // Seeded by the user ID, which is the same in every run.
            self.rule = self.faults.lossy_for(&self.session, &self.user).map(|rule| {
                let (up, down) = (Loss::new(&rule, &self.user, 1), Loss::new(&rule, &self.user, 2));
                (rule, up, down)
            });
        }
    }

    /// True if a firewall of the rule blocks this path.
    fn blocked(&mut self, path: &Path) -> bool {
        self.refresh();
        let Some((rule, ..)) = &self.rule else { return false };
        let port = path.remote.port();
        (rule.block_udp && path.proto == Protocol::Udp)
            || rule.only_ports.is_some_and(|(least, greatest)| !(least..=greatest).contains(&port))
    }

    /// How many more times a datagram to the client is sent.
    fn repeats(&self, datagram: &[u8]) -> u32 {
        let media = datagram.first().is_some_and(|b| (128..192).contains(b));
        self.rule.as_ref().filter(|_| media).map_or(0, |(rule, ..)| rule.repeat)
    }

    fn loses(&mut self, datagram: &[u8], up: bool) -> bool {
        self.refresh();
        let Some((rule, loss_up, loss_down)) = &mut self.rule else { return false };
        let media = datagram.first().is_some_and(|b| (128..192).contains(b));
        if !(media || rule.all) {
            return false;
        }
        if up {
            loss_up.lose(rule.up)
        } else {
            loss_down.lose(rule.down)
        }
    }
}

/// Parameters of a new peer connection.
#[derive(Clone, Debug)]
pub struct Setup {
    pub transport: Transport,
    pub faults: Arc<Faults>,
    pub session: String,
    pub user: String,
    pub max_candidates: usize,
}

impl Core {
    /// Opens the transports and creates an engine with full ICE and their candidates.
    pub fn new(setup: &Setup, publisher: bool) -> io::Result<Core> {
        let stats: Arc<PeerStats> = Arc::default();
        let ports = Ports::new(&setup.transport, setup.max_candidates, stats.clone())?;
        crate::crypto::install();
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::AudioLevel);
        extensions.set(4, Extension::RtpMid);
        extensions.set(10, Extension::RtpStreamId);
        extensions.set(11, Extension::RepairedRtpStreamId);
        extensions.set(13, Extension::VideoOrientation);
        if publisher {
            // Congestion feedback is for senders. The SFU does not estimate bandwidth towards subscribers.
            extensions.set(3, Extension::TransportSequenceNumber);
        }
        let mut config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(false)
            .set_stats_interval(None)
            .set_extension_map(extensions)
            .clear_codecs();
        codecs(config.codec_config());
        let mut rtc = config.build(Instant::now());
        for candidate in ports.candidates()? {
            rtc.add_local_candidate(candidate);
        }
        let mut core = Core {
            rtc,
            stats,
            early: Vec::new(),
            remote_ufrag: None,
            candidates: 0,
            max_candidates: setup.max_candidates,
            ports,
            loss: LossState {
                version: u64::MAX,
                rule: None,
                faults: setup.faults.clone(),
                session: setup.session.clone(),
                user: setup.user.clone(),
            },
            up: DelayQueue::new(1),
            down: DelayQueue::new(2),
            created: Instant::now(),
            errors: 0,
        };
        core.register();
        Ok(core)
    }

    /// TCP connections are assigned by the user name fragment that the engine accepts now.
    fn register(&mut self) {
        let credentials = self.rtc.direct_api().local_ice_credentials();
        self.ports.set_ufrag(&credentials.ufrag);
    }

    /// Adds a trickled candidate (JSON form), or keeps it until its description has been received.
    pub fn trickle(&mut self, json: &str) -> Result<(), String> {
        self.candidates += 1;
        if self.candidates > self.max_candidates {
            return Err("too many candidates".into());
        }
        let (text, ufrag) = match serde_json::from_str::<serde_json::Value>(json) {
            Ok(value) => {
                let field = |name: &str| value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
                (field("candidate"), Some(field("usernameFragment")).filter(|u| !u.is_empty()))
            }
            Err(_) if json.starts_with("candidate:") => (json.to_owned(), None),
            Err(_) => return Err("a candidate is a JSON object".into()),
        };
        let text = text.trim().trim_start_matches("a=");
        if text.is_empty() {
            return Ok(());
        }
        // Host names (mDNS) and unsupported transports are not client errors.
        let Ok(candidate) = Candidate::from_sdp_string(text) else { return Ok(()) };
        let fits = match (&ufrag, &self.remote_ufrag) {
            (_, None) => false,
            (Some(theirs), Some(current)) => theirs == current,
            (None, Some(_)) => true,
        };
        if fits {
            self.rtc.add_remote_candidate(candidate);
        } else {
            self.early.push((ufrag, candidate));
        }
        Ok(())
    }

    /// Call after applying a remote description. Adds its early candidates and drops superseded ones.
    ///
    /// Returns true if its ufrag differs from that of the previous description.
    pub fn described(&mut self, remote_sdp: &str) -> bool {
        let ufrag = sdp::attribute(remote_sdp, "ice-ufrag").unwrap_or_default().to_owned();
        let changed = self.remote_ufrag.as_ref().is_some_and(|u| *u != ufrag);
        for (theirs, candidate) in std::mem::take(&mut self.early) {
            if theirs.is_none_or(|t| t == ufrag) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
        if changed {
            self.candidates = 0;
            self.ports.restarted();
        }
        self.register();
        self.remote_ufrag = Some(ufrag);
        changed
    }

    /// How many extra packets to send after each packet to the client.
    pub fn flood(&mut self) -> u32 {
        self.loss.refresh();
        self.loss.rule.as_ref().map_or(0, |(rule, ..)| rule.flood)
    }

    fn send(&mut self, transmit: Transmit) {
        let path = Path { proto: transmit.proto, local: transmit.source, remote: transmit.destination };
        if self.loss.blocked(&path) || self.loss.loses(&transmit.contents, false) {
            self.stats.lost_down.fetch_add(1, Relaxed);
            return;
        }
        self.stats.datagrams_out.fetch_add(1, Relaxed);
        self.stats.bytes_out.fetch_add(transmit.contents.len() as u64, Relaxed);
        let (delay, jitter) = self.loss.delay(false);
        if delay > Duration::ZERO || !self.down.is_empty() {
            let datagram = transmit.contents.to_vec();
            if !self.down.put(Instant::now(), delay, jitter, path, datagram) {
                self.stats.lost_down.fetch_add(1, Relaxed);
            }
            return;
        }
        self.ports.send(path, &transmit.contents);
        for _ in 0..self.loss.repeats(&transmit.contents) {
            self.ports.send(path, &transmit.contents);
        }
    }

    /// When the next delayed datagram arrives.
    fn arrival(&self) -> Option<Instant> {
        self.up.due().into_iter().chain(self.down.due()).min()
    }

    /// Delivers due datagrams: all to the client, and at most one from the client. Returns true in the latter case: the
    /// engine must be drained before the next one.
    fn arrive(&mut self, now: Instant) -> bool {
        while let Some((path, datagram)) = self.down.take(now) {
            self.ports.send(path, &datagram);
        }
        let Some((path, datagram)) = self.up.take(now) else { return false };
        self.taken(path, &datagram);
        true
    }

    fn arrived(&mut self, arrival: Arrival, buffer: &[u8]) {
        match arrival {
            Arrival::Packet(path, length) => self.receive(path, &buffer[..length]),
            Arrival::Opened(path, opened) => self.opened(path, opened),
            Arrival::Closed(path) => self.closed(path),
            Arrival::Nothing => {}
        }
    }

    /// Keeps a TCP connection if the integrity of its first binding request is right. Otherwise it is closed.
    fn opened(&mut self, path: Path, opened: Opened) {
        if self.loss.blocked(&path) {
            return;
        }
        let accepted = Receive::new(path.proto, path.remote, path.local, &opened.first)
            .is_ok_and(|receive| self.rtc.accepts(&Input::Receive(Instant::now(), receive)));
        if accepted {
            let first = opened.first.clone();
            self.ports.adopt(path, opened);
            self.receive(path, &first);
        } else {
            self.stats.unreadable.fetch_add(1, Relaxed);
        }
    }

    /// Removes the end of a closed TCP connection from the engine, so that it uses another path at once.
    fn closed(&mut self, path: Path) {
        let mut api = self.rtc.direct_api();
        for kind in [CandidateKind::PeerReflexive, CandidateKind::Host] {
            let ended = Candidate::from_parts(String::new(), 1, path.proto, 0, path.remote, kind, None, None, None);
            if api.invalidate_candidate(&ended) {
                break;
            }
        }
        self.tick();
    }

    fn receive(&mut self, path: Path, datagram: &[u8]) {
        if self.loss.blocked(&path) || self.loss.loses(datagram, true) {
            self.stats.lost_up.fetch_add(1, Relaxed);
            return;
        }
        let (delay, jitter) = self.loss.delay(true);
        if delay > Duration::ZERO || !self.up.is_empty() {
            if !self.up.put(Instant::now(), delay, jitter, path, datagram.to_vec()) {
                self.stats.lost_up.fetch_add(1, Relaxed);
            }
            return;
        }
        self.taken(path, datagram);
    }

    fn taken(&mut self, path: Path, datagram: &[u8]) {
        self.stats.datagrams_in.fetch_add(1, Relaxed);
        self.stats.bytes_in.fetch_add(datagram.len() as u64, Relaxed);
        match Receive::new(path.proto, path.remote, path.local, datagram) {
            Ok(receive) => self.input(Input::Receive(Instant::now(), receive)),
            Err(_) => {
                self.stats.unreadable.fetch_add(1, Relaxed);
            }
        }
    }

    /// Passes the current time to the engine. Called after every change so that the engine acts on it at once.
    fn tick(&mut self) {
        self.input(Input::Timeout(Instant::now()));
    }

    fn input(&mut self, input: Input<'_>) {
        // The engine continues after bad input unless it reports that it is dead.
        if self.rtc.handle_input(input).is_err() {
            self.failed();
        }
    }

    fn failed(&mut self) {
        self.stats.errors.fetch_add(1, Relaxed);
        self.errors += 1;
        if self.errors > MAX_ERRORS {
            self.rtc.disconnect();
        }
    }

    /// Processes the engine's output up to its next timeout. Returns `None` if the engine is dead.
    fn drain<R: Role>(&mut self, role: &mut R) -> Option<Instant> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => return self.rtc.is_alive().then_some(at),
                Ok(Output::Transmit(transmit)) => self.send(transmit),
                Ok(Output::Event(event)) => {
                    if matches!(event, Event::Connected) {
                        self.stats.connected.store(true, Relaxed);
                        self.stats.connect_ms.store(self.created.elapsed().as_millis() as u64, Relaxed);
                    }
                    role.event(self, event);
                }
                Err(_) => {
                    self.failed();
                    if !self.rtc.is_alive() {
                        return None;
                    }
                }
            }
        }
    }
}

fn codecs(config: &mut CodecConfig) {
    config.clear();
    config.enable_opus(true, true);
    config.enable_vp8(true);
    config.enable_h264(true);
    config.enable_vp9(true);
    config.enable_av1(true);
}

/// Drives one peer connection until it ends.
pub async fn drive<R: Role>(
    mut core: Core,
    mut role: R,
    mut commands: mpsc::Receiver<R::Command>,
    mut media: Option<mpsc::Receiver<MediaPacket>>,
) {
    let mut datagram = vec![0u8; MAX_FRAME];
    let sleep = sleep_until(Instant::now().into());
    tokio::pin!(sleep);
    while let Some(next) = core.drain(&mut role) {
        let next = role.deadline().into_iter().chain(core.arrival()).fold(next, Instant::min);
        // The engine's "never" is too far in the future for the timer. One hour is enough.
        let next = next.min(Instant::now() + Duration::from_secs(3600));
        if sleep.deadline() != next.into() {
            sleep.as_mut().reset(next.into());
        }
        tokio::select! {
            command = commands.recv() => {
                let action = match command {
                    Some(command) => role.command(&mut core, command),
                    None => Next::Close,
                };
                if action == Next::Close && core.rtc.close().is_ok() {
                    core.drain(&mut role);
                }
                if action != Next::Go {
                    break;
                }
                core.tick();
            }
            packet = next_packet(&mut media) => {
                role.media(&mut core, packet);
                core.tick();
            }
            arrival = core.ports.receive(&mut datagram) => {
                let mut arrival = Some(arrival);
                for more in (0..BATCH).rev() {
                    let Some(arrived) = arrival else { break };
                    core.arrived(arrived, &datagram);
                    // Every packet read must be processed, so do not read another one after the last of the batch.
                    if core.drain(&mut role).is_none() || more == 0 {
                        break;
                    }
                    arrival = core.ports.receive(&mut datagram).now_or_never();
                }
            }
            _ = &mut sleep => {
                let now = Instant::now();
                while core.arrive(now) && core.drain(&mut role).is_some() {}
                core.tick();
                if role.deadline().is_some_and(|d| d <= now) {
                    role.on_deadline(&mut core, now);
                    core.tick();
                }
            }
        }
    }
    core.stats.closed.store(true, Relaxed);
    core.stats.connected.store(false, Relaxed);
    core.stats.tcp_open.store(0, Relaxed);
    role.ended(&mut core);
}

async fn next_packet(media: &mut Option<mpsc::Receiver<MediaPacket>>) -> MediaPacket {
    if let Some(receiver) = media {
        if let Some(packet) = receiver.recv().await {
            return packet;
        }
    }
    pending().await
}
