//! Reads a WAV file as one channel of floats; writes a WAV file that repeats another.
//!
//! Must not know: what the audio is.

use std::path::Path;

/// One channel of audio.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Samples per second.
    pub rate: u32,
    /// -1.0 to 1.0.
    pub samples: Vec<f32>,
}

impl Audio {
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}

/// Reads 16-bit, 24-bit or float WAV of any rate; several channels are averaged. A file whose writer was interrupted
/// (length fields of zero) is an error.
pub fn read(path: &Path) -> Result<Audio, String> {
    let say = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let reader = hound::WavReader::open(path).map_err(|e| say(&e))?;
    let spec = reader.spec();
    if spec.sample_rate < 8000 || spec.channels == 0 {
        return Err(say(&format!("{} Hz, {} channels: not usable", spec.sample_rate, spec.channels)));
    }
    let interleaved: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.into_samples::<f32>().collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1i64 << (spec.bits_per_sample - 1)) as f32;
            reader.into_samples::<i32>().map(|s| s.map(|s| s as f32 * scale)).collect::<Result<_, _>>()
        }
    }
    .map_err(|e| say(&e))?;
    let channels = usize::from(spec.channels);
    let samples = interleaved.chunks_exact(channels).map(|f| f.iter().sum::<f32>() / channels as f32).collect();
    Ok(Audio { rate: spec.sample_rate, samples })
}

/// Writes the first `seconds` of `from`, repeated without end, to `to`.
pub fn repeat(from: &Path, to: &Path, seconds: f64) -> Result<(), String> {
    let say = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let reader = hound::WavReader::open(from).map_err(|e| say(from, &e))?;
    let spec = reader.spec();
    let samples: Vec<i16> = reader.into_samples::<i16>().collect::<Result<_, _>>().map_err(|e| say(from, &e))?;
    let length = (seconds * f64::from(spec.sample_rate)) as usize * usize::from(spec.channels);
    let mut writer = hound::WavWriter::create(to, spec).map_err(|e| say(to, &e))?;
    for sample in samples.iter().cycle().take(length) {
        writer.write_sample(*sample).map_err(|e| say(to, &e))?;
    }
    writer.finalize().map_err(|e| say(to, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_is_averaged_and_scaled() {
        let path = std::env::temp_dir().join(format!("offhook-wav-{}.wav", std::process::id()));
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 16000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for (left, right) in [(16384i16, 0i16), (-32768, -32768)] {
            writer.write_sample(left).unwrap();
            writer.write_sample(right).unwrap();
        }
        writer.finalize().unwrap();
        let audio = read(&path).unwrap();
        let longer = path.with_extension("longer.wav");
        repeat(&path, &longer, 5.0 / 16000.0).unwrap();
        assert_eq!(read(&longer).unwrap().samples, [0.25, -1.0, 0.25, -1.0, 0.25]);
        std::fs::remove_file(&longer).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(audio, Audio { rate: 16000, samples: vec![0.25, -1.0] });
        assert!(read(Path::new("/nonexistent.wav")).unwrap_err().contains("/nonexistent.wav"));
    }
}
