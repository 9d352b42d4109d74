// tsan.hpp - annotates for ThreadSanitizer the synchronisation that the library provides, because the library is not
// built with that sanitizer. Without the sanitizer these functions are empty.
//
// The annotations cover what offhook.h guarantees and no more: the handlers see what was done before the join, the
// handlers of one call follow each other, and their effects are visible after the call was freed (or its client, or the
// library) and after a wait for its end. Races in the application are still reported.
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
inline char slot[slots]; ///< per call, by handle: the object itself may be freed

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
