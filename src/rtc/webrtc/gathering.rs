//! Candidates of one peer connection: sockets that come and go, STUN and TURN servers, TCP pairs.
//!
//! Part of the engine's module; pure. Must not know: negotiation, packets, who opens sockets.

use super::super::engine::*;
use super::super::link::Port;
use super::core::{Core, CoreEvent, LinkRequest, Setup};
use super::gather::{active, Transport};
use super::links::StreamEnd;
use super::media::{ice_servers, Server};
use super::relay::{stand_in, Relay, NO_ANSWER};
use crate::net::is_local;
use bytes::BytesMut;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Maximum relays, and maximum failures of servers reported.
const MAX_RELAYS: usize = 16;
/// Maximum addresses of remote candidates whose routes are asked for.
const MAX_REACHED: usize = 64;
/// The servers that can be used.
pub(super) fn servers(setup: &Setup) -> Vec<(Server, Vec<SocketAddr>)> {
    let usable = |server: &Server| {
        let relays_only = setup.policy.relay_only && !server.turn;
        !relays_only && (setup.streams || server.transport == Transport::Udp)
    };
    ice_servers(&setup.options).into_iter().filter(usable).map(|server| (server, Vec::new())).collect()
}

/// Whether the signalling is with a server on this machine or link.
pub(super) fn has_local_server(options: &PeerOptions) -> bool {
    options.loopback_only || options.server.is_some_and(is_local)
}

/// Whether a server may be asked from a socket.
fn is_pair(local: SocketAddr, server: SocketAddr) -> bool {
    local.is_ipv4() == server.is_ipv4() && local.ip().is_loopback() == server.ip().is_loopback()
}

impl Core {
    /// The local description is set: its candidates are reported from now on.
    pub(super) fn described_locally(&mut self, now: Instant) {
        let ufrag = self.local.2.clone();
        let is_first = !std::mem::replace(&mut self.gathering, true);
        let is_new = std::mem::replace(&mut self.gathered_for, ufrag.clone()) != ufrag;
        if is_first {
            for local in self.setup.sockets.clone() {
                self.gather_on(now, local);
            }
            for index in 0..self.servers.len() {
                self.gather_from(now, index);
            }
        } else if is_new {
            self.replace_lost_relays(now);
        }
        // The engine ignores those that it already has; after a failure it has none.
        for found in self.gather.found.clone() {
            let _ = self.pc.add_local_candidate(found.init);
        }
    }

    /// The candidate of a relay that is gone is not offered again.
    fn forget_relay(&mut self, relay: &Relay) {
        if let Some(relayed) = relay.was {
            self.gather.forget_relayed(relayed);
        }
    }

    /// ICE is restarted: relays that were lost since the last time are requested again.
    fn replace_lost_relays(&mut self, now: Instant) {
        let (lost, kept): (Vec<Relay>, Vec<Relay>) =
            std::mem::take(&mut self.relays).into_iter().partition(|relay| relay.lost);
        self.relays = kept;
        for relay in lost {
            self.forget_relay(&relay);
            let port = relay.port;
            if let Port::Stream(number) = port {
                self.requests.push_back(LinkRequest::CloseStream(number));
            }
        }
        for index in 0..self.servers.len() {
            let (server, addresses) = self.servers[index].clone();
            if !server.turn || self.relays.iter().any(|relay| relay.url == server.url) {
                continue;
            }
            self.reported.retain(|(url, _)| *url != server.url);
            if server.transport != Transport::Udp || addresses.is_empty() {
                self.gather_from(now, index);
            } else {
                self.resolved(now, index, &addresses);
            }
        }
    }

    pub(super) fn found(&mut self, before: usize) {
        for found in &self.gather.found[before..] {
            let _ = self.pc.add_local_candidate(found.init.clone());
        }
    }

    /// A socket was opened.
    /// `elsewhere`: it leads to another machine.
    pub(super) fn add_socket(&mut self, now: Instant, local: SocketAddr, elsewhere: bool) {
        if self.closed || self.setup.sockets.contains(&local) {
            return;
        }
        self.setup.sockets.push(local);
        if elsewhere && !local.ip().is_loopback() {
            // The SFU is elsewhere, whatever its signalling looked like: so are its servers.
            self.setup.options.loopback_only = false;
        }
        if self.gathering {
            self.gather_on(now, local);
            self.gather_from_new_servers(now);
            self.settle(now);
        }
    }

    /// A socket was closed: the machine no longer has its address, or routes do not lead there any more.
    pub(super) fn remove_socket(&mut self, now: Instant, local: SocketAddr) {
        self.setup.sockets.retain(|known| *known != local);
        self.gather.forget(local);
        self.relays.retain(|relay| relay.port != Port::Udp(local));
        self.settle(now);
    }

    /// A stream did not open, or has ended; `why` is for people.
    pub(super) fn stream_ended(&mut self, now: Instant, number: u32, why: &str) {
        if self.closed || self.tcp.ended(number) {
            return;
        }
        let Some(index) = self.relays.iter().position(|relay| relay.port == Port::Stream(number)) else { return };
        let relay = self.relays.swap_remove(index);
        self.forget_relay(&relay);
        self.setup.trace.unreachable(&relay.url, why);
        if !relay.lost {
            self.server_failed(&relay.url, NO_ANSWER, why);
        }
        self.settle(now);
    }

    /// The machine has moved to other addresses: these sockets were opened and closed, and all streams have ended. What
    /// they carried is gathered again when ICE is restarted.
    pub(super) fn moved(&mut self, now: Instant, opened: &[SocketAddr], closed: &[SocketAddr]) {
        let _ = self.tcp.restart(now);
        self.relays.retain(|relay| !matches!(relay.port, Port::Stream(_)));
        self.gather.forget(stand_in(0));
        for local in closed {
            self.remove_socket(now, *local);
        }
        for local in opened {
            self.add_socket(now, *local, true);
        }
    }

    /// Sets the addresses of a server: none if they are unknown.
    pub(super) fn resolved(&mut self, now: Instant, server: usize, addresses: &[SocketAddr]) {
        if self.closed || server >= self.servers.len() {
            return;
        }
        let addresses: Vec<SocketAddr> = addresses.iter().filter(|at| self.may_reach(at.ip())).copied().collect();
        let addresses = &addresses[..];
        let (server, known) = &mut self.servers[server];
        *known = addresses.to_vec();
        let url = server.url.clone();
        self.setup.trace.resolved(&url, addresses);
        if addresses.is_empty() {
            self.server_failed(&url, NO_ANSWER, "its name has no address, or no name server answered");
        }
        for address in addresses {
            self.reach(address.ip());
        }
        for local in self.setup.sockets.clone() {
            self.gather_on_of(now, local, &url);
        }
        self.settle(now);
    }

    /// Asks the servers for the address of a socket, or for a relay.
    fn gather_on(&mut self, now: Instant, local: SocketAddr) {
        let before = self.gather.found.len();
        if !self.setup.policy.relay_only {
            self.gather.host(local);
        }
        self.found(before);
        for url in self.servers.iter().map(|(server, _)| server.url.clone()).collect::<Vec<_>>() {
            self.gather_on_of(now, local, &url);
        }
    }

    fn gather_on_of(&mut self, now: Instant, local: SocketAddr, url: &str) {
        let servers: Vec<_> = self.servers.iter().filter(|(server, _)| server.url == url).cloned().collect();
        for (server, addresses) in servers {
            let Some(address) = addresses.iter().find(|address| is_pair(local, **address)) else { continue };
            if server.turn {
                self.request_relay(now, Port::Udp(local), *address, &server);
            } else if let Some((from, to, contents)) =
                self.gather.ask(now, (local, *address), &server.url, &self.provider)
            {
                self.send(Port::Udp(from), to, BytesMut::from(&contents[..]));
            }
        }
    }

    fn request_relay(&mut self, now: Instant, port: Port, address: SocketAddr, server: &Server) {
        // One allocation for each path to a server (RFC 8656 section 6.2).
        let is_same = |relay: &Relay| (relay.port, relay.server) == (port, address) && !relay.lost;
        if self.relays.iter().any(is_same) || self.relays.len() >= MAX_RELAYS {
            return;
        }
        if let Ok(relay) = Relay::new(now, port, address, server, &self.provider) {
            self.relays.push(relay);
        }
    }

    /// Starts with the servers that were not asked yet.
    fn gather_from_new_servers(&mut self, now: Instant) {
        let known: Vec<String> = self.servers.iter().map(|(server, _)| server.url.clone()).collect();
        let new = servers(&self.setup).into_iter().filter(|(server, _)| !known.contains(&server.url));
        self.servers.extend(new);
        for index in known.len()..self.servers.len() {
            self.gather_from(now, index);
        }
    }

    fn gather_from(&mut self, now: Instant, index: usize) {
        let server = self.servers[index].0.clone();
        if server.transport == Transport::Udp {
            return match server.host.parse() {
                Ok(ip) => self.resolved(now, index, &[SocketAddr::new(ip, server.port)]),
                Err(_) => {
                    let (host, port) = (server.host, server.port);
                    self.events.push_back(CoreEvent::LookUp { server: index, host, port });
                }
            };
        }
        let number = self.next_stream();
        let tls = server.transport == Transport::Tls;
        let target = StreamTarget { host: server.host.clone(), port: server.port, tls };
        self.requests.push_back(LinkRequest::OpenStream(number, StreamEnd::Server(target)));
        self.setup.trace.resolved(&server.url, &[stand_in(number)]);
        self.request_relay(now, Port::Stream(number), stand_in(number), &server);
    }

    pub(super) fn next_stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams
    }

    /// Whether a server may name this address for streams and requests: a remote one must not reach services of this
    /// machine.
    fn may_reach(&self, address: IpAddr) -> bool {
        self.local_server || !is_local(address)
    }

    /// Asks for a socket from which an address is reached.
    pub(super) fn reach(&mut self, address: IpAddr) {
        if self.reached.len() < MAX_REACHED && !self.reached.contains(&address) {
            self.reached.push(address);
            self.requests.push_back(LinkRequest::Reach(address));
        }
    }

    pub(super) fn server_failed(&mut self, url: &str, code: u16, text: &str) {
        let is_new = !self.reported.iter().any(|(known, why)| (known.as_str(), *why) == (url, code));
        if is_new && self.reported.len() < MAX_RELAYS {
            self.reported.push((url.to_owned(), code));
            let failure = ServerFailure { url: url.to_owned(), code, text: text.to_owned() };
            self.events.push_back(CoreEvent::ServerFailed(failure));
        }
    }

    /// A TCP candidate of the remote peer.
    pub(super) fn tcp_candidate(&mut self, now: Instant, address: SocketAddr, candidate: &str) {
        if !self.setup.policy.relay_only && self.may_reach(address.ip()) && self.tcp.add(now, address, candidate) {
            self.reach(address.ip());
        }
    }

    /// The remote peer has new ICE credentials.
    pub(super) fn restarted_remotely(&mut self, now: Instant) {
        for number in self.tcp.restart(now) {
            self.requests.push_back(LinkRequest::CloseStream(number));
        }
    }

    /// Adds the TCP candidates if no pair is in use yet.
    pub(super) fn try_tcp(&mut self, now: Instant) {
        if self.ice_up && !self.checking {
            return;
        }
        for (address, candidate) in self.tcp.due(now) {
            let of_family = |local: &&SocketAddr| local.is_ipv4() == address.is_ipv4();
            let locals: Vec<IpAddr> = self.setup.sockets.iter().filter(of_family).map(|local| local.ip()).collect();
            for local in locals {
                if !self.tcp.locals.contains(&local) {
                    self.tcp.locals.push(local);
                    let _ = active(local).map(|init| self.pc.add_local_candidate(init));
                }
            }
            let init = RTCIceCandidateInit { candidate, ..Default::default() };
            let _ = self.pc.add_remote_candidate(init);
        }
    }
}
