//! H264 in RTP (RFC 6184): single NAL units, STAP-A and FU-A, both ways (packetization modes 0 and 1), and the size in a
//! sequence parameter set (H.264 section 7.3.2.1). Frames are in Annex B form, with start codes of four bytes.
//!
//! Must not know: order of packets, what a decoder does.

use super::{
    bits::Bits,
    codec::{Piece, Size},
};
use std::ops::Range;

const IDR: u8 = 5;
const SPS: u8 = 7;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Sequence parameter sets are read up to this length; the size is near their front.
const MAX_SPS: usize = 512;

/// Reads a payload: which NAL units it contains or is a part of.
pub(super) fn parse(payload: &[u8]) -> Option<Piece> {
    let first = *payload.first()?;
    let mut piece = Piece::default();
    match first & 0x1f {
        1..=23 if payload.len() > 1 => note(&mut piece, payload),
        STAP_A => {
            let mut rest = &payload[1..];
            while !rest.is_empty() {
                let (unit, after) = aggregated(rest)?;
                note(&mut piece, unit);
                rest = after;
            }
            (payload.len() > 1).then_some(())?;
        }
        FU_A if payload.len() > 2 => {
            let kind = payload[1] & 0x1f;
            piece.key = kind == IDR;
            piece.begins = payload[1] & 0x80 != 0 && matches!(kind, SPS | DELIMITER);
        }
        _ => return None,
    }
    Some(piece)
}

/// Records a whole NAL unit.
fn note(piece: &mut Piece, unit: &[u8]) {
    match unit[0] & 0x1f {
        IDR => piece.key = true,
        SPS => {
            (piece.begins, piece.parameters) = (true, true);
            piece.size = size_of_sps(unit).or(piece.size);
        }
        DELIMITER => piece.begins = true,
        _ => {}
    }
}

/// The first NAL unit of a STAP-A without its header, and what follows.
fn aggregated(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 {
        return None;
    }
    rest.split_at_checked(length)
}

/// Appends the frame of these payloads. False: a fragment is missing.
pub(super) fn join<'a>(payloads: impl Iterator<Item = &'a [u8]>, frame: &mut Vec<u8>) -> bool {
    let mut open = None;
    for payload in payloads {
        let Some(first) = payload.first() else { continue };
        let fragment = first & 0x1f == FU_A;
        if open.is_some() && !fragment {
            return false;
        }
        match (first & 0x1f, payload) {
            (1..=23, _) => {
                frame.extend_from_slice(&START_CODE);
                frame.extend_from_slice(payload);
            }
            (STAP_A, [_, units @ ..]) => {
                let mut rest = units;
                while !rest.is_empty() {
                    let Some((unit, after)) = aggregated(rest) else { return false };
                    frame.extend_from_slice(&START_CODE);
                    frame.extend_from_slice(unit);
                    rest = after;
                }
            }
            (FU_A, [indicator, header, data @ ..]) => {
                let unit = indicator & 0xe0 | header & 0x1f;
                match (header & 0x80 != 0, open) {
                    (true, None) => {
                        frame.extend_from_slice(&START_CODE);
                        frame.push(unit);
                    }
                    (false, Some(opened)) if opened == unit => {}
                    _ => return false,
                }
                frame.extend_from_slice(data);
                open = (header & 0x40 == 0).then_some(unit);
            }
            _ => return false,
        }
    }
    open.is_none()
}

/// The NAL units of a frame in Annex B form, as ranges. Zeros before a start code belong to none.
pub(super) fn units(frame: &[u8]) -> Units<'_> {
    let next = next_start(frame, 0).map_or(frame.len(), |(_, after)| after);
    Units { frame, next }
}

#[derive(Clone, Debug)]
pub(super) struct Units<'a> {
    frame: &'a [u8],
    next: usize,
}

impl Iterator for Units<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.next < self.frame.len() {
            let begin = self.next;
            let (end, after) = next_start(self.frame, begin).unwrap_or((self.frame.len(), self.frame.len()));
            self.next = after;
            if end > begin {
                return Some(begin..end);
            }
        }
        None
    }
}

/// The next start code from `from` on: where the zeros before it begin, and where it ends.
fn next_start(frame: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let [a, b, c] = *frame.get(at..)?.first_chunk()?;
        match (a, b, c) {
            (0, 0, 1) => break,
            (_, _, 2..) => at += 3,
            _ => at += 1,
        }
    }
    let zeros = frame[from..at].iter().rev().take_while(|byte| **byte == 0).count();
    Some((at - zeros, at + 3))
}

/// The size in the first sequence parameter set of a frame.
pub(super) fn size(frame: &[u8]) -> Option<Size> {
    units(frame).take(16).find(|unit| frame[unit.start] & 0x1f == SPS).and_then(|unit| size_of_sps(&frame[unit]))
}

/// The size in a sequence parameter set, after cropping.
fn size_of_sps(unit: &[u8]) -> Option<Size> {
    // Without the bytes that prevent start codes (section 7.4.1.1).
    let mut bytes = [0; MAX_SPS];
    let (mut length, mut zeros) = (0, 0);
    for byte in unit.iter().skip(1).take(MAX_SPS) {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes[length] = *byte;
        length += 1;
    }
    let mut bits = Bits::new(&bytes[..length]);
    let profile = bits.bits(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let mut chroma = 1;
    let mut separate = false;
    if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
        chroma = bits.ue()?;
        if chroma == 3 {
            separate = bits.flag()?;
        }
        // Bit depths, and whether the transform is left out.
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(256) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)?;
    let (across, down) = (u64::from(bits.ue()?) + 1, u64::from(bits.ue()?) + 1);
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (across * 16, down * 16 * fields);
    if bits.flag()? {
        let (unit_x, unit_y) = match (chroma, separate) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        };
        let mut crop = || bits.ue().map(u64::from);
        let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
        width = width.checked_sub((left + right) * unit_x)?;
        height = height.checked_sub((top + bottom) * unit_y * fields)?;
    }
    // More is not allowed by any level.
    let fits = |side: u64| (1..=16_384).contains(&side);
    (fits(width) && fits(height)).then(|| Size::new(width as u32, height as u32))
}

fn scaling_list(bits: &mut Bits<'_>, length: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..length {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// A packet of a frame to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// This NAL unit as it is.
    Single(Range<usize>),
    /// The next so many NAL units, from this offset on, in a STAP-A of this length.
    Aggregate { from: usize, count: usize, length: usize },
    /// A part of the NAL unit that has this header byte: the indicator and header of its FU-A, and the data.
    Fragment([u8; 2], Range<usize>),
}

/// Plans the packets of a frame, each of at most `max` bytes (at least 8).
pub(super) fn plan(frame: &[u8], max: usize, mut planned: impl FnMut(Planned)) {
    let max = max.max(8);
    let mut together: Option<(Range<usize>, usize, usize)> = None;
    for unit in units(frame) {
        let fits = |length: usize| length + 2 + unit.len() <= max && unit.len() <= usize::from(u16::MAX);
        together = match together {
            Some((first, count, length)) if fits(length) => Some((first, count + 1, length + 2 + unit.len())),
            before => {
                flush(before, &mut planned);
                if unit.len() <= max {
                    Some((unit.clone(), 1, 3 + unit.len()))
                } else {
                    fragments(frame[unit.start], unit, max, &mut planned);
                    None
                }
            }
        };
    }
    flush(together, &mut planned);
}

fn flush(together: Option<(Range<usize>, usize, usize)>, planned: &mut impl FnMut(Planned)) {
    match together {
        Some((unit, 1, _)) => planned(Planned::Single(unit)),
        Some((unit, count, length)) => planned(Planned::Aggregate { from: unit.start, count, length }),
        None => {}
    }
}

fn fragments(header: u8, unit: Range<usize>, max: usize, planned: &mut impl FnMut(Planned)) {
    let data = unit.start + 1..unit.end;
    let count = data.len().div_ceil(max - 2);
    let each = data.len().div_ceil(count);
    for index in 0..count {
        let from = data.start + index * each;
        let to = (from + each).min(data.end);
        let flags = u8::from(index == 0) << 7 | u8::from(index + 1 == count) << 6;
        planned(Planned::Fragment([header & 0xe0 | FU_A, flags | header & 0x1f], from..to));
    }
}

/// Appends a planned packet.
pub(super) fn write(frame: &[u8], planned: &Planned, payload: &mut impl bytes::BufMut) {
    match planned {
        Planned::Single(unit) => payload.put_slice(&frame[unit.clone()]),
        Planned::Aggregate { from, count, .. } => {
            // Importance and the error bit of the most important unit (section 5.7.1).
            let rest = Units { frame, next: *from };
            let head = rest.clone().take(*count).map(|unit| frame[unit.start]);
            let importance = head.clone().map(|byte| byte & 0x60).max().unwrap_or(0);
            payload.put_u8(head.fold(0, |error, byte| error | byte & 0x80) | importance | STAP_A);
            for unit in rest.take(*count) {
                payload.put_u16(unit.len() as u16);
                payload.put_slice(&frame[unit]);
            }
        }
        Planned::Fragment(head, data) => {
            payload.put_slice(head);
            payload.put_slice(&frame[data.clone()]);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame of these NAL units.
    pub fn frame(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| START_CODE.iter().chain(unit.iter())).copied().collect()
    }

    fn packets(frame: &[u8], max: usize) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        plan(frame, max, |planned| {
            let mut payload = Vec::new();
            write(frame, &planned, &mut payload);
            packets.push(payload);
        });
        packets
    }

    /// A sequence parameter set of baseline profile.
    pub fn sps(across: u32, down: u32, crop: Option<[u32; 4]>) -> Vec<u8> {
        let mut bytes = [0; 64];
        let mut writer = crate::media::video::bits::BitWriter::new(&mut bytes);
        let ue = |writer: &mut crate::media::video::bits::BitWriter<'_>, value: u32| {
            let width = 32 - (value + 1).leading_zeros();
            writer.bits(width - 1, 0);
            writer.bits(width, value + 1);
        };
        writer.bits(32, 0x67_42_c0_1e);
        [0, 0, 2, 1].into_iter().for_each(|value| ue(&mut writer, value));
        writer.flag(false);
        ue(&mut writer, across - 1);
        ue(&mut writer, down - 1);
        writer.bits(2, 3);
        writer.flag(crop.is_some());
        crop.into_iter().flatten().for_each(|value| ue(&mut writer, value));
        writer.bits(2, 1);
        let length = writer.finish().expect("it fits");
        bytes[..length].to_vec()
    }

    #[test]
    fn sizes_with_and_without_cropping() {
        for (across, down, crop, size) in [
            (120, 68, Some([0, 0, 0, 4]), Size::new(1920, 1080)),
            (80, 45, None, Size::new(1280, 720)),
            (1, 1, Some([0, 7, 0, 7]), Size::new(2, 2)),
        ] {
            let unit = sps(across, down, crop);
            let bytes = frame(&[&[0x09, 0x10], &unit, &[0x68, 1, 2]]);
            assert_eq!(super::size(&bytes), Some(size));
            assert!(parse(&unit).is_some_and(|piece| piece.parameters && piece.begins && piece.size == Some(size)));
        }
        assert!(Size::new(2, 2).is_blank());
        assert_eq!(size_of_sps(&sps(1, 1, Some([0, 0, 9, 9]))), None, "more is cropped than there is");
        // High profile with scaling lists, all bits set: read to its end without a size.
        assert_eq!(size_of_sps(&[0x67, 100, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn frames_come_back_whole_in_every_packet_size() {
        let sps = sps(80, 45, None);
        let slice: Vec<u8> = std::iter::once(0x65).chain((0..3_000u32).map(|i| (i % 251 + 4) as u8)).collect();
        let small = [0x06, 5, 1, 2, 3];
        let bytes = frame(&[&[0x09, 0x10], &sps, &[0x68, 0xce, 0x3c, 0x80], &small, &slice, &[0x41, 9]]);
        for max in [8, 20, 100, 1_200, 5_000, 70_000] {
            let packets = packets(&bytes, max);
            assert!(packets.iter().all(|packet| packet.len() <= max));
            assert!(packets.iter().all(|packet| parse(packet).is_some()));
            assert!(parse(&packets[0]).is_some_and(|piece| piece.begins));
            assert!(packets.iter().any(|packet| parse(packet).is_some_and(|piece| piece.key)));
            let mut joined = Vec::new();
            assert!(join(packets.iter().map(|packet| &packet[..]), &mut joined));
            assert_eq!(joined, bytes, "packets of {max} bytes");
        }
        // Parameter sets travel together, in front.
        let first = &packets(&bytes, 1_200)[0];
        assert_eq!((first[0], first[0] & 0x60), (0x78, 0x60));
    }

    #[test]
    fn missing_fragments_are_not_joined() {
        let slice: Vec<u8> = std::iter::once(0x65).chain((0..3_000u32).map(|i| (i % 251 + 4) as u8)).collect();
        let bytes = frame(&[&slice]);
        let packets = packets(&bytes, 800);
        for missing in [0, packets.len() - 1] {
            let left = packets.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, packet)| &packet[..]);
            assert!(!join(left, &mut Vec::new()), "without packet {missing}");
        }
        let mixed = [&packets[0][..], &[0x41, 1, 2], &packets[1][..]];
        assert!(!join(mixed.into_iter(), &mut Vec::new()));
        for broken in
            [&[][..], &[0x41], &[24], &[24, 0], &[24, 0, 0], &[24, 0, 5, 1], &[28, 0x85], &[25, 1, 2], &[0, 1, 2]]
        {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn start_codes_of_three_bytes_and_zeros_between_units() {
        let bytes = [0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0, 0, 1, 0x65, 0, 3, 0];
        let found: Vec<_> = units(&bytes).map(|unit| bytes[unit].to_vec()).collect();
        // The last byte may be data: a frame that is encrypted can end with a zero.
        assert_eq!(found, [vec![0x67, 1], vec![0x68, 2], vec![0x65, 0, 3, 0]]);
        assert_eq!(units(&[]).count() + units(&[1, 2, 3]).count() + units(&[0, 0, 1]).count(), 0);
    }
}
