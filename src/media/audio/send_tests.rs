//! How the end of a track's audio is handled: sent to the last sample, cleared, or dropped as too old on a live track.

use super::*;
use crate::media::{self, audio::opus::Decoder};
use sender::{AudioPacket, AudioSender};

#[path = "../../../tests/media_support/sender.rs"]
mod sender;

const RATES: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

fn sender(rate: u32, live: bool) -> AudioSender {
    let encoder = EncoderConfig { dtx: false, ..EncoderConfig::default() };
    let input = AudioFormat::Pcm { rate, channels: 1 };
    AudioSender::new(AudioSendConfig { input, encoder, capacity_ms: 3_000, live, seed: 1 }).unwrap()
}

fn tone(rate: u32, ms: u32) -> Vec<f32> {
    let count = rate * ms / 1_000;
    (0..count).map(|i| 0.5 * (i as f32 * 400.0 * std::f32::consts::TAU / rate as f32).sin()).collect()
}

/// Packets of the ticks until nothing is left, and the number of ticks.
fn drain(sender: &mut AudioSender) -> (Vec<AudioPacket>, u32) {
    let (mut packets, mut ticks) = (Vec::new(), 0);
    while !sender.is_drained() {
        packets.extend(sender.next_packet(false));
        ticks += 1;
        assert!(ticks < 1_000, "it never ends");
    }
    (packets, ticks)
}

/// Milliseconds between the first and the last loud sample.
fn audible_ms(packets: &[AudioPacket]) -> f32 {
    let mut decoder = Decoder::new(48_000, 1).unwrap();
    let mut all = Vec::new();
    for packet in packets {
        let mut out = vec![0.0; 5_760];
        let count = decoder.decode(&packet.payload, &mut out).unwrap();
        all.extend_from_slice(&out[..count]);
    }
    let loud = |s: &f32| s.abs() > 0.1;
    let (first, last) = (all.iter().position(loud), all.iter().rposition(loud));
    (last.unwrap_or(0) - first.unwrap_or(0)) as f32 / 48.0
}

#[test]
fn the_last_sample_is_sent_without_waiting() {
    for rate in RATES {
        for ms in [80, 70, 61, 2_000] {
            let mut sender = sender(rate, false);
            sender.write_f32(&tone(rate, ms)).unwrap();
            sender.finish();
            let (packets, ticks) = drain(&mut sender);
            assert_eq!(packets.len() as u32, ticks, "{rate} Hz, {ms} ms: no tick without a packet");
            let least = ms as f32 - 4.0;
            assert!(audible_ms(&packets) >= least, "{rate} Hz: {} of {ms} ms are audible", audible_ms(&packets));
            assert!(ticks <= ms.div_ceil(20) + 2, "{rate} Hz, {ms} ms: {ticks} packets");
            assert_eq!(sender.sent_ms(), u64::from(ms), "{rate} Hz");
            assert!(sender.next_packet(false).is_none());
        }
    }
}

#[test]
fn a_writer_that_only_pauses_is_waited_for_as_before() {
    let mut sender = sender(48_000, false);
    sender.write_f32(&tone(48_000, 30)).unwrap();
    let sent: Vec<_> = (0..5).map(|_| sender.next_packet(false).is_some()).collect();
    assert_eq!(sent, [true, false, false, true, false]);
    assert!(sender.is_drained());
}

#[test]
fn clearing_counts_sent_and_unsent_audio() {
    for rate in RATES {
        let mut sender = sender(rate, false);
        let mut written = 0;
        for round in 0..20 {
            sender.write_f32(&tone(rate, 200)).unwrap();
            written += 200;
            let packets = (0..round % 7).filter_map(|_| sender.next_packet(false)).count() as u64;
            let before = sender.stats().dropped_ms;
            let dropped = u64::from(sender.clear());
            assert!(dropped.abs_diff(200 - 20 * packets) <= 1, "{rate} Hz: {dropped} ms after {packets} packets");
            assert!((sender.stats().dropped_ms - before).abs_diff(dropped) <= 1);
            assert!((sender.sent_ms() + sender.stats().dropped_ms).abs_diff(written) <= 1, "{rate} Hz");
            assert!(sender.is_drained());
            assert!(sender.next_packet(false).is_none(), "not even the rest of a frame");
        }
        sender.write_f32(&tone(rate, 100)).unwrap();
        assert!((0..2).filter_map(|_| sender.next_packet(false)).next().is_some_and(|p| p.marker), "it restarts");
    }
}

#[test]
fn a_live_track_keeps_the_newest() {
    for rate in RATES {
        for piece in [5, 10, 20, 40, 100, 500] {
            let mut sender = sender(rate, true);
            let mut written = 0;
            for _ in 0..40 {
                sender.write_f32(&tone(rate, piece)).unwrap();
                written += u64::from(piece);
                assert!(sender.buffered_ms() <= LIVE_MS, "{rate} Hz, {piece} ms: {} ms wait", sender.buffered_ms());
            }
            // A tick now and then, like a sender whose clock is slower than the writer's.
            for _ in 0..50 {
                sender.write_f32(&tone(rate, piece)).unwrap();
                written += u64::from(piece);
                let _ = sender.next_packet(false);
                assert!(sender.buffered_ms() <= LIVE_MS);
            }
            sender.finish();
            drain(&mut sender);
            let sum = sender.sent_ms() + sender.stats().dropped_ms;
            assert!(sum.abs_diff(written) <= 2, "{rate} Hz, {piece} ms: {sum} of {written} ms");
        }
    }
}

#[test]
fn a_live_track_keeps_the_newest_audio() {
    let mut sender = sender(48_000, true);
    let mut samples = vec![0.0; 48 * 460];
    samples.extend(tone(48_000, 40));
    sender.write_f32(&samples).unwrap();
    sender.finish();
    let (packets, _) = drain(&mut sender);
    assert!(audible_ms(&packets) >= 36.0, "{}", audible_ms(&packets));
    assert_eq!(sender.stats().dropped_ms, 460);
}

#[test]
fn a_live_writer_in_time_loses_nothing() {
    let mut sender = sender(48_000, true);
    for _ in 0..500 {
        sender.write_f32(&tone(48_000, 20)).unwrap();
        assert!(sender.next_packet(false).is_some());
    }
    assert_eq!((sender.stats().dropped_ms, sender.sent_ms()), (0, 10_000));
}

#[test]
fn nothing_is_left_to_send_while_muted() {
    let mut sender = sender(48_000, false);
    sender.write_f32(&tone(48_000, 200)).unwrap();
    assert!(!sender.is_drained());
    sender.set_muted(true);
    assert!(sender.is_drained());
    sender.write_f32(&tone(48_000, 200)).unwrap();
    assert!(sender.is_drained());
    assert!(sender.next_packet(true).is_none());
    assert_eq!((sender.sent_ms(), sender.stats().dropped_ms), (0, 0), "neither sent nor too old");
}

#[test]
fn the_applications_own_packets_are_counted_alike() {
    let packet = Bytes::from_static(&[0b0111_1000, 1, 2, 3]);
    let duration = opus::duration(&packet).unwrap();
    let ms = u64::from(duration / 48);
    for live in [false, true] {
        let config = AudioSendConfig { input: AudioFormat::Opus, capacity_ms: 1_000, live, ..Default::default() };
        let mut sender = AudioSender::new(config).unwrap();
        let mut written = 0;
        for _ in 0..20 {
            sender.write_opus(packet.clone(), 0).unwrap();
            written += ms;
            assert!(!live || sender.buffered_ms() <= LIVE_MS);
        }
        let sent =
            usize::from(sender.next_packet(false).is_some()) + std::iter::from_fn(|| sender.extra_packet()).count();
        assert_eq!(sender.sent_ms(), ms * sent as u64);
        let dropped = u64::from(sender.clear());
        assert!(dropped > 0);
        assert_eq!(sender.sent_ms() + sender.stats().dropped_ms, written, "live: {live}");
        assert!(sender.is_drained());
    }
}
