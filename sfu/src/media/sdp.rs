//! Reads and edits parts of SDP as text.
//!
//! str0m never changes the msid of an m-line and removes colons from it. This module gives each m-line the msid of the
//! track that it carries now, or none if it carries no track.

/// The track that one m-line of an offer carries.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    pub mid: &'a str,
    /// `prefix:TRACK_TYPE:n`, or `None` for an inactive m-line.
    pub msid: Option<&'a str>,
}

/// Writes the msid of each m-line into an offer.
pub fn with_msids(sdp: &str, lines: &[Line<'_>]) -> String {
    let mut out = String::with_capacity(sdp.len() + 64 * lines.len());
    for section in sections(sdp) {
        if !section.starts_with("m=") {
            for line in section.lines() {
                if line.starts_with("a=msid-semantic") {
                    out.push_str("a=msid-semantic: WMS *");
                } else {
                    out.push_str(line);
                }
                out.push_str("\r\n");
            }
            continue;
        }
        let mid = attribute(section, "mid");
        let msid = lines.iter().find(|l| Some(l.mid) == mid).and_then(|l| l.msid);
        for line in section.lines() {
            if line.starts_with("a=msid:") {
                if let Some(msid) = msid {
                    out.push_str(&format!("a=msid:{msid} {msid}\r\n"));
                }
            } else if line.starts_with("a=ssrc") {
                let Some(msid) = msid else { continue };
                match (line.split_once(" cname:"), line.split_once(" msid:")) {
                    (Some((head, _)), _) => out.push_str(&format!("{head} cname:{msid}\r\n")),
                    (_, Some((head, _))) => out.push_str(&format!("{head} msid:{msid} {msid}\r\n")),
                    _ => {
                        out.push_str(line);
                        out.push_str("\r\n");
                    }
                }
            } else {
                out.push_str(line);
                out.push_str("\r\n");
            }
        }
    }
    out
}

/// The session section and then each media section, in order.
fn sections(sdp: &str) -> impl Iterator<Item = &str> {
    let mut rest = sdp;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find("\nm=").map_or(rest.len(), |at| at + 1);
        let (head, tail) = rest.split_at(end);
        rest = tail;
        Some(head)
    })
}

/// The first value of `a=name:` in an SDP fragment.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|l| Some(l.trim_end().strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// (mid, "audio" or "video", sends) of every media section.
pub fn media(sdp: &str) -> Vec<(&str, &str, bool)> {
    sections(sdp)
        .filter_map(|s| {
            let kind = s.strip_prefix("m=")?.split(' ').next()?;
            let sends = !s.lines().any(|l| matches!(l.trim_end(), "a=recvonly" | "a=inactive"));
            Some((attribute(s, "mid")?, kind, sends))
        })
        .collect()
}

/// The send rids of a media section, in announced order (smallest first).
pub fn rids<'a>(sdp: &'a str, mid: &str) -> Vec<&'a str> {
    sections(sdp)
        .filter(|s| s.starts_with("m=") && attribute(s, "mid") == Some(mid))
        .flat_map(|s| s.lines())
        .filter_map(|l| {
            let mut words = l.trim_end().strip_prefix("a=rid:")?.split(' ');
            let rid = words.next()?;
            (words.next() == Some("send")).then_some(rid)
        })
        .collect()
}

/// A well-formed offer of one audio track without a peer connection behind it.
pub fn stray_offer(address: std::net::SocketAddr) -> String {
    let hex = |n: usize| (0..n).map(|_| format!("{:02X}", fastrand::u8(..))).collect::<Vec<_>>();
    let text = |n: usize| (0..n).map(|_| fastrand::alphanumeric()).collect::<String>();
    let msid = format!("{}:TRACK_TYPE_AUDIO:1", text(8));
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {} 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN {family} {ip}\r\na=rtcp:9 IN {family} {ip}\r\n\
         a=candidate:1 1 udp 2130706175 {ip} {port} typ host\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=msid:{msid} {msid}\r\n\
         a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
         a=ssrc:{ssrc} cname:{msid}\r\na=ssrc:{ssrc} msid:{msid} {msid}\r\n",
        fastrand::u64(1..1 << 60),
        text(8),
        text(24),
        hex(32).join(":"),
        ip = address.ip(),
        port = address.port(),
        ssrc = fastrand::u32(1..),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\na=msid-semantic:WMS a b\r\nm=audio 9 X 1\r\na=mid:0\r\na=msid:a a\r\n\
                         a=ssrc:5 cname:a\r\na=ssrc:5 msid:a a\r\nm=video 9 X 2\r\na=mid:1\r\na=inactive\r\n\
                         a=msid:b b\r\na=ssrc:6 cname:b\r\na=rid:q send\r\na=rid:h send\r\n";

    #[test]
    fn msids_are_replaced_or_removed() {
        let t = "p:TRACK_TYPE_AUDIO:1";
        let lines = [Line { mid: "0", msid: Some(t) }, Line { mid: "1", msid: None }];
        let sdp = with_msids(OFFER, &lines);
        assert!(sdp.contains(&format!("a=msid:{t} {t}\r\na=ssrc:5 cname:{t}\r\na=ssrc:5 msid:{t} {t}\r\nm=video")));
        assert!(!sdp.contains("b b") && !sdp.contains("ssrc:6"));
        assert!(sdp.contains("a=msid-semantic: WMS *\r\nm=audio"));
    }

    #[test]
    fn reading() {
        assert_eq!(media(OFFER), [("0", "audio", true), ("1", "video", false)]);
        assert_eq!(rids(OFFER, "1"), ["q", "h"]);
        assert_eq!(attribute(OFFER, "mid"), Some("0"));
    }

    #[test]
    fn stray_offers_are_well_formed() {
        let sdp = stray_offer("127.0.0.1:9".parse().unwrap());
        str0m::change::SdpOffer::from_sdp_string(&sdp).unwrap();
    }
}
