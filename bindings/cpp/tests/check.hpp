// check.hpp - a tiny test runner: TEST(name) { ... CHECK(...); }. One test per process; a failure ends it at once, also
// inside handlers and on other threads.
#ifndef TESTS_CHECK_HPP
#define TESTS_CHECK_HPP

#include <offhook/offhook.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

struct test {
    const char *name;
    void (*run)();
};

/// All tests of the program, in the order of the linker.
std::vector<test> &all_tests();

struct add_test {
    add_test(const char *name, void (*run)()) { all_tests().push_back({name, run}); }
};

#define TESTS_GLUE_(a, b) a##b
#define TESTS_GLUE(a, b) TESTS_GLUE_(a, b)
#define TEST_(name, id)                                            \
    static void TESTS_GLUE(test_, id)();                           \
    static const add_test TESTS_GLUE(add_, id)(name, &TESTS_GLUE(test_, id)); \
    static void TESTS_GLUE(test_, id)()
#define TEST(name) TEST_(name, __LINE__)

/// Prints the location and the message, and ends the process.
[[noreturn]] void fail(const char *file, int line, const std::string &what);

#define FAIL(text) fail(__FILE__, __LINE__, text)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("not so: " #condition))

template <class T> std::string shown(const T &value)
{
    std::ostringstream out;
    if constexpr (std::is_enum_v<T>) out << static_cast<long long>(value);
    else out << value;
    return out.str();
}
template <class R, class P> std::string shown(const std::chrono::duration<R, P> &d) { return std::to_string(d.count()); }
inline std::string shown(offhook::errc code) { return offhook::to_string(code); }
inline std::string shown(offhook::call_state state) { return offhook::to_string(state); }

template <class A, class B> void check_equal(const char *file, int line, const char *what, const A &is, const B &wanted)
{
    if (!(is == wanted)) fail(file, line, std::string(what) + " is " + shown(is) + ", not " + shown(wanted));
}
#define CHECK_EQ(is, wanted) check_equal(__FILE__, __LINE__, #is, is, wanted)

template <class T> void check_ok(const char *file, int line, const char *what, const offhook::result<T> &r)
{
    if (!r) fail(file, line, std::string(what) + " failed: " + r.error().message());
}
#define CHECK_OK(call) check_ok(__FILE__, __LINE__, #call, call)
#define CHECK_ERR(call, wanted) check_equal(__FILE__, __LINE__, #call, (call).code(), wanted)

/// A deadline, scaled by OFFHOOK_TEST_SCALE: how much slower than real time this run is.
std::chrono::milliseconds within(std::chrono::milliseconds plain);

/// A name that no other test and no other process uses.
std::string unique(const std::string &name);

using steady = std::chrono::steady_clock;

/// Polls until the condition is true; fails the test after the deadline.
template <class F> void eventually(const char *file, int line, const char *what, std::chrono::milliseconds limit, F &&is_so);
#define EVENTUALLY(limit, expression) \
    eventually(__FILE__, __LINE__, #expression, within(limit), [&] { return static_cast<bool>(expression); })

[[noreturn]] void too_late(const char *file, int line, const char *what);
void pause_shortly(); ///< between two checks of a polling loop

template <class F> void eventually(const char *file, int line, const char *what, std::chrono::milliseconds limit, F &&is_so)
{
    for (const auto end = steady::now() + limit; !is_so(); pause_shortly())
        if (steady::now() > end) too_late(file, line, what);
}

#endif
