// convert.hpp - converts events of the C interface, which are valid until the callback returns, to types that own their texts.
#ifndef OFFHOOK_DETAIL_CONVERT_HPP
#define OFFHOOK_DETAIL_CONVERT_HPP

#include "../events.hpp"
#include "known.hpp"

#include <chrono>
#include <cstddef>

namespace offhook::detail {

using std::chrono::milliseconds;

inline events::joined to_joined(const oh_event_joined &j)
{
    return {text(j.session_id), j.participants, j.anonymous_participants, milliseconds(j.join_ms)};
}

inline events::pins to_pins(const oh_event_pins &p)
{
    events::pins e;
    if (!p.pins) return e;
    e.pins.reserve(p.pin_count);
    for (std::size_t i = 0; i < p.pin_count; i++) {
        const oh_pin c = known(p.pins[i]);
        e.pins.push_back({text(c.user_id), text(c.session_id)});
    }
    return e;
}

inline events::local_track_failed to_failed(const oh_event_local_track &l)
{
    return {track_ref(l.track), static_cast<errc>(l.error), l.server_code, text(l.text)};
}

inline events::audio_level to_audio_level(const oh_event_audio_level &l)
{
    return {text(l.user_id), text(l.session_id), l.level, l.speaking != 0};
}

inline events::dominant_speaker to_dominant_speaker(const oh_event_dominant_speaker &d)
{
    return {text(d.user_id), text(d.session_id)};
}

inline events::connection_quality to_quality(const oh_event_connection_quality &q)
{
    return {text(q.user_id), text(q.session_id), static_cast<connection_quality>(q.quality)};
}

inline events::ended to_ended(const oh_event_ended &e)
{
    return {static_cast<end_reason>(e.reason), static_cast<errc>(e.error), e.server_code, text(e.text)};
}

inline events::reconnected to_reconnected(const oh_event_reconnected &r)
{
    return {text(r.session_id), static_cast<reconnect_kind>(r.kind), r.attempts, milliseconds(r.elapsed_ms)};
}

inline events::data to_data(const oh_event_data &d)
{
    events::data e{text(d.user_id), text(d.session_id), text(d.topic), {}, d.lossy != 0};
    if (d.data) e.data.assign(d.data, d.data + d.data_size);
    return e;
}

inline events::text to_text(const oh_event_text &t)
{
    return {text(t.user_id), text(t.session_id), text(t.topic), text(t.text_id), text(t.text), text(t.attributes_json)};
}

inline events::text_part to_text_part(const oh_event_text_part &t)
{
    return {text(t.user_id), text(t.session_id), text(t.topic), text(t.text_id), text(t.text), text(t.attributes_json),
            t.offset_bytes};
}

inline events::rpc_request to_rpc_request(const oh_event_rpc_request &r)
{
    return {text(r.request_id), text(r.user_id), text(r.method), text(r.payload), milliseconds(r.timeout_ms)};
}

inline events::rpc_response to_rpc_response(const oh_event_rpc_response &r)
{
    return {r.rpc_id, static_cast<rpc_error>(r.error_code), text(r.payload), text(r.text)};
}

inline events::subscription_permission to_permission(const oh_event_subscription_permission &p)
{
    return {text(p.user_id), text(p.session_id), text(p.track_id), p.allowed != 0};
}

inline events::unsent to_unsent(const oh_event_unsent &u)
{
    return {milliseconds(u.audio_ms), u.data_packets, u.texts, u.custom_events, u.rpc_answers, u.bytes};
}

inline events::unplayable to_unplayable(const oh_event_unplayable &u)
{
    return {text(u.user_id), text(u.session_id), text(u.track_id), text(u.text), static_cast<track_source>(u.source),
            static_cast<unplayable_reason>(u.reason)};
}

/// The member of the union that the kind names. Events of other kinds (`other`) are events::unknown.
inline event_data to_event_data(const oh_event &e)
{
    const oh_event_payload &u = e.u;
    switch (e.kind) {
    case OH_EVENT_STATE: {
        const oh_event_state s = known(u.state);
        return events::state{static_cast<call_state>(s.state), static_cast<call_state>(s.previous)};
    }
    case OH_EVENT_JOINED: return to_joined(known(u.joined));
    case OH_EVENT_TOKEN_NEEDED: return events::token_needed{};
    case OH_EVENT_PARTICIPANT_JOINED: return events::participant_joined{to_participant(u.participant)};
    case OH_EVENT_PARTICIPANT_UPDATED: return events::participant_updated{to_participant(u.participant)};
    case OH_EVENT_PARTICIPANT_LEFT: return events::participant_left{to_participant(u.participant)};
    case OH_EVENT_TRACK_PUBLISHED: return events::track_published{to_track_info(u.track)};
    case OH_EVENT_TRACK_UNPUBLISHED: return events::track_unpublished{to_track_info(u.track)};
    case OH_EVENT_AUDIO_LEVEL: return to_audio_level(known(u.audio_level));
    case OH_EVENT_DOMINANT_SPEAKER: return to_dominant_speaker(known(u.dominant_speaker));
    case OH_EVENT_CONNECTION_QUALITY: return to_quality(known(u.connection_quality));
    case OH_EVENT_COUNTS: {
        const oh_event_counts c = known(u.counts);
        return events::counts{c.participants, c.anonymous_participants};
    }
    case OH_EVENT_RIGHTS: return events::rights{{known(u.rights).rights}};
    case OH_EVENT_PINS: return to_pins(known(u.pins));
    case OH_EVENT_LOCAL_TRACK_PUBLISHED: return events::local_track_published{track_ref(known(u.local_track).track)};
    case OH_EVENT_LOCAL_TRACK_FAILED: return to_failed(known(u.local_track));
    case OH_EVENT_ERROR: {
        const oh_event_error f = known(u.error);
        return events::error{static_cast<errc>(f.error), f.server_code, text(f.text)};
    }
    case OH_EVENT_LOST: {
        const oh_event_lost l = known(u.lost);
        return events::lost{l.total, l.data_packets, l.data_bytes, l.texts};
    }
    case OH_EVENT_AUDIO: return events::audio(to_view(u.audio));
    case OH_EVENT_ENDED: return to_ended(known(u.ended));
    case OH_EVENT_RECONNECTED: return to_reconnected(known(u.reconnected));
    case OH_EVENT_CUSTOM: {
        const oh_event_custom c = known(u.custom);
        return events::custom{text(c.user_id), text(c.custom_type), text(c.data_json)};
    }
    case OH_EVENT_ROOM: {
        const oh_event_room r = known(u.room);
        return events::room{text(r.room_id), text(r.name), text(r.metadata), r.recording != 0};
    }
    case OH_EVENT_DATA: return to_data(known(u.data));
    case OH_EVENT_TEXT: return to_text(known(u.text));
    case OH_EVENT_RPC_REQUEST: return to_rpc_request(known(u.rpc_request));
    case OH_EVENT_RPC_RESPONSE: return to_rpc_response(known(u.rpc_response));
    case OH_EVENT_SUBSCRIPTION_PERMISSION: return to_permission(known(u.subscription_permission));
    case OH_EVENT_MEDIA: {
        const oh_event_media m = known(u.media);
        return events::media{static_cast<direction>(m.direction), m.connected != 0, text(m.text)};
    }
    case OH_EVENT_UNSENT: return to_unsent(known(u.unsent));
    case OH_EVENT_UNPLAYABLE: return to_unplayable(known(u.unplayable));
    case OH_EVENT_TEXT_PART: return to_text_part(known(u.text_part));
    case OH_EVENT_DTMF: {
        const oh_event_dtmf d = known(u.dtmf);
        return events::dtmf{text(d.user_id), text(d.session_id), text(d.digit), d.code};
    }
    case OH_EVENT_ICE_SERVER: {
        const oh_event_ice_server s = known(u.ice_server);
        return events::ice_server{text(s.url), text(s.text), s.code};
    }
    default: return events::unknown{};
    }
}

inline event to_event(const oh_event *from)
{
    const oh_event e = known(from);
    return event{static_cast<event_kind>(e.kind), milliseconds(e.at_ms), to_event_data(e)};
}

} // namespace offhook::detail

#endif
