//! Edits and checks of session descriptions as text (RFC 8866, RFC 9429), before the engine sees
//! them and after it wrote them; and the throw-away descriptions that announce codecs.
//!
//! Must not know: the engine, sockets, signalling. Nothing here panics on any text.

use crate::core::model::PeerKind;
use std::collections::HashSet;
use std::fmt::Write as _;

/// Largest description accepted from the network, in bytes.
pub const MAX_SDP_BYTES: usize = 512 * 1024;
/// Most m-lines accepted in one description.
pub const MAX_MEDIA: usize = 512;
/// Most distinct candidates kept of one description.
pub const MAX_CANDIDATES: usize = 64;
const MAX_LINE_BYTES: usize = 8 * 1024;

/// A description split at its m-lines: the session part first, then one part per m-line.
struct Parts<'a>(Vec<Vec<&'a str>>);

impl<'a> Parts<'a> {
    fn of(sdp: &'a str) -> Self {
        let mut parts = vec![Vec::new()];
        for line in sdp.lines().filter(|line| !line.is_empty()) {
            if line.starts_with("m=") {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(line);
            }
        }
        Self(parts)
    }

    fn media(&self) -> &[Vec<&'a str>] {
        &self.0[1..]
    }
}

fn attribute<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

fn is_hex_fingerprint(value: &str) -> bool {
    let mut words = value.split(' ');
    let (Some(hash), Some(digest), None) = (words.next(), words.next(), words.next()) else { return false };
    matches!(hash.to_ascii_lowercase().as_str(), "sha-256" | "sha-384" | "sha-512")
        && digest.len() >= 32 * 3 - 1
        && digest.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Makes a description of the other side fit for the engine, or says why it cannot be used.
///
/// Removed, because SFUs write them and nothing depends on them: malformed `msid-semantic` and
/// `rtcp-fb` lines, candidates that are not UDP with an IP address (mDNS names among them), and
/// repeated candidates; and `max-message-size`, see [`max_message_size`]. Refused, because the engine would find out only half-way through:
/// descriptions without mid, ICE credentials or a usable fingerprint, and oversized ones.
pub fn prepare_remote(sdp: &str) -> Result<String, &'static str> {
    if sdp.len() > MAX_SDP_BYTES {
        return Err("the description is too large");
    }
    if !sdp.starts_with("v=0") {
        return Err("not a session description");
    }
    if sdp.lines().any(|line| line.len() > MAX_LINE_BYTES) {
        return Err("a line of the description is too long");
    }
    let parts = Parts::of(sdp);
    if parts.media().is_empty() {
        return Err("the description has no media");
    }
    if parts.media().len() > MAX_MEDIA {
        return Err("the description has too many m-lines");
    }
    let mut mids = HashSet::new();
    for media in parts.media() {
        match attribute(media, "mid") {
            Some(mid) if !mid.is_empty() && mid.len() <= 64 && mids.insert(mid) => {}
            _ => return Err("an m-line has no mid of its own"),
        }
    }
    for name in ["ice-ufrag", "ice-pwd"] {
        let value = parts.0.iter().find_map(|part| attribute(part, name));
        if !value.is_some_and(|v| (4..=256).contains(&v.len())) {
            return Err("the description has no ICE credentials");
        }
    }
    let mut prints = parts.0.iter().filter_map(|part| attribute(part, "fingerprint")).peekable();
    if prints.peek().is_none() || !prints.all(is_hex_fingerprint) {
        return Err("the description has no usable fingerprint");
    }

    let mut out = String::with_capacity(sdp.len());
    let mut seen = HashSet::new();
    for part in &parts.0 {
        let inactive = part.contains(&"a=inactive");
        for line in part {
            let keep = match line.strip_prefix("a=") {
                Some(a) if a.starts_with("msid-semantic") => is_msid_semantic(a),
                Some(a) if a.starts_with("rtcp-fb") => is_feedback(a),
                // The engine would take it for a limit of what this side receives, too.
                Some(a) if a.starts_with("max-message-size") => false,
                Some(a) if a.starts_with("candidate") => {
                    // The engine reads no candidates of inactive m-lines: leave those uncounted.
                    !inactive && is_udp_candidate(a) && seen.len() < MAX_CANDIDATES && seen.insert(a)
                }
                _ => true,
            };
            if keep {
                out.push_str(line);
                out.push_str("\r\n");
            }
        }
    }
    Ok(out)
}

fn is_msid_semantic(attribute: &str) -> bool {
    // "msid-semantic:WMS *" and, as some write it, with a space after the colon.
    attribute.strip_prefix("msid-semantic:").is_some_and(|rest| rest.trim_start().starts_with("WMS"))
}

fn is_feedback(attribute: &str) -> bool {
    let Some(rest) = attribute.strip_prefix("rtcp-fb:") else { return false };
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let payload = words.next().is_some_and(|word| word == "*" || word.parse::<u8>().is_ok_and(|pt| pt < 128));
    let kind = words
        .next()
        .is_some_and(|word| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !word.is_empty());
    payload && kind
}

/// Whether a candidate attribute (`candidate:…`, with or without the prefix) is one that can be
/// used: UDP, component 1, a literal IP address, a port.
pub fn is_udp_candidate(attribute: &str) -> bool {
    let words: Vec<&str> = attribute
        .strip_prefix("candidate:")
        .unwrap_or(attribute)
        .split(' ')
        .filter(|w| !w.is_empty())
        .take(40)
        .collect();
    words.len() >= 8
        && words[1].parse::<u16>().is_ok()
        && words[2].eq_ignore_ascii_case("udp")
        && words[3].parse::<u32>().is_ok()
        && words[4].parse::<std::net::IpAddr>().is_ok()
        && words[5].parse::<u16>().is_ok_and(|port| port > 0)
        && words[6] == "typ"
}

/// The largest data channel message that the other side takes (RFC 8841 §6), `None` without
/// data channels; `usize::MAX` is no limit.
pub fn max_message_size(sdp: &str) -> Option<usize> {
    let parts = Parts::of(sdp);
    let data = parts.media().iter().find(|media| media[0].starts_with("m=application "))?;
    Some(match attribute(data, "max-message-size").map(|size| size.trim().parse()) {
        Some(Ok(0)) => usize::MAX,
        Some(Ok(size)) => size,
        _ => 64 * 1024,
    })
}

/// The mids of a description's m-lines, in their order.
pub fn mids(sdp: &str) -> Vec<&str> {
    Parts::of(sdp).media().iter().filter_map(|media| attribute(media, "mid")).collect()
}

/// Whether every m-line has a mid of its own.
pub fn mids_differ(sdp: &str) -> bool {
    let mids = mids(sdp);
    mids.iter().collect::<HashSet<_>>().len() == mids.len()
}

/// The ICE user name fragment of a description (RFC 8839), empty without one.
pub fn ice_ufrag(sdp: &str) -> &str {
    Parts::of(sdp).0.iter().find_map(|part| attribute(part, "ice-ufrag")).unwrap_or("")
}

/// Writes `a=setup:passive` for `actpass`: the other side then opens DTLS at once (RFC 5763).
pub fn offer_passive(sdp: &str) -> String {
    sdp.replace("a=setup:actpass", "a=setup:passive")
}

fn opus_payloads<'a>(media: &[&'a str]) -> Vec<&'a str> {
    media
        .iter()
        .filter_map(|line| {
            let (payload, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            codec.to_ascii_lowercase().starts_with("opus/").then_some(payload)
        })
        .collect()
}

fn has_parameter(fmtp: &str, wanted: &str) -> bool {
    fmtp.split([';', ' ']).any(|parameter| parameter.trim() == wanted)
}

/// Adds `parameters` (`stereo=1`, …) to the Opus formats of the m-lines for which they are asked.
fn with_opus_parameters(sdp: &str, wanted: impl Fn(&str) -> Vec<&'static str>) -> String {
    let parts = Parts::of(sdp);
    let mut out = String::with_capacity(sdp.len() + 64);
    for (index, part) in parts.0.iter().enumerate() {
        let parameters = match attribute(part, "mid") {
            Some(mid) if index > 0 => wanted(mid),
            _ => Vec::new(),
        };
        let payloads = if parameters.is_empty() { Vec::new() } else { opus_payloads(part) };
        let mut open: Vec<&str> = payloads.clone();
        for line in part {
            out.push_str(line);
            let format = line.strip_prefix("a=fmtp:").and_then(|rest| rest.split_once(' '));
            if let Some((payload, fmtp)) = format {
                if let Some(at) = open.iter().position(|p| *p == payload) {
                    open.swap_remove(at);
                    for parameter in parameters.iter().filter(|p| !has_parameter(fmtp, p)) {
                        let _ = write!(out, ";{parameter}");
                    }
                }
            }
            out.push_str("\r\n");
        }
        for payload in open {
            let _ = write!(out, "a=fmtp:{payload} {}\r\n", parameters.join(";"));
        }
    }
    out
}

/// The answer with `stereo=1` in the Opus formats of those m-lines whose offer has it: it says
/// that we want to be sent stereo (RFC 7587 §7.1).
pub fn mirror_stereo(offer: &str, answer: &str) -> String {
    let parts = Parts::of(offer);
    let stereo: HashSet<&str> = parts
        .media()
        .iter()
        .filter(|media| {
            media.iter().any(|line| line.starts_with("a=fmtp:") && has_parameter(fmtp_of(line), "stereo=1"))
        })
        .filter_map(|media| attribute(media, "mid"))
        .collect();
    if stereo.is_empty() {
        return answer.to_owned();
    }
    with_opus_parameters(answer, |mid| if stereo.contains(mid) { vec!["stereo=1"] } else { Vec::new() })
}

/// The mids of the m-lines with which the other side only wants to receive.
pub fn recvonly_mids(sdp: &str) -> Vec<&str> {
    let parts = Parts::of(sdp);
    let recvonly = parts.media().iter().filter(|media| media.contains(&"a=recvonly"));
    recvonly.filter_map(|media| attribute(media, "mid")).collect()
}

/// The description with these m-lines inactive.
pub fn inactive(sdp: &str, mids: &[&str]) -> String {
    if mids.is_empty() {
        return sdp.to_owned();
    }
    let mut out = String::with_capacity(sdp.len());
    for part in Parts::of(sdp).0 {
        let meant = attribute(&part, "mid").is_some_and(|mid| mids.contains(&mid));
        for line in part {
            let direction = matches!(line, "a=sendrecv" | "a=sendonly" | "a=recvonly");
            out.push_str(if meant && direction { "a=inactive" } else { line });
            out.push_str("\r\n");
        }
    }
    out
}

fn fmtp_of(line: &str) -> &str {
    line.split_once(' ').map_or("", |(_, fmtp)| fmtp)
}

/// The publisher's offer with what each of our Opus senders is going to do: `senders` are
/// (mid, stereo, dtx).
pub fn describe_senders(offer: &str, senders: &[(String, bool, bool)]) -> String {
    if senders.iter().all(|(_, stereo, dtx)| !stereo && !dtx) {
        return offer.to_owned();
    }
    with_opus_parameters(offer, |mid| match senders.iter().find(|sender| sender.0 == mid) {
        Some((_, stereo, dtx)) => {
            let mut parameters = Vec::new();
            if *stereo {
                parameters.extend(["stereo=1", "sprop-stereo=1"]);
            }
            if *dtx {
                parameters.push("usedtx=1");
            }
            parameters
        }
        None => Vec::new(),
    })
}

/// A throw-away description that announces to an SFU which codecs this side can receive
/// (subscriber) or send (publisher). It opens nothing and is negotiated with nobody; its
/// credentials are placeholders.
pub fn announce_sdp(kind: PeerKind) -> String {
    let direction = match kind {
        PeerKind::Publisher => "sendonly",
        PeerKind::Subscriber => "recvonly",
    };
    let mut sdp = String::with_capacity(2048);
    sdp.push_str("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n");
    sdp.push_str("a=msid-semantic:WMS *\r\n");
    let mut media = |line: &str, mid: u8, formats: &[&str]| {
        sdp.push_str(line);
        sdp.push_str("\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n");
        let _ = write!(sdp, "a=ice-ufrag:none\r\na=ice-pwd:{}\r\n", "0".repeat(24));
        let _ = write!(sdp, "a=fingerprint:sha-256 {}\r\n", ["00"; 32].join(":"));
        let _ = write!(sdp, "a=setup:actpass\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n");
        for format in formats {
            let _ = write!(sdp, "a={format}\r\n");
        }
    };
    media(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        0,
        &[
            "rtpmap:111 opus/48000/2",
            "fmtp:111 minptime=10;useinbandfec=1",
            "rtpmap:63 red/48000/2",
            "fmtp:63 111/111",
            "extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        ],
    );
    media(
        "m=video 9 UDP/TLS/RTP/SAVPF 96 98 102 125 45",
        1,
        &[
            "rtpmap:96 VP8/90000",
            "rtcp-fb:96 nack pli",
            "rtpmap:98 VP9/90000",
            "rtcp-fb:98 nack pli",
            "fmtp:98 profile-id=0",
            "rtpmap:102 H264/90000",
            "rtcp-fb:102 nack pli",
            "fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
            "rtpmap:125 H264/90000",
            "rtcp-fb:125 nack pli",
            "fmtp:125 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            "rtpmap:45 AV1/90000",
            "rtcp-fb:45 nack pli",
        ],
    );
    sdp
}
