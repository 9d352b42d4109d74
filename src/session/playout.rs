//! Media on its way in: a receive buffer per remote track, and one task per call that plays them.
//!
//! Packets are put in on the engine's tasks under a short lock; every 20 ms the task takes one frame
//! of each track that is bound to a participant and hands it to the call's mailbox. With nothing to
//! play the task sleeps. Must not know: rules, sockets, C.

use super::counters::{MediaCounters, ReceiveTotals};
use super::frames::{AudioFrame, AudioOptions, Samples, Who};
use super::notice::Notice;
use super::redact::Secrets;
use crate::core::model::Unplayable;
use crate::core::{limits, Output, RemoteId};
use crate::dispatch::Mailbox;
use crate::media::{
    pacer::Pacer,
    payload::{Arrival, PayloadTypes, Taken},
    receive::{AudioReceiveConfig, AudioReceiver},
};
use crate::rtc::engine::{PacketSink, RemoteTrackInfo, RtpPacket};
use crate::share;
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Remote tracks of one call that are on the air at once.
const MAX_RECEIVERS: usize = 1_024;
const FRAME: Duration = Duration::from_millis(20);

/// Packets of a stream that nobody owns before they count as unassigned: until then somebody may be introduced.
const WAITING: u64 = 150;
/// Packets of other payload types in a row, without any sound, before the track counts as one that cannot be played.
const UNPLAYABLE_IN_A_ROW: u32 = 100;
/// Frames handed over at once when a track is over: more than any buffer holds.
const MAX_TAIL: u32 = 64;

/// A stream that was forgotten is a new one when packets of it come after so long; before that they were on their way.
const COMES_AGAIN_MS: u64 = 500;

/// Packets kept of a stream that nobody owns before a receiver is made for it.
const EARLY: usize = 8;

/// What arrives on one stream.
struct Incoming {
    /// None while the track is off the air: what is muted costs nothing.
    receiver: Option<Box<AudioReceiver>>,
    /// What came while there was none, and when.
    early: Vec<(Duration, Arrival)>,
    types: PayloadTypes,
    who: Option<Arc<Who>>,
    /// It cannot be decoded: packets are counted.
    silent: bool,
    /// Packets since nobody owns it.
    waiting: u64,
    /// Packets of other payload types since the last sound.
    foreign: u32,
}

struct Remote {
    incoming: Mutex<Incoming>,
    tell: Tell,
    /// When it was forgotten, in ms since the call began and one more; 0: it is not.
    forgotten: AtomicU64,
    /// Somebody owns it.
    bound: AtomicBool,
    /// Nothing came for a while; the next packet wakes the task.
    idle: AtomicBool,
}

/// What it needs of its call.
pub(super) struct Receiving {
    pub began: Instant,
    pub media: Arc<MediaCounters>,
    /// Of all tracks, for who asks.
    pub totals: Arc<Mutex<ReceiveTotals>>,
    /// Taken out of names.
    pub secrets: Arc<Secrets>,
    /// Nothing is to be heard any more.
    pub closed: Arc<AtomicBool>,
    pub mailbox: Mailbox<Notice, AudioFrame>,
}

pub(super) struct Playout {
    options: AudioOptions,
    call: Receiving,
    remotes: Mutex<HashMap<RemoteId, Arc<Remote>>>,
    next: AtomicU64,
    /// Receivers in use.
    receivers: AtomicUsize,
    wake: Notify,
    /// What the call's rules could not be told yet.
    untold: Mutex<Vec<(Tell, StreamNews)>>,
    /// Totals of tracks and receivers that are gone.
    gone: Mutex<ReceiveTotals>,
    spare: Arc<Mutex<Vec<Samples>>>,
}

impl std::fmt::Debug for Playout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Playout")
    }
}

/// Hears of streams; false: not now.
pub(super) type Tell = Arc<dyn Fn(StreamNews) -> bool + Send + Sync>;

/// What a stream has to say to the call's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamNews {
    /// `true`: it was forgotten, and comes again.
    Came(RemoteId, bool),
    Unplayable(RemoteId, Unplayable),
    Gone(RemoteId),
}

struct Sink {
    id: RemoteId,
    remote: Arc<Remote>,
    playout: Arc<Playout>,
    /// Not told yet, the next one last.
    news: Vec<StreamNews>,
    told: bool,
    /// Why it cannot be decoded, by what was negotiated.
    silent: Option<Unplayable>,
}

impl Sink {
    fn tell_news(&mut self) {
        while self.news.last().is_some_and(|news| (self.remote.tell)(*news)) {
            self.news.pop();
        }
    }

    /// A packet of a stream that was forgotten: false as long as it may be one that was still on its way. After that
    /// the stream is a new one.
    fn comes_again(&mut self, forgotten: u64) -> bool {
        let since = self.playout.ms().saturating_sub(forgotten);
        if since < COMES_AGAIN_MS {
            return false;
        }
        let Some(id) = self.playout.give_place(&self.remote) else { return false };
        self.remote.forgotten.store(0, Ordering::Release);
        self.id = id;
        self.news = first_news(id, self.silent, true);
        self.tell_news();
        true
    }

    /// Puts a packet where it belongs; true when there is something to play.
    fn take(&mut self, packet: RtpPacket) -> bool {
        let media = &self.playout.call.media;
        let count = |counter: &AtomicU64, by: u64| {
            counter.fetch_add(by, Ordering::Relaxed);
        };
        let RtpPacket { sequence, timestamp, ssrc, payload_type, payload, .. } = packet;
        let now = self.playout.now();
        let mut incoming = self.remote.incoming.lock();
        let kind = incoming.types.kind(payload_type, &payload);
        match kind {
            Taken::Padding => count(&media.padding, 1),
            Taken::Unplayable => count(&media.unplayable, 1),
            Taken::Sound if incoming.silent => count(&media.unplayable, 1),
            Taken::Sound if incoming.who.is_none() => {
                incoming.waiting += 1;
                match incoming.waiting.cmp(&WAITING) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => count(&media.unassigned, WAITING),
                    std::cmp::Ordering::Greater => count(&media.unassigned, 1),
                }
            }
            Taken::Sound => {}
        }
        if incoming.silent {
            return false;
        }
        // Noise and events come beside the sound.
        let beside = payload_type == COMFORT_NOISE || payload.len() <= 4;
        match kind {
            Taken::Sound => incoming.foreign = 0,
            Taken::Unplayable if !beside => {
                incoming.foreign = incoming.foreign.saturating_add(1);
                if incoming.foreign == UNPLAYABLE_IN_A_ROW && !std::mem::replace(&mut self.told, true) {
                    self.news.insert(0, StreamNews::Unplayable(self.id, Unplayable::PayloadType));
                }
            }
            Taken::Padding | Taken::Unplayable => {}
        }
        let packet = Arrival { ssrc, payload_type, sequence, timestamp, payload };
        if incoming.receiver.is_none() {
            if incoming.who.is_none() && incoming.early.len() < EARLY {
                incoming.early.push((now, packet));
                return false;
            }
            self.playout.receive(&mut incoming);
        }
        match &mut incoming.receiver {
            Some(receiver) => receiver.receive(packet, now) == Taken::Sound,
            None => {
                // More are on the air at once than are played.
                if kind == Taken::Sound && incoming.who.is_some() {
                    count(&media.unassigned, 1);
                }
                false
            }
        }
    }
}

impl PacketSink for Sink {
    fn packet(&mut self, packet: RtpPacket) {
        let media = &self.playout.call.media;
        media.received.fetch_add(1, Ordering::Relaxed);
        media.bytes_received.fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
        let forgotten = self.remote.forgotten.load(Ordering::Acquire);
        if forgotten > 0 && !self.comes_again(forgotten) {
            self.playout.call.media.unassigned.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.take(packet) && self.remote.idle.swap(false, Ordering::AcqRel) {
            self.playout.wake.notify_one();
        }
        if !self.news.is_empty() {
            self.tell_news();
        }
    }

    fn renegotiated(&mut self, info: &RemoteTrackInfo) {
        let mut incoming = self.remote.incoming.lock();
        incoming.types = types_of(info);
        let types = incoming.types;
        if let Some(receiver) = &mut incoming.receiver {
            receiver.accept(types);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let known = !self.news.iter().any(|news| matches!(news, StreamNews::Came(..)));
        if self.playout.forget(self.id).is_some() && known {
            self.playout.tell_gone(&self.remote, self.id);
        }
    }
}

/// What the call's rules hear of a stream first, the next one last.
fn first_news(id: RemoteId, silent: Option<Unplayable>, again: bool) -> Vec<StreamNews> {
    silent.map(|why| StreamNews::Unplayable(id, why)).into_iter().chain([StreamNews::Came(id, again)]).collect()
}

/// The payload types of Opus; where none was read, all that may be.
fn types_of(info: &RemoteTrackInfo) -> PayloadTypes {
    let types = PayloadTypes::of(info.opus_types.iter().copied());
    if types.is_empty() {
        PayloadTypes::default()
    } else {
        types.with_red(info.red)
    }
}

/// Static payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;

impl Playout {
    pub fn new(options: AudioOptions, call: Receiving) -> Arc<Self> {
        Arc::new(Self {
            options,
            call,
            remotes: Mutex::default(),
            next: AtomicU64::new(1),
            receivers: AtomicUsize::new(0),
            wake: Notify::new(),
            untold: Mutex::default(),
            gone: Mutex::default(),
            spare: Arc::default(),
        })
    }

    fn now(&self) -> Duration {
        self.call.began.elapsed()
    }

    /// Since the call began.
    fn ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// A new remote track; not played before it is bound. `silent`: it cannot be decoded, and why.
    pub fn add(
        self: &Arc<Self>,
        info: &RemoteTrackInfo,
        silent: Option<Unplayable>,
        tell: Tell,
    ) -> Option<(RemoteId, Box<dyn PacketSink>)> {
        self.untold.lock().retain(|(tell, news)| !tell(*news));
        let incoming = Incoming {
            receiver: None,
            early: Vec::new(),
            types: types_of(info),
            who: None,
            silent: silent.is_some(),
            waiting: 0,
            foreign: 0,
        };
        let remote = Arc::new(Remote {
            incoming: Mutex::new(incoming),
            tell,
            forgotten: AtomicU64::new(0),
            bound: AtomicBool::new(false),
            idle: AtomicBool::new(true),
        });
        let id = self.give_place(&remote)?;
        let news = first_news(id, silent, false);
        let mut sink = Sink { id, remote, playout: self.clone(), news, told: silent.is_some(), silent };
        sink.tell_news();
        Some((id, Box::new(sink)))
    }

    /// Under a name of its own; `None`: too many are here.
    fn give_place(&self, remote: &Arc<Remote>) -> Option<RemoteId> {
        let mut remotes = self.remotes.lock();
        if remotes.len() >= limits::REMOTE_TRACKS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        remotes.insert(id, remote.clone());
        Some(id)
    }

    fn tell_gone(&self, remote: &Remote, id: RemoteId) {
        if !(remote.tell)(StreamNews::Gone(id)) {
            self.untold.lock().push((remote.tell.clone(), StreamNews::Gone(id)));
        }
    }

    /// The call's rules expect nothing more of a stream: it gives its place back.
    fn let_go(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        remote.forgotten.store(self.ms() + 1, Ordering::Release);
        if self.forget(id).is_some() {
            self.tell_gone(&remote, id);
        }
    }

    /// Makes a receiver, if not too many are in use, and gives it what came early.
    fn receive(&self, incoming: &mut Incoming) {
        if self.receivers.fetch_add(1, Ordering::AcqRel) >= MAX_RECEIVERS {
            self.receivers.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let config = AudioReceiveConfig {
            rate: self.options.rate,
            channels: self.options.channels,
            min_delay: Duration::from_millis(u64::from(self.options.min_delay_ms)),
            max_delay: Duration::from_millis(u64::from(self.options.max_delay_ms)),
            deliver_opus: self.options.opus,
        };
        let Ok(mut receiver) = AudioReceiver::new(config) else {
            self.receivers.fetch_sub(1, Ordering::AcqRel);
            return;
        };
        receiver.accept(incoming.types);
        for (at, packet) in incoming.early.drain(..) {
            receiver.receive(packet, at);
        }
        incoming.receiver = Some(Box::new(receiver));
    }

    /// Its figures are kept, and nothing else.
    fn drop_receiver(&self, incoming: &mut Incoming) {
        incoming.early.clear();
        if let Some(receiver) = incoming.receiver.take() {
            add(&mut self.gone.lock(), &receiver);
            self.receivers.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn remote(&self, id: RemoteId) -> Option<Arc<Remote>> {
        self.remotes.lock().get(&id).cloned()
    }

    /// What the call's rules order about a stream.
    pub fn carry_out(&self, order: Output) {
        match order {
            Output::Bind { id, user_id, session_id, kind, track_id, silent } => {
                // Names come from servers, who may repeat secrets.
                let clean = |text: String| match self.call.secrets.text(&text) {
                    Cow::Owned(clean) => clean,
                    Cow::Borrowed(_) => text,
                };
                let (user_id, session_id, track_id) = (clean(user_id), clean(session_id), clean(track_id));
                self.bind(id, Who { user_id, session_id, track_id, kind }, silent);
            }
            Output::PlayOut { id } => self.play_out(id),
            Output::Unbind { id } => self.unbind(id),
            Output::Forget { id } => self.let_go(id),
            _ => {}
        }
    }

    /// `silent`: it cannot be decoded, whatever it says of itself.
    pub fn bind(&self, id: RemoteId, who: Who, silent: bool) {
        let Some(remote) = self.remote(id) else { return };
        let mut incoming = remote.incoming.lock();
        let before = std::mem::take(&mut incoming.waiting);
        if silent && !std::mem::replace(&mut incoming.silent, true) {
            if before < WAITING {
                self.call.media.unplayable.fetch_add(before, Ordering::Relaxed);
            }
            self.drop_receiver(&mut incoming);
        }
        incoming.who = Some(Arc::new(who));
        if !incoming.early.is_empty() {
            self.receive(&mut incoming);
        }
        remote.bound.store(true, Ordering::Release);
        remote.idle.store(false, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn unbind(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        let mut incoming = remote.incoming.lock();
        remote.bound.store(false, Ordering::Release);
        incoming.who = None;
        self.drop_receiver(&mut incoming);
    }

    /// Hands over at once what has come of a track.
    pub fn play_out(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        let now = self.now();
        for tick in 0..MAX_TAIL {
            let holds = remote.incoming.lock().receiver.as_ref().is_some_and(|receiver| receiver.holds_sound());
            if !holds {
                return;
            }
            self.play(&remote, now + FRAME * tick);
        }
    }

    /// Takes its place away; `None`: it had none.
    fn forget(&self, id: RemoteId) -> Option<()> {
        let (remote, left) = {
            let mut remotes = self.remotes.lock();
            let remote = remotes.remove(&id)?;
            (remote, remotes.len())
        };
        remote.bound.store(false, Ordering::Release);
        let mut incoming = remote.incoming.lock();
        incoming.who = None;
        let waiting = std::mem::take(&mut incoming.waiting);
        if waiting < WAITING {
            self.call.media.unassigned.fetch_add(waiting, Ordering::Relaxed);
        }
        self.drop_receiver(&mut incoming);
        drop(incoming);
        // Of many that go at once the next round tells.
        if left < 64 {
            self.publish_totals();
        }
        Some(())
    }

    fn publish_totals(&self) {
        let mut totals = *self.gone.lock();
        totals.jitter_ms = 0;
        for remote in self.remotes.lock().values() {
            if let Some(receiver) = &remote.incoming.lock().receiver {
                add(&mut totals, receiver);
            }
        }
        *self.call.totals.lock() = totals;
    }

    /// Plays until the call is over.
    pub async fn run(self: Arc<Self>) {
        let epoch = self.call.began;
        let mut bound: Vec<Arc<Remote>> = Vec::new();
        let mut ticks = 0u64;
        loop {
            self.wake.notified().await;
            let mut pacer = Pacer::new(self.now(), 3);
            loop {
                tokio::time::sleep_until((epoch + pacer.next_tick()).into()).await;
                let due = pacer.poll(self.now());
                for _ in 0..due.ticks {
                    bound.clear();
                    let plays = |r: &&Arc<Remote>| r.bound.load(Ordering::Acquire) && !r.idle.load(Ordering::Acquire);
                    bound.extend(self.remotes.lock().values().filter(plays).cloned());
                    for remote in &bound {
                        self.play(remote, self.now());
                        share::breathe().await;
                    }
                    ticks += 1;
                    if ticks.is_multiple_of(25) {
                        self.publish_totals();
                    }
                }
                if bound.is_empty() {
                    break;
                }
            }
        }
    }

    /// Hands over what is due. The lock is held until it is queued: after [`Playout::unbind`] nothing is.
    fn play(&self, remote: &Remote, now: Duration) {
        let mut incoming = remote.incoming.lock();
        let Incoming { receiver: Some(receiver), who: Some(who), .. } = &mut *incoming else {
            // Nothing has come yet.
            remote.idle.store(true, Ordering::Release);
            return;
        };
        if receiver.idle(now) {
            remote.idle.store(true, Ordering::Release);
            return;
        }
        let silenced = !self.options.wanted || self.call.closed.load(Ordering::Acquire);
        if self.options.opus {
            while let Some(packet) = receiver.pull_opus(now) {
                if !silenced {
                    self.deliver(
                        who,
                        Samples::Opus(packet.payload),
                        packet.timestamp,
                        0.0,
                        packet.lost_before > 0,
                        false,
                    );
                }
            }
            return;
        }
        let Some(pulled) = receiver.pull(now) else { return };
        if silenced {
            return;
        }
        let spare = self.spare.lock().pop();
        let samples = if self.options.float {
            let mut buffer = if let Some(Samples::F32(buffer)) = spare { buffer } else { Vec::new() };
            buffer.clear();
            buffer.extend_from_slice(pulled.samples_f32);
            Samples::F32(buffer)
        } else {
            let mut buffer = if let Some(Samples::S16(buffer)) = spare { buffer } else { Vec::new() };
            buffer.clear();
            buffer.extend_from_slice(pulled.samples);
            Samples::S16(buffer)
        };
        let (timestamp, level, concealed, silence) = (pulled.timestamp, pulled.level, pulled.concealed, pulled.silence);
        self.deliver(who, samples, timestamp, level, concealed, silence);
    }

    fn deliver(&self, who: &Arc<Who>, samples: Samples, timestamp: u32, level: f32, concealed: bool, silence: bool) {
        let frame = AudioFrame {
            who: who.clone(),
            samples,
            rate: self.options.rate,
            channels: self.options.channels,
            timestamp,
            level,
            concealed,
            silence,
            spare: Arc::downgrade(&self.spare),
        };
        let media = &self.call.media;
        media.frames_played.fetch_add(1, Ordering::Relaxed);
        if media.first_audio_ms.load(Ordering::Relaxed) == 0 {
            media.first_audio_ms.store(self.ms().max(1), Ordering::Relaxed);
        }
        let bytes = frame.samples.bytes();
        self.call.mailbox.post_media(frame, bytes);
    }
}

fn add(totals: &mut ReceiveTotals, receiver: &AudioReceiver) {
    let stats = receiver.stats();
    totals.lost += stats.lost;
    totals.late += stats.late;
    totals.concealed += stats.concealed_frames;
    totals.fec += stats.fec_frames;
    totals.restored += stats.restored;
    totals.jitter_ms = totals.jitter_ms.max(stats.jitter_ms as u32);
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
