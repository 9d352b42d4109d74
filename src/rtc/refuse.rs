//! Removes the m-lines that a call does not use from offers, and rejects them in answers (RFC 8829 §5.3.1).
//!
//! The engine never sees such an m-line: without m=application it has no SCTP association, so nothing that a peer sends
//! after DTLS reaches its SCTP code. Must not know: the engine, sockets.

use super::sdp::{attribute, Parts};

/// Transport attributes, which a bundle may carry only on the rejected m-line (RFC 8843 §7.1.3).
const TRANSPORT: [&str; 5] = ["ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"];

/// The m-lines removed from an offer: their indices, and their rejections in the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused(Vec<(usize, String)>);

/// Whether the first line of an m-section is audio or video.
fn is_media(line: &str) -> bool {
    let kind = line.strip_prefix("m=").and_then(|rest| rest.split(' ').next()).unwrap_or("");
    kind.eq_ignore_ascii_case("audio") || kind.eq_ignore_ascii_case("video")
}

/// Removes all m-lines but audio and video from a description made by [`super::sdp::prepare_remote`]. Returns `None`
/// for the description if nothing remains.
pub fn without_data(offer: &str) -> (Option<String>, Refused) {
    let mut parts = Parts::of(offer);
    if parts.media().iter().all(|media| is_media(media[0])) {
        return (Some(offer.to_owned()), Refused::default());
    }
    let mut refused = Refused::default();
    let (mut mids, mut moved) = (Vec::new(), Vec::new());
    let mut index = 0;
    let mut kept = Vec::with_capacity(parts.0.len());
    for (at, part) in parts.0.drain(..).enumerate() {
        if at > 0 {
            index += 1;
            if !is_media(part[0]) {
                let mid = attribute(&part, "mid").unwrap_or("");
                mids.push(mid);
                refused.0.push((index - 1, refusal(part[0], mid)));
                moved.push(part);
                continue;
            }
        }
        kept.push(part);
    }
    if kept.len() < 2 {
        return (None, refused);
    }
    // The engine ignores candidates of inactive m-lines.
    let home = kept.iter().skip(1).position(|part| !part.contains(&"a=inactive")).map_or(1, |at| at + 1);
    for part in &moved {
        for name in TRANSPORT {
            if kept[0].iter().chain(&kept[home]).all(|line| !is_attribute(line, name)) {
                kept[home].extend(part.iter().filter(|line| is_attribute(line, name)));
            }
        }
        kept[home].extend(part.iter().filter(|line| line.starts_with("a=candidate:")));
    }
    let mut out = String::with_capacity(offer.len());
    for (at, part) in kept.iter().enumerate() {
        for line in part {
            match line.strip_prefix("a=group:").filter(|_| at == 0) {
                Some(group) => {
                    out.push_str("a=group:");
                    let words = group.split(' ').enumerate().filter(|(i, word)| *i == 0 || !mids.contains(word));
                    out.push_str(&words.map(|(_, word)| word).collect::<Vec<_>>().join(" "));
                }
                None => out.push_str(line),
            }
            out.push_str("\r\n");
        }
    }
    (Some(out), refused)
}

fn is_attribute(line: &str, name: &str) -> bool {
    line.strip_prefix("a=").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with(':'))
}

/// The m-line with port 0, outside of any bundle, without a transport.
fn refusal(line: &str, mid: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    if let Some(port) = words.get_mut(1) {
        *port = "0";
    }
    format!("{}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n", words.join(" "))
}

impl Refused {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer to the whole offer, made from the answer to the reduced offer.
    pub fn refuse(&self, answer: &str) -> String {
        if self.is_empty() {
            return answer.to_owned();
        }
        let parts = Parts::of(answer);
        let mut out = String::with_capacity(answer.len() + 128 * self.0.len());
        let mut write = |part: &[&str]| {
            for line in part {
                out.push_str(line);
                out.push_str("\r\n");
            }
        };
        write(&parts.0[0]);
        let mut media = parts.media().iter();
        let mut refused = self.0.iter().peekable();
        for index in 0.. {
            if let Some((_, text)) = refused.next_if(|(at, _)| *at == index) {
                write(&text.lines().collect::<Vec<_>>());
            } else if let Some(part) = media.next() {
                write(part);
            } else if refused.peek().is_none() {
                break;
            }
        }
        out
    }

    /// The answer if nothing of the offer remains.
    pub fn refuse_all(&self) -> String {
        self.refuse("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n";
    const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\n\
        a=fingerprint:sha-256 00\r\na=setup:actpass\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=mid:data\r\n";

    fn offer(media: &[&str]) -> String {
        format!("v=0\r\na=group:BUNDLE data 0 1\r\n{}", media.concat())
    }

    #[test]
    fn remaining_m_lines_have_the_transport_of_refused_ones() {
        let inactive = AUDIO.replace("mid:0", "mid:1").replace("sendonly", "inactive");
        let (left, refused) = without_data(&offer(&[DATA, &inactive, AUDIO]));
        let left = left.expect("audio is left");
        assert!(!left.contains("application") && left.contains("a=group:BUNDLE 0 1\r\n"), "{left}");
        let (_, audio) = left.split_once("a=mid:0\r\n").expect("the m-line");
        for line in DATA.lines().filter(|line| line.starts_with("a=") && !line.contains("mid")) {
            assert!(audio.contains(line), "{line} is in {audio}");
        }
        let whole =
            refused.refuse("v=0\r\na=group:BUNDLE 1 0\r\nm=audio 9 X 1\r\na=mid:1\r\nm=audio 9 X 1\r\na=mid:0\r\n");
        assert_eq!(crate::rtc::sdp::mids(&whole), ["data", "1", "0"]);
        assert!(whole.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{whole}");
    }

    #[test]
    fn the_order_of_m_lines_is_kept() {
        let second = DATA.replace("mid:data", "mid:more");
        let (left, refused) = without_data(&offer(&[AUDIO, DATA, &second]));
        assert_eq!(crate::rtc::sdp::mids(&left.expect("audio is left")), ["0"]);
        let whole = refused.refuse("v=0\r\nm=audio 9 X 1\r\na=mid:0\r\n");
        assert_eq!(crate::rtc::sdp::mids(&whole), ["0", "data", "more"]);
        let (left, refused) = without_data(&offer(&[DATA]));
        assert_eq!((left, crate::rtc::sdp::mids(&refused.refuse_all())), (None, vec!["data"]));
        let (left, refused) = without_data(&offer(&[AUDIO]));
        assert_eq!((left, refused), (Some(offer(&[AUDIO])), Refused::default()));
    }

    #[test]
    fn transport_that_is_there_is_not_doubled() {
        let audio =
            format!("{AUDIO}a=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\na=fingerprint:sha-256 00\r\na=setup:actpass\r\n");
        let (left, _) = without_data(&offer(&[&audio, DATA]));
        let left = left.expect("audio is left");
        assert_eq!((left.matches("ice-ufrag").count(), left.matches("a=setup").count()), (1, 1), "{left}");
        assert_eq!(left.matches("a=candidate").count(), 1);
    }

    #[test]
    fn no_text_panics() {
        for text in ["", "m=", "m=\r\nm=application", "v=0\r\nm=application", "m=audio\r\nm=x\r\na=group:"] {
            let (left, refused) = without_data(text);
            refused.refuse(left.as_deref().unwrap_or(""));
            refused.refuse_all();
        }
    }
}
