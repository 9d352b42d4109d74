//! The benchmark: starts SFU and worker as separate processes, and measures the worker from outside.
//!
//! `procfs` reads what a process uses, `run`, `reconnect` and `instructions` direct, `summary` writes; `livekit` and
//! `livekit_summary` do the same on the LiveKit server, beside its official client. The worker's
//! lines and words are described in tools/README.md.

pub mod instructions;
pub mod livekit;
pub mod livekit_summary;
pub mod procfs;
pub mod reconnect;
pub mod run;
pub mod summary;
