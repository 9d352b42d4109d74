//! WebRTC: our trait and the engine behind it.
pub mod engine;
