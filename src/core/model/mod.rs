//! The vocabulary of a call: what an SFU can say, what a client can ask, in terms of no protocol.
//!
//! `signalling/` translates wire messages into these types and back. Must not know: wire types,
//! sockets, the WebRTC engine, time.

mod asked;
mod data;
mod failure;
mod people;
mod protocol;
mod said;
mod sdp;

pub use asked::*;
pub use data::*;
pub use failure::*;
pub use people::*;
pub use protocol::*;
pub use said::*;
pub use sdp::*;

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
