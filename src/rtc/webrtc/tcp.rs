//! ICE over TCP (RFC 6544), active: which TCP candidates of the remote peer are tried, when, and on which streams.
//!
//! They are tried only if no pair is in use shortly after they are known: a connection that UDP carries costs no
//! stream. Part of the engine's module; pure. Must not know: sockets, checks.

use rtc::shared::{TransportContext, TransportProtocol};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long UDP has the pairs for itself: a round trip nearby.
const AFTER: Duration = Duration::from_millis(40);
/// Maximum remote candidates.
const MAX_CANDIDATES: usize = 8;
/// Maximum streams open at a time.
const MAX_STREAMS: usize = 8;

#[derive(Debug)]
struct Stream {
    number: u32,
    /// The local candidate: its port is a placeholder.
    local: SocketAddr,
    to: SocketAddr,
    /// It carried more than checks.
    used: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TcpPairs {
    /// Remote candidates: address and attribute.
    known: Vec<(SocketAddr, String)>,
    /// How many of them are tried.
    tried: usize,
    /// Local candidates that the engine has.
    pub(super) locals: Vec<IpAddr>,
    /// When they are tried.
    at: Option<Instant>,
    streams: Vec<Stream>,
}

impl TcpPairs {
    /// A remote candidate; true if it is new.
    pub(super) fn add(&mut self, now: Instant, address: SocketAddr, candidate: &str) -> bool {
        if self.known.len() >= MAX_CANDIDATES || self.known.iter().any(|(known, _)| *known == address) {
            return false;
        }
        self.known.push((address, candidate.to_owned()));
        self.at.get_or_insert(now + AFTER);
        true
    }

    /// When to call [`TcpPairs::due`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at.filter(|_| self.tried < self.known.len())
    }

    /// The candidates that are tried from now on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(SocketAddr, String)> {
        if self.deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let due = self.known[self.tried..].to_vec();
        self.tried = self.known.len();
        due
    }

    /// The remote peer has new credentials: a stream belongs to the old ones (RFC 6544 section 7.1). Returns the
    /// streams to close. If one carried media, the new candidates are tried at once.
    pub(super) fn restart(&mut self, now: Instant) -> Vec<u32> {
        let used = self.streams.iter().any(|stream| stream.used);
        (self.known, self.tried, self.locals, self.at) = (Vec::new(), 0, Vec::new(), used.then_some(now));
        self.streams.drain(..).map(|stream| stream.number).collect()
    }

    /// The number of the stream of a pair, if it is open.
    pub(super) fn stream(&mut self, local: SocketAddr, to: SocketAddr, checks: bool) -> Option<u32> {
        let of_pair = |stream: &&mut Stream| (stream.local.ip(), stream.to) == (local.ip(), to);
        let stream = self.streams.iter_mut().find(of_pair)?;
        stream.used |= !checks;
        Some(stream.number)
    }

    /// Records a new stream; false: there are too many.
    pub(super) fn open(&mut self, number: u32, local: SocketAddr, to: SocketAddr) -> bool {
        let room = self.streams.len() < MAX_STREAMS;
        if room {
            self.streams.push(Stream { number, local, to, used: false });
        }
        room
    }

    /// The pair of a stream, as the engine names it.
    pub(super) fn pair(&self, number: u32) -> Option<TransportContext> {
        let stream = self.streams.iter().find(|stream| stream.number == number)?;
        Some(TransportContext {
            local_addr: stream.local,
            peer_addr: stream.to,
            transport_protocol: TransportProtocol::TCP,
            ecn: None,
        })
    }

    /// A stream has ended; true if it was one of these.
    pub(super) fn ended(&mut self, number: u32) -> bool {
        let before = self.streams.len();
        self.streams.retain(|stream| stream.number != number);
        self.streams.len() != before
    }

    /// A pair is in use: returns the streams of the others, which are to be closed.
    pub(super) fn unused(&mut self) -> Vec<u32> {
        let unused = self.streams.iter().filter(|stream| !stream.used).map(|stream| stream.number).collect();
        self.streams.retain(|stream| stream.used);
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn udp_comes_first_and_a_restart_keeps_what_works() {
        let now = Instant::now();
        let (local, to) = (at("10.0.0.1:9"), at("10.0.0.2:7881"));
        let mut pairs = TcpPairs::default();
        assert_eq!(pairs.deadline(), None);
        assert!(pairs.add(now, to, "a") && !pairs.add(now, to, "a again"));
        assert_eq!(pairs.deadline(), Some(now + AFTER));
        assert!(pairs.due(now).is_empty());
        assert_eq!(pairs.due(now + AFTER), [(to, "a".to_owned())]);
        assert_eq!(pairs.deadline(), None);
        // A later one follows at once.
        assert!(pairs.add(now + AFTER, at("10.0.0.3:7881"), "b"));
        assert_eq!(pairs.due(now + AFTER).len(), 1);
        assert!(pairs.open(1, local, to) && pairs.open(2, local, at("10.0.0.3:7881")));
        assert_eq!(pairs.stream(local, to, true), Some(1));
        assert_eq!(pairs.stream(at("10.0.0.1:0"), to, false), Some(1));
        assert_eq!(pairs.unused(), [2]);
        assert!(pairs.pair(1).is_some() && pairs.pair(2).is_none());
        assert_eq!(pairs.restart(now), [1]);
        assert!(pairs.add(now, to, "c"));
        assert_eq!(pairs.due(now).len(), 1, "TCP worked before");
        assert!(pairs.restart(now).is_empty());
        assert!(pairs.add(now, to, "d") && pairs.due(now).is_empty(), "it was not used since");
    }

    #[test]
    fn candidates_and_streams_are_bounded() {
        let now = Instant::now();
        let mut pairs = TcpPairs::default();
        for n in 1..1_000u16 {
            pairs.add(now, SocketAddr::new(IpAddr::from([10, 0, 0, 1]), n), "x");
            pairs.open(u32::from(n), at("10.0.0.2:9"), SocketAddr::new(IpAddr::from([10, 0, 0, 1]), n));
        }
        assert_eq!((pairs.known.len(), pairs.streams.len()), (MAX_CANDIDATES, MAX_STREAMS));
    }
}
