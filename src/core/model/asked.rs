//! Everything a client asks of an SFU: on its socket, and where a reply is awaited. Must not know: wire types.

use super::*;
use serde::{Deserialize, Serialize};

/// One live track of the publisher as the SFU is told of it.
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
    /// Of simulcast video, from small to large; empty for audio.
    pub layers: Vec<Layer>,
}

/// One simulcast layer as it is announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    pub rid: String,
    pub quality: LayerQuality,
    pub width: u32,
    pub height: u32,
    /// bit/s
    pub bitrate: u32,
}

/// A wish about one remote track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub user_id: String,
    pub session_id: String,
    pub kind: TrackKind,
    pub width: u32,
    pub height: u32,
    /// Where protocols name tracks; else empty.
    pub track_id: String,
    pub wish: Wish,
}

/// What is wanted of one remote track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// False: not at all.
    pub subscribed: bool,
    /// False: paused by this receiver.
    pub enabled: bool,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// Of simulcast video, where no size is given.
    pub quality: LayerQuality,
    /// 1 is the highest; 0: the SFU's choice.
    pub priority: u32,
}

impl Default for Wish {
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

/// What a participant says of itself to the others. None: stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfUpdate {
    pub name: Option<String>,
    pub metadata: Option<String>,
    /// Only these change; an empty value deletes.
    pub attributes: Vec<(String, String)>,
}

/// How a client comes back; absent on a first join.
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

/// First words on a fresh SFU socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinRequest {
    pub session_id: String,
    pub unified_session_id: String,
    /// Throw-away SDPs that only announce codecs.
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

/// An RPC to the SFU; the session id is that of the generation that asks.
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

/// Whether a track of this client is muted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteState {
    /// As in [`TrackInfo`]; empty when the track is not known any more.
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
