// diagnose.hpp - why a call does not connect: each step with what was found and what to do.
#ifndef OFFHOOK_DIAGNOSE_HPP
#define OFFHOOK_DIAGNOSE_HPP

#include "detail/known.hpp"
#include "detail/to_c.hpp"
#include "detail/trampoline.hpp"
#include "options.hpp"
#include "result.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace offhook {

/// A STUN or TURN server.
struct ice_server {
    /// Its URL, for instance "turn:turn.example.com:3478?transport=tcp". Required.
    std::string url;
    std::string username; ///< required for TURN
    std::string password; ///< required for TURN; never part of a report
};

/// What to diagnose. offhook.h (oh_diagnose_options) has the details.
struct diagnose_options {
    /// The service and how to reach it; without a token it is asked whether it is there.
    client_options client;
    /// The call to join for a moment, without audio; "": none.
    std::string call_id;
    /// The type of the call; "": "default".
    std::string call_type;
    /// Servers to check besides those that the service names; at most 16.
    std::vector<ice_server> ice_servers;
    /// Longest time for everything, 100 ms to 10 minutes; 0: 20 s.
    std::chrono::milliseconds timeout{0};
};

/// The result of a diagnosis.
struct diagnosis {
    std::string text;                ///< for people
    std::string report_json;         ///< for programs
    std::uint32_t steps_failed = 0;  ///< steps that failed
    std::uint32_t steps_warning = 0; ///< steps with a warning
    bool incomplete = false;         ///< the time was over, or the library shut down, before all steps were taken

    /// No step failed.
    bool ok() const noexcept { return steps_failed == 0 && !incomplete; }
};

/// Receives the result, once, on a thread of the library.
using diagnosis_handler = std::function<void(diagnosis)>;

namespace detail {

struct diagnosis_box {
    diagnosis_handler handler;

    static void on_diagnosis(void *user_data, const oh_diagnosis *raw) noexcept
    {
        auto *box = static_cast<diagnosis_box *>(user_data);
        tsan::acquire(box);
        const oh_diagnosis c = known(raw);
        contained(
            "diagnosis",
            [&] {
                diagnosis d;
                d.text = text(c.text);
                d.report_json = text(c.report_json);
                d.steps_failed = c.steps_failed;
                d.steps_warning = c.steps_warning;
                d.incomplete = c.incomplete != 0;
                box->handler(std::move(d));
            },
            [](const auto &) { return false; });
        tsan::release(box);
    }

    static void destroy(void *user_data) noexcept
    {
        tsan::acquire(user_data);
        delete static_cast<diagnosis_box *>(user_data);
    }
};

} // namespace detail

/// Finds out why a call does not connect. Returns at once; the handler receives the result exactly once. What it throws
/// goes to standard error. Any thread, handlers included. errc::argument, errc::limit (8 are in progress), errc::state
/// (the library shuts down): then the handler is not called.
inline result<void> diagnose(const diagnose_options &o, diagnosis_handler handler)
{
    if (auto r = detail::check_abi(); !r) return r;
    if (!handler) return error(errc::argument, "diagnose: the handler is empty");
    detail::c_texts texts;
    const oh_client_options client = detail::to_c(o.client, texts);
    std::vector<oh_ice_server> servers;
    servers.reserve(o.ice_servers.size());
    for (const ice_server &server : o.ice_servers) {
        oh_ice_server c = OH_INIT(oh_ice_server);
        c.url = texts.given(server.url, "ice_server::url");
        c.username = texts.given(server.username, "ice_server::username");
        c.password = texts.given(server.password, "ice_server::password");
        servers.push_back(c);
    }
    std::vector<const oh_ice_server *> pointers;
    pointers.reserve(servers.size());
    for (const oh_ice_server &server : servers) pointers.push_back(&server);
    oh_diagnose_options c = OH_INIT(oh_diagnose_options);
    c.client = &client;
    c.call_id = texts.given(o.call_id, "diagnose_options::call_id");
    c.call_type = texts.given(o.call_type, "diagnose_options::call_type");
    c.ice_servers = pointers.empty() ? nullptr : pointers.data();
    c.ice_server_count = pointers.size();
    c.timeout_ms = detail::to_ms(o.timeout);
    if (auto r = texts.check(); !r) return r;
    auto box = std::make_unique<detail::diagnosis_box>(detail::diagnosis_box{std::move(handler)});
    detail::tsan::release(box.get());
    const oh_result code = oh_diagnose(&c, &detail::diagnosis_box::on_diagnosis, box.get(), &detail::diagnosis_box::destroy);
    if (code == OH_OK) (void)box.release(); // now the library owns it
    return detail::to_result(code);
}

/// As diagnose(), and waits for the result: at most as long as `timeout` of the options and a moment more. Not inside a
/// handler that others wait for.
inline result<diagnosis> diagnose_wait(const diagnose_options &o)
{
    struct place {
        std::mutex lock;
        std::condition_variable there;
        std::optional<diagnosis> found;
    };
    auto shared = std::make_shared<place>();
    auto begun = diagnose(o, [shared](diagnosis d) {
        const std::lock_guard<std::mutex> guard(shared->lock);
        shared->found = std::move(d);
        shared->there.notify_one();
    });
    if (!begun) return begun.error();
    std::unique_lock<std::mutex> guard(shared->lock);
    shared->there.wait(guard, [&] { return shared->found.has_value(); });
    return std::move(*shared->found);
}

} // namespace offhook

#endif
