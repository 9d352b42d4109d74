/*
 * data.c - packets, texts and RPCs between participants, over a real LiveKit server.
 *
 * Expected: reliable packets arrive whole, once and in order, 15 kB and many; topics and receivers are respected; a
 * text of 300 kB arrives unchanged; an RPC returns a response, a custom error, an unsupported method, or a timeout;
 * each RPC gets exactly one response, before the end at the latest; invalid arguments are refused.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *pattern(size_t size, unsigned seed)
{
    unsigned char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)((i * 31 + seed * 7 + (i >> 8)) & 0xff);
    bytes[size] = 0;
    return bytes;
}

/* Sends, and retries while the send queue is full. */
static void send_all(peer *p, const oh_data_options *options, const void *data, size_t size)
{
    for (double end = now_ms() + ms(20000);; nap(2)) {
        oh_result result = oh_call_send_data(p->call, options, data, size);
        if (result == OH_OK) return;
        CHECK_OH(result, OH_ERR_FULL);
        CHECK_THAT(now_ms() < end, "the data does not go");
    }
}

struct wanted {
    const char *topic;
    size_t count;
};

static int have(recorder *r, void *arg)
{
    struct wanted *w = arg;
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        count += r->events[i].kind == OH_EVENT_DATA && !strcmp(r->events[i].session, w->topic);
    return count >= w->count;
}

static void expect_all(peer *p, const char *topic, size_t count, unsigned timeout_ms)
{
    struct wanted w = { topic, count };
    CHECK_THAT(rec_wait_until(p->rec, have, &w, ms(timeout_ms)), "%s did not get %zu packets '%s'", p->user, count, topic);
}

/* In order, each once, unchanged: the nth has the sum of pattern(size, n). */
static void check_order(peer *p, const char *from, const char *topic, size_t count, size_t size)
{
    size_t n = 0;
    pthread_mutex_lock(&p->rec->lock);
    for (size_t i = 0; i < p->rec->count; i++) {
        rec_event *e = &p->rec->events[i];
        if (e->kind != OH_EVENT_DATA || strcmp(e->session, topic)) continue;
        unsigned char *bytes = pattern(size, (unsigned)n);
        CHECK_STR(e->user, from);
        CHECK_EQ(e->count, size);
        CHECK_EQ(e->code, 0);
        CHECK_THAT(e->cause == rec_sum(bytes, size), "packet %zu of '%s' is another one", n, topic);
        free(bytes);
        n++;
    }
    pthread_mutex_unlock(&p->rec->lock);
    CHECK_EQ(n, count);
}

/* bob's RPC methods, answered inside the callback. */
static void serve(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    if (e->kind != OH_EVENT_RPC_REQUEST) return;
    const char *method = e->u.rpc_request->method, *id = e->u.rpc_request->request_id;
    if (!strcmp(method, "echo")) CHECK_OK(oh_call_answer_rpc(call, id, e->u.rpc_request->payload, 0, NULL));
    else if (!strcmp(method, "fail")) CHECK_OK(oh_call_answer_rpc(call, id, "{}", 1999, "not today"));
    else if (!strcmp(method, "silent")) return;
    else CHECK_OK(oh_call_answer_rpc(call, id, NULL, OH_RPC_UNSUPPORTED_METHOD, "no such procedure"));
    CHECK_OK(oh_call_answer_rpc(call, id, "again", 0, NULL)); /* a second response: dropped */
}

static rec_event response(peer *p, uint64_t id, unsigned timeout_ms)
{
    rec_event e;
    for (size_t from = 0;;) {
        long at = rec_wait(p->rec, OH_EVENT_RPC_RESPONSE, NULL, from, ms(timeout_ms), &e);
        CHECK_THAT(at >= 0, "call %llu gets no response", (unsigned long long)id);
        if (e.track == id) return e;
        from = (size_t)at + 1;
    }
}

static rec_event call_rpc(peer *p, const char *to, const char *method, const char *payload, uint32_t timeout_ms)
{
    oh_rpc_options o = OH_INIT(oh_rpc_options);
    uint64_t id = 0;
    o.to = to;
    o.method = method;
    o.payload = payload;
    o.timeout_ms = timeout_ms;
    CHECK_OK(oh_call_perform_rpc(p->call, &o, &id));
    CHECK(id != 0);
    return response(p, id, timeout_ms ? timeout_ms + 12000 : 25000);
}

int main(void)
{
    enum { MANY = 500, BIG = 100, BIG_SIZE = 15000 };
    peer alice = { 0 }, bob = { 0 }, carol = { 0 };
    oh_data_options to = OH_INIT(oh_data_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    const char *only_bob[] = { "bob" }, *bad[] = { NULL };
    unsigned char *bytes;
    rec_event e;
    uint64_t id;
    char *text;

    test_begin("data");
    test_step(15, "three join");
    bob.rec = rec_new();
    bob.rec->on_event = serve;
    peer_join(&alice, "alice", "data", NULL);
    peer_join(&bob, "bob", "data", NULL);
    peer_join(&carol, "carol", "data", NULL);

    test_step(20, "the first packet, and one without contents");
    to.topic = "hello";
    send_all(&alice, &to, "hi", 2);
    e = EXPECT(bob.rec, OH_EVENT_DATA, "alice", ms(10000));
    CHECK_EQ(e.count, 2);
    CHECK_STR(e.session, "hello");
    EXPECT(carol.rec, OH_EVENT_DATA, "alice", ms(10000));
    to.topic = "nothing";
    send_all(&alice, &to, NULL, 0);
    expect_all(&bob, "nothing", 1, 5000);
    send_all(&bob, NULL, "x", 1); /* NULL: to all participants, without a topic */
    expect_all(&alice, "", 1, 10000);

    test_step(40, "many, both ways at once, and 15 kB");
    to.topic = "many";
    for (unsigned n = 0; n < MANY; n++) {
        bytes = pattern(100, n);
        send_all(&alice, &to, bytes, 100);
        send_all(&bob, &to, bytes, 100);
        free(bytes);
    }
    expect_all(&bob, "many", MANY, 15000);
    expect_all(&alice, "many", MANY, 15000);
    check_order(&bob, "alice", "many", MANY, 100);
    check_order(&alice, "bob", "many", MANY, 100);
    to.topic = "big";
    for (unsigned n = 0; n < BIG; n++) {
        bytes = pattern(BIG_SIZE, n);
        send_all(&alice, &to, bytes, BIG_SIZE);
        free(bytes);
    }
    expect_all(&bob, "big", BIG, 20000);
    check_order(&bob, "alice", "big", BIG, BIG_SIZE);

    test_step(20, "only to whom it is addressed");
    to.to = only_bob;
    to.to_count = 1;
    to.topic = "secret";
    send_all(&alice, &to, "psst", 4);
    expect_all(&bob, "secret", 1, 5000);
    to.to_count = 0;
    to.topic = "open";
    send_all(&alice, &to, "all", 3);
    expect_all(&carol, "open", 1, 5000); /* in order: a packet not meant for carol would have arrived before */
    check_order(&carol, "alice", "secret", 0, 4);

    test_step(20, "lossy");
    to.lossy = 1;
    to.topic = "lossy";
    for (unsigned n = 0; n < 200; n++) {
        send_all(&alice, &to, "sample", 6);
        nap(1);
    }
    expect_all(&bob, "lossy", 100, 10000); /* on loopback most arrive */
    to.lossy = 0;

    test_step(30, "texts");
    CHECK_OK(oh_call_send_text(alice.call, NULL, ""));
    e = EXPECT(bob.rec, OH_EVENT_TEXT, "alice", ms(5000));
    CHECK_EQ(e.count, 0);
    size_t mark = rec_mark(bob.rec);
    text = malloc(300001);
    CHECK(text != NULL);
    for (size_t i = 0; i < 300000; i += 3) memcpy(text + i, "\xe2\x82\xac", 3); /* euro signs */
    text[300000] = 0;
    to.topic = "story";
    CHECK_OK(oh_call_send_text(alice.call, &to, text));
    e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TEXT, "alice", ms(15000));
    CHECK_EQ(e.count, 300000);
    CHECK_EQ(e.cause, rec_sum(text, 300000));
    CHECK_STR(e.session, "story");
    free(text);

    test_step(60, "procedures");
    e = call_rpc(&alice, "bob", "echo", "payload \xc3\xa9", 0);
    CHECK_EQ(e.code, 0);
    CHECK_STR(e.text, "payload \xc3\xa9");
    e = call_rpc(&alice, "bob", "fail", NULL, 0);
    CHECK_EQ(e.code, 1999);
    CHECK_STR(e.session, "not today");
    CHECK_STR(e.text, "{}");
    e = call_rpc(&alice, "bob", "unknown", NULL, 0);
    CHECK_EQ(e.code, OH_RPC_UNSUPPORTED_METHOD);
    e = call_rpc(&alice, "bob", "silent", NULL, 1000);
    CHECK_EQ(e.code, OH_RPC_RESPONSE_TIMEOUT);
    e = call_rpc(&alice, "nobody", "echo", NULL, 15000);
    CHECK_EQ(e.code, OH_RPC_RECIPIENT_NOT_FOUND);

    test_step(20, "wrong arguments");
    bytes = pattern(70000, 1);
    CHECK_OH(oh_call_send_data(alice.call, NULL, bytes, 70000), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_data(alice.call, NULL, NULL, 1), OH_ERR_ARGUMENT);
    to.to = bad;
    to.to_count = 1;
    CHECK_OH(oh_call_send_data(alice.call, &to, bytes, 1), OH_ERR_ARGUMENT);
    to.to = NULL;
    CHECK_OH(oh_call_send_data(alice.call, &to, bytes, 1), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_text(alice.call, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_text(alice.call, NULL, "\xff"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_perform_rpc(alice.call, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_perform_rpc(alice.call, &rpc, NULL), OH_ERR_ARGUMENT);
    rpc.to = rpc.method = "x";
    rpc.timeout_ms = 1;
    CHECK_OH(oh_call_perform_rpc(alice.call, &rpc, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_answer_rpc(alice.call, NULL, NULL, 0, NULL), OH_ERR_ARGUMENT);
    CHECK_OK(oh_call_answer_rpc(alice.call, "never asked", NULL, 0, NULL));
    CHECK_OH(oh_call_send_data((oh_call){ 12345 }, NULL, bytes, 1), OH_ERR_HANDLE);
    free(bytes);

    test_step(20, "no response after a leave; the end completes every RPC");
    rpc.to = "bob";
    rpc.method = "silent";
    rpc.timeout_ms = 60000;
    mark = rec_mark(bob.rec);
    CHECK_OK(oh_call_perform_rpc(alice.call, &rpc, &id));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_RPC_REQUEST, "alice", ms(5000));
    peer_close(&bob);
    e = response(&alice, id, 8000);
    CHECK_EQ(e.code, OH_RPC_RECIPIENT_DISCONNECTED);
    rpc.to = "carol";
    CHECK_OK(oh_call_perform_rpc(alice.call, &rpc, &id));
    CHECK_OK(oh_call_leave(alice.call, NULL));
    e = response(&alice, id, 5000);
    CHECK_EQ(e.code, OH_RPC_SEND_FAILED);
    EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_OH(oh_call_send_data(alice.call, NULL, "x", 1), OH_ERR_STATE);
    CHECK_EQ(peer_stats(&alice).error_events, 0);
    CHECK_EQ(peer_stats(&carol).error_events, 0);
    peer_close(&alice);
    peer_close(&carol);
    return test_end();
}
