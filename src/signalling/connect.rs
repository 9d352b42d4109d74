//! From a URL to a connected byte stream: who may be contacted, DNS, TCP, TLS.
//!
//! Shared by HTTP and WebSocket. TLS is always verified; there is no switch for that. Must not
//! know: HTTP, WebSocket, what travels on the stream.

use crate::core::model::{Failure, FailureKind};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::{pki_types::pem::PemObject, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OnceCell, Semaphore},
    time::{timeout_at, Instant},
};
use tokio_rustls::{client::TlsStream, TlsConnector};
use url::{Host, Url};

/// Look-ups that may run at once: the system's resolver cannot be cancelled, so a dead name server
/// would otherwise fill the blocking pool.
const MAX_LOOKUPS: usize = 16;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Largest CA file that is read, in bytes.
const MAX_CA_FILE: u64 = 4 << 20;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub host: Host<String>,
    pub port: u16,
    pub tls: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Reads an http, https, ws or wss URL. Plain ones must lead to a loopback host (127.0.0.0/8,
    /// ::1, localhost) unless `insecure_allowed`. Nothing is contacted.
    pub fn of(url: &Url, insecure_allowed: bool) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(unusable("its scheme is none of http, https, ws, wss")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it holds a user name or password; give credentials in the options instead"));
        }
        let host = url.host().ok_or_else(|| unusable("it names no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let endpoint = Self { host, port: port.ok_or_else(|| unusable("its port is 0"))?, tls };
        if !tls && !insecure_allowed && !endpoint.is_loopback() {
            return Err(endpoint.insecure());
        }
        Ok(endpoint)
    }

    fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
            Host::Domain(name) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        }
    }

    fn insecure(&self) -> Failure {
        let text = format!(
            "refused to speak plain http/ws to {self}: tokens would travel unencrypted. Use https/wss, \
             or allow insecure servers in the client options"
        );
        Failure::new(FailureKind::Insecure, text)
    }
}

fn unusable(why: &str) -> Failure {
    Failure::new(FailureKind::Malformed, format!("this URL cannot be used: {why}"))
}

/// A connected stream, plain or encrypted.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens streams; holds the TLS configuration, loaded when first needed.
pub(crate) struct Dialer {
    insecure_allowed: bool,
    ca_file: Option<PathBuf>,
    tls: OnceCell<TlsConnector>,
    lookups: Arc<Semaphore>,
}

impl Dialer {
    pub fn new(insecure_allowed: bool, ca_file: Option<PathBuf>) -> Self {
        Self { insecure_allowed, ca_file, tls: OnceCell::new(), lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    pub fn insecure_allowed(&self) -> bool {
        self.insecure_allowed
    }

    /// Connects to `endpoint`, TLS included when it asks for that, before `deadline`.
    pub async fn dial(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Stream, Failure> {
        let addresses = self.resolve(endpoint, deadline).await?;
        let tcp = connect(endpoint, &addresses, deadline).await?;
        // Signalling is small messages that somebody waits for.
        let _ = tcp.set_nodelay(true);
        if !endpoint.tls {
            return Ok(Stream::Plain(tcp));
        }
        let connector = self.tls.get_or_try_init(|| load_tls(self.ca_file.clone())).await?;
        let name = ServerName::try_from(match &endpoint.host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        })
        .map_err(|_| tls_failure(endpoint, "its name cannot be in a certificate"))?;
        match timeout_at(deadline, connector.connect(name, tcp)).await {
            Err(_) => Err(timed_out(endpoint, "the TLS handshake")),
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(tls_failure(endpoint, &explain_tls(&error))),
        }
    }

    async fn resolve(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
        let name = match &endpoint.host {
            Host::Ipv4(address) => return Ok(vec![(IpAddr::V4(*address), endpoint.port).into()]),
            Host::Ipv6(address) => return Ok(vec![(IpAddr::V6(*address), endpoint.port).into()]),
            Host::Domain(name) => (name.clone(), endpoint.port),
        };
        let lookup = async {
            let permit = self.lookups.clone().acquire_owned().await.ok();
            on_blocking_thread(move || {
                let found = name.to_socket_addrs().map(|all| all.take(MAX_ADDRESSES).collect::<Vec<_>>());
                drop(permit);
                found
            })
            .await
        };
        let mut addresses = match timeout_at(deadline, lookup).await {
            Err(_) => return Err(timed_out(endpoint, "the name look-up")),
            Ok(None) => return Err(unreachable(endpoint, "no thread for the name look-up")),
            Ok(Some(Err(error))) => return Err(unreachable(endpoint, &error.to_string())),
            Ok(Some(Ok(addresses))) => addresses,
        };
        if !endpoint.tls && !self.insecure_allowed {
            // "localhost" is only as good as what it resolves to.
            addresses.retain(|address| address.ip().is_loopback());
            if addresses.is_empty() {
                return Err(endpoint.insecure());
            }
        }
        Ok(addresses)
    }
}

/// Tries the addresses in the resolver's order (RFC 6724); each gets its share of the time left.
async fn connect(endpoint: &Endpoint, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut last = unreachable(endpoint, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        last = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => unreachable(endpoint, &error.to_string()),
            Err(_) => timed_out(endpoint, "the TCP connection"),
        };
    }
    Err(last)
}

/// Runs what blocks on a thread for that; None when it panicked or when the system has no thread for
/// it, where tokio panics.
async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let started = crate::dispatch::contain(|| tokio::task::spawn_blocking(work)).ok()?;
    started.await.ok()
}

async fn load_tls(ca_file: Option<PathBuf>) -> Result<TlsConnector, Failure> {
    // Reads a few hundred files on some systems: not on a thread that carries media.
    on_blocking_thread(move || tls_config(ca_file.as_deref()))
        .await
        .unwrap_or_else(|| Err(Failure::new(FailureKind::Tls, "no thread to load the trusted certificates")))
}

fn tls_config(ca_file: Option<&Path>) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let extra = read_ca_file(path)
            .map_err(|why| Failure::new(FailureKind::Tls, format!("the CA file {} {why}", path.display())))?;
        if roots.add_parsable_certificates(extra).0 == 0 {
            let text = format!("the CA file {} holds no usable certificate", path.display());
            return Err(Failure::new(FailureKind::Tls, text));
        }
    }
    if roots.is_empty() {
        return Err(Failure::new(
            FailureKind::Tls,
            "no trusted certificates on this system: install its CA certificates (ca-certificates) or name a CA file",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(FailureKind::Tls, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_CA_FILE {
        return Err(format!("is too large ({size} bytes, at most {MAX_CA_FILE})"));
    }
    CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect())
        .map_err(|_| "cannot be read as PEM certificates".to_owned())
}

fn explain_tls(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return format!("the connection broke during the handshake: {error}");
    };
    match tls {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            format!("{tls}. If the server has a private CA, name its CA file in the client options")
        }
        _ => tls.to_string(),
    }
}

fn tls_failure(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Tls, super::text::clean(&format!("TLS with {endpoint} failed: {why}"), &[]))
}

fn unreachable(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Connect, super::text::clean(&format!("could not connect to {endpoint}: {why}"), &[]))
}

/// The deadline passed while waiting for `what`.
pub(crate) fn timed_out(endpoint: &Endpoint, what: &str) -> Failure {
    let text = format!("{endpoint} did not answer in time during {what}");
    Failure::new(FailureKind::Timeout, super::text::clean(&text, &[]))
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, insecure: bool) -> Result<Endpoint, FailureKind> {
        Endpoint::of(&Url::parse(url).unwrap(), insecure).map_err(|failure| failure.kind)
    }

    #[test]
    fn plain_text_only_to_loopback() {
        for url in
            ["http://127.0.0.1:1/", "ws://127.9.8.7/", "ws://[::1]:2/", "http://localhost:3/", "http://LOCALHOST./"]
        {
            assert!(of(url, false).is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1/", "ws://example.com/", "http://localhost.example.com/", "http://[::2]/"] {
            assert_eq!(of(url, false), Err(FailureKind::Insecure), "{url}");
            assert!(of(url, true).is_ok(), "{url}");
        }
        assert!(of("https://example.com/", false).is_ok_and(|e| e.tls && e.port == 443));
        assert!(of("wss://example.com/", false).is_ok_and(|e| e.tls && e.port == 443));
    }

    #[test]
    fn urls_that_lead_nowhere() {
        for url in ["ftp://127.0.0.1/", "http://user:pass@127.0.0.1/", "http://127.0.0.1:0/", "data:,x"] {
            assert_eq!(of(url, false), Err(FailureKind::Malformed), "{url}");
        }
        let secret = Endpoint::of(&Url::parse("http://u:hunter2@127.0.0.1/").unwrap(), false).unwrap_err();
        assert!(!secret.message.contains("hunter2"));
    }
}
