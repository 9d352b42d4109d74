//! Everything that speaks to servers, translated into the vocabulary of [`crate::core::model`].
//!
//! This is a seam. Above it nobody knows a wire type: sessions hand over model requests and get
//! model messages and [`Failure`](crate::core::model::Failure)s back. Below it each protocol has a
//! folder of its own, `stream/` and `livekit/`, and is reached through the traits of [`protocol`];
//! shared is what is protocol free: [`net`] (who may be contacted, TLS, HTTP), [`ws`] (a WebSocket
//! as plain messages), [`scan`] (what a message would cost to decode).
//!
//! Rules that hold for every file here: whatever arrives is bounded before it is decoded; every
//! wait has a deadline; a failure is a typed value that carries the server's own code and text but
//! never a token, a password or a query string; one attempt per call, because repeating is the
//! core's decision. Must not know: sessions, peer connections, callbacks, reconnect rules.

mod connect;
mod json;
pub mod livekit;
pub mod net;
pub mod protocol;
mod scan;
mod services;
pub mod stream;
mod text;
mod tls;
pub mod ws;

pub use net::{Net, NetOptions};
pub use protocol::{CallFacts, CustomEvent, Link, LinkOptions, LinkReceiver, Protocol, Signalling, SocketIn};
pub use services::{Service, ServiceOptions};
