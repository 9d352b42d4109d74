//! Media between an application and RTP. [`frame::EncodedFrame`] is what passes through here, for every kind of track;
//! what only sound needs is in [`audio`], and video will stand beside it.
//!
//! Must not know: clocks, sockets, threads, tokio, randomness, the WebRTC engine. Time is handed in
//! as a [`std::time::Duration`] since an epoch of the caller's choice, chance as a seed.

pub mod audio;
pub mod clock;
pub mod frame;
pub mod rtp;
pub mod transform;

/// Largest RTP payload taken or given, in bytes: what fits one datagram.
pub const MAX_PAYLOAD: usize = 1_500;
