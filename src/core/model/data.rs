//! What participants send each other beside media. Must not know: channels, wire types.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a message is sent again until it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Every one, in order.
    #[default]
    Reliable,
    /// Once; what is lost is lost.
    Lossy,
}

/// One message for other participants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataOut {
    /// Who gets it, by user id; none: everybody.
    pub to: Vec<String>,
    pub delivery: Delivery,
    pub body: DataBody,
}

/// One message of another participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataIn {
    /// The sender's user id; empty: the application's server.
    pub from: String,
    /// The sender's session id, where it is told.
    pub session_id: String,
    pub delivery: Delivery,
    pub body: DataBody,
}

/// What a sender attached to a text, names and values.
pub type Attributes = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DataBody {
    Packet {
        topic: String,
        #[serde(with = "super::json::bytes")]
        payload: Bytes,
    },
    /// A whole text; on its way it may be in pieces.
    Text {
        id: String,
        topic: String,
        text: String,
        attributes: Attributes,
    },
    /// Whole characters of a text that is still arriving.
    TextPart {
        id: String,
        topic: String,
        text: String,
        attributes: Attributes,
        /// Bytes of the text before this part.
        offset: u64,
    },
    /// A text begins.
    TextBegin {
        id: String,
        topic: String,
        /// Bytes, when it is known.
        length: Option<u64>,
        attributes: Attributes,
    },
    TextPiece {
        id: String,
        index: u64,
        #[serde(with = "super::json::bytes")]
        content: Bytes,
    },
    TextEnd {
        id: String,
        /// False: its sender gave it up.
        complete: bool,
        /// These are added to those of the beginning, or replace them.
        attributes: Attributes,
    },
    /// A key of a telephone.
    Dtmf {
        /// Its number by RFC 4733, 0 to 15.
        code: u32,
        digit: String,
    },
    /// Encrypted end to end: nobody here can read it.
    Encrypted,
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

impl DataBody {
    /// Bytes of what it says.
    pub fn size(&self) -> usize {
        let of =
            |attributes: &Attributes| attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        match self {
            Self::Packet { topic, payload } => topic.len() + payload.len(),
            Self::Text { topic, text, attributes, .. } | Self::TextPart { topic, text, attributes, .. } => {
                topic.len() + text.len() + of(attributes)
            }
            Self::TextBegin { topic, attributes, .. } => topic.len() + of(attributes),
            Self::TextPiece { content, .. } => content.len(),
            Self::TextEnd { attributes, .. } => of(attributes),
            Self::RpcRequest { method, payload, .. } => method.len() + payload.len(),
            Self::RpcAnswer { answer: Ok(payload), .. } => payload.len(),
            Self::RpcAnswer { answer: Err(failure), .. } => failure.message.len() + failure.data.len(),
            Self::RpcAck { .. } | Self::Dtmf { .. } | Self::Encrypted => 0,
        }
    }
}

/// What was lost of what participants sent reliably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLost {
    pub packets: u64,
    /// Of the packets.
    pub bytes: u64,
    pub texts: u64,
}

/// Why a procedure call failed, in the numbers that participants tell each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcFailure {
    pub code: u32,
    pub message: String,
    /// The application's own, empty without any.
    pub data: String,
}

/// Longest payload of a procedure call, in bytes.
pub const MAX_RPC_PAYLOAD: usize = 15_360;

/// Failures that a client itself finds.
pub mod rpc_codes {
    pub const UNSUPPORTED_METHOD: u32 = 1400;
    pub const RECIPIENT_NOT_FOUND: u32 = 1401;
    pub const REQUEST_TOO_LARGE: u32 = 1402;
    pub const UNSUPPORTED_VERSION: u32 = 1404;
    pub const APPLICATION: u32 = 1500;
    pub const CONNECTION_TIMEOUT: u32 = 1501;
    pub const RESPONSE_TIMEOUT: u32 = 1502;
    pub const RECIPIENT_DISCONNECTED: u32 = 1503;
    pub const RESPONSE_TOO_LARGE: u32 = 1504;
    pub const SEND_FAILED: u32 = 1505;
}
