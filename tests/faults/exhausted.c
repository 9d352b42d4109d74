/*
 * exhausted.c - no descriptor is left, or no thread, while others send audio.
 *
 * Expected: a join gives a typed error in time, every time, without leaking anything; the others in the same
 * process receive each other's audio throughout, can leave, and can join again once there is room.
 */
#include "fail.h"
#include "attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static peer alice, bob;

static void check_neighbours(const char *when)
{
    peer *both[] = { &alice, &bob };
    for (int i = 0; i < 2; i++) {
        recorder *r = both[i]->rec;
        CHECK_THAT(rec_count(r, OH_EVENT_ENDED) + rec_count(r, OH_EVENT_ERROR) + rec_count(r, OH_EVENT_LOST) == 0,
                   "%s: %s was affected", when, both[i]->user);
        double gap = rec_gap(r, both[1 - i]->user), limit = ms(250) + 3 * rec_stall();
        CHECK_THAT(gap >= 0 && gap <= limit, "%s: %s received no audio for %.0f ms, allowed are %.0f", when, both[i]->user, gap, limit);
        CHECK_EQ(peer_stats(both[i]).join_attempts, 1);
    }
    CHECK(rec_wait_tone(alice.rec, "bob", 1000, ms(5000)));
    CHECK(rec_wait_tone(bob.rec, "alice", 440, ms(5000)));
}

static void gaps_begin(void)
{
    rec_gaps_begin(alice.rec);
    rec_gaps_begin(bob.rec);
}

/* Joins that cannot succeed: `most` is the furthest they may come. */
static void joins_fail(const char *why, unsigned count, int most)
{
    char user[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(user, sizeof user, "poor-%s-%u", why, i);
        attempt one = attempt_run(user, "exhausted");
        printf("           %s, %s after %.0f ms: %s\n", attempt_stage_name(one.stage), oh_result_get_name(one.error), one.ms, one.text);
        CHECK_THAT(one.stage <= most, "without %s an attempt is %s", why, attempt_stage_name(one.stage));
        CHECK_THAT(one.error == OH_ERR_LIMIT || one.error == OH_ERR_NETWORK, "without %s a join is %s", why, oh_result_get_name(one.error));
    }
}

/* So few descriptors that after `left` more there are none. */
static void leave_descriptors(struct rlimit *limit, int left)
{
    int fds[64], count = 0;
    while (count <= left) CHECK((fds[count++] = fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0);
    limit->rlim_cur = (rlim_t)fds[count - 1];
    while (count > 0) close(fds[--count]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, limit), 0);
}

int main(void)
{
    struct rlimit before, limit;
    int fds, threads;

    test_begin("exhausted");
    test_step(30, "no thread, before anything runs");
    fds = count_fds();
    fail_arm(FAIL_THREAD, 1, 0, EAGAIN);
    joins_fail("threads", 20, ATTEMPT_NO_CALL);
    CHECK(fail_hits() >= 20);
    fail_disarm();
    CHECK_THAT(count_fds() <= fds, "descriptors are left: %d, were %d", count_fds(), fds);

    test_step(30, "two others send audio");
    peer_join(&alice, "alice", "others", NULL);
    peer_join(&bob, "bob", "others", NULL);
    peer_publish_tone(&alice, 440);
    peer_publish_tone(&bob, 1000);
    CHECK(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)));
    CHECK(rec_wait_tone(bob.rec, "alice", 440, ms(10000)));
    attempt_run("warm-up", "exhausted");
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    nap(50);
    threads = count_threads();
    fds = settle(count_fds, 0, 300);

    for (int left = 0; left < 6; left++) {
        test_step(60, "%d descriptors are left", left);
        gaps_begin();
        limit = before;
        leave_descriptors(&limit, left);
        char user[32];
        unsigned failed = 0;
        for (int i = 0; i < 2; i++) {
            snprintf(user, sizeof user, "poor-%d-%d", left, i);
            attempt one = attempt_run(user, "exhausted");
            printf("           %s, %s after %.0f ms: %s\n", attempt_stage_name(one.stage), oh_result_get_name(one.error), one.ms, one.text);
            failed += one.stage != ATTEMPT_COMPLETE;
            CHECK_THAT(one.stage == ATTEMPT_COMPLETE || one.error == OH_ERR_LIMIT || one.error == OH_ERR_NETWORK || one.error == OH_ERR_MEDIA,
                       "without descriptors a join is %s", oh_result_get_name(one.error));
        }
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK_THAT(left > 0 || failed == 2, "a join works without a descriptor");
        check_neighbours("without descriptors");
        CHECK_THAT(settle(count_fds, fds, ms(2000)) <= fds, "descriptors are left: %d, were %d", count_fds(), fds);
    }

    test_step(60, "no thread while others send audio");
    gaps_begin();
    fail_arm(FAIL_THREAD, 1, 0, EAGAIN);
    /* Existing threads serve new calls, too: these attempts may complete; looking up a name needs another thread. */
    char by_name[64];
    snprintf(by_name, sizeof by_name, "http://localhost:%d", sfu_port());
    for (int i = 0; i < 4; i++) {
        char user[32];
        attempt_url = i & 1 ? by_name : NULL;
        snprintf(user, sizeof user, "poor-t-%d", i);
        attempt one = attempt_run(user, "exhausted");
        printf("           %s, %s after %.0f ms: %s\n", attempt_stage_name(one.stage), oh_result_get_name(one.error), one.ms, one.text);
    }
    attempt_url = NULL;
    check_neighbours("without threads");
    fail_disarm();
    /* On a busy machine the pool has made room for callbacks that were slow; such threads go after a while. */
    CHECK_THAT(settle(count_threads, threads + 2, ms(15000)) <= threads + 2, "threads are left: %s", thread_names());

    test_step(30, "room again");
    attempt one = attempt_run("rich", "exhausted");
    CHECK_THAT(one.stage == ATTEMPT_COMPLETE, "with room again an attempt is %s: %s", attempt_stage_name(one.stage), one.text);

    test_step(30, "leaving without a descriptor");
    limit = before;
    leave_descriptors(&limit, 0);
    peer_close(&alice);
    peer_close(&bob);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
