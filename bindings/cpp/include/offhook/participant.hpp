// participant.hpp - participants and the tracks that they publish.
#ifndef OFFHOOK_PARTICIPANT_HPP
#define OFFHOOK_PARTICIPANT_HPP

#include "constants.hpp"
#include "detail/known.hpp"
#include "track.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace offhook {

/// A track that a participant publishes.
struct track_info {
    std::string user_id;    ///< of its participant
    std::string session_id; ///< of its participant
    std::string track_id;   ///< for subscriber::set_track; "" in protocols without track ids
    std::string name;       ///< as set by its publisher; may be ""
    track_source source = track_source::unknown;
    unpublish_cause cause = unpublish_cause::unknown; ///< events::track_unpublished: why
    bool muted = false;     ///< published, and muted
    bool local = false;     ///< a track of the local participant (in an event: that a moderator changed)
    bool held = false;      ///< unmuted by a moderator, and muted until track_ref::set_muted unmutes it
    bool encrypted = false; ///< encrypted end to end
    track_ref track;        ///< of a local track in a snapshot; else none
    bool received = false;  ///< snapshot, remote track: its media arrives and can be played
    unplayable_reason unplayable = unplayable_reason::none; ///< snapshot, remote track: why its media cannot be played
    bool published = false; ///< snapshot, local track: published over the present connection; packets can be sent
    bool moderated = false; ///< snapshot, local track: a moderator muted it
};

/// A participant, as last described by the SFU.
struct participant {
    std::string user_id;         ///< one user can be in a call more than once (not with protocol::livekit)
    std::string session_id;      ///< identifies the participant in this call
    std::string name;            ///< the display name; may be ""
    std::string image_url;       ///< may be ""
    std::string custom_json;     ///< custom data as a JSON object; may be ""
    std::string metadata;        ///< the application's own text (capability::attributes); may be ""
    std::string attributes_json; ///< names and values as a JSON object of strings (capability::attributes); may be ""
    std::vector<track_info> tracks;
    std::optional<offhook::rights> rights; ///< nothing: the protocol does not report the rights of participants
    participant_kind kind = participant_kind::standard;
    connection_quality quality = connection_quality::unknown;
    offhook::leave_reason leave_reason = offhook::leave_reason::unknown; ///< events::participant_left: why
    float audio_level = 0;       ///< 0.0 (silence) to 1.0
    bool speaking = false;
    bool dominant = false;       ///< the dominant speaker
    bool local = false;          ///< the local participant
};

/// A pinned participant.
struct pin {
    std::string user_id;
    std::string session_id;
};

namespace detail {

inline track_info to_track_info(const oh_track_info *from)
{
    const oh_track_info c = known(from);
    track_info t;
    t.user_id = text(c.user_id);
    t.session_id = text(c.session_id);
    t.track_id = text(c.track_id);
    t.name = text(c.name);
    t.source = static_cast<track_source>(c.source);
    t.cause = static_cast<unpublish_cause>(c.cause);
    t.muted = c.muted != 0;
    t.local = c.local != 0;
    t.held = c.held != 0;
    t.encrypted = c.encrypted != 0;
    t.track = track_ref(c.track);
    t.received = c.received != 0;
    t.unplayable = static_cast<unplayable_reason>(c.unplayable);
    t.published = c.published != 0;
    t.moderated = c.moderated != 0;
    return t;
}

inline participant to_participant(const oh_participant *from)
{
    const oh_participant c = known(from);
    participant p;
    p.user_id = text(c.user_id);
    p.session_id = text(c.session_id);
    p.name = text(c.name);
    p.image_url = text(c.image_url);
    p.custom_json = text(c.custom_json);
    p.metadata = text(c.metadata);
    p.attributes_json = text(c.attributes_json);
    if (c.tracks) {
        p.tracks.reserve(c.track_count);
        for (std::size_t i = 0; i < c.track_count; i++) p.tracks.push_back(to_track_info(c.tracks[i]));
    }
    if (c.rights_known) p.rights = offhook::rights{c.rights};
    p.kind = static_cast<participant_kind>(c.kind);
    p.quality = static_cast<connection_quality>(c.quality);
    p.leave_reason = static_cast<leave_reason>(c.leave_reason);
    p.audio_level = c.audio_level;
    p.speaking = c.speaking != 0;
    p.dominant = c.dominant != 0;
    p.local = c.local != 0;
    return p;
}

} // namespace detail
} // namespace offhook

#endif
