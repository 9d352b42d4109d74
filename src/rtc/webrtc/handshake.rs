//! The DTLS handshake on the wire (RFC 6347): which datagrams contain nothing new. A retransmitted flight of the remote
//! peer disarms the engine's own retransmission; after a lost response both sides would then wait without limit.
//!
//! Part of the engine's module, but uses none of its types. Must not know: sockets, keys.

use super::crypto::{ALERT, HANDSHAKE};

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
