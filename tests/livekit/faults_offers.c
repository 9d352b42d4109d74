/*
 * test: timeout=120 stand=--proxy
 * faults_offers.c - late offers, over a real LiveKit server (H1). Only with two peer connections does the server offer
 * anything, so the stand refuses the path for one.
 *
 * Offers of the server are repeated, held back and released when the subscriber is closed, freed or was never
 * created, when the call leaves, has left or is freed, and on the next socket, before and after JoinResponse.
 * Expected: no error, no effect on other calls, each counted in late_offers; duplicates for an open subscriber have
 * no effect.
 */
#include "beside.h"
#include "livekit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BURST = 300 };

static peer bob; /* the participant whom all others receive */

/* The server looks like an older one. */
static void two_connections(void)
{
    ctl("refuse", "{\"path\":\"/rtc/v1\",\"status\":404}");
}

/* Waits until a call has counted this many late offers. */
static void late(peer *p, uint64_t least)
{
    uint64_t is = 0;
    for (double end = now_ms() + ms(10000); (is = peer_stats(p).late_offers) < least; nap(5))
        CHECK_THAT(now_ms() < end, "%s has counted %llu late offers of %llu", p->user, (unsigned long long)is,
                   (unsigned long long)least);
}

/* fresh: with new ICE credentials, so that they look like new offers. */
static long long replay_as(const char *user, int count, int fresh)
{
    char *answer = ctl_answer("replay", "{\"identity\":\"%s\",\"count\":%d,\"ice_restart\":%s}", user, count, fresh ? "true" : "false");
    long long sent = json_int(answer, "sent", -1) + json_int(answer, "waiting", -1);
    free(answer);
    return sent;
}

static long long replay(const char *user, int count)
{
    return replay_as(user, count, 0);
}

/* Joins, sends audio and waits until it is received both ways: offers were negotiated. */
static void settle_in(peer *p, const char *user, const char *room)
{
    peer_join(p, user, room, NULL);
    peer_publish_tone(p, 500);
    receives_tone(p, "bob", 1200, ms(10000));
    receives_tone(&bob, user, 500, ms(10000));
}

static void h01_after_close_and_free(void)
{
    for (int freed = 0; freed < 2; freed++) {
        peer p = { 0 };
        oh_subscriber sub;
        const char *user = freed ? "freed" : "closed";
        settle_in(&p, user, "offers");
        CHECK_OK(oh_call_get_subscriber(p.call, &sub));
        freed ? oh_subscriber_free(sub) : (void)oh_subscriber_close(sub);
        CHECK_EQ(replay(user, BURST), BURST);
        CHECK_EQ(replay_as(user, BURST, 1), BURST);
        late(&p, 2 * BURST); /* all of them; oh_subscriber_close describes which offers are still answered */
        no_errors(&p);
        receives_tone(&bob, user, 500, ms(10000)); /* it still sends audio */
        CHECK_EQ(replay(user, 1), 1);      /* in the same session */
        late(&p, 2 * BURST + 1);
        no_errors(&p);
        CHECK_EQ(peer_stats(&p).reconnects_rejoin, 0);
        peer_close(&p);
    }
}

static void h01_never_made(void)
{
    peer p = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    what.no_subscriber = 1;
    peer_join(&p, "never", "offers", &what);
    peer_publish_tone(&p, 500);
    receives_tone(&bob, "never", 500, ms(10000));
    livekit_identity_wait("never", "answers", 1, ms(10000)); /* the server considers the participant connected */
    CHECK_EQ(replay("never", BURST), BURST);
    CHECK_EQ(replay_as("never", BURST, 1), BURST);
    late(&p, 2 * BURST);
    CHECK_EQ(rec_frames(p.rec, "bob"), 0);
    no_errors(&p);
    peer_close(&p);
}

/* Offers arrive while the call leaves, when it has left, and when it is freed. */
static void h01_h38_while_leaving(void)
{
    uint64_t leaving = 0;
    ctl("linger", "{\"identity\":\"leaver\",\"ms\":300}");
    for (int i = 0; i < 6; i++) {
        peer p = { 0 };
        double began;
        settle_in(&p, "leaver", "offers");
        replay_as("leaver", 50, i % 2);
        if (i % 3 == 2) { /* freed directly: destroy has run when it returns */
            tone_stop(p.tone);
            oh_call_free(p.call);
            rec_call_freed(p.rec);
            replay_as("leaver", 50, i % 2);
            oh_client_free(p.client);
            rec_free(p.rec);
        } else {
            began = now_ms();
            CHECK_OK(oh_call_leave(p.call, "bye"));
            replay_as("leaver", 50, i % 2);
            rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
            CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
            CHECK_EQ(e.error, OH_OK);
            CHECK_EQ(e.code, OH_END_LEFT);
            replay_as("leaver", 50, i % 2);
            leaving += peer_stats(&p).late_offers_leaving;
            CHECK_EQ(peer_stats(&p).offers_failed, 0);
            CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
            peer_close(&p);
        }
        ctl("reset", "{}"); /* drop the offers that wait for the next socket: they belong to this step */
        two_connections();
        ctl("linger", "{\"identity\":\"leaver\",\"ms\":300}");
    }
    printf("           %llu offers came while leaving\n", (unsigned long long)leaving);
    CHECK_THAT(leaving > 0, "no offer came while a call was leaving: this tested nothing");
    ctl("reset", "{}");
    two_connections();
}

/* The server holds back offers while the subscriber closes, or the call leaves. */
static void h01_held_back(void)
{
    peer p = { 0 }, carol = { 0 };
    oh_subscriber sub;
    settle_in(&p, "held", "offers");
    ctl("hold_offers", "{\"identity\":\"held\"}");
    peer_join(&carol, "carol", "offers", NULL);
    peer_publish_tone(&carol, 800); /* for which the server has to send an offer */
    livekit_identity_wait("held", "held", 1, ms(10000));
    CHECK_OK(oh_call_get_subscriber(p.call, &sub));
    CHECK_OK(oh_subscriber_close(sub));
    uint64_t answered = peer_stats(&p).offers_answered;
    ctl("release", "{\"identity\":\"held\"}");
    for (double end = now_ms() + ms(10000); peer_stats(&p).offers_answered <= answered; nap(5)) CHECK_THAT(now_ms() < end, "no answer");
    CHECK_EQ(rec_frames(p.rec, "carol"), 0);
    no_errors(&p);
    peer_close(&p);
    peer_close(&carol);
}

/* The same offers again, for an open subscriber: it has answered them, and the server accepts no second answer. */
static void h03_h09_sent_twice(void)
{
    peer p = { 0 };
    settle_in(&p, "twice", "offers");
    size_t mark = rec_mark(p.rec);
    CHECK_EQ(replay("twice", 20), 20);
    receives_tone(&p, "bob", 1200, ms(10000));
    late(&p, 20);
    receives_tone(&p, "bob", 1200, ms(20000));
    receives_tone(&bob, "twice", 500, ms(10000));
    no_errors(&p);
    CHECK(rec_wait(p.rec, OH_EVENT_STATE, NULL, mark, 0, NULL) < 0);
    peer_close(&p);
}

/* Offers of the lost session arrive on the next socket, before and after its first message. */
static void h01_h09_on_the_next_socket(void)
{
    peer p = { 0 };
    size_t mark;

    settle_in(&p, "next", "offers");
    /* FAST: the session and its peer connection continue. */
    mark = rec_mark(p.rec);
    ctl("refuse", "{\"identity\":\"next\",\"status\":503,\"count\":1}");
    ctl("cut", "{\"identity\":\"next\"}");
    EXPECT_FROM(p.rec, mark, OH_EVENT_STATE, NULL, ms(5000));
    replay("next", 3);
    back_from(&p, mark, 0, ms(15000));
    receives_tone(&p, "bob", 1200, ms(15000));
    receives_tone(&bob, "next", 500, ms(15000));
    /* REJOIN: the offers belong to a session that no longer exists. */
    for (int i = 0; i < 1; i++) {
        uint64_t before = peer_stats(&p).late_offers;
        mark = rec_mark(p.rec);
        ctl("refuse", "{\"identity\":\"next\",\"status\":503,\"count\":1}");
        ctl("inject", "{\"identity\":\"next\",\"message\":\"QgIYAg==\"}"); /* leave, with the action RECONNECT */
        livekit_identity_wait("next", "refused", 2 + i, ms(10000));
        for (double end = now_ms() + ms(5000); livekit_identity("next", "live") > 0; nap(5)) CHECK_THAT(now_ms() < end, "the socket stays");
        char *answer = ctl_answer("replay", "{\"identity\":\"next\",\"count\":3}");
        /* A waiting offer is sent twice: before JoinResponse and after it. */
        long long asked = json_int(answer, "sent", 0) + 2 * json_int(answer, "waiting", 0);
        free(answer);
        CHECK_EQ(back_from(&p, mark, 0, ms(15000)).code, OH_RECONNECT_REJOIN);
        receives_tone(&p, "bob", 1200, ms(15000));
        receives_tone(&bob, "next", 500, ms(15000));
        CHECK(asked >= 3);
        late(&p, before + (uint64_t)asked);
        no_errors(&p);
        CHECK_EQ(rec_count(p.rec, OH_EVENT_RECONNECTED), 2 + (size_t)i); /* the offers cause no further reconnect */
    }
    peer_close(&p);
    /* Offers of an earlier call reach a new call of the same participant. */
    CHECK_EQ(replay("next", 3), 3);
    settle_in(&p, "next", "offers");
    no_errors(&p);
    peer_close(&p);
}

#define SHOW(item) test_step(40, #item), item(), beside_check(#item)

int main(void)
{
    test_begin("faults_offers");
    two_connections();
    test_step(20, "two participants in another call");
    beside_begin();
    peer_join(&bob, "bob", "offers", NULL);
    peer_publish_tone(&bob, 1200);
    SHOW(h01_after_close_and_free);
    SHOW(h01_never_made);
    SHOW(h01_h38_while_leaving);
    SHOW(h01_held_back);
    SHOW(h03_h09_sent_twice);
    SHOW(h01_h09_on_the_next_socket);
    test_step(20, "the end");
    no_errors(&bob);
    peer_close(&bob);
    beside_end();
    return test_end();
}
