//! The one error type of the library, and the one list of result codes.
//!
//! Must not know: who raised an error or how it reaches C (capi turns an [`Error`] into an
//! `oh_result` and a text). Messages say what failed, where, and what to do; they never hold a
//! token, a password or bytes from the network.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt};

/// Stable result codes; the numbers are the C ABI and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    /// An argument is NULL, out of range, or not UTF-8.
    Argument = -1,
    /// The handle is none, stale, forged or of another kind.
    Handle = -2,
    /// Not allowed in the object's current state.
    State = -3,
    /// The object was closed by the application.
    Closed = -4,
    /// A queue of the library is full; try again later.
    Full = -5,
    /// A deadline passed.
    Timeout = -6,
    /// The wait would deadlock (inside a callback of the same call).
    WouldDeadlock = -7,
    /// Not offered by this build, protocol or call.
    Unsupported = -8,
    /// The network or the peer could not be reached.
    Network = -9,
    /// TLS failed: certificate, name or version.
    Tls = -10,
    /// The server refused; its code and text are in the message.
    Refused = -11,
    /// The server's response cannot be interpreted.
    Protocol = -12,
    /// The token is missing, expired or not accepted.
    Auth = -13,
    /// The application left, freed or shut down during the operation.
    Cancelled = -14,
    /// A limit of the system (descriptors, threads, memory) or of the configuration was reached.
    Limit = -15,
    /// Plain http/ws to an address that is not loopback, which is off by default; or one server refers to another that
    /// it must not name.
    Insecure = -16,
    /// The process has forked; this is the child.
    Forked = -17,
    /// A codec or the WebRTC engine failed.
    Media = -18,
    /// A bug in the library; contained.
    Internal = -19,
    /// The structure size or ABI version is not one this library knows.
    Abi = -20,
    /// Nothing to return right now.
    Empty = -21,
    /// The buffer given is too small.
    Buffer = -22,
}

/// An error: text for people, and a code for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub code: Code,
    /// Code given by the server (SFU error code, HTTP status or coordinator code), 0 without one.
    pub server_code: i32,
    pub message: Cow<'static, str>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, server_code: 0, message: message.into() }
    }

    pub fn with_server_code(mut self, code: i32) -> Self {
        self.server_code = code;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Text that must never be shown: tokens, TURN passwords, ICE passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; only for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Prefix of the placeholder that replaces a secret; no secret starts with it.
pub const STANDS_FOR: &str = "<secret:";

impl Serialize for Secret {
    /// Serialises the placeholder, never the text itself.
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let shown = self.0.is_empty() || self.0.starts_with(STANDS_FOR);
        to.serialize_str(if shown { &self.0 } else { "<secret>" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}
