//! The coordinator: an HTTP API that admits a user to a call and names an SFU.
//!
//! One attempt per call; the core decides on retries and on another edge. Must not know: the SFU's socket and RPCs, who
//! wants to join and why.

use super::reply;
use crate::{
    core::model::{Admission, AdmissionRequest, Failure, FailureKind, Grants, IceServer},
    error::Secret,
    signalling::net::{HttpCall, HttpReply, Net},
};
use bytes::Bytes;
use hyper::{
    header::{HeaderName, HeaderValue},
    Method,
};
use serde_json::{json, Value};
use std::{fmt, sync::Arc, time::Duration};
use url::Url;

/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 4 << 20;
/// Default deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most ICE servers, URLs of one, capabilities; further ones are ignored.
const MAX_ICE_SERVERS: usize = 32;
const MAX_URLS: usize = 16;
const MAX_CAPABILITIES: usize = 256;
/// Longest URL and longest token or password that a reply may hold, in bytes.
const MAX_URL: usize = 4096;
const MAX_SECRET: usize = 16 << 10;
/// Longest other text.
const MAX_TEXT: usize = 1024;

/// A client of one coordinator for one user; shared by the calls of a client.
pub struct Coordinator {
    net: Arc<Net>,
    base: Url,
    api_key: String,
    user_id: String,
    timeout: Duration,
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the whole URL: the parts that the application chose may be confidential.
        f.debug_struct("Coordinator").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// A call as the coordinator describes it to a participant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallInfo {
    /// `type:id`.
    pub cid: String,
    pub own_capabilities: Vec<String>,
    /// DTX / RED flags of the call's settings.
    pub opus_dtx: bool,
    pub opus_red: bool,
}

impl Coordinator {
    /// The API's paths are appended to `base_url`. Contacts no server.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub fn new(net: Arc<Net>, base_url: &str, api_key: &str, user_id: &str) -> Result<Self, Failure> {
        let mut base = net.home(base_url, true)?;
        base.set_fragment(None);
        Ok(Self { net, base, api_key: api_key.to_owned(), user_id: user_id.to_owned(), timeout: TIMEOUT })
    }

    /// Sets the deadline of each request, from name look-up to last byte (5 s by default).
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Requests admission to a call; creates the call if the request says so.
    ///
    /// # Errors
    /// `Http` with the coordinator's code, text, Retry-After and `unrecoverable`; `Timeout`, `Connect`, `Tls`,
    /// `Insecure`; `Malformed` when the response lacks a required field.
    pub async fn join(&self, request: &AdmissionRequest, token: &Secret) -> Result<Admission, Failure> {
        let mut url = self.call_url(&request.call_type, &request.call_id, Some("join"))?;
        if !request.connection_id.is_empty() {
            url.query_pairs_mut().append_pair("connection_id", &request.connection_id);
        }
        let body = join_body(request)?.to_string();
        let reply = self.send(Method::POST, &url, token, body.into()).await?;
        self.admission(&reply, request, token)
    }

    /// Parses the response to a join.
    pub(super) fn admission(
        &self,
        reply: &HttpReply,
        request: &AdmissionRequest,
        token: &Secret,
    ) -> Result<Admission, Failure> {
        let answer = self.understand(reply, token)?;
        let admission = admission(&answer, request)
            .map_err(|what| Failure::new(FailureKind::Malformed, format!("the coordinator's join response {what}")))?;
        // The SFU's token is sent to these URLs, so the coordinator must be allowed to name them.
        self.net.named(&admission.url, &self.base)?;
        self.net.named(&admission.ws_endpoint, &self.base)?;
        Ok(admission)
    }

    /// Fetches a call that the client is in.
    ///
    /// # Errors
    /// As [`Coordinator::join`].
    pub async fn get(&self, call_type: &str, call_id: &str, token: &Secret) -> Result<CallInfo, Failure> {
        let url = self.call_url(call_type, call_id, None)?;
        let reply = self.send(Method::GET, &url, token, Bytes::new()).await?;
        Ok(call_info(&self.understand(&reply, token)?, call_type, call_id))
    }

    /// Watches a call: its events arrive on the event socket `connection_id` from now on.
    ///
    /// # Errors
    /// As [`Coordinator::join`].
    pub async fn watch(
        &self,
        call_type: &str,
        call_id: &str,
        connection_id: &str,
        token: &Secret,
    ) -> Result<(), Failure> {
        let mut url = self.call_url(call_type, call_id, None)?;
        url.query_pairs_mut().append_pair("connection_id", connection_id);
        let reply = self.send(Method::POST, &url, token, Bytes::from_static(b"{}")).await?;
        self.understand(&reply, token).map(drop)
    }

    /// Sends a custom event to every client that watches the call. `custom` is a JSON object. Never retried: an event
    /// that is sent twice is received twice.
    ///
    /// # Errors
    /// As [`Coordinator::join`].
    pub async fn send_custom(
        &self,
        call_type: &str,
        call_id: &str,
        custom: &str,
        token: &Secret,
    ) -> Result<(), Failure> {
        let url = self.call_url(call_type, call_id, Some("event"))?;
        let reply = self.send(Method::POST, &url, token, format!("{{\"custom\":{custom}}}").into()).await?;
        self.understand(&reply, token).map(drop)
    }

    /// The URL of the event socket, without the token.
    pub(super) fn events_url(&self) -> Result<Url, Failure> {
        let unusable = |()| Failure::new(FailureKind::Malformed, "this base URL is not usable for a WebSocket");
        let mut url = self.base.clone();
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme).map_err(unusable)?;
        url.path_segments_mut().map_err(unusable)?.pop_if_empty().extend(["api", "v2", "connect"]);
        url.query_pairs_mut().append_pair("api_key", &self.api_key).append_pair("stream-auth-type", "jwt");
        Ok(url)
    }

    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    pub(super) fn user_id(&self) -> &str {
        &self.user_id
    }

    fn call_url(&self, call_type: &str, call_id: &str, action: Option<&str>) -> Result<Url, Failure> {
        for (what, part) in [("type", call_type), ("id", call_id)] {
            // Dot segments would change the path instead of naming a call, as would dots separated by characters that a
            // URL drops.
            if matches!(part, "" | "." | "..") || part.len() > MAX_TEXT || part.chars().any(char::is_control) {
                return Err(Failure::new(FailureKind::Malformed, format!("this call {what} is invalid")));
            }
        }
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty().extend(["api", "v2", "video", "call", call_type, call_id]).extend(action);
            }
            Err(()) => return Err(Failure::new(FailureKind::Malformed, "this base URL cannot have a path")),
        }
        url.query_pairs_mut().append_pair("user_id", &self.user_id).append_pair("api_key", &self.api_key);
        Ok(url)
    }

    async fn send(&self, method: Method, url: &Url, token: &Secret, body: Bytes) -> Result<HttpReply, Failure> {
        let mut headers = reply::headers(token, (!body.is_empty()).then_some("application/json"))?;
        headers.insert(HeaderName::from_static("stream-auth-type"), HeaderValue::from_static("jwt"));
        if let Ok(id) = HeaderValue::from_str(&reply::request_id()) {
            headers.insert(HeaderName::from_static("x-client-request-id"), id);
        }
        self.net.send(HttpCall { method, url, headers, body, reply_limit: MAX_REPLY, timeout: self.timeout }).await
    }

    fn understand(&self, reply: &HttpReply, token: &Secret) -> Result<Value, Failure> {
        if !reply.is_success() {
            return Err(reply::refusal("the coordinator", reply, token));
        }
        reply::parse(&reply.body)
            .ok_or_else(|| Failure::new(FailureKind::Malformed, "the coordinator's response is not JSON, or too large"))
    }
}

fn join_body(request: &AdmissionRequest) -> Result<Value, Failure> {
    let location = if request.location.is_empty() { "auto" } else { &request.location };
    let mut body = json!({ "location": location, "create": request.create, "video": request.video });
    if !request.data_json.is_empty() {
        body["data"] = serde_json::from_str(&request.data_json)
            .map_err(|_| Failure::new(FailureKind::Malformed, "the call's data is not valid JSON"))?;
    }
    for (name, wanted) in [("ring", request.ring), ("notify", request.notify)] {
        if wanted {
            body[name] = true.into();
        }
    }
    if request.members_limit > 0 {
        body["members_limit"] = request.members_limit.into();
    }
    if !request.migrating_from.is_empty() {
        body["migrating_from"] = request.migrating_from.as_str().into();
    }
    if !request.migrating_from_list.is_empty() {
        body["migrating_from_list"] = request.migrating_from_list.clone().into();
    }
    Ok(body)
}

/// Parses the response. A missing required field is an error; every other field may be absent, unknown or of another
/// type.
fn admission(answer: &Value, request: &AdmissionRequest) -> Result<Admission, &'static str> {
    let credentials = &answer["credentials"];
    let server = &credentials["server"];
    let url = string(&server["url"], MAX_URL).ok_or("has no SFU URL (credentials.server.url)")?;
    let ws_endpoint =
        string(&server["ws_endpoint"], MAX_URL).ok_or("has no SFU socket URL (credentials.server.ws_endpoint)")?;
    let token = string(&credentials["token"], MAX_SECRET).ok_or("has no SFU token (credentials.token)")?;
    let info = call_info(answer, &request.call_type, &request.call_id);
    Ok(Admission {
        edge_name: string(&server["edge_name"], MAX_TEXT).unwrap_or_default(),
        url,
        ws_endpoint,
        token: Secret::new(token),
        ice_servers: list(&credentials["ice_servers"], MAX_ICE_SERVERS, ice_server),
        grants: grants(&info.own_capabilities),
        cid: info.cid,
        created: answer["created"].as_bool().unwrap_or(false),
        stats_interval_ms: answer["stats_options"]["reporting_interval_ms"]
            .as_u64()
            .map_or(0, |interval| interval.min(u32::MAX.into()) as u32),
        opus_dtx: info.opus_dtx,
        opus_red: info.opus_red,
        alternatives: 0,
    })
}

fn call_info(answer: &Value, call_type: &str, call_id: &str) -> CallInfo {
    let call = &answer["call"];
    let audio = &call["settings"]["audio"];
    CallInfo {
        cid: string(&call["cid"], MAX_TEXT).unwrap_or_else(|| format!("{call_type}:{call_id}")),
        own_capabilities: list(&answer["own_capabilities"], MAX_CAPABILITIES, |item| string(item, MAX_TEXT)),
        opus_dtx: audio["opus_dtx_enabled"].as_bool().unwrap_or(false),
        opus_red: audio["redundant_coding_enabled"].as_bool().unwrap_or(false),
    }
}

/// The grants that the user's capabilities give; `None` if the coordinator lists no capabilities.
fn grants(capabilities: &[String]) -> Option<Grants> {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    (!capabilities.is_empty()).then(|| Grants {
        audio: has("send-audio"),
        video: has("send-video"),
        screen_share: has("screenshare"),
        ..Grants::ALL
    })
}

/// `urls` is text or a list; the password is called `password` or `credential`. A server without a URL is ignored.
fn ice_server(server: &Value) -> Option<IceServer> {
    let urls = match &server["urls"] {
        Value::Array(_) => list(&server["urls"], MAX_URLS, |item| string(item, MAX_TEXT)),
        single => string(single, MAX_TEXT).into_iter().collect(),
    };
    let password = ["password", "credential"].iter().find_map(|name| string(&server[name], MAX_TEXT));
    (!urls.is_empty()).then(|| IceServer {
        urls,
        username: string(&server["username"], MAX_TEXT).unwrap_or_default(),
        password: Secret::new(password.unwrap_or_default()),
    })
}

fn list<T>(value: &Value, most: usize, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value.as_array().map_or(Vec::new(), |items| items.iter().take(most).filter_map(read).collect())
}

/// The text, if it is present, not empty, and at most `most` bytes long.
fn string(value: &Value, most: usize) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= most).map(str::to_owned)
}
