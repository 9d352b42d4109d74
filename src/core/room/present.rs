//! Snapshot of the participants and their tracks, from the state that events are derived from.
//!
//! It is taken in two steps so that only the first one blocks the call: [`Look`] copies little more than references,
//! [`Look::present`] assembles the snapshot. Must not know: events, threads, who asks.

use crate::core::model::*;
use crate::core::TrackId;
use std::{collections::HashMap, sync::Arc};

/// A participant of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// As last described by the SFU. [`Present::tracks`] has more details of its tracks.
    pub participant: Arc<Participant>,
    /// In the order in which they were published.
    pub tracks: Vec<PresentTrack>,
}

/// A track published by a participant.
#[derive(Clone, Debug, PartialEq)]
pub struct PresentTrack {
    /// The SFU's name of the track; empty in protocols that identify tracks by kind only, and for an unnamed local
    /// track.
    pub id: String,
    /// Set by its publisher; may be empty.
    pub name: String,
    /// The source: microphone, camera, screen or screen audio.
    pub kind: TrackKind,
    pub muted: bool,
    /// Encrypted end to end.
    pub encrypted: bool,
    /// Its media arrives and can be played. False for local tracks.
    pub received: bool,
    /// Why its media cannot be played.
    pub unplayable: Option<Unplayable>,
    /// Set for local tracks.
    pub local: Option<PresentLocal>,
}

/// Additional details of a local track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentLocal {
    pub track: TrackId,
    /// Negotiated on the current connection: packets may flow.
    pub published: bool,
    /// Muted by a moderator.
    pub moderated: bool,
}

/// A stream bound to a track: session, kind and name of the track, and whether it can be played.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::core) struct Bound {
    pub session_id: String,
    pub kind: TrackKind,
    pub track_id: String,
    pub unplayable: Option<Unplayable>,
}

/// The data for a snapshot.
#[derive(Debug, Default)]
pub struct Look {
    /// The local participant; `None`: the call has ended.
    pub(in crate::core) local: Option<Arc<Participant>>,
    pub(in crate::core) local_tracks: Vec<PresentTrack>,
    /// The remote participants, by session id.
    pub(in crate::core) remote: Vec<Arc<Participant>>,
    pub(in crate::core) bound: Vec<Bound>,
}

impl Look {
    /// The local participant first, then the remote ones by session id.
    pub fn present(self) -> Vec<Present> {
        let Self { local, local_tracks, remote, bound } = self;
        let mut streams: HashMap<(&str, TrackKind, &str), Option<Unplayable>> = HashMap::new();
        for Bound { session_id, kind, track_id, unplayable } in &bound {
            let known = streams.entry((session_id.as_str(), *kind, track_id.as_str())).or_insert(*unplayable);
            // Of several streams of one kind, one playable stream is enough.
            if unplayable.is_none() {
                *known = None;
            }
        }
        let track = |p: &Participant, track: &RemoteTrack| {
            let RemoteTrack { id, kind, name, muted, encrypted, .. } = track.clone();
            let stream = streams.get(&(p.session_id.as_str(), kind, id.as_str()));
            let why = if encrypted { Some(Unplayable::Encrypted) } else { stream.copied().flatten() };
            let unplayable = why.filter(|_| stream.is_some());
            let received = stream.is_some() && unplayable.is_none() && !muted;
            PresentTrack { id, name, kind, muted, encrypted, received, unplayable, local: None }
        };
        let other = |participant: Arc<Participant>| {
            let tracks = participant.published.iter().map(|t| track(&participant, t)).collect();
            Present { participant, tracks }
        };
        let local = local.map(|participant| Present { participant, tracks: local_tracks });
        local.into_iter().chain(remote.into_iter().map(other)).collect()
    }
}
