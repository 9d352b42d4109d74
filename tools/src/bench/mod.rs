//! The benchmark: starts SFU and worker as separate processes, and measures the worker from outside.
//!
//! `procfs` reads what a process uses, `run` and `reconnect` direct, `summary` writes. The worker's lines and words are
//! described in tools/README.md.

pub mod procfs;
pub mod reconnect;
pub mod run;
pub mod summary;
