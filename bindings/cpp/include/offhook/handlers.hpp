// handlers.hpp - handlers of a call, which receive its events and audio.
#ifndef OFFHOOK_HANDLERS_HPP
#define OFFHOOK_HANDLERS_HPP

#include "audio.hpp"
#include "call.hpp"
#include "events.hpp"

#include <exception>
#include <functional>

namespace offhook {

/// The handlers of a call, for client::join. With neither on_event nor on_audio the call is in pull mode: see
/// call_ref::wait_event.
///
/// They run one at a time, in order, on threads of the library; those of other calls run at the same time. A handler
/// that blocks delays its own call only. They, and what they captured, are destroyed after the last of them has
/// returned, at the latest when the call was freed; never while one of them runs.
///
/// An exception that leaves a handler does not reach the library: on_exception receives it, and the call goes on.
struct call_handlers {
    /// Receives events; empty: events are not delivered (with on_audio set).
    std::function<void(call_ref, const event &)> on_event;
    /// Receives 20 ms of one track's audio, for every track that is received; the view is valid until it returns. Empty:
    /// audio is not delivered.
    std::function<void(call_ref, const audio_view &)> on_audio;
    /// Receives what one of the others threw. Without it, or when it throws as well, a line goes to standard error.
    std::function<void(call_ref, std::exception_ptr)> on_exception;
};

} // namespace offhook

#endif
