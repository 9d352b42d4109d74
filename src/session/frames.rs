//! What an application is handed of received audio, and how it wants it. Must not know: where it comes from.

use crate::core::model::TrackKind;
use crate::media::clock::NtpTime;
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

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

impl Samples {
    /// No samples, of this form.
    pub(super) fn none(float: bool) -> Self {
        match float {
            true => Samples::F32(Vec::new()),
            false => Samples::S16(Vec::new()),
        }
    }

    /// Whether they are what [`Samples::none`] would be, or were once.
    pub(super) fn same_form(&self, float: bool) -> bool {
        matches!((self, float), (Samples::F32(_), true) | (Samples::S16(_), false))
    }

    /// What they occupy.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Samples::S16(samples) => samples.capacity() * size_of::<i16>(),
            Samples::F32(samples) => samples.capacity() * size_of::<f32>(),
            Samples::Opus(packet) => packet.len(),
        }
    }
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
    /// When it was captured, by the clock that its sender has for all its tracks; `None`: it has not said so.
    pub capture_time: Option<NtpTime>,
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

/// Whose media it is.
pub struct Who {
    pub user_id: String,
    pub session_id: String,
    /// The SFU's name of the track, empty without any.
    pub track_id: String,
    pub kind: TrackKind,
    /// What the layer above makes of the names, once.
    beside: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Who {
    pub fn new(user_id: String, session_id: String, track_id: String, kind: TrackKind) -> Self {
        Self { user_id, session_id, track_id, kind, beside: OnceLock::new() }
    }

    /// What `make` has made of it the first time, for as long as this lives; `None`: it was another type.
    pub fn beside<T: Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.beside.get_or_init(|| Box::new(make(self))).downcast_ref()
    }
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Who");
        text.field("user_id", &self.user_id).field("session_id", &self.session_id);
        text.field("track_id", &self.track_id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
