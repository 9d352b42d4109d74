//! A long line: datagrams that are under way for a while, as a fault asks for.
//!
//! Pure; is handed the time. What sends and receives is `peer`.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Datagrams under way at once; more are lost, as in any line.
const CAPACITY: usize = 4096;

/// One direction of one peer connection.
#[derive(Debug)]
pub struct Line {
    under_way: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    rng: fastrand::Rng,
}

impl Line {
    pub fn new(seed: u64) -> Self {
        Line { under_way: VecDeque::new(), rng: fastrand::Rng::with_seed(seed) }
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes a datagram to or from `address`; it arrives after `delay` and up to `jitter` more. False: it is lost.
    pub fn put(
        &mut self,
        now: Instant,
        delay: Duration,
        jitter: Duration,
        address: SocketAddr,
        datagram: Vec<u8>,
    ) -> bool {
        if self.under_way.len() >= CAPACITY {
            return false;
        }
        let due = now + delay + jitter.mul_f64(self.rng.f64());
        // Mostly the last, so looked for from there.
        let at = self.under_way.iter().rposition(|(d, ..)| *d <= due).map_or(0, |at| at + 1);
        self.under_way.insert(at, (due, address, datagram));
        true
    }

    /// When the next one arrives.
    pub fn due(&self) -> Option<Instant> {
        self.under_way.front().map(|(due, ..)| *due)
    }

    /// The next one, if it has arrived by now.
    pub fn take(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        if self.due()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, address, datagram)| (address, datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_delays_keeps_order_and_is_bounded() {
        let (begin, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let ms = Duration::from_millis;
        let mut line = Line::new(1);
        for n in 0..100u8 {
            assert!(line.put(begin + ms(u64::from(n)), ms(150), ms(0), address, vec![n]));
        }
        assert_eq!(line.due(), Some(begin + ms(150)));
        assert!(line.take(begin + ms(149)).is_none());
        let arrived: Vec<u8> = std::iter::from_fn(|| line.take(begin + ms(199))).map(|(_, d)| d[0]).collect();
        assert_eq!(arrived, (0..50).collect::<Vec<u8>>());
        let mut line = Line::new(1);
        let taken = (0..CAPACITY + 10).filter(|_| line.put(begin, ms(10), ms(0), address, vec![])).count();
        assert_eq!(taken, CAPACITY);
    }

    #[test]
    fn jitter_lets_packets_overtake() {
        let (begin, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let ms = Duration::from_millis;
        let mut line = Line::new(7);
        for n in 0..100u8 {
            assert!(line.put(begin + ms(u64::from(n)), ms(50), ms(30), address, vec![n]));
        }
        let arrived: Vec<u8> = std::iter::from_fn(|| line.take(begin + ms(1000))).map(|(_, d)| d[0]).collect();
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        assert!(sorted == (0..100).collect::<Vec<u8>>() && arrived != sorted);
    }
}
