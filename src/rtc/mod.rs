//! WebRTC: our trait and the engine behind it.
pub mod candidate;
pub mod engine;
pub mod sdp;
pub mod webrtc;

mod gate;
mod tasks;
mod udp;

#[cfg(test)]
mod tests;
