//! The LiveKit protocol: one WebSocket for admission, events, requests and replies; two peer connections; data
//! channels.
//!
//! [`LiveKitService`] implements the protocol traits. [`signal_session`] is the signalling session, without I/O: it
//! translates wire messages to model types and back, and keeps the state that a resume needs. [`server_list`] is the server
//! list, [`data`] encodes and decodes data channel messages, [`token`] creates and reads access tokens. Wire types
//! (crate `offhook-proto`) stay inside this folder. Must not know: anything above signalling.

mod ask;
pub mod data;
mod incoming;
mod local_track;
mod outgoing;
mod server_list;
mod service;
#[doc(hidden)]
pub mod signal_session;
mod subscription_table;
pub mod token;
#[doc(hidden)]
pub mod wire;

pub(crate) use ask::ask;
#[doc(hidden)]
pub use service::media_owner;
pub use service::{LiveKitService, MAX_MESSAGE};
