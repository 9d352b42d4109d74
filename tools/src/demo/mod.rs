//! The demo: two talkers and a bot in one call, late offers at each, and a verdict.
//!
//! `run` directs, `view` shows, `report` judges. Knows the programs by their JSON lines alone.

pub mod report;
pub mod run;
pub mod view;
