/*
 * bounded.c - a server that sends more than can be queued, to a call whose handler does not return.
 *
 * Expected: the call's memory stays within 64 MB, its events within event_bytes; calls beside it receive audio
 * without a gap; OH_EVENT_LOST reports what was dropped; oh_limits bounds all calls together, and a join beyond it
 * is refused; the limit of callback threads does not stop calls whose callbacks return.
 * test: timeout=90
 * test: not-under=valgrind memory is measured
 */
#include "beside.h"

#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open;
static atomic_int inside;

static void block(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_fetch_add(&inside, 1);
    pthread_mutex_lock(&lock);
    while (!is_open) pthread_cond_wait(&opened, &lock);
    pthread_mutex_unlock(&lock);
}

static void gate(int open)
{
    pthread_mutex_lock(&lock);
    is_open = open;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}

static void open_blocked(peer *p, const char *user, const char *room)
{
    p->rec = rec_new();
    p->rec->on_event = block;
    peer_open(p, user, room, NULL);
}

static void wait_inside(int count)
{
    for (double end = now_ms() + ms(15000); atomic_load(&inside) < count; nap(1))
        CHECK_THAT(now_ms() < end, "only %d of %d callbacks run", atomic_load(&inside), count);
}

/* The peak memory from sample_begin to sample_end. */
static atomic_long most_kb;
static atomic_int sampling;
static pthread_t sampler;

static void *sample(void *arg)
{
    (void)arg;
    while (atomic_load(&sampling)) {
        long kb = anonymous_kb();
        if (kb > atomic_load(&most_kb)) atomic_store(&most_kb, kb);
        nap(5);
    }
    return NULL;
}

static void sample_begin(void)
{
    atomic_store(&most_kb, anonymous_kb());
    atomic_store(&sampling, 1);
    CHECK_EQ(pthread_create(&sampler, NULL, sample, NULL), 0);
}

static long sample_end(void)
{
    atomic_store(&sampling, 0);
    pthread_join(sampler, NULL);
    return atomic_load(&most_kb);
}

static void leaves(peer *p)
{
    int32_t state;
    double end = now_ms() + ms(20000);
    do {
        CHECK_OK(oh_call_get_state(p->call, &state));
        CHECK_THAT(now_ms() < end, "%s does not process all of the server's messages", p->user);
        nap(2);
    } while (state != OH_STATE_LEFT);
}

static void flood(const char *what, int count, int bytes)
{
    peer victim = { 0 };
    test_step(40, "%s", what);
    gate(0);
    atomic_store(&inside, 0);
    open_blocked(&victim, what, what);
    wait_inside(1);
    beside_mark();
    long before = anonymous_kb();
    sample_begin();
    ctl("flood", "{\"user_id\":\"%s\",\"what\":\"%s\",\"count\":%d,\"bytes\":%d}", what, what, count, bytes);
    uint64_t waiting = peer_stats(&victim).queued_event_bytes;
    CHECK_THAT(waiting <= (4 << 20) + (16 << 20) + 1000000, "%llu bytes wait", (unsigned long long)waiting);
    /* Events are in order: when call_ended has arrived, the flood has, too. */
    ctl("call_ended", "{\"user_id\":\"%s\"}", what);
    leaves(&victim);
    long grown = sample_end() - before;
    printf("           %s: %d times %d bytes cost %ld MB at most\n", what, count, bytes, grown / 1024);
    /* Memory is only meaningful in a plain run: the checkers keep freed memory. */
    CHECK_THAT(grown < 64 * 1024 || test_scale() > 1, "%s costs %ld KB", what, grown);
    beside_check(what);
    gate(1);
    EXPECT(victim.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_EQ(peer_stats(&victim).queued_event_bytes, 0);
    CHECK_THAT(rec_count(victim.rec, OH_EVENT_LOST) > 0 || !strcmp(what, "joins"), "no OH_EVENT_LOST for dropped events");
    peer_close(&victim);
}

static void all_together(void)
{
    peer victim = { 0 }, late = { 0 };
    oh_limits limits = OH_INIT(oh_limits);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_call call = { 7 };

    test_step(30, "all calls together");
    limits.max_queued_bytes = 1 << 20;
    CHECK_OK(oh_limits_set(&limits));
    gate(0);
    atomic_store(&inside, 0);
    open_blocked(&victim, "victim", "together");
    wait_inside(1);
    beside_mark();
    ctl("flood", "{\"user_id\":\"victim\",\"what\":\"updates\",\"count\":60,\"bytes\":50000}");
    double end = now_ms() + ms(10000);
    while (peer_stats(&victim).events_dropped < 10) CHECK(now_ms() < end), nap(1);
    CHECK(peer_stats(&victim).queued_event_bytes <= 1 << 20);
    late.client = client_for("late");
    what.call_id = "together";
    CHECK_OH(oh_call_join(late.client, &what, &call), OH_ERR_LIMIT);
    CHECK_EQ(call.id, 7);
    beside_check("a process that is full");
    gate(1);
    end = now_ms() + ms(10000);
    while (peer_stats(&victim).queued_event_bytes > 0) CHECK(now_ms() < end), nap(1);
    CHECK_OK(oh_call_join(late.client, &what, &call));
    oh_client_free(late.client);
    peer_close(&victim);
    CHECK_OK(oh_limits_set(NULL));

    test_step(5, "limits that are none");
    limits.max_queued_bytes = 1;
    CHECK_OH(oh_limits_set(&limits), OH_ERR_ARGUMENT);
    limits.max_queued_bytes = 0;
    limits.max_callback_threads = 7;
    CHECK_OH(oh_limits_set(&limits), OH_ERR_ARGUMENT);
    limits.max_callback_threads = 0;
    limits.size = 1;
    CHECK_OH(oh_limits_set(&limits), OH_ERR_ABI);
}

/* More blocked callbacks than threads, all of calls whose callbacks were prompt before. */
static void all_blocked(void)
{
    enum { BLOCKED = 14 };
    static peer p[BLOCKED];
    oh_limits limits = OH_INIT(oh_limits);
    char user[32];

    test_step(30, "more blocked callbacks than threads");
    limits.max_callback_threads = 8;
    CHECK_OK(oh_limits_set(&limits));
    gate(0);
    atomic_store(&inside, 0);
    for (int i = 0; i < BLOCKED; i++) {
        snprintf(user, sizeof user, "blocked-%d", i);
        open_blocked(&p[i], user, "blocked");
    }
    wait_inside(8);
    beside_mark();
    CHECK_OK(oh_call_wait_state(p[BLOCKED - 1].call, OH_STATE_JOINED, ms(10000)));
    beside_check("all threads are blocked");
    int most = 8 + 4 + 2;
    CHECK_THAT(atomic_load(&inside) <= most, "%d callbacks run on %d threads", atomic_load(&inside), most);
    gate(1);
    for (int i = 0; i < BLOCKED; i++) EXPECT(p[i].rec, OH_EVENT_JOINED, NULL, ms(10000));
    for (int i = 0; i < BLOCKED; i++) peer_close(&p[i]);
    CHECK_OK(oh_limits_set(NULL));
}

int main(void)
{
    test_begin("bounded");
    test_step(20, "two participants in another call");
    beside_begin();
    flood("pins", 200, 200000);
    flood("updates", 1500, 50000);
    flood("joins", 1500, 50000);
    flood("come_and_go", 1000, 50000);
    all_together();
    all_blocked();
    beside_end();
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
