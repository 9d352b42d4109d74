/*
 * gaps.c - intervals between real frames in the quiet rooms, with and without the machine's own stalls.
 *
 * A thread that only wakes every 5 ms measures how long the machine delayed a runnable thread. The corrected figures
 * subtract the part of an interval that overlaps such a stall; the raw figures are printed beside them.
 */
#include "soak.h"

#include <stdio.h>
#include <time.h>

enum { BUCKETS = 4000, PENDING = 4096, STALLS = 8192, BEAT_MS = 5 };

typedef struct span { double from, to; } span;

static atomic_ulong raw[BUCKETS], corrected[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static span pending[PENDING], stalls[STALLS];
static int pending_count;
static unsigned long stall_count, unjudged;
static double longest;

static void count(atomic_ulong *histogram, double ms)
{
    int bucket = ms < 0 ? 0 : ms >= BUCKETS ? BUCKETS - 1 : (int)ms;
    atomic_fetch_add_explicit(&histogram[bucket], 1, memory_order_relaxed);
}

static void *metronome(void *unused)
{
    struct timespec beat = { 0, BEAT_MS * 1000000L };
    for (double last = now_ms();;) {
        nanosleep(&beat, NULL);
        double now = now_ms(), late = now - last - BEAT_MS;
        if (late > 2) {
            pthread_mutex_lock(&lock);
            stalls[stall_count++ % STALLS] = (span){ now - late, now };
            if (late > longest) longest = late;
            pthread_mutex_unlock(&lock);
        }
        last = now;
    }
    return unused;
}

void gaps_start(void)
{
    pthread_t thread;
    if (!pthread_create(&thread, NULL, metronome, NULL)) pthread_detach(thread);
}

double gaps_stall(void)
{
    pthread_mutex_lock(&lock);
    double ms = longest;
    longest = 0;
    pthread_mutex_unlock(&lock);
    return ms;
}

void gap_seen(double from, double to)
{
    count(raw, to - from);
    if (to - from < 40) {
        count(corrected, to - from);
        return;
    }
    pthread_mutex_lock(&lock);
    if (pending_count < PENDING) pending[pending_count++] = (span){ from, to };
    else unjudged++;
    pthread_mutex_unlock(&lock);
}

/* An interval is corrected half a second after its end, when the metronome has recorded all stalls of that time. */
void gaps_judge(void)
{
    double now = now_ms();
    pthread_mutex_lock(&lock);
    int kept = 0;
    unsigned long known = stall_count < STALLS ? stall_count : STALLS;
    for (int i = 0; i < pending_count; i++) {
        span g = pending[i];
        if (now - g.to < 500) {
            pending[kept++] = g;
            continue;
        }
        double stood = 0;
        for (unsigned long k = 0; k < known; k++) {
            double from = stalls[k].from > g.from ? stalls[k].from : g.from;
            double to = stalls[k].to < g.to ? stalls[k].to : g.to;
            if (to > from) stood += to - from;
        }
        double left = g.to - g.from - stood;
        count(corrected, left > 20 ? left : 20);
    }
    pending_count = kept;
    pthread_mutex_unlock(&lock);
}

static int percentile(atomic_ulong *histogram, unsigned long all, double share)
{
    unsigned long below = 0;
    for (int i = 0; i < BUCKETS; i++) {
        below += histogram[i];
        if (below > 0 && below >= share * all) return i;
    }
    return 0;
}

static void figures(const char *name, atomic_ulong *histogram)
{
    unsigned long all = 0, over = 0;
    int most = 0;
    for (int i = 0; i < BUCKETS; i++) {
        if (histogram[i]) most = i;
        all += histogram[i];
        over += i >= 60 ? histogram[i] : 0;
    }
    line("{\"kind\":\"gaps\",\"of\":\"%s\",\"frames\":%lu,\"p50_ms\":%d,\"p99_ms\":%d,\"p999_ms\":%d,\"max_ms\":%d,"
         "\"over_60_ms\":%lu,\"unjudged\":%lu}", name, all, percentile(histogram, all, 0.5),
         percentile(histogram, all, 0.99), percentile(histogram, all, 0.999), most, over, unjudged);
}

void gaps_line(void)
{
    figures("raw", raw);
    figures("corrected", corrected);
}
