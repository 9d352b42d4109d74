// test_join.cpp - joining and leaving: rows join, participants, leave, leave-twice, dropped, wrong-order, token,
// unsupported, log of tests/scenarios.md.
#include "peer.hpp"

#include <algorithm>

using namespace offhook;

TEST("join")
{
    peer ann("ann");
    ann.join("room");
    const auto joined = EXPECT(*ann.rec, events::joined, 1s);
    CHECK(!joined.session_id.empty());
    CHECK_EQ(joined.participants, 1u);
    CHECK(joined.join_time.count() < within(10s).count());
    EXPECT_IF(*ann.rec, events::state, 1s, e.state == call_state::joining && e.previous == call_state::idle);
    EXPECT_IF(*ann.rec, events::state, 1s, e.state == call_state::joined);
    CHECK_EQ(ann.call.state().value(), call_state::joined);
    CHECK_EQ(ann.call.stats().value().participants, 1u);

    peer ben("ben");
    ben.join("room");
    const auto other = EXPECT_IF(*ben.rec, events::participant_joined, 5s, e.user_id == ann.user); // joined before
    CHECK_EQ(other.session_id, joined.session_id);
    ben.close();
    ann.close();

    // An unreachable server: no process listens on this port.
    client_options nowhere = options_for(unique("lost"));
    nowhere.url = "http://127.0.0.1:1";
    auto client = offhook::client::create(nowhere).value();
    auto rec = std::make_shared<recorder>();
    call_options what;
    what.call_id = unique("room");
    what.join_retries = 0;
    auto call = client.join(what, rec->handlers()).value();
    const auto waited = call.wait_state(call_state::joined, within(10s));
    CHECK_EQ(waited.code(), errc::network);
    CHECK(waited.error().message().find("OH_ERR_NETWORK") != std::string::npos);
    const auto ended = EXPECT(*rec, events::ended, 5s);
    CHECK_EQ(ended.reason, end_reason::join_failed);
    CHECK_EQ(ended.error, errc::network);
    CHECK(!ended.text.empty());

    // No URL, and one that would send the token in plain text: refused at once, and as an exception with value().
    nowhere.url = "";
    CHECK_ERR(offhook::client::create(nowhere), errc::argument);
    nowhere.url = "http://192.0.2.1"; // not contacted
    CHECK_ERR(offhook::client::create(nowhere), errc::insecure);
    try {
        offhook::client::create(nowhere).value();
        FAIL("value() of a failure does not throw");
    } catch (const offhook::exception &e) {
        CHECK_EQ(e.code(), errc::insecure);
        CHECK(std::string(e.what()).find("OH_ERR_INSECURE") == 0);
    }
}

TEST("participants")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    ben.join("room");
    {
        peer carl("carl");
        carl.join("room");
        for (peer *p : {&ann, &ben}) EXPECT_IF(*p->rec, events::participant_joined, 5s, e.user_id == carl.user);
        EXPECT_IF(*carl.rec, events::participant_joined, 5s, e.user_id == ben.user);
        carl.close();
        for (peer *p : {&ann, &ben}) EXPECT_IF(*p->rec, events::participant_left, 5s, e.user_id == carl.user);
    }
    CHECK_EQ(ann.rec->count<events::participant_left>(), 1u);
    ben.close();
    EXPECT_IF(*ann.rec, events::participant_left, 5s, e.user_id == ben.user);
    ann.close();
}

TEST("leave")
{
    peer ann("ann");
    ann.join("room");
    const auto began = steady::now();
    CHECK_OK(ann.call.leave("enough"));
    CHECK(steady::now() - began < within(500ms)); // at once
    const auto ended = EXPECT(*ann.rec, events::ended, 2s);
    CHECK_EQ(ended.reason, end_reason::left);
    CHECK_EQ(ended.error, errc::ok);
    CHECK_OK(ann.call.wait_state(call_state::left, within(2s)));
    CHECK(ann.rec->last().get<events::ended>() != nullptr);
    CHECK_EQ(ann.rec->last().kind, event_kind::ended);
    CHECK_EQ(ann.call.state().value(), call_state::left);
    CHECK_ERR(ann.call.publish_audio(), errc::state);
    CHECK_ERR(ann.call.wait_state(call_state::joined, within(1s)), errc::cancelled);
    EVENTUALLY(5s, !at_sfu(ann.user));
    ann.call.close();
    CHECK_EQ(ann.rec->count<events::ended>(), 1u); // and the recorder fails on whatever comes after it
}

TEST("trace")
{
    peer ann("ann");
    ann.join("room");
    const std::string first = ann.call.trace().value();
    CHECK(first.rfind("{\"offhook_trace\":1,", 0) == 0 && first.back() == '\n');
    CHECK(first.find("\"SocketOpened\"") != std::string::npos && first.find("\"Ended\"") == std::string::npos);
    CHECK(first.find("development") == std::string::npos);
    CHECK_OK(ann.call.leave());
    CHECK_OK(ann.call.wait_state(call_state::left, within(5s)));
    const std::string last = ann.call.trace().value();
    CHECK(last.size() > first.size() && last.find("\"Ended\"") != std::string::npos);
    const call_ref freed = ann.call;
    ann.call.close();
    CHECK_ERR(freed.trace(), errc::handle);
}

TEST("leave-twice")
{
    for (int round = 0; round < 10; round++) {
        peer ann("ann-" + std::to_string(round));
        round % 2 ? ann.join("room") : ann.open("room");
        auto both = [&] {
            for (int twice = 0; twice < 2; twice++) {
                const errc left = ann.call.leave().code();
                CHECK(left == errc::ok || left == errc::handle);
                ann.call.close();
                ann.call.close();
            }
        };
        std::thread one(both), two(both);
        one.join();
        two.join();
        CHECK_ERR(ann.call.leave(), errc::handle);
        CHECK_ERR(ann.call.state(), errc::handle);
        CHECK(ann.rec->count<events::ended>() <= 1);
        CHECK_EQ(ann.rec.use_count(), 1); // the handlers were destroyed: nothing more is delivered
    }
}

TEST("dropped")
{
    peer witness("witness");
    witness.join("room");
    std::string user;
    std::weak_ptr<recorder> recorded;
    {
        peer ann("ann");
        user = ann.user;
        recorded = ann.rec;
        ann.join("room");
        ann.publish_tone(440);
        EXPECT_IF(*witness.rec, events::track_published, 10s, e.user_id == user);
        CHECK(at_sfu(user));
    } // track, call and client go out of scope, in this order, while audio is being written
    CHECK(recorded.expired()); // the handlers were destroyed with the call
    EXPECT_IF(*witness.rec, events::participant_left, 5s, e.user_id == user);
    EVENTUALLY(5s, !at_sfu(user));

    {
        peer ben("ben"); // a call that was never joined
        recorded = ben.rec;
        ben.open("room");
    }
    CHECK(recorded.expired());

    peer dora("dora"); // only the call, while its client stays
    dora.join("room");
    EXPECT_IF(*witness.rec, events::participant_joined, 5s, e.user_id == dora.user);
    recorded = dora.rec;
    { const call gone = std::move(dora.call); }
    dora.rec.reset();
    CHECK(recorded.expired());
    EXPECT_IF(*witness.rec, events::participant_left, 5s, e.user_id == dora.user);

    peer carl("carl"); // only the track: it is unpublished, the call continues
    carl.join("room");
    {
        auto mic = carl.call.publish_audio().value();
        EXPECT_IF(*witness.rec, events::track_published, 10s, e.user_id == carl.user);
    }
    EXPECT_IF(*witness.rec, events::track_unpublished, 10s, e.user_id == carl.user);
    CHECK_OK(carl.call.wait_state(call_state::joined, 0ms));
    auto kept = carl.call.publish_audio().value().release(); // unless it was released
    CHECK_OK(kept.buffered());
    carl.close();
    CHECK_ERR(kept.buffered(), errc::handle);
    witness.close();
}

TEST("wrong-order")
{
    peer ann("ann");
    ann.join("room");
    auto mic = ann.call.publish_audio().value();
    const auto publisher = ann.call.publisher().value();
    const auto subscriber = ann.call.subscriber().value();
    const std::vector<std::int16_t> pcm(960);

    ann.client.close(); // before its call
    CHECK_EQ(ann.rec.use_count(), 1);
    const errc gone = errc::handle;
    CHECK_ERR(ann.call.state(), gone);
    CHECK_ERR(ann.call.wait_state(call_state::left, 1s), gone);
    CHECK_ERR(ann.call.leave(), gone);
    CHECK_ERR(ann.call.provide_token("x"), gone);
    CHECK_ERR(ann.call.refuse_token(), gone);
    CHECK_ERR(ann.call.publish_audio(), gone);
    CHECK_ERR(ann.call.publisher(), gone);
    CHECK_ERR(ann.call.subscriber(), gone);
    CHECK_ERR(ann.call.capabilities(), gone);
    CHECK_ERR(ann.call.stats(), gone);
    CHECK_ERR(ann.call.participants(), gone);
    CHECK_ERR(ann.call.send_custom_event("{}"), gone);
    CHECK_ERR(ann.call.send_data(std::vector<std::uint8_t>(3)), gone);
    CHECK_ERR(ann.call.send_text("x"), gone);
    CHECK_ERR(ann.call.answer_rpc("x", "y"), gone);
    CHECK_ERR(ann.call.set_attributes("x", {}, {}), gone);
    CHECK_ERR(ann.call.wait_event(0ms), gone);
    CHECK_ERR(ann.call.wake_fd(), gone);
    CHECK_ERR(publisher.close(), gone);
    CHECK_ERR(subscriber.close(), gone);
    CHECK_ERR(subscriber.set_track("x"), gone);
    CHECK_ERR(subscriber.track_stats("x", "y"), gone);
    CHECK_ERR(mic.stats(), gone);
    CHECK_ERR(mic.write(pcm), gone);
    CHECK_ERR(mic.wait_writable(960, 0ms), gone);
    CHECK_ERR(mic.buffered(), gone);
    CHECK_ERR(mic.set_muted(true), gone);
    mic.close();
    publisher.free();
    subscriber.free();
    ann.call.close();
    call_options what;
    what.call_id = unique("room");
    CHECK_ERR(ann.client.join(what), gone);

    peer ben("ben"); // a track after its call, while the client lives; parts freed before the call
    ben.join("room");
    auto track = ben.call.publish_audio().value();
    ben.call.publisher().value().free();
    CHECK(track.write(pcm).code() == errc::closed);
    ben.call.subscriber().value().free();
    CHECK_OK(ben.call.wait_state(call_state::joined, 0ms));
    ben.call.close();
    CHECK_ERR(track.write(pcm), gone);
    CHECK_OK(ben.client.join(what)); // the client still works
}

TEST("token")
{
    peer ann("ann");
    ctl("expire_tokens", "{\"user_id\":\"" + ann.user + "\",\"count\":1}");
    ann.rec->event_hook = [](call_ref call, const event &e) {
        if (e.get<events::token_needed>()) CHECK_OK(call.provide_token("development-2"));
    };
    call_options what;
    what.renew_token = true;
    ann.join("room", what);
    CHECK_EQ(ann.rec->count<events::token_needed>(), 1u);
    EXPECT(*ann.rec, events::joined, 1s);
    ann.close();

    // Requested because there is none; refused by the application.
    peer ben("ben");
    client_options where = options_for(ben.user);
    where.token = "";
    ben.client = client::create(where).value();
    ben.open("room");
    EXPECT(*ben.rec, events::token_needed, 5s);
    CHECK_OK(ben.call.refuse_token());
    CHECK_ERR(ben.call.wait_state(call_state::joined, within(5s)), errc::auth);
    const auto ended = EXPECT(*ben.rec, events::ended, 5s);
    CHECK_EQ(ended.reason, end_reason::join_failed);
    CHECK_EQ(ended.error, errc::auth);
}

TEST("unsupported")
{
    peer ann("ann");
    ann.join("room");
    const auto r = ann.call.send_text("hello");
    CHECK_EQ(r.code(), errc::unsupported);
    CHECK(!r.error().text().empty());
    CHECK(r.error().text() != oh_result_get_message(OH_ERR_UNSUPPORTED)); // a specific text of the library
    const auto can = ann.call.capabilities().value();
    CHECK(can.has(capability::custom_events) && !can.has(capability::text) && !can.has(capability::rpc));

    data_options to_ben;
    to_ben.to = {"ben", "carl"};
    to_ben.topic = "greetings";
    CHECK_ERR(ann.call.send_data(std::vector<std::uint8_t>{1, 2, 3}, to_ben), errc::unsupported);
    rpc_options ask;
    ask.to = "ben";
    ask.method = "add";
    CHECK_ERR(ann.call.perform_rpc(ask), errc::unsupported);
    CHECK_ERR(ann.call.answer_rpc("1", "2"), errc::unsupported);
    CHECK_ERR(ann.call.fail_rpc("1", rpc_error::application, "no"), errc::unsupported);
    CHECK_ERR(ann.call.set_attributes({}, "busy", {}), errc::unsupported);
    CHECK_ERR(ann.call.subscriber().value().set_track("TR_1"), errc::unsupported);
    ann.close();
}

TEST("log")
{
    std::mutex mutex;
    std::vector<std::string> lines;
    auto taken = [&] {
        std::lock_guard<std::mutex> lock(mutex);
        return lines.size();
    };
    CHECK_OK(set_log(log_level::trace, [&](const log_record &record) {
        CHECK(record.level >= log_level::error && record.level <= log_level::trace);
        std::lock_guard<std::mutex> lock(mutex);
        lines.emplace_back(record.text);
    }));
    const std::string secret = "very-secret-token-4711";
    peer ann("ann");
    client_options where = options_for(ann.user);
    where.token = secret;
    ann.client = client::create(where).value();
    ann.join("room");
    EVENTUALLY(5s, taken() > 3);
    ann.close();

    CHECK_OK(clear_log()); // no line arrives after it has returned: `lines` needs no lock from here on
    for (const auto &line : lines) CHECK(line.find(secret) == std::string::npos);
    const std::size_t before = lines.size();
    peer ben("ben");
    ben.join("room");
    ben.close();
    CHECK_EQ(lines.size(), before);

    // An exception of a log handler is contained, and the next line is delivered.
    CHECK_OK(set_log(log_level::trace, [&](const log_record &record) {
        std::lock_guard<std::mutex> lock(mutex);
        lines.emplace_back(record.text);
        if (lines.size() == before + 1) throw std::runtime_error("thrown by the test's log handler");
    }));
    peer carl("carl");
    carl.join("room");
    EVENTUALLY(5s, taken() > before + 1);
    carl.close();
    CHECK_OK(clear_log());
    CHECK_ERR(set_log(static_cast<log_level>(99), [](const log_record &) {}), errc::argument);
}
