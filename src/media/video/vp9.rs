//! VP9 in RTP (RFC 9628): the payload descriptor, both ways, and the size in a key frame (VP9 bitstream section 6.2).
//!
//! Must not know: order of packets, what a decoder does.

use super::{
    bits::Bits,
    codec::{Differences, Piece, Size},
    vp8::read_picture_id,
};

/// Largest payload descriptor that is written: three references, sizes of three spatial layers.
pub(super) const MAX_DESCRIPTOR: usize = 1 + 2 + 1 + 3 + 1 + 3 * 4;

/// Reads the payload descriptor (section 4.2).
pub(super) fn parse(payload: &[u8]) -> Option<Piece> {
    read(payload).map(|(piece, _)| piece)
}

/// The size of a spatial layer, if this packet has the sizes of all of them.
pub(super) fn layer_size(payload: &[u8], spatial: u8) -> Option<Size> {
    read(payload)?.1.get(usize::from(spatial)).copied().flatten()
}

fn read(payload: &[u8]) -> Option<(Piece, [Option<Size>; 8])> {
    let first = *payload.first()?;
    let has = |bit: u8| first & bit != 0;
    let (predicted, flexible) = (has(0x40), has(0x10));
    let mut at = 1;
    let mut piece = Piece::default();
    if has(0x80) {
        piece.picture = Some(read_picture_id(payload, &mut at)?);
    }
    let mut depends_on_lower = false;
    if has(0x20) {
        let layers = *payload.get(at)?;
        at += 1;
        piece.temporal = layers >> 5;
        piece.sync = layers & 0x10 != 0;
        piece.spatial = layers >> 1 & 7;
        depends_on_lower = layers & 1 != 0;
        if !flexible {
            piece.tl0 = Some(*payload.get(at)?);
            at += 1;
        }
    }
    if flexible {
        let mut refers = Differences::default();
        let mut more = predicted;
        for index in 0.. {
            if !more {
                break;
            }
            // At most three.
            let byte = *payload.get(at).filter(|_| index < 3)?;
            at += 1;
            refers.add(byte >> 1);
            more = byte & 1 != 0;
        }
        // Without numbers, references mean nothing.
        piece.refers = piece.picture.map(|_| refers);
    }
    let mut sizes = [None; 8];
    if has(0x02) {
        sizes = scalability_structure(payload, &mut at)?;
        piece.size = sizes.get(usize::from(piece.spatial)).copied().flatten();
    }
    payload.get(at).map(|_| ())?;
    piece.start = at as u16;
    // A picture has one frame for each of its spatial layers. Its first is one that needs no other.
    piece.begins = has(0x08) && !depends_on_lower;
    piece.key = !predicted && piece.spatial == 0;
    Some((piece, sizes))
}

/// Reads the scalability structure (section 4.2.1): the sizes of the spatial layers, if it has them.
fn scalability_structure(payload: &[u8], at: &mut usize) -> Option<[Option<Size>; 8]> {
    let mut sizes = [None; 8];
    let head = *payload.get(*at)?;
    *at += 1;
    if head & 0x10 != 0 {
        for size in sizes.iter_mut().take(usize::from(head >> 5) + 1) {
            let [w0, w1, h0, h1] = *payload.get(*at..)?.first_chunk()?;
            *at += 4;
            let read = Size::new(u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into());
            *size = (read.width > 0 && read.height > 0).then_some(read);
        }
    }
    if head & 0x08 != 0 {
        let pictures = *payload.get(*at)?;
        *at += 1;
        for _ in 0..pictures {
            let references = *payload.get(*at)? >> 2 & 3;
            *at += 1 + usize::from(references);
        }
    }
    Some(sizes)
}

/// The size in the uncompressed header of a key frame.
pub(super) fn key_frame_size(frame: &[u8]) -> Option<Size> {
    let mut bits = Bits::new(frame);
    if bits.bits(2)? != 2 {
        return None;
    }
    let profile = bits.bits(1)? | bits.bits(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let (show_existing, inter) = (bits.flag()?, bits.flag()?);
    if show_existing || inter {
        return None;
    }
    bits.skip(2)?;
    if bits.bits(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let rgb = bits.bits(3)? == 7;
    match (rgb, profile & 1 == 1) {
        (false, false) => bits.skip(1)?,
        (false, true) => bits.skip(4)?,
        (true, true) => bits.skip(1)?,
        (true, false) => return None,
    }
    Some(Size::new(bits.bits(16)? + 1, bits.bits(16)? + 1))
}

/// What the descriptor of a sent frame contains; always in flexible mode, which lists the references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// 15 bits.
    pub picture: u16,
    /// The whole picture is a key picture: no frame of it refers to an earlier picture.
    pub key: bool,
    /// Spatial and temporal layer and sync flag; `None` with one layer.
    pub layer: Option<(u8, u8, bool)>,
    /// It refers to the lower spatial layer of its picture.
    pub on_lower: bool,
    /// No higher spatial layer of its picture refers to it.
    pub not_for_higher: bool,
    pub refers: Differences,
    /// Sizes of all spatial layers, lowest first, sent with the first packet of a key picture.
    pub sizes: [Option<Size>; 3],
}

impl Descriptor {
    /// The descriptor of a packet, and its length.
    pub fn write(&self, first: bool, last: bool) -> ([u8; MAX_DESCRIPTOR], usize) {
        let structure =
            first && self.key && self.layer.is_none_or(|(spatial, ..)| spatial == 0) && self.sizes[0].is_some();
        let mut bytes = [0; MAX_DESCRIPTOR];
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        bytes[0] = 0x90
            | u8::from(!self.key) << 6
            | u8::from(self.layer.is_some()) << 5
            | u8::from(first) << 3
            | u8::from(last) << 2
            | u8::from(structure) << 1
            | u8::from(self.not_for_higher);
        (bytes[1], bytes[2]) = (high, low);
        let mut at = 3;
        let mut put = |byte: u8| {
            bytes[at] = byte;
            at += 1;
        };
        if let Some((spatial, temporal, sync)) = self.layer {
            put((temporal & 7) << 5 | u8::from(sync) << 4 | (spatial & 7) << 1 | u8::from(self.on_lower));
        }
        if !self.key {
            // A predicted picture has at least one reference.
            let refers = if self.refers.as_slice().is_empty() { &[1][..] } else { self.refers.as_slice() };
            for (index, difference) in refers.iter().enumerate() {
                put(difference << 1 | u8::from(index + 1 < refers.len()));
            }
        }
        if structure {
            let count = self.sizes.iter().flatten().count() as u8;
            put((count - 1) << 5 | 0x10);
            for size in self.sizes.iter().flatten() {
                let side = |side: u32| (side.min(65_535) as u16).to_be_bytes();
                side(size.width).into_iter().chain(side(size.height)).for_each(&mut put);
            }
        }
        (bytes, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::video::codec::PictureId;

    fn key_frame(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        let mut writer = crate::media::video::bits::BitWriter::new(&mut bytes);
        writer.bits(2, 2);
        writer.bits(4, 0);
        writer.bits(2, 2);
        writer.bits(24, 0x49_83_42);
        writer.bits(4, 0);
        writer.bits(16, width - 1);
        writer.bits(16, height - 1);
        bytes
    }

    fn descriptor() -> Descriptor {
        Descriptor {
            picture: 0x7fff,
            key: false,
            layer: None,
            on_lower: false,
            not_for_higher: false,
            refers: Differences::of(&[4, 1]),
            sizes: [None; 3],
        }
    }

    #[test]
    fn descriptors_are_read_as_written() {
        for key in [true, false] {
            for layer in [None, Some((0, 2, true)), Some((2, 1, false))] {
                for (first, last) in [(true, false), (false, true), (true, true)] {
                    let sizes = [Some(Size::new(320, 180)), Some(Size::new(640, 360)), Some(Size::new(1280, 720))];
                    let spatial = layer.map_or(0, |(spatial, ..)| spatial);
                    let on_lower = key && spatial > 0;
                    let written = Descriptor { key, layer, on_lower, sizes, ..descriptor() };
                    let (bytes, length) = written.write(first, last);
                    let mut payload = bytes[..length].to_vec();
                    payload.push(7);
                    let piece = parse(&payload).expect("a payload");
                    assert_eq!(usize::from(piece.start), length);
                    assert_eq!(piece.picture, Some(PictureId { number: 0x7fff, long: true }));
                    assert_eq!(piece.begins, first && !on_lower);
                    assert_eq!(piece.key, key && spatial == 0);
                    assert_eq!((piece.spatial, piece.temporal), layer.map_or((0, 0), |(s, t, _)| (s, t)));
                    let refers = piece.refers.expect("flexible mode");
                    assert_eq!(refers.as_slice(), if key { &[][..] } else { &[4, 1] });
                    let states_sizes = first && key && spatial == 0;
                    assert_eq!(piece.size, sizes[0].filter(|_| states_sizes));
                    assert_eq!(layer_size(&payload, 2), sizes[2].filter(|_| states_sizes));
                }
            }
        }
    }

    #[test]
    fn the_other_mode_and_its_structure() {
        // I, L, B, E, V; picture 5; TID 1, U, SID 0; TL0PICIDX 9; N_S 0 with size and two pictures.
        let payload = [0xae, 5, 0x30, 9, 0x18, 2, 0x80, 1, 0x68, 2, 0x04, 1, 0x08, 1, 2, 0xff];
        let piece = parse(&payload).expect("a payload");
        assert_eq!((piece.tl0, piece.temporal, piece.sync, piece.key), (Some(9), 1, true, true));
        assert_eq!((piece.size, usize::from(piece.start)), (Some(Size::new(640, 360)), payload.len() - 1));
        for short in 0..payload.len() {
            assert_eq!(parse(&payload[..short]), None, "{short} bytes");
        }
        // Four references in flexible mode.
        assert_eq!(parse(&[0xd0, 5, 3, 3, 3, 2, 9]), None);
    }

    #[test]
    fn the_size_in_a_key_frame() {
        assert_eq!(key_frame_size(&key_frame(1920, 1080)), Some(Size::new(1920, 1080)));
        assert_eq!(key_frame_size(&key_frame(65_536, 1)), Some(Size::new(65_536, 1)));
        assert_eq!(key_frame_size(&key_frame(8, 8)[..8]), None);
        // An inter frame.
        assert_eq!(key_frame_size(&[0x86, 0, 0x49, 0x83, 0x42, 0, 0, 0, 0, 0, 0]), None);
    }
}
