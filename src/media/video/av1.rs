//! AV1 in RTP (AV1 RTP payload specification, section 4): aggregation header and OBU elements, both ways, and the size in
//! a sequence header (AV1 bitstream section 5.5). Frames are OBUs with their sizes, without temporal delimiters.
//!
//! Must not know: order of packets, what a decoder does, the dependency descriptor.

use super::{
    bits::Bits,
    codec::{Piece, Size},
};
use bytes::BufMut;
use std::ops::Range;

const SEQUENCE_HEADER: u8 = 1;
const DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Most OBUs of one frame that are sent: 128 tile groups and what is around them.
const MAX_OBUS: usize = 256;

fn kind(header: u8) -> u8 {
    header >> 3 & 15
}

/// OBUs that packets do not contain (section 5), and that are dropped from received ones.
fn is_dropped(header: u8) -> bool {
    matches!(kind(header), DELIMITER | TILE_LIST | PADDING)
}

/// A number in LEB128, and its length.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, index + 1));
        }
    }
    None
}

/// Length of a number in LEB128.
fn leb128_length(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

/// A number in LEB128: its bytes, and how many of them.
fn to_leb128(mut value: usize) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let length = leb128_length(value).min(10);
    for (index, byte) in bytes.iter_mut().take(length).enumerate() {
        *byte = (value & 0x7f) as u8 | u8::from(index + 1 < length) << 7;
        value >>= 7;
    }
    (bytes, length)
}

/// The OBU elements of a payload.
struct Elements<'a> {
    rest: &'a [u8],
    /// Elements still to come; `None`: up to the end, each with its length.
    count: Option<u8>,
    malformed: bool,
}

fn elements(payload: &[u8]) -> Elements<'_> {
    match payload {
        [head, rest @ ..] => {
            let count = head >> 4 & 3;
            Elements { rest, count: (count > 0).then_some(count), malformed: rest.is_empty() }
        }
        [] => Elements { rest: &[], count: None, malformed: true },
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.malformed || self.count == Some(0) || (self.count.is_none() && self.rest.is_empty()) {
            self.malformed |= self.count == Some(0) && !self.rest.is_empty();
            return None;
        }
        let last = self.count == Some(1);
        self.count = self.count.map(|count| count - 1);
        let element = if last {
            Some((std::mem::take(&mut self.rest), &[][..]))
        } else {
            leb128(self.rest).and_then(|(length, after)| self.rest[after..].split_at_checked(length))
        };
        match element {
            Some((element, rest)) if !element.is_empty() => {
                self.rest = rest;
                Some(element)
            }
            _ => {
                self.malformed = true;
                None
            }
        }
    }
}

/// Reads the aggregation header and the first OBU.
pub(super) fn parse(payload: &[u8]) -> Option<Piece> {
    let head = *payload.first()?;
    let (continues, new_sequence) = (head & 0x80 != 0, head & 0x08 != 0);
    let mut all = elements(payload);
    let first = all.next()?;
    if continues && new_sequence {
        return None;
    }
    let mut piece = Piece { key: new_sequence, ..Piece::default() };
    if !continues {
        if first[0] & 0x80 != 0 {
            return None;
        }
        piece.begins = new_sequence || matches!(kind(first[0]), SEQUENCE_HEADER | DELIMITER);
        if let (true, Some(layers)) = (first[0] & 4 != 0, first.get(1)) {
            (piece.temporal, piece.spatial) = (layers >> 5, layers >> 3 & 3);
        }
    }
    all.by_ref().for_each(drop);
    (!all.malformed).then_some(piece)
}

/// Appends the frame of these payloads. False: they do not fit together.
pub(super) fn join<'a>(payloads: impl Iterator<Item = &'a [u8]>, frame: &mut Vec<u8>) -> bool {
    let mut open = None;
    for payload in payloads {
        let (continues, continued) =
            payload.first().map_or((false, false), |head| (head & 0x80 != 0, head & 0x40 != 0));
        if continues != open.is_some() {
            return false;
        }
        let mut all = elements(payload);
        let mut next = all.next();
        while let Some(element) = next {
            let begin = open.take().unwrap_or(frame.len());
            frame.extend_from_slice(element);
            next = all.next();
            if next.is_none() && continued {
                open = Some(begin);
            } else if !close(frame, begin) {
                return false;
            }
        }
        if all.malformed {
            return false;
        }
    }
    open.is_none()
}

/// Gives the OBU from `begin` to the end its size.
fn close(frame: &mut Vec<u8>, begin: usize) -> bool {
    let Some(header) = frame.get(begin).copied() else { return false };
    let header_length = 1 + usize::from(header & 4 != 0);
    let Some(content) = (frame.len() - begin).checked_sub(header_length) else { return false };
    if header & 0x80 != 0 {
        return false;
    }
    if is_dropped(header) {
        frame.truncate(begin);
        return true;
    }
    if header & 2 != 0 {
        // It has its size already.
        let Some((length, after)) = leb128(&frame[begin + header_length..]) else { return false };
        return after.checked_add(length) == Some(content);
    }
    frame[begin] |= 2;
    let (bytes, length) = to_leb128(content);
    let at = begin + header_length;
    let end = frame.len();
    frame.resize(end + length, 0);
    frame.copy_within(at..end, at + length);
    frame[at..at + length].copy_from_slice(&bytes[..length]);
    true
}

/// An OBU in a frame: its header byte, without the size flag, and extension; its content.
#[derive(Clone, Debug)]
struct Obu {
    header: [u8; 2],
    header_length: usize,
    content: Range<usize>,
}

impl Obu {
    fn length(&self) -> usize {
        self.header_length + self.content.len()
    }
}

/// The OBUs of a frame. Ends at the first that is malformed.
fn obus(frame: &[u8]) -> impl Iterator<Item = Obu> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = *frame.get(at)?;
        if header & 0x80 != 0 {
            return None;
        }
        let header_length = 1 + usize::from(header & 4 != 0);
        let extension = if header_length == 2 { *frame.get(at + 1)? } else { 0 };
        let begin = at + header_length;
        let content = match header & 2 != 0 {
            true => {
                let (length, after) = leb128(frame.get(begin..)?)?;
                let begin = begin + after;
                begin..begin.checked_add(length).filter(|end| *end <= frame.len())?
            }
            false => begin..frame.len(),
        };
        at = content.end;
        Some(Obu { header: [header & !2, extension], header_length, content })
    })
}

/// The size in the first sequence header of a frame: the largest of all its layers.
pub(super) fn size(frame: &[u8]) -> Option<Size> {
    let header = obus(frame).take(16).find(|obu| kind(obu.header[0]) == SEQUENCE_HEADER)?;
    let mut bits = Bits::new(&frame[header.content]);
    bits.skip(4)?;
    if bits.flag()? {
        bits.skip(5)?;
    } else {
        operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
    Some(Size::new(bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1))
}

/// Skips timing information and operating points.
fn operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.ue()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.bits(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?;
        if bits.bits(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits {
            if bits.flag()? {
                bits.skip(2 * delay_bits + 1)?;
            }
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

/// A part of an OBU in a packet: the header if it is the first part, and a range of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    header: [u8; 2],
    header_length: usize,
    content: Range<usize>,
}

impl Part {
    fn length(&self) -> usize {
        self.header_length + self.content.len()
    }
}

/// Plans and writes the packets of frames; its memory is used again for each.
#[derive(Debug, Default)]
pub(super) struct Plan {
    parts: Vec<Part>,
    /// For each packet: its parts, and whether its first and last are continued from and in other packets.
    packets: Vec<(Range<usize>, bool, bool)>,
}

impl Plan {
    /// Plans the packets of a frame, each of at most `max` bytes (at least 16).
    pub fn make(&mut self, frame: &[u8], max: usize) {
        self.parts.clear();
        self.packets.clear();
        let max = max.max(16);
        let (mut from, mut room, mut continues) = (0, max - 1, false);
        for obu in obus(frame).filter(|obu| !is_dropped(obu.header[0])).take(MAX_OBUS) {
            let mut left = obu.length();
            let mut header_length = obu.header_length;
            let mut content = obu.content;
            while left > 0 {
                // An element needs its length of up to three bytes; small remainders are not worth a fragment.
                if room < 3 + left.min(8) {
                    self.packets.push((from..self.parts.len(), continues, false));
                    (from, room, continues) = (self.parts.len(), max - 1, false);
                }
                let taken = left.min(room - 3);
                let end = content.start + (taken - header_length);
                self.parts.push(Part { header: obu.header, header_length, content: content.start..end });
                content.start = end;
                left -= taken;
                room -= taken + leb128_length(taken);
                if left > 0 {
                    self.packets.push((from..self.parts.len(), continues, true));
                    (from, room, continues) = (self.parts.len(), max - 1, true);
                }
                header_length = 0;
            }
        }
        if from < self.parts.len() {
            self.packets.push((from..self.parts.len(), continues, false));
        }
    }

    pub fn packets(&self) -> usize {
        self.packets.len()
    }

    /// Appends packet `index`. `new_sequence`: the frame begins a coded video sequence.
    pub fn write(&self, index: usize, frame: &[u8], new_sequence: bool, payload: &mut impl BufMut) {
        let Some((parts, continues, continued)) = self.packets.get(index) else { return };
        let parts = &self.parts[parts.clone()];
        let count = if parts.len() <= 3 { parts.len() as u8 } else { 0 };
        let first = u8::from(new_sequence && index == 0) << 3;
        payload.put_u8(u8::from(*continues) << 7 | u8::from(*continued) << 6 | count << 4 | first);
        for (position, part) in parts.iter().enumerate() {
            if count == 0 || position + 1 < parts.len() {
                let (bytes, length) = to_leb128(part.length());
                payload.put_slice(&bytes[..length]);
            }
            payload.put_slice(&part.header[..part.header_length]);
            payload.put_slice(&frame[part.content.clone()]);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An OBU with its size.
    pub fn obu(kind: u8, extension: Option<u8>, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind << 3 | 2 | u8::from(extension.is_some()) << 2];
        bytes.extend(extension);
        let (size, length) = to_leb128(content.len());
        bytes.extend(&size[..length]);
        bytes.extend(content);
        bytes
    }

    /// A sequence header with this size.
    pub fn sequence_header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = [0; 32];
        let mut writer = crate::media::video::bits::BitWriter::new(&mut bytes);
        // Profile 0, no timing information, one operating point of level 8 with its tier.
        writer.bits(5, 0);
        writer.bits(2, 0);
        writer.bits(5, 0);
        writer.bits(12, 0);
        writer.bits(6, 8 << 1);
        writer.bits(4, 15);
        writer.bits(4, 15);
        writer.bits(16, width - 1);
        writer.bits(16, height - 1);
        let length = writer.finish().expect("it fits");
        obu(SEQUENCE_HEADER, None, &bytes[..length])
    }

    fn packets(frame: &[u8], max: usize) -> Vec<Vec<u8>> {
        let mut plan = Plan::default();
        plan.make(frame, max);
        let write = |index| {
            let mut payload = Vec::new();
            plan.write(index, frame, true, &mut payload);
            payload
        };
        (0..plan.packets()).map(write).collect()
    }

    #[test]
    fn frames_come_back_whole_in_every_packet_size() {
        let mut frame = sequence_header(1280, 720);
        frame.extend(obu(6, Some(0x28), &(0..2_000u32).map(|i| i as u8).collect::<Vec<_>>()));
        for i in 0..40u8 {
            frame.extend(obu(4, None, &vec![i; usize::from(i) * 3]));
        }
        assert_eq!(super::size(&frame), Some(Size::new(1280, 720)));
        let mut sent = obu(DELIMITER, None, &[]);
        sent.extend(&frame);
        sent.extend(obu(PADDING, None, &[1; 50]));
        for max in [16, 17, 18, 19, 50, 131, 132, 133, 1_200, 9_000] {
            let packets = packets(&sent, max);
            assert!(packets.iter().all(|packet| packet.len() <= max), "longer than {max}");
            let pieces: Vec<_> = packets.iter().map(|packet| parse(packet).expect("a payload")).collect();
            assert!(pieces[0].begins && pieces[0].key && pieces[1..].iter().all(|piece| !piece.key));
            let mut joined = Vec::new();
            assert!(join(packets.iter().map(|packet| &packet[..]), &mut joined), "{max}");
            assert_eq!(joined, frame, "packets of {max} bytes");
            if packets.len() > 2 {
                let without = packets.iter().skip(1).map(|packet| &packet[..]);
                let mut rest = Vec::new();
                // A hole is seen where an OBU goes over it; at other places the caller knows.
                assert!(!join(without, &mut rest) || rest.len() < frame.len());
            }
        }
    }

    #[test]
    fn every_form_of_elements() {
        // Two elements of which the first has its length; the OBU has its size.
        let payload = [0x28, 3, 0x0a, 1, 9, 0x30, 7];
        assert_eq!(parse(&payload).map(|piece| (piece.key, piece.begins)), Some((true, true)));
        let mut frame = Vec::new();
        assert!(join([&payload[..]].into_iter(), &mut frame));
        assert_eq!(frame, [0x0a, 1, 9, 0x32, 1, 7]);
        for broken in
            [&[][..], &[0x10], &[0x98, 0x0a], &[0x20, 9, 1], &[0x00, 0], &[0x00, 0x80], &[0x10, 0x80], &[0x20, 1, 9]]
        {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
        // A size that is not that of the element; the end of an OBU whose start is missing; one without its end.
        for broken in [&[0x10, 0x0a, 9, 1][..], &[0x90, 1, 2], &[0x50, 0x30, 2]] {
            assert!(!join([broken].into_iter(), &mut Vec::new()), "{broken:?}");
        }
        assert_eq!(leb128(&[0xff; 9]), None);
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 30] {
            let (bytes, length) = to_leb128(value);
            assert_eq!((leb128(&bytes), leb128_length(value)), (Some((value, length)), length));
        }
    }

    #[test]
    fn sequence_headers_cut_anywhere() {
        let whole = sequence_header(65_536, 1);
        assert_eq!(super::size(&whole), Some(Size::new(65_536, 1)));
        for length in 0..whole.len() {
            assert_eq!(super::size(&whole[..length]), None);
        }
    }
}
