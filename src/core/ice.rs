//! Where a remote candidate may go, and when (RFC 8838; the ufrag of RFC 8839 names the ICE
//! generation): never before the remote description, never to a superseded ICE generation.
//!
//! Must not know: the engine, sockets, time.

use serde_json::Value;

const MAX_HELD: usize = 64;
const MAX_OLD: usize = 16;
const MAX_CANDIDATE: usize = 4096;
/// Two of 256 characters, and a space.
const MAX_CREDENTIALS: usize = 513;

/// Candidates of one peer connection.
#[derive(Debug, Default)]
pub struct Candidates {
    /// ufrags of the remote description in force; empty before the first.
    current: Vec<String>,
    superseded: Vec<String>,
    held: Vec<String>,
    remote_set: bool,
}

/// What to do with a candidate.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Add,
    Held,
    /// Superseded, oversized, unreadable, or too many.
    Dropped,
}

impl Candidates {
    pub fn offer(&mut self, json: &str) -> Verdict {
        if json.len() > MAX_CANDIDATE {
            return Verdict::Dropped;
        }
        let Some(ufrag) = ufrag_of(json) else { return Verdict::Dropped };
        if !ufrag.is_empty() && self.superseded.contains(&ufrag) {
            return Verdict::Dropped;
        }
        if self.remote_set && (ufrag.is_empty() || self.current.contains(&ufrag)) {
            return Verdict::Add;
        }
        self.hold(json)
    }

    /// Kept until the next remote description is in force.
    pub fn hold(&mut self, json: &str) -> Verdict {
        if json.len() > MAX_CANDIDATE || self.held.len() >= MAX_HELD {
            return Verdict::Dropped;
        }
        self.held.push(json.to_owned());
        Verdict::Held
    }

    /// Whether a description is of another ICE generation than the one in force.
    pub fn begins_anew(&self, sdp: &str) -> bool {
        !self.remote_set || !ufrags(sdp).iter().any(|fresh| self.current.contains(fresh))
    }

    /// The remote description is in force: gives the held candidates that belong to it, in order;
    /// those of a superseded generation are dropped (their number is given), later ones stay.
    pub fn remote_set(&mut self, sdp: &str) -> (Vec<String>, usize) {
        let fresh = ufrags(sdp);
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
        // After a rollback a former generation may come back.
        self.superseded.retain(|old| !fresh.contains(old));
        self.current = fresh;
        self.remote_set = true;
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

/// The candidate's ufrag, empty when it names none; `None` when this is not a candidate at all.
fn ufrag_of(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    let object = value.as_object()?;
    if !object.get("candidate").is_some_and(Value::is_string) {
        return None;
    }
    Some(object.get("usernameFragment").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// The DTLS identity that a description names first (RFC 8122); it holds as long as its peer connection.
pub fn fingerprint(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=fingerprint:"))
}

/// Remembers the identity of the first description; true when a later one has another: the other side has
/// made a new peer connection, which ours cannot talk to.
pub fn changed_identity(known: &mut Option<String>, sdp: &str) -> bool {
    match (known.as_deref(), fingerprint(sdp)) {
        (Some(known), Some(now)) => !known.eq_ignore_ascii_case(now),
        (None, Some(now)) => {
            *known = Some(now.to_owned());
            false
        }
        (_, None) => false,
    }
}

/// What names a description's ICE generation for sure: ufrag and password, which are random (RFC 8839). Two peer
/// connections never have the same, other than their DTLS identity.
pub fn credentials(sdp: &str) -> Option<String> {
    let value = |name: &str| sdp.lines().find_map(|line| line.trim_end().strip_prefix(name));
    let text = format!("{} {}", value("a=ice-ufrag:")?, value("a=ice-pwd:")?);
    (text.len() <= MAX_CREDENTIALS).then_some(text)
}

fn ufrags(sdp: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in sdp.lines() {
        if let Some(ufrag) = line.trim_end().strip_prefix("a=ice-ufrag:") {
            if found.len() < MAX_OLD && !found.iter().any(|f| f == ufrag) {
                found.push(ufrag.to_owned());
            }
        }
    }
    found
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
    fn a_superseded_generation_is_dropped() {
        let mut c = Candidates::default();
        c.remote_set("a=ice-ufrag:old\r\n");
        c.remote_set("a=ice-ufrag:new\r\n");
        assert_eq!(c.offer(&candidate("old")), Verdict::Dropped);
        assert_eq!(c.offer(&candidate("new")), Verdict::Add);
    }

    #[test]
    fn credentials_are_ufrag_and_password_together() {
        let sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=audio\r\na=ice-ufrag:v\r\n";
        assert_eq!(credentials(sdp).as_deref(), Some("u p"));
        assert_eq!(credentials("a=ice-ufrag:u\r\n"), None);
        assert_eq!(credentials(&format!("a=ice-ufrag:u\na=ice-pwd:{}\n", "x".repeat(600))), None);
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
