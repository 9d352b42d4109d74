/*
 * moderation.c - a moderator mutes a participant.
 *
 * Ann sends audio and bob receives it; a moderator mutes ann. Expected: ann's library stops sending at once, her
 * application receives OH_EVENT_TRACK_UNPUBLISHED for her own track with the cause moderation, bob receives no more
 * audio; when ann unmutes, bob receives her audio again. No call ends.
 */
#include "peer.h"

int main(void)
{
    peer ann = { 0 }, bob = { 0 };
    rec_event e;

    test_begin("moderation");
    test_step(20, "ann sends audio");
    peer_join(&ann, "ann", "moderated", NULL);
    peer_join(&bob, "bob", "moderated", NULL);
    peer_publish_tone(&ann, 440);
    CHECK(rec_wait_tone(bob.rec, "ann", 440, ms(10000)));

    for (int round = 0; round < 2; round++) {
        test_step(20, "ann is muted, round %d", round);
        size_t mark = rec_mark(ann.rec), bobs = rec_mark(bob.rec);
        ctl("mute", "{\"user_id\":\"ann\",\"track_type\":1}");
        e = EXPECT_FROM(ann.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "ann", ms(5000));
        CHECK_EQ(e.cause, 3);
        CHECK_EQ(e.code, OH_SOURCE_MICROPHONE);
        EXPECT_FROM(bob.rec, bobs, OH_EVENT_TRACK_UNPUBLISHED, "ann", ms(5000));
        CHECK(rec_wait_no_tone(bob.rec, "ann", 440, ms(5000)));
        /* Ann's library sends nothing; the SFU would drop it anyway. One packet may be in transit. */
        uint64_t sent = peer_stats(&ann).packets_sent;
        for (double end = now_ms() + ms(500); now_ms() < end; nap(20)) {}
        CHECK_THAT(peer_stats(&ann).packets_sent <= sent + 1, "%llu packets are sent while muted",
                   (unsigned long long)(peer_stats(&ann).packets_sent - sent));

        test_step(20, "ann unmutes, round %d", round);
        CHECK_OK(oh_track_set_muted(ann.mic, 0));
        CHECK(rec_wait_tone(bob.rec, "ann", 440, ms(10000)));
    }
    CHECK_EQ(rec_count(ann.rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_TRACK_UNPUBLISHED), 2);
    peer_close(&ann);
    peer_close(&bob);
    return test_end();
}
