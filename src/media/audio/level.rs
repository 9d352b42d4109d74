//! Audio level of a frame: RMS as a fraction of full scale, and -dBov as in RFC 6464.
//!
//! Must not know: rates, channels, who asks.

/// RMS of `samples` (any interleaving), 0.0 for silence to 1.0 for a full-scale square wave.
/// Samples outside -1..1 count as full scale, NaN as silence.
pub fn rms(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    // max/min rather than clamp: they drop NaN instead of passing it on.
    #[allow(clippy::manual_clamp)]
    let sum: f32 = samples.iter().map(|s| s.max(-1.0).min(1.0)).map(|s| s * s).sum();
    (sum / samples.len() as f32).sqrt()
}

/// A level of 0..1 as -dBov (RFC 6464 section 3): 0 is full scale, 127 is digital silence or below.
pub fn dbov(level: f32) -> u8 {
    if level.is_nan() || level <= 0.0 {
        return 127;
    }
    (-20.0 * level.log10()).round().clamp(0.0, 127.0) as u8
}

/// The level of 0..1 of a -dBov value; 127 and above is 0.
pub fn from_dbov(dbov: u8) -> f32 {
    if dbov >= 127 {
        0.0
    } else {
        10f32.powf(-f32::from(dbov) / 20.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_sine_and_silence() {
        let square: Vec<f32> = (0..960).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert_eq!(rms(&square), 1.0);
        assert_eq!(dbov(rms(&square)), 0);
        let sine: Vec<f32> = (0..960).map(|i| (i as f32 * std::f32::consts::TAU / 48.0).sin()).collect();
        assert_eq!(dbov(rms(&sine)), 3);
        assert_eq!(dbov(rms(&[0.0; 960])), 127);
        assert_eq!(dbov(rms(&[])), 127);
    }

    #[test]
    fn hostile_samples_stay_in_range() {
        let level = rms(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30]);
        assert!((0.0..=1.0).contains(&level), "{level}");
        assert_eq!(dbov(f32::NAN), 127);
        assert_eq!(dbov(f32::INFINITY), 0);
    }

    #[test]
    fn dbov_round_trip() {
        for value in 0..=127u8 {
            assert_eq!(dbov(from_dbov(value)), value);
        }
    }
}
