//! Asks a server whether it is a LiveKit server, by its validation of a token. Must not know: who asks and why.

use crate::core::model::{Failure, FailureKind};
use crate::error::Secret;
use crate::signalling::{net::HttpCall, net::HttpReply, services::Answer, services::Verdict, text, Net};
use bytes::Bytes;
use hyper::{header::HeaderValue, header::AUTHORIZATION, HeaderMap, Method};
use std::time::Duration;
use url::Url;

/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 64 << 10;
/// The endpoints, the one that all versions have first.
const PATHS: [&[&str]; 2] = [&["rtc", "validate"], &["rtc", "v1", "validate"]];

/// See [`Service::ask`](crate::signalling::Service).
pub(crate) async fn ask(net: &Net, base: &Url, token: &Secret, timeout: Duration) -> Result<Answer, Failure> {
    let mut last = None;
    for path in PATHS {
        let reply = request(net, base, path, token, timeout).await?;
        let found = reply.status != 404;
        last = Some(understand(&reply, token));
        if found {
            break;
        }
    }
    last.ok_or_else(|| Failure::new(FailureKind::Malformed, "no endpoint to ask"))
}

async fn request(
    net: &Net,
    base: &Url,
    path: &[&str],
    token: &Secret,
    timeout: Duration,
) -> Result<HttpReply, Failure> {
    let unusable = |()| Failure::new(FailureKind::Malformed, "this URL is not usable for HTTP");
    let mut url = base.clone();
    url.set_fragment(None);
    let scheme = if matches!(url.scheme(), "https" | "wss") { "https" } else { "http" };
    url.set_scheme(scheme).map_err(unusable)?;
    url.path_segments_mut().map_err(unusable)?.pop_if_empty().extend(path);
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
            Failure::new(FailureKind::Malformed, "the token contains characters that an HTTP header does not allow")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let call =
        HttpCall { method: Method::GET, url: &url, headers, body: Bytes::new(), reply_limit: MAX_REPLY, timeout };
    net.send(call).await
}

fn understand(reply: &HttpReply, token: &Secret) -> Answer {
    // A challenge (RFC 9110 section 11.6.1) comes from a gateway in front of the server.
    let challenged = reply.header("www-authenticate").is_some();
    let page = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    let verdict = match reply.status {
        _ if page => Verdict::Other,
        200..=299 if token.is_empty() => Verdict::Other,
        200..=299 => Verdict::Accepted,
        401 if challenged => Verdict::Other,
        401 if token.is_empty() => Verdict::NoToken,
        400 | 401 | 403 | 429 | 503 if !token.is_empty() => Verdict::Refused,
        _ => Verdict::Other,
    };
    let text = if page { String::new() } else { text::clean(&String::from_utf8_lossy(&reply.body), &[token]) };
    Answer { verdict, status: reply.status, text }
}
