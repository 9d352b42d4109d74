//! Redundant audio (RFC 2198): each packet also carries the frames before its own, so that a lost packet is recovered
//! from the next one.
//!
//! Must not know: what is in a frame, how packets travel, when to play.

use bytes::{BufMut, Bytes, BytesMut};

/// Maximum number of earlier frames sent in a packet.
pub const MAX_EARLIER: usize = 2;
/// Maximum number of earlier frames read from a packet: the newest of those present.
pub const MAX_BLOCKS: usize = 4;
/// A timestamp offset has 14 bits, a length 10.
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LENGTH: usize = (1 << 10) - 1;
/// Earlier frames are added only up to this packet size, so that it fits a datagram.
const MAX_PACKET: usize = 1_100;

/// An earlier frame inside a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// How much older than the packet it is, in ticks of the RTP clock.
    pub offset: u16,
    pub payload: Bytes,
}

/// A parsed packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub primary: Bytes,
    /// Newest first; empty ones only at the end.
    blocks: [Block; MAX_BLOCKS],
}

impl Parts {
    /// The earlier frames, newest first, each with its distance in packets: 1, 2, ….
    pub fn earlier(&self) -> impl Iterator<Item = (u16, &Block)> {
        (1..).zip(&self.blocks).filter(|(_, block)| !block.payload.is_empty())
    }
}

/// Parses a packet whose frames all have the payload type `inner`. `None`: it is malformed, or its primary frame has
/// another payload type. Earlier frames of another payload type, or empty ones, are left out.
pub fn parse(packet: &Bytes, inner: u8) -> Option<Parts> {
    let (mut headers, mut lengths) = (0, 0);
    loop {
        match *packet.get(headers..)? {
            [first, _, c, d, ..] if first & 0x80 != 0 => {
                lengths += usize::from(u16::from_be_bytes([c, d])) & MAX_LENGTH;
                headers += 4;
            }
            [first, ..] if first == inner => break,
            _ => return None,
        }
    }
    let mut at = headers + 1;
    if packet.len() <= at + lengths {
        return None;
    }
    let mut parts = Parts { primary: packet.slice(at + lengths..), blocks: Default::default() };
    let count = headers / 4;
    for index in 0..count {
        let [first, b, c, d] = *packet.get(4 * index..4 * index + 4)?.first_chunk()?;
        let offset = u16::from_be_bytes([b, c]) >> 2;
        let length = usize::from(u16::from_be_bytes([c, d])) & MAX_LENGTH;
        let back = count - index - 1;
        if back < MAX_BLOCKS && first & 0x7f == inner {
            parts.blocks[back] = Block { offset, payload: packet.slice(at..at + length) };
        }
        at += length;
    }
    Some(parts)
}

/// Makes packets of frames, each with a number of the frames before it.
#[derive(Debug)]
pub struct Encoder {
    /// Newest first.
    earlier: [(u32, Bytes); MAX_EARLIER],
    frames: usize,
}

impl Encoder {
    /// `frames`: number of earlier frames per packet, at most [`MAX_EARLIER`].
    pub fn new(frames: usize) -> Self {
        Self { earlier: Default::default(), frames: frames.min(MAX_EARLIER) }
    }

    /// The packet for this frame, with the payload type `inner`. An earlier frame that is too old or too long, or does
    /// not fit, is left out together with all frames before it: its position alone identifies it.
    pub fn packet(&mut self, timestamp: u32, frame: &Bytes, inner: u8) -> Bytes {
        let mut fitting = 0;
        let mut size = 1 + frame.len();
        let mut last = 0;
        for (at, earlier) in &self.earlier[..self.frames] {
            let offset = timestamp.wrapping_sub(*at);
            size += 4 + earlier.len();
            let fits = !earlier.is_empty() && earlier.len() <= MAX_LENGTH && offset <= MAX_OFFSET && offset > last;
            if !fits || size > MAX_PACKET {
                break;
            }
            last = offset;
            fitting += 1;
        }
        let mut packet = BytesMut::with_capacity(size);
        let sent = &self.earlier[..fitting];
        for (at, earlier) in sent.iter().rev() {
            packet.put_u8(0x80 | inner);
            packet.put_uint(u64::from(timestamp.wrapping_sub(*at)) << 10 | earlier.len() as u64, 3);
        }
        packet.put_u8(inner & 0x7f);
        sent.iter().rev().for_each(|(_, earlier)| packet.extend_from_slice(earlier));
        packet.extend_from_slice(frame);
        self.earlier.rotate_right(1);
        self.earlier[0] = (timestamp, frame.clone());
        packet.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earlier(packet: &Bytes) -> Vec<(u16, u16, Vec<u8>)> {
        let parts = parse(packet, 111).expect("a packet");
        parts.earlier().map(|(back, block)| (back, block.offset, block.payload.to_vec())).collect()
    }

    fn frame(i: u8) -> Bytes {
        Bytes::from(vec![i; 3 + usize::from(i)])
    }

    #[test]
    fn frames_come_again_with_the_next_packets() {
        let mut encoder = Encoder::new(2);
        let start = u32::MAX - 1_000;
        for i in 0..5u8 {
            let packet = encoder.packet(start.wrapping_add(960 * u32::from(i)), &frame(i), 111);
            assert_eq!(parse(&packet, 111).map(|parts| parts.primary), Some(frame(i)));
            let wanted: Vec<_> =
                (1..=i.min(2)).map(|back| (u16::from(back), 960 * u16::from(back), frame(i - back).to_vec())).collect();
            assert_eq!(earlier(&packet), wanted);
        }
        let packet = Encoder::new(1).packet(0, &frame(1), 111);
        assert_eq!(&packet[..], [111, 1, 1, 1, 1]);
    }

    #[test]
    fn frames_that_do_not_fit_are_omitted_with_all_earlier_ones() {
        let mut encoder = Encoder::new(2);
        encoder.packet(0, &frame(1), 111);
        // After a pause of more than 341 ms the earlier frame is not sent.
        assert_eq!(earlier(&encoder.packet(16_384, &frame(2), 111)), []);
        assert_eq!(earlier(&encoder.packet(32_767, &frame(3), 111)), [(1, 16_383, frame(2).to_vec())]);
        let long = Bytes::from(vec![7; 1_024]);
        encoder.packet(33_727, &long, 111);
        assert_eq!(earlier(&encoder.packet(34_687, &frame(4), 111)), [], "a frame of 1024 bytes, and those before it");
        assert_eq!(earlier(&encoder.packet(35_647, &frame(5), 111)).len(), 1);
        let large = Bytes::from(vec![7; 1_090]);
        let packet = encoder.packet(36_607, &large, 111);
        assert_eq!((packet.len(), earlier(&packet).len()), (1_091, 0), "no datagram grows too large");
    }

    #[test]
    fn other_kinds_and_malformed_packets() {
        let packet = Bytes::from_static(&[0x80 | 13, 0, 4, 2, 0x80 | 111, 0, 4, 1, 111, 1, 2, 3, 4, 5]);
        let parts = parse(&packet, 111).expect("a packet");
        assert_eq!(&parts.primary[..], [4, 5]);
        assert_eq!(earlier(&packet), [(1, 1, vec![3])]);
        for broken in [
            &[][..],
            &[111],
            &[13, 1],
            &[0x80 | 111, 0, 4],
            &[0x80 | 111, 0, 4, 2, 111, 1, 2],
            &[0x80 | 111, 0xff, 0xff, 0xff, 111, 1],
            &[0xff; 40],
        ] {
            assert_eq!(parse(&Bytes::copy_from_slice(broken), 111), None, "{broken:?}");
        }
        // More blocks than are kept: the newest are kept.
        let mut many = Vec::new();
        for i in 0..9u8 {
            many.extend_from_slice(&[0x80 | 111, 0, 4 * (9 - i), 1]);
        }
        many.push(111);
        many.extend(0..10);
        let blocks = earlier(&Bytes::from(many));
        assert_eq!(
            blocks.iter().map(|(back, offset, payload)| (*back, *offset, payload[0])).collect::<Vec<_>>(),
            [(1, 1, 8), (2, 2, 7), (3, 3, 6), (4, 4, 5)]
        );
    }

    /// Pseudo-random numbers below `limit`, the same in every run (xorshift64*).
    fn chance(state: &mut u64, limit: u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    #[test]
    fn no_bytes_panic_and_encoded_packets_decode() {
        let mut state = 7;
        let mut random = |limit: u64| chance(&mut state, limit);
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..random(60)).map(|_| random(256) as u8).collect();
            bytes.iter_mut().filter(|byte| **byte % 3 == 0).for_each(|byte| *byte = 0x80 | 111);
            if let Some(at) = bytes.get_mut(20) {
                *at = 111;
            }
            if let Some(parts) = parse(&Bytes::from(bytes), 111) {
                assert!(!parts.primary.is_empty() && parts.earlier().count() <= MAX_BLOCKS);
            }
        }
        let mut encoder = Encoder::new(2);
        let mut timestamp = random(1 << 32) as u32;
        let mut sent: Vec<(u32, Bytes)> = Vec::new();
        for _ in 0..5_000 {
            timestamp = timestamp.wrapping_add(if random(9) == 0 { 1 + random(40_000) as u32 } else { 960 });
            let frame = Bytes::from(vec![random(256) as u8; 1 + random(1_299) as usize]);
            let packet = encoder.packet(timestamp, &frame, 111);
            let parts = parse(&packet, 111).expect("its own packet");
            assert_eq!(parts.primary, frame);
            for (back, block) in parts.earlier() {
                let (at, earlier) = &sent[sent.len() - usize::from(back)];
                assert_eq!((timestamp.wrapping_sub(*at), earlier), (u32::from(block.offset), &block.payload));
            }
            sent.push((timestamp, frame));
        }
    }
}
