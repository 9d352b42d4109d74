//! State of a call, and why it ended. Numbers are the C ABI.
//!
//! Must not know: how it got there.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// State of a call. Numbers are the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i32)]
pub enum State {
    #[default]
    Idle = 0,
    Joining = 1,
    Joined = 2,
    Reconnecting = 3,
    Migrating = 4,
    Offline = 5,
    ReconnectingFailed = 6,
    Left = 7,
}

impl State {
    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Joining => "joining",
            State::Joined => "joined",
            State::Reconnecting => "reconnecting",
            State::Migrating => "migrating",
            State::Offline => "offline",
            State::ReconnectingFailed => "unable to reconnect",
            State::Left => "left",
        }
    }
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    pub reason: EndReason,
    pub error: Option<Error>,
    /// Text for a person.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum EndReason {
    /// The application left or freed the call.
    Left = 0,
    /// The call was ended for all participants.
    CallEnded = 1,
    /// The livestream or session in it ended.
    SessionEnded = 2,
    /// This participant was removed.
    Kicked = 3,
    /// The join did not succeed.
    JoinFailed = 4,
    /// The connection was lost and could not be restored.
    ConnectionLost = 5,
    /// The SFU requested a disconnect of this client.
    Disconnected = 6,
    /// `oh_shutdown_wait` was called.
    Shutdown = 7,
    /// An internal error of the library, limited to this call.
    Internal = 8,
    /// Too many reconnects in too little time.
    ReconnectLimit = 9,
    /// Offers of the SFU could not be answered, in several sessions in a row.
    NegotiationFailed = 10,
    /// Peer connections never come up on this network.
    NetworkUnsupported = 11,
    /// The coordinator or the SFU refuses to let this participant in again.
    ReconnectRefused = 12,
    /// Another client joined as this participant.
    Replaced = 13,
}

/// Data that was accepted from the application and could not be sent before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    pub audio_ms: u64,
    pub packets: u64,
    pub texts: u64,
    pub custom_events: u64,
    pub rpc_answers: u64,
    /// Everything except audio.
    pub bytes: u64,
}

impl Unsent {
    /// Number of messages; audio is not counted in messages.
    pub fn messages(&self) -> u64 {
        self.packets + self.texts + self.custom_events + self.rpc_answers
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
