//! The two peer connections of a call, publisher and subscriber: negotiation, candidates and connectivity.
//! Must not know: the engine, sockets, who else is in the call.

mod candidates;
mod connection;
mod ice_servers;
mod local_tracks;
mod publisher;
mod subscriber;

pub(super) use connection::{what_was_tried, Connection};
pub(super) use ice_servers::IceServers;
pub(super) use publisher::Publisher;
pub(super) use subscriber::Subscriber;
