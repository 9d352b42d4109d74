//! Random packets, sizes, orders, times and calls: nothing ever panics and every bound holds.

mod media_support;

use std::time::Duration;

use bytes::Bytes;
use media_support::{AudioSender, Play};
use offhook::media::audio::{
    opus::{self, Decoder, Encoder, EncoderConfig},
    receive::{AudioReceiveConfig, AudioReceiver},
    send::{AudioFormat, AudioSendConfig},
};
use proptest::{collection::vec, prelude::*};

#[derive(Clone, Debug)]
enum Step {
    /// Sequence and timestamp relative to a steady stream, payload choice, ms since the last step.
    Packet(i32, i64, Payload, u64),
    /// An arbitrary packet.
    Stray(u16, u32, Vec<u8>),
    Pull(u64),
    Reset,
}

#[derive(Clone, Debug)]
enum Payload {
    Good,
    Cut(usize),
    Damaged(usize, u8),
    Dtx,
    Noise(Vec<u8>),
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        6 => Just(Payload::Good),
        1 => (0usize..200).prop_map(Payload::Cut),
        1 => (0usize..200, any::<u8>()).prop_map(|(at, value)| Payload::Damaged(at, value)),
        1 => Just(Payload::Dtx),
        1 => vec(any::<u8>(), 0..1_600).prop_map(Payload::Noise),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop_oneof![8 => Just(0), 2 => -6..6, 1 => -2_000..2_000],
              prop_oneof![8 => Just(0i64), 1 => -5_000i64..5_000, 1 => any::<i32>().prop_map(i64::from)],
              payload(), prop_oneof![8 => Just(20u64), 2 => 0u64..300, 1 => 0u64..100_000])
            .prop_map(|(sequence, timestamp, payload, after)| Step::Packet(sequence, timestamp, payload, after)),
        1 => (any::<u16>(), any::<u32>(), vec(any::<u8>(), 0..100)).prop_map(|(s, t, p)| Step::Stray(s, t, p)),
        8 => (0u64..40).prop_map(Step::Pull),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_receiver_survives_anything(
        steps in vec(step(), 1..200),
        rate in prop_oneof![Just(48_000u32), Just(16_000), Just(44_100), Just(11_025), Just(8_001), 8_000u32..=192_000],
        channels in 1u8..=2,
        first in any::<u16>(),
        first_timestamp in any::<u32>(),
        deliver_opus in proptest::bool::weighted(0.1),
    ) {
        let mut encoder = Encoder::new(&EncoderConfig::default()).unwrap();
        let mut receiver =
            AudioReceiver::new(AudioReceiveConfig { rate, channels, deliver_opus, ..Default::default() }).unwrap();
        let (mut now, mut sent) = (0u64, 0u32);
        for step in steps {
            match step {
                Step::Packet(sequence, timestamp, payload, after) => {
                    let frame: Vec<f32> = (0..960u32).map(|i| ((i + sent * 960) as f32 * 0.05).sin() * 0.4).collect();
                    let good = encoder.encode_f32(&frame).unwrap();
                    let payload = match payload {
                        Payload::Good => good,
                        Payload::Cut(at) => good.slice(..at.min(good.len())),
                        Payload::Damaged(at, value) => {
                            let mut bytes = good.to_vec();
                            let at = at % bytes.len();
                            bytes[at] ^= value;
                            bytes.into()
                        }
                        Payload::Dtx => good.slice(..1),
                        Payload::Noise(noise) => noise.into(),
                    };
                    now += after;
                    let sequence = first.wrapping_add(sent as u16).wrapping_add(sequence as u16);
                    let timestamp = first_timestamp.wrapping_add(sent * 960).wrapping_add(timestamp as u32);
                    sent += 1;
                    receiver.push(sequence, timestamp, payload, Duration::from_millis(now));
                }
                Step::Stray(sequence, timestamp, payload) => {
                    receiver.push(sequence, timestamp, payload.into(), Duration::from_millis(now));
                }
                Step::Pull(after) => {
                    now += after;
                    if let Some(pulled) = receiver.play(Duration::from_millis(now)) {
                        let exact = rate as usize / 50;
                        prop_assert!((exact..=exact + 1).contains(&pulled.frames));
                        prop_assert_eq!(pulled.samples.len(), pulled.frames * usize::from(channels));
                        prop_assert!(pulled.samples_f32.iter().all(|s| (-1.0..=1.0).contains(s)));
                        prop_assert!((0.0..=1.0).contains(&pulled.level));
                    }
                    let mut packets = 0;
                    while receiver.pull_opus(Duration::from_millis(now)).is_some() {
                        packets += 1;
                    }
                    prop_assert!(packets <= 128);
                }
                Step::Reset => receiver.reset(),
            }
            let stats = receiver.stats();
            prop_assert!((20.0..=200.0).contains(&stats.target_ms));
            prop_assert!(stats.late + stats.duplicates + stats.discarded <= stats.received);
        }
    }

    #[test]
    fn the_sender_survives_anything(
        writes in vec((0usize..20_000, any::<bool>(), 0u8..12), 1..100),
        rate in prop_oneof![Just(48_000u32), Just(16_000), Just(44_100), Just(11_025), Just(44_101), 8_000u32..=192_000],
        channels in 1u8..=8,
        coded in 1u8..=2,
        seed in any::<u64>(),
    ) {
        let encoder = EncoderConfig { channels: coded, complexity: 0, ..EncoderConfig::default() };
        let input = AudioFormat::Pcm { rate, channels };
        let mut sender = AudioSender::new(AudioSendConfig { input, encoder, seed, ..Default::default() }).unwrap();
        let mut last: Option<(u16, u32)> = None;
        let (mut tick, mut last_tick) = (0u32, 0u32);
        for (frames, floats, kind) in writes {
            let samples = frames * usize::from(channels);
            let room = sender.room_frames();
            prop_assert!(room <= sender.capacity_frames());
            let taken = if floats {
                let value = [0.3, f32::NAN, f32::INFINITY, -1e30][usize::from(kind % 4)];
                sender.write_f32(&vec![value; samples]).is_ok()
            } else {
                sender.write_s16(&vec![i16::MIN; samples]).is_ok()
            };
            prop_assert_eq!(taken, frames <= room);
            prop_assert_eq!(sender.room_frames(), if taken { room - frames } else { room });
            prop_assert!(sender.buffered_ms() <= 230, "{}", sender.buffered_ms());
            if kind == 11 {
                sender.skip(3);
                tick += 3;
            }
            let muted = kind == 10;
            if let Some(packet) = sender.next_packet(muted) {
                prop_assert!(!muted);
                prop_assert!(packet.payload.len() > 2 && packet.payload.len() <= 1_275);
                prop_assert_eq!(opus::duration(&packet.payload), Some(960));
                if let Some((sequence, timestamp)) = last {
                    prop_assert_eq!(packet.sequence, sequence.wrapping_add(1));
                    prop_assert_eq!(packet.timestamp, timestamp.wrapping_add((tick - last_tick) * 960));
                    prop_assert_eq!(packet.marker, tick - last_tick > 1);
                } else {
                    prop_assert!(packet.marker);
                }
                last = Some((packet.sequence, packet.timestamp));
                last_tick = tick;
            }
            tick += 1;
            prop_assert!(sender.extra_packet().is_none());
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_an_error(bytes in vec(any::<u8>(), 0..1_600), rate in 0usize..5, channels in 1u8..=2) {
        let mut decoder = Decoder::new(Decoder::RATES[rate], channels).unwrap();
        let mut out = vec![0.0; opus::MAX_FRAMES * 2];
        opus::has_fec(&bytes);
        for _ in 0..3 {
            if let Ok(frames) = decoder.decode(&bytes, &mut out) {
                let duration = opus::duration(&bytes).unwrap() as usize;
                prop_assert_eq!(frames, duration * Decoder::RATES[rate] as usize / 48_000);
            }
            let _ = decoder.decode_fec(&bytes, &mut out[..Decoder::RATES[rate] as usize / 50 * usize::from(channels)]);
            prop_assert!(out.iter().all(|s| s.is_finite()));
        }
    }

    #[test]
    fn opus_frames_of_any_length_keep_their_time(frames in vec((0usize..6, 0u8..4), 1..60), seed in any::<u64>()) {
        // CELT wide-band packets of 2.5, 5, 10, 20, 40 (two frames) and 60 ms (three), by their TOC.
        const SHAPES: [(&[u8], u32); 6] = [
            (&[0xe0, 1, 2, 3], 120), (&[0xe8, 1, 2, 3], 240), (&[0xf0, 1, 2, 3], 480), (&[0xf8, 1, 2, 3], 960),
            (&[0xf9, 1, 2], 1_920), (&[0xfb, 3, 1, 2, 3], 2_880),
        ];
        let config = AudioSendConfig { input: AudioFormat::Opus, seed, ..AudioSendConfig::default() };
        let mut sender = AudioSender::new(config).unwrap();
        let mut end = None;
        for (shape, ticks) in frames {
            let (bytes, duration) = SHAPES[shape];
            let _ = sender.write_opus(Bytes::from_static(bytes), duration);
            prop_assert!(sender.write_opus(Bytes::from_static(bytes), duration + 1).is_err());
            for _ in 0..ticks {
                let mut next = sender.next_packet(false);
                while let Some(packet) = next {
                    if let Some(end) = end {
                        // Packets never overlap; after a gap there is a marker.
                        let gap: u32 = packet.timestamp.wrapping_sub(end);
                        prop_assert!(gap < 1 << 30);
                        prop_assert!(gap == 0 || packet.marker);
                    }
                    end = Some(packet.timestamp.wrapping_add(packet.duration));
                    next = sender.extra_packet();
                }
            }
        }
    }
}
