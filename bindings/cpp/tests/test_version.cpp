// test_version.cpp - row version of tests/scenarios.md: a library of another ABI is refused at first use.
#include "peer.hpp"

#include <cstdlib>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

using namespace offhook;

/// The process that loads the other library: 0 when every first use was refused with both numbers.
int version_child()
{
    int wrong = 0;
    auto refused = [&](const char *what, const error &error) {
        const std::string text = error.text();
        const bool well = error.code() == errc::abi && text.find("ABI 4711") != std::string::npos &&
                          text.find("ABI " + std::to_string(OH_ABI_VERSION)) != std::string::npos;
        std::printf("%s: %s\n", what, error.message().c_str());
        wrong += !well;
    };
    client_options where;
    where.url = "http://127.0.0.1:1";
    where.user_id = "ann";
    access_token_options token;
    token.api_key = token.api_secret = token.user_id = token.call_id = "x";
    refused("client", client::create(where).error());
    refused("token", create_access_token(token).error());
    refused("log", set_log(log_level::info, [](const log_record &) {}).error());
    refused("network", report_network(network_change::online).error());
    refused("shutdown", shutdown(0ms).error());
    return wrong;
}

TEST("version")
{
    CHECK_EQ(abi_version(), static_cast<std::uint32_t>(OH_ABI_VERSION));
    CHECK_EQ(version_number(), static_cast<std::uint32_t>(OH_VERSION_NUMBER));
    CHECK_EQ(version(), OH_VERSION);
    const char *other = std::getenv("OFFHOOK_OTHER_ABI");
    if (!other || ::access(other, R_OK)) FAIL("OFFHOOK_OTHER_ABI names no library");
    std::vector<std::string> set;
    for (char **e = environ; *e; e++)
        if (std::string(*e).rfind("LD_PRELOAD=", 0) != 0 && std::string(*e).rfind("ASAN_OPTIONS=", 0) != 0) set.emplace_back(*e);
    set.push_back(std::string("LD_PRELOAD=") + other);
    set.emplace_back("ASAN_OPTIONS=verify_asan_link_order=0"); // AddressSanitizer requires to be the first library
    std::vector<char *> environment;
    for (auto &s : set) environment.push_back(&s[0]);
    environment.push_back(nullptr);
    char self[] = "/proc/self/exe", child[] = "--version-child";
    char *arguments[] = {self, child, nullptr};
    pid_t pid = 0;
    CHECK_EQ(::posix_spawn(&pid, self, nullptr, nullptr, arguments, environment.data()), 0);
    int status = -1;
    CHECK_EQ(::waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}
