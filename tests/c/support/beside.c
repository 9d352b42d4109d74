/* beside.c - see beside.h. */
#include "beside.h"

#include <stdio.h>
#include <string.h>

static peer left, right;
static size_t left_mark, right_mark;

void beside_begin(void)
{
    peer_join(&left, "left", "beside", NULL);
    peer_join(&right, "right", "beside", NULL);
    peer_publish_tone(&left, 440);
    peer_publish_tone(&right, 1000);
    CHECK(rec_wait_tone(right.rec, "left", 440, ms(10000)));
    CHECK(rec_wait_tone(left.rec, "right", 1000, ms(10000)));
    beside_mark();
}

void beside_mark(void)
{
    left_mark = rec_mark(left.rec);
    right_mark = rec_mark(right.rec);
    rec_gaps_begin(left.rec);
    rec_gaps_begin(right.rec);
}

void beside_check(const char *what)
{
    double gap = rec_gap(left.rec, "right"), other = rec_gap(right.rec, "left"), stall = rec_stall();
    if (other > gap) gap = other;
    CHECK_THAT(gap < ms(200) + 3 * stall, "%s: a gap of %.0f ms beside it (the machine stalled %.0f ms)", what, gap, stall);
    CHECK_THAT(rec_wait(left.rec, OH_EVENT_STATE, NULL, left_mark, 0, NULL) < 0, "%s: left gets a state event", what);
    CHECK_THAT(rec_wait(right.rec, OH_EVENT_STATE, NULL, right_mark, 0, NULL) < 0, "%s: right gets a state event", what);
    no_errors(&left);
    no_errors(&right);
    beside_mark();
}

void beside_frames(uint64_t *played, uint64_t *damaged)
{
    oh_call_stats l = peer_stats(&left), r = peer_stats(&right);
    *played = l.frames_played + r.frames_played;
    *damaged = l.frames_concealed + l.packets_late + r.frames_concealed + r.packets_late;
}

void beside_end(void)
{
    no_errors(&left);
    no_errors(&right);
    peer_close(&left);
    peer_close(&right);
}

rec_event back_from(peer *p, size_t mark, int how, unsigned timeout_ms)
{
    rec_event e;
    if (rec_wait(p->rec, OH_EVENT_RECONNECTED, NULL, mark, timeout_ms, &e) < 0)
        FAIL("%s does not reconnect within %u ms%s", p->user, timeout_ms, rec_has_ended(p->rec) ? ": it ended" : "");
    if (how) CHECK_EQ(e.code, how);
    return e;
}

void receives_tone(peer *p, const char *user, double hz, unsigned timeout_ms)
{
    rec_received before = { 0 };
    rec_received_of(p->rec, user, &before);
    double end = now_ms() + timeout_ms;
    /* The current full window may have been recorded before the call. */
    for (rec_received now = before; now.windows < before.windows + 2; nap(5)) {
        CHECK_THAT(now_ms() < end, "%s receives no audio of %s", p->user, user);
        rec_received_of(p->rec, user, &now);
    }
    CHECK_THAT(rec_wait_tone(p->rec, user, hz, now_ms() < end ? (uint32_t)(end - now_ms()) : 1), "%s does not receive %s's tone",
               p->user, user);
}

void no_errors(peer *p)
{
    oh_call_stats s = peer_stats(p);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(s.error_events, 0);
    CHECK_EQ(s.offers_failed, 0);
    CHECK_EQ(rec_has_ended(p->rec), 0);
}
