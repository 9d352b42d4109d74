//! Checks SCTP packets (RFC 9260) before the engine sees them: rejects those that its code mishandles or does unbounded
//! work for.
//!
//! Part of the engine's module, but uses none of its types. Must not know: DTLS, data channels, who sends.

/// How far ahead of the received TSNs a packet may refer: each TSN costs the engine a check.
const MAX_AHEAD: u32 = 16_384;
/// Maximum streams that the remote peer may ever use; the engine iterates over all of them for each packet.
const MAX_STREAMS: usize = 256;
/// Maximum pending stream resets: the engine checks each of them for each TSN received.
const MAX_RESETS: usize = 16;
/// Maximum INITs of the one remote association.
const MAX_INITS: u32 = 8;
const HEADER: usize = 12;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const ABORT: u8 = 6;
const ERROR: u8 = 9;
const RECONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
const OUTGOING_RESET: u16 = 13;
const RESET_RESPONSE: u16 = 16;
const IN_PROGRESS: u32 = 6;

/// State of the association. One per peer connection.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// All TSNs up to this one were received.
    come: Option<u32>,
    /// Initiate tag and initial TSN of the remote association.
    init: Option<(u32, u32)>,
    inits: u32,
    streams: Vec<u16>,
    resets: Vec<u32>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Calls `each` with type and value (without its header of four bytes) of every part that fills `bytes`; false if a
/// length is wrong or `each` returns false.
fn parts(mut bytes: &[u8], each: &mut dyn FnMut(u16, &[u8]) -> bool) -> bool {
    while !bytes.is_empty() {
        let (Some(kind), Some(length)) = (u16_at(bytes, 0), u16_at(bytes, 2)) else { return false };
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { return false };
        if !each(kind, value) {
            return false;
        }
        // The padding of the last one may be missing.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

impl Check {
    /// Whether a remote packet may be passed to the engine.
    pub fn received(&mut self, packet: &[u8]) -> bool {
        if packet.len() < HEADER + 4 {
            return false;
        }
        // In a chunk header the first byte is the type, the second the flags.
        parts(&packet[HEADER..], &mut |kind, value| self.chunk((kind >> 8) as u8, value))
    }

    fn chunk(&mut self, kind: u8, value: &[u8]) -> bool {
        match kind {
            DATA => self.data(value).is_some(),
            INIT | INIT_ACK => self.init(value).is_some(),
            SACK => sack(value).is_some(),
            ABORT | ERROR => parts(value, &mut |_, _| true),
            RECONFIG => parts(value, &mut |kind, value| match kind {
                OUTGOING_RESET => self.reset(value).is_some(),
                _ => true,
            }),
            FORWARD_TSN => self.forward(value).is_some(),
            _ => true,
        }
    }

    /// Whether a TSN is in the expected range.
    fn near(&self, tsn: u32) -> Option<()> {
        let ahead = tsn.wrapping_sub(self.come?);
        (ahead <= MAX_AHEAD || ahead > u32::MAX / 2).then_some(())
    }

    fn data(&mut self, value: &[u8]) -> Option<()> {
        self.near(u32_at(value, 0)?)?;
        let stream = u16_at(value, 4)?;
        // Even an empty message has one byte (RFC 8831 §6.6).
        if value.len() <= 12 {
            return None;
        }
        if !self.streams.contains(&stream) {
            if self.streams.len() >= MAX_STREAMS {
                return None;
            }
            self.streams.push(stream);
        }
        Some(())
    }

    fn init(&mut self, value: &[u8]) -> Option<()> {
        let (tag, first) = (u32_at(value, 0)?, u32_at(value, 12)?);
        self.inits += 1;
        if self.inits > MAX_INITS || self.init.is_some_and(|known| known != (tag, first)) {
            return None;
        }
        if self.init.is_none() {
            (self.init, self.come) = (Some((tag, first)), Some(first.wrapping_sub(1)));
        }
        parts(&value[16..], &mut |_, _| true).then_some(())
    }

    fn forward(&self, value: &[u8]) -> Option<()> {
        self.near(u32_at(value, 0)?)
    }

    fn reset(&mut self, value: &[u8]) -> Option<()> {
        let request = u32_at(value, 0)?;
        (value.len() >= 12).then_some(())?;
        if !self.resets.contains(&request) {
            if self.resets.len() >= MAX_RESETS {
                return None;
            }
            self.resets.push(request);
        }
        Some(())
    }

    /// Records what this side sends: received TSNs, and completed resets.
    pub fn sent(&mut self, packet: &[u8]) {
        let Some(chunks) = packet.get(HEADER..) else { return };
        parts(chunks, &mut |kind, value| {
            match (kind >> 8) as u8 {
                SACK => self.come = u32_at(value, 0).or(self.come),
                RECONFIG => {
                    parts(value, &mut |kind, value| {
                        if kind == RESET_RESPONSE && u32_at(value, 4) != Some(IN_PROGRESS) {
                            let done = u32_at(value, 0);
                            self.resets.retain(|request| Some(*request) != done);
                        }
                        true
                    });
                }
                _ => {}
            }
            true
        });
    }
}

/// Bounds the work of walking over the gaps.
fn sack(value: &[u8]) -> Option<()> {
    let (gaps, doubles) = (usize::from(u16_at(value, 8)?), usize::from(u16_at(value, 10)?));
    (value.len() == 12 + 4 * (gaps + doubles)).then_some(())?;
    let mut numbers = 0u32;
    for gap in value[12..12 + 4 * gaps].chunks_exact(4) {
        let (start, end) = (u16_at(gap, 0)?, u16_at(gap, 2)?);
        numbers += u32::from(end.checked_sub(start)?) + 1;
    }
    (numbers <= MAX_AHEAD).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(chunks: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        for (kind, value) in chunks {
            packet.extend([*kind, 0]);
            packet.extend((value.len() as u16 + 4).to_be_bytes());
            packet.extend(value);
            packet.resize(packet.len().next_multiple_of(4), 0);
        }
        packet
    }

    fn one(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        packet(&[(kind, parts.concat())])
    }

    fn init(tag: u32, first: u32) -> Vec<u8> {
        one(INIT, &[&tag.to_be_bytes(), &[0; 8], &first.to_be_bytes(), &[0xc0, 0, 0, 4]])
    }

    fn data(tsn: u32, stream: u16) -> Vec<u8> {
        one(DATA, &[&tsn.to_be_bytes(), &stream.to_be_bytes(), &[0; 6], b"x"])
    }

    fn begun() -> Check {
        let mut check = Check::default();
        assert!(check.received(&init(7, 1_000)));
        check
    }

    #[test]
    fn valid_association_packets_pass() {
        let mut check = begun();
        assert!(check.received(&init(7, 1_000)), "it may be repeated");
        for tsn in 1_000..1_100 {
            assert!(check.received(&data(tsn, tsn as u16 % 3)));
        }
        check.sent(&one(SACK, &[&1_099u32.to_be_bytes(), &[0; 8]]));
        assert!(check.received(&data(1_099 + MAX_AHEAD, 1)) && check.received(&data(1_000, 1)), "late ones, too");
        assert!(check.received(&one(SACK, &[&[0; 8], &[0, 1, 0, 1], &[0, 2, 0, 9], &[0; 4]])));
        assert!(check.received(&one(ABORT, &[&[0, 12, 0, 6, b'b', b'y']])) && check.received(&one(ABORT, &[])));
        assert!(check.received(&one(4, &[&[0, 1, 0, 8, 1, 2, 3, 4]])) && check.received(&one(10, &[b"cookie"])));
        // Two chunks in one packet, the last without its padding.
        let mut two = packet(&[(11, vec![]), (DATA, [&1_101u32.to_be_bytes()[..], &[0; 8], b"x"].concat())]);
        two.truncate(two.len() - 3);
        assert!(check.received(&two));
    }

    #[test]
    fn causes_with_a_wrong_length_are_refused() {
        for cause in [&[0u8, 12, 0, 9, 0, 0, 0, 0][..], &[0, 12, 0, 3], &[0, 12, 0xff, 0xff], &[0, 12]] {
            for kind in [ABORT, ERROR] {
                assert!(!begun().received(&one(kind, &[cause])), "{cause:?}");
            }
        }
    }

    #[test]
    fn numbers_far_ahead_are_refused() {
        let forward = |tsn: u32| one(FORWARD_TSN, &[&tsn.to_be_bytes()]);
        let mut check = begun();
        assert!(check.received(&forward(1_010)) && check.received(&forward(999 + MAX_AHEAD)));
        for far in [1_000 + MAX_AHEAD, 999 + (1 << 31) - 1] {
            assert!(!check.received(&forward(far)) && !check.received(&data(far, 0)), "{far}");
        }
        check.sent(&one(SACK, &[&5_000u32.to_be_bytes(), &[0; 8]]));
        assert!(check.received(&forward(5_000 + MAX_AHEAD)));
        assert!(!Check::default().received(&forward(1)), "there is no association");
        assert!(!check.received(&one(SACK, &[&[0; 8], &[0, 1, 0, 0], &[0, 1, 0xff, 0xff]])), "a gap of 65,535");
        assert!(!check.received(&one(SACK, &[&[0; 8], &[0, 9, 0, 0], &[0, 1, 0, 2]])), "gaps that are not there");
    }

    #[test]
    fn streams_resets_and_beginnings_are_bounded() {
        let mut check = begun();
        let opened = (0..2_000u16).filter(|stream| check.received(&data(1_000, *stream))).count();
        assert_eq!(opened, MAX_STREAMS);
        assert!(!check.received(&one(DATA, &[&1_000u32.to_be_bytes(), &[0; 8]])), "data of no bytes");
        let reset = |n: u32| {
            let request = [&[0, 13, 0, 18][..], &n.to_be_bytes(), &[0; 4], &(1u32 << 30).to_be_bytes(), &[0, 1, 0, 0]];
            one(RECONFIG, &[&request.concat()])
        };
        let waiting = (0..100).filter(|n| check.received(&reset(*n))).count();
        assert_eq!(waiting, MAX_RESETS);
        let response = |result: u32| {
            let response = [&[0, 16, 0, 12][..], &3u32.to_be_bytes(), &result.to_be_bytes()];
            one(RECONFIG, &[&response.concat()])
        };
        check.sent(&response(IN_PROGRESS));
        assert!(!check.received(&reset(200)));
        check.sent(&response(1));
        assert!(check.received(&reset(200)) && !check.received(&reset(201)), "one is done");
        let begun = (0..100).filter(|_| check.received(&init(7, 1_000))).count();
        assert!(begun < MAX_INITS as usize);
        assert!(!super::tests::begun().received(&init(8, 1_000)), "another association");
    }

    #[test]
    fn no_bytes_panic() {
        let mut state = 1u32;
        let mut check = begun();
        for length in 0..400usize {
            for kind in [DATA, INIT, INIT_ACK, SACK, ABORT, ERROR, RECONFIG, FORWARD_TSN, 77] {
                let mut bytes = vec![0; HEADER];
                bytes.push(kind);
                for _ in 0..length {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes.push((state >> 24) as u8 & [0xff, 0x0f, 1][length % 3]);
                }
                check.received(&bytes);
                check.sent(&bytes);
                check.received(&bytes[..bytes.len() / 2]);
            }
        }
    }
}
