//! Video: payloads, frames to packetize and dependency descriptors; the packets of a received track in any order. Must
//! not know: the fuzzer.

use super::Reader;
use bytes::Bytes;
use offhook::media::{
    rtp::RtpPacket,
    video::{
        assemble::{Assembler, MAX_BYTES, MAX_PACKETS},
        codec::{Codec, PayloadKind, PayloadTypes},
        descriptor,
        packet::{Rotation, VideoPacket},
        packetize::{Outgoing, Packetizer, MIN_PAYLOAD},
        queue::{self, FrameQueue},
        receive::VideoReceiver,
    },
};
use std::time::Duration;

const TYPES: [u8; 4] = [96, 98, 102, 35];

fn types() -> PayloadTypes {
    let media = Codec::ALL.into_iter().zip(TYPES).map(|(codec, number)| (number, PayloadKind::Media(codec)));
    PayloadTypes::of(media.chain([(97, PayloadKind::Rtx(96)), (103, PayloadKind::Rtx(102))]))
}

pub fn video_payload(data: &[u8]) {
    let mut input = Reader(data);
    let shape = input.u8();
    let index = usize::from(shape & 3);
    let (codec, max) = (Codec::ALL[index], 8 * usize::from(input.u8()));
    let (spatial, temporal) = (shape >> 2 & 3, shape >> 4 & 3);
    let bytes = input.0;
    if let Some(piece) = codec.parse(bytes) {
        assert!(usize::from(piece.start) < bytes.len() && piece.spatial < 8 && piece.temporal < 8);
    }
    if let Some(size) = codec.key_frame_size(bytes) {
        assert!(size.width > 0 && size.height > 0);
    }
    let mut reader = descriptor::Reader::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [bytes, first, second] {
        if let Some(frame) = reader.read(part) {
            assert!(frame.references.as_slice().iter().all(|distance| (1..=4_096).contains(distance)));
        }
    }
    // The same bytes as a frame to send; it comes back as it was.
    let frame = Bytes::copy_from_slice(bytes);
    let mut packetizer = Packetizer::new(codec, 1 + spatial, 1 + temporal, u16::from(shape));
    let mut assembler = Assembler::new(types());
    let info = Outgoing { key: true, spatial: 0, temporal, ends_picture: true, sizes: [None; 3] };
    let mut sequence = 65_535u16;
    packetizer.packetize(&frame, &info, max, &mut |payload| {
        assert!(payload.data.len() <= max.max(MIN_PAYLOAD) && !payload.data.is_empty());
        let (payload, marker) = (payload.data, payload.marker);
        let rtp = RtpPacket { sequence, marker, payload_type: TYPES[index], payload, ..RtpPacket::default() };
        sequence = sequence.wrapping_add(1);
        assembler.push(VideoPacket { rtp, ..VideoPacket::default() });
    });
    let received = assembler.poll(Duration::from_secs(9), &mut |_, _| Ok(()));
    let is_key = match codec {
        Codec::Vp8 => bytes.first().is_some_and(|first| first & 1 == 0),
        Codec::Vp9 => !bytes.is_empty(),
        Codec::H264 | Codec::Av1 => false,
    };
    if is_key && bytes.len() < 20_000 {
        assert_eq!(received.map(|received| received.frame.payload), Some(frame));
    }
}

pub fn video_track(data: &[u8]) {
    let mut input = Reader(data);
    let mut receiver = VideoReceiver::new(types());
    let mut queue = FrameQueue::default();
    let (mut now, mut sequence, mut timestamp, mut ssrc) = (Duration::from_secs(1), 65_530u16, 0u32, 1u32);
    let (mut pairs, mut codec, mut key_frame) = (Vec::new(), 0, true);
    for _ in 0..400 {
        if input.is_empty() {
            break;
        }
        let step = input.u8();
        match step & 15 {
            0..=5 => sequence = sequence.wrapping_add(1),
            6 => sequence = sequence.wrapping_add(u16::from(input.u8())),
            7 => sequence = sequence.wrapping_sub(u16::from(input.u8())),
            8 => sequence = input.u16(),
            9 => ssrc = u32::from(input.u8() & 3),
            10 => codec = input.below(7),
            11 => receiver.set_round_trip(Duration::from_millis(input.u16().into())),
            12 => receiver.require_key_frame(),
            13 => drop(queue.pop()),
            14 => receiver.reset(),
            _ => now += Duration::from_millis(input.u16().into()),
        }
        if step & 16 != 0 {
            timestamp = timestamp.wrapping_add(3_000);
        }
        let (length, described) = (usize::from(input.u8()), input.below(24));
        let rtp = RtpPacket {
            sequence,
            timestamp,
            ssrc,
            payload_type: [96, 98, 102, 35, 97, 103, 127][codec],
            marker: step & 32 != 0,
            arrival: now,
            payload: Bytes::copy_from_slice(input.bytes(length)),
            ..RtpPacket::default()
        };
        let descriptor = Bytes::copy_from_slice(input.bytes(described));
        let rotation = (step & 64 != 0).then(|| Rotation::of_extension(step));
        receiver.receive(VideoPacket { rtp, descriptor, rotation });
        for frames in 0.. {
            assert!(frames <= MAX_PACKETS, "endless frames");
            let Some(frame) = receiver.poll(now, &mut |_, _| Ok(())) else { break };
            assert!(frame.frame.payload.len() <= MAX_BYTES + 8 * MAX_PACKETS);
            assert!(frame.frame.key || !key_frame, "a stream that does not begin with a key frame");
            key_frame = false;
            queue.push(frame);
            assert!(queue.len() <= queue::MAX_FRAMES);
        }
        key_frame |= matches!(step & 15, 12 | 14);
        receiver.feedback(now, &mut pairs);
        now += Duration::from_millis(u64::from(step >> 5));
    }
}
