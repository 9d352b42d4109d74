//! From the application's PCM (or its own Opus frames) to RTP payloads, one tick of 20 ms at a time.
//!
//! Must not know: when a tick is (its caller paces, see `pacer`), how packets travel, SSRCs.

use bytes::Bytes;

use super::{
    fifo::Fifo,
    level,
    mix::{Mixer, Sample},
    opus::{self, Encoder, EncoderConfig},
    opus_queue::OpusQueue,
    resample::Resampler,
    FRAME_TICKS, RTP_RATE,
};
use crate::error::{Code, Error, Result};

/// Ticks without a whole frame after which what is there is sent, padded with zeros. Until then a
/// writer that is merely late is waited for: padding would cut its sound in two.
const PATIENCE: u32 = 3;

/// From this many dB below full scale on, sound may be left out as silence.
const QUIET_DBOV: u8 = 45;

/// Milliseconds that a live track keeps at most.
pub const LIVE_MS: u32 = 40;

/// Silence after the last sound that takes what the encoder still holds along, in samples at 48 kHz.
const TAIL: usize = 480;

/// Range of [`AudioSendConfig::capacity_ms`].
pub const CAPACITY_MS: std::ops::RangeInclusive<u32> = 40..=5_000;

/// What an application sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioInput {
    /// Interleaved PCM of `rate` Hz (8 000..=192 000) in `channels` (1..=8, order as in WAV files).
    Pcm { rate: u32, channels: u8 },
    /// Opus frames made by the application; nothing is decoded or encoded.
    Opus,
}

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSendConfig {
    pub input: AudioInput,
    /// Used for PCM only.
    pub encoder: EncoderConfig,
    /// How much the application may write ahead, in ms, 40..=5 000.
    pub capacity_ms: u32,
    /// At most [`LIVE_MS`] are kept, whatever the capacity: of what is more the oldest is dropped.
    pub live: bool,
    /// Chance for the first sequence number and timestamp (RFC 3550 section 5.1).
    pub seed: u64,
}

impl Default for AudioSendConfig {
    fn default() -> Self {
        Self {
            input: AudioInput::Pcm { rate: RTP_RATE, channels: 1 },
            encoder: EncoderConfig::default(),
            capacity_ms: 200,
            live: false,
            seed: 0,
        }
    }
}

/// There is no room for the whole write now; nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the audio buffer is full; write at the pace of the sound, or less at a time")
    }
}

impl std::error::Error for Full {}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Error::new(Code::Full, full.to_string())
    }
}

/// One RTP packet without its header.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioPacket {
    pub sequence: u16,
    pub timestamp: u32,
    /// First packet after a gap (RFC 3551 section 4.1).
    pub marker: bool,
    /// Loudness in -dBov for the header extension of RFC 6464, 0..=127.
    pub level_dbov: u8,
    /// The same from 0.0 (silence) to 1.0.
    pub level: f32,
    /// Whether the level was measured; of the application's own Opus frames it is not known.
    pub has_level: bool,
    /// Duration in 48 kHz ticks.
    pub duration: u32,
    pub payload: Bytes,
}

/// Counters since the sender was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    pub packets: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Frames the encoder found silent enough not to send.
    pub dtx_frames: u64,
    /// Ticks at which the application had written something, but less than a frame.
    pub starved_ticks: u64,
    /// Frames completed with zeros.
    pub padded_frames: u64,
    /// Frames the codec failed on.
    pub failed_frames: u64,
    /// Milliseconds that a live track dropped as too old, and that were cleared.
    pub dropped_ms: u64,
}

#[derive(Debug)]
struct Pcm {
    mixer: Mixer,
    rate: u32,
    /// What the application wrote, at its rate in the coded channels.
    ring: Fifo,
    /// Capacity of the ring in frames.
    capacity: usize,
    /// Of what is more, the oldest is dropped.
    live: bool,
    /// Frames that were taken, and those of them that were dropped rather than sent.
    written: u64,
    dropped: u64,
    /// Part of `dropped`: too old on a live track, or cleared.
    refused: u64,
    /// No more is written: what there is does not wait for more.
    last: bool,
    /// The encoder still holds the end of what it was given.
    tail: bool,
    resampler: Resampler,
    /// The same at 48 kHz.
    ready: Fifo,
    encoder: Encoder,
    starved: u32,
    /// DTX as configured, and as the encoder has it now.
    dtx: bool,
    dtx_now: bool,
    /// Fiftieths of a frame that muted ticks still owe.
    remainder: u32,
}

#[derive(Debug)]
enum Source {
    Pcm(Box<Pcm>),
    Opus(OpusQueue),
}

/// Sound on its way out: a bounded input buffer and what becomes of it. One object per track; the
/// writer and the pacer share it under a lock of the caller's.
#[derive(Debug)]
pub struct AudioSender {
    source: Source,
    sequence: u16,
    first_timestamp: u32,
    /// 48 kHz ticks since the first; media time goes on whether or not there is something to send.
    clock: u64,
    in_gap: bool,
    muted: bool,
    stats: SendStats,
}

impl AudioSender {
    /// # Errors
    /// [`Code::Argument`] when a value is out of its range, [`Code::Media`] when the codec refuses.
    pub fn new(config: AudioSendConfig) -> Result<Self> {
        if !CAPACITY_MS.contains(&config.capacity_ms) {
            return Err(Error::new(Code::Argument, "the audio buffer must be 40..=5000 ms"));
        }
        let source = match config.input {
            AudioInput::Pcm { rate, channels } => Source::Pcm(Box::new(Pcm::new(rate, channels, &config)?)),
            AudioInput::Opus => Source::Opus(OpusQueue::new(config.capacity_ms, config.live)),
        };
        let chance = mix_seed(config.seed);
        Ok(Self {
            source,
            sequence: chance as u16,
            first_timestamp: (chance >> 32) as u32,
            clock: 0,
            in_gap: true,
            muted: false,
            stats: SendStats::default(),
        })
    }

    /// Takes interleaved i16 of whole frames (what is left over of one is ignored): all or nothing.
    ///
    /// # Errors
    /// [`Full`] when there is less room; always when the input is Opus.
    pub fn write_s16(&mut self, samples: &[i16]) -> Result<(), Full> {
        self.write(samples)
    }

    /// Takes interleaved f32, -1..1, as [`AudioSender::write_s16`] does.
    ///
    /// # Errors
    /// As [`AudioSender::write_s16`].
    pub fn write_f32(&mut self, samples: &[f32]) -> Result<(), Full> {
        self.write(samples)
    }

    fn write<S: Sample>(&mut self, samples: &[S]) -> Result<(), Full> {
        match &mut self.source {
            Source::Pcm(pcm) => pcm.write(samples),
            Source::Opus(_) => Err(Full),
        }
    }

    /// Takes one Opus packet of the application. `duration_48k` is in 48 kHz samples; 0 means "as the
    /// packet says".
    ///
    /// # Errors
    /// [`Code::State`] when the input is PCM, [`Code::Argument`] when the payload is not Opus, larger
    /// than 1 500 bytes or not of that duration, [`Code::Full`] when there is no room.
    pub fn write_opus(&mut self, payload: Bytes, duration_48k: u32) -> Result<()> {
        match &mut self.source {
            Source::Opus(queue) => queue.push(payload, duration_48k),
            Source::Pcm(_) => Err(Error::new(Code::State, "this track takes PCM, not Opus frames")),
        }
    }

    /// Frames that can be written now, at the application's rate (48 kHz ticks when it writes Opus).
    pub fn room_frames(&self) -> usize {
        match &self.source {
            Source::Pcm(pcm) => pcm.room(),
            Source::Opus(queue) => queue.room(),
        }
    }

    /// Most frames one write can hold.
    pub fn capacity_frames(&self) -> usize {
        match &self.source {
            Source::Pcm(pcm) => pcm.capacity,
            Source::Opus(queue) => queue.capacity(),
        }
    }

    /// Milliseconds of sound written and not sent yet.
    pub fn buffered_ms(&self) -> u32 {
        match &self.source {
            Source::Pcm(pcm) => pcm.buffered_ms(),
            Source::Opus(queue) => queue.buffered_ms(),
        }
    }

    pub fn stats(&self) -> SendStats {
        let dropped_ms = match &self.source {
            Source::Pcm(pcm) => pcm.ms(pcm.refused),
            Source::Opus(queue) => queue.refused_ms(),
        };
        SendStats { dropped_ms, ..self.stats }
    }

    /// Milliseconds of what was written that have become packets, since the sender was made.
    pub fn sent_ms(&self) -> u64 {
        match &self.source {
            Source::Pcm(pcm) => pcm.sent_ms(),
            Source::Opus(queue) => queue.sent_ms(),
        }
    }

    /// Drops what was written and not sent yet, and what encoder and resampler hold of it. How many ms that were.
    pub fn clear(&mut self) -> u32 {
        self.in_gap = true;
        match &mut self.source {
            Source::Pcm(pcm) => pcm.refuse(),
            Source::Opus(queue) => queue.refuse(),
        }
    }

    /// No more will be written: the rest is sent without waiting for more, to the last sample.
    pub fn finish(&mut self) {
        if let Source::Pcm(pcm) = &mut self.source {
            pcm.last = true;
        }
    }

    /// Whether nothing is left to send: of what is muted, nothing ever is.
    pub fn is_drained(&self) -> bool {
        self.muted
            || match &self.source {
                Source::Pcm(pcm) => pcm.is_empty() && !(pcm.last && pcm.tail),
                Source::Opus(queue) => queue.is_empty(),
            }
    }

    /// Mutes or unmutes at once rather than with the next tick. Either way, what was written before
    /// is dropped: nothing said while muted is ever sent, and nothing stale follows a mute.
    pub fn set_muted(&mut self, muted: bool) {
        if muted == self.muted {
            return;
        }
        self.muted = muted;
        self.in_gap = true;
        match &mut self.source {
            Source::Pcm(pcm) => pcm.clear(),
            Source::Opus(queue) => queue.clear(),
        }
    }

    /// Allows or forbids discontinuous transmission from the next frame on; of no effect on frames
    /// that the application has coded.
    pub fn set_dtx(&mut self, dtx: bool) {
        if let Source::Pcm(pcm) = &mut self.source {
            pcm.dtx = dtx;
            if !dtx && pcm.dtx_now && pcm.encoder.set_dtx(false).is_ok() {
                pcm.dtx_now = false;
            }
        }
    }

    /// Media time moves on by `ticks` of 20 ms that were missed (`Due::skipped`), without packets.
    pub fn skip(&mut self, ticks: u64) {
        if ticks > 0 {
            self.clock = self.clock.wrapping_add(ticks.wrapping_mul(u64::from(FRAME_TICKS)));
            self.in_gap = true;
        }
    }

    /// One tick of 20 ms: the packet to send now, if any. While muted the input is dropped at the
    /// pace of the sound, so that a writer keeps its rhythm.
    pub fn next_packet(&mut self, muted: bool) -> Option<AudioPacket> {
        self.set_muted(muted);
        let at = self.clock;
        self.clock = self.clock.wrapping_add(u64::from(FRAME_TICKS));
        let frame = match &mut self.source {
            Source::Pcm(pcm) => {
                let sent = if muted { pcm.drop_tick() } else { pcm.tick(&mut self.stats) };
                self.in_gap |= sent.is_none();
                let (payload, level) = sent?;
                Frame { at, payload, duration: FRAME_TICKS, level: Some(level) }
            }
            Source::Opus(queue) => {
                self.in_gap |= queue.begin(at);
                self.next_opus()?
            }
        };
        Some(self.packet(frame))
    }

    /// Further packets of the same tick: call until `None` after [`AudioSender::next_packet`] gave a
    /// packet. There are some only when the application brings Opus frames shorter than 20 ms.
    pub fn extra_packet(&mut self) -> Option<AudioPacket> {
        let frame = self.next_opus()?;
        Some(self.packet(frame))
    }

    /// The next of the application's Opus frames that begins within this tick.
    fn next_opus(&mut self) -> Option<Frame> {
        let Source::Opus(queue) = &mut self.source else { return None };
        while let Some((at, payload, duration)) = queue.next(self.clock) {
            if !self.muted && !opus::is_dtx(&payload) {
                return Some(Frame { at, payload, duration, level: None });
            }
            self.in_gap = true;
            match self.muted {
                true => queue.was_muted(duration),
                false => self.stats.dtx_frames += 1,
            }
        }
        None
    }

    fn packet(&mut self, frame: Frame) -> AudioPacket {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.stats.packets += 1;
        self.stats.bytes += frame.payload.len() as u64;
        let level = frame.level.unwrap_or(0.0);
        AudioPacket {
            sequence,
            timestamp: self.first_timestamp.wrapping_add(frame.at as u32),
            marker: std::mem::take(&mut self.in_gap),
            level_dbov: level::dbov(level),
            level,
            has_level: frame.level.is_some(),
            duration: frame.duration,
            payload: frame.payload,
        }
    }
}

/// What is to become a packet.
struct Frame {
    /// Media time, 48 kHz ticks since the start.
    at: u64,
    payload: Bytes,
    duration: u32,
    level: Option<f32>,
}

impl Pcm {
    fn new(rate: u32, channels: u8, config: &AudioSendConfig) -> Result<Self> {
        let encoder = &config.encoder;
        let capacity_ms = if config.live { LIVE_MS } else { config.capacity_ms };
        let coded = encoder.channels;
        let resampler = Resampler::new(rate, RTP_RATE, coded)?;
        let mixer = Mixer::new(channels, coded)?;
        let capacity = (u64::from(rate) * u64::from(capacity_ms)).div_ceil(1_000) as usize;
        Ok(Self {
            encoder: Encoder::new(encoder)?,
            ring: Fifo::with_capacity(capacity * mixer.to()),
            ready: Fifo::with_capacity(2 * opus::FRAME * mixer.to()),
            mixer,
            rate,
            capacity,
            live: config.live,
            written: 0,
            dropped: 0,
            refused: 0,
            last: false,
            tail: false,
            resampler,
            starved: 0,
            dtx: encoder.dtx,
            dtx_now: encoder.dtx,
            remainder: 0,
        })
    }

    fn room(&self) -> usize {
        match self.live {
            true => self.capacity.saturating_sub(self.held() as usize),
            false => self.capacity - self.ring.len() / self.mixer.to(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ring.len() + self.ready.len() + self.resampler.pending() == 0
    }

    fn ms(&self, frames: u64) -> u64 {
        (frames * 1_000 + u64::from(self.rate / 2)) / u64::from(self.rate)
    }

    /// Frames that were written and are still here.
    fn held(&self) -> u64 {
        let ready = (self.ready.len() / self.mixer.to()) as u64 * u64::from(self.rate);
        let waiting = self.ring.len() / self.mixer.to() + self.resampler.pending();
        // Padding is here as well, and was never written.
        (waiting as u64 + ready.div_ceil(u64::from(RTP_RATE))).min(self.written - self.dropped)
    }

    fn sent_ms(&self) -> u64 {
        self.ms(self.written - self.dropped - self.held())
    }

    /// Drops everything that waits; how many ms that were.
    fn refuse(&mut self) -> u32 {
        let before = self.dropped;
        self.clear();
        let frames = self.dropped - before;
        self.refused += frames;
        self.ms(frames) as u32
    }

    /// Makes room for `frames` by dropping what is oldest. How many of the new ones do not fit even so.
    fn make_room(&mut self, frames: usize) -> usize {
        let too_many = frames.saturating_sub(self.room());
        let oldest = (too_many * self.mixer.to()).min(self.ring.len());
        self.ring.consume(oldest);
        self.dropped += too_many as u64;
        self.refused += too_many as u64;
        too_many - oldest / self.mixer.to()
    }

    fn buffered_ms(&self) -> u32 {
        let written = (self.ring.len() / self.mixer.to() + self.resampler.pending()) as u64;
        let ready = (self.ready.len() / self.mixer.to()) as u64;
        (written * 1_000 / u64::from(self.rate) + ready * 1_000 / u64::from(RTP_RATE)) as u32
    }

    fn write<S: Sample>(&mut self, samples: &[S]) -> Result<(), Full> {
        let frames = samples.len() / self.mixer.from();
        if frames > self.room() && !self.live {
            return Err(Full);
        }
        self.written += frames as u64;
        let passed_over = if self.live { self.make_room(frames) } else { 0 };
        let samples = &samples[passed_over * self.mixer.from()..];
        self.mixer.mix(samples, self.ring.grow((frames - passed_over) * self.mixer.to()));
        Ok(())
    }

    fn clear(&mut self) {
        self.dropped += self.held();
        self.tail = false;
        self.ring.clear();
        self.ready.clear();
        self.resampler.reset();
        self.starved = 0;
        // Refused only for a broken encoder, which the next frame reports.
        let _ = self.encoder.reset();
    }

    /// 20 ms of what was written are not for anybody.
    fn drop_tick(&mut self) -> Option<(Bytes, f32)> {
        let due = self.rate + self.remainder;
        self.remainder = due % 50;
        let samples = ((due / 50) as usize * self.mixer.to()).min(self.ring.len());
        self.dropped += (samples / self.mixer.to()) as u64;
        self.ring.consume(samples);
        None
    }

    /// One frame as (payload, level), if a whole one can be had or patience is over.
    fn tick(&mut self, stats: &mut SendStats) -> Option<(Bytes, f32)> {
        let width = self.mixer.to();
        let frame = opus::FRAME * width;
        let mut padding = 0;
        while self.ready.len() < frame {
            let missing = (frame - self.ready.len()) / width;
            let take = if self.resampler.is_copy() { missing } else { self.resampler.needed() };
            if self.ring.len() >= take * width {
                self.resampler.process(&self.ring.as_slice()[..take * width], &mut self.ready);
                self.ring.consume(take * width);
                continue;
            }
            let empty = self.is_empty();
            if empty && !(self.last && self.tail) {
                self.starved = 0;
                return None;
            }
            if !empty {
                stats.starved_ticks += 1;
                self.starved += 1;
            }
            if self.starved < PATIENCE && !self.last {
                return None;
            }
            padding = self.pad(frame) / width;
            stats.padded_frames += 1;
        }
        self.starved = 0;
        self.tail = padding < TAIL;
        let level = level::rms(&self.ready.as_slice()[..frame]);
        // The codec takes steady sound for silence, however loud: DTX is for what is quiet as well.
        let quiet = level::dbov(level) >= QUIET_DBOV;
        if self.dtx && quiet != self.dtx_now && self.encoder.set_dtx(quiet).is_ok() {
            self.dtx_now = quiet;
        }
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

    /// Sends what is left on its way, followed by as much silence as a frame lacks: so many samples.
    fn pad(&mut self, frame: usize) -> usize {
        const ZEROS: [f32; 512] = [0.0; 512];
        let width = self.mixer.to();
        self.resampler.process(self.ring.as_slice(), &mut self.ready);
        self.ring.clear();
        let padding = frame.saturating_sub(self.ready.len());
        while self.ready.len() < frame {
            let missing = frame - self.ready.len();
            let take = if self.resampler.is_copy() { missing } else { self.resampler.needed() * width };
            self.resampler.process(&ZEROS[..take.min(ZEROS.len())], &mut self.ready);
        }
        padding
    }
}

/// Spreads a seed over all bits (the finaliser of SplitMix64), so that small seeds differ too.
fn mix_seed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
