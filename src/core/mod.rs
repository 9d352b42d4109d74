//! The rules of a call, as pure code.
pub mod model;
