//! The two peer connections of a call, publisher and subscriber: their negotiation, their candidates, and whether
//! they carry packets. Must not know: the engine, sockets, who else is in the call.

mod candidates;
mod connection;
mod local_tracks;
mod publisher;
mod subscriber;

pub(super) use connection::{what_was_tried, Connection};
pub(super) use publisher::Publisher;
pub(super) use subscriber::Subscriber;
