//! WebRTC: the engine trait and its implementation.
pub mod candidate;
pub mod engine;
pub mod environment;
pub mod link;
pub mod sdp;
pub mod webrtc;

mod gate;
mod receive;
mod refuse;
pub(crate) mod routes;
mod stream;
mod streams;
pub mod stun;
mod tasks;
mod trace;
mod udp;

pub(crate) use streams::ServerStreams;

/// The engine shipped with the library. `streams`: for TURN servers over TCP and TLS; `None`: these are not used.
pub fn default_engine(
    policy: engine::NetworkPolicy,
    streams: Option<std::sync::Arc<dyn engine::Streams>>,
) -> std::sync::Arc<dyn engine::Engine> {
    std::sync::Arc::new(webrtc::WebRtcEngine::with(policy, streams))
}

#[cfg(test)]
mod tests;
