//! Everything an SFU can say on its socket. Must not know: wire types, what is done about it.

use super::*;
use crate::error::Secret;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the SFU advises after an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    #[default]
    Unspecified,
    Disconnect,
    Fast,
    Rejoin,
    Migrate,
}

/// An application error of the SFU: inside a reply, or as an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SfuError {
    pub code: i32,
    pub message: String,
    pub should_retry: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JoinState {
    pub participants: Vec<Participant>,
    pub counts: Counts,
    pub pins: Vec<Pin>,
    pub publish_options: Vec<PublishOption>,
    /// Whether the SFU kept the session of a FAST reconnect.
    pub reconnected: bool,
    /// Seconds within which FAST is allowed; 0 when the server does not say.
    pub fast_reconnect_deadline_s: i32,
    /// The name that the SFU gave this session; empty: the one that was asked for.
    pub session_id: String,
    /// How often it wants to hear of this client, and after which silence it is dead.
    pub health: Option<Health>,
    /// Where ICE servers are not part of the admission.
    pub ice_servers: Option<Vec<IceServer>>,
    pub grants: Option<Grants>,
    pub room: Option<Room>,
    /// The SFU takes the publisher's connection for the participant's: it is made at once.
    pub publisher_first: bool,
    /// It makes the subscriber's first offer by itself, right away, whether there is anything to hear or not.
    pub offers_at_once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub ping: Duration,
    pub silent: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEndedReason {
    #[default]
    Unspecified,
    Ended,
    LiveEnded,
    Kicked,
    SessionEnded,
    /// Somebody else has joined as this participant.
    Replaced,
    /// By the SFU, for a reason that concerns this participant alone.
    Disconnected,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSetting {
    pub rid: String,
    pub active: bool,
    pub max_bitrate: i32,
    #[serde(with = "json::float")]
    pub scale_down_by: f32,
    pub max_fps: u32,
    pub scalability_mode: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SenderQuality {
    pub kind: TrackKind,
    pub publish_option_id: i32,
    pub layers: Vec<LayerSetting>,
}

/// Everything an SFU can say on its socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SfuMessage {
    Joined(Box<JoinState>),
    SubscriberOffer {
        ice_restart: bool,
        sdp: String,
        negotiation_id: u32,
    },
    /// The answer travels in the reply of SetPublisher; this event is counted and ignored.
    PublisherAnswer,
    IceTrickle {
        peer: PeerKind,
        candidate: String,
    },
    IceRestart {
        peer: PeerKind,
    },
    ChangePublishQuality(Vec<SenderQuality>),
    ChangePublishOptions(Vec<PublishOption>),
    ConnectionQuality(Vec<(String, Quality)>),
    /// (session id, level 0..1, is speaking)
    AudioLevels(#[serde(with = "json::levels")] Vec<(String, f32, bool)>),
    DominantSpeaker {
        session_id: String,
    },
    ParticipantJoined(Box<Participant>),
    ParticipantUpdated(Box<Participant>),
    /// The whole of a participant, who may be new; tracks that are not in it are gone.
    ParticipantState(Box<Participant>),
    ParticipantLeft {
        session_id: String,
        user_id: String,
        reason: LeaveReason,
    },
    /// Everybody who is here, by session id; who is not in it has left.
    Present(Vec<String>),
    TrackPublished {
        session_id: String,
        user_id: String,
        kind: TrackKind,
        participant: Option<Box<Participant>>,
    },
    TrackUnpublished {
        session_id: String,
        user_id: String,
        kind: TrackKind,
        cause: UnpublishCause,
        participant: Option<Box<Participant>>,
    },
    Health(Counts),
    /// (session id, kind, paused)
    InboundState(Vec<(String, TrackKind, bool)>),
    Grants(Grants),
    Pins(Vec<Pin>),
    GoAway {
        reason: i32,
    },
    MigrationComplete,
    CallEnded(CallEndedReason),
    /// The SFU advises to connect again; nothing has failed. `leave_edge`: elsewhere.
    Advice {
        strategy: Strategy,
        why: String,
        leave_edge: bool,
    },
    /// A sign of life that says nothing else.
    Alive,
    /// A token to use from now on in place of the one that the application gave.
    Token(Secret),
    Room(Box<Room>),
    /// How the SFU names a track of this client.
    LocalNamed {
        track_id: String,
        sfu_name: String,
    },
    /// A track of this client, by its name, was muted or unmuted from outside.
    LocalMuted {
        track_id: String,
        muted: bool,
    },
    /// A track of this client, by its name, was taken off the air by the SFU.
    LocalUnpublished {
        track_id: String,
    },
    /// A track cannot be had, or not any more, or again.
    Subscribable {
        track_id: String,
        session_id: String,
        allowed: bool,
    },
    Error {
        error: SfuError,
        strategy: Strategy,
    },
    /// Something that was said is larger than a limit of this client, and was left out: what, in words.
    TooLarge(String),
    /// Understood as a message, but of a kind this client does not know.
    Unknown,
}

impl SfuMessage {
    /// Bytes that it holds beside itself, about; 0 for what cannot be large.
    pub fn weight(&self) -> usize {
        match self {
            Self::SubscriberOffer { sdp, .. } => sdp.len(),
            Self::IceTrickle { candidate, .. } => candidate.len(),
            Self::ConnectionQuality(list) => list.iter().map(|item| size_of_val(item) + item.0.len()).sum(),
            Self::AudioLevels(list) => list.iter().map(|item| size_of_val(item) + item.0.len()).sum(),
            Self::InboundState(list) => list.iter().map(|item| size_of_val(item) + item.0.len()).sum(),
            Self::ParticipantJoined(p) | Self::ParticipantUpdated(p) | Self::ParticipantState(p) => p.weight(),
            Self::TrackPublished { participant, .. } | Self::TrackUnpublished { participant, .. } => {
                participant.as_ref().map_or(0, |p| p.weight())
            }
            Self::Pins(pins) => Pin::weight_of(pins),
            Self::Present(sessions) => sessions.iter().map(|session| size_of_val(session) + session.len()).sum(),
            Self::TooLarge(what) => what.len(),
            Self::Room(room) => room.weight(),
            Self::ChangePublishOptions(options) => options.iter().map(|o| size_of_val(o) + o.codec.fmtp.len()).sum(),
            Self::ChangePublishQuality(senders) => {
                senders.iter().map(|s| size_of_val(s) + s.layers.len() * size_of::<LayerSetting>()).sum()
            }
            _ => 0,
        }
    }
}
