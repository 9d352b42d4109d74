//! What one SFU answers: its WebSocket and its RPCs.

pub mod twirp;
pub mod ws;
