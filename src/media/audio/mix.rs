//! Conversion of any channel count and sample type to interleaved f32 in one or two channels.
//!
//! Must not know: rates, queues, codecs.

use super::fifo::Fifo;
use crate::error::{Code, Error, Result};

/// Largest channel count accepted from an application.
pub const MAX_CHANNELS: u8 = 8;

/// A PCM sample as written by the application.
pub trait Sample: Copy {
    /// As f32 in -1..=1; NaN becomes silence, louder samples are clipped.
    fn to_f32(self) -> f32;
}

impl Sample for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self) / 32_768.0
    }
}

impl Sample for f32 {
    fn to_f32(self) -> f32 {
        if self.is_nan() {
            0.0
        } else {
            self.clamp(-1.0, 1.0)
        }
    }
}

/// A PCM sample as delivered to the application.
pub trait Pcm: Copy {
    /// From f32; samples beyond full scale are clipped.
    fn from_f32(sample: f32) -> Self;
}

impl Pcm for i16 {
    fn from_f32(sample: f32) -> Self {
        to_s16(sample)
    }
}

impl Pcm for f32 {
    fn from_f32(sample: f32) -> Self {
        sample.clamp(-1.0, 1.0)
    }
}

/// f32 in -1..=1 as i16, rounded; louder samples are clipped.
pub fn to_s16(sample: f32) -> i16 {
    // `as` saturates and turns NaN into 0.
    (sample * 32_768.0).round() as i16
}

/// (left, right) weight of each channel, in WAV order: FL FR FC LFE BL BR SL SR, with the usual subsets for fewer
/// channels. LFE is left out, as usual.
const FRONT_LEFT: (f32, f32) = (1.0, 0.0);
const FRONT_RIGHT: (f32, f32) = (0.0, 1.0);
const CENTRE: (f32, f32) = (0.707, 0.707);
const BASS: (f32, f32) = (0.0, 0.0);
const LEFT: (f32, f32) = (0.707, 0.0);
const RIGHT: (f32, f32) = (0.0, 0.707);

fn shares(channels: u8) -> &'static [(f32, f32)] {
    match channels {
        3 => &[FRONT_LEFT, FRONT_RIGHT, CENTRE],
        4 => &[FRONT_LEFT, FRONT_RIGHT, LEFT, RIGHT],
        5 => &[FRONT_LEFT, FRONT_RIGHT, CENTRE, LEFT, RIGHT],
        6 => &[FRONT_LEFT, FRONT_RIGHT, CENTRE, BASS, LEFT, RIGHT],
        7 => &[FRONT_LEFT, FRONT_RIGHT, CENTRE, BASS, CENTRE, LEFT, RIGHT],
        8 => &[FRONT_LEFT, FRONT_RIGHT, CENTRE, BASS, LEFT, RIGHT, LEFT, RIGHT],
        _ => &[FRONT_LEFT, FRONT_RIGHT],
    }
}

/// A fixed mapping from `from` channels to `to`.
#[derive(Clone, Debug)]
pub struct Mixer {
    from: usize,
    to: usize,
    /// Weight of each input channel in each of up to two outputs; the sum per output is <= 1, so that mixing never
    /// overloads.
    gains: [[f32; MAX_CHANNELS as usize]; 2],
}

impl Mixer {
    /// `from` 1..=8 channels, `to` 1 or 2. Mono is copied to both; more than two channels are downmixed with the
    /// weights of ITU-R BS.775, scaled so that the result cannot clip.
    ///
    /// # Errors
    /// [`Code::Argument`] when a count is out of its range.
    pub fn new(from: u8, to: u8) -> Result<Self> {
        if !(1..=MAX_CHANNELS).contains(&from) {
            return Err(Error::new(Code::Argument, "audio must have 1..=8 channels"));
        }
        if !(1..=2).contains(&to) {
            return Err(Error::new(Code::Argument, "audio is mixed to 1 or 2 channels"));
        }
        let mut gains = [[0.0; MAX_CHANNELS as usize]; 2];
        if from == 1 {
            gains[0][0] = 1.0;
            gains[1][0] = 1.0;
        } else {
            let scale = 1.0 / shares(from).iter().map(|share| share.0).sum::<f32>();
            for (channel, share) in shares(from).iter().enumerate() {
                gains[0][channel] = share.0 * scale;
                gains[1][channel] = share.1 * scale;
                if to == 1 {
                    gains[0][channel] = (share.0 + share.1) * scale / 2.0;
                }
            }
        }
        Ok(Self { from: usize::from(from), to: usize::from(to), gains })
    }

    /// Input channels.
    pub fn from(&self) -> usize {
        self.from
    }

    /// Output channels.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Appends whole frames of `input` to `output`.
    pub(super) fn mix<S: Sample>(&self, input: &[S], output: &mut Fifo) {
        let frames = input.len() / self.from;
        if self.from == self.to {
            return output.extend(frames * self.to, input.iter().map(|sample| sample.to_f32()));
        }
        let mixed =
            |frame: &[S], gains: &[f32]| -> f32 { frame.iter().zip(gains).map(|(s, gain)| s.to_f32() * gain).sum() };
        let all =
            input.chunks_exact(self.from).flat_map(|frame| self.gains[..self.to].iter().map(move |g| mixed(frame, g)));
        output.extend(frames * self.to, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed<S: Sample>(from: u8, to: u8, input: &[S]) -> Vec<f32> {
        let mut out = Fifo::default();
        Mixer::new(from, to).unwrap().mix(input, &mut out);
        out.as_slice().to_vec()
    }

    #[test]
    fn mono_and_stereo() {
        assert_eq!(mixed(1, 2, &[16_384i16, -16_384]), [0.5, 0.5, -0.5, -0.5]);
        assert_eq!(mixed(2, 1, &[1.0f32, 0.5, -1.0, 1.0]), [0.75, 0.0]);
    }

    #[test]
    fn full_scale_on_every_channel_is_full_scale_and_no_more() {
        for from in 1..=8u8 {
            for to in 1..=2u8 {
                let input = vec![1.0f32; usize::from(from) * 3];
                let out = mixed(from, to, &input);
                assert_eq!(out.len(), usize::from(to) * 3);
                for sample in out {
                    assert!((sample - 1.0).abs() < 1e-5, "{from}->{to}: {sample}");
                }
            }
        }
    }

    #[test]
    fn left_stays_left() {
        for from in 2..=8u8 {
            let mut input = vec![0.0f32; usize::from(from)];
            input[0] = 1.0;
            let out = mixed(from, 2, &input);
            assert!(out[0] > 0.2 && out[1] == 0.0, "{from}: {out:?}");
        }
    }

    #[test]
    fn ranges_are_checked_and_hostile_samples_tamed() {
        assert!(Mixer::new(0, 1).is_err() && Mixer::new(9, 1).is_err());
        assert!(Mixer::new(1, 0).is_err() && Mixer::new(1, 3).is_err());
        assert_eq!(mixed(1, 1, &[f32::NAN, f32::INFINITY, -1e9, 0.25]), [0.0, 1.0, -1.0, 0.25]);
        assert_eq!([to_s16(2.0), to_s16(-2.0), to_s16(f32::NAN), to_s16(0.5)], [32_767, -32_768, 0, 16_384]);
    }
}
