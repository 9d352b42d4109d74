/*
 * data_whole.c - reliable data arrives complete, despite slow receivers and large bursts.
 *
 * Expected: 100,000 small packets arrive, each once and in order, with the default queue; so do 3,000 with a handler
 * that takes 1 ms for each, while another call's audio continues; texts of 700 kB of four participants at once
 * arrive, also in parts; nothing is dropped or lost; a callee gets the timeout of its caller, and a response after
 * more than a second arrives; an unknown recipient and an oversized response are reported early.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 100000, SLOW = 3000, TEXT = 700000 };

struct flood {
    atomic_uint received, wrong;
    atomic_int slow;
};

static void count(recorder *r, oh_call call, const oh_event *e)
{
    struct flood *f = r->data;
    (void)call;
    if (e->kind != OH_EVENT_DATA) return;
    uint32_t number = 0;
    if (e->u.data->data_size == sizeof number) memcpy(&number, e->u.data->data, sizeof number);
    if (number != atomic_fetch_add(&f->received, 1) + 1) atomic_fetch_add(&f->wrong, 1);
    if (atomic_load(&f->slow)) nap(1);
}

static void flood(peer *from, struct flood *f, uint32_t first, uint32_t last, unsigned timeout_ms)
{
    double end = now_ms() + ms(timeout_ms);
    for (uint32_t n = first; n <= last; n++) {
        for (;;) {
            oh_result result = oh_call_send_data(from->call, NULL, &n, sizeof n);
            if (result == OH_OK) break;
            CHECK_OH(result, OH_ERR_FULL);
            CHECK_THAT(now_ms() < end, "packet %u is not accepted; %u were received", n, atomic_load(&f->received));
            nap(2);
        }
    }
    while (atomic_load(&f->received) < last && now_ms() < end) nap(5);
    CHECK_EQ(atomic_load(&f->received), last);
    CHECK_EQ(atomic_load(&f->wrong), 0);
}

static void answers_late(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    if (e->kind != OH_EVENT_RPC_REQUEST) return;
    CHECK_THAT(e->u.rpc_request->timeout_ms > 7000 && e->u.rpc_request->timeout_ms <= 8000, "the timeout is %u ms", e->u.rpc_request->timeout_ms);
    if (!strcmp(e->u.rpc_request->method, "late")) {
        nap(1300);
        CHECK_OK(oh_call_answer_rpc(call, e->u.rpc_request->request_id, "42", 0, NULL));
    } else {
        char *large = malloc(20001);
        CHECK(large != NULL);
        memset(large, 'x', 20000);
        large[20000] = 0;
        CHECK_OH(oh_call_answer_rpc(call, e->u.rpc_request->request_id, large, 0, NULL), OH_ERR_ARGUMENT);
        free(large);
    }
}

static rec_event ask(peer *p, const char *to, const char *method)
{
    oh_rpc_options o = OH_INIT(oh_rpc_options);
    uint64_t id;
    rec_event e;
    o.to = to;
    o.method = method;
    o.timeout_ms = 8000;
    CHECK_OK(oh_call_perform_rpc(p->call, &o, &id));
    for (size_t from = 0;;) {
        long at = rec_wait(p->rec, OH_EVENT_RPC_RESPONSE, NULL, from, ms(10000), &e);
        CHECK_THAT(at >= 0, "no response to %s", method);
        if (e.track == id) return e;
        from = (size_t)at + 1;
    }
}

int main(void)
{
    struct flood received = { 0 };
    peer alice = { 0 }, bob = { 0 }, p[4];
    memset(p, 0, sizeof p);
    oh_call_options parts = OH_INIT(oh_call_options);
    const char *names[] = { "p0", "p1", "p2", "p3" };

    test_begin("data_whole");
    test_step(15, "two join");
    bob.rec = rec_new();
    bob.rec->on_event = count;
    bob.rec->data = &received;
    bob.rec->skip_data = 1;
    parts.text_parts = 1;
    peer_join(&bob, "bob", "data_whole", &parts);
    peer_join(&alice, "alice", "data_whole", NULL);
    flood(&alice, &received, 1, 1, 10000);

    test_step(60, "%d small packets", MANY);
    double began = now_ms();
    flood(&alice, &received, 2, MANY, 50000);
    printf("%d packets in %.0f ms\n", MANY, now_ms() - began);

    test_step(40, "%d packets for a slow handler", SLOW);
    atomic_store(&received.slow, 1);
    began = now_ms();
    flood(&alice, &received, MANY + 1, MANY + SLOW, 30000);
    printf("%d packets in %.0f ms with a slow handler\n", SLOW, now_ms() - began);
    atomic_store(&received.slow, 0);

    test_step(60, "four large texts at once");
    for (int i = 0; i < 4; i++) peer_join(&p[i], names[i], "data_whole", NULL);
    char *text = malloc(TEXT + 1);
    CHECK(text != NULL);
    for (size_t i = 0; i < TEXT; i++) text[i] = (char)('a' + i * 7 % 26);
    text[TEXT] = 0;
    for (int i = 0; i < 4; i++) { /* the first text opens the data channels */
        CHECK_OK(oh_call_send_text(p[i].call, NULL, "warm"));
        EXPECT(bob.rec, OH_EVENT_TEXT, names[i], ms(10000));
    }
    size_t mark = rec_mark(bob.rec);
    for (int i = 0; i < 4; i++) CHECK_OK(oh_call_send_text(p[i].call, NULL, text));
    for (int i = 0; i < 4; i++) {
        rec_event e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TEXT, names[i], ms(20000));
        CHECK_EQ(e.count, TEXT);
        CHECK_EQ(e.cause, rec_sum(text, TEXT));
        uint64_t bytes_in_parts = 0, count = 0;
        rec_event part;
        for (size_t from = mark; bytes_in_parts < TEXT; count++) {
            long at = rec_wait(bob.rec, OH_EVENT_TEXT_PART, names[i], from, 0, &part);
            CHECK_THAT(at >= 0, "%llu bytes came in parts", (unsigned long long)bytes_in_parts);
            CHECK_EQ(part.track, bytes_in_parts);
            bytes_in_parts += part.count;
            from = (size_t)at + 1;
        }
        CHECK_EQ(bytes_in_parts, TEXT);
        CHECK_THAT(count > 10, "%llu parts", (unsigned long long)count);
    }
    free(text);

    test_step(30, "the time of procedures");
    p[0].rec->on_event = answers_late;
    ask(&alice, "p0", "late"); /* the first one measures the round trip time */
    rec_event e = ask(&alice, "p0", "late");
    CHECK_EQ(e.code, 0);
    CHECK_STR(e.text, "42");
    began = now_ms();
    CHECK_EQ(ask(&alice, "p0", "large").code, OH_RPC_RESPONSE_TOO_LARGE);
    CHECK_EQ(ask(&alice, "nobody", "late").code, OH_RPC_RECIPIENT_NOT_FOUND);
    CHECK_THAT(now_ms() - began < ms(4000), "reported after %.0f ms", now_ms() - began);

    test_step(20, "nothing was lost");
    oh_call_stats stats = peer_stats(&bob);
    CHECK_EQ(stats.data_dropped, 0);
    CHECK_EQ(stats.events_dropped, 0);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_LOST), 0);
    for (int i = 0; i < 4; i++) peer_close(&p[i]);
    peer_close(&alice);
    peer_close(&bob);
    return test_end();
}
