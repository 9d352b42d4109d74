/*
 * exit.c - a program that ends while its calls run, fifty times: by return from main, by exit(), by exit()
 * inside a callback, by quick_exit(), and while it joins.
 *
 * Expected: each time the program's exit code, at once; the SFU detects that the participant has left.
 *
 * test: timeout=120
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODE = 7, ROUNDS = 50 };

static const char *const ways[] = { "return", "exit", "callback", "quick", "joining" };

static void leave_from_callback(recorder *r, oh_call call, const oh_audio_frame *audio)
{
    (void)r, (void)call, (void)audio;
    exit(CODE);
}

/* The child: two calls that send audio to each other, and then the exit. */
static int live(const char *how)
{
    static peer a, b;
    char call[32], first[32], second[32];
    snprintf(call, sizeof call, "exit-%d", (int)getpid());
    snprintf(first, sizeof first, "a-%d", (int)getpid());
    snprintf(second, sizeof second, "b-%d", (int)getpid());
    test_step(20, "a program that ends by %s", how);
    peer_open(&a, first, call, NULL);
    if (!strcmp(how, "joining")) exit(CODE);
    peer_join(&b, second, call, NULL);
    CHECK_OK(oh_call_wait_state(a.call, OH_STATE_JOINED, ms(10000)));
    peer_publish_tone(&a, 500);
    CHECK(rec_wait_audio(b.rec, first, 3, ms(10000)));
    if (!strcmp(how, "exit")) exit(CODE);
    if (!strcmp(how, "quick")) quick_exit(CODE);
    if (!strcmp(how, "callback")) {
        pthread_mutex_lock(&b.rec->lock);
        b.rec->on_audio = leave_from_callback;
        pthread_mutex_unlock(&b.rec->lock);
        for (;;) pause(); /* ended by the alarm of the step */
    }
    return CODE;
}

int main(int argc, char **argv)
{
    char self[4096]; /* by path: under valgrind /proc/self/exe would be valgrind */
    double slowest = 0;
    if (argc > 1) {
        test_begin("exit (the child)");
        return live(argv[1]);
    }
    test_begin("exit");
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(length > 0);
    self[length] = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const char *how = ways[i % 5];
        int status;
        test_step(40, "round %d: a program that ends by %s", i, how);
        double began = now_ms();
        fflush(stdout);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(0);
            execl(self, "exit", how, (char *)NULL);
            _exit(99);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == CODE, "it ended with status %#x", (unsigned)status);
        if (now_ms() - began > slowest) slowest = now_ms() - began;
    }
    printf("           %d programs, the slowest took %.0f ms\n", ROUNDS, slowest);
    return test_end();
}
