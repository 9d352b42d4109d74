//! The soak: many sessions in one process. The SFU injects faults into most of them and none into the rest.
//!
//! `faults` generates the schedule, `watch` follows the worker's output, `summary` judges, `run` controls the run.
//! tools/README.md describes the worker's lines and commands.

pub mod faults;
pub mod run;
pub mod summary;
pub mod watch;
