//! Video: encoded frames into packets and back, for VP8, VP9, H264 and AV1. Nothing is decoded or encoded.
//!
//! Must not know: clocks, sockets, threads, randomness, the WebRTC engine, signalling.

pub mod allocate;
pub mod assemble;
mod av1;
mod bits;
pub mod codec;
mod continuity;
pub mod crypt;
pub mod descriptor;
mod h264;
pub mod keyframe;
pub mod layers;
pub mod packet;
pub mod packetize;
pub mod queue;
pub mod receive;
pub mod repair;
mod vp8;
mod vp9;
mod window;
