//! Media between an application and RTP. Every kind of track passes [`frame::EncodedFrame`]s through here. Audio-only
//! code is in [`audio`], video-only code in [`video`].
//!
//! Must not know: clocks, sockets, threads, tokio, randomness, the WebRTC engine. Time is passed in as a
//! [`std::time::Duration`] since an epoch of the caller's choice, randomness as a seed.

pub mod audio;
pub mod clock;
pub mod frame;
pub mod rtp;
pub mod transform;
pub mod video;

/// Largest RTP payload accepted or produced, in bytes: what fits one datagram.
pub const MAX_PAYLOAD: usize = 1_500;
