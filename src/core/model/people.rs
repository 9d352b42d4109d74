//! Who is in a call, what they publish, and the room they are in. Must not know: wire types, rules.

use super::{json, TrackKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    #[default]
    Unknown,
    Poor,
    Good,
    Excellent,
    /// The SFU hears nothing of this participant.
    Lost,
}

/// A track that somebody publishes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteTrack {
    /// The SFU's name for it; empty in protocols that know kinds only.
    pub id: String,
    pub kind: TrackKind,
    /// Given by its publisher, may be empty.
    pub name: String,
    /// Published, and silent by its publisher's choice.
    pub muted: bool,
    /// Encrypted end to end.
    pub encrypted: bool,
    /// A track of this participant, changed by a moderator.
    pub local: bool,
    /// A moderator has unmuted it, and it stays muted until the application agrees.
    pub held: bool,
}

/// Why something that arrived cannot be decoded. Numbers are the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum Unplayable {
    Encrypted = 1,
    Codec = 2,
    #[default]
    Unassigned = 3,
    PayloadType = 4,
    DataEncrypted = 5,
}

/// Something that arrived and cannot be decoded; of data without a kind and a track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnplayableMedia {
    pub user_id: String,
    pub session_id: String,
    pub track_id: String,
    pub kind: Option<TrackKind>,
    pub reason: Unplayable,
    /// What was found, in words.
    pub text: String,
}

impl RemoteTrack {
    /// As [`Participant::weight`].
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.name.len()
    }
}

impl From<TrackKind> for RemoteTrack {
    fn from(kind: TrackKind) -> Self {
        Self { id: String::new(), kind, name: String::new(), muted: false, encrypted: false, local: false, held: false }
    }
}

/// Whose media a peer connection carries, as its stream ids say; read by the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaOwner {
    /// See [`Participant::track_prefix`].
    pub prefix: String,
    /// None: what the participant's track of that id says.
    pub kind: Option<TrackKind>,
    /// The SFU's name of the track; may be empty.
    pub track_id: String,
    /// Tells streams of one participant and kind apart where tracks have no names; empty: there is one of each kind.
    #[serde(default)]
    pub stream: String,
}

/// What kind of participant somebody is. Numbers are the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum ParticipantKind {
    #[default]
    Standard = 0,
    Ingress = 1,
    Egress = 2,
    Sip = 3,
    Agent = 4,
    Recorder = 5,
    Other = 6,
}

/// Why a participant left, by the numbers of the C ABI; 0: nobody said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveReason(pub i32);

impl LeaveReason {
    pub const UNKNOWN: Self = Self(0);
    /// Another client has joined as the same participant.
    pub const REPLACED: Self = Self(2);
    /// The last number that is known.
    pub const LAST: i32 = 16;
}

/// Somebody in the call, as the SFU last described them. `session_id` is the key: one user may be
/// in a call more than once. Texts that can be long are shared, so that a copy costs little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    pub user_id: String,
    pub session_id: String,
    #[serde(with = "json::text")]
    pub name: Arc<str>,
    #[serde(with = "json::text")]
    pub image: Arc<str>,
    pub roles: Vec<String>,
    /// Custom data as JSON text, empty without any.
    #[serde(with = "json::text")]
    pub custom_json: Arc<str>,
    /// The application's own text about this participant, empty without any.
    #[serde(with = "json::text")]
    pub metadata: Arc<str>,
    /// Names and values as a JSON object, empty without any.
    #[serde(with = "json::text")]
    pub attributes_json: Arc<str>,
    pub published: Vec<RemoteTrack>,
    /// The part of the stream ids under which this participant's media arrives that names them.
    pub track_prefix: String,
    pub quality: Quality,
    pub is_speaking: bool,
    pub is_dominant: bool,
    /// 0.0 (silence) to 1.0.
    #[serde(with = "json::float")]
    pub audio_level: f32,
    pub kind: ParticipantKind,
    /// What it may do; `None`: the protocol does not say that of others.
    pub grants: Option<Grants>,
    /// This participant itself.
    pub local: bool,
    /// Once it has left.
    pub reason: LeaveReason,
}

impl Participant {
    /// Takes over the texts that are the same in an older description.
    pub fn share_texts(&mut self, old: &Self) {
        let ours =
            [&mut self.name, &mut self.image, &mut self.custom_json, &mut self.metadata, &mut self.attributes_json];
        let theirs = [&old.name, &old.image, &old.custom_json, &old.metadata, &old.attributes_json];
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            if *ours == *theirs {
                ours.clone_from(theirs);
            }
        }
    }

    /// Bytes of memory that it holds, about.
    pub fn weight(&self) -> usize {
        let texts = self.user_id.len() + self.session_id.len() + self.track_prefix.len();
        let shared = [&self.name, &self.image, &self.custom_json, &self.metadata, &self.attributes_json];
        let roles: usize = self.roles.iter().map(|r| r.len() + size_of::<String>()).sum();
        let tracks: usize = self.published.iter().map(RemoteTrack::weight).sum();
        size_of::<Self>() + texts + shared.map(|t| t.len()).iter().sum::<usize>() + roles + tracks
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub total: u32,
    pub anonymous: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub user_id: String,
    pub session_id: String,
}

impl Pin {
    /// Bytes that a list of them holds.
    pub fn weight_of(pins: &[Self]) -> usize {
        pins.iter().map(|pin| size_of_val(pin) + pin.user_id.len() + pin.session_id.len()).sum()
    }
}

/// What a participant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    pub audio: bool,
    pub video: bool,
    pub screen_share: bool,
    /// Data, texts and procedure calls.
    pub data: bool,
    pub subscribe: bool,
    /// The own name, metadata and attributes.
    pub update_metadata: bool,
    /// No right: the others do not see this participant.
    pub hidden: bool,
    /// No right: this participant records the call.
    pub recorder: bool,
}

impl Grants {
    /// Whether tracks of this source may be published.
    pub fn allow(&self, source: TrackKind) -> bool {
        match source {
            TrackKind::Audio => self.audio,
            TrackKind::Video => self.video,
            TrackKind::ScreenShare | TrackKind::ScreenShareAudio => self.screen_share,
        }
    }

    /// What a protocol allows that does not speak of it.
    pub const ALL: Self = Self {
        audio: true,
        video: true,
        screen_share: true,
        data: true,
        subscribe: true,
        update_metadata: true,
        hidden: false,
        recorder: false,
    };
}

/// The room itself, in protocols in which it is something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub id: String,
    pub name: String,
    /// The application's own text about the room, empty without any.
    pub metadata: String,
    pub recording: bool,
}

impl Room {
    /// As [`Participant::weight`].
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.name.len() + self.metadata.len()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnpublishCause {
    #[default]
    Unspecified,
    UserMuted,
    PermissionRevoked,
    Moderation,
}
