/*
 * leave.c - oh_call_leave at 200 random moments of a join.
 *
 * Expected each time: exactly one ENDED within 2 s; no JOINED after the call started to leave; the error is OH_OK
 * for a call that had joined and OH_ERR_CANCELLED for one that had not; leaving twice is allowed; the SFU keeps no
 * session of the participant.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOGETHER = 4 };

/* Busy-waits, because the timer resolution of the kernel is too coarse. */
static void spin_until(double when)
{
    while (now_ms() < when) {}
}

static int few(unsigned joined, unsigned cancelled, unsigned total)
{
    return joined < total / 10 || cancelled < total / 10;
}

int main(void)
{
    unsigned total = rounds(200), cancelled = 0, joined = 0;
    double span;

    test_begin("leave");
    test_step(15, "how long a join takes");
    peer p = { 0 };
    peer_join(&p, "first", "leave", NULL);
    peer_close(&p);
    double began = now_ms();
    peer_join(&p, "second", "leave", NULL);
    span = (now_ms() - began) * 2;
    peer_close(&p);
    printf("           %.1f ms\n", span / 2);

    /* Continues while the leave times are not spread: the duration of a join is not known in advance. */
    for (unsigned round = 0; round < total || (few(joined, cancelled, total) && round < 8 * total); round += TOGETHER) {
        peer all[TOGETHER] = { 0 };
        double when[TOGETHER];
        unsigned of_these = 0;
        test_step(10, "joins %u and on are left within %.1f ms", round, span);
        /* A slow SFU makes each wait of a join longer, so that more leaves fall into one. */
        ctl("slow", "{\"ms\":%u}", round % 3 * 4);
        for (int i = 0; i < TOGETHER; i++) {
            char user[32];
            snprintf(user, sizeof user, "u%u", round + (unsigned)i);
            peer_open(&all[i], user, "leave", NULL);
            spin_until(when[i] = now_ms() + span * (double)(test_random() % 1000) / 1000);
            CHECK_OK(oh_call_leave(all[i].call, i % 3 ? "gone" : NULL));
            when[i] = now_ms();
            if (i % 4 == 0) CHECK_OK(oh_call_leave(all[i].call, "twice"));
        }
        for (int i = 0; i < TOGETHER; i++) {
            rec_event ended = EXPECT(all[i].rec, OH_EVENT_ENDED, NULL, ms(5000)), e;
            CHECK_THAT(ended.when - when[i] <= ms(2000), "leaving took %.0f ms", ended.when - when[i]);
            CHECK_EQ(ended.code, OH_END_LEFT);
            if (rec_wait(all[i].rec, OH_EVENT_JOINED, NULL, 0, 0, &e) >= 0) {
                CHECK_EQ(ended.error, OH_OK);
                /* An event that was queued when the application left may still be delivered, but no new one. */
                CHECK_THAT(e.when - when[i] <= ms(100), "JOINED comes %.0f ms after leaving", e.when - when[i]);
                of_these++;
            } else {
                CHECK_EQ(ended.error, OH_ERR_CANCELLED);
                CHECK_OH(oh_call_wait_state(all[i].call, OH_STATE_JOINED, 0), OH_ERR_CANCELLED);
                cancelled++;
            }
            CHECK_EQ(rec_count(all[i].rec, OH_EVENT_ERROR), 0);
            CHECK_OK(oh_call_leave(all[i].call, "after the end"));
            peer_close(&all[i]);
        }
        joined += of_these;
        span *= of_these * 2 < TOGETHER ? 1.3 : 1 / 1.3; /* aim for half of them to have joined */
    }
    printf("           %u had joined, %u had not\n", joined, cancelled);
    CHECK_THAT(!few(joined, cancelled, total), "the moments are not spread: %u joined, %u not", joined, cancelled);
    ctl("reset", "{}");

    test_step(20, "no ghost is left at the SFU");
    double end = now_ms() + ms(15000);
    for (;;) {
        char *state = ctl_state();
        int sessions = json_count(state, "sessions");
        free(state);
        if (sessions == 0) break;
        CHECK_THAT(now_ms() < end, "%d sessions are left at the SFU", sessions);
        nap(20);
    }
    return test_end();
}
