//! Offhook: SFU calls for any language, behind one C header.
//!
//! The call's life, from the top: [`capi`] takes what the application says and turns handles into
//! objects; [`session`] runs one actor per call; the actor owns a [`core`], which holds the rules
//! and decides; what the core decides is carried out by [`signalling`] (coordinator, socket, RPC),
//! by [`rtc`] (publisher and subscriber peer connections) and by [`dispatch`] (the application's
//! callbacks). [`media`] turns PCM into packets and back. Arrows point down; `core` and `media`
//! know nobody, no clock, no randomness and no I/O.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod capi;
pub mod core;
pub mod dispatch;
pub mod error;
mod inject;
pub mod log;
pub mod lookup;
pub mod media;
pub mod netwatch;
pub mod panics;
pub mod rtc;
pub mod runtime;
pub mod session;
mod share;
pub mod signalling;
mod sync;
