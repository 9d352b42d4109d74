//! The video codecs: their names, payload types, and what their packets say about a frame, in one form for all of them.
//!
//! Must not know: order of packets, time, what a decoder does.

use super::{av1, h264, vp8, vp9};
use bytes::Bytes;

/// Clock rate of every video codec here, in Hz (RFC 7741, RFC 9628 and RFC 6184, each in its registration).
pub const CLOCK_RATE: u32 = 90_000;

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    Vp8,
    Vp9,
    H264,
    Av1,
}

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::H264 => "H264",
            Codec::Av1 => "AV1",
        }
    }

    /// Its media type.
    pub fn mime(self) -> &'static str {
        match self {
            Codec::Vp8 => "video/VP8",
            Codec::Vp9 => "video/VP9",
            Codec::H264 => "video/H264",
            Codec::Av1 => "video/AV1",
        }
    }

    /// The codec of a name or media type, in any case.
    pub fn from_name(name: &str) -> Option<Codec> {
        let (kind, rest) = name.split_at_checked(6).unwrap_or(("", name));
        let name = if kind.eq_ignore_ascii_case("video/") { rest } else { name };
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Layers of one stream can be told apart by its packets, so that an SFU can drop some of them.
    pub fn has_spatial_layers(self) -> bool {
        matches!(self, Codec::Vp9 | Codec::Av1)
    }

    /// Reads the payload of one packet. `None`: it is malformed, or of a form that nobody uses.
    pub fn parse(self, payload: &[u8]) -> Option<Piece> {
        match self {
            Codec::Vp8 => vp8::parse(payload),
            Codec::Vp9 => vp9::parse(payload),
            Codec::H264 => h264::parse(payload),
            Codec::Av1 => av1::parse(payload),
        }
    }

    /// Appends the frame whose packets, all of them and in order, are `parts`. False: they do not fit together.
    pub(super) fn join<'a>(self, parts: impl Iterator<Item = (&'a Bytes, &'a Piece)>, frame: &mut Vec<u8>) -> bool {
        match self {
            // One descriptor before the codec's data.
            Codec::Vp8 | Codec::Vp9 => {
                for (payload, piece) in parts {
                    let Some(data) = payload.get(usize::from(piece.start)..) else { return false };
                    frame.extend_from_slice(data);
                }
                true
            }
            Codec::H264 => h264::join(parts.map(|(payload, _)| &payload[..]), frame),
            Codec::Av1 => av1::join(parts.map(|(payload, _)| &payload[..]), frame),
        }
    }

    /// The size in a key frame, if it is there and readable. VP9 with several spatial layers: that of the lowest.
    pub fn key_frame_size(self, frame: &[u8]) -> Option<Size> {
        match self {
            Codec::Vp8 => vp8::key_frame_size(frame),
            Codec::Vp9 => vp9::key_frame_size(frame),
            Codec::H264 => h264::size(frame),
            Codec::Av1 => av1::size(frame),
        }
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The larger of the two.
    pub fn longest(self) -> u32 {
        self.width.max(self.height)
    }

    /// The frames that LiveKit sends when a track is muted or ends: 8×8 in VP8, 2×2 in H264. No camera is that small.
    pub fn is_blank(self) -> bool {
        self.longest() <= 16
    }
}

/// A picture's number, which wraps after 7 or 15 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureId {
    pub number: u16,
    /// It has 15 bits.
    pub long: bool,
}

impl PictureId {
    /// Highest number of its form.
    pub fn mask(self) -> u16 {
        if self.long {
            0x7fff
        } else {
            0x7f
        }
    }

    /// How many pictures after `earlier` this is, modulo the width of this.
    pub fn since(self, earlier: u16) -> u16 {
        self.number.wrapping_sub(earlier) & self.mask()
    }
}

/// Distances to the pictures that one refers to (VP9 in flexible mode); at most three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    numbers: [u8; 3],
    count: u8,
}

impl Differences {
    /// The first three of `numbers`, in 1..=127; others are left out.
    pub fn of(numbers: &[u8]) -> Self {
        let mut differences = Self::default();
        numbers.iter().filter(|number| (1..=127).contains(*number)).take(3).for_each(|number| differences.add(*number));
        differences
    }

    pub(super) fn add(&mut self, number: u8) {
        if let Some(place) = self.numbers.get_mut(usize::from(self.count)) {
            *place = number;
            self.count += 1;
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.numbers[..usize::from(self.count)]
    }
}

/// What one packet says about the frame that it is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where the codec's data begins in the payload.
    pub start: u16,
    /// It is certainly the first packet of a frame. Not every first packet can be recognised.
    pub begins: bool,
    /// The frame is certainly a key frame.
    pub key: bool,
    pub spatial: u8,
    pub temporal: u8,
    pub picture: Option<PictureId>,
    /// Number of the last frame of the lowest temporal layer.
    pub tl0: Option<u8>,
    /// The frame refers to none of its temporal layer or above since the last frame of the lowest.
    pub sync: bool,
    /// The pictures that this one refers to, if it lists them.
    pub refers: Option<Differences>,
    /// Size of the picture, if this packet states it.
    pub size: Option<Size>,
    /// It contains what a decoder must know before the first frame (H264: a sequence parameter set).
    pub parameters: bool,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadKind {
    #[default]
    Unknown,
    Media(Codec),
    /// Retransmissions of packets of this payload type (RFC 4588 section 8.1, `apt`).
    Rtx(u8),
}

/// The payload types of a track, as negotiated. They differ from session to session, and between both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    kinds: [PayloadKind; 128],
}

impl Default for PayloadTypes {
    fn default() -> Self {
        Self { kinds: [PayloadKind::Unknown; 128] }
    }
}

impl PayloadTypes {
    pub fn of(types: impl IntoIterator<Item = (u8, PayloadKind)>) -> Self {
        let mut all = Self::default();
        types.into_iter().for_each(|(number, kind)| all.set(number, kind));
        all
    }

    /// Sets one payload type; numbers above 127 do not exist and are ignored.
    pub fn set(&mut self, number: u8, kind: PayloadKind) {
        if let Some(place) = self.kinds.get_mut(usize::from(number)) {
            *place = kind;
        }
    }

    pub fn kind(&self, number: u8) -> PayloadKind {
        self.kinds.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The payload type of retransmissions of packets of this one.
    pub fn rtx_of(&self, original: u8) -> Option<u8> {
        (0..128u8).find(|number| self.kind(*number) == PayloadKind::Rtx(original))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_nothing_else() {
        for codec in Codec::ALL {
            for name in [codec.name().to_lowercase(), codec.mime().to_uppercase(), codec.mime().to_owned()] {
                assert_eq!(Codec::from_name(&name), Some(codec), "{name}");
            }
            assert!(codec.mime().ends_with(codec.name()));
        }
        for name in ["", "video/", "audio/VP8", "VP", "video/video/VP8", "H265", "ééé", "vidéo/VP8", "rtx"] {
            assert_eq!(Codec::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn payload_types_and_their_retransmissions() {
        let types = PayloadTypes::of([
            (96, PayloadKind::Media(Codec::Vp8)),
            (97, PayloadKind::Rtx(96)),
            (35, PayloadKind::Media(Codec::Av1)),
            (200, PayloadKind::Media(Codec::H264)),
        ]);
        assert_eq!(types.kind(35), PayloadKind::Media(Codec::Av1));
        assert_eq!((types.kind(200), types.kind(98)), (PayloadKind::Unknown, PayloadKind::Unknown));
        assert_eq!((types.rtx_of(96), types.rtx_of(35)), (Some(97), None));
    }

    #[test]
    fn picture_ids_wrap_by_their_width() {
        assert_eq!(PictureId { number: 1, long: false }.since(127), 2);
        assert_eq!(PictureId { number: 0, long: true }.since(0x7fff), 1);
        assert_eq!(Differences::of(&[0, 3, 200, 1, 2, 9]).as_slice(), [3, 1, 2]);
    }

    /// Pseudo-random numbers below `limit`, the same in every run (xorshift64*).
    fn chance(state: &mut u64, limit: u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    #[test]
    fn a_megabyte_of_garbage_in_every_parser() {
        let mut state = 11;
        let garbage: Vec<u8> = (0..1 << 20).map(|_| chance(&mut state, 256) as u8).collect();
        for codec in Codec::ALL {
            let mut frame = Vec::new();
            let mut parsed = 0;
            for round in 0..20_000 {
                let at = chance(&mut state, garbage.len() as u64 - 2_000) as usize;
                let payload = Bytes::copy_from_slice(&garbage[at..at + chance(&mut state, 1_400) as usize]);
                let Some(piece) = codec.parse(&payload) else { continue };
                parsed += 1;
                assert!(usize::from(piece.start) < payload.len());
                if round % 8 == 0 {
                    frame.clear();
                }
                codec.join([(&payload, &piece)].into_iter(), &mut frame);
                assert!(frame.len() <= 8 * 4 * 1_400, "{} bytes", frame.len());
                let _ = codec.key_frame_size(&frame);
            }
            assert!(parsed > 100, "{codec:?}: {parsed}");
            for bytes in [&garbage[..], &[0; 4_096], &[0xff; 4_096], &[0, 0, 1, 0x67], &[]] {
                let _ = (codec.key_frame_size(bytes), codec.parse(bytes));
            }
        }
    }
}
