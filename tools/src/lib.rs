//! What the demo and the benchmark have in common: programs that speak in JSON lines, the development
//! SFU as a child process, and the judgement of recordings.
//!
//! Must not know the library: it is seen here only through the C programs that use it.
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
