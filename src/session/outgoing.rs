//! A track on its way out: the application writes at its pace, the pacer sends at ours.
//!
//! One small task per track that is on the air, no thread. Must not know: rules, sockets, C.

use super::shared::Shared;
use crate::core::{model::Generation, AudioOffer, TrackId};
use crate::error::{Code, Error, Result};
use crate::media::{
    opus::{self, EncoderConfig},
    pacer::Pacer,
    send::{AudioInput, AudioPacket, AudioSendConfig, AudioSender},
};
use crate::rtc::engine::RtpWriter;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

/// What is sent and how.
#[derive(Clone, Debug)]
pub struct TrackOptions {
    pub input: AudioInput,
    pub encoder: EncoderConfig,
    /// How much may be written ahead, in ms.
    pub buffer_ms: u32,
    pub music: bool,
    pub muted: bool,
}

#[derive(Debug)]
struct State {
    sender: AudioSender,
    /// The engine's end, once negotiated.
    on_air: bool,
    stopped: bool,
}

#[derive(Clone)]
struct Writer {
    generation: Generation,
    /// Negotiated: packets may flow.
    live: bool,
    rtp: Arc<dyn RtpWriter>,
}

/// One published track. Any thread may write; a write is a copy under a short lock.
pub struct Outgoing {
    id: TrackId,
    options: TrackOptions,
    state: Mutex<State>,
    /// Room was made, or the track stopped.
    changed: Condvar,
    /// One per peer connection that carries the track: while a migration lasts, two.
    writers: Mutex<Vec<Writer>>,
    /// By the application.
    muted: AtomicBool,
    /// By a moderator. Apart: the two are set by different threads, and neither undoes the other.
    moderated: AtomicBool,
    pacing: AtomicBool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub(super) fn new(id: TrackId, options: TrackOptions, seed: u64) -> Result<Self> {
        let sender = AudioSender::new(AudioSendConfig {
            input: options.input,
            encoder: options.encoder,
            capacity_ms: options.buffer_ms,
            seed,
        })?;
        let muted = options.muted;
        Ok(Self {
            id,
            options,
            state: Mutex::new(State { sender, on_air: false, stopped: false }),
            changed: Condvar::new(),
            writers: Mutex::default(),
            muted: AtomicBool::new(muted),
            moderated: AtomicBool::new(false),
            pacing: AtomicBool::new(false),
        })
    }

    pub fn id(&self) -> TrackId {
        self.id
    }

    /// How it is offered to the SFU.
    pub(super) fn offer(&self) -> AudioOffer {
        let stereo = self.options.encoder.channels == 2;
        AudioOffer {
            stereo,
            dtx: self.options.encoder.dtx,
            music: self.options.music,
            muted: self.muted.load(Ordering::Relaxed),
        }
    }

    pub fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed) || self.moderated.load(Ordering::Relaxed)
    }

    pub(super) fn set_muted(&self, muted: bool) {
        self.set(&self.muted, muted);
    }

    pub(super) fn set_moderated(&self, muted: bool) {
        self.set(&self.moderated, muted);
    }

    fn set(&self, which: &AtomicBool, muted: bool) {
        // Under the lock: what is written after this returns is of the new state.
        let mut state = self.state.lock();
        which.store(muted, Ordering::Relaxed);
        state.sender.set_muted(self.is_muted());
        drop(state);
        self.changed.notify_all();
    }

    /// As the call's settings allow it, and never against the application's wish.
    pub(super) fn set_dtx(&self, dtx: bool) {
        self.state.lock().sender.set_dtx(dtx && self.options.encoder.dtx);
    }

    /// A peer connection of that generation carries the track, once it is on the air.
    pub(super) fn add_writer(&self, generation: Generation, rtp: Arc<dyn RtpWriter>) {
        let mut writers = self.writers.lock();
        writers.retain(|w| w.generation != generation);
        writers.push(Writer { generation, live: false, rtp });
    }

    pub(super) fn remove_writer(&self, generation: Generation) {
        self.writers.lock().retain(|w| w.generation != generation);
    }

    /// Whether packets flow (negotiated and not stopped).
    pub fn is_on_air(&self) -> bool {
        let state = self.state.lock();
        state.on_air && !state.stopped
    }

    /// Ends the track: what is written is discarded, waiters wake.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
        self.writers.lock().clear();
    }

    fn write<T>(&self, write: impl FnOnce(&mut AudioSender) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(Error::new(Code::Closed, "track: it was stopped, or its call is over"));
        }
        write(&mut state.sender)
    }

    /// Writes interleaved samples at the track's rate: all or nothing, never waits.
    ///
    /// # Errors
    /// `Full` when there is no room for all; `Argument` for a number of samples that is no multiple
    /// of the channels; `State` on a track of Opus frames; `Closed` after the end.
    pub fn write_s16(&self, samples: &[i16]) -> Result<()> {
        self.check_pcm(samples.len())?;
        self.write(|sender| sender.write_s16(samples).map_err(Error::from))
    }

    /// As [`Self::write_s16`], samples from -1.0 to 1.0.
    pub fn write_f32(&self, samples: &[f32]) -> Result<()> {
        self.check_pcm(samples.len())?;
        self.write(|sender| sender.write_f32(samples).map_err(Error::from))
    }

    /// Writes one Opus packet of the application's own encoder.
    pub fn write_opus(&self, packet: &[u8]) -> Result<()> {
        if self.options.input != AudioInput::Opus {
            return Err(Error::new(Code::State, "track: it takes PCM; publish with the format Opus for packets"));
        }
        let Some(duration) = opus::duration(packet) else {
            return Err(Error::new(Code::Argument, "track: this is not an Opus packet (RFC 6716)"));
        };
        self.write(|sender| sender.write_opus(Bytes::copy_from_slice(packet), duration))
    }

    fn check_pcm(&self, samples: usize) -> Result<()> {
        match self.options.input {
            AudioInput::Pcm { channels, .. } if samples.is_multiple_of(usize::from(channels.max(1))) => Ok(()),
            AudioInput::Pcm { .. } => {
                Err(Error::new(Code::Argument, "track: the samples are no multiple of the track's channels"))
            }
            AudioInput::Opus => Err(Error::new(Code::State, "track: it takes Opus packets, not PCM")),
        }
    }

    pub fn channels(&self) -> u8 {
        match self.options.input {
            AudioInput::Pcm { channels, .. } => channels,
            AudioInput::Opus => 0,
        }
    }

    /// Waits until `frames` frames (or, of Opus, packets) can be written.
    ///
    /// # Errors
    /// `Timeout`; `Closed` after the end; `Argument` when so many never fit.
    pub fn wait_room(&self, frames: usize, timeout: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        if frames > state.sender.capacity_frames() {
            return Err(Error::new(
                Code::Argument,
                format!("track: its buffer holds {} frames at most", state.sender.capacity_frames()),
            ));
        }
        loop {
            if state.stopped {
                return Err(Error::new(Code::Closed, "track: it was stopped, or its call is over"));
            }
            if state.sender.room_frames() >= frames {
                return Ok(());
            }
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            if timed_out && state.sender.room_frames() < frames && !state.stopped {
                return Err(Error::new(Code::Timeout, "track: no room within the time given"));
            }
        }
    }

    /// What waits to be sent, in ms.
    pub fn buffered_ms(&self) -> u32 {
        self.state.lock().sender.buffered_ms()
    }

    /// Negotiated, or not any more. True when the pacer must be started now.
    pub(super) fn set_on_air(&self, on: bool) -> bool {
        for writer in self.writers.lock().iter_mut() {
            writer.live = on;
        }
        let mut state = self.state.lock();
        state.on_air = on;
        if !on {
            state.stopped = true;
            drop(state);
            self.changed.notify_all();
            return false;
        }
        !state.stopped && !self.pacing.swap(true, Ordering::AcqRel)
    }

    fn next(&self, skipped: u64) -> Option<Option<AudioPacket>> {
        let muted = self.is_muted();
        let mut state = self.state.lock();
        if state.stopped {
            return None;
        }
        if skipped > 0 {
            state.sender.skip(skipped);
        }
        let packet = state.sender.next_packet(muted);
        drop(state);
        self.changed.notify_all();
        Some(packet)
    }

    fn next_extra(&self) -> Option<AudioPacket> {
        let mut state = self.state.lock();
        if state.stopped {
            return None;
        }
        state.sender.extra_packet()
    }

    /// Without a connection the packet is gone: what is said then is not said later.
    async fn send(&self, packet: AudioPacket, shared: &Shared) {
        let level = packet.has_level.then_some(packet.level_dbov);
        let bytes = packet.payload.len() as u64;
        for index in 0.. {
            let writer = match self.writers.lock().get(index) {
                Some(Writer { live: true, rtp, .. }) => rtp.clone(),
                Some(_) => continue,
                None => break,
            };
            let payload = packet.payload.clone();
            match writer.write(packet.sequence, packet.timestamp, packet.marker, level, payload).await {
                Ok(()) => {
                    shared.media.sent.fetch_add(1, Ordering::Relaxed);
                    shared.media.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
                }
                Err(_) => {
                    shared.media.send_failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Sends until the track is stopped; every 20 ms by our clock, however the caller writes.
    pub(super) async fn pace(self: Arc<Self>, shared: Arc<Shared>) {
        let epoch = tokio::time::Instant::now();
        let mut pacer = Pacer::new(Duration::ZERO, 3);
        loop {
            tokio::time::sleep_until(epoch + pacer.next_tick()).await;
            let due = pacer.poll(epoch.elapsed());
            let mut skipped = due.skipped;
            for _ in 0..due.ticks {
                let Some(packet) = self.next(std::mem::take(&mut skipped)) else { return };
                if let Some(packet) = packet {
                    self.send(packet, &shared).await;
                }
                while let Some(packet) = self.next_extra() {
                    self.send(packet, &shared).await;
                }
            }
        }
    }
}
