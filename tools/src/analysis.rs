//! Measures how well a voice arrived: aligns a recording with the original and compares the two.
//!
//! Both are first resampled to 8 kHz and limited to the telephone band. Below 300 Hz the codec's high-pass filter
//! shifts the phase; above 3400 Hz the codec keeps energy, not waveform. Between the two a speech codec follows the
//! waveform closely, so there the correlation distinguishes the complete voice from everything else. Must not know:
//! files, programs.

use rustfft::{num_complex::Complex32, FftPlanner};

/// Rate at which signals are compared, in Hz.
const RATE: usize = 8000;
const LOW_HZ: f32 = 300.0;
const HIGH_HZ: f32 = 3400.0;
/// Pieces are aligned separately, because a jitter buffer may change its delay.
const PIECE: usize = RATE / 2;
/// How far a piece may lie from the lag of the previous piece.
const PIECE_SHIFT: usize = RATE / 10;
/// How much better another lag must match before a piece leaves the previous lag.
const MOVE_GAIN: f64 = 1.1;

/// Least correlation at which a voice counts as received.
///
/// The tests verify it: Opus at 24 kbit/s stays above 0.93, and above 0.85 with 2 % of the frames lost and a changed
/// delay. Another voice, noise or a hum stays below 0.5, silence is 0, and a voice with half of it missing stays below
/// this limit.
pub const RECEIVED_CORRELATION: f64 = 0.8;

/// Result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// 0 (nothing in common) to 1 (the same but for loudness).
    pub correlation: f64,
    /// Ratio of the matching part to the rest, in dB; computed from the correlation.
    pub snr_db: f64,
    /// Where in the recording the original begins, in seconds; negative when its beginning is missing.
    pub offset_s: f64,
    /// Seconds of the original that lie inside the recording.
    pub overlap_s: f64,
}

impl Match {
    const NOTHING: Match = Match { correlation: 0.0, snr_db: -99.0, offset_s: 0.0, overlap_s: 0.0 };
}

/// Compares a recording with the original. `ignore_hz` are tones of other participants; both signals lose 15 Hz on each
/// side of them.
pub fn compare(original: (&[f32], u32), recording: (&[f32], u32), ignore_hz: &[f32]) -> Match {
    let original = telephone_band(original.0, original.1, ignore_hz);
    let recording = telephone_band(recording.0, recording.1, ignore_hz);
    if energy(&original) < 1e-6 || energy(&recording) < 1e-6 {
        return Match::NOTHING;
    }
    let lag = best_lag(&original, &recording);
    let begin = usize::try_from(-lag).unwrap_or(0);
    let end = original.len().min(usize::try_from(recording.len() as isize - lag).unwrap_or(0));
    if end <= begin {
        return Match::NOTHING;
    }
    // Padding before the beginning, so that the first piece may also lie earlier than the rest.
    let recording = [vec![0.0; PIECE_SHIFT], recording].concat();
    let (mut dot, mut left, mut right) = (0.0, 0.0, 0.0);
    let mut lag_here = lag + PIECE_SHIFT as isize;
    let mut at = begin;
    while at < end {
        let piece = &original[at..(at + PIECE).min(end)];
        lag_here = follow(piece, &recording, at, lag_here);
        let there = window(&recording, at as isize + lag_here, piece.len());
        dot += product(piece, there);
        right += energy(there);
        left += energy(piece);
        at += PIECE;
    }
    let correlation = if left > 0.0 && right > 0.0 { (dot / (left * right).sqrt()).clamp(0.0, 1.0) } else { 0.0 };
    let fit = correlation * correlation;
    Match {
        correlation,
        snr_db: (10.0 * (fit.max(1e-10) / (1.0 - fit).max(1e-10)).log10()).clamp(-99.0, 99.0),
        offset_s: lag as f64 / RATE as f64,
        overlap_s: (end - begin) as f64 / RATE as f64,
    }
}

/// The part of `signal` between 300 and 3400 Hz, at 8 kHz: one transform over all of it, bins outside of the band
/// dropped, and a shorter inverse transform.
fn telephone_band(signal: &[f32], rate: u32, ignore_hz: &[f32]) -> Vec<f32> {
    let rate = rate as usize;
    let unit = rate / gcd(rate, RATE);
    let long = signal.len().div_ceil(unit).max(1) * unit;
    let short = long / unit * (RATE / gcd(rate, RATE));
    let mut planner = FftPlanner::new();
    let mut spectrum: Vec<Complex32> = signal.iter().map(|s| Complex32::new(*s, 0.0)).collect();
    spectrum.resize(long, Complex32::default());
    planner.plan_fft_forward(long).process(&mut spectrum);

    let hz_per_bin = rate as f32 / long as f32;
    let mut band = vec![Complex32::default(); short];
    for bin in 1..(short / 2).min(long / 2) {
        let hz = bin as f32 * hz_per_bin;
        let inside = (LOW_HZ..=HIGH_HZ).contains(&hz) && !ignore_hz.iter().any(|tone| (hz - tone).abs() < 15.0);
        if inside {
            band[bin] = spectrum[bin] / long as f32;
            band[short - bin] = band[bin].conj();
        }
    }
    planner.plan_fft_inverse(short).process(&mut band);
    let wanted = (signal.len() * RATE).div_ceil(rate);
    band.into_iter().take(wanted).map(|c| c.re).collect()
}

/// The lag with the greatest correlation: recording[t + lag] is original[t].
fn best_lag(original: &[f32], recording: &[f32]) -> isize {
    let size = (original.len() + recording.len()).next_power_of_two();
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(size);
    let transform = |signal: &[f32]| {
        let mut out: Vec<Complex32> = signal.iter().map(|s| Complex32::new(*s, 0.0)).collect();
        out.resize(size, Complex32::default());
        forward.process(&mut out);
        out
    };
    let (a, b) = (transform(original), transform(recording));
    let mut cross: Vec<Complex32> = a.iter().zip(&b).map(|(a, b)| a.conj() * b).collect();
    planner.plan_fft_inverse(size).process(&mut cross);
    let best = (0..size).max_by(|x, y| cross[*x].re.total_cmp(&cross[*y].re)).unwrap_or(0);
    // Lags from recording.len() on are negative ones, wrapped around.
    if best < recording.len() {
        best as isize
    } else {
        best as isize - size as isize
    }
}

/// The lag of this piece, searched around the lag of the previous one.
fn follow(piece: &[f32], recording: &[f32], at: usize, lag: isize) -> isize {
    let score = |lag: isize| {
        let there = window(recording, at as isize + lag, piece.len());
        let energies = energy(piece) * energy(there);
        if energies < 1e-12 {
            0.0
        } else {
            product(piece, there) / energies.sqrt()
        }
    };
    let stay = score(lag);
    if stay > 0.9 {
        return lag;
    }
    let reach = PIECE_SHIFT as isize;
    let (best, other) = (-reach..=reach)
        .map(|shift| (score(lag + shift), lag + shift))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((stay, lag));
    // In a silent piece every lag matches equally, so only a clear and strong match moves it.
    if best > 0.6 && best > stay * MOVE_GAIN {
        other
    } else {
        lag
    }
}

/// `length` samples from `start`, or fewer where the signal ends.
fn window(signal: &[f32], start: isize, length: usize) -> &[f32] {
    let begin = start.clamp(0, signal.len() as isize) as usize;
    let end = (start + length as isize).clamp(0, signal.len() as isize) as usize;
    // A window cut at its front would be compared with an offset, so it is empty instead.
    if start < 0 {
        &[]
    } else {
        &signal[begin..end]
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

fn energy(signal: &[f32]) -> f64 {
    product(signal, signal)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
