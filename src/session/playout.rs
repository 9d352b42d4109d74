//! Received media: for each remote track its packets and its player, and one task per call that plays all tracks.
//!
//! The engine's tasks store packets under a lock that is held briefly. At the deadline of a track that is bound to a
//! participant, the task takes them over and passes them to its player (`track_player.rs`). Order, the call's transform
//! and decoding are on this side, under a lock that no packet needs. Played frames go to the call's mailbox. With
//! nothing to play the task sleeps. Must not know: rules, sockets, codecs, C.

use super::counters::MediaCounters;
use super::frames::{AudioFrame, AudioOptions, Samples, TrackFigures, Who};
use super::notice::Notice;
use super::redact::Secrets;
use super::track_player::{AudioPlayer, Played, TrackPlayer};
use crate::core::model::Unplayable;
use crate::core::{limits, Output, RemoteId};
use crate::dispatch::Mailbox;
use crate::log::{oh_log, Level};
use crate::media::{
    audio::{payload::Taken, receive::ReceiveStats},
    clock::SenderClock,
    transform::{FrameTransform, Transforms},
};
use crate::rtc::engine::{PacketSink, RemoteTrackInfo, RtpPacket};
use crate::share;
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

mod sink;
mod tracks;

use sink::{first_events, types_of, Inbox, Sink, WAITING};
pub(super) use sink::{EventSender, StreamEvent};
pub use tracks::RemoteTrackStats;
use tracks::{Before, TrackKey, Tracks};

/// Remote tracks of one call that play at once.
const MAX_PLAYERS: usize = 1_024;
/// How often the counters are summed up, while something plays.
const SUMS: Duration = Duration::from_millis(500);

/// Deadlines processed at once when a track ends: more than any buffer holds.
const MAX_TAIL: u32 = 128;

/// The playing side of a remote track.
struct Playing {
    /// `None` while the track is not published: a muted track costs nothing.
    player: Option<Box<dyn TrackPlayer>>,
    /// The inbox's generation when the player was made.
    generation: u64,
    transform: Box<dyn FrameTransform>,
    /// Packets taken over.
    packets: VecDeque<RtpPacket>,
    dropped: u64,
    /// Counters of the track that the player plays.
    figures: Option<Arc<TrackFigures>>,
}

impl Playing {
    fn stats(&self, player: &dyn TrackPlayer) -> ReceiveStats {
        let mut stats = player.stats();
        stats.received += self.dropped;
        stats.discarded += self.dropped;
        stats
    }
}

struct Remote {
    inbox: Mutex<Inbox>,
    playing: Mutex<Playing>,
    /// Statistics when it was last played.
    figures: Mutex<ReceiveStats>,
    send_event: EventSender,
    /// When it was forgotten, in ms since the call began, plus one; 0: it is not.
    forgotten: AtomicU64,
    /// It has an owner.
    bound: AtomicBool,
    /// No packets for a while; the next one wakes the task.
    idle: AtomicBool,
    /// When it is due for processing, in microseconds since the call began; 0: at once.
    due: AtomicU64,
}

impl Remote {
    /// Makes it due at once.
    fn rouse(&self) {
        self.due.store(0, Ordering::Release);
        self.idle.store(false, Ordering::Release);
    }
}

/// The parts of its call that it needs.
pub(super) struct Receiving {
    pub began: Instant,
    pub media: Arc<MediaCounters>,
    /// Totals of all tracks, for statistics.
    pub totals: Arc<Mutex<ReceiveStats>>,
    /// Removed from names.
    pub secrets: Arc<Secrets>,
    /// Set when no more audio may be delivered.
    pub closed: Arc<AtomicBool>,
    pub mailbox: Mailbox<Notice, AudioFrame>,
    /// Applied to frames before their content is used.
    pub transforms: Arc<dyn Transforms>,
}

pub(super) struct Playout {
    options: AudioOptions,
    call: Receiving,
    remotes: Mutex<HashMap<RemoteId, Arc<Remote>>>,
    next: AtomicU64,
    /// Players in use.
    players: AtomicUsize,
    /// When the first of the tracks that play now began, in microseconds since the call began.
    phase: AtomicU64,
    wake: Notify,
    /// News that could not be sent to the core yet.
    unsent_events: Mutex<Vec<(EventSender, StreamEvent)>>,
    /// Totals of ended tracks and players.
    gone: Mutex<ReceiveStats>,
    spare: Arc<Mutex<Vec<Samples>>>,
    /// The known tracks, over all their streams.
    tracks: Mutex<Tracks>,
}

impl std::fmt::Debug for Playout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Playout")
    }
}

impl Playout {
    pub fn new(options: AudioOptions, call: Receiving) -> Arc<Self> {
        Arc::new(Self {
            options,
            call,
            remotes: Mutex::default(),
            next: AtomicU64::new(1),
            players: AtomicUsize::new(0),
            phase: AtomicU64::new(0),
            wake: Notify::new(),
            unsent_events: Mutex::default(),
            gone: Mutex::default(),
            spare: Arc::default(),
            tracks: Mutex::default(),
        })
    }

    fn now(&self) -> Duration {
        self.call.began.elapsed()
    }

    /// Milliseconds since the call began.
    fn ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds a remote stream; it is not played before it is bound. `silent`: it cannot be decoded, and why.
    pub fn add(
        self: &Arc<Self>,
        info: &RemoteTrackInfo,
        silent: Option<Unplayable>,
        send_event: EventSender,
    ) -> Option<(RemoteId, Box<dyn PacketSink>)> {
        self.unsent_events.lock().retain(|(send, event)| !send(*event));
        let inbox = Inbox {
            packets: VecDeque::new(),
            dropped: 0,
            types: types_of(info),
            who: None,
            generation: 0,
            silent: silent.is_some(),
            why: silent,
            waiting: 0,
            before: Before::default(),
            foreign: 0,
            clock: SenderClock::new(info.clock_rate),
        };
        let playing = Playing {
            player: None,
            generation: 0,
            transform: self.call.transforms.receiving(),
            packets: VecDeque::new(),
            dropped: 0,
            figures: None,
        };
        let remote = Arc::new(Remote {
            inbox: Mutex::new(inbox),
            playing: Mutex::new(playing),
            figures: Mutex::default(),
            send_event,
            forgotten: AtomicU64::new(0),
            bound: AtomicBool::new(false),
            idle: AtomicBool::new(true),
            due: AtomicU64::new(0),
        });
        let id = self.give_place(&remote)?;
        let pending_events = first_events(id, silent, false);
        let mut sink =
            Sink { id, remote, playout: self.clone(), pending_events, unplayable_reported: silent.is_some(), silent };
        sink.send_events();
        Some((id, Box::new(sink)))
    }

    /// Stores it under a new id; `None`: there are too many.
    fn give_place(&self, remote: &Arc<Remote>) -> Option<RemoteId> {
        let mut remotes = self.remotes.lock();
        if remotes.len() >= limits::REMOTE_TRACKS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        remotes.insert(id, remote.clone());
        Some(id)
    }

    fn send_removed(&self, remote: &Remote, id: RemoteId) {
        if !(remote.send_event)(StreamEvent::Removed(id)) {
            self.unsent_events.lock().push((remote.send_event.clone(), StreamEvent::Removed(id)));
        }
    }

    /// The core expects nothing more of a stream: frees its place.
    fn let_go(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        remote.forgotten.store(self.ms() + 1, Ordering::Release);
        if self.forget(id).is_some() {
            self.send_removed(&remote, id);
        }
    }

    /// Makes a player, if not too many are in use.
    fn player(&self) -> Option<Box<dyn TrackPlayer>> {
        if self.players.fetch_add(1, Ordering::AcqRel) >= MAX_PLAYERS {
            self.players.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let player = AudioPlayer::new(&self.options, self.spare.clone());
        if player.is_err() {
            self.players.fetch_sub(1, Ordering::AcqRel);
        }
        Some(Box::new(player.ok()?))
    }

    /// Takes over the inbox. Returns the owner; `None`: there is none, and nothing is played.
    fn fill(&self, remote: &Remote, playing: &mut Playing, now: Duration) -> Option<Arc<Who>> {
        let (who, types, generation) = {
            let mut inbox = remote.inbox.lock();
            let who = inbox.who.clone()?;
            std::mem::swap(&mut inbox.packets, &mut playing.packets);
            playing.dropped += std::mem::take(&mut inbox.dropped);
            (who, inbox.types, inbox.generation)
        };
        if std::mem::replace(&mut playing.generation, generation) != generation {
            self.end_player(remote, playing);
        }
        let Playing { player, transform, packets, figures, .. } = playing;
        if packets.is_empty() {
            return Some(who);
        }
        if player.is_none() {
            *player = self.player();
            *figures = Some(who.figures.clone());
        }
        match player {
            Some(player) => {
                player.accept(types);
                packets.drain(..).for_each(|packet| player.receive(packet, &mut **transform));
                if player.deadline().is_none() {
                    player.begin(now, Duration::from_micros(self.phase.load(Ordering::Relaxed)));
                }
            }
            None => {
                // More tracks are published at once than can be played.
                let is_audio = |p: &RtpPacket| types.kind(p.payload_type, &p.payload) == Taken::Audio;
                let count = packets.drain(..).filter(is_audio).count() as u64;
                self.call.media.unassigned.fetch_add(count, Ordering::Relaxed);
            }
        }
        Some(who)
    }

    /// No packets for a while: the next one wakes the task. False if one arrived meanwhile.
    fn rest(remote: &Remote) -> bool {
        let inbox = remote.inbox.lock();
        let rests = inbox.packets.is_empty();
        if rests {
            remote.idle.store(true, Ordering::Release);
        }
        rests
    }

    /// Ends the player of a track without an owner. Does not wait for a thread that is playing it, which does this
    /// afterwards.
    fn drop_player(&self, remote: &Remote) {
        let Some(mut playing) = remote.playing.try_lock() else { return };
        let stays = {
            let inbox = remote.inbox.lock();
            inbox.who.is_some() && inbox.generation == playing.generation
        };
        if !stays {
            playing.packets = VecDeque::new();
            self.end_player(remote, &mut playing);
        }
    }

    /// Ends the player and keeps its statistics.
    fn end_player(&self, remote: &Remote, playing: &mut Playing) {
        let Some(player) = playing.player.take() else { return };
        let mut stats = playing.stats(&*player);
        playing.dropped = 0;
        self.players.fetch_sub(1, Ordering::AcqRel);
        oh_log!(Level::Debug, "audio track stopped: {stats:?}");
        // Current values no longer apply.
        (stats.jitter_ms, stats.buffer_ms, stats.delay_ms, stats.target_ms) = Default::default();
        self.gone.lock().add(&stats);
        if let Some(figures) = playing.figures.take() {
            figures.past.lock().add(&stats);
        }
        *remote.figures.lock() = ReceiveStats::default();
    }

    fn remote(&self, id: RemoteId) -> Option<Arc<Remote>> {
        self.remotes.lock().get(&id).cloned()
    }

    /// Carries out an output of the core about a stream.
    pub fn carry_out(&self, order: Output) {
        match order {
            Output::Bind { id, user_id, session_id, kind, track_id, stream, silent } => {
                // Names come from servers, which may repeat secrets.
                let clean = |text: String| match self.call.secrets.text(&text) {
                    Cow::Owned(clean) => clean,
                    Cow::Borrowed(_) => text,
                };
                let (user_id, session_id, track_id) = (clean(user_id), clean(session_id), clean(track_id));
                let key = (session_id.clone(), kind, track_id.clone(), stream);
                // Held until the track is stored: statistics show it in one place only.
                let mut tracks = self.tracks.lock();
                let figures = tracks.of(&key, |track| self.is_bound(track));
                let who = Who::new(user_id, session_id, track_id, kind).counted(figures);
                if let Some(who) = self.bind(id, who, silent) {
                    tracks.remember(key, who);
                }
            }
            Output::PlayOut { id } => self.play_out(id),
            Output::Unbind { id } => self.unbind(id),
            Output::Forget { id } => self.let_go(id),
            _ => {}
        }
    }

    /// Whether a stream is bound to the track of this number.
    fn is_bound(&self, track: u64) -> bool {
        let remotes: Vec<_> = self.remotes.lock().values().cloned().collect();
        remotes.iter().any(|remote| remote.inbox.lock().who.as_ref().is_some_and(|who| who.track == track))
    }

    /// Binds a stream to its owner. `silent`: it cannot be decoded, whatever its payload type.
    pub fn bind(&self, id: RemoteId, who: Who, silent: bool) -> Option<Arc<Who>> {
        let remote = self.remote(id)?;
        let who = Arc::new(who);
        let mut inbox = remote.inbox.lock();
        let before = std::mem::take(&mut inbox.waiting);
        who.figures.add(std::mem::take(&mut inbox.before));
        if silent && !std::mem::replace(&mut inbox.silent, true) {
            inbox.why = Some(Unplayable::Encrypted);
            who.figures.unplayable.fetch_add(before, Ordering::Relaxed);
            if before < WAITING {
                self.call.media.unplayable.fetch_add(before, Ordering::Relaxed);
            }
            inbox.packets.clear();
            inbox.generation += 1;
        }
        inbox.who = Some(who.clone());
        remote.bound.store(true, Ordering::Release);
        remote.rouse();
        drop(inbox);
        self.wake.notify_one();
        Some(who)
    }

    /// A participant has left, or one of its tracks has ended: its counters are no longer needed.
    pub fn forget_tracks(&self, session_id: &str, track_id: Option<&str>) {
        let clean = self.call.secrets.text(session_id);
        let track_id = track_id.map(|id| self.call.secrets.text(id));
        let meant = |key: &TrackKey| key.0 == clean && track_id.as_ref().is_none_or(|id| key.2 == *id);
        self.tracks.lock().known.retain(|key, _| !meant(key));
    }

    /// Statistics of the known tracks, in the order in which they came, and of the streams without an owner.
    pub fn track_stats(&self) -> Vec<RemoteTrackStats> {
        let mut all: Vec<RemoteTrackStats> = self.tracks.lock().known.values().map(RemoteTrackStats::of).collect();
        all.sort_by_key(|stats| stats.who.as_ref().map_or(u64::MAX, |who| who.track));
        let remotes: Vec<_> = self.remotes.lock().values().cloned().collect();
        for remote in remotes {
            let inbox = remote.inbox.lock();
            let (who, why, waiting, before) = (inbox.who.clone(), inbox.why, inbox.waiting, inbox.before);
            drop(inbox);
            let Some(who) = who else {
                if waiting > 0 && remote.forgotten.load(Ordering::Acquire) == 0 {
                    all.push(RemoteTrackStats::unowned(before, waiting, why));
                }
                continue;
            };
            let of_it = |stats: &&mut RemoteTrackStats| stats.who.as_ref().is_some_and(|w| w.track == who.track);
            if let Some(stats) = all.iter_mut().find(of_it) {
                stats.received = true;
                stats.unplayable = why;
                stats.receive.add(&remote.figures.lock());
            }
        }
        all
    }

    /// Nothing more of it is delivered once this returns.
    pub fn unbind(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        let mut inbox = remote.inbox.lock();
        remote.bound.store(false, Ordering::Release);
        inbox.who = None;
        inbox.generation += 1;
        inbox.packets = VecDeque::new();
        drop(inbox);
        self.drop_player(&remote);
    }

    /// Delivers at once the media received on a track.
    pub fn play_out(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        let mut now = self.now();
        for _ in 0..MAX_TAIL {
            let mut playing = remote.playing.lock();
            if self.fill(&remote, &mut playing, now).is_none() {
                return;
            }
            let Some(next) = playing.player.as_ref().filter(|player| player.holds()).and_then(|p| p.deadline()) else {
                return;
            };
            drop(playing);
            now = now.max(next);
            self.play(&remote, now);
        }
    }

    /// Frees its place; `None`: it had none.
    fn forget(&self, id: RemoteId) -> Option<()> {
        let (remote, left) = {
            let mut remotes = self.remotes.lock();
            let remote = remotes.remove(&id)?;
            (remote, remotes.len())
        };
        let mut inbox = remote.inbox.lock();
        remote.bound.store(false, Ordering::Release);
        inbox.who = None;
        inbox.generation += 1;
        inbox.packets = VecDeque::new();
        let waiting = std::mem::take(&mut inbox.waiting);
        drop(inbox);
        if waiting < WAITING {
            self.call.media.unassigned.fetch_add(waiting, Ordering::Relaxed);
        }
        self.drop_player(&remote);
        // When many end at once, the next round publishes the totals.
        if left < 64 {
            self.publish_totals();
        }
        Some(())
    }

    fn publish_totals(&self) {
        let mut totals = *self.gone.lock();
        for remote in self.remotes.lock().values() {
            totals.add(&remote.figures.lock());
        }
        *self.call.totals.lock() = totals;
    }

    /// Plays until the call has ended.
    pub async fn run(self: Arc<Self>) {
        let epoch = self.call.began;
        let mut due: Vec<Arc<Remote>> = Vec::new();
        let (mut next, mut summed) = (None, Duration::ZERO);
        // One timer for all deadlines.
        let timer = tokio::time::sleep_until(tokio::time::Instant::from_std(epoch));
        tokio::pin!(timer);
        loop {
            match next {
                Some(at) => {
                    timer.as_mut().reset(tokio::time::Instant::from_std(epoch + at));
                    tokio::select! {
                        biased;
                        () = timer.as_mut() => {}
                        () = self.wake.notified() => {}
                    }
                }
                None => {
                    self.wake.notified().await;
                    self.phase.store(micros(self.now()), Ordering::Relaxed);
                }
            }
            next = self.round(&mut due).await;
            if next.is_none() || self.now() >= summed + SUMS {
                summed = self.now();
                self.publish_totals();
            }
        }
    }

    /// Plays the tracks that are due. Returns when the next one is due; `None`: after the next packet.
    async fn round(&self, due: &mut Vec<Arc<Remote>>) -> Option<Duration> {
        let now = self.now();
        let mut next: Option<Duration> = None;
        due.clear();
        for remote in self.remotes.lock().values() {
            if !remote.bound.load(Ordering::Acquire) || remote.idle.load(Ordering::Acquire) {
                continue;
            }
            let at = Duration::from_micros(remote.due.load(Ordering::Acquire));
            if at <= now {
                due.push(remote.clone());
            } else {
                next = earliest(next, Some(at));
            }
        }
        for remote in due.iter() {
            next = earliest(next, self.play(remote, self.now()));
            share::breathe().await;
        }
        due.clear();
        next
    }

    /// Delivers the frames that are due. Returns when it is due again; `None`: after the next packet.
    fn play(&self, remote: &Remote, now: Duration) -> Option<Duration> {
        let mut playing = remote.playing.lock();
        let next = self.play_with(remote, &mut playing, now);
        let next = match next {
            None if Self::rest(remote) => None,
            // A packet arrived meanwhile.
            None => Some(now),
            next => next,
        };
        remote.due.store(next.map_or(0, micros), Ordering::Release);
        drop(playing);
        // It may have been unbound meanwhile, without waiting for this.
        if !remote.bound.load(Ordering::Acquire) {
            self.drop_player(remote);
        }
        next
    }

    fn play_with(&self, remote: &Remote, playing: &mut Playing, now: Duration) -> Option<Duration> {
        let who = self.fill(remote, playing, now)?;
        let player = playing.player.as_mut()?;
        let silenced = !self.options.wanted || self.call.closed.load(Ordering::Acquire);
        player.play(now, &mut |played| {
            if !silenced {
                self.deliver(remote, &who, played);
            }
        });
        let next = player.deadline();
        if let Some(player) = &playing.player {
            *remote.figures.lock() = playing.stats(&**player);
        }
        next
    }

    /// The inbox stays locked until the frame is queued: after [`Playout::unbind`] none is.
    fn deliver(&self, remote: &Remote, who: &Arc<Who>, played: Played) {
        let inbox = remote.inbox.lock();
        if !inbox.who.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, who)) {
            return;
        }
        let Played { samples, timestamp, capture_time, arrival, level, concealed, silence } = played;
        let frame = AudioFrame {
            who: who.clone(),
            samples,
            rate: self.options.rate,
            channels: self.options.channels,
            timestamp,
            capture_time: capture_time.or_else(|| inbox.clock.at(timestamp)),
            arrival,
            level,
            concealed,
            silence,
            spare: Arc::downgrade(&self.spare),
        };
        let media = &self.call.media;
        media.frames_played.fetch_add(1, Ordering::Relaxed);
        who.figures.frames_played.fetch_add(1, Ordering::Relaxed);
        if media.first_audio_ms.load(Ordering::Relaxed) == 0 {
            media.first_audio_ms.store(self.ms().max(1), Ordering::Relaxed);
        }
        let bytes = frame.samples.bytes();
        self.call.mailbox.post_media(frame, bytes);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn earliest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
