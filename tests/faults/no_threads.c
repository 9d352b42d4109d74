/*
 * no_threads.c - the system gives no thread for a while, and the threads that are there are blocked.
 *
 * Expected: callbacks of other calls come when there is a thread again, all of them and in order; nothing is lost.
 */
#include "fail.h"
#include "attempt.h"

#include <errno.h>
#include <stdio.h>

static atomic_int inside, go_on;

static void block(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_RIGHTS) return;
    atomic_fetch_add(&inside, 1);
    for (double end = now_ms() + ms(30000); !atomic_load(&go_on); nap(1)) CHECK(now_ms() < end);
}

int main(void)
{
    enum { BLOCKED = 4 };
    peer blocked[BLOCKED] = { 0 }, later = { 0 };
    char user[32];

    test_begin("no_threads");
    test_step(20, "five join");
    for (int i = 0; i < BLOCKED; i++) {
        snprintf(user, sizeof user, "blocked-%d", i);
        blocked[i].rec = rec_new();
        blocked[i].rec->on_event = block;
        peer_open(&blocked[i], user, "no-threads", NULL);
        CHECK_OK(oh_call_wait_state(blocked[i].call, OH_STATE_JOINED, ms(10000)));
        EXPECT(blocked[i].rec, OH_EVENT_JOINED, NULL, ms(5000));
    }
    peer_join(&later, "later", "no-threads", NULL);

    test_step(30, "no thread for a second");
    fail_arm(FAIL_THREAD, 1, 0, EAGAIN);
    for (int i = 0; i < BLOCKED; i++)
        ctl("grants", "{\"user_id\":\"blocked-%d\",\"audio\":true,\"video\":false,\"screenshare\":false,\"message\":\"x\"}", i);
    /* The threads that there are stand; then somebody else is to be told. */
    for (double end = now_ms() + ms(10000); !fail_hits(); nap(1))
        CHECK_THAT(now_ms() < end, "no thread is requested: %d callbacks run", atomic_load(&inside));
    size_t mark = rec_mark(later.rec);
    ctl("grants", "{\"user_id\":\"later\",\"audio\":true,\"video\":false,\"screenshare\":false,\"message\":\"x\"}");
    unsigned hits = fail_hits();
    for (double end = now_ms() + 1000; now_ms() < end; nap(20)) {}
    CHECK_THAT(fail_hits() > hits + 10, "it is not tried again: %u, %u", hits, fail_hits());
    CHECK_THAT(atomic_load(&inside) < BLOCKED || rec_wait(later.rec, OH_EVENT_RIGHTS, NULL, mark, 0, NULL) < 0,
               "there were more threads than thought");
    fail_disarm();
    EXPECT_FROM(later.rec, mark, OH_EVENT_RIGHTS, NULL, ms(5000));
    for (double end = now_ms() + ms(5000); atomic_load(&inside) < BLOCKED; nap(1))
        CHECK_THAT(now_ms() < end, "only %d of %d callbacks run", atomic_load(&inside), BLOCKED);
    CHECK_EQ(rec_count(later.rec, OH_EVENT_LOST), 0);

    test_step(20, "the end");
    atomic_store(&go_on, 1);
    for (int i = 0; i < BLOCKED; i++) peer_close(&blocked[i]);
    peer_close(&later);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
