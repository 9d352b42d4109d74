//! A notice: one event of a call for the application, its weight, and the room it holds while it is queued.
//!
//! Must not know: C, mailboxes of others, rules.

use super::{
    inflow::{Inflow, Room},
    lift::Lift,
};
use crate::core::model::{DataBody, Pin, RemoteTrack};
use crate::core::{Event, TrackId};
use crate::dispatch::{Class, DataLost, Weight};
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

/// One event of a call for the application.
#[derive(Debug)]
pub struct Notice {
    /// Milliseconds since the join began.
    pub at_ms: u64,
    pub event: Event,
    /// The place that it occupies until the application has received it.
    _held: Option<Held>,
    /// The room that it holds until then.
    _room: Room,
    /// Takes effect when the application has received the event.
    _lift: Option<Lift>,
}

/// One place of a [`Places`]; free again when this is dropped.
#[derive(Debug)]
struct Held(Places);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// Places for requests without an answer yet, including queued answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<AtomicUsize>);

impl Places {
    /// False when all of `most` are taken.
    pub fn take(&self, most: usize) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1)).is_ok()
    }

    pub fn free(&self) {
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    }
}

impl Notice {
    pub fn new(at_ms: u64, event: Event) -> Self {
        Self { at_ms, event, _held: None, _room: Room::default(), _lift: None }
    }

    pub(super) fn lifting(self, lift: Option<Lift>) -> Self {
        Self { _lift: lift, ..self }
    }

    /// An answer occupies the place that its request took.
    pub(super) fn answering(self, places: &Places) -> Self {
        match self.event {
            Event::RpcResponse { .. } => Self { _held: Some(Held(places.clone())), ..self },
            _ => self,
        }
    }

    /// Participants' reliable data is never dropped here: it holds room, and its reader waits for room before the next.
    pub(super) fn holding(mut self, inflow: &Arc<Inflow>) -> Self {
        let bytes = match &self.event {
            Event::Data(data) => data.body.size(),
            Event::RpcRequest { method, payload, .. } => method.len() + payload.len(),
            _ => return self,
        };
        self._room = inflow.take(size_of::<Self>() + bytes);
        self
    }

    /// How the mailbox's queue treats it.
    pub fn class(&self) -> Class {
        const LOCAL: u64 = 1 << 63;
        let of_track = |track: TrackId| Class::Vital(LOCAL | track);
        match &self.event {
            Event::State { .. } => Class::Vital(0),
            Event::Joined { .. } => Class::Vital(1),
            Event::TokenNeeded => Class::Vital(2),
            Event::Media { direction, .. } => Class::Vital(4 + *direction as u64),
            Event::LocalPublished { track } | Event::LocalFailed { track, .. } => of_track(*track),
            Event::TrackPublished { track, .. } | Event::TrackUnpublished { track, .. } if track.local => {
                Class::Vital(moderated(track))
            }
            // The result of a reconnect, and the grants of this participant: the last one counts.
            Event::Reconnected { .. } => Class::Vital(3),
            Event::Grants(_) => Class::Vital(7),
            Event::Unsent(_) => Class::Vital(6),
            Event::DataLost(_) => Class::Vital(9),
            // Exactly one for each RPC call; their number is bounded.
            Event::RpcResponse { .. } => Class::Kept,
            // Bounded by the room that they hold.
            Event::Data(_) | Event::RpcRequest { .. } => Class::Kept,
            Event::ParticipantJoined(_)
            | Event::ParticipantLeft(_)
            | Event::TrackPublished { .. }
            | Event::TrackUnpublished { .. } => Class::Roster,
            _ => Class::Normal,
        }
    }

    /// Bytes of payload, and the lost data that it reports, should it be lost itself.
    pub fn weight(&self) -> Weight {
        let data = match &self.event {
            Event::DataLost(lost) => DataLost { packets: lost.packets, texts: lost.texts, bytes: lost.bytes },
            _ => DataLost::default(),
        };
        Weight { bytes: bytes(&self.event), data }
    }
}

/// Key of a moderator's change to a local track: one per track, unless the hashes of two track ids collide.
fn moderated(track: &RemoteTrack) -> u64 {
    const MODERATED: u64 = 1 << 62;
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = track.id.bytes().chain([track.kind as u8]).fold(0xcbf2_9ce4_8422_2325, fnv);
    MODERATED | hash >> 2
}

fn track(user_id: &str, session_id: &str, track: &RemoteTrack) -> usize {
    user_id.len() + session_id.len() + track.weight()
}

/// Bytes that an event holds besides itself.
fn bytes(event: &Event) -> usize {
    match event {
        Event::ParticipantJoined(p) | Event::ParticipantUpdated(p) | Event::ParticipantLeft(p) => p.weight(),
        Event::TrackPublished { user_id, session_id, track: t } => track(user_id, session_id, t),
        Event::TrackUnpublished { user_id, session_id, track: t, .. } => track(user_id, session_id, t),
        Event::AudioLevel { user_id, session_id, .. }
        | Event::DominantSpeaker { user_id, session_id }
        | Event::Quality { user_id, session_id, .. } => user_id.len() + session_id.len(),
        Event::Pins(pins) => Pin::weight_of(pins),
        Event::Custom { user_id, custom_type, json } => user_id.len() + custom_type.len() + json.len(),
        Event::Room(room) => room.weight(),
        Event::RpcRequest { id, user_id, method, payload, .. } => {
            id.len() + user_id.len() + method.len() + payload.len()
        }
        Event::RpcResponse { answer, .. } => match answer {
            Ok(payload) => payload.len(),
            Err(failure) => failure.message.len() + failure.data.len(),
        },
        Event::Subscribable { user_id, session_id, track_id, .. } => user_id.len() + session_id.len() + track_id.len(),
        Event::Joined { session_id, .. } | Event::Reconnected { session_id, .. } => session_id.len(),
        Event::LocalFailed { error, .. } | Event::Error(error) => error.message.len(),
        Event::Media { text, .. } => text.len(),
        Event::IceServer(failure) => failure.url.len() + failure.text.len(),
        Event::Ended(end) => end.text.len(),
        Event::Data(data) => {
            let id = match &data.body {
                DataBody::Text { id, .. } | DataBody::TextPart { id, .. } => id.len(),
                _ => 0,
            };
            id + data.body.size() + data.from.len() + data.session_id.len()
        }
        Event::DataEncrypted { user_id, session_id } => user_id.len() + session_id.len(),
        Event::Unplayable(what) => {
            size_of_val(&**what) + what.user_id.len() + what.session_id.len() + what.track_id.len() + what.text.len()
        }
        Event::State { .. }
        | Event::TokenNeeded
        | Event::Counts(_)
        | Event::Grants(_)
        | Event::DataLost(_)
        | Event::Unsent(_)
        | Event::LocalPublished { .. } => 0,
    }
}
