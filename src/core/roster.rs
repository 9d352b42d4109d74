//! Who is in the call, and whose media a stream id belongs to.
//!
//! Keyed by session id. Updates are partial, doubled and out of order in practice: upserts and
//! removals of the unknown are fine. Must not know: sockets, the engine, time.

use super::model::{MediaOwner, Participant, RemoteTrack, TrackKind};
use std::collections::{HashMap, VecDeque};

/// More than any call this client can follow; what comes beyond is counted, not kept.
pub const MAX_PARTICIPANTS: usize = 10_000;
/// Tracks of one participant.
const MAX_TRACKS: usize = 256;
/// Media of before a migration still finds its owner.
const MAX_FORMER_PREFIXES: usize = 256;

#[derive(Debug, Default)]
pub struct Roster {
    all: HashMap<String, Participant>,
    /// Prefixes of before a migration, with whose they were.
    former_prefixes: VecDeque<(String, String)>,
    /// Participants and their tracks that the limit kept out.
    pub refused: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Upsert {
    New,
    Known,
    Refused,
}

impl Roster {
    pub fn get(&self, session_id: &str) -> Option<&Participant> {
        self.all.get(session_id)
    }

    pub fn get_mut(&mut self, session_id: &str) -> Option<&mut Participant> {
        self.all.get_mut(session_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Participant> {
        self.all.values()
    }

    pub fn clear(&mut self) {
        self.all.clear();
        self.former_prefixes.clear();
    }

    pub fn upsert(&mut self, participant: Participant) -> Upsert {
        if participant.session_id.is_empty() {
            self.refused += 1;
            return Upsert::Refused;
        }
        if let Some(known) = self.all.get_mut(&participant.session_id) {
            if known.track_prefix != participant.track_prefix && !known.track_prefix.is_empty() {
                self.former_prefixes.truncate(MAX_FORMER_PREFIXES - 1);
                self.former_prefixes.push_front((known.track_prefix.clone(), known.session_id.clone()));
            }
            *known = participant;
            return Upsert::Known;
        }
        if self.all.len() >= MAX_PARTICIPANTS {
            self.refused += 1;
            return Upsert::Refused;
        }
        self.all.insert(participant.session_id.clone(), participant);
        Upsert::New
    }

    pub fn remove(&mut self, session_id: &str) -> Option<Participant> {
        self.all.remove(session_id)
    }

    /// Notes a published track; true when it is news that it can be heard or seen.
    pub fn publish(&mut self, session_id: &str, track: &RemoteTrack) -> bool {
        let Some(p) = self.all.get_mut(session_id) else { return false };
        let full = p.published.len() >= MAX_TRACKS;
        match p.published.iter_mut().find(|t| (&t.id, t.kind) == (&track.id, track.kind)) {
            Some(known) => {
                let news = known.muted && !track.muted;
                *known = track.clone();
                news
            }
            None if full => {
                self.refused += 1;
                false
            }
            None => {
                p.published.push(track.clone());
                !track.muted
            }
        }
    }

    /// Forgets a published track; true when it could be heard or seen until now.
    pub fn unpublish(&mut self, session_id: &str, track: &RemoteTrack) -> bool {
        let Some(p) = self.all.get_mut(session_id) else { return false };
        let index = p.published.iter().position(|t| (&t.id, t.kind) == (&track.id, track.kind));
        index.is_some_and(|index| !p.published.remove(index).muted)
    }

    /// The participant whose media it is, and its kind.
    pub fn owner(&self, named: &MediaOwner) -> Option<(&Participant, TrackKind)> {
        // Of two that claim it always the same one.
        let claim = self.all.values().filter(|p| p.track_prefix == named.prefix);
        let now = claim.min_by(|a, b| a.session_id.cmp(&b.session_id));
        let former = || {
            let (_, session_id) = self.former_prefixes.iter().find(|(former, _)| *former == named.prefix)?;
            self.all.get(session_id)
        };
        let participant = now.or_else(former)?;
        let told = || participant.published.iter().find(|t| t.id == named.track_id).map(|t| t.kind);
        Some((participant, named.kind.or_else(told)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unknown_is_fine() {
        let mut roster = Roster::default();
        assert!(!roster.publish("nobody", &TrackKind::Audio.into()));
        assert!(!roster.unpublish("nobody", &TrackKind::Audio.into()));
        assert!(roster.remove("nobody").is_none());
        assert_eq!(roster.upsert(Participant::default()), Upsert::Refused);
        let p = Participant { session_id: "s".into(), track_prefix: "p".into(), ..Default::default() };
        assert_eq!(roster.upsert(p.clone()), Upsert::New);
        assert_eq!(roster.upsert(p), Upsert::Known);
        let audio = RemoteTrack::from(TrackKind::Audio);
        assert!(roster.publish("s", &audio) && !roster.publish("s", &audio));
        let named = MediaOwner { prefix: "p".into(), kind: Some(TrackKind::Audio), track_id: String::new() };
        assert_eq!(roster.owner(&named).unwrap().0.session_id, "s");
        // Where the track says its kind, it must be known.
        let by_track = |id: &str| MediaOwner { kind: None, track_id: id.into(), ..named.clone() };
        let muted = RemoteTrack { id: "t".into(), kind: TrackKind::Video, name: String::new(), muted: true };
        assert!(!roster.publish("s", &muted) && roster.owner(&by_track("u")).is_none());
        assert_eq!(roster.owner(&by_track("t")).unwrap().1, TrackKind::Video);
        assert!(roster.publish("s", &RemoteTrack { muted: false, ..muted.clone() }));
        assert!(roster.unpublish("s", &muted) && !roster.unpublish("s", &muted));
    }
}
