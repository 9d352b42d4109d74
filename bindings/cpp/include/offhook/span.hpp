// span.hpp - a view of contiguous values that something else owns; std::span, where it exists, converts
// to and from it.
#ifndef OFFHOOK_SPAN_HPP
#define OFFHOOK_SPAN_HPP

#include <cstddef>
#include <type_traits>
#include <utility>

namespace offhook {

template <class T> class span {
    template <class C>
    using if_container = std::enable_if_t<
        !std::is_same_v<std::decay_t<C>, span> && !std::is_array_v<std::remove_reference_t<C>> &&
        std::is_convertible_v<std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]> &&
        std::is_convertible_v<decltype(std::declval<C &>().size()), std::size_t>>;

public:
    using value_type = std::remove_cv_t<T>;
    using element_type = T;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N> constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
    /// Of a vector, an array, a string, a std::span: whatever has data() and size().
    template <class C, class = if_container<C>> constexpr span(C &&values) noexcept : data_(values.data()), size_(values.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace offhook

#endif
