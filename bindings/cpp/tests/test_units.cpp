// test_units.cpp - tests without a call: results, spans, options, moved-from objects, tokens;
// row network-options of tests/scenarios.md.
#include "peer.hpp"

#include <cstring>
#include <type_traits>
#if __cplusplus >= 202002L
#include <span>
#endif

using namespace offhook;

static_assert(!std::is_copy_constructible_v<client> && std::is_nothrow_move_constructible_v<client>);
static_assert(!std::is_copy_constructible_v<call> && std::is_nothrow_move_constructible_v<call>);
static_assert(!std::is_copy_constructible_v<track> && std::is_nothrow_move_constructible_v<track>);
static_assert(!std::is_copy_assignable_v<call> && std::is_nothrow_move_assignable_v<call>);
static_assert(std::is_trivially_copyable_v<call_ref> && std::is_trivially_copyable_v<track_ref>);
static_assert(std::is_copy_constructible_v<event>);
static_assert(!std::is_convertible_v<std::vector<float> &, span<const std::int16_t>>);
static_assert(!std::is_convertible_v<const std::vector<float> &, span<float>>);

TEST("results")
{
    result<int> good(7), bad(error(errc::full, "no room"));
    CHECK(good && *good == 7 && good.code() == errc::ok && good.value() == 7);
    CHECK(!bad && bad.code() == errc::full && bad.error().message() == "OH_ERR_FULL: no room");
    CHECK_EQ(std::move(bad).value_or(9), 9);
    for (int i = 0; i < 4; i++)
        try {
            switch (i) {
            case 0: (void)bad.value(); break;
            case 1: (void)*bad; break;
            case 2: result<void>(error(errc::full, "")).value(); break;
            default: (void)good.error(); break;
            }
            FAIL("nothing was thrown");
        } catch (const exception &e) {
            CHECK_EQ(e.code(), i == 3 ? errc::state : errc::full);
        }
    result<std::string> text(std::string("moved"));
    CHECK_EQ(std::move(text).value(), "moved");
    CHECK_EQ(error(errc::handle, "").text(), oh_result_get_message(OH_ERR_HANDLE)); // never an empty text
    CHECK_EQ(std::string(to_string(errc::handle)), "OH_ERR_HANDLE");
    CHECK_EQ(std::string(to_string(event_kind::participant_joined)), "participant_joined");
    CHECK_EQ(std::string(to_string(call_state::joined)), "joined");
    CHECK_EQ(detail::to_ms(forever), OH_FOREVER);
    CHECK_EQ(detail::to_ms(-5ms), 0u);
    CHECK_EQ(detail::to_ms(24h * 365), OH_FOREVER);
    CHECK_EQ(detail::to_ms(1s), 1000u);
    using time = std::optional<std::chrono::milliseconds>;
    using number = std::optional<std::uint32_t>;
    CHECK_EQ(detail::or_default(time()), 0u);
    CHECK_EQ(detail::or_default(time(0ms)), OH_ZERO);
    CHECK_EQ(detail::or_default(time(700ms)), 700u);
    CHECK_EQ(detail::or_default(time(forever)), OH_FOREVER);
    CHECK_EQ(detail::or_default(time(std::chrono::milliseconds(OH_ZERO))), OH_FOREVER); // long, but not OH_ZERO
    CHECK_EQ(detail::or_default(number()), 0u);
    CHECK_EQ(detail::or_default(number(0)), OH_ZERO);
    CHECK_EQ(detail::or_default(number(7)), 7u);
    CHECK(detail::or_default(number(OH_ZERO)) != OH_ZERO); // too large, which the library refuses, but not OH_ZERO
}

TEST("spans")
{
    std::vector<std::int16_t> v{1, 2, 3};
    const span<const std::int16_t> a = v, b(v.data(), 2);
    std::int16_t raw[4] = {};
    const span<std::int16_t> c = raw;
    c[1] = 5;
    CHECK(a.size() == 3 && b.size() == 2 && c.size() == 4 && raw[1] == 5 && a[2] == 3);
    int sum = 0;
    for (auto x : a) sum += x;
    CHECK_EQ(sum, 6);
    CHECK(span<const float>().empty());
#if __cplusplus >= 202002L
    const std::span<std::int16_t> std_span(v);
    const span<const std::int16_t> from_std = std_span;
    CHECK(from_std.data() == v.data());
    CHECK(std::span<const std::int16_t>(a).size() == 3);
#endif
}

TEST("options")
{
    // Members that are not set have the library's defaults.
    detail::c_texts texts;
    auto same = [](const auto &a, const auto &b) { return std::memcmp(&a, &b, sizeof a) == 0; };
#define SAME(type)                                                \
    {                                                             \
        oh_##type wanted;                                         \
        oh_struct_init(&wanted, sizeof wanted);                   \
        if (!same(made, wanted)) FAIL("other defaults: " #type);  \
    }
    { const auto made = detail::to_c(client_options{}, texts); SAME(client_options) }
    { const auto made = detail::to_c(call_options{}, texts); SAME(call_options) }
    {
        auto made = detail::to_c(audio_track_options{});
        CHECK_EQ(made.source, OH_SOURCE_MICROPHONE); // the meaning of 0
        made.source = OH_SOURCE_UNKNOWN;
        SAME(audio_track_options)
    }
    { std::vector<const char *> to; const auto made = detail::to_c(data_options{}, texts, to); SAME(data_options) }
    { const auto made = detail::to_c(rpc_options{}, texts); SAME(rpc_options) }
    { const auto made = detail::to_c(remote_track_options{}); SAME(remote_track_options) }
    CHECK_OK(texts.check());

    // Members that are set are passed on.
    client_options open;
    open.allow_other_hosts = true;
    CHECK_EQ(detail::to_c(open, texts).allow_other_hosts, 1u);
    open.interfaces = {"eth0", "wl*", "!docker*"};
    open.proxy = "none";
    open.ip_family = ip_family::v6;
    open.relay_only = true;
    open.media_port_min = 40000;
    open.media_port_max = 65535;
    open.dscp = 46;
    const oh_client_options net = detail::to_c(open, texts);
    CHECK(net.interfaces == std::string("eth0,wl*,!docker*") && net.proxy == std::string("none"));
    CHECK(net.ip_family == OH_IP_V6 && net.relay_only == 1 && net.dscp == 46);
    CHECK(net.media_port_min == 40000 && net.media_port_max == 65535);
    call_options chosen;
    chosen.drain = 0ms;
    chosen.join_retries = 0;
    chosen.audio_min_delay = 0ms;
    chosen.reconnect_timeout = forever;
    chosen.text_parts = true;
    chosen.hold_unmute = true;
    chosen.max_queued_event_bytes = 65536;
    const oh_call_options asked = detail::to_c(chosen, texts);
    CHECK(asked.drain_ms == OH_ZERO && asked.text_parts == 1 && asked.hold_unmute == 1 && asked.max_queued_event_bytes == 65536);
    CHECK(asked.join_retries == OH_ZERO && asked.audio_min_delay_ms == OH_ZERO && asked.reconnect_timeout_ms == OH_FOREVER);
    audio_track_options live;
    live.live = true;
    live.red_frames = 0;
    live.complexity = 0;
    live.source = track_source::screen_share_audio;
    CHECK(detail::to_c(live).live == 1 && detail::to_c(live).red_frames == OH_ZERO && detail::to_c(live).complexity == OH_ZERO);
    CHECK_EQ(detail::to_c(live).source, OH_SOURCE_SCREEN_SHARE_AUDIO);

    // A C string ends at the first NUL: such a text is refused, not cut.
    client_options where = options_for("ann");
    where.user_id = std::string("an\0n", 4);
    auto r = client::create(where);
    CHECK_EQ(r.code(), errc::argument);
    CHECK(r.error().text().find("client_options::user_id") == 0);
    CHECK_ERR(call_ref().send_text(std::string("a\0b", 3)), errc::argument);
    data_options to;
    to.to = {"ben", std::string("c\0d", 3)};
    CHECK_ERR(call_ref().send_text("ab", to), errc::argument);

    access_token_options t;
    t.api_key = "key";
    t.api_secret = "a-secret-that-is-long-enough-for-everybody";
    t.user_id = "ann";
    CHECK_ERR(create_access_token(t), errc::argument);
    t.call_id = "room";
    t.metadata = std::string(5000, 'm'); // longer than the first buffer
    const std::string token = create_access_token(t).value();
    CHECK(token.size() > 5000 && std::count(token.begin(), token.end(), '.') == 2 && token.find('\0') == std::string::npos);
    t.ttl = -1s;
    CHECK_ERR(create_access_token(t), errc::argument);

    // LiveKit's token names the room, so another one is refused without a connection: the options reach the library.
    client_options livekit;
    livekit.url = "ws://127.0.0.1:1";
    livekit.protocol = protocol::livekit;
    livekit.token = token;
    call_options what;
    what.call_id = "another room";
    CHECK_ERR(client::create(livekit).value().join(what), errc::argument);
    CHECK_ERR(report_network(static_cast<network_change>(99)), errc::argument);
    CHECK_OK(report_network(network_change::online));
}

TEST("network-options")
{
    const auto refused = [](const char *name, auto &&change) {
        client_options where = options_for(unique("ann"));
        change(where);
        const auto r = client::create(where);
        CHECK_EQ(r.code(), errc::argument);
        const std::string text = r.error().text();
        if (text.find(name) == std::string::npos || text.find("5ecret") != std::string::npos) FAIL(text);
    };
    refused("proxy", [](client_options &o) { o.proxy = "ftp://user:5ecret@127.0.0.1"; });
    refused("interfaces", [](client_options &o) { o.interfaces = {"eth0", ""}; });
    refused("interfaces", [](client_options &o) { o.interfaces = {std::string("e\0h", 3)}; });
    refused("ip_family", [](client_options &o) { o.ip_family = static_cast<ip_family>(99); });
    refused("media_port_max", [](client_options &o) { o.media_port_min = o.media_port_max = 40000; });
    refused("dscp", [](client_options &o) { o.dscp = 64; });

    peer ann("ann");
    client_options where = options_for(ann.user);
    where.proxy = "none";
    where.interfaces = {"lo", "!docker*"};
    where.ip_family = ip_family::v4;
    where.media_port_min = 20000;
    where.media_port_max = 29999;
    where.dscp = 46;
    ann.client = client::create(where).value();
    ann.join("room");
    CHECK_EQ(ann.call.state().value(), call_state::joined);
    ann.close();
}

TEST("diagnose")
{
    diagnose_options o;
    o.client = options_for(unique("ann"));
    o.client.token = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123";
    o.call_id = unique("diagnosis");
    const diagnosis good = diagnose_wait(o).value();
    if (!good.ok() || good.report_json.find("\"publisher\"") == std::string::npos) FAIL(good.text);
    CHECK(good.text.find("5ecret") == std::string::npos && good.report_json.find("5ecret") == std::string::npos);
    CHECK_EQ(good.incomplete, false);

    o = diagnose_options();
    o.client.url = "http://127.0.0.1:1";
    o.timeout = 10s;
    const diagnosis bad = diagnose_wait(o).value();
    CHECK_EQ(bad.steps_failed, 1u);
    if (bad.ok() || bad.report_json.find("\"cause\":\"refused\"") == std::string::npos) FAIL(bad.report_json);

    const auto refused = [](const char *name, auto &&change) {
        diagnose_options wrong;
        wrong.client.url = "http://127.0.0.1:1";
        change(wrong);
        const auto r = diagnose(wrong, [](diagnosis) { FAIL("the handler was called"); });
        CHECK_EQ(r.code(), errc::argument);
        if (r.error().text().find(name) == std::string::npos) FAIL(r.error().text());
    };
    refused("url", [](diagnose_options &w) { w.client.url.clear(); });
    refused("timeout_ms", [](diagnose_options &w) { w.timeout = 1ms; });
    refused("oh_ice_server.url", [](diagnose_options &w) { w.ice_servers.resize(1); });
    refused("ice_server_count", [](diagnose_options &w) { w.ice_servers.resize(17); });
    refused("call_id", [](diagnose_options &w) { w.call_id = std::string("a\0b", 3); });
    CHECK_ERR(diagnose(o, nullptr), errc::argument);
}

TEST("moved-from")
{
    client a, b = std::move(a);
    call c, d = std::move(c);
    track t, u = std::move(t);
    const std::vector<std::int16_t> pcm(960);
    CHECK(!a && !b && !c && !d && !t && !u);
    CHECK_ERR(a.join({}), errc::handle);
    CHECK_ERR(c.state(), errc::handle);
    CHECK_ERR(c.publish_audio(), errc::handle);
    CHECK_ERR(t.write(pcm), errc::handle);
    CHECK_ERR(publisher().close(), errc::handle);
    CHECK_ERR(subscriber().close(), errc::handle);
    for (int twice = 0; twice < 2; twice++) a.close(), c.close(), t.close();

    a = client_for(unique("ann"));
    call_options what;
    what.call_id = unique("room");
    c = a.join(what).value();
    const call_ref first = c;
    t = c.publish_audio().value();
    d = std::move(c);
    u = std::move(t);
    b = std::move(a);
    CHECK(!c && !t && !a && d == first);
    CHECK_ERR(c.state(), errc::handle);
    CHECK_ERR(t.write(pcm), errc::handle);
    CHECK_OK(d.state());
    CHECK_OK(u.write(pcm));
    CHECK_ERR(u.write(span<const float>(nullptr, 0)), u.write(static_cast<const float *>(nullptr), 0).code());
    call &self = d;
    d = std::move(self); // self-move: no effect
    CHECK_OK(d.state());
    d = b.join(what).value(); // the previous call is freed
    CHECK_ERR(first.state(), errc::handle);
    CHECK_ERR(u.write(pcm), errc::handle); // and so are its tracks
    const call_ref released = d.release();
    CHECK(!d);
    CHECK_OK(released.state());
    b = client(); // the client frees the released call
    CHECK_ERR(released.state(), errc::handle);

    audio_track_options stereo;
    stereo.channels = 2;
    auto e = client_for(unique("ben"));
    auto f = e.join(what).value();
    auto two = f.publish_audio(stereo).value();
    CHECK_OK(two.write(std::vector<std::int16_t>(1920)));
    CHECK_EQ(two.buffered().value(), 20ms);
    const cleared gone = two.clear().value();
    CHECK_EQ(gone.sent + gone.dropped, 20ms);
    CHECK_EQ(two.buffered().value(), 0ms);
    CHECK_OK(two.wait_drained(10s));
    CHECK_ERR(two.write(std::vector<std::int16_t>(961)), errc::argument);
    CHECK_ERR(two.write_opus(std::vector<std::uint8_t>(1501)), errc::argument);
    CHECK_ERR(two.write_opus(std::vector<std::uint8_t>(10)), errc::state);
}

TEST("custom")
{
    peer ann("ann"), ben("ben");
    for (peer *p : {&ann, &ben}) {
        client_options where = options_for(p->user);
        where.receive_custom_events = true;
        p->client = client::create(where).value();
        p->join("room");
    }
    CHECK_OK(ann.call.send_custom_event("{\"type\":\"wave\",\"n\":1}"));
    for (peer *p : {&ann, &ben}) {
        const auto wave = EXPECT_IF(*p->rec, events::custom, 10s, e.user_id == ann.user);
        CHECK_EQ(wave.custom_type, "wave");
        CHECK_EQ(json::parse(wave.data_json)["n"].number(), 1);
    }
    CHECK_ERR(ann.call.send_custom_event("no object"), errc::argument);
    ctl("grants", "{\"user_id\":\"" + ben.user + "\",\"audio\":false,\"video\":true,\"screenshare\":true}");
    EXPECT_IF(*ben.rec, events::rights, 5s, !e.has(right::audio) && e.has(right::video) && e.has(right::screen_share));
    ctl("error", "{\"user_id\":\"" + ben.user + "\",\"code\":500,\"message\":\"only a report\",\"strategy\":0}");
    EXPECT_IF(*ben.rec, events::error, 5s, e.server_code == 500 && !e.text.empty());
    ctl("kick", "{\"user_id\":\"" + ben.user + "\"}");
    CHECK_EQ(EXPECT(*ben.rec, events::ended, 5s).reason, end_reason::kicked);
    ann.close();
}
