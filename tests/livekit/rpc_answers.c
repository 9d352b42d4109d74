/*
 * rpc_answers.c - many RPCs with a slow handler; and pulled packets.
 *
 * Expected: each accepted RPC gets exactly one response, however full the caller's queue is: OH_ERR_FULL slows the
 * caller down. A packet taken with oh_call_wait_event stays valid until it is freed.
 * test: timeout=90
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <string.h>

enum { CALLS = 3000 };

/* A refused call may have used a number. */
static atomic_int responses[4 * CALLS];
static atomic_int total;
static _Atomic uint64_t first_id;

static void answer(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    if (e->kind == OH_EVENT_RPC_REQUEST) oh_call_answer_rpc(call, e->u.rpc_request->request_id, e->u.rpc_request->payload, 0, NULL);
}

static void count(recorder *r, oh_call call, const oh_event *e)
{
    (void)r, (void)call;
    if (e->kind != OH_EVENT_RPC_RESPONSE) return;
    while (!atomic_load(&first_id)) nap(1);
    uint64_t n = e->u.rpc_response->rpc_id - first_id;
    CHECK_THAT(n < 4 * CALLS, "a response to call %llu", (unsigned long long)n);
    atomic_fetch_add(&responses[n], 1);
    atomic_fetch_add(&total, 1);
    nap(1);
}

static void procedures(void)
{
    peer alice = { 0 }, bob = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    uint64_t id, last = 0;

    test_step(30, "two join");
    bob.rec = rec_new();
    bob.rec->on_event = answer;
    peer_open(&bob, "bob", "answers", NULL);
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_JOINED, ms(10000)));
    what.max_queued_events = 16;
    alice.rec = rec_new();
    alice.rec->on_event = count;
    peer_open(&alice, "alice", "answers", &what);
    CHECK_OK(oh_call_wait_state(alice.call, OH_STATE_JOINED, ms(10000)));
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(10000));

    test_step(60, "%d calls", CALLS);
    rpc.to = "bob";
    rpc.method = "echo";
    rpc.payload = "x";
    rpc.timeout_ms = 15000;
    int full = 0;
    for (int i = 0; i < CALLS;) {
        oh_result result = oh_call_perform_rpc(alice.call, &rpc, &id);
        if (result == OH_ERR_FULL) {
            full++;
            nap(1);
            continue;
        }
        CHECK_OK(result);
        if (!i) atomic_store(&first_id, id);
        last = id;
        i++;
    }
    CHECK(last - first_id >= CALLS - 1 && last - first_id < 4 * CALLS);
    for (double end = now_ms() + ms(40000); atomic_load(&total) < CALLS; nap(2))
        CHECK_THAT(now_ms() < end, "only %d of %d calls got a response", atomic_load(&total), CALLS);
    printf("           %d calls, %d times OH_ERR_FULL\n", CALLS, full);
    peer_close(&alice);
    int once = 0;
    for (int i = 0; i < 4 * CALLS; i++) {
        CHECK(atomic_load(&responses[i]) <= 1);
        once += atomic_load(&responses[i]);
    }
    CHECK_EQ(once, CALLS);
    peer_close(&bob);
}

static void packets(void)
{
    peer alice = { 0 }, bob = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    char token[4096];
    static unsigned char sent[3000];
    const oh_event *e, *kept[20];

    test_step(30, "packets that are pulled");
    peer_join(&alice, "alice", "pulled", NULL);
    bob.client = client_for("bob");
    livekit_token("bob", "pulled", NULL, token, sizeof token);
    what.call_id = "pulled";
    what.token = token;
    CHECK_OK(oh_call_join(bob.client, &what, &bob.call));
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_JOINED, ms(10000)));
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(10000));
    int got = 0;
    double end = now_ms() + ms(20000);
    for (int i = 0; i < 20; i++) {
        memset(sent, 'a' + i, sizeof sent);
        CHECK_OK(oh_call_send_data(alice.call, NULL, sent, sizeof sent));
    }
    while (got < 20) {
        CHECK_THAT(now_ms() < end, "only %d packets come", got);
        oh_result result = oh_call_wait_event(bob.call, 100, &e);
        if (result == OH_ERR_EMPTY) continue;
        CHECK_OK(result);
        if (e->kind == OH_EVENT_DATA) kept[got++] = e;
        else oh_event_free(e);
    }
    oh_call_free(bob.call);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(kept[i]->u.data->data_size, sizeof sent);
        for (size_t k = 0; k < sizeof sent; k++) CHECK_EQ(kept[i]->u.data->data[k], 'a' + i);
        oh_event_free(kept[i]);
        oh_event_free(kept[i]);
    }
    oh_client_free(bob.client);
    peer_close(&alice);
}

int main(void)
{
    test_begin("rpc_answers");
    procedures();
    packets();
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
