/*
 * test: timeout=150 stand=--proxy
 * faults_leave.c - leaving, freeing and blocking at the worst moments, over a real LiveKit server.
 *
 * Calls leave while they join and while they reconnect, twice and at once, with a server that does not answer; are
 * freed inside their callbacks; block in them; ten lose their sockets together, three times. Expected: one ENDED
 * within 2 s, never JOINED afterwards, no resources left; two participants in another room are unaffected.
 */
#include "beside.h"
#include "livekit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void spin_until(double when)
{
    while (now_ms() < when) {}
}

static void h08_h38_hung_joins_and_a_silent_server(void)
{
    enum { N = 8 };
    peer hung[2] = { 0 }, p[N] = { 0 };
    char user[32];
    ctl("refuse", "{\"identity\":\"hung-0\",\"status\":\"hang\"}");
    ctl("silent", "{\"identity\":\"hung-1\"}");
    for (int i = 0; i < 2; i++) {
        snprintf(user, sizeof user, "hung-%d", i);
        peer_open(&hung[i], user, "hung", NULL);
    }
    for (int i = 0; i < N; i++) {
        double began = now_ms();
        snprintf(user, sizeof user, "leaver-%d", i);
        peer_join(&p[i], user, "hung", NULL);
        CHECK_THAT(now_ms() - began < ms(1000) + rec_stall(), "a join took %.0f ms", now_ms() - began);
        peer_publish_tone(&p[i], 200 + 50 * i);
    }
    EXPECT(p[0].rec, OH_EVENT_TRACK_PUBLISHED, "leaver-7", ms(10000));
    for (int i = 0; i < N; i += 2) ctl("half_open", "{\"identity\":\"leaver-%d\"}", i); /* half receive nothing now */
    for (int i = 0; i < N; i++) {
        double began = now_ms();
        CHECK_OK(oh_call_leave(p[i].call, "all at once"));
        CHECK_THAT(now_ms() - began < 100 + rec_stall(), "oh_call_leave took %.0f ms", now_ms() - began);
    }
    for (int i = 0; i < N; i++) EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, ms(2000));
    for (int i = 0; i < N; i++) peer_close(&p[i]);
    for (int i = 0; i < 2; i++) {
        double began = now_ms();
        peer_close(&hung[i]);
        CHECK_THAT(now_ms() - began < ms(2000), "leaving a join that hangs took %.0f ms", now_ms() - began);
    }
    ctl("reset", "{}");
}

static void twice(void *arg, unsigned index)
{
    peer *p = arg;
    (void)index;
    CHECK_OK(oh_call_leave(p->call, "at once"));
}

/* H11, H12, H13, H14, H34: leaves at random moments of a join, and of a resume. */
static void h13_h14_at_every_moment(void)
{
    double span = 60, resume = 30;
    unsigned joined = 0, cancelled = 0, back = 0;
    char user[32];
    for (int i = 0; i < 40; i++) {
        peer p = { 0 };
        int late = i % 2;
        size_t mark = 0;
        snprintf(user, sizeof user, "moment-%d", i);
        if (late) {
            /* Half of them have audio to send, and come back for it; the others leave at once. */
            oh_call_options at_once = OH_INIT(oh_call_options);
            at_once.drain_ms = OH_ZERO;
            peer_join(&p, user, "moments", i % 4 == 1 ? NULL : &at_once);
            peer_publish_tone(&p, 500);
            mark = rec_mark(p.rec);
            ctl("cut", "{\"identity\":\"%s\"}", user);
        } else {
            peer_open(&p, user, "moments", NULL);
        }
        rec_gaps_begin(p.rec); /* measures how long the machine delays threads */
        double when = now_ms() + (late ? resume : span) * (double)(test_random() % 1000) / 1000;
        spin_until(when);
        if (i % 5 == 0) on_threads(3, twice, &p);
        else CHECK_OK(oh_call_leave(p.call, "gone"));
        when = now_ms();
        oh_track more;
        oh_result r = oh_call_publish_audio(p.call, NULL, &more); /* H34: nothing is created anew */
        CHECK_THAT(r == OH_OK || r == OH_ERR_STATE, "publishing while leaving: %s", oh_result_get_name(r));
        oh_subscriber sub;
        CHECK_OK(oh_call_get_subscriber(p.call, &sub));
        CHECK_OK(oh_subscriber_close(sub));
        rec_event ended = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000)), e;
        CHECK_THAT(ended.when - when <= ms(2000), "leaving took %.0f ms", ended.when - when);
        CHECK_EQ(ended.code, OH_END_LEFT);
        for (int kind = 0; kind < 2; kind++) /* queued events may still be delivered, but no new ones */
            if (rec_wait(p.rec, kind ? OH_EVENT_RECONNECTED : OH_EVENT_JOINED, NULL, mark, 0, &e) >= 0) {
                CHECK_THAT(e.when - when <= ms(100) + 3 * rec_stall(), "%s comes %.0f ms after leaving, the machine stalled for %.0f",
                           oh_event_kind_get_name(e.kind), e.when - when, rec_stall());
                if (kind) back++; else joined += !late;
            } else if (!kind && !late) {
                CHECK_EQ(ended.error, OH_ERR_CANCELLED);
                cancelled++;
            }
        CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
        if (late) resume *= rec_count(p.rec, OH_EVENT_RECONNECTED) ? 1 / 1.3 : 1.3;
        else span *= rec_count(p.rec, OH_EVENT_JOINED) ? 1 / 1.3 : 1.3;
        peer_close(&p);
    }
    printf("           %u had joined, %u had not; %u had come back of 20\n", joined, cancelled, back);
    CHECK_THAT(joined && cancelled && back && back < 20, "the moments are not spread");
    for (double end = now_ms() + ms(10000);; nap(20)) { /* H11: no participant is left at the server */
        char *state = ctl_answer("list", "{\"room\":\"moments\"}");
        int left = json_count(state, "participants");
        free(state);
        if (left <= 0) break;
        CHECK_THAT(now_ms() < end, "%d are left at the server", left);
    }
}

static atomic_int freed;

/* Frees its call at the event that the connection is lost, or that it has reconnected. */
static void frees(recorder *r, oh_call call, const oh_event *e)
{
    int wanted = *(int *)r->data;
    if (e->kind != wanted) return;
    if (wanted == OH_EVENT_STATE && e->u.state->state != OH_STATE_RECONNECTING) return;
    oh_call_free(call);
    atomic_fetch_add(&freed, 1);
}

static int was_destroyed(recorder *r, void *arg)
{
    (void)arg;
    return r->destroyed;
}

static void free_in_callbacks_while_resuming(void)
{
    static int kinds[] = { OH_EVENT_STATE, OH_EVENT_RECONNECTED };
    enum { N = 8 };
    peer p[N] = { 0 };
    char user[32];
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "freer-%d", i);
        p[i].rec = rec_new();
        p[i].rec->on_event = frees;
        p[i].rec->data = &kinds[i % 2];
        peer_join(&p[i], user, "freers", NULL);
        peer_publish_tone(&p[i], 300 + 50 * i);
    }
    for (int i = 0; i < N; i++) ctl("cut", "{\"identity\":\"freer-%d\"}", i);
    for (int i = 0; i < N; i++) {
        CHECK_THAT(rec_wait_until(p[i].rec, was_destroyed, NULL, ms(8000)), "%s was not freed", p[i].user);
        CHECK_OH(oh_call_leave(p[i].call, NULL), OH_ERR_HANDLE);
        tone_stop(p[i].tone);
        oh_client_free(p[i].client);
        rec_call_freed(p[i].rec);
        rec_free(p[i].rec);
    }
    CHECK_EQ(atomic_load(&freed), N);
}

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opened = PTHREAD_COND_INITIALIZER;
static int gate_open;
static atomic_int at_gate;

static void blocks(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_fetch_add(&at_gate, 1);
    pthread_mutex_lock(&gate_lock);
    while (!gate_open) pthread_cond_wait(&gate_opened, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

static void h37_a_blocked_callback_delays_its_own_call_only(void)
{
    enum { N = 6 };
    peer p[N] = { 0 };
    char user[32];
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "blocked-%d", i);
        p[i].rec = rec_new();
        p[i].rec->on_event = blocks;
        peer_open(&p[i], user, "blocked", NULL);
    }
    for (double end = now_ms() + ms(10000); atomic_load(&at_gate) < N; nap(2))
        CHECK_THAT(now_ms() < end, "only %d callbacks run", atomic_load(&at_gate));
    beside_mark();
    for (int i = 0; i < N; i++) ctl("cut", "{\"identity\":\"blocked-%d\"}", i);
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "blocked-%d", i);
        livekit_identity_wait(user, "sockets", 2, ms(10000)); /* it reconnects while the callback blocks */
    }
    beside_check("six blocked callbacks");
    pthread_mutex_lock(&gate_lock);
    gate_open = 1;
    pthread_cond_broadcast(&gate_opened);
    pthread_mutex_unlock(&gate_lock);
    for (int i = 0; i < N; i++) {
        EXPECT(p[i].rec, OH_EVENT_RECONNECTED, NULL, ms(10000)); /* delivered in order, late */
        peer_close(&p[i]);
    }
}

/* H5, H16, H32: all sockets of ten calls are cut, three times. */
static void h16_h32_storm(void)
{
    enum { N = 10 };
    peer p[N] = { 0 };
    char user[32];
    int fds, threads;
    peer_join(&p[0], "warm", "storm", NULL);
    peer_publish_tone(&p[0], 300);
    peer_close(&p[0]);
    fds = settle(count_fds, 0, 300);
    threads = count_threads() + 1; /* the thread that watches slow callbacks starts with the first one and stays */
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "storm-%d", i);
        peer_join(&p[i], user, i % 2 ? "storm-odd" : "storm-even", NULL);
        peer_publish_tone(&p[i], 300 + 100 * (i / 2));
    }
    for (int i = 0; i < N; i++) receives_tone(&p[i], p[(i + 2) % N].user, 300 + 100 * ((i + 2) % N / 2), ms(10000));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            ctl("cut", "{\"identity\":\"storm-%d\"}", i);
            spin_until(now_ms() + (double)(test_random() % 100));
        }
        /* The next round starts while some of them are still reconnecting. */
        livekit_identity_wait("storm-3", "resume_asks", round + 1, ms(10000));
    }
    for (int i = 0; i < N; i++) {
        receives_tone(&p[i], p[(i + 2) % N].user, 300 + 100 * ((i + 2) % N / 2), ms(20000));
        CHECK_OK(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(10000)));
        CHECK_EQ(peer_stats(&p[i]).error_events, 0);
        CHECK_EQ(livekit_identity(p[i].user, "live"), 1);
    }
    for (int i = 0; i < N; i++) peer_close(&p[i]);
    CHECK_THAT(settle(count_fds, fds, ms(5000)) <= fds, "%d descriptors before, %d after", fds, count_fds());
    CHECK_THAT(settle(count_threads, threads, ms(6000)) <= threads, "%d threads before, %d after: %s", threads, count_threads(),
               thread_names());
}

#define SHOW(item) test_step(60, #item), item(), beside_check(#item)

int main(void)
{
    test_begin("faults_leave");
    test_step(20, "two participants in another call");
    beside_begin();
    SHOW(h08_h38_hung_joins_and_a_silent_server);
    SHOW(h13_h14_at_every_moment);
    SHOW(free_in_callbacks_while_resuming);
    SHOW(h37_a_blocked_callback_delays_its_own_call_only);
    SHOW(h16_h32_storm);
    test_step(20, "the end");
    beside_end();
    return test_end();
}
