// known.hpp - structures of the library, read as far as the library and this header both know them.
#ifndef OFFHOOK_DETAIL_KNOWN_HPP
#define OFFHOOK_DETAIL_KNOWN_HPP

#include <offhook.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace offhook::detail {

/// A copy of a structure that the library passed: the members that it has, and zero for those that an older library
/// does not have. What a newer library adds at the end is left out.
template <class T> T known(const T *structure) noexcept
{
    static_assert(std::is_trivially_copyable_v<T> && offsetof(T, size) == 0);
    T copy;
    std::memset(static_cast<void *>(&copy), 0, sizeof copy);
    if (structure) {
        std::size_t size = 0;
        std::memcpy(&size, structure, sizeof size);
        std::memcpy(static_cast<void *>(&copy), structure, std::min(size, sizeof copy));
    }
    return copy;
}

/// A text of such a structure: "" where there is none.
inline const char *text(const char *c) noexcept { return c ? c : ""; }

} // namespace offhook::detail

#endif
