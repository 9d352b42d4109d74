/*
 * talk.c - participants in one room of a real LiveKit server hear each other.
 *
 * alice and bob speak to each other, carol listens and passes Opus packets on. Expected: every tone arrives with its
 * frequency; participants, tracks, levels, mute and unmute, leave and coming back are told to the others; what only
 * the other protocol has is refused by name; nobody gets an error.
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
    oh_audio_track_options sound = OH_INIT(oh_audio_track_options);
    rec_event e;
    uint64_t can;
    size_t mark;
    char text[512];

    test_begin("talk");
    test_step(15, "alice and bob join");
    peer_join(&alice, "alice", "talk", NULL);
    what.audio_format = OH_AUDIO_F32;
    what.audio_sample_rate_hz = 16000;
    peer_join(&bob, "bob", "talk", &what);
    e = EXPECT(bob.rec, OH_EVENT_JOINED, NULL, ms(2000));
    CHECK_EQ(e.count, 2);
    CHECK_THAT(!strncmp(e.session, "PA_", 3), "the session is %s, not as the server names it", e.session);
    EXPECT(bob.rec, OH_EVENT_ROOM, NULL, ms(2000));
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(2000)); /* was there before */

    test_step(15, "both publish and hear each other");
    sound.no_dtx = 1;
    sound.channels = 2;
    sound.sample_rate_hz = 44100;
    CHECK_OK(oh_call_publish_audio(alice.call, &sound, &alice.mic));
    alice.tone = tone_start(alice.mic, OH_AUDIO_S16, 44100, 2, 440);
    peer_talk(&bob, 1000);
    e = EXPECT(alice.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(5000));
    CHECK_EQ(e.track, alice.mic.id);
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    EXPECT(alice.rec, OH_EVENT_TRACK_PUBLISHED, "bob", ms(5000));
    EXPECT(bob.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not hear alice's tone");
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)), "alice does not hear bob's tone");
    CHECK_EQ(rec_frames(alice.rec, "alice"), 0); /* nobody hears himself */

    test_step(15, "mute and unmute");
    mark = rec_mark(bob.rec);
    CHECK_OK(oh_track_set_muted(alice.mic, 1));
    e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    CHECK_EQ(e.cause, 1);
    CHECK_THAT(rec_wait_no_tone(bob.rec, "alice", 440, ms(5000)), "bob hears alice, who is muted");
    mark = rec_mark(bob.rec);
    CHECK_OK(oh_track_set_muted(alice.mic, 0));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(5000)), "bob does not hear alice, who is not muted any more");
    /* The server tells changes to those who hear the speaker: a tone that was there before is no news. */
    CHECK_THAT(rec_wait_until(bob.rec, level_of_speech, "alice", ms(8000)), "bob is not told that alice speaks");

    test_step(15, "who comes late hears who was there");
    oh_struct_init(&what, sizeof what);
    what.audio_format = OH_AUDIO_OPUS;
    peer_join(&carol, "carol", "talk", &what);
    EXPECT(carol.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK(rec_wait_audio(carol.rec, "alice", 50, ms(5000)));
    CHECK(rec_wait_audio(carol.rec, "bob", 50, ms(5000)));

    test_step(20, "a track ends, and another one takes its place");
    mark = rec_mark(bob.rec);
    tone_stop(alice.tone);
    oh_track_free(alice.mic);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    mark = rec_mark(bob.rec);
    peer_talk(&alice, 600);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 600, ms(5000)), "bob does not hear alice's second track");

    test_step(20, "leave, and come back");
    mark = rec_mark(alice.rec);
    peer_close(&bob);
    EXPECT_FROM(alice.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "bob", ms(5000));
    EXPECT_FROM(alice.rec, mark, OH_EVENT_PARTICIPANT_LEFT, "bob", ms(5000));
    mark = rec_mark(alice.rec);
    peer_join(&bob, "bob", "talk", NULL);
    peer_talk(&bob, 1200);
    EXPECT_FROM(alice.rec, mark, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1200, ms(10000)), "alice does not hear bob, who came back");
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 600, ms(10000)), "bob, who came back, does not hear alice");

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
