//! A sender and a receiver in virtual time, over a path that loses and reorders packets.

use super::*;
use crate::media::{
    rtp::{RtpOut, RtpPacket},
    video::{
        codec::Size,
        keyframe::KeyFrameDemands,
        packetize::{Outgoing, Packetizer},
        repair::{History, HistoryConfig},
        vp8::tests as vp8,
    },
};
use bytes::Bytes;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn types() -> PayloadTypes {
    PayloadTypes::of([(96, PayloadKind::Media(Codec::Vp8)), (97, PayloadKind::Rtx(96))])
}

fn random(state: &mut u64, limit: u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
}

struct Path {
    /// Losses in 1000, in both directions.
    loss: u64,
    one_way: u64,
    jitter: u64,
    rtx: bool,
    state: u64,
}

impl Path {
    fn is_lost(&mut self) -> bool {
        random(&mut self.state, 1_000) < self.loss
    }

    fn arrival(&mut self, now: u64) -> u64 {
        now + self.one_way + random(&mut self.state, self.jitter + 1)
    }
}

#[derive(Debug, Default)]
struct Outcome {
    sent: u64,
    in_time: u64,
    late: u64,
    key_frames: u64,
    packets: u64,
    lost: u64,
    retransmissions: u64,
}

enum Feedback {
    Nack(Vec<NackPair>),
    Pli,
}

/// Sends 30 frames a second for `seconds`.
fn run(path: &mut Path, seconds: u64) -> (Outcome, ReceiveCounts) {
    let mut outcome = Outcome::default();
    let mut receiver = VideoReceiver::new(types());
    let round_trip = ms(2 * path.one_way);
    receiver.set_round_trip(round_trip);
    let mut packetizer = Packetizer::new(Codec::Vp8, 1, 1, 5);
    let mut history = History::new(HistoryConfig::default(), 60_000);
    let mut demands = KeyFrameDemands::default();
    demands.starts(0);
    let (mut sequence, mut down, mut up) = (65_000u16, Vec::<(u64, VideoPacket)>::new(), Vec::<(u64, Feedback)>::new());
    let (mut sent_at, mut pairs) = (Vec::new(), Vec::new());
    for now in 0..seconds * 1_000 {
        if now * 30 % 1_000 < 30 && now + 1_000 < seconds * 1_000 {
            let key = demands.due(ms(now)) != 0;
            if key {
                demands.produced(0, ms(now));
                outcome.key_frames += 1;
            }
            outcome.sent += 1;
            sent_at.push(now);
            let mut content = vp8::frame(key, Size::new(640, 360), if key { 40_000 } else { 10_000 });
            content.extend((sent_at.len() as u32).to_be_bytes());
            packetizer.packetize(&Bytes::from(content), &Outgoing::single(key, 0), 1_140, &mut |payload| {
                let (data, marker, timestamp) = (payload.data, payload.marker, sent_at.len() as u32 * 3_000);
                let out = RtpOut { sequence, timestamp, marker, level_dbov: None, payload: data.clone() };
                history.sent(&out, 96, ms(now));
                outcome.packets += 1;
                // What is lost before the first packet that arrives cannot be asked for.
                if path.is_lost() && outcome.packets > 1 {
                    outcome.lost += 1;
                } else {
                    let rtp = RtpPacket {
                        sequence,
                        timestamp,
                        marker,
                        payload_type: 96,
                        payload: data,
                        ..RtpPacket::default()
                    };
                    down.push((path.arrival(now), VideoPacket { rtp, ..VideoPacket::default() }));
                }
                sequence = sequence.wrapping_add(1);
            });
        }
        for (_, feedback) in up.extract_if(.., |(at, _)| *at <= now) {
            match feedback {
                Feedback::Pli => demands.pli(0, ms(now), round_trip),
                Feedback::Nack(pairs) => {
                    for number in pairs.iter().flat_map(|pair| pair.sequences()) {
                        let Some(again) = history.request(number, ms(now), round_trip) else { continue };
                        outcome.retransmissions += 1;
                        if path.is_lost() {
                            continue;
                        }
                        let RtpOut { sequence, timestamp, marker, payload, .. } = again.rtp;
                        let rtp = RtpPacket {
                            sequence,
                            timestamp,
                            marker,
                            payload,
                            payload_type: 97,
                            ..RtpPacket::default()
                        };
                        // Without RTX the packet is sent again as it was.
                        let rtp = if path.rtx { Some(rtp) } else { unwrap_rtx(rtp, 96, 0) };
                        down.extend(rtp.map(|rtp| (path.arrival(now), VideoPacket { rtp, ..VideoPacket::default() })));
                    }
                }
            }
        }
        down.sort_by_key(|(at, _)| *at);
        for (_, mut packet) in down.extract_if(.., |(at, _)| *at <= now) {
            packet.rtp.arrival = ms(now);
            receiver.receive(packet);
        }
        while let Some(frame) = receiver.poll(ms(now), &mut |_, _| Ok(())) {
            let payload = &frame.frame.payload;
            let number = u32::from_be_bytes(*payload.last_chunk().expect("its number")) as usize;
            let is_in_time = now - sent_at[number - 1] <= 200;
            outcome.in_time += u64::from(is_in_time);
            outcome.late += u64::from(!is_in_time);
        }
        if receiver.feedback(ms(now), &mut pairs) && !path.is_lost() {
            up.push((path.arrival(now), Feedback::Pli));
        }
        if !pairs.is_empty() && !path.is_lost() {
            up.push((path.arrival(now), Feedback::Nack(pairs.clone())));
        }
    }
    (outcome, receiver.counts())
}

#[test]
fn five_percent_loss_with_50_ms_round_trip() {
    for (rtx, jitter) in [(true, 0), (true, 3), (false, 3), (true, 12)] {
        for seed in 1..4 {
            let mut path = Path { loss: 50, one_way: 25, jitter, rtx, state: seed };
            let (outcome, counts) = run(&mut path, 60);
            let share = outcome.in_time as f64 / outcome.sent as f64;
            let repeated = outcome.retransmissions as f64 / outcome.lost as f64;
            println!(
                "rtx {rtx} jitter {jitter} ms: {share:.4} in time, {repeated:.3} sent again, {outcome:?}, {counts:?}"
            );
            assert!(outcome.lost > 500, "{outcome:?}");
            assert!(share >= 0.99, "{share}: {outcome:?} {counts:?}");
            assert!(repeated <= if jitter <= 3 { 1.15 } else { 2.0 }, "{repeated}: {outcome:?} {counts:?}");
        }
    }
}

#[test]
fn a_clean_path_needs_nothing() {
    let mut path = Path { loss: 0, one_way: 25, jitter: 0, rtx: true, state: 1 };
    let (outcome, counts) = run(&mut path, 10);
    assert_eq!((outcome.in_time, outcome.retransmissions, outcome.key_frames), (outcome.sent, 0, 1));
    assert_eq!((counts.key_frame_requests, counts.repair.missing), (0, 0));
}

#[test]
fn a_bad_path_recovers_by_key_frames() {
    let mut path = Path { loss: 200, one_way: 60, jitter: 10, rtx: true, state: 1 };
    let (outcome, counts) = run(&mut path, 60);
    assert!(outcome.in_time + outcome.late > 20, "{outcome:?} {counts:?}");
    assert!(counts.key_frame_requests <= 60 * 2 && outcome.key_frames <= 60 * 2 + 1, "{outcome:?} {counts:?}");
}

#[test]
fn strange_retransmissions_restart_nothing() {
    let mut receiver = VideoReceiver::new(types());
    let rtx = |number: u16| {
        let payload = Bytes::from([&number.to_be_bytes()[..], &[0x10, 1, 2]].concat());
        let rtp = RtpPacket { payload_type: 97, ssrc: 9, payload, ..RtpPacket::default() };
        VideoPacket { rtp, ..VideoPacket::default() }
    };
    assert_eq!(receiver.receive(rtx(1)), Pushed::Late);
    let payload = Bytes::from([&[0x10][..], &vp8::frame(true, Size::new(64, 64), 30)].concat());
    let rtp = RtpPacket { sequence: 100, payload_type: 96, ssrc: 5, marker: true, payload, ..RtpPacket::default() };
    assert_eq!(receiver.receive(VideoPacket { rtp, ..VideoPacket::default() }), Pushed::Taken);
    assert!(receiver.poll(ms(0), &mut |_, _| Ok(())).is_some());
    for number in [20_000, 20_001, 40_000] {
        assert_eq!(receiver.receive(rtx(number)), Pushed::Late);
    }
    assert_eq!(receiver.receive(rtx(100)), Pushed::Duplicate);
    let mut empty = rtx(1);
    empty.rtp.payload = Bytes::new();
    assert_eq!(receiver.receive(empty), Pushed::Duplicate);
    let counts = receiver.counts();
    assert_eq!((counts.retransmissions, counts.probes, counts.unusable, counts.frames.restarts), (6, 1, 4, 0));
    receiver.require_key_frame();
    let mut pairs = Vec::new();
    assert!(receiver.feedback(ms(1), &mut pairs) && pairs.is_empty());
    receiver.reset();
    assert_eq!(receiver.deadline(), None);
}
