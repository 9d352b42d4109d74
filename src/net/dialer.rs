//! From an endpoint to a connected stream: name look-up, proxy, TCP, TLS, all before one deadline.
//!
//! TLS is always verified; no option disables that. Addresses of this machine and link are refused if a remote server
//! named the host: see [`Dialer::open`]. Must not know: HTTP requests, WebSocket, what travels on the stream.

use super::{
    endpoint::is_local,
    proxy::{Proxies, Proxy},
    race::race,
    stream::{Stream, Wire},
    text, tls, Endpoint,
};
use crate::core::model::{Failure, FailureKind};
use crate::lookup::{Lookups, Party};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use std::{fmt, net::SocketAddr, path::PathBuf};
use tokio::{
    net::TcpStream,
    sync::OnceCell,
    time::{timeout_at, Instant},
};
use tokio_rustls::client::TlsStream;
use url::Host;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// HTTP and what begins as HTTP. TLS negotiates HTTP/1.1; without TLS only loopback is contacted, unless insecure
    /// servers are allowed.
    Http,
    /// A protocol that protects its credentials itself. TLS negotiates no protocol; without TLS any host is contacted.
    Opaque,
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
    tls: OnceCell<tls::Connectors>,
    lookups: Lookups,
    party: Party,
    proxies: Proxies,
    homes: Mutex<Vec<Home>>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("insecure_allowed", &self.insecure_allowed)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    pub fn new(insecure_allowed: bool, ca_file: Option<PathBuf>, lookups: Lookups, proxies: Proxies) -> Self {
        let (tls, party, homes) = (OnceCell::new(), Party::new(), Mutex::default());
        Self { insecure_allowed, ca_file, tls, lookups, party, proxies, homes }
    }

    pub fn insecure_allowed(&self) -> bool {
        self.insecure_allowed
    }

    /// Records a server that the application named. `names`: it may name further servers.
    pub fn note_home(&self, endpoint: Endpoint, names: bool) {
        self.homes.lock().push(Home { endpoint, names });
    }

    /// Connects to `endpoint` before `deadline`, through a proxy if one is set for it, with TLS if the endpoint requires
    /// it. Skips addresses of this machine and link if the application did not name the host, unless a server that the
    /// application named has such an address. With a proxy, which resolves the name itself, that is a rule for
    /// addresses in place of names only.
    pub async fn open(&self, endpoint: &Endpoint, traffic: Traffic, deadline: Instant) -> Result<Stream, Failure> {
        let wire = match self.proxies.of(endpoint, traffic) {
            Some(proxy) => {
                let literal = endpoint.address().map(|address| (address, endpoint.port).into());
                self.within_reach(endpoint, literal.into_iter().collect(), deadline).await?;
                self.tunnel(proxy, endpoint, deadline).await?
            }
            None => {
                let addresses = self.resolve(endpoint, traffic, deadline).await?;
                let addresses = self.within_reach(endpoint, addresses, deadline).await?;
                self.connect(endpoint, &addresses, deadline).await?
            }
        };
        match endpoint.tls {
            true => Ok(Stream::new(self.encrypt(endpoint, wire, traffic, deadline).await?)),
            false => Ok(Stream::new(wire)),
        }
    }

    /// Connects to the proxy and asks it for a connection to `endpoint`.
    async fn tunnel(&self, proxy: &Proxy, endpoint: &Endpoint, deadline: Instant) -> Result<Wire, Failure> {
        let server = proxy.endpoint();
        let connected = async {
            // Its credentials are for a host that the application or its environment chose.
            let addresses = self.resolve(server, Traffic::Opaque, deadline).await?;
            self.connect(server, &addresses, deadline).await
        };
        let wire = connected
            .await
            .map_err(|failure: Failure| Failure { message: format!("proxy: {}", failure.message), ..failure })?;
        self.ask(proxy, wire, endpoint, deadline).await
    }

    /// Asks a proxy that is connected for a connection to `endpoint`.
    pub(super) async fn ask(
        &self,
        proxy: &Proxy,
        wire: Wire,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        let server = proxy.endpoint();
        let mut wire = match server.tls {
            true => self
                .encrypt(server, wire, Traffic::Http, deadline)
                .await
                .map_err(|failure| Failure { message: format!("proxy: {}", failure.message), ..failure })?,
            false => wire,
        };
        match timeout_at(deadline, proxy.request(&mut wire, endpoint)).await {
            Ok(opened) => opened.map(|()| wire),
            Err(_) => {
                let text = format!("the proxy {proxy} did not answer in time when asked for {endpoint}");
                Err(Failure::new(FailureKind::Timeout, text::clean(&text, &[])))
            }
        }
    }

    async fn encrypt(
        &self,
        endpoint: &Endpoint,
        wire: Wire,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        match self.handshake(endpoint, wire, traffic, deadline).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err((failure, _)) => Err(failure),
        }
    }

    /// Starts TLS. A failure comes with its cause in one word.
    pub(super) async fn handshake(
        &self,
        endpoint: &Endpoint,
        wire: Wire,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<TlsStream<Wire>, (Failure, &'static str)> {
        let loaded = self.tls.get_or_try_init(|| tls::load(self.ca_file.clone())).await;
        let connectors = loaded.map_err(|failure| (failure, "ca_file"))?;
        let connector = match traffic {
            Traffic::Http => &connectors.http,
            Traffic::Opaque => &connectors.opaque,
        };
        let name = ServerName::try_from(match &endpoint.host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        })
        .map_err(|_| (tls::failure(endpoint, "its name is not valid in a certificate"), "tls"))?;
        match timeout_at(deadline, connector.connect(name, wire)).await {
            Err(_) => Err((timed_out(endpoint, "the TLS handshake"), "timeout")),
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err((tls::failure(endpoint, &tls::explain(&error)), tls::cause(&error))),
        }
    }

    /// The proxy for a server; `None`: it is connected directly.
    pub(super) fn proxy(&self, endpoint: &Endpoint, traffic: Traffic) -> Option<&Proxy> {
        self.proxies.of(endpoint, traffic)
    }

    pub(super) async fn resolve(
        &self,
        endpoint: &Endpoint,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = endpoint.address() {
            return Ok(vec![(address, endpoint.port).into()]);
        }
        let found = match timeout_at(deadline, self.lookups.find(self.party, endpoint.name())).await {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => return Err(unreachable(endpoint, &why)),
            Err(_) => {
                let text = format!("name look-up of {endpoint} timed out");
                return Err(Failure::new(FailureKind::Timeout, text::clean(&text, &[])));
            }
        };
        let mut addresses: Vec<SocketAddr> = found.iter().map(|address| (*address, endpoint.port).into()).collect();
        if traffic == Traffic::Http && !endpoint.tls && !self.insecure_allowed {
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
            // A name that a proxy resolves is not looked up here.
            let local = match self.proxies.of(namer, Traffic::Http) {
                Some(_) => namer.is_local(),
                None => {
                    let found = self.resolve(namer, Traffic::Http, deadline).await.unwrap_or_default();
                    found.iter().any(|address| is_local(address.ip()))
                }
            };
            if local {
                return Ok(addresses);
            }
        }
        addresses.retain(|address| !is_local(address.ip()));
        if addresses.is_empty() {
            return Err(endpoint.out_of_reach("the server"));
        }
        Ok(addresses)
    }

    async fn connect(&self, endpoint: &Endpoint, addresses: &[SocketAddr], deadline: Instant) -> Result<Wire, Failure> {
        let lost = match race(addresses, deadline, TcpStream::connect).await {
            Ok(tcp) => {
                // Messages are small and latency-sensitive.
                let _ = tcp.set_nodelay(true);
                return Ok(Box::new(tcp));
            }
            Err(lost) => lost,
        };
        // The cached addresses may be stale.
        self.lookups.forget(endpoint.name());
        let tried = match lost.addresses {
            0 => "the name has no address".to_owned(),
            1 => "1 address tried".to_owned(),
            all if lost.tried == all => format!("{all} addresses tried"),
            all => format!("{} of {all} addresses tried", lost.tried),
        };
        let last = lost.last.map(|error| format!(", last error: {error}")).unwrap_or_default();
        match lost.timed_out {
            true => Err(timed_out(endpoint, &format!("the TCP connection ({tried}{last})"))),
            false => Err(unreachable(endpoint, &format!("{tried}{last}"))),
        }
    }
}

fn unreachable(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Connect, text::clean(&format!("could not connect to {endpoint}: {why}"), &[]))
}

/// The deadline passed while waiting for `what`.
pub(crate) fn timed_out(endpoint: &Endpoint, what: &str) -> Failure {
    let text = format!("{endpoint}: timeout during {what}");
    Failure::new(FailureKind::Timeout, text::clean(&text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;
    use url::Url;

    fn of(url: &str) -> Endpoint {
        Endpoint::of(&Url::parse(url).unwrap(), true).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn dialer(resolver: impl Fn(&str) -> Vec<&'static str> + Send + Sync + 'static, proxy: Option<&str>) -> Dialer {
        let lookups = Lookups::new(
            move |name| Ok(resolver(name).into_iter().map(|address| address.parse().unwrap()).collect()),
            Default::default(),
        );
        Dialer::new(true, None, lookups, Proxies::new(proxy, &|_| None).unwrap())
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_name_that_a_server_gives_does_not_lead_to_this_machine() {
        let (_listener, port) = listener().await;
        let trap = of(&format!("http://trap.example.com:{port}/"));
        let dialer = |home: &str| {
            let resolver = |name: &str| match name {
                "home.example.com" => vec!["192.0.2.1"],
                _ => vec!["127.0.0.1"],
            };
            let dialer = dialer(resolver, None);
            dialer.note_home(of(home), true);
            dialer
        };
        for traffic in [Traffic::Http, Traffic::Opaque] {
            let refused = dialer("http://home.example.com/").open(&trap, traffic, soon()).await.err().unwrap();
            assert_eq!(refused.kind, FailureKind::Insecure);
            assert!(refused.message.contains("trap.example.com"), "{}", refused.message);
            // Allowed if the application named the host itself, or a server on this machine.
            assert!(dialer("http://trap.example.com/").open(&trap, traffic, soon()).await.is_ok());
            assert!(dialer("http://127.0.0.1:1/").open(&trap, traffic, soon()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn with_a_proxy_only_addresses_are_refused_and_no_name_is_looked_up() {
        let (proxy, port) = listener().await;
        let resolver = |name: &str| -> Vec<&'static str> { panic!("{name} was looked up") };
        let dialer = dialer(resolver, Some(&format!("http://127.0.0.1:{port}")));
        dialer.note_home(of("https://home.example.com/"), true);
        for local in ["169.254.169.254", "fe80::1", "0.0.0.0"] {
            let target = Endpoint::at(local, 80, false).unwrap();
            let refused = dialer.open(&target, Traffic::Opaque, soon()).await.err().unwrap();
            assert_eq!(refused.kind, FailureKind::Insecure, "{local}");
        }
        // The proxy gets the name.
        let asked = tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let mut stream = proxy.accept().await.unwrap().0;
            let mut line = vec![0; 28];
            stream.read_exact(&mut line).await.unwrap();
            String::from_utf8(line).unwrap()
        });
        let target = Endpoint::at("turn.example.com", 443, false).unwrap();
        assert!(dialer.open(&target, Traffic::Opaque, soon()).await.is_err(), "the proxy closes");
        assert_eq!(asked.await.unwrap(), "CONNECT turn.example.com:443");
    }

    #[tokio::test]
    async fn plain_text_to_other_hosts_is_for_opaque_traffic_only() {
        let lookups = Lookups::new(|_| Ok(vec!["192.0.2.1".parse().unwrap()]), Default::default());
        let dialer = Dialer::new(false, None, lookups, Proxies::new(None, &|_| None).unwrap());
        let target = Endpoint::at("turn.example.com", 80, false).unwrap();
        assert!(dialer.resolve(&target, Traffic::Opaque, soon()).await.is_ok());
        let refused = dialer.resolve(&target, Traffic::Http, soon()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Insecure);
    }

    #[tokio::test]
    async fn an_error_counts_the_addresses() {
        let (listener, port) = listener().await;
        drop(listener);
        let dialer = dialer(|_| vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"], None);
        let target = Endpoint::at("sfu.example.com", port, true).unwrap();
        let failure = dialer.open(&target, Traffic::Http, soon()).await.err().unwrap();
        assert_eq!(failure.kind, FailureKind::Connect);
        let wanted = format!("could not connect to sfu.example.com:{port}: 3 addresses tried, last error: Connection");
        assert!(failure.message.starts_with(&wanted), "{}", failure.message);
    }
}
