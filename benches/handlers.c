/*
 * handlers.c - cost of a callback: events and 20 ms audio frames delivered to a C program. The baseline for the
 * bindings of other languages, whose benchmarks do the same.
 *
 *   handlers [SECONDS]        with a development SFU: scripts/with-sfu.sh
 *
 * A hundred calls (u0..u99, ten rooms of ten), one speaker per room, all calls receive audio. In C the library's callback
 * is the application's handler. Measured is the time from its entry to the entry of a function behind a pointer that reads
 * the clock (frame_ns, event_ns), and until that function has returned (frame_return_ns, event_return_ns), which is the
 * cost of reading the clock. The time from the library's queue to the callback cannot be measured from outside, because
 * the library provides no hand-over timestamp. C allocates nothing by construction. late: frames that arrive more
 * than 60 ms after the previous one of the same speaker in the same call.
 */
#include <offhook.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 100, ROOM = 10, FRAME = 960, LATE_NS = 60000000 };

typedef struct series {
    uint32_t *entry, *back; /* ns */
    size_t count, room;
} series;

/* One call. Its callbacks run one at a time, so no lock is needed. */
typedef struct measured {
    series frames, events;
    unsigned long late;
    int64_t entered, last;
    oh_client client;
    oh_call call;
    oh_track mic;
} measured;

static measured all[CALLS];

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void handle(measured *m) { m->entered = now_ns(); }

/* Opaque to the compiler, like a binding's handler. */
static void (*volatile handler)(measured *m) = handle;

static void keep(series *s, int64_t began, int64_t entered, int64_t ended)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 8192;
        s->entry = realloc(s->entry, s->room * sizeof *s->entry);
        s->back = realloc(s->back, s->room * sizeof *s->back);
        if (!s->entry || !s->back) abort();
    }
    s->entry[s->count] = (uint32_t)(entered - began);
    s->back[s->count++] = (uint32_t)(ended - began);
}

static void on_event(void *user_data, oh_call call, const oh_event *event)
{
    measured *m = user_data;
    int64_t began = now_ns();
    handler(m);
    keep(&m->events, began, m->entered, now_ns());
    (void)call, (void)event;
}

static void on_audio(void *user_data, oh_call call, const oh_audio_frame *audio)
{
    measured *m = user_data;
    int64_t began = now_ns();
    handler(m);
    keep(&m->frames, began, m->entered, now_ns());
    m->late += m->last && began - m->last > LATE_NS; /* one speaker per room */
    m->last = began;
    (void)call, (void)audio;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void add(series *to, const series *from)
{
    for (size_t i = 0; i < from->count; i++) keep(to, 0, from->entry[i], from->back[i]);
}

static void figure(const char *name, uint32_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    printf("\"%s\":{\"p50\":%u,\"p99\":%u},", name, count ? values[(count - 1) / 2] : 0,
           count ? values[(size_t)(0.99 * (double)(count - 1))] : 0);
}

static int fail(const char *what)
{
    char text[512];
    oh_get_last_error(text, sizeof text);
    fprintf(stderr, "handlers: %s: %s\n", what, text);
    return 1;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    int16_t pcm[FRAME];
    char user[16], room[32];

    where.url = getenv("OFFHOOK_SFU_URL");
    if (!where.url) return fprintf(stderr, "handlers: OFFHOOK_SFU_URL is not set: scripts/with-sfu.sh\n"), 2;
    where.token = "development";
    where.user_id = user;
    what.call_id = room;
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = on_event;
    handlers.on_audio = on_audio;
    what.handlers = &handlers;
    for (int i = 0; i < CALLS; i++) {
        snprintf(user, sizeof user, "u%d", i);
        snprintf(room, sizeof room, "bench-c-%d", i / ROOM);
        handlers.user_data = &all[i];
        what.handlers = &handlers;
        if (oh_client_new(&where, &all[i].client)) return fail("client");
        if (oh_call_join(all[i].client, &what, &all[i].call)) return fail("join");
    }
    for (int i = 0; i < CALLS; i++)
        if (oh_call_wait_state(all[i].call, OH_STATE_JOINED, 30000)) return fail("join");

    for (int i = 0; i < FRAME; i++) pcm[i] = (int16_t)(9830 * sin(6.283185307179586 * 440 * i / 48000));
    track_options.no_dtx = 1;
    for (int i = 0; i < CALLS; i += ROOM)
        if (oh_call_publish_audio(all[i].call, &track_options, &all[i].mic)) return fail("publish");
    /* Every 20 ms, fill the 200 ms buffers of the ten speakers. */
    struct timespec tick = { .tv_nsec = 20000000 };
    for (int64_t end = now_ns() + (int64_t)(seconds * 1e9); now_ns() < end; nanosleep(&tick, NULL))
        for (int i = 0; i < CALLS; i += ROOM)
            while (!oh_track_wait_writable(all[i].mic, FRAME, 0)) oh_track_write_s16(all[i].mic, pcm, FRAME);

    series frames = { 0 }, events = { 0 };
    unsigned long long late = 0, dropped = 0;
    for (int i = 0; i < CALLS; i++) {
        oh_call_stats s = { .size = sizeof s };
        if (oh_call_get_stats(all[i].call, &s)) return fail("stats");
        dropped += s.audio_frames_dropped;
        oh_client_free(all[i].client); /* no callback runs afterwards */
        add(&frames, &all[i].frames);
        add(&events, &all[i].events);
        late += all[i].late;
    }
    printf("{\"language\":\"C\",\"frames\":%zu,\"events\":%zu,", frames.count, events.count);
    figure("frame_ns", frames.entry, frames.count);
    figure("frame_return_ns", frames.back, frames.count);
    figure("event_ns", events.entry, events.count);
    figure("event_return_ns", events.back, events.count);
    printf("\"allocations_per_frame\":0,\"late\":%llu,\"dropped\":%llu,"
           "\"not_measured\":\"from the library's queue to its callback; allocations of the library itself\"}\n", late, dropped);
    return frames.count == 0;
}
