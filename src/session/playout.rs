//! Media on its way in: a receive buffer per remote track, and one task per call that plays them.
//!
//! Packets are put in on the engine's tasks under a short lock; every 20 ms the task takes one frame
//! of each track that is bound to a participant and hands it to the call's mailbox. With nothing to
//! play the task sleeps. Must not know: rules, sockets, C.

use super::shared::Shared;
use crate::core::model::TrackKind;
use crate::core::RemoteId;
use crate::media::{
    pacer::Pacer,
    receive::{AudioReceiveConfig, AudioReceiver},
};
use crate::rtc::engine::{PacketSink, RtpPacket};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Weak,
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Remote tracks of one call at once.
const MAX_TRACKS: usize = 1_024;
/// Spare sample buffers kept per call.
const MAX_SPARE: usize = 64;

/// How the application wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioOptions {
    pub rate: u32,
    pub channels: u8,
    /// 32-bit float instead of 16-bit integer samples.
    pub float: bool,
    /// Opus packets instead of samples.
    pub opus: bool,
    pub min_delay_ms: u32,
    pub max_delay_ms: u32,
    /// False: nobody listens; what arrives is counted and dropped.
    pub wanted: bool,
}

/// Interleaved samples, or an Opus packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    S16(Vec<i16>),
    F32(Vec<f32>),
    Opus(Bytes),
}

/// 20 ms of one participant.
#[derive(Debug)]
pub struct AudioFrame {
    pub who: Arc<Who>,
    pub samples: Samples,
    pub rate: u32,
    pub channels: u8,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    pub level: f32,
    pub concealed: bool,
    pub silence: bool,
    spare: Weak<Mutex<Vec<Samples>>>,
}

impl Drop for AudioFrame {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.upgrade() {
            let mut spare = spare.lock();
            if spare.len() < MAX_SPARE {
                spare.push(std::mem::replace(&mut self.samples, Samples::S16(Vec::new())));
            }
        }
    }
}

/// Whose media it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Who {
    pub user_id: String,
    pub session_id: String,
    pub kind: TrackKind,
}

/// Sums over all tracks of a call, those that are gone included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReceiveTotals {
    pub lost: u64,
    pub late: u64,
    pub concealed: u64,
    pub fec: u64,
    pub jitter_ms: u32,
}

struct Remote {
    receiver: Mutex<AudioReceiver>,
    who: Mutex<Option<Arc<Who>>>,
    /// Nothing came for a while; the next packet wakes the task.
    idle: AtomicBool,
}

pub(super) struct Playout {
    options: AudioOptions,
    shared: Arc<Shared>,
    remotes: Mutex<HashMap<RemoteId, Arc<Remote>>>,
    next: AtomicU64,
    wake: Notify,
    /// Totals of tracks that are gone.
    gone: Mutex<ReceiveTotals>,
    spare: Arc<Mutex<Vec<Samples>>>,
}

impl std::fmt::Debug for Playout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Playout")
    }
}

struct Sink {
    id: RemoteId,
    remote: Arc<Remote>,
    playout: Arc<Playout>,
    ssrc: Option<u32>,
}

impl PacketSink for Sink {
    fn packet(&mut self, packet: RtpPacket) {
        let media = &self.playout.shared.media;
        media.received.fetch_add(1, Ordering::Relaxed);
        media.bytes_received.fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
        let mut receiver = self.remote.receiver.lock();
        if self.ssrc.replace(packet.ssrc).is_some_and(|ssrc| ssrc != packet.ssrc) {
            receiver.reset();
        }
        receiver.push(packet.sequence, packet.timestamp, packet.payload, self.playout.now());
        drop(receiver);
        if self.remote.idle.swap(false, Ordering::AcqRel) {
            self.playout.wake.notify_one();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.playout.forget(self.id);
    }
}

impl Playout {
    pub fn new(options: AudioOptions, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            options,
            shared,
            remotes: Mutex::default(),
            next: AtomicU64::new(1),
            wake: Notify::new(),
            gone: Mutex::default(),
            spare: Arc::default(),
        })
    }

    fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// A new remote track; not played before it is bound.
    pub fn add(self: &Arc<Self>) -> Option<(RemoteId, Box<dyn PacketSink>)> {
        let receiver = AudioReceiver::new(AudioReceiveConfig {
            rate: self.options.rate,
            channels: self.options.channels,
            min_delay: Duration::from_millis(u64::from(self.options.min_delay_ms)),
            max_delay: Duration::from_millis(u64::from(self.options.max_delay_ms)),
            deliver_opus: self.options.opus,
        })
        .ok()?;
        let mut remotes = self.remotes.lock();
        if remotes.len() >= MAX_TRACKS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let remote =
            Arc::new(Remote { receiver: Mutex::new(receiver), who: Mutex::new(None), idle: AtomicBool::new(true) });
        remotes.insert(id, remote.clone());
        Some((id, Box::new(Sink { id, remote, playout: self.clone(), ssrc: None })))
    }

    pub fn bind(&self, id: RemoteId, who: Who) {
        let remote = self.remotes.lock().get(&id).cloned();
        if let Some(remote) = remote {
            *remote.who.lock() = Some(Arc::new(who));
            remote.idle.store(false, Ordering::Release);
            self.wake.notify_one();
        }
    }

    pub fn unbind(&self, id: RemoteId) {
        if let Some(remote) = self.remotes.lock().get(&id) {
            *remote.who.lock() = None;
        }
    }

    fn forget(&self, id: RemoteId) {
        let remote = self.remotes.lock().remove(&id);
        if let Some(remote) = remote {
            let mut gone = self.gone.lock();
            add(&mut gone, &remote.receiver.lock());
            let totals = *gone;
            drop(gone);
            self.publish_totals(totals);
        }
    }

    fn publish_totals(&self, mut totals: ReceiveTotals) {
        totals.jitter_ms = 0;
        for remote in self.remotes.lock().values() {
            add(&mut totals, &remote.receiver.lock());
        }
        *self.shared.receive.lock() = totals;
    }

    /// Plays until the call is over.
    pub async fn run(self: Arc<Self>) {
        let epoch = self.shared.began;
        let mut bound: Vec<(Arc<Remote>, Arc<Who>)> = Vec::new();
        let mut ticks = 0u64;
        loop {
            self.wake.notified().await;
            let mut pacer = Pacer::new(self.now(), 3);
            loop {
                tokio::time::sleep_until((epoch + pacer.next_tick()).into()).await;
                let due = pacer.poll(self.now());
                for _ in 0..due.ticks {
                    bound.clear();
                    for remote in self.remotes.lock().values() {
                        if !remote.idle.load(Ordering::Acquire) {
                            if let Some(who) = remote.who.lock().clone() {
                                bound.push((remote.clone(), who));
                            }
                        }
                    }
                    for (remote, who) in &bound {
                        self.play(remote, who);
                    }
                    ticks += 1;
                    if ticks.is_multiple_of(25) {
                        let gone = *self.gone.lock();
                        self.publish_totals(gone);
                    }
                }
                if bound.is_empty() {
                    break;
                }
            }
        }
    }

    fn play(&self, remote: &Remote, who: &Arc<Who>) {
        let now = self.now();
        let mut receiver = remote.receiver.lock();
        if receiver.idle(now) {
            remote.idle.store(true, Ordering::Release);
            return;
        }
        let silenced = !self.options.wanted || self.shared.subscriber_closed.load(Ordering::Acquire);
        if self.options.opus {
            while let Some(packet) = receiver.pull_opus(now) {
                if !silenced {
                    self.deliver(
                        who,
                        Samples::Opus(packet.payload),
                        packet.timestamp,
                        0.0,
                        packet.lost_before > 0,
                        false,
                    );
                }
            }
            return;
        }
        let Some(pulled) = receiver.pull(now) else { return };
        if silenced {
            return;
        }
        let spare = self.spare.lock().pop();
        let samples = if self.options.float {
            let mut buffer = if let Some(Samples::F32(buffer)) = spare { buffer } else { Vec::new() };
            buffer.clear();
            buffer.extend_from_slice(pulled.samples_f32);
            Samples::F32(buffer)
        } else {
            let mut buffer = if let Some(Samples::S16(buffer)) = spare { buffer } else { Vec::new() };
            buffer.clear();
            buffer.extend_from_slice(pulled.samples);
            Samples::S16(buffer)
        };
        let (timestamp, level, concealed, silence) = (pulled.timestamp, pulled.level, pulled.concealed, pulled.silence);
        drop(receiver);
        self.deliver(who, samples, timestamp, level, concealed, silence);
    }

    fn deliver(&self, who: &Arc<Who>, samples: Samples, timestamp: u32, level: f32, concealed: bool, silence: bool) {
        let frame = AudioFrame {
            who: who.clone(),
            samples,
            rate: self.options.rate,
            channels: self.options.channels,
            timestamp,
            level,
            concealed,
            silence,
            spare: Arc::downgrade(&self.spare),
        };
        let media = &self.shared.media;
        media.frames_played.fetch_add(1, Ordering::Relaxed);
        if media.first_audio_ms.load(Ordering::Relaxed) == 0 {
            media.first_audio_ms.store(self.shared.ms().max(1), Ordering::Relaxed);
        }
        self.shared.mailbox.post_media(frame);
    }
}

fn add(totals: &mut ReceiveTotals, receiver: &AudioReceiver) {
    let stats = receiver.stats();
    totals.lost += stats.lost;
    totals.late += stats.late;
    totals.concealed += stats.concealed_frames;
    totals.fec += stats.fec_frames;
    totals.jitter_ms = totals.jitter_ms.max(stats.jitter_ms as u32);
}
