/*
 * worker.c - the process that `make bench` measures. One mode per measurement. It prints JSON objects and
 * reads single words. tools/README.md describes the lines, docs/performance.md the meaning of the figures.
 *
 *   worker talk     --url URL --call ID --user NAME
 *   worker join     --url URL --call ID --user NAME --count N
 *   worker api      --url URL
 *   worker late     --url URL --call ID --user NAME --count N
 *   worker sessions --url URL --n N --prefix P
 *   worker reconnect --url URL --call ID                          (reconnect.c)
 *   worker leaves   --url URL --call ID --user NAME --count N --n N (reconnect.c)
 *   worker packets  --url URL --n N --prefix P --count N          (packets.c)
 *
 * With --livekit URL --key K --secret S instead of --url it uses LiveKit.
 */
#include "worker.h"
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LATE_MS = 60, WINDOW = 50 };

struct args args = { .count = 1, .n = 1 };
int16_t tone[TONE_FRAMES][FRAME];

/* ---- time, lines, words ---- */

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

void line(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
}

/* Allocated heap in KB. Blocks that a thread caches for reuse count as allocated. */
static double heap_kb(void)
{
    struct mallinfo2 heap = mallinfo2();
    return (double)(heap.uordblks + heap.hblkhd) / 1024;
}

/* Ends the process. Prints what failed, and the library's last error if there is one. */
void die(const char *what)
{
    char why[512] = "";
    oh_get_last_error(why, sizeof why);
    fprintf(stderr, "worker: %s%s%s\n", what, *why ? ": " : "", why);
    exit(1);
}

void need(oh_result result, const char *what)
{
    if (result != OH_OK) {
        fprintf(stderr, "worker: %s\n", oh_result_get_name(result));
        die(what);
    }
}

/* Waits for a word on stdin. Returns 1 and the word, or 0 on timeout. Ends the process when stdin closes. */
int word(char *out, size_t size, int timeout_ms)
{
    struct pollfd in = { .fd = 0, .events = POLLIN };
    char c;
    size_t used = 0;
    if (poll(&in, 1, timeout_ms) <= 0) return 0;
    for (;;) {
        ssize_t got = read(0, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) exit(0);
        if (c == '\n') break;
        if (used + 1 < size) out[used++] = c;
    }
    out[used] = 0;
    return 1;
}

static void expect(const char *wanted)
{
    char got[64];
    do {
        while (!word(got, sizeof got, 1000)) { }
    } while (strcmp(got, wanted));
}

/* ---- joining and audio ---- */

/* A tone whose loudness varies with seeded noise. It is never silent, so that every packet is a full one. */
static void make_tone(void)
{
    uint32_t seed = 1;
    double loud = 0.5;
    for (int i = 0; i < TONE_FRAMES * FRAME; i++) {
        if (i % 240 == 0) {
            seed = seed * 1664525u + 1013904223u;
            loud += ((seed >> 8) / 16777216.0 - loud) * 0.3;
        }
        tone[i / FRAME][i % FRAME] = (int16_t)((3000 + 9000 * loud) * sin(i * 440 * 6.283185307179586 / 48000));
    }
}

oh_client client_of(const char *user)
{
    oh_client_options options = OH_INIT(oh_client_options);
    oh_client client;
    options.url = args.url;
    options.user_id = user;
    if (args.livekit) options.protocol = OH_PROTOCOL_LIVEKIT; /* one token per room, see enter() */
    else options.token = "development";
    need(oh_client_new(&options, &client), "client");
    return client;
}

oh_result enter(oh_client client, const char *user, oh_call_options *options, oh_call *call)
{
    oh_access_token_options grant = OH_INIT(oh_access_token_options);
    char token[2048];
    if (args.livekit) {
        grant.api_key = args.key;
        grant.api_secret = args.secret;
        grant.user_id = user;
        grant.call_id = options->call_id;
        need(oh_access_token_create(&grant, token, sizeof token, NULL), "token");
        options->token = token;
    }
    return oh_call_join(client, options, call);
}

oh_track publish(oh_call call)
{
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);
    oh_track track;
    options.no_dtx = 1;
    need(oh_call_publish_audio(call, &options, &track), "publish");
    return track;
}

void log_errors(const oh_event *event)
{
    if (event->kind == OH_EVENT_ERROR)
        fprintf(stderr, "worker: error %s: %s\n", oh_result_get_name(event->u.error->error), event->u.error->text);
    if (event->kind == OH_EVENT_LOCAL_TRACK_FAILED)
        fprintf(stderr, "worker: local_failed %s: %s\n", oh_result_get_name(event->u.local_track->error), event->u.local_track->text);
    if (event->kind == OH_EVENT_ENDED && event->u.ended->error)
        fprintf(stderr, "worker: ended: %s: %s\n", oh_result_get_name(event->u.ended->error), event->u.ended->text);
}

/* Sleeps until the next frame of the 20 ms grid is due. A late wakeup does not shift the grid. */
void next_frame(struct timespec *at)
{
    at->tv_nsec += FRAME_MS * 1000000L;
    if (at->tv_nsec >= 1000000000L) at->tv_nsec -= 1000000000L, at->tv_sec++;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR) { }
}

/* ---- talk: the remote participant of a call ---- */

static atomic_int talk_published, talk_ended;

static void talk_event(void *user, oh_call call, const oh_event *event)
{
    (void)user, (void)call;
    log_errors(event);
    if (event->kind == OH_EVENT_LOCAL_TRACK_PUBLISHED) talk_published = 1;
    if (event->kind == OH_EVENT_ENDED) talk_ended = 1;
}

static void ignore_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    (void)user, (void)call, (void)audio;
}

static void talk(void)
{
    oh_client client = client_of(args.user);
    oh_call_options options = OH_INIT(oh_call_options);
    oh_call call;
    oh_track track;
    struct timespec at;
    char ignored[64];
    int announced = 0;

    options.call_id = args.call;
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = talk_event;
    handlers.on_audio = ignore_audio;
    options.handlers = &handlers;
    need(enter(client, args.user, &options, &call), "join");
    need(oh_call_wait_state(call, OH_STATE_JOINED, LIMIT_MS), "join");
    track = publish(call);
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (int i = 0; !talk_ended; i = (i + 1) % TONE_FRAMES) {
        if (talk_published && !announced) announced = 1, line("{\"kind\":\"ready\"}");
        oh_track_write_s16(track, tone[i], FRAME); /* fails while unpublished and full: harmless */
        word(ignored, sizeof ignored, 0);
        next_frame(&at);
    }
    die("the call ended");
}

/* ---- join: how long a join takes ---- */

struct joiner { double began, joined, first_audio; int events; sem_t done; };

static void join_event(void *user, oh_call call, const oh_event *event)
{
    struct joiner *j = user;
    (void)call;
    log_errors(event);
    if (event->kind == OH_EVENT_JOINED) {
        j->joined = now_ms();
        sem_post(&j->done);
    }
}

static void join_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    struct joiner *j = user;
    (void)call;
    if (j->first_audio || audio->silence || audio->concealed || !audio->frames) return;
    j->first_audio = now_ms();
    sem_post(&j->done);
}

static void join(void)
{
    char ignored[64];
    for (long i = 0; i < args.count; i++) {
        struct joiner j = { .began = 0 };
        oh_client client = client_of(args.user);
        oh_call_options options = OH_INIT(oh_call_options);
        oh_call call;
        struct timespec deadline;

        sem_init(&j.done, 0, 0);
        options.call_id = args.call;
        oh_call_handlers handlers = OH_INIT(oh_call_handlers);
        handlers.on_event = join_event;
        handlers.on_audio = join_audio;
        handlers.user_data = &j;
        options.handlers = &handlers;
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += LIMIT_MS / 1000;
        j.began = now_ms();
        need(enter(client, args.user, &options, &call), "join");
        for (int posts = 0; posts < 2; ) {
            if (!sem_timedwait(&j.done, &deadline)) posts++;
            else if (errno != EINTR) die("no JOINED and first PCM in time");
        }
        line("{\"kind\":\"join\",\"join_ms\":%.3f,\"first_pcm_ms\":%.3f}", j.joined - j.began, j.first_audio - j.began);
        need(oh_call_leave(call, NULL), "leave");
        oh_call_wait_state(call, OH_STATE_LEFT, 3000);
        oh_client_free(client); /* no callback runs after this */
        sem_destroy(&j.done);
        word(ignored, sizeof ignored, 0);
    }
}

/* ---- api: the cheapest exported function on a live handle ---- */

enum { ROUNDS = 15, CALLS = 200000 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of the rounds, ns per call. */
#define MEASURE(result, expression) do { \
        double rounds_[ROUNDS]; \
        for (int r_ = 0; r_ < ROUNDS; r_++) { \
            double began_ = now_ms(); \
            for (int i_ = 0; i_ < CALLS; i_++) \
                if ((expression) != OH_OK) die(#expression); \
            rounds_[r_] = (now_ms() - began_) * 1e6 / CALLS; \
        } \
        qsort(rounds_, ROUNDS, sizeof *rounds_, ascending); \
        (result) = rounds_[ROUNDS / 2]; \
    } while (0)

static void api(void)
{
    oh_client client = client_of("api");
    oh_call_options options = OH_INIT(oh_call_options);
    oh_call call;
    oh_track track;
    oh_subscriber subscriber;
    int32_t state;
    uint32_t ms;
    struct { const char *name; double ns; } seen[3] = { { "oh_call_get_state", 0 }, { "oh_call_get_subscriber", 0 },
                                                        { "oh_track_get_buffered_ms", 0 } };
    int least = 0;

    options.call_id = "api";
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = talk_event;
    options.handlers = &handlers;
    need(enter(client, "api", &options, &call), "join");
    need(oh_call_wait_state(call, OH_STATE_JOINED, LIMIT_MS), "join");
    track = publish(call);
    MEASURE(seen[0].ns, oh_call_get_state(call, &state));
    MEASURE(seen[1].ns, oh_call_get_subscriber(call, &subscriber));
    MEASURE(seen[2].ns, oh_track_get_buffered_ms(track, &ms));
    for (int i = 1; i < 3; i++)
        if (seen[i].ns < seen[least].ns) least = i;
    line("{\"kind\":\"api\",\"cheapest_call_ns\":%.2f,\"cheapest\":\"%s\",\"%s\":%.2f,\"%s\":%.2f,\"%s\":%.2f}",
         seen[least].ns, seen[least].name, seen[0].name, seen[0].ns, seen[1].name, seen[1].ns, seen[2].name, seen[2].ns);
    oh_call_leave(call, NULL);
    oh_call_wait_state(call, OH_STATE_LEFT, 3000);
    oh_client_free(client);
}

/* ---- late: offers for a subscriber that was freed ---- */

static uint64_t late_offers(oh_call call)
{
    oh_call_stats stats = { .size = sizeof stats };
    need(oh_call_get_stats(call, &stats), "stats");
    return stats.late_offers;
}

static void late(void)
{
    oh_client client = client_of(args.user);
    oh_call_options options = OH_INIT(oh_call_options);
    oh_call call;
    oh_subscriber subscriber;
    char ignored[64];
    uint64_t before, dropped;
    double cpu, began;

    options.call_id = args.call;
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = talk_event;
    options.handlers = &handlers;
    need(enter(client, args.user, &options, &call), "join");
    need(oh_call_wait_state(call, OH_STATE_JOINED, LIMIT_MS), "join");
    need(oh_call_get_subscriber(call, &subscriber), "subscriber");
    oh_subscriber_free(subscriber);
    began = now_ms();
    while (now_ms() - began < 500) word(ignored, sizeof ignored, 50); /* do not count the work of the join itself */
    before = late_offers(call);
    cpu = cpu_us();
    began = now_ms();
    line("{\"kind\":\"ready\"}");
    while ((dropped = late_offers(call) - before) < (uint64_t)args.count) {
        word(ignored, sizeof ignored, 2);
        if (talk_ended) die("the call ended");
        if (now_ms() - began > 50000) {
            fprintf(stderr, "worker: %llu of %ld late offers\n", (unsigned long long)dropped, args.count);
            die("not all late offers were dropped in time");
        }
    }
    cpu = cpu_us() - cpu;
    line("{\"kind\":\"late\",\"dropped\":%llu,\"cpu_us\":%.0f}", (unsigned long long)dropped, cpu);
    oh_call_leave(call, NULL);
    oh_call_wait_state(call, OH_STATE_LEFT, 3000);
    oh_client_free(client);
}

/* ---- sessions: many in one process ---- */

struct session {
    oh_call call;
    oh_track track;
    atomic_int published, receiving, ended;
    double join_began, join_ms; /* join_ms is set at the first OH_EVENT_JOINED */
    /* Frames since `running`, and how many of them were late. */
    atomic_long frames, late;
    /* Arrival time of the last frame in µs, and the stream's schedule. Written only by this call's callbacks. */
    atomic_llong last_us;
    uint32_t anchor;
    double best, best_before;
    int in_window;
};

static struct session *sessions;
static atomic_long ready_sessions; /* number of sessions the pacing thread writes to */
static atomic_int counting;
static atomic_long refused;

static void session_event(void *user, oh_call call, const oh_event *event)
{
    struct session *s = user;
    (void)call;
    log_errors(event);
    if (event->kind == OH_EVENT_JOINED && s->join_ms == 0) s->join_ms = now_ms() - s->join_began;
    if (event->kind == OH_EVENT_LOCAL_TRACK_PUBLISHED) s->published = 1;
    if (event->kind == OH_EVENT_ENDED) s->ended = 1;
}

/*
 * A frame is late if it was concealed (not received in time for playout), or if it is delivered more than
 * 60 ms after it was due. The due time follows the stream's best schedule of the last one to two seconds: the
 * smallest difference between arrival time and RTP timestamp.
 */
static void session_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    struct session *s = user;
    double now = now_ms(), offset, best;
    (void)call;
    if (audio->silence && !s->receiving) return;
    if (!s->receiving) {
        s->anchor = audio->rtp_timestamp;
        s->best = s->best_before = now;
        s->receiving = 1;
    }
    offset = now - (int32_t)(audio->rtp_timestamp - s->anchor) / 48.0;
    if (offset < s->best) s->best = offset;
    if (++s->in_window == WINDOW) {
        s->best_before = s->best;
        s->best = offset;
        s->in_window = 0;
    }
    best = s->best < s->best_before ? s->best : s->best_before;
    s->last_us = (long long)(now * 1e3);
    if (counting) {
        s->frames++;
        if (audio->concealed || offset - best > LATE_MS) s->late++;
    }
}

/* One application thread writes for all sessions, at the pace of a sound card. */
static void *pace(void *unused)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (int i = 0;; i = (i + 1) % TONE_FRAMES, next_frame(&at)) {
        long n = ready_sessions;
        for (long k = 0; k < n; k++) {
            struct session *s = &sessions[k];
            /* Nothing before the track is published, then three frames ahead of the library's clock. */
            int frames = s->published == 1 ? 3 : s->published ? 1 : 0;
            if (frames) s->published = 2;
            while (frames--)
                if (oh_track_write_s16(s->track, tone[(i + k) % TONE_FRAMES], FRAME) != OH_OK) refused++;
        }
    }
    return unused;
}

static oh_client session_clients[2];

void sessions_start(long n)
{
    char ignored[64], id[128];
    double deadline;

    for (long i = 0; i < 2; i++)
        if (!session_clients[i].id) session_clients[i] = client_of(i ? "u1" : "u0");
    if (!sessions) {
        pthread_t thread;
        sessions = calloc((size_t)n, sizeof *sessions);
        if (!sessions || pthread_create(&thread, NULL, pace, NULL)) die("no memory or no thread");
    }
    for (long i = 0; i < n; i++) {
        struct session *s = &sessions[i];
        oh_call_options options = OH_INIT(oh_call_options);
        snprintf(id, sizeof id, "%s%ld", args.prefix, i / 2);
        options.call_id = id;
        oh_call_handlers handlers = OH_INIT(oh_call_handlers);
        handlers.on_event = session_event;
        handlers.on_audio = session_audio;
        handlers.user_data = s;
        options.handlers = &handlers;
        s->join_began = now_ms();
        need(enter(session_clients[i % 2], i % 2 ? "u1" : "u0", &options, &s->call), "join");
        s->track = publish(s->call);
        ready_sessions = i + 1;
        need(oh_call_wait_state(s->call, OH_STATE_JOINED, LIMIT_MS), "join");
    }
    deadline = now_ms() + 2 * LIMIT_MS;
    for (long i = 0; i < n; i++) {
        while (!sessions[i].receiving) {
            if (sessions[i].ended || now_ms() > deadline) {
                fprintf(stderr, "worker: session %ld of %ld\n", i, n);
                die("no audio received");
            }
            word(ignored, sizeof ignored, 10);
        }
    }
}

static void many(void)
{
    pthread_t thread;
    char ignored[64];
    double began, heap = 0;
    long frames = 0, late = 0, concealed = 0, dropped = 0;
    uint64_t before[2] = { 0, 0 };

    /* Allocate everything that any process needs before `idle`. */
    session_clients[0] = client_of("u0");
    session_clients[1] = client_of("u1");
    sessions = calloc((size_t)args.n, sizeof *sessions);
    if (!sessions || pthread_create(&thread, NULL, pace, NULL)) die("no memory or no thread");
    line("{\"kind\":\"idle\",\"heap_kb\":%.1f}", heap_kb());
    expect("go");
    sessions_start(args.n);
    began = now_ms();
    while (now_ms() - began < 2000) word(ignored, sizeof ignored, 50); /* let the load of the joins settle */
    for (int stop = 0; stop < 2; stop++) {
        for (long i = 0; i < args.n; i++) {
            oh_call_stats stats = { .size = sizeof stats };
            need(oh_call_get_stats(sessions[i].call, &stats), "stats");
            before[stop] += stats.audio_frames_dropped;
            concealed += stop ? (long)stats.frames_concealed : -(long)stats.frames_concealed;
        }
        if (stop) break;
        counting = 1;
        line("{\"kind\":\"running\"}");
        expect("stop");
        heap = heap_kb();
        counting = 0;
    }
    dropped = (long)(before[1] - before[0]);
    for (long i = 0; i < args.n; i++) {
        /* Frames that are due but have not arrived are late too: a stalled stream must not look healthy. */
        long overdue = (long)((now_ms() - sessions[i].last_us / 1e3 - LATE_MS) / FRAME_MS);
        if (sessions[i].ended) die("a session ended");
        if (overdue > 0) frames += overdue, late += overdue;
        frames += sessions[i].frames;
        late += sessions[i].late;
    }
    frames += dropped;
    late += dropped;
    printf("{\"kind\":\"sessions\",\"n\":%ld,\"frames\":%ld,\"late_frames\":%ld,\"concealed\":%ld,\"dropped\":%ld,"
           "\"writes_refused\":%ld,\"heap_kb\":%.1f,\"join_ms\":[", args.n, frames, late, concealed, dropped, refused, heap);
    for (long i = 0; i < args.n; i++) printf("%s%.3f", i ? "," : "", sessions[i].join_ms);
    line("]}");
    for (int i = 0; i < 2; i++) oh_client_free(session_clients[i]);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } modes[] = {
        { "talk", talk }, { "join", join }, { "api", api }, { "late", late }, { "sessions", many },
        { "reconnect", reconnect }, { "leaves", leaves }, { "packets", packets },
    };
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--url")) args.url = argv[i + 1];
        else if (!strcmp(argv[i], "--livekit")) args.url = argv[i + 1], args.livekit = 1;
        else if (!strcmp(argv[i], "--key")) args.key = argv[i + 1];
        else if (!strcmp(argv[i], "--secret")) args.secret = argv[i + 1];
        else if (!strcmp(argv[i], "--call")) args.call = argv[i + 1];
        else if (!strcmp(argv[i], "--user")) args.user = argv[i + 1];
        else if (!strcmp(argv[i], "--prefix")) args.prefix = argv[i + 1];
        else if (!strcmp(argv[i], "--count")) args.count = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--n")) args.n = atol(argv[i + 1]);
        else return fprintf(stderr, "worker: unknown argument %s\n", argv[i]), 2;
    }
    if (!args.call) args.call = "bench";
    if (!args.user) args.user = "bench";
    if (!args.prefix) args.prefix = "bench";
    if (args.livekit && (!args.key || !args.secret)) return fprintf(stderr, "worker: --livekit needs --key and --secret\n"), 2;
    if (args.count < 1 || args.n < 0 || args.n > 10000) return fprintf(stderr, "worker: a number is out of range\n"), 2;
    make_tone();
    for (size_t i = 0; argc > 1 && args.url && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(argv[1], modes[i].name)) return modes[i].run(), 0;
    fprintf(stderr, "usage: worker talk|join|api|late|sessions|reconnect|leaves|packets --url URL [--call ID] [--user NAME] [--count N] "
                    "[--n N] [--prefix P]\n   or: --livekit URL --key K --secret S in place of --url\n");
    return 2;
}
