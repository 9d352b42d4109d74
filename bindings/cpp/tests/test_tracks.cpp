// test_tracks.cpp - participants and tracks of a call: the snapshot, several local tracks, statistics.
#include "peer.hpp"

#include <algorithm>

using namespace offhook;

namespace {

/// The participant of a user in the snapshot of a call; nullopt: not found.
std::optional<participant> find(const call &call, const std::string &user)
{
    const auto all = call.participants().value();
    const auto found = std::find_if(all.begin(), all.end(), [&](const participant &p) { return p.user_id == user; });
    if (found == all.end()) return std::nullopt;
    return *found;
}

const track_info *with_source(const std::optional<participant> &of, track_source source)
{
    if (!of) return nullptr;
    const auto found = std::find_if(of->tracks.begin(), of->tracks.end(), [&](const track_info &t) { return t.source == source; });
    return found == of->tracks.end() ? nullptr : &*found;
}

} // namespace

TEST("snapshot")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    const auto alone = ann.call.participants().value();
    CHECK_EQ(alone.size(), 1u);
    CHECK(alone[0].local && alone[0].user_id == ann.user && alone[0].tracks.empty());
    ann.publish_tone(440);
    EXPECT(*ann.rec, events::local_track_published, 10s);

    ben.join("room");
    ben.rec->expect_tone(ann.user, 440, 10s);
    const auto both = ben.call.participants().value();
    CHECK_EQ(both.size(), 2u);
    CHECK(both[0].local && both[0].user_id == ben.user && !both[1].local && both[1].user_id == ann.user);
    CHECK_EQ(both[1].session_id, EXPECT(*ann.rec, events::joined, 1s).session_id);
    const auto theirs = find(ben.call, ann.user);
    const track_info *t = with_source(theirs, track_source::microphone);
    CHECK(t && t->received && !t->muted && !t->local && !t->track && t->unplayable == unplayable_reason::none);
    CHECK_EQ(t->session_id, both[1].session_id);

    const auto local = find(ann.call, ann.user);
    t = with_source(local, track_source::microphone);
    CHECK(t && t->local && t->published && !t->moderated && t->track == ann.mic);
    CHECK_OK(ann.mic.set_muted(true));
    EVENTUALLY(10s, [&] {
        const auto now = find(ann.call, ann.user);
        const track_info *muted = with_source(now, track_source::microphone);
        return muted && muted->muted;
    }());

    ann.close();
    EVENTUALLY(10s, ben.call.participants().value().size() == 1);
    CHECK_OK(ben.call.leave());
    CHECK_OK(ben.call.wait_state(call_state::left, within(5s)));
    CHECK(ben.call.participants().value().empty());
}

TEST("several-tracks")
{
    peer ann("ann"), ben("ben");
    ann.join("room");
    ben.join("room");
    std::mutex mutex;
    std::map<track_source, std::vector<float>> samples;
    ben.rec->audio_hook = [&](call_ref, const audio_view &a) {
        if (!a.silence && !a.concealed) CHECK(a.arrival_time > 0us);
        std::lock_guard<std::mutex> lock(mutex);
        auto &of = samples[a.source];
        for (const auto s : a.samples_s16) of.push_back(static_cast<float>(s) / 32768.0f);
        if (of.size() > 4800) of.erase(of.begin(), of.end() - 4800);
    };
    auto plays = [&](track_source source, double hz) {
        std::lock_guard<std::mutex> lock(mutex);
        return samples[source].size() == 4800 && tone_share(samples[source], hz, 48000) > 0.5;
    };
    ann.publish_tone(440);
    audio_track_options screen;
    screen.source = track_source::screen_share_audio;
    screen.no_dtx = true;
    track second = ann.call.publish_audio(screen).value();
    CHECK(second != ann.mic);
    EXPECT_IF(*ann.rec, events::local_track_published, 10s, e.track == second);
    EXPECT_IF(*ben.rec, events::track_published, 10s, e.user_id == ann.user && e.source == track_source::screen_share_audio);
    auto playing = std::make_unique<tone>(second, 1000);
    EVENTUALLY(15s, plays(track_source::microphone, 440) && plays(track_source::screen_share_audio, 1000));

    // Each track has separate statistics, at both ends.
    const auto sent = second.stats().value();
    CHECK(sent.source == track_source::screen_share_audio && sent.published && !sent.muted && sent.packets_sent > 0 && sent.bytes_sent > 0);
    CHECK(sent.sent_ms > 0 && sent.packets_failed == 0 && sent.dropped_ms == 0 && sent.unsent_ms == 0);
    CHECK_EQ(ann.mic.stats().value().source, track_source::microphone);
    const auto subscriber = ben.call.subscriber().value();
    const auto theirs = find(ben.call, ann.user);
    for (const auto source : {track_source::microphone, track_source::screen_share_audio}) {
        const track_info *t = with_source(theirs, source);
        CHECK(t != nullptr);
        const auto stats = subscriber.track_stats(*t).value();
        CHECK(stats.source == source && stats.received && stats.packets_received > 0 && stats.bytes_received > 0);
        CHECK(stats.frames_played > 0 && stats.packets_unplayable == 0 && stats.delay_ms >= 0);
    }
    CHECK_ERR(subscriber.track_stats("nobody", "", track_source::microphone), errc::empty);

    // One is closed, the other stays.
    playing.reset();
    CHECK_OK(second.wait_drained(within(10s)));
    CHECK_OK(second.clear());
    CHECK_OK(second.stats());
    second.close();
    CHECK_ERR(second.stats(), errc::handle);
    EXPECT_IF(*ben.rec, events::track_unpublished, 10s, e.user_id == ann.user && e.source == track_source::screen_share_audio);
    {
        std::lock_guard<std::mutex> lock(mutex);
        samples.clear();
    }
    EVENTUALLY(10s, plays(track_source::microphone, 440));
    ben.close();
    ann.close();
}
