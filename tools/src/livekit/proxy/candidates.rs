//! ICE candidates in SDP and in trickled messages: redirected to a relay, or removed.
//!
//! Pure: the caller maps the addresses.

use serde_json::Value;
use std::net::SocketAddr;

/// Maps a server's address to the one announced to clients; None removes the candidate.
pub type Map<'a> = &'a mut dyn FnMut(SocketAddr) -> Option<SocketAddr>;

/// Maps the candidates of an SDP. Lines that are not candidates stay unchanged.
pub fn in_sdp(sdp: &str, map: Map<'_>) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        let text = line.trim_end_matches(['\r', '\n']);
        match text.strip_prefix("a=candidate:") {
            None => out.push_str(line),
            Some(rest) => {
                if let Some(changed) = mapped(rest, map) {
                    out.push_str("a=candidate:");
                    out.push_str(&changed);
                    out.push_str(&line[text.len()..]);
                }
            }
        }
    }
    out
}

/// Maps a trickled candidate (RTCIceCandidateInit as JSON); None if it is removed. Anything that cannot be parsed, and
/// the end of candidates, stays unchanged.
pub fn in_trickle(json: &str, map: Map<'_>) -> Option<String> {
    let Ok(mut init) = serde_json::from_str::<Value>(json) else { return Some(json.to_owned()) };
    let Some(text) = init["candidate"].as_str() else { return Some(json.to_owned()) };
    let (prefix, rest) = match text.strip_prefix("candidate:") {
        Some(rest) => ("candidate:", rest),
        None => ("", text),
    };
    if rest.trim().is_empty() {
        return Some(json.to_owned());
    }
    let changed = format!("{prefix}{}", mapped(rest, map)?);
    init["candidate"] = Value::from(changed);
    Some(init.to_string())
}

/// `FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE ...`; only UDP can be relayed.
fn mapped(rest: &str, map: Map<'_>) -> Option<String> {
    let mut words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if words.len() < 8 || !words[2].eq_ignore_ascii_case("udp") {
        return None;
    }
    let to = map(SocketAddr::new(words[4].parse().ok()?, words[5].parse().ok()?))?;
    words[4] = to.ip().to_string();
    words[5] = to.port().to_string();
    // The address behind the relay must not be visible.
    if let Some(at) = words.iter().position(|w| w == "raddr") {
        words.drain(at..(at + 4).min(words.len()));
    }
    Some(words.join(" "))
}

/// Replaces the ICE user name and password of an SDP, so that it looks like an ICE restart.
pub fn with_other_ice(sdp: &str, seed: u64) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        let text = line.trim_end_matches(['\r', '\n']);
        let end = &line[text.len()..];
        if text.starts_with("a=ice-ufrag:") {
            out.push_str(&format!("a=ice-ufrag:stand{seed:08x}{end}"));
        } else if text.starts_with("a=ice-pwd:") {
            out.push_str(&format!("a=ice-pwd:standpasswordstandpassword{seed:08x}{end}"));
        } else if text.starts_with("o=") {
            // Like another peer connection, whose offers are numbered separately.
            let mut words: Vec<&str> = text.split(' ').collect();
            let session = format!("{}", 7_000_000_000 + seed);
            if let Some(word) = words.get_mut(1) {
                *word = &session;
            }
            out.push_str(&words.join(" "));
            out.push_str(end);
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n\
        a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host ufrag abcd\r\n\
        a=candidate:2 1 tcp 1671430143 127.0.0.1 7881 typ host tcptype passive\r\n\
        a=candidate:3 1 UDP 1 10.0.0.1 5 typ srflx raddr 127.0.0.1 rport 9 generation 0\r\na=end-of-candidates\r\n";

    #[test]
    fn candidates_lead_to_the_relay_and_tcp_goes() {
        let mut seen = Vec::new();
        let changed = in_sdp(SDP, &mut |a| {
            seen.push(a);
            a.ip().is_loopback().then(|| "127.0.0.1:4000".parse().unwrap())
        });
        assert_eq!(seen, ["127.0.0.1:7882".parse().unwrap(), "10.0.0.1:5".parse().unwrap()]);
        assert_eq!(
            changed,
            "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n\
             a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host ufrag abcd\r\na=end-of-candidates\r\n"
        );
        let far = in_sdp(SDP, &mut |_| Some("127.0.0.1:1".parse().unwrap()));
        assert!(far.contains("a=candidate:3 1 UDP 1 127.0.0.1 1 typ srflx generation 0\r\n"));
        assert_eq!(in_sdp("v=0\na=candidate:junk\na=x", &mut |_| None), "v=0\na=x");
    }

    #[test]
    fn trickled_candidates_too() {
        let udp = r#"{"candidate":"candidate:1 1 udp 5 127.0.0.1 7882 typ host","sdpMid":"0","sdpMLineIndex":0}"#;
        let changed = in_trickle(udp, &mut |_| Some("127.0.0.1:99".parse().unwrap())).unwrap();
        assert!(changed.contains("candidate:1 1 udp 5 127.0.0.1 99 typ host") && changed.contains("sdpMid"));
        assert_eq!(in_trickle(udp, &mut |_| None), None);
        assert_eq!(in_trickle(&udp.replace("udp", "tcp"), &mut Some), None);
        for stays in [r#"{"candidate":"","sdpMid":"0"}"#, "no json", "{}"] {
            assert_eq!(in_trickle(stays, &mut |_| None).as_deref(), Some(stays));
        }
    }

    #[test]
    fn another_ice_generation_has_another_name() {
        let other = with_other_ice(SDP, 7);
        assert!(other.contains("a=ice-ufrag:stand00000007\r\n") && !other.contains("a=ice-pwd:secret"));
        assert_eq!(other.lines().count(), SDP.lines().count());
    }
}
