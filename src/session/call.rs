//! A call as its owner uses it, at any time, from any thread.
//!
//! Every function passes its request to the actor and returns; the result comes as an event. Must not know: C, wire
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
use crate::core::model::{
    Capabilities, DataOut, Dialect, Grants, RpcFailure, SelfUpdate, SubscriptionSettings, TrackKind,
};
use crate::core::trace::{Room, Trace};
use crate::core::{rng::Rng, End, EndReason, Input, Present, State, MAX_LOCAL_TRACKS};
use crate::dispatch::{Closing, Mailbox};
use crate::error::{Code, Error, Result, Secret};
use crate::runtime;
use crate::signalling::{CallFacts, Protocol};
use parking_lot::Mutex;
use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Weak,
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// RPC calls whose answers the application has not received.
const RPCS: usize = 1_024;

/// Most tracks of a call, including those that have ended and are not freed.
const MAX_TRACKS: usize = 4 * MAX_LOCAL_TRACKS;

/// Calls that were left and have not ended yet.
static LEAVING: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

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
        // Upgraded under the lock, and dropped outside of it: the last one may leave calls.
        let leaving: Vec<Arc<Shared>> = LEAVING.lock().iter().filter_map(Weak::upgrade).collect();
        for leaving in leaving.iter().filter(|leaving| *leaving.name == *name && !leaving.has_ended()) {
            leaving.orders.give(|w| w.stay_away = true);
        }
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

    /// How the call ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.shared.status.lock().end.clone()
    }

    /// Leaves: asynchronous, idempotent, done within two seconds. Any thread. Data and audio accepted before are sent,
    /// within the call's limit; nothing more is accepted.
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
        let mut leaving = LEAVING.lock();
        leaving.retain(|leaving| leaving.strong_count() > 0);
        leaving.push(Arc::downgrade(&self.shared));
        drop(leaving);
        self.shared.orders.give(|w| w.leave = Some(reason.to_owned()));
    }

    fn command(&self, command: Command) -> Result<()> {
        if self.shared.has_ended() {
            return Err(Error::new(Code::State, "the call has ended"));
        }
        let left = self.shared.left.lock();
        if *left {
            return Err(Error::new(Code::State, "the call was left"));
        }
        self.commands.try_send(command).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(Code::Full, "the call has too many pending requests; try again later")
            }
            mpsc::error::TrySendError::Closed(_) => Error::new(Code::State, "the call has ended"),
        })
    }

    /// Ends the call because of a bug outside of its tasks; returns the milliseconds since the join.
    pub(crate) fn fail(&self, text: &str) -> u64 {
        let text = format!("the call ended because of a bug in the library: {text}");
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
            // It would join the call that it names.
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

    /// The capabilities of the call's protocol.
    pub fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities
    }

    /// Refuses an operation that the protocol does not have, by name.
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

    /// Refuses an operation without the right for it, if the grants are known; otherwise the core does.
    fn may(&self, right: impl Fn(&Grants) -> bool, what: &str, which: &str) -> Result<()> {
        if self.shared.status.lock().grants.is_none_or(|grants| right(&grants)) {
            return Ok(());
        }
        Err(Error::new(Code::Refused, format!("{what}: this participant has no right to {which} in this call")))
    }

    /// Sends data to other participants; asynchronous, in order per delivery.
    ///
    /// # Errors
    /// `Refused` without the right to send data; `Unsupported`; `State` before the join and after the end; `Full` when
    /// too much data is queued.
    pub fn send_data(&self, message: DataOut, wanted: Capabilities, what: &str) -> Result<()> {
        self.needs(wanted, what)?;
        if self.shared.has_ended() {
            return Err(Error::new(Code::State, "the call has ended"));
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

    /// A unique id for an outgoing text.
    pub fn text_id(&self) -> String {
        let number = self.next_rpc.fetch_add(1, Ordering::Relaxed);
        Rng::new(self.seed ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9)).uuid()
    }

    /// Calls an RPC method of another participant; the answer is an event with the returned number.
    ///
    /// # Errors
    /// `Unsupported`; `State` after the end; `Full` when too many requests are under way.
    pub fn call_rpc(&self, to: String, method: String, payload: String, timeout: Duration) -> Result<u64> {
        self.needs(Capabilities::RPC, "rpc")?;
        self.may(|g| g.data, "rpc", "send data")?;
        if !self.shared.rpcs.take(RPCS) {
            let text = format!("rpc: {RPCS} calls are pending or their responses are queued");
            return Err(Error::new(Code::Full, text));
        }
        let id = self.next_rpc.fetch_add(1, Ordering::Relaxed);
        let asked = self.command(Command::Input(Box::new(Input::CallRpc { id, to, method, payload, timeout })));
        asked.inspect_err(|_| self.shared.rpcs.free())?;
        Ok(id)
    }

    /// Answers an RPC call of another participant.
    ///
    /// # Errors
    /// As [`Call::call_rpc`].
    pub fn answer_rpc(&self, id: String, answer: Result<String, RpcFailure>) -> Result<()> {
        self.needs(Capabilities::RPC, "rpc")?;
        self.may(|g| g.data, "rpc answer", "send data")?;
        self.command(Command::Input(Box::new(Input::AnswerRpc { id, answer })))
    }

    /// Changes this participant's name, metadata and attributes.
    ///
    /// # Errors
    /// `Unsupported`; `State` after the end; `Full`.
    pub fn update_self(&self, update: SelfUpdate) -> Result<()> {
        self.needs(Capabilities::ATTRIBUTES, "attributes")?;
        self.may(|g| g.update_metadata, "attributes", "change its name, metadata and attributes")?;
        self.command(Command::Input(Box::new(Input::UpdateSelf(update))))
    }

    /// Sets the subscription settings of one remote track; kept over reconnects.
    ///
    /// # Errors
    /// As [`Call::update_self`].
    pub fn set_subscription(&self, track_id: String, settings: SubscriptionSettings) -> Result<()> {
        self.needs(Capabilities::SUBSCRIPTIONS, "subscribe")?;
        self.may(|g| g.subscribe, "subscribe", "receive tracks")?;
        self.command(Command::Input(Box::new(Input::Subscribe { track_id, settings })))
    }

    /// Publishes an audio track; an event reports whether it is published.
    pub fn publish_audio(&self, options: TrackOptions) -> Result<Arc<Outgoing>> {
        if self.shared.publisher_closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, "publish: the publisher of this call was closed"));
        }
        match options.source {
            TrackKind::Audio => self.may(|g| g.audio, "publish", "send audio")?,
            TrackKind::ScreenShareAudio => self.may(|g| g.screen_share, "publish", "share the screen")?,
            _ => {
                return Err(Error::new(Code::Argument, "publish: the source of audio must be a microphone or a screen"))
            }
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
        if self.shared.has_ended() {
            // The call ended meanwhile: nothing else ends the track.
            track.stop();
        }
        Ok(track)
    }

    /// Also bounds tracks that are still being sent, and those that have ended and are not freed.
    fn has_room_for_a_track(&self) -> Result<()> {
        let tracks = self.shared.tracks.lock();
        let live = tracks.values().filter(|track| !track.is_finished()).count();
        if live >= MAX_LOCAL_TRACKS {
            let text = format!("publish: {MAX_LOCAL_TRACKS} tracks are published; free one of them first");
            return Err(Error::new(Code::Limit, text));
        }
        if tracks.len() >= MAX_TRACKS {
            let text = "publish: too many tracks have ended or are still being sent; free them, or try again later";
            return Err(Error::new(Code::Full, text));
        }
        Ok(())
    }

    /// Unpublishes after everything written has been sent; idempotent.
    pub fn unpublish(&self, track: &Outgoing) {
        track.finish();
        self.shared.orders.give(|w| {
            w.freed.insert(track.id());
        });
    }

    /// Media follows at once; the other participants are notified, the last call counts.
    ///
    /// # Errors
    /// `State` after the end.
    pub fn mute(&self, track: &Outgoing, muted: bool) -> Result<()> {
        if self.shared.has_ended() {
            return Err(Error::new(Code::State, "the call has ended"));
        }
        track.set_muted(muted);
        self.shared.orders.give(|w| {
            w.muted.insert(track.id(), muted);
        });
        Ok(())
    }

    /// Closes the subscriber for good, while the call goes on. Idempotent. Queued media is discarded; waits for a
    /// callback in progress on another thread, unless that waits for the caller.
    pub fn close_subscriber(&self) -> Closing {
        self.shared.subscriber_closed.store(true, Ordering::Release);
        self.shared.mailbox.close_media();
        self.shared.orders.give(|w| w.close_subscriber = true);
        self.shared.mailbox.quiesce()
    }

    /// Closes the publisher at once and for good, while the call goes on: unsent data and audio is counted. Idempotent.
    pub fn close_publisher(&self) {
        self.shared.publisher_closed.store(true, Ordering::Release);
        let tracks: Vec<_> = self.shared.tracks.lock().drain().map(|(_, track)| track).collect();
        for track in tracks {
            track.stop();
        }
        self.shared.orders.give(|w| w.close_publisher = true);
    }

    /// All participants in the call now, with their tracks: the local participant first, then the others by session id.
    ///
    /// This is the state that events are made of: at least as new as any event delivered, and exact when events were
    /// dropped. The core is locked while references are copied; nothing else is waited for. Before the join there is
    /// only the local participant, after the end none.
    pub fn participants(&self) -> Vec<Present> {
        if self.shared.has_ended() {
            return Vec::new();
        }
        let Some(rules) = self.shared.rules.get() else { return Vec::new() };
        let look = rules.lock().look();
        let mut present = look.present();
        present.iter_mut().for_each(|present| self.shared.secrets.present(present));
        present
    }

    /// Statistics of the local tracks that are not freed, in the order in which they were published. For a freed one:
    /// [`Outgoing::stats`].
    pub fn local_track_stats(&self) -> Vec<LocalTrackStats> {
        let mut all: Vec<_> = self.shared.tracks.lock().values().map(|track| track.stats()).collect();
        all.sort_by_key(|stats| stats.track);
        all
    }

    /// Statistics of the remote tracks that may be received, in the order in which they came, and of streams without an
    /// owner. They continue over mutes and reconnects, until a track has ended. Works also after the end.
    pub fn remote_track_stats(&self) -> Vec<RemoteTrackStats> {
        self.shared.playout.get().map(|playout| playout.track_stats()).unwrap_or_default()
    }

    pub fn stats(&self) -> CallStats {
        self.shared.stats()
    }

    /// The inputs and decisions of the core, as lines of JSON without secrets; also after the end.
    pub fn trace(&self) -> String {
        self.shared.trace.text()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.leave("freed");
    }
}
