// client.hpp - configuration, credentials and connections to the service; calls are joined with it.
#ifndef OFFHOOK_CLIENT_HPP
#define OFFHOOK_CLIENT_HPP

#include "call.hpp"
#include "detail/trampoline.hpp"
#include "handlers.hpp"
#include "options.hpp"
#include "result.hpp"

#include <utility>

namespace offhook {

/// Owns a client. The destructor frees it and its calls; objects that still refer to these return errc::handle then. Keep
/// it as long as its calls.
class client {
public:
    client() noexcept = default;
    /// Takes over a handle of the C API.
    explicit client(oh_client handle) noexcept : handle_(handle) {}
    client(client &&other) noexcept : handle_(other.release()) {}
    client &operator=(client &&other) noexcept
    {
        if (this != &other) {
            close();
            handle_ = other.release();
        }
        return *this;
    }
    ~client() { close(); }

    /// Makes a client. Opens no connection. errc::argument; errc::insecure for plain http to a host that is not loopback;
    /// errc::abi when library and header differ in their ABI.
    static result<client> create(const client_options &options)
    {
        if (auto r = detail::check_abi(); !r) return r.error();
        detail::c_texts texts;
        const oh_client_options c = detail::to_c(options, texts);
        if (auto r = texts.check(); !r) return r.error();
        oh_client handle{};
        if (oh_result code = oh_client_new(&c, &handle)) return detail::last_error(code);
        return client(handle);
    }

    /// Starts to join a call. Returns at once; events::joined or events::ended is the result (call_ref::wait_state waits
    /// for it). Without handlers the call is in pull mode. Handlers may run before this has returned: use the call_ref
    /// that they receive. Any thread, handlers included.
    result<call> join(const call_options &options, call_handlers handlers = {}) const
    {
        detail::c_texts texts;
        oh_call_options c = detail::to_c(options, texts);
        if (auto r = texts.check(); !r) return r.error();
        oh_call_handlers callbacks;
        auto box = detail::handler_box::make(std::move(handlers), callbacks);
        c.handlers = box ? &callbacks : nullptr;
        oh_call handle{};
        if (oh_result code = oh_call_join(handle_, &c, &handle)) return detail::last_error(code);
        (void)box.release(); // now the library owns it, until it calls handler_box::destroy
        return call(handle);
    }

    /// Frees the client and its calls. Closing twice is fine. Any thread, handlers included.
    void close() const noexcept
    {
        oh_client_free(handle_);
        detail::tsan::acquire_calls();
    }

    explicit operator bool() const noexcept { return handle_.id != 0; }
    oh_client handle() const noexcept { return handle_; }
    /// Gives up ownership.
    oh_client release() noexcept { return std::exchange(handle_, oh_client{}); }

private:
    oh_client handle_{};
};

} // namespace offhook

#endif
