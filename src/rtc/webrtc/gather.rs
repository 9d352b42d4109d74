//! Local candidates: the sockets, and their addresses as seen by STUN servers (RFC 8489).
//!
//! Part of the engine's module; pure. Must not know: who receives candidates, sockets, name servers.

use rtc::crypto::RTCCryptoProvider;
use rtc::ice::candidate::CandidateConfig;
use rtc::peer_connection::transport::{
    CandidateHostConfig, CandidateRelayConfig, CandidateServerReflexiveConfig, RTCIceCandidate, RTCIceCandidateInit,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
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

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gather {
    queries: Vec<Query>,
    /// All candidates found.
    pub(super) found: Vec<RTCIceCandidateInit>,
}

/// A datagram to send: from, to, contents.
pub(super) type Outgoing = (SocketAddr, SocketAddr, Vec<u8>);

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
        self.add(host.new_candidate_host(), None);
    }

    fn reflexive(&mut self, seen: SocketAddr, local: SocketAddr, url: &str) {
        let (rel_addr, rel_port) = (local.ip().to_string(), local.port());
        let reflexive = CandidateServerReflexiveConfig { base_config: config(seen), rel_addr, rel_port, url: None };
        self.add(reflexive.new_candidate_server_reflexive(), Some(url));
    }

    pub(super) fn relayed(&mut self, relayed: SocketAddr, local: SocketAddr, url: &str) {
        let (rel_addr, rel_port) = (local.ip().to_string(), local.port());
        let relay = CandidateRelayConfig { base_config: config(relayed), rel_addr, rel_port, url: None };
        self.add(relay.new_candidate_relay(), Some(url));
    }

    fn add(&mut self, candidate: rtc::shared::error::Result<rtc::ice::candidate::Candidate>, url: Option<&str>) {
        let Ok(candidate) = candidate else { return };
        if let Ok(init) = RTCIceCandidate::from(&candidate).to_json() {
            self.found.push(RTCIceCandidateInit { url: url.map(str::to_owned), ..init });
        }
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
        // An address that is the same on both sides is not another candidate (RFC 8445 §5.1.3).
        if let Some(seen) = mapped(datagram).filter(|seen| *seen != query.local) {
            self.reflexive(seen, query.local, &query.url);
        }
        true
    }

    /// Requests to repeat now.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Outgoing> {
        self.queries.retain(|query| query.again > now || query.asked < MAX_ASKED);
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

/// The transaction id of a STUN response.
pub(super) fn transaction(datagram: &[u8]) -> Option<[u8; 12]> {
    let is_answer = datagram.len() >= 20 && datagram[4..8] == COOKIE && datagram[0] & 1 == 1;
    is_answer.then(|| datagram[8..20].try_into().ok()).flatten()
}

/// The attributes of a STUN message: type and value (RFC 8489 §14).
fn attributes(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram.get(20..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([c, d]));
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([a, b]), value))
    })
}

/// Whether a check is meant for the agent with this user name fragment and nominates its pair: a binding request with
/// USE-CANDIDATE (RFC 8445 §7.2.2, §16.1).
pub(super) fn nominates(datagram: &[u8], ufrag: &str) -> bool {
    let is_addressed = |user: &[u8]| user.strip_prefix(ufrag.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    datagram.starts_with(&[0, 1])
        && attributes(datagram).any(|(kind, _)| kind == 0x0025)
        && attributes(datagram).any(|(kind, user)| kind == 0x0006 && !ufrag.is_empty() && is_addressed(user))
}

/// The mapped address in a binding success response (RFC 8489 §14.1, §14.2).
fn mapped(datagram: &[u8]) -> Option<SocketAddr> {
    if datagram.get(..2)? != [1, 1] {
        return None;
    }
    let key: [u8; 16] = datagram.get(4..20)?.try_into().ok()?;
    let mut plain = None;
    for (kind, value) in attributes(datagram) {
        match kind {
            0x0020 => return address(value, &key),
            0x0001 => plain = address(value, &[0; 16]),
            _ => {}
        }
    }
    plain
}

fn address(value: &[u8], key: &[u8; 16]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([value.get(2)? ^ key[0], value.get(3)? ^ key[1]]);
    let unmasked = |n: usize| -> Option<Vec<u8>> {
        Some(value.get(4..4 + n)?.iter().zip(key).map(|(byte, key)| byte ^ key).collect())
    };
    let ip = match value.get(1)? {
        1 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(unmasked(4)?).ok()?)),
        2 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(unmasked(16)?).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
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
    fn a_nominating_check_is_recognised() {
        let message = |kind: [u8; 2], attributes: &[u8]| [&kind[..], &[0; 18], attributes].concat();
        let (user, nomination) = ([0, 6, 0, 3, b'a', b':', b'b', 0], [0, 0x25, 0, 0]);
        let both = [&user[..], &nomination].concat();
        let nominates_a = |kind: [u8; 2], attributes: &[u8]| nominates(&message(kind, attributes), "a");
        assert!(nominates_a([0, 1], &both));
        assert!(!nominates_a([0, 1], &user) && !nominates_a([0, 1], &nomination) && !nominates_a([1, 1], &both));
        // For another agent, and without a user name fragment.
        assert!(!nominates(&message([0, 1], &both), "ab") && !nominates(&message([0, 1], &both), ""));
        // A value that looks like the attribute, and wrong lengths.
        assert!(!nominates_a([0, 1], &[0, 6, 0, 4, 0, 0x25, 0, 0]));
        assert!(!nominates_a([0, 1], &[0, 6, 0, 9, 0, 0x25, 0, 0]) && !nominates(&[0, 1, 0, 0], "a"));
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
        let found: Vec<&str> = gather.found.iter().map(|found| found.candidate.as_str()).collect();
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
    }

    #[test]
    fn no_bytes_panic() {
        let mut state = 9u32;
        for length in 0..200usize {
            let mut bytes = vec![1, 1, 0, 0];
            bytes.extend(COOKIE);
            for _ in 0..length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 24) as u8 & [0xff, 0x23, 3][length % 3]);
            }
            let _ = (mapped(&bytes), transaction(&bytes));
        }
    }
}
