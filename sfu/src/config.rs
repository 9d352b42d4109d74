//! What the development SFU is told at its start, and the bounds on everything it accepts.
//!
//! Knows nothing of sockets or rooms.

use crate::log::Level;
use std::{net::SocketAddr, time::Duration};

/// How to run one SFU process.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP address of everything but media; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Allows a `listen` address that is not loopback.
    pub allow_remote: bool,
    /// How much is written to stderr.
    pub log: Level,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// How long a session whose socket was lost is kept for a FAST reconnect.
    pub keep: Duration,
    /// What JoinResponse announces as `fast_reconnect_deadline_seconds`.
    pub fast_reconnect_deadline_seconds: i32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_remote: false,
            log: Level::Warn,
            limits: Limits::default(),
            keep: Duration::from_secs(10),
            fast_reconnect_deadline_seconds: 10,
        }
    }
}

/// Upper bounds; what exceeds one is refused with an error, never queued.
#[derive(Clone, Debug)]
pub struct Limits {
    /// TCP connections open at once.
    pub connections: usize,
    /// Bytes of an HTTP body.
    pub body: usize,
    /// Bytes of a WebSocket message.
    pub frame: usize,
    /// Bytes of an SDP.
    pub sdp: usize,
    /// Rooms at once.
    pub rooms: usize,
    /// Calls the coordinator remembers.
    pub calls: usize,
    /// Participants of one room.
    pub participants: usize,
    /// Tracks one participant publishes.
    pub tracks: usize,
    /// Entries of one UpdateSubscriptions.
    pub subscriptions: usize,
    /// m-lines of one subscriber.
    pub media_lines: usize,
    /// Trickled candidates for one peer connection.
    pub candidates: usize,
    /// Bytes of any identifier (user, session, call).
    pub identifier: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            body: 1 << 20,
            frame: 1 << 20,
            sdp: 256 << 10,
            rooms: 1024,
            calls: 4096,
            participants: 256,
            tracks: 64,
            subscriptions: 512,
            media_lines: 256,
            candidates: 64,
            identifier: 256,
        }
    }
}
