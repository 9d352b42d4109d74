//! Offhook: SFU calls for any language, behind one C header.
//!
//! The layers of a call, from the top: [`capi`] turns C calls and handles into objects; [`session`] runs one actor per
//! call; the actor owns a [`core`], which holds the rules and makes the decisions. [`signalling`] (coordinator, socket,
//! RPC), [`rtc`] (publisher and subscriber peer connections) and [`dispatch`] (the application's callbacks) carry them
//! out; [`net`] has their byte streams. [`diagnose`] uses each of these layers by itself, to find out why a call does
//! not connect. [`media`] turns PCM into packets and back. Dependencies point down; `core` and `media` depend on no other layer
//! and use no clock, no randomness and no I/O.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod capi;
pub mod core;
pub mod diagnose;
pub mod dispatch;
pub mod error;
mod inject;
pub mod log;
pub mod lookup;
pub mod media;
pub mod net;
pub mod netwatch;
pub mod panics;
pub mod rtc;
pub mod runtime;
pub mod session;
mod share;
pub mod signalling;
mod sync;
