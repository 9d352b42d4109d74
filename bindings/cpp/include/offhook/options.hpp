// options.hpp - options of clients, calls, tracks, data and procedure calls. Empty texts, 0 and nullopt are the default.
// Everything is copied by the function that takes it.
#ifndef OFFHOOK_OPTIONS_HPP
#define OFFHOOK_OPTIONS_HPP

#include "constants.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace offhook {

/// How to reach the service, and as whom.
struct client_options {
    /// Base URL of the coordinator; with protocol::livekit of the server. Several servers of one cluster may be given,
    /// space-separated; tried in order. Required.
    std::string url;
    /// The application's API key.
    std::string api_key;
    /// The user id; "": the claim `user_id` (protocol::livekit: `sub`) of the token.
    std::string user_id;
    /// The user's token (a JWT); "": every call asks for one with events::token_needed.
    std::string token;
    /// PEM file with certificates to trust besides those of the system.
    std::string ca_file;
    /// URL whose response names the nearest edge in the header `x-amz-cf-pop`; "": not requested.
    std::string hint_url;
    /// Largest message accepted from an SFU, 1024 to 67108864; 0: 1048576, with protocol::livekit 16777216.
    std::size_t max_message_bytes = 0;
    /// The protocol of the service.
    offhook::protocol protocol = offhook::protocol::automatic;
    /// Allow plain http and ws to hosts that are not loopback. Tokens then travel in the clear.
    bool allow_insecure = false;
    /// Allow tokens to be sent to hosts that the server names over a connection without TLS.
    bool allow_other_hosts = false;
    /// Receive custom events of the coordinator (events::custom).
    bool receive_custom_events = false;
    /// HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
    /// "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h://. "": as the environment says
    /// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). "none": no proxy. Servers on loopback are always reached directly.
    std::string proxy;
    /// The only network interfaces to use for media, by name: {"eth0", "wl*"}. A * at the end stands for any rest; a name
    /// that begins with ! is not used. Empty: those that routes to the SFU lead through.
    std::vector<std::string> interfaces;
    /// IP addresses to use for media.
    offhook::ip_family ip_family = offhook::ip_family::any;
    /// Use only addresses of TURN servers for media, and send the SFU no others.
    bool relay_only = false;
    /// First and last local UDP port for media; 0 and 0: any. A session uses up to two ports of each local address, and
    /// while a call reconnects there are two sessions. All calls share the range; it holds at least two ports.
    std::uint16_t media_port_min = 0;
    std::uint16_t media_port_max = 0;
    /// Differentiated services code point of media packets, 0 to 63, for instance 46 (EF) for voice; 0: the system's.
    std::uint8_t dscp = 0;
};

/// What to join and how.
struct call_options {
    /// Which call. Required; with protocol::livekit the room, "": the one that the token is for.
    std::string call_id;
    /// The type of the call; "": "default".
    std::string call_type;
    /// Token for this call instead of the client's.
    std::string token;
    /// The `data` of the join request as a JSON object.
    std::string data_json;
    /// Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304.
    std::size_t max_queued_event_bytes = 0;
    /// Events that wait for the application at most, 16 to 65536; 0: 1024. Beyond it events are dropped: events::lost.
    std::uint32_t max_queued_events = 0;
    /// Audio frames that wait for the application at most, 1 to 4096; 0: 50. Beyond it the oldest is dropped.
    std::uint32_t max_queued_audio_frames = 0;
    /// Sample rate of received audio, 8000 to 192000; 0: 48000.
    std::uint32_t audio_sample_rate_hz = 0;
    /// Channels of received audio, 1 or 2; 0: 1.
    std::uint32_t audio_channels = 0;
    /// Format of received audio.
    offhook::audio_format audio_format = offhook::audio_format::s16;
    /// Jitter buffer: least delay, 0 to 2 s; nullopt: 20 ms.
    std::optional<std::chrono::milliseconds> audio_min_delay;
    /// Jitter buffer: greatest delay, 20 ms to 2 s, not less than audio_min_delay; 0: 200 ms, or audio_min_delay when
    /// that is more.
    std::chrono::milliseconds audio_max_delay{0};
    /// Attempts to join on other edges after a failed one, 0 to 10; nullopt: 3.
    std::optional<std::uint32_t> join_retries;
    /// How long the call tries to reconnect before it ends; 0: it ends instead of reconnecting; forever: no limit;
    /// nullopt: 30 s.
    std::optional<std::chrono::milliseconds> reconnect_timeout;
    /// How long leaving and closing go on sending what was accepted before, 0 to 1 s; nullopt: 1 s.
    std::optional<std::chrono::milliseconds> drain;
    /// Never receive (for a bot that only publishes).
    bool no_subscriber = false;
    /// A track is received only when subscriber::set_track asks for it (capability::subscriptions).
    bool no_auto_subscribe = false;
    /// Pull mode: deliver audio as events::audio.
    bool pull_audio = false;
    /// Deliver parts of texts while they arrive (events::text_part).
    bool text_parts = false;
    /// A track that a moderator unmutes stays muted until track_ref::set_muted unmutes it (track_info::held).
    bool hold_unmute = false;
    /// Ask for a new token with events::token_needed when the token has expired. Always so without a token.
    bool renew_token = false;
    /// Do not create the call when it does not exist (capability::ring).
    bool no_create = false;
    /// Ring the members (capability::ring).
    bool ring = false;
    /// Notify the members (capability::ring).
    bool notify = false;
};

/// What is published, and how.
struct audio_track_options {
    /// What the track carries: microphone or screen_share_audio.
    track_source source = track_source::microphone;
    /// Format of what will be written; s16 and f32 may be mixed.
    audio_format format = audio_format::s16;
    /// Sample rate of what will be written, 8000 to 192000; 0: 48000.
    std::uint32_t sample_rate_hz = 0;
    /// Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
    std::uint32_t channels = 0;
    /// Bit rate of Opus, 6000 to 510000; 0: 64000, with music 128000.
    std::uint32_t bitrate_bps = 0;
    /// Complexity of the Opus encoder, 0 to 10; nullopt: the library's choice.
    std::optional<std::uint32_t> complexity;
    /// How much can be written ahead, 40 ms to 5 s; 0: 200 ms.
    std::chrono::milliseconds buffer{0};
    /// Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent again with
    /// each packet, 0 to 2; nullopt: 1.
    std::optional<std::uint32_t> red_frames;
    /// Music rather than speech.
    bool music = false;
    /// No discontinuous transmission: silence is sent as well.
    bool no_dtx = false;
    /// No forward error correction inside Opus packets. It is used only while redundant audio is not.
    bool no_fec = false;
    /// Publish it muted.
    bool muted = false;
    /// Live audio (a microphone, a bridge): at most 40 ms wait; beyond it the oldest is dropped and counted
    /// (call_stats::audio_dropped_ms). Writing never returns errc::full.
    bool live = false;
};

/// To whom data or a text is sent, and how.
struct data_options {
    /// For the application's own use, at most 1024 bytes.
    std::string topic;
    /// User ids, at most 256; empty: all participants.
    std::vector<std::string> to;
    /// Send each packet once, without repeating lost ones. Ignored for texts, which always arrive.
    bool lossy = false;
};

/// Which procedure to call, of which participant.
struct rpc_options {
    /// The user id of the participant. Required.
    std::string to;
    /// The name of the procedure. Required.
    std::string method;
    /// The payload, at most 15360 bytes.
    std::string payload;
    /// How long to wait for the answer, 1 to 600 s; 0: 15 s.
    std::chrono::milliseconds timeout{0};
};

/// Subscription settings of a remote track.
struct remote_track_options {
    /// Do not receive the track.
    bool unsubscribe = false;
    /// Receive nothing for the moment; continues faster than after unsubscribe.
    bool pause = false;
    /// Video: the layer, when neither width nor height is set.
    video_layer layer = video_layer::high;
    /// Video: size at which it is shown, in pixels; 0: not set.
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    /// Video: frames per second at most; 0: no limit.
    std::uint32_t max_fps = 0;
    /// When bandwidth is short: 1 is served first; 0: the SFU decides.
    std::uint32_t priority = 0;
};

} // namespace offhook

#endif
