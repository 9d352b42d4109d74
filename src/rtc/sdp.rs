//! Edits and checks of session descriptions as text (RFC 8866, RFC 9429): remote ones before the engine sees them,
//! local ones after it wrote them; and placeholder descriptions that announce codecs.
//!
//! Must not know: the engine, sockets, signalling. Nothing here panics on any text.

use super::candidate::Attribute;
pub(super) use crate::core::model::sdp::{attribute, Parts};
use crate::core::model::PeerKind;
use crate::media::audio::payload::Red;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Largest description accepted from the network, in bytes.
pub const MAX_SDP_BYTES: usize = 512 * 1024;
/// Maximum m-lines accepted in one description.
pub const MAX_MEDIA: usize = 512;
/// Maximum distinct candidates kept of one description.
pub const MAX_CANDIDATES: usize = 64;
const MAX_LINE_BYTES: usize = 8 * 1024;

fn is_hex_fingerprint(value: &str) -> bool {
    let mut words = value.split(' ');
    let (Some(hash), Some(digest), None) = (words.next(), words.next(), words.next()) else { return false };
    matches!(hash.to_ascii_lowercase().as_str(), "sha-256" | "sha-384" | "sha-512")
        && digest.len() >= 32 * 3 - 1
        && digest.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Prepares a remote description for the engine, or returns why it is unusable.
///
/// Removes lines that SFUs write and nothing depends on: malformed `msid-semantic` and `rtcp-fb` lines, candidates that
/// are not UDP with an IP address (mDNS names among them), and repeated candidates; and `max-message-size`, see
/// [`max_message_size`]. Rejects descriptions that the engine would reject only half-way: those without mid, ICE
/// credentials or a usable fingerprint, and oversized ones.
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
            _ => return Err("an m-line has no unique mid"),
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
                // The engine would apply it to received messages, too.
                Some(a) if a.starts_with("max-message-size") => false,
                Some(a) if a.starts_with("candidate") => {
                    // The engine ignores candidates of inactive m-lines: do not count them.
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
    // "msid-semantic:WMS *", also with a space after the colon.
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

/// Whether a candidate attribute (`candidate:…`, with or without the prefix) is usable: UDP, a literal IP address, a
/// port.
pub fn is_udp_candidate(attribute: &str) -> bool {
    Attribute::parse(attribute).is_some_and(|attribute| attribute.udp().is_some())
}

/// The candidates of a description.
pub fn candidates(sdp: &str) -> impl Iterator<Item = Attribute<'_>> {
    sdp.lines().filter_map(|line| line.trim().strip_prefix("a=candidate:")).filter_map(Attribute::parse)
}

/// The passive TCP candidates of a description, as attributes and destinations.
pub fn tcp_candidates(sdp: &str) -> impl Iterator<Item = (&str, SocketAddr)> {
    let attributes = sdp.lines().filter_map(|line| line.trim().strip_prefix("a="));
    let candidates = attributes.filter(|attribute| attribute.starts_with("candidate:"));
    candidates.filter_map(|text| Some((text, Attribute::parse(text)?.tcp()?))).take(MAX_CANDIDATES)
}

/// The largest data channel message that the remote peer accepts (RFC 8841 §6); `None` without data channels,
/// `usize::MAX` without a limit.
pub fn max_message_size(sdp: &str) -> Option<usize> {
    let parts = Parts::of(sdp);
    let data = parts.media().iter().find(|media| media[0].starts_with("m=application "))?;
    Some(match attribute(data, "max-message-size").map(|size| size.trim().parse()) {
        Some(Ok(0)) => usize::MAX,
        Some(Ok(size)) => size,
        _ => 64 * 1024,
    })
}

/// The mids of a description's m-lines, in order.
pub fn mids(sdp: &str) -> Vec<&str> {
    Parts::of(sdp).media().iter().filter_map(|media| attribute(media, "mid")).collect()
}

/// The first m-line that is not rejected: its index and its mid.
pub fn first_accepted(sdp: &str) -> Option<(u16, &str)> {
    let parts = Parts::of(sdp);
    let media = parts.media().iter().enumerate();
    let mut accepted = media.filter(|(_, media)| media[0].split(' ').nth(1) != Some("0"));
    accepted.find_map(|(at, media)| Some((u16::try_from(at).ok()?, attribute(media, "mid")?)))
}

/// The mids of the video m-lines.
pub fn video_mids(sdp: &str) -> Vec<&str> {
    let parts = Parts::of(sdp);
    let video = parts.media().iter().filter(|media| media[0].starts_with("m=video "));
    video.filter_map(|media| attribute(media, "mid")).collect()
}

/// Whether all mids differ.
pub fn mids_differ(sdp: &str) -> bool {
    let mids = mids(sdp);
    mids.iter().collect::<HashSet<_>>().len() == mids.len()
}

/// The ICE user name fragment of a description (RFC 8839), empty without one.
pub fn ice_ufrag(sdp: &str) -> &str {
    Parts::of(sdp).0.iter().find_map(|part| attribute(part, "ice-ufrag")).unwrap_or("")
}

/// The ICE password of a description, empty without one.
pub fn ice_pwd(sdp: &str) -> &str {
    Parts::of(sdp).0.iter().find_map(|part| attribute(part, "ice-pwd")).unwrap_or("")
}

/// Replaces `actpass` by `a=setup:passive`: the remote peer then starts DTLS at once (RFC 5763).
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

/// The payload types of an m-line's audio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioTypes {
    pub opus: Vec<u8>,
    pub red: Option<Red>,
}

fn types_of(media: &[&str]) -> AudioTypes {
    let opus = opus_payloads(media).iter().filter_map(|payload| payload.parse().ok()).collect();
    AudioTypes { opus, red: red_payloads(media).first().copied() }
}

/// An audio m-line on which the remote peer sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receiving {
    pub mid: String,
    pub stream_id: String,
    pub track_id: String,
    /// SSRCs in the description; without any, the stream is identified by its packets.
    pub ssrcs: Vec<u32>,
    pub rids: Vec<String>,
    pub types: AudioTypes,
    /// Payload type, codec and clock rate of each format.
    pub formats: Vec<(u8, String, u32)>,
    /// Ids of the header extensions with its mid and its rid (RFC 8843, RFC 8852); 0 if there is none.
    pub mid_extension: u8,
    pub rid_extension: u8,
    /// Ids of the header extensions with audio level (RFC 6464) and capture time.
    pub level_extension: u8,
    pub capture_extension: u8,
}

const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// Audio level of a packet (RFC 6464).
pub const LEVEL_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// Capture time of a frame (abs-capture-time of the WebRTC project).
pub const CAPTURE_EXTENSION: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// Whether the remote peer sends on an m-line of this kind.
fn sends(media: &[&str], kind: &str) -> bool {
    let Some(line) = media.first().and_then(|line| line.strip_prefix("m=")?.strip_prefix(kind)?.strip_prefix(' '))
    else {
        return false;
    };
    let refused = line.split(' ').next() == Some("0") && !media.contains(&"a=bundle-only");
    !refused && !media.iter().any(|line| matches!(*line, "a=inactive" | "a=recvonly"))
}

fn values<'a>(media: &[&'a str], name: &str) -> Vec<&'a str> {
    let value = |line: &&'a str| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':');
    media.iter().filter_map(value).collect()
}

/// The audio m-lines of an offer on which the remote peer sends.
pub fn receiving(sdp: &str) -> Vec<Receiving> {
    Parts::of(sdp)
        .media()
        .iter()
        .filter(|media| sends(media, "audio"))
        .filter_map(|media| receiving_with(media))
        .collect()
}

fn receiving_with(media: &[&str]) -> Option<Receiving> {
    let mut all = Receiving { mid: attribute(media, "mid")?.to_owned(), ..Receiving::default() };
    // The second SSRC of a group repairs the first (RFC 5576).
    let repairs = |ssrc: &str| {
        let mut groups = values(media, "ssrc-group").into_iter();
        groups.any(|group| {
            (group.starts_with("FID ") || group.starts_with("FEC-FR ")) && group.ends_with(&format!(" {ssrc}"))
        })
    };
    let mut msid = attribute(media, "msid").unwrap_or_default();
    for value in values(media, "ssrc") {
        let (ssrc, about) = value.split_once(' ').unwrap_or((value, ""));
        let Ok(number) = ssrc.parse() else { continue };
        if !all.ssrcs.contains(&number) && !repairs(ssrc) {
            all.ssrcs.push(number);
        }
        if let (true, Some(named)) = (msid.is_empty(), about.strip_prefix("msid:")) {
            msid = named;
        }
    }
    let mut ids = msid.split(' ');
    let mut id = || ids.next().unwrap_or_default().to_owned();
    (all.stream_id, all.track_id) = (id(), id());
    all.rids = values(media, "rid").iter().filter_map(|rid| rid.split(' ').next()).map(str::to_owned).collect();
    all.types = types_of(media);
    for map in values(media, "rtpmap") {
        let format = || {
            let (payload, codec) = map.split_once(' ')?;
            let mut codec = codec.split('/');
            Some((payload.parse().ok()?, codec.next()?.to_ascii_lowercase(), codec.next()?.trim().parse().ok()?))
        };
        all.formats.extend(format());
    }
    for map in values(media, "extmap") {
        let Some((id, uri)) = map.split_once(' ') else { continue };
        let id = id.split('/').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        match uri.split(' ').next() {
            Some(MID_EXTENSION) => all.mid_extension = id,
            Some(RID_EXTENSION) => all.rid_extension = id,
            Some(LEVEL_EXTENSION) => all.level_extension = id,
            Some(CAPTURE_EXTENSION) => all.capture_extension = id,
            _ => {}
        }
    }
    Some(all)
}

/// Adds an SSRC to every m-line that sends and names none: otherwise the engine does not accept several of them. These
/// SSRCs are placeholders and never sent.
pub fn with_ssrcs(sdp: &str) -> String {
    let mut free = (0..=u32::MAX).rev();
    let mut out = String::with_capacity(sdp.len() + 64);
    for part in Parts::of(sdp).0 {
        for line in &part {
            out.push_str(line);
            out.push_str("\r\n");
        }
        let nameless = values(&part, "ssrc").is_empty() && values(&part, "rid").is_empty();
        if nameless && (sends(&part, "audio") || sends(&part, "video")) {
            let named = |ssrc: &u32| sdp.contains(&format!("a=ssrc:{ssrc}"));
            if let Some(ssrc) = free.by_ref().find(|ssrc| !named(ssrc)) {
                let _ = write!(out, "a=ssrc:{ssrc} cname:-\r\n");
            }
        }
    }
    out
}

/// An audio m-line without a supported codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAudio {
    pub mid: String,
    pub stream_id: String,
    pub track_id: String,
    /// Its first codec, e.g. `PCMU`.
    pub codec: String,
}

/// The m-lines of an offer that send audio, but none as Opus.
pub fn foreign_audio(sdp: &str) -> Vec<ForeignAudio> {
    let parts = Parts::of(sdp);
    let foreign = |media: &Vec<&str>| {
        let line = media.first()?.strip_prefix("m=audio ")?;
        let (mut words, silent) = (line.split(' '), ["a=inactive", "a=recvonly"]);
        if words.next() == Some("0") || media.iter().any(|l| silent.contains(l)) || !opus_payloads(media).is_empty() {
            return None;
        }
        let codec = attribute(media, "rtpmap").and_then(|map| map.split([' ', '/']).nth(1));
        let number = words.nth(1).unwrap_or_default();
        let mut ids = attribute(media, "msid").unwrap_or_default().split(' ');
        let mut id = || ids.next().unwrap_or_default().to_owned();
        Some(ForeignAudio {
            mid: attribute(media, "mid")?.to_owned(),
            stream_id: id(),
            track_id: id(),
            codec: codec.map_or_else(|| format!("payload type {number}"), str::to_owned),
        })
    };
    parts.media().iter().filter_map(foreign).collect()
}

/// The payload types of redundant audio in an m-line, each with that of its Opus frames, if they all have the same (RFC
/// 2198, `a=fmtp:63 111/111`).
fn red_payloads(media: &[&str]) -> Vec<Red> {
    let opus = opus_payloads(media);
    let number = |text: &str| text.parse().ok().filter(|number| (1..128).contains(number));
    let inner = |payload: &str| {
        let formats =
            media.iter().find_map(|line| line.strip_prefix("a=fmtp:")?.strip_prefix(payload)?.strip_prefix(' '))?;
        let mut formats = formats.trim().split('/');
        let first = formats.next()?;
        (opus.contains(&first) && formats.all(|format| format == first)).then(|| number(first)).flatten()
    };
    let red = media.iter().filter_map(|line| {
        let (payload, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.to_ascii_lowercase().starts_with("red/48000").then_some(payload)
    });
    red.filter_map(|payload| Some(Red { outer: number(payload)?, inner: inner(payload)? })).collect()
}

/// The payload type of redundant audio in the m-line with this mid.
pub fn red_payload(sdp: &str, mid: &str) -> Option<u8> {
    let parts = Parts::of(sdp);
    let media = parts.media().iter().find(|media| attribute(media, "mid") == Some(mid))?;
    red_payloads(media).first().map(|red| red.outer)
}

/// The description without redundant audio in the m-lines with these mids.
pub fn without_red(sdp: &str, mids: &[String]) -> String {
    if mids.is_empty() {
        return sdp.to_owned();
    }
    let mut out = String::with_capacity(sdp.len());
    for part in Parts::of(sdp).0 {
        let meant = attribute(&part, "mid").is_some_and(|mid| mids.iter().any(|m| m == mid));
        let red = if meant { red_payloads(&part) } else { Vec::new() };
        let is_red = |payload: &str| red.iter().any(|red| payload.parse() == Ok(red.outer));
        for line in &part {
            let about = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|name| line.strip_prefix(name));
            if about.and_then(|rest| rest.split(' ').next()).is_some_and(is_red) {
                continue;
            }
            if line.starts_with("m=") {
                let words = line.split(' ').enumerate().filter(|(index, word)| *index < 3 || !is_red(word));
                out.push_str(&words.map(|(_, word)| word).collect::<Vec<_>>().join(" "));
            } else {
                out.push_str(line);
            }
            out.push_str("\r\n");
        }
    }
    out
}

fn has_parameter(fmtp: &str, wanted: &str) -> bool {
    fmtp.split([';', ' ']).any(|parameter| parameter.trim() == wanted)
}

/// Adds parameters (`stereo=1`, …) to the Opus formats of m-lines; `wanted` returns those for a mid.
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

/// The answer with `stereo=1` in the Opus formats of those m-lines whose offer has it: it requests stereo from the
/// sender (RFC 7587 §7.1).
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

/// The mids of the m-lines on which the remote peer only receives.
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

/// The publisher's offer with the parameters of each local Opus sender: `senders` are (mid, stereo, dtx).
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

/// A placeholder description that announces to an SFU what this side receives (subscriber) or sends (publisher): audio
/// only. It opens nothing and is not negotiated; its credentials are placeholders.
pub fn announce_sdp(kind: PeerKind) -> String {
    let direction = match kind {
        PeerKind::Publisher => "sendonly",
        PeerKind::Subscriber => "recvonly",
    };
    let mut sdp = String::with_capacity(2048);
    sdp.push_str("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n");
    sdp.push_str("a=msid-semantic:WMS *\r\n");
    sdp.push_str("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n");
    let _ = write!(sdp, "a=ice-ufrag:none\r\na=ice-pwd:{}\r\n", "0".repeat(24));
    let _ = write!(sdp, "a=fingerprint:sha-256 {}\r\n", ["00"; 32].join(":"));
    let _ = write!(sdp, "a=setup:actpass\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\n");
    for format in [
        "rtpmap:111 opus/48000/2",
        "fmtp:111 minptime=10;useinbandfec=1",
        "rtpmap:63 red/48000/2",
        "fmtp:63 111/111",
        "extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    ] {
        let _ = write!(sdp, "a={format}\r\n");
    }
    // Every call keeps one.
    sdp.shrink_to_fit();
    sdp
}
