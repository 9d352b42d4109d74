//! The vocabulary of a call: what an SFU can say, what a client can ask, in terms of no protocol.
//!
//! `signalling/` translates wire messages into these types and back. Must not know: wire types,
//! sockets, the WebRTC engine, time.

mod asked;
pub mod candidate;
mod data;
mod failure;
pub mod json;
mod people;
mod protocol;
mod said;
pub mod sdp;

pub use asked::*;
pub use data::*;
pub use failure::*;
pub use people::*;
pub use protocol::*;
pub use said::*;

use serde::{Deserialize, Serialize};

/// Number of one attempt to be connected. Every event, reply, candidate and track belongs to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

/// Which of the two peer connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeerKind {
    Publisher,
    Subscriber,
}

/// What was tried to connect a peer connection, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// In words, bounded, without addresses of candidates and without secrets; empty: nothing is known.
    pub text: String,
    /// The other side was asked and nothing of it came back.
    pub silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrackKind {
    Audio,
    Video,
    ScreenShare,
    ScreenShareAudio,
}

impl TrackKind {
    /// Audio of a microphone or of a shared screen.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Audio | Self::ScreenShareAudio)
    }
}


#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CodecSpec {
    pub name: String,
    pub payload_type: u32,
    pub clock_rate: u32,
    /// Channel count for audio, as SDP writes it; empty without one.
    pub encoding_parameters: String,
    pub fmtp: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
