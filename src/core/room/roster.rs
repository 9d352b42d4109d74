//! The participants of the call, and the owner of a stream id.
//!
//! Keyed by session id. Updates may be partial, duplicate and out of order: upserts and removals of unknown
//! participants are allowed. Must not know: sockets, the engine, time.

use crate::core::model::{MediaOwner, Participant, RemoteTrack, TrackKind};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Maximum number of participants; more are counted but not kept.
pub const MAX_PARTICIPANTS: usize = 10_000;
/// Maximum size of all participants together, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Maximum number of tracks of one participant.
pub const MAX_TRACKS: usize = 256;
/// Maximum number of remembered prefixes from before a migration, by which their media still finds its owner.
const MAX_FORMER_PREFIXES: usize = 256;

#[derive(Debug, Default)]
pub struct Roster {
    /// Shared with the events about them; copied on change while such an event is queued. The order is the same in
    /// every run.
    all: BTreeMap<String, Arc<Participant>>,
    /// Unpublished tracks that are known by kind only.
    silent: HashSet<(String, TrackKind)>,
    /// Number of sessions in `all` for each user id.
    users: HashMap<String, u32>,
    /// Prefixes from before a migration, with their session ids.
    former_prefixes: VecDeque<(String, String)>,
    /// Number of participants and tracks refused because of the limits.
    pub refused: u64,
    /// Size of all participants.
    bytes: usize,
}

/// The owner of media.
#[derive(Debug)]
pub struct Owner<'a> {
    pub participant: &'a Participant,
    pub kind: TrackKind,
    /// Neither muted nor unpublished.
    pub is_published: bool,
    pub encrypted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Upsert {
    New,
    Known,
    Refused,
}

/// Result of a track update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackNews {
    None,
    /// The track is new, or no longer muted.
    Published,
    /// There is no room for the track.
    Refused,
}

impl Roster {
    pub fn get(&self, session_id: &str) -> Option<&Participant> {
        self.all.get(session_id).map(|p| &**p)
    }

    /// Like [`Roster::get`], as a snapshot to keep.
    pub fn shared(&self, session_id: &str) -> Option<Arc<Participant>> {
        self.all.get(session_id).cloned()
    }

    pub fn get_mut(&mut self, session_id: &str) -> Option<&mut Participant> {
        self.all.get_mut(session_id).map(Arc::make_mut)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Participant> {
        self.all.values().map(|p| &**p)
    }

    /// All participants except one session.
    pub fn all_except(&self, session_id: &str) -> Vec<Arc<Participant>> {
        self.all.values().filter(|p| p.session_id != session_id).cloned().collect()
    }

    pub fn clear(&mut self) {
        self.all.clear();
        self.bytes = 0;
        self.silent.clear();
        self.users.clear();
        self.former_prefixes.clear();
    }

    /// True if there is no room for one more participant, or for `bytes` in total. A smaller total is always accepted.
    fn is_full(&self, one_more: bool, bytes: usize) -> bool {
        (one_more && self.all.len() >= MAX_PARTICIPANTS) || bytes > MAX_BYTES.max(self.bytes)
    }

    /// True if the user has a session in the call.
    pub fn has_user(&self, user_id: &str) -> bool {
        self.users.contains_key(user_id)
    }

    /// The sessions of a user id.
    pub fn sessions_of(&self, user_id: &str) -> Vec<String> {
        if !self.has_user(user_id) {
            return Vec::new();
        }
        self.iter().filter(|p| p.user_id == user_id).map(|p| p.session_id.clone()).collect()
    }

    fn note_user(&mut self, user_id: &str, here: bool) {
        match self.users.get_mut(user_id) {
            Some(count) if here => *count += 1,
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.users.remove(user_id)),
            None if here => drop(self.users.insert(user_id.to_owned(), 1)),
            None => {}
        }
    }

    pub fn upsert(&mut self, participant: Arc<Participant>) -> Upsert {
        if participant.session_id.is_empty() {
            self.refused += 1;
            return Upsert::Refused;
        }
        let known = self.all.get(&participant.session_id);
        let bytes = self.bytes.saturating_sub(known.map_or(0, |p| p.weight())) + participant.weight();
        if self.is_full(known.is_none(), bytes) {
            self.refused += 1;
            return Upsert::Refused;
        }
        if let Some(known) = self.all.get_mut(&participant.session_id) {
            self.bytes = bytes;
            if known.track_prefix != participant.track_prefix && !known.track_prefix.is_empty() {
                self.former_prefixes.truncate(MAX_FORMER_PREFIXES - 1);
                self.former_prefixes.push_front((known.track_prefix.clone(), known.session_id.clone()));
            }
            let former = std::mem::replace(known, participant);
            let now = &self.all[&former.session_id].user_id;
            if former.user_id != *now {
                let now = now.clone();
                self.note_user(&former.user_id, false);
                self.note_user(&now, true);
            }
            return Upsert::Known;
        }
        self.bytes = bytes;
        self.note_user(&participant.user_id, true);
        self.all.insert(participant.session_id.clone(), participant);
        Upsert::New
    }

    pub fn remove(&mut self, session_id: &str) -> Option<Arc<Participant>> {
        self.silent.retain(|(session, _)| session != session_id);
        let gone = self.all.remove(session_id)?;
        self.bytes = self.bytes.saturating_sub(gone.weight());
        self.note_user(&gone.user_id, false);
        Some(gone)
    }

    /// Adds or updates a published track.
    pub fn publish(&mut self, session_id: &str, track: &RemoteTrack) -> TrackNews {
        let Some(p) = self.all.get_mut(session_id) else { return TrackNews::None };
        if !self.silent.is_empty() && !track.muted {
            self.silent.remove(&(session_id.to_owned(), track.kind));
        }
        let Some(index) = p.published.iter().position(|t| (&t.id, t.kind) == (&track.id, track.kind)) else {
            let bytes = self.bytes + track.weight();
            if p.published.len() >= MAX_TRACKS || bytes > MAX_BYTES {
                self.refused += 1;
                return TrackNews::Refused;
            }
            self.bytes = bytes;
            Arc::make_mut(p).published.push(track.clone());
            return TrackNews::Published;
        };
        if p.published[index] == *track {
            return TrackNews::None;
        }
        let known = &mut Arc::make_mut(p).published[index];
        let news = known.muted && !track.muted;
        let bytes = self.bytes.saturating_sub(known.weight()) + track.weight();
        if bytes > MAX_BYTES.max(self.bytes) {
            known.muted = track.muted;
        } else {
            self.bytes = bytes;
            known.clone_from(track);
        }
        if news {
            TrackNews::Published
        } else {
            TrackNews::None
        }
    }

    /// Removes a published track; true if it existed.
    pub fn unpublish(&mut self, session_id: &str, track: &RemoteTrack) -> bool {
        let Some(p) = self.all.get_mut(session_id).map(Arc::make_mut) else { return false };
        let index = p.published.iter().position(|t| (&t.id, t.kind) == (&track.id, track.kind));
        let Some(index) = index else { return false };
        let gone = p.published.remove(index);
        self.bytes = self.bytes.saturating_sub(gone.weight());
        if track.id.is_empty() {
            self.silent.insert((session_id.to_owned(), track.kind));
        }
        true
    }

    /// Marks a track as muted; true if it was not.
    pub fn mute(&mut self, session_id: &str, track: &RemoteTrack) -> bool {
        let Some(p) = self.get_mut(session_id) else { return false };
        let known = p.published.iter_mut().find(|t| (&t.id, t.kind) == (&track.id, track.kind));
        known.is_some_and(|known| !std::mem::replace(&mut known.muted, true))
    }

    /// The owner of media, with the kind and state of the track.
    pub fn owner(&self, named: &MediaOwner) -> Option<Owner<'_>> {
        // Of several claims, always the same one.
        let claim = self.iter().filter(|p| p.track_prefix == named.prefix);
        // If prefixes are session ids, no search is needed.
        let by_session = self.get(&named.prefix).filter(|p| p.track_prefix == named.prefix);
        let now = by_session.or_else(|| claim.min_by(|a, b| a.session_id.cmp(&b.session_id)));
        let former = || {
            let (_, session_id) = self.former_prefixes.iter().find(|(former, _)| *former == named.prefix)?;
            self.get(session_id)
        };
        let participant = now.or_else(former)?;
        let named_kind = |t: &&RemoteTrack| t.id == named.track_id && named.kind.is_none_or(|kind| kind == t.kind);
        let track = participant.published.iter().find(named_kind);
        let kind = named.kind.or(track.map(|t| t.kind))?;
        let over = named.track_id.is_empty()
            && !self.silent.is_empty()
            && self.silent.contains(&(participant.session_id.clone(), kind));
        let is_published = !over && track.is_none_or(|t| !t.muted);
        Some(Owner { participant, kind, is_published, encrypted: track.is_some_and(|t| t.encrypted) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unknown_is_fine() {
        let mut roster = Roster::default();
        assert_eq!(roster.publish("nobody", &TrackKind::Audio.into()), TrackNews::None);
        assert!(
            !roster.unpublish("nobody", &TrackKind::Audio.into()) && !roster.mute("nobody", &TrackKind::Audio.into())
        );
        assert!(roster.remove("nobody").is_none());
        assert_eq!(roster.upsert(Arc::default()), Upsert::Refused);
        let p = Arc::new(Participant { session_id: "s".into(), track_prefix: "p".into(), ..Default::default() });
        assert_eq!(roster.upsert(p.clone()), Upsert::New);
        assert_eq!(roster.upsert(p), Upsert::Known);
        let audio = RemoteTrack::from(TrackKind::Audio);
        assert_eq!(roster.publish("s", &audio), TrackNews::Published);
        assert_eq!(roster.publish("s", &audio), TrackNews::None);
        let named = MediaOwner {
            prefix: "p".into(),
            kind: Some(TrackKind::Audio),
            track_id: String::new(),
            stream: String::new(),
        };
        assert_eq!(roster.owner(&named).unwrap().participant.session_id, "s");
        // If the kind comes from the track, the track must be known.
        let by_track = |id: &str| MediaOwner { kind: None, track_id: id.into(), ..named.clone() };
        let muted = RemoteTrack { id: "t".into(), muted: true, ..TrackKind::Video.into() };
        assert!(roster.owner(&by_track("u")).is_none());
        assert_eq!(roster.publish("s", &muted), TrackNews::Published, "also of a muted one");
        assert_eq!(roster.publish("s", &muted), TrackNews::None);
        assert_eq!(roster.owner(&by_track("t")).map(|o| (o.kind, o.is_published)), Some((TrackKind::Video, false)));
        assert_eq!(roster.publish("s", &RemoteTrack { muted: false, ..muted.clone() }), TrackNews::Published);
        assert!(roster.mute("s", &muted) && !roster.mute("s", &muted));
        assert!(roster.unpublish("s", &muted) && !roster.unpublish("s", &muted));
    }

    #[test]
    fn sessions_are_found_by_their_user() {
        let mut roster = Roster::default();
        let p = |user: &str, session: &str| Participant {
            user_id: user.into(),
            session_id: session.into(),
            ..Default::default()
        };
        roster.upsert(p("a", "1").into());
        roster.upsert(p("a", "2").into());
        roster.upsert(p("b", "2").into());
        assert_eq!((roster.sessions_of("a"), roster.sessions_of("b")), (vec!["1".into()], vec!["2".into()]));
        roster.remove("1");
        assert!(!roster.has_user("a") && roster.has_user("b") && roster.sessions_of("a").is_empty());
        roster.clear();
        assert!(!roster.has_user("b"));
    }
}
