//! The demo: two talkers and a bot in one call, late offers at each, and a verdict.
//!
//! `run` directs, `view` shows, `report` judges. Knows the programs by their JSON lines alone. `livekit` and
//! `livekit_report` are the same on a cluster of the LiveKit server, of which a node dies. `listen` says how to play the recordings.

pub mod listen;
pub mod livekit;
pub mod livekit_report;
pub mod report;
pub mod run;
pub mod view;
