// events.hpp - events of a call: a type for each kind, which owns its texts, and a variant of all types.
#ifndef OFFHOOK_EVENTS_HPP
#define OFFHOOK_EVENTS_HPP

#include "audio.hpp"
#include "constants.hpp"
#include "participant.hpp"
#include "track.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace offhook {

/// The types of events, each with the name of its kind. They own what they hold: keep, copy and move them. Text is UTF-8.
/// An older library leaves members that it does not have at their initial values.
namespace events {

/// The state of the call changed.
struct state {
    call_state state = call_state::idle;
    call_state previous = call_state::idle;
};

/// The SFU admitted this participant. Media of a direction flows once events::media says that it is connected.
struct joined {
    std::string session_id;                 ///< of the local participant
    std::uint32_t participants = 0;         ///< the local one and anonymous ones included
    std::uint32_t anonymous_participants = 0; ///< counted, not listed
    std::chrono::milliseconds join_time{};  ///< since client::join
};

/// A token is needed: answer with call_ref::provide_token within 30 s.
struct token_needed {};

/// A participant joined. On join, sent once for everyone already present.
struct participant_joined : participant {};
/// A participant changed. With `local`: the local participant, once after each join and whenever the server changes it.
struct participant_updated : participant {};
/// A participant left; see leave_reason.
struct participant_left : participant {};

/// A participant published a track, muted or not: once, and again each time it is unmuted. With `local`: a moderator
/// unmuted a local track.
struct track_published : track_info {};
/// A track ended, or was muted (`muted` is true, cause is unpublish_cause::muted). With `local`: a moderator muted a local
/// track.
struct track_unpublished : track_info {};

/// How loud a participant is.
struct audio_level {
    std::string user_id;
    std::string session_id;
    float level = 0; ///< 0.0 (silence) to 1.0
    bool speaking = false;
};

/// Another participant speaks most.
struct dominant_speaker {
    std::string user_id;
    std::string session_id;
};

/// How well a participant is connected.
struct connection_quality {
    std::string user_id;
    std::string session_id;
    offhook::connection_quality quality = offhook::connection_quality::unknown;
};

/// The number of participants, as counted by the SFU.
struct counts {
    std::uint32_t participants = 0;           ///< the local one and anonymous ones included
    std::uint32_t anonymous_participants = 0; ///< counted, not listed; 0 in protocols without them
};

/// What the local participant may do, on join and whenever it changes: `event.get<events::rights>()->has(right::audio)`.
struct rights : offhook::rights {};

/// All pinned participants, most important first.
struct pins {
    std::vector<pin> pins;
};

/// A local track is published; again after each reconnect that made a new session.
struct local_track_published {
    track_ref track; ///< none when the program has freed it meanwhile
};

/// A local track could not be published, or is not published any more.
struct local_track_failed {
    track_ref track;              ///< none when the program has freed it meanwhile
    errc error = errc::ok;
    std::int32_t server_code = 0; ///< the server's own code; 0 without one
    std::string text;             ///< why it failed
};

/// Something failed that does not end the call.
struct error {
    errc error = errc::ok;
    std::int32_t server_code = 0; ///< the server's own code (SFU error code or HTTP status); 0 without one
    std::string text;             ///< what failed and what to do
};

/// Events are missing here, because the application did not take them in time. Packets and texts are missing when they
/// could not be completed.
struct lost {
    std::uint64_t total = 0;        ///< everything that is missing: events, packets and texts
    std::uint64_t data_packets = 0; ///< packets of participants, part of total
    std::uint64_t data_bytes = 0;   ///< bytes of these packets
    std::uint64_t texts = 0;        ///< texts of participants, part of total
};

/// Audio of a track; in pull mode only.
struct audio : audio_frame {
    using audio_frame::audio_frame;
};

/// The call has ended. Exactly one, the last event of a call.
struct ended {
    end_reason reason = end_reason::left;
    errc error = errc::ok;        ///< errc::ok when the call ended without a failure
    std::int32_t server_code = 0; ///< the server's own code; 0 without one
    std::string text;             ///< the reason in words
};

/// The connection was lost and is made again.
struct reconnected {
    std::string session_id;              ///< of the local participant now
    reconnect_kind kind = reconnect_kind::fast;
    std::uint32_t attempts = 0;          ///< the successful one included
    std::chrono::milliseconds elapsed{}; ///< since the loss was detected
};

/// Custom event from a participant or your backend. Your own are echoed. Only with
/// client_options::receive_custom_events.
struct custom {
    std::string user_id;     ///< of the sender; "" when the coordinator does not say
    std::string custom_type; ///< the member `type` of the data when it is a string; else ""
    std::string data_json;   ///< the data as a JSON object
};

/// The room, on join and when it changed (capability::room).
struct room {
    std::string room_id;  ///< the server's id of the room
    std::string name;     ///< usually the call id that was joined
    std::string metadata; ///< the application's own text about the room; may be ""
    bool recording = false;
};

/// A packet from a participant, or from the application's server (capability::data).
struct data {
    std::string user_id;    ///< of the sender; "" for the application's server
    std::string session_id; ///< of the sender; "" when it is not known
    std::string topic;      ///< may be ""
    std::vector<std::uint8_t> data;
    bool lossy = false;     ///< it came over the lossy channel
};

/// A complete text from a participant (capability::text).
struct text {
    std::string user_id;         ///< of the sender; "" for the application's server
    std::string session_id;      ///< of the sender; "" when it is not known
    std::string topic;           ///< may be ""
    std::string text_id;         ///< the sender's id of this text
    std::string text;
    std::string attributes_json; ///< names and values that the sender attached, as a JSON object of strings; may be ""
};

/// A participant calls a procedure: answer with call_ref::answer_rpc or fail_rpc (capability::rpc).
struct rpc_request {
    std::string request_id; ///< for the answer
    std::string user_id;    ///< of the caller
    std::string method;
    std::string payload;
    std::chrono::milliseconds timeout{}; ///< how long the caller waits for the answer
};

/// Result of call_ref::perform_rpc; exactly one for each.
struct rpc_response {
    std::uint64_t rpc_id = 0;                ///< the id that call_ref::perform_rpc returned
    rpc_error error_code = rpc_error::none;  ///< none: success
    std::string payload;                     ///< the answer; on failure the data of the error, usually ""
    std::string text;                        ///< why it failed; "" on success
};

/// Permission to subscribe to a track was revoked or restored (capability::subscriptions).
struct subscription_permission {
    std::string user_id;
    std::string session_id;
    std::string track_id;
    bool allowed = false;
};

/// Media of one direction was connected, or lost.
struct media {
    offhook::direction direction = offhook::direction::send;
    bool connected = false; ///< false: it was connected and was lost
    std::string text;       ///< what was tried and found; "" when connected
};

/// What was accepted and could not be sent before the call ended; before events::ended, at most once.
struct unsent {
    std::chrono::milliseconds audio{}; ///< all tracks together
    std::uint64_t data_packets = 0;
    std::uint64_t texts = 0;
    std::uint64_t custom_events = 0;
    std::uint64_t rpc_answers = 0;
    std::uint64_t bytes = 0;           ///< of everything but audio
};

/// Media or data of a participant cannot be decoded; once for each track (data: participant) and reason.
struct unplayable {
    std::string user_id;    ///< "" when it is not known
    std::string session_id; ///< "" when it is not known
    std::string track_id;   ///< "" when it is not known, and for data
    std::string text;       ///< what was found and what to do
    track_source source = track_source::unknown;
    unplayable_reason reason = unplayable_reason::none;
};

/// A part of a text that is still arriving; only with call_options::text_parts. The complete text follows as events::text.
struct text_part {
    std::string user_id;         ///< of the sender; "" for the application's server
    std::string session_id;      ///< of the sender; "" when it is not known
    std::string topic;           ///< may be ""
    std::string text_id;         ///< the same for all parts and for events::text
    std::string text;            ///< the new part; whole characters only
    std::string attributes_json; ///< names and values that the sender attached, as a JSON object of strings; may be ""
    std::uint64_t offset_bytes = 0; ///< bytes of the text before this part
};

/// A participant (SIP) pressed a key of the telephone.
struct dtmf {
    std::string user_id;
    std::string session_id; ///< "" when it is not known
    std::string digit;      ///< "0" to "9", "*", "#", "A" to "D"
    std::uint32_t code = 0; ///< its number (RFC 4733): 0 to 15
};

/// A STUN or TURN server gave no address; once for each server and code in a call. The call goes on with the addresses that
/// it has.
struct ice_server {
    std::string url;        ///< of the server, without credentials
    std::string text;       ///< what was found and what to do
    std::uint32_t code = 0; ///< of its error response, for instance 401 or 486; 701: it was not reached
};

/// An event of a kind that this header does not have: skip it.
struct unknown {};

} // namespace events

/// One of the types above; std::visit it with an `overloaded`, or use event::get.
using event_data =
    std::variant<events::unknown, events::state, events::joined, events::token_needed, events::participant_joined,
                 events::participant_updated, events::participant_left, events::track_published, events::track_unpublished,
                 events::audio_level, events::dominant_speaker, events::connection_quality, events::counts, events::rights,
                 events::pins, events::local_track_published, events::local_track_failed, events::error, events::lost,
                 events::audio, events::ended, events::reconnected, events::custom, events::room, events::data,
                 events::text, events::rpc_request, events::rpc_response, events::subscription_permission, events::media,
                 events::unsent, events::unplayable, events::text_part, events::dtmf, events::ice_server>;

/// An event of a call.
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
