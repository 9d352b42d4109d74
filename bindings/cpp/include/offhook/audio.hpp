// audio.hpp - received audio, 20 ms of one track: borrowed (audio_view) or owned (audio_frame).
#ifndef OFFHOOK_AUDIO_HPP
#define OFFHOOK_AUDIO_HPP

#include "constants.hpp"
#include "detail/known.hpp"
#include "span.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace offhook {

/// What audio_view and audio_frame have in common: numbers.
struct audio_info {
    audio_format format = audio_format::s16; ///< which of samples_s16, samples_f32 and opus_packet is set
    std::size_t frames = 0;                  ///< samples per channel, 20 ms; 0 for Opus
    std::uint32_t sample_rate_hz = 0;        ///< samples per second and channel, as set in call_options
    std::uint32_t channels = 0;              ///< as set in call_options
    /// When the first sample was captured: time since 1970 by the clock of the sender, which is the same for all tracks
    /// of a participant; 0: the sender has not reported it. Compare it with tracks of the same participant only.
    std::chrono::microseconds capture_time{0};
    /// When the packet of the first sample arrived: time since client::join, by the clock of this machine; 0: it was in no
    /// packet (concealed, silence).
    std::chrono::microseconds arrival_time{0};
    std::uint32_t rtp_timestamp = 0;         ///< of the first sample, 48 kHz; wraps around
    float level = 0;                         ///< audio level, 0.0 (silence) to 1.0; 0 for Opus
    track_source source = track_source::unknown;
    bool concealed = false;                  ///< synthesised by packet-loss concealment (Opus: packets before were lost)
    bool silence = false;                    ///< the sender sent nothing; the samples are zero
};

/// Audio that belongs to the library: valid until the handler returns.
struct audio_view : audio_info {
    std::string_view user_id;
    std::string_view session_id;              ///< identifies the participant; one user can be in a call more than once
    std::string_view track_id;                ///< as in track_info; "" in protocols without track ids
    span<const std::int16_t> samples_s16;     ///< audio_format::s16: frames * channels, interleaved
    span<const float> samples_f32;            ///< audio_format::f32: frames * channels, interleaved
    span<const std::uint8_t> opus_packet;     ///< audio_format::opus
};

/// Audio that belongs to the program: what pull mode returns, and what a handler keeps (`audio_frame kept(view)`).
struct audio_frame : audio_info {
    std::string user_id;
    std::string session_id;
    std::string track_id;
    std::vector<std::int16_t> samples_s16;
    std::vector<float> samples_f32;
    std::vector<std::uint8_t> opus_packet;

    audio_frame() = default;
    explicit audio_frame(const audio_view &v)
        : audio_info(v), user_id(v.user_id), session_id(v.session_id), track_id(v.track_id),
          samples_s16(v.samples_s16.begin(), v.samples_s16.end()),
          samples_f32(v.samples_f32.begin(), v.samples_f32.end()),
          opus_packet(v.opus_packet.begin(), v.opus_packet.end())
    {
    }
};

namespace detail {

inline audio_view to_view(const oh_audio_frame *from) noexcept
{
    const oh_audio_frame a = known(from);
    audio_view v;
    const std::size_t count = a.frames * a.channels;
    v.format = static_cast<audio_format>(a.format);
    v.frames = a.frames;
    v.sample_rate_hz = a.sample_rate_hz;
    v.channels = a.channels;
    v.capture_time = std::chrono::microseconds(a.capture_time_us);
    v.arrival_time = std::chrono::microseconds(a.arrival_time_us);
    v.rtp_timestamp = a.rtp_timestamp;
    v.level = a.level;
    v.source = static_cast<track_source>(a.source);
    v.concealed = a.concealed != 0;
    v.silence = a.silence != 0;
    v.user_id = text(a.user_id);
    v.session_id = text(a.session_id);
    v.track_id = text(a.track_id);
    if (a.samples_s16) v.samples_s16 = {a.samples_s16, count};
    if (a.samples_f32) v.samples_f32 = {a.samples_f32, count};
    if (a.opus_packet) v.opus_packet = {a.opus_packet, a.opus_packet_size};
    return v;
}

} // namespace detail
} // namespace offhook

#endif
