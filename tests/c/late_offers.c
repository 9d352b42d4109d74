/*
 * late_offers.c - an offer for a subscriber that is closed, freed or never created, or for a call that is leaving or
 * left, is dropped without an error.
 * test: timeout=120
 *
 * A thousand races of bursts of offers against oh_subscriber_close, oh_subscriber_free, oh_call_leave and
 * oh_call_free, while two other participants of the process send audio. Expected: no event of kind error or
 * local_failed, no failed offer, no reconnect; each offer that the SFU sent is counted as answered or as late; the
 * two participants receive each other's audio without a gap of more than 200 ms.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_errors(peer *p)
{
    oh_call_stats s = peer_stats(p);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(s.error_events, 0);
    CHECK_EQ(s.offers_failed, 0);
    CHECK_EQ(s.join_attempts, 1);
    CHECK_EQ(s.malformed_messages, 0);
}

/*
 * The number of offers that the SFU has sent to a user: real offers and late ones. Checks that they had no other
 * effect. `all` becomes 0 while some of the requested late offers are not sent yet.
 */
static uint64_t written(const char *user, int *all)
{
    char *state = ctl_state();
    const char *session = session_of(state, user);
    long long real = json_int(session, "offers_sent", -1), late = json_int(session, "late_offers_sent", -1);
    CHECK(real >= 0 && late >= 0);
    if (all) *all = late == json_int(session, "late_offers_asked", -1);
    CHECK_EQ(json_int(session, "rpcs/IceRestart", -1), 0);
    CHECK_EQ(json_int(session, "sockets", -1), 1); /* no reconnect */
    free(state);
    return (uint64_t)(real + late);
}

/* Waits until the call has counted every offer that was sent to it. */
static void all_counted(peer *p)
{
    double end = now_ms() + ms(10000);
    for (;;) {
        int all;
        uint64_t offers = written(p->user, &all);
        oh_call_stats s = { 0 };
        for (double soon = now_ms() + 100; all && now_ms() < soon; nap(1)) {
            s = peer_stats(p);
            if (s.late_offers + s.offers_answered >= offers) break;
        }
        if (all && s.late_offers + s.offers_answered == offers) return;
        CHECK_THAT(now_ms() < end, "%s: the SFU wrote %llu offers; %llu were answered and %llu dropped as late", p->user,
                   (unsigned long long)offers, (unsigned long long)s.offers_answered, (unsigned long long)s.late_offers);
    }
}

static peer left_sender, right_sender;

static void senders_begin(void)
{
    test_step(20, "two participants send audio, unaffected by all that follows");
    peer_join(&left_sender, "left", "bystanders", NULL);
    peer_join(&right_sender, "right", "bystanders", NULL);
    peer_publish_tone(&left_sender, 400);
    peer_publish_tone(&right_sender, 900);
    CHECK(rec_wait_tone(left_sender.rec, "right", 900, ms(10000)));
    CHECK(rec_wait_tone(right_sender.rec, "left", 400, ms(10000)));
    rec_gaps_begin(left_sender.rec);
    rec_gaps_begin(right_sender.rec);
}

static void senders_check(void)
{
    double a = rec_gap(left_sender.rec, "right"), b = rec_gap(right_sender.rec, "left");
    double limit = ms(200) + 3 * rec_stall(); /* the SFU, the library and the writer may each be delayed */
    printf("           longest gaps of the two participants: %.0f and %.0f ms\n", a, b);
    CHECK_THAT(a <= limit && b <= limit, "the two participants had gaps of %.0f and %.0f ms, the machine stalled for %.0f", a, b, rec_stall());
    CHECK(rec_wait_tone(left_sender.rec, "right", 900, ms(5000)));
    CHECK(rec_wait_tone(right_sender.rec, "left", 400, ms(5000)));
    CHECK_OK(oh_call_wait_state(left_sender.call, OH_STATE_JOINED, 0));
    CHECK_OK(oh_call_wait_state(right_sender.call, OH_STATE_JOINED, 0));
    no_errors(&left_sender);
    no_errors(&right_sender);
    CHECK_EQ(peer_stats(&left_sender).late_offers, 0);
    rec_gaps_begin(left_sender.rec);
    rec_gaps_begin(right_sender.rec);
}

/* ---- without a race: every single offer is counted ---- */

static void exactly(void)
{
    peer bot = { 0 };
    oh_subscriber sub;
    oh_call_options what = OH_INIT(oh_call_options);

    test_step(30, "1,000 offers for a bot without a subscriber");
    what.no_subscriber = 1;
    peer_join(&bot, "never", "late", &what);
    peer_publish_tone(&bot, 500);
    EXPECT(bot.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    ctl("late_offer", "{\"user_id\":\"never\",\"count\":1000,\"wait\":true}");
    CHECK_EQ(ctl_session_wait("never", "late_offers_sent", 1000, ms(10000)), 1000);
    all_counted(&bot);
    CHECK_EQ(peer_stats(&bot).offers_answered, 0);
    CHECK(peer_stats(&bot).late_offers >= 1000);
    CHECK_EQ(ctl_session("never", "answers_received"), 0); /* the offers caused no RPC */
    no_errors(&bot);
    CHECK_OK(oh_call_wait_state(bot.call, OH_STATE_JOINED, 0));
    peer_close(&bot);

    for (int freed = 0; freed < 2; freed++) {
        const char *user = freed ? "freed" : "closed";
        test_step(30, "1,000 offers for a subscriber that was %s", user);
        peer_join(&bot, user, "late", NULL);
        peer_publish_tone(&bot, 500);
        EXPECT(bot.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
        CHECK_OK(oh_call_get_subscriber(bot.call, &sub));
        freed ? oh_subscriber_free(sub) : (void)oh_subscriber_close(sub);
        ctl("late_offer", "{\"user_id\":\"%s\",\"count\":1000,\"wait\":true}", user);
        CHECK_EQ(ctl_session_wait(user, "late_offers_sent", 1000, ms(10000)), 1000);
        all_counted(&bot);
        CHECK(peer_stats(&bot).late_offers >= 1000);
        CHECK_EQ(peer_stats(&bot).late_offers_leaving, 0);
        no_errors(&bot);
        /* The publisher still sends. */
        uint64_t sent = peer_stats(&bot).packets_sent;
        for (double end = now_ms() + ms(5000); peer_stats(&bot).packets_sent < sent + 5; nap(5)) CHECK(now_ms() < end);
        peer_close(&bot);
    }
}

static void while_leaving(void)
{
    unsigned total = rounds(50);
    uint64_t leaving = 0, late = 0, asked = 0;
    test_step(60, "%u calls leave into a burst of offers", total);
    for (unsigned i = 0; i < total; i++) {
        peer p = { 0 };
        char user[32];
        snprintf(user, sizeof user, "leaving-%u", i);
        peer_join(&p, user, "late", NULL);
        ctl("late_offer", "{\"user_id\":\"%s\",\"count\":50,\"when\":\"leave\"}", user);
        double began = now_ms();
        CHECK_OK(oh_call_leave(p.call, "bye"));
        rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
        CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
        CHECK_EQ(e.error, OH_OK);
        CHECK_EQ(e.code, OH_END_LEFT);
        oh_call_stats s = peer_stats(&p);
        uint64_t wrote = written(user, NULL);
        CHECK_THAT(s.late_offers_leaving <= s.late_offers && s.late_offers <= wrote,
                   "%llu late offers, %llu of them while leaving; the SFU wrote %llu", (unsigned long long)s.late_offers,
                   (unsigned long long)s.late_offers_leaving, (unsigned long long)wrote);
        leaving += s.late_offers_leaving;
        late += s.late_offers;
        asked += 50;
        no_errors(&p);
        /* After the end: no event, no change. */
        ctl("late_offer", "{\"user_id\":\"%s\",\"count\":10}", user);
        peer_close(&p);
    }
    printf("           of %llu offers %llu came while leaving, %llu late in all\n", (unsigned long long)asked,
           (unsigned long long)leaving, (unsigned long long)late);
    CHECK_THAT(leaving > 0, "no offer came while a call was leaving: this test tested nothing");
}

/* ---- the races ---- */

enum { WORKERS = 6 };

typedef struct races {
    unsigned total;
    atomic_uint next;
    atomic_ullong late;
    atomic_uint hit; /* races in which at least one offer was late */
} races;

static void race(void *arg, unsigned worker)
{
    races *all = arg;
    unsigned i;
    (void)worker;
    while ((i = atomic_fetch_add(&all->next, 1)) < all->total) {
        peer p = { 0 };
        oh_subscriber sub;
        char user[32];
        snprintf(user, sizeof user, "race-%u", i);
        peer_join(&p, user, i % 7 ? "races" : user, NULL);
        CHECK_OK(oh_call_get_subscriber(p.call, &sub));
        /* No wait for these offers: they arrive while the subscriber or the call is being closed. */
        ctl("late_offer", "{\"user_id\":\"%s\",\"count\":%u}", user, 1 + (unsigned)(test_random() % 12));
        for (double until = now_ms() + (double)(test_random() % 2000) / 1000; now_ms() < until;) {}
        switch (i % 4) {
        case 0: CHECK_OK(oh_subscriber_close(sub)); break;
        case 1: oh_subscriber_free(sub); break;
        case 2: CHECK_OK(oh_call_leave(p.call, NULL)); break;
        default: break; /* freed below */
        }
        if (i % 4 == 3) {
            size_t errors = rec_count(p.rec, OH_EVENT_ERROR);
            oh_call_stats s = peer_stats(&p);
            CHECK_EQ(s.offers_failed, 0);
            tone_stop(p.tone);
            oh_call_free(p.call);
            CHECK_EQ(errors + rec_count(p.rec, OH_EVENT_ERROR), 0);
            rec_call_freed(p.rec);
            oh_client_free(p.client);
            rec_free(p.rec);
            continue;
        }
        if (i % 4 == 2) {
            EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
        } else {
            all_counted(&p);
            CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0)); /* the call continues */
        }
        no_errors(&p);
        uint64_t late = peer_stats(&p).late_offers;
        atomic_fetch_add(&all->late, late);
        atomic_fetch_add(&all->hit, late > 0);
        peer_close(&p);
    }
}

int main(void)
{
    races all = { .total = rounds(1000) };

    test_begin("late_offers");
    senders_begin();
    exactly();
    senders_check();
    while_leaving();
    senders_check();
    test_step(100, "%u races", all.total);
    on_threads(test_scale() > 10 ? 2 : WORKERS, race, &all);
    printf("           %llu offers were late, in %u races\n", (unsigned long long)atomic_load(&all.late), atomic_load(&all.hit));
    CHECK_THAT(atomic_load(&all.hit) >= all.total / 20, "hardly an offer was late: this test tested nothing");
    senders_check();
    test_step(20, "the end");
    peer_close(&left_sender);
    peer_close(&right_sender);
    return test_end();
}
