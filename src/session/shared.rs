//! What the application's threads and the actor of a call share.
//!
//! Commands go through a bounded channel; leaving goes past it, so that a flood of commands can not
//! keep a call from ending. State is published under a small lock that nobody holds for long.
//! Must not know: C, wire types, the engine.

use super::{
    actor,
    data::Outbox,
    events::EventHub,
    latch::HandedOver,
    line::Line,
    ops::Peers,
    outgoing::Outgoing,
    playout::{AudioOptions, ReceiveTotals},
    AudioFrame, TrackOptions,
};
use crate::core::model::{Capabilities, Counts, DataOut, Dialect, PeerKind, RpcFailure, SelfUpdate, Wish};
use crate::core::{rng::Rng, Config, Counters, End, EndReason, Event, Input, State, TrackId};
use crate::dispatch::{Class, Mailbox};
use crate::error::{Code, Error, Result, Secret};
use crate::rtc::engine::Engine;
use crate::runtime;
use crate::signalling::{stream::Coordinator, CallFacts, Protocol};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, Notify};

/// What a call says to the application.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Milliseconds since the join began.
    pub at_ms: u64,
    pub event: Event,
}

/// How a call reaches its servers; shared by the calls of one client.
#[derive(Clone)]
pub struct Connection {
    pub protocol: Arc<dyn Protocol>,
    pub engine: Arc<dyn Engine>,
    /// Who passes custom events on, where the protocol has such.
    pub coordinator: Option<Arc<Coordinator>>,
    /// The coordinator's events, when the application wants them.
    pub events: Option<Arc<EventHub>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

#[derive(Clone, Debug)]
pub struct CallOptions {
    pub config: Config,
    /// False: a track is received only when the application asks for it.
    pub auto_subscribe: bool,
    pub audio: AudioOptions,
}

/// Orders of the application to the actor.
#[derive(Debug)]
pub(super) enum Command {
    Token(Option<Secret>),
    Publish(Arc<Outgoing>),
    Unpublish(TrackId),
    Mute(TrackId, bool),
    ClosePeer(PeerKind),
    /// Anything that the core takes as it is.
    Input(Input),
}

/// Commands that may wait for the actor.
const COMMANDS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Status {
    pub state: State,
    pub end: Option<End>,
    pub counters: Counters,
    pub counts: Counts,
    pub participants: usize,
}

/// Figures that media tasks count without a lock.
#[derive(Debug, Default)]
pub(super) struct MediaCounters {
    pub received: AtomicU64,
    pub bytes_received: AtomicU64,
    pub sent: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub send_failed: AtomicU64,
    pub frames_played: AtomicU64,
    pub joined_ms: AtomicU64,
    pub first_audio_ms: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// In the log: CALL/USER.
    pub name: Box<str>,
    pub mailbox: Mailbox<Notice, AudioFrame>,
    pub began: Instant,
    pub status: Mutex<Status>,
    pub changed: Condvar,
    pub media: MediaCounters,
    pub receive: Mutex<ReceiveTotals>,
    handed_over: Arc<HandedOver>,
    leave: Mutex<Option<String>>,
    pub leave_asked: Notify,
    left: AtomicBool,
    pub subscriber_closed: AtomicBool,
    pub publisher_closed: AtomicBool,
    /// Data on its way out.
    pub outbox: Arc<Outbox>,
    /// Data that arrived and was more than may wait.
    pub data_lost: AtomicU64,
    /// Bytes of data that wait for the actor.
    pub data_waiting: AtomicUsize,
}

impl Shared {
    /// The reason given by the application that wants to leave, once.
    pub fn take_leave(&self) -> Option<String> {
        self.leave.lock().take()
    }

    pub fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Publishes an event: state first, so that who wakes up finds it.
    pub fn tell(&self, event: Event) {
        let at_ms = self.ms();
        match &event {
            Event::State { state, .. } => {
                self.status.lock().state = *state;
                self.changed.notify_all();
            }
            Event::Joined { .. } => {
                let _ = self.media.joined_ms.compare_exchange(0, at_ms.max(1), Ordering::Relaxed, Ordering::Relaxed);
            }
            Event::Ended(end) => {
                let mut status = self.status.lock();
                if status.end.is_some() {
                    return;
                }
                status.state = State::Left;
                status.end = Some(end.clone());
                drop(status);
                self.changed.notify_all();
                self.mailbox.post_last(Notice { at_ms, event });
                return;
            }
            _ => {}
        }
        let class = match &event {
            Event::State { .. } => Class::Vital(0),
            Event::Joined { .. } => Class::Vital(1),
            Event::TokenNeeded => Class::Vital(2),
            Event::LocalPublished { .. } | Event::LocalFailed { .. } => Class::Vital(3),
            _ => Class::Normal,
        };
        self.mailbox.post(Notice { at_ms, event }, class);
    }

    pub fn end(&self, reason: EndReason, error: Error) {
        let text = error.message.to_string();
        self.tell(Event::Ended(End { reason, error: Some(error), text }));
    }

    pub fn is_over(&self) -> bool {
        self.status.lock().end.is_some()
    }
}

/// Figures of one call at one moment.
#[derive(Clone, Debug, Default)]
pub struct CallStats {
    pub counters: Counters,
    pub participants: u32,
    pub counts: Counts,
    pub joined_ms: u64,
    pub first_audio_ms: u64,
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    pub frames_played: u64,
    pub frames_concealed: u64,
    pub frames_fec: u64,
    pub jitter_ms: u32,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub media_dropped: u64,
    /// Packets and texts of participants, both ways, that were lost or could not be put together.
    pub data_dropped: u64,
    pub events_lost: u64,
}

/// A call. Dropping it leaves.
#[derive(Debug)]
pub struct Call {
    pub(super) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    line: Arc<Line>,
    tracks: Mutex<HashMap<TrackId, Arc<Outgoing>>>,
    next_track: AtomicU64,
    next_rpc: AtomicU64,
    dialect: &'static Dialect,
    seed: u64,
}

impl Call {
    /// Prepares a call; nothing happens before [`Launch::start`].
    ///
    /// # Errors
    /// `Limit` when the runtime cannot be started, `State` while the library shuts down.
    pub fn new(
        connection: Connection,
        options: CallOptions,
        mailbox: Mailbox<Notice, AudioFrame>,
        handed_over: Arc<HandedOver>,
    ) -> Result<(Arc<Self>, Launch)> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared {
            name: format!("{}/{}", options.config.call_id, options.config.user_id).into(),
            mailbox,
            began: Instant::now(),
            status: Mutex::default(),
            changed: Condvar::new(),
            media: MediaCounters::default(),
            receive: Mutex::default(),
            handed_over,
            leave: Mutex::default(),
            leave_asked: Notify::new(),
            left: AtomicBool::new(false),
            subscriber_closed: AtomicBool::new(!options.config.subscribe),
            publisher_closed: AtomicBool::new(false),
            outbox: Arc::default(),
            data_lost: AtomicU64::new(0),
            data_waiting: AtomicUsize::new(0),
        });
        let seed = options.config.seed;
        let dialect = connection.protocol.dialect();
        let config = &options.config;
        let facts = CallFacts {
            call_type: config.call_type.clone(),
            call_id: config.call_id.clone(),
            user_id: config.user_id.clone(),
            auto_subscribe: options.auto_subscribe,
        };
        let line = Line::hold(
            connection.protocol.signalling(facts),
            connection.coordinator.clone(),
            connection.events.clone(),
            config.call_type.clone(),
            config.call_id.clone(),
            shared.clone(),
        );
        let calls = line.clone();
        let stop = runtime::global().stop_signal()?;
        let (actor, peers) = actor::Actor::new(connection, line, options, shared.clone(), inbox, stop);
        let launch = Launch { actor, peers, shared: shared.clone() };
        let call = Self {
            shared,
            commands,
            line: calls,
            tracks: Mutex::default(),
            next_track: AtomicU64::new(1),
            next_rpc: AtomicU64::new(1),
            dialect,
            seed,
        };
        Ok((Arc::new(call), launch))
    }

    pub fn mailbox(&self) -> &Mailbox<Notice, AudioFrame> {
        &self.shared.mailbox
    }

    pub fn state(&self) -> State {
        self.shared.status.lock().state
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.shared.status.lock().end.clone()
    }

    /// Leaves: asynchronous, idempotent, over within two seconds. From any thread.
    pub fn leave(&self, reason: &str) {
        if !self.shared.left.swap(true, Ordering::AcqRel) {
            *self.shared.leave.lock() = Some(reason.to_owned());
            self.shared.leave_asked.notify_one();
        }
    }

    /// Waits until the call is in `state`; for `Left`, until the terminal event was handed over.
    ///
    /// # Errors
    /// `Timeout`; when the call ends first, the error it ended with, `Cancelled` when the
    /// application itself left; `WouldDeadlock` inside a callback of this call.
    pub fn wait(&self, state: State, timeout: Duration) -> Result<()> {
        if self.shared.mailbox.in_callback_of_this() {
            return Err(Error::new(
                Code::WouldDeadlock,
                "oh_call_wait: inside a callback of the same call; use the events instead",
            ));
        }
        let deadline = Instant::now().checked_add(timeout);
        let mut status = self.shared.status.lock();
        loop {
            if status.state == state && state != State::Left {
                return Ok(());
            }
            if state == State::Left && status.end.is_some() {
                drop(status);
                return if self.shared.handed_over.wait(deadline) {
                    Ok(())
                } else {
                    Err(Error::new(Code::Timeout, "oh_call_wait: the call is over, but a callback has not returned"))
                };
            }
            if let Some(end) = &status.end {
                return Err(end.error.clone().unwrap_or_else(|| match end.reason {
                    EndReason::Left => Error::new(Code::Cancelled, "the application left the call"),
                    _ => Error::new(Code::State, format!("the call is over: {}", end.text)),
                }));
            }
            let timed_out = match deadline {
                Some(deadline) => self.shared.changed.wait_until(&mut status, deadline).timed_out(),
                None => {
                    self.shared.changed.wait(&mut status);
                    false
                }
            };
            if timed_out && (status.state != state || state == State::Left) && status.end.is_none() {
                return Err(Error::new(
                    Code::Timeout,
                    format!("oh_call_wait: still {:?} after {} ms", status.state, timeout.as_millis()),
                ));
            }
        }
    }

    fn command(&self, command: Command) -> Result<()> {
        if self.shared.is_over() {
            return Err(Error::new(Code::State, "the call is over"));
        }
        self.commands.try_send(command).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(Code::Full, "the call has too many requests under way; try again later")
            }
            mpsc::error::TrySendError::Closed(_) => Error::new(Code::State, "the call is over"),
        })
    }

    /// Ends the call because of a defect that showed outside of its tasks; milliseconds since the join.
    pub(crate) fn fail(&self, text: &str) -> u64 {
        let text = format!("the call ended by a defect of the library: {text}");
        self.shared.end(EndReason::Internal, Error::new(Code::Internal, text));
        self.shared.leave_asked.notify_one();
        self.shared.ms()
    }

    /// The application's answer to `TokenNeeded`.
    pub fn provide_token(&self, token: Option<Secret>) -> Result<()> {
        if let Some(token) = &token {
            self.line.offer_token(token, self.dialect.admits_at_socket)?;
        }
        self.command(Command::Token(token))
    }

    /// Sends a custom event to everyone who watches the call: asynchronous, in order; a failure
    /// comes as an error event.
    ///
    /// # Errors
    /// `Argument` when `json` is no JSON object or larger than 16 KiB; `State` before the join and
    /// after the end; `Full` when 32 of them wait.
    pub fn send_custom(&self, json: String) -> Result<()> {
        self.line.send_custom(json)
    }

    /// What the call's protocol can do.
    pub fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities
    }

    /// Refuses what the protocol does not have, by name.
    fn needs(&self, wanted: Capabilities, what: &str) -> Result<()> {
        if self.dialect.capabilities.has(wanted) {
            return Ok(());
        }
        let text = format!(
            "{what}: the protocol of this call ({}) does not have it; see oh_call_capabilities",
            self.dialect.name
        );
        Err(Error::new(Code::Unsupported, text))
    }

    /// Sends data to other participants; asynchronous, in order per delivery.
    ///
    /// # Errors
    /// `Unsupported`; `State` before the join and after the end; `Full` when too much waits.
    pub fn send_data(&self, message: DataOut, wanted: Capabilities, what: &str) -> Result<()> {
        self.needs(wanted, what)?;
        if self.shared.is_over() {
            return Err(Error::new(Code::State, "the call is over"));
        }
        if self.shared.media.joined_ms.load(Ordering::Relaxed) == 0 {
            return Err(Error::new(Code::State, format!("{what}: the call is not joined yet")));
        }
        if self.shared.publisher_closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, format!("{what}: the publisher of this call was closed")));
        }
        let packets = self.line.signalling().encode(&message);
        self.shared.outbox.push(message.delivery, packets, what)?;
        if self.shared.outbox.begin() {
            if let Err(error) = self.command(Command::Input(Input::WantData)) {
                self.shared.outbox.begin_again();
                return Err(error);
            }
        }
        Ok(())
    }

    /// A name for a text on its way, the same for no other.
    pub fn text_id(&self) -> String {
        let number = self.next_rpc.fetch_add(1, Ordering::Relaxed);
        Rng::new(self.seed ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9)).uuid()
    }

    /// Calls a procedure of another participant; the answer is an event with the number returned.
    ///
    /// # Errors
    /// `Unsupported`; `State` after the end; `Full` when too many requests are under way.
    pub fn call_rpc(&self, to: String, method: String, payload: String, timeout: Duration) -> Result<u64> {
        self.needs(Capabilities::RPC, "rpc")?;
        let id = self.next_rpc.fetch_add(1, Ordering::Relaxed);
        self.command(Command::Input(Input::CallRpc { id, to, method, payload, timeout }))?;
        Ok(id)
    }

    /// Answers a procedure call of another participant.
    ///
    /// # Errors
    /// As [`Call::call_rpc`].
    pub fn answer_rpc(&self, id: String, answer: Result<String, RpcFailure>) -> Result<()> {
        self.needs(Capabilities::RPC, "rpc")?;
        self.command(Command::Input(Input::AnswerRpc { id, answer }))
    }

    /// Changes what this participant says of itself.
    ///
    /// # Errors
    /// `Unsupported`; `State` after the end; `Full`.
    pub fn update_self(&self, update: SelfUpdate) -> Result<()> {
        self.needs(Capabilities::ATTRIBUTES, "attributes")?;
        self.command(Command::Input(Input::UpdateSelf(update)))
    }

    /// Says what is wanted of one remote track; kept over reconnects.
    ///
    /// # Errors
    /// As [`Call::update_self`].
    pub fn wish(&self, track_id: String, wish: Wish) -> Result<()> {
        self.needs(Capabilities::SUBSCRIPTIONS, "subscribe")?;
        self.command(Command::Input(Input::Wish { track_id, wish }))
    }

    /// Publishes an audio track; whether it is on the air comes as an event.
    pub fn publish_audio(&self, options: TrackOptions) -> Result<Arc<Outgoing>> {
        if self.shared.publisher_closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, "publish: the publisher of this call was closed"));
        }
        let id = self.next_track.fetch_add(1, Ordering::Relaxed);
        let track = Arc::new(Outgoing::new(id, options, self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15))?);
        self.tracks.lock().insert(id, track.clone());
        if let Err(error) = self.command(Command::Publish(track.clone())) {
            self.tracks.lock().remove(&id);
            return Err(error);
        }
        Ok(track)
    }

    /// Stops and unpublishes; idempotent.
    pub fn unpublish(&self, track: &Outgoing) {
        track.stop();
        if self.tracks.lock().remove(&track.id()).is_some() {
            let _ = self.command(Command::Unpublish(track.id()));
        }
    }

    /// Media follows at once; the others are told.
    pub fn mute(&self, track: &Outgoing, muted: bool) -> Result<()> {
        track.set_muted(muted);
        self.command(Command::Mute(track.id(), muted))
    }

    /// Closes what is received, for good, while the call goes on. Idempotent. Media that is queued
    /// is discarded; a callback in progress on another thread is waited for.
    pub fn close_subscriber(&self) {
        self.shared.subscriber_closed.store(true, Ordering::Release);
        self.shared.mailbox.close_media();
        let _ = self.command(Command::ClosePeer(PeerKind::Subscriber));
        self.shared.mailbox.quiesce();
    }

    /// Closes what is sent, for good, while the call goes on. Idempotent.
    pub fn close_publisher(&self) {
        self.shared.publisher_closed.store(true, Ordering::Release);
        let tracks: Vec<_> = self.tracks.lock().drain().map(|(_, track)| track).collect();
        for track in tracks {
            track.stop();
        }
        let _ = self.command(Command::ClosePeer(PeerKind::Publisher));
    }

    pub fn stats(&self) -> CallStats {
        let status = self.shared.status.lock();
        let (counters, counts, participants) = (status.counters, status.counts, status.participants);
        drop(status);
        let media = &self.shared.media;
        let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let receive = *self.shared.receive.lock();
        let queue = self.shared.mailbox.counts();
        CallStats {
            counters,
            counts,
            participants: u32::try_from(participants).unwrap_or(u32::MAX),
            joined_ms: load(&media.joined_ms),
            first_audio_ms: load(&media.first_audio_ms),
            packets_received: load(&media.received),
            bytes_received: load(&media.bytes_received),
            packets_lost: receive.lost,
            packets_late: receive.late,
            frames_played: load(&media.frames_played),
            frames_concealed: receive.concealed,
            frames_fec: receive.fec,
            jitter_ms: receive.jitter_ms,
            packets_sent: load(&media.sent),
            bytes_sent: load(&media.bytes_sent),
            data_dropped: counters.data_dropped + load(&self.shared.data_lost) + self.shared.outbox.dropped(),
            media_dropped: queue.media_dropped,
            events_lost: queue.control_lost,
        }
    }
}

/// A prepared call's actor.
pub struct Launch {
    actor: actor::Actor,
    peers: Peers,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Launch")
    }
}

impl Launch {
    /// Starts to join. The result comes as an event. Never waits.
    ///
    /// # Errors
    /// As [`Call::new`].
    pub fn start(self) -> Result<()> {
        let Self { actor, peers, shared } = self;
        let on_panic = move |text: String| {
            shared.end(
                EndReason::Internal,
                Error::new(Code::Internal, format!("the call ended by a defect of the library: {text}")),
            );
            peers.close_all();
        };
        runtime::spawn_guarded("call", actor.run(), on_panic).map(drop)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.leave("freed");
        for (_, track) in self.tracks.lock().drain() {
            track.stop();
        }
    }
}
