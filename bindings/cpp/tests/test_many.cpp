// test_many.cpp - row hundred of tests/scenarios.md: a hundred calls in one process.
#include "peer.hpp"

#include <dirent.h>

using namespace offhook;

static int threads()
{
    int count = 0;
    DIR *dir = ::opendir("/proc/self/task");
    CHECK(dir != nullptr);
    while (const dirent *e = ::readdir(dir)) count += e->d_name[0] != '.';
    ::closedir(dir);
    return count;
}

TEST("hundred")
{
    std::vector<std::unique_ptr<peer>> all;
    for (int i = 0; i < 100; i++) {
        all.push_back(std::make_unique<peer>("u" + std::to_string(i)));
        all.back()->open("room-" + std::to_string(i / 10));
    }
    for (auto &p : all) CHECK_OK(p->call.wait_state(call_state::joined, within(40s)));
    const int most = threads();
    if (most >= 40) FAIL("the process has " + std::to_string(most) + " threads");
    for (auto &p : all) { // each one has the nine others of its room
        EVENTUALLY(20s, p->rec->count<events::participant_joined>() >= 9);
        CHECK_EQ(p->rec->count<events::joined>(), 1u);
    }
    for (auto &p : all) CHECK_OK(p->call.leave());
    for (auto &p : all) {
        CHECK_EQ(EXPECT(*p->rec, events::ended, 10s).reason, end_reason::left);
        CHECK_OK(p->call.wait_state(call_state::left, within(5s)));
    }
    all.clear();
}
