// parts.hpp - publisher and subscriber of a call. Every call has one of each and owns them; these classes refer to them
// without owning them.
#ifndef OFFHOOK_PARTS_HPP
#define OFFHOOK_PARTS_HPP

#include "detail/to_c.hpp"
#include "options.hpp"
#include "participant.hpp"
#include "result.hpp"
#include "stats.hpp"

#include <string>

namespace offhook {

/// What the local participant sends in a call; its tracks are `track`. Any thread, handlers included.
class publisher {
public:
    publisher() noexcept = default;
    explicit publisher(oh_publisher handle) noexcept : handle_(handle) {}
    oh_publisher handle() const noexcept { return handle_; }

    /// Stops sending at once and for good while the call goes on; its tracks end. Audio and data that were accepted
    /// and not sent yet are discarded and counted by events::unsent. Closing twice is fine.
    result<void> close() const { return detail::to_result(oh_publisher_close(handle_)); }
    /// Closes it and frees its handle: errc::handle from then on.
    void free() const noexcept { oh_publisher_free(handle_); }

private:
    oh_publisher handle_{};
};

/// What the local participant receives in a call. Any thread, handlers included.
class subscriber {
public:
    subscriber() noexcept = default;
    explicit subscriber(oh_subscriber handle) noexcept : handle_(handle) {}
    oh_subscriber handle() const noexcept { return handle_; }

    /// Sets the subscription of a remote track (capability::subscriptions). Asynchronous; the last call wins, and it is
    /// kept over reconnects until the track ends.
    result<void> set_track(const std::string &track_id, const remote_track_options &options = {}) const
    {
        detail::c_texts texts;
        const char *id = texts.exact(track_id, "track_id");
        if (auto r = texts.check(); !r) return r;
        const oh_remote_track_options c = detail::to_c(options);
        return detail::to_result(oh_subscriber_set_track(handle_, id, &c));
    }

    /// Statistics of a remote track. Works also after the end of the call. Without a track_id (in protocols without track
    /// ids) of the track with that source. errc::empty when nothing of such a track was received, or it has ended.
    result<remote_track_stats> track_stats(const std::string &session_id, const std::string &track_id,
                                           track_source source = track_source::unknown) const
    {
        detail::c_texts texts;
        const char *session = texts.exact(session_id, "session_id"), *id = texts.exact(track_id, "track_id");
        if (auto r = texts.check(); !r) return r.error();
        return detail::read_stats(handle_, session, id, source);
    }
    result<remote_track_stats> track_stats(const track_info &track) const
    {
        return track_stats(track.session_id, track.track_id, track.source);
    }

    /// Stops receiving for good while the call goes on; later offers of the SFU are dropped and counted
    /// (call_stats::late_offers). Waits for a handler in progress on another thread. Closing twice is fine.
    result<void> close() const { return detail::to_result(oh_subscriber_close(handle_)); }
    /// Closes it and frees its handle: errc::handle from then on.
    void free() const noexcept { oh_subscriber_free(handle_); }

private:
    oh_subscriber handle_{};
};

} // namespace offhook

#endif
