//! ICE candidates as SDP attributes and as JSON, the form in which both sides trickle them (RFC 8838, W3C
//! `RTCIceCandidateInit`).
//!
//! Must not know: the engine, sockets, signalling.

use crate::core::model::candidate::Candidate;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

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

/// A parsed remote candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing to do: the end of candidates, or one that cannot be connected to (mDNS name, active TCP).
    Nothing,
    /// The attribute's text and the destination.
    Udp { candidate: String, address: SocketAddr },
    /// A passive TCP candidate (RFC 6544).
    Tcp { candidate: String, address: SocketAddr },
}

/// Parses a remote candidate. All media is bundled, so `sdpMid` and `sdpMLineIndex` are ignored; missing, null and
/// empty members are tolerated.
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
    if mdns {
        return Ok(Remote::Nothing);
    }
    let candidate = text.to_owned();
    if attribute.protocol.eq_ignore_ascii_case("tcp") {
        let tcp = attribute.tcp().map(|address| Remote::Tcp { candidate, address });
        return Ok(tcp.unwrap_or(Remote::Nothing));
    }
    let address = attribute.udp().ok_or("the candidate cannot be parsed")?;
    Ok(Remote::Udp { candidate, address })
}

/// A local candidate as JSON. `mid` and `index` name the m-line that carries the bundle, `ufrag` the ICE generation.
pub fn to_json(candidate: &str, mid: &str, index: u16, ufrag: &str) -> String {
    let out = Out { candidate, sdp_mid: mid, sdp_m_line_index: index, username_fragment: ufrag };
    serde_json::to_string(&out).unwrap_or_default()
}

/// Maximum words parsed of an attribute.
const MAX_WORDS: usize = 40;

/// The attribute `candidate` (RFC 8839, section 5.1), the parts used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub protocol: &'a str,
    /// An IP address, or a name.
    pub address: &'a str,
    port: u16,
    /// e.g. `host`.
    pub kind: &'a str,
    /// A TCP candidate that waits for connections.
    passive: bool,
}

impl<'a> Attribute<'a> {
    /// Parses the text after `a=`; the `candidate:` prefix is optional. `None` if the form does not match.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).take(MAX_WORDS).collect();
        let [_, component, protocol, priority, address, port, "typ", kind, ref rest @ ..] = words[..] else {
            return None;
        };
        let passive = rest.chunks_exact(2).any(|pair| pair == ["tcptype", "passive"]);
        component.parse::<u16>().ok()?;
        priority.parse::<u32>().ok()?;
        Some(Self { protocol, address, port: port.parse().ok()?, kind, passive })
    }

    /// The destination address, if it is a UDP candidate with an IP address.
    pub fn udp(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.address.parse().ok()?;
        (self.protocol.eq_ignore_ascii_case("udp") && self.port > 0).then(|| SocketAddr::new(address, self.port))
    }

    /// The destination address, if it is a passive TCP candidate with an IP address.
    pub fn tcp(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.address.parse().ok()?;
        let usable = self.protocol.eq_ignore_ascii_case("tcp") && self.passive && self.port > 0;
        usable.then(|| SocketAddr::new(address, self.port))
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
        let tcp = |text| Attribute::parse(text).and_then(|attribute| attribute.tcp().map(|at| at.to_string()));
        assert_eq!(tcp("1 1 TCP 1 ::1 7881 typ host tcptype passive").as_deref(), Some("[::1]:7881"));
        assert_eq!(
            tcp("1 1 tcp 1 127.0.0.1 9 typ srflx raddr 0.0.0.0 rport 0 tcptype passive").as_deref(),
            Some("127.0.0.1:9")
        );
        for other in ["1 1 tcp 1 ::1 9 typ host tcptype active", "1 1 tcp 1 ::1 9 typ host", "1 1 udp 1 ::1 9 typ host"]
        {
            assert_eq!(tcp(other), None, "{other}");
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
