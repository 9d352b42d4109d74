//! The engine's end of a remote track: packets are stored for the playing task, and news of the stream is sent to the
//! core.
//!
//! Everything here is quick, and nothing is decoded. Must not know: players, participants' names, C.

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

/// Packets of a stream without an owner before they count as unassigned: until then its owner may be announced.
pub(super) const WAITING: u64 = 150;
/// Consecutive packets of other payload types, without any audio, before the track counts as unplayable.
const UNPLAYABLE_IN_A_ROW: u32 = 100;
/// Packets of a forgotten stream that arrive this much later make it a new stream; earlier ones were already on their
/// way.
const COMES_AGAIN_MS: u64 = 500;

/// Packets of a stream that wait to be played; beyond it the oldest are dropped.
pub(super) const MAX_INBOX: usize = 128;

/// Static payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;

/// Packets of one stream that its player has not taken over yet. Locked briefly.
pub(super) struct Inbox {
    pub(super) packets: VecDeque<RtpPacket>,
    /// Packets dropped because there were too many.
    pub(super) dropped: u64,
    pub(super) types: PayloadTypes,
    pub(super) who: Option<Arc<Who>>,
    /// Generation: incremented when the stream is taken out of playback. Media received before that has no owner.
    pub(super) generation: u64,
    /// It cannot be decoded: packets are only counted.
    pub(super) silent: bool,
    /// Why it, or a part of it, cannot be decoded.
    pub(super) why: Option<Unplayable>,
    /// Packets without an owner.
    pub(super) waiting: u64,
    /// Counters of packets received before it had an owner.
    pub(super) before: Before,
    /// Packets of other payload types since the last audio.
    pub(super) foreign: u32,
    /// Clock of its sender.
    pub(super) clock: SenderClock,
}

impl Inbox {
    /// Counts a packet for its track, or until there is one.
    fn count(&mut self, kind: Taken, bytes: u64) {
        let unplayable = kind == Taken::Unplayable || kind == Taken::Audio && self.silent;
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

/// Sends news of streams; false: not possible now.
pub(in crate::session) type EventSender = Arc<dyn Fn(StreamEvent) -> bool + Send + Sync>;

/// News of a stream for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum StreamEvent {
    /// `true`: it was forgotten and has come back.
    Added(RemoteId, bool),
    Unplayable(RemoteId, Unplayable),
    Removed(RemoteId),
}

pub(super) struct Sink {
    pub(super) id: RemoteId,
    pub(super) remote: Arc<Remote>,
    pub(super) playout: Arc<Playout>,
    /// Not sent yet, the next one last.
    pub(super) pending_events: Vec<StreamEvent>,
    pub(super) unplayable_reported: bool,
    /// Why it cannot be decoded, as negotiated.
    pub(super) silent: Option<Unplayable>,
}

impl Sink {
    pub(super) fn send_events(&mut self) {
        while self.pending_events.last().is_some_and(|event| (self.remote.send_event)(*event)) {
            self.pending_events.pop();
        }
    }

    /// A packet of a forgotten stream: false while it may have been on its way already. After that the stream is a new
    /// one.
    fn comes_again(&mut self, forgotten: u64) -> bool {
        let since = self.playout.ms().saturating_sub(forgotten);
        if since < COMES_AGAIN_MS {
            return false;
        }
        let Some(id) = self.playout.give_place(&self.remote) else { return false };
        self.remote.forgotten.store(0, Ordering::Release);
        self.id = id;
        self.pending_events = first_events(id, self.silent, true);
        self.send_events();
        true
    }

    /// Stores a packet for its player; true when there is something to play.
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
            Taken::Audio if inbox.silent => count(&media.unplayable, 1),
            Taken::Audio if inbox.who.is_none() => {
                inbox.waiting += 1;
                match inbox.waiting.cmp(&WAITING) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => count(&media.unassigned, WAITING),
                    std::cmp::Ordering::Greater => count(&media.unassigned, 1),
                }
            }
            Taken::Audio => {}
        }
        if inbox.silent {
            return false;
        }
        // Comfort noise and telephone events accompany the audio.
        let beside = packet.payload_type == COMFORT_NOISE || packet.payload.len() <= 4;
        match kind {
            Taken::Audio => inbox.foreign = 0,
            Taken::Unplayable if !beside => {
                inbox.foreign = inbox.foreign.saturating_add(1);
                if inbox.foreign == UNPLAYABLE_IN_A_ROW && !std::mem::replace(&mut self.unplayable_reported, true) {
                    inbox.why = Some(Unplayable::PayloadType);
                    self.pending_events.insert(0, StreamEvent::Unplayable(self.id, Unplayable::PayloadType));
                }
            }
            Taken::Padding | Taken::Unplayable => {}
        }
        if inbox.packets.len() >= MAX_INBOX {
            inbox.packets.pop_front();
            inbox.dropped += 1;
        }
        inbox.packets.push_back(packet);
        kind == Taken::Audio
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
        if !self.pending_events.is_empty() {
            self.send_events();
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
        let known = !self.pending_events.iter().any(|event| matches!(event, StreamEvent::Added(..)));
        if self.playout.forget(self.id).is_some() && known {
            self.playout.send_removed(&self.remote, self.id);
        }
    }
}

/// The first news of a stream for the core, the next one last.
pub(super) fn first_events(id: RemoteId, silent: Option<Unplayable>, again: bool) -> Vec<StreamEvent> {
    silent.map(|why| StreamEvent::Unplayable(id, why)).into_iter().chain([StreamEvent::Added(id, again)]).collect()
}

/// The payload types of Opus; if none was parsed, all possible ones.
pub(super) fn types_of(info: &RemoteTrackInfo) -> PayloadTypes {
    let types = PayloadTypes::of(info.opus_types.iter().copied());
    if types.is_empty() {
        PayloadTypes::default()
    } else {
        types.with_red(info.red)
    }
}
