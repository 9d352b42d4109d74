//! Throughput of video assembly, in CPU time of one thread: packets of all codecs, with losses that are repaired. Every
//! frame must arrive. The speed counts in an optimised build only:
//! `cargo test --release --test video_speed -- --nocapture`.

#![cfg(target_os = "linux")]

use bytes::Bytes;
use nix::time::{clock_gettime, ClockId};
use offhook::media::{
    rtp::RtpPacket,
    video::{
        codec::{Codec, PayloadKind, PayloadTypes},
        packet::VideoPacket,
        packetize::{Outgoing, Packetizer, USUAL_PAYLOAD},
        receive::VideoReceiver,
    },
};
use std::time::Duration;

/// Frames of one measurement; few in a build with checks.
const FRAMES: u32 = if cfg!(debug_assertions) { 300 } else { 3_000 };

fn cpu_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock of this thread"))
}

fn frame(codec: Codec, length: usize) -> Bytes {
    let mut bytes = vec![0x54; length];
    let head: &[u8] = match codec {
        Codec::Vp8 => &[0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1],
        Codec::Vp9 => &[0x82, 0x49, 0x83, 0x42],
        // A sequence parameter set, and a slice.
        Codec::H264 => &[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1e, 0xf4, 5, 1, 0x7f, 0xca, 0x80, 0, 0, 0, 1, 0x65],
        // A frame OBU without size.
        Codec::Av1 => &[0x30],
    };
    bytes[..head.len()].copy_from_slice(head);
    Bytes::from(bytes)
}

/// Gigabits per second of frames of 30 kB. Of every hundred packets `late` arrive 40 packets later.
fn measure(codec: Codec, late: usize) -> f64 {
    let mut packetizer = Packetizer::new(codec, 1, 1, 0);
    let (frame, mut packets, mut sequence) = (frame(codec, 30_000), Vec::new(), 0u16);
    for number in 0..FRAMES {
        packetizer.packetize(&frame, &Outgoing::single(true, 0), USUAL_PAYLOAD, &mut |payload| {
            let arrival = Duration::from_micros(u64::from(number) * 250);
            let (timestamp, marker, payload) = (number * 3_000, payload.marker, payload.data);
            let rtp =
                RtpPacket { sequence, timestamp, marker, payload_type: 96, arrival, payload, ..RtpPacket::default() };
            packets.push(VideoPacket { rtp, ..VideoPacket::default() });
            sequence = sequence.wrapping_add(1);
        });
    }
    for at in (0..packets.len() - 41).rev().filter(|at| at % 100 < late) {
        packets[at..=at + 40].rotate_left(1);
    }
    let mut receiver = VideoReceiver::new(PayloadTypes::of([(96, PayloadKind::Media(codec))]));
    let (mut bytes, mut frames, mut pairs) = (0, 0, Vec::new());
    let began = cpu_time();
    for packet in packets {
        let now = packet.rtp.arrival;
        bytes += packet.rtp.payload.len();
        receiver.receive(packet);
        while let Some(frame) = receiver.poll(now, &mut |_, _| Ok(())) {
            frames += 1;
            assert!(frame.frame.payload.len() >= 30_000);
        }
        receiver.feedback(now, &mut pairs);
    }
    let took = cpu_time() - began;
    assert_eq!(frames, FRAMES, "{codec:?}: {:?}", receiver.counts());
    8.0 * bytes as f64 / took.as_nanos().max(1) as f64
}

#[test]
fn a_gigabit_per_second_on_one_core() {
    for codec in Codec::ALL {
        for late in [0, 1, 5] {
            let speed = measure(codec, late);
            println!("{codec:?}, {late} of 100 packets late: {speed:.1} Gbit/s");
            assert!(cfg!(debug_assertions) || speed >= 1.0, "{codec:?}: {speed:.2} Gbit/s");
        }
    }
}
