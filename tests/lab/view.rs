//! An application's view of its room, derived from its events alone.

use offhook::core::{model::*, Event};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default, Debug)]
pub struct View {
    /// Session id → user and published tracks: kind, and the track's name if it has one.
    pub people: BTreeMap<String, (String, Vec<(TrackKind, String)>)>,
    /// Tracks that are present but muted: session id and track.
    muted: BTreeSet<(String, (TrackKind, String))>,
    local_sessions: Vec<String>,
    /// Messages of the SFU were lost or mixed up on the way: the view may be wrong.
    pub tainted: bool,
}

impl View {
    /// A session id of the local participant.
    pub fn add_local(&mut self, session_id: &str) {
        if !self.local_sessions.iter().any(|o| o == session_id) {
            self.local_sessions.push(session_id.to_owned());
        }
    }

    pub fn knows(&self, session_id: &str) -> bool {
        self.people.contains_key(session_id) || self.local_sessions.iter().any(|o| o == session_id)
    }

    pub fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::ParticipantJoined(p) => {
                self.stranger(&p.session_id)?;
                let entry = (p.user_id.clone(), Vec::new());
                if self.people.insert(p.session_id.clone(), entry).is_some() {
                    return Err(format!("{} is reported as joined twice", p.session_id));
                }
            }
            Event::ParticipantUpdated(p) if p.local && self.is_local(&p.session_id) => {}
            Event::ParticipantUpdated(p) if p.local => {
                return Err(format!("{} is reported as the local session, and is not", p.session_id));
            }
            Event::ParticipantUpdated(p) => {
                self.stranger(&p.session_id)?;
                self.known(&p.session_id, "is updated")?;
            }
            Event::ParticipantLeft(p) => {
                self.stranger(&p.session_id)?;
                self.known(&p.session_id, "leaves")?;
                self.people.remove(&p.session_id);
                self.muted.retain(|(session, _)| *session != p.session_id);
            }
            // A moderator has unmuted a local track.
            Event::TrackPublished { session_id, track, .. } if track.local && self.is_local(session_id) => {}
            Event::TrackPublished { session_id, track, .. } => {
                let kind = &(track.kind, track.id.clone());
                self.stranger(session_id)?;
                let named = (session_id.clone(), kind.clone());
                let was_muted = self.muted.contains(&named);
                if track.muted && was_muted {
                    return Err(format!("{session_id} publishes {kind:?} twice, muted"));
                }
                let tracks = self.known(session_id, "publishes")?;
                if tracks.contains(kind) {
                    return Err(format!("{session_id} publishes {kind:?} twice"));
                }
                match track.muted {
                    true => drop(self.muted.insert(named)),
                    false => {
                        tracks.push(kind.clone());
                        self.muted.remove(&named);
                    }
                }
            }
            // A moderator has muted a local track.
            Event::TrackUnpublished { session_id, cause: UnpublishCause::Moderation, .. }
                if self.is_local(session_id) => {}
            Event::TrackUnpublished { session_id, track, cause, .. } => {
                let kind = &(track.kind, track.id.clone());
                self.stranger(session_id)?;
                let named = (session_id.clone(), kind.clone());
                let was_muted = self.muted.remove(&named);
                let tracks = self.known(session_id, "ends a track")?;
                if !tracks.contains(kind) && !was_muted {
                    return Err(format!("{session_id} ends {kind:?}, which it never published"));
                }
                tracks.retain(|k| k != kind);
                if track.muted && *cause == UnpublishCause::UserMuted {
                    self.muted.insert(named);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_local(&self, session_id: &str) -> bool {
        self.local_sessions.iter().any(|o| o == session_id)
    }

    fn stranger(&self, session_id: &str) -> Result<(), String> {
        match self.is_local(session_id) {
            true => Err(format!("the application is shown itself: {session_id}")),
            false => Ok(()),
        }
    }

    fn known(&mut self, session_id: &str, what: &str) -> Result<&mut Vec<(TrackKind, String)>, String> {
        match self.people.get_mut(session_id) {
            Some((_, tracks)) => Ok(tracks),
            None => Err(format!("{session_id} {what} without having joined")),
        }
    }
}
