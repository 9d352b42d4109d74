//! WebRTC: the engine trait and its implementation.
pub mod candidate;
pub mod engine;
pub mod environment;
pub mod link;
pub mod sdp;
pub mod webrtc;

mod gate;
mod refuse;
mod tasks;
mod trace;
mod udp;

/// The engine shipped with the library.
pub fn default_engine() -> std::sync::Arc<dyn engine::Engine> {
    std::sync::Arc::new(webrtc::WebRtcEngine::new())
}

#[cfg(test)]
mod tests;
