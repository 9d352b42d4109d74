//! Messages of an SFU on its socket. Must not know: wire types, what is done about it.

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

/// An application error of the SFU, in a reply or as an event.
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
    /// Seconds within which FAST is allowed; 0 if the server does not set it.
    pub fast_reconnect_deadline_s: i32,
    /// The id that the SFU assigned to this session; empty: the requested one.
    pub session_id: String,
    /// Ping interval of this client, and how long the SFU may be silent before the connection counts as dead.
    pub health: Option<Health>,
    /// Set if ICE servers are not part of the admission.
    pub ice_servers: Option<Vec<IceServer>>,
    pub grants: Option<Grants>,
    pub room: Option<Room>,
    /// The SFU treats the publisher's connection as the participant's: it is created at once.
    pub publisher_first: bool,
    /// The SFU sends the subscriber's first offer immediately, whether or not there is anything to receive.
    pub offers_at_once: bool,
    /// The publisher's peer connection carries both directions, and only this side offers. It needs data channels.
    #[serde(default)]
    pub one_connection: bool,
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
    /// Another client joined as this participant.
    Replaced,
    /// Disconnected by the SFU for a reason that concerns only this participant.
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

/// A message of an SFU on its socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SfuMessage {
    Joined(Box<JoinState>),
    SubscriberOffer {
        ice_restart: bool,
        sdp: String,
        negotiation_id: u32,
    },
    /// The answer is in the reply to SetPublisher; this event is counted and ignored.
    PublisherAnswer,
    /// One peer connection for both directions: the SFU needs an offer with this many more audio m-lines on which it
    /// can send. It repeats what is still missing after each answer, and requests from before an answer are left out.
    LinesNeeded {
        audio: u32,
    },
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
    /// The complete state of a participant, which may be new; tracks missing from it have ended.
    ParticipantState(Box<Participant>),
    ParticipantLeft {
        session_id: String,
        user_id: String,
        reason: LeaveReason,
    },
    /// Session ids of all present participants; those missing from it have left.
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
    /// The SFU advises a reconnect without an error. `leave_edge`: to another edge.
    Advice {
        strategy: Strategy,
        why: String,
        leave_edge: bool,
    },
    /// Keep-alive without other content.
    Alive,
    /// A token that replaces the application's from now on.
    Token(Secret),
    Room(Box<Room>),
    /// The SFU's name of a local track.
    LocalNamed {
        track_id: String,
        sfu_name: String,
    },
    /// A local track, by its name, was muted or unmuted remotely.
    LocalMuted {
        track_id: String,
        muted: bool,
    },
    /// A local track, by its name, was unpublished by the SFU.
    LocalUnpublished {
        track_id: String,
    },
    /// Permission to subscribe to a track was revoked or restored.
    Subscribable {
        track_id: String,
        session_id: String,
        allowed: bool,
    },
    Error {
        error: SfuError,
        strategy: Strategy,
    },
    /// A message or a part of it exceeded a limit of this client and was dropped; the text describes it.
    TooLarge(String),
    /// A valid message of an unknown type.
    Unknown,
}

impl SfuMessage {
    /// Approximate size in bytes, without the enum itself; 0 for small messages.
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
