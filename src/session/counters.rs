//! Counters of a call that media tasks update. Must not know: who counts, who reads them.

use std::sync::atomic::AtomicU64;

/// Counters that media tasks update without a lock.
#[derive(Debug, Default)]
pub(super) struct MediaCounters {
    pub received: AtomicU64,
    pub bytes_received: AtomicU64,
    pub padding: AtomicU64,
    pub unplayable: AtomicU64,
    pub unassigned: AtomicU64,
    pub sent: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub send_failed: AtomicU64,
    pub frames_played: AtomicU64,
    pub joined_ms: AtomicU64,
    pub first_audio_ms: AtomicU64,
}
