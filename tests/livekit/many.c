/*
 * many.c - twenty participants in one room and one process, five of whom send audio.
 * test: timeout=150
 *
 * Expected: every participant gets one event for each of the others, and receives every sender; the counts are
 * right; no session has its own thread; half of them leave at once, and the others get the events and still receive
 * audio; no call gets an error; at the end the numbers of descriptors and threads are as before.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = 20, STAY = 10, SPEAKERS = 5, EVERY = ALL / SPEAKERS };

static peer all[ALL];
static unsigned present;

static int speaks(unsigned i)
{
    return i % EVERY == 0;
}

static double pitch(unsigned i)
{
    return 400 + 150 * i / EVERY;
}

static const char *name_of(unsigned i, char out[16])
{
    snprintf(out, 16, "p%02u", i);
    return out;
}

static void join(void *arg, unsigned i)
{
    char name[16];
    (void)arg;
    peer_join(&all[i], name_of(i, name), "many", NULL);
}

static void leave(void *arg, unsigned i)
{
    (void)arg;
    peer_close(&all[STAY + i]);
}

static void leave_last(void *arg, unsigned i)
{
    (void)arg;
    peer_close(&all[i]);
}

/* The number of events of a kind about a user. */
static int count_events(peer *p, int kind, const char *user)
{
    int count = 0;
    pthread_mutex_lock(&p->rec->lock);
    for (size_t i = 0; i < p->rec->count; i++) count += p->rec->events[i].kind == kind && !strcmp(p->rec->events[i].user, user);
    pthread_mutex_unlock(&p->rec->lock);
    return count;
}

/* Participant i gets one event for every other one, and receives every sender that is present. */
static void meets_all(void *arg, unsigned i)
{
    char name[16];
    (void)arg;
    for (unsigned k = 0; k < present; k++) {
        if (k == i) continue;
        EXPECT(all[i].rec, OH_EVENT_PARTICIPANT_JOINED, name_of(k, name), ms(20000));
        CHECK_EQ(count_events(&all[i], OH_EVENT_PARTICIPANT_JOINED, name), 1);
        if (!speaks(k)) continue;
        EXPECT(all[i].rec, OH_EVENT_TRACK_PUBLISHED, name, ms(20000));
        CHECK_THAT(rec_wait_tone(all[i].rec, name, pitch(k), ms(30000)), "%s does not receive %s", all[i].user, name);
    }
}

static void loses_half(void *arg, unsigned i)
{
    char name[16];
    (void)arg;
    for (unsigned k = STAY; k < ALL; k++) {
        EXPECT(all[i].rec, OH_EVENT_PARTICIPANT_LEFT, name_of(k, name), ms(20000));
        CHECK_EQ(count_events(&all[i], OH_EVENT_PARTICIPANT_LEFT, name), 1);
        if (speaks(k)) CHECK_EQ(count_events(&all[i], OH_EVENT_TRACK_UNPUBLISHED, name), 1);
    }
}

static int counted(recorder *r, void *arg)
{
    uint32_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->events[i].kind == OH_EVENT_COUNTS || r->events[i].kind == OH_EVENT_JOINED) count = r->events[i].count;
    return count == *(unsigned *)arg;
}

static void no_errors(unsigned i)
{
    oh_call_stats s = peer_stats(&all[i]);
    CHECK_EQ(rec_count(all[i].rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(all[i].rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(rec_count(all[i].rec, OH_EVENT_LOST), 0);
    CHECK_EQ(s.error_events, 0);
    CHECK_EQ(s.offers_failed, 0);
    CHECK_EQ(s.malformed_messages, 0);
    CHECK_EQ(s.join_attempts, 1);
    CHECK_EQ(s.reconnect_attempts, 0);
    CHECK_EQ(s.participants, present);
}

int main(void)
{
    int threads = count_threads(), fds = count_fds();

    test_begin("many");
    test_step(30, "twenty join at once");
    on_threads(ALL, join, NULL);
    for (unsigned i = 0; i < ALL; i++)
        if (speaks(i)) peer_publish_tone(&all[i], pitch(i));

    test_step(60, "all get events for all others, and receive every sender");
    present = ALL;
    on_threads(ALL, meets_all, NULL);
    for (unsigned i = 0; i < ALL; i++) {
        CHECK_THAT(rec_wait_until(all[i].rec, counted, &present, ms(15000)), "%s gets another count than %u", all[i].user, present);
        no_errors(i);
    }
    int busy = count_threads() - SPEAKERS; /* without those of the tones */
    CHECK_THAT(busy < ALL / 2, "%d threads for %d sessions:%s", busy, ALL, thread_names());

    test_step(40, "half of them leave at once");
    on_threads(ALL - STAY, leave, NULL);
    present = STAY;
    on_threads(STAY, loses_half, NULL);
    on_threads(STAY, meets_all, NULL);
    for (unsigned i = 0; i < STAY; i++) {
        CHECK_THAT(rec_wait_until(all[i].rec, counted, &present, ms(15000)), "%s gets another count than %u", all[i].user, present);
        no_errors(i);
    }

    test_step(40, "the others as well; nothing is left");
    on_threads(STAY, leave_last, NULL);
    CHECK_OK(oh_shutdown_wait(ms(10000)));
    int after = settle(count_threads, threads, ms(5000));
    CHECK_THAT(after <= threads, "%d threads, before there were %d:%s", after, threads, thread_names());
    after = settle(count_fds, fds, ms(5000));
    CHECK_THAT(after <= fds, "%d descriptors, before there were %d", after, fds);
    return test_end();
}
