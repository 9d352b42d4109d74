// trampoline.hpp - the C callbacks of the library: they run the handlers, and no exception leaves them.
#ifndef OFFHOOK_DETAIL_TRAMPOLINE_HPP
#define OFFHOOK_DETAIL_TRAMPOLINE_HPP

#include "../handlers.hpp"
#include "convert.hpp"
#include "tsan.hpp"

#include <cstdio>
#include <memory>

namespace offhook::detail {

#if OFFHOOK_EXCEPTIONS
/// Prints to standard error an exception of a handler that nothing else caught.
inline void print_uncaught(const char *whose, const std::exception_ptr &thrown) noexcept
{
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "offhook: the %s handler threw: %s\n", whose, e.what());
    } catch (...) {
        std::fprintf(stderr, "offhook: the %s handler threw something that is no std::exception\n", whose);
    }
}

/// Runs a function that may throw; `report` receives the exception.
template <class F, class G> void contained(const char *whose, F &&run, G &&report) noexcept
{
    try {
        run();
    } catch (...) {
        const std::exception_ptr thrown = std::current_exception();
        try {
            if (!report(thrown)) print_uncaught(whose, thrown);
        } catch (...) {
            print_uncaught(whose, thrown);
            print_uncaught("exception", std::current_exception());
        }
    }
}
#else
template <class F, class G> void contained(const char *, F &&run, G &&) noexcept { run(); }
#endif

/// The handlers of one call, on the heap: user_data of the C callbacks, and destroyed by the library.
class handler_box {
public:
    explicit handler_box(call_handlers handlers) : handlers_(std::move(handlers)) {}

    /// Empty in pull mode. The box must be released as soon as the library has taken it.
    static std::unique_ptr<handler_box> make(call_handlers handlers, oh_call_handlers &c)
    {
        c = OH_INIT(oh_call_handlers);
        if (!handlers.on_event && !handlers.on_audio) return nullptr;
        auto box = std::make_unique<handler_box>(std::move(handlers));
        c.on_event = box->handlers_.on_event ? &on_event : nullptr;
        c.on_audio = box->handlers_.on_audio ? &on_audio : nullptr;
        c.destroy = &destroy;
        c.user_data = box.get();
        tsan::release(box.get());
        return box;
    }

    static void on_event(void *user_data, oh_call call, const oh_event *event) noexcept
    {
        auto *box = static_cast<handler_box *>(user_data);
        box->run("event", call, [&] { box->handlers_.on_event(call_ref(call), to_event(event)); });
    }

    static void on_audio(void *user_data, oh_call call, const oh_audio_frame *frame) noexcept
    {
        auto *box = static_cast<handler_box *>(user_data);
        box->run("audio", call, [&] { box->handlers_.on_audio(call_ref(call), to_view(frame)); });
    }

    static void destroy(void *user_data) noexcept
    {
        auto *box = static_cast<handler_box *>(user_data);
        tsan::acquire(box);
        const std::uint64_t id = box->id_;
        delete box;
        tsan::release_call(id);
    }

private:
    /// The box outlives this call, even when the handler frees its own call: destroy comes after the last callback.
    template <class F> void run(const char *whose, oh_call call, F &&handler) noexcept
    {
        tsan::acquire(this);
        id_ = call.id;
        contained(whose, handler, [&](const std::exception_ptr &thrown) {
            if (!handlers_.on_exception) return false;
            handlers_.on_exception(call_ref(call), thrown);
            return true;
        });
        tsan::release(this);
        tsan::release_call(call.id);
    }

    call_handlers handlers_;
    std::uint64_t id_ = 0;
};

} // namespace offhook::detail

#endif
