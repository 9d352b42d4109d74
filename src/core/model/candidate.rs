//! ICE candidates, as JSON, the form in which they are trickled (RFC 8838, W3C `RTCIceCandidateInit`), and as an
//! attribute of a description: the one parser of each in the library. Must not know: what becomes of a candidate.

use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

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

/// Words of an attribute that are looked at.
const MAX_WORDS: usize = 40;

/// The attribute `candidate` (RFC 8839, section 5.1), as far as it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub protocol: &'a str,
    /// An IP address, or a name.
    pub address: &'a str,
    port: u16,
    /// e.g. `host`.
    pub kind: &'a str,
}

impl<'a> Attribute<'a> {
    /// Reads what stands behind `a=`; the name in front of it may be missing. `None`: it is not of this form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).take(MAX_WORDS).collect();
        let [_, component, protocol, priority, address, port, "typ", kind, ..] = words[..] else { return None };
        component.parse::<u16>().ok()?;
        priority.parse::<u32>().ok()?;
        Some(Self { protocol, address, port: port.parse().ok()?, kind })
    }

    /// Where datagrams are sent to, when it is a UDP candidate with an IP address.
    pub fn udp(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.address.parse().ok()?;
        (self.protocol.eq_ignore_ascii_case("udp") && self.port > 0).then(|| SocketAddr::new(address, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_far_as_they_are_of_use() {
        let udp = |text| Attribute::parse(text).and_then(|attribute| attribute.udp().map(|at| at.to_string()));
        assert_eq!(udp("candidate:1 1 udp 1 127.0.0.1 9 typ host").as_deref(), Some("127.0.0.1:9"));
        assert_eq!(udp("1 1 UDP 2130706431 ::1 9 typ srflx raddr ::1 rport 7").as_deref(), Some("[::1]:9"));
        for other in ["1 1 tcp 1 127.0.0.1 9 typ host", "1 1 udp 1 name.local 9 typ host", "1 1 udp 1 ::1 0 typ host"] {
            assert!(Attribute::parse(other).is_some() && udp(other).is_none(), "{other}");
        }
        for bad in [
            "",
            "candidate:",
            "1 1 udp 1 127.0.0.1 9 typ",
            "1 1 udp x 127.0.0.1 9 typ host",
            "1 70000 udp 1 127.0.0.1 9 typ host",
            "1 1 udp 1 127.0.0.1 99999 typ host",
            "1 1 udp 1 127.0.0.1 9 type host",
        ] {
            assert_eq!(Attribute::parse(bad), None, "{bad}");
        }
    }
}
