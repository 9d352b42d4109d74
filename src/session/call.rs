//! A call as its owner sees it: what the application may do with it, at any time, from any thread.
//!
//! Every function hands over to the actor and returns; what becomes of it comes as an event. Must not know: C, wire
//! types, the engine.

use super::{
    actor,
    latch::HandedOver,
    launch::Launch,
    notice::Notice,
    options::{CallOptions, Connection},
    outgoing::{LocalTrackStats, Outgoing},
    playout::RemoteTrackStats,
    service::ServiceConnection,
    shared::{Command, Shared, COMMANDS},
    stats::CallStats,
    AudioFrame, TrackOptions,
};
use crate::core::model::{Capabilities, DataOut, Dialect, Grants, RpcFailure, SelfUpdate, TrackKind, Wish};
use crate::core::trace::{Room, Trace};
use crate::core::{rng::Rng, End, EndReason, Input, Present, State, MAX_LOCAL_TRACKS};
use crate::dispatch::{Closing, Mailbox};
use crate::error::{Code, Error, Result, Secret};
use crate::runtime;
use crate::signalling::{CallFacts, Protocol};
use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// Procedure calls whose answers the application has not heard.
const RPCS: usize = 1_024;

/// Tracks of a call in all, those that are over and not freed included.
const MAX_TRACKS: usize = 4 * MAX_LOCAL_TRACKS;

/// A call. Dropping it leaves.
#[derive(Debug)]
pub struct Call {
    pub(super) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    service: Arc<ServiceConnection>,
    protocol: Arc<dyn Protocol>,
    call_id: String,
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
        let name = format!("{}/{}", options.config.call_id, options.config.user_id);
        let mut key = [0; 8];
        getrandom::fill(&mut key).map_err(|_| Error::new(Code::Limit, "the system gave no random numbers"))?;
        let trace = Trace::new(&options.config, u64::from_ne_bytes(key), Room::OF_A_CALL);
        let (subscribe, transforms) = (options.config.subscribe, options.transforms.clone());
        let shared = Shared::new(&name, mailbox, handed_over, subscribe, options.data, trace, transforms);
        shared.secrets.learn(&options.config.token);
        let seed = options.config.seed;
        let dialect = connection.protocol.dialect();
        let config = &options.config;
        let facts = CallFacts {
            call_type: config.call_type.clone(),
            call_id: config.call_id.clone(),
            user_id: config.user_id.clone(),
            auto_subscribe: options.auto_subscribe,
        };
        let (protocol, call_id) = (connection.protocol.clone(), config.call_id.clone());
        let hold = ServiceConnection::hold(protocol.signalling(facts), shared.clone());
        let service = hold.clone();
        let stop = runtime::global().stop_signal()?;
        let place = runtime::global().reserve("call")?;
        let (actor, peers) = actor::Actor::new(connection, hold, options, shared.clone(), inbox, stop);
        let launch = Launch::new(actor, peers, place, shared.clone());
        let call = Self {
            shared,
            commands,
            service,
            protocol,
            call_id,
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

    /// Leaves: asynchronous, idempotent, over within two seconds. From any thread. What was accepted before is
    /// sent, within the call's limit; from here on nothing more is accepted.
    pub fn leave(&self, reason: &str) {
        let mut left = self.shared.left.lock();
        if std::mem::replace(&mut *left, true) {
            return;
        }
        self.shared.outbox.seal();
        self.shared.custom.lock().seal();
        for track in self.shared.tracks.lock().values() {
            track.finish();
        }
        drop(left);
        self.shared.orders.give(|w| w.leave = Some(reason.to_owned()));
    }

    fn command(&self, command: Command) -> Result<()> {
        if self.shared.is_over() {
            return Err(Error::new(Code::State, "the call is over"));
        }
        let left = self.shared.left.lock();
        if *left {
            return Err(Error::new(Code::State, "the call was left"));
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
        self.shared.orders.wake();
        self.shared.ms()
    }

    /// The application's answer to `TokenNeeded`.
    ///
    /// # Errors
    /// `Argument` when the token names another call than this; `State` after the end; `Full`.
    pub fn provide_token(&self, token: Option<Secret>) -> Result<()> {
        if let Some(token) = &token {
            // It would lead to the call that it names.
            if self.protocol.call_of(token).is_some_and(|call| call != self.call_id) {
                return Err(Error::new(Code::Argument, "the token is for another call (claim video.room)"));
            }
            self.service.signalling().offer_token(token);
            self.shared.secrets.learn(token);
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
        self.service.send_custom(json)
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
            "{what}: the protocol of this call ({}) does not have it; see oh_call_get_capabilities",
            self.dialect.name
        );
        Err(Error::new(Code::Unsupported, text))
    }

    /// Refuses what this participant may not do, as far as is known; what is not known yet the core refuses.
    fn may(&self, right: impl Fn(&Grants) -> bool, what: &str, which: &str) -> Result<()> {
        if self.shared.status.lock().grants.is_none_or(|grants| right(&grants)) {
            return Ok(());
        }
        Err(Error::new(Code::Refused, format!("{what}: this participant has no right to {which} in this call")))
    }

    /// Sends data to other participants; asynchronous, in order per delivery.
    ///
    /// # Errors
    /// `Refused` without the right to send data; `Unsupported`; `State` before the join and after the end; `Full` when too much waits.
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
        self.may(|g| g.data, what, "send data")?;
        let packets = self.service.signalling().encode(&message);
        self.shared.outbox.push(&message, packets, what)?;
        if self.shared.outbox.begin() {
            self.shared.orders.give(|w| w.want_data = true);
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
        self.may(|g| g.data, "rpc", "send data")?;
        if !self.shared.rpcs.take(RPCS) {
            let text = format!("rpc: {RPCS} procedure calls are under way, or their answers wait to be heard");
            return Err(Error::new(Code::Full, text));
        }
        let id = self.next_rpc.fetch_add(1, Ordering::Relaxed);
        let asked = self.command(Command::Input(Box::new(Input::CallRpc { id, to, method, payload, timeout })));
        asked.inspect_err(|_| self.shared.rpcs.free())?;
        Ok(id)
    }

    /// Answers a procedure call of another participant.
    ///
    /// # Errors
    /// As [`Call::call_rpc`].
    pub fn answer_rpc(&self, id: String, answer: Result<String, RpcFailure>) -> Result<()> {
        self.needs(Capabilities::RPC, "rpc")?;
        self.may(|g| g.data, "rpc answer", "send data")?;
        self.command(Command::Input(Box::new(Input::AnswerRpc { id, answer })))
    }

    /// Changes what this participant says of itself.
    ///
    /// # Errors
    /// `Unsupported`; `State` after the end; `Full`.
    pub fn update_self(&self, update: SelfUpdate) -> Result<()> {
        self.needs(Capabilities::ATTRIBUTES, "attributes")?;
        self.may(|g| g.update_metadata, "attributes", "change its name, metadata and attributes")?;
        self.command(Command::Input(Box::new(Input::UpdateSelf(update))))
    }

    /// Says what is wanted of one remote track; kept over reconnects.
    ///
    /// # Errors
    /// As [`Call::update_self`].
    pub fn wish(&self, track_id: String, wish: Wish) -> Result<()> {
        self.needs(Capabilities::SUBSCRIPTIONS, "subscribe")?;
        self.may(|g| g.subscribe, "subscribe", "receive tracks")?;
        self.command(Command::Input(Box::new(Input::Wish { track_id, wish })))
    }

    /// Publishes an audio track; whether it is on the air comes as an event.
    pub fn publish_audio(&self, options: TrackOptions) -> Result<Arc<Outgoing>> {
        if self.shared.publisher_closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, "publish: the publisher of this call was closed"));
        }
        match options.source {
            TrackKind::Audio => self.may(|g| g.audio, "publish", "send audio")?,
            TrackKind::ScreenShareAudio => self.may(|g| g.screen_share, "publish", "share its screen")?,
            _ => return Err(Error::new(Code::Argument, "publish: audio comes of a microphone or of a screen")),
        }
        self.has_room_for_a_track()?;
        let id = self.next_track.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let track = Outgoing::new(id, options, seed, self.shared.audio.clone())?;
        let track = Arc::new(track.transformed(self.shared.transforms.sending()));
        self.shared.tracks.lock().insert(id, track.clone());
        if let Err(error) = self.command(Command::Publish(track.clone())) {
            self.shared.tracks.lock().remove(&id);
            return Err(error);
        }
        if self.shared.is_over() {
            // Meanwhile: nobody else ends it.
            track.stop();
        }
        Ok(track)
    }

    /// Tracks that are being sent to their end, and those that are over and not freed, are bounded as well.
    fn has_room_for_a_track(&self) -> Result<()> {
        let tracks = self.shared.tracks.lock();
        let live = tracks.values().filter(|track| !track.is_finished()).count();
        if live >= MAX_LOCAL_TRACKS {
            let text = format!("publish: {MAX_LOCAL_TRACKS} tracks are published; free one of them first");
            return Err(Error::new(Code::Limit, text));
        }
        if tracks.len() >= MAX_TRACKS {
            let text = "publish: too many tracks are over or being sent to their end; free them, or try again later";
            return Err(Error::new(Code::Full, text));
        }
        Ok(())
    }

    /// Unpublishes, after what was written has been sent; idempotent.
    pub fn unpublish(&self, track: &Outgoing) {
        track.finish();
        self.shared.orders.give(|w| {
            w.freed.insert(track.id());
        });
    }

    /// Media follows at once; the others are told, the last intent wins.
    ///
    /// # Errors
    /// `State` after the end.
    pub fn mute(&self, track: &Outgoing, muted: bool) -> Result<()> {
        if self.shared.is_over() {
            return Err(Error::new(Code::State, "the call is over"));
        }
        track.set_muted(muted);
        self.shared.orders.give(|w| {
            w.muted.insert(track.id(), muted);
        });
        Ok(())
    }

    /// Closes what is received, for good, while the call goes on. Idempotent. Media that is queued
    /// is discarded; a callback in progress on another thread is waited for, unless it waits for the caller.
    pub fn close_subscriber(&self) -> Closing {
        self.shared.subscriber_closed.store(true, Ordering::Release);
        self.shared.mailbox.close_media();
        self.shared.orders.give(|w| w.close_subscriber = true);
        self.shared.mailbox.quiesce()
    }

    /// Closes what is sent, at once and for good, while the call goes on: what was not sent by now is counted.
    /// Idempotent.
    pub fn close_publisher(&self) {
        self.shared.publisher_closed.store(true, Ordering::Release);
        let tracks: Vec<_> = self.shared.tracks.lock().drain().map(|(_, track)| track).collect();
        for track in tracks {
            track.stop();
        }
        self.shared.orders.give(|w| w.close_publisher = true);
    }

    /// Everybody in the call now, with their tracks: the local participant first, then the others by session id.
    ///
    /// It is the state that events are made of: at least as new as any event that was delivered, and exact when events
    /// were dropped. The call's rules are locked while references are copied; nobody and nothing else is waited for.
    /// Before the join there is the local participant alone, after the end nobody.
    pub fn participants(&self) -> Vec<Present> {
        if self.shared.is_over() {
            return Vec::new();
        }
        let Some(rules) = self.shared.rules.get() else { return Vec::new() };
        let look = rules.lock().look();
        let mut present = look.present();
        present.iter_mut().for_each(|present| self.shared.secrets.present(present));
        present
    }

    /// Figures of the local tracks that are not freed, in the order in which they were published. Of one that is freed:
    /// [`Outgoing::stats`].
    pub fn local_track_stats(&self) -> Vec<LocalTrackStats> {
        let mut all: Vec<_> = self.shared.tracks.lock().values().map(|track| track.stats()).collect();
        all.sort_by_key(|stats| stats.track);
        all
    }

    /// Figures of the remote tracks that may be heard, in the order in which they came, and of streams that nobody owns.
    /// They go on over mutes and reconnects, until a track is over. Works also after the end.
    pub fn remote_track_stats(&self) -> Vec<RemoteTrackStats> {
        self.shared.playout.get().map(|playout| playout.track_stats()).unwrap_or_default()
    }

    pub fn stats(&self) -> CallStats {
        self.shared.stats()
    }

    /// What the call's rules were given and have decided, as lines of JSON without secrets; also after the end.
    pub fn trace(&self) -> String {
        self.shared.trace.text()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.leave("freed");
    }
}
