//! Decides when a remote candidate may be added (RFC 8838; the ufrag of RFC 8839 identifies the ICE generation): never
//! before the remote description, never to a superseded ICE generation.
//!
//! Must not know: the engine, sockets, time.

use crate::core::model::{
    candidate::{Candidate, MAX_CANDIDATE_BYTES},
    sdp,
};

const MAX_HELD: usize = 64;
const MAX_OLD: usize = 16;

/// Candidates of one peer connection.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// ufrags of the remote description that is set; empty before the first.
    current: Vec<String>,
    superseded: Vec<String>,
    held: Vec<String>,
    /// Candidates passed to the engine with the description that is being set.
    given: Vec<String>,
    remote_set: bool,
}

/// What to do with a candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Add,
    Held,
    /// Superseded, oversized, invalid, or too many.
    Dropped,
}

impl Candidates {
    pub fn offer(&mut self, json: &str) -> Verdict {
        let Some(ufrag) = ufrag_of(json) else { return Verdict::Dropped };
        if !ufrag.is_empty() && self.superseded.contains(&ufrag) {
            return Verdict::Dropped;
        }
        if self.remote_set && (ufrag.is_empty() || self.current.contains(&ufrag)) {
            return Verdict::Add;
        }
        self.hold(json)
    }

    /// Keeps a candidate until the next remote description is set.
    pub fn hold(&mut self, json: &str) -> Verdict {
        if json.len() > MAX_CANDIDATE_BYTES || self.held.len() + self.given.len() >= MAX_HELD {
            return Verdict::Dropped;
        }
        self.held.push(json.to_owned());
        Verdict::Held
    }

    /// True if a description starts another ICE generation than the current one.
    pub fn begins_anew(&self, sdp: &str) -> bool {
        !self.remote_set || !sdp::ufrags(sdp, MAX_OLD).iter().any(|fresh| self.current.contains(fresh))
    }

    /// Returns the held candidates that belong to this description, to be set together with it.
    pub fn give(&mut self, sdp: &str) -> Vec<String> {
        let fresh = sdp::ufrags(sdp, MAX_OLD);
        let belongs = |json: &String| ufrag_of(json).is_some_and(|ufrag| ufrag.is_empty() || fresh.contains(&ufrag));
        (self.given, self.held) = std::mem::take(&mut self.held).into_iter().partition(belongs);
        self.given.clone()
    }

    /// The description was not set: holds its candidates for another one.
    pub fn take_back(&mut self) {
        let mut back = std::mem::take(&mut self.given);
        back.append(&mut self.held);
        back.truncate(MAX_HELD);
        self.held = back;
    }

    /// The remote description is set: returns the held candidates that belong to it, in order. Candidates of a
    /// superseded generation are dropped (returns their number); those of later ones stay held.
    pub fn remote_set(&mut self, sdp: &str) -> (Vec<String>, usize) {
        let fresh = sdp::ufrags(sdp, MAX_OLD);
        if self.remote_set {
            for old in std::mem::take(&mut self.current) {
                if !fresh.contains(&old) && !self.superseded.contains(&old) {
                    if self.superseded.len() >= MAX_OLD {
                        self.superseded.remove(0);
                    }
                    self.superseded.push(old);
                }
            }
        }
        // After a rollback an earlier generation may return.
        self.superseded.retain(|old| !fresh.contains(old));
        self.current = fresh;
        self.remote_set = true;
        self.given.clear();
        let mut dropped = 0;
        let mut ready = Vec::new();
        for json in std::mem::take(&mut self.held) {
            match self.offer(&json) {
                Verdict::Add => ready.push(json),
                Verdict::Held => {}
                Verdict::Dropped => dropped += 1,
            }
        }
        (ready, dropped)
    }
}

/// The candidate's ufrag; empty if it has none. `None` if the JSON is not a candidate.
fn ufrag_of(json: &str) -> Option<String> {
    let candidate = Candidate::parse(json).ok().filter(|c| c.candidate.is_some())?;
    Some(candidate.ufrag().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(ufrag: &str) -> String {
        format!(r#"{{"candidate":"candidate:1 1 udp 1 127.0.0.1 1 typ host","usernameFragment":"{ufrag}"}}"#)
    }

    #[test]
    fn waits_for_the_remote_description() {
        let mut c = Candidates::default();
        assert_eq!(c.offer(&candidate("a")), Verdict::Held);
        assert_eq!(c.offer(&candidate("")), Verdict::Held);
        assert_eq!(c.offer(&candidate("later")), Verdict::Held);
        let (ready, dropped) = c.remote_set("v=0\r\na=ice-ufrag:a\r\n");
        assert_eq!((ready.len(), dropped), (2, 0));
        assert_eq!(c.offer(&candidate("a")), Verdict::Add);
        let (ready, _) = c.remote_set("a=ice-ufrag:later\r\n");
        assert_eq!(ready, vec![candidate("later")]);
    }

    #[test]
    fn what_goes_with_a_description_waits_again_when_that_is_not_set() {
        let mut c = Candidates::default();
        for ufrag in ["a", "", "later"] {
            assert_eq!(c.offer(&candidate(ufrag)), Verdict::Held);
        }
        assert_eq!(c.give("a=ice-ufrag:a\r\n"), [candidate("a"), candidate("")]);
        assert_eq!(c.hold(&candidate("a")), Verdict::Held, "it comes meanwhile");
        c.take_back();
        assert_eq!(c.give("a=ice-ufrag:a\r\n").len(), 3);
        assert_eq!(c.remote_set("a=ice-ufrag:a\r\n"), (vec![], 0), "the engine has them");
        assert_eq!(c.give("a=ice-ufrag:later\r\n"), [candidate("later")]);
        c.take_back();
        // The limit covers held and given candidates together.
        for _ in 0..2 * MAX_HELD {
            c.hold(&candidate("b"));
        }
        assert_eq!(c.give("a=ice-ufrag:b\r\n").len(), MAX_HELD - 1);
        assert_eq!(c.hold(&candidate("b")), Verdict::Dropped);
    }

    #[test]
    fn a_superseded_generation_is_dropped() {
        let mut c = Candidates::default();
        c.remote_set("a=ice-ufrag:old\r\n");
        c.remote_set("a=ice-ufrag:new\r\n");
        assert_eq!(c.offer(&candidate("old")), Verdict::Dropped);
        assert_eq!(c.offer(&candidate("new")), Verdict::Add);
    }

    #[test]
    fn garbage_and_floods_are_bounded() {
        let mut c = Candidates::default();
        for bad in ["", "{", "[]", "{}", r#"{"candidate":1}"#, &"x".repeat(5000)] {
            assert_eq!(c.offer(bad), Verdict::Dropped);
        }
        for _ in 0..MAX_HELD {
            assert_eq!(c.offer(&candidate("f")), Verdict::Held);
        }
        assert_eq!(c.offer(&candidate("f")), Verdict::Dropped);
    }
}
