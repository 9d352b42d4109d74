/*
 * deadlock.c - callbacks of two calls that free, close or wait for each other's call.
 *
 * Every ordered pair of the functions that wait for callbacks, each called inside a callback of one call for the
 * other call, with both callbacks running. Expected: nothing hangs, without any timeout; functions with a result
 * return OH_ERR_WOULD_DEADLOCK to one of the two; every destroy is called once.
 * test: not-under=valgrind it tests ordering, and is slow there
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

enum op { FREE, CLIENT_FREE, CLOSE, CLOSE_FREE, WAIT_LEFT, OPS };

static const char *names[OPS] = { "oh_call_free", "oh_client_free", "oh_subscriber_close", "oh_subscriber_free",
                                  "oh_call_wait_state(LEFT)" };

typedef struct side {
    oh_client client;
    oh_call call;
    oh_subscriber subscriber;
    struct side *other;
    enum op op;
    int later;              /* starts when the other one has started */
    atomic_int in, begun, done, destroyed, ended;
    oh_result result;
} side;

static void act(side *s)
{
    side *o = s->other;
    switch (s->op) {
    case FREE: oh_call_free(o->call); break;
    case CLIENT_FREE: oh_client_free(o->client); break;
    case CLOSE: s->result = oh_subscriber_close(o->subscriber); break;
    case CLOSE_FREE: oh_subscriber_free(o->subscriber); break;
    case WAIT_LEFT: s->result = oh_call_wait_state(o->call, OH_STATE_LEFT, OH_FOREVER); break;
    default: FAIL("no such operation");
    }
}

static void on_event(void *data, oh_call call, const oh_event *event)
{
    side *s = data;
    (void)call;
    if (event->kind == OH_EVENT_ENDED) atomic_store(&s->ended, 1);
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_store(&s->in, 1);
    while (!atomic_load(&s->other->in)) nap(1);
    if (s->later) {
        while (!atomic_load(&s->other->begun)) nap(1);
        nap(2); /* the other one usually waits by now; the result does not depend on it */
    }
    atomic_store(&s->begun, 1);
    act(s);
    atomic_store(&s->done, 1);
}

static void destroyed(void *data)
{
    atomic_fetch_add(&((side *)data)->destroyed, 1);
}

static void open_side(side *s, const char *user, const char *room)
{
    oh_call_options what = OH_INIT(oh_call_options);
    s->client = client_for(user);
    what.call_id = room;
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = on_event;
    handlers.destroy = destroyed;
    handlers.user_data = s;
    what.handlers = &handlers;
    CHECK_OK(oh_call_join(s->client, &what, &s->call));
    CHECK_OK(oh_call_get_subscriber(s->call, &s->subscriber));
}

static int returns_result(enum op op)
{
    return op == CLOSE || op == WAIT_LEFT;
}

static void pair(enum op first, enum op second)
{
    static side all[OPS * OPS][2];
    side *a = &all[first * OPS + second][0], *b = a + 1;
    char room[64];
    test_step(15, "%s, then %s", names[first], names[second]);
    snprintf(room, sizeof room, "deadlock-%d-%d", first, second);
    a->other = b, b->other = a;
    a->op = first, b->op = second, b->later = 1;
    /* The second callback starts only when both handles are set: it waits for `in` of the other. */
    open_side(b, "b", room);
    open_side(a, "a", room);
    while (!atomic_load(&a->in) || !atomic_load(&b->in)) nap(1);
    /* A wait for the end of a call needs an end. */
    if (first == WAIT_LEFT) oh_call_leave(b->call, NULL);
    if (second == WAIT_LEFT) oh_call_leave(a->call, NULL);
    while (!atomic_load(&a->done) || !atomic_load(&b->done)) nap(1);
    if (returns_result(first) && returns_result(second))
        CHECK_THAT(a->result == OH_ERR_WOULD_DEADLOCK || b->result == OH_ERR_WOULD_DEADLOCK, "no OH_ERR_WOULD_DEADLOCK: %s, %s",
                   oh_result_get_name(a->result), oh_result_get_name(b->result));
    for (int i = 0; i < 2; i++) {
        oh_result r = all[first * OPS + second][i].result;
        CHECK_THAT(r == OH_OK || r == OH_ERR_WOULD_DEADLOCK || r == OH_ERR_HANDLE, "unexpected: %s", oh_result_get_name(r));
    }
    oh_call_free(a->call);
    oh_call_free(b->call);
    oh_client_free(a->client);
    oh_client_free(b->client);
    while (!atomic_load(&a->destroyed) || !atomic_load(&b->destroyed)) nap(1);
    CHECK_EQ(atomic_load(&a->destroyed), 1);
    CHECK_EQ(atomic_load(&b->destroyed), 1);
}

/*
 * The log handler is a callback as well: oh_log_set waits for it inside a call's callback, and it waits for the call.
 */
static side logged;
static atomic_int log_in, log_done, log_destroyed;

static void on_log(void *data, const oh_log_record *record)
{
    (void)data, (void)record->level, (void)record->text;
    if (atomic_exchange(&log_in, 1)) return;
    while (!atomic_load(&logged.in)) nap(1);
    oh_call_free(logged.call);
    atomic_store(&log_done, 1);
}

static void log_destroy(void *data)
{
    (void)data;
    atomic_fetch_add(&log_destroyed, 1);
}

static void set_log(void *data, oh_call call, const oh_event *event)
{
    (void)data, (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_store(&logged.in, 1);
    while (!atomic_load(&log_in)) nap(1);
    nap(2);
    CHECK_OK(oh_log_set(OH_LOG_OFF, NULL, NULL, NULL));
    atomic_store(&logged.done, 1);
}

static void with_the_log(void)
{
    oh_call_options what = OH_INIT(oh_call_options);
    test_step(15, "oh_log_set and oh_call_free");
    CHECK_OK(oh_log_set(OH_LOG_DEBUG, on_log, NULL, log_destroy));
    logged.client = client_for("logged");
    what.call_id = "deadlock-log";
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = set_log;
    handlers.destroy = destroyed;
    handlers.user_data = &logged;
    what.handlers = &handlers;
    CHECK_OK(oh_call_join(logged.client, &what, &logged.call));
    while (!atomic_load(&logged.done) || !atomic_load(&log_done)) nap(1);
    oh_client_free(logged.client);
    while (!atomic_load(&logged.destroyed) || !atomic_load(&log_destroyed)) nap(1);
    CHECK_EQ(atomic_load(&logged.destroyed), 1);
    CHECK_EQ(atomic_load(&log_destroyed), 1);
}

int main(void)
{
    test_begin("deadlock");
    for (int first = 0; first < OPS; first++)
        for (int second = 0; second < OPS; second++) pair(first, second);
    with_the_log();
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
