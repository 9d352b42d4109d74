//! Requests of a client to an SFU: on its socket, and RPCs with a reply. Must not know: wire types.

use super::*;
use serde::{Deserialize, Serialize};

/// One live track of the publisher, as described to the SFU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Simulcast layers of video, from small to large; empty for audio.
    pub layers: Vec<Layer>,
}

/// One simulcast layer, as described to the SFU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    pub rid: String,
    pub quality: LayerQuality,
    pub width: u32,
    pub height: u32,
    /// bit/s
    pub bitrate: u32,
}

/// The subscription settings of one remote track, as sent to the SFU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub user_id: String,
    pub session_id: String,
    pub kind: TrackKind,
    pub width: u32,
    pub height: u32,
    /// Empty in protocols without track names.
    pub track_id: String,
    pub settings: SubscriptionSettings,
}

/// Subscription settings of one remote track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionSettings {
    /// False: not subscribed.
    pub subscribed: bool,
    /// False: paused by this receiver.
    pub enabled: bool,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// Layer of simulcast video if no size is given.
    pub quality: LayerQuality,
    /// 1 is the highest; 0: chosen by the SFU.
    pub priority: u32,
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        let quality = LayerQuality::High;
        Self { subscribed: true, enabled: true, width: 0, height: 0, fps: 0, quality, priority: 0 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerQuality {
    Low,
    Medium,
    #[default]
    High,
}

/// Public information of a participant. `None`: unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfUpdate {
    pub name: Option<String>,
    pub metadata: Option<String>,
    /// Only these change; an empty value deletes.
    pub attributes: Vec<(String, String)>,
}

/// Details of a reconnect; absent on a first join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReconnectDetails {
    pub strategy: Strategy,
    pub announced_tracks: Vec<TrackInfo>,
    pub subscriptions: Vec<Subscription>,
    pub attempt: u32,
    pub from_sfu_id: String,
    pub previous_session_id: String,
    pub reason: String,
}

/// The first message on a new SFU socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinRequest {
    pub session_id: String,
    pub unified_session_id: String,
    /// Placeholder SDPs that only announce codecs.
    pub subscriber_sdp: String,
    pub publisher_sdp: String,
    pub reconnect: Option<ReconnectDetails>,
}

/// What a client sends on the SFU socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SfuRequest {
    Join(Box<JoinRequest>),
    Health,
    Leave { session_id: String, reason: String },
}

/// An RPC to the SFU; the session id is that of the requesting generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RpcCall {
    SetPublisher { session_id: String, sdp: String, tracks: Vec<TrackInfo> },
    SendAnswer { session_id: String, sdp: String, negotiation_id: u32 },
    IceTrickle { session_id: String, peer: PeerKind, candidate: String },
    IceRestart { session_id: String, peer: PeerKind },
    UpdateSubscriptions { session_id: String, subscriptions: Vec<Subscription> },
    UpdateMuteStates { session_id: String, states: Vec<MuteState> },
    UpdateSelf { session_id: String, update: SelfUpdate },
    SendStats { session_id: String, unified_session_id: String, subscriber_stats: String, publisher_stats: String },
}

/// Mute state of a local track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteState {
    /// As in [`TrackInfo`]; empty if the track is no longer known.
    pub track_id: String,
    pub kind: TrackKind,
    pub muted: bool,
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
            RpcCall::UpdateSelf { .. } => "UpdateSelf",
            RpcCall::SendStats { .. } => "SendStats",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RpcReply {
    Publisher { sdp: String, ice_restart: bool },
    Done,
}
