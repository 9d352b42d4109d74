// library.hpp - what concerns the whole process: versions, the log, the network, the end.
#ifndef OFFHOOK_LIBRARY_HPP
#define OFFHOOK_LIBRARY_HPP

#include "detail/trampoline.hpp"
#include "result.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

namespace offhook {

/// The version of the library that is loaded, for instance "0.1.0".
inline std::string_view version() noexcept { return oh_version(); }

/// The ABI of the library that is loaded; OH_ABI_VERSION is that of the header. Whatever is first used compares them.
inline std::uint32_t abi_version() noexcept { return oh_abi_version(); }

/// Gets a log line: UTF-8, no newline, no secrets; valid until it returns. One at a time, on a thread of the library.
using log_handler = std::function<void(log_level, std::string_view)>;

namespace detail {

struct log_box {
    log_handler handler;

    static void on_line(void *user_data, std::int32_t level, const char *text) noexcept
    {
        auto *box = static_cast<log_box *>(user_data);
        tsan::acquire(box);
        contained("log", [&] { box->handler(static_cast<log_level>(level), text); }, [](const auto &) { return false; });
        tsan::release(box);
        tsan::release(&order);
    }

    static void destroy(void *user_data) noexcept
    {
        tsan::acquire(user_data);
        delete static_cast<log_box *>(user_data);
        tsan::release(&order);
    }

    static inline char order = 0; ///< for ThreadSanitizer only
};

} // namespace detail

/// Sets or replaces the one log handler of the process; an empty one removes it. When this returns the former handler
/// does not run any more (unless it was called inside it). What it throws goes to standard error.
inline result<void> set_log(log_level level, log_handler handler)
{
    if (auto r = detail::check_abi(); !r) return r;
    oh_result code;
    if (!handler) {
        code = oh_log_set(static_cast<std::int32_t>(level), nullptr, nullptr, nullptr);
    } else {
        auto box = std::make_unique<detail::log_box>(detail::log_box{std::move(handler)});
        detail::tsan::release(box.get());
        code = oh_log_set(static_cast<std::int32_t>(level), &detail::log_box::on_line, box.get(), &detail::log_box::destroy);
        if (code == OH_OK) box.release();
    }
    detail::tsan::acquire(&detail::log_box::order);
    return detail::to_result(code);
}

/// Removes the log handler.
inline result<void> clear_log() { return set_log(log_level::off, nullptr); }

/// Tells all calls of the process what the application knows of the network. On Linux the library sees it by itself.
inline result<void> network_changed(network_change what)
{
    if (auto r = detail::check_abi(); !r) return r;
    return detail::to_result(oh_network_changed(static_cast<std::int32_t>(what)));
}

/// Bounds of the whole process; 0: the library's default. Read what they do in offhook.h (oh_limits).
struct limits {
    std::uint32_t callback_threads = 0; ///< threads that run handlers, at most
    std::uint64_t queue_bytes = 0;      ///< bytes of payload that wait for the application, all calls together
};

/// Sets the bounds of the process.
inline result<void> set_limits(const limits &wanted)
{
    if (auto r = detail::check_abi(); !r) return r;
    oh_limits c = OH_LIMITS_INIT;
    c.callback_threads = wanted.callback_threads;
    c.queue_bytes = wanted.queue_bytes;
    return detail::to_result(oh_limits_set(&c));
}

/// Ends everything: leaves all calls, waits for them, ends the library's threads. Not inside a handler. The library can
/// be used again afterwards. 2500 ms are enough, but a handler that does not return is waited for.
inline result<void> shutdown(std::chrono::milliseconds timeout)
{
    if (auto r = detail::check_abi(); !r) return r;
    const oh_result code = oh_shutdown_wait(detail::to_ms(timeout));
    detail::tsan::acquire_calls();
    return detail::to_result(code);
}

} // namespace offhook

#endif
