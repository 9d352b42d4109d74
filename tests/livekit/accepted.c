/*
 * test: timeout=120 stand=--proxy
 * accepted.c - data, texts and RPC responses that were accepted before a leave or a free arrive, over a real LiveKit
 * server; data that could not be sent is reported with its amounts before the end.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_of(peer *p, int kind, const char *user)
{
    size_t n = 0;
    pthread_mutex_lock(&p->rec->lock);
    for (size_t i = 0; i < p->rec->count; i++) n += p->rec->events[i].kind == kind && !strcmp(p->rec->events[i].user, user);
    pthread_mutex_unlock(&p->rec->lock);
    return n;
}

static void arrive(peer *p, int kind, const char *from, size_t count)
{
    for (double end = now_ms() + ms(5000); count_of(p, kind, from) < count; nap(5))
        CHECK_THAT(now_ms() < end, "%zu of %zu events %s of %s came", count_of(p, kind, from), count, oh_event_kind_get_name(kind), from);
}

static void gone(peer *p)
{
    rec_call_freed(p->rec);
    oh_client_free(p->client);
    rec_free(p->rec);
    memset(p, 0, sizeof *p);
}

static oh_event_unsent reported;
static size_t reported_at, ended_at;

static void keep(recorder *r, oh_call call, const oh_event *e)
{
    (void)call;
    if (e->kind == OH_EVENT_UNSENT) reported = *e->u.unsent, reported_at = r->count;
    if (e->kind == OH_EVENT_ENDED) ended_at = r->count;
}

/* Answers and leaves inside the same callback. */
static void answer_and_go(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    if (e->kind != OH_EVENT_RPC_REQUEST) return;
    CHECK_OK(oh_call_answer_rpc(call, e->u.rpc_request->request_id, "last", 0, NULL));
    CHECK_OK(oh_call_leave(call, "answered"));
}

int main(void)
{
    enum { PACKETS = 20, SIZE = 2000, TEXT = 40000 };
    peer bob = { 0 }, p = { 0 };
    char user[32], *text = malloc(TEXT + 1);
    static unsigned char bytes[SIZE];
    CHECK(text != NULL);
    memset(text, 'x', TEXT);
    text[TEXT] = 0;

    test_begin("accepted");
    test_step(15, "bob listens");
    peer_join(&bob, "bob", "accepted", NULL);

    /* Includes the first message of a call: its data channels are created while it leaves. */
    for (int round = 0; round < 8; round++) {
        int warm = round & 1, freed = round & 2;
        test_step(20, "a text and packets, then oh_call_%s%s", freed ? "free" : "leave", warm ? "" : ": the first of its call");
        snprintf(user, sizeof user, "alice-%d", round);
        memset(&reported, 0, sizeof reported);
        p.rec = rec_new();
        p.rec->on_event = keep;
        peer_join(&p, user, "accepted", NULL);
        rec_gaps_begin(p.rec);
        EXPECT(p.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
        if (warm) {
            CHECK_OK(oh_call_send_text(p.call, NULL, "warm"));
            arrive(&bob, OH_EVENT_TEXT, user, 1);
        }
        CHECK_OK(oh_call_send_text(p.call, NULL, text));
        for (int i = 0; i < PACKETS; i++) CHECK_OK(oh_call_send_data(p.call, NULL, bytes, SIZE));
        CHECK_OK(oh_call_send_text(p.call, NULL, "last"));
        double began = now_ms();
        if (freed) {
            oh_call_free(p.call);
        } else {
            CHECK_OK(oh_call_leave(p.call, NULL));
            CHECK_OH(oh_call_send_text(p.call, NULL, "too late"), OH_ERR_STATE);
            CHECK_OH(oh_call_send_data(p.call, NULL, bytes, SIZE), OH_ERR_STATE);
            rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000));
            CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
            /*
             * A machine that stalls may need more than the second for draining; the reported amounts must then be
             * right.
             */
            CHECK_THAT(!rec_count(p.rec, OH_EVENT_UNSENT) || rec_stall() > 50, "%llu packets and %llu texts were not sent",
                       (unsigned long long)reported.data_packets, (unsigned long long)reported.texts);
            CHECK_EQ(peer_stats(&p).data_unsent, reported.data_packets + reported.texts);
        }
        arrive(&bob, OH_EVENT_DATA, user, PACKETS - (size_t)reported.data_packets);
        arrive(&bob, OH_EVENT_TEXT, user, 2 + (size_t)warm - (size_t)reported.texts);
        if (freed) gone(&p);
        else peer_close(&p);
    }

    test_step(20, "an answer to a procedure call, then oh_call_leave, inside the callback");
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    for (int round = 0; round < 3; round++) {
        snprintf(user, sizeof user, "server-%d", round);
        p.rec = rec_new();
        p.rec->on_event = answer_and_go;
        peer_join(&p, user, "accepted", NULL);
        EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, user, ms(5000));
        rpc.to = user;
        rpc.method = "last";
        size_t mark = rec_mark(bob.rec);
        CHECK_OK(oh_call_perform_rpc(bob.call, &rpc, NULL));
        rec_event e = EXPECT_FROM(bob.rec, mark, OH_EVENT_RPC_RESPONSE, NULL, ms(20000));
        CHECK_EQ(e.code, 0);
        CHECK_STR(e.text, "last");
        EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000));
        peer_close(&p);
    }

    test_step(20, "OH_ZERO: no wait, and lost data is reported");
    oh_call_options at_once = OH_INIT(oh_call_options);
    at_once.drain_ms = OH_ZERO;
    p.rec = rec_new();
    p.rec->on_event = keep;
    peer_join(&p, "hasty", "accepted", &at_once);
    for (int i = 0; i < 5; i++) CHECK_OK(oh_call_send_data(p.call, NULL, bytes, SIZE)); /* no open channel yet */
    CHECK_OK(oh_call_send_text(p.call, NULL, "last"));
    CHECK_OK(oh_call_leave(p.call, NULL));
    EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_UNSENT), 1);
    CHECK(reported_at < ended_at);
    CHECK_EQ(reported.data_packets, 5);
    CHECK_EQ(reported.texts, 1);
    CHECK(reported.bytes >= 5 * SIZE);
    CHECK_EQ(peer_stats(&p).data_unsent, 6);
    peer_close(&p);

    test_step(20, "the network is down: ended within 2 s, and lost data is reported");
    memset(&reported, 0, sizeof reported);
    p.rec = rec_new();
    p.rec->on_event = keep;
    peer_join(&p, "cut-off", "accepted", NULL);
    CHECK_OK(oh_call_send_text(p.call, NULL, "warm"));
    arrive(&bob, OH_EVENT_TEXT, "cut-off", 1);
    nap(300); /* packets acknowledged just before may still be counted */
    ctl("media", "{\"identity\":\"cut-off\",\"direction\":\"both\",\"blackhole\":true}");
    for (int i = 0; i < 7; i++) CHECK_OK(oh_call_send_data(p.call, NULL, bytes, SIZE));
    CHECK_OK(oh_call_send_text(p.call, NULL, "last"));
    double began = now_ms();
    CHECK_OK(oh_call_leave(p.call, NULL));
    rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
    CHECK_EQ(e.code, OH_END_LEFT);
    CHECK_EQ(rec_count(p.rec, OH_EVENT_UNSENT), 1);
    CHECK_EQ(reported.data_packets, 7);
    CHECK_EQ(reported.texts, 1);
    CHECK_EQ(reported.audio_ms, 0);
    peer_close(&p);
    peer_close(&bob);
    free(text);
    test_step(10, "shut down");
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
