//! Signalling against scripted servers on loopback: their possible faults, and the resulting errors.
//!
//! Every server is a few lines of raw bytes, so that it can break any rule. Must not know: sessions, the development
//! SFU.

#[path = "signalling/events.rs"]
mod events;
#[path = "signalling/http.rs"]
mod http;
#[path = "signalling/livekit.rs"]
mod livekit;
#[path = "signalling/proxy.rs"]
mod proxy;
#[path = "signalling/server.rs"]
mod server;
#[path = "signalling/stream.rs"]
mod stream;
#[path = "signalling/tls.rs"]
mod tls;
#[path = "signalling/ws.rs"]
mod ws;
