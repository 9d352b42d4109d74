// options.hpp - what the functions that take many things take. Empty texts and zeroes mean "the default"; all of it is
// copied by the function that gets it.
#ifndef OFFHOOK_OPTIONS_HPP
#define OFFHOOK_OPTIONS_HPP

#include "constants.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace offhook {

/// How to reach the service, and as whom.
struct client_options {
    /// Base URL of the coordinator; of LiveKit the server, or several parted by spaces. Required.
    std::string url;
    std::string api_key;
    /// Who joins; "": the claim `user_id` (LiveKit: `sub`) of the token.
    std::string user_id;
    /// The user's token (a JWT); "": every call asks with events::token_needed.
    std::string token;
    /// PEM file with certificates to trust besides those of the system.
    std::string ca_file;
    /// URL that tells the nearest edge in its `x-amz-cf-pop` header.
    std::string hint_url;
    /// Largest message taken from an SFU, in bytes, 1024 to 67108864; 0: 1048576, with LiveKit 16777216.
    std::uint32_t max_message_bytes = 0;
    /// Allows plain http and ws to hosts that are not loopback; tokens then travel in the clear.
    bool allow_insecure = false;
    /// Also hear the coordinator's own events (events::custom).
    bool events = false;
    offhook::protocol protocol = offhook::protocol::stream;
    /// Tokens may go to hosts that the server names over a connection without TLS.
    bool allow_other_hosts = false;
};

/// What to join and how.
struct call_options {
    /// Which call. Required; with LiveKit "": the one that the token is for.
    std::string id;
    /// The call's type; "": "default".
    std::string call_type;
    /// Token for this call instead of the client's.
    std::string token;
    /// The `data` of the join request as a JSON object.
    std::string data_json;
    /// Retries of a failed join on other edges, 0 to 10.
    std::int32_t join_retries = 3;
    /// Samples per second of what is heard, 8000 to 192000; 0: 48000.
    std::uint32_t audio_rate = 0;
    /// Channels of what is heard, 1 or 2; 0: 1.
    std::uint32_t audio_channels = 0;
    offhook::audio_format audio_format = offhook::audio_format::s16;
    /// Receive buffer: least and greatest delay, up to 2 s; both 0: 20 to 200 ms.
    std::chrono::milliseconds audio_min_delay{0};
    std::chrono::milliseconds audio_max_delay{0};
    /// Events queued for the application at most, 16 to 65536; 0: 1024. See events::lost.
    std::uint32_t event_queue = 0;
    /// Frames of 20 ms queued for the application at most, 1 to 4096; 0: 50. Beyond it the oldest is dropped.
    std::uint32_t audio_queue = 0;
    /// Never receive (a publish-only bot).
    bool no_subscriber = false;
    /// Pull mode: sound comes as events::audio.
    bool pull_audio = false;
    /// Do not create the call when it does not exist.
    bool no_create = false;
    /// Ring the members; notify them.
    bool ring = false;
    bool notify = false;
    /// How long a lost connection is looked for before the call ends; 0: 30 s; forever.
    std::chrono::milliseconds disconnect_timeout{0};
    /// Ask with events::token_needed for another token when the one given has expired.
    bool renew_token = false;
    /// A track is received only when subscriber::set_track asks for it (capability::subscriptions).
    bool no_auto_subscribe = false;
    /// How long leaving and closing go on sending what was accepted before, 1 to 1000 ms; 0: 1000 ms; no_drain: not at all.
    std::chrono::milliseconds drain{0};
    /// Pieces of texts come as they arrive, too (events::text_part).
    bool partial_texts = false;
    /// A track that a moderator unmutes stays muted until track_ref::set_muted agrees (events::remote_track::held).
    bool hold_unmute = false;
    /// Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304.
    std::uint32_t event_bytes = 0;
};

/// What is sent and how.
struct audio_track_options {
    /// What will be written; s16 and f32 may be mixed freely.
    audio_format format = audio_format::s16;
    /// Samples per second of what will be written, 8000 to 192000; 0: 48000.
    std::uint32_t rate = 0;
    /// Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
    std::uint32_t channels = 0;
    /// bit/s of Opus, 6000 to 510000; 0: 64000, with music 128000.
    std::uint32_t bitrate = 0;
    /// Effort of the Opus encoder, 0 to 10; -1: the library's choice.
    std::int32_t complexity = -1;
    /// How much may be written ahead, 40 ms to 5 s; 0: 200 ms.
    std::chrono::milliseconds buffer{0};
    /// Music rather than speech.
    bool music = false;
    /// No discontinuous transmission: silence is sent, too.
    bool no_dtx = false;
    /// No forward error correction.
    bool no_fec = false;
    /// Start muted.
    bool muted = false;
    /// Live audio (a microphone, a bridge): at most 40 ms wait, beyond it the oldest is dropped and counted
    /// (call_stats::audio_dropped_ms). A write never gives errc::full then.
    bool live = false;
    /// Redundant audio (RED, RFC 2198), where the SFU accepts it: earlier frames sent along, 1 or 2; -1: none, 0: 1.
    std::int32_t red = 0;
};

/// To whom data and texts go, and how.
struct data_options {
    /// Sent once, and what is lost is lost. Texts always arrive.
    bool lossy = false;
    /// What it is about, for the application's own use.
    std::string topic;
    /// User ids; empty: everybody in the call.
    std::vector<std::string> to;
};

/// Which procedure of whom.
struct rpc_options {
    /// The user id of the participant. Required.
    std::string to;
    /// The procedure's name. Required.
    std::string method;
    /// Handed over, 15360 bytes at most.
    std::string payload;
    /// How long to wait for the answer, 1 to 600 s; 0: 15 s.
    std::chrono::milliseconds timeout{0};
};

/// What is wanted of one remote track.
struct remote_track_options {
    /// Nothing at all.
    bool unsubscribe = false;
    /// Nothing for the moment; comes back faster than after unsubscribe.
    bool pause = false;
    /// Where no size is given.
    offhook::layer layer = offhook::layer::high;
    /// The size at which video is shown, in pixels; 0: not said.
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    /// Frames per second at most; 0: not said.
    std::uint32_t fps = 0;
    /// Where bandwidth is short: 1 goes first; 0: the SFU decides.
    std::uint32_t priority = 0;
};

} // namespace offhook

#endif
