//! Audio that an application has written to a track and that is not sent yet. Bounded, and a write does no more than
//! copy, so that the owner's lock is held only briefly.
//!
//! Must not know: codecs' state, when something is sent, who locks this.

use bytes::Bytes;

use super::{
    fifo::Fifo,
    mix::{Mixer, Sample},
    opus_queue::{Due, OpusQueue},
    send::AudioSendConfig,
    RATES, RTP_RATE,
};
use crate::error::{Code, Error, Result};

/// Maximum milliseconds that a live track buffers.
pub const LIVE_MS: u32 = 40;

/// Range of [`AudioSendConfig::capacity_ms`].
pub const CAPACITY_MS: std::ops::RangeInclusive<u32> = 40..=5_000;

/// Format of the audio that an application writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioFormat {
    /// Interleaved PCM of `rate` Hz (8 000..=192 000) in `channels` (1..=8, in WAV order).
    Pcm { rate: u32, channels: u8 },
    /// Opus frames made by the application; they are neither decoded nor encoded.
    Opus,
}

/// The whole write does not fit; nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the audio buffer is full; write in real time, or less at a time")
    }
}

impl std::error::Error for Full {}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Error::new(Code::Full, full.to_string())
    }
}

/// PCM taken by the encoder that is not in a frame yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside {
    /// Before the resampler, in frames at the application's rate, and after it, at 48 kHz.
    pub waiting: usize,
    pub ready: usize,
    /// The encoder still holds the end of its input (lookahead).
    pub tail: bool,
}

#[derive(Debug)]
struct PcmInput {
    mixer: Mixer,
    rate: u32,
    /// PCM written, at the application's rate in the coded channels.
    ring: Fifo,
    /// Capacity of the ring in frames.
    capacity: usize,
    /// Content beyond the capacity is dropped, oldest first.
    live: bool,
    /// Frames accepted, and those of them dropped instead of sent.
    written: u64,
    dropped: u64,
    /// Part of `dropped`: too old on a live track, or cleared.
    refused: u64,
    inside: Inside,
    /// Remainder, in fiftieths of a frame, carried over by muted ticks.
    remainder: u32,
}

#[derive(Debug)]
enum Written {
    Pcm(Box<PcmInput>),
    Opus(OpusQueue),
}

/// State at the start of a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub epoch: u64,
    pub muted: bool,
    pub dtx: bool,
    pub repeated: bool,
}

/// Result of [`AudioInput::take`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Took {
    /// The full amount was taken.
    All,
    /// Nothing was taken: there is too little. `empty`: nothing at all; `last`: no more will be written.
    Short { empty: bool, last: bool },
    /// The input was cleared: PCM taken before must not be sent.
    Stale,
}

/// See the module. Writers and the encoder share it under their owner's lock.
#[derive(Debug)]
pub struct AudioInput {
    written: Written,
    muted: bool,
    dtx: bool,
    repeated: bool,
    /// No more is written: the rest is sent without waiting for more.
    last: bool,
    /// Incremented by every mute change and clear: PCM taken under an older epoch is not sent.
    epoch: u64,
    frames: u64,
}

impl AudioInput {
    /// # Errors
    /// [`Code::Argument`] when a value is out of range.
    pub fn new(config: &AudioSendConfig) -> Result<Self> {
        if !CAPACITY_MS.contains(&config.capacity_ms) {
            return Err(Error::new(Code::Argument, "the audio buffer must be 40..=5000 ms"));
        }
        let written = match config.input {
            AudioFormat::Pcm { rate, channels } => Written::Pcm(Box::new(PcmInput::new(rate, channels, config)?)),
            AudioFormat::Opus => Written::Opus(OpusQueue::new(config.capacity_ms, config.live)),
        };
        let dtx = config.encoder.dtx;
        Ok(Self { written, muted: false, dtx, repeated: false, last: false, epoch: 0, frames: 0 })
    }

    /// Takes interleaved i16 in whole frames (a partial last frame is ignored): all or nothing.
    ///
    /// # Errors
    /// [`Full`] when the write does not fit; always if the input is Opus.
    pub fn write_s16(&mut self, samples: &[i16]) -> Result<(), Full> {
        self.write(samples)
    }

    /// Takes interleaved f32, -1..1, as [`AudioInput::write_s16`] does.
    ///
    /// # Errors
    /// As [`AudioInput::write_s16`].
    pub fn write_f32(&mut self, samples: &[f32]) -> Result<(), Full> {
        self.write(samples)
    }

    fn write<S: Sample>(&mut self, samples: &[S]) -> Result<(), Full> {
        match &mut self.written {
            Written::Pcm(pcm) => pcm.write(samples),
            Written::Opus(_) => Err(Full),
        }
    }

    /// Takes one Opus packet of the application. `duration_48k` is in 48 kHz samples; 0 means "read it from the
    /// packet".
    ///
    /// # Errors
    /// [`Code::State`] if the input is PCM; [`Code::Argument`] if the payload is not Opus, is larger than 1 500 bytes
    /// or has another duration; [`Code::Full`] if it does not fit.
    pub fn write_opus(&mut self, payload: Bytes, duration_48k: u32) -> Result<()> {
        match &mut self.written {
            Written::Opus(queue) => queue.push(payload, duration_48k),
            Written::Pcm(_) => Err(Error::new(Code::State, "this track takes PCM, not Opus frames")),
        }
    }

    /// Frames that fit now, at the application's rate (48 kHz ticks if it writes Opus).
    pub fn room_frames(&self) -> usize {
        match &self.written {
            Written::Pcm(pcm) => pcm.room(),
            Written::Opus(queue) => queue.room(),
        }
    }

    /// Largest number of frames that one write can hold.
    pub fn capacity_frames(&self) -> usize {
        match &self.written {
            Written::Pcm(pcm) => pcm.capacity,
            Written::Opus(queue) => queue.capacity(),
        }
    }

    /// Milliseconds of audio written and not sent yet.
    pub fn buffered_ms(&self) -> u32 {
        match &self.written {
            Written::Pcm(pcm) => pcm.buffered_ms(),
            Written::Opus(queue) => queue.buffered_ms(),
        }
    }

    /// Milliseconds dropped as too old on a live track, or cleared.
    pub fn dropped_ms(&self) -> u64 {
        match &self.written {
            Written::Pcm(pcm) => pcm.ms(pcm.refused),
            Written::Opus(queue) => queue.refused_ms(),
        }
    }

    /// Milliseconds of written audio that were made into frames, since the start.
    pub fn sent_ms(&self) -> u64 {
        match &self.written {
            Written::Pcm(pcm) => pcm.sent_ms(),
            Written::Opus(queue) => queue.sent_ms(),
        }
    }

    /// Number of frames returned for sending.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Drops everything written and not sent yet, also what the encoder and resampler hold of it. Returns how many ms
    /// it was.
    pub fn clear(&mut self) -> u32 {
        self.epoch += 1;
        match &mut self.written {
            Written::Pcm(pcm) => pcm.refuse(),
            Written::Opus(queue) => queue.refuse(),
        }
    }

    /// No more will be written: the rest is sent to the last sample, without waiting for more.
    pub fn finish(&mut self) {
        self.last = true;
    }

    /// Whether nothing is left to send. Always true while muted.
    pub fn is_drained(&self) -> bool {
        self.muted
            || match &self.written {
                Written::Pcm(pcm) => pcm.is_empty() && !(self.last && pcm.inside.tail),
                Written::Opus(queue) => queue.is_empty(),
            }
    }

    /// Mutes or unmutes at once instead of at the next tick. In both cases audio written before is dropped: audio
    /// written while muted is never sent, and no old audio is sent after unmuting.
    pub fn set_muted(&mut self, muted: bool) {
        if muted == self.muted {
            return;
        }
        self.muted = muted;
        self.epoch += 1;
        match &mut self.written {
            Written::Pcm(pcm) => pcm.clear(),
            Written::Opus(queue) => queue.clear(),
        }
    }

    /// Enables or disables discontinuous transmission from the next frame on; no effect on frames encoded by the
    /// application.
    pub fn set_dtx(&mut self, dtx: bool) {
        self.dtx = dtx;
    }

    /// Sets whether each frame is sent twice (RED): the encoder then leaves out FEC. No effect on frames encoded by the
    /// application.
    pub fn set_repeated(&mut self, repeated: bool) {
        self.repeated = repeated;
    }

    /// Starts a tick of 20 ms of PCM. While muted, input is dropped in real time, so that a writer keeps its pace.
    pub(super) fn begin_tick(&mut self) -> Standing {
        if let (true, Written::Pcm(pcm)) = (self.muted, &mut self.written) {
            pcm.drop_tick();
        }
        Standing { epoch: self.epoch, muted: self.muted, dtx: self.dtx, repeated: self.repeated }
    }

    /// Moves `frames` of PCM to the end of `to`, if there are that many; with `rest`, also fewer.
    pub(super) fn take(&mut self, epoch: u64, frames: usize, rest: bool, to: &mut Fifo) -> Took {
        let Written::Pcm(pcm) = &mut self.written else { return Took::Stale };
        if epoch != self.epoch {
            return Took::Stale;
        }
        let held = pcm.ring.len() / pcm.mixer.to();
        if held < frames && !rest {
            return Took::Short { empty: held == 0, last: self.last };
        }
        let frames = held.min(frames);
        to.append(&pcm.ring.as_slice()[..frames * pcm.mixer.to()]);
        pcm.ring.consume(frames * pcm.mixer.to());
        pcm.inside.waiting += frames;
        Took::All
    }

    /// Ends a tick. `inside`: the PCM the encoder holds; `frame`: it made a frame. False: the input was cleared
    /// meanwhile, and the frame must not be sent.
    pub(super) fn commit(&mut self, epoch: u64, inside: Inside, frame: bool) -> bool {
        let Written::Pcm(pcm) = &mut self.written else { return false };
        if epoch != self.epoch {
            return false;
        }
        pcm.inside = inside;
        self.frames += u64::from(frame);
        true
    }

    /// The application's next Opus frame, if it is due at media time `now`, and whether to send it.
    pub(super) fn next_opus(&mut self, now: u64, is_sent: impl Fn(&[u8]) -> bool) -> Option<(Due, bool)> {
        let Written::Opus(queue) = &mut self.written else { return None };
        let due = queue.next(now)?;
        if self.muted {
            queue.was_muted(due.duration);
            return Some((due, false));
        }
        let is_sent = is_sent(&due.payload);
        self.frames += u64::from(is_sent);
        Some((due, is_sent))
    }

    /// When the application's next Opus frame is due, in media time.
    pub(crate) fn opus_due(&self) -> Option<u64> {
        match &self.written {
            Written::Opus(queue) => queue.due(),
            Written::Pcm(_) => None,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl PcmInput {
    fn new(rate: u32, channels: u8, config: &AudioSendConfig) -> Result<Self> {
        if !RATES.contains(&rate) {
            return Err(Error::new(Code::Argument, "the sample rate must be 8000..=192000 Hz"));
        }
        let capacity_ms = if config.live { LIVE_MS } else { config.capacity_ms };
        let mixer = Mixer::new(channels, config.encoder.channels)?;
        let capacity = (u64::from(rate) * u64::from(capacity_ms)).div_ceil(1_000) as usize;
        Ok(Self {
            ring: Fifo::of_at_most(capacity * mixer.to()),
            mixer,
            rate,
            capacity,
            live: config.live,
            written: 0,
            dropped: 0,
            refused: 0,
            inside: Inside::default(),
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
        self.ring.len() + self.inside.ready + self.inside.waiting == 0
    }

    fn ms(&self, frames: u64) -> u64 {
        (frames * 1_000 + u64::from(self.rate / 2)) / u64::from(self.rate)
    }

    /// Frames written and still held.
    fn held(&self) -> u64 {
        let ready = self.inside.ready as u64 * u64::from(self.rate);
        let waiting = self.ring.len() / self.mixer.to() + self.inside.waiting;
        // Padding is held as well, but was never written.
        (waiting as u64 + ready.div_ceil(u64::from(RTP_RATE))).min(self.written - self.dropped)
    }

    fn sent_ms(&self) -> u64 {
        self.ms(self.written - self.dropped - self.held())
    }

    /// Drops everything held; returns how many ms it was.
    fn refuse(&mut self) -> u32 {
        let before = self.dropped;
        self.clear();
        let frames = self.dropped - before;
        self.refused += frames;
        self.ms(frames) as u32
    }

    /// Makes room for `frames` by dropping the oldest. Returns how many of the new ones still do not fit.
    fn make_room(&mut self, frames: usize) -> usize {
        let too_many = frames.saturating_sub(self.room());
        let oldest = (too_many * self.mixer.to()).min(self.ring.len());
        self.ring.consume(oldest);
        self.dropped += too_many as u64;
        self.refused += too_many as u64;
        too_many - oldest / self.mixer.to()
    }

    fn buffered_ms(&self) -> u32 {
        let written = (self.ring.len() / self.mixer.to() + self.inside.waiting) as u64;
        (written * 1_000 / u64::from(self.rate) + self.inside.ready as u64 * 1_000 / u64::from(RTP_RATE)) as u32
    }

    fn write<S: Sample>(&mut self, samples: &[S]) -> Result<(), Full> {
        let frames = samples.len() / self.mixer.from();
        if frames > self.room() && !self.live {
            return Err(Full);
        }
        self.written += frames as u64;
        let passed_over = if self.live { self.make_room(frames) } else { 0 };
        self.mixer.mix(&samples[passed_over * self.mixer.from()..], &mut self.ring);
        Ok(())
    }

    fn clear(&mut self) {
        self.dropped += self.held();
        self.ring.clear();
        self.inside = Inside::default();
    }

    /// Drops 20 ms of the written PCM.
    fn drop_tick(&mut self) {
        let due = self.rate + self.remainder;
        self.remainder = due % 50;
        let samples = ((due / 50) as usize * self.mixer.to()).min(self.ring.len());
        self.dropped += (samples / self.mixer.to()) as u64;
        self.ring.consume(samples);
    }
}
