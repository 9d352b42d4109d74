//! The endpoints of one SFU: its WebSocket and its RPCs.

pub mod twirp;
pub mod ws;
