//! Statistics of one call. Must not know: who counts them, C.

use super::shared::Shared;
use crate::core::{model::Counts, Counters};
use std::sync::atomic::{AtomicU64, Ordering};

/// Statistics of one call at one moment.
#[derive(Clone, Debug, Default)]
pub struct CallStats {
    pub counters: Counters,
    pub participants: u32,
    pub counts: Counts,
    pub joined_ms: u64,
    pub first_audio_ms: u64,
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    /// Of those received: not decodable; of streams without an owner; without payload.
    pub packets_unplayable: u64,
    pub packets_unassigned: u64,
    pub packets_padding: u64,
    pub frames_played: u64,
    pub frames_concealed: u64,
    pub frames_fec: u64,
    pub frames_red: u64,
    pub jitter_ms: u32,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub media_dropped: u64,
    /// Data packets and texts, in both directions, that were lost or could not be reassembled.
    pub data_dropped: u64,
    /// Dropped on live tracks, or cleared.
    pub audio_dropped_ms: u64,
    /// Accepted but not sent before the end, in messages.
    pub data_unsent: u64,
    pub events_lost: u64,
    /// Payload bytes of queued events.
    pub event_bytes: u64,
}

impl Shared {
    pub fn stats(&self) -> CallStats {
        let status = self.status.lock();
        let (counters, counts, participants) = (status.counters, status.counts, status.participants);
        drop(status);
        let media = &self.media;
        let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let receive = *self.receive.lock();
        let queue = self.mailbox.counts();
        CallStats {
            counters,
            counts,
            participants: u32::try_from(participants).unwrap_or(u32::MAX),
            joined_ms: load(&media.joined_ms),
            first_audio_ms: load(&media.first_audio_ms),
            packets_received: load(&media.received),
            bytes_received: load(&media.bytes_received),
            packets_lost: receive.lost,
            packets_late: receive.late,
            packets_unplayable: load(&media.unplayable),
            packets_unassigned: load(&media.unassigned),
            packets_padding: load(&media.padding),
            frames_played: load(&media.frames_played),
            frames_concealed: receive.concealed_frames,
            frames_fec: receive.fec_frames,
            frames_red: receive.restored,
            jitter_ms: receive.jitter_ms as u32,
            packets_sent: load(&media.sent),
            bytes_sent: load(&media.bytes_sent),
            data_dropped: counters.data_dropped + load(&self.data_lost) + self.outbox.dropped(),
            audio_dropped_ms: {
                let tracks = self.tracks.lock();
                load(&self.audio.dropped_ms) + tracks.values().map(|t| t.dropped_ms()).sum::<u64>()
            },
            data_unsent: self.unsent.lock().messages(),
            media_dropped: queue.media_dropped,
            events_lost: queue.control_lost,
            event_bytes: queue.bytes_waiting as u64,
        }
    }
}
