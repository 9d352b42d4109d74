//! Forwards one published track to its subscribers.
//!
//! Never blocks. If a subscriber does not keep up, its packets are dropped and counted.

use crate::media::{keyframe::is_keyframe, levels::Meter, publisher};
use parking_lot::{Mutex, RwLock};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed},
        Arc,
    },
    time::Instant,
};
use str0m::{format::PayloadParams, media::MediaKind, rtp::RtpPacket};
use tokio::sync::mpsc;

/// No simulcast layer has been chosen yet.
pub const NO_LAYER: u8 = u8::MAX;
/// Layers of one simulcast track.
pub const MAX_LAYERS: usize = 3;
/// A layer without packets for this long is considered inactive.
const LAYER_ALIVE_MS: u64 = 1000;

/// One RTP packet queued for one subscriber. Small, because the payload is shared.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// The subscriber's stream that it belongs to.
    pub sub: u64,
    /// Identifies the incoming stream. Numbering is continuous within one stream.
    pub source: u64,
    pub layer: u8,
    pub keyframe: bool,
    pub seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub format: PayloadParams,
    /// Redundant audio (RFC 2198). The current frame is its last block.
    pub red: bool,
    pub audio_level: Option<i8>,
    pub voice: Option<bool>,
    pub payload: Arc<[u8]>,
    pub at: Instant,
}

/// One subscriber of one track.
#[derive(Debug)]
pub struct Sub {
    pub id: u64,
    pub media: mpsc::Sender<MediaPacket>,
    /// The simulcast layer being forwarded.
    pub current: AtomicU8,
    /// The layer to switch to at its next key frame.
    pub target: AtomicU8,
    /// The layer that matches the subscribed size.
    pub requested_layer: AtomicU8,
    /// Packets dropped because the subscriber's queue was full.
    pub dropped: Arc<AtomicU64>,
}

/// A request for a key frame of one layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerKeyframe {
    pub route: u64,
    pub layer: u8,
}

/// One published track with its subscribers.
#[derive(Debug)]
pub struct Route {
    pub id: u64,
    pub kind: MediaKind,
    subs: RwLock<Vec<Arc<Sub>>>,
    /// The peer connection whose packets are forwarded. The newest wins, so that a migration does not duplicate the
    /// stream.
    source: AtomicU64,
    gated: AtomicBool,
    meter: Mutex<Meter>,
    seen: [AtomicU64; MAX_LAYERS],
    simulcast: AtomicBool,
    keyframe_tx: Mutex<Option<mpsc::WeakSender<publisher::Command>>>,
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    epoch: Instant,
}

impl Route {
    pub fn new(id: u64, kind: MediaKind) -> Self {
        Route {
            id,
            kind,
            subs: RwLock::default(),
            source: AtomicU64::new(0),
            gated: AtomicBool::new(false),
            meter: Mutex::default(),
            seen: Default::default(),
            simulcast: AtomicBool::new(false),
            keyframe_tx: Mutex::new(None),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    /// Forwards one packet of `layer` from the peer connection `source`. Sources are numbered in order of creation.
    pub fn forward(&self, source: u64, layer: Option<u8>, packet: &RtpPacket, format: PayloadParams) {
        let newest = self.source.fetch_max(source, Relaxed).max(source);
        if newest != source || self.gated.load(Relaxed) {
            return;
        }
        let now = packet.timestamp;
        self.packets.fetch_add(1, Relaxed);
        self.bytes.fetch_add(packet.payload.len() as u64, Relaxed);
        let values = &packet.header.ext_vals;
        let mut keyframe = false;
        if self.kind == MediaKind::Audio {
            self.meter.lock().packet(now, packet.payload.len(), values.audio_level, values.voice_activity);
        } else {
            keyframe = is_keyframe(format.spec().codec, &packet.payload);
            let at = layer.unwrap_or(0) as usize;
            self.seen[at.min(MAX_LAYERS - 1)].store(self.millis(now), Relaxed);
            if layer.is_some() {
                self.simulcast.store(true, Relaxed);
            }
        }
        let layer = layer.unwrap_or(0);
        for sub in self.subs.read().iter() {
            if self.simulcast.load(Relaxed) {
                let (current, target) = (sub.current.load(Relaxed), sub.target.load(Relaxed));
                if layer != current && layer != target {
                    continue;
                }
            }
            let copy = MediaPacket {
                sub: sub.id,
                source: source << 2 | u64::from(layer),
                layer,
                keyframe,
                seq: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                format,
                red: format.red() == Some(packet.header.payload_type),
                audio_level: values.audio_level,
                voice: values.voice_activity,
                payload: packet.payload.clone(),
                at: now,
            };
            if sub.media.try_send(copy).is_err() {
                sub.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// True if the publisher sends several layers.
    pub fn is_simulcast(&self) -> bool {
        self.simulcast.load(Relaxed)
    }

    pub fn add(&self, sub: Arc<Sub>) {
        self.subs.write().push(sub);
        self.retarget(Instant::now());
    }

    pub fn remove(&self, sub: u64) {
        self.subs.write().retain(|s| s.id != sub);
    }

    pub fn subscribers(&self) -> usize {
        self.subs.read().len()
    }

    /// Stops or resumes forwarding, regardless of what the publisher sends.
    pub fn gate(&self, gated: bool) {
        self.gated.store(gated, Relaxed);
    }

    /// Resets the newest peer connection after one has ended. The next one that sends becomes the source.
    pub fn forget_source(&self) {
        self.source.store(0, Relaxed);
    }

    pub fn meter(&self) -> parking_lot::MutexGuard<'_, Meter> {
        self.meter.lock()
    }

    /// Sets the publisher queue that receives key frame requests from now on.
    pub fn set_keyframe_tx(&self, keyframe_tx: mpsc::WeakSender<publisher::Command>) {
        *self.keyframe_tx.lock() = Some(keyframe_tx);
    }

    pub fn request_keyframe(&self, layer: u8) {
        if self.kind == MediaKind::Video {
            if let Some(keyframe_tx) = self.keyframe_tx.lock().as_ref().and_then(mpsc::WeakSender::upgrade) {
                // If the publisher's queue is full, the request is repeated later.
                let _ = keyframe_tx.try_send(publisher::Command::Keyframe(LayerKeyframe { route: self.id, layer }));
            }
        }
    }

    /// Chooses each subscriber's layer from the active layers, and requests the key frame needed for the switch.
    pub fn retarget(&self, now: Instant) {
        if !self.is_simulcast() {
            return;
        }
        let now = self.millis(now);
        let alive = |l: u8| {
            let seen = self.seen[l as usize].load(Relaxed);
            seen != 0 && now.saturating_sub(seen) < LAYER_ALIVE_MS
        };
        for sub in self.subs.read().iter() {
            let requested = sub.requested_layer.load(Relaxed).min(MAX_LAYERS as u8 - 1);
            let best =
                (0..=requested).rev().find(|l| alive(*l)).or_else(|| (requested..MAX_LAYERS as u8).find(|l| alive(*l)));
            if let Some(layer) = best {
                sub.target.store(layer, Relaxed);
                if sub.current.load(Relaxed) != layer {
                    self.request_keyframe(layer);
                }
            }
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64 + 1
    }
}
