// call.hpp - a call: one participant's presence, from client::join until it is closed.
#ifndef OFFHOOK_CALL_HPP
#define OFFHOOK_CALL_HPP

#include "constants.hpp"
#include "detail/to_c.hpp"
#include "detail/tsan.hpp"
#include "events.hpp"
#include "options.hpp"
#include "parts.hpp"
#include "result.hpp"
#include "span.hpp"
#include "stats.hpp"
#include "track.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace offhook {

/// Names a call without owning it: what handlers are given. Copies name the same call; any thread. What names a call
/// that is gone gives errc::handle from everything.
class call_ref {
public:
    call_ref() noexcept = default;
    explicit call_ref(oh_call handle) noexcept : handle_(handle) {}

    /// Whether it names a call at all, be it gone or not.
    explicit operator bool() const noexcept { return handle_.id != 0; }
    oh_call handle() const noexcept { return handle_; }
    friend bool operator==(call_ref a, call_ref b) noexcept { return a.handle_.id == b.handle_.id; }
    friend bool operator!=(call_ref a, call_ref b) noexcept { return !(a == b); }

    /// Waits until the call is in a state; joined and left are the useful ones. errc::timeout; when the call ended
    /// first, the error it ended with; errc::would_deadlock inside a handler of the same call.
    result<void> wait(call_state state, std::chrono::milliseconds timeout) const;

    /// The state the call is in now.
    result<call_state> state() const
    {
        std::int32_t s = 0;
        if (oh_result code = oh_call_state(handle_, &s)) return detail::last_error(code);
        return static_cast<call_state>(s);
    }

    /// What the call was given and what it decided, as lines of JSON without secrets: for a report of a defect. Also when
    /// it is over, until it is freed.
    result<std::string> trace() const
    {
        std::string text;
        for (std::size_t size = 256 * 1024;; ) {
            text.resize(size);
            std::size_t needed = 0;
            if (oh_result code = oh_call_trace(handle_, &text[0], text.size(), &needed)) return detail::last_error(code);
            if (needed < size) {
                text.resize(needed);
                return text;
            }
            size = needed + needed / 2 + 1; // a call that goes on may need more the next time
        }
    }

    /// Says goodbye and ends with events::ended within 2 s. Returns at once; twice, or after the end, is fine.
    result<void> leave(const std::string &reason = {}) const
    {
        detail::c_texts texts;
        const char *c = texts.given(reason, "reason");
        if (auto r = texts.check(); !r) return r;
        return detail::to_result(oh_call_leave(handle_, c));
    }

    /// Frees the call as the destructor of `call` does: leaves it, waits for a handler in progress on another thread,
    /// and no handler runs afterwards. Inside a handler of the same call it takes effect when that returns. Twice is fine.
    void close() const noexcept
    {
        oh_call_free(handle_);
        detail::tsan::acquire_call(handle_.id);
    }

    /// Answers events::token_needed, in the handler or later.
    result<void> provide_token(const std::string &token) const
    {
        detail::c_texts texts;
        const char *c = texts.exact(token, "token");
        if (auto r = texts.check(); !r) return r;
        return detail::to_result(oh_call_provide_token(handle_, c));
    }
    /// Answers events::token_needed: there is none. The join fails with errc::auth.
    result<void> refuse_token() const { return detail::to_result(oh_call_provide_token(handle_, nullptr)); }

    /// Publishes an audio track; events::local_published or local_failed tells the result. May be called before the
    /// call is joined. One audio track per call at a time.
    result<track> publish_audio(const audio_track_options &options = {}) const
    {
        const oh_audio_track_options c = detail::to_c(options);
        oh_track handle{};
        if (oh_result code = oh_call_publish_audio(handle_, &c, &handle)) return detail::last_error(code);
        return track(handle, options.channels ? options.channels : 1);
    }

    /// The two halves of the call; the same each time.
    result<offhook::publisher> publisher() const
    {
        oh_publisher handle{};
        if (oh_result code = oh_call_publisher(handle_, &handle)) return detail::last_error(code);
        return offhook::publisher(handle);
    }
    result<offhook::subscriber> subscriber() const
    {
        oh_subscriber handle{};
        if (oh_result code = oh_call_subscriber(handle_, &handle)) return detail::last_error(code);
        return offhook::subscriber(handle);
    }

    /// What the call's protocol can do.
    result<offhook::capabilities> capabilities() const
    {
        offhook::capabilities all;
        if (oh_result code = oh_call_capabilities(handle_, &all.bits)) return detail::last_error(code);
        return all;
    }

    /// The figures of the call; works until it is freed, also when it is over.
    result<call_stats> stats() const { return detail::read_stats(handle_); }

    /// Sends a custom event, a JSON object of 16384 bytes at most, to everyone who watches the call.
    result<void> send_custom(const std::string &json) const;
    /// Sends a packet of 60000 bytes at most to other participants (capability::data).
    result<void> send_data(span<const std::uint8_t> bytes, const data_options &options = {}) const;
    /// Sends a text of 1048576 bytes at most to other participants (capability::text); it arrives whole.
    result<void> send_text(const std::string &text, const data_options &options = {}) const;

    /// Calls a procedure of another participant (capability::rpc). events::rpc_response with the number that is
    /// returned tells what became of it; it may come before this has returned.
    result<std::uint64_t> rpc(const rpc_options &options) const;
    /// Answers events::rpc_request, in the handler or later.
    result<void> rpc_answer(const std::string &request_id, const std::string &payload) const;
    /// Answers events::rpc_request: it failed. `code` is an rpc_error, or a number of the application's own.
    result<void> rpc_fail(const std::string &request_id, rpc_error code, const std::string &text = {},
                          const std::string &data = {}) const;

    /// Changes what this participant says of itself (capability::attributes). nullopt: stays. attributes_json is an
    /// object whose values are texts: only these names change, "" deletes.
    result<void> set_attributes(const std::optional<std::string> &name, const std::optional<std::string> &metadata,
                                const std::optional<std::string> &attributes_json) const;

    /// Takes the next event in pull mode. errc::empty: nothing came in time; errc::closed: the terminal event was
    /// taken, or the call was freed; errc::state: the call has handlers, or another thread is pulling.
    result<event> next_event(std::chrono::milliseconds timeout) const;
    /// A descriptor that polls readable while next_event has something to give. It belongs to the library: do not
    /// read, write or close it; it ends with the call.
    result<int> wake_fd() const
    {
        std::int32_t fd = -1;
        if (oh_result code = oh_call_wake_fd(handle_, &fd)) return detail::last_error(code);
        return static_cast<int>(fd);
    }

protected:
    oh_call handle_{};
};

/// Owns a call: leaves and frees it at the end of its life, which is fine inside its own handlers, too.
///
/// The destructor waits for a handler in progress on another thread: hold no lock then that a handler wants.
class call : public call_ref {
public:
    call() noexcept = default;
    /// Takes over a handle of the C API.
    explicit call(oh_call handle) noexcept : call_ref(handle) {}
    call(call &&other) noexcept : call_ref(other.release()) {}
    call &operator=(call &&other) noexcept
    {
        if (this != &other) {
            close();
            handle_ = other.release().handle();
        }
        return *this;
    }
    ~call() { close(); }

    /// Gives up ownership: the call goes on until it ends, its client is destroyed, or somebody closes it.
    call_ref release() noexcept { return call_ref(std::exchange(handle_, oh_call{})); }
};

} // namespace offhook

#include "detail/call_impl.hpp"

#endif
