/*
 * pull.c - pull mode: events and audio taken with oh_call_wait_event, woken by a descriptor.
 *
 * Expected: the descriptor is readable while events are queued and not after; OH_ERR_EMPTY, OH_ERR_CLOSED and
 * OH_ERR_STATE as documented; events stay valid until they are freed, even after the call was; freeing twice is
 * harmless; oh_call_free wakes a thread that waits for an event; a slow application loses events, with their number
 * in OH_EVENT_LOST, but never states or the end.
 */
#include "peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n = poll(&p, 1, timeout_ms);
    CHECK_THAT(!(p.revents & (POLLERR | POLLNVAL)), "the wake descriptor is broken: %#x", (unsigned)p.revents);
    return n > 0;
}

static void open_pulled(peer *p, const char *user, oh_call_options *what)
{
    snprintf(p->user, sizeof p->user, "%s", user);
    p->rec = rec_new();
    p->client = client_for(user);
    what->call_id = "pull";
    CHECK_OK(oh_call_join(p->client, what, &p->call));
}

/* Takes all queued events into the recorder; returns their number. */
static int take_all(peer *p)
{
    const oh_event *e;
    int count = 0;
    oh_result r;
    while ((r = oh_call_wait_event(p->call, 0, &e)) == OH_OK) {
        rec_take(p->rec, e);
        oh_event_free(e);
        count++;
    }
    CHECK_THAT(r == OH_ERR_EMPTY || (r == OH_ERR_CLOSED && rec_has_ended(p->rec)), "next_event is %s", oh_result_get_name(r));
    return count;
}

/* Polls and takes events until the recorder has the one expected; fails at the deadline. */
static rec_event pull_until(peer *p, int fd, int kind, const char *user)
{
    double end = now_ms() + ms(10000);
    rec_event e;
    while (rec_wait(p->rec, kind, user, 0, 0, &e) < 0) {
        CHECK_THAT(now_ms() < end, "no event %s comes", oh_event_kind_get_name(kind));
        if (readable(fd, 200)) CHECK_THAT(take_all(p) > 0, "the descriptor is readable, but there is nothing to take");
    }
    return e;
}

typedef struct puller {
    oh_call call;
    oh_result result;
    uint32_t timeout;
    atomic_int busy;
} puller;

static void *pull_on(void *arg)
{
    puller *p = arg;
    const oh_event *e;
    do {
        atomic_store(&p->busy, 1);
        p->result = oh_call_wait_event(p->call, p->timeout, &e);
        if (p->result == OH_OK) oh_event_free(e);
    } while (p->result == OH_OK);
    return NULL;
}

static void basics(void)
{
    peer alice = { 0 }, bob = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    const oh_event *e, *kept = NULL;
    int32_t fd, same;
    rec_received received;

    test_step(20, "events and audio by poll()");
    peer_join(&alice, "alice", "pull", NULL);
    peer_publish_tone(&alice, 600);
    what.pull_audio = 1;
    open_pulled(&bob, "bob", &what);
    CHECK_OK(oh_call_get_wake_fd(bob.call, &fd));
    CHECK_OK(oh_call_get_wake_fd(bob.call, &same));
    CHECK_EQ(fd, same);
    pull_until(&bob, fd, OH_EVENT_JOINED, NULL);
    pull_until(&bob, fd, OH_EVENT_TRACK_PUBLISHED, "alice");
    double end = now_ms() + ms(10000);
    int tone_received = 0;
    while (!tone_received) {
        CHECK_THAT(now_ms() < end, "alice's tone does not come");
        uint64_t before = rec_received_of(bob.rec, "alice", &received) ? received.windows : 0;
        if (readable(fd, 200)) take_all(&bob);
        if (rec_received_of(bob.rec, "alice", &received) && received.windows > before)
            tone_received = tone_share(received.window, received.room, 1, 600, received.rate) > 0.8;
    }

    test_step(10, "an event stays valid after its call was freed; freed twice");
    end = now_ms() + ms(5000);
    while (!kept || kept->kind != OH_EVENT_AUDIO) {
        oh_event_free(kept);
        kept = NULL;
        CHECK_THAT(now_ms() < end, "no audio arrives");
        oh_result r = oh_call_wait_event(bob.call, 200, &kept);
        CHECK(r == OH_OK || r == OH_ERR_EMPTY);
    }
    CHECK_OK(oh_call_wait_event(bob.call, ms(2000), &e));
    oh_event_free(e);
    oh_event_free(e);
    oh_event_free((const oh_event *)((const char *)kept + 8)); /* not an event: ignored */
    oh_call_free(bob.call);
    CHECK_STR(kept->u.audio->user_id, "alice");
    CHECK_EQ(kept->u.audio->frames, 960);
    int32_t sum = 0;
    for (int i = 0; i < 960; i++) sum += kept->u.audio->samples_s16[i];
    CHECK(sum != INT32_MAX);
    oh_event_free(kept);
    oh_event_free(kept);
    CHECK_OH(oh_call_wait_event(bob.call, 0, &e), OH_ERR_HANDLE);
    CHECK_OH(oh_call_get_wake_fd(bob.call, &fd), OH_ERR_HANDLE);
    oh_client_free(bob.client);
    rec_free(bob.rec);
    peer_close(&alice);
}

static void results(void)
{
    peer bob = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    const oh_event *e;
    int32_t fd;
    pthread_t thread;

    test_step(20, "nothing there, another puller, the end");
    open_pulled(&bob, "bob2", &what);
    CHECK_OK(oh_call_get_wake_fd(bob.call, &fd));
    pull_until(&bob, fd, OH_EVENT_JOINED, NULL);
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_JOINED, 0));
    /* No more events arrive once those of the join have been taken. */
    double end = now_ms() + ms(5000);
    double began;
    do {
        CHECK(now_ms() < end);
        take_all(&bob);
        began = now_ms();
    } while (oh_call_wait_event(bob.call, 100, &e) == OH_OK ? rec_take(bob.rec, e), oh_event_free(e), 1 : 0);
    CHECK_THAT(now_ms() - began >= 95, "next_event returned after %.0f of 100 ms", now_ms() - began);
    CHECK_OH(oh_call_wait_event(bob.call, 0, &e), OH_ERR_EMPTY);
    CHECK_THAT(!readable(fd, 0), "the descriptor is readable, but there is nothing to take");

    puller p = { .call = bob.call, .timeout = OH_FOREVER };
    CHECK_EQ(pthread_create(&thread, NULL, pull_on, &p), 0);
    end = now_ms() + ms(5000);
    oh_result r;
    while ((r = oh_call_wait_event(bob.call, 0, &e)) != OH_ERR_STATE) { /* until the other thread waits */
        if (r == OH_OK) oh_event_free(e);
        CHECK_THAT(now_ms() < end, "two threads pull at the same time");
        nap(1);
    }
    CHECK_OK(oh_call_leave(bob.call, NULL));
    pthread_join(thread, NULL);
    CHECK_EQ(p.result, OH_ERR_CLOSED); /* after it has taken the terminal event */
    CHECK_OH(oh_call_wait_event(bob.call, OH_FOREVER, &e), OH_ERR_CLOSED);
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_LEFT, ms(2000)));
    oh_client_free(bob.client);
    rec_free(bob.rec);
}

static void free_while_pulling(void)
{
    for (unsigned i = 0; i < rounds(60); i++) {
        peer bob = { 0 };
        oh_call_options what = OH_INIT(oh_call_options);
        pthread_t thread;
        char user[32];
        test_step(10, "freed while another thread pulls, %u", i);
        snprintf(user, sizeof user, "bob-%u", i);
        open_pulled(&bob, user, &what);
        puller p = { .call = bob.call, .timeout = OH_FOREVER };
        CHECK_EQ(pthread_create(&thread, NULL, pull_on, &p), 0);
        if (i % 3 == 0) CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_JOINED, ms(5000)));
        if (i % 3 == 1) while (!atomic_load(&p.busy)) nap(0);
        i % 2 ? oh_call_free(bob.call) : oh_client_free(bob.client);
        pthread_join(thread, NULL);
        CHECK_THAT(p.result == OH_ERR_CLOSED || p.result == OH_ERR_HANDLE, "next_event is %s", oh_result_get_name(p.result));
        oh_client_free(bob.client);
        rec_free(bob.rec);
    }
}

static void slow_application(void)
{
    peer bob = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    const oh_event *e;
    uint64_t lost = 0;
    unsigned taken = 0;
    char session[64];

    test_step(30, "an application that does not take its events");
    what.max_queued_events = 16;
    open_pulled(&bob, "slow", &what);
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_JOINED, ms(10000)));
    char *state = ctl_state();
    json_text(state, "sessions/?user_id=slow/session_id", session, sizeof session);
    free(state);
    for (int i = 0; i < 100; i++)
        ctl("pins", "{\"cid\":\"default:pull\",\"sessions\":[%s%s%s]}", i % 2 ? "" : "\"", i % 2 ? "" : session, i % 2 ? "" : "\"");
    double end = now_ms() + ms(10000);
    oh_call_stats s;
    do {
        CHECK_THAT(now_ms() < end, "no event is counted as lost");
        s = peer_stats(&bob);
        nap(5);
    } while (s.events_dropped < 50);
    CHECK_OK(oh_call_leave(bob.call, NULL));
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_LEFT, ms(3000)));
    oh_result r;
    while ((r = oh_call_wait_event(bob.call, ms(1000), &e)) == OH_OK) {
        if (e->kind == OH_EVENT_LOST) lost += e->u.lost->total;
        else taken++;
        rec_take(bob.rec, e);
        oh_event_free(e);
    }
    CHECK_EQ(r, OH_ERR_CLOSED);
    s = peer_stats(&bob);
    CHECK_EQ(lost, s.events_dropped);
    CHECK_THAT(taken < 40, "%u events were kept in a queue of 16", taken);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_JOINED), 1);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_ENDED), 1);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_STATE), 3); /* joining, joined, left */
    oh_client_free(bob.client);
    rec_free(bob.rec);
}

int main(void)
{
    test_begin("pull");
    basics();
    results();
    free_while_pulling();
    slow_application();
    return test_end();
}
