//! ICE candidates as JSON, the form in which they are trickled (RFC 8838, W3C `RTCIceCandidateInit`): the one parser
//! of the library. Must not know: what becomes of a candidate.

use serde::Deserialize;

/// Longest candidate JSON accepted, in bytes.
pub const MAX_CANDIDATE_BYTES: usize = 4096;

/// What a candidate says; missing and null members are tolerated.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Candidate {
    /// The attribute's text.
    #[serde(default)]
    pub candidate: Option<String>,
    #[serde(rename = "usernameFragment", default)]
    ufrag: Option<serde_json::Value>,
}

impl Candidate {
    /// Reads a candidate of the other side; `null` is an empty one.
    ///
    /// # Errors
    /// Too large, or not JSON of a candidate; in words.
    pub fn parse(json: &str) -> Result<Self, &'static str> {
        if json.len() > MAX_CANDIDATE_BYTES {
            return Err("the candidate is too large");
        }
        // A sequence would also do for serde.
        if json.trim_start().starts_with('[') {
            return Err("the candidate is not JSON of a candidate");
        }
        match serde_json::from_str::<Option<Self>>(json) {
            Ok(candidate) => Ok(candidate.unwrap_or_default()),
            Err(_) => Err("the candidate is not JSON of a candidate"),
        }
    }

    /// The ICE generation that it belongs to, if told.
    pub fn ufrag(&self) -> Option<&str> {
        self.ufrag.as_ref()?.as_str().filter(|ufrag| !ufrag.is_empty())
    }
}
