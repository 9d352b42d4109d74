//! The demo: two talkers and a bot in one call, late offers to each, and a verdict.
//!
//! `run` controls the run, `view` displays, `report` judges. The programs are known only by their JSON lines. `livekit`
//! and `livekit_report` do the same on a cluster of LiveKit servers with one node killed. `listen` lists commands that
//! play the recordings.

pub mod listen;
pub mod livekit;
pub mod livekit_report;
pub mod report;
pub mod run;
pub mod view;
