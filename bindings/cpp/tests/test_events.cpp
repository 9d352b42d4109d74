// test_events.cpp - each kind of event as the C interface gives it, and what becomes of it; also those that the
// development SFU does not send.
#include "check.hpp"

#include <cstring>
#include <memory>

using namespace offhook;

namespace {

oh_event blank(std::int32_t kind)
{
    oh_event e;
    std::memset(static_cast<void *>(&e), 0, sizeof e);
    e.size = sizeof e;
    e.kind = kind;
    e.call.id = 77;
    e.at_ms = 1234;
    return e;
}

/// Through the very function that the library calls; the texts are overwritten afterwards, as the library would.
template <class T> T through(const oh_event &c)
{
    std::unique_ptr<event> got;
    call_ref from;
    call_handlers h;
    h.on_event = [&](call_ref call, const event &e) {
        from = call;
        got = std::make_unique<event>(e);
    };
    detail::handler_box box(std::move(h));
    detail::handler_box::on_event(&box, c.call, &c);
    CHECK(got && from.handle().id == 77);
    CHECK_EQ(got->at, 1234ms);
    CHECK_EQ(static_cast<std::int32_t>(got->kind), c.kind);
    const T *e = got->get<T>();
    CHECK(e != nullptr);
    return *e;
}

} // namespace

TEST("events")
{
    oh_event c = blank(OH_EVENT_STATE);
    c.u.state = {OH_STATE_MIGRATING, OH_STATE_JOINED};
    CHECK(through<events::state>(c).state == call_state::migrating);
    CHECK(through<events::state>(c).previous == call_state::joined);

    c = blank(OH_EVENT_JOINED);
    c.u.joined = {"s1", {3, 1}, 250, 0};
    const auto joined = through<events::joined>(c);
    CHECK(joined.session_id == "s1" && joined.counts.total == 3 && joined.counts.anonymous == 1 && joined.join_time == 250ms);

    through<events::token_needed>(blank(OH_EVENT_TOKEN_NEEDED));

    char user[] = "ann";
    c = blank(OH_EVENT_PARTICIPANT_JOINED);
    c.u.participant = {user, "s", "Ann", "i.png", "{\"a\":1}", 3, 1, 1, 0.5f, "meta", "{\"b\":\"c\"}",
                       OH_PARTICIPANT_AGENT, 1, OH_LEAVE_AGENT_ERROR, OH_RIGHT_AUDIO | OH_RIGHT_RECORDER};
    const auto p = through<events::participant_joined>(c);
    std::memset(user, 'x', 3); // what was given is a copy
    CHECK(p.user_id == "ann" && p.session_id == "s" && p.name == "Ann" && p.image == "i.png" && p.custom == "{\"a\":1}");
    CHECK(p.quality == quality::excellent && p.speaking && p.dominant && p.level == 0.5f);
    CHECK(p.metadata == "meta" && p.attributes == "{\"b\":\"c\"}");
    CHECK(p.kind == participant_kind::agent && p.local && p.reason == leave_reason::agent_error);
    CHECK(p.rights.has(right::audio) && p.rights.has(right::recorder) && !p.rights.has(right::data) && p.rights.bits == 129);
    c.kind = OH_EVENT_PARTICIPANT_UPDATED;
    CHECK(through<events::participant_updated>(c).name == "Ann");
    c.kind = OH_EVENT_PARTICIPANT_LEFT;
    CHECK(through<events::participant_left>(c).name == "Ann");

    c = blank(OH_EVENT_TRACK_PUBLISHED);
    c.u.track = {"ann", "s", OH_TRACK_SCREEN_SHARE_AUDIO, 0, "TR_1", "mic", 1, 0, 0, 1};
    const auto t = through<events::track_published>(c);
    CHECK(t.user_id == "ann" && t.session_id == "s" && t.kind == track_kind::screen_share_audio);
    CHECK(t.track_id == "TR_1" && t.name == "mic" && t.cause == track_cause::not_said);
    CHECK(t.muted && !t.local && !t.held && t.encrypted);
    c.u.track = {"ann", "s", OH_TRACK_AUDIO, 0, "", "", 0, 1, 1, 0};
    const auto mine = through<events::track_published>(c);
    CHECK(!mine.muted && mine.local && mine.held && !mine.encrypted);
    c.kind = OH_EVENT_TRACK_UNPUBLISHED;
    c.u.track.cause = 3;
    CHECK(through<events::track_unpublished>(c).cause == track_cause::moderation);

    c = blank(OH_EVENT_AUDIO_LEVEL);
    c.u.level = {"ann", "s", 0.25f, 1};
    const auto level = through<events::audio_level>(c);
    CHECK(level.user_id == "ann" && level.session_id == "s" && level.level == 0.25f && level.speaking);
    c.kind = OH_EVENT_DOMINANT_SPEAKER;
    CHECK(through<events::dominant_speaker>(c).user_id == "ann" && through<events::dominant_speaker>(c).session_id == "s");

    c = blank(OH_EVENT_CONNECTION_QUALITY);
    c.u.quality = {"ann", "s", 1, 0};
    CHECK(through<events::connection_quality>(c).quality == quality::poor);

    c = blank(OH_EVENT_COUNTS);
    c.u.counts = {9, 2};
    CHECK(through<events::counts>(c).total == 9 && through<events::counts>(c).anonymous == 2);

    c = blank(OH_EVENT_GRANTS);
    c.u.grants = {1, 0, 1, 0, 1, 0, 1, 0};
    const auto grants = through<events::rights>(c);
    CHECK(grants.audio && !grants.video && grants.screen_share);
    CHECK(!grants.data && grants.subscribe && !grants.update_metadata && grants.hidden && !grants.recorder);
    c.u.grants = {0, 1, 0, 1, 0, 1, 0, 1};
    const auto others = through<events::rights>(c);
    CHECK(!others.audio && others.video && !others.screen_share);
    CHECK(others.data && !others.subscribe && others.update_metadata && !others.hidden && others.recorder);

    const oh_pin pinned[] = {{"ann", "s"}, {"ben", "t"}};
    c = blank(OH_EVENT_PINS);
    c.u.pins = {pinned, 2, 0};
    const auto pins = through<events::pins>(c);
    CHECK(pins.pinned.size() == 2 && pins.pinned[0].user_id == "ann" && pins.pinned[1].session_id == "t");
    c.u.pins = {nullptr, 0, 0};
    CHECK(through<events::pins>(c).pinned.empty());

    c = blank(OH_EVENT_LOCAL_PUBLISHED);
    c.u.local = {{5}, OH_OK, 0, "on the air"};
    CHECK(through<events::local_track_published>(c).track.handle().id == 5 && through<events::local_track_published>(c).text == "on the air");
    c.kind = OH_EVENT_LOCAL_FAILED;
    c.u.local = {{0}, OH_ERR_REFUSED, 403, "no"};
    const auto failed = through<events::local_track_failed>(c);
    CHECK(!failed.track && failed.error == errc::refused && failed.server_code == 403 && failed.text == "no");

    c = blank(OH_EVENT_ERROR);
    c.u.error = {OH_ERR_PROTOCOL, 500, "odd"};
    const auto failure = through<events::error>(c);
    CHECK(failure.error == errc::protocol && failure.server_code == 500 && failure.text == "odd");

    c = blank(OH_EVENT_LOST);
    c.u.lost = {41, 7, 900, 2};
    const auto lost = through<events::lost>(c);
    CHECK(lost.count == 41 && lost.data_packets == 7 && lost.data_bytes == 900 && lost.texts == 2);

    c = blank(OH_EVENT_ENDED);
    c.u.ended = {OH_END_REPLACED, OH_ERR_REFUSED, 7, 0, "another one"};
    const auto ended = through<events::ended>(c);
    CHECK(ended.code == end_reason::replaced && ended.error == errc::refused && ended.server_code == 7 && ended.reason == "another one");

    c = blank(OH_EVENT_RECONNECTED);
    c.u.reconnected = {"s2", OH_RECONNECT_MIGRATE, 3, 1500};
    const auto back = through<events::reconnected>(c);
    CHECK(back.session_id == "s2" && back.how == reconnect_kind::migrate && back.attempts == 3 && back.elapsed == 1500ms);

    c = blank(OH_EVENT_CUSTOM);
    c.u.custom = {"ann", "wave", "{}"};
    const auto custom = through<events::custom>(c);
    CHECK(custom.user_id == "ann" && custom.custom_type == "wave" && custom.json == "{}");

    c = blank(OH_EVENT_ROOM);
    c.u.room = {"id", "name", "meta", 1, 0};
    const auto room = through<events::room>(c);
    CHECK(room.id == "id" && room.name == "name" && room.metadata == "meta" && room.recording);

    const std::uint8_t bytes[] = {1, 0, 255};
    c = blank(OH_EVENT_DATA);
    c.u.data = {"ann", "s", "topic", bytes, 3, 1};
    const auto data = through<events::data>(c);
    CHECK(data.user_id == "ann" && data.session_id == "s" && data.topic == "topic" && data.lossy);
    CHECK((data.bytes == std::vector<std::uint8_t>{1, 0, 255}));
    c.u.data = {"", "", "", nullptr, 0, 0};
    CHECK(through<events::data>(c).bytes.empty());

    c = blank(OH_EVENT_TEXT);
    c.u.text = {"ann", "s", "topic", "id", "hello", "{\"a\":\"b\"}"};
    const auto text = through<events::text>(c);
    CHECK(text.user_id == "ann" && text.session_id == "s" && text.topic == "topic" && text.id == "id" && text.text == "hello");
    CHECK(text.attributes == "{\"a\":\"b\"}");

    c = blank(OH_EVENT_RPC_REQUEST);
    c.u.rpc = {0, "r1", "ann", "add", "[1,2]", "", 0, 8000};
    const auto asked = through<events::rpc_request>(c);
    CHECK(asked.request_id == "r1" && asked.user_id == "ann" && asked.method == "add" && asked.payload == "[1,2]" && asked.timeout == 8s);
    c.kind = OH_EVENT_RPC_RESPONSE;
    c.u.rpc = {12, "", "", "", "more", "why", OH_RPC_RESPONSE_TIMEOUT, 0};
    const auto answered = through<events::rpc_response>(c);
    CHECK(answered.call_id == 12 && answered.error == rpc_error::response_timeout && answered.payload == "more" && answered.text == "why");

    c = blank(OH_EVENT_SUBSCRIBABLE);
    c.u.subscribable = {"ann", "s", "TR_1", 1, 0};
    const auto may = through<events::subscription_permission>(c);
    CHECK(may.user_id == "ann" && may.session_id == "s" && may.track_id == "TR_1" && may.allowed);

    c = blank(OH_EVENT_MEDIA);
    c.u.media = {OH_DIRECTION_RECEIVE, 0, "nothing arrives"};
    const auto media = through<events::media>(c);
    CHECK(media.direction == direction::receive && !media.connected && media.text == "nothing arrives");
    c.u.media = {OH_DIRECTION_SEND, 1, ""};
    CHECK(through<events::media>(c).direction == direction::send && through<events::media>(c).connected);

    c = blank(OH_EVENT_UNSENT);
    c.u.unsent = {120, 2, 3, 4, 5, 600};
    const auto unsent = through<events::unsent>(c);
    CHECK(unsent.audio == 120ms && unsent.data_packets == 2 && unsent.texts == 3 && unsent.custom_events == 4);
    CHECK(unsent.rpc_answers == 5 && unsent.bytes == 600);

    c = blank(OH_EVENT_UNPLAYABLE);
    c.u.unplayable = {"ann", "s", "TR_1", "encrypted", OH_TRACK_AUDIO, OH_UNPLAYABLE_DATA_ENCRYPTED};
    const auto odd = through<events::unplayable>(c);
    CHECK(odd.user_id == "ann" && odd.session_id == "s" && odd.track_id == "TR_1" && odd.text == "encrypted");
    CHECK(odd.kind == track_kind::audio && odd.reason == unplayable_reason::data_encrypted);

    c = blank(OH_EVENT_TEXT_PART);
    c.u.text_part = {"ann", "s", "topic", "id", "{}", "lo", 3};
    const auto part = through<events::text_part>(c);
    CHECK(part.user_id == "ann" && part.session_id == "s" && part.topic == "topic" && part.id == "id");
    CHECK(part.attributes == "{}" && part.text == "lo" && part.offset == 3);

    c = blank(OH_EVENT_DTMF);
    c.u.dtmf = {"ann", "s", "#", 11, 0};
    const auto key = through<events::dtmf>(c);
    CHECK(key.user_id == "ann" && key.session_id == "s" && key.digit == "#" && key.code == 11);

    const std::int16_t samples[] = {1, 2, 3, 4};
    c = blank(OH_EVENT_AUDIO);
    c.u.audio = {};
    c.u.audio.user_id = "ann";
    c.u.audio.session_id = "s";
    c.u.audio.track_id = "TR_2";
    c.u.audio.samples = samples;
    c.u.audio.frames = 2;
    c.u.audio.channels = 2;
    c.u.audio.rate = 8000;
    c.u.audio.timestamp = 99;
    c.u.audio.level = 0.5f;
    c.u.audio.kind = OH_TRACK_AUDIO;
    c.u.audio.concealed = 1;
    c.u.audio.silence = 1;
    const auto audio = through<events::audio>(c);
    CHECK((audio.samples == std::vector<std::int16_t>{1, 2, 3, 4}) && audio.user_id == "ann" && audio.session_id == "s");
    CHECK(audio.frames == 2 && audio.channels == 2 && audio.rate == 8000 && audio.timestamp == 99 && audio.level == 0.5f);
    CHECK(audio.track_id == "TR_2");
    CHECK(audio.concealed && audio.silence && audio.kind == track_kind::audio && audio.format == audio_format::s16);

    through<events::unknown>(blank(4711)); // of a library that is newer

    // Every type can be told apart by overload.
    const auto name = [](const event &e) {
        return std::visit(overloaded{[](const events::ended &) { return 1; }, [](const events::joined &) { return 2; },
                                     [](const auto &) { return 0; }},
                          e.data);
    };
    CHECK_EQ(name(event{event_kind::ended, 0ms, events::ended{}}), 1);
    CHECK_EQ(name(event{event_kind::joined, 0ms, events::joined{}}), 2);
    CHECK_EQ(name(event{}), 0);
    CHECK(event{}.get<events::ended>() == nullptr);
}
