/*
 * exhausted.c - no descriptor is left, or no thread, while others talk.
 *
 * Expected: a join gives a typed error in time, each time anew, without losing anything; the others in the same
 * process hear each other all the while, can leave, and can come back once there is room again.
 */
#include "fail.h"
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static peer alice, bob;

static void others_hear(const char *when)
{
    peer *both[] = { &alice, &bob };
    for (int i = 0; i < 2; i++) {
        recorder *r = both[i]->rec;
        CHECK_THAT(rec_count(r, OH_EVENT_ENDED) + rec_count(r, OH_EVENT_ERROR) + rec_count(r, OH_EVENT_LOST) == 0,
                   "%s: %s was disturbed", when, both[i]->user);
        double gap = rec_gap(r, both[1 - i]->user), limit = ms(250) + 3 * rec_stall();
        CHECK_THAT(gap >= 0 && gap <= limit, "%s: %s heard nothing for %.0f ms, allowed are %.0f", when, both[i]->user, gap, limit);
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
        life l = live(user, "exhausted");
        printf("           %s, %s after %.0f ms: %s\n", life_name(l.stage), oh_result_get_name(l.error), l.ms, l.text);
        CHECK_THAT(l.stage <= most, "without %s a life is %s", why, life_name(l.stage));
        CHECK_THAT(l.error == OH_ERR_LIMIT || l.error == OH_ERR_NETWORK, "without %s a join is %s", why, oh_result_get_name(l.error));
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
    joins_fail("threads", 20, LIFE_NO_CALL);
    CHECK(fail_hits() >= 20);
    fail_disarm();
    CHECK_THAT(count_fds() <= fds, "descriptors are left: %d, were %d", count_fds(), fds);

    test_step(30, "two others talk");
    peer_join(&alice, "alice", "others", NULL);
    peer_join(&bob, "bob", "others", NULL);
    peer_talk(&alice, 440);
    peer_talk(&bob, 1000);
    CHECK(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)));
    CHECK(rec_wait_tone(bob.rec, "alice", 440, ms(10000)));
    live("warm-up", "exhausted");
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
            life l = live(user, "exhausted");
            printf("           %s, %s after %.0f ms: %s\n", life_name(l.stage), oh_result_get_name(l.error), l.ms, l.text);
            failed += l.stage != LIFE_WHOLE;
            CHECK_THAT(l.stage == LIFE_WHOLE || l.error == OH_ERR_LIMIT || l.error == OH_ERR_NETWORK || l.error == OH_ERR_MEDIA,
                       "without descriptors a join is %s", oh_result_get_name(l.error));
        }
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK_THAT(left > 0 || failed == 2, "a join works without a descriptor");
        others_hear("without descriptors");
        CHECK_THAT(settle(count_fds, fds, ms(2000)) <= fds, "descriptors are left: %d, were %d", count_fds(), fds);
    }

    test_step(60, "no thread while others talk");
    gaps_begin();
    fail_arm(FAIL_THREAD, 1, 0, EAGAIN);
    /* Threads that are there serve newcomers, too: these lives may be whole; a name to look up needs another one. */
    char by_name[64];
    snprintf(by_name, sizeof by_name, "http://localhost:%d", sfu_port());
    for (int i = 0; i < 4; i++) {
        char user[32];
        life_url = i & 1 ? by_name : NULL;
        snprintf(user, sizeof user, "poor-t-%d", i);
        life l = live(user, "exhausted");
        printf("           %s, %s after %.0f ms: %s\n", life_name(l.stage), oh_result_get_name(l.error), l.ms, l.text);
    }
    life_url = NULL;
    others_hear("without threads");
    fail_disarm();
    /* On a busy machine the pool has made room for callbacks that were slow; such threads go after a while. */
    CHECK_THAT(settle(count_threads, threads + 2, ms(15000)) <= threads + 2, "threads are left: %s", thread_names());

    test_step(30, "and room again");
    life l = live("rich", "exhausted");
    CHECK_THAT(l.stage == LIFE_WHOLE, "with room again a life is %s: %s", life_name(l.stage), l.text);

    test_step(30, "leaving without a descriptor");
    limit = before;
    leave_descriptors(&limit, 0);
    peer_close(&alice);
    peer_close(&bob);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
