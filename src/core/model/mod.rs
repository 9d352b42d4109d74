//! The protocol-independent data types of a call: messages of an SFU and requests of a client.
//!
//! `signalling/` translates wire messages into these types and back. Must not know: wire types, sockets, the WebRTC
//! engine, time.

pub mod candidate;
mod data;
mod failure;
pub mod json;
mod people;
mod protocol;
pub mod sdp;
mod sfu_message;
mod sfu_request;

pub use data::*;
pub use failure::*;
pub use people::*;
pub use protocol::*;
pub use sfu_message::*;
pub use sfu_request::*;

use serde::{Deserialize, Serialize};

/// Number of one connection attempt. Every event, reply, candidate and track belongs to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

/// Which of the two peer connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeerKind {
    Publisher,
    Subscriber,
}

/// How a peer connection tried to connect, and the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Description, bounded, without candidate addresses and secrets; empty: nothing is known.
    pub text: String,
    /// Connectivity checks were sent and nothing came back.
    pub silent: bool,
}

/// A STUN or TURN server gave no address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServerFailure {
    /// Its URL, bounded, without credentials.
    pub url: String,
    /// The code of its error response; 701: it was not reached.
    pub code: u16,
    /// What was found and what to do, bounded.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrackKind {
    Audio,
    Video,
    ScreenShare,
    ScreenShareAudio,
}

impl TrackKind {
    /// Microphone or screen audio.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Audio | Self::ScreenShareAudio)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CodecSpec {
    pub name: String,
    pub payload_type: u32,
    pub clock_rate: u32,
    /// Channel count of audio, as written in SDP; empty if none.
    pub encoding_parameters: String,
    pub fmtp: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishOption {
    pub id: i32,
    pub kind: TrackKind,
    pub codec: CodecSpec,
    /// bit/s of the top layer; 0 if the server does not set it.
    pub bitrate: i32,
    pub fps: i32,
    pub max_spatial_layers: i32,
    pub max_temporal_layers: i32,
    pub width: u32,
    pub height: u32,
    pub use_single_layer: bool,
    /// (profile, bit/s); profile 0: voice, 1: high-quality voice, 2: music.
    pub audio_bitrates: Vec<(i32, i32)>,
}
