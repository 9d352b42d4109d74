//! Parser for ICE candidates as JSON, the form in which they are trickled (RFC 8838, W3C `RTCIceCandidateInit`); the
//! library's only one. Must not know: what becomes of a candidate.

use serde::Deserialize;

/// Longest candidate JSON accepted, in bytes.
pub const MAX_CANDIDATE_BYTES: usize = 4096;

/// A parsed candidate; missing and null members are tolerated.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Candidate {
    /// The text of the candidate attribute.
    #[serde(default)]
    pub candidate: Option<String>,
    #[serde(rename = "usernameFragment", default)]
    ufrag: Option<serde_json::Value>,
}

impl Candidate {
    /// Parses a remote candidate; `null` is an empty one.
    ///
    /// # Errors
    /// The text is too large, or not JSON of a candidate; returns a message.
    pub fn parse(json: &str) -> Result<Self, &'static str> {
        if json.len() > MAX_CANDIDATE_BYTES {
            return Err("the candidate is too large");
        }
        // serde would also accept a JSON array.
        if json.trim_start().starts_with('[') {
            return Err("the candidate is not a JSON candidate object");
        }
        match serde_json::from_str::<Option<Self>>(json) {
            Ok(candidate) => Ok(candidate.unwrap_or_default()),
            Err(_) => Err("the candidate is not a JSON candidate object"),
        }
    }

    /// The ICE generation of the candidate, if given.
    pub fn ufrag(&self) -> Option<&str> {
        self.ufrag.as_ref()?.as_str().filter(|ufrag| !ufrag.is_empty())
    }
}
