//! Who is in the call at one moment, with their tracks: a snapshot of the state that events are made of.
//!
//! Taken in two steps, so that the call's rules are held up by the first alone: [`Look`] copies references and little
//! else, [`Look::present`] puts together what there is to say. Must not know: events, threads, who asks.

use crate::core::model::*;
use crate::core::TrackId;
use std::{collections::HashMap, sync::Arc};

/// Somebody in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    /// As the SFU last described it. Of its tracks [`Present::tracks`] says more.
    pub participant: Arc<Participant>,
    /// In the order in which they were published.
    pub tracks: Vec<PresentTrack>,
}

/// One of the tracks that somebody publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct PresentTrack {
    /// The SFU's name for it; empty in protocols that know kinds only, and of a local track that the SFU has not named.
    pub id: String,
    /// Given by its publisher, may be empty.
    pub name: String,
    /// The source: microphone, camera, screen or screen audio.
    pub kind: TrackKind,
    pub muted: bool,
    /// Encrypted end to end.
    pub encrypted: bool,
    /// Its media arrives and can be played. False of local tracks.
    pub received: bool,
    /// Why what arrives cannot be played.
    pub unplayable: Option<Unplayable>,
    /// Of a local track.
    pub local: Option<PresentLocal>,
}

/// What there is to say of a local track beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentLocal {
    pub track: TrackId,
    /// Negotiated over the connection in use: packets may flow.
    pub published: bool,
    /// Muted by a moderator.
    pub moderated: bool,
}

/// A stream that is bound to a track: of which session, of which kind, of which name, and whether it can be played.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::core) struct Bound {
    pub session_id: String,
    pub kind: TrackKind,
    pub track_id: String,
    pub unplayable: Option<Unplayable>,
}

/// What a snapshot is made of.
#[derive(Debug, Default)]
pub struct Look {
    /// The local participant; `None`: the call is over.
    pub(in crate::core) local: Option<Arc<Participant>>,
    pub(in crate::core) local_tracks: Vec<PresentTrack>,
    /// The others, by session id.
    pub(in crate::core) others: Vec<Arc<Participant>>,
    pub(in crate::core) bound: Vec<Bound>,
}

impl Look {
    /// The local participant first, then the others by session id.
    pub fn present(self) -> Vec<Present> {
        let Self { local, local_tracks, others, bound } = self;
        let mut streams: HashMap<(&str, TrackKind, &str), Option<Unplayable>> = HashMap::new();
        for Bound { session_id, kind, track_id, unplayable } in &bound {
            let known = streams.entry((session_id.as_str(), *kind, track_id.as_str())).or_insert(*unplayable);
            // Of several streams of one kind one that can be played is enough.
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
        local.into_iter().chain(others.into_iter().map(other)).collect()
    }
}
