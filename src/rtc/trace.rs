//! Diagnostics of the connection attempts of one peer connection, from the packets on its sockets.
//!
//! The engine reports only a selected pair. This module records the gathered candidates, which remote candidates were
//! checked and answered, and the responses of STUN and TURN servers. It looks only at STUN and DTLS, a few packets a
//! second. It keeps kinds and counts only, no candidate address, user name fragment or password. Must not know: any
//! engine's types, rules.

use super::candidate::Attribute;
use super::engine::{Families, NetworkPolicy};
use super::stun::{error_code, message_type};
use crate::core::model::{IceServer, Path};
use parking_lot::Mutex;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

/// Maximum remote candidates and remote addresses tracked.
const MAX_REMOTE: usize = 64;
const MAX_FLOWS: usize = 128;
/// Maximum servers reported.
const MAX_SERVERS: usize = 8;
/// Longest reason of a server's failure, in characters.
const MAX_FAILURE: usize = 120;
/// Longest report text, in bytes.
const MAX_TEXT: usize = 480;
const KINDS: [&str; 4] = ["host", "srflx", "prflx", "relay"];

/// Packet counts of one remote address.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Connectivity checks, or requests to a STUN server.
    asked: u32,
    answered: u32,
    /// Code of the last error response.
    refused: u16,
    /// Connectivity checks from the remote peer.
    checks_received: u32,
    allocations: u32,
    relayed: bool,
    allocation_refused: u16,
    /// The TURN server denied permission for a peer.
    permission_refused: u16,
    /// The TURN server refused to refresh the allocation.
    refresh_refused: u16,
    dtls_sent: u32,
    dtls_received: u32,
}

#[derive(Debug)]
struct Server {
    turn: bool,
    /// Host and port from its URL, and the transport if it is not UDP.
    name: String,
    urls: Vec<String>,
    addresses: Vec<SocketAddr>,
    /// Reason why it was not asked, or gave no address.
    failure: String,
}

#[derive(Debug, Default)]
struct Seen {
    gathered: [u32; 4],
    remote: Vec<(SocketAddr, usize)>,
    servers: Vec<Server>,
    flows: Vec<(SocketAddr, Flow)>,
    policy: Arc<NetworkPolicy>,
}

/// See the module. Any thread.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Seen>);

fn kind(candidate: &Attribute<'_>) -> Option<usize> {
    KINDS.iter().position(|kind| candidate.kind.eq_ignore_ascii_case(kind))
}

/// Whether a STUN or TURN URL (RFC 7064, RFC 7065) is of a relay; host, port and transport.
fn server_name(url: &str) -> Option<(bool, String)> {
    let (scheme, rest) = url.split_once(':')?;
    let (turn, port, tls) = match scheme {
        "stun" => (false, 3478, false),
        "stuns" => (false, 5349, true),
        "turn" => (true, 3478, false),
        "turns" => (true, 5349, true),
        _ => return None,
    };
    let host = rest.split('?').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        !port.contains(']') && port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
    });
    let name = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    Some((
        turn,
        match (tls, url.contains("transport=tcp")) {
            (true, _) => format!("{name} over TLS"),
            (false, true) => format!("{name} over TCP"),
            (false, false) => name,
        },
    ))
}

impl Trace {
    /// `used`: the URLs passed to the engine.
    pub fn new(all: &[IceServer], used: &[String]) -> Self {
        let mut seen = Seen::default();
        for url in all.iter().flat_map(|server| &server.urls) {
            let Some((turn, name)) = server_name(url) else { continue };
            let failure = match () {
                () if used.contains(url) => "",
                () if url.starts_with("stuns:") => "not used, STUN over TLS is not supported",
                () if url.contains("transport=udp") && url.starts_with("turns:") => "not used, DTLS is not supported",
                () => "not used",
            };
            match seen.servers.iter().position(|server| server.turn == turn && server.name == name) {
                Some(known) => {
                    let known = &mut seen.servers[known];
                    if failure.is_empty() {
                        known.failure.clear();
                    }
                    known.urls.push(url.clone());
                }
                None if seen.servers.len() < MAX_SERVERS => {
                    let (urls, failure) = (vec![url.clone()], failure.to_owned());
                    seen.servers.push(Server { turn, name, urls, addresses: Vec::new(), failure });
                }
                None => {}
            }
        }
        Self(Mutex::new(seen))
    }

    /// `policy`: the client's options, to name those that leave no candidate.
    #[must_use]
    pub fn limited(self, policy: &Arc<NetworkPolicy>) -> Self {
        self.0.lock().policy = policy.clone();
        self
    }

    /// Records a local candidate.
    pub fn local(&self, candidate: &str) {
        if let Some(kind) = Attribute::parse(candidate).as_ref().and_then(kind) {
            self.0.lock().gathered[kind] += 1;
        }
    }

    /// Records a remote candidate.
    pub fn remote(&self, candidate: &str) {
        let Some(candidate) = Attribute::parse(candidate) else { return };
        let (Some(kind), Some(address)) = (kind(&candidate), candidate.udp().or(candidate.tcp())) else { return };
        let mut seen = self.0.lock();
        if seen.remote.len() < MAX_REMOTE && !seen.remote.iter().any(|(known, _)| *known == address) {
            seen.remote.push((address, kind));
        }
    }

    /// Records the candidates in the remote description.
    pub fn remote_description(&self, sdp: &str) {
        for candidate in sdp.lines().filter_map(|line| line.trim().strip_prefix("a=candidate:")) {
            self.remote(candidate);
        }
    }

    /// Records the addresses of a server; none if the look-up failed.
    pub fn resolved(&self, url: &str, addresses: &[SocketAddr]) {
        self.server(url, |server| {
            server.addresses = addresses.iter().take(8).copied().collect();
            server.failure = if addresses.is_empty() { "name look-up failed".to_owned() } else { String::new() };
        });
    }

    /// Records why a server cannot be reached.
    pub fn unreachable(&self, url: &str, why: &str) {
        self.server(url, |server| server.failure = why.chars().take(MAX_FAILURE).collect());
    }

    fn server(&self, url: &str, note: impl FnOnce(&mut Server)) {
        let mut seen = self.0.lock();
        if let Some(server) = seen.servers.iter_mut().find(|server| server.urls.iter().any(|known| known == url)) {
            note(server);
        }
    }

    fn flow(&self, address: SocketAddr, note: impl FnOnce(&mut Flow)) {
        let mut seen = self.0.lock();
        let index = match seen.flows.iter().position(|(known, _)| *known == address) {
            Some(index) => index,
            None if seen.flows.len() < MAX_FLOWS => {
                seen.flows.push((address, Flow::default()));
                seen.flows.len() - 1
            }
            None => return,
        };
        note(&mut seen.flows[index].1);
    }

    /// Records a sent datagram.
    pub fn sent(&self, to: SocketAddr, datagram: &[u8]) {
        match datagram.first() {
            Some(20..=63) => self.flow(to, |flow| flow.dtls_sent += 1),
            Some(0..=3) => match message_type(datagram) {
                Some(0x0001) => self.flow(to, |flow| flow.asked += 1),
                Some(0x0003) => self.flow(to, |flow| flow.allocations += 1),
                _ => {}
            },
            _ => {}
        }
    }

    /// Records a received datagram.
    pub fn received(&self, from: SocketAddr, datagram: &[u8]) {
        match datagram.first() {
            Some(20..=63) => self.flow(from, |flow| flow.dtls_received += 1),
            Some(0..=3) => match message_type(datagram) {
                Some(0x0101) => self.flow(from, |flow| flow.answered += 1),
                Some(0x0111) => self.flow(from, |flow| flow.refused = error_code(datagram)),
                Some(0x0103) => self.flow(from, |flow| (flow.relayed, flow.refresh_refused) = (true, 0)),
                Some(0x0113) => self.flow(from, |flow| flow.allocation_refused = error_code(datagram)),
                // A stale nonce is not a refusal.
                Some(0x0118 | 0x0119) if error_code(datagram) != 438 => {
                    self.flow(from, |flow| flow.permission_refused = error_code(datagram));
                }
                Some(0x0114) if error_code(datagram) != 438 => {
                    self.flow(from, |flow| flow.refresh_refused = error_code(datagram));
                }
                Some(0x0001) => self.flow(from, |flow| flow.checks_received += 1),
                _ => {}
            },
            _ => {}
        }
    }

    /// Summary so far.
    pub fn path(&self) -> Path {
        self.0.lock().path()
    }
}

impl Seen {
    fn find(&self, address: SocketAddr) -> Flow {
        self.flows.iter().find(|(known, _)| *known == address).map(|(_, flow)| *flow).unwrap_or_default()
    }

    /// The options that leave no candidate.
    fn cause(&self) -> &'static str {
        let policy = &self.policy;
        match () {
            () if policy.relay_only && !self.servers.iter().any(|server| server.turn && server.failure.is_empty()) => {
                " (relay_only is set, and there is no TURN server to use)"
            }
            () if policy.names_interfaces() => " (interfaces and excluded_interfaces may leave no address)",
            () if policy.families != Families::Both => " (ip_family may leave no address)",
            () if policy.relay_only => " (relay_only is set)",
            () => "",
        }
    }

    fn path(&self) -> Path {
        let mut text = format!("gathered {}", counted(self.gathered));
        if self.gathered == [0; 4] {
            text.push_str(self.cause());
        }
        text.push_str("; ");
        let mut named = [0; 4];
        for (_, kind) in &self.remote {
            named[*kind] += 1;
        }
        let _ = match self.remote.is_empty() {
            true => write!(text, "the SFU sent no candidate"),
            false => write!(text, "the SFU sent {}", counted(named)),
        };
        // By the kind of the remote candidate; the local socket is the same for all pairs that are not relayed.
        for (index, kind) in KINDS.iter().enumerate() {
            let flows: Vec<Flow> =
                self.remote.iter().filter(|(_, k)| *k == index).map(|(address, _)| self.find(*address)).collect();
            type Is = fn(&Flow) -> bool;
            let states: [(&str, Is); 4] = [
                ("succeeded", |f| f.answered > 0),
                ("failed", |f| f.answered == 0 && f.refused > 0),
                ("in progress", |f| f.answered == 0 && f.refused == 0 && f.asked > 0),
                ("waiting", |f| f.answered == 0 && f.refused == 0 && f.asked == 0),
            ];
            for (state, is) in states {
                let count = flows.iter().filter(|flow| is(flow)).count();
                if count > 0 {
                    let _ = write!(text, "; pairs with {kind}: {count} {state}");
                }
            }
        }
        let server = |address: &SocketAddr| self.servers.iter().any(|server| server.addresses.contains(address));
        let peers = self.flows.iter().filter(|(address, _)| !server(address)).map(|(_, flow)| flow);
        let (mut asked, mut received, mut dtls) = (0, 0, (0, 0));
        for flow in peers {
            asked += flow.asked;
            received += flow.answered + flow.checks_received + u32::from(flow.refused > 0) + flow.dtls_received;
            dtls = (dtls.0 + flow.dtls_sent, dtls.1 + flow.dtls_received);
        }
        if asked > 0 && received == 0 {
            text.push_str("; nothing was received");
        }
        match dtls {
            (1.., 0) => text.push_str("; DTLS was not answered"),
            (_, 1..) => text.push_str("; DTLS was answered"),
            _ => {}
        }
        for server in &self.servers {
            let flows: Vec<Flow> = server.addresses.iter().map(|address| self.find(*address)).collect();
            let protocol = if server.turn { "TURN" } else { "STUN" };
            let refused = flows.iter().map(|f| if server.turn { f.allocation_refused } else { f.refused }).max();
            let went = flows.iter().any(|flow| if server.turn { flow.relayed } else { flow.answered > 0 });
            let asked = flows.iter().any(|flow| if server.turn { flow.allocations > 0 } else { flow.asked > 0 });
            let kept = flows.iter().map(|flow| flow.permission_refused).max().unwrap_or(0);
            let lost = flows.iter().map(|flow| flow.refresh_refused).max().unwrap_or(0);
            let _ = match (went, refused.unwrap_or(0)) {
                _ if !server.failure.is_empty() => write!(text, "; {protocol} {}: {}", server.name, server.failure),
                (true, _) if server.turn && lost > 0 => {
                    write!(text, "; {protocol} {}: relay allocated, then refresh refused with {lost}", server.name)
                }
                (true, _) if server.turn && kept > 0 => {
                    write!(text, "; {protocol} {}: relay allocated, but permission refused with {kept}", server.name)
                }
                (true, _) if server.turn => write!(text, "; {protocol} {}: relay allocated", server.name),
                (true, _) => write!(text, "; {protocol} {}: answered", server.name),
                // The first request is always refused: the error carries what the next one is signed with.
                (false, code @ 1..) => write!(text, "; {protocol} {}: refused with {code}", server.name),
                (false, 0) if asked => write!(text, "; {protocol} {}: did not answer", server.name),
                (false, 0) => write!(text, "; {protocol} {}: not contacted yet", server.name),
            };
        }
        let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        Path { text, silent: asked > 0 && received == 0 }
    }
}

fn counted(counts: [u32; 4]) -> String {
    let parts: Vec<String> =
        KINDS.iter().zip(counts).filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::stun::COOKIE;
    use super::*;
    use std::net::IpAddr;

    fn stun(kind: u16, error: Option<u16>) -> Vec<u8> {
        let mut message = vec![0; 20];
        message[..2].copy_from_slice(&kind.to_be_bytes());
        message[4..8].copy_from_slice(&COOKIE);
        // Preceded by an attribute of odd length.
        message.extend([0x80, 0x22, 0, 1, b'x', 0, 0, 0]);
        if let Some(code) = error {
            message.extend([0, 9, 0, 4, 0, 0, (code / 100) as u8, (code % 100) as u8]);
        }
        message
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn silence_is_a_finding_and_an_answer_ends_it() {
        let trace = Trace::default();
        assert!(!trace.path().silent);
        trace.local("candidate:1 1 udp 1 192.0.2.7 4000 typ host");
        trace.local("candidate:2 1 udp 1 198.51.100.7 4000 typ srflx raddr 192.0.2.7 rport 4000");
        trace.remote_description("v=0\r\na=candidate:1 1 udp 5 192.0.2.1 3000 typ host\r\na=candidate:junk\r\n");
        trace.remote("candidate:2 1 udp 4 192.0.2.2 3000 typ relay");
        assert!(!trace.path().silent, "nothing was checked");
        for _ in 0..5 {
            trace.sent(at("192.0.2.1:3000"), &stun(0x0001, None));
        }
        let path = trace.path();
        assert!(path.silent);
        assert_eq!(
            path.text,
            "gathered 1 host, 1 srflx; the SFU sent 1 host, 1 relay; pairs with host: 1 in progress; pairs with \
             relay: 1 waiting; nothing was received"
        );
        // RTP, and datagrams that are not STUN, are ignored.
        trace.received(at("192.0.2.1:3000"), &[0x80, 111, 0, 1]);
        trace.received(at("192.0.2.1:3000"), &[1, 1, 0, 0]);
        assert!(trace.path().silent);
        trace.received(at("192.0.2.1:3000"), &stun(0x0101, None));
        trace.sent(at("192.0.2.1:3000"), &[22, 254, 253]);
        let path = trace.path();
        assert!(!path.silent);
        assert!(path.text.contains("pairs with host: 1 succeeded"), "{}", path.text);
        assert!(path.text.contains("DTLS was not answered"), "{}", path.text);
    }

    #[test]
    fn servers_are_listed_with_their_results() {
        let urls = [
            "turn:a.example.com?transport=udp",
            "turn:b.example.com:99",
            "turn:c.example.com",
            "turns:d.example.com:443?transport=tcp",
            "stun:[2001:db8::1]",
            "turn:e.example.com",
            "turn:f.example.com?transport=tcp",
        ];
        let server = IceServer { urls: urls.map(str::to_owned).to_vec(), ..IceServer::default() };
        let used: Vec<String> = [0, 1, 2, 3, 4, 5, 6].map(|index: usize| urls[index].to_owned()).to_vec();
        let trace = Trace::new(&[server], &used);
        trace.resolved(urls[0], &[at("192.0.2.1:3478")]);
        trace.resolved(urls[1], &[at("192.0.2.2:99")]);
        trace.resolved(urls[2], &[at("192.0.2.3:3478")]);
        trace.resolved(urls[4], &[at("[2001:db8::1]:3478")]);
        trace.resolved(urls[5], &[]);
        trace.unreachable(urls[3], "the certificate has expired");
        for address in ["192.0.2.1:3478", "192.0.2.2:99", "192.0.2.3:3478"] {
            trace.sent(at(address), &stun(0x0003, None));
        }
        trace.received(at("192.0.2.1:3478"), &stun(0x0113, Some(401)));
        trace.received(at("192.0.2.1:3478"), &stun(0x0103, None));
        trace.received(at("192.0.2.2:99"), &stun(0x0113, Some(401)));
        trace.sent(at("[2001:db8::1]:3478"), &stun(0x0001, None));
        trace.received(at("192.0.2.1:3478"), &stun(0x0118, Some(438)));
        assert!(trace.path().text.contains("a.example.com:3478: relay allocated;"));
        trace.received(at("192.0.2.1:3478"), &stun(0x0118, Some(403)));
        trace.received(at("192.0.2.1:3478"), &stun(0x0114, Some(438)));
        let path = trace.path();
        assert!(!path.silent, "servers are not the remote peer");
        for expected in [
            "TURN a.example.com:3478: relay allocated, but permission refused with 403",
            "TURN b.example.com:99: refused with 401",
            "TURN c.example.com:3478: did not answer",
            "TURN d.example.com:443 over TLS: the certificate has expired",
            "STUN [2001:db8::1]:3478: did not answer",
            "TURN e.example.com:3478: name look-up failed",
            "TURN f.example.com:3478 over TCP: not contacted yet",
        ] {
            assert!(path.text.contains(expected), "{expected} is not in {}", path.text);
        }
        trace.received(at("192.0.2.1:3478"), &stun(0x0114, Some(437)));
        let expected = "TURN a.example.com:3478: relay allocated, then refresh refused with 437";
        assert!(trace.path().text.contains(expected), "{}", trace.path().text);
        // Allocated again.
        trace.received(at("192.0.2.1:3478"), &stun(0x0103, None));
        assert!(!trace.path().text.contains("437"), "{}", trace.path().text);
    }

    #[test]
    fn garbage_is_bounded() {
        let urls = (0..100).map(|n| format!("turn:{}-{n}.example.com", "x".repeat(60))).collect();
        let trace = Trace::new(&[IceServer { urls, ..IceServer::default() }], &[]);
        for n in 0..10_000u16 {
            let address = SocketAddr::new(IpAddr::from([10, 0, (n >> 8) as u8, n as u8]), 9);
            trace.remote(&format!("candidate:1 1 udp 1 {} 9 typ host", address.ip()));
            trace.sent(address, &stun(0x0001, None));
            trace.received(address, &stun(0x0111, None));
            trace.received(address, &vec![1u8; usize::from(n)]);
        }
        let path = trace.path();
        assert!(path.text.len() <= MAX_TEXT);
        let seen = trace.0.lock();
        assert!(seen.remote.len() <= MAX_REMOTE && seen.flows.len() <= MAX_FLOWS && seen.servers.len() <= MAX_SERVERS);
    }
}
