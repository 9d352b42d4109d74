//! Messages between participants besides media. Must not know: channels, wire types.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a message is retransmitted until it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Delivered completely and in order.
    #[default]
    Reliable,
    /// Sent once; may be lost.
    Lossy,
}

/// One message for other participants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataOut {
    /// User ids of the recipients; empty: all participants.
    pub to: Vec<String>,
    pub delivery: Delivery,
    pub body: DataBody,
}

/// One message from another participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataIn {
    /// The sender's user id; empty: the application's backend.
    pub from: String,
    /// The sender's session id, if given.
    pub session_id: String,
    pub delivery: Delivery,
    pub body: DataBody,
}

/// Names and values attached to a text by its sender.
pub type Attributes = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DataBody {
    Packet {
        topic: String,
        #[serde(with = "super::json::bytes")]
        payload: Bytes,
    },
    /// A complete text; transmitted in pieces if necessary.
    Text {
        id: String,
        topic: String,
        text: String,
        attributes: Attributes,
    },
    /// Complete characters of a text that is still arriving.
    TextPart {
        id: String,
        topic: String,
        text: String,
        attributes: Attributes,
        /// Offset of this part in the text, in bytes.
        offset: u64,
    },
    /// Start of a text.
    TextBegin {
        id: String,
        topic: String,
        /// Length in bytes, if known.
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
        /// False: aborted by the sender.
        complete: bool,
        /// Added to those of the start; may replace them.
        attributes: Attributes,
    },
    /// A DTMF tone.
    Dtmf {
        /// Event code of RFC 4733, 0 to 15.
        code: u32,
        digit: String,
    },
    /// Encrypted end to end; cannot be read here.
    Encrypted,
    RpcRequest {
        id: String,
        method: String,
        payload: String,
        /// How long the caller waits for the answer, in ms.
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
    /// Size of its contents, in bytes.
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

/// Losses of reliable data from participants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLost {
    pub packets: u64,
    /// Bytes of the packets.
    pub bytes: u64,
    pub texts: u64,
}

/// Why a procedure call failed, with the codes that participants exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcFailure {
    pub code: u32,
    pub message: String,
    /// Application data; empty if none.
    pub data: String,
}

/// Longest payload of a procedure call, in bytes.
pub const MAX_RPC_PAYLOAD: usize = 15_360;

/// Failures detected by a client.
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
