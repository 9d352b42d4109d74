// test_events.cpp - each kind of event as the C interface passes it, and its conversion by the binding; also kinds
// that the development SFU does not send, and events of libraries that are older or newer than this header.
#include "check.hpp"

#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

using namespace offhook;

namespace {

/// Memory that ends before an inaccessible page: reading beyond its end is a fault.
class fence {
public:
    fence() : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)))
    {
        void *memory = ::mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        memory_ = static_cast<char *>(memory);
        CHECK_EQ(::mprotect(memory_ + page_, page_, PROT_NONE), 0);
    }
    fence(const fence &) = delete;
    fence &operator=(const fence &) = delete;
    ~fence() { ::munmap(memory_, 2 * page_); }

    /// A copy of a structure whose size member is `size`: its first bytes are copied, the rest up to `size` is
    /// filled.
    template <class T> const T *put(const T &structure, std::size_t size) const
    {
        char *place = memory_ + page_ - size;
        std::memset(place, 0x5a, size);
        std::memcpy(place, &structure, std::min(size, sizeof structure));
        std::memcpy(place, &size, sizeof size);
        return reinterpret_cast<const T *>(place);
    }

private:
    std::size_t page_;
    char *memory_;
};

oh_event blank(oh_event_kind kind)
{
    oh_event e = OH_INIT(oh_event);
    e.kind = kind;
    e.call.id = 77;
    e.at_ms = 1234;
    return e;
}

/// Converts through the same function that the library calls.
std::unique_ptr<event> received(const oh_event *c)
{
    std::unique_ptr<event> got;
    call_ref from;
    call_handlers h;
    h.on_event = [&](call_ref call, const event &e) {
        from = call;
        got = std::make_unique<event>(e);
    };
    detail::handler_box box(std::move(h));
    detail::handler_box::on_event(&box, oh_call{77}, c);
    CHECK(got && from.handle().id == 77);
    return got;
}

template <class T> T only(const oh_event &c)
{
    const auto got = received(&c);
    CHECK_EQ(got->at, 1234ms);
    CHECK_EQ(static_cast<std::int32_t>(got->kind), static_cast<std::int32_t>(c.kind));
    const T *e = got->get<T>();
    CHECK(e != nullptr);
    return *e;
}

/// Converts an event with that payload: first of older libraries, with every length that the payload may have had,
/// without reading beyond its end; then of a newer one, which is returned.
template <class T, class P> T through(oh_event_kind kind, const P *oh_event_payload::*member, const P &payload)
{
    const fence memory;
    oh_event c = blank(kind);
    for (std::size_t size = sizeof(std::size_t); size <= sizeof(P); size += sizeof(std::size_t)) {
        c.u.*member = memory.put(payload, size);
        (void)only<T>(c);
    }
    const fence events;
    c.u.*member = memory.put(payload, sizeof(P) + 64);
    const oh_event *newer = events.put(c, sizeof c + 32);
    const auto got = received(newer);
    CHECK(got->get<T>() != nullptr && got->at == 1234ms);
    return *got->get<T>();
}

#define THROUGH(type, kind, member, ...) \
    through<events::type>(kind, &oh_event_payload::member, std::remove_const_t<std::remove_pointer_t<decltype(oh_event_payload::member)>>{0, __VA_ARGS__})

} // namespace

TEST("events")
{
    const auto state = THROUGH(state, OH_EVENT_STATE, state, OH_STATE_MIGRATING, OH_STATE_JOINED);
    CHECK(state.state == call_state::migrating && state.previous == call_state::joined);

    const auto joined = THROUGH(joined, OH_EVENT_JOINED, joined, "s1", 250, 3, 1);
    CHECK(joined.session_id == "s1" && joined.participants == 3 && joined.anonymous_participants == 1 && joined.join_time == 250ms);

    only<events::token_needed>(blank(OH_EVENT_TOKEN_NEEDED));

    const auto level = THROUGH(audio_level, OH_EVENT_AUDIO_LEVEL, audio_level, "ann", "s", 0.25f, 1);
    CHECK(level.user_id == "ann" && level.session_id == "s" && level.level == 0.25f && level.speaking);
    const auto dominant = THROUGH(dominant_speaker, OH_EVENT_DOMINANT_SPEAKER, dominant_speaker, "ann", "s");
    CHECK(dominant.user_id == "ann" && dominant.session_id == "s");
    const auto quality = THROUGH(connection_quality, OH_EVENT_CONNECTION_QUALITY, connection_quality, "ann", "s", OH_QUALITY_POOR, 0);
    CHECK(quality.user_id == "ann" && quality.session_id == "s" && quality.quality == connection_quality::poor);
    const auto counts = THROUGH(counts, OH_EVENT_COUNTS, counts, 9, 2);
    CHECK(counts.participants == 9 && counts.anonymous_participants == 2);

    const auto rights = THROUGH(rights, OH_EVENT_RIGHTS, rights, OH_RIGHT_AUDIO | OH_RIGHT_SET_ATTRIBUTES | (1ull << 40));
    CHECK(rights.has(right::audio) && rights.has(right::set_attributes) && rights.bits == (33 | (1ull << 40)));
    CHECK(!rights.has(right::video) && !rights.has(right::screen_share) && !rights.has(right::data));
    CHECK(!rights.has(right::subscribe) && !rights.has(right::hidden) && !rights.has(right::recorder));

    const oh_pin ann{sizeof(oh_pin), "ann", "s"}, ben{sizeof(oh_pin), "ben", "t"}, *pinned[] = {&ann, &ben};
    const auto pins = THROUGH(pins, OH_EVENT_PINS, pins, pinned, 2);
    CHECK(pins.pins.size() == 2 && pins.pins[0].user_id == "ann" && pins.pins[1].session_id == "t");
    CHECK(THROUGH(pins, OH_EVENT_PINS, pins, nullptr, 0).pins.empty());

    const auto local = THROUGH(local_track_published, OH_EVENT_LOCAL_TRACK_PUBLISHED, local_track, oh_track{5}, "", OH_OK, 0);
    CHECK(local.track.handle().id == 5);
    const auto failed = THROUGH(local_track_failed, OH_EVENT_LOCAL_TRACK_FAILED, local_track, oh_track{0}, "no", OH_ERR_REFUSED, 403);
    CHECK(!failed.track && failed.error == errc::refused && failed.server_code == 403 && failed.text == "no");
    const auto error = THROUGH(error, OH_EVENT_ERROR, error, "odd", OH_ERR_PROTOCOL, 500);
    CHECK(error.error == errc::protocol && error.server_code == 500 && error.text == "odd");
    const auto lost = THROUGH(lost, OH_EVENT_LOST, lost, 41, 7, 900, 2);
    CHECK(lost.total == 41 && lost.data_packets == 7 && lost.data_bytes == 900 && lost.texts == 2);
    const auto ended = THROUGH(ended, OH_EVENT_ENDED, ended, "another one", OH_END_REPLACED, OH_ERR_REFUSED, 7, 0);
    CHECK(ended.reason == end_reason::replaced && ended.error == errc::refused && ended.server_code == 7 && ended.text == "another one");
    const auto back = THROUGH(reconnected, OH_EVENT_RECONNECTED, reconnected, "s2", 1500, OH_RECONNECT_MIGRATE, 3);
    CHECK(back.session_id == "s2" && back.kind == reconnect_kind::migrate && back.attempts == 3 && back.elapsed == 1500ms);
    const auto custom = THROUGH(custom, OH_EVENT_CUSTOM, custom, "ann", "wave", "{}");
    CHECK(custom.user_id == "ann" && custom.custom_type == "wave" && custom.data_json == "{}");
    const auto room = THROUGH(room, OH_EVENT_ROOM, room, "id", "name", "meta", 1, 0);
    CHECK(room.room_id == "id" && room.name == "name" && room.metadata == "meta" && room.recording);

    const auto media = THROUGH(media, OH_EVENT_MEDIA, media, "nothing arrives", OH_DIRECTION_RECEIVE, 0);
    CHECK(media.direction == direction::receive && !media.connected && media.text == "nothing arrives");
    const auto sends = THROUGH(media, OH_EVENT_MEDIA, media, "", OH_DIRECTION_SEND, 1);
    CHECK(sends.direction == direction::send && sends.connected);
    const auto unsent = THROUGH(unsent, OH_EVENT_UNSENT, unsent, 120, 2, 3, 4, 5, 600);
    CHECK(unsent.audio == 120ms && unsent.data_packets == 2 && unsent.texts == 3 && unsent.custom_events == 4);
    CHECK(unsent.rpc_answers == 5 && unsent.bytes == 600);
    const auto odd = THROUGH(unplayable, OH_EVENT_UNPLAYABLE, unplayable, "ann", "s", "TR_1", "encrypted", OH_SOURCE_MICROPHONE,
                             OH_UNPLAYABLE_DATA_ENCRYPTED);
    CHECK(odd.user_id == "ann" && odd.session_id == "s" && odd.track_id == "TR_1" && odd.text == "encrypted");
    CHECK(odd.source == track_source::microphone && odd.reason == unplayable_reason::data_encrypted);
    const auto key = THROUGH(dtmf, OH_EVENT_DTMF, dtmf, "ann", "s", "#", 11, 0);
    CHECK(key.user_id == "ann" && key.session_id == "s" && key.digit == "#" && key.code == 11);

    const auto server = THROUGH(ice_server, OH_EVENT_ICE_SERVER, ice_server, "turn:127.0.0.1:3478", "no answer", 701, 0);
    CHECK(server.url == "turn:127.0.0.1:3478" && server.text == "no answer" && server.code == 701);

    only<events::unknown>(blank(static_cast<oh_event_kind>(4711))); // of a newer library

    // Every type can be distinguished by overload.
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

TEST("data-events")
{
    const std::uint8_t bytes[] = {1, 0, 255};
    const auto data = THROUGH(data, OH_EVENT_DATA, data, "ann", "s", "topic", bytes, 3, 1, 0);
    CHECK(data.user_id == "ann" && data.session_id == "s" && data.topic == "topic" && data.lossy);
    CHECK((data.data == std::vector<std::uint8_t>{1, 0, 255}));
    CHECK(THROUGH(data, OH_EVENT_DATA, data, "", "", "", nullptr, 0, 0, 0).data.empty());

    const auto text = THROUGH(text, OH_EVENT_TEXT, text, "ann", "s", "topic", "id", "hello", "{\"a\":\"b\"}");
    CHECK(text.user_id == "ann" && text.session_id == "s" && text.topic == "topic" && text.text_id == "id" && text.text == "hello");
    CHECK(text.attributes_json == "{\"a\":\"b\"}");
    const auto part = THROUGH(text_part, OH_EVENT_TEXT_PART, text_part, "ann", "s", "topic", "id", "lo", "{}", 3);
    CHECK(part.user_id == "ann" && part.session_id == "s" && part.topic == "topic" && part.text_id == "id");
    CHECK(part.attributes_json == "{}" && part.text == "lo" && part.offset_bytes == 3);

    const auto asked = THROUGH(rpc_request, OH_EVENT_RPC_REQUEST, rpc_request, "r1", "ann", "add", "[1,2]", 8000, 0);
    CHECK(asked.request_id == "r1" && asked.user_id == "ann" && asked.method == "add" && asked.payload == "[1,2]" && asked.timeout == 8s);
    const auto answered = THROUGH(rpc_response, OH_EVENT_RPC_RESPONSE, rpc_response, 12, "more", "why", OH_RPC_RESPONSE_TIMEOUT, 0);
    CHECK(answered.rpc_id == 12 && answered.error_code == rpc_error::response_timeout && answered.payload == "more" && answered.text == "why");
    const auto may = THROUGH(subscription_permission, OH_EVENT_SUBSCRIPTION_PERMISSION, subscription_permission, "ann", "s", "TR_1", 1, 0);
    CHECK(may.user_id == "ann" && may.session_id == "s" && may.track_id == "TR_1" && may.allowed);
}

TEST("participant-events")
{
    oh_track_info t = OH_INIT(oh_track_info);
    t.user_id = "ann";
    t.session_id = "s";
    t.track_id = "TR_1";
    t.name = "mic";
    t.source = OH_SOURCE_SCREEN_SHARE_AUDIO;
    t.muted = t.encrypted = t.received = 1;
    t.unplayable = OH_UNPLAYABLE_CODEC;
    const auto theirs = through<events::track_published>(OH_EVENT_TRACK_PUBLISHED, &oh_event_payload::track, t);
    CHECK(theirs.user_id == "ann" && theirs.session_id == "s" && theirs.source == track_source::screen_share_audio);
    CHECK(theirs.track_id == "TR_1" && theirs.name == "mic" && theirs.cause == unpublish_cause::unknown);
    CHECK(theirs.muted && !theirs.local && !theirs.held && theirs.encrypted && theirs.received && !theirs.track);
    CHECK(theirs.unplayable == unplayable_reason::codec && !theirs.published && !theirs.moderated);
    t.muted = t.encrypted = t.received = 0;
    t.local = t.held = t.published = t.moderated = 1;
    t.track.id = 9;
    t.cause = OH_UNPUBLISH_MODERATION;
    const auto local = through<events::track_unpublished>(OH_EVENT_TRACK_UNPUBLISHED, &oh_event_payload::track, t);
    CHECK(!local.muted && local.local && local.held && !local.encrypted && !local.received);
    CHECK(local.published && local.moderated && local.track.handle().id == 9 && local.cause == unpublish_cause::moderation);

    char user[] = "ann";
    const oh_track_info *tracks[] = {&t, &t};
    oh_participant c = OH_INIT(oh_participant);
    c.user_id = user;
    c.session_id = "s";
    c.name = "Ann";
    c.image_url = "i.png";
    c.custom_json = "{\"a\":1}";
    c.metadata = "meta";
    c.attributes_json = "{\"b\":\"c\"}";
    c.tracks = tracks;
    c.track_count = 2;
    c.rights = OH_RIGHT_AUDIO | OH_RIGHT_RECORDER;
    c.rights_known = 1;
    c.kind = OH_PARTICIPANT_AGENT;
    c.quality = OH_QUALITY_EXCELLENT;
    c.leave_reason = OH_LEAVE_AGENT_ERROR;
    c.audio_level = 0.5f;
    c.speaking = c.dominant = c.local = 1;
    const auto p = through<events::participant_joined>(OH_EVENT_PARTICIPANT_JOINED, &oh_event_payload::participant, c);
    std::memset(user, 'x', 3); // the received event is a copy
    CHECK(p.user_id == "ann" && p.session_id == "s" && p.name == "Ann" && p.image_url == "i.png" && p.custom_json == "{\"a\":1}");
    CHECK(p.quality == connection_quality::excellent && p.speaking && p.dominant && p.audio_level == 0.5f);
    CHECK(p.metadata == "meta" && p.attributes_json == "{\"b\":\"c\"}");
    CHECK(p.kind == participant_kind::agent && p.local && p.leave_reason == leave_reason::agent_error);
    CHECK(p.rights && p.rights->has(right::audio) && p.rights->has(right::recorder) && !p.rights->has(right::data) && p.rights->bits == 129);
    CHECK(p.tracks.size() == 2 && p.tracks[1].name == "mic" && p.tracks[1].track.handle().id == 9);
    c.rights_known = 0;
    const auto q = through<events::participant_updated>(OH_EVENT_PARTICIPANT_UPDATED, &oh_event_payload::participant, c);
    CHECK(q.name == "Ann" && !q.rights);
    CHECK(through<events::participant_left>(OH_EVENT_PARTICIPANT_LEFT, &oh_event_payload::participant, c).name == "Ann");

    // From an older library: the members that it has, and the initial values of the rest.
    const fence memory;
    oh_event e = blank(OH_EVENT_PARTICIPANT_JOINED);
    c.rights_known = 1;
    e.u.participant = memory.put(c, offsetof(oh_participant, image_url));
    const auto older = only<events::participant_joined>(e);
    CHECK(older.name == "Ann" && older.image_url.empty() && older.custom_json.empty() && older.tracks.empty() && !older.rights);
    CHECK(older.kind == participant_kind::standard && !older.local && older.audio_level == 0);
}

TEST("audio-events")
{
    const std::int16_t samples[] = {1, 2, 3, 4};
    oh_audio_frame c = OH_INIT(oh_audio_frame);
    c.user_id = "ann";
    c.session_id = "s";
    c.track_id = "TR_2";
    c.samples_s16 = samples;
    c.frames = 2;
    c.channels = 2;
    c.capture_time_us = 1700000000000000;
    c.arrival_time_us = 20001;
    c.sample_rate_hz = 8000;
    c.rtp_timestamp = 99;
    c.level = 0.5f;
    c.source = OH_SOURCE_MICROPHONE;
    c.concealed = 1;
    c.silence = 1;
    const fence memory;
    oh_event e = blank(OH_EVENT_AUDIO);
    e.u.audio = memory.put(c, sizeof c + 48);
    const auto audio = only<events::audio>(e);
    CHECK((audio.samples_s16 == std::vector<std::int16_t>{1, 2, 3, 4}) && audio.user_id == "ann" && audio.session_id == "s");
    CHECK(audio.frames == 2 && audio.channels == 2 && audio.sample_rate_hz == 8000 && audio.rtp_timestamp == 99 && audio.level == 0.5f);
    CHECK(audio.track_id == "TR_2" && audio.capture_time == 1700000000s && audio.arrival_time == 20001us);
    CHECK(audio.concealed && audio.silence && audio.source == track_source::microphone && audio.format == audio_format::s16);

    // The audio_view of a handler, from libraries of any age: no samples without the number of channels.
    std::size_t seen = 0;
    call_handlers h;
    h.on_audio = [&](call_ref, const audio_view &a) { seen = a.samples_s16.size(); };
    detail::handler_box box(std::move(h));
    for (std::size_t size = sizeof(std::size_t); size <= sizeof c; size += sizeof(std::size_t))
        detail::handler_box::on_audio(&box, oh_call{77}, memory.put(c, size));
    CHECK_EQ(seen, 4u);
}
