//! The actor of one call: feeds its core, carries out the core's outputs, passes back the results.
//!
//! One task, no thread. Everything that takes time is a future beside it, so the actor answers the application and the
//! socket at once, and a slow call delays only itself.
//! Must not know: C, wire types; decides nothing.

mod orders;
mod peers;

use super::{
    inflow::Room,
    lift::Lift,
    network, notes,
    observer::{Observer, PeerEvents},
    ops::{self, Done, Peers, Pending},
    options::{CallOptions, Connection},
    orders::Waiting,
    outgoing::Outgoing,
    playout::Playout,
    report,
    service::ServiceHold,
    shared::{Command, Shared, Status, COMMANDS},
};
use crate::core::model::*;
use crate::core::{Action, Config, Core, End, EndReason, Event, Input, NetworkChange, Op, Output, PeerChange, TrackId};
use crate::log::{oh_log, Level};
use crate::rtc::engine::{MediaCall, PeerOptions, Routes};
use crate::runtime::{self, Stop};
use crate::share::{self, Share};
use crate::signalling::{Link, LinkOptions, LinkReceiver, Signalling, SocketIn};
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{atomic::Ordering, Arc},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout, Instant};

/// Inputs about remote tracks that may be queued for the actor.
const INBOX: usize = 1_024;
const RPC: Duration = Duration::from_secs(5);
/// How long a call that was left may still send when the library shuts down.
const STOP: Duration = Duration::from_millis(1_500);
/// After the end: longest wait for peer connections and socket to close.
const AFTERMATH: Duration = Duration::from_secs(1);

/// The call's other tasks; they end with it, also when the actor fails.
struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Tasks {
    fn abort(&self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}

struct Socket {
    generation: Generation,
    link: Arc<dyn Link>,
    /// `None` once it has ended.
    receiver: Option<Box<dyn LinkReceiver>>,
}

pub(super) struct Actor {
    /// Locked for one step at a time, never across an await.
    core: Arc<Mutex<Core>>,
    config: Config,
    connection: Connection,
    /// Ends with the actor.
    service: ServiceHold,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    peer_events: Arc<PeerEvents>,
    /// Boxed, as the commands are: a channel keeps slots for 32 of them, used or not.
    inputs: mpsc::Receiver<Box<Input>>,
    input_sender: mpsc::Sender<Box<Input>>,
    /// Bounded by its room; see `inflow.rs`.
    data: mpsc::UnboundedReceiver<(Room, Box<Input>)>,
    data_sender: mpsc::UnboundedSender<(Room, Box<Input>)>,
    stop: Stop,
    network: network::NetworkChanges,
    ops: FuturesUnordered<Pending>,
    /// More than one during a migration, or while a late one is being closed.
    sockets: Vec<Socket>,
    /// The link for requests: the newest one that opened.
    link: Option<(Generation, Arc<dyn Link>)>,
    signalling: Arc<dyn Signalling>,
    loopback_only: bool,
    /// Address in the URL of the SFU's socket, if it is one.
    server: Option<IpAddr>,
    /// Set with the first peer connection.
    media: Option<Arc<dyn MediaCall>>,
    peers: Peers,
    /// Peer connections that were ordered to close and have not closed yet; and those that closed by themselves before
    /// the core ordered it.
    closing: Vec<(Generation, PeerKind)>,
    closed: Vec<(Generation, PeerKind)>,
    tracks: HashMap<TrackId, Arc<Outgoing>>,
    /// Freed tracks that are still sending what was written to them.
    ending: Vec<TrackId>,
    /// Tracks to publish, each with the tracks of its source that were being freed at the time: it follows them.
    next_tracks: VecDeque<(Arc<Outgoing>, Vec<TrackId>)>,
    /// The application has left, and the rest is being sent.
    draining: bool,
    drain: Duration,
    playout: Arc<Playout>,
    report: report::Report,
    /// Of the last event reported.
    lift: Option<Lift>,
    tasks: Tasks,
    /// The core has had an input since its counters were published.
    fed: bool,
    epoch: Instant,
}

impl Actor {
    pub fn new(
        connection: Connection,
        service: ServiceHold,
        options: CallOptions,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        stop: Stop,
    ) -> (Self, Peers) {
        let (input_sender, inputs) = mpsc::channel(INBOX);
        let (data_sender, data) = mpsc::unbounded_channel();
        let peers = Peers::default();
        let playout = Playout::new(options.audio, shared.receiving());
        let _ = shared.playout.set(playout.clone());
        let signalling = service.signalling().clone();
        let core = Core::new(options.config.clone()).traced(shared.trace.clone());
        let core = shared.rules.get_or_init(|| Arc::new(Mutex::new(core))).clone();
        let actor = Self {
            core,
            config: options.config,
            connection,
            service,
            shared,
            commands,
            peer_events: Arc::default(),
            inputs,
            input_sender,
            data,
            data_sender,
            stop,
            network: network::changes(),
            ops: FuturesUnordered::new(),
            sockets: Vec::new(),
            link: None,
            signalling,
            loopback_only: false,
            server: None,
            media: None,
            peers: peers.clone(),
            closing: Vec::new(),
            closed: Vec::new(),
            tracks: HashMap::new(),
            ending: Vec::new(),
            next_tracks: VecDeque::new(),
            draining: false,
            drain: options.drain,
            playout,
            report: report::Report::default(),
            lift: None,
            tasks: Tasks(Vec::new()),
            fed: false,
            epoch: Instant::now(),
        };
        (actor, peers)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.fed = true;
        let mut core = self.core.lock();
        // The runtime's timers are a millisecond late: what was due before this input comes before it.
        if core.deadline().is_some_and(|at| at <= now) {
            core.tick(now);
        }
        core.handle(now, input);
    }

    pub async fn run(&mut self) {
        self.spawn("play", ops::play(self.playout.clone()));
        if self.config.dialect.data_channels {
            self.spawn("data", self.shared.outbox.clone().run(self.signalling.clone()));
        }
        self.input(Input::Start);
        let (mut stopping, mut freed) = (false, false);
        // A call that was left may send the rest even while the library shuts down.
        let mut stop_at = None;
        let peer_events = self.peer_events.clone();
        while !self.carry_out() {
            share::breathe().await;
            let deadline = self.core.lock().deadline().map(|d| self.epoch + d);
            tokio::select! {
                biased;
                () = self.shared.orders.asked() => self.on_orders(None),
                () = self.stop.requested(), if !stopping => {
                    stopping = true;
                    let wait = if self.draining { STOP } else { Duration::ZERO };
                    stop_at = Some(Instant::now() + wait);
                }
                () = sleep_until(stop_at.unwrap_or_else(Instant::now)), if stop_at.is_some() => {
                    stop_at = None;
                    let text = "the library is shutting down".to_owned();
                    self.input(Input::Abort(End { reason: EndReason::Shutdown, error: None, text }));
                }
                command = self.commands.recv(), if !freed => match command {
                    Some(command) => self.on_orders(Some(command)),
                    // Every handle is gone; the last one has asked to leave. Do not poll the channel again: it would
                    // always be ready, and the branches below would starve.
                    None => {
                        freed = true;
                        if !self.draining {
                            self.input(Input::Leave { reason: "freed".into() });
                        }
                    }
                },
                Some(done) = self.ops.next(), if !self.ops.is_empty() => self.on_done(done),
                () = peer_events.changed() => {
                    for input in peer_events.take() {
                        self.orders_first();
                        self.on_peer_event(input);
                    }
                }
                Some(input) = self.inputs.recv() => {
                    self.orders_first();
                    self.input(*input);
                }
                Some((room, input)) = self.data.recv() => {
                    // The resulting event holds its own room.
                    drop(room);
                    self.input(*input);
                }
                (generation, received) = next_message(&mut self.sockets) => {
                    self.orders_first();
                    self.on_socket(generation, received);
                }
                change = network::next(
                    &mut self.network,
                    self.loopback_only,
                    || self.media.as_ref().map_or(Routes::Unknown, |media| media.network_changed()),
                ) => {
                    if change != NetworkChange::Offline {
                        self.signalling.network_changed();
                    }
                    self.input(Input::Network(change));
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let now = self.now();
                    self.core.lock().tick(now);
                }
            }
        }
        self.aftermath().await;
    }

    /// After the terminal event: waits a moment for what is still closing.
    async fn aftermath(&mut self) {
        self.commands.close();
        for track in self.tracks.values() {
            track.stop();
        }
        self.tasks.abort();
        self.publish_counters();
        let peer_events = self.peer_events.clone();
        let rest = async {
            while !self.ops.is_empty() || !self.closing.is_empty() {
                tokio::select! {
                    Some(done) = self.ops.next(), if !self.ops.is_empty() => {
                        if let Done::Socket { result: Ok((link, _)), .. } = done {
                            link.close(1000, "");
                        }
                    }
                    () = peer_events.changed() => {
                        for input in peer_events.take() {
                            if let Input::Peer { generation, peer, change: PeerChange::Closed } = input {
                                self.closing.retain(|of| *of != (generation, peer));
                            }
                        }
                    }
                }
            }
        };
        // Operations that do not end in time are dropped, with their descriptors.
        let _ = timeout(AFTERMATH, rest).await;
        self.peers.close_all();
    }

    fn spawn(&mut self, name: &'static str, task: impl std::future::Future<Output = ()> + Send + 'static) {
        let shared = self.shared.clone();
        let peers = self.peers.clone();
        let on_panic = move |text: String| {
            let error = crate::error::Error::new(
                crate::error::Code::Internal,
                format!("the call ended because of a bug in the library: {text}"),
            );
            shared.end(EndReason::Internal, error);
            peers.close_all();
            shared.orders.wake();
        };
        match runtime::spawn_guarded(name, Share::current().run(task), on_panic) {
            Ok(task) => {
                self.tasks.0.retain(|t| !t.is_finished());
                self.tasks.0.push(task);
            }
            Err(error) => {
                let text = error.message.to_string();
                self.input(Input::Abort(End { reason: EndReason::Internal, error: Some(error), text }));
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Track(id) => self.unpublish(id),
            Done::Input(mut input) => {
                match &mut input {
                    Input::Admitted { result: Ok(admission), .. } => {
                        self.shared.secrets.learn_admission(admission);
                        admission.edge_name = self.shared.secrets.text(&admission.edge_name).into_owned();
                    }
                    Input::Rpc { result: Err(failure), .. } | Input::Admitted { result: Err(failure), .. } => {
                        self.shared.secrets.failure(failure);
                    }
                    _ => {}
                }
                match &input {
                    Input::Rpc { id, result: Err(failure), .. } => {
                        let (kind, code) = (&failure.kind, failure.code);
                        oh_log!(Level::Debug, "{}: request {id} failed: {kind:?}, code {code}", self.shared.name)
                    }
                    Input::Admitted { result: Err(failure), .. } => {
                        let (kind, code) = (&failure.kind, failure.code);
                        oh_log!(Level::Debug, "{}: not admitted: {kind:?}, code {code}", self.shared.name)
                    }
                    _ => {}
                }
                self.input(input);
            }
            Done::Socket { generation, result } => {
                let result = result.map(|(link, receiver)| {
                    if self.link.as_ref().is_none_or(|(newest, _)| *newest < generation) {
                        self.link = Some((generation, link.clone()));
                    }
                    self.sockets.push(Socket { generation, link, receiver: Some(receiver) });
                });
                let result = result.map_err(|mut failure| {
                    self.shared.secrets.failure(&mut failure);
                    failure
                });
                self.input(Input::SocketOpened { generation, result });
            }
        }
    }

    fn on_socket(&mut self, generation: Generation, received: SocketIn) {
        let input = match received {
            SocketIn::Message(message) => {
                if let SfuMessage::Token(token) = &message {
                    self.shared.secrets.learn(token);
                }
                Input::Message { generation, message }
            }
            SocketIn::Malformed => {
                oh_log!(Level::Debug, "a message from the SFU could not be parsed; dropped");
                Input::Malformed { generation }
            }
            SocketIn::Closed { code } => {
                self.end_reading(generation);
                Input::SocketClosed { generation, code: Some(code), failure: None }
            }
            SocketIn::Failed(mut failure) => {
                self.end_reading(generation);
                self.shared.secrets.failure(&mut failure);
                Input::SocketClosed { generation, code: None, failure: Some(failure) }
            }
        };
        self.input(input);
    }

    fn socket(&mut self, generation: Generation) -> Option<&mut Socket> {
        self.sockets.iter_mut().find(|s| s.generation == generation)
    }

    fn end_reading(&mut self, generation: Generation) {
        if let Some(socket) = self.socket(generation) {
            socket.receiver = None;
        }
    }

    /// Carries out all outputs of the core; true when the call has ended.
    fn carry_out(&mut self) -> bool {
        let mut ended = false;
        // First: the receiver of an event may read the counters at once.
        self.fed = false;
        self.publish_counters();
        while let Some(output) = self.next_output() {
            if std::mem::take(&mut self.fed) {
                self.publish_counters();
            }
            ended |= self.perform(output);
        }
        ended || self.shared.has_ended()
    }

    fn next_output(&self) -> Option<Output> {
        self.core.lock().poll_output()
    }

    fn publish_counters(&self) {
        let core = self.core.lock();
        let (counters, counts, grants) = (core.counters(), core.counts(), core.grants());
        let present = core.participants().count();
        drop(core);
        let mut status = self.shared.status.lock();
        let Status { counters: c, counts: n, participants, grants: g, .. } = &mut *status;
        (*c, *n, *g, *participants) = (counters, counts, grants, present);
    }

    /// Drops the counters of remote tracks that cannot come back.
    fn drop_ended_tracks(&self, event: &Event) {
        match event {
            Event::ParticipantLeft(p) => self.playout.forget_tracks(&p.session_id, None),
            // A track without an id may come back unchanged.
            Event::TrackUnpublished { session_id, track, cause, .. }
                if !track.local && !track.id.is_empty() && *cause != UnpublishCause::UserMuted =>
            {
                self.playout.forget_tracks(session_id, Some(&track.id))
            }
            _ => {}
        }
    }

    fn perform(&mut self, output: Output) -> bool {
        notes::note(&self.shared, &output);
        match output {
            Output::NeedToken => self.shared.emit(Event::TokenNeeded),
            Output::Admit { generation, token, request } => {
                let service = self.service.clone();
                self.ops.push(Box::pin(async move {
                    let result = service.join(*request, &token).await.map(Box::new);
                    Done::Input(Input::Admitted { generation, result })
                }));
            }
            Output::OpenSocket { generation, admission, session_id, attempt, resume } => {
                if let Some(media) = self.media.as_ref().filter(|_| resume) {
                    // Not every system tells of its changes: the restart that follows needs sockets where routes lead.
                    media.network_changed();
                }
                (self.loopback_only, self.server) = ops::place(&admission.ws_endpoint);
                let (signalling, socket_open) = (self.signalling.clone(), self.config.dialect.socket_open);
                let options = LinkOptions { admission: *admission, session_id, attempt, resume };
                self.ops.push(Box::pin(async move {
                    let result = signalling.open(options, Instant::now() + socket_open).await;
                    Done::Socket { generation, result }
                }));
            }
            Output::Send { generation, request } => {
                if let Some(socket) = self.socket(generation) {
                    if let Err(error) = socket.link.send(&request) {
                        oh_log!(Level::Debug, "a message to the SFU could not be queued: {error}");
                    }
                }
            }
            Output::CloseSocket { generation, code, reason } => {
                if let Some(socket) = self.socket(generation) {
                    socket.link.close(code, &reason);
                }
            }
            Output::DropSocket { generation } => {
                if let Some(index) = self.sockets.iter().position(|s| s.generation == generation) {
                    let Socket { link, receiver, .. } = self.sockets.swap_remove(index);
                    link.close(1000, "");
                    drop(receiver);
                    self.ops.push(Box::pin(async move {
                        let _ = timeout(AFTERMATH, link.done()).await;
                        Done::Nothing
                    }));
                }
            }
            Output::Rpc { generation, id, call } => {
                let link = self.link.as_ref().filter(|(g, _)| *g == generation).map(|(_, link)| link.clone());
                let shared = matches!(call, RpcCall::SendAnswer { .. }).then(|| self.shared.clone());
                let stays = self.config.dialect.subscriber_stays;
                self.ops.push(Box::pin(async move {
                    // Last check: no answer is sent after the subscriber was closed.
                    let closed = |s: Arc<Shared>| !stays && s.subscriber_closed.load(Ordering::Acquire);
                    let result = match link {
                        Some(_) if shared.is_some_and(closed) => {
                            Err(Failure::new(FailureKind::Connect, "the subscriber was closed"))
                        }
                        Some(link) => link.call(&call, RPC).await,
                        None => Err(Failure::new(FailureKind::Connect, "not joined")),
                    };
                    Done::Input(Input::Rpc { generation, id, result })
                }));
            }
            Output::Engine { generation, peer, op, action } => self.engine(generation, peer, op, action),
            Output::ClosePeer { generation, peer } => self.close_peer(generation, peer),
            Output::Bind { .. } | Output::PlayOut { .. } | Output::Unbind { .. } | Output::Forget { .. } => {
                self.playout.carry_out(output)
            }
            Output::Inspect { generation, peer } => self.inspect(generation, peer),
            Output::Sending { track, on } => {
                if let Some(outgoing) = self.tracks.get(&track).cloned() {
                    if outgoing.set_published(on) {
                        self.spawn("send", outgoing.pace(self.shared.media.clone()));
                    }
                }
            }
            Output::Moderated { track, muted } => {
                if let Some(outgoing) = self.tracks.get(&track) {
                    outgoing.set_moderated(muted);
                }
            }
            Output::CollectStats { generation, mark } => {
                let (publisher, subscriber) = self.report.collect(mark, &self.shared);
                self.input(Input::Stats { generation, mark, publisher, subscriber });
            }
            Output::CommitStats { mark } => self.report.commit(mark),
            Output::FlushStats { generation, session_id, unified_session_id } => {
                let (publisher_stats, subscriber_stats) = self.report.collect(0, &self.shared);
                let call = RpcCall::SendStats { session_id, unified_session_id, subscriber_stats, publisher_stats };
                if let Some((_, link)) = self.link.as_ref().filter(|(g, _)| *g == generation) {
                    let link = link.clone();
                    self.ops.push(Box::pin(async move {
                        // The result is not needed.
                        let _ = link.call(&call, AFTERMATH).await;
                        Done::Nothing
                    }));
                }
            }
            Output::Drain => {
                let (shared, within) = (self.shared.clone(), self.drain);
                self.ops.push(Box::pin(async move {
                    shared.sent(within).await;
                    Done::Input(Input::Drained)
                }));
            }
            Output::SendData(message) => {
                let packets = self.signalling.encode(&message);
                if let Err(error) = self.shared.outbox.push_internal(&message, packets) {
                    oh_log!(Level::Debug, "{}: {error}", self.shared.name);
                }
            }
            Output::Lifted { track } => {
                if let (Some(lift), Some(outgoing)) = (self.lift.take(), self.tracks.get(&track)) {
                    lift.add(outgoing.clone());
                }
            }
            Output::Event(event) => {
                self.drop_ended_tracks(&event);
                let lifts = matches!(&event, Event::TrackPublished { track, .. } if track.local && !track.held);
                self.lift = lifts.then(Lift::default);
                self.shared.emit_then(event, self.lift.clone());
            }
            Output::Debug(text, generation) => {
                let (call, text) = (&self.shared.name, self.shared.secrets.text(&text));
                oh_log!(Level::Debug, "{call}: {text} (generation {})", generation.0)
            }
            Output::Finished => return true,
        }
        false
    }
}

/// The next message of any socket; pending while there is none. Cancel safe.
async fn next_message(sockets: &mut [Socket]) -> (Generation, SocketIn) {
    let mut live = sockets.iter_mut().filter(|s| s.receiver.is_some());
    match (live.next(), live.next()) {
        (None, _) => std::future::pending().await,
        (Some(only), None) => of(only).await,
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(live).map(|s| Box::pin(of(s)));
            futures_util::future::select_all(all).await.0
        }
    }
}

async fn of(socket: &mut Socket) -> (Generation, SocketIn) {
    match &mut socket.receiver {
        Some(receiver) => (socket.generation, receiver.next().await),
        None => std::future::pending().await,
    }
}
