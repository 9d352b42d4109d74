//! Speech through the sender, a simulated network, and the receiver, in virtual time.

mod media_support;

use std::time::Duration;

use bytes::Bytes;
use media_support::*;
use offhook::media::audio::{
    opus::EncoderConfig,
    receive::{AudioReceiveConfig, AudioReceiver},
    send::{AudioFormat, AudioSendConfig},
};

#[test]
fn a_clean_network_is_transparent_at_every_pair_of_rates() {
    for (voice, wanted) in
        [("alice", [(48_000, 2), (8_000, 1), (44_100, 1)]), ("bob", [(48_000, 1), (16_000, 1), (11_025, 2)])]
    {
        let speech = wav(voice);
        for (rate, channels) in wanted {
            let call = Call { rate, channels, ..Call::default() };
            let played = call.run(&speech, |_, _| Path::After(7));
            let (correlation, lag) = played.correlation(&speech);
            // The encoder's high-pass filter for speech shifts the phase of the lowest tones.
            let floor = 0.93;
            assert!(correlation > floor, "{voice} at {rate}/{channels}: {correlation} at {lag} ms");
            assert!(lag < 75.0, "{voice} at {rate}: {lag} ms");
            let stats = played.stats;
            assert_eq!(
                (stats.lost, stats.concealed_frames, stats.fec_frames, stats.late, stats.duplicates, stats.discarded),
                (0, 0, 0, 0, 0, 0),
                "{voice} at {rate}: {stats:?}"
            );
            assert!(played.first_pcm_ms <= 40, "{voice} at {rate}: first PCM after {} ms", played.first_pcm_ms);
            assert_eq!(played.flagged_concealed, 0);
            assert!(stats.jitter_ms < 1.0 && stats.delay_ms <= 45.0, "{stats:?}");
        }
    }
}

#[test]
fn loss_is_rebuilt_or_concealed() {
    let speech = wav("alice");
    for (percent, floor) in [(5, 0.90), (10, 0.85)] {
        let mut chance = Chance::new(percent);
        let played = Call::default().run(&speech, |_, _| {
            if chance.below(100) < percent {
                Path::Lost
            } else {
                Path::After(15 + chance.below(5))
            }
        });
        let (correlation, _) = played.correlation(&speech);
        let stats = played.stats;
        assert!(correlation > floor, "{percent} %: {correlation}, {stats:?}");
        assert_eq!(stats.lost, played.dropped, "{percent} %: {stats:?}");
        assert!(stats.fec_frames * 2 > stats.lost, "{percent} %: FEC is hardly used: {stats:?}");
        // Packets lost in a pause need neither.
        assert!((stats.fec_frames + stats.concealed_frames) * 10 >= stats.lost * 9, "{stats:?}");
    }
}

#[test]
fn redundant_audio_makes_good_what_is_lost() {
    let speech = wav("alice");
    for seed in [1, 2, 3] {
        let run = |red: usize, percent: u64| {
            let mut chance = Chance::new(seed);
            Call { red, repeat: 4, ..Call::default() }.run(&speech, |_, _| {
                let lost = chance.below(100) < percent;
                if lost {
                    Path::Lost
                } else {
                    Path::After(15 + chance.below(5))
                }
            })
        };
        let [none, one, two] = [0, 1, 2].map(|red| run(red, 10));
        println!(
            "10 % lost, seed {seed}: damaged 100 ms windows {} without, {} with one frame, {} with two; lost {}, restored {} {}",
            none.damaged_windows, one.damaged_windows, two.damaged_windows, none.stats.lost, one.stats.restored, two.stats.restored
        );
        assert!(none.damaged_windows > 100, "{}", none.damaged_windows);
        assert!(one.damaged_windows * 4 < none.damaged_windows, "{:?}", one.stats);
        assert!(two.damaged_windows * 10 < none.damaged_windows, "{:?}", two.stats);
        // Each loss is counted once: as lost, or as restored.
        for played in [&one, &two] {
            assert_eq!(played.stats.lost + played.stats.restored, played.dropped, "{:?}", played.stats);
        }
        // Without losses there is no wait for redundant packets.
        let (plain, calm) = (run(0, 0).stats, run(1, 0).stats);
        assert_eq!((calm.restored, calm.lost, calm.duplicates), (0, 0, 0), "{calm:?}");
        assert!(calm.target_ms <= plain.target_ms, "{calm:?}");
    }
}

#[test]
fn reordering_and_duplicates_are_not_audible() {
    let speech = wav("bob");
    let played = Call::default().run(&speech, |i, _| match i % 10 {
        3 => Path::After(30), // behind the next one
        5 | 6 => Path::Twice(5, 9),
        _ => Path::After(5),
    });
    let (correlation, _) = played.correlation(&speech);
    let stats = played.stats;
    assert!(correlation > 0.93, "{correlation}, {stats:?}");
    // Started with two packets, the delay is not yet long enough for the first reordered one.
    assert!(stats.lost == 0 && stats.late <= 1, "{stats:?}");
    assert!(stats.duplicates > 100, "{stats:?}");
    assert!(stats.concealed_frames <= 2, "{stats:?}");
}

#[test]
fn the_least_delay_holds_from_the_first_packet_on() {
    let speech = wav("alice");
    for seed in 1..=5 {
        let mut chance = Chance::new(seed);
        let call = Call { min_delay_ms: 600, ..Call::default() };
        let played = call.run(&speech, |i, _| Path::After(if i == 0 { 0 } else { chance.below(560) }));
        let stats = played.stats;
        assert!((580..=640).contains(&played.first_pcm_ms), "first PCM after {} ms", played.first_pcm_ms);
        assert_eq!((stats.late, stats.lost, stats.concealed_frames), (0, 0, 0), "{stats:?}");
    }
}

#[test]
fn jitter_is_absorbed_by_a_delay_that_follows_it() {
    let speech = wav("alice");
    let mut chance = Chance::new(3);
    let played = Call::default().run(&speech, |_, _| Path::After(10 + chance.below(80)));
    let stats = played.stats;
    let total = stats.received as f64;
    assert!((stats.concealed_frames as f64) < total * 0.05, "{stats:?}");
    assert!((60.0..=120.0).contains(&stats.target_ms), "{stats:?}");
    assert!(stats.jitter_ms > 10.0, "{stats:?}");
}

#[test]
fn a_stall_and_the_burst_after_it_are_got_over() {
    let speech = wav("alice");
    let played = Call { repeat: 2, ..Call::default() }.run(&speech, |_, sent_ms| {
        // From 5.0 s to 5.6 s everything is held back and arrives at once.
        if (5_000..5_600).contains(&sent_ms) {
            Path::After(5_600 - sent_ms + 10)
        } else {
            Path::After(10)
        }
    });
    let stats = played.stats;
    assert!(stats.late + stats.discarded > 10, "{stats:?}");
    assert!((1..=8).contains(&stats.concealed_frames), "{stats:?}");
    assert!(stats.delay_ms < 110.0, "the delay never came back: {stats:?}");
    let tail = played.tail_correlation(&speech);
    assert!(tail > 0.9, "{tail}, {stats:?}");
}

#[test]
fn a_path_that_becomes_longer_is_followed() {
    let speech = wav("bob");
    let played = Call::default().run(&speech, |_, sent_ms| Path::After(if sent_ms < 3_000 { 10 } else { 460 }));
    let tail = played.tail_correlation(&speech);
    assert!(tail > 0.9, "{tail}, {:?}", played.stats);
    assert!(played.stats.late < 60, "{:?}", played.stats);
}

#[test]
fn both_wraps_pass_unnoticed() {
    let speech = wav("alice");
    let call = Call { sequence_shift: Some(65_500), timestamp_shift: Some(u32::MAX - 20_000), ..Call::default() };
    let played = call.run(&speech, |_, _| Path::After(5));
    assert!(played.correlation(&speech).0 > 0.93);
    assert_eq!((played.stats.lost, played.stats.concealed_frames, played.stats.restarts), (0, 0, 0));
}

#[test]
fn twenty_minutes_of_drift_stay_bounded() {
    for ppm in [200i64, -200] {
        let payloads = packets(&wav("alice"));
        let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
        let (mut pushed, mut worst) = (0u64, 0f32);
        for tick in 0..60_000u64 {
            let now = Duration::from_millis(tick * 20 + 3);
            // The sender's 20 ms are a little shorter or longer than the receiver's.
            while pushed as i64 * (20_000_000 - 20 * ppm) / 1_000 <= tick as i64 * 20_000 {
                let payload = payloads[pushed as usize % payloads.len()].clone();
                receiver.push(pushed as u16, (pushed * 960) as u32, payload, now);
                pushed += 1;
            }
            receiver.play(now);
            if tick > 100 {
                worst = worst.max(receiver.stats().delay_ms);
            }
        }
        let stats = receiver.stats();
        assert!(worst < 90.0, "{ppm} ppm: {worst} ms, {stats:?}");
        // 240 ms too much or too little, 20 ms at a time, is 12 frames.
        assert!(stats.concealed_frames + stats.shrunk_frames + stats.stretched_frames <= 30, "{ppm}: {stats:?}");
        assert_eq!((stats.lost, stats.discarded), (0, 0), "{ppm}: {stats:?}");
    }
}

#[test]
fn silence_is_silence_and_not_concealment() {
    let encoder = EncoderConfig { dtx: true, ..EncoderConfig::default() };
    let mut sender = AudioSender::new(AudioSendConfig { encoder, ..AudioSendConfig::default() }).unwrap();
    let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
    let speech = resampled(&wav("bob"), 48_000, 1);
    let mut speech = speech.chunks_exact(960).cycle().skip(20);
    let (mut markers, mut silent_pulls) = (0, 0);
    for tick in 0..1_000u64 {
        let now = Duration::from_millis(tick * 20);
        // 4 s of speech, 4 s of zeros (DTX), 4 s muted, 4 s nothing written, 4 s of speech.
        match tick / 200 {
            0 | 4 => sender.write_s16(speech.next().unwrap()).unwrap(),
            1 => sender.write_s16(&[0; 960]).unwrap(),
            2 => sender.write_s16(speech.next().unwrap()).unwrap(),
            _ => {}
        }
        if let Some(packet) = sender.next_packet(tick / 200 == 2) {
            assert_ne!(tick / 200, 2, "a muted sender sent something");
            markers += u32::from(packet.marker);
            receiver.push(packet.sequence, packet.timestamp, packet.payload, now);
        }
        if let Some(pulled) = receiver.play(now) {
            silent_pulls += u32::from(pulled.silence);
            let settled = tick % 200 > 20;
            if settled && (1..=3).contains(&(tick / 200)) {
                assert!(pulled.level < 0.001, "{tick}: {}", pulled.level);
            }
        }
    }
    let stats = receiver.stats();
    assert_eq!((stats.lost, stats.concealed_frames, stats.fec_frames), (0, 0, 0), "{stats:?}");
    assert!((3..=20).contains(&markers), "{markers}");
    assert!(silent_pulls > 150, "{silent_pulls}");
    assert!(sender.stats().dtx_frames > 100, "{:?}", sender.stats());
    assert!(receiver.stats().delay_ms < 60.0, "{stats:?}");
}

#[test]
fn an_idle_track_reports_idle_and_resumes() {
    let payloads = packets(&wav("bob"));
    let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
    assert!(receiver.idle(Duration::ZERO));
    assert!(receiver.play(Duration::ZERO).is_none());
    let mut played = [0, 0];
    for (run_index, start) in [(0u64, 0u64), (1, 100_000)] {
        for i in 0..50u64 {
            let now = Duration::from_millis(start + i * 20);
            let number = run_index * 50 + i;
            // No ticks ran in between; timestamps follow the wall clock.
            let timestamp = ((start + i * 20) * 48) as u32;
            receiver.push(number as u16, timestamp, payloads[number as usize].clone(), now);
            assert!(!receiver.idle(now));
            played[run_index as usize] += u32::from(receiver.play(now).is_some());
        }
        let mut pulls = 0;
        while !receiver.idle(Duration::from_millis(start + 1_000 + pulls * 20)) {
            receiver.play(Duration::from_millis(start + 1_000 + pulls * 20));
            pulls += 1;
            assert!(pulls < 30);
        }
        assert!(receiver.play(Duration::from_millis(start + 2_000)).is_none());
    }
    assert!(played[0] >= 48 && played[1] >= 48, "{played:?}");
    assert_eq!(receiver.stats().concealed_frames + receiver.stats().lost, 0, "{:?}", receiver.stats());
}

#[test]
fn a_new_ssrc_or_a_jump_starts_afresh() {
    let payloads = packets(&wav("alice"));
    let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
    let (mut played, mut after) = (0, 0);
    for i in 0..300u64 {
        let now = Duration::from_millis(i * 20);
        if i == 200 {
            receiver.reset();
        }
        // A jump at 100, another SSRC (hence reset) at 200.
        let (sequence, timestamp) = match i / 100 {
            0 => (i, i * 960),
            1 => (40_000 + i, 3_000_000_000 + i * 960),
            _ => (7 + i, 99 + i * 960),
        };
        receiver.push(sequence as u16, timestamp as u32, payloads[i as usize].clone(), now);
        let some = receiver.play(now).is_some_and(|pulled| !pulled.silence);
        played += u32::from(some);
        after += u32::from(i > 290 && some);
    }
    let stats = receiver.stats();
    assert_eq!((stats.restarts, stats.lost, stats.late), (1, 0, 0), "{stats:?}");
    assert!(played > 280 && after == 9, "{played} {after} {stats:?}");
}

#[test]
fn packets_of_any_duration_give_twenty_milliseconds_at_a_time() {
    let payloads = packets(&wav("bob"));
    for frames in [1usize, 2, 3, 6] {
        for rate in [48_000u32, 11_025, 44_100] {
            let mut receiver =
                AudioReceiver::new(AudioReceiveConfig { rate, ..AudioReceiveConfig::default() }).unwrap();
            let (mut sizes, mut pulls, mut frames_out, mut whole) = (Vec::new(), 0u64, 0u64, 0u32);
            for tick in 0..300u64 {
                let now = Duration::from_millis(tick * 20);
                if tick % frames as u64 == 0 {
                    let number = tick / frames as u64;
                    // Frames of different modes cannot share a packet: such a frame is sent alone, and the rest of its
                    // time is a pause.
                    let first = tick as usize;
                    let packet = joined(&payloads[first..first + frames]);
                    whole += u32::from(packet.is_some());
                    let packet = packet.unwrap_or_else(|| payloads[first].clone());
                    receiver.push(number as u16, (tick * 960) as u32, packet, now);
                }
                if let Some(pulled) = receiver.play(now) {
                    assert_eq!(pulled.samples.len(), pulled.frames);
                    sizes.push(pulled.frames);
                    pulls += 1;
                    frames_out += pulled.frames as u64;
                }
            }
            assert!(whole as usize >= 300 / frames / 2, "{frames}: {whole} packets of full length");
            let exact = u64::from(rate) * pulls / 50;
            assert!(frames_out.abs_diff(exact) <= 1, "{rate}: {frames_out} of {exact}");
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 1, "{rate}: {least}..{most}");
            assert!(pulls >= 290, "{frames}x20 ms at {rate}: {pulls} pulls");
            assert_eq!(receiver.stats().concealed_frames, 0, "{frames}x20 ms at {rate}: {:?}", receiver.stats());
        }
    }
}

#[test]
fn opus_frames_pass_through_in_order() {
    let payloads = packets(&wav("alice"));
    let mut sender =
        AudioSender::new(AudioSendConfig { input: AudioFormat::Opus, seed: 5, ..AudioSendConfig::default() }).unwrap();
    assert!(sender.write_s16(&[0; 960]).is_err());
    let mut receiver =
        AudioReceiver::new(AudioReceiveConfig { deliver_opus: true, ..AudioReceiveConfig::default() }).unwrap();
    let (mut got, mut lost) = (Vec::new(), 0);
    for tick in 0..200u64 {
        let now = Duration::from_millis(tick * 20);
        sender.write_opus(payloads[tick as usize].clone(), 960).unwrap();
        let packet = sender.next_packet(false).unwrap();
        assert!(!packet.has_level && sender.extra_packet().is_none());
        if tick % 50 != 10 {
            receiver.push(packet.sequence, packet.timestamp, packet.payload, now);
        }
        assert!(receiver.play(now).is_none());
        while let Some(opus) = receiver.pull_opus(now) {
            lost += opus.lost_before;
            got.push(opus.payload);
        }
    }
    assert_eq!(lost, 4);
    assert!(got.len() >= 194, "{}", got.len());
    assert_eq!(got[0], payloads[0]);
    assert_eq!(got[12], payloads[13]);
}

#[test]
fn garbage_never_disturbs_for_long() {
    let payloads = packets(&wav("alice"));
    let mut chance = Chance::new(9);
    let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
    let mut played = 0;
    for i in 0..600u64 {
        let now = Duration::from_millis(i * 20);
        receiver.push(i as u16, (i * 960) as u32, payloads[i as usize].clone(), now);
        if i < 400 {
            // Between the good packets: noise as payload, at stray sequence numbers.
            let noise: Vec<u8> = (0..chance.below(1_700)).map(|_| chance.below(256) as u8).collect();
            receiver.push(
                chance.below(65_536) as u16,
                chance.below(u64::from(u32::MAX)) as u32,
                Bytes::from(noise),
                now,
            );
        }
        played += u32::from(receiver.play(now).is_some_and(|pulled| i >= 500 && !pulled.silence));
    }
    let stats = receiver.stats();
    assert!(played >= 80, "{played}: {stats:?}");
    assert!(stats.discarded > 200, "{stats:?}");
}

/// Discontinuous transmission omits quiet audio, never a steady tone that is loud.
#[test]
fn a_steady_tone_is_no_silence() {
    let encoder = EncoderConfig { dtx: true, ..EncoderConfig::default() };
    let mut sender = AudioSender::new(AudioSendConfig { encoder, ..Default::default() }).unwrap();
    let mut sent = 0;
    for tick in 0..500usize {
        let tone: Vec<i16> = (0..960)
            .map(|i| (8_000.0 * (((tick * 960 + i) as f64) * 400.0 * std::f64::consts::TAU / 48_000.0).sin()) as i16)
            .collect();
        sender.write_s16(&tone).unwrap();
        sent += u32::from(sender.next_packet(false).is_some());
    }
    assert_eq!(sent, 500);
    for _ in 0..500 {
        sender.write_s16(&[0; 960]).unwrap();
        sent += u32::from(sender.next_packet(false).is_some());
    }
    assert!(sent < 600, "silence is still left out: {sent}");
}

#[test]
fn dtx_can_be_forbidden_and_allowed_while_it_runs() {
    let encoder = EncoderConfig { dtx: true, ..EncoderConfig::default() };
    let mut sender = AudioSender::new(AudioSendConfig { encoder, ..AudioSendConfig::default() }).unwrap();
    let mut sent = Vec::new();
    // Two seconds of silence each: as configured, forbidden, allowed again.
    for allowed in [true, false, true] {
        sender.set_dtx(allowed);
        let mut packets = 0;
        for _ in 0..100 {
            sender.write_s16(&[0; 960]).unwrap();
            packets += u32::from(sender.next_packet(false).is_some());
        }
        sent.push(packets);
    }
    assert!(sent[0] < 50 && sent[1] == 100 && sent[2] < 50, "{sent:?}");
}
