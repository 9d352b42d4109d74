//! The transports of one peer connection: its UDP sockets, and the TCP connections assigned to it.
//!
//! Must not know: what is in a packet.

use crate::media::{
    address::{plain, LocalAddress, Place},
    peer::PeerStats,
    tcp::{FromTcp, Opened, Registration, Registry, TcpHandle},
};
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::{atomic::Ordering::Relaxed, Arc},
    task::{Context, Poll},
};
use str0m::{
    net::{Protocol, TcpType},
    Candidate,
};
use tokio::{io::ReadBuf, net::UdpSocket, sync::mpsc};

/// TCP connections of one peer connection at the same time.
const MAX_CONNECTIONS: usize = 16;

/// Where the media of one client is bound and announced.
#[derive(Clone, Debug)]
pub struct Transport {
    pub places: Vec<Place>,
    pub udp: bool,
    /// The port of ICE-TCP, and who accepts its connections.
    pub tcp: Option<(u16, Arc<Registry>)>,
}

/// How a packet travels. `local` is the announced address, which the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    pub proto: Protocol,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// What has arrived.
#[derive(Debug)]
pub enum Arrival {
    /// A packet of this length, in the buffer.
    Packet(Path, usize),
    /// A TCP connection for the engine to accept.
    Opened(Path, Opened),
    /// A TCP connection has ended.
    Closed(Path),
    /// Nothing for the engine.
    Nothing,
}

#[derive(Debug)]
struct Udp {
    socket: UdpSocket,
    local: LocalAddress,
    announced: SocketAddr,
}

#[derive(Debug)]
struct Tcp {
    registration: Registration,
    inbox: mpsc::Receiver<FromTcp>,
    /// Local and announced addresses.
    announced: Vec<(IpAddr, SocketAddr)>,
    open: Vec<(Path, TcpHandle)>,
    /// Connections accepted since the last ICE restart.
    accepted: usize,
    max_accepted: usize,
}

/// All transports of one peer connection.
#[derive(Debug)]
pub struct Ports {
    udp: Vec<Udp>,
    tcp: Option<Tcp>,
    /// Where the next poll begins, so that a busy transport does not block the others.
    turn: usize,
    stats: Arc<PeerStats>,
}

impl Ports {
    /// Binds a UDP port on each address. `max_accepted` TCP connections are accepted for each ICE generation.
    pub fn new(transport: &Transport, max_accepted: usize, stats: Arc<PeerStats>) -> io::Result<Ports> {
        let mut udp = Vec::new();
        for place in transport.places.iter().filter(|_| transport.udp) {
            let socket = std::net::UdpSocket::bind(place.local.with_port(0))?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            let announced = SocketAddr::new(place.announced, socket.local_addr()?.port());
            udp.push(Udp { socket, local: place.local, announced });
        }
        let tcp = transport.tcp.as_ref().map(|(port, registry)| {
            let (registration, inbox) = registry.register();
            let announce = |place: &Place| (place.local.ip, SocketAddr::new(place.announced, *port));
            let announced = transport.places.iter().map(announce).collect();
            Tcp { registration, inbox, announced, open: Vec::new(), accepted: 0, max_accepted }
        });
        Ok(Ports { udp, tcp, turn: 0, stats })
    }

    /// The candidates to announce.
    pub fn candidates(&self) -> io::Result<Vec<Candidate>> {
        let udp = self.udp.iter().map(|u| Candidate::builder().udp().host(u.announced).build());
        let passive = |(_, announced): &(IpAddr, SocketAddr)| {
            Candidate::builder().tcp().host(*announced).tcptype(TcpType::Passive).build()
        };
        let tcp = self.tcp.iter().flat_map(|t| &t.announced).map(passive);
        udp.chain(tcp).collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// Sets the user name fragment that the engine accepts now.
    pub fn set_ufrag(&mut self, ufrag: &str) {
        if let Some(tcp) = &mut self.tcp {
            tcp.registration.set_ufrag(ufrag);
        }
    }

    /// Allows TCP connections again, for a new ICE generation.
    pub fn restarted(&mut self) {
        if let Some(tcp) = &mut self.tcp {
            tcp.accepted = 0;
        }
    }

    /// Waits for the next packet or connection. A packet is written into `buffer`.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> Arrival {
        poll_fn(|cx| self.poll(cx, buffer)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Arrival> {
        let transports = self.udp.len() + 1;
        for i in 0..transports {
            let at = (self.turn + i) % transports;
            let arrived = match self.udp.get(at) {
                Some(udp) => udp.poll(cx, buffer),
                None => self.poll_tcp(cx, buffer),
            };
            if arrived.is_ready() {
                self.turn = at + 1;
                return arrived;
            }
        }
        Poll::Pending
    }

    fn poll_tcp(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Arrival> {
        let Some(tcp) = &mut self.tcp else { return Poll::Pending };
        let Poll::Ready(Some(event)) = tcp.inbox.poll_recv(cx) else { return Poll::Pending };
        Poll::Ready(match event {
            FromTcp::Packet(id, packet) => match tcp.open.iter().find(|(_, handle)| handle.id == id) {
                Some((path, _)) if packet.len() <= buffer.len() => {
                    self.stats.tcp_in.fetch_add(1, Relaxed);
                    buffer[..packet.len()].copy_from_slice(&packet);
                    Arrival::Packet(*path, packet.len())
                }
                _ => Arrival::Nothing,
            },
            FromTcp::Opened(opened) => match tcp.path(&opened) {
                Some(path) => Arrival::Opened(path, opened),
                None => Arrival::Nothing,
            },
            FromTcp::Closed(id) => match tcp.open.iter().position(|(_, handle)| handle.id == id) {
                Some(at) => {
                    let (path, _) = tcp.open.swap_remove(at);
                    self.stats.tcp_open.store(tcp.open.len() as u64, Relaxed);
                    Arrival::Closed(path)
                }
                None => Arrival::Nothing,
            },
        })
    }

    /// Keeps a TCP connection that the engine has accepted.
    pub fn adopt(&mut self, path: Path, opened: Opened) {
        let Some(tcp) = &mut self.tcp else { return };
        tcp.accepted += 1;
        tcp.open.retain(|(p, _)| *p != path);
        tcp.open.push((path, tcp.registration.run(opened)));
        self.stats.tcp_in.fetch_add(1, Relaxed);
        self.stats.tcp_open.store(tcp.open.len() as u64, Relaxed);
    }

    /// Sends a packet. It is lost if its transport is full or gone, as in any network.
    pub fn send(&self, path: Path, packet: &[u8]) {
        if path.proto == Protocol::Udp {
            if let Some(udp) = self.udp.iter().find(|u| u.announced == path.local) {
                let _ = udp.socket.try_send_to(packet, udp.local.reach(path.remote));
            }
            return;
        }
        let Some(tcp) = &self.tcp else { return };
        // A client's candidates have ports that it does not listen on. Checks to them have no connection.
        if let Some((_, handle)) = tcp.open.iter().find(|(p, _)| *p == path) {
            let counter = if handle.send(packet) { &self.stats.tcp_out } else { &self.stats.tcp_dropped };
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Udp {
    fn poll(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Arrival> {
        let mut read = ReadBuf::new(buffer);
        self.socket.poll_recv_from(cx, &mut read).map(|got| match got {
            Ok(from) => {
                let path = Path { proto: Protocol::Udp, local: self.announced, remote: plain(from) };
                Arrival::Packet(path, read.filled().len())
            }
            // An ICMP error for a sent datagram is reported here. The peer may return.
            Err(_) => Arrival::Nothing,
        })
    }
}

impl Tcp {
    /// The path of a new connection. `None` if there are too many, or none of their family is announced.
    fn path(&self, opened: &Opened) -> Option<Path> {
        if self.open.len() >= MAX_CONNECTIONS || self.accepted >= self.max_accepted {
            return None;
        }
        // A wildcard listener is also reached at addresses that are not announced.
        let same = |(ip, _): &&(IpAddr, SocketAddr)| *ip == opened.local;
        let family = |(ip, _): &&(IpAddr, SocketAddr)| ip.is_ipv4() == opened.local.is_ipv4();
        let (_, local) = self.announced.iter().find(same).or_else(|| self.announced.iter().find(family))?;
        Some(Path { proto: Protocol::Tcp, local: *local, remote: opened.remote })
    }
}
