//! Decides whether a whole picture can be decoded after those handed out before it, by what the codecs and the
//! dependency descriptor say about references.
//!
//! Must not know: packets, sequence numbers, time.

use super::{
    codec::{Codec, Piece},
    descriptor,
};
use bytes::Bytes;

/// The last 128 numbers of a sequence: which of them were handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    newest: u16,
    /// Bit `n`: the number `n` before the newest.
    known: u128,
}

impl Recent {
    fn insert(&mut self, number: u16, mask: u16) {
        let ahead = number.wrapping_sub(self.newest) & mask;
        if self.known == 0 || (128..=mask / 2).contains(&ahead) {
            *self = Self { newest: number, known: 1 };
        } else if ahead <= mask / 2 {
            self.known = self.known.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.newest = number;
        } else if let Some(bit) = 1u128.checked_shl((self.newest.wrapping_sub(number) & mask).into()) {
            self.known |= bit;
        }
    }

    fn contains(&self, number: u16, mask: u16) -> bool {
        let back = self.newest.wrapping_sub(number) & mask;
        self.known.checked_shr(back.into()).is_some_and(|known| known & 1 == 1)
    }
}

/// A whole picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    pub codec: Codec,
    /// Of its first packet, with what its other packets add.
    pub piece: Piece,
}

/// What to do with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Decodable,
    /// Not decodable; later pictures of lower layers may be.
    Skip,
    /// Nothing is decodable until the next key frame.
    Broken,
}

/// What was handed out so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Continuity {
    codec: Option<Codec>,
    /// A sequence parameter set was handed out.
    parameters: bool,
    picture: Option<u16>,
    pictures: Recent,
    tl0: Option<u8>,
    reader: descriptor::Reader,
    frames: Recent,
    /// Numbers of the frames of the picture that is being judged, not handed out yet.
    candidate: Recent,
    described: Option<bool>,
    described_temporal: Option<u8>,
}

impl Continuity {
    /// Reads the descriptors of a picture, one for each of its frames: those of packets that start one. Call it before
    /// [`Continuity::judge`], for every picture, decodable or not. Returns whether they describe a key picture.
    pub fn describe<'a>(&mut self, descriptors: impl Iterator<Item = &'a Bytes>) -> bool {
        self.candidate = self.frames;
        self.described = None;
        self.described_temporal = None;
        let mut key = false;
        for bytes in descriptors {
            if bytes.is_empty() || !descriptor::mandatory(bytes).is_some_and(|head| head.starts) {
                continue;
            }
            let Some(frame) = self.reader.read(bytes) else {
                self.described = None;
                return key;
            };
            let references = frame.references.as_slice();
            let starts_all = references.is_empty() && frame.spatial == 0 && descriptor::has_structure(bytes);
            if starts_all {
                key = true;
                self.candidate = Recent::default();
            }
            let present =
                references.iter().all(|back| self.candidate.contains(frame.number.wrapping_sub(*back), u16::MAX));
            // A frame without references that is no key frame needs nothing either.
            self.described = Some(self.described.unwrap_or(true) && present);
            self.described_temporal = self.described_temporal.max(Some(frame.temporal));
            self.candidate.insert(frame.number, u16::MAX);
        }
        key
    }

    /// `unbroken`: no packet is missing since the picture handed out last, and no picture was left out.
    pub fn judge(&self, picture: &Picture, unbroken: bool, waiting: bool) -> Verdict {
        let Picture { codec, piece } = picture;
        if piece.key {
            let has_parameters = *codec != Codec::H264 || piece.parameters || (self.parameters && !self.is_new(*codec));
            return if has_parameters { Verdict::Decodable } else { Verdict::Broken };
        }
        if waiting || self.is_new(*codec) {
            return Verdict::Broken;
        }
        if unbroken {
            return Verdict::Decodable;
        }
        let temporal = self.described_temporal.unwrap_or(piece.temporal);
        let by = |decodable: bool| match decodable {
            true => Verdict::Decodable,
            false if temporal > 0 => Verdict::Skip,
            false => Verdict::Broken,
        };
        if let Some(decodable) = self.described {
            return by(decodable);
        }
        let id = piece.picture;
        if let (Some(refers), Some(id)) = (piece.refers, id) {
            let present =
                |back: &u8| self.pictures.contains(id.number.wrapping_sub((*back).into()) & id.mask(), id.mask());
            return by(refers.as_slice().iter().all(present));
        }
        let follows = id.zip(self.picture).is_some_and(|(id, last)| id.since(last) == 1);
        match (piece.tl0, self.tl0) {
            // Only padding was lost, or frames that nothing refers to.
            _ if follows => Verdict::Decodable,
            (Some(tl0), Some(last)) if piece.temporal == 0 => by(tl0 == last.wrapping_add(1)),
            (Some(tl0), Some(last)) => by(tl0 == last && piece.sync),
            _ => Verdict::Broken,
        }
    }

    /// How many pictures are missing between the last and this, by their numbers; `None` without usable numbers.
    pub fn missing(&self, picture: &Picture) -> Option<u32> {
        // SFUs that drop layers renumber VP8 only.
        let id = picture.piece.picture.filter(|_| picture.codec == Codec::Vp8)?;
        let since = id.since(self.picture?);
        (1..=64).contains(&since).then(|| u32::from(since) - 1)
    }

    fn is_new(&self, codec: Codec) -> bool {
        self.codec != Some(codec)
    }

    /// The picture judged last was handed out.
    pub fn accept(&mut self, picture: &Picture) {
        let Picture { codec, piece } = picture;
        if self.is_new(*codec) {
            self.parameters = false;
        }
        if piece.key {
            (self.picture, self.tl0) = (None, None);
            self.pictures = Recent::default();
        }
        self.codec = Some(*codec);
        self.parameters |= piece.parameters;
        if let Some(id) = piece.picture {
            self.picture = Some(id.number);
            self.pictures.insert(id.number, id.mask());
        }
        if piece.temporal == 0 || piece.key {
            self.tl0 = piece.tl0;
        }
        self.frames = self.candidate;
    }

    /// The stream restarted: nothing that came before is of use.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::video::{
        codec::{Differences, PictureId},
        descriptor::{Mode, Writer, MAX_DESCRIPTOR},
    };

    fn vp8(number: u16, tl0: u8, temporal: u8, sync: bool) -> Picture {
        let picture = Some(PictureId { number, long: false });
        Picture { codec: Codec::Vp8, piece: Piece { picture, tl0: Some(tl0), temporal, sync, ..Piece::default() } }
    }

    fn key(mut picture: Picture) -> Picture {
        picture.piece.key = true;
        picture
    }

    #[test]
    fn recent_numbers_over_the_wrap_and_after_jumps() {
        for mask in [0x7f, 0x7fff, u16::MAX] {
            let mut recent = Recent::default();
            for step in 0..300u16 {
                let number = step.wrapping_mul(2) & mask;
                recent.insert(number, mask);
                assert!(recent.contains(number, mask) && !recent.contains(number.wrapping_add(1) & mask, mask));
                assert_eq!(recent.contains(number.wrapping_sub(2) & mask, mask), step > 0);
            }
        }
        let mut recent = Recent::default();
        recent.insert(10, u16::MAX);
        recent.insert(5_000, u16::MAX);
        assert!(!recent.contains(10, u16::MAX) && recent.contains(5_000, u16::MAX));
        recent.insert(4_990, u16::MAX);
        assert!(recent.contains(4_990, u16::MAX) && recent.newest == 5_000);
    }

    #[test]
    fn vp8_with_temporal_layers() {
        let mut continuity = Continuity::default();
        assert_eq!(continuity.judge(&vp8(1, 1, 0, false), true, false), Verdict::Broken, "no key frame yet");
        let first = key(vp8(126, 255, 0, false));
        assert_eq!(continuity.judge(&first, false, true), Verdict::Decodable);
        continuity.accept(&first);
        // The next number: only padding was lost.
        assert_eq!(continuity.judge(&vp8(127, 255, 2, false), false, false), Verdict::Decodable);
        // 127 (layer 2) is lost.
        assert_eq!(continuity.judge(&vp8(0, 255, 2, false), false, false), Verdict::Skip);
        assert_eq!(continuity.judge(&vp8(0, 255, 1, true), false, false), Verdict::Decodable);
        let base = vp8(2, 0, 0, false);
        assert_eq!(continuity.judge(&base, false, false), Verdict::Decodable, "the next of the lowest layer");
        assert_eq!(continuity.missing(&base), Some(3));
        continuity.accept(&base);
        assert_eq!(continuity.judge(&vp8(10, 2, 0, false), false, false), Verdict::Broken, "one of the lowest is lost");
        assert_eq!(continuity.judge(&vp8(10, 1, 1, true), false, false), Verdict::Skip);
        assert_eq!(continuity.judge(&vp8(3, 0, 0, false), true, true), Verdict::Broken, "waits for a key frame");
    }

    #[test]
    fn vp9_with_listed_references() {
        let picture = |number: u16, refers: &[u8], temporal| {
            let (picture, refers) = (Some(PictureId { number, long: true }), Some(Differences::of(refers)));
            Picture { codec: Codec::Vp9, piece: Piece { picture, refers, temporal, ..Piece::default() } }
        };
        let mut continuity = Continuity::default();
        continuity.accept(&key(picture(0x7fff, &[], 0)));
        assert_eq!(continuity.judge(&picture(2, &[3], 0), false, false), Verdict::Decodable);
        continuity.accept(&picture(2, &[3], 0));
        assert_eq!(continuity.judge(&picture(4, &[2, 5], 0), false, false), Verdict::Decodable);
        assert_eq!(continuity.judge(&picture(4, &[2, 1], 0), false, false), Verdict::Broken);
        assert_eq!(continuity.judge(&picture(4, &[1], 2), false, false), Verdict::Skip);
    }

    #[test]
    fn h264_needs_parameter_sets_and_no_loss() {
        let picture = |is_key, parameters| Picture {
            codec: Codec::H264,
            piece: Piece { key: is_key, parameters, ..Piece::default() },
        };
        let mut continuity = Continuity::default();
        assert_eq!(continuity.judge(&picture(true, false), true, false), Verdict::Broken);
        continuity.accept(&picture(true, true));
        assert_eq!(continuity.judge(&picture(true, false), false, true), Verdict::Decodable);
        assert_eq!(continuity.judge(&picture(false, false), true, false), Verdict::Decodable);
        assert_eq!(continuity.judge(&picture(false, false), false, false), Verdict::Broken);
        // Another codec begins with a key frame, and its parameters are its own.
        assert_eq!(continuity.judge(&vp8(1, 1, 0, false), true, false), Verdict::Broken);
        continuity.accept(&key(vp8(1, 1, 0, false)));
        assert_eq!(continuity.judge(&picture(true, false), true, false), Verdict::Broken);
    }

    #[test]
    fn descriptors_decide_for_every_codec() {
        let mode = Mode::new(3, 3);
        let mut writer = Writer::new(mode, &[]);
        let mut continuity = Continuity::default();
        let (mut decoded, mut skipped) = (0, 0);
        for index in 0..40u32 {
            let temporal = mode.temporal_of(index);
            let mut descriptors = Vec::new();
            for spatial in 0..3 {
                let frame = writer.frame(index == 0, spatial, temporal);
                let mut bytes = [0; MAX_DESCRIPTOR];
                let length = writer.write(&frame, true, true, &mut bytes);
                descriptors.push(Bytes::copy_from_slice(&bytes[..length]));
            }
            // The SFU forwards the highest spatial layer only, after the key picture; of the highest temporal layer a
            // third is lost.
            let sent = if index == 0 { &descriptors[..] } else { &descriptors[2..] };
            if temporal == 2 && index % 3 == 0 {
                continue;
            }
            let is_key = continuity.describe(sent.iter());
            assert_eq!(is_key, index == 0);
            let picture = Picture { codec: Codec::Av1, piece: Piece { key: is_key, ..Piece::default() } };
            match continuity.judge(&picture, false, false) {
                Verdict::Decodable => {
                    continuity.accept(&picture);
                    decoded += 1;
                }
                verdict => {
                    assert_eq!(verdict, Verdict::Skip);
                    skipped += 1;
                }
            }
        }
        assert_eq!((decoded, skipped), (33, 0), "nothing refers to the highest temporal layer");
        // A lost frame of the lowest temporal layer ends it.
        writer.frame(false, 2, 0);
        let frame = writer.frame(false, 2, 0);
        let mut bytes = [0; MAX_DESCRIPTOR];
        let length = writer.write(&frame, true, true, &mut bytes);
        continuity.describe([Bytes::copy_from_slice(&bytes[..length])].iter());
        let picture = Picture { codec: Codec::Av1, piece: Piece::default() };
        assert_eq!(continuity.judge(&picture, false, false), Verdict::Broken);
    }
}
