//! Numbers of the protocol, in one place. Must not know: who keeps them.

use super::model::Health;
use std::time::Duration;

pub const JOIN_RESPONSE: Duration = Duration::from_secs(5);
/// Unless the SFU wants it otherwise.
pub const HEALTH: Health = Health { ping: Duration::from_secs(5), silent: Duration::from_secs(12) };
/// What it may want.
pub const HEALTH_LEAST: Duration = Duration::from_secs(1);
pub const HEALTH_MOST: Duration = Duration::from_secs(60);
pub const TOKEN: Duration = Duration::from_secs(30);
pub const LEAVE: Duration = Duration::from_millis(1_000);
/// A peer connection that never connected: after this an ICE restart, after as much again it has failed.
pub const PEER_CONNECT: Duration = Duration::from_secs(5);
/// So long before that, what was tried is looked at: later there is nothing to look at.
pub const INSPECT: Duration = Duration::from_millis(100);
/// An answer waits so long for the first candidate of its ICE generation.
pub const FIRST_CANDIDATE: Duration = Duration::from_millis(50);
/// Media waits so long for the announcement of its participant.
pub const OWNER_UNKNOWN: Duration = Duration::from_secs(5);
pub const ICE_RESTART: Duration = Duration::from_secs(10);
/// Between the end of the media and the word that the call has ended.
pub const CALL_ENDED_GRACE: Duration = Duration::from_millis(250);
pub const NEVER_CONNECTED: u32 = 2;
pub const MIGRATION: Duration = Duration::from_secs(7);
pub const FAST_ATTEMPTS: u32 = 3;
pub const REJOINS: usize = 10;
pub const REJOIN_WINDOW: Duration = Duration::from_secs(120);
/// A second message that is too large within this time is the first one once more.
pub const TOO_LARGE_AGAIN: Duration = Duration::from_secs(120);
/// A connection that lasted this long was a good one.
pub const STABLE: Duration = Duration::from_secs(10);
pub const NEGOTIATION_REJOINS: u32 = 3;
/// Before the first reports; then the server's interval.
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
/// Local tracks at a time; over the life of a call there may be any number.
pub const TRACKS: usize = 32;
pub const REMOTE_TRACKS: usize = 4_096;
/// Media waits so long for its owner before it is told that it has none.
pub const UNASSIGNED: Duration = Duration::from_secs(3);
/// Tracks of which it is remembered that they cannot be heard.
pub const UNPLAYABLE: usize = 1_024;
pub const LEAVE_REASON: usize = 115;
/// Without this much a procedure call was not heard.
pub const RPC_ACK: Duration = Duration::from_secs(7);
/// The same for somebody who is not among the participants: may be hidden, most likely is not there.
pub const RPC_ACK_UNKNOWN: Duration = Duration::from_secs(2);
/// Other clients tell less than they wait, by as much as this.
pub const RPC_KEPT_BACK: Duration = Duration::from_secs(7);
/// The callee is told this much at least.
pub const RPC_LEAST: Duration = Duration::from_secs(1);
/// Procedure calls of the application's that are under way, and requests of one participant.
pub const RPC_CALLS: usize = 256;
/// Requests of all participants.
pub const RPC_REQUESTS: usize = 4_096;
/// Longest text, in bytes.
pub const TEXT_BYTES: usize = 1 << 20;
/// Texts of one participant that are being put together, and their bytes.
pub const TEXTS: usize = 32;
pub const SENDER_BYTES: usize = 2 << 20;
/// The same for all participants.
pub const ALL_TEXTS: usize = 1_024;
pub const ALL_TEXT_BYTES: usize = 16 << 20;
/// A text of which nothing comes for so long is given up.
pub const TEXT_IDLE: Duration = Duration::from_secs(60);
/// After a loss was told, further ones are collected for so long.
pub const LOSS_TOLD: Duration = Duration::from_secs(1);
/// Participants whose encrypted data was told of; beyond it the oldest may be told of again.
pub const ENCRYPTED: usize = 1_024;
pub const WISHES: usize = 1_024;
pub const CLOSE_NORMAL: u16 = 1000;
pub const CLOSE_UNHEALTHY: u16 = 4001;
pub const CLOSE_REPLACED: u16 = 4100;
pub const CLOSE_JOIN_FAILED: u16 = 4101;
