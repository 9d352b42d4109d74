//! One call, seen from above: what the C API holds behind an `oh_call`.
//!
//! [`Call::new`] and [`Launch::start`] start an actor (`actor.rs`) that owns a [`Core`](crate::core::Core) and carries
//! out what it decides. This side only hands over commands and reads what the actor publishes: it
//! never waits for the actor, except in the functions whose name says so.
//! Must not know: C, handles, wire types.

mod actor;
mod data;
mod events;
mod latch;
mod line;
pub mod network;
mod observer;
mod ops;
mod outgoing;
mod playout;
mod report;
mod shared;
mod watching;

pub use events::{EventHub, HubCounts, Listener};
pub use latch::HandedOver;
pub use outgoing::{Outgoing, TrackOptions};
pub use playout::{AudioFrame, AudioOptions, Samples};
pub use shared::{Call, CallOptions, CallStats, Connection, Launch, Notice};
