//! The links of one peer connection: sockets where routes lead, opened when a destination asks for them, and streams.
//!
//! Part of the engine's module. Must not know: negotiation, candidates, what datagrams mean.

use super::super::engine::{EngineErrorKind, EngineResult, NetworkPolicy, Opening, Routes, StreamTarget, Streams};
use super::super::environment::Environment;
use super::super::link::{Link, Port};
use super::super::routes::{self, ELSEWHERE};
use super::super::stream::{Framing, StreamLink};
use super::super::tasks::Tasks;
use super::super::udp::{is_scoped, PlainSocket};
use super::error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Maximum sockets of one peer connection.
const MAX_SOCKETS: usize = 8;
/// Maximum destinations whose routes are remembered.
const MAX_DESTINATIONS: usize = 64;
/// Maximum streams open at a time.
const MAX_STREAMS: usize = 16;
/// Timeout of a stream's connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects from the address that the client's options allow.
async fn connect(
    policy: &NetworkPolicy,
    from: Option<SocketAddr>,
    to: SocketAddr,
) -> std::io::Result<tokio::net::TcpStream> {
    let from = from.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let socket = if to.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    routes::keep_to_interface(policy, from.ip(), &socket);
    socket.bind(from)?;
    socket.connect(to).await
}

/// The other end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    Server(StreamTarget),
    /// A TCP candidate of the remote peer.
    Peer(SocketAddr),
}

/// The parts of a client and a call that all its links share.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) tasks: Tasks,
    /// `None`: the machine's own clock and sockets.
    pub(super) environment: Option<Arc<dyn Environment>>,
    pub(super) policy: Arc<NetworkPolicy>,
    pub(super) streams: Option<Arc<dyn Streams>>,
}

#[cfg(test)]
impl Network {
    pub(super) fn of_machine(tasks: Tasks) -> Self {
        Self { tasks, environment: None, policy: Arc::default(), streams: None }
    }
}

/// See the module.
pub(super) struct Links {
    network: Network,
    list: Vec<Arc<dyn Link>>,
    /// Destinations and the addresses from which they were reached.
    reached: Vec<(IpAddr, Vec<SocketAddr>)>,
    /// Number of changes of `list`.
    changes: u64,
    /// The system refused a socket.
    refused: bool,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("list", &self.list).finish_non_exhaustive()
    }
}

impl Links {
    /// The first sockets: on loopback, or where the default routes lead. There may be none yet.
    ///
    /// # Errors
    /// `System`: there are addresses, but no socket can be opened.
    pub(super) fn new(network: Network, loopback_only: bool, server: Option<IpAddr>) -> EngineResult<Self> {
        let mut links = Self { network, list: Vec::new(), reached: Vec::new(), changes: 0, refused: false };
        if let Some(server) = server {
            links.reach(server);
        }
        if !loopback_only && links.network.environment.is_none() {
            links.reach_default();
        } else if links.list.is_empty() {
            links.open((Ipv4Addr::LOCALHOST, 0).into());
        }
        if links.refused && links.list.is_empty() {
            return Err(error(EngineErrorKind::System, "no socket could be opened"));
        }
        Ok(links)
    }

    fn reach_default(&mut self) {
        for to in ELSEWHERE {
            self.reach(to);
        }
        // Without a route elsewhere the machine's addresses are as good as any.
        if self.list.is_empty() {
            for address in routes::without_routes(&self.network.policy, routes::listed) {
                self.open(address);
            }
        }
    }

    pub(super) fn list(&self) -> &[Arc<dyn Link>] {
        &self.list
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The local addresses of the sockets.
    pub(super) fn sockets(&self) -> Vec<SocketAddr> {
        let udp = |link: &Arc<dyn Link>| match link.port() {
            Port::Udp(local) => Some(local),
            Port::Stream(_) => None,
        };
        self.list.iter().filter_map(udp).collect()
    }

    pub(super) fn send(&self, port: Port, to: SocketAddr, contents: &[u8]) {
        if let Some(link) = self.list.iter().find(|link| link.port() == port) {
            link.send(to, contents);
        }
    }

    fn has(&self, address: &SocketAddr) -> bool {
        self.sockets().iter().any(|local| local.ip() == address.ip())
    }

    fn open(&mut self, address: SocketAddr) -> Option<SocketAddr> {
        if self.sockets().len() >= MAX_SOCKETS {
            return None;
        }
        let random = getrandom::u32().unwrap_or_default() as u16;
        // An address that is gone again, or a range without a free port, does not affect the others.
        let Ok(socket) = routes::bind(&self.network.policy, address, random) else {
            self.refused = true;
            return None;
        };
        let link: Arc<dyn Link> = match &self.network.environment {
            Some(environment) => environment.link(socket.local_addr().ok()?),
            None => {
                let _inside = self.network.tasks.enter();
                Arc::new(PlainSocket::new(socket, self.network.tasks.share().clone()).ok()?)
            }
        };
        let local = link.local();
        self.list.push(link);
        self.changes += 1;
        Some(local)
    }

    /// Opens the sockets from which a destination is reached, unless they are open; returns the new ones.
    pub(super) fn reach(&mut self, to: IpAddr) -> Vec<SocketAddr> {
        let known = self.reached.iter().any(|(known, _)| *known == to);
        if known || self.network.environment.is_some() || self.reached.len() >= MAX_DESTINATIONS {
            return Vec::new();
        }
        let sources = routes::sources(&self.network.policy, to, routes::listed);
        let missing: Vec<SocketAddr> = sources.iter().filter(|source| !self.has(source)).copied().collect();
        self.reached.push((to, sources));
        missing.into_iter().filter_map(|source| self.open(source)).collect()
    }

    /// Asks the routes again, and opens sockets where they lead elsewhere; returns these and those that are closed.
    pub(super) fn refresh(&mut self) -> (Routes, Vec<SocketAddr>, Vec<SocketAddr>) {
        let (mut reachable, mut moved, mut gained, mut kept) = (0, false, false, false);
        let mut next = self.reached.clone();
        for (to, sources) in &mut next {
            let now = routes::sources(&self.network.policy, *to, routes::listed);
            if now.is_empty() {
                continue;
            }
            reachable += 1;
            if sources.is_empty() {
                gained = true;
            } else if is_scoped(*to) || routes::are_equal(sources, &now, routes::listed) {
                kept = true;
                continue;
            } else {
                moved = true;
            }
            *sources = now;
        }
        // A destination that can be reached now, as by IPv6, is no reason to leave one that still can.
        moved |= gained && !kept;
        if next.is_empty() {
            return (Routes::Unknown, Vec::new(), Vec::new());
        }
        if reachable == 0 {
            return (Routes::Gone, Vec::new(), Vec::new());
        }
        if !moved {
            return (Routes::Same, Vec::new(), Vec::new());
        }
        self.reached = next;
        let wanted: Vec<SocketAddr> = self.reached.iter().flat_map(|(_, sources)| sources).copied().collect();
        let is_wanted = |local: &SocketAddr| wanted.iter().any(|wanted| wanted.ip() == local.ip());
        let closed: Vec<SocketAddr> = self.sockets().into_iter().filter(|local| !is_wanted(local)).collect();
        // Streams leave from addresses that the system chose: they are opened anew where they are needed.
        self.list.retain(|link| matches!(link.port(), Port::Udp(local) if !closed.contains(&local)));
        self.changes += 1;
        let missing: Vec<SocketAddr> = wanted.into_iter().filter(|source| !self.has(source)).collect();
        let mut opened = Vec::new();
        for source in missing {
            if !self.has(&source) {
                opened.extend(self.open(source));
            }
        }
        (Routes::Moved, opened, closed)
    }

    /// Opens a stream. One that cannot be opened ends when it is polled.
    pub(super) fn stream(&mut self, number: u32, end: StreamEnd) {
        let streams = self.list.iter().filter(|link| matches!(link.port(), Port::Stream(_))).count();
        let framing = match end {
            StreamEnd::Server(_) => Framing::Turn,
            StreamEnd::Peer(_) => Framing::Length,
        };
        let opening: Opening = match (end, &self.network.streams) {
            _ if streams >= MAX_STREAMS => Box::pin(async { Err("too many streams are open".to_owned()) }),
            (StreamEnd::Server(target), Some(streams)) => streams.open(target, CONNECT),
            (StreamEnd::Server(_), None) => Box::pin(async { Err("streams are not available".to_owned()) }),
            (StreamEnd::Peer(to), _) => {
                let from = routes::sources(&self.network.policy, to.ip(), routes::listed).first().copied();
                let policy = self.network.policy.clone();
                Box::pin(async move {
                    match tokio::time::timeout(CONNECT, connect(&policy, from, to)).await {
                        Ok(Ok(stream)) => {
                            // Media is small packets that must not wait for each other.
                            let _ = stream.set_nodelay(true);
                            let stream: std::pin::Pin<Box<dyn super::super::engine::ByteStream>> = Box::pin(stream);
                            Ok(stream)
                        }
                        Ok(Err(error)) => Err(error.kind().to_string()),
                        Err(_) => Err("no answer".to_owned()),
                    }
                })
            }
        };
        let share = self.network.tasks.share().clone();
        self.list.push(Arc::new(StreamLink::new(number, framing, opening, share)));
        self.changes += 1;
    }

    pub(super) fn close(&mut self, port: Port) {
        let before = self.list.len();
        self.list.retain(|link| link.port() != port);
        self.changes += u64::from(self.list.len() != before);
    }
}
