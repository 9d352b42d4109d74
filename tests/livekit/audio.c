/*
 * audio.c - participants in one room of a real LiveKit server receive each other's audio.
 *
 * alice and bob send audio to each other, carol listens and forwards Opus packets. Expected: every tone arrives with
 * its frequency; participants, tracks, levels, mute and unmute, leave and rejoin are reported to the others;
 * functions of the other protocol are refused by name; no call gets an error.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_errors(peer *p)
{
    oh_call_stats s = peer_stats(p);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOST), 0);
    CHECK_EQ(s.error_events, 0);
    CHECK_EQ(s.offers_failed, 0);
    CHECK_EQ(s.malformed_messages, 0);
    CHECK_EQ(s.join_attempts, 1);
    CHECK_EQ(s.reconnect_attempts, 0);
}

static int level_of_speech(recorder *r, void *user)
{
    for (size_t i = 0; i < r->count; i++) {
        rec_event *e = &r->events[i];
        if (e->kind == OH_EVENT_AUDIO_LEVEL && !strcmp(e->user, user) && e->level > 0.02f && e->cause) return 1;
    }
    return 0;
}

int main(void)
{
    peer alice = { 0 }, bob = { 0 }, carol = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    rec_event e;
    uint64_t can;
    size_t mark;
    char text[512];

    test_begin("audio");
    test_step(15, "alice and bob join");
    peer_join(&alice, "alice", "audio", NULL);
    what.audio_format = OH_AUDIO_F32;
    what.audio_sample_rate_hz = 16000;
    peer_join(&bob, "bob", "audio", &what);
    e = EXPECT(bob.rec, OH_EVENT_JOINED, NULL, ms(2000));
    CHECK_EQ(e.count, 2);
    CHECK_THAT(!strncmp(e.session, "PA_", 3), "the session is %s, not as the server names it", e.session);
    EXPECT(bob.rec, OH_EVENT_ROOM, NULL, ms(2000));
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(2000)); /* joined before bob */

    test_step(15, "both publish and receive each other's audio");
    track_options.no_dtx = 1;
    track_options.channels = 2;
    track_options.sample_rate_hz = 44100;
    CHECK_OK(oh_call_publish_audio(alice.call, &track_options, &alice.mic));
    alice.tone = tone_start(alice.mic, OH_AUDIO_S16, 44100, 2, 440);
    peer_publish_tone(&bob, 1000);
    e = EXPECT(alice.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(5000));
    CHECK_EQ(e.track, alice.mic.id);
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    EXPECT(alice.rec, OH_EVENT_TRACK_PUBLISHED, "bob", ms(5000));
    EXPECT(bob.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's tone");
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)), "alice does not receive bob's tone");
    CHECK_EQ(rec_frames(alice.rec, "alice"), 0); /* a participant does not receive its own audio */

    test_step(15, "mute and unmute");
    mark = rec_mark(bob.rec);
    CHECK_OK(oh_track_set_muted(alice.mic, 1));
    e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    CHECK_EQ(e.cause, 1);
    CHECK_THAT(rec_wait_no_tone(bob.rec, "alice", 440, ms(5000)), "bob receives alice's audio, which is muted");
    mark = rec_mark(bob.rec);
    CHECK_OK(oh_track_set_muted(alice.mic, 0));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(5000)), "bob does not receive alice's audio after unmute");
    /* The server reports changes to subscribers: a tone that has not changed is not reported. */
    CHECK_THAT(rec_wait_until(bob.rec, level_of_speech, "alice", ms(8000)), "bob gets no speaking level of alice");

    test_step(15, "a late participant receives earlier ones");
    oh_struct_init(&what, sizeof what);
    what.audio_format = OH_AUDIO_OPUS;
    peer_join(&carol, "carol", "audio", &what);
    EXPECT(carol.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK(rec_wait_audio(carol.rec, "alice", 50, ms(5000)));
    CHECK(rec_wait_audio(carol.rec, "bob", 50, ms(5000)));

    test_step(20, "a track ends, and another one takes its place");
    mark = rec_mark(bob.rec);
    tone_stop(alice.tone);
    oh_track_free(alice.mic);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    mark = rec_mark(bob.rec);
    peer_publish_tone(&alice, 600);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 600, ms(5000)), "bob does not receive alice's second track");

    test_step(20, "leave, and come back");
    mark = rec_mark(alice.rec);
    peer_close(&bob);
    EXPECT_FROM(alice.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "bob", ms(5000));
    EXPECT_FROM(alice.rec, mark, OH_EVENT_PARTICIPANT_LEFT, "bob", ms(5000));
    mark = rec_mark(alice.rec);
    peer_join(&bob, "bob", "audio", NULL);
    peer_publish_tone(&bob, 1200);
    EXPECT_FROM(alice.rec, mark, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1200, ms(10000)), "alice does not receive bob's audio after his rejoin");
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 600, ms(10000)), "bob does not receive alice's audio after his rejoin");

    test_step(10, "what this protocol has, and what it does not");
    CHECK_OK(oh_call_get_capabilities(alice.call, &can));
    CHECK(can & OH_CAP_DATA && can & OH_CAP_SUBSCRIPTIONS && !(can & OH_CAP_CUSTOM_EVENTS) && !(can & OH_CAP_PINS));
    CHECK_OH(oh_call_send_custom_event(alice.call, "{}"), OH_ERR_UNSUPPORTED);
    oh_get_last_error(text, sizeof text);
    CHECK_THAT(strstr(text, "custom events"), "the refusal does not name what is missing: %s", text);

    no_errors(&alice);
    no_errors(&bob);
    no_errors(&carol);
    peer_close(&carol);
    peer_close(&bob);
    peer_close(&alice);
    return test_end();
}
