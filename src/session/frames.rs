//! Received audio as the application gets it, and its options. Must not know: where it comes from.

use crate::core::model::TrackKind;
use crate::media::{audio::receive::ReceiveStats, clock::NtpTime};
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::{atomic::AtomicU64, Arc, OnceLock, Weak};
use std::time::Duration;

/// Spare sample buffers kept per call.
const MAX_SPARE: usize = 64;

/// How the application wants to receive audio.
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
    /// False: received audio is counted and dropped.
    pub wanted: bool,
}

/// Interleaved samples, or an Opus packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    S16(Vec<i16>),
    F32(Vec<f32>),
    Opus(Bytes),
}

impl Samples {
    /// No samples, of this form.
    pub(super) fn none(float: bool) -> Self {
        match float {
            true => Samples::F32(Vec::new()),
            false => Samples::S16(Vec::new()),
        }
    }

    /// Whether it has the form of [`Samples::none`].
    pub(super) fn same_form(&self, float: bool) -> bool {
        matches!((self, float), (Samples::F32(_), true) | (Samples::S16(_), false))
    }

    /// Bytes that they occupy.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Samples::S16(samples) => samples.capacity() * size_of::<i16>(),
            Samples::F32(samples) => samples.capacity() * size_of::<f32>(),
            Samples::Opus(packet) => packet.len(),
        }
    }
}

/// 20 ms of one participant's audio.
#[derive(Debug)]
pub struct AudioFrame {
    pub who: Arc<Who>,
    pub samples: Samples,
    pub rate: u32,
    pub channels: u8,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// Capture time, by the clock common to all tracks of the sender; `None`: the sender has not reported it.
    pub capture_time: Option<NtpTime>,
    /// When the packet with its first sample arrived, since the call began; `None`: in no packet (concealed, silence).
    /// By the same clock as [`Notice::at_ms`](super::Notice::at_ms).
    pub arrival: Option<Duration>,
    pub level: f32,
    pub concealed: bool,
    pub silence: bool,
    pub(super) spare: Weak<Mutex<Vec<Samples>>>,
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

/// The participant and track that media belongs to.
pub struct Who {
    pub user_id: String,
    pub session_id: String,
    /// The SFU's track id, empty without one.
    pub track_id: String,
    /// The source of the track.
    pub kind: TrackKind,
    /// Number among the remote tracks of the call: unique, the same over mutes and reconnects; 0: none.
    pub track: u64,
    /// Counters over all its streams.
    pub(super) figures: Arc<TrackFigures>,
    /// Derived from the names by the layer above, once.
    beside: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Who {
    pub fn new(user_id: String, session_id: String, track_id: String, kind: TrackKind) -> Self {
        let (track, figures) = (0, Arc::default());
        Self { user_id, session_id, track_id, kind, track, figures, beside: OnceLock::new() }
    }

    /// Continues the counters of its track.
    pub(super) fn counted(self, figures: Arc<TrackFigures>) -> Self {
        Self { track: figures.number, figures, ..self }
    }

    /// The value that `make` returned at the first call, kept as long as this lives; `None`: it has another type.
    pub fn beside<T: Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.beside.get_or_init(|| Box::new(make(self))).downcast_ref()
    }
}

/// Counters of one remote track, over all its streams and mutes.
#[derive(Debug, Default)]
pub(super) struct TrackFigures {
    /// See [`Who::track`].
    pub number: u64,
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    pub padding: AtomicU64,
    pub unplayable: AtomicU64,
    pub frames_played: AtomicU64,
    /// Of players that have ended.
    pub past: Mutex<ReceiveStats>,
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Who");
        text.field("user_id", &self.user_id).field("session_id", &self.session_id);
        text.field("track_id", &self.track_id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
