//! Tests of the assembler.

use super::*;
use crate::media::{
    rtp::RtpPacket,
    video::{
        av1::tests as av1,
        descriptor::{Mode, Writer, MAX_DESCRIPTOR},
        h264::tests as h264,
        packetize::{Outgoing, Packetizer},
        vp8::tests as vp8,
    },
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn types() -> PayloadTypes {
    PayloadTypes::of([
        (96, PayloadKind::Media(Codec::Vp8)),
        (97, PayloadKind::Rtx(96)),
        (98, PayloadKind::Media(Codec::Vp9)),
        (102, PayloadKind::Media(Codec::H264)),
        (35, PayloadKind::Media(Codec::Av1)),
    ])
}

fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Vp8 => 96,
        Codec::Vp9 => 98,
        Codec::H264 => 102,
        Codec::Av1 => 35,
    }
}

/// A frame of about `length` bytes, different for each `number`.
fn content(codec: Codec, key: bool, number: u32, length: usize) -> Bytes {
    let body: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(7) + number) as u8 | 4).collect();
    Bytes::from(match codec {
        Codec::Vp8 => {
            let mut frame = vp8::frame(key, Size::new(640, 360), length);
            frame.truncate(10);
            frame.extend(body);
            frame
        }
        Codec::Vp9 => body,
        Codec::H264 => {
            let slice: Vec<u8> = std::iter::once(if key { 0x65 } else { 0x41 }).chain(body).collect();
            let sps = h264::sps(40, 23, Some([0, 0, 0, 4]));
            if key {
                h264::frame(&[&sps, &[0x68, 0xce, 0x3c, 0x80], &slice])
            } else {
                h264::frame(&[&slice])
            }
        }
        Codec::Av1 => {
            let mut frame = if key { av1::sequence_header(640, 360) } else { Vec::new() };
            frame.extend(av1::obu(6, None, &body));
            frame
        }
    })
}

/// Makes the packets of one sent stream.
struct Sender {
    packetizer: Packetizer,
    codec: Codec,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    frames: u32,
    descriptors: Option<Writer>,
}

impl Sender {
    fn new(codec: Codec, temporal_layers: u8) -> Self {
        Self {
            packetizer: Packetizer::new(codec, 1, temporal_layers, 0x7ff0),
            codec,
            sequence: 65_520,
            timestamp: u32::MAX - 20_000,
            ssrc: 7,
            frames: 0,
            descriptors: None,
        }
    }

    fn frame(&mut self, key: bool, temporal: u8, length: usize, at: Duration) -> (Bytes, Vec<VideoPacket>) {
        let content = content(self.codec, key, self.frames, length);
        self.frames += 1;
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let described = self.descriptors.as_mut().map(|writer| writer.frame(key, 0, temporal));
        let mut packets = Vec::new();
        self.packetizer.packetize(&content, &Outgoing::single(key, temporal), 1_000, &mut |payload| {
            let mut descriptor = Bytes::new();
            if let Some((writer, described)) = self.descriptors.as_ref().zip(described.as_ref()) {
                let mut bytes = [0; MAX_DESCRIPTOR];
                let length = writer.write(described, payload.first, payload.last, &mut bytes);
                descriptor = Bytes::copy_from_slice(&bytes[..length]);
            }
            let rtp = RtpPacket {
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
                payload_type: payload_type(self.codec),
                marker: payload.marker,
                arrival: at,
                payload: payload.data,
                ..RtpPacket::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            packets.push(VideoPacket { rtp, descriptor, rotation: None });
        });
        (content, packets)
    }

    fn padding(&mut self, at: Duration) -> VideoPacket {
        let rtp = RtpPacket {
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload_type: payload_type(self.codec),
            arrival: at,
            ..RtpPacket::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        VideoPacket { rtp, ..VideoPacket::default() }
    }
}

fn poll(assembler: &mut Assembler, now: Duration) -> Vec<VideoFrame> {
    std::iter::from_fn(|| assembler.poll(now, &mut |_, _| Ok(()))).collect()
}

fn push_all(assembler: &mut Assembler, packets: impl IntoIterator<Item = VideoPacket>) {
    for packet in packets {
        assembler.push(packet);
    }
}

fn random(state: &mut u64, limit: u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
}

#[test]
fn frames_of_every_codec_in_order_over_the_wrap() {
    for codec in Codec::ALL {
        let (mut sender, mut assembler) = (Sender::new(codec, 1), Assembler::new(types()));
        for number in 0..60u64 {
            let (content, packets) = sender.frame(number == 0, 0, 4_000, ms(33 * number));
            let last = packets.len() - 1;
            for (index, packet) in packets.into_iter().enumerate() {
                assert_eq!(assembler.push(packet), Pushed::Taken);
                let frames = poll(&mut assembler, ms(33 * number));
                if index < last {
                    assert_eq!(frames, [], "{codec:?}: a frame before its end");
                    continue;
                }
                let [frame] = &frames[..] else { panic!("{codec:?} {number}: {} frames", frames.len()) };
                assert_eq!(frame.frame.payload, content);
                assert_eq!((frame.frame.key, frame.codec, frame.frame.lost_before), (number == 0, codec, 0));
                assert_eq!((frame.frame.ssrc, frame.frame.begins), (7, number == 0));
                let size = (codec != Codec::Vp9).then_some(Size::new(640, 360));
                assert_eq!(frame.size, size);
            }
        }
        assert_eq!((assembler.counts().frames, assembler.counts().dropped()), (60, 0));
        assert_eq!(assembler.held(), (0, 0));
    }
}

#[test]
fn any_order_and_every_packet_twice() {
    for codec in Codec::ALL {
        let mut state = 5;
        let (mut sender, mut assembler) = (Sender::new(codec, 1), Assembler::new(types()));
        let (mut contents, mut frames, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..200u64 {
            let (content, packets) = sender.frame(number % 50 == 0, 0, 3_000, ms(33 * number));
            contents.push(content);
            pending.extend(packets.iter().cloned());
            pending.extend(packets);
            while pending.len() > if number == 199 { 0 } else { 12 } {
                let at = random(&mut state, pending.len() as u64) as usize;
                // The oldest are not delayed for ever.
                let packet = pending.remove(if at > 10 { 0 } else { at });
                assembler.push(packet);
                frames.extend(poll(&mut assembler, ms(33 * number)));
            }
        }
        let payloads: Vec<_> = frames.iter().map(|frame| frame.frame.payload.clone()).collect();
        assert!(payloads == contents, "{codec:?}: {} of 200 frames", payloads.len());
        assert_eq!(assembler.counts().duplicates, assembler.counts().packets / 2);
    }
}

#[test]
fn a_lost_packet_is_waited_for_and_then_a_key_frame() {
    for codec in Codec::ALL {
        let (mut sender, mut assembler) = (Sender::new(codec, 1), Assembler::new(types()));
        let mut delivered = Vec::new();
        for number in 0..30u64 {
            let now = ms(33 * number);
            let (_, packets) = sender.frame(number == 0 || number == 20, 0, 3_000, now);
            for (index, packet) in packets.into_iter().enumerate() {
                if number != 10 || index != 1 {
                    assembler.push(packet);
                }
            }
            delivered.extend(poll(&mut assembler, now).into_iter().map(|frame| (number, frame)));
            assert_eq!(assembler.needs_key_frame(), (17..20).contains(&number), "{codec:?} {number}");
        }
        // Frame 16 arrives 198 ms after frame 10, whose hole is seen at once.
        assert_eq!(delivered.len(), 10 + 10, "{codec:?}");
        let (at, frame) = &delivered[10];
        assert!(*at == 20 && frame.frame.key && frame.frame.lost_before >= 9, "{frame:?}");
        let counts = assembler.counts();
        assert_eq!((counts.incomplete, counts.undecodable), (1, 9));
    }
}

#[test]
fn late_packets_fill_their_hole_until_the_deadline() {
    for (delay, whole) in [(199, true), (201, false)] {
        let (mut sender, mut assembler) = (Sender::new(Codec::H264, 1), Assembler::new(types()));
        let (_, first) = sender.frame(true, 0, 3_000, ms(0));
        let (_, second) = sender.frame(false, 0, 3_000, ms(33));
        push_all(&mut assembler, first);
        let mut second = second.into_iter();
        let mut missing = second.next().expect("a packet");
        push_all(&mut assembler, second);
        assert_eq!(poll(&mut assembler, ms(40)).len(), 1);
        assert_eq!(assembler.deadline(), Some(ms(233)));
        assert_eq!(poll(&mut assembler, ms(33 + delay)).len(), 0);
        missing.rtp.arrival = ms(33 + delay);
        let pushed = assembler.push(missing);
        assert_eq!(pushed, if whole { Pushed::Taken } else { Pushed::Late });
        assert_eq!(poll(&mut assembler, ms(33 + delay)).len(), usize::from(whole));
        assert_eq!(assembler.deadline(), None);
    }
}

#[test]
fn a_lost_upper_layer_costs_only_itself() {
    for (codec, descriptors) in [(Codec::Vp8, false), (Codec::Vp9, false), (Codec::H264, true), (Codec::Av1, true)] {
        let (mut sender, mut assembler) = (Sender::new(codec, 3), Assembler::new(types()));
        sender.descriptors = descriptors.then(|| Writer::new(Mode::new(1, 3), &[]));
        let mut delivered = Vec::new();
        for number in 0..60u64 {
            let now = ms(100 * number);
            let temporal = Mode::new(1, 3).temporal_of(number as u32);
            let (_, packets) = sender.frame(number == 0, temporal, 2_500, now);
            // Whole frames and parts of them, of the two upper layers.
            let lost = [13, 14, 27, 33, 45].contains(&number);
            for (index, packet) in packets.into_iter().enumerate() {
                if !lost || (number % 2 == 0 && index == 0) {
                    assembler.push(packet);
                }
            }
            delivered.extend(poll(&mut assembler, now).into_iter().map(|frame| frame.frame.lost_before));
            assert!(!assembler.needs_key_frame(), "{codec:?} {number}");
        }
        // 15 refers to 14.
        assert_eq!(delivered.len(), 60 - 6, "{codec:?}");
        let lost: u32 = delivered.iter().sum();
        if codec == Codec::Vp8 {
            assert_eq!(lost, 6, "{delivered:?}");
        }
    }
}

#[test]
fn a_whole_key_frame_ends_the_wait_at_once() {
    let (mut sender, mut assembler) = (Sender::new(Codec::Vp8, 1), Assembler::new(types()));
    // The stream is joined in the middle of a frame.
    let (_, packets) = sender.frame(false, 0, 5_000, ms(0));
    push_all(&mut assembler, packets.into_iter().skip(2));
    assert_eq!(poll(&mut assembler, ms(0)), []);
    assert!(!assembler.needs_key_frame(), "the first packets may still come");
    let (_, packets) = sender.frame(false, 0, 5_000, ms(33));
    push_all(&mut assembler, packets.into_iter().skip(1));
    let (content, packets) = sender.frame(true, 0, 5_000, ms(66));
    push_all(&mut assembler, packets);
    let frames = poll(&mut assembler, ms(66));
    assert!(frames.len() == 1 && frames[0].frame.payload == content && frames[0].frame.begins);
}

#[test]
fn padding_is_no_frame_and_its_loss_is_none() {
    for codec in Codec::ALL {
        let (mut sender, mut assembler) = (Sender::new(codec, 1), Assembler::new(types()));
        sender.descriptors = Some(Writer::new(Mode::new(1, 1), &[]));
        let mut frames = 0;
        for number in 0..20u64 {
            let now = ms(300 * number);
            let (_, packets) = sender.frame(number == 0, 0, 2_500, now);
            push_all(&mut assembler, packets);
            for index in 0..5 {
                let padding = sender.padding(now);
                if index != 3 || number % 2 == 0 {
                    assert_eq!(assembler.push(padding), Pushed::Taken);
                }
            }
            frames += poll(&mut assembler, now).len();
        }
        frames += poll(&mut assembler, ms(9_000)).len();
        assert_eq!(frames, 20, "{codec:?}");
        assert_eq!(assembler.counts().padding, 90);
        assert_eq!(assembler.counts().dropped(), 0);
    }
}

#[test]
fn another_ssrc_and_another_codec_on_one_track() {
    let mut assembler = Assembler::new(types());
    let mut frames = Vec::new();
    let mut at = 0;
    let mut send = |assembler: &mut Assembler, sender: &mut Sender, key: bool| {
        at += 33;
        let (_, packets) = sender.frame(key, 0, 2_500, ms(at));
        let pushed: Vec<_> = packets.into_iter().map(|packet| assembler.push(packet)).collect();
        frames.extend(poll(assembler, ms(at)));
        pushed
    };
    let mut first = Sender::new(Codec::Vp8, 1);
    send(&mut assembler, &mut first, true);
    send(&mut assembler, &mut first, false);
    // The codec changes, on the same SSRC.
    let mut second = Sender::new(Codec::H264, 1);
    second.sequence = first.sequence;
    send(&mut assembler, &mut second, false);
    assert!(assembler.needs_key_frame());
    send(&mut assembler, &mut second, true);
    // The sender restarts with other numbers.
    second.sequence = second.sequence.wrapping_add(9_000);
    assert_eq!(send(&mut assembler, &mut second, true)[..2], [Pushed::Aside, Pushed::Restarted]);
    let mut third = Sender::new(Codec::Av1, 1);
    third.ssrc = 8;
    assert_eq!(send(&mut assembler, &mut third, true)[..2], [Pushed::Aside, Pushed::Restarted]);
    // Late packets of the first SSRC change nothing.
    assert!(send(&mut assembler, &mut first, true).iter().all(|pushed| *pushed == Pushed::Late));
    send(&mut assembler, &mut third, false);
    let seen: Vec<_> = frames.iter().map(|frame| (frame.codec, frame.frame.key, frame.frame.begins)).collect();
    assert_eq!(
        seen,
        [
            (Codec::Vp8, true, true),
            (Codec::Vp8, false, false),
            (Codec::H264, true, false),
            (Codec::H264, true, true),
            (Codec::Av1, true, true),
            (Codec::Av1, false, false),
        ]
    );
    assert_eq!(assembler.counts().restarts, 2);
}

#[test]
fn one_stray_packet_is_no_restart() {
    let (mut sender, mut assembler) = (Sender::new(Codec::Vp8, 1), Assembler::new(types()));
    let mut stray = Sender::new(Codec::Vp8, 1);
    (stray.ssrc, stray.sequence) = (99, 30_000);
    for number in 0..20u64 {
        let (_, packets) = sender.frame(number == 0, 0, 900, ms(number * 33));
        push_all(&mut assembler, packets);
        if number == 5 {
            let (_, mut packets) = stray.frame(true, 0, 2_000, ms(number * 33));
            assert_eq!(assembler.push(packets.remove(0)), Pushed::Aside);
        }
        if number == 8 {
            // Of the same SSRC, far away.
            let mut far = sender.padding(ms(number * 33));
            sender.sequence = sender.sequence.wrapping_sub(1);
            far.rtp.sequence = far.rtp.sequence.wrapping_add(20_000);
            assert_eq!(assembler.push(far), Pushed::Aside);
        }
        assert_eq!(poll(&mut assembler, ms(number * 33)).len(), 1);
    }
    assert_eq!((assembler.counts().restarts, assembler.counts().stray), (0, 2));
}

#[test]
fn blank_frames_and_rotation() {
    let mut assembler = Assembler::new(types());
    let mut sequence = 0;
    let mut send = |payload_type: u8, frame: Vec<u8>, descriptor: &[u8], rotation: Option<u8>| {
        let payload = [descriptor, &frame].concat();
        let rtp = RtpPacket {
            sequence,
            timestamp: u32::from(sequence) * 3_000,
            payload_type,
            marker: true,
            payload: Bytes::from(payload),
            ..RtpPacket::default()
        };
        sequence += 1;
        assembler.push(VideoPacket { rtp, rotation: rotation.map(Rotation::of_extension), ..VideoPacket::default() });
        let frames = poll(&mut assembler, ms(0));
        assert_eq!(frames.len(), 1);
        (frames[0].blank, frames[0].size, frames[0].rotation.degrees())
    };
    let large = Some(Size::new(1280, 720));
    let vp8 = |width, height| vp8::frame(true, Size::new(width, height), 20);
    assert_eq!(send(96, vp8(8, 8), &[0x10], None), (true, None, 0));
    assert_eq!(send(96, vp8(1280, 720), &[0x10], Some(3)), (false, large, 270));
    assert_eq!(send(96, vp8::frame(false, Size::default(), 20), &[0x10], None), (false, large, 270));
    assert_eq!(send(96, vp8(8, 8), &[0x10], None), (true, large, 0));
    // H264: a STAP-A of parameter sets and slice, 2×2.
    let sps = h264::sps(1, 1, Some([0, 7, 0, 7]));
    let stap = [&[24, 0, sps.len() as u8][..], &sps, &[0, 2, 0x68, 1, 0, 2, 0x65, 0x88]].concat();
    assert_eq!(send(102, stap, &[], Some(2)), (true, large, 180));
    assert_eq!(assembler.counts().blank, 3);
}

#[test]
fn spatial_layers_of_vp9_are_one_picture() {
    let (mut packetizer, mut assembler) = (Packetizer::new(Codec::Vp9, 3, 1, 0), Assembler::new(types()));
    let sizes = [Some(Size::new(320, 180)), Some(Size::new(640, 360)), Some(Size::new(1_280, 720))];
    let mut sequence = 0;
    for picture in 0..4u8 {
        // After the key picture the SFU forwards the highest layer only.
        for spatial in if picture == 0 { 0..3 } else { 2..3u8 } {
            let info = Outgoing { key: picture == 0, spatial, temporal: 0, ends_picture: spatial == 2, sizes };
            packetizer.packetize(&Bytes::from(vec![picture + spatial; 2_000]), &info, 900, &mut |payload| {
                let (marker, payload) = (payload.marker, payload.data);
                let timestamp = u32::from(picture) * 3_000;
                let rtp = RtpPacket { sequence, timestamp, payload_type: 98, marker, payload, ..RtpPacket::default() };
                sequence += 1;
                assembler.push(VideoPacket { rtp, ..VideoPacket::default() });
            });
        }
        let frames = poll(&mut assembler, ms(0));
        assert_eq!(frames.len(), 1);
        assert_eq!(
            (frames[0].frame.payload.len(), frames[0].frame.layer.spatial),
            (if picture == 0 { 6_000 } else { 2_000 }, 2)
        );
        assert_eq!((frames[0].size, frames[0].frame.key), (sizes[2], picture == 0));
    }
}

#[test]
fn every_bound_holds() {
    // One frame without end.
    let mut assembler = Assembler::new(types());
    let mut sender = Sender::new(Codec::Vp8, 1);
    let (_, packets) = sender.frame(true, 0, 3_000_000, ms(0));
    for packet in packets.into_iter().take(2_900) {
        assembler.push(packet);
        let (count, bytes) = assembler.held();
        assert!(count <= MAX_PACKETS && bytes <= MAX_BYTES, "{count} packets, {bytes} bytes");
    }
    assert_eq!(assembler.counts().overflow, 1);
    assert!(assembler.needs_key_frame());
    // Large packets: the bound in bytes.
    let mut assembler = Assembler::new(types());
    for sequence in 0..400u16 {
        let payload = Bytes::from(vec![0x10; 60_000]);
        let rtp = RtpPacket { sequence, payload_type: 96, payload, ..RtpPacket::default() };
        assembler.push(VideoPacket { rtp, ..VideoPacket::default() });
        assert!(assembler.held().1 <= MAX_BYTES);
    }
    // Unfinished frames: of each the second packet is missing.
    let (mut sender, mut assembler) = (Sender::new(Codec::Vp8, 1), Assembler::new(types()));
    for number in 0..100u64 {
        let (_, packets) = sender.frame(number == 0, 0, 5_000, ms(number));
        for (_, packet) in packets.into_iter().enumerate().filter(|(index, _)| *index != 1) {
            assembler.push(packet);
            assert!(
                assembler.window.unfinished(assembler.at_start) <= MAX_UNFINISHED,
                "{} frames",
                assembler.window.unfinished(assembler.at_start)
            );
        }
    }
    assert_eq!(assembler.counts().overflow, 100 - MAX_UNFINISHED as u64);
    // Whole frames behind one hole are not unfinished: more than eight may wait.
    let (mut sender, mut assembler) = (Sender::new(Codec::Vp8, 1), Assembler::new(types()));
    for number in 0..30u64 {
        let (_, packets) = sender.frame(number == 0, 0, 5_000, ms(number));
        push_all(&mut assembler, packets.into_iter().skip(usize::from(number == 5)));
    }
    assert_eq!(poll(&mut assembler, ms(30)).len(), 5);
    assert_eq!((assembler.counts().overflow, assembler.window.unfinished(assembler.at_start)), (0, 1));
}

#[test]
fn corrupt_and_refused_frames() {
    let (mut sender, mut assembler) = (Sender::new(Codec::H264, 1), Assembler::new(types()));
    for number in 0..6u64 {
        let (_, mut packets) = sender.frame(number % 3 == 0, 0, 3_000, ms(number));
        if number == 1 {
            packets[1].rtp.payload = Bytes::from_static(&[28]);
        }
        push_all(&mut assembler, packets);
        let mut refuse =
            |_: Codec, frame: &mut EncodedFrame| if frame.key && number == 3 { Err(Refused) } else { Ok(()) };
        let frames = std::iter::from_fn(|| assembler.poll(ms(number), &mut refuse)).count();
        assert_eq!(frames, usize::from(number == 0), "{number}");
    }
    let counts = assembler.counts();
    assert_eq!((counts.malformed, counts.corrupt, counts.refused, counts.undecodable), (1, 1, 1, 3));
    assert!(assembler.needs_key_frame());
}

/// What is handed out is a sequence of frames of which each follows the one before, or is a key frame, whatever arrives.
#[test]
fn loss_order_and_repetition_at_random() {
    for codec in Codec::ALL {
        for seed in 1..25u64 {
            let mut state = seed * 977;
            let (mut sender, mut assembler) = (Sender::new(codec, 1), Assembler::new(types()));
            if seed % 2 == 0 {
                sender.descriptors = Some(Writer::new(Mode::new(1, 1), &[]));
            }
            let (mut contents, mut pending) = (Vec::new(), Vec::new());
            let mut expected = None::<usize>;
            let loss = seed % 12;
            for number in 0..150u64 {
                let now = ms(33 * number);
                let key = number == 0 || random(&mut state, 25) == 0;
                let length = 1 + random(&mut state, 6_000) as usize;
                let (content, packets) = sender.frame(key, 0, length, now);
                contents.push((content, key));
                for packet in packets {
                    let until = now + ms(random(&mut state, 10) * random(&mut state, 20));
                    if random(&mut state, 100) >= loss {
                        pending.push((until, packet.clone()));
                    }
                    if random(&mut state, 20) == 0 {
                        pending.push((until + ms(50), packet));
                    }
                }
                pending.sort_by_key(|(until, _)| *until);
                let due = pending.iter().take_while(|(until, _)| *until <= now).count();
                for (until, mut packet) in pending.drain(..due) {
                    packet.rtp.arrival = until;
                    assembler.push(packet);
                }
                for frame in poll(&mut assembler, now) {
                    let index = contents.iter().position(|(content, _)| *content == frame.frame.payload);
                    let index = index.expect("a frame as it was sent");
                    assert_eq!(frame.frame.key, contents[index].1);
                    let follows = expected.is_some_and(|expected| expected == index);
                    assert!(frame.frame.key || follows, "{codec:?} seed {seed}: {index} after {expected:?}");
                    expected = Some(index + 1);
                }
            }
            assert!(
                assembler.counts().frames > if loss == 0 { 100 } else { 0 },
                "{codec:?} {seed} {:?}",
                assembler.counts()
            );
        }
    }
}

#[test]
fn a_megabyte_of_garbage() {
    let mut state = 99;
    let mut assembler = Assembler::new(types());
    let mut now = ms(0);
    for _ in 0..20_000 {
        let payload: Vec<u8> = (0..random(&mut state, 120)).map(|_| random(&mut state, 256) as u8).collect();
        let descriptor: Vec<u8> = (0..random(&mut state, 12)).map(|_| random(&mut state, 256) as u8).collect();
        let rtp = RtpPacket {
            sequence: (random(&mut state, 400) * random(&mut state, 3)) as u16,
            timestamp: random(&mut state, 5) as u32,
            ssrc: (random(&mut state, 20) / 18) as u32,
            payload_type: [96, 98, 102, 35, 97, 127, 255][random(&mut state, 7) as usize],
            marker: random(&mut state, 4) == 0,
            arrival: now,
            payload: Bytes::from(payload),
            ..RtpPacket::default()
        };
        assembler.push(VideoPacket { rtp, descriptor: Bytes::from(descriptor), rotation: None });
        now += ms(random(&mut state, 30));
        poll(&mut assembler, now);
        assert!(assembler.held().0 <= MAX_PACKETS && assembler.window.unfinished(assembler.at_start) <= MAX_UNFINISHED);
    }
    assembler.poll(Duration::MAX, &mut |_, _| Ok(()));
    assembler.set_wait(Duration::MAX);
    assembler.reset();
    assert_eq!(assembler.held(), (0, 0));
}
