/*
 * silent.c - an SFU that does not respond, at each stage of a join and of a negotiation.
 *
 * Expected: the join ends at its deadline of 5 s per stage with OH_ERR_TIMEOUT, in the event and from
 * oh_call_wait_state; a request without a response is retried once and succeeds; one that never gets a response
 * fails with a typed error; leaving at any stage ends within 2 s with OH_ERR_CANCELLED.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const stages[] = { "tcp", "join_http", "ws_upgrade", "join_response" };
enum { STAGES = sizeof stages / sizeof *stages };

static int listener, port;

static void open_at(peer *p, int stage, const char *user, oh_call_options *what)
{
    oh_client_options where = OH_INIT(oh_client_options);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    where.url = stage ? sfu_url() : url;
    where.user_id = user;
    where.token = "development";
    if (stage) ctl("silent", "{\"stage\":\"%s\",\"user_id\":\"%s\",\"count\":1}", stages[stage], user);
    p->rec = rec_new();
    snprintf(p->user, sizeof p->user, "%s", user);
    CHECK_OK(oh_client_new(&where, &p->client));
    what->call_id = "silent";
    what->handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, what, &p->call));
}

/* Fault rules that are used up disappear from the state. */
static void wait_used_up(void)
{
    double end = now_ms() + ms(5000);
    for (;;) {
        char *state = ctl_state();
        int left = json_count(state, "faults/silent");
        free(state);
        if (left == 0) return;
        CHECK_THAT(now_ms() < end, "the SFU gets no request");
        nap(2);
    }
}

static void leaving(void)
{
    for (int stage = 0; stage < STAGES; stage++)
        for (int twice = 0; twice < 2; twice++) {
            peer p = { 0 };
            oh_call_options what = OH_INIT(oh_call_options);
            char user[64];
            test_step(15, "leaving while %s is silent", stages[stage]);
            snprintf(user, sizeof user, "leaver-%s-%d", stages[stage], twice);
            open_at(&p, stage, user, &what);
            if (stage) {
                wait_used_up();
            } else {
                close(accept(listener, NULL, NULL)); /* accept the connection, then close it */
            }
            double began = now_ms();
            CHECK_OK(oh_call_leave(p.call, "no answer"));
            if (twice) CHECK_OK(oh_call_leave(p.call, "no answer"));
            rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
            CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
            CHECK_EQ(e.code, OH_END_LEFT);
            CHECK_EQ(e.error, OH_ERR_CANCELLED);
            CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, 0), OH_ERR_CANCELLED);
            CHECK_EQ(rec_count(p.rec, OH_EVENT_JOINED), 0);
            peer_close(&p);
        }
}

int main(void)
{
    peer silent[STAGES] = { 0 }, again[3] = { 0 }, never = { 0 }, sender = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    char user[64];
    double began[STAGES], publishing;

    test_begin("silent");
    listener = silent_server(&port);
    leaving();

    test_step(15, "a participant sends audio");
    peer_join(&sender, "sender", "silent", NULL);
    peer_publish_tone(&sender, 500);
    EXPECT(sender.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));

    test_step(20, "requests that are not answered once");
    /* These run while the joins below wait for their deadlines. */
    ctl("silent", "{\"stage\":\"set_publisher\",\"user_id\":\"again-0\",\"count\":1}");
    ctl("silent", "{\"stage\":\"send_answer\",\"user_id\":\"again-1\",\"count\":1}");
    ctl("silent", "{\"stage\":\"offer\",\"user_id\":\"again-2\",\"count\":1}");
    ctl("silent", "{\"stage\":\"set_publisher\",\"user_id\":\"never\"}");
    for (int i = 0; i < 3; i++) {
        snprintf(user, sizeof user, "again-%d", i);
        peer_join(&again[i], user, "silent", NULL);
    }
    CHECK_OK(oh_call_publish_audio(again[0].call, NULL, &again[0].mic));
    peer_join(&never, "never", "silent", NULL);
    publishing = now_ms();
    CHECK_OK(oh_call_publish_audio(never.call, NULL, &never.mic));

    test_step(15, "each stage of a join is silent");
    what.join_retries = OH_ZERO;
    for (int i = 0; i < STAGES; i++) {
        snprintf(user, sizeof user, "silent-%s", stages[i]);
        began[i] = now_ms();
        open_at(&silent[i], i, user, &what);
    }
    for (int i = 0; i < STAGES; i++) {
        test_step(10, "%s is silent", stages[i]);
        oh_result r = oh_call_wait_state(silent[i].call, OH_STATE_JOINED, ms(7000));
        CHECK_OH(r, OH_ERR_TIMEOUT);
        rec_event e = EXPECT(silent[i].rec, OH_EVENT_ENDED, NULL, ms(500));
        CHECK_EQ(e.code, OH_END_JOIN_FAILED);
        CHECK_EQ(e.error, OH_ERR_TIMEOUT);
        CHECK_THAT(e.when - began[i] >= 4500 && e.when - began[i] <= ms(6500), "it ended after %.0f ms", e.when - began[i]);
        CHECK(e.text[0] != 0);
        CHECK_EQ(peer_stats(&silent[i]).join_attempts, 1);
        CHECK_EQ(rec_count(silent[i].rec, OH_EVENT_JOINED), 0);
        peer_close(&silent[i]);
    }

    test_step(20, "tried again");
    EXPECT(again[0].rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    CHECK_THAT(ctl_session("again-0", "rpcs/SetPublisher") >= 2, "SetPublisher was not tried again");
    for (int i = 1; i < 3; i++)
        CHECK_THAT(rec_wait_tone(again[i].rec, "sender", 500, ms(12000)), "%s receives no audio", again[i].user);
    for (int i = 0; i < 3; i++) {
        rec_event error = { 0 };
        rec_wait(again[i].rec, OH_EVENT_ERROR, NULL, 0, 0, &error);
        /* An answer that may have been lost is reported, and a new offer requested; there is no other error. */
        CHECK_THAT(!error.kind || i == 1, "%s got an error: %s", again[i].user, error.text);
        if (error.kind) CHECK_EQ(error.error, OH_ERR_TIMEOUT);
        CHECK(rec_count(again[i].rec, OH_EVENT_ERROR) <= 1);
        CHECK_OK(oh_call_wait_state(again[i].call, OH_STATE_JOINED, 0));
        peer_close(&again[i]);
    }

    test_step(50, "a publisher that is never answered");
    rec_event e = EXPECT(never.rec, OH_EVENT_LOCAL_TRACK_FAILED, NULL, ms(55000));
    printf("           after %.1f s: %s\n", (e.when - publishing) / 1e3, e.text);
    CHECK_EQ(e.error, OH_ERR_TIMEOUT);
    CHECK_EQ(e.track, never.mic.id);
    CHECK_OK(oh_call_wait_state(never.call, OH_STATE_JOINED, 0)); /* the call continues */
    CHECK_THAT(rec_wait_tone(never.rec, "sender", 500, ms(5000)), "a call that cannot publish still receives");

    test_step(15, "the end");
    peer_close(&never);
    peer_close(&sender);
    close(listener);
    return test_end();
}
