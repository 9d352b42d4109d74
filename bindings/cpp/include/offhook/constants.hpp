// constants.hpp - the numbers of offhook.h as scoped enumerations. A library that is newer than this header may give
// others: every switch needs a default.
#ifndef OFFHOOK_CONSTANTS_HPP
#define OFFHOOK_CONSTANTS_HPP

#include <offhook.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace offhook {

/// The result of a function (oh_result). offhook.h has the meaning of each.
enum class errc : std::int32_t {
    ok = OH_OK,
    argument = OH_ERR_ARGUMENT,
    handle = OH_ERR_HANDLE,
    state = OH_ERR_STATE,
    closed = OH_ERR_CLOSED,
    full = OH_ERR_FULL,
    timeout = OH_ERR_TIMEOUT,
    would_deadlock = OH_ERR_WOULD_DEADLOCK,
    unsupported = OH_ERR_UNSUPPORTED,
    network = OH_ERR_NETWORK,
    tls = OH_ERR_TLS,
    refused = OH_ERR_REFUSED,
    protocol = OH_ERR_PROTOCOL,
    auth = OH_ERR_AUTH,
    cancelled = OH_ERR_CANCELLED,
    limit = OH_ERR_LIMIT,
    insecure = OH_ERR_INSECURE,
    forked = OH_ERR_FORKED,
    media = OH_ERR_MEDIA,
    internal = OH_ERR_INTERNAL,
    abi = OH_ERR_ABI,
    empty = OH_ERR_EMPTY,
    buffer = OH_ERR_BUFFER,
};

/// The state of a call (oh_call_state).
enum class call_state : std::int32_t {
    idle = OH_STATE_IDLE,
    joining = OH_STATE_JOINING,
    joined = OH_STATE_JOINED,
    reconnecting = OH_STATE_RECONNECTING,
    migrating = OH_STATE_MIGRATING,
    offline = OH_STATE_OFFLINE,
    reconnecting_failed = OH_STATE_RECONNECTING_FAILED,
    left = OH_STATE_LEFT,
};

/// Why a call ended (oh_end_reason).
enum class end_reason : std::int32_t {
    left = OH_END_LEFT,
    call_ended = OH_END_CALL_ENDED,
    session_ended = OH_END_SESSION_ENDED,
    kicked = OH_END_KICKED,
    join_failed = OH_END_JOIN_FAILED,
    connection_lost = OH_END_CONNECTION_LOST,
    disconnected = OH_END_DISCONNECTED,
    shutdown = OH_END_SHUTDOWN,
    internal = OH_END_INTERNAL,
    reconnect_limit = OH_END_RECONNECT_LIMIT,
    negotiation_failed = OH_END_NEGOTIATION_FAILED,
    network_unsupported = OH_END_NETWORK_UNSUPPORTED,
    reconnect_refused = OH_END_RECONNECT_REFUSED,
    replaced = OH_END_REPLACED,
};

/// Kind of an event (oh_event_kind); events.hpp has a type for each.
enum class event_kind : std::int32_t {
    state = OH_EVENT_STATE,
    joined = OH_EVENT_JOINED,
    token_needed = OH_EVENT_TOKEN_NEEDED,
    participant_joined = OH_EVENT_PARTICIPANT_JOINED,
    participant_updated = OH_EVENT_PARTICIPANT_UPDATED,
    participant_left = OH_EVENT_PARTICIPANT_LEFT,
    track_published = OH_EVENT_TRACK_PUBLISHED,
    track_unpublished = OH_EVENT_TRACK_UNPUBLISHED,
    audio_level = OH_EVENT_AUDIO_LEVEL,
    dominant_speaker = OH_EVENT_DOMINANT_SPEAKER,
    connection_quality = OH_EVENT_CONNECTION_QUALITY,
    counts = OH_EVENT_COUNTS,
    rights = OH_EVENT_RIGHTS,
    pins = OH_EVENT_PINS,
    local_track_published = OH_EVENT_LOCAL_TRACK_PUBLISHED,
    local_track_failed = OH_EVENT_LOCAL_TRACK_FAILED,
    error = OH_EVENT_ERROR,
    lost = OH_EVENT_LOST,
    audio = OH_EVENT_AUDIO,
    ended = OH_EVENT_ENDED,
    reconnected = OH_EVENT_RECONNECTED,
    custom = OH_EVENT_CUSTOM,
    room = OH_EVENT_ROOM,
    data = OH_EVENT_DATA,
    text = OH_EVENT_TEXT,
    rpc_request = OH_EVENT_RPC_REQUEST,
    rpc_response = OH_EVENT_RPC_RESPONSE,
    subscription_permission = OH_EVENT_SUBSCRIPTION_PERMISSION,
    media = OH_EVENT_MEDIA,
    unsent = OH_EVENT_UNSENT,
    unplayable = OH_EVENT_UNPLAYABLE,
    text_part = OH_EVENT_TEXT_PART,
    dtmf = OH_EVENT_DTMF,
    ice_server = OH_EVENT_ICE_SERVER,
};

/// What kind of participant it is (oh_participant_kind).
enum class participant_kind : std::int32_t {
    standard = OH_PARTICIPANT_STANDARD,
    ingress = OH_PARTICIPANT_INGRESS,
    egress = OH_PARTICIPANT_EGRESS,
    sip = OH_PARTICIPANT_SIP,
    agent = OH_PARTICIPANT_AGENT,
    recorder = OH_PARTICIPANT_RECORDER,
    other = OH_PARTICIPANT_OTHER,
};

/// Why a participant left (oh_leave_reason).
enum class leave_reason : std::int32_t {
    unknown = OH_LEAVE_UNKNOWN,
    client = OH_LEAVE_CLIENT,
    replaced = OH_LEAVE_REPLACED,
    server_shutdown = OH_LEAVE_SERVER_SHUTDOWN,
    removed = OH_LEAVE_REMOVED,
    room_deleted = OH_LEAVE_ROOM_DELETED,
    state_mismatch = OH_LEAVE_STATE_MISMATCH,
    join_failure = OH_LEAVE_JOIN_FAILURE,
    migration = OH_LEAVE_MIGRATION,
    signal_close = OH_LEAVE_SIGNAL_CLOSE,
    room_closed = OH_LEAVE_ROOM_CLOSED,
    user_unavailable = OH_LEAVE_USER_UNAVAILABLE,
    user_rejected = OH_LEAVE_USER_REJECTED,
    sip_trunk_failure = OH_LEAVE_SIP_TRUNK_FAILURE,
    connection_timeout = OH_LEAVE_CONNECTION_TIMEOUT,
    media_failure = OH_LEAVE_MEDIA_FAILURE,
    agent_error = OH_LEAVE_AGENT_ERROR,
};

/// What a participant may do, and two marks (oh_right); see rights.
enum class right : std::uint64_t {
    audio = OH_RIGHT_AUDIO,
    video = OH_RIGHT_VIDEO,
    screen_share = OH_RIGHT_SCREEN_SHARE,
    data = OH_RIGHT_DATA,
    subscribe = OH_RIGHT_SUBSCRIBE,
    set_attributes = OH_RIGHT_SET_ATTRIBUTES,
    hidden = OH_RIGHT_HIDDEN,     ///< no right: the participant is not visible to others
    recorder = OH_RIGHT_RECORDER, ///< no right: the participant records the call
};

/// A set of right.
struct rights {
    oh_rights bits = 0; ///< sum of right values; bits without a name here may be set
    bool has(right what) const noexcept { return (bits & static_cast<oh_rights>(what)) != 0; }
};

/// Direction of media, seen from the local participant (oh_direction).
enum class direction : std::int32_t {
    send = OH_DIRECTION_SEND,
    receive = OH_DIRECTION_RECEIVE,
};

/// Why received media or data cannot be decoded (oh_unplayable_reason).
enum class unplayable_reason : std::int32_t {
    none = OH_UNPLAYABLE_NONE, ///< it can, as far as is known
    encrypted = OH_UNPLAYABLE_ENCRYPTED,
    codec = OH_UNPLAYABLE_CODEC,
    unassigned = OH_UNPLAYABLE_UNASSIGNED,
    payload_type = OH_UNPLAYABLE_PAYLOAD_TYPE,
    data_encrypted = OH_UNPLAYABLE_DATA_ENCRYPTED,
};

/// Format of audio (oh_audio_format).
enum class audio_format : std::int32_t {
    s16 = OH_AUDIO_S16,   ///< interleaved 16-bit integers
    f32 = OH_AUDIO_F32,   ///< interleaved floats, -1.0 to 1.0
    opus = OH_AUDIO_OPUS, ///< Opus packets
};

/// What a track carries, and from where (oh_track_source).
enum class track_source : std::int32_t {
    unknown = OH_SOURCE_UNKNOWN, ///< not known; data and texts have no source
    microphone = OH_SOURCE_MICROPHONE,
    camera = OH_SOURCE_CAMERA,
    screen_share = OH_SOURCE_SCREEN_SHARE,
    screen_share_audio = OH_SOURCE_SCREEN_SHARE_AUDIO,
};

/// Why a track ended or was muted (oh_unpublish_cause).
enum class unpublish_cause : std::int32_t {
    unknown = OH_UNPUBLISH_UNKNOWN, ///< the server did not say
    muted = OH_UNPUBLISH_MUTED,
    permission_revoked = OH_UNPUBLISH_PERMISSION_REVOKED,
    moderation = OH_UNPUBLISH_MODERATION,
};

/// How well a participant is connected (oh_connection_quality).
enum class connection_quality : std::int32_t {
    unknown = OH_QUALITY_UNKNOWN,
    poor = OH_QUALITY_POOR,
    good = OH_QUALITY_GOOD,
    excellent = OH_QUALITY_EXCELLENT,
    lost = OH_QUALITY_LOST,
};

/// Levels of log lines, most important first (oh_log_level).
enum class log_level : std::int32_t {
    off = OH_LOG_OFF,
    error = OH_LOG_ERROR,
    warn = OH_LOG_WARN,
    info = OH_LOG_INFO,
    debug = OH_LOG_DEBUG,
    trace = OH_LOG_TRACE,
};

/// How a lost connection was made again (oh_reconnect_kind).
enum class reconnect_kind : std::int32_t {
    fast = OH_RECONNECT_FAST,
    rejoin = OH_RECONNECT_REJOIN,
    migrate = OH_RECONNECT_MIGRATE,
};

/// A change of the machine's network (oh_network_change).
enum class network_change : std::int32_t {
    offline = OH_NETWORK_OFFLINE,
    online = OH_NETWORK_ONLINE,
    changed = OH_NETWORK_CHANGED,
};

/// The protocol of a service (oh_protocol).
enum class protocol : std::int32_t {
    automatic = OH_PROTOCOL_AUTO, ///< by the URL: wss:// and ws:// mean livekit, https:// and http:// mean stream
    stream = OH_PROTOCOL_STREAM,
    livekit = OH_PROTOCOL_LIVEKIT,
};

/// Which IP addresses media uses (oh_ip_family).
enum class ip_family : std::int32_t {
    any = OH_IP_ANY, ///< IPv4 and IPv6
    v4 = OH_IP_V4,
    v6 = OH_IP_V6,
};

/// What only some protocols have (oh_capability); see capabilities.
enum class capability : std::uint64_t {
    custom_events = OH_CAP_CUSTOM_EVENTS,
    ring = OH_CAP_RING,
    pins = OH_CAP_PINS,
    dominant_speaker = OH_CAP_DOMINANT_SPEAKER,
    migrate = OH_CAP_MIGRATE,
    data = OH_CAP_DATA,
    text = OH_CAP_TEXT,
    rpc = OH_CAP_RPC,
    attributes = OH_CAP_ATTRIBUTES,
    room = OH_CAP_ROOM,
    subscriptions = OH_CAP_SUBSCRIPTIONS,
};

/// A set of capability.
struct capabilities {
    oh_capabilities bits = 0; ///< sum of capability values; bits without a name here may be set
    bool has(capability what) const noexcept { return (bits & static_cast<oh_capabilities>(what)) != 0; }
};

/// A layer of simulcast video (oh_video_layer).
enum class video_layer : std::int32_t { high = OH_LAYER_HIGH, medium = OH_LAYER_MEDIUM, low = OH_LAYER_LOW };

/// Why a procedure call failed (oh_rpc_error): none, one of these, or a code of the other application.
enum class rpc_error : std::uint32_t {
    none = 0,
    unsupported_method = OH_RPC_UNSUPPORTED_METHOD,
    recipient_not_found = OH_RPC_RECIPIENT_NOT_FOUND,
    request_too_large = OH_RPC_REQUEST_TOO_LARGE,
    unsupported_version = OH_RPC_UNSUPPORTED_VERSION,
    application = OH_RPC_APPLICATION,
    connection_timeout = OH_RPC_CONNECTION_TIMEOUT,
    response_timeout = OH_RPC_RESPONSE_TIMEOUT,
    recipient_disconnected = OH_RPC_RECIPIENT_DISCONNECTED,
    response_too_large = OH_RPC_RESPONSE_TOO_LARGE,
    send_failed = OH_RPC_SEND_FAILED,
};

/// As a timeout: no limit (OH_FOREVER).
inline constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();

/// Names as in offhook.h, for instance "OH_ERR_HANDLE", "participant_joined", "joined". Static texts.
inline const char *to_string(errc code) noexcept { return oh_result_get_name(static_cast<oh_result>(code)); }
inline const char *to_string(event_kind kind) noexcept { return oh_event_kind_get_name(static_cast<oh_event_kind>(kind)); }
inline const char *to_string(call_state state) noexcept { return oh_call_state_get_name(static_cast<oh_call_state>(state)); }

namespace detail {

/// A duration in the library's unit: never negative, and OH_FOREVER from 49 days on.
inline std::uint32_t to_ms(std::chrono::milliseconds time) noexcept
{
    if (time.count() <= 0) return 0;
    return time.count() >= static_cast<std::int64_t>(OH_ZERO) ? OH_FOREVER : static_cast<std::uint32_t>(time.count());
}

/// Of an option for which the library's 0 is the default: nothing is the default, and zero is OH_ZERO.
inline std::uint32_t or_default(const std::optional<std::chrono::milliseconds> &time) noexcept
{
    if (!time) return 0;
    return time->count() <= 0 ? OH_ZERO : to_ms(*time);
}
inline std::uint32_t or_default(const std::optional<std::uint32_t> &number) noexcept
{
    if (!number) return 0;
    if (*number == 0) return OH_ZERO;
    return *number == OH_ZERO ? OH_FOREVER : *number; // too much in any case
}

} // namespace detail
} // namespace offhook

#endif
