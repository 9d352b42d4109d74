//! Media on its way in: for each remote track what has come and who plays it, and one task per call that plays them all.
//!
//! Packets are put down on the engine's tasks under a lock that is held for moments. At the deadline of a track that is
//! bound to a participant the task takes them over and gives them to its player (`track_player.rs`): order, the call's
//! transform and decoding are on this side, under a lock that no packet needs. What is heard goes to the call's mailbox.
//! With nothing to play the task sleeps. Must not know: rules, sockets, codecs, C.

use super::counters::MediaCounters;
use super::frames::{AudioFrame, AudioOptions, Samples, Who};
use super::notice::Notice;
use super::redact::Secrets;
use super::track_player::{AudioPlayer, Played, TrackPlayer};
use crate::core::model::Unplayable;
use crate::core::{limits, Output, RemoteId};
use crate::dispatch::Mailbox;
use crate::log::{oh_log, Level};
use crate::media::{
    audio::{
        payload::{PayloadTypes, Taken},
        receive::ReceiveStats,
    },
    clock::{SenderClock, SenderReport},
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

/// Remote tracks of one call that are on the air at once.
const MAX_PLAYERS: usize = 1_024;
/// How often what was counted is summed up, while something plays.
const SUMS: Duration = Duration::from_millis(500);

/// Packets of a stream that nobody owns before they count as unassigned: until then somebody may be introduced.
const WAITING: u64 = 150;
/// Packets of other payload types in a row, without any sound, before the track counts as one that cannot be played.
const UNPLAYABLE_IN_A_ROW: u32 = 100;
/// Deadlines passed at once when a track is over: more than any buffer holds.
const MAX_TAIL: u32 = 64;

/// A stream that was forgotten is a new one when packets of it come after so long; before that they were on their way.
const COMES_AGAIN_MS: u64 = 500;

/// Packets of a stream that wait to be played; of more the oldest are dropped.
const MAX_INBOX: usize = 128;

/// What has come on one stream and is not taken over by its player. Locked for moments only.
struct Inbox {
    packets: VecDeque<RtpPacket>,
    /// Packets that were too many.
    dropped: u64,
    types: PayloadTypes,
    who: Option<Arc<Who>>,
    /// Counts how often it was taken off the air: what was received before that is nobody's.
    life: u64,
    /// It cannot be decoded: packets are counted.
    silent: bool,
    /// Packets since nobody owns it.
    waiting: u64,
    /// Packets of other payload types since the last sound.
    foreign: u32,
    /// Of its sender.
    clock: SenderClock,
}

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

    /// Puts a packet where its player finds it; true when there is something to play.
    fn take(&mut self, mut packet: RtpPacket) -> bool {
        let media = &self.playout.call.media;
        let count = |counter: &AtomicU64, by: u64| {
            counter.fetch_add(by, Ordering::Relaxed);
        };
        packet.arrival = self.playout.now();
        let mut inbox = self.remote.inbox.lock();
        let kind = inbox.types.kind(packet.payload_type, &packet.payload);
        match kind {
            Taken::Padding => count(&media.padding, 1),
            Taken::Unplayable => count(&media.unplayable, 1),
            Taken::Sound if inbox.silent => count(&media.unplayable, 1),
            Taken::Sound if inbox.who.is_none() => {
                inbox.waiting += 1;
                match inbox.waiting.cmp(&WAITING) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => count(&media.unassigned, WAITING),
                    std::cmp::Ordering::Greater => count(&media.unassigned, 1),
                }
            }
            Taken::Sound => {}
        }
        if inbox.silent {
            return false;
        }
        // Noise and events come beside the sound.
        let beside = packet.payload_type == COMFORT_NOISE || packet.payload.len() <= 4;
        match kind {
            Taken::Sound => inbox.foreign = 0,
            Taken::Unplayable if !beside => {
                inbox.foreign = inbox.foreign.saturating_add(1);
                if inbox.foreign == UNPLAYABLE_IN_A_ROW && !std::mem::replace(&mut self.told, true) {
                    self.news.insert(0, StreamNews::Unplayable(self.id, Unplayable::PayloadType));
                }
            }
            Taken::Padding | Taken::Unplayable => {}
        }
        if inbox.packets.len() >= MAX_INBOX {
            inbox.packets.pop_front();
            inbox.dropped += 1;
        }
        inbox.packets.push_back(packet);
        kind == Taken::Sound
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
        if self.take(packet) && self.remote.idle.load(Ordering::Acquire) {
            self.remote.rouse();
            self.playout.wake.notify_one();
        }
        if !self.news.is_empty() {
            self.tell_news();
        }
    }

    fn renegotiated(&mut self, info: &RemoteTrackInfo) {
        self.remote.inbox.lock().types = types_of(info);
    }

    fn report(&mut self, report: SenderReport) {
        self.remote.inbox.lock().clock.report(report);
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
            players: AtomicUsize::new(0),
            phase: AtomicU64::new(0),
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
        let inbox = Inbox {
            packets: VecDeque::new(),
            dropped: 0,
            types: types_of(info),
            who: None,
            life: 0,
            silent: silent.is_some(),
            waiting: 0,
            foreign: 0,
            clock: SenderClock::new(info.clock_rate),
        };
        let playing = Playing {
            player: None,
            life: 0,
            transform: self.call.transforms.receiving(),
            packets: VecDeque::new(),
            dropped: 0,
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
        let Playing { player, transform, packets, .. } = playing;
        if packets.is_empty() {
            return Some(who);
        }
        if player.is_none() {
            *player = self.player();
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
        *remote.figures.lock() = ReceiveStats::default();
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
                self.bind(id, Who::new(user_id, session_id, track_id, kind), silent);
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
        let mut inbox = remote.inbox.lock();
        let before = std::mem::take(&mut inbox.waiting);
        if silent && !std::mem::replace(&mut inbox.silent, true) {
            if before < WAITING {
                self.call.media.unplayable.fetch_add(before, Ordering::Relaxed);
            }
            inbox.packets.clear();
            inbox.life += 1;
        }
        inbox.who = Some(Arc::new(who));
        remote.bound.store(true, Ordering::Release);
        remote.rouse();
        drop(inbox);
        self.wake.notify_one();
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
        let Played { samples, timestamp, capture_time, level, concealed, silence } = played;
        let frame = AudioFrame {
            who: who.clone(),
            samples,
            rate: self.options.rate,
            channels: self.options.channels,
            timestamp,
            capture_time: capture_time.or_else(|| inbox.clock.at(timestamp)),
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn earliest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
