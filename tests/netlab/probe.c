/*
 * probe.c - one participant of the network laboratory: joins, publishes a tone, measures the audio that it receives.
 *
 *   probe --url URL --user NAME --call ID (--token T | --key K --secret S) [--ca FILE] [--bitrate N] [--relay-only 1]
 *         [--interfaces NAMES] [--ip-family 4|6] [--ports FIRST-LAST] [--dscp N]
 *
 * Prints an object of JSON per line: {"at": ms since the join began, "event": ...}. It ends when stdin ends, or when the
 * call does; its last line is "summary". Uses the public header only.
 */
#include <offhook.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 48000, FRAME = RATE / 50 };

/* A received tone has a level of about 0.2. Less is a pause, or the end of what concealment can synthesise. */
static const float AUDIBLE = 0.02f;
/* Shorter gaps are not worth a line. */
static const double GAP_MS = 100;

/* Time without something, in ms of this machine's clock. 0: it has not begun. */
typedef struct gap {
    double since, longest;
} gap;

static struct {
    pthread_mutex_t lock;
    struct timespec began;
    double joined, send, receive, first_frame; /* ms; 0: not yet */
    gap frames, audible;
    int measured; /* the measurement is over */
    atomic_int over;
} probe = { .lock = PTHREAD_MUTEX_INITIALIZER };

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - probe.began.tv_sec) * 1e3 + (now.tv_nsec - probe.began.tv_nsec) / 1e6;
}

static double gap_end(gap *g, double now)
{
    double ms = g->since > 0 ? now - g->since : 0;
    if (ms > g->longest) g->longest = ms;
    g->since = now;
    return ms;
}

/* One line: an event, a text (NULL: none), and more members as JSON. */
static void print_line(double at, const char *event, const char *text, const char *more)
{
    flockfile(stdout);
    printf("{\"at\":%.0f,\"event\":\"%s\"", at, event);
    if (text) {
        printf(",\"text\":\"");
        for (; *text; text++)
            if ((unsigned char)*text < 32 || *text == '"' || *text == '\\') printf("\\u%04x", *text);
            else putchar(*text);
        putchar('"');
    }
    printf("%s%s}\n", *more ? "," : "", more);
    fflush(stdout);
    funlockfile(stdout);
}

static void on_event(void *user, oh_call call, const oh_event *e)
{
    char more[128];
    double at = now_ms();
    (void)user, (void)call;
    switch (e->kind) {
    case OH_EVENT_STATE:
        print_line(at, "state", oh_call_state_get_name(e->u.state->state), "");
        break;
    case OH_EVENT_JOINED:
        if (probe.joined <= 0) probe.joined = at;
        print_line(at, "joined", NULL, "");
        break;
    case OH_EVENT_MEDIA: {
        int sends = e->u.media->direction == OH_DIRECTION_SEND;
        double *first = sends ? &probe.send : &probe.receive;
        if (e->u.media->connected && *first <= 0) *first = at;
        snprintf(more, sizeof more, "\"direction\":\"%s\",\"connected\":%s", sends ? "send" : "receive",
                 e->u.media->connected ? "true" : "false");
        print_line(at, "media", e->u.media->text, more);
        break;
    }
    case OH_EVENT_RECONNECTED:
        snprintf(more, sizeof more, "\"kind\":\"%s\",\"elapsed_ms\":%llu",
                 e->u.reconnected->kind == OH_RECONNECT_FAST ? "fast" :
                 e->u.reconnected->kind == OH_RECONNECT_REJOIN ? "rejoin" : "migrate",
                 (unsigned long long)e->u.reconnected->elapsed_ms);
        print_line(at, "reconnected", NULL, more);
        break;
    case OH_EVENT_ICE_SERVER: {
        char text[2200];
        snprintf(text, sizeof text, "%s: %s", e->u.ice_server->url, e->u.ice_server->text);
        snprintf(more, sizeof more, "\"code\":%u", e->u.ice_server->code);
        print_line(at, "error", text, more);
        break;
    }
    case OH_EVENT_ERROR:
        snprintf(more, sizeof more, "\"code\":%d", e->u.error->error);
        print_line(at, "error", e->u.error->text, more);
        break;
    case OH_EVENT_LOCAL_TRACK_FAILED:
        snprintf(more, sizeof more, "\"code\":%d", e->u.local_track->error);
        print_line(at, "error", e->u.local_track->text, more);
        break;
    case OH_EVENT_ENDED:
        snprintf(more, sizeof more, "\"reason\":%d,\"code\":%d", e->u.ended->reason, e->u.ended->error);
        print_line(at, "ended", e->u.ended->text, more);
        atomic_store(&probe.over, 1);
        break;
    default:
        break;
    }
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *frame)
{
    char more[64];
    double now = now_ms(), was = 0;
    int first = 0;
    (void)user, (void)call;
    pthread_mutex_lock(&probe.lock);
    if (frame->level >= AUDIBLE && !probe.measured) {
        gap_end(&probe.audible, now);
        if (!frame->concealed && !frame->silence) {
            first = probe.first_frame <= 0;
            if (first) probe.first_frame = now;
            was = gap_end(&probe.frames, now);
        }
    }
    pthread_mutex_unlock(&probe.lock);
    if (first) print_line(now, "first_frame", NULL, "");
    if (was > GAP_MS) {
        snprintf(more, sizeof more, "\"ms\":%.0f", was);
        print_line(now, "gap", NULL, more);
    }
}

/* Ends the measurement. What is missing until now counts as well. */
static void measured(void)
{
    double now = now_ms();
    pthread_mutex_lock(&probe.lock);
    if (!probe.measured && probe.first_frame > 0) {
        gap_end(&probe.frames, now);
        gap_end(&probe.audible, now);
    }
    probe.measured = 1;
    pthread_mutex_unlock(&probe.lock);
}

static void summary(oh_call call)
{
    char more[512];
    oh_call_stats s = OH_INIT(oh_call_stats);
    measured();
    oh_call_get_stats(call, &s);
    pthread_mutex_lock(&probe.lock);
    snprintf(more, sizeof more,
             "\"joined_ms\":%.0f,\"send_ms\":%.0f,\"receive_ms\":%.0f,\"first_frame_ms\":%.0f,\"gap_ms\":%.0f,"
             "\"quiet_ms\":%.0f,\"fast\":%llu,\"rejoin\":%llu,\"migrate\":%llu,\"packets_received\":%llu,"
             "\"packets_lost\":%llu,\"concealed\":%llu",
             probe.joined, probe.send, probe.receive, probe.first_frame, probe.frames.longest, probe.audible.longest,
             (unsigned long long)s.reconnects_fast, (unsigned long long)s.reconnects_rejoin,
             (unsigned long long)s.reconnects_migrate, (unsigned long long)s.packets_received,
             (unsigned long long)s.packets_lost, (unsigned long long)s.frames_concealed);
    pthread_mutex_unlock(&probe.lock);
    print_line(now_ms(), "summary", NULL, more);
}

static void *watch_stdin(void *ignored)
{
    char some[64];
    while (read(0, some, sizeof some) > 0) {}
    measured(); /* at once: the other participant leaves at the same time */
    atomic_store(&probe.over, 1);
    return ignored;
}

static int failed(const char *what)
{
    char why[1024] = "";
    oh_get_last_error(why, sizeof why);
    print_line(now_ms(), "ended", why, "");
    fprintf(stderr, "probe: %s: %s\n", what, why);
    return 1;
}

static void on_log(void *user, const oh_log_record *line)
{
    (void)user;
    fprintf(stderr, "%8.0f %s\n", now_ms(), line->text);
}

int main(int argc, char **argv)
{
    const char *key = NULL, *secret = NULL;
    char token[4096];
    int16_t pcm[FRAME];
    double phase = 0, hz = 440;
    pthread_t watcher;
    oh_client client;
    oh_call call;
    oh_track mic;
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    oh_audio_track_options audio = OH_INIT(oh_audio_track_options);

    where.allow_insecure = where.allow_other_hosts = 1; /* the laboratory's servers have no certificates */
    for (int i = 1; i < argc; i++) {
        if (i + 1 == argc) return fprintf(stderr, "probe: %s: unknown, or without a value\n", argv[i]), 2;
        char *value = argv[++i];
        if (!strcmp(argv[i - 1], "--url")) where.url = value;
        else if (!strcmp(argv[i - 1], "--user")) where.user_id = value;
        else if (!strcmp(argv[i - 1], "--call")) what.call_id = value;
        else if (!strcmp(argv[i - 1], "--token")) where.token = value;
        else if (!strcmp(argv[i - 1], "--key")) key = value;
        else if (!strcmp(argv[i - 1], "--secret")) secret = value;
        else if (!strcmp(argv[i - 1], "--ca")) where.ca_file = value;
        else if (!strcmp(argv[i - 1], "--bitrate")) audio.bitrate_bps = (uint32_t)atoi(value);
        else if (!strcmp(argv[i - 1], "--hz")) hz = atof(value);
        else if (!strcmp(argv[i - 1], "--relay-only")) where.relay_only = atoi(value) != 0;
        else if (!strcmp(argv[i - 1], "--interfaces")) where.interfaces = value;
        else if (!strcmp(argv[i - 1], "--ip-family")) where.ip_family = atoi(value) == 6 ? OH_IP_V6 : OH_IP_V4;
        else if (!strcmp(argv[i - 1], "--ports")) {
            if (sscanf(value, "%u-%u", &where.media_port_min, &where.media_port_max) != 2)
                return fprintf(stderr, "probe: --ports takes FIRST-LAST\n"), 2;
        }
        else if (!strcmp(argv[i - 1], "--dscp")) where.dscp = (uint32_t)atoi(value);
        else return fprintf(stderr, "probe: %s: unknown\n", argv[i - 1]), 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &probe.began);
    snprintf(token, sizeof token, "\"monotonic_ms\":%.0f", probe.began.tv_sec * 1e3 + probe.began.tv_nsec / 1e6);
    print_line(0, "begin", NULL, token);
    oh_log_set(OH_LOG_DEBUG, on_log, NULL, NULL);
    if (key) {
        oh_access_token_options may = OH_INIT(oh_access_token_options);
        may.api_key = key;
        may.api_secret = secret;
        may.user_id = where.user_id;
        may.call_id = what.call_id;
        if (oh_access_token_create(&may, token, sizeof token, NULL)) return failed("token");
        where.token = token;
    }
    handlers.on_event = on_event;
    handlers.on_audio = on_audio;
    what.handlers = &handlers;
    if (pthread_create(&watcher, NULL, watch_stdin, NULL)) return perror("probe"), 1;
    if (oh_client_new(&where, &client)) return failed("client");
    if (oh_call_join(client, &what, &call)) return failed("join");
    if (oh_call_publish_audio(call, &audio, &mic)) return failed("publish");
    while (!atomic_load(&probe.over)) {
        /* The library sends at its own pace: wait for room, then write. */
        if (oh_track_wait_writable(mic, FRAME, 100)) continue;
        for (int i = 0; i < FRAME; i++, phase += 2 * 3.14159265358979 * hz / RATE) pcm[i] = (int16_t)(9800 * sin(phase));
        phase = fmod(phase, 2 * 3.14159265358979);
        oh_track_write_s16(mic, pcm, FRAME);
    }
    summary(call);
    oh_call_leave(call, "measured");
    oh_call_wait_state(call, OH_STATE_LEFT, 3000);
    oh_client_free(client);
    return 0;
}
