//! Being admitted, and how exchanges with servers fail. Must not know: wire types, sockets.

use super::people::Grants;
use crate::error::{Code, Error, Secret};
use serde::{Deserialize, Serialize};

/// Why an exchange with a server failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No answer within the deadline.
    Timeout,
    /// Could not connect, or the connection broke.
    Connect,
    Tls,
    /// Plain http/ws to an address that is not loopback, without the application's leave; or a server that the one
    /// that named it must not name.
    Insecure,
    /// HTTP status that is not a success; with the server's own code and text when it gave them.
    Http {
        status: u16,
    },
    /// The SFU's own error inside a 200 answer, or an `error` event.
    Sfu,
    /// Answered, but not understandably.
    Malformed,
    /// Larger than a limit of this client.
    TooLarge,
}

/// A failed exchange: kind, the server's code and text kept as they were (bounded, no secrets).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The one local track, by its name in [`TrackInfo`](super::TrackInfo), that was refused; empty: not said.
    #[serde(default)]
    pub track_id: String,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let (should_retry, unrecoverable, retry_after_ms) = (false, false, None);
        let (message, track_id) = (message.into(), String::new());
        Self { kind, code: 0, message, should_retry, unrecoverable, retry_after_ms, track_id }
    }

    /// The result code of what failed for this: the one place that says so.
    pub fn result_code(&self) -> Code {
        match self.kind {
            FailureKind::Timeout => Code::Timeout,
            FailureKind::Connect => Code::Network,
            FailureKind::Tls => Code::Tls,
            FailureKind::Insecure => Code::Insecure,
            FailureKind::Http { status: 401 } => Code::Auth,
            FailureKind::Http { .. } => Code::Refused,
            FailureKind::Sfu if self.code == 401 => Code::Auth,
            FailureKind::Sfu => Code::Refused,
            FailureKind::Malformed => Code::Protocol,
            FailureKind::TooLarge => Code::Limit,
        }
    }

    /// The server's own code, else the HTTP status; 0 without one.
    pub fn server_code(&self) -> i32 {
        match (self.code, &self.kind) {
            (0, FailureKind::Http { status }) => i32::from(*status),
            (code, _) => code,
        }
    }

    /// The error of what failed for this.
    pub fn error(&self, text: String) -> Error {
        Error::new(self.result_code(), text).with_server_code(self.server_code())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub password: Secret,
}

/// What the coordinator needs to admit a user to a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    pub edge_name: String,
    /// Twirp base url.
    pub url: String,
    pub ws_endpoint: String,
    pub token: Secret,
    pub ice_servers: Vec<IceServer>,
    /// What this participant may do, as far as it is known before the join.
    pub grants: Option<Grants>,
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
