//! Asks a server whether it is a coordinator, by looking up a call. Must not know: who asks and why.

use super::reply;
use crate::core::model::{Failure, FailureKind};
use crate::error::Secret;
use crate::signalling::{net::HttpCall, services::Answer, services::Verdict, text, Net};
use bytes::Bytes;
use hyper::{
    header::{HeaderName, HeaderValue},
    HeaderMap, Method,
};
use std::time::Duration;
use url::Url;

/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 1 << 20;
/// The call that is looked up if none is given; it need not exist.
const ANY: (&str, &str) = ("default", "offhook-doctor");

/// See [`Service::ask`](crate::signalling::Service).
pub(crate) async fn ask(
    net: &Net,
    base: &Url,
    (api_key, user_id): (&str, &str),
    call: Option<(&str, &str)>,
    token: &Secret,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let mut url = base.clone();
    url.set_fragment(None);
    let (kind, id) = call.unwrap_or(ANY);
    match url.path_segments_mut() {
        Ok(mut path) => {
            path.pop_if_empty().extend(["api", "v2", "video", "call", kind, id]);
        }
        Err(()) => return Err(Failure::new(FailureKind::Malformed, "this base URL cannot have a path")),
    }
    for (name, value) in [("user_id", user_id), ("api_key", api_key)] {
        if !value.is_empty() {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let mut headers = match token.is_empty() {
        true => HeaderMap::new(),
        false => reply::headers(token, None)?,
    };
    headers.insert(HeaderName::from_static("stream-auth-type"), HeaderValue::from_static("jwt"));
    let call =
        HttpCall { method: Method::GET, url: &url, headers, body: Bytes::new(), reply_limit: MAX_REPLY, timeout };
    let reply = net.send(call).await?;
    let json = reply::parse(&reply.body).filter(|json| json.is_object());
    let is_error = json.as_ref().is_some_and(|json| json.get("code").is_some() && json.get("message").is_some());
    let is_call = json.as_ref().is_some_and(|json| json.get("call").is_some());
    let verdict = match reply.status {
        200..=299 if is_call => Verdict::Accepted,
        // The call does not exist yet.
        404 if is_error => Verdict::Accepted,
        _ if is_error && token.is_empty() => Verdict::NoToken,
        _ if is_error => Verdict::Refused,
        _ => Verdict::Other,
    };
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str()).unwrap_or_default();
    Ok(Answer { verdict, status: reply.status, text: text::clean(message, &[token]) })
}
