//! Streaming conversion between two sample rates.
//!
//! Must not know: codecs, packets, who is on either side. Works in blocks of about 10 ms and outputs only complete
//! blocks, so that nothing is allocated once it runs.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, Fft, FixedAsync, FixedSync, Resampler as _, SincInterpolationParameters, WindowFunction};

use super::{fifo::Fifo, RATES};
use crate::error::{Code, Error, Result};

/// Frequencies with a common divisor of at least this give FFT blocks of at most 25 ms; other pairs are interpolated
/// instead, which has no block size of its own.
const MIN_DIVISOR: u32 = 40;

enum Engine {
    /// Both rates are the same.
    Copy,
    Fft(Box<Fft<f32>>),
    Sinc(Box<Async<f32>>),
}

/// Converts interleaved f32 from one rate to another, keeping its state between calls. Delays the audio by half a
/// block, about 5 ms; not at all if the rates are equal.
pub struct Resampler {
    engine: Engine,
    channels: usize,
    /// Input of the incomplete block, interleaved.
    pending: Vec<f32>,
    /// Samples (all channels) the block needs.
    block: usize,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = match self.engine {
            Engine::Copy => "copy",
            Engine::Fft(_) => "fft",
            Engine::Sinc(_) => "sinc",
        };
        f.debug_struct("Resampler").field("engine", &engine).field("channels", &self.channels).finish()
    }
}

impl Resampler {
    /// `from` and `to` in Hz, 8 000..=192 000, `channels` 1 or 2.
    ///
    /// # Errors
    /// [`Code::Argument`] when a value is out of range.
    pub fn new(from: u32, to: u32, channels: u8) -> Result<Self> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return Err(Error::new(Code::Argument, "the sample rate must be 8000..=192000 Hz"));
        }
        if !(1..=2).contains(&channels) {
            return Err(Error::new(Code::Argument, "1 or 2 channels are resampled"));
        }
        let channels = usize::from(channels);
        let failed = |error: rubato::ResamplerConstructionError| {
            Error::new(Code::Media, format!("cannot resample from {from} to {to} Hz: {error}"))
        };
        let engine = if from == to {
            Engine::Copy
        } else if gcd(from, to) >= MIN_DIVISOR {
            let block = from as usize / 100;
            Engine::Fft(Box::new(
                Fft::new_custom(
                    from as usize,
                    to as usize,
                    block,
                    1,
                    channels,
                    WindowFunction::BlackmanHarris2,
                    FixedSync::Both,
                )
                .map_err(failed)?,
            ))
        } else {
            // When downsampling, the filter must be longer by the ratio for the same steepness.
            let taps = 64 * (from as usize).div_ceil(to as usize).min(8);
            let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris2);
            let ratio = f64::from(to) / f64::from(from);
            let block = to as usize / 100;
            Engine::Sinc(Box::new(
                Async::new_sinc(ratio, 1.0, &parameters, block, channels, FixedAsync::Output).map_err(failed)?,
            ))
        };
        let most = match &engine {
            Engine::Copy => 0,
            Engine::Fft(fft) => fft.input_frames_max(),
            Engine::Sinc(sinc) => sinc.input_frames_max(),
        };
        let mut this = Self { engine, channels, pending: Vec::with_capacity(most * channels), block: 0 };
        this.block = this.next_block();
        Ok(this)
    }

    fn next_block(&self) -> usize {
        let frames = match &self.engine {
            Engine::Copy => 1,
            Engine::Fft(fft) => fft.input_frames_next(),
            Engine::Sinc(sinc) => sinc.input_frames_next(),
        };
        frames * self.channels
    }

    /// Whether the rates are equal, so that samples are only copied.
    pub fn is_copy(&self) -> bool {
        matches!(self.engine, Engine::Copy)
    }

    /// Frames of input waiting for a complete block.
    pub fn pending(&self) -> usize {
        self.pending.len() / self.channels
    }

    /// Frames of input needed before more output is produced.
    pub fn needed(&self) -> usize {
        self.block.saturating_sub(self.pending.len()).max(1) / self.channels
    }

    /// Takes whole frames of `input` and appends the result to `output`.
    pub(super) fn process(&mut self, mut input: &[f32], output: &mut Fifo) {
        if let Engine::Copy = self.engine {
            output.append(input);
            return;
        }
        while !input.is_empty() {
            let take = (self.block - self.pending.len()).min(input.len());
            let (now, later) = input.split_at(take);
            self.pending.extend_from_slice(now);
            input = later;
            if self.pending.len() >= self.block {
                self.run(output);
            }
        }
    }

    /// Converts the complete block.
    fn run(&mut self, output: &mut Fifo) {
        let expected = match &self.engine {
            Engine::Copy => return,
            Engine::Fft(fft) => fft.output_frames_next(),
            Engine::Sinc(sinc) => sinc.output_frames_next(),
        };
        let samples = expected * self.channels;
        let room = output.grow(samples);
        let done = match (
            InterleavedSlice::new(&self.pending, self.channels, self.pending.len() / self.channels),
            InterleavedSlice::new_mut(room, self.channels, expected),
        ) {
            (Ok(from), Ok(mut to)) => match &mut self.engine {
                Engine::Copy => None,
                Engine::Fft(fft) => fft.process_into_buffer(&from, &mut to, None).ok(),
                Engine::Sinc(sinc) => sinc.process_into_buffer(&from, &mut to, None).ok(),
            },
            _ => None,
        };
        // A failure would be a bug in the sizes above; the zeros already in place are the output then.
        let written = done.map_or(expected, |(_, written)| written);
        output.shrink((expected - written.min(expected)) * self.channels);
        self.pending.clear();
        self.block = self.next_block().max(self.channels);
    }

    /// Resets the filter state and drops pending input.
    pub fn reset(&mut self) {
        match &mut self.engine {
            Engine::Copy => {}
            Engine::Fft(fft) => fft.reset(),
            Engine::Sinc(sinc) => sinc.reset(),
        }
        self.pending.clear();
        self.block = self.next_block();
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, frames: usize, channels: usize) -> Vec<f32> {
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        (0..frames * channels).map(|i| ((i / channels) as f64 * step).sin() as f32 * 0.5).collect()
    }

    /// Amplitude of `hz` in `samples`, and how far below it everything else is in dB, by a least squares fit (plain
    /// correlation leaks if the number of periods is not whole).
    fn fit(samples: &[f32], rate: u32, hz: f64) -> (f64, f64) {
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        let (mut cc, mut cs, mut ss, mut c, mut s) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, sample) in samples.iter().enumerate() {
            let (sin, cos) = (i as f64 * step).sin_cos();
            cc += cos * cos;
            cs += cos * sin;
            ss += sin * sin;
            c += f64::from(*sample) * cos;
            s += f64::from(*sample) * sin;
        }
        let determinant = cc * ss - cs * cs;
        let (a, b) = ((c * ss - s * cs) / determinant, (s * cc - c * cs) / determinant);
        let rest: f64 = (samples.iter().enumerate())
            .map(|(i, sample)| {
                let (sin, cos) = (i as f64 * step).sin_cos();
                (f64::from(*sample) - a * cos - b * sin).powi(2)
            })
            .sum();
        let power = (a * a + b * b) / 2.0 * samples.len() as f64;
        ((a * a + b * b).sqrt(), 10.0 * (power / rest.max(1e-12)).log10())
    }

    #[test]
    fn a_tone_keeps_pitch_level_and_length_at_every_rate() {
        for rate in
            [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 88_200, 96_000, 192_000, 44_101, 8_001]
        {
            for (from, to) in [(rate, 48_000), (48_000, rate)] {
                for channels in 1..=2u8 {
                    let mut resampler = Resampler::new(from, to, channels).unwrap();
                    let mut out = Fifo::default();
                    let width = usize::from(channels);
                    let input = sine(from, 1_000.0, from as usize, width);
                    // Uneven pieces: the seams must not be audible.
                    let mut rest = &input[..];
                    let mut step = 1;
                    while !rest.is_empty() {
                        let take = (step * 37 % 700 * width).min(rest.len());
                        resampler.process(&rest[..take], &mut out);
                        rest = &rest[take..];
                        step += 1;
                    }
                    let frames = out.len() / width;
                    let missing = to as i64 - frames as i64;
                    assert!((0..=to as i64 / 40).contains(&missing), "{from}->{to}: {frames} frames");
                    let left: Vec<f32> = out.as_slice().iter().step_by(width).copied().collect();
                    let middle = &left[to as usize / 5..to as usize / 5 + to as usize / 2];
                    let (level, snr) = fit(middle, to, 1_000.0);
                    assert!((level - 0.5).abs() < 0.01, "{from}->{to}: level {level}");
                    assert!(snr > 60.0, "{from}->{to}: {snr} dB");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_represented_is_removed() {
        let mut resampler = Resampler::new(48_000, 8_000, 1).unwrap();
        let mut out = Fifo::default();
        resampler.process(&sine(48_000, 6_000.0, 48_000, 1), &mut out);
        let loudest = out.as_slice()[1_000..].iter().fold(0f32, |a, s| a.max(s.abs()));
        assert!(loudest < 0.001, "alias of {loudest}");
    }

    #[test]
    fn equal_rates_pass_untouched_and_reset_forgets() {
        let mut out = Fifo::default();
        let input = sine(16_000, 440.0, 777, 1);
        Resampler::new(16_000, 16_000, 1).unwrap().process(&input, &mut out);
        assert_eq!(out.as_slice(), &input[..]);

        let mut resampler = Resampler::new(44_100, 48_000, 1).unwrap();
        let mut out = Fifo::default();
        resampler.process(&[1.0; 1_000], &mut out);
        resampler.reset();
        out.clear();
        resampler.process(&[0.0; 1_000], &mut out);
        assert!(out.len() >= 480 && out.as_slice().iter().all(|s| *s == 0.0));
    }

    #[test]
    fn needed_is_exact() {
        for (from, to) in [(44_100, 48_000), (11_025, 48_000), (44_101, 48_000), (48_000, 48_000), (48_000, 8_001)] {
            let mut resampler = Resampler::new(from, to, 2).unwrap();
            let mut out = Fifo::default();
            for _ in 0..50 {
                let needed = resampler.needed();
                assert!(needed >= 1);
                let before = out.len();
                resampler.process(&vec![0.0; (needed - 1) * 2], &mut out);
                assert_eq!(out.len(), before);
                resampler.process(&[0.0; 2], &mut out);
                assert!(out.len() > before, "{from}->{to}");
            }
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert!(Resampler::new(7_999, 48_000, 1).is_err());
        assert!(Resampler::new(48_000, 192_001, 1).is_err());
        assert!(Resampler::new(48_000, 16_000, 3).is_err());
        assert!(Resampler::new(0, 0, 0).is_err());
    }
}
