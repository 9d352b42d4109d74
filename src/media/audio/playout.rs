//! Playout: decodes the packet that is due, or fills the gap if it is missing.
//!
//! Must not know: the application's rate and frame sizes, who pulls. Gaps made by the sender (DTX, mute) are silence;
//! missing packets are rebuilt from FEC or concealed, fading out.

use std::time::Duration;

use super::{
    delay::{micros, LATE_TOLERANCE_US},
    fifo::Fifo,
    jitter::{JitterBuffer, INEXACT_TICKS},
    level,
    opus::{self, Decoder},
    FRAME_TICKS, RTP_RATE,
};
use crate::media::frame::EncodedFrame;

/// Concealment is played in full for the first 40 ms and has faded out after 100 ms: later it is only a buzz.
const FADE_FROM: i64 = 1_920;
const FADE_TO: i64 = 4_800;

/// Real audio fades in over 5 ms.
const RAMP_TICKS: i64 = 240;

/// Audio below this level is followed by silence instead of concealment when packets stop: until the next packet the
/// sender's DTX cannot be distinguished from loss, but DTX only starts in quiet audio.
const QUIET: f32 = 0.003;

/// When all packets have been late for this long, the path has changed.
const LATE_STREAK_US: i64 = 150_000;

/// This far above the largest allowed delay, audio is skipped at once.
pub(super) const EXCESS_US: i64 = 40_000;

/// State of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No packet yet, or none for a long time.
    Idle,
    /// The first packets have arrived, but are not due yet.
    Waiting,
    Playing,
    /// The sender is silent.
    Gap,
}

/// Source of a piece of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Audio,
    Fec,
    Concealed,
    Silence,
}

/// Playout counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Played {
    pub concealed: u64,
    pub fec: u64,
}

#[derive(Debug)]
pub(super) struct Playout {
    pub jitter: JitterBuffer,
    decoder: Decoder,
    channels: usize,
    pub state: State,
    /// Media time up to which audio has been produced, 48 kHz ticks.
    pub ticks: i64,
    /// RTP timestamp of media time 0 of the stream being played.
    epoch: u32,
    pub played: Played,
    gain: f32,
    /// Ticks concealed in a row.
    concealed_ticks: i64,
    /// Concealed pieces for which it is not known yet whether a packet was lost.
    pending: u64,
    /// Media time at which the gap started.
    gap_start: i64,
    quiet: bool,
    late_since: Option<i64>,
    last_kind: Kind,
    /// Arrival time of the packet that the last piece of audio came from; `None` if it came from none.
    pub arrival: Option<Duration>,
}

impl Playout {
    pub fn new(jitter: JitterBuffer, decoder: Decoder, channels: u8) -> Self {
        Self {
            jitter,
            decoder,
            channels: usize::from(channels),
            state: State::Idle,
            ticks: 0,
            epoch: 0,
            played: Played::default(),
            gain: 0.0,
            concealed_ticks: 0,
            pending: 0,
            gap_start: 0,
            quiet: true,
            late_since: None,
            last_kind: Kind::Silence,
            arrival: None,
        }
    }

    pub fn push(&mut self, frame: EncodedFrame) {
        self.jitter.push(frame);
        if self.state == State::Idle && self.jitter.len() > 0 {
            self.state = State::Waiting;
        }
    }

    /// Resets the stream state, except the counters.
    pub fn reset(&mut self) {
        self.jitter.reset();
        self.forget();
        self.state = State::Idle;
    }

    fn forget(&mut self) {
        // Fails only for a broken decoder, which the next packet reports.
        let _ = self.decoder.reset();
        self.gain = 0.0;
        self.concealed_ticks = 0;
        self.pending = 0;
        self.gap_start = i64::MIN;
        self.quiet = true;
        self.late_since = None;
        self.last_kind = Kind::Silence;
        self.arrival = None;
    }

    pub fn kind(&self) -> Kind {
        self.last_kind
    }

    pub fn rate(&self) -> u32 {
        self.decoder.rate()
    }

    /// RTP timestamp of a media time.
    pub fn timestamp(&self, ticks: i64) -> u32 {
        (ticks as u32).wrapping_add(self.epoch)
    }

    /// Whether the first packet held is due.
    pub fn ready(&self, now_us: i64) -> bool {
        let Some(front) = self.jitter.front() else { return false };
        if now_us >= self.jitter.delay.release_us(front.ticks) {
            return true;
        }
        // Two packets of a new stream are enough to start: a packet still to wait for would lie between them.
        let least = (2 * i64::from(FRAME_TICKS)).max(self.jitter.delay.min_us() * i64::from(RTP_RATE) / 1_000_000);
        self.state == State::Waiting && self.jitter.len() >= 2 && self.jitter.held_ticks() >= least
    }

    /// Appends at least 2.5 ms of the audio due at `now_us`, at the decoder's rate.
    pub fn produce(&mut self, now_us: i64, out: &mut Fifo) -> Kind {
        self.jitter.settle_pause(now_us);
        if self.state != State::Playing && self.ready(now_us) {
            self.begin(now_us);
        }
        self.last_kind = match self.state {
            State::Playing => self.play(now_us, out),
            _ => self.silence(i64::from(FRAME_TICKS), out),
        };
        if self.last_kind != Kind::Audio {
            self.arrival = None;
        }
        self.last_kind
    }

    /// Starts playing at the first packet held.
    fn begin(&mut self, now_us: i64) {
        self.forgive_pause();
        let Some(front) = self.jitter.front() else { return };
        if self.jitter.missing() > 0 || front.ticks < self.gap_start {
            self.played.concealed += self.pending;
        }
        self.pending = 0;
        self.catch_up(now_us);
        let Some(front) = self.jitter.front() else { return };
        self.concealed_ticks = 0;
        self.ticks = front.ticks;
        self.epoch = front.frame.rtp_time.wrapping_sub(front.ticks as u32);
        self.state = State::Playing;
    }

    /// Audio concealed during a pause of the sender replaced no packet.
    fn forgive_pause(&mut self) {
        if self.jitter.take_paused() {
            self.pending = 0;
        }
    }

    /// Discards packets older than the largest delay allows.
    fn catch_up(&mut self, now_us: i64) {
        while let Some(front) = self.jitter.front() {
            let delay = self.jitter.delay.delay_us(now_us, front.ticks);
            if self.jitter.len() < 2 || delay <= self.jitter.delay.max_us() + EXCESS_US {
                return;
            }
            self.jitter.discard_front();
        }
    }

    /// Skips to the audio that is due, after the puller paused or after a burst.
    pub fn jump(&mut self, now_us: i64) {
        while let Some(front) = self.jitter.front() {
            if self.jitter.len() < 2 || now_us <= self.jitter.delay.release_us(front.ticks) {
                break;
            }
            self.jitter.discard_front();
        }
        if let Some(front) = self.jitter.front() {
            self.ticks = front.ticks;
            self.epoch = front.frame.rtp_time.wrapping_sub(front.ticks as u32);
            self.gain = 0.0;
        }
    }

    fn play(&mut self, now_us: i64, out: &mut Fifo) -> Kind {
        loop {
            let Some(front) = self.jitter.front() else { return self.starve(out) };
            let gap = front.ticks.saturating_sub(self.ticks);
            let missing = self.jitter.missing_audio();
            if missing > 0 && gap >= 120 {
                self.jitter.forgive(missing);
                return self.bridge(gap, missing, out);
            }
            if gap >= (front.duration * 3 / 4).clamp(120, INEXACT_TICKS) {
                return self.enter_gap(out);
            }
            if gap > -front.duration {
                return self.decode(out);
            }
            // Its time was filled with something else. It is still played if that does not make the delay too long:
            // this is how the delay grows when packets start to arrive later.
            let delay = self.jitter.delay.delay_us(now_us, front.ticks);
            if delay <= self.jitter.delay.target_us() + LATE_TOLERANCE_US {
                return self.decode(out);
            }
            let since = *self.late_since.get_or_insert(now_us);
            if now_us.saturating_sub(since) >= LATE_STREAK_US {
                let ticks = front.ticks;
                self.late_since = None;
                self.jitter.delay.reset();
                self.jitter.delay.observe(now_us, ticks);
                return self.enter_gap(out);
            }
            self.jitter.drop_late();
        }
    }

    /// Decodes the first packet held.
    fn decode(&mut self, out: &mut Fifo) -> Kind {
        self.forgive_pause();
        let missing = self.jitter.missing();
        let Some(packet) = self.jitter.pop() else { return self.starve(out) };
        if missing > 0 || packet.ticks < self.ticks {
            self.played.concealed += self.pending;
        }
        self.pending = 0;
        self.late_since = None;
        self.ticks = packet.ticks;
        self.epoch = packet.frame.rtp_time.wrapping_sub(packet.ticks as u32);
        self.arrival = Some(packet.frame.arrival);
        if packet.fresh {
            // Fails only for a broken decoder, which the decode call below reports.
            let _ = self.decoder.reset();
        }
        // Size by the duration in the packet: accepted packets are valid Opus.
        let room = self.samples(packet.duration);
        let Ok(frames) = self.decoder.decode(&packet.frame.payload, out.grow(room)) else {
            out.shrink(room);
            self.jitter.counts.discarded += 1;
            self.played.concealed += 1;
            return self.conceal(packet.duration.min(FADE_TO), out);
        };
        out.shrink(room - frames * self.channels);
        self.ticks += packet.duration;
        self.recover(frames, out);
        if opus::is_dtx(&packet.frame.payload) {
            self.quiet = true;
            return Kind::Silence;
        }
        Kind::Audio
    }

    /// After `frames` of real audio: fades them in if there was none before.
    fn recover(&mut self, frames: usize, out: &mut Fifo) {
        let samples = frames * self.channels;
        let start = out.len() - samples;
        let piece = &mut out.as_mut_slice()[start..];
        if self.gain < 1.0 {
            let ramp = self.samples(RAMP_TICKS).min(samples);
            fade(&mut piece[..ramp], self.channels, self.gain, 1.0);
        }
        self.quiet = level::rms(piece) < QUIET;
        self.gain = 1.0;
        self.concealed_ticks = 0;
    }

    /// Packets are missing before the first one held: rebuilds the last of them, conceals the others.
    fn bridge(&mut self, gap: i64, missing: i64, out: &mut Fifo) -> Kind {
        let Some(front) = self.jitter.front() else { return self.starve(out) };
        let duration = front.duration;
        let next_to_it = (gap - duration).abs() < INEXACT_TICKS.min(duration);
        if next_to_it && !front.fresh && opus::has_fec(&front.frame.payload) {
            let room = self.samples(duration);
            if let Ok(frames) = self.decoder.decode_fec(&front.frame.payload, out.grow(room)) {
                out.shrink(room - frames * self.channels);
                self.played.concealed += std::mem::take(&mut self.pending);
                self.played.fec += 1;
                self.ticks += gap;
                self.jitter.give_up_one();
                self.recover(frames, out);
                return Kind::Fec;
            }
            out.shrink(room);
        }
        if self.concealed_ticks >= FADE_TO {
            self.played.concealed += std::mem::take(&mut self.pending);
            return self.enter_gap(out);
        }
        // Up to the packet that FEC can rebuild, in steps of at most 20 ms.
        let until = if gap > duration { gap - duration } else { gap };
        let length = (until.min(i64::from(FRAME_TICKS)) / 120 * 120).max(120);
        let each = (gap / missing).max(1);
        while self.jitter.missing() > (gap - length).max(0) / each {
            self.jitter.give_up_one();
        }
        self.played.concealed += 1 + std::mem::take(&mut self.pending);
        self.conceal(length, out)
    }

    /// No packet is held: late, lost, or the sender has paused.
    fn starve(&mut self, out: &mut Fifo) -> Kind {
        if self.quiet || self.concealed_ticks >= FADE_TO {
            return self.enter_gap(out);
        }
        self.pending += 1;
        self.conceal(i64::from(FRAME_TICKS), out)
    }

    /// Fades out the last audio; then silence until the next packet is due.
    fn enter_gap(&mut self, out: &mut Fifo) -> Kind {
        self.state = State::Gap;
        self.gap_start = self.ticks;
        let length = i64::from(FRAME_TICKS);
        if self.gain == 0.0 {
            return self.silence(length, out);
        }
        let from = self.gain;
        self.extend(length, from, 0.0, out);
        self.ticks += length;
        Kind::Silence
    }

    fn silence(&mut self, length: i64, out: &mut Fifo) -> Kind {
        out.grow(self.samples(length));
        self.ticks = self.ticks.saturating_add(length);
        self.gain = 0.0;
        Kind::Silence
    }

    fn conceal(&mut self, length: i64, out: &mut Fifo) -> Kind {
        let gain = |ticks: i64| 1.0 - ((ticks - FADE_FROM) as f32 / (FADE_TO - FADE_FROM) as f32).clamp(0.0, 1.0);
        let (from, to) = (self.gain, self.gain.min(gain(self.concealed_ticks + length)));
        self.extend(length, from, to, out);
        self.ticks += length;
        self.concealed_ticks += length;
        Kind::Concealed
    }

    /// Adds 20 ms of concealment to quiet audio, which increases the delay.
    pub fn stretch(&mut self, out: &mut Fifo) {
        let gain = self.gain;
        self.extend(i64::from(FRAME_TICKS), gain, gain, out);
    }

    /// Appends the decoder's concealment, with a gain from `from` to `to`.
    fn extend(&mut self, length: i64, from: f32, to: f32, out: &mut Fifo) {
        let samples = self.samples(length);
        let piece = out.grow(samples);
        if self.decoder.conceal(piece).is_err() {
            piece.fill(0.0);
        }
        fade(piece, self.channels, from, to);
        self.gain = to;
    }

    /// Samples of all channels at the decoder's rate in `ticks`.
    fn samples(&self, ticks: i64) -> usize {
        (ticks * i64::from(self.rate()) / i64::from(RTP_RATE)) as usize * self.channels
    }

    /// Whether no packet arrived within `after`.
    pub fn idle(&self, now: Duration, after: Duration) -> bool {
        self.jitter.last_arrival().is_none_or(|last| micros(now).saturating_sub(last) >= micros(after))
    }
}

/// Applies a gain that changes linearly from `from` to `to` over `piece`.
pub(super) fn fade(piece: &mut [f32], channels: usize, from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return;
    }
    let step = (to - from) / (piece.len() / channels).max(1) as f32;
    for (i, frame) in piece.chunks_mut(channels).enumerate() {
        let gain = from + step * i as f32;
        for sample in frame {
            *sample *= gain;
        }
    }
}
