// offhook.hpp - Offhook for C++17: everything of offhook.h, as classes that free what they own.
//
// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Header-only; link with liboffhook. bindings/cpp/README.md is the guide, offhook.h the manual.
//
//   auto client = offhook::client::create(options).value();        // errors: test the result, or let value() throw
//   auto call   = client.join(call_options, {on_event, on_audio}).value();
//   call.wait_state(offhook::call_state::joined, 10s).value();
//   auto mic    = call.publish_audio().value();
//   mic.write(samples).value();
//
// THREADS    Functions may be called from every thread, inside handlers too. As for any C++ object, moving, assigning
//            or destroying one must not happen at the same time as something else with that same object.
// OWNERSHIP  client, call and track free their handle in the destructor; call_ref and track_ref only refer to it. An object
//            whose handle was freed or moved away returns errc::handle; it never crashes.
// HANDLERS   Those of one call run one at a time, in order, on threads of the library. They may throw: see
//            call_handlers::on_exception. They may destroy their own call, and its client.
#ifndef OFFHOOK_OFFHOOK_HPP
#define OFFHOOK_OFFHOOK_HPP

#include "access_token.hpp"
#include "audio.hpp"
#include "call.hpp"
#include "client.hpp"
#include "constants.hpp"
#include "diagnose.hpp"
#include "events.hpp"
#include "handlers.hpp"
#include "library.hpp"
#include "options.hpp"
#include "participant.hpp"
#include "parts.hpp"
#include "result.hpp"
#include "span.hpp"
#include "stats.hpp"
#include "track.hpp"

#endif
