// parts.hpp - publisher and subscriber: the two halves of a call. Every call has one of each and owns them; these
// classes only name them, so that a temporary one does not end what it is about.
#ifndef OFFHOOK_PARTS_HPP
#define OFFHOOK_PARTS_HPP

#include "detail/to_c.hpp"
#include "options.hpp"
#include "result.hpp"

#include <string>

namespace offhook {

/// What I send in a call. Any thread, handlers included.
class publisher {
public:
    publisher() noexcept = default;
    explicit publisher(oh_publisher handle) noexcept : handle_(handle) {}
    oh_publisher handle() const noexcept { return handle_; }

    /// Stops sending for good while the call goes on; the tracks are over. Twice is fine.
    result<void> close() const { return detail::to_result(oh_publisher_close(handle_)); }
    /// Closes it and frees its handle: errc::handle from then on.
    void free() const noexcept { oh_publisher_free(handle_); }

private:
    oh_publisher handle_{};
};

/// What I receive in a call. Any thread, handlers included.
class subscriber {
public:
    subscriber() noexcept = default;
    explicit subscriber(oh_subscriber handle) noexcept : handle_(handle) {}
    oh_subscriber handle() const noexcept { return handle_; }

    /// Says what is wanted of one remote track (capability::subscriptions); the last wish wins.
    result<void> set_track(const std::string &track_id, const remote_track_options &options = {}) const
    {
        detail::c_texts texts;
        const char *id = texts.exact(track_id, "track_id");
        if (auto r = texts.check(); !r) return r;
        const oh_remote_track_options c = detail::to_c(options);
        return detail::to_result(oh_subscriber_set_track(handle_, id, &c));
    }

    /// Stops receiving for good while the call goes on; offers for it are dropped from now on. Waits for a handler in
    /// progress on another thread. Twice is fine.
    result<void> close() const { return detail::to_result(oh_subscriber_close(handle_)); }
    /// Closes it and frees its handle: errc::handle from then on.
    void free() const noexcept { oh_subscriber_free(handle_); }

private:
    oh_subscriber handle_{};
};

} // namespace offhook

#endif
