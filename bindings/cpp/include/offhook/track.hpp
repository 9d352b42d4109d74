// track.hpp - a track that I publish.
#ifndef OFFHOOK_TRACK_HPP
#define OFFHOOK_TRACK_HPP

#include "constants.hpp"
#include "result.hpp"
#include "span.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

namespace offhook {

/// What track_ref::clear gives.
struct cleared {
    std::chrono::milliseconds sent{};    ///< of everything written since the track was published, was sent
    std::chrono::milliseconds dropped{}; ///< was discarded now
};

/// Names a track without owning it; copies name the same one. Any thread.
class track_ref {
public:
    track_ref() noexcept = default;
    explicit track_ref(oh_track handle) noexcept : handle_(handle) {}

    /// Whether it names a track at all, be it gone or not.
    explicit operator bool() const noexcept { return handle_.id != 0; }
    oh_track handle() const noexcept { return handle_; }
    friend bool operator==(track_ref a, track_ref b) noexcept { return a.handle_.id == b.handle_.id; }
    friend bool operator!=(track_ref a, track_ref b) noexcept { return !(a == b); }

    /// Writes `frames` samples per channel, interleaved; copied. Never waits: errc::full when there is no room for all
    /// of it now (see wait), errc::closed when the track or its call is over. Writers of one track should take turns.
    result<void> write(const std::int16_t *samples, std::uint32_t frames) const
    {
        return detail::to_result(oh_track_write_s16(handle_, samples, frames));
    }
    result<void> write(const float *samples, std::uint32_t frames) const
    {
        return detail::to_result(oh_track_write_f32(handle_, samples, frames));
    }

    /// Writes one Opus packet of 1 to 1500 bytes, on a track of audio_format::opus.
    result<void> write_packet(span<const std::uint8_t> packet) const
    {
        if (packet.size() > 1500) return error(errc::argument, "an Opus packet has at most 1500 bytes");
        return detail::to_result(oh_track_write_opus(handle_, packet.data(), static_cast<std::uint32_t>(packet.size())));
    }

    /// Waits until there is room for `frames` samples per channel (packets of Opus). errc::timeout; errc::closed;
    /// errc::would_deadlock inside a handler.
    result<void> wait(std::uint32_t frames, std::chrono::milliseconds timeout) const
    {
        return detail::to_result(oh_track_wait(handle_, frames, detail::to_ms(timeout)));
    }

    /// How much was written and not sent yet.
    result<std::chrono::milliseconds> buffered() const
    {
        std::uint32_t ms = 0;
        if (oh_result code = oh_track_buffered_ms(handle_, &ms)) return detail::last_error(code);
        return std::chrono::milliseconds(ms);
    }

    /// Waits until all that was written was sent. errc::timeout; errc::closed; errc::would_deadlock inside a handler.
    result<void> drain(std::chrono::milliseconds timeout) const
    {
        return detail::to_result(oh_track_drain(handle_, detail::to_ms(timeout)));
    }

    /// Empties the buffer at once: what was written and not sent yet is never sent (a speaker is interrupted).
    result<cleared> clear() const
    {
        std::uint64_t sent = 0;
        std::uint32_t dropped = 0;
        if (oh_result code = oh_track_clear(handle_, &sent, &dropped)) return detail::last_error(code);
        return cleared{std::chrono::milliseconds(sent), std::chrono::milliseconds(dropped)};
    }

    /// Mutes or unmutes: media follows at once, the others are told, the last intent wins.
    result<void> set_muted(bool muted) const { return detail::to_result(oh_track_set_muted(handle_, muted)); }

    /// Stops and unpublishes the track and frees its handle; twice is fine. Does not wait: what was written is still sent.
    void close() const noexcept { oh_track_free(handle_); }

protected:
    oh_track handle_{};
};

/// Owns a track: unpublishes it at the end of its life. Freed with its call at the latest; to use it then is errc::handle.
class track : public track_ref {
public:
    track() noexcept = default;
    /// Takes over a handle of the C API that was published with so many channels.
    explicit track(oh_track handle, std::uint32_t channels) noexcept : track_ref(handle), channels_(channels) {}
    track(track &&other) noexcept : track_ref(other.release()), channels_(other.channels_) {}
    track &operator=(track &&other) noexcept
    {
        if (this != &other) {
            close();
            channels_ = other.channels_;
            handle_ = other.release().handle();
        }
        return *this;
    }
    ~track() { close(); }

    using track_ref::write;
    /// Writes interleaved samples of all channels: 20 ms or any number that fits the buffer.
    result<void> write(span<const std::int16_t> samples) const { return write_span(samples); }
    result<void> write(span<const float> samples) const { return write_span(samples); }

    std::uint32_t channels() const noexcept { return channels_; }

    /// Gives up ownership: the track goes on until its call ends, or somebody closes it.
    track_ref release() noexcept { return track_ref(std::exchange(handle_, oh_track{})); }

private:
    template <class T> result<void> write_span(span<const T> samples) const
    {
        if (channels_ == 0) return write(samples.data(), 0); // was moved from, or never published
        if (samples.size() % channels_ != 0 || samples.size() / channels_ > UINT32_MAX)
            return error(errc::argument, "the number of samples is not a multiple of the track's channels");
        return write(samples.data(), static_cast<std::uint32_t>(samples.size() / channels_));
    }

    std::uint32_t channels_ = 0;
};

} // namespace offhook

#endif
