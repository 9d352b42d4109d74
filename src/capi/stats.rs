//! `oh_call_stats`: statistics of a call.

use super::{
    call::oh_call,
    objects::{find, CallObject},
    result::{guard, oh_result},
    sized::{sized, write},
};
use crate::session::Call;

/// Statistics of a call, counted since oh_call_join. Begin with OH_INIT(oh_call_stats).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct oh_call_stats {
    /// sizeof(oh_call_stats); afterwards the bytes that were filled in, which are fewer when the library is older than
    /// this header.
    pub size: usize,
    /// Participants that the server lists, the local one included; 0 before the join and after the end.
    pub participants: u32,
    /// Variation of arrival times (jitter), the greatest of all received tracks, in ms.
    pub jitter_ms: u32,
    /// Milliseconds from oh_call_join to OH_STATE_JOINED; 0: not yet.
    pub join_ms: u64,
    /// Milliseconds from oh_call_join to the first audio delivered; 0: none yet.
    pub first_audio_ms: u64,
    /// Offers of the SFU dropped because the call was leaving, or the subscriber was closed, freed, never created or
    /// replaced.
    pub late_offers: u64,
    /// Those of late_offers that came while the call was leaving.
    pub late_offers_leaving: u64,
    /// Other late or stale messages, replies and candidates, dropped.
    pub late_messages: u64,
    /// Messages of the SFU that could not be parsed, dropped.
    pub malformed_messages: u64,
    /// Messages of kinds that this version does not know, or does not use.
    pub unknown_messages: u64,
    /// Offers of the SFU that were answered.
    pub offers_answered: u64,
    /// Offers of the SFU that could not be answered.
    pub offers_failed: u64,
    /// Attempts to join, the first one included.
    pub join_attempts: u64,
    /// Requests to the SFU.
    pub sfu_requests: u64,
    /// Requests to the SFU that were sent again.
    pub sfu_request_retries: u64,
    /// OH_EVENT_ERROR and OH_EVENT_LOCAL_TRACK_FAILED, those of custom events not included.
    pub error_events: u64,
    /// ICE candidates that were stale, malformed or too many, dropped.
    pub candidates_dropped: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// Bytes of the payloads of packets_received.
    pub bytes_received: u64,
    /// Audio packets that never arrived.
    pub packets_lost: u64,
    /// Audio packets that arrived too late to be played.
    pub packets_late: u64,
    /// RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not
    /// supported.
    pub packets_unplayable: u64,
    /// RTP packets that could not be assigned to a track of a participant.
    pub packets_unassigned: u64,
    /// RTP packets with padding only.
    pub packets_padding: u64,
    /// Audio frames (20 ms, or one Opus packet) put out for the application.
    pub frames_played: u64,
    /// Audio frames synthesised by packet-loss concealment in place of lost or late packets. Fewer than the frames with
    /// oh_audio_frame.concealed: at the beginning of a pause no packet is missing.
    pub frames_concealed: u64,
    /// Lost audio frames recovered by forward error correction.
    pub frames_recovered_fec: u64,
    /// Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played.
    pub frames_recovered_red: u64,
    /// Audio frames dropped because the application did not take them in time.
    pub audio_frames_dropped: u64,
    /// Events dropped because the application did not take them in time.
    pub events_dropped: u64,
    /// Bytes of payload in events that wait for the application now.
    pub queued_event_bytes: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Bytes of the payloads of packets_sent.
    pub bytes_sent: u64,
    /// Milliseconds of audio dropped because a live track was written faster than it is sent, or by oh_track_clear.
    pub audio_dropped_ms: u64,
    /// Reconnects that succeeded with a new socket only.
    pub reconnects_fast: u64,
    /// Reconnects that succeeded with a new session.
    pub reconnects_rejoin: u64,
    /// Reconnects that succeeded by moving to another edge.
    pub reconnects_migrate: u64,
    /// Attempts to reconnect, failed ones included.
    pub reconnect_attempts: u64,
    /// Further reasons to reconnect during a reconnect.
    pub reconnect_triggers_merged: u64,
    /// Packets and texts between participants that were lost, malformed, never completed, or more than can wait.
    pub data_dropped: u64,
    /// Packets and texts of participants that were encrypted end to end, part of data_dropped.
    pub data_encrypted: u64,
    /// Packets, texts, custom events and answers that were accepted and not sent before the end.
    pub data_unsent: u64,
}

sized!(oh_call_stats to data_unsent);

/// Gets the statistics of a call. Works until it is freed, also after its end.
///
/// @param stats  its `size` must be set; filled in as far as header and library both know it.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
///
/// Any thread.
///
/// # Safety
/// `stats` must be NULL or point to as many writable bytes as its `size` says.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_stats(call: oh_call, stats: *mut oh_call_stats) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        unsafe { write(stats, || Ok(stats_of(&session))) }
    })
}

fn stats_of(session: &Call) -> oh_call_stats {
    let s = session.stats();
    let c = s.counters;
    oh_call_stats {
        size: size_of::<oh_call_stats>(),
        participants: s.participants,
        jitter_ms: s.jitter_ms,
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
        sfu_requests: c.rpcs,
        sfu_request_retries: c.rpc_retries,
        error_events: c.error_events,
        candidates_dropped: c.candidates_dropped,
        packets_received: s.packets_received,
        bytes_received: s.bytes_received,
        packets_lost: s.packets_lost,
        packets_late: s.packets_late,
        packets_unplayable: s.packets_unplayable,
        packets_unassigned: s.packets_unassigned,
        packets_padding: s.packets_padding,
        frames_played: s.frames_played,
        frames_concealed: s.frames_concealed,
        frames_recovered_fec: s.frames_fec,
        frames_recovered_red: s.frames_red,
        audio_frames_dropped: s.media_dropped,
        events_dropped: s.events_lost,
        queued_event_bytes: s.event_bytes,
        packets_sent: s.packets_sent,
        bytes_sent: s.bytes_sent,
        audio_dropped_ms: s.audio_dropped_ms,
        reconnects_fast: c.reconnects_fast,
        reconnects_rejoin: c.reconnects_rejoin,
        reconnects_migrate: c.reconnects_migrate,
        reconnect_attempts: c.reconnect_attempts,
        reconnect_triggers_merged: c.triggers_merged,
        data_dropped: s.data_dropped,
        data_encrypted: c.data_encrypted,
        data_unsent: s.data_unsent,
    }
}
