/*
 * nth.c - the nth call of the library into the system fails, for n = 1, 2, 3... and each kind of call,
 * while a participant joins, sends audio and leaves.
 *
 * Expected: the attempt works, or ends with one typed error; after oh_shutdown_wait no thread and no descriptor
 * is left; others in the same process receive each other's audio throughout. OFFHOOK_FAULTS=n tests more calls of
 * each kind (default 24; beyond that, each further number is half as large again).
 *
 * test: timeout=240
 */
#include "fail.h"
#include "attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fault {
    int kind;
    int error;
    int alone; /* the others make such calls too, or the process's first start is meant: without them */
    unsigned most; /* of the calls looked at one by one; 0: as told */
} fault;

static const fault faults[] = {
    { FAIL_SOCKET, EMFILE, 0, 0 },
    { FAIL_CONNECT, ENETUNREACH, 0, 0 },
    { FAIL_CONNECT, EADDRNOTAVAIL, 0, 4 },
    { FAIL_BIND, EADDRINUSE, 0, 0 },
    { FAIL_NAME, ENOBUFS, 0, 0 },
    { FAIL_OPTION, ENOMEM, 0, 0 },
    { FAIL_REGISTER, ENOSPC, 0, 0 },
    { FAIL_INTERFACES, EMFILE, 0, 0 },
    { FAIL_RESOLVE, ENOMEM, 0, 0 },
    { FAIL_THREAD, EAGAIN, 0, 0 },
    { FAIL_EPOLL, EMFILE, 1, 0 },
    { FAIL_EVENTFD, EMFILE, 1, 0 },
    { FAIL_REGISTER, ENOMEM, 1, 4 },
    { FAIL_THREAD, EAGAIN, 1, 0 },
    { FAIL_WAIT, EINTR, 1, 12 },
    { FAIL_READ, ECONNRESET, 1, 0 },
    { FAIL_WRITE, EPIPE, 1, 0 },
    { FAIL_WRITE, ENOBUFS, 1, 12 },
};

static unsigned each = 24;
static unsigned attempts, completed;
static int threads, fds;

/* What the open descriptors are, for messages. */
static const char *fd_names(void)
{
    static char names[2048];
    char path[64], target[128];
    names[0] = 0;
    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0) continue;
        target[length] = 0;
        if (strlen(names) + (size_t)length + 8 < sizeof names) sprintf(names + strlen(names), " %d:%s", fd, target);
    }
    return names;
}

static void others_undisturbed(peer *a, peer *b)
{
    static const int quiet[] = { OH_EVENT_ERROR, OH_EVENT_ENDED, OH_EVENT_LOCAL_TRACK_FAILED, OH_EVENT_LOST };
    peer *both[] = { a, b };
    for (int i = 0; i < 2; i++) {
        recorder *r = both[i]->rec;
        for (size_t k = 0; k < sizeof quiet / sizeof *quiet; k++)
            CHECK_THAT(rec_count(r, quiet[k]) == 0, "%s was disturbed: an event of kind %d", both[i]->user, quiet[k]);
        int32_t state = -1;
        CHECK_OK(oh_call_get_state(both[i]->call, &state));
        CHECK_EQ(state, OH_STATE_JOINED);
        CHECK_EQ(peer_stats(both[i]).join_attempts, 1);
        double gap = rec_gap(r, both[1 - i]->user), limit = ms(250) + 3 * rec_stall();
        CHECK_THAT(gap >= 0 && gap <= limit, "%s received no audio for %.0f ms, allowed are %.0f", both[i]->user, gap, limit);
    }
}

/* One kind of fault, call by call, until an attempt ends before the nth call comes. */
static void run(const fault *f, peer *a, peer *b)
{
    unsigned lost = 0, most = f->most && f->most < each ? f->most : each, last = 0, total = 0, stages[ATTEMPT_STAGES] = { 0 };
    double slowest = 0;
    char user[32], by_name[64];
    snprintf(by_name, sizeof by_name, "http://localhost:%d", sfu_port());
    for (unsigned n = 1; n <= 100000; n = n < most ? n + 1 : f->most ? 100001 : n + (n + 1) / 2) {
        test_step(60, "%s %u fails with %s", fail_name(f->kind), n, strerrorname_np(f->error));
        if (a) {
            rec_gaps_begin(a->rec);
            rec_gaps_begin(b->rec);
        }
        snprintf(user, sizeof user, "victim-%u", ++attempts);
        /* A name has to be looked up, on a thread for that. */
        attempt_url = f->kind == FAIL_RESOLVE || (f->kind == FAIL_THREAD && !f->alone) ? by_name : NULL;
        fail_arm(f->kind, n, 1, f->error);
        attempt one = attempt_run(user, "faults");
        unsigned hits = fail_hits();
        total = fail_seen();
        if (f->alone) {
            CHECK_OK(oh_shutdown_wait(ms(5000)));
            if (!hits) total = fail_seen();
            hits = fail_hits();
        }
        fail_disarm();
        if (f->alone) {
            /*
             * The async runtime cannot be given up half-started: when the system has threads at one moment and none
             * at the next, what was started is lost. That is all that may ever be lost.
             */
            if (f->kind == FAIL_THREAD && one.stage == ATTEMPT_NO_CALL && n > 1 && count_fds() == fds + 3) {
                CHECK_THAT(++lost <= 64 && one.ms < ms(3000), "a runtime that cannot start is lost again and again");
                fds += 3;
                threads = count_threads();
            }
            CHECK_THAT(settle(count_threads, threads, ms(2000)) <= threads, "threads are left: %s", thread_names());
            CHECK_THAT(settle(count_fds, fds, ms(2000)) <= fds, "descriptors are left: %d, were %d:%s; threads:%s", count_fds(), fds, fd_names(), thread_names());
        } else {
            others_undisturbed(a, b);
        }
        if (one.stage == ATTEMPT_COMPLETE) completed++;
        stages[one.stage]++;
        if (one.ms > slowest) slowest = one.ms;
        if (one.stage != ATTEMPT_COMPLETE) printf("           %s, %s: %s\n", attempt_stage_name(one.stage), oh_result_get_name(one.error), one.text);
        if (!hits) {
            CHECK_THAT(one.stage == ATTEMPT_COMPLETE, "an attempt without a fault is %s: %s", attempt_stage_name(one.stage), one.text);
            break;
        }
        last = n;
    }
    printf("           === %s with %s%s: %u calls in an attempt, failed up to the %u.:", fail_name(f->kind),
           strerrorname_np(f->error), f->alone ? ", process alone" : ", others sending audio", total, last);
    for (int i = 0; i < ATTEMPT_STAGES; i++)
        if (stages[i]) printf(" %u %s", stages[i], attempt_stage_name(i));
    printf(", slowest %.0f ms\n", slowest);
}

int main(void)
{
    const char *more = getenv("OFFHOOK_FAULTS");
    peer a = { 0 }, b = { 0 };

    test_begin("nth");
    test_step(10, "begins");
    if (more && atoi(more) > 0) each = (unsigned)atoi(more);
    attempt_run("warm-up", "faults");
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    threads = count_threads();
    fds = count_fds();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (faults[i].alone) run(&faults[i], NULL, NULL);

    test_step(30, "two others begin to send audio");
    peer_join(&a, "alice", "others", NULL);
    peer_join(&b, "bob", "others", NULL);
    peer_publish_tone(&a, 440);
    peer_publish_tone(&b, 1000);
    CHECK(rec_wait_tone(a.rec, "bob", 1000, ms(10000)));
    CHECK(rec_wait_tone(b.rec, "alice", 440, ms(10000)));
    attempt_run("warm-up-2", "faults");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!faults[i].alone) run(&faults[i], &a, &b);

    test_step(20, "the end");
    CHECK(rec_wait_tone(a.rec, "bob", 1000, ms(5000)));
    peer_close(&a);
    peer_close(&b);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    printf("           %u attempts, %u of them complete\n", attempts, completed);
    CHECK(completed >= 10 && completed < attempts);
    return test_end();
}
