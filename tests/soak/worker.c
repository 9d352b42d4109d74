/*
 * worker.c - many sessions in one process, for `make soak`: reads commands, prints JSON lines.
 *
 *   worker --url URL --seed N --quiet N --storm N
 *
 * Commands: "all" all participants join; "arm" from now on the quiet rooms must get no events; "chaos" participants
 * act by their role; "calm" no more faults; "none" all participants leave; "gaps" print the figures; "shutdown";
 * "bye". tools/README.md describes the output.
 */
#include "soak.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 500 };

struct args args = { .seed = 1, .quiet = 14, .storm = 36 };
atomic_int phase, armed;
static atomic_int wrongs;

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

void line(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    flockfile(stdout);
    vprintf(format, list);
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
    va_end(list);
}

void escape(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text && used + 2 < size; text++)
        out[used++] = (unsigned char)*text < 32 || *text == '"' || *text == '\\' ? '_' : *text;
    out[used] = 0;
}

void wrong(const slot *s, const char *format, ...)
{
    char text[600], safe[600];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    escape(safe, sizeof safe, text);
    /* Limited, so that a flood of repeats does not bury the first one. */
    if (atomic_fetch_add(&wrongs, 1) < 200) line("{\"kind\":\"wrong\",\"slot\":%d,\"text\":\"%s\"}", s ? s->index : -1, safe);
}

uint32_t draw(uint32_t *state)
{
    uint64_t x = (*state += 0x9e3779b9u);
    x = (x ^ (x >> 16)) * 0x21f0aaadu;
    x = ((uint32_t)x ^ ((uint32_t)x >> 15)) * 0x735a2d97ull;
    return (uint32_t)x ^ ((uint32_t)x >> 15);
}

int chance(uint32_t *state, int percent)
{
    return draw(state) % 100 < (uint32_t)percent;
}

double between(uint32_t *state, double least, double most)
{
    return least + (most - least) * (draw(state) / 4294967296.0);
}

/* Reads a command from stdin: returns 1 and the command; 0 on timeout; exits at the end of stdin. */
static int read_command(char *out, size_t size, int timeout_ms)
{
    struct pollfd in = { .fd = 0, .events = POLLIN };
    char c;
    size_t used = 0;
    if (poll(&in, 1, timeout_ms) <= 0) return 0;
    for (;;) {
        ssize_t got = read(0, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) _exit(0);
        if (c == '\n') break;
        if (used + 1 < size) out[used++] = c;
    }
    out[used] = 0;
    return 1;
}

/* KiB that the process has allocated and not freed; a leak makes this grow. */
static unsigned long heap_kb(void)
{
    struct mallinfo2 m = mallinfo2();
    return (unsigned long)((m.uordblks + m.hblkhd) / 1024);
}

/* A participant of its room from whom it has received no audio within the last second; -1: it receives all. */
static int not_received(const slot *s, const session *l, double now)
{
    for (int i = 0; i < s->room_size; i++)
        if (i != s->place && now - l->received_us[i] / 1e3 > 1000) return s->first + i;
    return -1;
}

static void beat(void)
{
    int alive = 0, joined = 0, receiving = 0, joins = 0;
    char missing[200] = "";
    size_t used = 0;
    double now = now_ms();
    gaps_judge();
    for (int i = 0; i < slot_count; i++) {
        slot *s = &slots[i];
        int whom = s->index;
        pthread_mutex_lock(&s->lock);
        joins += s->joins;
        if (s->seen) {
            session *l = s->seen;
            int is_joined = l->state == OH_STATE_JOINED && !l->ended;
            alive++;
            joined += is_joined;
            if (is_joined) whom = not_received(s, l, now);
            receiving += whom < 0;
        }
        pthread_mutex_unlock(&s->lock);
        /* The slot's own index stands for "not joined". */
        if (whom >= 0 && used < sizeof missing - 32)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s:%s", used ? " " : "", s->user,
                                     slots[whom].user);
    }
    line("{\"kind\":\"beat\",\"alive\":%d,\"joined\":%d,\"receiving\":%d,\"joins\":%d,\"heap_kb\":%lu,\"stall_ms\":%.0f,"
         "\"missing\":\"%s\"}", alive, joined, receiving, joins, heap_kb(), gaps_stall(), missing);
}

static void on_log(void *user, const oh_log_record *record)
{
    (void)user;
    fprintf(stderr, "%s %s\n", record->level == OH_LOG_ERROR ? "ERROR" : record->level == OH_LOG_WARN ? "WARN" : "log", record->text);
    if (strstr(record->text, "panic")) wrong(NULL, "the library panicked: %s", record->text);
    if (strstr(record->text, "cancelling tasks")) wrong(NULL, "tasks were left over: %s", record->text);
}

static void run_command(const char *what)
{
    if (!strcmp(what, "all")) phase = PHASE_ALL;
    else if (!strcmp(what, "arm")) armed = 1;
    else if (!strcmp(what, "disarm")) armed = 0;
    else if (!strcmp(what, "chaos")) phase = PHASE_CHAOS;
    else if (!strcmp(what, "calm")) phase = PHASE_CALM;
    else if (!strcmp(what, "none")) phase = PHASE_NONE;
    else if (!strcmp(what, "trim")) malloc_trim(0);
    else if (!strcmp(what, "gaps")) gaps_line();
    else if (!strcmp(what, "shutdown")) {
        double began = now_ms();
        oh_result result = oh_shutdown_wait(5000);
        line("{\"kind\":\"shutdown\",\"result\":\"%s\",\"ms\":%.1f}", oh_result_get_name(result), now_ms() - began);
    } else if (!strcmp(what, "bye")) {
        line("{\"kind\":\"bye\",\"wrong\":%d}", wrongs);
        _exit(wrongs != 0);
    } else {
        fprintf(stderr, "worker: unknown command %s\n", what);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    char what[32];
    double next;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--url")) args.url = argv[i + 1];
        else if (!strcmp(argv[i], "--seed")) args.seed = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--quiet")) args.quiet = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--storm")) args.storm = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--verbose")) args.verbose = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--republish")) args.republish = atoi(argv[i + 1]);
        else return fprintf(stderr, "worker: unknown argument %s\n", argv[i]), 2;
    }
    if (!args.url || args.quiet < 0 || args.storm < 0 || args.quiet + args.storm < 1 ||
        args.quiet + args.storm > MOST_SLOTS)
        return fprintf(stderr, "usage: worker --url URL [--seed N] [--quiet N] [--storm N] [--verbose 1] [--republish 1]\n"), 2;
    /* With few arenas, free memory is shared by all threads: the memory figures are less noisy. */
    mallopt(M_ARENA_MAX, 4);
    slots_make();
    gaps_start();
    oh_log_set(args.verbose ? OH_LOG_DEBUG : OH_LOG_WARN, on_log, NULL, NULL);
    if (pthread_create(&thread, NULL, slot_pace, NULL)) return perror("pthread_create"), 1;
    for (intptr_t i = 0; i < MANAGERS; i++)
        if (pthread_create(&thread, NULL, slot_manager, (void *)i)) return perror("pthread_create"), 1;
    line("{\"kind\":\"idle\"}");
    for (next = now_ms();;) {
        double left = next - now_ms();
        if (left > 0) {
            if (read_command(what, sizeof what, (int)left + 1)) run_command(what);
            continue;
        }
        next += BEAT_MS;
        beat();
    }
}
