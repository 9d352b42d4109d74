//! One peer connection between its core and the world: the lock, the links, the clock, and who is told what.
//!
//! Whoever calls locks the core, lets it work and gives what it has to send to the links; nothing is awaited. What it
//! has to report is reported by the call's task alone, in order and without the lock, so that an observer may call back.
//!
//! Part of the engine's module. Must not know: negotiation, media, what datagrams mean.

use super::super::engine::*;
use super::super::gate::Gate;
use super::super::link::Link;
use super::super::trace::Trace;
use super::call::Call;
use super::core::{Core, News, Setup};
use super::inbound::Came;
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

/// Longest look-up of a STUN or TURN server's name.
const NAME: Duration = Duration::from_secs(3);
/// A call into the engine that takes longer is slow: some are forgiven, since on a small or emulated machine what is
/// done for the first time takes long.
const SLOW_CALL: Duration = Duration::from_millis(250);
/// Slow calls after which a peer connection fails.
const MAX_SLOW_CALLS: u32 = 5;
/// A call that takes longer fails its peer connection at once.
const MAX_CALL: Duration = Duration::from_secs(2);
/// Errors of a link in a row after which it is given up.
const MAX_ERRORS: u32 = 64;
/// Packets of media that may wait while somebody else is inside.
const MAX_WAITING: usize = 64;
/// The longest datagram that is of any use.
const DATAGRAM: usize = 2_048;
/// Datagrams of one link that are read one after the other before it is the others' turn.
const AT_ONCE: usize = 16;
/// Messages of one channel that wait to be read before none is taken from the engine.
const MAX_UNREAD: usize = 64;
/// Messages taken from the engine at once.
const MESSAGES: usize = 16;

thread_local! {
    static BUFFER: RefCell<[u8; DATAGRAM]> = const { RefCell::new([0; DATAGRAM]) };
}

/// What this thread has used of a processor: on a busy machine a call may take long without doing much.
pub(super) fn spent() -> Duration {
    #[cfg(target_os = "linux")]
    if let Ok(time) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID) {
        return time.into();
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The core with its links, until it is closed.
struct Inside {
    core: Core,
    links: Links,
    slow_calls: u32,
    /// The engine panicked or ran away inside: nobody calls it any more.
    broken: bool,
}

impl Inside {
    /// Lets the core work, and sends what it has to send. `None`: it failed inside. A packet of media is always little
    /// work; everything else is timed.
    fn work<T>(&mut self, timed: bool, work: impl FnOnce(&mut Core) -> T) -> Option<T> {
        if self.broken {
            return None;
        }
        let begun = timed.then(spent);
        let done = contain(|| work(&mut self.core));
        let took = begun.map_or(Duration::ZERO, |begun| spent().saturating_sub(begun));
        self.slow_calls += u32::from(took > SLOW_CALL);
        if done.is_err() || took > MAX_CALL || self.slow_calls >= MAX_SLOW_CALLS {
            self.broken = true;
            oh_log!(Level::Error, "a peer connection failed inside, after {took:?}");
            self.core.fail();
        }
        while let Some(datagram) = self.core.take_datagram() {
            if let Some(link) = self.links.iter().find(|link| link.local() == datagram.from) {
                link.send(datagram.to, &datagram.contents);
            }
        }
        done.ok()
    }
}

/// The ways of a peer connection into the network.
pub(super) type Links = Arc<[Arc<dyn Link>]>;

/// What a peer connection's parts share.
pub(super) struct Shared {
    pub(super) trace: Arc<Trace>,
    call: Arc<Call>,
    gate: Arc<Gate>,
    inside: Mutex<Option<Inside>>,
    /// Media that came while somebody else was inside: the task sends it.
    waiting: Mutex<VecDeque<rtc::rtp::Packet>>,
    /// Streams of which a key frame is asked for.
    wanted: Mutex<BTreeSet<u32>>,
    /// Whether there is some of either.
    waits: AtomicBool,
    /// Somebody else than the task has called.
    touched: AtomicBool,
    /// Tells look-ups that nobody waits for them any more.
    closed: watch::Sender<bool>,
    /// Whether nobody serves it any more.
    over: Mutex<bool>,
}

impl Shared {
    /// Makes the core of a peer connection, and who serves it.
    pub(super) fn new(
        call: Arc<Call>,
        kind: PeerKind,
        options: PeerOptions,
        links: Links,
        trace: Arc<Trace>,
        gate: Arc<Gate>,
    ) -> EngineResult<(Arc<Self>, Driver)> {
        let wall = NtpTime::since_1970(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let sockets = links.iter().map(|link| link.local()).collect();
        let setup = Setup { kind, options, trace: trace.clone(), sockets, wall };
        let now = call.now();
        let core = contain(|| Core::new(now, setup))
            .map_err(|_| error(EngineErrorKind::Internal, "the engine failed inside"))??;
        let inside = Mutex::new(Some(Inside { core, links: links.clone(), slow_calls: 0, broken: false }));
        let (touched, closed, over) = (AtomicBool::new(true), watch::Sender::new(false), Mutex::new(false));
        let (waiting, wanted, waits) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Self { trace, call, gate, inside, waiting, wanted, waits, touched, closed, over });
        let driver = Driver::new(shared.clone(), links);
        Ok((shared, driver))
    }

    fn now(&self) -> Instant {
        self.call.now()
    }

    /// Lets the task look at what was done.
    fn wake(&self) {
        self.touched.store(true, Ordering::Release);
        self.call.wake();
    }

    /// Fails once closing has begun.
    pub(super) fn open(&self) -> EngineResult<()> {
        if self.gate.is_closing() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    fn with<T>(&self, wake: bool, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.open()?;
        let mut inside = self.inside.lock();
        let Some(inside) = inside.as_mut() else { return Err(closed()) };
        let now = self.now();
        let done = inside.work(wake, |core| work(core, now));
        if wake || inside.core.has_news() {
            self.wake();
        }
        done.unwrap_or_else(|| Err(error(EngineErrorKind::Internal, "the engine failed inside")))
    }

    /// Runs one call into the core.
    pub(super) fn call<T>(&self, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.with(true, work)
    }

    /// Sends a packet of media. Whoever is inside is not waited for: then the task sends it, in its order.
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
        let sent = inside.work(false, |core| core.write_rtp(now, packet));
        if inside.core.has_news() {
            self.wake();
        }
        sent.unwrap_or_else(|| Err(error(EngineErrorKind::Internal, "the engine failed inside")))
    }

    /// Asks for a key frame of a stream, with the task's next turn; asked twice until then is asked once.
    pub(super) fn request_key_frame(&self, ssrc: u32) {
        let mut wanted = self.wanted.lock();
        if wanted.len() < MAX_WAITING {
            wanted.insert(ssrc);
        }
        self.waits.store(true, Ordering::Release);
        drop(wanted);
        self.wake();
    }

    /// Sends what had to wait.
    fn send_waiting(&self, inside: &mut Inside) {
        if !self.waits.swap(false, Ordering::AcqRel) {
            return;
        }
        let now = self.now();
        for packet in std::mem::take(&mut *self.waiting.lock()) {
            // Who sent it is not there any more to hear what became of it.
            let _ = inside.work(false, |core| core.write_rtp(now, packet));
        }
        for ssrc in std::mem::take(&mut *self.wanted.lock()) {
            let _ = inside.work(false, |core| core.request_key_frame(now, ssrc));
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Core) -> T) -> EngineResult<T> {
        self.with(false, |core, _| Ok(look(core)))
    }

    /// Starts closing unless that has begun; the observer hears of its end.
    pub(super) fn start_close(&self) {
        if !self.gate.begin_close() {
            return;
        }
        if *self.over.lock() {
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

    /// Gives everything up and tells the end. Twice is as good as once.
    fn close_now(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        let now = self.now();
        let mut unread = BTreeMap::new();
        if let Some(mut inside) = self.inside.lock().take() {
            inside.core.channels.end();
            unread = inside.work(false, |core| core.drain_data(now)).unwrap_or_default();
            inside.work(false, |core| core.close(now));
        }
        unread
    }

    /// Nobody serves it any more: as it should be, because that failed inside, or because the runtime is gone.
    fn served(&self) {
        // Whoever hears of it may let the peer connection go: that is over below.
        if !self.gate.is_closing() {
            self.gate.state(PeerState::Failed);
        }
        *self.over.lock() = true;
        if self.gate.is_closing() {
            self.ended();
        }
    }

    /// Finds a server, in a task of its own.
    fn look_up(self: &Arc<Self>, server: usize, host: String, port: u16) {
        let (shared, names, mut over) = (Arc::downgrade(self), self.call.names(), self.closed.subscribe());
        self.call.spawn("lookup", async move {
            let found = tokio::select! {
                _ = over.wait_for(|over| *over) => return,
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

/// The messages of one channel that wait to be read.
#[derive(Default)]
struct Unread {
    messages: VecDeque<Bytes>,
    waiting: Option<Waiting>,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There was nothing to do.
    Idle,
    /// There may be more.
    Again,
    /// The peer connection is closed.
    Over,
}

/// Serves one peer connection, as a part of the call's task.
pub(super) struct Driver {
    shared: Arc<Shared>,
    links: Links,
    /// Errors of each in a row.
    errors: Vec<u32>,
    news: VecDeque<News>,
    sinks: BTreeMap<u64, Box<dyn PacketSink>>,
    unread: BTreeMap<Arc<str>, Unread>,
    /// Whether there may be messages to take.
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
    fn new(shared: Arc<Shared>, links: Links) -> Self {
        Self {
            shared,
            errors: vec![0; links.len()],
            links,
            news: VecDeque::new(),
            sinks: BTreeMap::new(),
            unread: BTreeMap::new(),
            data: false,
            deadline: None,
            mark: Mark::of_thread(),
        }
    }

    /// It failed inside, or whoever it told something did.
    pub(super) fn failed(&self) {
        self.shared.gate.state(PeerState::Failed);
    }

    /// Does what there is to do, a little of everything.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        self.mark.reached("driver");
        if self.shared.touched.swap(false, Ordering::AcqRel) {
            self.data |= self.work_timed(false, |core, _| core.has_channels()).unwrap_or(false);
        }
        self.tell();
        if self.shared.gate.is_closing() {
            self.finish();
            return Turn::Over;
        }
        let mut any = false;
        for index in 0..self.links.len() {
            // Until it has no more: then it wakes the task, and nobody has to ask it again. The others have their turn
            // soon.
            let mut left = AT_ONCE;
            while left > 0 && self.receive(cx, index) {
                left -= 1;
            }
            any |= left == 0;
        }
        any |= self.read(cx);
        if any {
            Turn::Again
        } else {
            Turn::Idle
        }
    }

    /// When [`Driver::due`] is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time is this; what is due is done.
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

    /// Lets the core work and takes over what it has to say.
    fn work_timed<T>(&mut self, timed: bool, work: impl FnOnce(&mut Core, Instant) -> T) -> Option<T> {
        let shared = self.shared.clone();
        let mut inside = shared.inside.lock();
        let inside = inside.as_mut()?;
        shared.send_waiting(inside);
        let now = shared.now();
        let done = inside.work(timed, |core| work(core, now));
        self.deadline = if inside.broken { None } else { inside.core.deadline() };
        while let Some(news) = inside.core.take_news() {
            self.news.push_back(news);
        }
        done
    }

    /// Reads one datagram of a link; whether there was one.
    fn receive(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        if self.errors[index] >= MAX_ERRORS {
            return false;
        }
        let link = self.links[index].clone();
        BUFFER.with_borrow_mut(|buffer| match link.poll_recv(cx, buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok((length, from))) => {
                self.errors[index] = 0;
                let datagram = &buffer[..length];
                let media = datagram.first().is_some_and(|first| *first >= 128);
                self.data |= !media;
                self.work_timed(!media, |core, now| core.datagram(now, link.local(), from, datagram));
                true
            }
            Poll::Ready(Err(_)) => {
                self.errors[index] += 1;
                if self.errors.iter().all(|errors| *errors >= MAX_ERRORS) {
                    self.work(|core, _| core.fail());
                }
                true
            }
        }) && {
            self.tell();
            true
        }
    }

    /// Tells what has happened.
    fn tell(&mut self) {
        while let Some(news) = self.news.pop_front() {
            let gate = &self.shared.gate;
            match news {
                News::State(state) => gate.state(state),
                News::Candidate(json) => gate.candidate(json),
                News::Came(Came::Packet(id, packet)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.packet(packet);
                    }
                }
                News::Came(Came::Track(id, info)) => {
                    let control = Control { ssrc: info.ssrc, shared: Arc::downgrade(&self.shared) };
                    if let Some(mut sink) = gate.track(*info) {
                        sink.controlled_by(Arc::new(control));
                        self.sinks.insert(id, sink);
                    }
                }
                News::Came(Came::Renegotiated(id, info)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.renegotiated(&info);
                    }
                }
                News::Came(Came::Report(id, report)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.report(report);
                    }
                }
                // It was told whose it is.
                News::Came(Came::Feedback(..)) => {}
                News::Feedback(line, feedback) => line.tell(feedback),
                News::Came(Came::Gone(id)) => drop(self.sinks.remove(&id)),
                News::Came(Came::Unassigned { ssrc, packets, new }) => gate.unassigned(ssrc, packets, new),
                News::Unplayable(info) => gate.unplayable(*info),
                News::ChannelOpen(label) => gate.channel_open(&label),
                News::Unread(label, messages, bytes) => gate.data_unread(&label, messages, bytes),
                News::LookUp { server, host, port } => self.shared.look_up(server, host, port),
            }
        }
    }

    /// Hands messages on, as far as there is room for them; whether there were any.
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
                        // There is room, and somebody else had it: after the others' turn.
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
        self.tell();
        for (label, message) in read {
            any = true;
            self.unread.entry(label).or_default().messages.push_back(message);
        }
        any
    }

    /// The end: unread messages are reported, and everything is released.
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
    use super::*;
    use crate::lookup::Party;

    struct Nobody;

    impl PeerObserver for Nobody {
        fn candidate(&self, _: String) {}
        fn state(&self, _: PeerState) {}
        fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
            None
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn media_waits_for_nobody_and_goes_in_its_order() {
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let tasks = Tasks::new(tokio::runtime::Handle::current(), Arc::default());
        let call = Arc::new(Call::new(tasks, None, Party::new()));
        let shared = call.open(PeerKind::Publisher, options, Arc::new(Nobody)).expect("a peer connection");
        let packet = |sequence_number| rtc::rtp::Packet {
            header: rtc::rtp::Header { version: 2, sequence_number, ..Default::default() },
            payload: Bytes::from_static(b"x"),
        };
        {
            // Somebody works inside for long.
            let inside = shared.inside.lock();
            for n in 0..1_000 {
                assert!(shared.send_rtp(packet(n)).is_ok());
            }
            let waiting: Vec<u16> = shared.waiting.lock().iter().map(|p| p.header.sequence_number).collect();
            assert_eq!(waiting, (1_000 - MAX_WAITING as u16..1_000).collect::<Vec<_>>(), "the newest, in their order");
            drop(inside);
        }
        // The task is still inside at times: what comes then waits, too, and goes in its turn.
        for n in 1_000..1_100 {
            assert!(shared.send_rtp(packet(n)).is_ok());
            let gone = async {
                while shared.waits.load(Ordering::Acquire) || !shared.waiting.lock().is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the task sends what waited");
        }
        let mut over = shared.closed.subscribe();
        shared.start_close();
        tokio::time::timeout(Duration::from_secs(20), over.wait_for(|over| *over))
            .await
            .expect("closed")
            .expect("told");
        assert!(shared.send_rtp(packet(1_100)).is_err());
    }
}
