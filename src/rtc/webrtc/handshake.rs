//! The DTLS handshake on the wire (RFC 6347): which received datagrams contain nothing new, and when sent ones are sent
//! again. A retransmitted flight of the remote peer disarms the engine's own retransmission; after a lost response both
//! sides would then wait without limit. The engine retransmits after one second at the earliest, far longer than a round
//! trip.
//!
//! Part of the engine's module, but uses none of its types. Must not know: sockets, keys, the clock.

use super::crypto::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE};
use std::time::{Duration, Instant};

/// Maximum messages remembered; a handshake has some dozen.
const MAX_SEEN: usize = 256;
const CLIENT_HELLO: u8 = 1;

/// Content type, epoch and contents of a record.
pub(super) struct Record<'a> {
    pub(super) content: u8,
    pub(super) epoch: u16,
    pub(super) fragment: &'a [u8],
}

/// The well-formed records of a datagram.
pub(super) fn records(mut datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..13)?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let fragment = datagram.get(13..13 + length)?;
        datagram = &datagram[13 + length..];
        Some(Record { content: header[0], epoch: u16::from_be_bytes([header[3], header[4]]), fragment })
    })
}

/// Whether this side aborts its handshake with this datagram.
pub(super) fn gives_up(datagram: &[u8]) -> bool {
    records(datagram).any(|record| record.content == ALERT && record.epoch == 0 && record.fragment.first() == Some(&2))
}

/// The first repetition of a flight; each further one after twice the time.
const RESEND: Duration = Duration::from_millis(100);
/// Maximum repetitions of a flight, within 3.1 s.
const MAX_RESENDS: u32 = 5;
/// Least time between two repetitions, if the remote peer repeats its own flight.
const APART: Duration = Duration::from_millis(20);
/// Maximum datagrams of a flight that are remembered.
const MAX_FLIGHT: usize = 16;

/// The flight that was sent last, unchanged: a receiver that has it drops the repetition as a replay (RFC 6347 section
/// 4.1.2.6). `P`: where a datagram goes.
#[derive(Debug)]
pub(super) struct Flight<P> {
    datagrams: Vec<(P, Vec<u8>)>,
    sent_at: Option<Instant>,
    resent: u32,
    next: Option<Instant>,
}

impl<P> Default for Flight<P> {
    fn default() -> Self {
        Self { datagrams: Vec::new(), sent_at: None, resent: 0, next: None }
    }
}

impl<P: Clone> Flight<P> {
    /// The engine sends a datagram.
    pub fn sent(&mut self, now: Instant, path: P, datagram: &[u8]) {
        if !records(datagram).any(|record| matches!(record.content, HANDSHAKE | CHANGE_CIPHER_SPEC)) {
            return;
        }
        if self.sent_at != Some(now) {
            // The next flight, or the engine's own retransmission.
            *self = Self { sent_at: Some(now), next: Some(now + RESEND), ..Self::default() };
        }
        if self.datagrams.len() < MAX_FLIGHT {
            self.datagrams.push((path, datagram.to_vec()));
        }
    }

    /// The remote peer has received it.
    pub fn arrived(&mut self) {
        if self.sent_at.is_some() {
            *self = Self::default();
        }
    }

    /// The remote peer repeats the flight before: it lacks this one.
    pub fn is_missed(&mut self, now: Instant) {
        if self.next.is_some() {
            let earliest = self.sent_at.unwrap_or(now) + APART;
            self.next = self.next.map(|at| at.min(earliest.max(now)));
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// What is due to be sent again.
    pub fn due(&mut self, now: Instant) -> Vec<(P, Vec<u8>)> {
        if self.next.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.resent += 1;
        self.sent_at = Some(now);
        self.next = (self.resent < MAX_RESENDS).then(|| now + RESEND * (1 << self.resent));
        match self.next {
            Some(_) => self.datagrams.clone(),
            None => std::mem::take(&mut self.datagrams),
        }
    }
}

/// The messages received so far.
#[derive(Debug, Default)]
pub(super) struct SeenMessages(Vec<[u8; 12]>);

impl SeenMessages {
    /// Whether a datagram contains only messages received before.
    pub fn repeats(&mut self, datagram: &[u8]) -> bool {
        let mut repeats = true;
        let mut any = false;
        for record in records(datagram) {
            any = true;
            // Encrypted records may contain anything.
            if record.content != HANDSHAKE || record.epoch != 0 {
                repeats = false;
                continue;
            }
            let mut rest = record.fragment;
            while let Some(header) = rest.get(..12).and_then(|header| <[u8; 12]>::try_from(header).ok()) {
                let length = usize::from(u16::from_be_bytes([header[10], header[11]])) | usize::from(header[9]) << 16;
                if !self.knows(&header) {
                    repeats = false;
                    if self.0.len() < MAX_SEEN {
                        self.0.push(header);
                    }
                }
                rest = rest.get(12 + length..).unwrap_or_default();
            }
        }
        any && repeats
    }

    fn knows(&self, header: &[u8; 12]) -> bool {
        // The first ClientHello requests a cookie, which is sent once for each: until the client returns the cookie, it
        // must be able to request it again.
        let is_first = |h: &[u8; 12]| h[0] == CLIENT_HELLO && h[4..6] == [0, 0];
        if is_first(header) {
            return self.0.iter().any(|h| h[0] == CLIENT_HELLO && !is_first(h));
        }
        self.0.contains(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: u8, epoch: u16, fragment: &[u8]) -> Vec<u8> {
        let mut record = vec![content, 254, 253];
        record.extend(epoch.to_be_bytes());
        record.extend([0; 6]);
        record.extend((fragment.len() as u16).to_be_bytes());
        record.extend(fragment);
        record
    }

    fn message(kind: u8, number: u8, offset: u8) -> Vec<u8> {
        let body = [kind, 0, 0, 9, 0, number, 0, 0, offset, 0, 0, 3, 7, 7, 7];
        record(HANDSHAKE, 0, &body)
    }

    #[test]
    fn repeated_messages_are_recognised() {
        let mut seen_messages = SeenMessages::default();
        assert!(!seen_messages.repeats(&message(2, 1, 0)) && seen_messages.repeats(&message(2, 1, 0)));
        assert!(!seen_messages.repeats(&message(2, 1, 3)), "another fragment");
        assert!(!seen_messages.repeats(&[message(2, 1, 0), message(11, 2, 0)].concat()), "something new behind it");
        assert!(seen_messages.repeats(&[message(11, 2, 0), message(2, 1, 0)].concat()));
        for other in [record(HANDSHAKE, 1, b"encrypted"), record(20, 0, &[1]), Vec::new(), vec![HANDSHAKE; 5]] {
            assert!(!seen_messages.repeats(&other) && !seen_messages.repeats(&other), "{other:?}");
        }
    }

    #[test]
    fn a_flight_is_sent_again_until_it_has_arrived() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut flight = Flight::default();
        assert_eq!(flight.deadline(), None);
        for _ in 0..40 {
            flight.sent(at(0), 7, &message(11, 2, 0));
        }
        flight.sent(at(0), 7, &record(20, 0, &[1]));
        flight.sent(at(0), 7, &record(23, 1, b"data"));
        assert_eq!(flight.due(at(99)), []);
        let mut times = Vec::new();
        while let Some(next) = flight.deadline() {
            times.push(next.duration_since(begin).as_millis());
            assert_eq!(flight.due(next).len(), MAX_FLIGHT);
        }
        assert_eq!(times, [100, 300, 700, 1500, 3100]);
        assert!(flight.due(at(9_000)).is_empty() && flight.datagrams.is_empty());
        // The engine's own retransmission replaces it.
        flight.sent(at(10_000), 8, &message(11, 2, 0));
        flight.sent(at(11_000), 9, &message(11, 2, 0));
        assert_eq!(flight.due(at(11_100)), [(9, message(11, 2, 0))]);
        // The remote peer repeats itself, again and again.
        flight.is_missed(at(11_101));
        assert_eq!(flight.deadline(), Some(at(11_120)));
        flight.is_missed(at(11_150));
        assert_eq!((flight.due(at(11_150)).len(), flight.deadline()), (1, Some(at(11_550))));
        flight.arrived();
        flight.is_missed(at(11_160));
        assert_eq!((flight.deadline(), flight.due(at(20_000)).len()), (None, 0));
    }

    #[test]
    fn a_client_asks_for_a_cookie_until_it_has_one() {
        let mut seen_messages = SeenMessages::default();
        let (first, second) = (message(CLIENT_HELLO, 0, 0), message(CLIENT_HELLO, 1, 0));
        assert!(!seen_messages.repeats(&first) && !seen_messages.repeats(&first));
        assert!(!seen_messages.repeats(&second) && seen_messages.repeats(&second) && seen_messages.repeats(&first));
    }

    #[test]
    fn this_side_gives_up_in_the_clear() {
        assert!(gives_up(&record(ALERT, 0, &[2, 42])));
        for other in [record(ALERT, 0, &[1, 0]), record(ALERT, 1, &[2, 42]), record(HANDSHAKE, 0, &[2]), vec![ALERT]] {
            assert!(!gives_up(&other));
        }
    }

    #[test]
    fn no_bytes_panic() {
        let mut seen_messages = SeenMessages::default();
        let mut state = 3u32;
        for length in 0..600usize {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [22, 0, 1, (state >> 24) as u8][(state >> 16) as usize % 4]
                })
                .collect();
            seen_messages.repeats(&bytes);
            gives_up(&bytes);
        }
        assert!(seen_messages.0.len() <= MAX_SEEN);
    }
}
