// client.hpp - configuration, credentials and the connections to the servers; calls are made from it.
#ifndef OFFHOOK_CLIENT_HPP
#define OFFHOOK_CLIENT_HPP

#include "call.hpp"
#include "detail/trampoline.hpp"
#include "handlers.hpp"
#include "options.hpp"
#include "result.hpp"

#include <utility>

namespace offhook {

/// Owns a client: at the end of its life what is left of it is freed, its calls included, whether or not objects still
/// name them (they give errc::handle then). Keep it as long as its calls.
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

    /// Makes a client. Contacts nobody. errc::argument; errc::insecure for plain http to a host that is not loopback;
    /// errc::abi when the library that was loaded is not the one that this header is of.
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

    /// Starts to join a call. Returns at once; events::joined or events::ended tells the result, call_ref::wait waits
    /// for it. Without handlers the call is in pull mode. Handlers may run before this has returned: they are given a
    /// call_ref of their own. Any thread, handlers included.
    result<call> join(const call_options &options, call_handlers handlers = {}) const
    {
        detail::c_texts texts;
        oh_call_options c = detail::to_c(options, texts);
        if (auto r = texts.check(); !r) return r.error();
        auto box = detail::handler_box::make(std::move(handlers), c.handlers);
        oh_call handle{};
        if (oh_result code = oh_call_join(handle_, &c, &handle)) return detail::last_error(code);
        box.release(); // from here on it is the library's: handler_box::destroy
        return call(handle);
    }

    /// Frees the client and its calls; twice is fine, and so is inside a handler. Any thread.
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
