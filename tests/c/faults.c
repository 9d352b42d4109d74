/*
 * test: timeout=150
 * faults.c - the items of the fault list (docs/reliability.md) that need a whole process, each a function of its
 * name: a call that hangs, blocks, floods or leaves something behind, beside two participants who must be
 * unaffected.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static peer left, right;
static size_t left_mark, right_mark;

/* The two participants received audio without a gap and no state event. */
static void check_unaffected(const char *what)
{
    double gap = rec_gap(left.rec, "right"), other = rec_gap(right.rec, "left"), stall = rec_stall();
    if (other > gap) gap = other;
    CHECK_THAT(gap < ms(200) + 3 * stall, "%s: a gap of %.0f ms beside it (the machine stalled %.0f ms)", what, gap, stall);
    CHECK_THAT(rec_wait(left.rec, OH_EVENT_STATE, NULL, left_mark, 0, NULL) < 0, "%s: left gets a state event", what);
    CHECK_THAT(rec_wait(right.rec, OH_EVENT_STATE, NULL, right_mark, 0, NULL) < 0, "%s: right gets a state event", what);
}

static void begin(void)
{
    left_mark = rec_mark(left.rec);
    right_mark = rec_mark(right.rec);
    rec_gaps_begin(left.rec);
    rec_gaps_begin(right.rec);
}

static void h08_one_hung_call_never_blocks_another(void)
{
    static const char *const stages[] = { "join_http", "ws_upgrade", "join_response" };
    peer hung[3] = { 0 }, quick = { 0 };
    char name[32];

    begin();
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "hung-%d", i);
        ctl("silent", "{\"stage\":\"%s\",\"user_id\":\"%s\"}", stages[i], name);
        peer_open(&hung[i], name, "hung", NULL);
    }
    for (int i = 0; i < 5; i++) {
        double began = now_ms();
        snprintf(name, sizeof name, "quick-%d", i);
        peer_join(&quick, name, "hung", NULL);
        CHECK_THAT(now_ms() - began < ms(1000) + rec_stall(), "a join took %.0f ms", now_ms() - began);
        peer_close(&quick);
    }
    check_unaffected("three hung joins");
    for (int i = 0; i < 3; i++) peer_close(&hung[i]); /* each leaves in time */
    ctl("reset", "{}");
}

static void h11_a_socket_that_opens_after_the_leave_is_closed(void)
{
    peer late = { 0 };
    char *state;

    begin();
    ctl("slow", "{\"ms\":400}"); /* the join request is answered in the middle of the leave */
    peer_open(&late, "opens-late", "late", NULL);
    for (double end = now_ms() + ms(5000);; nap(5)) { /* until the coordinator has received it */
        int asked;
        state = ctl_state();
        asked = json_get(state, "joins/?user_id=opens-late") != NULL;
        free(state);
        if (asked) break;
        CHECK_THAT(now_ms() < end, "the coordinator is never asked");
    }
    CHECK_OK(oh_call_leave(late.call, "changed my mind"));
    EXPECT(late.rec, OH_EVENT_ENDED, NULL, ms(2500));
    ctl("reset", "{}");
    ctl("slow", "{\"ms\":0}");
    peer_close(&late);
    for (double end = now_ms() + ms(5000);; nap(20)) {
        int live;
        state = ctl_state();
        live = json_get(state, "sessions/?user_id=opens-late") != NULL;
        free(state);
        if (!live) break;
        CHECK_THAT(now_ms() < end, "the SFU still has a session of a participant that left before it had joined");
    }
}

static void h32_nothing_is_left_behind(void)
{
    peer p = { 0 };
    int fds, threads;

    begin();
    for (int i = 0; i < 3; i++) { /* warm up */
        peer_join(&p, "warm", "leftovers", NULL);
        peer_publish_tone(&p, 300);
        peer_close(&p);
    }
    fds = settle(count_fds, 0, 300);
    threads = count_threads();
    for (int i = 0; i < 5; i++) {
        size_t mark;
        peer_join(&p, "comes-back", "leftovers", NULL);
        peer_publish_tone(&p, 300);
        mark = rec_mark(p.rec);
        ctl("drop_ws", "{\"user_id\":\"comes-back\"}");
        EXPECT_FROM(p.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
        mark = rec_mark(p.rec);
        ctl("error", "{\"user_id\":\"comes-back\",\"code\":500,\"message\":\"again\",\"strategy\":3}");
        EXPECT_FROM(p.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
        peer_close(&p);
    }
    CHECK_THAT(settle(count_fds, fds, ms(5000)) <= fds, "%d descriptors before, %d after", fds, count_fds());
    threads++; /* the thread that watches slow callbacks starts with the first one and stays */
    CHECK_THAT(settle(count_threads, threads, ms(6000)) <= threads, "%d threads before, %d after: %s", threads, count_threads(),
               thread_names());
    check_unaffected("reconnects beside them");
}

static void h36_a_frame_of_200_mib_is_refused(void)
{
    peer p = { 0 };
    long before;

    peer_join(&p, "flooded", "flood", NULL);
    begin();
    before = anonymous_kb();
    ctl("raw_frame", "{\"user_id\":\"flooded\",\"size\":209715200}");
    EXPECT(p.rec, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_THAT(anonymous_kb() - before < 16384 || test_scale() > 1, "memory grew by %ld KiB", anonymous_kb() - before);
    check_unaffected("a flood beside them");
    peer_close(&p);
}

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opened = PTHREAD_COND_INITIALIZER;
static int gate_open;
static atomic_int at_gate;

static void blocks(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_fetch_add(&at_gate, 1);
    pthread_mutex_lock(&gate_lock);
    while (!gate_open) pthread_cond_wait(&gate_opened, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

static void h37_a_blocked_callback_delays_its_own_call_only(void)
{
    peer blocked[6] = { 0 };
    char name[32];

    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "blocked-%d", i);
        blocked[i].rec = rec_new();
        blocked[i].rec->on_event = blocks;
        peer_open(&blocked[i], name, "blocked", NULL);
    }
    for (double end = now_ms() + ms(10000); atomic_load(&at_gate) < 6; nap(2))
        CHECK_THAT(now_ms() < end, "only %d callbacks run", atomic_load(&at_gate));
    begin();
    /* Their connections are lost and restored while the callbacks block. */
    for (int i = 0; i < 6; i++) ctl("drop_ws", "{\"user_id\":\"blocked-%d\"}", i);
    CHECK(rec_wait_audio(left.rec, "right", 100, ms(10000)));
    check_unaffected("six blocked callbacks");
    pthread_mutex_lock(&gate_lock);
    gate_open = 1;
    pthread_cond_broadcast(&gate_opened);
    pthread_mutex_unlock(&gate_lock);
    for (int i = 0; i < 6; i++) {
        EXPECT(blocked[i].rec, OH_EVENT_RECONNECTED, NULL, ms(15000)); /* delivered in order, late */
        peer_close(&blocked[i]);
    }
}

static void h38_a_leave_never_stalls_other_calls(void)
{
    peer leaver[8] = { 0 };
    char name[32];

    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "leaver-%d", i);
        peer_join(&leaver[i], name, "leavers", NULL);
        peer_publish_tone(&leaver[i], 200 + 50 * i);
    }
    /* Half of them leave an SFU that no longer answers. */
    ctl("silent", "{\"stage\":\"send_answer\",\"user_id\":\"leaver-0\"}");
    ctl("silent", "{\"stage\":\"set_publisher\",\"user_id\":\"leaver-1\"}");
    begin();
    for (int i = 0; i < 8; i++) {
        double began = now_ms();
        CHECK_OK(oh_call_leave(leaver[i].call, "all at once"));
        CHECK_THAT(now_ms() - began < 100 + rec_stall(), "oh_call_leave took %.0f ms", now_ms() - began);
    }
    for (int i = 0; i < 8; i++) EXPECT(leaver[i].rec, OH_EVENT_ENDED, NULL, ms(2000));
    check_unaffected("eight leaves");
    for (int i = 0; i < 8; i++) peer_close(&leaver[i]);
    ctl("reset", "{}");
}

#define SHOW(item) test_step(40, #item), item()

int main(void)
{
    test_begin("faults");
    test_step(20, "two participants send audio");
    peer_join(&left, "left", "two", NULL);
    peer_join(&right, "right", "two", NULL);
    peer_publish_tone(&left, 440);
    peer_publish_tone(&right, 1000);
    CHECK(rec_wait_tone(right.rec, "left", 440, ms(10000)));
    CHECK(rec_wait_tone(left.rec, "right", 1000, ms(10000)));
    SHOW(h08_one_hung_call_never_blocks_another);
    SHOW(h11_a_socket_that_opens_after_the_leave_is_closed);
    SHOW(h32_nothing_is_left_behind);
    SHOW(h36_a_frame_of_200_mib_is_refused);
    SHOW(h37_a_blocked_callback_delays_its_own_call_only);
    SHOW(h38_a_leave_never_stalls_other_calls);
    test_step(20, "the end");
    peer_close(&left);
    peer_close(&right);
    return test_end();
}
