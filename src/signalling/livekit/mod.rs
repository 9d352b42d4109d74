//! The LiveKit protocol: one WebSocket that admits, carries events, and carries requests and replies; two
//! peer connections; data channels.
//!
//! [`LiveKitService`] is all of it behind the seam. [`dialogue`] is the protocol as pure code: wire messages
//! in, the vocabulary of a call out, and back; it also remembers what a resume needs. [`door`] knows the
//! servers' addresses, [`data`] is what travels on data channels, [`token`] makes and reads access tokens.
//! Wire types (crate `offhook-proto`) stay inside this folder. Must not know: anything above signalling.

pub mod data;
#[doc(hidden)]
pub mod dialogue;
mod door;
mod incoming;
mod outgoing;
mod own;
mod service;
pub mod token;
#[doc(hidden)]
pub mod wire;
mod wishes;

#[doc(hidden)]
pub use service::media_owner;
pub use service::{LiveKitService, MAX_MESSAGE};
