//! Media: peer connections, forwarding between them, audio levels.
//!
//! `room`, `join` and `publish` control it. Must not know: signalling.

pub mod address;
pub mod delay;
pub mod forward;
pub mod frames;
pub mod keyframe;
pub mod levels;
pub mod peer;
pub mod ports;
pub mod publisher;
pub mod rewrite;
pub mod sdp;
pub mod subscriber;
pub mod tcp;
