//! One call as the layer above uses it: the object behind an `oh_call`.
//!
//! [`Call::new`] and [`Launch::start`] start an actor (`actor.rs`) that owns a [`Core`](crate::core::Core) and carries
//! out its decisions. A [`Call`] only queues commands and reads the state that the actor publishes. It never waits for
//! the actor, except in the functions whose name says so.
//! Must not know: C, handles, wire types.

mod actor;
mod call;
mod counters;
mod data;
mod frames;
mod inflow;
mod latch;
mod launch;
mod lift;
pub mod network;
mod notes;
mod notice;
mod observer;
mod ops;
mod options;
mod orders;
mod outgoing;
mod playout;
mod redact;
mod report;
mod sent;
mod service;
mod shared;
mod stats;
mod track_player;
#[cfg(test)]
mod transform_tests;
mod wait;

pub use crate::core::{Present, PresentLocal, PresentTrack};
pub use call::Call;
pub use frames::{AudioFrame, AudioOptions, Samples, Who};
pub use inflow::Bounds;
pub use latch::HandedOver;
pub use launch::Launch;
pub use lift::Lift;
pub use notice::Notice;
pub use options::{CallOptions, Connection};
pub use outgoing::{LocalTrackStats, Outgoing, ReceiverReport, TrackOptions};
pub use playout::RemoteTrackStats;
pub use stats::CallStats;
