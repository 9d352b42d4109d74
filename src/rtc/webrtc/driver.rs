//! Connects the core of one peer connection with its lock, links, clock and observer.
//!
//! Callers lock the core, run it and send its datagrams on the links; nothing is awaited. Only the call's task reports
//! events, in order and without the lock, so that an observer may call back.
//!
//! Part of the engine's module. Must not know: negotiation, media, what datagrams mean.

use super::super::engine::*;
use super::super::gate::Gate;
use super::super::link::{Link, Port};
use super::super::trace::Trace;
use super::call::Call;
use super::core::{Core, CoreEvent, LinkRequest, Setup};
use super::inbound::InboundEvent;
use super::links::Links;
use super::writer::Control;
use super::{closed, error};
use crate::core::model::PeerKind;
use crate::inject::Mark;
use crate::log::{oh_log, Level};
use crate::lookup;
use crate::media::clock::NtpTime;
use crate::panics::contain;
use bytes::Bytes;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Timeout for looking up a STUN or TURN server's name.
const NAME: Duration = Duration::from_secs(3);
/// An engine call that takes longer is slow. Some are tolerated: on a small or emulated machine the first run of any
/// code takes long.
const SLOW_CALL: Duration = Duration::from_millis(250);
/// Slow calls after which a peer connection fails.
const MAX_SLOW_CALLS: u32 = 5;
/// A call that takes longer fails its peer connection at once.
const MAX_CALL: Duration = Duration::from_secs(2);
/// Consecutive errors of a link after which it is given up.
const MAX_ERRORS: u32 = 64;
/// Maximum media packets queued while another thread holds the lock.
const MAX_WAITING: usize = 64;
/// Largest datagram accepted.
const DATAGRAM: usize = 2_048;
/// Datagrams of one link read in a row before the other links have their turn.
const AT_ONCE: usize = 16;
/// Unread messages of one channel at which no more are taken from the engine.
const MAX_UNREAD: usize = 64;
/// Messages taken from the engine in one turn.
const MESSAGES: usize = 16;

thread_local! {
    static BUFFER: RefCell<[u8; DATAGRAM]> = const { RefCell::new([0; DATAGRAM]) };
}

/// CPU time of this thread: on a busy machine a call may take long without doing much.
pub(super) fn spent() -> Duration {
    #[cfg(target_os = "linux")]
    if let Ok(time) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID) {
        return time.into();
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The core with its links, until closed.
struct Inside {
    core: Core,
    links: Links,
    /// The changes of the links that the task knows.
    known_links: u64,
    slow_calls: u32,
    /// The engine panicked or ran too long: it is not called any more.
    broken: bool,
    /// Whether media can be sent; read without the lock.
    connected: Arc<AtomicBool>,
}

impl Inside {
    /// Runs the core, then sends its datagrams. `None`: it failed internally. A media packet is always little work;
    /// everything else is timed.
    fn work<T>(&mut self, now: Instant, timed: bool, work: impl FnOnce(&mut Core) -> T) -> Option<T> {
        if self.broken {
            return None;
        }
        let begun = timed.then(spent);
        let done = contain(|| work(&mut self.core));
        let took = begun.map_or(Duration::ZERO, |begun| spent().saturating_sub(begun));
        self.slow_calls += u32::from(took > SLOW_CALL);
        if done.is_err() || took > MAX_CALL || self.slow_calls >= MAX_SLOW_CALLS {
            self.broken = true;
            oh_log!(Level::Error, "a peer connection failed internally after {took:?}");
            self.core.fail();
        }
        self.connected.store(self.core.sends_media() && !self.broken, Ordering::Release);
        self.send(now);
        done.ok()
    }

    /// Carries out the core's requests, then sends its datagrams.
    fn send(&mut self, now: Instant) {
        loop {
            while let Some(request) = self.core.take_request() {
                match request {
                    LinkRequest::Reach(address) => {
                        for local in self.links.reach(address) {
                            let elsewhere = local.ip() != address;
                            self.guarded(|core| core.add_socket(now, local, elsewhere));
                        }
                    }
                    LinkRequest::OpenStream(number, end) => self.links.stream(number, end),
                    LinkRequest::CloseStream(number) => self.links.close(Port::Stream(number)),
                }
            }
            let Some(datagram) = self.core.take_datagram() else { break };
            self.links.send(datagram.port, datagram.to, &datagram.contents);
        }
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Core)) {
        if !self.broken && contain(|| work(&mut self.core)).is_err() {
            self.broken = true;
            self.core.fail();
        }
    }

    /// Whether the task has something to take over.
    fn has_news(&self) -> bool {
        self.core.has_events() || self.links.changes() != self.known_links
    }
}

/// State shared by the parts of a peer connection.
pub(super) struct Shared {
    pub(super) trace: Arc<Trace>,
    call: Arc<Call>,
    gate: Arc<Gate>,
    inside: Mutex<Option<Inside>>,
    connected: Arc<AtomicBool>,
    /// Media sent while another thread held the lock: the task sends it.
    waiting: Mutex<VecDeque<rtc::rtp::Packet>>,
    /// Streams for which a key frame is requested.
    wanted: Mutex<BTreeSet<u32>>,
    /// Whether `waiting` or `wanted` has content.
    waits: AtomicBool,
    /// The core was called from outside of the task.
    touched: AtomicBool,
    /// Cancels look-ups at close.
    closed: watch::Sender<bool>,
    /// Whether its driver has ended.
    driver_ended: Mutex<bool>,
}

impl Shared {
    /// Creates the core of a peer connection and its driver.
    pub(super) fn new(
        call: Arc<Call>,
        kind: PeerKind,
        options: PeerOptions,
        links: Links,
        trace: Arc<Trace>,
        gate: Arc<Gate>,
    ) -> EngineResult<(Arc<Self>, Driver)> {
        let wall = NtpTime::since_1970(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let (policy, streams, sockets) = (call.policy(), call.has_streams(), links.sockets());
        let setup = Setup { kind, options, trace: trace.clone(), policy, streams, sockets, wall };
        let now = call.now();
        let core = contain(|| Core::new(now, setup))
            .map_err(|_| error(EngineErrorKind::Internal, "the engine failed internally"))??;
        let connected = Arc::<AtomicBool>::default();
        // Its changes begin with the first socket: the task takes them over in its first turn.
        let (known_links, slow_calls, broken) = (0, 0, false);
        let inside = Inside { core, links, known_links, slow_calls, broken, connected: connected.clone() };
        let inside = Mutex::new(Some(inside));
        let (touched, closed, driver_ended) = (AtomicBool::new(true), watch::Sender::new(false), Mutex::new(false));
        let (waiting, wanted, waits) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Self {
            trace,
            call,
            gate,
            inside,
            connected,
            waiting,
            wanted,
            waits,
            touched,
            closed,
            driver_ended,
        });
        let driver = Driver::new(shared.clone());
        Ok((shared, driver))
    }

    fn now(&self) -> Instant {
        self.call.now()
    }

    /// Wakes the task to process changes.
    fn wake(&self) {
        self.touched.store(true, Ordering::Release);
        self.call.wake();
    }

    /// Fails once closing has started.
    pub(super) fn open(&self) -> EngineResult<()> {
        if self.gate.is_closing() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    /// Whether media that is sent now reaches the network.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire) && self.open().is_ok()
    }

    fn with<T>(&self, wake: bool, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.open()?;
        let mut inside = self.inside.lock();
        let Some(inside) = inside.as_mut() else { return Err(closed()) };
        let now = self.now();
        let done = inside.work(now, wake, |core| work(core, now));
        if wake || inside.has_news() {
            self.wake();
        }
        done.unwrap_or_else(|| Err(error(EngineErrorKind::Internal, "the engine failed internally")))
    }

    /// Runs one call into the core.
    pub(super) fn call<T>(&self, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.with(true, work)
    }

    /// Sends a media packet. Does not wait for the lock: if it is held, the task sends the packet later, in order.
    pub(super) fn send_rtp(&self, packet: rtc::rtp::Packet) -> EngineResult<()> {
        self.open()?;
        let Some(mut inside) = self.inside.try_lock() else {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= MAX_WAITING {
                waiting.pop_front();
            }
            waiting.push_back(packet);
            self.waits.store(true, Ordering::Release);
            drop(waiting);
            self.wake();
            return Ok(());
        };
        let Some(inside) = inside.as_mut() else { return Err(closed()) };
        self.send_waiting(inside);
        let now = self.now();
        let sent = inside.work(now, false, |core| core.write_rtp(now, packet));
        if inside.has_news() {
            self.wake();
        }
        sent.unwrap_or_else(|| Err(error(EngineErrorKind::Internal, "the engine failed internally")))
    }

    /// Requests a key frame of a stream at the task's next turn; repeated requests until then count once.
    pub(super) fn request_key_frame(&self, ssrc: u32) {
        let mut wanted = self.wanted.lock();
        if wanted.len() < MAX_WAITING {
            wanted.insert(ssrc);
        }
        self.waits.store(true, Ordering::Release);
        drop(wanted);
        self.wake();
    }

    /// Sends queued packets and key frame requests.
    fn send_waiting(&self, inside: &mut Inside) {
        if !self.waits.swap(false, Ordering::AcqRel) {
            return;
        }
        let now = self.now();
        for packet in std::mem::take(&mut *self.waiting.lock()) {
            // The caller has returned already; the result is dropped.
            let _ = inside.work(now, false, |core| core.write_rtp(now, packet));
        }
        for ssrc in std::mem::take(&mut *self.wanted.lock()) {
            let _ = inside.work(now, false, |core| core.request_key_frame(now, ssrc));
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Core) -> T) -> EngineResult<T> {
        self.with(false, |core, _| Ok(look(core)))
    }

    /// Asks where routes lead now; new sockets are known to the core when this returns.
    pub(super) fn network_changed(&self) -> Routes {
        let now = self.now();
        let mut inside = self.inside.lock();
        let Some(inside) = inside.as_mut() else { return Routes::Unknown };
        let (routes, opened, closed) = inside.links.refresh();
        if routes == Routes::Moved {
            inside.work(now, true, |core| core.moved(now, &opened, &closed));
            self.wake();
        }
        routes
    }

    /// Starts closing unless started already; the observer receives `Closed` at the end.
    pub(super) fn start_close(&self) {
        if !self.gate.begin_close() {
            return;
        }
        if *self.driver_ended.lock() {
            self.ended();
        } else {
            self.wake();
        }
    }

    fn ended(&self) {
        self.close_now();
        self.gate.state(PeerState::Closed);
        self.closed.send_replace(true);
    }

    /// Closes the core and notifies the remote peer; idempotent. Returns unread messages and bytes by label.
    fn close_now(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        let now = self.now();
        let mut unread = BTreeMap::new();
        if let Some(mut inside) = self.inside.lock().take() {
            inside.core.channels.end();
            unread = inside.work(now, false, |core| core.drain_data(now)).unwrap_or_default();
            inside.work(now, false, |core| core.close(now));
        }
        unread
    }

    /// The driver has ended: after close, after an internal failure, or because the runtime is gone.
    fn served(&self) {
        // The observer may drop the peer connection in this callback: the check below handles that.
        if !self.gate.is_closing() {
            self.gate.state(PeerState::Failed);
        }
        *self.driver_ended.lock() = true;
        if self.gate.is_closing() {
            self.ended();
        }
    }

    /// Looks up a server, in a separate task.
    fn look_up(self: &Arc<Self>, server: usize, host: String, port: u16) {
        let (shared, names, mut closed) = (Arc::downgrade(self), self.call.names(), self.closed.subscribe());
        self.call.spawn("lookup", async move {
            let found = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                found = tokio::time::timeout(NAME, lookup::global().find(names, &host)) => found,
            };
            let addresses: Vec<SocketAddr> = match &found {
                Ok(Ok(addresses)) => addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
                _ => Vec::new(),
            };
            if let Some(shared) = Weak::upgrade(&shared) {
                let _ = shared.call(|core, now| {
                    core.resolved(now, server, &addresses);
                    Ok(())
                });
            }
        });
    }
}

/// The unread messages of one channel.
#[derive(Default)]
struct Unread {
    messages: VecDeque<Bytes>,
    waiting: Option<Waiting>,
}

/// Result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There was nothing to do.
    Idle,
    /// There may be more.
    Again,
    /// The peer connection is closed.
    Closed,
}

/// Serves one peer connection, as a part of the call's task.
pub(super) struct Driver {
    shared: Arc<Shared>,
    /// The links, each with its consecutive errors.
    links: Vec<(Arc<dyn Link>, u32)>,
    /// The links have changed in this turn.
    relinked: bool,
    events: VecDeque<CoreEvent>,
    sinks: BTreeMap<u64, Box<dyn PacketSink>>,
    unread: BTreeMap<Arc<str>, Unread>,
    /// Whether the engine may have messages to read.
    data: bool,
    deadline: Option<Instant>,
    mark: Mark,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.served();
    }
}

impl Driver {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            links: Vec::new(),
            relinked: false,
            events: VecDeque::new(),
            sinks: BTreeMap::new(),
            unread: BTreeMap::new(),
            data: false,
            deadline: None,
            mark: Mark::of_thread(),
        }
    }

    /// It failed internally, or its observer did.
    pub(super) fn failed(&self) {
        self.shared.gate.state(PeerState::Failed);
    }

    /// Does the pending work, a little of each kind.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        self.mark.reached("driver");
        if self.shared.touched.swap(false, Ordering::AcqRel) {
            self.data |= self.work_timed(false, |core, _| core.has_channels()).unwrap_or(false);
        }
        self.report_events();
        if self.shared.gate.is_closing() {
            self.finish();
            return Turn::Closed;
        }
        self.relinked = false;
        let mut any = false;
        let mut index = 0;
        // The list may change meanwhile; then all links have another turn.
        while let Some((link, _)) = self.links.get(index) {
            let link = link.clone();
            index += 1;
            // Until it is pending, so that it wakes the task without being polled again. The limit gives the other
            // links their turn.
            let mut left = AT_ONCE;
            while left > 0 && self.receive(cx, &link) {
                left -= 1;
            }
            any |= left == 0;
        }
        any |= self.read(cx);
        // New links are polled once, so that they wake the task.
        any |= std::mem::take(&mut self.relinked);
        if any {
            Turn::Again
        } else {
            Turn::Idle
        }
    }

    /// When to call [`Driver::due`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Runs the core's timeout if it is due at `now`.
    pub(super) fn due(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.work(|core, now| {
            if core.deadline().is_some_and(|deadline| deadline <= now) {
                core.timeout(now);
            }
        });
        self.data = true;
    }

    fn work<T>(&mut self, work: impl FnOnce(&mut Core, Instant) -> T) -> Option<T> {
        self.work_timed(true, work)
    }

    /// Runs the core and takes over its events.
    fn work_timed<T>(&mut self, timed: bool, work: impl FnOnce(&mut Core, Instant) -> T) -> Option<T> {
        let shared = self.shared.clone();
        let mut inside = shared.inside.lock();
        let inside = inside.as_mut()?;
        shared.send_waiting(inside);
        let now = shared.now();
        let done = inside.work(now, timed, |core| work(core, now));
        if inside.links.changes() != inside.known_links {
            inside.known_links = inside.links.changes();
            self.relinked = true;
            let errors = |link: &Arc<dyn Link>| {
                self.links.iter().find(|(known, _)| known.port() == link.port()).map_or(0, |(_, errors)| *errors)
            };
            self.links = inside.links.list().iter().map(|link| (link.clone(), errors(link))).collect();
        }
        self.deadline = if inside.broken { None } else { inside.core.deadline() };
        while let Some(event) = inside.core.take_event() {
            self.events.push_back(event);
        }
        done
    }

    /// Reads one datagram of a link; false if there is none.
    fn receive(&mut self, cx: &mut Context<'_>, link: &Arc<dyn Link>) -> bool {
        let port = link.port();
        let Some(known) = self.links.iter().position(|(known, _)| known.port() == port) else { return false };
        if self.links[known].1 >= MAX_ERRORS {
            return false;
        }
        BUFFER.with_borrow_mut(|buffer| match link.poll_recv(cx, buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok((length, from))) => {
                self.links[known].1 = 0;
                let datagram = &buffer[..length];
                let media = datagram.first().is_some_and(|first| *first >= 128);
                self.data |= !media;
                self.work_timed(!media, |core, now| core.datagram(now, port, from, datagram));
                true
            }
            Poll::Ready(Err(error)) => {
                if let Port::Stream(number) = port {
                    self.close_stream(number, &error.to_string());
                    return true;
                }
                self.links[known].1 += 1;
                if self.links.iter().all(|(_, errors)| *errors >= MAX_ERRORS) {
                    self.work(|core, _| core.fail());
                }
                true
            }
        }) && {
            self.report_events();
            true
        }
    }

    fn close_stream(&mut self, number: u32, why: &str) {
        if let Some(inside) = self.shared.inside.lock().as_mut() {
            inside.links.close(Port::Stream(number));
        }
        self.work(|core, now| core.stream_ended(now, number, why));
    }

    /// Reports the pending events.
    fn report_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let gate = &self.shared.gate;
            match event {
                CoreEvent::State(state) => gate.state(state),
                CoreEvent::Candidate(json) => gate.candidate(json),
                CoreEvent::Inbound(InboundEvent::Packet(id, packet)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.packet(packet);
                    }
                }
                CoreEvent::Inbound(InboundEvent::Track(id, info)) => {
                    let control = Control { ssrc: info.ssrc, shared: Arc::downgrade(&self.shared) };
                    if let Some(mut sink) = gate.track(*info) {
                        sink.controlled_by(Arc::new(control));
                        self.sinks.insert(id, sink);
                    }
                }
                CoreEvent::Inbound(InboundEvent::Renegotiated(id, info)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.renegotiated(&info);
                    }
                }
                CoreEvent::Inbound(InboundEvent::Report(id, report)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.report(report);
                    }
                }
                // Already assigned to its sender, see `CoreEvent::Feedback`.
                CoreEvent::Inbound(InboundEvent::Feedback(..)) => {}
                CoreEvent::Feedback(sender_state, feedback) => sender_state.report_feedback(feedback),
                CoreEvent::Inbound(InboundEvent::Gone(id)) => drop(self.sinks.remove(&id)),
                CoreEvent::Inbound(InboundEvent::Unassigned { ssrc, packets, new }) => {
                    gate.unassigned(ssrc, packets, new)
                }
                CoreEvent::Unplayable(info) => gate.unplayable(*info),
                CoreEvent::ChannelOpen(label) => gate.channel_open(&label),
                CoreEvent::Unread(label, messages, bytes) => gate.data_unread(&label, messages, bytes),
                CoreEvent::ServerFailed(failure) => gate.server_failed(failure),
                CoreEvent::LookUp { server, host, port } => self.shared.look_up(server, host, port),
            }
        }
    }

    /// Delivers messages while there is room for them; true if there were any.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for (label, unread) in &mut self.unread {
            while !unread.messages.is_empty() {
                if let Some(waiting) = &mut unread.waiting {
                    if waiting.as_mut().poll(cx).is_pending() {
                        break;
                    }
                    unread.waiting = None;
                }
                if let Some(mut waiting) = self.shared.gate.data_room(label) {
                    if waiting.as_mut().poll(cx).is_pending() {
                        unread.waiting = Some(waiting);
                    } else {
                        // There is room by now: retry after the others' turn.
                        cx.waker().wake_by_ref();
                    }
                    break;
                }
                if let Some(message) = unread.messages.pop_front() {
                    any = true;
                    self.data = true;
                    self.shared.gate.data(label, message);
                }
            }
        }
        self.unread.retain(|_, unread| !unread.messages.is_empty());
        if !self.data || self.unread.values().any(|unread| unread.messages.len() >= MAX_UNREAD) {
            return any;
        }
        let read = self.work(|core, now| if core.has_channels() { core.read_data(now, MESSAGES) } else { Vec::new() });
        let read = read.unwrap_or_default();
        self.data = !read.is_empty();
        // `channel_open` comes before the channel's messages.
        self.report_events();
        for (label, message) in read {
            any = true;
            self.unread.entry(label).or_default().messages.push_back(message);
        }
        any
    }

    /// Ends: reports unread messages and releases everything.
    fn finish(&mut self) {
        self.mark.reached("close");
        let mut lost = self.shared.close_now();
        for (label, unread) in std::mem::take(&mut self.unread) {
            let sum = lost.entry(label).or_default();
            let bytes: usize = unread.messages.iter().map(Bytes::len).sum();
            *sum = (sum.0 + unread.messages.len() as u64, sum.1 + bytes as u64);
        }
        for (label, (messages, bytes)) in lost.into_iter().filter(|(_, (messages, _))| *messages > 0) {
            self.shared.gate.data_unread(&label, messages, bytes);
        }
        self.sinks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tasks::Tasks;
    use super::super::links::Network;
    use super::*;
    use crate::lookup::Party;

    struct NullObserver;

    impl PeerObserver for NullObserver {
        fn candidate(&self, _: String) {}
        fn state(&self, _: PeerState) {}
        fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
            None
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn media_does_not_wait_for_the_lock_and_keeps_its_order() {
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let tasks = Tasks::new(tokio::runtime::Handle::current(), Arc::default());
        let call = Arc::new(Call::new(Network::of_machine(tasks), Party::new()));
        let shared = call.open(PeerKind::Publisher, options, Arc::new(NullObserver)).expect("a peer connection");
        let packet = |sequence_number| rtc::rtp::Packet {
            header: rtc::rtp::Header { version: 2, sequence_number, ..Default::default() },
            payload: Bytes::from_static(b"x"),
        };
        {
            // Another caller holds the lock for long.
            let inside = shared.inside.lock();
            for n in 0..1_000 {
                assert!(shared.send_rtp(packet(n)).is_ok());
            }
            let waiting: Vec<u16> = shared.waiting.lock().iter().map(|p| p.header.sequence_number).collect();
            assert_eq!(waiting, (1_000 - MAX_WAITING as u16..1_000).collect::<Vec<_>>(), "the newest, in their order");
            drop(inside);
        }
        // The task still takes the lock at times: packets sent then are queued as well, and sent in order.
        for n in 1_000..1_100 {
            assert!(shared.send_rtp(packet(n)).is_ok());
            let gone = async {
                while shared.waits.load(Ordering::Acquire) || !shared.waiting.lock().is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the task sends what waited");
        }
        let mut closed = shared.closed.subscribe();
        shared.start_close();
        tokio::time::timeout(Duration::from_secs(20), closed.wait_for(|closed| *closed))
            .await
            .expect("closed")
            .expect("reported");
        assert!(shared.send_rtp(packet(1_100)).is_err());
    }
}
