/*
 * pull_epoll.c - pull mode in a plain epoll loop: one thread, several calls, no callback at all.
 *
 *   cc pull_epoll.c -o pull_epoll $(pkg-config --cflags --libs offhook)
 *   ./pull_epoll --url http://127.0.0.1:PORT --user watcher --seconds 10 standup retro lunch
 *
 * Every call has a descriptor that polls readable while oh_call_wait_event has something to give. The loop waits for
 * all of them at once, beside whatever else the program polls (here: signals and the clock), and takes what is there.
 */
#include <offhook.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

enum { MAX_CALLS = 64 };

typedef struct watched {
    const char *id;
    oh_call call;
    int ended;
    unsigned long frames; /* of audio that was not silence */
} watched;

static int fail(const char *what)
{
    char text[512];
    oh_get_last_error(text, sizeof text);
    fprintf(stderr, "%s: %s\n", what, text);
    return 1;
}

/* Takes all that is there, without waiting: the descriptor says "readable" as long as something is left. */
static void take(watched *w)
{
    const oh_event *e;
    while (oh_call_wait_event(w->call, 0, &e) == OH_OK) {
        switch (e->kind) {
        case OH_EVENT_AUDIO: /* 20 ms of one participant: e->u.audio->samples_s16, as in a callback */
            w->frames += !e->u.audio->silence;
            break;
        case OH_EVENT_PARTICIPANT_JOINED:
        case OH_EVENT_PARTICIPANT_LEFT:
            printf("%s: %s %s\n", w->id, e->u.participant->user_id, oh_event_kind_get_name(e->kind));
            break;
        case OH_EVENT_ENDED: /* the last event: nothing comes after it */
            printf("%s: over after %lu frames: %s\n", w->id, w->frames, e->u.ended->text);
            w->ended = 1;
            break;
        case OH_EVENT_AUDIO_LEVEL: break; /* ten a second */
        default: printf("%s: %s\n", w->id, oh_event_kind_get_name(e->kind)); /* also what this program does not know */
        }
        oh_event_free(e); /* until here it is ours, also when the call is freed meanwhile */
    }
}

static int add(int loop, int fd, void *what)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = what };
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
}

static int usage(FILE *to, const char *name)
{
    fprintf(to, "usage: %s --url URL --user NAME [--token T] [--seconds N] CALL...\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    watched all[MAX_CALLS] = { 0 };
    int count = 0, running, leaving = 0;
    double seconds = 0;
    sigset_t stop;
    oh_client client;
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);

    where.token = "development"; /* a real service wants the user's JWT */
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) { usage(stdout, argv[0]); return 0; }
        if (argv[i][0] != '-') {
            if (count == MAX_CALLS) return usage(stderr, argv[0]);
            all[count++].id = argv[i];
            continue;
        }
        if (i + 1 == argc) return usage(stderr, argv[0]);
        char *value = argv[++i];
        if (!strcmp(argv[i - 1], "--url")) where.url = value;
        else if (!strcmp(argv[i - 1], "--user")) where.user_id = value;
        else if (!strcmp(argv[i - 1], "--token")) where.token = value;
        else if (!strcmp(argv[i - 1], "--seconds")) seconds = atof(value);
        else return usage(stderr, argv[0]);
    }
    if (!where.url || !where.user_id || !count) return usage(stderr, argv[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    /* Ctrl-C and the time are descriptors, too. Blocked before the library starts its threads. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    int loop = epoll_create1(EPOLL_CLOEXEC), signals = signalfd(-1, &stop, SFD_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    long long nanoseconds = (long long)(seconds * 1e9);
    struct itimerspec due = { .it_value = { .tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = nanoseconds % 1000000000 } };
    if (loop < 0 || signals < 0 || timer < 0 || timerfd_settime(timer, 0, &due, NULL)) return perror("epoll"), 1;
    if (add(loop, signals, NULL) || add(loop, timer, NULL)) return perror("epoll"), 1;

    if (oh_client_new(&where, &client)) return fail("client");
    what.pull_audio = 1; /* audio, too; without handlers the call is in pull mode */
    for (int i = 0; i < count; i++) {
        int fd;
        what.call_id = all[i].id;
        if (oh_call_join(client, &what, &all[i].call) || oh_call_get_wake_fd(all[i].call, &fd)) return fail(all[i].id);
        if (add(loop, fd, &all[i])) return perror("epoll"), 1;
    }

    for (running = count; running > 0;) {
        struct epoll_event ready[16];
        int n = epoll_wait(loop, ready, 16, leaving ? 3000 : -1);
        if (n == 0) break; /* cannot be: a leave is over within 2 s */
        for (int i = 0; i < n; i++) {
            watched *w = ready[i].data.ptr;
            if (w) {
                take(w);
                if (w->ended) {
                    int fd;
                    /* The descriptor is the library's: taken out of the loop, and ended by freeing the call. */
                    if (!oh_call_get_wake_fd(w->call, &fd)) epoll_ctl(loop, EPOLL_CTL_DEL, fd, NULL);
                    oh_call_free(w->call);
                    running--;
                }
            } else if (!leaving) { /* a signal, or the time: leave all; the loop ends with the last OH_EVENT_ENDED */
                leaving = 1;
                epoll_ctl(loop, EPOLL_CTL_DEL, signals, NULL);
                epoll_ctl(loop, EPOLL_CTL_DEL, timer, NULL);
                for (int c = 0; c < count; c++) oh_call_leave(all[c].call, "bye");
            }
        }
    }
    oh_client_free(client);
    return running != 0;
}
