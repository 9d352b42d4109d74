//! Turns the packets of one remote audio track into frames in order, or into PCM of 20 ms at a time at the
//! application's rate.
//!
//! Must not know: when a tick is (its caller paces), where packets come from, whose track it is.

use std::time::Duration;

use bytes::Bytes;

use super::{
    delay::micros,
    fifo::Fifo,
    jitter::JitterBuffer,
    level,
    mix::Pcm,
    opus::Decoder,
    payload::{PayloadTypes, Taken},
    playout::{fade, Kind, Playout, State, EXCESS_US},
    red,
    resample::Resampler,
    RATES, RTP_RATE,
};
use crate::error::{Code, Error, Result};
use crate::media::{
    frame::{EncodedFrame, FrameReceiver},
    rtp::RtpPacket,
    transform::FrameTransform,
};

/// Without a packet for this long a track is idle and need not be pulled.
pub const IDLE_AFTER: Duration = Duration::from_millis(500);

/// Audio is shortened when the delay has been this far above its target...
const TOO_DEEP_US: i64 = 25_000;
/// ...for this many pulls: fewer if shortening is inaudible or urgent.
const PATIENCE_QUIET: u32 = 10;
const PATIENCE_LOUD: u32 = 50;
const FAR_TOO_DEEP_US: i64 = 100_000;

/// Quiet audio is lengthened when the delay has been this far below its target.
const TOO_SHALLOW_US: i64 = 15_000;

/// Below this RMS a missing or repeated 20 ms is inaudible.
const UNNOTICED: f32 = 0.01;

/// Pulls with a delay above the maximum before audio is skipped.
const PATIENCE_EXCESS: u32 = 3;

/// Receive settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioReceiveConfig {
    /// Output sample rate in Hz, 8 000..=192 000.
    pub rate: u32,
    /// Output channels, 1 or 2.
    pub channels: u8,
    /// Minimum and maximum jitter-buffer delay, 0..=2 s.
    pub min_delay: Duration,
    pub max_delay: Duration,
    /// Deliver frames in order ([`FrameReceiver::poll`]) instead of PCM.
    pub deliver_opus: bool,
}

impl Default for AudioReceiveConfig {
    fn default() -> Self {
        Self {
            rate: RTP_RATE,
            channels: 1,
            min_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(200),
            deliver_opus: false,
        }
    }
}

/// Description of 20 ms of audio.
#[derive(Clone, Copy, Debug)]
pub struct Pulled {
    /// Samples per channel; alternates by one if 50 does not divide the rate.
    pub frames: usize,
    /// Some of it is packet-loss concealment.
    pub concealed: bool,
    /// Some of it was rebuilt from forward error correction (FEC).
    pub fec: bool,
    /// The sender sends nothing (DTX, mute, or gone).
    pub silence: bool,
    /// RMS from 0.0 to 1.0.
    pub level: f32,
    /// The same in -dBov, 0..=127.
    pub level_dbov: u8,
    /// RTP timestamp of the first sample (48 kHz); an estimate during silence.
    pub timestamp: u32,
    /// Arrival time of the first packet whose audio it contains; `None` if it contains none.
    pub arrival: Option<Duration>,
}

/// Counters since the receiver was created, and the current state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReceiveStats {
    /// Packets passed in, whether used or dropped.
    pub received: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Pieces of at most 20 ms synthesised in place of missing packets.
    pub concealed_frames: u64,
    /// Packets rebuilt from FEC.
    pub fec_frames: u64,
    /// Lost packets whose frame arrived in time in a later packet.
    pub restored: u64,
    /// Packets that arrived after they were due.
    pub late: u64,
    pub duplicates: u64,
    /// Packets dropped as malformed, stray or in excess.
    pub discarded: u64,
    /// Pieces of 20 ms removed because the delay was too long, and inserted because it was too short.
    pub shrunk_frames: u64,
    pub stretched_frames: u64,
    /// Stream restarts by the sender.
    pub restarts: u64,
    /// Packets of padding only, and of payload types that are not Opus: received, never decoded.
    pub padding: u64,
    pub unplayable: u64,
    /// Packets whose frame the transform rejected.
    pub refused: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter_ms: f32,
    /// Audio buffered: packets and decoded audio.
    pub buffer_ms: f32,
    /// Delay at the last pull, and the target delay.
    pub delay_ms: f32,
    pub target_ms: f32,
}

impl ReceiveStats {
    /// Adds the counters; of measured values keeps the maximum.
    pub fn add(&mut self, other: &ReceiveStats) {
        let counters = [
            (&mut self.received, other.received),
            (&mut self.lost, other.lost),
            (&mut self.concealed_frames, other.concealed_frames),
            (&mut self.fec_frames, other.fec_frames),
            (&mut self.restored, other.restored),
            (&mut self.late, other.late),
            (&mut self.duplicates, other.duplicates),
            (&mut self.discarded, other.discarded),
            (&mut self.shrunk_frames, other.shrunk_frames),
            (&mut self.stretched_frames, other.stretched_frames),
            (&mut self.restarts, other.restarts),
            (&mut self.padding, other.padding),
            (&mut self.unplayable, other.unplayable),
            (&mut self.refused, other.refused),
        ];
        counters.into_iter().for_each(|(sum, more)| *sum += more);
        self.jitter_ms = self.jitter_ms.max(other.jitter_ms);
        self.buffer_ms = self.buffer_ms.max(other.buffer_ms);
        self.delay_ms = self.delay_ms.max(other.delay_ms);
        self.target_ms = self.target_ms.max(other.target_ms);
    }
}

/// Buffers decoded audio until 20 ms of it are pulled.
#[derive(Debug)]
struct Output {
    rate: u32,
    channels: usize,
    /// At the application's rate.
    ready: Fifo,
    /// At the decoder's rate, before resampling.
    stage: Fifo,
    resampler: Option<Resampler>,
    /// Remainder of the frame count, in fiftieths of a frame.
    remainder: u32,
}

/// One remote track. Push packets as they arrive, pull every 20 ms until [`AudioReceiver::idle`].
#[derive(Debug)]
pub struct AudioReceiver {
    playout: Playout,
    output: Output,
    deliver_opus: bool,
    types: PayloadTypes,
    padding: u64,
    unplayable: u64,
    refused: u64,
    too_deep: u32,
    too_shallow: u32,
    excess: u32,
    last_level: f32,
    delay_us: i64,
    shrunk: u64,
    stretched: u64,
}

impl AudioReceiver {
    /// # Errors
    /// [`Code::Argument`] when a value is out of range, [`Code::Media`] when the codec fails.
    pub fn new(config: AudioReceiveConfig) -> Result<Self> {
        if !RATES.contains(&config.rate) {
            return Err(Error::new(Code::Argument, "the sample rate must be 8000..=192000 Hz"));
        }
        if config.max_delay > Duration::from_secs(2) || config.min_delay > config.max_delay {
            return Err(Error::new(Code::Argument, "delays must be min <= max <= 2 s"));
        }
        // The decoder's own rates cost nothing; all others are resampled from 48 kHz.
        let direct = Decoder::RATES.contains(&config.rate);
        let decoded = if direct { config.rate } else { RTP_RATE };
        let decoder = Decoder::new(decoded, config.channels)?;
        let resampler = if direct { None } else { Some(Resampler::new(decoded, config.rate, config.channels)?) };
        let jitter = JitterBuffer::new(config.min_delay, config.max_delay);
        Ok(Self {
            playout: Playout::new(jitter, decoder, config.channels),
            output: Output {
                rate: config.rate,
                channels: usize::from(config.channels),
                ready: Fifo::default(),
                stage: Fifo::default(),
                resampler,
                remainder: 0,
            },
            deliver_opus: config.deliver_opus,
            types: PayloadTypes::default(),
            padding: 0,
            unplayable: 0,
            refused: 0,
            too_deep: 0,
            too_shallow: 0,
            excess: 0,
            last_level: 0.0,
            delay_us: 0,
            shrunk: 0,
            stretched: 0,
        })
    }

    /// Sets the payload types of Opus packets.
    pub fn accept(&mut self, types: PayloadTypes) {
        self.types = types;
    }

    /// Pushes an Opus packet: RTP sequence number, timestamp, payload and arrival time. Any input is safe; malformed,
    /// late or duplicate packets are dropped and counted.
    pub fn push(&mut self, sequence: u16, timestamp: u32, payload: Bytes, now: Duration) {
        let frame = EncodedFrame { sequence, rtp_time: timestamp, payload, arrival: now, ..EncodedFrame::default() };
        self.playout.push(frame);
    }

    /// Accepts a packet of the track, of any kind. Packets that are not Opus are counted, never decoded, and do not
    /// count as lost. Every Opus frame goes through `transform` first, also redundant ones (RFC 2198).
    pub fn take(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform) -> Taken {
        let taken = self.types.kind(packet.payload_type, &packet.payload);
        match taken {
            Taken::Audio => self.take_audio(packet, transform),
            Taken::Padding => {
                self.padding += 1;
                self.hollow(packet.ssrc, packet.sequence);
            }
            Taken::Unplayable => {
                self.unplayable += 1;
                self.hollow(packet.ssrc, packet.sequence);
            }
        }
        taken
    }

    /// A malformed packet becomes an empty frame, which is dropped and counted.
    fn take_audio(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform) {
        let inner = self.types.inner(packet.payload_type);
        let parts = inner.map(|inner| red::parse(&packet.payload, inner).unwrap_or_default());
        let RtpPacket { ssrc, sequence, timestamp, marker, level, capture_time, arrival, payload, .. } = packet;
        let frame = EncodedFrame {
            payload: parts.as_ref().map_or(payload, |parts| parts.primary.clone()),
            rtp_time: timestamp,
            arrival,
            capture_time,
            key: true,
            level_dbov: level.map(|(dbov, _)| dbov),
            begins: marker,
            ssrc,
            sequence,
            ..EncodedFrame::default()
        };
        self.frame(frame, transform);
        for (back, block) in parts.iter().flat_map(|parts| parts.earlier()) {
            let mut frame = EncodedFrame {
                payload: block.payload.clone(),
                rtp_time: timestamp.wrapping_sub(u32::from(block.offset)),
                arrival,
                key: true,
                ssrc,
                sequence: sequence.wrapping_sub(back),
                ..EncodedFrame::default()
            };
            if transform.transform(&mut frame).is_ok() {
                self.playout.jitter.restore(frame);
            }
        }
    }

    fn frame(&mut self, mut frame: EncodedFrame, transform: &mut dyn FrameTransform) {
        let (ssrc, sequence) = (frame.ssrc, frame.sequence);
        if !frame.payload.is_empty() && transform.transform(&mut frame).is_err() {
            // It arrived, but has no audio: it does not count as lost.
            self.refused += 1;
            return self.hollow(ssrc, sequence);
        }
        self.playout.push(frame);
    }

    fn hollow(&mut self, ssrc: u32, sequence: u16) {
        self.playout.jitter.push_hollow(ssrc, sequence);
    }

    /// The next 20 ms. `None` before any audio is available, and once the track is idle. Call it on a grid of 20 ms. A
    /// late pull is harmless; a missing one adds delay, which is reduced again later. The samples, interleaved, replace
    /// the content of `samples`, in the caller's sample type.
    pub fn pull<S: Pcm>(&mut self, now: Duration, samples: &mut Vec<S>) -> Option<Pulled> {
        let now_us = micros(now);
        if self.deliver_opus {
            return None;
        }
        match self.playout.state {
            State::Idle => return None,
            State::Waiting if !self.playout.ready(now_us) => return None,
            State::Gap if self.playout.jitter.len() == 0 && self.idle(now) => {
                self.playout.state = State::Idle;
                self.output.clear();
                return None;
            }
            _ => {}
        }
        let frames = self.output.next_frames();
        let mut kinds = Kinds::default();
        let shrink = self.playout.state == State::Playing && self.adjust(now_us, frames);
        let wanted = if shrink { 2 * frames } else { frames };
        let arrival = self.fill(now_us, wanted, &mut kinds);
        let timestamp = self.playout.timestamp(self.position());
        let silent = kinds.silence && !kinds.audio && !kinds.concealed && !kinds.fec;
        self.last_level = self.output.take(frames, shrink, silent, samples);
        Some(Pulled {
            frames,
            concealed: kinds.concealed,
            fec: kinds.fec,
            silence: silent,
            level: self.last_level,
            level_dbov: level::dbov(self.last_level),
            timestamp,
            arrival,
        })
    }

    /// Whether no packet has arrived for 500 ms (or ever): pulling can stop until the next push.
    pub fn idle(&self, now: Duration) -> bool {
        self.playout.idle(now, IDLE_AFTER)
    }

    /// Whether audio is buffered that was not pulled yet.
    pub fn holds_audio(&self) -> bool {
        self.playout.jitter.len() > 0 || self.output.ticks() >= i64::from(RTP_RATE) / 100
    }

    /// Resets the stream state, as after a change of SSRC; the counters stay.
    pub fn reset(&mut self) {
        self.playout.reset();
        self.output.clear();
        (self.too_deep, self.too_shallow, self.excess) = (0, 0, 0);
    }

    pub fn stats(&self) -> ReceiveStats {
        let counts = self.playout.jitter.counts;
        let held = self.playout.jitter.held_ticks() as f32 + self.output.ticks() as f32;
        ReceiveStats {
            received: counts.received + self.padding + self.unplayable + self.refused,
            lost: counts.lost,
            concealed_frames: self.playout.played.concealed,
            fec_frames: self.playout.played.fec,
            restored: counts.restored,
            late: counts.late,
            duplicates: counts.duplicates,
            discarded: counts.discarded,
            shrunk_frames: self.shrunk,
            stretched_frames: self.stretched,
            restarts: counts.restarts,
            padding: self.padding,
            unplayable: self.unplayable,
            refused: self.refused,
            jitter_ms: self.playout.jitter.delay.jitter_ms(),
            buffer_ms: held / (RTP_RATE / 1_000) as f32,
            delay_ms: self.delay_us as f32 / 1_000.0,
            target_ms: self.playout.jitter.delay.target_us() as f32 / 1_000.0,
        }
    }

    /// Media time of the next sample to be pulled.
    fn position(&self) -> i64 {
        self.playout.ticks.saturating_sub(self.output.ticks())
    }

    /// Adjusts the delay towards its target; true if this pull must be shortened.
    fn adjust(&mut self, now_us: i64, frames: usize) -> bool {
        let delays = &self.playout.jitter.delay;
        self.delay_us = delays.delay_us(now_us, self.position());
        let excess_us = self.delay_us - delays.target_us();
        self.excess = if self.delay_us > delays.max_us() + EXCESS_US { self.excess + 1 } else { 0 };
        if self.excess >= PATIENCE_EXCESS {
            self.excess = 0;
            self.output.ready.clear();
            self.playout.jump(now_us);
            return false;
        }
        let unnoticed = self.last_level < UNNOTICED;
        self.too_deep = if excess_us > TOO_DEEP_US { self.too_deep + 1 } else { 0 };
        let hurry = unnoticed || excess_us > FAR_TOO_DEEP_US;
        // A second frame must be available to merge with the first.
        let held = self.playout.jitter.held_ticks() + self.output.ticks();
        if self.too_deep >= if hurry { PATIENCE_QUIET } else { PATIENCE_LOUD }
            && held * i64::from(self.output.rate) >= 2 * frames as i64 * i64::from(RTP_RATE)
        {
            self.too_deep = 0;
            self.shrunk += 1;
            return true;
        }
        self.too_shallow = if excess_us < -TOO_SHALLOW_US { self.too_shallow + 1 } else { 0 };
        if self.too_shallow >= PATIENCE_QUIET && unnoticed {
            self.too_shallow = 0;
            self.stretched += 1;
            self.output.append(|stage| self.playout.stretch(stage));
        }
        false
    }

    /// Produces audio until `frames` are ready. Returns the arrival time of the first packet whose audio they contain.
    fn fill(&mut self, now_us: i64, frames: usize, kinds: &mut Kinds) -> Option<Duration> {
        let wanted = frames * self.output.channels;
        let mut arrival = if self.output.ready.len() == 0 { None } else { self.playout.arrival };
        if self.output.ready.len() >= wanted {
            kinds.add(self.playout.kind());
        }
        // Every piece is at least 2.5 ms and a resampler's block at most 25 ms; the bound only guards against bugs.
        for _ in 0..64 {
            if self.output.ready.len() >= wanted {
                return arrival;
            }
            let mut kind = Kind::Silence;
            self.output.append(|stage| kind = self.playout.produce(now_us, stage));
            arrival = arrival.or(self.playout.arrival);
            kinds.add(kind);
        }
        let missing = wanted.saturating_sub(self.output.ready.len());
        self.output.ready.grow(missing);
        arrival
    }
}

impl FrameReceiver for AudioReceiver {
    fn receive(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform) {
        self.take(packet, transform);
    }

    /// For receivers created with `deliver_opus`; call it every 20 ms. A missing frame is waited for as long as it
    /// would be for PCM.
    fn poll(&mut self, now: Duration) -> Option<EncodedFrame> {
        if !self.deliver_opus {
            return None;
        }
        self.playout.jitter.settle_pause(micros(now));
        let in_order = self.playout.state == State::Playing && self.playout.jitter.missing() == 0;
        if !in_order && !self.playout.ready(micros(now)) {
            return None;
        }
        let lost = self.playout.jitter.counts.lost;
        let packet = self.playout.jitter.pop()?;
        let missing = self.playout.jitter.counts.lost.saturating_sub(lost).min(u64::from(u32::MAX));
        self.playout.state = State::Playing;
        Some(EncodedFrame { duration: packet.duration as u32, lost_before: missing as u32, ..packet.frame })
    }
}

/// Sources of the audio of one pull.
#[derive(Default)]
struct Kinds {
    audio: bool,
    fec: bool,
    concealed: bool,
    silence: bool,
}

impl Kinds {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Audio => self.audio = true,
            Kind::Fec => self.fec = true,
            Kind::Concealed => self.concealed = true,
            Kind::Silence => self.silence = true,
        }
    }
}

impl Output {
    /// Size of the next pull: rate/50, carrying the remainder.
    fn next_frames(&mut self) -> usize {
        let due = self.rate + self.remainder;
        self.remainder = due % 50;
        (due / 50) as usize
    }

    /// Lets `produce` append at the decoder's rate, then resamples.
    fn append(&mut self, produce: impl FnOnce(&mut Fifo)) {
        let Some(resampler) = &mut self.resampler else { return produce(&mut self.ready) };
        produce(&mut self.stage);
        resampler.process(self.stage.as_slice(), &mut self.ready);
        self.stage.clear();
    }

    /// 48 kHz ticks of audio that is decoded but not pulled.
    fn ticks(&self) -> i64 {
        let ready = (self.ready.len() / self.channels) as i64 * i64::from(RTP_RATE) / i64::from(self.rate);
        ready + self.resampler.as_ref().map_or(0, |resampler| resampler.pending() as i64)
    }

    /// Moves `frames` to the application's buffer, converting each sample once. With `shrink`, two such pieces are
    /// merged into one by a cross-fade, which neither clicks nor leaves a hole. Returns the RMS level; with `silent`,
    /// all zeros are level 0.
    fn take<S: Pcm>(&mut self, frames: usize, shrink: bool, silent: bool, to: &mut Vec<S>) -> f32 {
        let samples = frames * self.channels;
        if shrink && self.ready.len() >= 2 * samples {
            let (first, second) = self.ready.as_mut_slice().split_at_mut(samples);
            let second = &mut second[..samples];
            fade(first, self.channels, 1.0, 0.0);
            fade(second, self.channels, 0.0, 1.0);
            for (second, first) in second.iter_mut().zip(first) {
                *second += *first;
            }
            self.ready.consume(samples);
        }
        let piece = &self.ready.as_slice()[..samples.min(self.ready.len())];
        to.clear();
        to.extend(piece.iter().map(|sample| S::from_f32(*sample)));
        let level = if silent && piece.iter().all(|sample| *sample == 0.0) { 0.0 } else { level::rms(piece) };
        let taken = piece.len();
        self.ready.consume(taken);
        level
    }

    fn clear(&mut self) {
        self.ready.clear();
        self.stage.clear();
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }
}
