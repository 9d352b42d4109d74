//! The vocabulary of a call: what an SFU can say, what a client can ask, in terms of no protocol.
//!
//! `signalling/` translates wire messages into these types and back. Must not know: wire types,
//! sockets, the WebRTC engine, time.

use crate::error::Secret;

/// Number of one attempt to be connected. Every event, reply, candidate and track belongs to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// Which of the two peer connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    Publisher,
    Subscriber,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    Audio,
    Video,
    ScreenShare,
    ScreenShareAudio,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    #[default]
    Unknown,
    Poor,
    Good,
    Excellent,
}

/// Somebody in the call, as the SFU last described them. `session_id` is the key: one user may be
/// in a call more than once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Participant {
    pub user_id: String,
    pub session_id: String,
    pub name: String,
    pub image: String,
    pub roles: Vec<String>,
    /// Custom data as JSON text, empty without any.
    pub custom_json: String,
    pub published: Vec<TrackKind>,
    /// First part of the stream ids under which this participant's media arrives.
    pub track_prefix: String,
    pub quality: Quality,
    pub is_speaking: bool,
    pub is_dominant: bool,
    /// 0.0 (silence) to 1.0.
    pub audio_level: f32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodecSpec {
    pub name: String,
    pub payload_type: u32,
    pub clock_rate: u32,
    /// Channel count for audio, as SDP writes it; empty without one.
    pub encoding_parameters: String,
    pub fmtp: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PublishOption {
    pub id: i32,
    pub kind: TrackKind,
    pub codec: CodecSpec,
    /// bit/s of the top layer; 0 when the server does not say.
    pub bitrate: i32,
    pub fps: i32,
    pub max_spatial_layers: i32,
    pub max_temporal_layers: i32,
    pub width: u32,
    pub height: u32,
    pub use_single_layer: bool,
    /// (profile, bit/s); profile 0 voice, 1 voice in high quality, 2 music.
    pub audio_bitrates: Vec<(i32, i32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub anonymous: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    pub user_id: String,
    pub session_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    pub audio: bool,
    pub video: bool,
    pub screen_share: bool,
}

/// What the SFU advises after an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    #[default]
    Unspecified,
    Disconnect,
    Fast,
    Rejoin,
    Migrate,
}

/// An application error of the SFU: inside a reply, or as an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SfuError {
    pub code: i32,
    pub message: String,
    pub should_retry: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinState {
    pub participants: Vec<Participant>,
    pub counts: Counts,
    pub pins: Vec<Pin>,
    pub publish_options: Vec<PublishOption>,
    /// Whether the SFU kept the session of a FAST reconnect.
    pub reconnected: bool,
    /// Seconds within which FAST is allowed; 0 when the server does not say.
    pub fast_reconnect_deadline_s: i32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnpublishCause {
    #[default]
    Unspecified,
    UserMuted,
    PermissionRevoked,
    Moderation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallEndedReason {
    #[default]
    Unspecified,
    Ended,
    LiveEnded,
    Kicked,
    SessionEnded,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LayerSetting {
    pub rid: String,
    pub active: bool,
    pub max_bitrate: i32,
    pub scale_down_by: f32,
    pub max_fps: u32,
    pub scalability_mode: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SenderQuality {
    pub kind: TrackKind,
    pub publish_option_id: i32,
    pub layers: Vec<LayerSetting>,
}

/// Everything an SFU can say on its socket.
#[derive(Clone, Debug, PartialEq)]
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
    AudioLevels(Vec<(String, f32, bool)>),
    DominantSpeaker {
        session_id: String,
    },
    ParticipantJoined(Box<Participant>),
    ParticipantUpdated(Box<Participant>),
    ParticipantLeft {
        session_id: String,
        user_id: String,
    },
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
    Error {
        error: SfuError,
        strategy: Strategy,
    },
    /// Understood as a message, but of a kind this client does not know.
    Unknown,
}

/// One live track of the publisher as the SFU is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackInfo {
    pub track_id: String,
    pub kind: TrackKind,
    pub mid: String,
    pub muted: bool,
    pub dtx: bool,
    pub stereo: bool,
    pub red: bool,
    pub codec: CodecSpec,
    pub publish_option_id: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub user_id: String,
    pub session_id: String,
    pub kind: TrackKind,
    pub width: u32,
    pub height: u32,
}

/// How a client comes back; absent on a first join.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconnectDetails {
    pub strategy: Strategy,
    pub announced_tracks: Vec<TrackInfo>,
    pub subscriptions: Vec<Subscription>,
    pub attempt: u32,
    pub from_sfu_id: String,
    pub previous_session_id: String,
    pub reason: String,
}

/// First words on a fresh SFU socket.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinRequest {
    pub session_id: String,
    pub unified_session_id: String,
    /// Throw-away SDPs that only announce codecs.
    pub subscriber_sdp: String,
    pub publisher_sdp: String,
    pub reconnect: Option<ReconnectDetails>,
}

/// What a client sends on the SFU socket.
#[derive(Clone, Debug, PartialEq)]
pub enum SfuRequest {
    Join(Box<JoinRequest>),
    Health,
    Leave { session_id: String, reason: String },
}

/// An RPC to the SFU; the session id is that of the generation that asks.
#[derive(Clone, Debug, PartialEq)]
pub enum RpcCall {
    SetPublisher {
        session_id: String,
        sdp: String,
        tracks: Vec<TrackInfo>,
    },
    SendAnswer {
        session_id: String,
        sdp: String,
        negotiation_id: u32,
    },
    IceTrickle {
        session_id: String,
        peer: PeerKind,
        candidate: String,
    },
    IceRestart {
        session_id: String,
        peer: PeerKind,
    },
    UpdateSubscriptions {
        session_id: String,
        subscriptions: Vec<Subscription>,
    },
    UpdateMuteStates {
        session_id: String,
        states: Vec<(TrackKind, bool)>,
    },
    SendStats {
        session_id: String,
        unified_session_id: String,
        subscriber_stats: String,
        publisher_stats: String,
    },
}

impl RpcCall {
    /// The RPC's name in logs and errors.
    pub fn name(&self) -> &'static str {
        match self {
            RpcCall::SetPublisher { .. } => "SetPublisher",
            RpcCall::SendAnswer { .. } => "SendAnswer",
            RpcCall::IceTrickle { .. } => "IceTrickle",
            RpcCall::IceRestart { .. } => "IceRestart",
            RpcCall::UpdateSubscriptions { .. } => "UpdateSubscriptions",
            RpcCall::UpdateMuteStates { .. } => "UpdateMuteStates",
            RpcCall::SendStats { .. } => "SendStats",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum RpcReply {
    Publisher { sdp: String, ice_restart: bool },
    Done,
}

/// Why an exchange with a server failed.
#[derive(Clone, Debug, PartialEq)]
pub enum FailureKind {
    /// No answer within the deadline.
    Timeout,
    /// Could not connect, or the connection broke.
    Connect,
    Tls,
    /// Plain http/ws to an address that is not loopback, without the application's leave.
    Insecure,
    /// HTTP status that is not a success; with the server's own code and text when it gave them.
    Http {
        status: u16,
    },
    /// The SFU's own error inside a 200 answer, or an `error` event.
    Sfu,
    /// Answered, but not understandably, or larger than the limit.
    Malformed,
}

/// A failed exchange: kind, the server's code and text kept as they were (bounded, no secrets).
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    /// The server's own code; 0 without one.
    pub code: i32,
    pub message: String,
    /// The SFU said that the same request may be tried again.
    pub should_retry: bool,
    /// The coordinator said that trying again is pointless.
    pub unrecoverable: bool,
    /// Retry-After in milliseconds, when the server gave it.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: 0,
            message: message.into(),
            should_retry: false,
            unrecoverable: false,
            retry_after_ms: None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub password: Secret,
}

/// What the coordinator needs to admit a user to a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdmissionRequest {
    pub call_type: String,
    pub call_id: String,
    pub create: bool,
    pub ring: bool,
    pub notify: bool,
    pub video: bool,
    pub members_limit: u32,
    /// `data` member of the join body as JSON text; empty: none.
    pub data_json: String,
    pub location: String,
    pub connection_id: String,
    /// The edge that is being left or failed last.
    pub migrating_from: String,
    /// All edges left or failed, the current one included.
    pub migrating_from_list: Vec<String>,
}

/// The coordinator's answer: which SFU, and with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    pub edge_name: String,
    /// Twirp base url.
    pub url: String,
    pub ws_endpoint: String,
    pub token: Secret,
    pub ice_servers: Vec<IceServer>,
    pub own_capabilities: Vec<String>,
    pub cid: String,
    pub created: bool,
    /// 0 when the server does not say.
    pub stats_interval_ms: u32,
    /// DTX / RED flags of the call's settings.
    pub opus_dtx: bool,
    pub opus_red: bool,
}
