// audio.hpp - 20 ms of what one participant says: seen (audio_view) or kept (audio_frame).
#ifndef OFFHOOK_AUDIO_HPP
#define OFFHOOK_AUDIO_HPP

#include "constants.hpp"
#include "span.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace offhook {

/// Everything about a frame but who and what: plain numbers.
struct audio_info {
    audio_format format = audio_format::s16; ///< which of samples, samples_f32 and packet is set
    std::uint32_t frames = 0;                ///< samples per channel: 20 ms of them; 0 for Opus
    std::uint32_t rate = 0;                  ///< samples per second and channel
    std::uint32_t channels = 0;
    std::uint32_t timestamp = 0;             ///< RTP timestamp of the first sample, 48 kHz, wraps around
    float level = 0;                         ///< loudness, 0.0 (silence) to 1.0; 0 for Opus
    track_kind kind = track_kind::audio;
    bool concealed = false;                  ///< invented to hide a loss (of Opus: packets before this one were lost)
    bool silence = false;                    ///< the sender sent nothing; the samples are zero
};

/// A frame that belongs to the library: valid until the handler that was given it returns.
struct audio_view : audio_info {
    std::string_view user_id;
    std::string_view session_id;             ///< names the participant; one user may be in a call more than once
    std::string_view track_id;               ///< as in events::remote_track; "" in protocols without such names
    span<const std::int16_t> samples;        ///< audio_format::s16: frames * channels, interleaved
    span<const float> samples_f32;           ///< audio_format::f32: frames * channels, interleaved
    span<const std::uint8_t> packet;         ///< audio_format::opus
};

/// A frame of one's own: what pull mode gives, and what a handler keeps (`audio_frame kept(view)`).
struct audio_frame : audio_info {
    std::string user_id;
    std::string session_id;
    std::string track_id;
    std::vector<std::int16_t> samples;
    std::vector<float> samples_f32;
    std::vector<std::uint8_t> packet;

    audio_frame() = default;
    explicit audio_frame(const audio_view &v)
        : audio_info(v), user_id(v.user_id), session_id(v.session_id), track_id(v.track_id),
          samples(v.samples.begin(), v.samples.end()),
          samples_f32(v.samples_f32.begin(), v.samples_f32.end()), packet(v.packet.begin(), v.packet.end())
    {
    }
};

namespace detail {

inline audio_view to_view(const oh_audio &a) noexcept
{
    audio_view v;
    const std::size_t count = static_cast<std::size_t>(a.frames) * a.channels;
    v.format = static_cast<audio_format>(a.format);
    v.frames = a.frames;
    v.rate = a.rate;
    v.channels = a.channels;
    v.timestamp = a.timestamp;
    v.level = a.level;
    v.kind = static_cast<track_kind>(a.kind);
    v.concealed = a.concealed != 0;
    v.silence = a.silence != 0;
    v.user_id = a.user_id;
    v.session_id = a.session_id;
    v.track_id = a.track_id;
    if (a.samples) v.samples = {a.samples, count};
    if (a.samples_f32) v.samples_f32 = {a.samples_f32, count};
    if (a.packet) v.packet = {a.packet, a.packet_size};
    return v;
}

} // namespace detail
} // namespace offhook

#endif
