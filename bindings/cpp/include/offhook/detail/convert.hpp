// convert.hpp - a C event, valid for a moment, becomes a typed one that owns its texts.
#ifndef OFFHOOK_DETAIL_CONVERT_HPP
#define OFFHOOK_DETAIL_CONVERT_HPP

#include "../events.hpp"

namespace offhook::detail {

template <class T> T to_participant(const oh_event_participant &p)
{
    T e;
    e.user_id = p.user_id;
    e.session_id = p.session_id;
    e.name = p.name;
    e.image = p.image;
    e.custom = p.custom;
    e.quality = static_cast<quality>(p.quality);
    e.speaking = p.speaking != 0;
    e.dominant = p.dominant != 0;
    e.level = p.level;
    e.metadata = p.metadata;
    e.attributes = p.attributes;
    e.kind = static_cast<participant_kind>(p.kind);
    e.local = p.local != 0;
    e.reason = static_cast<leave_reason>(p.reason);
    e.rights = {p.rights};
    return e;
}

template <class T> T to_track(const oh_event_track &t)
{
    T e;
    e.user_id = t.user_id;
    e.session_id = t.session_id;
    e.kind = static_cast<track_kind>(t.kind);
    e.cause = static_cast<track_cause>(t.cause);
    e.track_id = t.track_id;
    e.name = t.name;
    e.muted = t.muted != 0;
    e.local = t.local != 0;
    e.held = t.held != 0;
    e.encrypted = t.encrypted != 0;
    return e;
}

inline events::grants to_grants(const oh_event_grants &g)
{
    return {g.audio != 0,           g.video != 0,  g.screen_share != 0, g.data != 0, g.subscribe != 0,
            g.update_metadata != 0, g.hidden != 0, g.recorder != 0};
}

inline events::pins to_pins(const oh_event_pins &p)
{
    events::pins e;
    e.pinned.reserve(p.count);
    for (std::uint32_t i = 0; i < p.count; i++) e.pinned.push_back({p.pins[i].user_id, p.pins[i].session_id});
    return e;
}

inline events::data to_data(const oh_event_data_packet &d)
{
    events::data e{d.user_id, d.session_id, d.topic, {}, d.lossy != 0};
    if (d.size) e.bytes.assign(d.bytes, d.bytes + d.size);
    return e;
}

inline event_data to_data(const oh_event &e)
{
    using std::chrono::milliseconds;
    const oh_event_data &u = e.u;
    switch (e.kind) {
    case OH_EVENT_STATE:
        return events::state_changed{static_cast<call_state>(u.state.state), static_cast<call_state>(u.state.previous)};
    case OH_EVENT_JOINED:
        return events::joined{u.joined.session_id, {u.joined.counts.total, u.joined.counts.anonymous},
                              milliseconds(u.joined.join_ms)};
    case OH_EVENT_TOKEN_NEEDED: return events::token_needed{};
    case OH_EVENT_PARTICIPANT_JOINED: return to_participant<events::participant_joined>(u.participant);
    case OH_EVENT_PARTICIPANT_UPDATED: return to_participant<events::participant_updated>(u.participant);
    case OH_EVENT_PARTICIPANT_LEFT: return to_participant<events::participant_left>(u.participant);
    case OH_EVENT_TRACK_PUBLISHED: return to_track<events::track_published>(u.track);
    case OH_EVENT_TRACK_UNPUBLISHED: return to_track<events::track_unpublished>(u.track);
    case OH_EVENT_AUDIO_LEVEL:
        return events::audio_level{u.level.user_id, u.level.session_id, u.level.level, u.level.speaking != 0};
    case OH_EVENT_DOMINANT_SPEAKER: return events::dominant_speaker{u.level.user_id, u.level.session_id};
    case OH_EVENT_CONNECTION_QUALITY:
        return events::connection_quality{u.quality.user_id, u.quality.session_id, static_cast<quality>(u.quality.quality)};
    case OH_EVENT_COUNTS: return events::counts{u.counts.total, u.counts.anonymous};
    case OH_EVENT_GRANTS: return to_grants(u.grants);
    case OH_EVENT_PINS: return to_pins(u.pins);
    case OH_EVENT_LOCAL_PUBLISHED: return events::local_published{track_ref(u.local.track), u.local.text};
    case OH_EVENT_LOCAL_FAILED:
        return events::local_failed{track_ref(u.local.track), static_cast<errc>(u.local.error), u.local.server_code, u.local.text};
    case OH_EVENT_ERROR: return events::failure{static_cast<errc>(u.error.error), u.error.server_code, u.error.text};
    case OH_EVENT_LOST: return events::lost{u.lost.count, u.lost.data_packets, u.lost.data_bytes, u.lost.texts};
    case OH_EVENT_AUDIO: return events::audio(to_view(u.audio));
    case OH_EVENT_ENDED:
        return events::ended{static_cast<end_reason>(u.ended.code), static_cast<errc>(u.ended.error), u.ended.server_code,
                             u.ended.reason};
    case OH_EVENT_RECONNECTED:
        return events::reconnected{u.reconnected.session_id, static_cast<reconnect_kind>(u.reconnected.how),
                                   u.reconnected.attempts, milliseconds(u.reconnected.elapsed_ms)};
    case OH_EVENT_CUSTOM: return events::custom{u.custom.user_id, u.custom.custom_type, u.custom.json};
    case OH_EVENT_ROOM: return events::room{u.room.id, u.room.name, u.room.metadata, u.room.recording != 0};
    case OH_EVENT_DATA: return to_data(u.data);
    case OH_EVENT_TEXT:
        return events::text{u.text.user_id, u.text.session_id, u.text.topic, u.text.id, u.text.text, u.text.attributes};
    case OH_EVENT_RPC_REQUEST:
        return events::rpc_request{u.rpc.request_id, u.rpc.user_id, u.rpc.method, u.rpc.payload, milliseconds(u.rpc.timeout_ms)};
    case OH_EVENT_RPC_RESPONSE:
        return events::rpc_response{u.rpc.call_id, static_cast<rpc_error>(u.rpc.error_code), u.rpc.payload, u.rpc.text};
    case OH_EVENT_SUBSCRIBABLE:
        return events::subscribable{u.subscribable.user_id, u.subscribable.session_id, u.subscribable.track_id,
                                    u.subscribable.allowed != 0};
    case OH_EVENT_MEDIA:
        return events::media{static_cast<direction>(u.media.direction), u.media.connected != 0, u.media.text};
    case OH_EVENT_UNSENT:
        return events::unsent{milliseconds(u.unsent.audio_ms), u.unsent.data_packets, u.unsent.texts,
                              u.unsent.custom_events, u.unsent.rpc_answers, u.unsent.bytes};
    case OH_EVENT_UNPLAYABLE:
        return events::unplayable{u.unplayable.user_id, u.unplayable.session_id, u.unplayable.track_id, u.unplayable.text,
                                  static_cast<track_kind>(u.unplayable.kind),
                                  static_cast<unplayable_reason>(u.unplayable.reason)};
    case OH_EVENT_TEXT_PART:
        return events::text_part{u.text_part.user_id, u.text_part.session_id, u.text_part.topic, u.text_part.id,
                                 u.text_part.attributes, u.text_part.text, u.text_part.offset};
    case OH_EVENT_DTMF: return events::dtmf{u.dtmf.user_id, u.dtmf.session_id, u.dtmf.digit, u.dtmf.code};
    default: return events::unknown{};
    }
}

inline event to_event(const oh_event &e)
{
    return event{static_cast<event_kind>(e.kind), std::chrono::milliseconds(e.at_ms), to_data(e)};
}

} // namespace offhook::detail

#endif
