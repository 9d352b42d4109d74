//! Admission to a call, and failures of exchanges with servers. Must not know: wire types, sockets.

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
    /// Plain http/ws to an address that is not loopback, without the application's permission; or a server that the
    /// referring server must not name.
    Insecure,
    /// HTTP status other than success; with the server's code and text if given.
    Http {
        status: u16,
    },
    /// The SFU's error inside a 200 response, or an `error` event.
    Sfu,
    /// The response could not be parsed.
    Malformed,
    /// Larger than a limit of this client.
    TooLarge,
}

/// A failed exchange: kind, and the server's code and text unchanged (bounded, without secrets).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// The server's error code; 0 if none.
    pub code: i32,
    pub message: String,
    /// The SFU allows the same request to be retried.
    pub should_retry: bool,
    /// The coordinator declared a retry pointless.
    pub unrecoverable: bool,
    /// Retry-After in milliseconds, if the server sent it.
    pub retry_after_ms: Option<u64>,
    /// The local track that was refused, by its name in [`TrackInfo`](super::TrackInfo); empty if not given.
    #[serde(default)]
    pub track_id: String,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let (should_retry, unrecoverable, retry_after_ms) = (false, false, None);
        let (message, track_id) = (message.into(), String::new());
        Self { kind, code: 0, message, should_retry, unrecoverable, retry_after_ms, track_id }
    }

    /// The result code for this failure; the only mapping.
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

    /// The server's error code, or else the HTTP status; 0 if neither.
    pub fn server_code(&self) -> i32 {
        match (self.code, &self.kind) {
            (0, FailureKind::Http { status }) => i32::from(*status),
            (code, _) => code,
        }
    }

    /// The error for this failure.
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
    /// The edge that is being left, or that failed last.
    pub migrating_from: String,
    /// All edges that were left or failed, including the current one.
    pub migrating_from_list: Vec<String>,
}

/// The coordinator's response: the assigned SFU and its credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    pub edge_name: String,
    /// Base URL of the Twirp RPCs.
    pub url: String,
    pub ws_endpoint: String,
    pub token: Secret,
    pub ice_servers: Vec<IceServer>,
    /// Permissions of this participant, as far as known before the join.
    pub grants: Option<Grants>,
    pub cid: String,
    pub created: bool,
    /// 0 if the server sets none.
    pub stats_interval_ms: u32,
    /// DTX / RED flags of the call's settings.
    pub opus_dtx: bool,
    pub opus_red: bool,
    /// Number of edges to choose from; 0: unknown.
    pub alternatives: usize,
}
