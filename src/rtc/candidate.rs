//! ICE candidates as JSON, the form in which both sides trickle them (RFC 8838, W3C
//! `RTCIceCandidateInit`).
//!
//! Must not know: the engine, sockets, signalling.

use crate::core::model::candidate::{Attribute, Candidate};
use serde::Serialize;

#[derive(Serialize)]
struct Out<'a> {
    candidate: &'a str,
    #[serde(rename = "sdpMid")]
    sdp_mid: &'a str,
    #[serde(rename = "sdpMLineIndex")]
    sdp_m_line_index: u16,
    #[serde(rename = "usernameFragment")]
    username_fragment: &'a str,
}

/// What a candidate of the other side turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing to do: the end of candidates, or one that this side cannot use (mDNS name, TCP).
    Nothing,
    /// A candidate for the engine: the attribute's text and the user name fragment, if told.
    Use { candidate: String, ufrag: Option<String> },
}

/// Reads a candidate of the other side. All media is bundled, so `sdpMid` and `sdpMLineIndex`
/// are not looked at; missing, null and empty members are tolerated.
pub fn parse(json: &str) -> Result<Remote, &'static str> {
    let read = Candidate::parse(json)?;
    let text = read.candidate.as_deref().unwrap_or_default();
    let text = text.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    if text.is_empty() || text == "candidate:" || text == "end-of-candidates" {
        return Ok(Remote::Nothing);
    }
    let attribute = Attribute::parse(text).ok_or("the candidate cannot be parsed")?;
    let mdns = attribute.address.len() > 6 && attribute.address.to_ascii_lowercase().ends_with(".local");
    if mdns || attribute.protocol.eq_ignore_ascii_case("tcp") {
        return Ok(Remote::Nothing);
    }
    attribute.udp().ok_or("the candidate cannot be parsed")?;
    Ok(Remote::Use { candidate: text.to_owned(), ufrag: read.ufrag().map(str::to_owned) })
}

/// A local candidate for the other side. `mid` and `index` name the m-line that carries the
/// bundle, `ufrag` the ICE generation.
pub fn to_json(candidate: &str, mid: &str, index: u16, ufrag: &str) -> String {
    let out = Out { candidate, sdp_mid: mid, sdp_m_line_index: index, username_fragment: ufrag };
    serde_json::to_string(&out).unwrap_or_default()
}
