// stats.hpp - statistics of calls, local tracks and remote tracks. What an older library does not count is 0.
#ifndef OFFHOOK_STATS_HPP
#define OFFHOOK_STATS_HPP

#include "constants.hpp"
#include "result.hpp"

#include <cstdint>

namespace offhook {

/// Statistics of a call, counted since client::join (oh_call_stats).
struct call_stats {
    std::uint32_t participants = 0;              ///< that are known, the local one included
    std::uint32_t jitter_ms = 0;                 ///< variation of arrival times, the greatest of all received tracks
    std::uint64_t join_ms = 0;                   ///< from client::join to call_state::joined; 0: not yet
    std::uint64_t first_audio_ms = 0;            ///< from client::join to the first audio delivered; 0: none yet
    std::uint64_t late_offers = 0;               ///< offers dropped: the call was leaving, or the subscriber was closed or replaced
    std::uint64_t late_offers_leaving = 0;       ///< those of late_offers that came while the call was leaving
    std::uint64_t late_messages = 0;             ///< other late or stale messages, replies and candidates, dropped
    std::uint64_t malformed_messages = 0;        ///< messages that could not be parsed, dropped
    std::uint64_t unknown_messages = 0;          ///< messages of kinds that this version does not know or use
    std::uint64_t offers_answered = 0;           ///< offers of the SFU that were answered
    std::uint64_t offers_failed = 0;             ///< offers of the SFU that could not be answered
    std::uint64_t join_attempts = 0;             ///< the first one included
    std::uint64_t sfu_requests = 0;              ///< requests to the SFU
    std::uint64_t sfu_request_retries = 0;       ///< requests to the SFU that were sent again
    std::uint64_t error_events = 0;              ///< events::error and events::local_track_failed
    std::uint64_t candidates_dropped = 0;        ///< ICE candidates that were stale, malformed or too many
    std::uint64_t packets_received = 0;          ///< RTP packets received
    std::uint64_t bytes_received = 0;            ///< bytes of packets_received
    std::uint64_t packets_lost = 0;              ///< audio packets that never arrived
    std::uint64_t packets_late = 0;              ///< audio packets that arrived too late to be played
    std::uint64_t packets_unplayable = 0;        ///< RTP packets that could not be decoded
    std::uint64_t packets_unassigned = 0;        ///< RTP packets that could not be assigned to a track
    std::uint64_t packets_padding = 0;           ///< RTP packets with padding only
    std::uint64_t frames_played = 0;             ///< audio frames put out for the application
    std::uint64_t frames_concealed = 0;          ///< audio frames synthesised by packet-loss concealment
    std::uint64_t frames_recovered_fec = 0;      ///< lost audio frames recovered by forward error correction
    std::uint64_t frames_recovered_red = 0;      ///< lost audio frames recovered from redundant audio (RED)
    std::uint64_t audio_frames_dropped = 0;      ///< audio frames that the application did not take in time
    std::uint64_t events_dropped = 0;            ///< events that the application did not take in time
    std::uint64_t queued_event_bytes = 0;        ///< bytes of payload in events that wait for the application now
    std::uint64_t packets_sent = 0;              ///< RTP packets sent
    std::uint64_t bytes_sent = 0;                ///< bytes of packets_sent
    std::uint64_t audio_dropped_ms = 0;          ///< audio dropped by a live track that was written too fast, or by track_ref::clear
    std::uint64_t reconnects_fast = 0;           ///< reconnects that succeeded with a new socket only
    std::uint64_t reconnects_rejoin = 0;         ///< reconnects that succeeded with a new session
    std::uint64_t reconnects_migrate = 0;        ///< reconnects that succeeded by moving to another edge
    std::uint64_t reconnect_attempts = 0;        ///< failed ones included
    std::uint64_t reconnect_triggers_merged = 0; ///< further reasons to reconnect during a reconnect
    std::uint64_t data_dropped = 0;              ///< packets and texts that were lost, malformed, never completed, or more than can wait
    std::uint64_t data_encrypted = 0;            ///< packets and texts encrypted end to end, part of data_dropped
    std::uint64_t data_unsent = 0;               ///< packets, texts, custom events and answers that were accepted and not sent
};

/// Statistics of a local track, counted since it was published (oh_track_stats).
struct track_stats {
    std::uint64_t packets_sent = 0;              ///< RTP packets sent, over all connections
    std::uint64_t bytes_sent = 0;                ///< bytes of the payloads of packets_sent
    std::uint64_t packets_failed = 0;            ///< packets and frames that could not be sent
    std::uint64_t sent_ms = 0;                   ///< how much of what was written was sent
    std::uint64_t dropped_ms = 0;                ///< dropped because a live track was written too fast, or by track_ref::clear
    std::uint64_t unsent_ms = 0;                 ///< not sent before the end of the track
    std::int64_t reported_lost = 0;              ///< packets that the receiver reports as lost; negative when it received duplicates
    std::uint64_t report_age_ms = 0;             ///< age of the receiver's report
    std::uint32_t buffered_ms = 0;               ///< written and not sent yet
    track_source source = track_source::unknown; ///< what the track carries
    bool published = false;                      ///< packets can be sent
    bool muted = false;                          ///< by the program or a moderator
    bool moderated = false;                      ///< a moderator muted it
    bool has_report = false;                     ///< the receiver has sent a report; else the members that begin with reported_ are 0
    float reported_fraction_lost = 0;            ///< share of packets lost since the report before, 0.0 to 1.0
    float reported_jitter_ms = 0;                ///< variation of arrival times (jitter) at the receiver
    float reported_round_trip_ms = 0;            ///< round-trip time to the receiver; 0: not measured
};

/// Statistics of a remote track, over mutes and reconnects (oh_remote_track_stats).
struct remote_track_stats {
    std::uint64_t packets_received = 0;          ///< RTP packets received
    std::uint64_t bytes_received = 0;            ///< bytes of the payloads of packets_received
    std::uint64_t packets_lost = 0;              ///< never arrived
    std::uint64_t packets_late = 0;              ///< arrived too late to be played
    std::uint64_t packets_duplicate = 0;         ///< arrived more than once
    std::uint64_t packets_discarded = 0;         ///< dropped as malformed, or because too many were waiting
    std::uint64_t packets_padding = 0;           ///< with padding only
    std::uint64_t packets_unplayable = 0;        ///< could not be decoded
    std::uint64_t frames_played = 0;             ///< audio frames put out for the application
    std::uint64_t frames_concealed = 0;          ///< synthesised by packet-loss concealment
    std::uint64_t frames_recovered_fec = 0;      ///< recovered by forward error correction
    std::uint64_t frames_recovered_red = 0;      ///< recovered from redundant audio (RED), in time to be played
    float jitter_ms = 0;                         ///< variation of arrival times (RFC 3550)
    float buffered_ms = 0;                       ///< audio that waits in the jitter buffer
    float delay_ms = 0;                          ///< delay of the jitter buffer now
    float target_delay_ms = 0;                   ///< delay that the jitter buffer aims at
    track_source source = track_source::unknown; ///< what the track carries
    bool received = false;                       ///< a stream carries it now
};

namespace detail {

inline result<call_stats> read_stats(oh_call call)
{
    oh_call_stats c = OH_INIT(oh_call_stats);
    if (oh_result code = oh_call_get_stats(call, &c)) return last_error(code);
    call_stats s;
    s.participants = c.participants;
    s.jitter_ms = c.jitter_ms;
    s.join_ms = c.join_ms;
    s.first_audio_ms = c.first_audio_ms;
    s.late_offers = c.late_offers;
    s.late_offers_leaving = c.late_offers_leaving;
    s.late_messages = c.late_messages;
    s.malformed_messages = c.malformed_messages;
    s.unknown_messages = c.unknown_messages;
    s.offers_answered = c.offers_answered;
    s.offers_failed = c.offers_failed;
    s.join_attempts = c.join_attempts;
    s.sfu_requests = c.sfu_requests;
    s.sfu_request_retries = c.sfu_request_retries;
    s.error_events = c.error_events;
    s.candidates_dropped = c.candidates_dropped;
    s.packets_received = c.packets_received;
    s.bytes_received = c.bytes_received;
    s.packets_lost = c.packets_lost;
    s.packets_late = c.packets_late;
    s.packets_unplayable = c.packets_unplayable;
    s.packets_unassigned = c.packets_unassigned;
    s.packets_padding = c.packets_padding;
    s.frames_played = c.frames_played;
    s.frames_concealed = c.frames_concealed;
    s.frames_recovered_fec = c.frames_recovered_fec;
    s.frames_recovered_red = c.frames_recovered_red;
    s.audio_frames_dropped = c.audio_frames_dropped;
    s.events_dropped = c.events_dropped;
    s.queued_event_bytes = c.queued_event_bytes;
    s.packets_sent = c.packets_sent;
    s.bytes_sent = c.bytes_sent;
    s.audio_dropped_ms = c.audio_dropped_ms;
    s.reconnects_fast = c.reconnects_fast;
    s.reconnects_rejoin = c.reconnects_rejoin;
    s.reconnects_migrate = c.reconnects_migrate;
    s.reconnect_attempts = c.reconnect_attempts;
    s.reconnect_triggers_merged = c.reconnect_triggers_merged;
    s.data_dropped = c.data_dropped;
    s.data_encrypted = c.data_encrypted;
    s.data_unsent = c.data_unsent;
    return s;
}

inline result<track_stats> read_stats(oh_track track)
{
    oh_track_stats c = OH_INIT(oh_track_stats);
    if (oh_result code = oh_track_get_stats(track, &c)) return last_error(code);
    track_stats s;
    s.packets_sent = c.packets_sent;
    s.bytes_sent = c.bytes_sent;
    s.packets_failed = c.packets_failed;
    s.sent_ms = c.sent_ms;
    s.dropped_ms = c.dropped_ms;
    s.unsent_ms = c.unsent_ms;
    s.reported_lost = c.reported_lost;
    s.report_age_ms = c.report_age_ms;
    s.buffered_ms = c.buffered_ms;
    s.source = static_cast<track_source>(c.source);
    s.published = c.published != 0;
    s.muted = c.muted != 0;
    s.moderated = c.moderated != 0;
    s.has_report = c.has_report != 0;
    s.reported_fraction_lost = c.reported_fraction_lost;
    s.reported_jitter_ms = c.reported_jitter_ms;
    s.reported_round_trip_ms = c.reported_round_trip_ms;
    return s;
}

inline result<remote_track_stats> read_stats(oh_subscriber subscriber, const char *session_id, const char *track_id,
                                             track_source source)
{
    oh_remote_track_stats c = OH_INIT(oh_remote_track_stats);
    if (oh_result code = oh_subscriber_get_track_stats(subscriber, session_id, track_id, static_cast<oh_track_source>(source), &c))
        return last_error(code);
    remote_track_stats s;
    s.packets_received = c.packets_received;
    s.bytes_received = c.bytes_received;
    s.packets_lost = c.packets_lost;
    s.packets_late = c.packets_late;
    s.packets_duplicate = c.packets_duplicate;
    s.packets_discarded = c.packets_discarded;
    s.packets_padding = c.packets_padding;
    s.packets_unplayable = c.packets_unplayable;
    s.frames_played = c.frames_played;
    s.frames_concealed = c.frames_concealed;
    s.frames_recovered_fec = c.frames_recovered_fec;
    s.frames_recovered_red = c.frames_recovered_red;
    s.jitter_ms = c.jitter_ms;
    s.buffered_ms = c.buffered_ms;
    s.delay_ms = c.delay_ms;
    s.target_delay_ms = c.target_delay_ms;
    s.source = static_cast<track_source>(c.source);
    s.received = c.received != 0;
    return s;
}

} // namespace detail
} // namespace offhook

#endif
