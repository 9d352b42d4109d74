//! Turns the application's PCM (or its own Opus frames) into frames that are due.
//!
//! Written audio waits in an [`AudioInput`] under its owner's lock. This module takes it out under that lock for a
//! moment ([`Reach`]), then resamples and encodes without it. PCM is encoded on a grid of 20 ms; the application's own
//! frames are due according to their durations.
//!
//! Must not know: whose clock it is, how frames travel, sequence numbers, SSRCs.

use std::time::Duration;

use bytes::Bytes;

pub use super::input::{AudioFormat, AudioInput, Full, CAPACITY_MS, LIVE_MS};
use super::{
    fifo::Fifo,
    input::{Inside, Standing, Took},
    level,
    opus::{self, Encoder, EncoderConfig, Hints},
    resample::Resampler,
    FRAME_TICKS, RTP_RATE,
};
use crate::error::Result;
use crate::media::{
    frame::{EncodedFrame, FrameSource},
    rtp::{first_numbers, pacer::Pacer},
};

/// After this many ticks with a partial frame it is sent, padded with zeros. Until then a writer may just be late:
/// padding would insert a gap into its audio.
const PATIENCE: u32 = 3;

/// Audio at least this many dB below full scale may be left out as silence.
const QUIET_DBOV: u8 = 45;

/// This many quiet frames are a pause, no gap between two words. The encoder's own DTX waits as long.
const PAUSE: u32 = 10;

/// Silence after the last audio that flushes the encoder's lookahead, in samples at 48 kHz.
const TAIL: usize = 480;

/// Maximum ticks caught up at once when the caller polls late.
const CATCH_UP: u32 = 3;

/// Send settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSendConfig {
    pub input: AudioFormat,
    /// Used for PCM only.
    pub encoder: EncoderConfig,
    /// How far ahead the application may write, in ms, 40..=5 000.
    pub capacity_ms: u32,
    /// At most [`LIVE_MS`] are buffered, whatever the capacity; the oldest audio is dropped.
    pub live: bool,
    /// Random seed for the first timestamp (RFC 3550 section 5.1).
    pub seed: u64,
}

impl Default for AudioSendConfig {
    fn default() -> Self {
        Self {
            input: AudioFormat::Pcm { rate: RTP_RATE, channels: 1 },
            encoder: EncoderConfig::default(),
            capacity_ms: 200,
            live: false,
            seed: 0,
        }
    }
}

/// Counters since the source was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    pub frames: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Frames not sent because the encoder found them silent.
    pub dtx_frames: u64,
    /// Ticks at which less than a frame, but not nothing, was written.
    pub starved_ticks: u64,
    /// Frames padded with zeros.
    pub padded_frames: u64,
    /// Frames that the codec failed to encode.
    pub failed_frames: u64,
}

/// Gives short access to the input.
pub trait Reach {
    fn reach<T>(&self, look: impl FnOnce(&mut AudioInput) -> T) -> T;
}

/// Makes frames of PCM.
#[derive(Debug)]
struct Coder {
    width: usize,
    /// PCM taken from the input, before resampling.
    taken: Fifo,
    resampler: Resampler,
    /// The same at 48 kHz, after resampling.
    ready: Fifo,
    encoder: Encoder,
    starved: u32,
    /// Current DTX setting of the encoder.
    dtx: bool,
    /// Consecutive quiet frames; at first there is a pause.
    quiet: u32,
    tail: bool,
}

/// The state of a source without its input: created with the track, used where it is paced.
#[derive(Debug)]
pub struct AudioCoder {
    /// `None`: the application writes Opus frames.
    coder: Option<Box<Coder>>,
    epoch: u64,
    /// For PCM: when the next frame is due.
    pacer: Pacer,
    /// Ticks that are due and not run yet.
    owed: u32,
    /// For the application's frames: when media time started.
    began: Option<Duration>,
    first_timestamp: u32,
    /// 48 kHz ticks since the start; media time advances even without anything to send.
    clock: u64,
    in_gap: bool,
    stats: SendStats,
}

impl AudioCoder {
    /// # Errors
    /// [`Code::Argument`](crate::error::Code::Argument) when a value is out of range,
    /// [`Code::Media`](crate::error::Code::Media) when the codec fails.
    pub fn new(config: &AudioSendConfig) -> Result<Self> {
        let coder = match config.input {
            AudioFormat::Pcm { rate, .. } => Some(Box::new(Coder::new(rate, &config.encoder)?)),
            AudioFormat::Opus => None,
        };
        Ok(Self {
            coder,
            epoch: 0,
            pacer: Pacer::new(Duration::ZERO, CATCH_UP),
            owed: 0,
            began: None,
            first_timestamp: first_numbers(config.seed).1,
            clock: 0,
            in_gap: true,
            stats: SendStats::default(),
        })
    }

    /// Combines it with its input.
    pub fn with<R: Reach>(self, input: R) -> AudioSource<R> {
        AudioSource { coder: self, input }
    }

    fn skip(&mut self, ticks: u64) {
        if ticks > 0 {
            self.clock = self.clock.wrapping_add(ticks.wrapping_mul(u64::from(FRAME_TICKS)));
            self.in_gap = true;
        }
    }

    /// Follows a cleared input: PCM held here is not sent either.
    fn follow(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.in_gap = true;
            if let Some(coder) = &mut self.coder {
                coder.clear();
            }
        }
    }

    fn frame(&mut self, at: u64, payload: Bytes, duration: u32, level: Option<f32>, now: Duration) -> EncodedFrame {
        self.stats.frames += 1;
        self.stats.bytes += payload.len() as u64;
        EncodedFrame {
            payload,
            rtp_time: self.first_timestamp.wrapping_add(at as u32),
            duration,
            arrival: now,
            key: true,
            level_dbov: level.map(level::dbov),
            begins: std::mem::take(&mut self.in_gap),
            ..EncodedFrame::default()
        }
    }

    /// Runs one tick of 20 ms.
    fn tick(&mut self, input: &impl Reach, now: Duration) -> Option<EncodedFrame> {
        let at = self.clock;
        self.clock = at.wrapping_add(u64::from(FRAME_TICKS));
        let standing = input.reach(AudioInput::begin_tick);
        self.follow(standing.epoch);
        let coder = self.coder.as_mut()?;
        let coded = if standing.muted { None } else { coder.code(standing, input, &mut self.stats) };
        let inside = coder.inside();
        let is_sent = coded.is_some();
        if standing.muted || input.reach(|input| input.commit(standing.epoch, inside, is_sent)) {
            self.in_gap |= !is_sent;
            let (payload, level) = coded?;
            return Some(self.frame(at, payload, FRAME_TICKS, Some(level), now));
        }
        let epoch = input.reach(|input| input.epoch());
        self.follow(epoch);
        None
    }

    /// The application's next frame that is due.
    fn next_opus(&mut self, input: &impl Reach, now: Duration) -> Option<EncodedFrame> {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_sub(began);
        let media = u64::try_from(passed.as_micros() * u128::from(RTP_RATE) / 1_000_000).unwrap_or(u64::MAX / 2);
        loop {
            let (epoch, next) =
                input.reach(|input| (input.epoch(), input.next_opus(media, |payload| !opus::is_dtx(payload))));
            self.follow(epoch);
            let (due, is_sent) = next?;
            self.in_gap |= due.gap;
            if is_sent {
                return Some(self.frame(due.at, due.payload, due.duration, None, now));
            }
            self.in_gap = true;
            self.stats.dtx_frames += u64::from(opus::is_dtx(&due.payload));
        }
    }
}

/// The frames of one audio track.
#[derive(Debug)]
pub struct AudioSource<R> {
    coder: AudioCoder,
    input: R,
}

impl<R> AudioSource<R> {
    pub fn stats(&self) -> SendStats {
        self.coder.stats
    }

    /// The input it takes from.
    pub fn input(&self) -> &R {
        &self.input
    }
}

impl<R: Reach + Send> FrameSource for AudioSource<R> {
    fn deadline(&self) -> Option<Duration> {
        if self.coder.coder.is_some() {
            return Some(self.coder.pacer.next_tick());
        }
        let Some(began) = self.coder.began else { return Some(Duration::ZERO) };
        let due = self.input.reach(|input| input.opus_due())?;
        // Rounded up: a frame is never due early.
        let micros = (u128::from(due) * 1_000_000).div_ceil(u128::from(RTP_RATE));
        Some(began.saturating_add(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))))
    }

    fn poll(&mut self, now: Duration) -> Option<EncodedFrame> {
        let Self { coder, input } = self;
        if coder.coder.is_none() {
            return coder.next_opus(input, now);
        }
        loop {
            if coder.owed == 0 {
                let due = coder.pacer.poll(now);
                coder.skip(due.skipped);
                coder.owed = due.ticks;
            }
            coder.owed = coder.owed.checked_sub(1)?;
            if let Some(frame) = coder.tick(input, now) {
                return Some(frame);
            }
        }
    }

    fn pass(&mut self, now: Duration) {
        let due = self.coder.pacer.poll(now);
        let owed = std::mem::take(&mut self.coder.owed);
        self.coder.skip(u64::from(due.ticks) + due.skipped + u64::from(owed));
    }
}

impl Coder {
    fn new(rate: u32, config: &EncoderConfig) -> Result<Self> {
        let width = usize::from(config.channels);
        Ok(Self {
            resampler: Resampler::new(rate, RTP_RATE, config.channels)?,
            encoder: Encoder::new(config)?,
            ready: Fifo::default(),
            width,
            taken: Fifo::default(),
            starved: 0,
            dtx: config.dtx,
            quiet: PAUSE,
            tail: false,
        })
    }

    fn clear(&mut self) {
        self.tail = false;
        self.taken.clear();
        self.ready.clear();
        self.resampler.reset();
        self.starved = 0;
        self.quiet = PAUSE;
        // Fails only for a broken encoder, which the next frame reports.
        let _ = self.encoder.reset();
    }

    fn inside(&self) -> Inside {
        Inside { waiting: self.resampler.pending(), ready: self.ready.len() / self.width, tail: self.tail }
    }

    /// One frame as (payload, level), if a whole one is available or [`PATIENCE`] has run out.
    fn code(&mut self, standing: Standing, input: &impl Reach, stats: &mut SendStats) -> Option<(Bytes, f32)> {
        let Standing { epoch, dtx, repeated, .. } = standing;
        let frame = opus::FRAME * self.width;
        let mut padding = 0;
        while self.ready.len() < frame {
            let missing = (frame - self.ready.len()) / self.width;
            let wanted = if self.resampler.is_copy() { missing } else { self.resampler.needed() };
            match input.reach(|input| input.take(epoch, wanted, false, self.intake())) {
                Took::All => self.resample(),
                Took::Stale => return None,
                Took::Short { empty, last } => {
                    let empty = empty && self.ready.len() + self.resampler.pending() == 0;
                    if empty && !(last && self.tail) {
                        self.starved = 0;
                        return None;
                    }
                    if !empty {
                        stats.starved_ticks += 1;
                        self.starved += 1;
                    }
                    if self.starved < PATIENCE && !last {
                        return None;
                    }
                    if let Took::Stale = input.reach(|input| input.take(epoch, wanted, true, self.intake())) {
                        return None;
                    }
                    padding = self.pad(frame) / self.width;
                    stats.padded_frames += 1;
                }
            }
        }
        self.starved = 0;
        self.tail = padding < TAIL;
        let level = level::rms(&self.ready.as_slice()[..frame]);
        // The codec treats steady audio as silence, however loud it is: allow DTX only for quiet audio.
        let leaves_out = dtx && level::dbov(level) >= QUIET_DBOV;
        if leaves_out != self.dtx && self.encoder.set_dtx(leaves_out).is_ok() {
            self.dtx = leaves_out;
        }
        let in_pause = self.quiet >= PAUSE;
        self.quiet = match leaves_out {
            true => self.quiet.saturating_add(1),
            false => 0,
        };
        let pause = leaves_out && (in_pause || self.quiet >= PAUSE);
        // Fails only for a broken encoder, which encoding reports.
        let _ = self.encoder.set_hints(Hints { repeated, pause });
        let encoded = self.encoder.encode_f32(&self.ready.as_slice()[..frame]);
        self.ready.consume(frame);
        match encoded {
            Ok(payload) if !opus::is_dtx(&payload) => Some((payload, level)),
            Ok(_) => {
                stats.dtx_frames += 1;
                None
            }
            Err(_) => {
                stats.failed_frames += 1;
                None
            }
        }
    }

    /// Where PCM of the application goes: at 48 kHz it needs no resampling.
    fn intake(&mut self) -> &mut Fifo {
        if self.resampler.is_copy() {
            &mut self.ready
        } else {
            &mut self.taken
        }
    }

    fn resample(&mut self) {
        self.resampler.process(self.taken.as_slice(), &mut self.ready);
        self.taken.clear();
    }

    /// Flushes pending PCM, followed by as much silence as the frame lacks; returns the number of padding samples.
    fn pad(&mut self, frame: usize) -> usize {
        const ZEROS: [f32; 512] = [0.0; 512];
        self.resample();
        let padding = frame.saturating_sub(self.ready.len());
        while self.ready.len() < frame {
            let missing = frame - self.ready.len();
            let take = if self.resampler.is_copy() { missing } else { self.resampler.needed() * self.width };
            self.resampler.process(&ZEROS[..take.min(ZEROS.len())], &mut self.ready);
        }
        padding
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
