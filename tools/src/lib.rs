//! Common parts of the demo, the benchmark and the soak: child processes that print JSON lines, the development SFU as
//! a child process, and the analysis of recordings.
//!
//! Must not know: the library. It is used only through the C programs that link it.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod args;
pub mod bench;
pub mod demo;
pub mod livekit;
pub mod program;
pub mod sfu;
pub mod soak;
pub mod wav;
