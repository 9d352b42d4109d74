//! Sockets, clock and task of one peer connection.
//!
//! Whoever calls locks the core, lets it work and sends what it gives to the sockets; nothing is awaited. What it has to
//! report is reported by one task alone, in order and without the lock, so that an observer may call back.
//!
//! Part of the engine's module. Must not know: negotiation, media, what datagrams mean.

use super::super::engine::*;
use super::super::environment::{Datagrams, Environment};
use super::super::gate::Gate;
use super::super::tasks::Tasks;
use super::super::trace::Trace;
use super::super::udp::{bind_addresses, PlainSocket};
use super::core::{Core, News, Setup};
use super::inbound::Came;
use super::{closed, error};
use crate::core::model::PeerKind;
use crate::log::{oh_log, Level};
use crate::lookup::{self, Party};
use crate::panics::contain;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
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
/// Errors of a socket in a row after which it is given up.
const MAX_ERRORS: u32 = 64;
/// The longest datagram that is of any use.
const DATAGRAM: usize = 2_048;
/// Messages of one channel that wait to be read before none is taken from the engine.
const MAX_UNREAD: usize = 64;
/// Messages taken from the engine at once.
const MESSAGES: usize = 16;

thread_local! {
    static BUFFER: RefCell<[u8; DATAGRAM]> = const { RefCell::new([0; DATAGRAM]) };
}

#[derive(Debug)]
enum Socket {
    Udp(PlainSocket),
    Other(SocketAddr, Arc<dyn Datagrams>),
}

impl Socket {
    fn local(&self) -> SocketAddr {
        match self {
            Socket::Udp(socket) => socket.local_addr(),
            Socket::Other(local, _) => *local,
        }
    }

    fn send(&self, to: SocketAddr, contents: &[u8]) {
        match self {
            Socket::Udp(socket) => socket.send(to, contents),
            Socket::Other(_, place) => place.send(to, contents),
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        match self {
            Socket::Udp(socket) => socket.poll_recv(cx, buffer),
            Socket::Other(_, place) => place.poll_recv(cx, buffer).map(Ok),
        }
    }
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

/// The core with its sockets, until it is closed.
struct Inside {
    core: Core,
    sockets: Arc<[Socket]>,
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
            if let Some(socket) = self.sockets.iter().find(|socket| socket.local() == datagram.from) {
                socket.send(datagram.to, &datagram.contents);
            }
        }
        done.ok()
    }
}

/// What a peer connection's parts share.
pub(super) struct Shared {
    pub(super) trace: Arc<Trace>,
    pub(super) closed: watch::Sender<bool>,
    environment: Option<Arc<dyn Environment>>,
    names: Party,
    gate: Arc<Gate>,
    tasks: Tasks,
    inside: Mutex<Option<Inside>>,
    /// Wakes the task.
    waker: AtomicWaker,
    /// Whether the task is over.
    over: Mutex<bool>,
}

impl Shared {
    /// Opens the sockets, makes the core, and starts the task. Inside the tokio runtime.
    pub(super) fn open_peer(
        kind: PeerKind,
        options: PeerOptions,
        environment: Option<Arc<dyn Environment>>,
        names: Party,
        trace: Arc<Trace>,
        gate: Arc<Gate>,
        tasks: Tasks,
    ) -> EngineResult<Arc<Self>> {
        let interfaces = if options.loopback_only {
            Vec::new()
        } else {
            let found = rtc::shared::ifaces::ifaces().unwrap_or_default();
            found.into_iter().filter_map(|interface| Some(interface.addr?.ip())).collect()
        };
        let mut sockets = Vec::new();
        for address in bind_addresses(options.loopback_only, interfaces) {
            // One address that is gone again is none of the others' business.
            let Ok(socket) = std::net::UdpSocket::bind(address) else { continue };
            let opened = match &environment {
                Some(environment) => socket.local_addr().map(|at| Socket::Other(at, environment.socket(at))),
                None => PlainSocket::new(socket, tasks.share().clone()).map(Socket::Udp),
            };
            sockets.extend(opened);
        }
        if sockets.is_empty() {
            return Err(error(EngineErrorKind::System, "no socket could be opened"));
        }
        let now = environment.as_ref().map_or_else(Instant::now, |e| e.now());
        let locals = sockets.iter().map(Socket::local).collect();
        let sockets: Arc<[Socket]> = sockets.into();
        let setup = Setup { kind, options, trace: trace.clone(), sockets: locals };
        let core = contain(|| Core::new(now, setup))
            .map_err(|_| error(EngineErrorKind::Internal, "the engine failed inside"))??;
        let shared = Arc::new(Self {
            trace,
            closed: watch::Sender::new(false),
            environment,
            names,
            gate,
            tasks,
            inside: Mutex::new(Some(Inside { core, sockets: sockets.clone(), slow_calls: 0, broken: false })),
            waker: AtomicWaker::new(),
            over: Mutex::new(false),
        });
        let mut driver = Driver::new(shared.clone(), sockets);
        let task = std::future::poll_fn(move |cx| driver.poll(cx));
        let (gate, at_end) = (shared.gate.clone(), shared.clone());
        shared.tasks.spawn_guarded("driver", task, move || gate.state(PeerState::Failed), move || at_end.task_over());
        Ok(shared)
    }

    fn now(&self) -> Instant {
        self.environment.as_ref().map_or_else(Instant::now, |e| e.now())
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
            self.waker.wake();
        }
        done.unwrap_or_else(|| Err(error(EngineErrorKind::Internal, "the engine failed inside")))
    }

    /// Runs one call into the core.
    pub(super) fn call<T>(&self, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.with(true, work)
    }

    /// The same for what changes no deadline.
    pub(super) fn send<T>(&self, work: impl FnOnce(&mut Core, Instant) -> EngineResult<T>) -> EngineResult<T> {
        self.with(false, work)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Core) -> T) -> EngineResult<T> {
        self.with(false, |core, _| Ok(look(core)))
    }

    /// Starts closing unless that has begun; `closed` tells when it is done.
    pub(super) fn start_close(&self) {
        if !self.gate.begin_close() {
            return;
        }
        if *self.over.lock() {
            self.ended();
        } else {
            self.waker.wake();
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

    /// The task has ended: as it should, by a panic, or with its runtime.
    fn task_over(&self) {
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
        let (shared, names, mut over) = (Arc::downgrade(self), self.names, self.closed.subscribe());
        self.tasks.spawn("lookup", async move {
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

type Sleeping = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The task of one peer connection.
struct Driver {
    shared: Arc<Shared>,
    /// With the errors of each in a row.
    sockets: Arc<[Socket]>,
    errors: Vec<u32>,
    news: VecDeque<News>,
    sinks: HashMap<u64, Box<dyn PacketSink>>,
    unread: BTreeMap<Arc<str>, Unread>,
    /// Whether there may be messages to take.
    data: bool,
    deadline: Option<Instant>,
    timer: Option<(Instant, Sleeping)>,
}

impl Driver {
    fn new(shared: Arc<Shared>, sockets: Arc<[Socket]>) -> Self {
        Self {
            shared,
            errors: vec![0; sockets.len()],
            sockets,
            news: VecDeque::new(),
            sinks: HashMap::new(),
            unread: BTreeMap::new(),
            data: false,
            deadline: None,
            timer: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        // There may have been a call before.
        self.data |= self.work_timed(false, |core, _| core.has_channels()).unwrap_or(false);
        loop {
            self.tell();
            if self.shared.gate.is_closing() {
                self.finish();
                return Poll::Ready(());
            }
            let mut any = false;
            for index in 0..self.sockets.len() {
                any |= self.receive(cx, index);
            }
            any |= self.tick(cx);
            any |= self.read(cx);
            if !any {
                return Poll::Pending;
            }
        }
    }

    fn work<T>(&mut self, work: impl FnOnce(&mut Core, Instant) -> T) -> Option<T> {
        self.work_timed(true, work)
    }

    /// Lets the core work and takes over what it has to say.
    fn work_timed<T>(&mut self, timed: bool, work: impl FnOnce(&mut Core, Instant) -> T) -> Option<T> {
        let shared = self.shared.clone();
        let mut inside = shared.inside.lock();
        let inside = inside.as_mut()?;
        let now = shared.now();
        let done = inside.work(timed, |core| work(core, now));
        self.deadline = if inside.broken { None } else { inside.core.deadline() };
        while let Some(news) = inside.core.take_news() {
            self.news.push_back(news);
        }
        done
    }

    /// Reads one datagram of a socket; whether there was one.
    fn receive(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        if self.errors[index] >= MAX_ERRORS {
            return false;
        }
        let sockets = self.sockets.clone();
        let socket = &sockets[index];
        BUFFER.with_borrow_mut(|buffer| match socket.poll_recv(cx, buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok((length, from))) => {
                self.errors[index] = 0;
                let datagram = &buffer[..length];
                let media = datagram.first().is_some_and(|first| *first >= 128);
                self.data |= !media;
                self.work_timed(!media, |core, now| core.datagram(now, socket.local(), from, datagram));
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

    /// Arms the timer; whether it was due.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        // One that is early is as good: it looks again.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let wait = deadline.saturating_duration_since(self.shared.now());
            let sleep: Sleeping = match &self.shared.environment {
                Some(environment) => environment.sleep(wait),
                None => Box::pin(tokio::time::sleep(wait)),
            };
            self.timer = Some((deadline, sleep));
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        self.work(|core, now| {
            if core.deadline().is_some_and(|deadline| deadline <= now) {
                core.timeout(now);
            }
        });
        self.data = true;
        true
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
                    if let Some(sink) = gate.track(info) {
                        self.sinks.insert(id, sink);
                    }
                }
                News::Came(Came::Renegotiated(id, info)) => {
                    if let Some(sink) = self.sinks.get_mut(&id) {
                        sink.renegotiated(&info);
                    }
                }
                News::Came(Came::Gone(id)) => drop(self.sinks.remove(&id)),
                News::Came(Came::Unassigned { ssrc, packets, new }) => gate.unassigned(ssrc, packets, new),
                News::Unplayable(info) => gate.unplayable(info),
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
