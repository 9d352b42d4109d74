//! Being admitted, and how exchanges with servers fail. Must not know: wire types, sockets.

use crate::error::Secret;

/// Why an exchange with a server failed.
#[derive(Clone, Debug, PartialEq)]
pub enum FailureKind {
    /// No answer within the deadline.
    Timeout,
    /// Could not connect, or the connection broke.
    Connect,
    Tls,
    /// Plain http/ws to an address that is not loopback, without the application's leave.
    Insecure,
    /// HTTP status that is not a success; with the server's own code and text when it gave them.
    Http {
        status: u16,
    },
    /// The SFU's own error inside a 200 answer, or an `error` event.
    Sfu,
    /// Answered, but not understandably, or larger than the limit.
    Malformed,
}

/// A failed exchange: kind, the server's code and text kept as they were (bounded, no secrets).
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    /// The server's own code; 0 without one.
    pub code: i32,
    pub message: String,
    /// The SFU said that the same request may be tried again.
    pub should_retry: bool,
    /// The coordinator said that trying again is pointless.
    pub unrecoverable: bool,
    /// Retry-After in milliseconds, when the server gave it.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, code: 0, message: message.into(), should_retry: false, unrecoverable: false, retry_after_ms: None }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub password: Secret,
}

/// What the coordinator needs to admit a user to a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdmissionRequest {
    pub call_type: String,
    pub call_id: String,
    pub create: bool,
    pub ring: bool,
    pub notify: bool,
    pub video: bool,
    pub members_limit: u32,
    /// `data` member of the join body as JSON text; empty: none.
    pub data_json: String,
    pub location: String,
    pub connection_id: String,
    /// The edge that is being left or failed last.
    pub migrating_from: String,
    /// All edges left or failed, the current one included.
    pub migrating_from_list: Vec<String>,
}

/// The coordinator's answer: which SFU, and with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    pub edge_name: String,
    /// Twirp base url.
    pub url: String,
    pub ws_endpoint: String,
    pub token: Secret,
    pub ice_servers: Vec<IceServer>,
    pub own_capabilities: Vec<String>,
    pub cid: String,
    pub created: bool,
    /// 0 when the server does not say.
    pub stats_interval_ms: u32,
    /// DTX / RED flags of the call's settings.
    pub opus_dtx: bool,
    pub opus_red: bool,
    /// How many edges there are to choose from; 0: nobody knows.
    pub alternatives: usize,
}
