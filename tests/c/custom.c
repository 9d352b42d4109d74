/*
 * custom.c - custom events of the coordinator: sent, delivered to the right call, and harmless to all calls.
 *
 * "ann" and "bob" receive coordinator events (ann in two calls), "unwatched" does not. Expected: each call receives
 * its custom events, in order, and none of another call; a coordinator socket that dies, is refused or stays silent
 * interrupts neither audio nor state of any call, and events resume afterwards.
 *
 * test: timeout=120
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static oh_client watching_client(const char *user)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_client client;
    where.url = sfu_url();
    where.user_id = user;
    where.token = "development";
    where.receive_custom_events = 1;
    CHECK_OK(oh_client_new(&where, &client));
    return client;
}

/* Joins with a new client or, for a second call, with that of another peer. */
static void watching_join(peer *p, const char *user, const char *call_id, oh_client client)
{
    oh_call_options what = OH_INIT(oh_call_options);
    p->rec = rec_new();
    snprintf(p->user, sizeof p->user, "%s", user);
    p->client = client;
    what.call_id = call_id;
    what.handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(client, &what, &p->call));
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(10000)));
}

/* The application's backend sends a custom event to a call's watchers, once `sockets` of them are connected. */
static void send_from_backend(const char *call_id, const char *custom, long long sockets)
{
    for (double end = now_ms() + ms(20000);; nap(10)) {
        char *answer = ctl_answer("custom_event", "{\"cid\":\"default:%s\",\"user_id\":\"server\",\"custom\":%s}", call_id, custom);
        long long sockets_sent = json_int(answer, "sockets", -1);
        free(answer);
        if (sockets_sent >= sockets) return;
        CHECK_THAT(now_ms() < end, "%lld of %lld sockets watch %s", sockets_sent, sockets, call_id);
    }
}

static size_t customs(peer *p)
{
    return rec_count(p->rec, OH_EVENT_CUSTOM);
}

int main(void)
{
    peer ann = { 0 }, second = { 0 }, bob = { 0 }, unwatched = { 0 };
    char text[32], big[17000];
    rec_event e;

    test_begin("custom");
    test_step(30, "everyone joins");
    watching_join(&ann, "ann", "one", watching_client("ann"));
    watching_join(&second, "ann", "two", ann.client);
    watching_join(&bob, "bob", "two", watching_client("bob"));
    peer_join(&unwatched, "unwatched", "one", NULL);
    CHECK_STR(oh_event_kind_get_name(OH_EVENT_CUSTOM), "custom");

    test_step(20, "each call receives its events");
    send_from_backend("one", "{\"n\":1}", 1);
    e = EXPECT(ann.rec, OH_EVENT_CUSTOM, "server", ms(5000));
    CHECK_STR(e.text, "{\"n\":1}");
    CHECK_STR(e.session, "");
    send_from_backend("two", "{\"type\":\"hand\"}", 2);
    e = EXPECT(second.rec, OH_EVENT_CUSTOM, "server", ms(5000));
    CHECK_STR(e.text, "{\"type\":\"hand\"}");
    CHECK_STR(e.session, "hand");
    EXPECT(bob.rec, OH_EVENT_CUSTOM, "server", ms(5000));
    send_from_backend("three", "{}", 0);
    send_from_backend("two", "{}", 2);
    EXPECT_FROM(second.rec, (size_t)rec_wait(second.rec, OH_EVENT_CUSTOM, NULL, 0, ms(5000), NULL) + 1, OH_EVENT_CUSTOM, NULL, ms(5000));
    CHECK_EQ(customs(&ann), 1);
    CHECK_EQ(customs(&unwatched), 0);

    test_step(20, "sent by participants, in order, also by a call that does not receive custom events");
    size_t mark = rec_mark(ann.rec);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "{\"i\":%d}", i);
        CHECK_OK(oh_call_send_custom_event(unwatched.call, text));
        memset(text, 'x', sizeof text - 1); /* it was copied */
    }
    for (int i = 0; i < 20; i++) {
        long at = rec_wait(ann.rec, OH_EVENT_CUSTOM, "unwatched", mark, ms(5000), &e);
        CHECK_THAT(at >= 0, "event %d does not come", i);
        snprintf(text, sizeof text, "{\"i\":%d}", i);
        CHECK_STR(e.text, text);
        mark = (size_t)at + 1;
    }
    CHECK_OK(oh_call_send_custom_event(bob.call, " { \"local\" : true } "));
    EXPECT(bob.rec, OH_EVENT_CUSTOM, "bob", ms(5000)); /* one's own events are echoed */
    CHECK_EQ(customs(&unwatched), 0);

    test_step(10, "what cannot be sent is refused");
    memset(big, 'x', sizeof big);
    memcpy(big, "{\"x\":\"", 6);
    memcpy(big + sizeof big - 3, "\"}", 3);
    CHECK_OH(oh_call_send_custom_event(ann.call, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event(ann.call, ""), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event(ann.call, "{\"x\":"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event(ann.call, "[1]"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event(ann.call, "{} , \"video\":1"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event(ann.call, big), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_custom_event((oh_call){ 0 }, "{}"), OH_ERR_HANDLE);

    test_step(60, "the coordinator's sockets die; the calls are unaffected");
    peer_publish_tone(&ann, 440);
    CHECK(rec_wait_tone(unwatched.rec, "ann", 440, ms(10000)));
    size_t ann_states = rec_count(ann.rec, OH_EVENT_STATE), bob_states = rec_count(bob.rec, OH_EVENT_STATE);
    rec_gaps_begin(unwatched.rec);
    ctl("refuse_connect", "{\"http_status\":503,\"message\":\"later\"}");
    ctl("drop_coordinator", "{\"hard\":true}");
    CHECK(rec_wait_audio(unwatched.rec, "ann", 50, ms(10000)));
    CHECK_OK(oh_call_send_custom_event(ann.call, "{\"lost\":1}")); /* sending needs no socket */
    ctl("reset", "{}");
    size_t before = customs(&ann), before_bob = customs(&bob);
    send_from_backend("one", "{\"again\":1}", 1);
    long at;
    for (at = -1; (at = rec_wait(ann.rec, OH_EVENT_CUSTOM, "server", (size_t)(at + 1), ms(10000), &e)) >= 0;)
        if (strcmp(e.text, "{\"again\":1}") == 0) break;
    CHECK_THAT(at >= 0, "events do not resume");
    CHECK(customs(&ann) > before);
    /* Bob's socket reconnects, too; its backoff decides when. */
    for (double end = now_ms() + ms(30000); customs(&bob) == before_bob; nap(20)) {
        CHECK(now_ms() < end);
        ctl("custom_event", "{\"cid\":\"default:two\",\"user_id\":\"server\",\"custom\":{}}");
    }
    double gap = rec_gap(unwatched.rec, "ann") - rec_stall();
    CHECK_THAT(gap < ms(200), "the call without custom events received no audio of ann for %.0f ms", gap);
    CHECK_EQ(rec_count(ann.rec, OH_EVENT_STATE), ann_states);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_STATE), bob_states);
    CHECK_EQ(rec_count(ann.rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_TOKEN_NEEDED), 0);

    test_step(20, "nonsense on the socket");
    for (int i = 0; i < 3; i++) {
        ctl("coordinator_frame", "{\"message\":\"{nonsense\"}");
        ctl("coordinator_frame", "{\"message\":{\"type\":\"call.ended\",\"call_cid\":\"default:two\"}}");
        ctl("coordinator_frame", "{\"message\":{\"type\":\"custom\",\"call_cid\":7}}");
    }
    mark = rec_mark(second.rec);
    send_from_backend("two", "{\"after\":1}", 2);
    e = EXPECT_FROM(second.rec, mark, OH_EVENT_CUSTOM, "server", ms(5000));
    CHECK_STR(e.text, "{\"after\":1}");
    CHECK(!rec_has_ended(second.rec));

    test_step(20, "what cannot be sent in time comes as an error");
    ctl("slow", "{\"ms\":%u}", 5600);
    CHECK_OK(oh_call_send_custom_event(bob.call, "{}"));
    e = EXPECT(bob.rec, OH_EVENT_ERROR, NULL, 6000 + ms(2000));
    CHECK_EQ(e.error, OH_ERR_TIMEOUT);
    ctl("reset", "{}");

    test_step(20, "a token that expired is asked for");
    ctl("refuse_connect", "{\"user_id\":\"bob\",\"http_status\":401,\"code\":40,\"message\":\"token is expired\"}");
    ctl("drop_coordinator", "{\"user_id\":\"bob\"}");
    EXPECT(bob.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(10000));
    ctl("reset", "{}");
    CHECK_OK(oh_call_provide_token(bob.call, "another"));
    send_from_backend("two", "{\"token\":1}", 2);
    CHECK(!rec_has_ended(bob.rec));

    test_step(20, "left and freed while the coordinator is silent");
    ctl("silent", "{\"stage\":\"coordinator_ws\"}");
    ctl("drop_coordinator", "{}");
    CHECK_OK(oh_call_leave(second.call, NULL));
    EXPECT(second.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_OH(oh_call_send_custom_event(second.call, "{}"), OH_ERR_STATE);
    CHECK_OK(oh_call_wait_state(second.call, OH_STATE_LEFT, ms(3000)));
    oh_call_free(second.call);
    rec_call_freed(second.rec);
    rec_free(second.rec);
    double began = now_ms();
    peer_close(&ann);
    peer_close(&bob);
    peer_close(&unwatched);
    CHECK_THAT(now_ms() - began < ms(6000), "closing took %.0f ms", now_ms() - began);
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    return test_end();
}
