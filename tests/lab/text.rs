//! Descriptions and candidates of the model as text: as much SDP and JSON as the core reads, and one line that
//! identifies the owner, so that a mix-up is visible wherever it ends.

use offhook::core::model::PeerKind;
use std::fmt::Write;

/// A peer connection and one of its ICE generations. At the SFU, `owner` is a participant's number and `life` the
/// number of its peer connections; on the client's side, session and generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub sfu: bool,
    pub owner: usize,
    pub peer_generation: u32,
    pub kind: PeerKind,
    pub ice: u32,
}

/// The stream of an m-line on which the client offers to receive.
pub const TO_RECEIVE: &str = "-";

/// One m-line of a subscriber's offer, or one sender of a publisher's. On one peer connection for both directions, also
/// one on which the client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub mid: String,
    pub stream: String,
    pub active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desc {
    pub tag: Tag,
    /// Number of the offer; an answer carries the number of the offer that it answers.
    pub serial: u64,
    pub lines: Vec<Line>,
}

fn kind(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Publisher => "pub",
        PeerKind::Subscriber => "sub",
    }
}

impl Tag {
    pub fn ufrag(&self) -> String {
        let side = if self.sfu { "s" } else { "c" };
        format!("{side}.{}.{}.{}.{}", self.owner, self.peer_generation, kind(self.kind), self.ice)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let sfu = parts.next()? == "s";
        let (owner, peer_generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let kind = if parts.next()? == "pub" { PeerKind::Publisher } else { PeerKind::Subscriber };
        Some(Self { sfu, owner, peer_generation, kind, ice: parts.next()?.parse().ok()? })
    }

    /// `told`: whether the candidate names its ICE generation for the core.
    pub fn candidate(&self, number: u64, has_ufrag: bool) -> String {
        let (name, ufrag) = (self.ufrag(), if has_ufrag { self.ufrag() } else { String::new() });
        format!(
            r#"{{"candidate":"candidate:{name} {number} udp 1 127.0.0.1 9 typ host","sdpMid":"0","usernameFragment":"{ufrag}"}}"#
        )
    }
}

/// The owner of a candidate, and whether it names its ICE generation for the core. `None`: not one of the model's.
pub fn candidate(json: &str) -> Option<(Tag, bool)> {
    let name = json.split("candidate:").nth(1)?.split(' ').next()?;
    Some((Tag::parse(name)?, !json.contains(r#""usernameFragment":"""#)))
}

impl Line {
    /// Whether the client receives on it, in a publisher's description.
    pub fn receives(&self) -> bool {
        self.mid.starts_with('r')
    }
}

impl Desc {
    /// The m-lines on which the SFU sends.
    pub fn lines_of_sfu(&self) -> impl Iterator<Item = &Line> {
        let all = self.tag.kind == PeerKind::Subscriber;
        self.lines.iter().filter(move |l| l.active && (all || l.receives()))
    }

    pub fn text(&self) -> String {
        let ufrag = self.tag.ufrag();
        let mut text = format!(
            "v=0\r\na=x-serial:{}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:secretsecretsecretsecret\r\na=fingerprint:sha-256 {}:{}\r\n",
            self.serial, self.tag.owner, self.tag.peer_generation
        );
        for line in &self.lines {
            let direction = if line.active { "sendonly" } else { "inactive" };
            let _ = write!(text, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{}\r\na={direction}\r\n", line.mid);
            let _ = write!(text, "a=x-line:{} {} {}\r\n", line.mid, line.active, line.stream);
        }
        text
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (mut tag, mut serial, mut lines) = (None, None, Vec::new());
        for line in text.lines() {
            if let Some(ufrag) = line.strip_prefix("a=ice-ufrag:") {
                tag = Tag::parse(ufrag);
            } else if let Some(number) = line.strip_prefix("a=x-serial:") {
                serial = number.parse().ok();
            } else if let Some(rest) = line.strip_prefix("a=x-line:") {
                let mut parts = rest.splitn(3, ' ');
                let (mid, active) = (parts.next()?.to_owned(), parts.next()? == "true");
                lines.push(Line { mid, active, stream: parts.next()?.to_owned() });
            }
        }
        Some(Self { tag: tag?, serial: serial?, lines })
    }
}
