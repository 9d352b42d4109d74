/*
 * fork.c - the process around the library: fork, exit with live calls, SIGPIPE, signals.
 *
 * Expected: in a forked child every function returns OH_ERR_FORKED with its own text and nothing hangs, while the
 * parent continues; a program may return from main in the middle of a call; SIGPIPE is never raised; the host's
 * signal handlers do not run on the library's threads.
 */
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int pipes, elsewhere;
static pid_t main_thread;

static void on_sigpipe(int s)
{
    (void)s;
    atomic_fetch_add(&pipes, 1);
}

static void on_signal(int s)
{
    (void)s;
    if (syscall(SYS_gettid) != main_thread) atomic_fetch_add(&elsewhere, 1);
}

/* In the child: calls the function of that number. */
enum { FUNCTIONS = 37 };

static int32_t attempt(const peer *p, int number)
{
    static int16_t pcm[960];
    static float pcm_f32[960];
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    oh_access_token_options token = OH_INIT(oh_access_token_options);
    oh_client client = { 7 };
    oh_call call = { 7 };
    oh_track track;
    oh_subscriber sub;
    oh_publisher pub;
    const oh_event *event;
    oh_call_stats stats = { .size = sizeof stats };
    size_t needed;
    int32_t n;
    uint32_t u;
    uint64_t id;
    char text[64];
    oh_diagnose_options diagnosis = OH_INIT(oh_diagnose_options);

    where.url = "http://127.0.0.1:1";
    where.user_id = "child";
    what.call_id = "x";
    rpc.to = rpc.method = "x";
    token.api_key = token.api_secret = token.user_id = token.call_id = "x";
    switch (number) {
    case 0: return client.id == 7 ? oh_client_new(&where, &client) : OH_OK;
    case 1: return call.id == 7 ? oh_call_join(p->client, &what, &call) : OH_OK;
    case 2: return oh_call_wait_state(p->call, OH_STATE_LEFT, OH_FOREVER);
    case 3: return oh_call_get_state(p->call, &n);
    case 4: return oh_call_provide_token(p->call, "x");
    case 5: return oh_call_leave(p->call, NULL);
    case 6: return oh_call_wait_event(p->call, OH_FOREVER, &event);
    case 7: return oh_call_get_wake_fd(p->call, &n);
    case 8: return oh_call_get_publisher(p->call, &pub);
    case 9: return oh_call_get_subscriber(p->call, &sub);
    case 10: return oh_publisher_close((oh_publisher){ 1 });
    case 11: return oh_subscriber_close((oh_subscriber){ 1 });
    case 12: return oh_call_get_stats(p->call, &stats);
    case 13: return oh_call_publish_audio(p->call, NULL, &track);
    case 14: return oh_track_write_s16(p->mic, pcm, 960);
    case 15: return oh_track_write_f32(p->mic, pcm_f32, 960);
    case 16: return oh_track_write_opus(p->mic, (const uint8_t *)"\xf8\xff\xfe", 3);
    case 17: return oh_track_wait_writable(p->mic, 960, OH_FOREVER);
    case 18: return oh_track_get_buffered_ms(p->mic, &u);
    case 19: return oh_track_set_muted(p->mic, 1);
    case 20: return oh_log_set(OH_LOG_OFF, NULL, NULL, NULL);
    case 21: return oh_shutdown_wait(OH_FOREVER);
    case 22: return oh_network_report(OH_NETWORK_ONLINE);
    case 23: return oh_call_send_custom_event(p->call, "{}");
    case 24: return oh_call_send_data(p->call, NULL, "x", 1);
    case 25: return oh_call_send_text(p->call, NULL, "x");
    case 26: return oh_call_perform_rpc(p->call, &rpc, &id);
    case 27: return oh_call_answer_rpc(p->call, "x", "x", 0, NULL);
    case 28: return oh_call_get_capabilities(p->call, &id);
    case 29: return oh_call_set_attributes(p->call, "x", NULL, NULL);
    case 30: return oh_subscriber_set_track((oh_subscriber){ 1 }, "x", NULL);
    case 31: return oh_access_token_create(&token, text, sizeof text, NULL);
    case 32: return oh_track_wait_drained(p->mic, OH_FOREVER);
    case 33: return oh_track_clear(p->mic, NULL, NULL);
    case 34: return oh_limits_set(NULL);
    case 35: return oh_call_get_trace(p->call, text, sizeof text, &needed);
    case 36: return oh_diagnose(&diagnosis, NULL, NULL, NULL);
    default: return OH_OK;
    }
}

/*
 * Runs in the child. Reports through a pipe and is killed, so that no tool checks half a process for leaks. Reports
 * the line that failed, or 1000 plus the number of the function that failed. ALL: every function in turn; else the
 * one of that number.
 */
#define CHILD_CHECK(x) do { if (!(x)) { line = __LINE__; goto out; } } while (0)
enum { ALL = -1 };

static void child(const peer *p, int report, int only)
{
    int line = 0;
    char text[256];

    alarm(20);
    for (int i = only == ALL ? 0 : only; i < FUNCTIONS; i++) {
        int32_t result = attempt(p, i);
        size_t length = oh_get_last_error(text, sizeof text);
        if (result != OH_ERR_FORKED || length != strlen(text) || !strstr(text, "was forked")) line = 1000 + i;
        if (line || only != ALL) goto out;
    }
    oh_track_free(p->mic);
    oh_event_free(NULL);
    oh_call_free(p->call);
    oh_client_free(p->client);
    CHILD_CHECK(!strcmp(oh_result_get_name(OH_ERR_FORKED), "OH_ERR_FORKED"));
    CHILD_CHECK(oh_result_get_message(OH_ERR_FORKED)[0]);
    CHILD_CHECK(oh_get_abi_version() == OH_ABI_VERSION && oh_get_version());
    CHILD_CHECK(oh_get_last_error(NULL, 0) > 10 && oh_get_last_error(text, 9) > 10 && !strcmp(text, "this pro"));
out:
    if (write(report, &line, sizeof line) == sizeof line) kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void forked_child(const peer *p, int only)
{
    int ends[2], line = -1, status;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) child(p, ends[1], only);
    close(ends[1]);
    ssize_t n = read(ends[0], &line, sizeof line);
    close(ends[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_THAT(n == sizeof line, "the child ended before it was done: status %#x", (unsigned)status);
    CHECK_THAT(line == 0, "fork.c:%d: failed in the child (from 1000 on: the function of that number)", line);
}

static void forking(const peer *p, const char *when)
{
    test_step(25, "a child, forked %s", when);
    forked_child(p, ALL);
}

/*
 * One child for each function: an error text must not be that of another function, nor an earlier one of the parent.
 */
static void forking_for_each(const peer *p)
{
    int32_t state;
    test_step(60, "a child for each function");
    for (int i = 0; i < FUNCTIONS; i++) {
        CHECK_EQ(oh_call_get_state((oh_call){ 1 }, &state), OH_ERR_HANDLE);
        forked_child(p, i);
    }
}

/* Executed anew by the test below: returns from main during a call that sends audio. */
static int live_exit(const char *how)
{
    static peer p;
    peer_join(&p, how, "fork", NULL);
    peer_publish_tone(&p, 500);
    EXPECT(p.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    for (double end = now_ms() + ms(5000); peer_stats(&p).packets_sent < 5; nap(1)) CHECK(now_ms() < end);
    if (!strcmp(how, "exit")) exit(7);
    return 7;
}

static void exits(const char *how)
{
    int status;
    char self[4096]; /* by path: under valgrind /proc/self/exe would be valgrind */
    test_step(30, "a program that ends by %s with a live call", how);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(length > 0);
    self[length] = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(0);
        execl(self, "fork", how, (char *)NULL);
        _exit(99);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 7, "it ended with status %#x", (unsigned)status);
}

int main(int argc, char **argv)
{
    peer p = { 0 }, other = { 0 };
    struct sigaction action = { .sa_handler = on_sigpipe };

    test_begin("fork");
    test_step(20, "begins");
    if (argc > 1) return live_exit(argv[1]);
    sigaction(SIGPIPE, &action, NULL);
    main_thread = (pid_t)syscall(SYS_gettid);

    test_step(30, "a call that sends audio");
    peer_join(&p, "parent", "fork", NULL);
    peer_join(&other, "other", "fork", NULL);
    peer_publish_tone(&p, 500);
    CHECK(rec_wait_tone(other.rec, "parent", 500, ms(10000)));
    for (int i = 0; i < 5; i++) forking(&p, "while a call sends audio");
    forking_for_each(&p);
    test_step(20, "the parent goes on");
    CHECK(rec_wait_tone(other.rec, "parent", 500, ms(5000)));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0));

    test_step(20, "signals go to the host's threads");
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    tone_stop(p.tone); /* the only other thread of this test */
    p.tone = NULL;
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    for (int i = 0; i < 100; i++) {
        /* Blocked on this thread: a library thread that does not block it would run the handler. */
        pthread_sigmask(SIG_BLOCK, &block, &before);
        kill(getpid(), SIGUSR1);
        nap(1);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    CHECK_EQ(atomic_load(&elsewhere), 0);

    test_step(20, "connections that break under a writer");
    p.tone = tone_start(p.mic, OH_AUDIO_S16, 48000, 1, 500);
    ctl("drop_ws", "{\"user_id\":\"parent\",\"hard\":true}");
    EXPECT(p.rec, OH_EVENT_RECONNECTED, NULL, ms(10000));
    ctl("drop_ws", "{\"user_id\":\"other\",\"hard\":false}");
    EXPECT(other.rec, OH_EVENT_RECONNECTED, NULL, ms(10000));
    for (int i = 0; i < 10; i++) { /* leaving through a socket that is just being reset */
        peer q = { 0 };
        char user[32];
        snprintf(user, sizeof user, "reset-%d", i);
        peer_join(&q, user, "fork", NULL);
        ctl("drop_ws", "{\"user_id\":\"%s\",\"hard\":true}", user);
        CHECK_OK(oh_call_leave(q.call, "bye"));
        EXPECT(q.rec, OH_EVENT_ENDED, NULL, ms(5000));
        peer_close(&q);
    }
    CHECK_THAT(atomic_load(&pipes) == 0, "SIGPIPE was raised %d times", atomic_load(&pipes));
    peer_close(&p);
    peer_close(&other);

    forking(&p, "after everything was freed");
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    forking(&p, "after shutdown");
    peer_join(&p, "again", "fork", NULL);
    peer_close(&p);
    exits("return");
    exits("exit");
    return test_end();
}
