//! Shared by coordinator and RPC requests: headers, and parsing of refusals.
//!
//! Must not know: single endpoints.

use super::CLIENT;
use crate::{
    core::model::{Failure, FailureKind},
    error::Secret,
    signalling::{json, net::HttpReply, text},
};
use hyper::{
    header::{HeaderName, HeaderValue, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    HeaderMap,
};
use serde_json::Value;
use std::time::SystemTime;

/// Headers of a request with `token` as it is: every server accepts it without "Bearer".
pub(super) fn headers(token: &Secret, content_type: Option<&'static str>) -> Result<HeaderMap, Failure> {
    let mut authorization = HeaderValue::from_str(token.reveal()).map_err(|_| {
        Failure::new(FailureKind::Malformed, "the token contains characters that an HTTP header does not allow")
    })?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(HeaderName::from_static("x-stream-client"), HeaderValue::from_static(CLIENT));
    if let Some(kind) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok(headers)
}

/// Parses a JSON body; `None` if it is not JSON, or would take too much memory.
pub(super) fn parse(body: &[u8]) -> Option<Value> {
    json::is_modest(body).then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Converts an error reply into a failure that keeps the server's text.
///
/// `who` is used if the server sent no text. `code` and text come from the members that the
/// coordinator (`code`, `message`) and Twirp (`code`, `msg`) use; a textual code precedes the text.
pub(super) fn refusal(who: &str, reply: &HttpReply, token: &Secret) -> Failure {
    let body = parse(&reply.body);
    let member = |name: &str| body.as_ref().and_then(|body| body.get(name));
    let server_text = ["message", "msg"].iter().find_map(|name| member(name).and_then(Value::as_str)).unwrap_or("");
    let message = match member("code") {
        Some(Value::String(word)) if !word.is_empty() => format!("{word}: {server_text}"),
        _ => server_text.to_owned(),
    };
    let mut message = text::clean(&message, &[token]);
    if message.is_empty() {
        message = match reply.status {
            300..=399 => format!("{who} redirected (HTTP {}); redirects are not followed", reply.status),
            status => format!("{who} answered with HTTP {status}"),
        };
    }
    let mut failure = Failure::new(FailureKind::Http { status: reply.status }, message);
    failure.code = member("code").and_then(Value::as_i64).and_then(|code| code.try_into().ok()).unwrap_or(0);
    failure.unrecoverable = member("unrecoverable").and_then(Value::as_bool).unwrap_or(false);
    failure.retry_after_ms =
        reply.header(RETRY_AFTER.as_str()).and_then(|value| text::retry_after_ms(value, SystemTime::now()));
    failure
}

/// A random id for one request (UUID version 4, RFC 9562 §5.4), so that it can be found in logs.
pub(super) fn request_id() -> String {
    let mut bytes = [0u8; 16];
    // Without randomness the id is not unique, which does no harm.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let n = u128::from_be_bytes(bytes);
    let (a, b, c, d, e) = (n >> 96, (n >> 80) & 0xffff, (n >> 64) & 0xffff, (n >> 48) & 0xffff, n & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}
