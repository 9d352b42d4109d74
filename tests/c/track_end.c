/*
 * track_end.c - a track is heard to its end, and not beyond.
 *
 * ann mutes and unmutes, frees her track and publishes another one, and leaves, again and again; bob looks at the order
 * in which he hears of it. Expected: after OH_EVENT_TRACK_UNPUBLISHED (and OH_EVENT_PARTICIPANT_LEFT) nothing of the
 * track is handed over, also with a handler that is slow and has a queue of frames behind it; every time she is back she
 * is heard again; nothing counts as lost, nobody's or not playable.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static atomic_int on_air, after_end, frames, slow;

static void on_event(recorder *r, oh_call call, const oh_event *e)
{
    (void)r, (void)call;
    if (e->kind == OH_EVENT_TRACK_PUBLISHED && !strcmp(e->u.track->user_id, "ann")) atomic_store(&on_air, 1);
    if (e->kind == OH_EVENT_TRACK_UNPUBLISHED && !strcmp(e->u.track->user_id, "ann")) atomic_store(&on_air, 0);
    if (e->kind == OH_EVENT_PARTICIPANT_LEFT) atomic_store(&on_air, 0);
}

static void on_audio(recorder *r, oh_call call, const oh_audio_frame *a)
{
    (void)r, (void)call;
    CHECK_STR(a->track_id, ""); /* this protocol knows kinds only */
    CHECK_EQ(a->source, OH_SOURCE_MICROPHONE);
    if (!atomic_load(&on_air)) atomic_fetch_add(&after_end, 1);
    atomic_fetch_add(&frames, 1);
    if (atomic_load(&slow)) nap(30);
}

/* ann is heard again: the word first, and her tone. */
static void heard_again(peer *bob, size_t mark)
{
    EXPECT_FROM(bob->rec, mark, OH_EVENT_TRACK_PUBLISHED, "ann", ms(5000));
    int before = atomic_load(&frames);
    for (double end = now_ms() + ms(5000); atomic_load(&frames) < before + 10 && now_ms() < end; nap(5)) {}
    CHECK_THAT(atomic_load(&frames) >= before + 10, "ann is not heard again");
}

int main(void)
{
    peer ann = { 0 }, bob = { .rec = rec_new() };
    oh_audio_track_options sound = OH_INIT(oh_audio_track_options);
    size_t mark;

    test_begin("track_end");
    test_step(20, "bob hears ann");
    bob.rec->on_event = on_event;
    bob.rec->on_audio = on_audio;
    peer_join(&bob, "bob", "track_end", NULL);
    peer_join(&ann, "ann", "track_end", NULL);
    mark = rec_mark(bob.rec);
    peer_talk(&ann, 440);
    heard_again(&bob, mark);
    CHECK(rec_wait_tone(bob.rec, "ann", 440, ms(10000)));

    for (unsigned round = 0; round < rounds(6); round++) {
        atomic_store(&slow, round % 3 == 2);
        test_step(20, "ann is muted and comes back, round %u", round);
        mark = rec_mark(bob.rec);
        CHECK_OK(oh_track_set_muted(ann.mic, 1));
        EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "ann", ms(5000));
        nap(40);
        mark = rec_mark(bob.rec);
        CHECK_OK(oh_track_set_muted(ann.mic, 0));
        heard_again(&bob, mark);

        test_step(20, "ann's track ends and another one begins, round %u", round);
        mark = rec_mark(bob.rec);
        oh_track_free(ann.mic);
        tone_stop(ann.tone);
        EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "ann", ms(5000));
        nap(40);
        mark = rec_mark(bob.rec);
        sound.no_dtx = 1;
        CHECK_OK(oh_call_publish_audio(ann.call, &sound, &ann.mic));
        ann.tone = tone_start(ann.mic, OH_AUDIO_S16, 48000, 1, 440);
        heard_again(&bob, mark);
    }
    atomic_store(&slow, 0);
    CHECK(rec_wait_tone(bob.rec, "ann", 440, ms(10000)));

    test_step(20, "ann leaves");
    peer_close(&ann);
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_LEFT, "ann", ms(5000));
    nap(100);
    CHECK_EQ(atomic_load(&after_end), 0);
    oh_call_stats s = peer_stats(&bob);
    CHECK_EQ(s.packets_unplayable, 0);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_UNPLAYABLE), 0);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_ERROR), 0);
    peer_close(&bob);
    return test_end();
}
