//! Media on its way in: for each remote track what has come and who plays it, and one task per call that plays them all.
//!
//! Packets are put down on the engine's tasks under a lock that is held for moments. At the deadline of a track that is
//! bound to a participant the task takes them over and gives them to its player (`track_player.rs`): order, the call's
//! transform and decoding are on this side, under a lock that no packet needs. What is heard goes to the call's mailbox.
//! With nothing to play the task sleeps. Must not know: rules, sockets, codecs, C.

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

use sink::{first_news, types_of, Inbox, Sink, WAITING};
pub(super) use sink::{StreamNews, Tell};
pub use tracks::RemoteTrackStats;
use tracks::{Before, TrackKey, Tracks};

/// Remote tracks of one call that are on the air at once.
const MAX_PLAYERS: usize = 1_024;
/// How often what was counted is summed up, while something plays.
const SUMS: Duration = Duration::from_millis(500);

/// Deadlines passed at once when a track is over: more than any buffer holds.
const MAX_TAIL: u32 = 64;

/// What is on the other side of the inbox.
struct Playing {
    /// None while the track is off the air: what is muted costs nothing.
    player: Option<Box<dyn TrackPlayer>>,
    /// Of the inbox, when the player was made.
    life: u64,
    transform: Box<dyn FrameTransform>,
    /// Packets taken over.
    packets: VecDeque<RtpPacket>,
    dropped: u64,
    /// Of the track that the player plays.
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
    /// As they were when it was last played.
    figures: Mutex<ReceiveStats>,
    tell: Tell,
    /// When it was forgotten, in ms since the call began and one more; 0: it is not.
    forgotten: AtomicU64,
    /// Somebody owns it.
    bound: AtomicBool,
    /// Nothing came for a while; the next packet wakes the task.
    idle: AtomicBool,
    /// When it is to be looked after, in microseconds since the call began; 0: at once.
    due: AtomicU64,
}

impl Remote {
    /// It is to be looked after at once.
    fn rouse(&self) {
        self.due.store(0, Ordering::Release);
        self.idle.store(false, Ordering::Release);
    }
}

/// What it needs of its call.
pub(super) struct Receiving {
    pub began: Instant,
    pub media: Arc<MediaCounters>,
    /// Of all tracks, for who asks.
    pub totals: Arc<Mutex<ReceiveStats>>,
    /// Taken out of names.
    pub secrets: Arc<Secrets>,
    /// Nothing is to be heard any more.
    pub closed: Arc<AtomicBool>,
    pub mailbox: Mailbox<Notice, AudioFrame>,
    /// What frames pass before anybody looks into them.
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
    /// What the call's rules could not be told yet.
    untold: Mutex<Vec<(Tell, StreamNews)>>,
    /// Totals of tracks and players that are gone.
    gone: Mutex<ReceiveStats>,
    spare: Arc<Mutex<Vec<Samples>>>,
    /// The tracks that are known, over all their streams.
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
            untold: Mutex::default(),
            gone: Mutex::default(),
            spare: Arc::default(),
            tracks: Mutex::default(),
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
        let inbox = Inbox {
            packets: VecDeque::new(),
            dropped: 0,
            types: types_of(info),
            who: None,
            life: 0,
            silent: silent.is_some(),
            why: silent,
            waiting: 0,
            before: Before::default(),
            foreign: 0,
            clock: SenderClock::new(info.clock_rate),
        };
        let playing = Playing {
            player: None,
            life: 0,
            transform: self.call.transforms.receiving(),
            packets: VecDeque::new(),
            dropped: 0,
            figures: None,
        };
        let remote = Arc::new(Remote {
            inbox: Mutex::new(inbox),
            playing: Mutex::new(playing),
            figures: Mutex::default(),
            tell,
            forgotten: AtomicU64::new(0),
            bound: AtomicBool::new(false),
            idle: AtomicBool::new(true),
            due: AtomicU64::new(0),
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

    /// Takes over what has come. Whose it is; `None`: nobody's, and nothing is played.
    fn fill(&self, remote: &Remote, playing: &mut Playing, now: Duration) -> Option<Arc<Who>> {
        let (who, types, life) = {
            let mut inbox = remote.inbox.lock();
            let who = inbox.who.clone()?;
            std::mem::swap(&mut inbox.packets, &mut playing.packets);
            playing.dropped += std::mem::take(&mut inbox.dropped);
            (who, inbox.types, inbox.life)
        };
        if std::mem::replace(&mut playing.life, life) != life {
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
                // More are on the air at once than are played.
                let is_sound = |p: &RtpPacket| types.kind(p.payload_type, &p.payload) == Taken::Sound;
                let count = packets.drain(..).filter(is_sound).count() as u64;
                self.call.media.unassigned.fetch_add(count, Ordering::Relaxed);
            }
        }
        Some(who)
    }

    /// Nothing came for a while: the next packet wakes the task. Unless it came meanwhile: false.
    fn rest(remote: &Remote) -> bool {
        let inbox = remote.inbox.lock();
        let rests = inbox.packets.is_empty();
        if rests {
            remote.idle.store(true, Ordering::Release);
        }
        rests
    }

    /// Ends the player of a track that is nobody's. Who plays it just now is not waited for, and does this afterwards.
    fn drop_player(&self, remote: &Remote) {
        let Some(mut playing) = remote.playing.try_lock() else { return };
        let stays = {
            let inbox = remote.inbox.lock();
            inbox.who.is_some() && inbox.life == playing.life
        };
        if !stays {
            playing.packets = VecDeque::new();
            self.end_player(remote, &mut playing);
        }
    }

    /// Its figures are kept, and nothing else.
    fn end_player(&self, remote: &Remote, playing: &mut Playing) {
        let Some(player) = playing.player.take() else { return };
        let mut stats = playing.stats(&*player);
        playing.dropped = 0;
        self.players.fetch_sub(1, Ordering::AcqRel);
        oh_log!(Level::Debug, "a track of sound is off the air: {stats:?}");
        // What it is now it is no more.
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

    /// What the call's rules order about a stream.
    pub fn carry_out(&self, order: Output) {
        match order {
            Output::Bind { id, user_id, session_id, kind, track_id, stream, silent } => {
                // Names come from servers, who may repeat secrets.
                let clean = |text: String| match self.call.secrets.text(&text) {
                    Cow::Owned(clean) => clean,
                    Cow::Borrowed(_) => text,
                };
                let (user_id, session_id, track_id) = (clean(user_id), clean(session_id), clean(track_id));
                let key = (session_id.clone(), kind, track_id.clone(), stream);
                // Held until it is known: who asks sees it in one place.
                let mut tracks = self.tracks.lock();
                let figures = tracks.of(&key, |track| self.is_on_air(track));
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
    fn is_on_air(&self, track: u64) -> bool {
        let remotes: Vec<_> = self.remotes.lock().values().cloned().collect();
        remotes.iter().any(|remote| remote.inbox.lock().who.as_ref().is_some_and(|who| who.track == track))
    }

    /// `silent`: it cannot be decoded, whatever it says of itself.
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
            inbox.life += 1;
        }
        inbox.who = Some(who.clone());
        remote.bound.store(true, Ordering::Release);
        remote.rouse();
        drop(inbox);
        self.wake.notify_one();
        Some(who)
    }

    /// A participant has left, or a track of it is over: what was counted of it is of no more use.
    pub fn over(&self, session_id: &str, track_id: Option<&str>) {
        let clean = self.call.secrets.text(session_id);
        let track_id = track_id.map(|id| self.call.secrets.text(id));
        let meant = |key: &TrackKey| key.0 == clean && track_id.as_ref().is_none_or(|id| key.2 == *id);
        self.tracks.lock().known.retain(|key, _| !meant(key));
    }

    /// Figures of the tracks that are known, in the order in which they came, and of the streams that nobody owns.
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

    /// Nothing more of it is heard once this returns.
    pub fn unbind(&self, id: RemoteId) {
        let Some(remote) = self.remote(id) else { return };
        let mut inbox = remote.inbox.lock();
        remote.bound.store(false, Ordering::Release);
        inbox.who = None;
        inbox.life += 1;
        inbox.packets = VecDeque::new();
        drop(inbox);
        self.drop_player(&remote);
    }

    /// Hands over at once what has come of a track.
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

    /// Takes its place away; `None`: it had none.
    fn forget(&self, id: RemoteId) -> Option<()> {
        let (remote, left) = {
            let mut remotes = self.remotes.lock();
            let remote = remotes.remove(&id)?;
            (remote, remotes.len())
        };
        let mut inbox = remote.inbox.lock();
        remote.bound.store(false, Ordering::Release);
        inbox.who = None;
        inbox.life += 1;
        inbox.packets = VecDeque::new();
        let waiting = std::mem::take(&mut inbox.waiting);
        drop(inbox);
        if waiting < WAITING {
            self.call.media.unassigned.fetch_add(waiting, Ordering::Relaxed);
        }
        self.drop_player(&remote);
        // Of many that go at once the next round tells.
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

    /// Plays until the call is over.
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

    /// Plays the tracks that are due. When the next one is; `None`: when something comes.
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

    /// Hands over what is due. When it is to be looked after again; `None`: when something comes.
    fn play(&self, remote: &Remote, now: Duration) -> Option<Duration> {
        let mut playing = remote.playing.lock();
        let next = self.play_with(remote, &mut playing, now);
        let next = match next {
            None if Self::rest(remote) => None,
            // Something has come meanwhile.
            None => Some(now),
            next => next,
        };
        remote.due.store(next.map_or(0, micros), Ordering::Release);
        drop(playing);
        // It may have been taken off the air meanwhile, and nobody has waited for this.
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

    /// The inbox is locked until it is queued: after [`Playout::unbind`] nothing is.
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
