// events.hpp - what happens in a call: a type for each kind of event, with texts of its own, and a variant of them.
#ifndef OFFHOOK_EVENTS_HPP
#define OFFHOOK_EVENTS_HPP

#include "audio.hpp"
#include "constants.hpp"
#include "track.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace offhook {

/// The types of events. Keep them, copy them, send them elsewhere: they own what they hold. Texts are UTF-8.
namespace events {

/// The call is in another state.
struct state_changed {
    call_state state = call_state::idle;
    call_state previous = call_state::idle;
};

/// How many are in the call, by the SFU's count, self included.
struct counts {
    std::uint32_t total = 0;
    std::uint32_t anonymous = 0;
};

/// The SFU has let this participant in; events::media says when media of a direction flows.
struct joined {
    std::string session_id; ///< own session
    events::counts counts;
    std::chrono::milliseconds join_time{}; ///< since client::join
};

/// A token is needed: answer with call_ref::provide_token within 30 s.
struct token_needed {};

/// Somebody in the call.
struct participant {
    std::string user_id;
    std::string session_id;
    std::string name;
    std::string image;
    std::string custom;     ///< custom data as JSON, "" without any
    offhook::quality quality = offhook::quality::unknown;
    bool speaking = false;
    bool dominant = false;
    float level = 0;        ///< 0.0 to 1.0
    std::string metadata;   ///< the application's own text (capability::attributes)
    std::string attributes; ///< names and values as a JSON object (capability::attributes)
    participant_kind kind = participant_kind::standard;
    bool local = false;     ///< the local participant
    leave_reason reason = leave_reason::unknown; ///< why it left
    offhook::rights rights; ///< none in protocols that do not say them of others
};

/// A participant joined; on join sent once for everybody already present.
struct participant_joined : participant {};
/// Something about a participant changed; with `local` about the local one, after each join and whenever the server changes it.
struct participant_updated : participant {};
/// Somebody is gone.
struct participant_left : participant {};

/// A track of a participant.
struct remote_track {
    std::string user_id;
    std::string session_id;
    track_kind kind = track_kind::audio;
    track_cause cause = track_cause::not_said; ///< why it ended
    std::string track_id;                      ///< for subscriber::set_track; "" in protocols without one
    std::string name;                          ///< as its publisher calls it; may be ""
    bool muted = false;                        ///< published, and muted
    bool local = false;     ///< a track of the local participant, changed by a moderator
    bool held = false;      ///< unmuted by a moderator, and still muted here (call_options::hold_unmute)
    bool encrypted = false; ///< end to end
};

/// A participant published a track, once, muted or not, and again each time it is unmuted. With `local`: a moderator unmuted a
/// local track.
struct track_published : remote_track {};
/// A participant's track ended (or was muted: cause).
struct track_unpublished : remote_track {};

/// How loud a participant is now.
struct audio_level {
    std::string user_id;
    std::string session_id;
    float level = 0; ///< 0.0 to 1.0
    bool speaking = false;
};

/// Who speaks most.
struct dominant_speaker {
    std::string user_id;
    std::string session_id;
};

/// How well a participant is connected.
struct connection_quality {
    std::string user_id;
    std::string session_id;
    offhook::quality quality = offhook::quality::unknown;
};

/// What this participant may do, and how others see it.
struct grants {
    bool audio = false;
    bool video = false;
    bool screen_share = false;
    bool data = false;            ///< data, texts and procedure calls
    bool subscribe = false;       ///< receiving tracks
    bool update_metadata = false; ///< changing its own name, metadata and attributes
    bool hidden = false;          ///< not visible to others
    bool recorder = false;        ///< records the call
};

/// A pinned participant.
struct pin {
    std::string user_id;
    std::string session_id;
};

/// The pinned participants, most important first.
struct pins {
    std::vector<pin> pinned;
};

/// A track of mine is on the air.
struct local_published {
    track_ref track; ///< none when it was freed meanwhile
    std::string text;
};

/// A track of mine could not be published, or not any more.
struct local_failed {
    track_ref track; ///< none when it was freed meanwhile
    errc error = errc::ok;
    std::int32_t server_code = 0; ///< the server's own code, 0 without one
    std::string text;
};

/// Something failed that does not end the call.
struct failure {
    errc error = errc::ok;
    std::int32_t server_code = 0; ///< SFU error code or HTTP status, 0 without one
    std::string text;             ///< what failed and what to do
};

/// Events were dropped here because the application was too slow to take them.
struct lost {
    std::uint64_t count = 0;
    std::uint64_t data_packets = 0; ///< packets of participants, part of count
    std::uint64_t data_bytes = 0;   ///< bytes of these packets
    std::uint64_t texts = 0;        ///< texts of participants, part of count
};

/// Sound of a participant; in pull mode only.
struct audio : audio_frame {
    using audio_frame::audio_frame;
};

/// The call is over: the one terminal event, the last of all.
struct ended {
    end_reason code = end_reason::left;
    errc error = errc::ok;        ///< errc::ok when the call ended as wanted
    std::int32_t server_code = 0; ///< the server's own code, 0 without one
    std::string reason;           ///< in words
};

/// The connection was lost and is back.
struct reconnected {
    std::string session_id; ///< own session now
    reconnect_kind how = reconnect_kind::fast;
    std::uint32_t attempts = 0;
    std::chrono::milliseconds elapsed{}; ///< since the loss was noticed
};

/// Told to everyone who watches the call; only with client_options::events. One's own come back, too.
struct custom {
    std::string user_id;     ///< "" when it is not said
    std::string custom_type; ///< the member `type` of the data when it is text, else ""
    std::string json;
};

/// The room, at the join and when it has changed (capability::room).
struct room {
    std::string id;
    std::string name;
    std::string metadata;
    bool recording = false;
};

/// A packet of another participant, or of the application's server (capability::data).
struct data {
    std::string user_id;    ///< "" for the application's server
    std::string session_id; ///< "" when it is not told
    std::string topic;
    std::vector<std::uint8_t> bytes;
    bool lossy = false;     ///< it came over the lossy channel
};

/// A text of another participant, put together (capability::text).
struct text {
    std::string user_id;    ///< "" for the application's server
    std::string session_id; ///< "" when it is not told
    std::string topic;
    std::string id;         ///< the sender's name of this text
    std::string text;
    std::string attributes; ///< what its sender attached, names and values as a JSON object, "" without any
};

/// Another participant calls a procedure: answer with call_ref::rpc_answer or rpc_fail (capability::rpc).
struct rpc_request {
    std::string request_id; ///< for the answer
    std::string user_id;    ///< who calls
    std::string method;
    std::string payload;
    std::chrono::milliseconds timeout{}; ///< so long the caller waits
};

/// What became of a call_ref::rpc; exactly one for each.
struct rpc_response {
    std::uint64_t call_id = 0;            ///< the number that call_ref::rpc gave
    rpc_error error = rpc_error::none;    ///< none: it went well
    std::string payload;                  ///< the answer; of a failure its data, mostly ""
    std::string text;                     ///< why it failed
};

/// A track cannot be had any more, or again (capability::subscriptions).
struct subscribable {
    std::string user_id;
    std::string session_id;
    std::string track_id;
    bool allowed = false;
};

/// Media of one direction is connected, or was lost.
struct media {
    offhook::direction direction = offhook::direction::send;
    bool connected = false; ///< false: it was connected and was lost
    std::string text;       ///< what was tried and found; "" when connected
};

/// The call has ended before everything that was accepted could be sent; comes before ended, at most once.
struct unsent {
    std::chrono::milliseconds audio{}; ///< all tracks together
    std::uint64_t data_packets = 0;
    std::uint64_t texts = 0;
    std::uint64_t custom_events = 0;
    std::uint64_t rpc_answers = 0;
    std::uint64_t bytes = 0;           ///< of all of them but audio
};

/// Media or data of a participant arrives that cannot be decoded; once for each track (of data: participant) and reason.
struct unplayable {
    std::string user_id;    ///< "" when it is not known
    std::string session_id; ///< "" when it is not known
    std::string track_id;   ///< "" when it is not known, and of data
    std::string text;       ///< what was found and what to do
    track_kind kind{};      ///< 0 of data
    unplayable_reason reason = unplayable_reason::encrypted;
};

/// A piece of a text that is still arriving; only with call_options::partial_texts. The whole follows as events::text.
struct text_part {
    std::string user_id;      ///< "" for the application's server
    std::string session_id;   ///< "" when it is not known
    std::string topic;
    std::string id;           ///< the same for all pieces and for events::text
    std::string attributes;   ///< what its sender attached, names and values as a JSON object, "" without any
    std::string text;         ///< the new piece; whole characters only
    std::uint64_t offset = 0; ///< bytes of the text before this piece
};

/// A participant (of SIP) pressed a key of the telephone.
struct dtmf {
    std::string user_id;
    std::string session_id; ///< "" when it is not known
    std::string digit;      ///< "0" to "9", "*", "#", "A" to "D"
    std::uint32_t code = 0; ///< its number by RFC 4733: 0 to 15
};

/// Of a kind that this header does not know yet: skip it.
struct unknown {};

} // namespace events

/// One of the types above; std::visit it with an `overloaded`, or ask event::get.
using event_data =
    std::variant<events::unknown, events::state_changed, events::joined, events::token_needed, events::participant_joined,
                 events::participant_updated, events::participant_left, events::track_published, events::track_unpublished,
                 events::audio_level, events::dominant_speaker, events::connection_quality, events::counts, events::grants,
                 events::pins, events::local_published, events::local_failed, events::failure, events::lost, events::audio,
                 events::ended, events::reconnected, events::custom, events::room, events::data, events::text,
                 events::rpc_request, events::rpc_response, events::subscribable, events::media, events::unsent,
                 events::unplayable, events::text_part, events::dtmf>;

/// Something that happened in a call.
struct event {
    event_kind kind{};               ///< also of kinds that are events::unknown here
    std::chrono::milliseconds at{};  ///< since client::join
    event_data data;

    /// `if (auto *e = event.get<events::ended>())`: the event when it is one, else null.
    template <class T> const T *get() const noexcept { return std::get_if<T>(&data); }
};

/// Several function objects as one, for std::visit: `overloaded{[](const events::ended &) {...}, [](const auto &) {}}`.
template <class... F> struct overloaded : F... {
    using F::operator()...;
};
template <class... F> overloaded(F...) -> overloaded<F...>;

} // namespace offhook

#endif
