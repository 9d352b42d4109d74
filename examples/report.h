/* report.h - how the examples print what happens: words for a person, or (json) an object per line. */
#ifndef EXAMPLES_REPORT_H
#define EXAMPLES_REPORT_H

#include <offhook.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct report {
    int json, errors, ended;
    struct timespec began;
} report;

static inline double ms_since(const struct timespec *t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - t->tv_sec) * 1e3 + (now.tv_nsec - t->tv_nsec) / 1e6;
}

/* One line: the event, a text under `key` (or NULL), and further members as JSON (or ""). */
static inline void say(report *r, const char *event, const char *key, const char *text, const char *more)
{
    flockfile(stdout);
    if (r->json) {
        printf("{\"t_ms\":%.1f,\"event\":\"%s\"", ms_since(&r->began), event);
        if (key) {
            printf(",\"%s\":\"", key);
            for (; *text; text++)
                if ((unsigned char)*text < 32 || *text == '"' || *text == '\\') printf("\\u%04x", *text);
                else putchar(*text);
            putchar('"');
        }
        printf("%s}\n", more);
    } else if (strcmp(event, "level")) {
        printf("%7.2f s  %-19s %s%s\n", ms_since(&r->began) / 1e3, event, key ? text : "", more);
    }
    fflush(stdout);
    funlockfile(stdout);
}

static inline void say_event(report *r, const oh_event *e)
{
    const char *name = oh_event_kind_get_name(e->kind);
    char more[96] = "";
    switch (e->kind) {
    case OH_EVENT_JOINED:
        snprintf(more, sizeof more, ",\"join_ms\":%llu", (unsigned long long)e->u.joined->join_ms);
        say(r, name, NULL, NULL, more);
        break;
    case OH_EVENT_PARTICIPANT_JOINED:
    case OH_EVENT_PARTICIPANT_LEFT:
        say(r, name, "user", e->u.participant->user_id, "");
        break;
    case OH_EVENT_TRACK_PUBLISHED:
    case OH_EVENT_TRACK_UNPUBLISHED:
        say(r, name, "user", e->u.track->user_id, "");
        break;
    case OH_EVENT_STATE:
        say(r, name, "state", oh_call_state_get_name(e->u.state->state), "");
        break;
    case OH_EVENT_RECONNECTED:
        snprintf(more, sizeof more, ",\"ms\":%llu", (unsigned long long)e->u.reconnected->elapsed_ms);
        say(r, name, NULL, NULL, more);
        break;
    case OH_EVENT_AUDIO_LEVEL:
        snprintf(more, sizeof more, ",\"level\":%.3f", (double)e->u.audio_level->level);
        say(r, "level", "user", e->u.audio_level->user_id, more);
        break;
    case OH_EVENT_LOCAL_TRACK_FAILED:
        r->errors++;
        snprintf(more, sizeof more, ",\"code\":%d", e->u.local_track->error);
        say(r, "error", "message", e->u.local_track->text, more);
        break;
    case OH_EVENT_ERROR:
        r->errors++;
        snprintf(more, sizeof more, ",\"code\":%d", e->u.error->error);
        say(r, "error", "message", e->u.error->text, more);
        break;
    case OH_EVENT_ENDED:
        r->ended++;
        say(r, name, "reason", e->u.ended->text, "");
        break;
    default: /* not printed: counts, pins, and what later versions add */
        break;
    }
}

static inline void say_stats(report *r, oh_call call)
{
    oh_call_stats s = { .size = sizeof s };
    char more[512];
    if (oh_call_get_stats(call, &s)) return;
    snprintf(more, sizeof more,
             ",\"packets_received\":%llu,\"packets_lost\":%llu,\"concealed_frames\":%llu,\"packets_sent\":%llu,"
             "\"late_offers_dropped\":%llu,\"offers_while_leaving\":%llu,\"errors\":%llu",
             (unsigned long long)s.packets_received, (unsigned long long)s.packets_lost,
             (unsigned long long)s.frames_concealed, (unsigned long long)s.packets_sent,
             (unsigned long long)s.late_offers, (unsigned long long)s.late_offers_leaving,
             (unsigned long long)s.error_events);
    say(r, "stats", NULL, NULL, more);
}

static inline int fail(const char *what)
{
    char why[512] = "";
    oh_get_last_error(why, sizeof why);
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

#endif
