//! Local candidates: the sockets, and their addresses as seen by STUN servers (RFC 8489).
//!
//! Part of the engine's module; pure. Must not know: who receives candidates, sockets, name servers.

use super::super::stun::{mapped, transaction, COOKIE};
use rtc::crypto::RTCCryptoProvider;
use rtc::ice::candidate::CandidateConfig;
use rtc::ice::tcp_type::TcpType;
use rtc::peer_connection::transport::{
    CandidateHostConfig, CandidateRelayConfig, CandidateServerReflexiveConfig, RTCIceCandidate, RTCIceCandidateInit,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request is repeated after this time, then after twice as long, and so on.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const MAX_ASKED: u32 = 6;

/// A request to a STUN server.
#[derive(Debug)]
struct Query {
    id: [u8; 12],
    local: SocketAddr,
    server: SocketAddr,
    url: String,
    asked: u32,
    again: Instant,
}

impl Query {
    fn request(&self) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend(COOKIE);
        request.extend(self.id);
        request
    }
}

/// A candidate, and the socket from which its packets are sent; unspecified: a stream.
#[derive(Clone, Debug)]
pub(super) struct Found {
    base: SocketAddr,
    pub(super) init: RTCIceCandidateInit,
    /// Its address, if it is on a relay.
    relayed: Option<SocketAddr>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gather {
    queries: Vec<Query>,
    /// All candidates found.
    pub(super) found: Vec<Found>,
    /// URLs of the servers that answered, and of those that did not and were given up.
    answered: Vec<String>,
    silent: Vec<String>,
}

/// A datagram to send: from, to, contents.
pub(super) type Outgoing = (SocketAddr, SocketAddr, Vec<u8>);

/// How a relay's server is reached, best first: the preference of its candidate (RFC 8445 section 5.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// A local candidate for connections to the remote peer's TCP candidates (RFC 6544 section 4.5). Its port is a
/// placeholder.
pub(super) fn active(ip: std::net::IpAddr) -> Option<RTCIceCandidateInit> {
    let base_config = CandidateConfig { network: "tcp".to_owned(), ..config(SocketAddr::new(ip, 9)) };
    let candidate = CandidateHostConfig { base_config, tcp_type: TcpType::Active }.new_candidate_host().ok()?;
    RTCIceCandidate::from(&candidate).to_json().ok()
}

fn config(address: SocketAddr) -> CandidateConfig {
    CandidateConfig {
        network: "udp".to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..CandidateConfig::default()
    }
}

impl Gather {
    pub(super) fn host(&mut self, local: SocketAddr) {
        let host = CandidateHostConfig { base_config: config(local), ..Default::default() };
        self.add(host.new_candidate_host(), None, local);
    }

    fn reflexive(&mut self, seen: SocketAddr, local: SocketAddr, url: &str) {
        let (rel_addr, rel_port) = (local.ip().to_string(), local.port());
        let reflexive = CandidateServerReflexiveConfig { base_config: config(seen), rel_addr, rel_port, url: None };
        self.add(reflexive.new_candidate_server_reflexive(), Some(url), local);
    }

    /// `hides`: the candidate does not name the local address.
    pub(super) fn relayed(
        &mut self,
        relayed: SocketAddr,
        local: SocketAddr,
        (url, transport): (&str, Transport),
        hides: bool,
    ) {
        let related = if hides || local.port() == 0 { (Ipv4Addr::UNSPECIFIED, 9).into() } else { local };
        let (rel_addr, rel_port) = (related.ip().to_string(), related.port());
        let preference = match transport {
            Transport::Udp => 2,
            Transport::Tcp => 1,
            Transport::Tls => 0,
        };
        // Type, local preference, component 1.
        let base_config = CandidateConfig { priority: preference << 24 | 65_535 << 8 | 255, ..config(relayed) };
        let relay = CandidateRelayConfig { base_config, rel_addr, rel_port, url: None };
        self.add(relay.new_candidate_relay(), Some(url), local);
        if let Some(found) = self.found.last_mut().filter(|found| found.init.url.as_deref() == Some(url)) {
            found.relayed = Some(relayed);
        }
    }

    fn add(
        &mut self,
        candidate: rtc::shared::error::Result<rtc::ice::candidate::Candidate>,
        url: Option<&str>,
        base: SocketAddr,
    ) {
        let Ok(candidate) = candidate else { return };
        if let Ok(init) = RTCIceCandidate::from(&candidate).to_json() {
            let init = RTCIceCandidateInit { url: url.map(str::to_owned), ..init };
            self.found.push(Found { base, init, relayed: None });
        }
    }

    /// Drops what belongs to a socket that is closed; unspecified: to the streams.
    pub(super) fn forget(&mut self, base: SocketAddr) {
        self.queries.retain(|query| query.local != base);
        self.found.retain(|found| found.base != base);
    }

    pub(super) fn forget_relayed(&mut self, relayed: SocketAddr) {
        self.found.retain(|found| found.relayed != Some(relayed));
    }

    /// The URLs of servers that were given up since the last call and never answered.
    pub(super) fn take_silent(&mut self) -> Vec<String> {
        let answered = &self.answered;
        std::mem::take(&mut self.silent).into_iter().filter(|url| !answered.contains(url)).collect()
    }

    /// Asks a STUN server for the mapped address of a socket.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        (local, server): (SocketAddr, SocketAddr),
        url: &str,
        random: &Arc<dyn RTCCryptoProvider>,
    ) -> Option<Outgoing> {
        let mut id = [0; 12];
        random.random().fill(&mut id).ok()?;
        let query = Query { id, local, server, url: url.to_owned(), asked: 1, again: now + ASK_AGAIN };
        let request = query.request();
        self.queries.push(query);
        Some((local, server, request))
    }

    /// Whether a datagram answers a pending request; whatever the response, the request is then done.
    pub(super) fn answered(&mut self, datagram: &[u8]) -> bool {
        let Some(id) = transaction(datagram) else { return false };
        let Some(index) = self.queries.iter().position(|query| query.id == id) else { return false };
        let query = self.queries.swap_remove(index);
        if !self.answered.contains(&query.url) {
            self.answered.push(query.url.clone());
        }
        // An address that is the same on both sides is not another candidate (RFC 8445 §5.1.3).
        if let Some(seen) = mapped(datagram).filter(|seen| *seen != query.local) {
            self.reflexive(seen, query.local, &query.url);
        }
        true
    }

    /// Requests to repeat now.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Outgoing> {
        let is_over = |query: &Query| query.again <= now && query.asked >= MAX_ASKED;
        for query in self.queries.iter().filter(|query| is_over(query)) {
            if !self.silent.contains(&query.url) {
                self.silent.push(query.url.clone());
            }
        }
        self.queries.retain(|query| !is_over(query));
        let due = self.queries.iter_mut().filter(|query| query.again <= now);
        due.map(|query| {
            query.again = now + ASK_AGAIN * (1 << query.asked);
            query.asked += 1;
            (query.local, query.server, query.request())
        })
        .collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queries.iter().map(|query| query.again).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn answer(request: &[u8], seen: SocketAddr) -> Vec<u8> {
        let mut answer = vec![1, 1, 0, 12];
        answer.extend(&request[4..20]);
        let SocketAddr::V4(seen) = seen else { panic!("IPv4") };
        answer.extend([0, 0x20, 0, 8, 0, 1]);
        answer.extend((seen.port() ^ 0x2112).to_be_bytes());
        answer.extend(seen.ip().octets().iter().zip(COOKIE).map(|(a, b)| a ^ b));
        answer
    }

    #[test]
    fn a_server_reports_the_mapped_address() {
        let random = rtc::crypto::default_provider().expect("cryptography");
        let (local, server, now) = (at("10.0.0.7:4000"), at("192.0.2.1:3478"), Instant::now());
        let mut gather = Gather::default();
        gather.host(local);
        let (from, to, request) = gather.ask(now, (local, server), "stun:s", &random).expect("a question");
        assert_eq!((from, to, request.len()), (local, server, 20));
        assert!(!gather.answered(&[1, 1, 0, 0]) && !gather.answered(&answer(&[9; 20], at("198.51.100.7:5000"))));
        assert!(gather.answered(&answer(&request, at("198.51.100.7:5000"))));
        assert!(!gather.answered(&answer(&request, at("198.51.100.7:5000"))), "once");
        let found: Vec<&str> = gather.found.iter().map(|found| found.init.candidate.as_str()).collect();
        assert!(found[0].contains(" 10.0.0.7 4000 typ host"), "{found:?}");
        assert!(found[1].ends_with(" 198.51.100.7 5000 typ srflx raddr 10.0.0.7 rport 4000"), "{found:?}");
        let (_, _, request) = gather.ask(now, (local, server), "stun:s", &random).expect("a question");
        assert!(gather.answered(&answer(&request, local)) && gather.found.len() == 2, "there is no translator");
    }

    #[test]
    fn a_silent_server_is_asked_some_times() {
        let random = rtc::crypto::default_provider().expect("cryptography");
        let begun = Instant::now();
        let mut gather = Gather::default();
        assert!(gather.ask(begun, (at("10.0.0.7:4000"), at("192.0.2.1:3478")), "stun:s", &random).is_some());
        let mut asked = 1;
        while let Some(deadline) = gather.deadline() {
            assert!(gather.timeout(deadline - Duration::from_millis(1)).is_empty());
            asked += gather.timeout(deadline).len() as u32;
            assert!(deadline < begun + Duration::from_secs(60));
        }
        assert_eq!(asked, MAX_ASKED);
        assert_eq!((gather.take_silent(), gather.take_silent()), (vec!["stun:s".to_owned()], Vec::new()));
    }
}
