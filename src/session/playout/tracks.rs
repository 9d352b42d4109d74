//! The remote tracks of a call and what was counted of each, over all the streams that have carried it.
//!
//! Must not know: how packets come, players, C.

use super::super::frames::{TrackFigures, Who};
use crate::core::{
    limits,
    model::{TrackKind, Unplayable},
};
use crate::media::audio::receive::ReceiveStats;
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

/// Figures of a stream that nobody owns yet, or any more; they become those of the track that it is bound to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) padding: u64,
    pub(super) unplayable: u64,
}

/// Figures of one remote track at one moment.
#[derive(Clone, Debug)]
pub struct RemoteTrackStats {
    /// Whose, and which; `None`: a stream that nobody owns.
    pub who: Option<Arc<Who>>,
    /// A stream carries it now.
    pub received: bool,
    /// RTP packets, and the bytes of their payloads; of padding only, and those that cannot be decoded.
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_padding: u64,
    pub packets_unplayable: u64,
    /// Those of a stream that nobody owns.
    pub packets_unassigned: u64,
    pub frames_played: u64,
    /// What became of the packets; what is measured is as it is now.
    pub receive: ReceiveStats,
    /// Why what comes cannot be played.
    pub unplayable: Option<Unplayable>,
}

impl TrackFigures {
    pub(super) fn add(&self, before: Before) {
        let add = |to: &AtomicU64, by: u64| {
            to.fetch_add(by, Ordering::Relaxed);
        };
        add(&self.packets, before.packets);
        add(&self.bytes, before.bytes);
        if before.padding + before.unplayable > 0 {
            add(&self.padding, before.padding);
            add(&self.unplayable, before.unplayable);
        }
    }
}

/// Which track: session id, kind, the SFU's name of it, and what tells its streams apart where it has none.
pub(super) type TrackKey = (String, TrackKind, String, String);

/// The remote tracks of a call, each with what was counted of it.
#[derive(Default)]
pub(super) struct Tracks {
    pub(super) known: HashMap<TrackKey, Arc<Who>>,
    pub(super) last: u64,
}

impl Tracks {
    /// The figures of a track: new ones, if it is. A track without a name may come again under another stream id: it is
    /// one of its kind of which nothing comes any more. `on_air`: whether something of that number comes.
    pub(super) fn of(&mut self, key: &TrackKey, on_air: impl Fn(u64) -> bool) -> Arc<TrackFigures> {
        if let Some(who) = self.known.get(key) {
            return who.figures.clone();
        }
        let (session_id, kind, track_id, _) = key;
        if track_id.is_empty() {
            let akin = self
                .known
                .iter()
                .filter(|((s, k, t, _), who)| (s, k) == (session_id, kind) && t.is_empty() && !on_air(who.track));
            let akin = akin.min_by_key(|(_, who)| who.track).map(|(known, _)| known.clone());
            if let Some(who) = akin.and_then(|known| self.known.remove(&known)) {
                return who.figures.clone();
            }
        }
        self.last += 1;
        Arc::new(TrackFigures { number: self.last, ..TrackFigures::default() })
    }

    /// Bounded; of more than are received at once nobody can have heard lately.
    pub(super) fn remember(&mut self, key: TrackKey, who: Arc<Who>) {
        if self.known.len() >= limits::REMOTE_TRACKS && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, who)| who.track).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, who);
    }
}

impl RemoteTrackStats {
    /// Of what is over; what its stream adds comes later.
    pub(super) fn of(who: &Arc<Who>) -> Self {
        let figures = &who.figures;
        let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Self {
            received: false,
            packets_received: load(&figures.packets),
            bytes_received: load(&figures.bytes),
            packets_padding: load(&figures.padding),
            packets_unplayable: load(&figures.unplayable),
            packets_unassigned: 0,
            frames_played: load(&figures.frames_played),
            receive: *figures.past.lock(),
            unplayable: None,
            who: Some(who.clone()),
        }
    }

    pub(super) fn unowned(before: Before, waiting: u64, why: Option<Unplayable>) -> Self {
        Self {
            who: None,
            received: true,
            packets_received: before.packets,
            bytes_received: before.bytes,
            packets_padding: before.padding,
            packets_unplayable: before.unplayable,
            packets_unassigned: waiting,
            frames_played: 0,
            receive: ReceiveStats::default(),
            unplayable: why.or(Some(Unplayable::Unassigned)),
        }
    }
}
