// stats.hpp - the figures of one call since it was joined; offhook.h (oh_call_stats) tells more about each.
#ifndef OFFHOOK_STATS_HPP
#define OFFHOOK_STATS_HPP

#include "result.hpp"

#include <cstdint>

namespace offhook {

/// Times are in ms since client::join; 0: not yet.
struct call_stats {
    std::uint32_t participants = 0;        ///< known, self included
    std::uint64_t join_ms = 0;             ///< to call_state::joined
    std::uint64_t first_audio_ms = 0;      ///< to the first sound handed over
    std::uint64_t late_offers = 0;         ///< offers dropped: leaving, or the subscriber is closed or of old
    std::uint64_t late_offers_leaving = 0; ///< those of late_offers that came while the call was leaving
    std::uint64_t late_messages = 0;       ///< other late or stale things, dropped
    std::uint64_t malformed_messages = 0;
    std::uint64_t unknown_messages = 0;
    std::uint64_t offers_answered = 0;
    std::uint64_t offers_failed = 0;
    std::uint64_t join_attempts = 0;
    std::uint64_t rpcs = 0;
    std::uint64_t rpc_retries = 0;
    std::uint64_t errors = 0;              ///< events of the kinds error and local_failed
    std::uint64_t candidates_dropped = 0;
    std::uint64_t packets_received = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t packets_lost = 0;        ///< packets of sound that never came
    std::uint64_t packets_late = 0;        ///< ... and that came too late to be played
    std::uint64_t frames_played = 0;       ///< frames of 20 ms (or packets) put out for the application
    std::uint64_t frames_concealed = 0;    ///< invented to hide a loss
    std::uint64_t frames_restored = 0;     ///< restored by forward error correction
    std::uint64_t packets_sent = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t media_dropped = 0;       ///< frames dropped because the application was too slow
    std::uint64_t events_lost = 0;         ///< events dropped because the application was too slow
    std::uint32_t jitter_ms = 0;           ///< of all tracks the greatest
    std::uint64_t reconnects_fast = 0;
    std::uint64_t reconnects_rejoin = 0;
    std::uint64_t reconnects_migrate = 0;
    std::uint64_t reconnect_attempts = 0;  ///< failed ones included
    std::uint64_t reconnect_triggers_merged = 0;
    std::uint64_t data_dropped = 0;        ///< packets and texts lost, unreadable or too many
    std::uint64_t packets_unplayable = 0;  ///< RTP packets that could not be decoded: encrypted, or another codec
    std::uint64_t packets_unassigned = 0;  ///< RTP packets that could not be assigned to a track of a participant
    std::uint64_t packets_padding = 0;     ///< RTP packets of padding only
    std::uint64_t frames_restored_red = 0; ///< lost, and restored from redundant audio (RED)
    std::uint64_t audio_dropped_ms = 0;    ///< dropped by a live track that was written too fast, or by track_ref::clear
    std::uint64_t data_encrypted = 0;      ///< packets and texts encrypted end to end, part of data_dropped
    std::uint64_t data_unsent = 0;         ///< accepted and not sent before the end: packets, texts, custom events, answers
    std::uint64_t event_bytes = 0;         ///< bytes of payload in events that wait for the application now
};

namespace detail {

inline result<call_stats> read_stats(oh_call call)
{
    oh_call_stats c{};
    c.size = sizeof c;
    if (oh_result code = oh_call_get_stats(call, &c)) return last_error(code);
    call_stats s;
    s.participants = c.participants;
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
    s.rpcs = c.rpcs;
    s.rpc_retries = c.rpc_retries;
    s.errors = c.errors;
    s.candidates_dropped = c.candidates_dropped;
    s.packets_received = c.packets_received;
    s.bytes_received = c.bytes_received;
    s.packets_lost = c.packets_lost;
    s.packets_late = c.packets_late;
    s.frames_played = c.frames_played;
    s.frames_concealed = c.frames_concealed;
    s.frames_restored = c.frames_restored;
    s.packets_sent = c.packets_sent;
    s.bytes_sent = c.bytes_sent;
    s.media_dropped = c.media_dropped;
    s.events_lost = c.events_lost;
    s.jitter_ms = c.jitter_ms;
    s.reconnects_fast = c.reconnects_fast;
    s.reconnects_rejoin = c.reconnects_rejoin;
    s.reconnects_migrate = c.reconnects_migrate;
    s.reconnect_attempts = c.reconnect_attempts;
    s.reconnect_triggers_merged = c.reconnect_triggers_merged;
    s.data_dropped = c.data_dropped;
    s.packets_unplayable = c.packets_unplayable;
    s.packets_unassigned = c.packets_unassigned;
    s.packets_padding = c.packets_padding;
    s.frames_restored_red = c.frames_restored_red;
    s.audio_dropped_ms = c.audio_dropped_ms;
    s.data_encrypted = c.data_encrypted;
    s.data_unsent = c.data_unsent;
    s.event_bytes = c.event_bytes;
    return s;
}

} // namespace detail
} // namespace offhook

#endif
