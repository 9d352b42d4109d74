//! The engine's end of a remote track: packets are put down where the playing task finds them, and what there is to say
//! of the stream is told to the call's rules.
//!
//! Nothing here takes longer than a moment, and nothing is decoded. Must not know: players, participants' names, C.

use super::{tracks::Before, Playout, Remote, Who};
use crate::core::{model::Unplayable, RemoteId};
use crate::media::{
    audio::payload::{PayloadTypes, Taken},
    clock::{SenderClock, SenderReport},
};
use crate::rtc::engine::{PacketSink, RemoteTrackInfo, RtpPacket};
use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

/// Packets of a stream that nobody owns before they count as unassigned: until then somebody may be introduced.
pub(super) const WAITING: u64 = 150;
/// Packets of other payload types in a row, without any sound, before the track counts as one that cannot be played.
const UNPLAYABLE_IN_A_ROW: u32 = 100;
/// A stream that was forgotten is a new one when packets of it come after so long; before that they were on their way.
const COMES_AGAIN_MS: u64 = 500;

/// Packets of a stream that wait to be played; of more the oldest are dropped.
pub(super) const MAX_INBOX: usize = 128;

/// Static payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;

/// What has come on one stream and is not taken over by its player. Locked for moments only.
pub(super) struct Inbox {
    pub(super) packets: VecDeque<RtpPacket>,
    /// Packets that were too many.
    pub(super) dropped: u64,
    pub(super) types: PayloadTypes,
    pub(super) who: Option<Arc<Who>>,
    /// Counts how often it was taken off the air: what was received before that is nobody's.
    pub(super) life: u64,
    /// It cannot be decoded: packets are counted.
    pub(super) silent: bool,
    /// Why it cannot be decoded, or not all of it.
    pub(super) why: Option<Unplayable>,
    /// Packets since nobody owns it.
    pub(super) waiting: u64,
    /// Of what was received before somebody owned it.
    pub(super) before: Before,
    /// Packets of other payload types since the last sound.
    pub(super) foreign: u32,
    /// Of its sender.
    pub(super) clock: SenderClock,
}

impl Inbox {
    /// Counts a packet for its track, or until it has one.
    fn count(&mut self, kind: Taken, bytes: u64) {
        let unplayable = kind == Taken::Unplayable || kind == Taken::Sound && self.silent;
        let (padding, unplayable) = (u64::from(kind == Taken::Padding), u64::from(unplayable));
        match &self.who {
            Some(who) => who.figures.add(Before { packets: 1, bytes, padding, unplayable }),
            None => {
                self.before.packets += 1;
                self.before.bytes += bytes;
                self.before.padding += padding;
                self.before.unplayable += unplayable;
            }
        }
    }
}

/// Hears of streams; false: not now.
pub(in crate::session) type Tell = Arc<dyn Fn(StreamNews) -> bool + Send + Sync>;

/// What a stream has to say to the call's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum StreamNews {
    /// `true`: it was forgotten, and comes again.
    Came(RemoteId, bool),
    Unplayable(RemoteId, Unplayable),
    Gone(RemoteId),
}

pub(super) struct Sink {
    pub(super) id: RemoteId,
    pub(super) remote: Arc<Remote>,
    pub(super) playout: Arc<Playout>,
    /// Not told yet, the next one last.
    pub(super) news: Vec<StreamNews>,
    pub(super) told: bool,
    /// Why it cannot be decoded, by what was negotiated.
    pub(super) silent: Option<Unplayable>,
}

impl Sink {
    pub(super) fn tell_news(&mut self) {
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
        inbox.count(kind, packet.payload.len() as u64);
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
                    inbox.why = Some(Unplayable::PayloadType);
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
pub(super) fn first_news(id: RemoteId, silent: Option<Unplayable>, again: bool) -> Vec<StreamNews> {
    silent.map(|why| StreamNews::Unplayable(id, why)).into_iter().chain([StreamNews::Came(id, again)]).collect()
}

/// The payload types of Opus; where none was read, all that may be.
pub(super) fn types_of(info: &RemoteTrackInfo) -> PayloadTypes {
    let types = PayloadTypes::of(info.opus_types.iter().copied());
    if types.is_empty() {
        PayloadTypes::default()
    } else {
        types.with_red(info.red)
    }
}
