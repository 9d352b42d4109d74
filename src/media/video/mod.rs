//! Video: encoded frames into packets and back, for VP8, VP9, H264 and AV1. Nothing is decoded or encoded.
//!
//! Must not know: clocks, sockets, threads, randomness, the WebRTC engine, signalling.

pub mod assemble;
mod av1;
mod bits;
pub mod codec;
mod continuity;
pub mod descriptor;
mod h264;
pub mod packet;
pub mod packetize;
mod vp8;
mod vp9;
