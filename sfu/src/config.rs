//! Start options of the development SFU, and the limits on everything it accepts.
//!
//! Must not know: sockets or rooms.

use crate::log::Level;
use std::{net::SocketAddr, time::Duration};

/// Options of one SFU process.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP address for everything except media. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// Allows a `listen` address that is not loopback.
    pub allow_remote: bool,
    /// Log level of stderr.
    pub log: Level,
    /// Limits on client requests.
    pub limits: Limits,
    /// How long a disconnected session is kept for a FAST reconnect.
    pub keep: Duration,
    /// Value of `fast_reconnect_deadline_seconds` in JoinResponse.
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

/// Upper limits. A request that exceeds one is rejected with an error, never queued.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Concurrent TCP connections.
    pub connections: usize,
    /// Bytes of an HTTP body.
    pub body: usize,
    /// Bytes of a WebSocket message.
    pub frame: usize,
    /// Bytes of an SDP.
    pub sdp: usize,
    /// Concurrent rooms.
    pub rooms: usize,
    /// Calls the coordinator keeps.
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
