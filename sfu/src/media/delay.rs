//! Network delay: holds datagrams for a while, as a fault requires.
//!
//! Pure: the caller passes the time. `peer` does the I/O.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Maximum datagrams in flight. More are lost, as in any network.
const CAPACITY: usize = 4096;

/// One direction of one peer connection. `A` is where a datagram comes from or goes to.
#[derive(Debug)]
pub struct DelayQueue<A> {
    in_flight: VecDeque<(Instant, A, Vec<u8>)>,
    rng: fastrand::Rng,
}

impl<A> DelayQueue<A> {
    pub fn new(seed: u64) -> Self {
        DelayQueue { in_flight: VecDeque::new(), rng: fastrand::Rng::with_seed(seed) }
    }

    /// True if no datagram is in flight.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Adds a datagram to or from `address`. It arrives after `delay` plus up to `jitter`. Returns false if it is lost.
    pub fn put(&mut self, now: Instant, delay: Duration, jitter: Duration, address: A, datagram: Vec<u8>) -> bool {
        if self.in_flight.len() >= CAPACITY {
            return false;
        }
        let due = now + delay + jitter.mul_f64(self.rng.f64());
        // Usually the last one, so search from the end.
        let at = self.in_flight.iter().rposition(|(d, ..)| *d <= due).map_or(0, |at| at + 1);
        self.in_flight.insert(at, (due, address, datagram));
        true
    }

    /// When the next datagram arrives.
    pub fn due(&self) -> Option<Instant> {
        self.in_flight.front().map(|(due, ..)| *due)
    }

    /// The next datagram, if it has arrived by `now`.
    pub fn take(&mut self, now: Instant) -> Option<(A, Vec<u8>)> {
        if self.due()? > now {
            return None;
        }
        self.in_flight.pop_front().map(|(_, address, datagram)| (address, datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn a_delay_queue_keeps_order_and_is_bounded() {
        let (begin, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let ms = Duration::from_millis;
        let mut queue = DelayQueue::new(1);
        for n in 0..100u8 {
            assert!(queue.put(begin + ms(u64::from(n)), ms(150), ms(0), address, vec![n]));
        }
        assert_eq!(queue.due(), Some(begin + ms(150)));
        assert!(queue.take(begin + ms(149)).is_none());
        let arrived: Vec<u8> = std::iter::from_fn(|| queue.take(begin + ms(199))).map(|(_, d)| d[0]).collect();
        assert_eq!(arrived, (0..50).collect::<Vec<u8>>());
        let mut queue = DelayQueue::new(1);
        let taken = (0..CAPACITY + 10).filter(|_| queue.put(begin, ms(10), ms(0), address, vec![])).count();
        assert_eq!(taken, CAPACITY);
    }

    #[test]
    fn jitter_lets_packets_overtake() {
        let (begin, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let ms = Duration::from_millis;
        let mut queue = DelayQueue::new(7);
        for n in 0..100u8 {
            assert!(queue.put(begin + ms(u64::from(n)), ms(50), ms(30), address, vec![n]));
        }
        let arrived: Vec<u8> = std::iter::from_fn(|| queue.take(begin + ms(1000))).map(|(_, d)| d[0]).collect();
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        assert!(sorted == (0..100).collect::<Vec<u8>>() && arrived != sorted);
    }
}
