//! From a URL to a connected byte stream: which hosts may be contacted, name resolution, TCP, TLS.
//!
//! Shared by HTTP and WebSocket. TLS is always verified; no option disables that. Hosts that a server names are
//! restricted, unlike hosts that the application names: see [`Endpoint::named_by`] and [`Dialer::dial`]. Must not know:
//! HTTP, WebSocket, what travels on the stream.

use super::tls;
use crate::core::model::{Failure, FailureKind};
use crate::lookup::{Lookups, Party};
use hyper_util::client::legacy::connect::{Connected, Connection};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OnceCell,
    time::{timeout_at, Instant},
};
use tokio_rustls::{client::TlsStream, TlsConnector};
use url::{Host, Url};

/// A stream yields to other tasks after this many bytes in a row.
const TURN: usize = 64 << 10;

/// The server that a URL refers to.
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
    /// Parses an http, https, ws or wss URL. Plain-text URLs must refer to a loopback host (127.0.0.0/8, ::1,
    /// localhost) unless `insecure_allowed`. Contacts no server.
    pub fn of(url: &Url, insecure_allowed: bool) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(unusable("its scheme is not http, https, ws or wss")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it contains a user name or password; set credentials in the options instead"));
        }
        let host = url.host().ok_or_else(|| unusable("it has no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let endpoint = Self { host, port: port.ok_or_else(|| unusable("its port is 0"))?, tls };
        if !tls && !insecure_allowed && !endpoint.is_loopback() {
            return Err(endpoint.insecure());
        }
        Ok(endpoint)
    }

    fn is_loopback(&self) -> bool {
        match self.host {
            Host::Domain(_) => self.name().eq_ignore_ascii_case("localhost"),
            _ => self.address().is_some_and(|address| address.to_canonical().is_loopback()),
        }
    }

    /// The host name without a trailing dot; empty for an address.
    fn name(&self) -> &str {
        match &self.host {
            Host::Domain(name) => name.trim_end_matches('.'),
            _ => "",
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether the host is this machine or on the same link, judged by the URL alone.
    fn is_local(&self) -> bool {
        let name = self.name().to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.address().is_some_and(is_local)
    }

    fn is_same_host(&self, other: &Self) -> bool {
        let named = !self.name().is_empty() && self.name().eq_ignore_ascii_case(other.name());
        named || self.host == other.host || (self.is_loopback() && other.is_loopback())
    }

    /// Whether `by` may name this server as a destination for the user's token. The application or another server named
    /// `by`. Over TLS `by` may name any host. Without TLS an attacker on the path could have named it, so only the same
    /// host is allowed, unless `others_allowed`. Only a local server may name a local one: a remote server must not
    /// reach services of this machine.
    pub fn named_by(&self, by: &Self, others_allowed: bool) -> Result<(), Failure> {
        if self.is_local() && !by.is_local() {
            return Err(self.out_of_reach(&by.to_string()));
        }
        if by.tls || others_allowed || self.is_same_host(by) {
            return Ok(());
        }
        let text = format!(
            "refused to send the token to {self}: {by} named it without TLS. Use https/wss, or allow other hosts in \
             the client options (allow_other_hosts)"
        );
        Err(Failure::new(FailureKind::Insecure, super::text::clean(&text, &[])))
    }

    fn out_of_reach(&self, by: &str) -> Failure {
        let text = format!(
            "refused to contact {self}, which {by} named: it is on this machine or link, but the server that named it \
             is not"
        );
        Failure::new(FailureKind::Insecure, super::text::clean(&text, &[]))
    }

    fn insecure(&self) -> Failure {
        let text = format!(
            "refused plain http/ws to {self}: tokens would be sent unencrypted. Use https/wss, \
             or allow insecure servers in the client options"
        );
        Failure::new(FailureKind::Insecure, text)
    }
}

/// Loopback, link-local, or the unspecified address, which connects to loopback.
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => a.is_loopback() || a.is_link_local() || a.octets()[0] == 0,
        IpAddr::V6(a) => a.is_loopback() || a == Ipv6Addr::UNSPECIFIED || a.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn unusable(why: &str) -> Failure {
    Failure::new(FailureKind::Malformed, format!("this URL cannot be used: {why}"))
}

/// A connected stream, plain or encrypted. Reads yield regularly, so that a peer that sends without pause does not hold
/// the thread.
pub(crate) struct Stream {
    wire: Wire,
    /// Bytes read since the last yield.
    turn: usize,
    /// Bytes that may still be read before the next write.
    left: usize,
    /// The value of `left` after a write.
    most: usize,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn new(wire: Wire) -> Self {
        Self { wire, turn: 0, left: usize::MAX, most: usize::MAX }
    }

    /// Limits the bytes that the peer may send in reply to one request. Beyond the limit reads fail.
    pub fn bounded(self, most: usize) -> Self {
        Self { left: most, most, ..self }
    }
}

/// A server that the application named.
struct Home {
    endpoint: Endpoint,
    /// It may name further servers.
    names: bool,
}

/// Opens streams. Holds the TLS configuration, which is loaded on first use.
pub(crate) struct Dialer {
    insecure_allowed: bool,
    ca_file: Option<PathBuf>,
    tls: OnceCell<TlsConnector>,
    lookups: Lookups,
    party: Party,
    homes: Mutex<Vec<Home>>,
}

impl Dialer {
    pub fn new(insecure_allowed: bool, ca_file: Option<PathBuf>, lookups: Lookups) -> Self {
        let (tls, party, homes) = (OnceCell::new(), Party::new(), Mutex::default());
        Self { insecure_allowed, ca_file, tls, lookups, party, homes }
    }

    pub fn insecure_allowed(&self) -> bool {
        self.insecure_allowed
    }

    /// Records a server that the application named. `names`: it may name further servers.
    pub fn note_home(&self, endpoint: Endpoint, names: bool) {
        self.homes.lock().push(Home { endpoint, names });
    }

    /// Connects to `endpoint` before `deadline`, with TLS if the endpoint requires it. Skips addresses of this machine
    /// and link if the application did not name the host, unless a server that the application named has such an
    /// address.
    pub async fn dial(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Stream, Failure> {
        let addresses = self.resolve(endpoint, deadline).await?;
        let addresses = self.within_reach(endpoint, addresses, deadline).await?;
        let tcp = match connect(endpoint, &addresses, deadline).await {
            Ok(tcp) => tcp,
            Err(failure) => {
                // The cached address may be stale.
                self.lookups.forget(endpoint.name());
                return Err(failure);
            }
        };
        // Signalling messages are small and latency-sensitive.
        let _ = tcp.set_nodelay(true);
        if !endpoint.tls {
            return Ok(Stream::new(Wire::Plain(tcp)));
        }
        let connector = self.tls.get_or_try_init(|| tls::load(self.ca_file.clone())).await?;
        let name = ServerName::try_from(match &endpoint.host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        })
        .map_err(|_| tls::failure(endpoint, "its name is not valid in a certificate"))?;
        match timeout_at(deadline, connector.connect(name, tcp)).await {
            Err(_) => Err(timed_out(endpoint, "the TLS handshake")),
            Ok(Ok(stream)) => Ok(Stream::new(Wire::Tls(Box::new(stream)))),
            Ok(Err(error)) => Err(tls::failure(endpoint, &tls::explain(&error))),
        }
    }

    async fn resolve(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = endpoint.address() {
            return Ok(vec![(address, endpoint.port).into()]);
        }
        let found = match timeout_at(deadline, self.lookups.find(self.party, endpoint.name())).await {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => return Err(unreachable(endpoint, &why)),
            Err(_) => {
                let text = format!("name look-up of {endpoint} timed out");
                return Err(Failure::new(FailureKind::Timeout, super::text::clean(&text, &[])));
            }
        };
        let mut addresses: Vec<SocketAddr> = found.iter().map(|address| (*address, endpoint.port).into()).collect();
        if !endpoint.tls && !self.insecure_allowed {
            // "localhost" counts only if it resolves to a loopback address.
            addresses.retain(|address| address.ip().is_loopback());
            if addresses.is_empty() {
                return Err(endpoint.insecure());
            }
        }
        Ok(addresses)
    }

    /// Removes addresses of this machine and link if a remote server named the endpoint.
    async fn within_reach(
        &self,
        endpoint: &Endpoint,
        mut addresses: Vec<SocketAddr>,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        if !addresses.iter().any(|address| is_local(address.ip())) {
            return Ok(addresses);
        }
        let namers: Vec<Endpoint> = {
            let homes = self.homes.lock();
            if homes.is_empty() || homes.iter().any(|home| home.endpoint.is_same_host(endpoint)) {
                return Ok(addresses);
            }
            homes.iter().filter(|home| home.names).map(|home| home.endpoint.clone()).collect()
        };
        for namer in &namers {
            let namer_addresses = self.resolve(namer, deadline).await.unwrap_or_default();
            if namer_addresses.iter().any(|address| is_local(address.ip())) {
                return Ok(addresses);
            }
        }
        addresses.retain(|address| !is_local(address.ip()));
        if addresses.is_empty() {
            return Err(endpoint.out_of_reach("the server"));
        }
        Ok(addresses)
    }
}

/// Tries the addresses in the resolver's order (RFC 6724); each gets an equal share of the time left.
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

fn unreachable(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Connect, super::text::clean(&format!("could not connect to {endpoint}: {why}"), &[]))
}

/// The deadline passed while waiting for `what`.
pub(crate) fn timed_out(endpoint: &Endpoint, what: &str) -> Failure {
    let text = format!("{endpoint}: timeout during {what}");
    Failure::new(FailureKind::Timeout, super::text::clean(&text, &[]))
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.turn >= TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the reply exceeds the size limit")));
        }
        let before = buf.filled().len();
        let result = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let read = buf.filled().len() - before;
        match &result {
            Poll::Pending => this.turn = 0,
            Poll::Ready(_) => this.turn += read,
        }
        if this.most != usize::MAX {
            this.left = this.left.saturating_sub(read);
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.left = self.most;
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
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
    fn which_servers_may_name_which() {
        let named = |url: &str, by: &str, others: bool| {
            let of = |url: &str| Endpoint::of(&Url::parse(url).unwrap(), true).unwrap();
            of(url).named_by(&of(by), others).map_err(|failure| failure.kind)
        };
        // Over TLS any host may be named, without it only the same one.
        assert_eq!(named("wss://b.example.com/", "https://a.example.com/", false), Ok(()));
        assert_eq!(named("wss://b.example.com/", "http://a.example.com/", false), Err(FailureKind::Insecure));
        assert_eq!(named("wss://b.example.com/", "http://a.example.com/", true), Ok(()));
        assert_eq!(named("ws://A.example.com.:9/", "http://a.example.com/", false), Ok(()));
        assert_eq!(named("ws://127.0.0.1:9/", "http://localhost:1/", false), Ok(()));
        assert_eq!(named("ws://10.0.0.1:9/", "http://10.0.0.2:1/", false), Err(FailureKind::Insecure));
        // Only a local server may name a local host, however it is written.
        for local in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost/",
            "https://x.localhost./",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://[::]/",
        ] {
            assert_eq!(named(local, "https://a.example.com/", true), Err(FailureKind::Insecure), "{local}");
            assert_eq!(named(local, "https://127.0.0.1:7/", true), Ok(()), "{local}");
        }
    }

    #[tokio::test]
    async fn a_name_that_a_server_gives_does_not_lead_to_this_machine() {
        let resolver = |name: &str| match name {
            "home.example.com" => Ok(vec!["192.0.2.1".parse().unwrap()]),
            _ => Ok(vec!["127.0.0.1".parse().unwrap()]),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let of = |url: &str| Endpoint::of(&Url::parse(url).unwrap(), true).unwrap();
        let trap = of(&format!("http://trap.example.com:{port}/"));
        let deadline = || Instant::now() + std::time::Duration::from_secs(10);
        let dialer = |home: &str| {
            let dialer = Dialer::new(true, None, Lookups::new(resolver, Default::default()));
            dialer.note_home(of(home), true);
            dialer
        };
        let refused = dialer("http://home.example.com/").dial(&trap, deadline()).await.err().unwrap();
        assert_eq!(refused.kind, FailureKind::Insecure);
        assert!(refused.message.contains("trap.example.com"), "{}", refused.message);
        // Allowed if the application named the host itself, or a server on this machine.
        assert!(dialer("http://trap.example.com/").dial(&trap, deadline()).await.is_ok());
        assert!(dialer("http://127.0.0.1:1/").dial(&trap, deadline()).await.is_ok());
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
