//! The remote tracks of a call and their counters, over all the streams that have carried each.
//!
//! Must not know: how packets arrive, players, C.

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

/// Counters of a stream without an owner; they are added to those of the track that it is bound to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) padding: u64,
    pub(super) unplayable: u64,
}

/// Statistics of one remote track at one moment.
#[derive(Clone, Debug)]
pub struct RemoteTrackStats {
    /// Its participant and track; `None`: a stream without an owner.
    pub who: Option<Arc<Who>>,
    /// A stream carries it now.
    pub received: bool,
    /// RTP packets, and the bytes of their payloads; packets of padding only, and those that cannot be decoded.
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_padding: u64,
    pub packets_unplayable: u64,
    /// Packets of a stream without an owner.
    pub packets_unassigned: u64,
    pub frames_played: u64,
    /// Reception statistics; measured values are the current ones.
    pub receive: ReceiveStats,
    /// Why the received media cannot be played.
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

/// Identifies a track: session id, kind, the SFU's track id, and, without one, what distinguishes its streams.
pub(super) type TrackKey = (String, TrackKind, String, String);

/// The remote tracks of a call, each with its counters.
#[derive(Default)]
pub(super) struct Tracks {
    pub(super) known: HashMap<TrackKey, Arc<Who>>,
    pub(super) last: u64,
}

impl Tracks {
    /// The counters of a track; new ones for a new track. A track without an id may come back under another stream id:
    /// it then continues a track of its kind that no longer receives anything. `is_bound`: whether a track of that
    /// number receives.
    pub(super) fn of(&mut self, key: &TrackKey, is_bound: impl Fn(u64) -> bool) -> Arc<TrackFigures> {
        if let Some(who) = self.known.get(key) {
            return who.figures.clone();
        }
        let (session_id, kind, track_id, _) = key;
        if track_id.is_empty() {
            let akin = self
                .known
                .iter()
                .filter(|((s, k, t, _), who)| (s, k) == (session_id, kind) && t.is_empty() && !is_bound(who.track));
            let akin = akin.min_by_key(|(_, who)| who.track).map(|(known, _)| known.clone());
            if let Some(who) = akin.and_then(|known| self.known.remove(&known)) {
                return who.figures.clone();
            }
        }
        self.last += 1;
        Arc::new(TrackFigures { number: self.last, ..TrackFigures::default() })
    }

    /// Stores a track. Bounded: beyond the number received at once, the oldest is dropped.
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
    /// Counters of ended streams; those of the current stream are added later.
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
