//! A local track: the application writes at its own pace, a task sends in real time.
//!
//! A write is a copy under a short lock. The task takes the due frames from the track's [`FrameSource`], sleeps until
//! its next deadline, and passes each frame through the call's transform and the packetizer to every peer connection
//! that carries the track. Encoding happens in the task, without the lock. Must not know: rules, sockets, C.

use super::counters::MediaCounters;
use crate::core::{
    model::{Generation, TrackKind},
    AudioOffer, TrackId,
};
use crate::error::{Code, Error, Result};
use crate::media::{
    audio::{
        opus::{self, EncoderConfig},
        send::{AudioCoder, AudioFormat, AudioInput, AudioSendConfig, Reach},
        RTP_RATE,
    },
    frame::{EncodedFrame, FrameSource, TrackFeedback},
    rtp::{
        first_numbers,
        pacer::TICK,
        packetize::{OnePacketEach, Packetizer},
    },
    transform::{FrameTransform, Identity},
};
use crate::rtc::engine::{RtpOut, RtpSender};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Options of a local track.
#[derive(Clone, Debug)]
pub struct TrackOptions {
    /// A microphone ([`TrackKind::Audio`]) or a shared screen.
    pub source: TrackKind,
    pub input: AudioFormat,
    pub encoder: EncoderConfig,
    /// How much may be written ahead, in ms.
    pub buffer_ms: u32,
    /// Live audio: little is buffered, and the oldest is dropped for newer audio.
    pub live: bool,
    pub music: bool,
    /// Earlier frames sent along with each packet, 0 to [`crate::media::audio::red::MAX_EARLIER`].
    pub red: u8,
    pub muted: bool,
}

#[cfg(test)]
impl TrackOptions {
    /// A microphone without RED, with a buffer for a second.
    pub(super) fn of(input: AudioFormat) -> Self {
        Self {
            source: TrackKind::Audio,
            input,
            encoder: EncoderConfig::default(),
            buffer_ms: 1_000,
            live: false,
            music: false,
            red: 0,
            muted: false,
        }
    }
}

/// Time for receivers to play the last audio before they are notified that the track has ended: they then drop buffered
/// audio.
const PLAYOUT_TIME: Duration = Duration::from_millis(200);
/// Feedback that may be queued for the pacing task; beyond it the oldest is dropped.
const MAX_FEEDBACK: usize = 32;
/// Poll interval while waiting for a buffer to drain.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Statistics of one local track at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalTrackStats {
    pub track: TrackId,
    pub source: TrackKind,
    /// Negotiated, and not ended.
    pub published: bool,
    /// By the application or a moderator.
    pub muted: bool,
    pub moderated: bool,
    /// RTP packets handed to the network, over all connections, and the bytes of their payloads.
    pub packets_sent: u64,
    pub bytes_sent: u64,
    /// Packets and frames that could not be sent.
    pub send_failed: u64,
    /// Of the written audio: sent, buffered, dropped because it came too fast or was cleared, and not sent before the
    /// end.
    pub sent_ms: u64,
    pub buffered_ms: u32,
    pub dropped_ms: u64,
    pub unsent_ms: u64,
    /// The newest report of its receiver.
    pub report: Option<ReceiverReport>,
}

/// A receiver's report about a track (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReceiverReport {
    /// Time since its arrival.
    pub age: Duration,
    /// Fraction of packets lost since the previous report, 0.0 to 1.0.
    pub fraction_lost: f32,
    /// Packets lost since the beginning; negative when more arrived than were sent.
    pub total_lost: i64,
    pub jitter_ms: f32,
    pub round_trip_ms: Option<f32>,
}

/// Counters of the pacing task for one track.
#[derive(Debug, Default)]
struct Sent {
    packets: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

/// Sums over all ended tracks of a call.
#[derive(Debug, Default)]
pub(super) struct AudioTotals {
    pub unsent_ms: AtomicU64,
    pub dropped_ms: AtomicU64,
}

#[derive(Debug)]
struct State {
    input: AudioInput,
    /// The engine sends it: set once negotiated.
    published: bool,
    /// No more audio is accepted; the buffered audio is still sent.
    finished: bool,
    stopped: bool,
    /// A connection has carried it.
    connected_once: bool,
    /// A frame was taken and is not handed to the network yet.
    sending: bool,
    sent_at: Option<Instant>,
    /// Not sent before the end.
    unsent_ms: u32,
}

impl State {
    /// Whether nothing is left to hand to the network.
    fn is_drained(&self) -> bool {
        self.stopped || self.input.is_drained() && !self.sending
    }

    fn is_being_played(&self) -> bool {
        self.sent_at.is_some_and(|at| at.elapsed() < PLAYOUT_TIME)
    }
}

#[derive(Clone)]
struct Writer {
    generation: Generation,
    /// Negotiated: packets may flow.
    live: bool,
    rtp: Arc<dyn RtpSender>,
}

impl Writer {
    /// Whether packets reach the network.
    fn is_open(&self) -> bool {
        self.live && self.rtp.is_open()
    }
}

/// One published track. Any thread may write; a write is a copy under a short lock.
pub struct Outgoing {
    id: TrackId,
    options: TrackOptions,
    state: Mutex<State>,
    /// Notified when room was made or the track stopped.
    changed: Condvar,
    /// One per peer connection that carries the track; two during a migration.
    writers: Mutex<Vec<Writer>>,
    /// By the application.
    muted: AtomicBool,
    /// By a moderator. Separate: different threads set the two, and neither undoes the other.
    moderated: AtomicBool,
    /// Counts the mutes by a moderator and their ends.
    moderation: AtomicU64,
    pacing: AtomicBool,
    /// Taken over by the pacing task when it begins.
    outlet: Mutex<Option<Outlet>>,
    wake: Arc<Wake>,
    totals: Arc<AudioTotals>,
    sent: Sent,
}

struct Outlet {
    coder: AudioCoder,
    way: Way,
}

/// Wakes the pacing task before its next deadline.
#[derive(Default)]
struct Wake {
    /// Something changed.
    changed: Notify,
    /// Queued feedback of the receivers, the oldest first.
    queued_feedback: Mutex<VecDeque<TrackFeedback>>,
    /// The newest report, and its arrival time.
    report: Mutex<Option<(Instant, TrackFeedback)>>,
}

/// The path of outgoing frames.
struct Way {
    transform: Box<dyn FrameTransform>,
    packetizer: Box<dyn Packetizer>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub(super) fn new(id: TrackId, options: TrackOptions, seed: u64, totals: Arc<AudioTotals>) -> Result<Self> {
        let config = AudioSendConfig {
            input: options.input,
            encoder: options.encoder,
            capacity_ms: options.buffer_ms,
            live: options.live,
            seed,
        };
        let mut input = AudioInput::new(&config)?;
        input.set_muted(options.muted);
        let packetizer = Box::new(OnePacketEach::new(first_numbers(seed).0));
        let way = Way { transform: Box::new(Identity), packetizer };
        let outlet = Outlet { coder: AudioCoder::new(&config)?, way };
        let muted = options.muted;
        Ok(Self {
            id,
            options,
            state: Mutex::new(State {
                input,
                published: false,
                finished: false,
                stopped: false,
                connected_once: false,
                sending: false,
                sent_at: None,
                unsent_ms: 0,
            }),
            changed: Condvar::new(),
            writers: Mutex::default(),
            muted: AtomicBool::new(muted),
            moderated: AtomicBool::new(false),
            moderation: AtomicU64::new(0),
            pacing: AtomicBool::new(false),
            outlet: Mutex::new(Some(outlet)),
            wake: Arc::default(),
            totals,
            sent: Sent::default(),
        })
    }

    /// Passes every frame through `transform`; call before the track is published.
    #[must_use]
    pub(super) fn transformed(self, transform: Box<dyn FrameTransform>) -> Self {
        if let Some(outlet) = &mut *self.outlet.lock() {
            outlet.way.transform = transform;
        }
        self
    }

    pub fn id(&self) -> TrackId {
        self.id
    }

    pub fn source(&self) -> TrackKind {
        self.options.source
    }

    /// Whether no more audio is accepted: it was freed, or has ended.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.state.lock();
        state.finished || state.stopped
    }

    /// How it is offered to the SFU.
    pub(super) fn offer(&self) -> AudioOffer {
        let stereo = self.options.encoder.channels == 2;
        AudioOffer {
            source: self.options.source,
            stereo,
            dtx: self.options.encoder.dtx,
            red: self.options.red,
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
        // Before the flag: a lift between the two then finds another mute.
        self.moderation.fetch_add(1, Ordering::Relaxed);
        self.set(&self.moderated, muted);
    }

    /// Identifies the moderator's mute in force.
    pub(super) fn moderation(&self) -> u64 {
        self.moderation.load(Ordering::Relaxed)
    }

    /// Ends that mute; another one stays.
    pub(super) fn lift(&self, mute: u64) {
        let mut state = self.state.lock();
        if self.moderation() == mute {
            self.moderated.store(false, Ordering::Relaxed);
            state.input.set_muted(self.is_muted());
        }
        drop(state);
        self.changed.notify_all();
    }

    fn set(&self, which: &AtomicBool, muted: bool) {
        // Under the lock: audio written after this returns has the new state.
        let mut state = self.state.lock();
        which.store(muted, Ordering::Relaxed);
        state.input.set_muted(self.is_muted());
        drop(state);
        self.changed.notify_all();
    }

    /// Sets DTX as the call's settings allow it, and only if the application enabled it.
    pub(super) fn set_dtx(&self, dtx: bool) {
        self.state.lock().input.set_dtx(dtx && self.options.encoder.dtx);
    }

    /// Adds the sender of that generation's peer connection; it carries the track once it is published.
    pub(super) fn add_writer(&self, generation: Generation, rtp: Arc<dyn RtpSender>) {
        let wake = self.wake.clone();
        rtp.set_feedback_handler(Arc::new(move |feedback| {
            if matches!(feedback, TrackFeedback::Report { .. }) {
                *wake.report.lock() = Some((Instant::now(), feedback));
            }
            let mut queued_feedback = wake.queued_feedback.lock();
            if queued_feedback.len() >= MAX_FEEDBACK {
                queued_feedback.pop_front();
            }
            queued_feedback.push_back(feedback);
            drop(queued_feedback);
            wake.changed.notify_one();
        }));
        let mut writers = self.writers.lock();
        writers.retain(|w| w.generation != generation);
        writers.push(Writer { generation, live: false, rtp });
    }

    pub(super) fn remove_writer(&self, generation: Generation) {
        self.writers.lock().retain(|w| w.generation != generation);
    }

    /// Whether packets flow (negotiated and not stopped).
    pub fn is_published(&self) -> bool {
        let state = self.state.lock();
        state.published && !state.stopped
    }

    /// Ends the track: unsent audio is counted and discarded, waiters wake up.
    pub(super) fn stop(&self) {
        self.end(&mut self.state.lock());
        self.wake_waiters();
        self.writers.lock().clear();
    }

    fn end(&self, state: &mut State) {
        if std::mem::replace(&mut state.stopped, true) {
            return;
        }
        let add = |to: &AtomicU64, ms: u64| {
            to.fetch_add(ms, Ordering::Relaxed);
        };
        add(&self.totals.dropped_ms, state.input.dropped_ms());
        // Muted audio was not to be sent.
        if !state.input.is_drained() {
            state.unsent_ms = state.input.buffered_ms();
            add(&self.totals.unsent_ms, u64::from(state.unsent_ms));
        }
    }

    /// No more is written: the buffered audio is sent to its last sample.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        state.input.finish();
        drop(state);
        self.changed.notify_all();
    }

    /// Whether everything written is sent, and had time to be played.
    pub(super) fn is_played_out(&self) -> bool {
        let state = self.state.lock();
        state.stopped || state.is_drained() && !state.is_being_played()
    }

    /// Waits for that, at most `within`.
    pub(super) async fn wait_played(self: Arc<Self>, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        while !self.is_played_out() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Drops the audio written and not sent. Returns the ms sent since the beginning and the ms dropped.
    ///
    /// # Errors
    /// `Closed` after the end.
    pub fn clear(&self) -> Result<(u64, u32)> {
        let mut state = self.state.lock();
        if state.stopped || state.finished {
            return Err(ended_error());
        }
        let dropped = state.input.clear();
        let sent = state.input.sent_ms();
        drop(state);
        self.changed.notify_all();
        Ok((sent, dropped))
    }

    /// Waits until everything written is handed to the network.
    ///
    /// # Errors
    /// `Timeout`; `Closed` after the end.
    pub fn drain(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Err(ended_error());
            }
            if state.is_drained() {
                return Ok(());
            }
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            if timed_out && !state.is_drained() {
                let left = state.input.buffered_ms();
                let text = format!("track: {left} ms of audio still buffered after {} ms", timeout.as_millis());
                return Err(Error::new(Code::Timeout, text));
            }
        }
    }

    /// Statistics of this track; also after it has ended.
    pub fn stats(&self) -> LocalTrackStats {
        let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let report = *self.wake.report.lock();
        let state = self.state.lock();
        LocalTrackStats {
            track: self.id,
            source: self.options.source,
            published: state.published && !state.stopped,
            muted: self.is_muted(),
            moderated: self.moderated.load(Ordering::Relaxed),
            packets_sent: load(&self.sent.packets),
            bytes_sent: load(&self.sent.bytes),
            send_failed: load(&self.sent.failed),
            sent_ms: state.input.sent_ms(),
            buffered_ms: if state.stopped { 0 } else { state.input.buffered_ms() },
            dropped_ms: state.input.dropped_ms(),
            unsent_ms: u64::from(state.unsent_ms),
            report: report.and_then(|(at, feedback)| receiver_report(at.elapsed(), feedback)),
        }
    }

    /// Milliseconds dropped on this track until it ends; then they are in the call's totals.
    pub(super) fn dropped_ms(&self) -> u64 {
        let state = self.state.lock();
        if state.stopped {
            0
        } else {
            state.input.dropped_ms()
        }
    }

    fn write<T>(&self, write: impl FnOnce(&mut AudioInput) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        if state.stopped || state.finished {
            return Err(ended_error());
        }
        write(&mut state.input)
    }

    /// Writes interleaved samples at the track's rate: all or nothing, never waits.
    ///
    /// # Errors
    /// `Full` when there is no room for all; `Argument` for a number of samples that is no multiple
    /// of the channels; `State` on a track of Opus frames; `Closed` after the end.
    pub fn write_s16(&self, samples: &[i16]) -> Result<()> {
        self.check_pcm(samples.len())?;
        self.write(|input| input.write_s16(samples).map_err(Error::from))
    }

    /// As [`Self::write_s16`], samples from -1.0 to 1.0.
    pub fn write_f32(&self, samples: &[f32]) -> Result<()> {
        self.check_pcm(samples.len())?;
        self.write(|input| input.write_f32(samples).map_err(Error::from))
    }

    /// Writes one Opus packet of the application's own encoder.
    pub fn write_opus(&self, packet: &[u8]) -> Result<()> {
        if self.options.input != AudioFormat::Opus {
            return Err(Error::new(
                Code::State,
                "track: it accepts PCM; publish with the Opus format to write packets",
            ));
        }
        let Some(duration) = opus::duration(packet) else {
            return Err(Error::new(Code::Argument, "track: this is not an Opus packet (RFC 6716)"));
        };
        let packet = Bytes::copy_from_slice(packet);
        let is_next = self.write(|input| {
            let before = input.opus_due();
            input.write_opus(packet, duration)?;
            Ok(before.is_none() || input.opus_due() != before)
        })?;
        // Behind other packets it waits for their deadlines, which the task has.
        if is_next {
            self.wake.changed.notify_one();
        }
        Ok(())
    }

    fn check_pcm(&self, samples: usize) -> Result<()> {
        match self.options.input {
            AudioFormat::Pcm { channels, .. } if samples.is_multiple_of(usize::from(channels.max(1))) => Ok(()),
            AudioFormat::Pcm { .. } => {
                Err(Error::new(Code::Argument, "track: the samples are no multiple of the track's channels"))
            }
            AudioFormat::Opus => Err(Error::new(Code::State, "track: it accepts Opus packets, not PCM")),
        }
    }

    pub fn channels(&self) -> u8 {
        match self.options.input {
            AudioFormat::Pcm { channels, .. } => channels,
            AudioFormat::Opus => 0,
        }
    }

    /// Waits until `frames` frames (for Opus, packets) can be written.
    ///
    /// # Errors
    /// `Timeout`; `Closed` after the end; `Argument` when that many never fit.
    pub fn wait_room(&self, frames: usize, timeout: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        if frames > state.input.capacity_frames() {
            return Err(Error::new(
                Code::Argument,
                format!("track: its buffer holds {} frames at most", state.input.capacity_frames()),
            ));
        }
        loop {
            if state.stopped || state.finished {
                return Err(ended_error());
            }
            if state.input.room_frames() >= frames {
                return Ok(());
            }
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            if timed_out && state.input.room_frames() < frames && !state.stopped {
                return Err(Error::new(Code::Timeout, "track: timed out waiting for buffer space"));
            }
        }
    }

    /// Buffered audio, in ms.
    pub fn buffered_ms(&self) -> u32 {
        self.state.lock().input.buffered_ms()
    }

    /// Sets whether the track is negotiated. True when the pacing task must be started now.
    pub(super) fn set_published(&self, on: bool) -> bool {
        for writer in self.writers.lock().iter_mut() {
            writer.live = on;
        }
        let mut state = self.state.lock();
        state.published = on;
        if !on {
            self.end(&mut state);
            drop(state);
            self.wake_waiters();
            return false;
        }
        // Buffered audio may have a connection now.
        self.wake.changed.notify_one();
        !state.stopped && !self.pacing.swap(true, Ordering::AcqRel)
    }

    /// A peer connection is connected: buffered audio may be sent now.
    pub(super) fn connected(&self) {
        self.wake.changed.notify_one();
    }

    /// Wakes the track's waiters and the pacing task.
    fn wake_waiters(&self) {
        self.changed.notify_all();
        self.wake.changed.notify_one();
    }

    /// How to handle the frames that are due.
    fn turn(&self) -> Turn {
        let (has_way, repeated) = {
            let writers = self.writers.lock();
            let mut open = writers.iter().filter(|writer| writer.is_open()).peekable();
            (open.peek().is_some(), open.all(|writer| writer.rtp.is_redundant()))
        };
        let mut state = self.state.lock();
        state.connected_once |= has_way;
        state.input.set_repeated(repeated);
        if state.stopped {
            Turn::Ended
        } else if !has_way && state.finished {
            // The buffered rest must still be sent: it waits for the reconnect.
            Turn::Wait(Some(LOOK_AGAIN))
        } else if !has_way && !state.connected_once {
            // Nothing is lost before the first connection.
            Turn::Wait((!state.input.is_drained()).then_some(TICK))
        } else {
            Turn::Send
        }
    }

    /// The taken frame is handed to the network.
    fn handed_over(&self) {
        if std::mem::take(&mut self.state.lock().sending) {
            self.changed.notify_all();
        }
    }

    /// Sends the frames that are due; returns when there is more to do, if known.
    fn send_due(&self, source: &mut impl FrameSource, way: &mut Way, now: Duration, media: &MediaCounters) -> Next {
        let queued_feedback = std::mem::take(&mut *self.wake.queued_feedback.lock());
        queued_feedback.into_iter().for_each(|feedback| source.feedback(feedback));
        loop {
            match self.turn() {
                Turn::Ended => return Next::Ended,
                Turn::Wait(again) => {
                    source.pass(now);
                    return Next::At(again.map(|again| now + again));
                }
                Turn::Send => {}
            }
            let Some(frame) = source.poll(now) else { return Next::At(source.deadline()) };
            self.send(frame, way, media);
            self.handed_over();
        }
    }

    /// Without a connection the frame is dropped, not sent later.
    fn send(&self, mut frame: EncodedFrame, way: &mut Way, media: &MediaCounters) {
        let count = |call: &AtomicU64, track: &AtomicU64, by: u64| {
            call.fetch_add(by, Ordering::Relaxed);
            track.fetch_add(by, Ordering::Relaxed);
        };
        let Sent { packets, bytes: sent, failed } = &self.sent;
        if way.transform.transform(&mut frame).is_err() {
            return count(&media.send_failed, failed, 1);
        }
        way.packetizer.packetize(frame, &mut |packet: RtpOut| {
            let bytes = packet.payload.len() as u64;
            let mut open = false;
            // The newest connection first: receivers use it from now on.
            for writer in self.writers.lock().iter().rev().filter(|writer| writer.is_open()) {
                open = true;
                match writer.rtp.send(packet.clone()) {
                    Ok(()) => {
                        count(&media.sent, packets, 1);
                        count(&media.bytes_sent, sent, bytes);
                    }
                    Err(_) => count(&media.send_failed, failed, 1),
                }
            }
            if !open {
                count(&media.send_failed, failed, 1);
            }
        });
    }

    /// Sends until the track is stopped; each frame when it is due by the library's clock, however the caller writes.
    pub(super) async fn pace(self: Arc<Self>, media: Arc<MediaCounters>) {
        let Some(Outlet { coder, mut way }) = self.outlet.lock().take() else { return };
        let mut source = coder.with(self.clone());
        let epoch = tokio::time::Instant::now();
        // One timer for all deadlines.
        let timer = tokio::time::sleep_until(epoch);
        tokio::pin!(timer);
        while let Next::At(deadline) = self.send_due(&mut source, &mut way, epoch.elapsed(), &media) {
            if let Some(deadline) = deadline {
                timer.as_mut().reset(epoch + deadline);
            }
            tokio::select! {
                biased;
                () = timer.as_mut(), if deadline.is_some() => {}
                () = self.wake.changed.notified() => {}
            }
        }
    }
}

/// Converts a report to units that need no RTP clock.
fn receiver_report(age: Duration, feedback: TrackFeedback) -> Option<ReceiverReport> {
    let TrackFeedback::Report { fraction_lost, total_lost, jitter, round_trip } = feedback else { return None };
    Some(ReceiverReport {
        age,
        fraction_lost: f32::from(fraction_lost) / 256.0,
        total_lost: i64::from(total_lost),
        jitter_ms: jitter as f32 / (RTP_RATE / 1_000) as f32,
        round_trip_ms: round_trip.map(|trip| trip.as_secs_f32() * 1_000.0),
    })
}

/// The next step of the pacing task.
enum Turn {
    Send,
    /// Without a connection: checked again after this time, else after the next write.
    Wait(Option<Duration>),
    Ended,
}

/// When there is more to send; `None`: after the next write.
enum Next {
    At(Option<Duration>),
    Ended,
}

impl Reach for Arc<Outgoing> {
    fn reach<T>(&self, look: impl FnOnce(&mut AudioInput) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.input.frames();
        let found = look(&mut state.input);
        if state.input.frames() != before {
            (state.sending, state.sent_at) = (true, Some(Instant::now()));
        }
        drop(state);
        self.changed.notify_all();
        found
    }
}

fn ended_error() -> Error {
    Error::new(Code::Closed, "track: it was stopped, or its call has ended")
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
