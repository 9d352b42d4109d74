// test_media.cpp - audio: rows send-receive, mute, late-offers, reconnect, pull of tests/scenarios.md.
#include "peer.hpp"

#include <cmath>
#include <dlfcn.h>
#include <poll.h>

using namespace offhook;

/// Interposes the library's function: leaks of pulled events would be invisible to a leak checker.
static std::atomic<std::uint64_t> events_freed{0};
extern "C" void oh_event_free(const oh_event *event)
{
    static const auto real = reinterpret_cast<void (*)(const oh_event *)>(::dlsym(RTLD_NEXT, "oh_event_free"));
    CHECK(real != nullptr);
    events_freed++;
    real(event);
}

TEST("send-receive")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    ben.join("room");
    ben.rec->audio_hook = [&](call_ref call, const audio_view &a) {
        CHECK_EQ(a.user_id, ann.user);
        CHECK_EQ(a.frames, 960u);
        CHECK_EQ(a.sample_rate_hz, 48000u);
        CHECK_EQ(a.channels, 1u);
        CHECK_EQ(a.source, track_source::microphone);
        CHECK(a.samples_f32.empty() && a.opus_packet.empty());
        CHECK(call == ben.call);
    };
    ann.publish_tone(440);
    const auto published = EXPECT(*ann.rec, events::local_track_published, 10s);
    CHECK(published.track == ann.mic);
    EXPECT_IF(*ben.rec, events::track_published, 10s, e.user_id == ann.user && e.source == track_source::microphone);
    ben.rec->expect_tone(ann.user, 440, 10s);
    const auto window = ben.rec->next_window(ann.user, 5s);
    CHECK(tone_share(window, 440, 48000) > 10 * tone_share(window, 1000, 48000));
    EXPECT_IF(*ben.rec, events::audio_level, 5s, e.user_id == ann.user && e.level > 0);
    CHECK(ben.call.stats().value().frames_played > 5);
    CHECK(ann.call.stats().value().packets_sent > 5);

    // The same as floats in stereo, and as packets.
    peer carl("carl");
    std::atomic<unsigned> floats{0};
    carl.rec = nullptr;
    carl.client = client_for(carl.user);
    call_options what;
    what.call_id = unique("room");
    what.audio_format = audio_format::f32;
    what.audio_channels = 2;
    call_handlers handlers;
    handlers.on_audio = [&](call_ref, const audio_view &a) {
        CHECK_EQ(a.samples_f32.size(), 1920u);
        CHECK(a.samples_s16.empty());
        const audio_frame kept(a);
        CHECK_EQ(kept.samples_f32.size(), 1920u);
        CHECK_EQ(kept.user_id, ann.user);
        floats++;
    };
    carl.call = carl.client.join(what, handlers).value();
    what.audio_format = audio_format::opus;
    what.audio_channels = 0;
    std::atomic<unsigned> packets{0};
    handlers.on_audio = [&](call_ref, const audio_view &a) {
        CHECK(a.samples_s16.empty() && a.samples_f32.empty());
        packets += !a.opus_packet.empty() && a.format == audio_format::opus;
    };
    auto client = client_for(unique("dora"));
    auto dora = client.join(what, handlers).value();
    EVENTUALLY(10s, floats > 5 && packets > 5);
    dora.close();
    carl.call.close();
    ben.close();
    ann.close();
}

TEST("mute")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    ben.join("room");
    ann.publish_tone(440);
    ben.rec->expect_tone(ann.user, 440, 10s);

    std::size_t mark = ben.rec->mark();
    CHECK_OK(ann.mic.set_muted(true));
    EXPECT_FROM(*ben.rec, mark, events::track_unpublished, 5s, e.user_id == ann.user && e.cause == unpublish_cause::muted);
    // Audio in transit at the event may still be played from the receive buffer; then there is silence.
    std::uint64_t loud = 0;
    EVENTUALLY(5s, [&] {
        const std::uint64_t before = std::exchange(loud, ben.rec->loud(ann.user));
        std::this_thread::sleep_for(100ms); // the required length of silence
        return before == loud && ben.rec->loud(ann.user) == loud;
    }());
    std::this_thread::sleep_for(300ms); // no audio may be received in this time, while the tone is being written
    CHECK_EQ(ben.rec->loud(ann.user), loud);

    mark = ben.rec->mark();
    CHECK_OK(ann.mic.set_muted(false));
    EXPECT_FROM(*ben.rec, mark, events::track_published, 5s, e.user_id == ann.user);
    ben.rec->expect_tone(ann.user, 440, 10s);
    ben.close();
    ann.close();
}

TEST("late-offers")
{
    peer left("left"), right("right");
    left.join("bystanders");
    right.join("bystanders");
    left.publish_tone(440);
    right.publish_tone(880);
    left.rec->expect_tone(right.user, 880, 10s);
    right.rec->expect_tone(left.user, 440, 10s);
    const stall_watch machine;
    left.rec->gaps_begin();
    right.rec->gaps_begin();

    peer bot("bot");
    bot.join("room");
    bot.publish_tone(600);
    EXPECT(*bot.rec, events::local_track_published, 10s);
    CHECK_OK(bot.call.subscriber().value().close());
    ctl("late_offer", "{\"user_id\":\"" + bot.user + "\",\"count\":200,\"wait\":true}");
    EVENTUALLY(10s, bot.call.stats().value().late_offers >= 200);
    auto no_harm = [](peer &p) {
        CHECK_EQ(p.rec->count<events::error>(), 0u);
        CHECK_EQ(p.rec->count<events::local_track_failed>(), 0u);
        const auto s = p.call.stats().value();
        CHECK_EQ(s.error_events, 0u);
        CHECK_EQ(s.offers_failed, 0u);
        CHECK_EQ(s.join_attempts, 1u);
    };
    no_harm(bot);
    CHECK_OK(bot.call.wait_state(call_state::joined, 0ms));
    const auto sent = bot.call.stats().value().packets_sent;
    EVENTUALLY(5s, bot.call.stats().value().packets_sent > sent + 5); // it still sends

    // At a leave the order of events depends on timing, but there is no harm in any order.
    peer goes("goes");
    goes.join("room");
    ctl("late_offer", "{\"user_id\":\"" + goes.user + "\",\"count\":200,\"when\":\"leave\"}");
    const auto began = steady::now();
    CHECK_OK(goes.call.leave());
    const auto ended = EXPECT(*goes.rec, events::ended, 5s);
    CHECK(steady::now() - began < within(2s));
    CHECK_EQ(ended.reason, end_reason::left);
    CHECK_EQ(ended.error, errc::ok);
    EVENTUALLY(5s, session_figure(goes.user, "late_offers_sent") > 0);
    no_harm(goes);

    for (auto pair : {std::pair(&left, &right), std::pair(&right, &left)}) {
        const auto gap = pair.first->rec->gap(pair.second->user);
        if (gap > within(300ms) + 3 * machine.longest()) // SFU, library and writer may each be delayed
            FAIL("a gap of " + shown(gap) + " ms, while the machine stalled for " + shown(machine.longest()) + " ms");
        no_harm(*pair.first);
        CHECK_EQ(pair.first->call.stats().value().late_offers, 0u);
    }
    left.rec->expect_tone(right.user, 880, 5s);
    right.rec->expect_tone(left.user, 440, 5s);
    for (peer *p : {&bot, &left, &right}) p->close();
}

TEST("reconnect")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    ben.join("room");
    ann.publish_tone(440);
    ben.rec->expect_tone(ann.user, 440, 10s);
    for (peer *p : {&ben, &ann}) { // the listener, then the sender
        const std::size_t mark = p->rec->mark();
        ctl("drop_ws", "{\"user_id\":\"" + p->user + "\"}");
        EXPECT_FROM(*p->rec, mark, events::state, 10s, e.state == call_state::reconnecting);
        EXPECT_FROM(*p->rec, mark, events::state, 20s, e.state == call_state::joined);
        const auto back = EXPECT_FROM(*p->rec, mark, events::reconnected, 5s, true);
        CHECK(back.kind == reconnect_kind::fast || back.kind == reconnect_kind::rejoin);
        CHECK(!back.session_id.empty());
        CHECK(back.attempts >= 1);
        ben.rec->expect_tone(ann.user, 440, 10s);
        const auto s = p->call.stats().value();
        CHECK_EQ(s.reconnects_fast + s.reconnects_rejoin, 1u);
    }
    ben.close();
    ann.close();
}

TEST("pull")
{
    peer ann("ann");
    ann.join("room");
    ann.publish_tone(440);
    EXPECT(*ann.rec, events::local_track_published, 10s);

    auto client = client_for(unique("ben"));
    call_options what;
    what.call_id = unique("room");
    what.pull_audio = true;
    auto ben = client.join(what).value(); // no handlers
    auto rec = std::make_shared<recorder>();
    const int fd = ben.wake_fd().value();
    std::vector<event_kind> order;
    float loudest = 0;
    std::uint64_t all = 0;
    const auto end = steady::now() + within(20s);
    for (bool over = false; !over;) {
        CHECK(steady::now() < end);
        pollfd p{fd, POLLIN, 0};
        CHECK(::poll(&p, 1, 200) >= 0);
        CHECK(!(p.revents & (POLLERR | POLLNVAL)));
        unsigned taken = 0;
        for (;;) {
            auto next = ben.wait_event(0ms);
            if (!next) {
                CHECK_EQ(next.code(), over ? errc::closed : errc::empty);
                break;
            }
            taken++, all++;
            if (order.empty() || order.back() != next->kind) order.push_back(next->kind);
            if (const auto *audio = next->get<events::audio>()) {
                CHECK_EQ(audio->user_id, ann.user);
                CHECK_EQ(audio->samples_s16.size(), 960u);
                for (auto s : audio->samples_s16) loudest = std::max(loudest, std::abs(static_cast<float>(s)));
                rec->take(*audio, audio->user_id, audio->samples_s16);
                if (rec->loud(ann.user) > 25) CHECK_OK(ben.leave());
            }
            over = next->get<events::ended>() != nullptr;
        }
        CHECK(taken > 0 || !(p.revents & POLLIN));
    }
    auto at = [&](event_kind kind) { return std::find(order.begin(), order.end(), kind) - order.begin(); };
    CHECK(at(event_kind::joined) < at(event_kind::audio));
    CHECK(at(event_kind::audio) < at(event_kind::ended));
    CHECK_EQ(order.back(), event_kind::ended);
    CHECK(loudest > 3000);
    CHECK_EQ(events_freed.load(), all);
    CHECK_ERR(ben.wait_event(forever), errc::closed);
    CHECK_ERR(ann.call.wait_event(0ms), errc::state); // it has handlers
    CHECK_ERR(ann.call.wake_fd(), errc::state);

    // Closed while another thread waits for an event: the thread is woken.
    auto carl = client.join(what).value();
    CHECK_OK(carl.wait_state(call_state::joined, within(10s)));
    std::atomic<bool> busy{false};
    errc last = errc::ok;
    std::thread puller([&] {
        for (;;) {
            busy = true;
            auto next = carl.wait_event(forever);
            if (next) continue;
            last = next.code();
            return;
        }
    });
    EVENTUALLY(5s, busy.load());
    carl.close();
    puller.join();
    CHECK(last == errc::closed || last == errc::handle);
    ann.close();
}
