/*
 * track_end.c - a track's audio is delivered until its end, and not after.
 *
 * ann mutes and unmutes, frees her track and publishes another one, and leaves, repeatedly; bob checks the order of
 * events and audio. Expected: after OH_EVENT_TRACK_UNPUBLISHED (and OH_EVENT_PARTICIPANT_LEFT) no audio of the track
 * is delivered, even to a slow handler with queued frames; each time she is back her audio is received again;
 * nothing counts as lost, unassigned or not playable.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static atomic_int published, after_end, frames, slow;

static void on_event(recorder *r, oh_call call, const oh_event *e)
{
    (void)r, (void)call;
    if (e->kind == OH_EVENT_TRACK_PUBLISHED && !strcmp(e->u.track->user_id, "ann")) atomic_store(&published, 1);
    if (e->kind == OH_EVENT_TRACK_UNPUBLISHED && !strcmp(e->u.track->user_id, "ann")) atomic_store(&published, 0);
    if (e->kind == OH_EVENT_PARTICIPANT_LEFT) atomic_store(&published, 0);
}

static void on_audio(recorder *r, oh_call call, const oh_audio_frame *a)
{
    (void)r, (void)call;
    CHECK_STR(a->track_id, ""); /* this protocol has no track ids */
    CHECK_EQ(a->source, OH_SOURCE_MICROPHONE);
    if (!atomic_load(&published)) atomic_fetch_add(&after_end, 1);
    atomic_fetch_add(&frames, 1);
    if (atomic_load(&slow)) nap(30);
}

/* Waits until ann's audio is received again: first the event, then frames. */
static void receive_again(peer *bob, size_t mark)
{
    EXPECT_FROM(bob->rec, mark, OH_EVENT_TRACK_PUBLISHED, "ann", ms(5000));
    int before = atomic_load(&frames);
    for (double end = now_ms() + ms(5000); atomic_load(&frames) < before + 10 && now_ms() < end; nap(5)) {}
    CHECK_THAT(atomic_load(&frames) >= before + 10, "ann's audio is not received again");
}

int main(void)
{
    peer ann = { 0 }, bob = { .rec = rec_new() };
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    size_t mark;

    test_begin("track_end");
    test_step(20, "bob receives ann's audio");
    bob.rec->on_event = on_event;
    bob.rec->on_audio = on_audio;
    peer_join(&bob, "bob", "track_end", NULL);
    peer_join(&ann, "ann", "track_end", NULL);
    mark = rec_mark(bob.rec);
    peer_publish_tone(&ann, 440);
    receive_again(&bob, mark);
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
        receive_again(&bob, mark);

        test_step(20, "ann's track ends and another one begins, round %u", round);
        mark = rec_mark(bob.rec);
        oh_track_free(ann.mic);
        tone_stop(ann.tone);
        EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "ann", ms(5000));
        nap(40);
        mark = rec_mark(bob.rec);
        track_options.no_dtx = 1;
        CHECK_OK(oh_call_publish_audio(ann.call, &track_options, &ann.mic));
        ann.tone = tone_start(ann.mic, OH_AUDIO_S16, 48000, 1, 440);
        receive_again(&bob, mark);
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
