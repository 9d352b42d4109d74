// main.cpp - runs one test by name; --list prints the names, --expect NAME... checks that exactly these exist.
#include "check.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>
#include <unistd.h>

int version_child(); // test_version.cpp
int planted(const std::string &defect); // planted.cpp

static std::string running = "test";

std::vector<test> &all_tests()
{
    static std::vector<test> all;
    return all;
}

void fail(const char *file, int line, const std::string &what)
{
    std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, running.c_str(), what.c_str());
    std::fflush(nullptr);
    ::_exit(1);
}

void too_late(const char *file, int line, const char *what) { fail(file, line, std::string("not in time: ") + what); }

std::chrono::milliseconds within(std::chrono::milliseconds plain)
{
    static const char *scale = std::getenv("OFFHOOK_TEST_SCALE");
    return plain * std::max(1, scale ? std::atoi(scale) : 1);
}

std::string unique(const std::string &name) { return "cpp-" + running + "-" + std::to_string(::getpid()) + "-" + name; }

void pause_shortly() { std::this_thread::sleep_for(2ms); }

int main(int argc, char **argv)
{
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "--version-child") return version_child();
    if (what == "--planted" && argc > 2) return planted(argv[2]);
    if (what == "--list") {
        for (const test &t : all_tests()) std::puts(t.name);
        return 0;
    }
    if (what == "--expect") {
        std::multiset<std::string> wanted(argv + 2, argv + argc), have;
        for (const test &t : all_tests()) have.insert(t.name);
        if (wanted == have) return 0;
        for (const auto &name : have) if (!wanted.count(name)) std::fprintf(stderr, "%s is not in CMakeLists.txt\n", name.c_str());
        for (const auto &name : wanted) if (!have.count(name)) std::fprintf(stderr, "there is no test %s\n", name.c_str());
        return 1;
    }
    for (const test &t : all_tests())
        if (what == t.name) {
            running = t.name;
            t.run();
            // Ends the library's threads, so that a leak checker sees only what is really left.
            CHECK_OK(offhook::shutdown(within(5s)));
            std::printf("ok %s\n", t.name);
            return 0;
        }
    std::fprintf(stderr, "usage: %s TEST | --list | --expect TEST...\n", argv[0]);
    return 2;
}
