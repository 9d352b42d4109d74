// stats.hpp - statistics of a call; offhook.h (oh_call_stats) has the details.
#ifndef OFFHOOK_STATS_HPP
#define OFFHOOK_STATS_HPP

#include "result.hpp"

#include <cstdint>

namespace offhook {

/// Statistics of a call, counted since client::join. What an older library does not count is 0.
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

} // namespace detail
} // namespace offhook

#endif
