// track.hpp - local tracks.
#ifndef OFFHOOK_TRACK_HPP
#define OFFHOOK_TRACK_HPP

#include "constants.hpp"
#include "result.hpp"
#include "span.hpp"
#include "stats.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace offhook {

/// Result of track_ref::clear.
struct cleared {
    std::chrono::milliseconds sent{};    ///< how much of everything written was sent since the track was published
    std::chrono::milliseconds dropped{}; ///< how much was discarded now
};

/// Refers to a local track without owning it; copies refer to the same one. Any thread.
class track_ref {
public:
    track_ref() noexcept = default;
    explicit track_ref(oh_track handle) noexcept : handle_(handle) {}

    /// Whether it refers to a track; the track may be freed.
    explicit operator bool() const noexcept { return handle_.id != 0; }
    oh_track handle() const noexcept { return handle_; }
    friend bool operator==(track_ref a, track_ref b) noexcept { return a.handle_.id == b.handle_.id; }
    friend bool operator!=(track_ref a, track_ref b) noexcept { return !(a == b); }

    /// Writes `frames` samples per channel, interleaved; copied. Never waits: errc::full when there is no room for all of
    /// it now (see wait_writable), errc::closed when the track or its call has ended. Writers of one track should take
    /// turns.
    result<void> write(const std::int16_t *samples, std::size_t frames) const
    {
        return detail::to_result(oh_track_write_s16(handle_, samples, frames));
    }
    result<void> write(const float *samples, std::size_t frames) const
    {
        return detail::to_result(oh_track_write_f32(handle_, samples, frames));
    }

    /// Writes one Opus packet (RFC 6716) of 1 to 1500 bytes, on a track with audio_format::opus.
    result<void> write_opus(span<const std::uint8_t> packet) const
    {
        return detail::to_result(oh_track_write_opus(handle_, packet.data(), packet.size()));
    }

    /// Waits until there is room for `frames` samples per channel (a track of Opus packets: packets). errc::timeout;
    /// errc::closed; errc::argument when so many never fit; errc::would_deadlock inside a handler. The buffer does not
    /// drain until the track is published.
    result<void> wait_writable(std::size_t frames, std::chrono::milliseconds timeout) const
    {
        return detail::to_result(oh_track_wait_writable(handle_, frames, detail::to_ms(timeout)));
    }

    /// How much was written and not sent yet.
    result<std::chrono::milliseconds> buffered() const
    {
        std::uint32_t ms = 0;
        if (oh_result code = oh_track_get_buffered_ms(handle_, &ms)) return detail::last_error(code);
        return std::chrono::milliseconds(ms);
    }

    /// Waits until everything that was written has been sent. errc::timeout; errc::closed; errc::would_deadlock inside a
    /// handler.
    result<void> wait_drained(std::chrono::milliseconds timeout) const
    {
        return detail::to_result(oh_track_wait_drained(handle_, detail::to_ms(timeout)));
    }

    /// Discards what was written and not sent yet. What is written next is sent at once. For an answer that is interrupted
    /// (barge-in).
    result<cleared> clear() const
    {
        std::uint64_t sent = 0, dropped = 0;
        if (oh_result code = oh_track_clear(handle_, &sent, &dropped)) return detail::last_error(code);
        return cleared{std::chrono::milliseconds(sent), std::chrono::milliseconds(dropped)};
    }

    /// Statistics of the track. Works until it is freed, also after its end.
    result<track_stats> stats() const { return detail::read_stats(handle_); }

    /// Mutes or unmutes. Media follows at once, and what was written while muted is never sent. The others are informed;
    /// the last call wins. The track stays published.
    result<void> set_muted(bool muted) const { return detail::to_result(oh_track_set_muted(handle_, muted)); }

    /// Unpublishes the track and frees its handle. Returns at once: what was written before is still sent. Call clear
    /// first when the rest is not wanted. Closing twice is fine.
    void close() const noexcept { oh_track_free(handle_); }

protected:
    oh_track handle_{};
};

/// Owns a local track: the destructor unpublishes it. Freed with its call at the latest; using it then is errc::handle.
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
    /// Writes interleaved samples of all channels, any number that fits the buffer.
    result<void> write(span<const std::int16_t> samples) const { return write_span(samples); }
    result<void> write(span<const float> samples) const { return write_span(samples); }

    std::uint32_t channels() const noexcept { return channels_; }

    /// Gives up ownership: the track goes on until its call ends, or it is closed.
    track_ref release() noexcept { return track_ref(std::exchange(handle_, oh_track{})); }

private:
    template <class T> result<void> write_span(span<const T> samples) const
    {
        if (channels_ == 0) return write(samples.data(), 0); // was moved from, or never published
        if (samples.size() % channels_ != 0)
            return error(errc::argument, "the number of samples is not a multiple of the track's channels");
        return write(samples.data(), samples.size() / channels_);
    }

    std::uint32_t channels_ = 0;
};

} // namespace offhook

#endif
