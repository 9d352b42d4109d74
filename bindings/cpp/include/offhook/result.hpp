// result.hpp - results of functions: a value, or an error.
//
// Every function that can fail returns a result. Test it (`if (!r) log(r.error().text())`), or let value() throw an
// offhook::exception: both styles, one set of functions. The compiler warns about a result that is not used.
#ifndef OFFHOOK_RESULT_HPP
#define OFFHOOK_RESULT_HPP

#include "constants.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define OFFHOOK_EXCEPTIONS 1
#else
#define OFFHOOK_EXCEPTIONS 0 ///< without exceptions value() of a failure ends the process with the error's text
#endif

namespace offhook {

/// A failure: a code for programs, and a text for people that says what failed, where, and what to do. Holds no secrets.
class error {
public:
    error(errc code, std::string text) : code_(code), text_(std::move(text)) {}

    errc code() const noexcept { return code_; }

    /// The library's details, or the general meaning of the code where there are none.
    std::string text() const { return text_.empty() ? oh_result_get_message(static_cast<oh_result>(code_)) : text_; }

    /// Name and text, for instance "OH_ERR_HANDLE: the call was freed".
    std::string message() const
    {
        std::string all = to_string(code_);
        return all.append(": ").append(text());
    }

private:
    errc code_;
    std::string text_;
};

/// What result::value() throws.
class exception : public std::runtime_error {
public:
    explicit exception(offhook::error error) : std::runtime_error(error.message()), error_(std::move(error)) {}
    const offhook::error &error() const noexcept { return error_; }
    errc code() const noexcept { return error_.code(); }

private:
    offhook::error error_;
};

namespace detail {

[[noreturn]] inline void raise(const error &error)
{
#if OFFHOOK_EXCEPTIONS
    throw exception(error);
#else
    std::fprintf(stderr, "offhook: %s\n", error.message().c_str());
    std::abort();
#endif
}

/// The details of the last failure on this thread. OH_ERR_EMPTY is not a failure and has none.
inline error last_error(oh_result code)
{
    std::string text;
    if (code != OH_ERR_EMPTY)
        if (std::size_t size = oh_get_last_error(nullptr, 0)) {
            text.resize(size + 1);
            oh_get_last_error(&text[0], text.size());
            text.resize(size);
        }
    return error(static_cast<errc>(code), std::move(text));
}

} // namespace detail

/// A T, or the error that explains why there is none.
template <class T> class [[nodiscard]] result {
public:
    result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    result(offhook::error error) : held_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return held_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value; throws offhook::exception when there is none.
    T &value() & { return check(), *std::get_if<0>(&held_); }
    const T &value() const & { return check(), *std::get_if<0>(&held_); }
    T &&value() && { return check(), std::move(*std::get_if<0>(&held_)); }

    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T &&operator*() && { return std::move(*this).value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }

    /// The value, or another one in its place.
    template <class U> T value_or(U &&other) && { return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other)); }

    /// Why there is no value; only valid when there is none.
    const offhook::error &error() const
    {
        if (has_value()) detail::raise({errc::state, "offhook::result::error() of a success"});
        return *std::get_if<1>(&held_);
    }

    /// errc::ok, or the error's code.
    errc code() const noexcept { return has_value() ? errc::ok : std::get_if<1>(&held_)->code(); }

private:
    void check() const { if (!has_value()) detail::raise(*std::get_if<1>(&held_)); }

    std::variant<T, offhook::error> held_;
};

/// Success, or the error.
template <> class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(offhook::error error) : held_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return held_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// Throws offhook::exception on failure.
    void value() const { if (!has_value()) detail::raise(*std::get_if<1>(&held_)); }

    const offhook::error &error() const
    {
        if (has_value()) detail::raise({errc::state, "offhook::result::error() of a success"});
        return *std::get_if<1>(&held_);
    }

    errc code() const noexcept { return has_value() ? errc::ok : std::get_if<1>(&held_)->code(); }

private:
    std::variant<std::monostate, offhook::error> held_;
};

namespace detail {

inline result<void> to_result(oh_result code)
{
    if (code == OH_OK) return {};
    return last_error(code);
}

/// Compares the library that was loaded with this header, once per process. Called by everything that can be used first.
inline result<void> check_abi()
{
    static const std::uint32_t loaded = oh_get_abi_version();
    if (loaded == OH_ABI_VERSION) return {};
    std::string text = "the library that was loaded (";
    text.append(oh_get_version()).append(") has ABI ").append(std::to_string(loaded));
    text.append(", but this program was built for ABI ").append(std::to_string(OH_ABI_VERSION));
    return error(errc::abi, std::move(text));
}

} // namespace detail
} // namespace offhook

#endif
