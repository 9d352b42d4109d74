//! HTTP for all calls of a client: one connection pool, one TLS configuration, hard limits.
//!
//! Redirects are never followed, replies are bounded, every request has a deadline, and plain text
//! goes to loopback hosts only unless the application allowed it. Must not know: any protocol that
//! travels on HTTP.

use super::text;
use crate::core::model::{Failure, FailureKind};
use crate::lookup::{self, Lookups};
use crate::net::{system_environment, timed_out, Dialer, Endpoint, Environment, Proxies, Stream, Traffic};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{body::Body, HeaderMap, Method, Request, Uri};
use hyper_util::{
    client::legacy::{
        connect::{Connected, Connection},
        Client, Error as ClientError,
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use parking_lot::Mutex;
use std::{
    error::Error,
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{timeout_at, Instant};
use url::Url;

/// Idle connections kept per server: enough to save handshakes, few enough that fifty sessions do
/// not hold fifty additional descriptors.
const MAX_IDLE: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(20);
/// Longest time to open a pooled connection; requests have shorter deadlines of their own.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of a reply's head, and most headers in it.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Most bytes that a server may send in reply to one request, 1xx replies, heads and framing
/// included.
const MAX_ANSWER: usize = 8 << 20;

/// The application's network options; set once per client.
#[derive(Clone, Default)]
pub struct NetOptions {
    /// Allows plain http and ws to hosts that are not loopback.
    pub insecure_allowed: bool,
    /// PEM file with certificates to trust in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Lets servers that were reached without TLS name other hosts as destinations for tokens.
    pub other_hosts_allowed: bool,
    /// URL of the proxy for all servers except those of NO_PROXY; empty or "none": no proxy; `None`: the environment
    /// decides.
    pub proxy: Option<String>,
}

impl fmt::Debug for NetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetOptions")
            .field("insecure_allowed", &self.insecure_allowed)
            .field("ca_file", &self.ca_file)
            .field("other_hosts_allowed", &self.other_hosts_allowed)
            // It may hold credentials.
            .field("proxy", &self.proxy.as_ref().map(|_| "<set>"))
            .finish()
    }
}

/// Network access, shared by all calls of a client. Cheap to create: does no I/O itself; the
/// trusted certificates are loaded at the first TLS connection. Usable from any thread inside a
/// tokio runtime.
pub struct Net {
    dialer: Arc<Dialer>,
    other_hosts_allowed: bool,
    http: Mutex<Pool>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("insecure_allowed", &self.dialer.insecure_allowed()).finish_non_exhaustive()
    }
}

/// One request. `timeout` covers everything from the look-up to the last byte of the reply.
pub(crate) struct HttpCall<'a> {
    pub method: Method,
    pub url: &'a Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Most bytes of the reply's body; more is [`FailureKind::TooLarge`].
    pub reply_limit: usize,
    pub timeout: Duration,
}

/// A reply of any status.
pub(crate) struct HttpReply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl HttpReply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Net {
    /// Reads the proxies from the environment, unless the options have one.
    ///
    /// # Errors
    /// Why a proxy's URL cannot be used; without the URL.
    pub fn new(options: NetOptions) -> Result<Self, String> {
        Self::with(options, lookup::global().clone(), &system_environment)
    }

    /// Uses `lookups` instead of the system's resolver, and `environment` instead of that of the process.
    ///
    /// # Errors
    /// As [`Net::new`].
    pub fn with(options: NetOptions, lookups: Lookups, environment: Environment<'_>) -> Result<Self, String> {
        let NetOptions { insecure_allowed, ca_file, other_hosts_allowed, proxy } = options;
        let proxies = Proxies::new(proxy.as_deref(), environment)?;
        let dialer = Arc::new(Dialer::new(insecure_allowed, ca_file, lookups, proxies));
        let http = Mutex::new(pool(&dialer));
        Ok(Self { dialer, other_hosts_allowed, http })
    }

    /// Opens streams for other protocols, with the same look-ups, proxies and trusted certificates, and the same rules
    /// for hosts that a server names.
    pub(crate) fn dialer(&self) -> Arc<Dialer> {
        self.dialer.clone()
    }

    /// Parses `text` as a URL that may be contacted.
    ///
    /// # Errors
    /// [`FailureKind::Malformed`] when it is not a URL, [`FailureKind::Insecure`] when it is plain
    /// text to a host that is not loopback. The text itself is never in the message.
    pub fn url(&self, text: &str) -> Result<Url, Failure> {
        let url = Url::parse(text)
            .map_err(|why| Failure::new(FailureKind::Malformed, format!("this is not a usable URL: {why}")))?;
        self.endpoint(&url)?;
        Ok(url)
    }

    /// [`Net::url`] of a server that the application named. `names`: it may name further servers.
    pub(crate) fn home(&self, text: &str, names: bool) -> Result<Url, Failure> {
        let url = self.url(text)?;
        self.dialer.note_home(self.endpoint(&url)?, names);
        Ok(url)
    }

    /// [`Net::url`] of a server that `by` named and that receives tokens.
    ///
    /// # Errors
    /// [`FailureKind::Insecure`] when `by` must not name it: see [`Endpoint::named_by`].
    pub(crate) fn named(&self, text: &str, by: &Url) -> Result<Url, Failure> {
        let url = self.url(text)?;
        self.endpoint(&url)?.named_by(&self.endpoint(by)?, self.other_hosts_allowed)?;
        Ok(url)
    }

    /// The machine has moved to other addresses: pooled connections from the old ones would stay silent.
    pub(crate) fn network_changed(&self) {
        *self.http.lock() = pool(&self.dialer);
    }

    pub(crate) fn endpoint(&self, url: &Url) -> Result<Endpoint, Failure> {
        Endpoint::of(url, self.dialer.insecure_allowed())
    }

    pub(crate) async fn dial(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Stream, Failure> {
        self.dialer.open(endpoint, Traffic::Http, deadline).await
    }

    /// Sends one request and reads the whole reply, whatever its status.
    pub(crate) async fn send(&self, call: HttpCall<'_>) -> Result<HttpReply, Failure> {
        let endpoint = self.endpoint(call.url)?;
        let uri = Uri::try_from(call.url.as_str())
            .map_err(|_| Failure::new(FailureKind::Malformed, "this URL is not usable for HTTP"))?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers;
        let exchange = async {
            let http = self.http.lock().clone();
            let response = http.request(request).await.map_err(|error| explain(&error, &endpoint))?;
            let (head, mut body) = response.into_parts();
            let too_large = || {
                let text = format!("the reply of {endpoint} is larger than the limit of {} bytes", call.reply_limit);
                Failure::new(FailureKind::TooLarge, text)
            };
            if body.size_hint().lower() > call.reply_limit as u64 {
                return Err(too_large());
            }
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| broken(&endpoint, &error.to_string()))?;
                if let Ok(data) = frame.into_data() {
                    if bytes.len() + data.len() > call.reply_limit {
                        return Err(too_large());
                    }
                    bytes.extend_from_slice(&data);
                }
            }
            Ok(HttpReply { status: head.status.as_u16(), headers: head.headers, body: bytes.freeze() })
        };
        match timeout_at(Instant::now() + call.timeout, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(timed_out(&endpoint, "an HTTP request")),
        }
    }
}

type Pool = Client<Connector, Full<Bytes>>;

fn pool(dialer: &Arc<Dialer>) -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_FOR)
        .pool_max_idle_per_host(MAX_IDLE)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .build(Connector(dialer.clone()))
}

fn broken(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Connect, text::clean(&format!("connection to {endpoint} lost: {why}"), &[]))
}

/// Returns the [`Failure`] inside the HTTP client's error, or describes the error.
fn explain(error: &ClientError, endpoint: &Endpoint) -> Failure {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(ConnectFailed(failure)) = current.downcast_ref() {
            return failure.clone();
        }
        if let Some(http) = current.downcast_ref::<hyper::Error>() {
            if http.is_parse() {
                let text = text::clean(&format!("{endpoint} sent an invalid HTTP/1.1 reply: {http}"), &[]);
                return Failure::new(FailureKind::Malformed, text);
            }
            return broken(endpoint, &http.to_string());
        }
        next = current.source();
    }
    broken(endpoint, &error.to_string())
}

/// Carries a [`Failure`] through the HTTP client's error chain.
#[derive(Debug)]
struct ConnectFailed(Failure);

impl fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for ConnectFailed {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
struct Connector(Arc<Dialer>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let (scheme, authority) = (uri.scheme_str().unwrap_or(""), uri.authority().map_or("", |a| a.as_str()));
            // Repeats the check where the connection is made.
            let endpoint = Url::parse(&format!("{scheme}://{authority}"))
                .map_err(|_| Failure::new(FailureKind::Malformed, "this URL has no host"))
                .and_then(|url| Endpoint::of(&url, dialer.insecure_allowed()))
                .map_err(ConnectFailed)?;
            let deadline = Instant::now() + CONNECT_WITHIN;
            let stream = dialer.open(&endpoint, Traffic::Http, deadline).await.map_err(ConnectFailed)?;
            Ok(TokioIo::new(stream.bounded(MAX_ANSWER)))
        })
    }
}
