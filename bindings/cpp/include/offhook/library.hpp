// library.hpp - the library as a whole: version, log, network, limits, shutdown.
#ifndef OFFHOOK_LIBRARY_HPP
#define OFFHOOK_LIBRARY_HPP

#include "detail/known.hpp"
#include "detail/trampoline.hpp"
#include "result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace offhook {

/// The version of the library that is loaded, for instance "0.1.0".
inline std::string_view version() noexcept { return oh_get_version(); }

/// The version of the library that is loaded as a number; OH_VERSION_NUMBER is that of the header.
inline std::uint32_t version_number() noexcept { return oh_get_version_number(); }

/// The ABI of the library that is loaded; OH_ABI_VERSION is that of the header. The function that is called first compares
/// them.
inline std::uint32_t abi_version() noexcept { return oh_get_abi_version(); }

/// A log line; valid until the handler returns.
struct log_record {
    log_level level = log_level::off;
    std::string_view text; ///< UTF-8, no newline, no secrets
};

/// Called with each log line, one at a time, on a thread of the library. When it is too slow, lines are dropped, and the
/// number dropped is logged. Calls are unaffected.
using log_handler = std::function<void(const log_record &)>;

namespace detail {

struct log_box {
    log_handler handler;

    static void on_record(void *user_data, const oh_log_record *record) noexcept
    {
        auto *box = static_cast<log_box *>(user_data);
        tsan::acquire(box);
        const oh_log_record c = known(record);
        const log_record line{static_cast<log_level>(c.level), text(c.text)};
        contained("log", [&] { box->handler(line); }, [](const auto &) { return false; });
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
        code = oh_log_set(static_cast<oh_log_level>(level), nullptr, nullptr, nullptr);
    } else {
        auto box = std::make_unique<detail::log_box>(detail::log_box{std::move(handler)});
        detail::tsan::release(box.get());
        code = oh_log_set(static_cast<oh_log_level>(level), &detail::log_box::on_record, box.get(), &detail::log_box::destroy);
        if (code == OH_OK) box.release();
    }
    detail::tsan::acquire(&detail::log_box::order);
    return detail::to_result(code);
}

/// Removes the log handler.
inline result<void> clear_log() { return set_log(log_level::off, nullptr); }

/// Reports a change of the network to all calls of the process, for instance on a phone. On Linux the library detects it
/// by itself.
inline result<void> report_network(network_change change)
{
    if (auto r = detail::check_abi(); !r) return r;
    return detail::to_result(oh_network_report(static_cast<oh_network_change>(change)));
}

/// What all calls of the process together may use; 0: the library's default. offhook.h (oh_limits) has the details.
struct limits {
    std::size_t max_queued_bytes = 0;       ///< bytes of payload that wait for the application at most, all calls together
    std::uint32_t max_callback_threads = 0; ///< threads for callbacks at most
};

/// Sets what all calls of the process together may use, from now on.
inline result<void> set_limits(const limits &limits)
{
    if (auto r = detail::check_abi(); !r) return r;
    oh_limits c = OH_INIT(oh_limits);
    c.max_queued_bytes = limits.max_queued_bytes;
    c.max_callback_threads = limits.max_callback_threads;
    return detail::to_result(oh_limits_set(&c));
}

/// Shuts the library down: leaves all calls, waits for them, ends the library's threads. It can be used again afterwards.
/// 2500 ms are enough, but a handler that does not return is waited for. errc::would_deadlock inside a handler.
inline result<void> shutdown(std::chrono::milliseconds timeout)
{
    if (auto r = detail::check_abi(); !r) return r;
    const oh_result code = oh_shutdown_wait(detail::to_ms(timeout));
    detail::tsan::acquire_calls();
    return detail::to_result(code);
}

} // namespace offhook

#endif
