// call.hpp - a call: the presence of the local participant, from client::join until it is closed.
#ifndef OFFHOOK_CALL_HPP
#define OFFHOOK_CALL_HPP

#include "constants.hpp"
#include "detail/to_c.hpp"
#include "detail/tsan.hpp"
#include "events.hpp"
#include "options.hpp"
#include "participant.hpp"
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
#include <vector>

namespace offhook {

/// Refers to a call without owning it; handlers receive one. Copies refer to the same call. Any thread. All functions of
/// a call that was freed return errc::handle.
class call_ref {
public:
    call_ref() noexcept = default;
    explicit call_ref(oh_call handle) noexcept : handle_(handle) {}

    /// Whether it refers to a call; the call may be freed.
    explicit operator bool() const noexcept { return handle_.id != 0; }
    oh_call handle() const noexcept { return handle_; }
    friend bool operator==(call_ref a, call_ref b) noexcept { return a.handle_.id == b.handle_.id; }
    friend bool operator!=(call_ref a, call_ref b) noexcept { return !(a == b); }

    /// Waits until the call is in a state, usually joined or left. errc::timeout; when the call ended first, the error it
    /// ended with (errc::cancelled when the program left); errc::would_deadlock inside a handler of the same call.
    result<void> wait_state(call_state state, std::chrono::milliseconds timeout) const;

    /// The state of the call.
    result<call_state> state() const
    {
        oh_call_state s = OH_STATE_IDLE;
        if (oh_result code = oh_call_get_state(handle_, &s)) return detail::last_error(code);
        return static_cast<call_state>(s);
    }

    /// The trace of the call: what its protocol logic received and decided, as lines of JSON without secrets. Works until
    /// the call is freed, also after its end. Attach it to a report of a defect.
    result<std::string> trace() const
    {
        std::string text;
        for (std::size_t size = 256 * 1024;; ) {
            text.resize(size);
            std::size_t length = 0;
            if (oh_result code = oh_call_get_trace(handle_, &text[0], text.size(), &length)) return detail::last_error(code);
            if (length < size) {
                text.resize(length);
                return text;
            }
            size = length + length / 2 + 1; // it can be more at the next call
        }
    }

    /// Leaves the call: sends what was accepted before, then the leave message; events::ended follows within 2 s. Returns at
    /// once. Leaving twice, or after the end, does nothing.
    result<void> leave(const std::string &reason = {}) const
    {
        detail::c_texts texts;
        const char *c = texts.given(reason, "reason");
        if (auto r = texts.check(); !r) return r;
        return detail::to_result(oh_call_leave(handle_, c));
    }

    /// Frees the call, as the destructor of `call` does: leaves it and waits for a handler in progress on another thread; no
    /// handler runs afterwards. Inside a handler of the same call it takes effect when that returns. Closing twice is
    /// fine.
    void close() const noexcept
    {
        oh_call_free(handle_);
        detail::tsan::acquire_call(handle_.id);
    }

    /// Answers events::token_needed, inside the handler or later.
    result<void> provide_token(const std::string &token) const
    {
        detail::c_texts texts;
        const char *c = texts.exact(token, "token");
        if (auto r = texts.check(); !r) return r;
        return detail::to_result(oh_call_provide_token(handle_, c));
    }
    /// Answers events::token_needed: there is none. The join fails with errc::auth.
    result<void> refuse_token() const { return detail::to_result(oh_call_provide_token(handle_, nullptr)); }

    /// Publishes an audio track. Returns at once; events::local_track_published or local_track_failed is the result. May be
    /// called before the call is joined. A call has up to 32 local tracks at a time, several of one source included.
    result<track> publish_audio(const audio_track_options &options = {}) const
    {
        const oh_audio_track_options c = detail::to_c(options);
        oh_track handle{};
        if (oh_result code = oh_call_publish_audio(handle_, &c, &handle)) return detail::last_error(code);
        return track(handle, options.channels ? options.channels : 1);
    }

    /// Publisher and subscriber of the call; the same each time.
    result<offhook::publisher> publisher() const
    {
        oh_publisher handle{};
        if (oh_result code = oh_call_get_publisher(handle_, &handle)) return detail::last_error(code);
        return offhook::publisher(handle);
    }
    result<offhook::subscriber> subscriber() const
    {
        oh_subscriber handle{};
        if (oh_result code = oh_call_get_subscriber(handle_, &handle)) return detail::last_error(code);
        return offhook::subscriber(handle);
    }

    /// All participants of the call with their tracks: the local one first, the others by session id. At least as new as any
    /// event that was delivered, and complete also when events were dropped. Before the join it has the local participant
    /// alone, after the end none.
    result<std::vector<participant>> participants() const;

    /// What the protocol of the call can do.
    result<offhook::capabilities> capabilities() const
    {
        offhook::capabilities all;
        if (oh_result code = oh_call_get_capabilities(handle_, &all.bits)) return detail::last_error(code);
        return all;
    }

    /// Statistics of the call. Works until it is freed, also after its end.
    result<call_stats> stats() const { return detail::read_stats(handle_); }

    /// Sends a custom event, a JSON object of at most 16384 bytes, to all clients of the call that receive custom events
    /// (capability::custom_events).
    result<void> send_custom_event(const std::string &data_json) const;
    /// Sends a packet of at most 60000 bytes to other participants (capability::data).
    result<void> send_data(span<const std::uint8_t> data, const data_options &options = {}) const;
    /// Sends a text of at most 1048576 bytes to other participants (capability::text). It arrives complete.
    result<void> send_text(const std::string &text, const data_options &options = {}) const;

    /// Calls a procedure of another participant (capability::rpc). Returns its id at once; events::rpc_response with the
    /// same rpc_id is the result, exactly once. It may come before this has returned.
    result<std::uint64_t> perform_rpc(const rpc_options &options) const;
    /// Answers events::rpc_request with success, inside the handler or later.
    result<void> answer_rpc(const std::string &request_id, const std::string &payload) const;
    /// Answers events::rpc_request with a failure. `code` is an rpc_error, or a code of the application.
    result<void> fail_rpc(const std::string &request_id, rpc_error code, const std::string &text = {},
                          const std::string &payload = {}) const;

    /// Changes the name, metadata and attributes of the local participant (capability::attributes); nullopt: unchanged.
    /// attributes_json is a JSON object of strings: only these names change, "" deletes one.
    result<void> set_attributes(const std::optional<std::string> &name, const std::optional<std::string> &metadata,
                                const std::optional<std::string> &attributes_json) const;

    /// Takes the next event in pull mode, waiting for it. errc::empty when there was none in time; errc::closed after the
    /// last event, or when the call was freed; errc::state when the call has handlers, or another thread is waiting.
    result<event> wait_event(std::chrono::milliseconds timeout) const;
    /// A descriptor that polls readable while wait_event has an event, for poll, epoll or kqueue. The library owns it: do
    /// not read, write or close it.
    result<int> wake_fd() const
    {
        std::int32_t fd = -1;
        if (oh_result code = oh_call_get_wake_fd(handle_, &fd)) return detail::last_error(code);
        return static_cast<int>(fd);
    }

protected:
    oh_call handle_{};
};

/// Owns a call: the destructor leaves and frees it, also inside its own handlers.
///
/// The destructor waits for a handler in progress on another thread: do not hold a lock that a handler takes.
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

    /// Gives up ownership: the call goes on until it ends, its client is destroyed, or it is closed.
    call_ref release() noexcept { return call_ref(std::exchange(handle_, oh_call{})); }
};

} // namespace offhook

#include "detail/call_impl.hpp"

#endif
