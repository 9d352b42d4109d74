// test_handlers.cpp - permitted actions in handlers: rows free-in-callback, handler-throws, blocked-handler of
// tests/scenarios.md.
#include "peer.hpp"

#include <cstdio>
#include <future>
#include <unistd.h>

using namespace offhook;

namespace {

/// A participant whose handlers own all objects to be destroyed.
struct doomed {
    std::optional<offhook::client> client;
    std::optional<offhook::call> call;
    std::atomic<bool> ready{false}; ///< client and call are set for the handlers
    std::atomic<bool> done{false};
    std::atomic<unsigned> after{0}; ///< handlers that ran after `done`

    void destroy(bool whole_client)
    {
        while (!ready) pause_shortly();
        if (whole_client) client.reset();
        call.reset();
        if (!whole_client) client.reset();
        done = true;
    }
};

enum class inside { joined, audio, ended, state };

void free_inside(inside where, bool whole_client, const std::string &room)
{
    auto it = std::make_shared<doomed>();
    std::weak_ptr<doomed> handlers = it;
    const std::string user = unique("doomed-" + std::to_string(static_cast<int>(where)) + (whole_client ? "c" : ""));
    it->client = client_for(user);
    call_handlers h;
    h.on_event = [it, where, whole_client](call_ref call, const event &e) {
        if (it->done) it->after++;
        else if (where == inside::ended && e.get<events::joined>()) CHECK_OK(call.leave());
        else if ((where == inside::joined && e.get<events::joined>()) || (where == inside::ended && e.get<events::ended>()) ||
                 (where == inside::state && e.get<events::state>())) {
            CHECK_ERR(call.wait_state(call_state::left, forever), errc::would_deadlock);
            it->destroy(whole_client);
            CHECK_ERR(call.leave(), errc::handle);
        }
    };
    h.on_audio = [it, where, whole_client](call_ref, const audio_view &) {
        if (it->done) it->after++;
        else if (where == inside::audio) it->destroy(whole_client);
    };
    call_options what;
    what.call_id = room;
    it->call = it->client->join(what, std::move(h)).value();
    it->ready = true;
    EVENTUALLY(10s, it->done.load());
    EVENTUALLY(10s, it.use_count() == 1); // the handlers were destroyed: none can run any more
    CHECK_EQ(it->after.load(), 0u);
    EVENTUALLY(5s, !at_sfu(user));
    it.reset();
    CHECK(handlers.expired());
}

} // namespace

TEST("free-in-callback")
{
    peer sender("sender");
    sender.join("room");
    sender.publish_tone(440);
    EXPECT(*sender.rec, events::local_track_published, 10s);
    for (inside where : {inside::joined, inside::audio, inside::ended, inside::state})
        for (bool whole_client : {false, true}) free_inside(where, whole_client, unique("room"));

    // Handlers that own their own call: both are freed together, in the handlers' destructor.
    auto client = client_for(unique("owner"));
    auto owned = std::make_shared<offhook::call>();
    std::weak_ptr<offhook::call> watch = owned;
    std::promise<void> joined;
    call_handlers h;
    h.on_event = [owned, &joined](call_ref, const event &e) {
        if (e.get<events::joined>()) joined.set_value();
    };
    call_options what;
    what.call_id = unique("room");
    *owned = client.join(what, std::move(h)).value();
    const call_ref name = *owned;
    CHECK(joined.get_future().wait_for(within(10s)) == std::future_status::ready);
    owned.reset();
    CHECK(!watch.expired());
    CHECK_OK(name.leave());
    EVENTUALLY(5s, watch.expired());
    CHECK_ERR(name.state(), errc::handle);

    // The destructor on another thread waits for a handler in progress.
    std::atomic<bool> inside{false}, release{false}, returned{false};
    h = {};
    h.on_event = [&](call_ref, const event &e) {
        if (!e.get<events::joined>()) return;
        inside = true;
        while (!release) pause_shortly();
        returned = true;
    };
    {
        auto call = client.join(what, std::move(h)).value();
        EVENTUALLY(10s, inside.load());
        std::thread later([&] {
            std::this_thread::sleep_for(50ms); // long enough to detect a destructor that does not wait
            release = true;
        });
        call.close();
        CHECK(returned.load());
        later.join();
    }
    CHECK_OK(sender.call.wait_state(call_state::joined, 0ms)); // other calls are unaffected
    sender.close();
}

TEST("handler-throws")
{
    peer sender("sender");
    sender.join("room");
    sender.publish_tone(440);
    EXPECT(*sender.rec, events::local_track_published, 10s);

    auto client = client_for(unique("thrower"));
    std::atomic<unsigned> from_events{0}, from_audio{0}, after{0}, frames{0};
    call_handlers h;
    h.on_event = [&](call_ref, const event &e) {
        if (e.get<events::joined>()) throw std::runtime_error("thrown at joined");
        if (from_events) after++;
    };
    h.on_audio = [&](call_ref, const audio_view &) {
        if (frames++ < 3) throw 42;
    };
    h.on_exception = [&](call_ref call, std::exception_ptr thrown) {
        CHECK(static_cast<bool>(call));
        try {
            std::rethrow_exception(thrown);
        } catch (const std::runtime_error &e) {
            CHECK_EQ(std::string(e.what()), "thrown at joined");
            from_events++;
        } catch (int number) {
            CHECK_EQ(number, 42);
            from_audio++;
        }
    };
    call_options what;
    what.call_id = unique("room");
    auto call = client.join(what, h).value();
    EVENTUALLY(10s, from_events == 1 && from_audio == 3 && frames > 10 && after > 0);
    CHECK_OK(call.wait_state(call_state::joined, 0ms));
    CHECK_EQ(call.stats().value().error_events, 0u);
    CHECK_OK(call.leave());
    CHECK_OK(call.wait_state(call_state::left, within(5s)));

    // Without an exception handler, or with one that throws as well, the exception is printed to standard error.
    std::FILE *file = std::tmpfile();
    CHECK(file != nullptr);
    const int before = ::dup(2);
    ::dup2(::fileno(file), 2);
    std::atomic<unsigned> joined{0};
    for (bool with_handler : {false, true}) {
        call_handlers t;
        t.on_event = [&](call_ref, const event &e) {
            if (e.get<events::token_needed>() || e.get<events::state>()) return;
            if (e.get<events::joined>()) {
                joined++;
                throw std::logic_error("no handler for this exception");
            }
        };
        if (with_handler) t.on_exception = [](call_ref, std::exception_ptr) { throw 7; };
        auto quiet = client.join(what, t).value();
        CHECK_OK(quiet.wait_state(call_state::joined, within(10s)));
        CHECK_OK(quiet.leave());
        CHECK_OK(quiet.wait_state(call_state::left, within(5s)));
    }
    std::fflush(stderr);
    ::dup2(before, 2);
    ::close(before);
    std::rewind(file);
    std::string printed(4096, '\0');
    printed.resize(std::fread(&printed[0], 1, printed.size(), file));
    std::fclose(file);
    CHECK_EQ(joined.load(), 2u);
    const std::string line = "offhook: the event handler threw: no handler for this exception\n";
    const std::size_t first = printed.find(line);
    CHECK(first != std::string::npos && printed.find(line, first + 1) != std::string::npos);
    CHECK(printed.find("offhook: the exception handler threw something") != std::string::npos);
    sender.close();
}

TEST("blocked-handler")
{
    std::promise<void> release;
    auto released = release.get_future().share();
    std::atomic<bool> blocked{false}, returned{false};
    peer slow("slow");
    slow.rec->event_hook = [&](call_ref, const event &e) {
        if (!e.get<events::joined>()) return;
        blocked = true;
        released.wait();
        returned = true;
    };
    slow.open("elsewhere");
    EVENTUALLY(10s, blocked.load());

    peer ann("ann"), ben("ben");
    ann.join("room");
    ann.publish_tone(440);
    ben.join("room");
    ben.rec->expect_tone(ann.user, 440, 10s);
    ben.close();
    ann.close();
    CHECK(!returned.load()); // the first handler was still running all that time
    CHECK_EQ(slow.call.state().value(), call_state::joined);
    const auto began = steady::now();
    CHECK_OK(slow.call.publish_audio()); // functions on the blocked call do not wait either
    CHECK(steady::now() - began < within(500ms));

    release.set_value();
    EVENTUALLY(5s, returned.load());
    slow.close();
}
