//! Connections to servers: signalling protocols, WebSocket, HTTP, TLS. Wire types are translated
//! into the types of [`crate::core::model`].
//!
//! This module is a boundary. Code above it uses no wire types: sessions pass model requests and
//! receive model messages and [`Failure`](crate::core::model::Failure)s. Below it each protocol has
//! its own folder, `stream/` and `livekit/`, and is used through the traits of [`protocol`].
//! Protocol-independent code is shared: [`net`] (which servers may be contacted, HTTP), [`ws`]
//! (WebSocket messages), [`scan`] (the memory cost of decoding a message).
//!
//! Rules for every file here: input is bounded before it is decoded. Every wait has a deadline. A
//! failure is a typed value with the server's own code and text, but never a token, a password or a
//! query string. Each call makes one attempt; the core decides on retries. Must not know: sessions,
//! peer connections, callbacks, reconnect rules.

mod json;
pub mod livekit;
pub mod net;
pub mod protocol;
mod scan;
mod services;
pub mod stream;
pub(crate) mod text;
pub mod ws;

pub use net::{Net, NetOptions};
pub use protocol::{CallFacts, CustomEvent, Link, LinkOptions, LinkReceiver, Protocol, Signalling, SocketIn};
pub use services::{Answer, Service, ServiceOptions, Verdict};
