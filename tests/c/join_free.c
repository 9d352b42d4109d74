/*
 * join_free.c - oh_call_join concurrently with oh_client_free on another thread.
 *
 * Expected: either the join succeeds, and destroy is called once; or it fails, destroy is never called and the
 * handle is not written.
 */
#include "peer.h"

#include <stdio.h>

typedef struct round {
    oh_client client;
    atomic_int at_start, destroyed;
    unsigned delay;
    oh_call call;
    oh_result result;
} round_;

static void on_event(void *data, oh_call call, const oh_event *event)
{
    (void)data, (void)call, (void)event;
}

static void destroyed(void *data)
{
    atomic_fetch_add(&((round_ *)data)->destroyed, 1);
}

static void both(void *arg, unsigned index)
{
    round_ *r = arg;
    atomic_fetch_add(&r->at_start, 1);
    while (atomic_load(&r->at_start) < 2) {}
    if (index) {
        for (volatile unsigned i = 0; i < r->delay; i++) {}
        oh_client_free(r->client);
        return;
    }
    oh_call_options what = OH_INIT(oh_call_options);
    what.call_id = "join-free";
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = on_event;
    handlers.destroy = destroyed;
    handlers.user_data = r;
    what.handlers = &handlers;
    r->result = oh_call_join(r->client, &what, &r->call);
}

int main(void)
{
    enum { ROUNDS = 400 };
    static round_ all[ROUNDS];
    int won = 0, count = (int)rounds(ROUNDS);

    test_begin("join_free");
    test_step(40, "%d rounds", count);
    for (int i = 0; i < count; i++) {
        round_ *r = &all[i];
        r->client = client_for("racer");
        r->call.id = 7;
        r->delay = (unsigned)(test_random() % 60000);
        on_threads(2, both, r);
        if (r->result == OH_OK) {
            won++;
            CHECK(r->call.id != 7);
            CHECK_EQ(atomic_load(&r->destroyed), 1); /* the free has waited for it */
        } else {
            CHECK_OH(r->result, OH_ERR_HANDLE);
            CHECK_EQ(r->call.id, 7);
        }
        oh_client_free(r->client);
    }
    printf("           the join won %d of %d\n", won, count);
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    for (int i = 0; i < count; i++) CHECK_EQ(atomic_load(&all[i].destroyed), all[i].result == OH_OK);
    return test_end();
}
