//! Media: peer connections, forwarding between them, audio levels.
//!
//! Knows no signalling; it is told what to connect to what.

pub mod forward;
pub mod keyframe;
pub mod levels;
pub mod line;
pub mod peer;
pub mod publisher;
pub mod rewrite;
pub mod sdp;
pub mod subscriber;
