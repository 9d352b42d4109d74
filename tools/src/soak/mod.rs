//! The soak: many sessions in one process while the SFU makes trouble for most of them and none for the rest.
//!
//! `faults` says what trouble and when, `watch` follows what the worker tells, `summary` judges, `run` directs.
//! The worker's lines and words are described in tools/README.md.

pub mod faults;
pub mod run;
pub mod summary;
pub mod watch;
