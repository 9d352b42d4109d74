//! VP8 in RTP (RFC 7741): the payload descriptor, both ways, and the size in a key frame (RFC 6386 section 9.1).
//!
//! Must not know: order of packets, what a decoder does.

use super::codec::{PictureId, Piece, Size};

/// Largest payload descriptor, in bytes.
pub(super) const MAX_DESCRIPTOR: usize = 6;

/// Reads the payload descriptor (section 4.2) and the first bytes of a frame.
pub(super) fn parse(payload: &[u8]) -> Option<Piece> {
    let first = *payload.first()?;
    let mut at = 1;
    let mut piece = Piece::default();
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x80 != 0 {
            piece.picture = Some(read_picture_id(payload, &mut at)?);
        }
        if extension & 0x40 != 0 {
            piece.tl0 = Some(*payload.get(at)?);
            at += 1;
        }
        // TID and KEYIDX share a byte.
        if extension & 0x30 != 0 {
            let byte = *payload.get(at)?;
            at += 1;
            if extension & 0x20 != 0 {
                piece.temporal = byte >> 6;
                piece.sync = byte & 0x20 != 0;
            }
        }
    }
    let data = payload.get(at..).filter(|data| !data.is_empty())?;
    piece.start = at as u16;
    // The start of the first partition.
    piece.begins = first & 0x17 == 0x10;
    if piece.begins {
        piece.key = data[0] & 1 == 0;
        piece.size = if piece.key { key_frame_size(data) } else { None };
    }
    Some(piece)
}

/// A picture id of 7 or 15 bits: the same in VP9.
pub(super) fn read_picture_id(payload: &[u8], at: &mut usize) -> Option<PictureId> {
    let first = *payload.get(*at)?;
    *at += 1;
    if first & 0x80 == 0 {
        return Some(PictureId { number: u16::from(first), long: false });
    }
    let second = *payload.get(*at)?;
    *at += 1;
    Some(PictureId { number: u16::from_be_bytes([first & 0x7f, second]), long: true })
}

/// The size in a key frame.
pub(super) fn key_frame_size(frame: &[u8]) -> Option<Size> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = *frame.first_chunk()? else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let size = Size::new(side(w0, w1), side(h0, h1));
    (tag & 1 == 0 && size.width > 0 && size.height > 0).then_some(size)
}

/// What the descriptor of a sent frame contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// 15 bits.
    pub picture: u16,
    /// Temporal layer, sync flag and number of the last frame of the lowest layer; `None` with one layer.
    pub temporal: Option<(u8, bool, u8)>,
    /// No later frame refers to it.
    pub discardable: bool,
}

impl Descriptor {
    /// The descriptor of the frame's first packet or of the others, and its length.
    pub fn write(&self, first: bool) -> ([u8; MAX_DESCRIPTOR], usize) {
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        let head = 0x80 | u8::from(self.discardable) << 5 | u8::from(first) << 4;
        match self.temporal {
            None => ([head, 0x80, high, low, 0, 0], 4),
            Some((layer, sync, tl0)) => {
                ([head, 0xe0, high, low, tl0, (layer & 3) << 6 | u8::from(sync) << 5], MAX_DESCRIPTOR)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A VP8 frame of `length` (at least 10) bytes.
    pub fn frame(key: bool, size: Size, length: usize) -> Vec<u8> {
        let mut frame = vec![0x55; length.max(10)];
        frame[0] = 0x10 | u8::from(!key);
        if key {
            frame[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
            frame[6..8].copy_from_slice(&(size.width as u16).to_le_bytes());
            frame[8..10].copy_from_slice(&(size.height as u16).to_le_bytes());
        }
        frame
    }

    #[test]
    fn descriptors_are_read_as_written() {
        for picture in [0, 127, 128, 0x7fff] {
            for temporal in [None, Some((2, true, 255)), Some((0, false, 0))] {
                for first in [true, false] {
                    let descriptor = Descriptor { picture, temporal, discardable: false };
                    let (bytes, length) = descriptor.write(first);
                    let mut payload = bytes[..length].to_vec();
                    payload.extend(frame(true, Size::new(640, 360), 20));
                    let piece = parse(&payload).expect("a payload");
                    assert_eq!(piece.picture, Some(PictureId { number: picture, long: true }));
                    assert_eq!((usize::from(piece.start), piece.begins, piece.key), (length, first, first));
                    assert_eq!(piece.tl0, temporal.map(|(_, _, tl0)| tl0));
                    assert_eq!((piece.temporal, piece.sync), temporal.map_or((0, false), |(t, sync, _)| (t, sync)));
                    assert_eq!(piece.size, first.then_some(Size::new(640, 360)));
                }
            }
        }
    }

    #[test]
    fn every_form_of_the_descriptor() {
        // Without extension.
        assert_eq!(parse(&[0x10, 0]).map(|piece| (piece.begins, piece.key, piece.size)), Some((true, true, None)));
        assert_eq!(parse(&[0x10, 1]).map(|piece| (piece.begins, piece.key)), Some((true, false)));
        // The start of a later partition is not the start of a frame.
        assert_eq!(parse(&[0x11, 0]).map(|piece| (piece.begins, piece.key)), Some((false, false)));
        // 7 bits of picture id; KEYIDX without TID.
        let piece = parse(&[0x90, 0x90, 0x7f, 0xff, 1]).expect("a payload");
        assert_eq!(piece.picture, Some(PictureId { number: 127, long: false }));
        assert_eq!((piece.start, piece.temporal, piece.sync), (4, 0, false));
        for short in [&[][..], &[0x80], &[0x80, 0x80], &[0x80, 0x80, 0x80], &[0x80, 0xf0, 1, 2, 3], &[0x00]] {
            assert_eq!(parse(short), None, "{short:?}");
        }
    }

    #[test]
    fn sizes_have_14_bits_and_are_not_zero() {
        let mut bytes = frame(true, Size::new(16_383, 16_383), 10);
        assert_eq!(key_frame_size(&bytes), Some(Size::new(16_383, 16_383)));
        // The upper two bits are a scale for display.
        bytes[7] |= 0xc0;
        assert_eq!(key_frame_size(&bytes), Some(Size::new(16_383, 16_383)));
        assert_eq!(key_frame_size(&bytes[..9]), None);
        assert_eq!(key_frame_size(&frame(true, Size::new(0, 10), 10)), None);
        assert_eq!(key_frame_size(&frame(false, Size::new(1, 1), 10)), None);
    }
}
