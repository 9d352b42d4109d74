// planted.cpp - deliberate defects of an application, to check that the sanitizers find them in a program that uses
// the library.
#include "peer.hpp"

using namespace offhook;

int planted(const std::string &defect)
{
    peer ann("ann");
    int unguarded = 0;
    std::string *gone = nullptr;
    ann.rec->event_hook = [&](call_ref, const event &e) {
        if (!e.get<events::joined>()) return;
        if (defect == "race") unguarded++; // while the main thread reads it
        if (defect == "leak") *new std::string("nobody deletes this") += "!";
        if (defect == "use-after-free") gone = new std::string("deleted, and read"), delete gone, unguarded += (*gone)[0];
    };
    ann.open("room");
    // Before any wait: a wait for an event takes the handler's lock, and then there is no race.
    if (defect == "race")
        for (const auto end = steady::now() + within(10s); unguarded == 0 && steady::now() < end;) pause_shortly();
    CHECK_OK(ann.call.wait_state(call_state::joined, within(10s)));
    EXPECT(*ann.rec, events::joined, 5s);
    ann.close();
    CHECK_OK(shutdown(within(5s)));
    std::printf("%s was planted (%d)\n", defect.c_str(), unguarded);
    return 0;
}
