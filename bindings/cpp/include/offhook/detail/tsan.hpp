// tsan.hpp - tells ThreadSanitizer what it cannot see: the library orders what it hands from thread to thread, but it is
// not built with that sanitizer. Without the sanitizer all of this is nothing.
//
// Told is what offhook.h promises and no more: what was done before a join is seen by the handlers, the handlers of one
// call follow each other, and what they did is seen by whoever has freed the call (its client, the library) or has
// waited for its end. Programs with races of their own are still found out.
#ifndef OFFHOOK_DETAIL_TSAN_HPP
#define OFFHOOK_DETAIL_TSAN_HPP

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define OFFHOOK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OFFHOOK_TSAN 1
#endif
#endif

#ifdef OFFHOOK_TSAN
extern "C" void __tsan_acquire(void *);
extern "C" void __tsan_release(void *);
#endif

namespace offhook::detail::tsan {

#ifdef OFFHOOK_TSAN
inline constexpr std::uint64_t slots = 256;
inline char slot[slots]; ///< of calls, by their handle: the thing itself may be gone

inline void release(void *what) noexcept { __tsan_release(what); }
inline void acquire(void *what) noexcept { __tsan_acquire(what); }
inline void release_call(std::uint64_t id) noexcept { __tsan_release(&slot[id % slots]); }
inline void acquire_call(std::uint64_t id) noexcept { __tsan_acquire(&slot[id % slots]); }
inline void acquire_calls() noexcept { for (char &s : slot) __tsan_acquire(&s); }
#else
inline void release(void *) noexcept {}
inline void acquire(void *) noexcept {}
inline void release_call(std::uint64_t) noexcept {}
inline void acquire_call(std::uint64_t) noexcept {}
inline void acquire_calls() noexcept {}
#endif

} // namespace offhook::detail::tsan

#endif
