/*
 * reconnect.c - modes of the benchmark's worker: how long audio is interrupted when a connection is lost, and
 * how long a leave takes.
 *
 * Two sessions of one process, `victim` and `partner`, send each other audio without a pause. The driver sends
 * "watch" and injects a fault into the victim's connection. The worker then reports when the loss was detected,
 * how the connection was restored, and the longest time between two real frames (neither concealed nor silence)
 * in either direction.
 */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long to observe after the reconnect, and how long to wait for one. */
enum { AFTER_MS = 1000, SOON_MS = 30000 };

struct side {
    oh_call call;
    oh_track track;
    atomic_int published, ended;
    pthread_mutex_t lock;
    /* Protected by the lock. Times are now_ms() values; 0 means not yet. */
    double last_real, longest, noticed, first_after, back;
    int how;
    char why[128];
};

static struct side victim = { .lock = PTHREAD_MUTEX_INITIALIZER }, partner = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void side_event(void *user, oh_call call, const oh_event *event)
{
    struct side *s = user;
    (void)call;
    pthread_mutex_lock(&s->lock);
    switch (event->kind) {
    case OH_EVENT_LOCAL_TRACK_PUBLISHED:
        s->published = 1;
        break;
    case OH_EVENT_STATE:
        if (!s->noticed && (event->u.state->state == OH_STATE_RECONNECTING || event->u.state->state == OH_STATE_MIGRATING))
            s->noticed = now_ms();
        break;
    case OH_EVENT_RECONNECTED:
        s->back = now_ms();
        s->how = event->u.reconnected->kind;
        break;
    case OH_EVENT_ENDED:
        snprintf(s->why, sizeof s->why, "%s", event->u.ended->text);
        for (char *c = s->why; *c; c++)
            if (*c == '"' || *c == '\\') *c = '\'';
        s->ended = 1;
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

static void side_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    struct side *s = user;
    double now = now_ms();
    (void)call;
    if (audio->silence || audio->concealed || !audio->frames) return;
    pthread_mutex_lock(&s->lock);
    if (s->last_real && now - s->last_real > s->longest) s->longest = now - s->last_real;
    if (victim.noticed && !s->first_after) s->first_after = now; /* a race of one frame does not matter */
    s->last_real = now;
    pthread_mutex_unlock(&s->lock);
}

static void *side_pace(void *unused)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (int i = 0;; i = (i + 1) % TONE_FRAMES, next_frame(&at)) {
        struct side *both[] = { &victim, &partner };
        for (int k = 0; k < 2; k++) {
            int frames = both[k]->published == 1 ? 3 : both[k]->published ? 1 : 0;
            if (frames) both[k]->published = 2;
            while (frames--) oh_track_write_s16(both[k]->track, tone[i], FRAME);
        }
    }
    return unused;
}

static void side_join(struct side *s, oh_client client, const char *user)
{
    oh_call_options options = OH_INIT(oh_call_options);
    options.call_id = args.call;
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = side_event;
    handlers.on_audio = side_audio;
    handlers.user_data = s;
    options.handlers = &handlers;
    need(enter(client, user, &options, &s->call), "join");
    need(oh_call_wait_state(s->call, OH_STATE_JOINED, LIMIT_MS), "join");
    s->track = publish(s->call);
}

static double seen(struct side *s, double *field)
{
    pthread_mutex_lock(&s->lock);
    double value = *field;
    pthread_mutex_unlock(&s->lock);
    return value;
}

static void watch(void)
{
    struct side *both[] = { &victim, &partner };
    double began = now_ms(), end = began + SOON_MS;
    char ignored[64];
    for (int k = 0; k < 2; k++) {
        pthread_mutex_lock(&both[k]->lock);
        both[k]->longest = both[k]->noticed = both[k]->first_after = both[k]->back = 0;
        both[k]->how = 0;
        pthread_mutex_unlock(&both[k]->lock);
    }
    line("{\"kind\":\"watching\"}");
    while (!victim.ended && !seen(&victim, &victim.back) && now_ms() < end) word(ignored, sizeof ignored, 2);
    double until = now_ms() + AFTER_MS;
    /* The interruption lasts as long as either side has received no audio since. */
    while (!victim.ended && now_ms() < end + AFTER_MS &&
           (now_ms() < until || now_ms() - seen(&victim, &victim.last_real) > 200 ||
            now_ms() - seen(&partner, &partner.last_real) > 200))
        word(ignored, sizeof ignored, 2);
    double gaps[2], after[2];
    for (int k = 0; k < 2; k++) {
        double open = now_ms() - seen(both[k], &both[k]->last_real);
        gaps[k] = seen(both[k], &both[k]->longest);
        if (open > gaps[k]) gaps[k] = open;
        after[k] = victim.noticed && both[k]->first_after ? both[k]->first_after - victim.noticed : 0;
    }
    line("{\"kind\":\"reconnect\",\"how\":%d,\"notice_ms\":%.3f,\"back_ms\":%.3f,\"receive_gap_ms\":%.3f,"
         "\"send_gap_ms\":%.3f,\"after_notice_ms\":%.3f,\"ended\":\"%s\"}", victim.how,
         victim.noticed ? victim.noticed - began : 0, victim.back ? victim.back - victim.noticed : 0, gaps[0], gaps[1],
         after[0] > after[1] ? after[0] : after[1], victim.ended ? victim.why : "");
}

void reconnect(void)
{
    oh_client clients[2] = { client_of("victim"), client_of("partner") };
    pthread_t thread;
    char what[64];
    side_join(&victim, clients[0], "victim");
    side_join(&partner, clients[1], "partner");
    if (pthread_create(&thread, NULL, side_pace, NULL)) die("no thread");
    double deadline = now_ms() + LIMIT_MS;
    while (!seen(&victim, &victim.last_real) || !seen(&partner, &partner.last_real)) {
        if (now_ms() > deadline) die("no audio received in time");
        word(what, sizeof what, 10);
    }
    deadline = now_ms() + 1000;
    while (now_ms() < deadline) word(what, sizeof what, 50);
    line("{\"kind\":\"ready\"}");
    for (;;) {
        if (!word(what, sizeof what, 1000)) continue;
        if (!strcmp(what, "watch")) watch();
        if (!strcmp(what, "stop")) break;
    }
    oh_client_free(clients[0]);
    oh_client_free(clients[1]);
}

/* ---- leaves: from oh_call_leave to the terminal event, with n other sessions in the process ---- */

struct leaver { double ended; sem_t done; };

static void leave_event(void *user, oh_call call, const oh_event *event)
{
    struct leaver *l = user;
    (void)call;
    log_errors(event);
    if (event->kind == OH_EVENT_LOCAL_TRACK_PUBLISHED) sem_post(&l->done);
    if (event->kind == OH_EVENT_ENDED) {
        l->ended = now_ms();
        sem_post(&l->done);
    }
}

static void leave_wait(struct leaver *l)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += LIMIT_MS / 1000;
    while (sem_timedwait(&l->done, &deadline))
        if (errno != EINTR) die("no event in time");
}

static void leave_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    (void)user, (void)call, (void)audio;
}

void leaves(void)
{
    char ignored[64];
    if (args.n > 0) sessions_start(args.n);
    line("{\"kind\":\"ready\"}");
    for (long i = 0; i < args.count; i++) {
        struct leaver l = { .ended = 0 };
        oh_client client = client_of(args.user);
        oh_call_options options = OH_INIT(oh_call_options);
        oh_call call;
        sem_init(&l.done, 0, 0);
        options.call_id = args.call;
        oh_call_handlers handlers = OH_INIT(oh_call_handlers);
        handlers.on_event = leave_event;
        handlers.on_audio = leave_audio;
        handlers.user_data = &l;
        options.handlers = &handlers;
        need(enter(client, args.user, &options, &call), "join");
        publish(call);
        leave_wait(&l); /* published: the leave tears down a complete session */
        double began = now_ms();
        need(oh_call_leave(call, NULL), "leave");
        leave_wait(&l);
        line("{\"kind\":\"leave\",\"ms\":%.3f}", l.ended - began);
        oh_client_free(client); /* no callback runs after this */
        sem_destroy(&l.done);
        word(ignored, sizeof ignored, 0);
    }
    exit(0); /* with live sessions: a program may end at any time */
}
