//! The C API: the only module in which unsafe code is allowed.
//!
//! One file per noun of the header; `scripts/header.py` has their order. Each function is a thin guard: check what came
//! in, turn handles into objects, call the session, turn the result into an `oh_result`. The doc comments here are the
//! header's text. A type that ends in `_t` is the number of an enum: C may pass and store any, so that a member or a
//! parameter is never of the enum's own type; the header writes it as the enum.
#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
// The names are those of C, and every function says what its pointers must be.
#![allow(missing_debug_implementations)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(test)]
mod panic_tests;

mod audio;
mod basic;
mod call;
mod client;
mod convert;
mod data;
mod deliver;
mod diagnose;
mod event;
mod event_payloads;
mod event_view;
pub mod handles;
mod library;
mod limits;
mod network;
mod objects;
mod people;
pub mod process;
mod protocol;
mod publisher;
mod pull;
mod pulled;
mod result;
mod sized;
mod snapshot;
mod stats;
mod subscriber;
mod token;
mod track;
mod track_stats;

pub use audio::*;
pub use basic::*;
pub use call::*;
pub use client::*;
pub use data::*;
pub use diagnose::*;
pub use event::*;
pub use library::*;
pub use limits::*;
pub use network::*;
pub use people::*;
pub use protocol::*;
pub use publisher::*;
pub use pull::*;
pub use result::*;
pub use sized::oh_struct_init;
pub use snapshot::*;
pub use stats::*;
pub use subscriber::*;
pub use token::*;
pub use track::*;
pub use track_stats::*;
