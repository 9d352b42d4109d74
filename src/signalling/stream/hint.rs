//! The location hint: which edge is near, by asking a content delivery network.
//!
//! Optional: used only when a hint URL is configured. Must not know: the coordinator.

use crate::signalling::net::{HttpCall, Net};
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use std::time::Duration;

/// What the coordinator is told when nothing better is known.
pub const AUTO: &str = "auto";
const TRIES: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks `hint_url` (HEAD) for the header `x-amz-cf-pop` and returns its first three letters, or
/// [`AUTO`] after three tries of two seconds. Never fails: a hint is no reason not to join.
pub async fn location(net: &Net, hint_url: &str) -> String {
    let Ok(url) = net.url(hint_url) else { return AUTO.to_owned() };
    for _ in 0..TRIES {
        let call = HttpCall {
            method: Method::HEAD,
            url: &url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            reply_limit: 64 << 10,
            timeout: TIMEOUT,
        };
        let Ok(reply) = net.send(call).await else { continue };
        // Any status will do: the header is set in front of whatever serves the page.
        let edge = reply.header("x-amz-cf-pop").and_then(|value| value.get(..3));
        if let Some(edge) = edge.filter(|edge| edge.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            return edge.to_owned();
        }
    }
    AUTO.to_owned()
}
