//! The C API: the only module in which unsafe code is allowed.
//!
//! One file per noun of the header, in the header's order. Each function is a thin guard: check what
//! came in, turn handles into objects, call the session, turn the result into an `oh_result`. The
//! doc comments here are the header's text; see `cbindgen.toml`.
#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
// The names are those of C, and every function says what its pointers must be.
#![allow(missing_debug_implementations)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(test)]
mod panic_tests;

mod audio;
mod call;
mod client;
mod convert;
mod data;
mod deliver;
mod event;
mod event_enums;
mod event_parts;
mod event_view;
pub mod handles;
mod library;
mod limits;
mod objects;
pub mod process;
mod protocol;
mod publisher;
mod pull;
mod pulled;
mod result;
mod stats;
mod subscriber;
mod token;
mod track;

pub use audio::*;
pub use call::*;
pub use client::*;
pub use data::*;
pub use event::*;
pub use library::*;
pub use limits::*;
pub use protocol::*;
pub use publisher::*;
pub use pull::*;
pub use result::*;
pub use stats::*;
pub use subscriber::*;
pub use token::*;
pub use track::*;
