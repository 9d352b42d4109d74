//! Participants of a call, their tracks and the room. Must not know: wire types, rules.

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
    /// The SFU receives nothing from this participant.
    Lost,
}

/// A track published by a participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteTrack {
    /// The SFU's name of the track; empty in protocols that identify tracks by kind only.
    pub id: String,
    pub kind: TrackKind,
    /// Set by its publisher; may be empty.
    pub name: String,
    /// Published, but muted by its publisher.
    pub muted: bool,
    /// Encrypted end to end.
    pub encrypted: bool,
    /// A local track that a moderator changed.
    pub local: bool,
    /// A moderator unmuted it, but it stays muted until the application agrees.
    pub held: bool,
}

/// Why received media or data cannot be decoded. Numbers are the C ABI.
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

/// Received media or data that cannot be decoded; data has no kind and no track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnplayableMedia {
    pub user_id: String,
    pub session_id: String,
    pub track_id: String,
    pub kind: Option<TrackKind>,
    pub reason: Unplayable,
    /// Description.
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

/// The owner of received media, as named by its stream ids; parsed by the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaOwner {
    /// See [`Participant::track_prefix`].
    pub prefix: String,
    /// `None`: the kind of the participant's track with that id.
    pub kind: Option<TrackKind>,
    /// The SFU's name of the track; may be empty.
    pub track_id: String,
    /// Distinguishes streams of one participant and kind if tracks have no names; empty: there is one of each kind.
    #[serde(default)]
    pub stream: String,
}

/// Type of a participant. Numbers are the C ABI.
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

/// Why a participant left. Numbers are the C ABI; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveReason(pub i32);

impl LeaveReason {
    pub const UNKNOWN: Self = Self(0);
    /// Another client joined as the same participant.
    pub const REPLACED: Self = Self(2);
    /// The highest known number.
    pub const LAST: i32 = 16;
}

/// A participant of the call, as last described by the SFU. `session_id` is the key: one user may be in a call more
/// than once. Long texts are shared, so that copies are cheap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    pub user_id: String,
    pub session_id: String,
    #[serde(with = "json::text")]
    pub name: Arc<str>,
    #[serde(with = "json::text")]
    pub image: Arc<str>,
    pub roles: Vec<String>,
    /// Custom data as JSON text; empty if none.
    #[serde(with = "json::text")]
    pub custom_json: Arc<str>,
    /// Application text about this participant; empty if none.
    #[serde(with = "json::text")]
    pub metadata: Arc<str>,
    /// Names and values as a JSON object; empty if none.
    #[serde(with = "json::text")]
    pub attributes_json: Arc<str>,
    pub published: Vec<RemoteTrack>,
    /// The part of its stream ids that identifies this participant.
    pub track_prefix: String,
    pub quality: Quality,
    pub is_speaking: bool,
    pub is_dominant: bool,
    /// 0.0 (silence) to 1.0.
    #[serde(with = "json::float")]
    pub audio_level: f32,
    pub kind: ParticipantKind,
    /// Permissions; `None`: the protocol does not report them for remote participants.
    pub grants: Option<Grants>,
    /// The local participant.
    pub local: bool,
    /// Set when it has left.
    pub reason: LeaveReason,
}

impl Participant {
    /// Reuses the texts of an older description that are equal.
    pub fn share_texts(&mut self, old: &Self) {
        let new_texts =
            [&mut self.name, &mut self.image, &mut self.custom_json, &mut self.metadata, &mut self.attributes_json];
        let old_texts = [&old.name, &old.image, &old.custom_json, &old.metadata, &old.attributes_json];
        for (new_text, old_text) in new_texts.into_iter().zip(old_texts) {
            if *new_text == *old_text {
                new_text.clone_from(old_text);
            }
        }
    }

    /// Approximate memory use in bytes.
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
    /// Size of a list of pins, in bytes.
    pub fn weight_of(pins: &[Self]) -> usize {
        pins.iter().map(|pin| size_of_val(pin) + pin.user_id.len() + pin.session_id.len()).sum()
    }
}

/// Permissions of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    pub audio: bool,
    pub video: bool,
    pub screen_share: bool,
    /// Data, texts and procedure calls.
    pub data: bool,
    pub subscribe: bool,
    /// Change of the local name, metadata and attributes.
    pub update_metadata: bool,
    /// Not a permission: this participant is invisible to others.
    pub hidden: bool,
    /// Not a permission: this participant records the call.
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

    /// Default for protocols without permissions.
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

/// The room, in protocols that have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub id: String,
    pub name: String,
    /// Application text about the room; empty if none.
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
