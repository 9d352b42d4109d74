//! Signals with known quality: whole, shifted, noisy, coded, swapped, silent.

use super::*;

/// Repeatable noise in -1..1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f32 / (1u64 << 31) as f32) * 2.0 - 1.0
    }
}

/// Synthetic speech: syllables of pulses through three resonances that differ from one syllable to the next, some
/// unvoiced, with pauses between.
fn voice(seed: u64, pitch: f32, seconds: f32, rate: u32) -> Vec<f32> {
    let rate_f = rate as f32;
    let mut noise = Noise(seed);
    let mut out = Vec::new();
    while out.len() < (seconds * rate_f) as usize {
        let length = (rate_f * (0.12 + 0.08 * noise.next().abs())) as usize;
        let voiced = noise.next() > -0.5;
        let formants: Vec<f32> = [500.0, 1500.0, 2600.0].iter().map(|f| f * (1.0 + 0.35 * noise.next())).collect();
        let mut state = [[0.0f32; 2]; 3];
        let mut phase = 0.0;
        let hz = pitch * (1.0 + 0.2 * noise.next());
        for n in 0..length {
            phase += hz * (1.0 + 0.1 * n as f32 / length as f32) / rate_f;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase -= pulse;
            let source = if voiced { pulse * 0.5 + 0.005 * noise.next() } else { 0.05 * noise.next() };
            let mut sum = 0.0;
            for (f, s) in formants.iter().zip(&mut state) {
                let r = (-std::f32::consts::PI * 90.0 / rate_f).exp();
                let c = 2.0 * r * (std::f32::consts::TAU * f / rate_f).cos();
                let y = source + c * s[0] - r * r * s[1];
                *s = [y, s[0]];
                sum += y;
            }
            let edge = (n.min(length - n) as f32 / (0.015 * rate_f)).min(1.0);
            out.push(sum * 0.08 * edge);
        }
        out.extend(std::iter::repeat_n(0.0, (rate_f * 0.06 * (1.0 + noise.next())) as usize));
    }
    out.truncate((seconds * rate_f) as usize);
    let peak = out.iter().fold(0.0f32, |p, s| p.max(s.abs()));
    out.iter().map(|s| s * 0.5 / peak).collect()
}

fn alice() -> Vec<f32> {
    voice(1, 190.0, 9.0, 48000)
}

fn bob() -> Vec<f32> {
    voice(2, 110.0, 9.0, 48000)
}

fn against(original: &[f32], recording: &[f32]) -> Match {
    compare((original, 48000), (recording, 48000), &[])
}

/// Through Opus as in a call: 20 ms frames; every `lose`th is lost and concealed.
fn opus_coded(signal: &[f32], bitrate: i32, lose: usize) -> Vec<f32> {
    let mut encoder = opus::Encoder::new(48000, opus::Channels::Mono, opus::Application::Voip).unwrap();
    encoder.set_bitrate(opus::Bitrate::Bits(bitrate)).unwrap();
    let mut decoder = opus::Decoder::new(48000, opus::Channels::Mono).unwrap();
    let mut out = Vec::new();
    for (n, frame) in signal.chunks_exact(960).enumerate() {
        let packet = encoder.encode_vec_float(frame, 1500).unwrap();
        let mut pcm = [0.0; 960];
        let lost = lose > 0 && n % lose == lose - 1;
        let packet: &[u8] = if lost { &[] } else { &packet };
        let got = decoder.decode_float(packet, &mut pcm, false).unwrap();
        out.extend_from_slice(&pcm[..got]);
    }
    out
}

#[test]
fn the_same_signal_is_a_whole_match() {
    let m = against(&alice(), &alice());
    assert!(m.correlation > 0.999 && m.snr_db > 30.0, "{m:?}");
    assert!(m.offset_s.abs() < 0.001 && (m.overlap_s - 9.0).abs() < 0.01, "{m:?}");
}

#[test]
fn a_shift_and_another_loudness_change_nothing() {
    let mut late = vec![0.0; 48000 * 3 / 2];
    late.extend(alice().iter().map(|s| s * 0.3));
    late.extend(vec![0.0; 10_000]);
    let m = against(&alice(), &late);
    assert!(m.correlation > 0.99 && (m.offset_s - 1.5).abs() < 0.002, "{m:?}");

    // The listener joined 2.25 s late.
    let m = against(&alice(), &alice()[108_000..]);
    assert!(m.correlation > 0.99 && (m.offset_s + 2.25).abs() < 0.002, "{m:?}");
    assert!((m.overlap_s - 6.75).abs() < 0.01, "{m:?}");
}

#[test]
fn rates_may_differ() {
    let original = voice(1, 190.0, 6.0, 48000);
    // Every third sample of a signal without anything above 7 kHz.
    let mut low = original.clone();
    for _ in 0..4 {
        let mut last = 0.0;
        for s in &mut low {
            last += 0.6 * (*s - last);
            *s = last;
        }
    }
    let third: Vec<f32> = low.iter().step_by(3).copied().collect();
    let m = compare((&original, 48000), (&third, 16000), &[]);
    assert!(m.correlation > 0.95, "{m:?}");
    assert!((m.overlap_s - 6.0).abs() < 0.01, "{m:?}");
}

#[test]
fn noise_lowers_the_correlation_as_it_should() {
    let clean = alice();
    let mut noise = Noise(7);
    let mut ratios = Vec::new();
    for level in [0.0005, 0.01, 0.5] {
        let noisy: Vec<f32> = clean.iter().map(|s| s + level * noise.next()).collect();
        ratios.push(against(&clean, &noisy));
    }
    assert!(ratios[0].correlation > 0.95, "{ratios:?}");
    assert!(ratios[0].snr_db > ratios[1].snr_db + 5.0, "{ratios:?}");
    assert!(ratios[1].snr_db > ratios[2].snr_db + 5.0, "{ratios:?}");
    assert!(ratios[2].correlation < RECEIVED_CORRELATION, "{ratios:?}");
}

#[test]
fn a_coded_voice_is_recognised() {
    for bitrate in [24_000, 32_000, 64_000] {
        let m = against(&alice(), &opus_coded(&alice(), bitrate, 0));
        assert!(m.correlation > 0.93, "{bitrate}: {m:?}");
        let m = against(&bob(), &opus_coded(&bob(), bitrate, 0));
        assert!(m.correlation > 0.93, "{bitrate}: {m:?}");
    }
}

#[test]
fn a_coded_voice_with_losses_and_a_changed_delay_is_recognised() {
    let mut coded = opus_coded(&alice(), 32_000, 50);
    // The jitter buffer grew by 40 ms at one place and shrank by 60 ms at another.
    let at = coded.len() / 3;
    coded.splice(at..at, vec![0.0; 1920]);
    let at = coded.len() * 2 / 3;
    coded.drain(at..at + 2880);
    let m = against(&alice(), &coded);
    assert!(m.correlation > RECEIVED_CORRELATION + 0.05, "{m:?}");
}

#[test]
fn swapped_silent_and_foreign_audio_are_not_recognised() {
    for (original, other) in [(alice(), bob()), (bob(), alice()), (alice(), voice(3, 190.0, 9.0, 48000))] {
        let m = against(&original, &opus_coded(&other, 32_000, 0));
        assert!(m.correlation < 0.5, "{m:?}");
    }
    let m = against(&alice(), &vec![0.0; 48000 * 9]);
    assert_eq!(m.correlation, 0.0);
    let m = against(&alice(), &[]);
    assert_eq!(m.correlation, 0.0);
    let mut noise = Noise(5);
    let hiss: Vec<f32> = (0..48000 * 9).map(|_| 0.1 * noise.next()).collect();
    assert!(against(&alice(), &hiss).correlation < 0.5);
    let hum: Vec<f32> = (0..48000 * 9).map(|n| 0.2 * (n as f32 * 0.0576).sin()).collect();
    assert!(against(&alice(), &hum).correlation < 0.6);
}

#[test]
fn a_voice_with_half_missing_is_not_recognised() {
    let mut holes = alice();
    for (n, s) in holes.iter_mut().enumerate() {
        if n / 4800 % 2 == 0 {
            *s = 0.0;
        }
    }
    let m = against(&alice(), &holes);
    assert!(m.correlation < RECEIVED_CORRELATION, "{m:?}");
}

#[test]
fn a_mixture_of_both_voices_is_distinguished_from_one() {
    let both: Vec<f32> = alice().iter().zip(bob()).map(|(a, b)| a + b).collect();
    let m = against(&alice(), &both);
    assert!(m.correlation > 0.4 && m.correlation < 0.95, "{m:?}");
}

#[test]
fn a_tone_of_another_participant_can_be_ignored() {
    let with_tone: Vec<f32> = alice()
        .iter()
        .enumerate()
        .map(|(n, s)| s + 0.1 * (n as f32 * std::f32::consts::TAU * 440.0 / 48000.0).sin())
        .collect();
    let disturbed = against(&alice(), &with_tone);
    let m = compare((&alice(), 48000), (&with_tone, 48000), &[440.0]);
    assert!(m.correlation > 0.95 && m.correlation > disturbed.correlation + 0.1, "{m:?} {disturbed:?}");
}

#[test]
fn a_recording_that_is_much_shorter_says_so() {
    let m = against(&alice(), &alice()[96_000..144_000]);
    assert!(m.correlation > 0.99 && (m.overlap_s - 1.0).abs() < 0.01, "{m:?}");
}

#[test]
fn a_delay_that_grows_on_the_way_is_no_loss_even_when_the_beginning_is_cut() {
    let voice = alice();
    // The first 8 ms are missing, and 20 ms are inserted after three seconds.
    let (cut, at, grown) = (8 * 48, 3 * 48000, 20 * 48);
    let recording = [&voice[cut..at], &voice[at - grown..at], &voice[at..]].concat();
    let found = against(&voice, &recording);
    assert!(found.correlation > 0.97, "{found:?}");
}
