//! Who is in the call, and whose media a stream id belongs to.
//!
//! Keyed by session id. Updates are partial, doubled and out of order in practice: upserts and
//! removals of the unknown are fine. Must not know: sockets, the engine, time.

use super::model::{Participant, TrackKind};
use std::collections::{HashMap, VecDeque};

/// More than any call this client can follow; what comes beyond is counted, not kept.
pub const MAX_PARTICIPANTS: usize = 10_000;
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

    /// Notes a published track; true when it is news.
    pub fn publish(&mut self, session_id: &str, kind: TrackKind) -> bool {
        match self.all.get_mut(session_id) {
            Some(p) if !p.published.contains(&kind) => {
                p.published.push(kind);
                true
            }
            _ => false,
        }
    }

    /// Forgets a published track; true when it was known.
    pub fn unpublish(&mut self, session_id: &str, kind: TrackKind) -> bool {
        match self.all.get_mut(session_id) {
            Some(p) => {
                let before = p.published.len();
                p.published.retain(|k| *k != kind);
                p.published.len() != before
            }
            None => false,
        }
    }

    /// The participant and kind behind a stream id `{prefix}:TRACK_TYPE_…:…`.
    pub fn owner(&self, stream_id: &str) -> Option<(&Participant, TrackKind)> {
        let (prefix, kind) = split_stream_id(stream_id)?;
        // Of two that claim it always the same one.
        let claim = self.all.values().filter(|p| p.track_prefix == prefix);
        let now = claim.min_by(|a, b| a.session_id.cmp(&b.session_id));
        let former = || {
            let (_, session_id) = self.former_prefixes.iter().find(|(former, _)| former == prefix)?;
            self.all.get(session_id)
        };
        now.or_else(former).map(|p| (p, kind))
    }
}

/// Splits `{prefix}:TRACK_TYPE_…:…`; the last part is an opaque token, the prefix has no colon.
pub fn split_stream_id(stream_id: &str) -> Option<(&str, TrackKind)> {
    let mut parts = stream_id.splitn(3, ':');
    let prefix = parts.next().filter(|p| !p.is_empty())?;
    let kind = match parts.next()? {
        "TRACK_TYPE_AUDIO" => TrackKind::Audio,
        "TRACK_TYPE_VIDEO" => TrackKind::Video,
        "TRACK_TYPE_SCREEN_SHARE" => TrackKind::ScreenShare,
        "TRACK_TYPE_SCREEN_SHARE_AUDIO" => TrackKind::ScreenShareAudio,
        _ => return None,
    };
    Some((prefix, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids() {
        assert_eq!(split_stream_id("p1:TRACK_TYPE_AUDIO:0"), Some(("p1", TrackKind::Audio)));
        assert_eq!(
            split_stream_id("p1:TRACK_TYPE_SCREEN_SHARE_AUDIO:a:b"),
            Some(("p1", TrackKind::ScreenShareAudio))
        );
        for bad in ["", "p1", ":TRACK_TYPE_AUDIO:0", "p1:AUDIO:0", "p1:"] {
            assert_eq!(split_stream_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_unknown_is_fine() {
        let mut roster = Roster::default();
        assert!(!roster.publish("nobody", TrackKind::Audio));
        assert!(!roster.unpublish("nobody", TrackKind::Audio));
        assert!(roster.remove("nobody").is_none());
        assert_eq!(roster.upsert(Participant::default()), Upsert::Refused);
        let p = Participant { session_id: "s".into(), track_prefix: "p".into(), ..Default::default() };
        assert_eq!(roster.upsert(p.clone()), Upsert::New);
        assert_eq!(roster.upsert(p), Upsert::Known);
        assert!(roster.publish("s", TrackKind::Audio) && !roster.publish("s", TrackKind::Audio));
        assert_eq!(roster.owner("p:TRACK_TYPE_AUDIO:9").unwrap().0.session_id, "s");
    }
}
