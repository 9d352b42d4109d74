//! M-lines on which only the remote peer sends, in the offers of a peer connection that carries both directions.
//!
//! The engine never sees them. Its packets are assigned to streams before its own search (`webrtc/inbound.rs`), so it
//! needs no receivers; it would use their m-lines for the next sender; and each would slow down every negotiation. They
//! are written into its offers and removed from the answers. Must not know: the engine, sockets.

use super::sdp::{attribute, mids, Parts, CAPTURE_EXTENSION, LEVEL_EXTENSION};
use std::fmt::Write as _;

/// Attributes of the transport, which all m-lines of a bundle share (RFC 8843).
const TRANSPORT: [&str; 5] = ["ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"];

/// The m-lines of one peer connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiveLines {
    /// How many were ever offered; none is ever removed.
    count: u32,
    /// The mids of all m-lines in the last answered offer, in order.
    agreed: Vec<String>,
    /// The same of the pending offer; empty if it has none of these m-lines.
    offered: Vec<String>,
}

/// Unlike the engine's mids, which are numbers.
fn mid(number: u32) -> String {
    format!("r{number}")
}

fn is_receiving(mid: &str) -> bool {
    mid.strip_prefix('r').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn write(out: &mut String, part: &[&str]) {
    for line in part {
        out.push_str(line);
        out.push_str("\r\n");
    }
}

/// The session part, with these mids as its bundle.
fn write_session(out: &mut String, part: &[&str], bundle: impl Fn(&[&str]) -> Vec<String>) {
    for line in part {
        match line.strip_prefix("a=group:BUNDLE") {
            Some(group) => {
                let group: Vec<&str> = group.split(' ').filter(|mid| !mid.is_empty()).collect();
                let _ = write!(out, "a=group:BUNDLE {}\r\n", bundle(&group).join(" "));
            }
            None => write(out, &[line]),
        }
    }
}

/// One m-line. `extensions`: ids of the header extensions with audio level and capture time.
fn section(mid: &str, active: bool, transport: &[&str], extensions: (u8, u8)) -> String {
    let mut out = String::with_capacity(640);
    out.push_str("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\n");
    write(&mut out, transport);
    let direction = if active { "recvonly" } else { "inactive" };
    let _ = write!(
        out,
        "a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
         a=extmap:{} {LEVEL_EXTENSION}\r\na=extmap:{} {CAPTURE_EXTENSION}\r\n",
        extensions.0, extensions.1
    );
    out
}

/// The ids of the header extensions: those of the description, because an id has one meaning in a bundle (RFC 8843);
/// otherwise the first free ones.
fn extension_ids(sdp: &str) -> (u8, u8) {
    let mut used: Vec<(u8, &str)> = Vec::new();
    for line in sdp.lines() {
        let Some((id, uri)) = line.strip_prefix("a=extmap:").and_then(|map| map.split_once(' ')) else { continue };
        if let Some(id) = id.split('/').next().and_then(|id| id.parse().ok()) {
            used.push((id, uri));
        }
    }
    let mut id_of = |uri: &'static str, most_likely: u8| {
        let known = used.iter().find(|(_, known)| *known == uri).map(|(id, _)| *id);
        let free = || (most_likely..15).find(|id| used.iter().all(|(used, _)| used != id)).unwrap_or(14);
        let id = known.unwrap_or_else(free);
        used.push((id, uri));
        id
    };
    // The engine gives its only extension the first number.
    (id_of(LEVEL_EXTENSION, 1), id_of(CAPTURE_EXTENSION, 2))
}

impl ReceiveLines {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.count > 0
    }

    /// The engine's offer with `wanted` of these m-lines; further ones of earlier offers become inactive. The m-lines of
    /// the last answered offer keep their places (RFC 9429 section 5.2.2).
    pub fn offer(&mut self, offer: &str, wanted: u32) -> String {
        self.count = self.count.max(wanted);
        self.offered.clear();
        let parts = Parts::of(offer);
        if self.count == 0 || parts.media().is_empty() {
            return offer.to_owned();
        }
        let of_engine: Vec<&str> = mids(offer);
        let own: Vec<String> = (0..self.count).map(mid).collect();
        let known = |mid: &String| is_receiving(mid) || of_engine.contains(&mid.as_str());
        let mut order: Vec<String> = self.agreed.iter().filter(|mid| known(mid)).cloned().collect();
        for mid in of_engine.iter().map(|mid| (*mid).to_owned()).chain(own.iter().cloned()) {
            if !order.contains(&mid) {
                order.push(mid);
            }
        }
        let transport = parts.media()[0].iter().copied();
        let is_transport = |line: &&str| {
            let name = line.strip_prefix("a=").and_then(|rest| rest.split(':').next());
            name.is_some_and(|name| TRANSPORT.contains(&name))
        };
        let transport: Vec<&str> = transport.filter(is_transport).collect();
        let extensions = extension_ids(offer);
        let mut out = String::with_capacity(offer.len() + 640 * own.len());
        let bundle = |group: &[&str]| group.iter().map(|mid| (*mid).to_owned()).chain(own.iter().cloned()).collect();
        write_session(&mut out, &parts.0[0], bundle);
        for mid in &order {
            match own.iter().position(|own| own == mid) {
                Some(number) => out.push_str(&section(mid, (number as u32) < wanted, &transport, extensions)),
                None => {
                    let part = parts.media().iter().find(|media| attribute(media, "mid") == Some(mid));
                    write(&mut out, part.map_or(&[], |part| part));
                }
            }
        }
        self.offered = order;
        out
    }

    /// Splits an answer into the engine's part and that of these m-lines.
    ///
    /// # Errors
    /// It does not have the m-lines of the pending offer.
    pub fn split(&self, answer: &str) -> Result<(String, String), &'static str> {
        if self.offered.is_empty() {
            return Ok((answer.to_owned(), String::new()));
        }
        if mids(answer) != self.offered {
            return Err("the answer is for another offer");
        }
        let parts = Parts::of(answer);
        let (mut engine, mut own) = (String::with_capacity(answer.len()), String::new());
        let bundle =
            |group: &[&str]| group.iter().filter(|mid| !is_receiving(mid)).map(|mid| (*mid).to_owned()).collect();
        write_session(&mut engine, &parts.0[0], bundle);
        write(&mut own, &parts.0[0]);
        for media in parts.media() {
            let ours = attribute(media, "mid").is_some_and(is_receiving);
            write(if ours { &mut own } else { &mut engine }, media);
        }
        Ok((engine, own))
    }

    /// The answer to the pending offer was set.
    pub fn agree(&mut self) {
        if !self.offered.is_empty() {
            self.agreed = std::mem::take(&mut self.offered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSPORT_LINES: &str =
        "a=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\na=fingerprint:sha-256 00\r\na=setup:passive\r\n";

    fn data(mid: &str) -> String {
        format!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{TRANSPORT_LINES}a=mid:{mid}\r\n")
    }

    fn sender(mid: &str) -> String {
        format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{TRANSPORT_LINES}a=mid:{mid}\r\na=extmap:1 {LEVEL_EXTENSION}\r\n")
    }

    fn offer(media: &[String]) -> String {
        let text = media.concat();
        let bundle = mids(&text).join(" ");
        format!("v=0\r\na=group:BUNDLE {bundle}\r\n{text}")
    }

    #[test]
    fn without_any_nothing_changes() {
        let mut lines = ReceiveLines::default();
        let offered = offer(&[data("0")]);
        assert_eq!(lines.offer(&offered, 0), offered);
        assert_eq!(lines.split("anything"), Ok(("anything".to_owned(), String::new())));
        assert!(!lines.any());
    }

    #[test]
    fn answered_m_lines_keep_their_places() {
        let mut lines = ReceiveLines::default();
        let first = lines.offer(&offer(&[data("0")]), 2);
        assert_eq!(mids(&first), ["0", "r0", "r1"]);
        assert!(first.contains("a=group:BUNDLE 0 r0 r1\r\n"), "{first}");
        assert_eq!(first.matches("a=recvonly").count(), 2);
        assert_eq!(first.matches(TRANSPORT_LINES).count(), 3);
        lines.agree();
        // Not answered: the next offer may order its m-lines differently.
        let second = lines.offer(&offer(&[data("0"), sender("1")]), 3);
        assert_eq!(mids(&second), ["0", "r0", "r1", "1", "r2"]);
        let third = lines.offer(&offer(&[data("0"), sender("2")]), 2);
        assert_eq!(mids(&third), ["0", "r0", "r1", "2", "r2"]);
        assert_eq!((third.matches("a=recvonly").count(), third.matches("a=inactive").count()), (2, 1));
        lines.agree();
        let fourth = lines.offer(&offer(&[data("0"), sender("2"), sender("3")]), 0);
        assert_eq!(mids(&fourth), ["0", "r0", "r1", "2", "r2", "3"]);
        assert_eq!((fourth.matches("a=recvonly").count(), fourth.matches("a=inactive").count()), (0, 3));
    }

    #[test]
    fn an_answer_is_split_and_must_have_the_same_m_lines() {
        let mut lines = ReceiveLines::default();
        let offered = lines.offer(&offer(&[data("0"), sender("1")]), 2);
        let (engine, own) = lines.split(&offered).expect("its m-lines");
        assert_eq!((mids(&engine), mids(&own)), (vec!["0", "1"], vec!["r0", "r1"]));
        assert!(engine.contains("a=group:BUNDLE 0 1\r\n"), "{engine}");
        for wrong in [offer(&[data("0"), sender("1")]), offered.replace("a=mid:r1", "a=mid:r2"), String::new()] {
            assert!(lines.split(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_extension_has_one_number_in_a_bundle() {
        assert_eq!(extension_ids("v=0\r\n"), (1, 2));
        assert_eq!(extension_ids(&format!("a=extmap:5 {LEVEL_EXTENSION}\r\na=extmap:2 urn:other\r\n")), (5, 3));
        assert_eq!(
            extension_ids(&format!("a=extmap:1 urn:other\r\na=extmap:7/sendonly {CAPTURE_EXTENSION}\r\n")),
            (2, 7)
        );
        assert_eq!(extension_ids("a=extmap:x y\r\na=extmap:\r\na=extmap:300 z\r\n"), (1, 2));
    }

    #[test]
    fn no_text_panics() {
        for text in ["", "m=", "m=\r\nm=audio", "v=0\r\na=group:BUNDLE\r\nm=audio 9 X 1", "a=mid:r"] {
            let mut lines = ReceiveLines::default();
            let offered = lines.offer(text, 2);
            let _ = lines.split(&offered);
            let _ = lines.split(text);
            lines.agree();
            lines.offer(text, 1);
        }
    }
}
