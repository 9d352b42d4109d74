//! Statistics of local and remote tracks.

use super::{
    basic::oh_bool,
    convert::{optional, required},
    objects::{find, owner, SubscriberObject, TrackObject},
    people::{oh_track_source, oh_track_source_t},
    result::{guard, oh_result},
    sized::{sized, write},
    subscriber::oh_subscriber,
    track::oh_track,
};
use crate::error::{Code, Error};
use crate::session::{LocalTrackStats, RemoteTrackStats};
use std::ffi::c_char;

/// Statistics of a local track, counted since it was published. Begin with OH_INIT(oh_track_stats).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_track_stats {
    /// sizeof(oh_track_stats); afterwards the bytes that were filled in.
    pub size: usize,
    /// RTP packets sent, over all connections.
    pub packets_sent: u64,
    /// Bytes of the payloads of packets_sent.
    pub bytes_sent: u64,
    /// Packets and frames that could not be sent, those of a time without a connection included.
    pub packets_failed: u64,
    /// Milliseconds of what was written that were taken for sending: also what was discarded without a connection, and
    /// silence that DTX left out.
    pub sent_ms: u64,
    /// Milliseconds dropped because a live track was written faster than it is sent, or by oh_track_clear.
    pub dropped_ms: u64,
    /// Milliseconds that were not sent before the end of the track.
    pub unsent_ms: u64,
    /// Packets that the receiver reports as lost, since the beginning; negative when it received duplicates.
    pub reported_lost: i64,
    /// Age of the receiver's report in ms.
    pub report_age_ms: u64,
    /// Milliseconds that were written and not sent yet.
    pub buffered_ms: u32,
    /// What the track carries.
    pub source: oh_track_source_t,
    /// It is published: packets can be sent.
    pub published: oh_bool,
    /// It is muted, by the application or a moderator.
    pub muted: oh_bool,
    /// A moderator muted it.
    pub moderated: oh_bool,
    /// The receiver has sent a report (RFC 3550 section 6.4.1); else the members that begin with `reported_` are 0.
    pub has_report: oh_bool,
    /// Share of packets lost since the report before, 0.0 to 1.0.
    pub reported_fraction_lost: f32,
    /// Variation of arrival times (jitter) at the receiver, in ms.
    pub reported_jitter_ms: f32,
    /// Round-trip time to the receiver in ms; 0: not measured.
    pub reported_round_trip_ms: f32,
    /// Zero.
    pub reserved: u32,
}

/// Statistics of a remote track, over mutes and reconnects. Begin with OH_INIT(oh_remote_track_stats).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_remote_track_stats {
    /// sizeof(oh_remote_track_stats); afterwards the bytes that were filled in.
    pub size: usize,
    /// RTP packets received.
    pub packets_received: u64,
    /// Bytes of the payloads of packets_received.
    pub bytes_received: u64,
    /// Packets that never arrived.
    pub packets_lost: u64,
    /// Packets that arrived too late to be played.
    pub packets_late: u64,
    /// Packets that arrived more than once.
    pub packets_duplicate: u64,
    /// Packets dropped as malformed, or because too many were waiting.
    pub packets_discarded: u64,
    /// Packets with padding only.
    pub packets_padding: u64,
    /// Packets that could not be decoded.
    pub packets_unplayable: u64,
    /// Audio frames (20 ms, or one Opus packet) put out for the application.
    pub frames_played: u64,
    /// Audio frames synthesised by packet-loss concealment in place of lost or late packets.
    pub frames_concealed: u64,
    /// Lost audio frames recovered by forward error correction.
    pub frames_recovered_fec: u64,
    /// Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played.
    pub frames_recovered_red: u64,
    /// Variation of arrival times (jitter), in ms (RFC 3550 section 6.4.1).
    pub jitter_ms: f32,
    /// Audio that waits in the jitter buffer, in ms.
    pub buffered_ms: f32,
    /// Delay of the jitter buffer now, in ms.
    pub delay_ms: f32,
    /// Delay that the jitter buffer aims at, in ms.
    pub target_delay_ms: f32,
    /// What the track carries.
    pub source: oh_track_source_t,
    /// A stream carries it now.
    pub received: oh_bool,
}

sized!(oh_track_stats to reserved, oh_remote_track_stats to received);

/// Gets the statistics of a local track. Works until it is freed, also after its end.
///
/// @param stats  its `size` must be set; filled in as far as header and library both know it.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `stats` must be NULL or point to as many writable bytes as its `size` says.
#[no_mangle]
pub unsafe extern "C" fn oh_track_get_stats(track: oh_track, stats: *mut oh_track_stats) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        unsafe { write(stats, || Ok(local(&object.track.stats()))) }
    })
}

fn local(s: &LocalTrackStats) -> oh_track_stats {
    let report = s.report.as_ref();
    oh_track_stats {
        size: size_of::<oh_track_stats>(),
        packets_sent: s.packets_sent,
        bytes_sent: s.bytes_sent,
        packets_failed: s.send_failed,
        sent_ms: s.sent_ms,
        dropped_ms: s.dropped_ms,
        unsent_ms: s.unsent_ms,
        reported_lost: report.map_or(0, |r| r.total_lost),
        report_age_ms: report.map_or(0, |r| u64::try_from(r.age.as_millis()).unwrap_or(u64::MAX)),
        buffered_ms: s.buffered_ms,
        source: oh_track_source::from(s.source) as i32,
        published: s.published.into(),
        muted: s.muted.into(),
        moderated: s.moderated.into(),
        has_report: report.is_some().into(),
        reported_fraction_lost: report.map_or(0.0, |r| r.fraction_lost),
        reported_jitter_ms: report.map_or(0.0, |r| r.jitter_ms),
        reported_round_trip_ms: report.and_then(|r| r.round_trip_ms).unwrap_or(0.0),
        reserved: 0,
    }
}

/// Gets the statistics of a remote track. Works also after the end of the call.
///
/// @param session_id  the session id of its participant.
/// @param track_id    of oh_track_info; NULL or "" in protocols without track ids: the track with that source.
/// @param source      what the track carries; ignored with a track_id.
/// @param stats       its `size` must be set; filled in as far as header and library both know it.
/// @return            OH_OK; OH_ERR_EMPTY when no packet of such a track was received, or the track ended (without track ids: its participant left);
///                    OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
///
/// Any thread, callbacks included.
///
/// # Safety
/// The texts must be NULL or NUL-terminated strings; `stats` must be NULL or point to as many writable bytes as its
/// `size` says.
#[no_mangle]
pub unsafe extern "C" fn oh_subscriber_get_track_stats(
    subscriber: oh_subscriber,
    session_id: *const c_char,
    track_id: *const c_char,
    source: oh_track_source_t,
    stats: *mut oh_remote_track_stats,
) -> oh_result {
    guard(|| {
        let object = find::<SubscriberObject>(subscriber.id)?;
        let session = owner(&object.call)?.call()?.clone();
        // SAFETY: by the caller's contract, here and below.
        let (session_id, track_id) = unsafe { (required(session_id, "session_id")?, optional(track_id, "track_id")?) };
        let is_it = |stats: &&RemoteTrackStats| {
            stats.who.as_ref().is_some_and(|who| {
                who.session_id == session_id
                    && match &track_id {
                        Some(id) => who.track_id == *id,
                        None => oh_track_source::from(who.kind) as i32 == source,
                    }
            })
        };
        unsafe {
            write(stats, || {
                let all = session.remote_track_stats();
                // The newest, where one came after the other.
                all.iter().rev().find(is_it).map(remote).ok_or_else(|| {
                    Error::new(Code::Empty, "oh_subscriber_get_track_stats: nothing of such a track was received")
                })
            })
        }
    })
}

fn remote(s: &RemoteTrackStats) -> oh_remote_track_stats {
    let r = &s.receive;
    let source = s.who.as_ref().map_or(oh_track_source::OH_SOURCE_UNKNOWN, |who| who.kind.into());
    oh_remote_track_stats {
        size: size_of::<oh_remote_track_stats>(),
        packets_received: s.packets_received,
        bytes_received: s.bytes_received,
        packets_lost: r.lost,
        packets_late: r.late,
        packets_duplicate: r.duplicates,
        packets_discarded: r.discarded,
        packets_padding: s.packets_padding,
        packets_unplayable: s.packets_unplayable,
        frames_played: s.frames_played,
        frames_concealed: r.concealed_frames,
        frames_recovered_fec: r.fec_frames,
        frames_recovered_red: r.restored,
        jitter_ms: r.jitter_ms,
        buffered_ms: r.buffer_ms,
        delay_ms: r.delay_ms,
        target_delay_ms: r.target_ms,
        source: source as i32,
        received: s.received.into(),
    }
}
