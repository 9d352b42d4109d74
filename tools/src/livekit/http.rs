//! One HTTP request to a server on loopback, with a deadline.
//!
//! Must not know: any API.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, Method, Request};
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::TokioExecutor,
};
use std::time::Duration;
use tokio::time::timeout;

/// Most bytes read of a response.
const MAX_ANSWER: usize = 16 << 20;

/// Returns status and body. `bearer` goes into the Authorization header. One connection per request.
pub async fn request(
    method: Method,
    port: u16,
    path: &str,
    bearer: Option<&str>,
    body: String,
    limit: Duration,
) -> Result<(u16, String), String> {
    let say = |e: &dyn std::fmt::Display| format!("{method} {path}: {e}");
    let mut request = Request::builder()
        .method(&method)
        .uri(format!("http://127.0.0.1:{port}{path}"))
        .header("content-type", "application/json")
        .header("connection", "close");
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|e| say(&e))?;
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let answer = client.request(request).await.map_err(|e| say(&e))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|e| say(&e))?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(say(&format!("no answer within {limit:?}"))))
}
