//! Timeouts and limits of the protocol, in one place. Must not know: who keeps them.

use super::model::Health;
use std::time::Duration;

pub const JOIN_RESPONSE: Duration = Duration::from_secs(5);
/// Default, unless the SFU sets other values.
pub const HEALTH: Health = Health { ping: Duration::from_secs(5), silent: Duration::from_secs(12) };
/// Bounds for the SFU's values.
pub const HEALTH_LEAST: Duration = Duration::from_secs(1);
pub const HEALTH_MOST: Duration = Duration::from_secs(60);
pub const TOKEN: Duration = Duration::from_secs(30);
pub const LEAVE: Duration = Duration::from_millis(1_000);
/// First connect timeout of a peer connection: after it ICE is restarted; after the same time again it has failed.
pub const PEER_CONNECT: Duration = Duration::from_secs(5);
/// How long before that timeout the connection attempt is inspected: afterwards there is nothing left to inspect.
pub const INSPECT: Duration = Duration::from_millis(100);
/// How long an answer waits for the first candidate of its ICE generation.
pub const FIRST_CANDIDATE: Duration = Duration::from_millis(50);
/// Ended tracks that are remembered, because their media may arrive later.
pub const ENDED_TRACKS: usize = 64;
/// How long media waits for the announcement of its participant.
pub const OWNER_UNKNOWN: Duration = Duration::from_secs(5);
pub const ICE_RESTART: Duration = Duration::from_secs(10);
/// How long to wait for the call-ended message after media has ended.
pub const CALL_ENDED_GRACE: Duration = Duration::from_millis(250);
pub const NEVER_CONNECTED: u32 = 2;
pub const MIGRATION: Duration = Duration::from_secs(7);
pub const FAST_ATTEMPTS: u32 = 3;
pub const REJOINS: usize = 10;
pub const REJOIN_WINDOW: Duration = Duration::from_secs(120);
/// A second oversized message within this time counts as a repetition of the first.
pub const TOO_LARGE_AGAIN: Duration = Duration::from_secs(120);
/// A connection that lasted this long counts as stable.
pub const STABLE: Duration = Duration::from_secs(10);
pub const NEGOTIATION_REJOINS: u32 = 3;
/// Delays of the first reports; then the server's interval applies.
pub const FIRST_STATS: [Duration; 4] = [
    Duration::from_millis(1_500),
    Duration::from_millis(3_000),
    Duration::from_millis(3_000),
    Duration::from_millis(5_000),
];
pub const STATS_LEAST: Duration = Duration::from_secs(1);
pub const STATS_MOST: Duration = Duration::from_secs(300);
pub const RPC_TRIES: u32 = 3;
pub const NEGOTIATION_TRIES: u32 = 3;
pub const QUEUED_OFFERS: usize = 64;
pub const QUEUED_OFFER_BYTES: usize = 4 << 20;
pub const HELD_MESSAGES: usize = 32;
pub const HELD_BYTES: usize = 2 << 20;
/// Local tracks at a time; a call may have any number in total.
pub const TRACKS: usize = 32;
pub const REMOTE_TRACKS: usize = 4_096;
/// M-lines on which the SFU sends, if one peer connection carries both directions. With those of local tracks and data
/// they fit into one description.
pub const RECEIVE_LINES: u32 = 400;
/// The same in the first offer: those that the SFU is likely to need.
pub const FIRST_RECEIVE_LINES: u32 = 16;
/// How long media waits for its owner before it is reported as unassigned.
pub const UNASSIGNED: Duration = Duration::from_secs(3);
/// Tracks remembered as reported unplayable.
pub const UNPLAYABLE: usize = 1_024;
/// Failures of ICE servers remembered as reported; beyond this the oldest may be reported again.
pub const ICE_SERVER_FAILURES: usize = 64;
pub const LEAVE_REASON: usize = 115;
/// Acknowledgement timeout of a procedure call.
pub const RPC_ACK: Duration = Duration::from_secs(7);
/// The same for a user who is not in the roster: may be hidden, but is most likely absent.
pub const RPC_ACK_UNKNOWN: Duration = Duration::from_secs(2);
/// Other clients send a timeout that is shorter than their own by this much.
pub const RPC_KEPT_BACK: Duration = Duration::from_secs(7);
/// Minimum timeout sent to the callee.
pub const RPC_LEAST: Duration = Duration::from_secs(1);
/// Pending procedure calls of the application, and pending requests of one participant.
pub const RPC_CALLS: usize = 256;
/// Pending requests of all participants.
pub const RPC_REQUESTS: usize = 4_096;
/// Longest text, in bytes.
pub const TEXT_BYTES: usize = 1 << 20;
/// Incomplete texts of one participant, and their bytes.
pub const TEXTS: usize = 32;
pub const SENDER_BYTES: usize = 2 << 20;
/// The same for all participants.
pub const ALL_TEXTS: usize = 1_024;
pub const ALL_TEXT_BYTES: usize = 16 << 20;
/// An incomplete text that receives nothing for this long is dropped.
pub const TEXT_IDLE: Duration = Duration::from_secs(60);
/// After a loss is reported, further losses are collected for this long.
pub const LOSS_INTERVAL: Duration = Duration::from_secs(1);
/// Participants whose encrypted data was reported; beyond this the oldest may be reported again.
pub const ENCRYPTED: usize = 1_024;
pub const SUBSCRIPTIONS: usize = 1_024;
pub const CLOSE_NORMAL: u16 = 1000;
pub const CLOSE_UNHEALTHY: u16 = 4001;
pub const CLOSE_REPLACED: u16 = 4100;
pub const CLOSE_JOIN_FAILED: u16 = 4101;
