// handlers.hpp - who hears what happens in a call.
#ifndef OFFHOOK_HANDLERS_HPP
#define OFFHOOK_HANDLERS_HPP

#include "audio.hpp"
#include "call.hpp"
#include "events.hpp"

#include <exception>
#include <functional>

namespace offhook {

/// The handlers of one call, given to client::join. With neither on_event nor on_audio the call is in pull mode: see
/// call_ref::next_event.
///
/// They run one at a time, in order, on threads of the library; those of other calls run at the same time. A handler
/// that blocks delays its own call only. They, and what they captured, are destroyed after the last of them has
/// returned, at the latest when the call was freed; never while one of them runs.
///
/// What a handler throws never reaches the library: it goes to on_exception, and the next event comes as if nothing
/// had happened.
struct call_handlers {
    std::function<void(call_ref, const event &)> on_event;
    /// 20 ms of one participant, for every participant that is heard; the view is valid until the handler returns.
    std::function<void(call_ref, const audio_view &)> on_audio;
    /// What one of the others threw. Without it, or when it throws as well, a line goes to standard error.
    std::function<void(call_ref, std::exception_ptr)> on_exception;
};

} // namespace offhook

#endif
