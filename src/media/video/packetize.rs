//! Packetization: frames of one sent stream into RTP payloads, with the picture numbers of their codec.
//!
//! Must not know: sequence numbers, SSRCs, who sends. The payload may be encrypted: of VP8 and VP9 nothing is read; H264
//! must have its NAL units, AV1 its OBUs.

use super::{
    av1,
    codec::{Codec, Differences, Size},
    h264, vp8, vp9,
};
use bytes::{BufMut, Bytes, BytesMut};

/// Payloads below this size would cost more in headers than they carry.
pub const MIN_PAYLOAD: usize = 64;

/// Largest payload that fits a datagram of 1200 bytes with the headers of RTP, its extensions and SRTP. The first packet
/// of a key frame may have a long dependency descriptor: give less room then.
pub const USUAL_PAYLOAD: usize = 1_140;

/// What the packetizer must know of a frame beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The picture needs no earlier one. In a key picture it holds for the frames of all spatial layers.
    pub key: bool,
    pub spatial: u8,
    pub temporal: u8,
    /// No frame of a higher spatial layer of the same picture follows: the last packet gets the marker.
    pub ends_picture: bool,
    /// Sizes of the spatial layers, lowest first (VP9).
    pub sizes: [Option<Size>; 3],
}

impl Outgoing {
    /// A frame of a stream with one spatial layer.
    pub fn single(key: bool, temporal: u8) -> Self {
        Self { key, spatial: 0, temporal, ends_picture: true, sizes: [None; 3] }
    }
}

/// A payload and its place in the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub data: Bytes,
    pub first: bool,
    pub last: bool,
    /// RTP marker: the last packet of the picture.
    pub marker: bool,
}

/// The pictures of one temporal layer that later ones may refer to.
#[derive(Clone, Copy, Debug, Default)]
struct Pictures {
    newest: [Option<u16>; 8],
}

/// Makes the payloads of one stream.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    temporal_layers: u8,
    spatial_layers: u8,
    /// Number of the current picture, 15 bits.
    picture: u16,
    /// Between the frames of a picture.
    inside: bool,
    key_picture: bool,
    tl0: u8,
    pictures: Pictures,
    /// Temporal layers with a picture since the last of the lowest: the next one refers to it.
    used: u8,
    plan: av1::Plan,
    planned: Vec<h264::Planned>,
}

impl Packetizer {
    /// `first`: number of the first picture, from a seed; its lowest 15 bits count. Layers: 1..=8 each, what frames may
    /// have.
    pub fn new(codec: Codec, spatial_layers: u8, temporal_layers: u8, first: u16) -> Self {
        Self {
            codec,
            temporal_layers,
            spatial_layers,
            picture: first.wrapping_sub(1) & 0x7fff,
            inside: false,
            key_picture: false,
            tl0: (first >> 7) as u8,
            pictures: Pictures::default(),
            used: 0,
            plan: av1::Plan::default(),
            planned: Vec::new(),
        }
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Passes the payloads of a frame, each of at most `max` bytes (at least [`MIN_PAYLOAD`]), to `send`, in order.
    /// Returns how many. An empty frame, or one without a NAL unit or OBU, has none.
    pub fn packetize(&mut self, frame: &Bytes, info: &Outgoing, max: usize, send: &mut dyn FnMut(Payload)) -> usize {
        let max = max.max(MIN_PAYLOAD);
        if frame.is_empty() {
            return 0;
        }
        if !self.inside {
            self.picture = self.picture.wrapping_add(1) & 0x7fff;
            self.key_picture = info.key;
            if info.temporal == 0 {
                self.tl0 = self.tl0.wrapping_add(1);
            }
        }
        let marker = info.ends_picture;
        let sent = match self.codec {
            Codec::Vp8 => {
                let descriptor = self.vp8(info);
                split(frame, max, marker, send, |first, _| descriptor.write(first))
            }
            Codec::Vp9 => {
                let descriptor = self.vp9(info);
                split(frame, max, marker, send, |first, last| descriptor.write(first, last))
            }
            Codec::H264 => self.h264(frame, max, marker, send),
            Codec::Av1 => self.av1(frame, info, max, send),
        };
        self.inside = !info.ends_picture;
        if info.ends_picture {
            self.record(info);
        }
        sent
    }

    /// Records the picture that has just ended.
    fn record(&mut self, info: &Outgoing) {
        let temporal = usize::from(info.temporal.min(7));
        if self.key_picture {
            self.pictures = Pictures::default();
        }
        self.pictures.newest[temporal] = Some(self.picture);
        if temporal == 0 {
            self.pictures.newest[1..].fill(None);
            self.used = 0;
        } else {
            self.used |= 1 << temporal;
        }
    }

    /// Whether a frame of this layer refers to the lowest only: there was none from the second to its own since the last
    /// of the lowest. Encoders that refer across a frame of the lowest layer cannot be used with layers.
    fn is_sync(&self, temporal: u8) -> bool {
        temporal > 0 && u16::from(self.used) & ((2 << temporal.min(7)) - 1) == 0
    }

    fn vp8(&self, info: &Outgoing) -> vp8::Descriptor {
        let several = self.temporal_layers > 1;
        let temporal = several.then_some((info.temporal.min(3), self.is_sync(info.temporal), self.tl0));
        let top = several && info.temporal + 1 >= self.temporal_layers;
        vp8::Descriptor { picture: self.picture, temporal, discardable: top && !info.key }
    }

    fn vp9(&self, info: &Outgoing) -> vp9::Descriptor {
        let several = self.temporal_layers > 1 || self.spatial_layers > 1;
        let layer = several.then_some((info.spatial.min(7), info.temporal.min(7), self.is_sync(info.temporal)));
        let mut refers = Differences::default();
        if !self.key_picture {
            let below = &self.pictures.newest[..usize::from(info.temporal.min(7)).max(1)];
            let distances = below.iter().flatten().map(|number| self.picture.wrapping_sub(*number) & 0x7fff);
            // The format reaches back 127 pictures.
            refers.add(distances.min().unwrap_or(1).clamp(1, 127) as u8);
        }
        vp9::Descriptor {
            picture: self.picture,
            key: self.key_picture,
            layer,
            on_lower: self.key_picture && info.spatial > 0,
            not_for_higher: several && (!self.key_picture || info.spatial + 1 >= self.spatial_layers),
            refers,
            sizes: info.sizes,
        }
    }

    fn h264(&mut self, frame: &Bytes, max: usize, marker: bool, send: &mut dyn FnMut(Payload)) -> usize {
        let mut planned = std::mem::take(&mut self.planned);
        planned.clear();
        h264::plan(frame, max, |packet| planned.push(packet));
        let mut buffer = BytesMut::with_capacity(frame.len() + 4 * planned.len());
        for (index, packet) in planned.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == planned.len());
            let data = match packet {
                h264::Planned::Single(unit) => frame.slice(unit.clone()),
                _ => {
                    h264::write(frame, packet, &mut buffer);
                    buffer.split().freeze()
                }
            };
            send(Payload { data, first, last, marker: marker && last });
        }
        let count = planned.len();
        self.planned = planned;
        count
    }

    fn av1(&mut self, frame: &Bytes, info: &Outgoing, max: usize, send: &mut dyn FnMut(Payload)) -> usize {
        self.plan.make(frame, max);
        let count = self.plan.packets();
        let mut buffer = BytesMut::with_capacity(frame.len() + 8 * count + 16);
        for index in 0..count {
            self.plan.write(index, frame, self.key_picture && info.spatial == 0, &mut buffer);
            let (first, last) = (index == 0, index + 1 == count);
            send(Payload { data: buffer.split().freeze(), first, last, marker: info.ends_picture && last });
        }
        count
    }
}

/// Splits a frame into payloads of nearly equal size, each behind a header. All of them share one buffer.
fn split<const N: usize>(
    frame: &Bytes,
    max: usize,
    marker: bool,
    send: &mut dyn FnMut(Payload),
    header: impl Fn(bool, bool) -> ([u8; N], usize),
) -> usize {
    let room = max - N;
    let count = frame.len().div_ceil(room).max(1);
    let each = frame.len().div_ceil(count);
    let mut buffer = BytesMut::with_capacity(frame.len() + count * N);
    for (index, part) in frame.chunks(each).enumerate() {
        let (first, last) = (index == 0, (index + 1) * each >= frame.len());
        let (bytes, length) = header(first, last);
        buffer.put_slice(&bytes[..length]);
        buffer.put_slice(part);
        send(Payload { data: buffer.split().freeze(), first, last, marker: marker && last });
    }
    frame.len().div_ceil(each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::video::{av1::tests::obu, h264::tests as units, vp8::tests as vp8_frames};

    fn payloads(packetizer: &mut Packetizer, frame: &Bytes, info: &Outgoing, max: usize) -> Vec<Payload> {
        let mut sent = Vec::new();
        let count = packetizer.packetize(frame, info, max, &mut |payload| sent.push(payload));
        assert_eq!(count, sent.len());
        sent
    }

    #[test]
    fn frames_of_every_codec_come_back_whole() {
        for codec in Codec::ALL {
            let mut packetizer = Packetizer::new(codec, 1, 1, 0x7fff);
            for length in [1, 10, 63, 64, 65, 1_139, 1_140, 1_141, 20_000] {
                let mut body = vec![9; length];
                body[0] = 0x41;
                let frame = Bytes::from(match codec {
                    Codec::H264 if length == 1 => continue,
                    Codec::H264 => units::frame(&[&body]),
                    Codec::Av1 => obu(6, None, &body),
                    _ => body,
                });
                for max in [0, 100, USUAL_PAYLOAD] {
                    let sent = payloads(&mut packetizer, &frame, &Outgoing::single(true, 0), max);
                    assert!(sent.iter().all(|payload| payload.data.len() <= max.max(MIN_PAYLOAD)));
                    assert_eq!(sent.iter().filter(|payload| payload.marker && payload.last).count(), 1);
                    assert!(sent[0].first && sent[sent.len() - 1].marker);
                    let pieces: Vec<_> =
                        sent.iter().map(|payload| codec.parse(&payload.data).expect("its own payload")).collect();
                    let mut joined = Vec::new();
                    assert!(codec.join(sent.iter().map(|payload| &payload.data).zip(&pieces), &mut joined));
                    assert_eq!(joined, frame, "{codec:?}, {length} bytes in {max}");
                    // Nearly equal packets: no tiny last one.
                    if matches!(codec, Codec::Vp8 | Codec::Vp9) {
                        let sizes = sent.iter().map(|payload| payload.data.len());
                        assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= sent.len() + 20);
                    }
                }
            }
            assert_eq!(payloads(&mut packetizer, &Bytes::new(), &Outgoing::single(true, 0), 100), []);
        }
    }

    #[test]
    fn numbers_of_vp8_layers_over_the_wrap() {
        let mut packetizer = Packetizer::new(Codec::Vp8, 1, 3, 0x7ffe);
        let frame = Bytes::from(vp8_frames::frame(false, Size::default(), 30));
        let mut read = Vec::new();
        for temporal in [0, 2, 1, 2, 0, 2, 1, 2] {
            let sent = payloads(&mut packetizer, &frame, &Outgoing::single(false, temporal), 500);
            let piece = Codec::Vp8.parse(&sent[0].data).expect("a payload");
            read.push((piece.picture.map(|id| id.number), piece.tl0, piece.temporal, piece.sync));
        }
        let (a, b) = (Some(0), Some(1));
        assert_eq!(
            read,
            [
                (Some(0x7ffe), a, 0, false),
                (Some(0x7fff), a, 2, true),
                (Some(0), a, 1, true),
                (Some(1), a, 2, false),
                (Some(2), b, 0, false),
                (Some(3), b, 2, true),
                (Some(4), b, 1, true),
                (Some(5), b, 2, false),
            ]
        );
    }

    #[test]
    fn vp9_layers_state_their_references() {
        let mut packetizer = Packetizer::new(Codec::Vp9, 3, 3, 9);
        let frame = Bytes::from(vec![7; 3_000]);
        let sizes = [Some(Size::new(320, 180)), Some(Size::new(640, 360)), Some(Size::new(1280, 720))];
        for (picture, temporal) in [0, 2, 1, 2, 0, 2].into_iter().enumerate() {
            for spatial in 0..3 {
                let info = Outgoing { key: picture == 0, spatial, temporal, ends_picture: spatial == 2, sizes };
                let sent = payloads(&mut packetizer, &frame, &info, 1_000);
                let piece = Codec::Vp9.parse(&sent[0].data).expect("a payload");
                assert_eq!(piece.picture.map(|id| id.number), Some(9 + picture as u16));
                assert_eq!((piece.spatial, piece.temporal), (spatial, temporal));
                let refers = piece.refers.expect("flexible mode");
                let wanted: &[u8] = [&[][..], &[1], &[2], &[1], &[4], &[1]][picture];
                assert_eq!(refers.as_slice(), wanted);
                assert_eq!(piece.begins, picture > 0 || spatial == 0);
                assert_eq!(sent.iter().filter(|payload| payload.marker).count(), usize::from(spatial == 2));
                assert_eq!(piece.size, sizes[0].filter(|_| picture + usize::from(spatial) == 0));
            }
        }
    }
}
