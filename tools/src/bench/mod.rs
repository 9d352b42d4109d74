//! The benchmark: starts SFU and worker as separate processes, and measures the worker from outside.
//!
//! `procfs` reads a process's usage; `run`, `reconnect` and `instructions` control the measurements; `summary` writes.
//! `livekit` and `livekit_summary` do the same on the LiveKit server, beside its official client. tools/README.md
//! describes the worker's lines and commands.

pub mod instructions;
pub mod livekit;
pub mod livekit_summary;
pub mod procfs;
pub mod reconnect;
pub mod run;
pub mod summary;
