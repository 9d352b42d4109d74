/*
 * pull_libuv.c - pull mode in libuv: one thread, several calls, events and audio in the loop's own callbacks.
 * needs: libuv
 *
 *   cc pull_libuv.c -o pull_libuv $(pkg-config --cflags --libs offhook libuv)
 *   ./pull_libuv --url http://127.0.0.1:PORT --user watcher --seconds 10 standup retro lunch
 *
 * oh_call_get_wake_fd gives a descriptor for uv_poll. It belongs to the library, so the handle is closed before the call
 * is freed, and libuv never closes a polled descriptor by itself.
 */
#include <offhook.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { MAX_CALLS = 64 };

typedef struct watched {
    uv_poll_t poll; /* its data is this */
    const char *id;
    oh_call call;
    unsigned long frames; /* of audio that was not silence */
} watched;

static watched all[MAX_CALLS];
static int count, running;
static uv_timer_t timer;
static uv_signal_t interrupt;

static int fail(const char *what)
{
    char text[512];
    oh_get_last_error(text, sizeof text);
    fprintf(stderr, "%s: %s\n", what, text);
    return 1;
}

static void on_closed(uv_handle_t *handle)
{
    watched *w = handle->data;
    oh_call_free(w->call); /* now nobody polls its descriptor any more */
    if (--running == 0) {  /* the last one: nothing keeps the loop */
        uv_close((uv_handle_t *)&timer, NULL);
        uv_close((uv_handle_t *)&interrupt, NULL);
    }
}

/* The descriptor is readable. Takes some, not all: a loop with other work stays lively, and libuv comes back. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    watched *w = poll->data;
    const oh_event *e;
    (void)events;
    if (status < 0) fprintf(stderr, "%s: %s\n", w->id, uv_strerror(status));
    for (int i = 0; i < 32 && oh_call_wait_event(w->call, 0, &e) == OH_OK; i++) {
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
            uv_close((uv_handle_t *)poll, on_closed);
            break;
        case OH_EVENT_AUDIO_LEVEL: break; /* ten a second */
        default: printf("%s: %s\n", w->id, oh_event_kind_get_name(e->kind)); /* also what this program does not know */
        }
        oh_event_free(e); /* until here it is ours, also when the call is freed meanwhile */
    }
}

static void leave_all(void)
{
    for (int i = 0; i < count; i++) oh_call_leave(all[i].call, "bye"); /* each ends with OH_EVENT_ENDED */
}

static void on_time(uv_timer_t *t)
{
    (void)t;
    leave_all();
}

static void on_interrupt(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    leave_all();
}

static int usage(FILE *to, const char *name)
{
    fprintf(to, "usage: %s --url URL --user NAME [--token T] [--seconds N] CALL...\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    double seconds = 0;
    uv_loop_t *loop = uv_default_loop();
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

    if (uv_timer_init(loop, &timer) || uv_signal_init(loop, &interrupt)) return fprintf(stderr, "libuv does not start\n"), 1;
    if (seconds > 0) uv_timer_start(&timer, on_time, (uint64_t)(seconds * 1e3), 0);
    uv_signal_start(&interrupt, on_interrupt, SIGINT);
    if (oh_client_new(&where, &client)) return fail("client");
    what.pull_audio = 1; /* audio, too; without handlers the call is in pull mode */
    for (int i = 0; i < count; i++) {
        int fd;
        what.call_id = all[i].id;
        if (oh_call_join(client, &what, &all[i].call) || oh_call_get_wake_fd(all[i].call, &fd)) return fail(all[i].id);
        all[i].poll.data = &all[i];
        if (uv_poll_init(loop, &all[i].poll, fd) || uv_poll_start(&all[i].poll, UV_READABLE, on_ready))
            return fprintf(stderr, "%s: libuv takes no descriptor\n", all[i].id), 1;
        running++;
    }
    uv_run(loop, UV_RUN_DEFAULT); /* until the last call is over */
    oh_client_free(client);
    return uv_loop_close(loop) != 0;
}
