//! `oh_call_stats`: figures of one call.

use super::{
    call::oh_call,
    convert::argument,
    objects::{find, CallObject},
    result::{guard, oh_result},
};
use crate::error::{Code, Error};
use std::mem::offset_of;

/// Figures of one call since oh_call_join. Set `size` before oh_call_get_stats.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct oh_call_stats {
    /// sizeof(oh_call_stats).
    pub size: u32,
    /// Participants known, self included.
    pub participants: u32,
    /// Milliseconds from oh_call_join to JOINED; 0: not yet.
    pub join_ms: u64,
    /// Milliseconds from oh_call_join to the first sound handed over; 0: none yet.
    pub first_audio_ms: u64,
    /// Offers of the SFU dropped because the call was leaving, or the subscriber closed, freed, never
    /// created or of an old generation.
    pub late_offers: u64,
    /// Those of late_offers that came while the call was leaving.
    pub late_offers_leaving: u64,
    /// Other late or stale messages, replies and candidates, dropped.
    pub late_messages: u64,
    /// Messages of the SFU that could not be read, dropped.
    pub malformed_messages: u64,
    /// Messages of kinds that this version does not know, or has no use for.
    pub unknown_messages: u64,
    /// Offers of the SFU that were answered.
    pub offers_answered: u64,
    /// Offers of the SFU that could not be answered.
    pub offers_failed: u64,
    /// Attempts to join, the first included.
    pub join_attempts: u64,
    /// Requests to the SFU.
    pub rpcs: u64,
    /// Requests that were sent again.
    pub rpc_retries: u64,
    /// Events of the kinds error and local_failed.
    pub errors: u64,
    /// ICE candidates that were stale, unreadable or too many.
    pub candidates_dropped: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets of sound that never came.
    pub packets_lost: u64,
    /// Packets of sound that came too late to be played.
    pub packets_late: u64,
    /// Frames of 20 ms (or Opus packets) put out for the application.
    pub frames_played: u64,
    /// Frames invented to hide a loss.
    pub frames_concealed: u64,
    /// Frames restored by forward error correction.
    pub frames_restored: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Frames dropped because the application was too slow to take them.
    pub media_dropped: u64,
    /// Events dropped because the application was too slow to take them.
    pub events_lost: u64,
    /// Variation of arrival times, the greatest of all tracks, ms.
    pub jitter_ms: u32,
    /// Zero.
    pub reserved: u32,
    /// Reconnects that succeeded with a new socket only.
    pub reconnects_fast: u64,
    /// Reconnects that succeeded with a new session.
    pub reconnects_rejoin: u64,
    /// Reconnects that succeeded by going to another edge.
    pub reconnects_migrate: u64,
    /// Attempts to reconnect, failed ones included.
    pub reconnect_attempts: u64,
    /// Further reasons to reconnect that came while a reconnect was under way.
    pub reconnect_triggers_merged: u64,
    /// Packets and texts between participants that were lost, could not be read or put together, or were
    /// more than may wait.
    pub data_dropped: u64,
    /// RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not
    /// supported.
    pub packets_unplayable: u64,
    /// RTP packets that could not be assigned to a track of a participant.
    pub packets_unassigned: u64,
    /// RTP packets of padding only.
    pub packets_padding: u64,
    /// Lost frames that came again in a later packet of redundant audio (RED, RFC 2198), in time to be played.
    pub frames_restored_red: u64,
    /// Milliseconds of audio dropped because a live track was written faster than it is sent, or by
    /// oh_track_clear.
    pub audio_dropped_ms: u64,
    /// Packets and texts of participants that were encrypted end to end, part of data_dropped.
    pub data_encrypted: u64,
    /// What was accepted and could not be sent before the end: packets, texts, custom events and answers.
    pub data_unsent: u64,
    /// Bytes of payload in events that wait for the application now.
    pub event_bytes: u64,
}

/// Reads the figures of a call; works until it is freed, also when it is over.
///
/// @param stats  its `size` must be set; as much as both sides know is filled in.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI when size is too small.
///
/// Any thread.
///
/// # Safety
/// `stats` must be NULL or point to as many writable bytes as its `size` says.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_stats(call: oh_call, stats: *mut oh_call_stats) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        if stats.is_null() {
            return Err(argument("stats must not be NULL"));
        }
        // SAFETY: the size is the first field, readable by the caller's contract.
        let size = unsafe { stats.cast::<u32>().read() } as usize;
        let least = offset_of!(oh_call_stats, packets_unplayable);
        if size < least {
            return Err(Error::new(Code::Abi, format!("oh_call_stats.size is {size}, at least {least} are needed")));
        }
        let s = session.stats();
        let c = s.counters;
        let filled = oh_call_stats {
            size: size.min(size_of::<oh_call_stats>()) as u32,
            participants: s.participants,
            join_ms: s.joined_ms,
            first_audio_ms: s.first_audio_ms,
            late_offers: c.late_offers,
            late_offers_leaving: c.offers_while_leaving,
            late_messages: c.late_other,
            malformed_messages: c.malformed,
            unknown_messages: c.unknown,
            offers_answered: c.offers_answered,
            offers_failed: c.offers_failed,
            join_attempts: c.join_attempts,
            rpcs: c.rpcs,
            rpc_retries: c.rpc_retries,
            errors: c.error_events,
            candidates_dropped: c.candidates_dropped,
            packets_received: s.packets_received,
            bytes_received: s.bytes_received,
            packets_lost: s.packets_lost,
            packets_late: s.packets_late,
            frames_played: s.frames_played,
            frames_concealed: s.frames_concealed,
            frames_restored: s.frames_fec,
            packets_sent: s.packets_sent,
            bytes_sent: s.bytes_sent,
            media_dropped: s.media_dropped,
            events_lost: s.events_lost,
            jitter_ms: s.jitter_ms,
            reserved: 0,
            reconnects_fast: c.reconnects_fast,
            reconnects_rejoin: c.reconnects_rejoin,
            reconnects_migrate: c.reconnects_migrate,
            reconnect_attempts: c.reconnect_attempts,
            reconnect_triggers_merged: c.triggers_merged,
            data_dropped: s.data_dropped,
            packets_unplayable: s.packets_unplayable,
            packets_unassigned: s.packets_unassigned,
            packets_padding: s.packets_padding,
            frames_restored_red: s.frames_red,
            audio_dropped_ms: s.audio_dropped_ms,
            data_encrypted: c.data_encrypted,
            data_unsent: s.data_unsent,
            event_bytes: s.event_bytes,
        };
        let known = size.min(size_of::<oh_call_stats>());
        // SAFETY: `size` bytes are writable by the caller's contract, and no more are written than both sides know.
        unsafe { stats.cast::<u8>().copy_from_nonoverlapping((&raw const filled).cast::<u8>(), known) };
        Ok(())
    })
}
