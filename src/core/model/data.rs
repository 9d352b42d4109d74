//! What participants send each other beside media. Must not know: channels, wire types.

use bytes::Bytes;

/// Whether a message is sent again until it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Every one, in order.
    #[default]
    Reliable,
    /// Once; what is lost is lost.
    Lossy,
}

/// One message for other participants.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOut {
    /// Who gets it, by user id; none: everybody.
    pub to: Vec<String>,
    pub delivery: Delivery,
    pub body: DataBody,
}

/// One message of another participant.
#[derive(Clone, Debug, PartialEq)]
pub struct DataIn {
    /// The sender's user id; empty: the application's server.
    pub from: String,
    /// The sender's session id, where it is told.
    pub session_id: String,
    pub delivery: Delivery,
    pub body: DataBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DataBody {
    Packet {
        topic: String,
        payload: Bytes,
    },
    /// A whole text; on its way it may be in pieces.
    Text {
        id: String,
        topic: String,
        text: String,
    },
    /// A text begins.
    TextBegin {
        id: String,
        topic: String,
        /// Bytes, when it is known.
        length: Option<u64>,
    },
    TextPiece {
        id: String,
        index: u64,
        content: Bytes,
    },
    TextEnd {
        id: String,
        /// False: its sender gave it up.
        complete: bool,
    },
    RpcRequest {
        id: String,
        method: String,
        payload: String,
        /// The caller waits so long for the answer, in ms.
        timeout_ms: u32,
        version: u32,
    },
    /// The request has arrived.
    RpcAck {
        id: String,
    },
    RpcAnswer {
        id: String,
        answer: Result<String, RpcFailure>,
    },
}

/// Why a procedure call failed, in the numbers that participants tell each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcFailure {
    pub code: u32,
    pub message: String,
    /// The application's own, empty without any.
    pub data: String,
}

/// Failures that a client itself finds.
pub mod rpc_codes {
    pub const UNSUPPORTED_METHOD: u32 = 1400;
    pub const REQUEST_TOO_LARGE: u32 = 1402;
    pub const UNSUPPORTED_VERSION: u32 = 1404;
    pub const APPLICATION: u32 = 1500;
    pub const CONNECTION_TIMEOUT: u32 = 1501;
    pub const RESPONSE_TIMEOUT: u32 = 1502;
    pub const RECIPIENT_DISCONNECTED: u32 = 1503;
    pub const RESPONSE_TOO_LARGE: u32 = 1504;
    pub const SEND_FAILED: u32 = 1505;
}
