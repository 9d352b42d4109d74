/*
 * shutdown.c - oh_shutdown_wait with calls in every state, and afterwards.
 *
 * Expected: each call gets ENDED with OH_END_SHUTDOWN, once, however short the timeout is; handles stay valid until
 * they are freed; inside a callback OH_ERR_WOULD_DEADLOCK; no thread and no descriptor of the library is left; the
 * library can be used again.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static atomic_int answer;

static void shut_down_inside(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_store(&answer, oh_shutdown_wait(ms(2000)));
}

static void *shut_down(void *arg)
{
    *(oh_result *)arg = oh_shutdown_wait(ms(5000));
    return NULL;
}

static atomic_int blocked, go_on;

static void block(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_store(&blocked, 1);
    for (double end = now_ms() + ms(20000); !atomic_load(&go_on); nap(1)) CHECK(now_ms() < end);
}

int main(void)
{
    enum { CALLS = 6 };
    int fds, threads;

    test_begin("shutdown");
    test_step(10, "with nothing running");
    CHECK_OK(oh_shutdown_wait(0));
    CHECK_OK(oh_shutdown_wait(ms(1000)));
    threads = count_threads();
    fds = count_fds();

    for (int round = 0; round < 3; round++) {
        peer p[CALLS] = { 0 };
        test_step(20, "round %d: talking, joined, joining and left calls", round);
        for (int i = 0; i < CALLS; i++) {
            char user[32];
            snprintf(user, sizeof user, "r%d-%d", round, i);
            i < 4 ? peer_join(&p[i], user, "shutdown", NULL) : peer_open(&p[i], user, "shutdown", NULL);
        }
        peer_publish_tone(&p[0], 500);
        peer_publish_tone(&p[1], 700);
        CHECK(rec_wait_audio(p[2].rec, p[0].user, 5, ms(10000)));
        CHECK_OK(oh_call_leave(p[3].call, NULL));
        EXPECT(p[3].rec, OH_EVENT_ENDED, NULL, ms(3000));
        if (round == 1) {
            /* Two concurrent shutdowns are allowed. */
            pthread_t thread;
            oh_result other = OH_ERR_INTERNAL;
            CHECK_EQ(pthread_create(&thread, NULL, shut_down, &other), 0);
            CHECK_OK(oh_shutdown_wait(ms(5000)));
            pthread_join(thread, NULL);
            CHECK_OH(other, OH_OK);
        } else {
            CHECK_OK(oh_shutdown_wait(round ? OH_FOREVER : ms(2500)));
        }
        for (int i = 0; i < CALLS; i++) {
            CHECK_THAT(rec_has_ended(p[i].rec), "call %d has no ENDED when oh_shutdown_wait returns", i);
            rec_event e = EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, 0);
            CHECK_EQ(e.code, i == 3 ? OH_END_LEFT : OH_END_SHUTDOWN);
            int32_t state = -1;
            CHECK_OK(oh_call_get_state(p[i].call, &state));
            CHECK_EQ(state, OH_STATE_LEFT);
            CHECK(peer_stats(&p[i]).join_attempts <= 1);
        }
        CHECK_THAT(settle(count_threads, threads + 2, ms(2000)) <= threads + 2, "threads are left: %d, were %d",
                   count_threads(), threads); /* two write tones until their tracks end */
        for (int i = 0; i < CALLS; i++) peer_close(&p[i]);
        CHECK_THAT(settle(count_threads, threads, ms(2000)) <= threads, "threads are left: %d, were %d", count_threads(), threads);
        CHECK_THAT(settle(count_fds, fds, ms(2000)) <= fds, "descriptors are left: %d, were %d", count_fds(), fds);
    }

    for (uint32_t timeout = 0; timeout < 2; timeout++) {
        enum { MANY = 24 };
        peer p[MANY] = { 0 };
        test_step(30, "within %u ms", timeout);
        for (int i = 0; i < MANY; i++) {
            char user[32];
            snprintf(user, sizeof user, "s%u-%d", timeout, i);
            peer_open(&p[i], user, "short", NULL);
        }
        for (int i = 0; i < MANY / 2; i++) CHECK_OK(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(10000)));
        CHECK_OH(oh_shutdown_wait(timeout), OH_ERR_TIMEOUT);
        for (int i = 0; i < MANY; i++) {
            rec_event e = EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, ms(4000));
            CHECK_EQ(e.code, OH_END_SHUTDOWN);
        }
        CHECK_OK(oh_shutdown_wait(ms(5000)));
        for (int i = 0; i < MANY; i++) peer_close(&p[i]);
        CHECK_THAT(settle(count_threads, threads, ms(2000)) <= threads, "threads are left: %s", thread_names());
    }

    test_step(20, "inside a callback");
    peer q = { .rec = rec_new() };
    atomic_store(&answer, 1);
    q.rec->on_event = shut_down_inside;
    peer_join(&q, "inside", "shutdown", NULL);
    EXPECT(q.rec, OH_EVENT_JOINED, NULL, ms(5000));
    for (double end = now_ms() + ms(5000); atomic_load(&answer) == 1; nap(1)) CHECK(now_ms() < end);
    CHECK_OH(atomic_load(&answer), OH_ERR_WOULD_DEADLOCK);
    CHECK_OK(oh_call_wait_state(q.call, OH_STATE_JOINED, 0)); /* without effect */
    peer_close(&q);

    test_step(30, "with a callback that does not return");
    q.rec = rec_new();
    q.rec->on_event = block;
    peer_open(&q, "blocking", "shutdown", NULL);
    for (double end = now_ms() + ms(10000); !atomic_load(&blocked); nap(1)) CHECK(now_ms() < end);
    double began = now_ms();
    CHECK_OH(oh_shutdown_wait(300), OH_ERR_TIMEOUT);
    CHECK_THAT(now_ms() - began < ms(3000), "300 ms took %.0f ms", now_ms() - began);
    atomic_store(&go_on, 1);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    rec_event e = EXPECT(q.rec, OH_EVENT_ENDED, NULL, 0);
    CHECK_EQ(e.code, OH_END_SHUTDOWN);
    peer_close(&q);

    test_step(20, "and used again");
    peer_join(&q, "again", "shutdown", NULL);
    peer_close(&q);
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_THAT(settle(count_threads, threads, ms(2000)) <= threads, "threads are left");
    CHECK_THAT(settle(count_fds, fds, ms(2000)) <= fds, "descriptors are left");
    return test_end();
}
