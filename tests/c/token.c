/*
 * token.c - tokens requested with OH_EVENT_TOKEN_NEEDED.
 * test: timeout=90
 *
 * Expected: one request per join; with a token given inside the callback, or later from another thread, the call is
 * joined; with NULL it ends with OH_ERR_AUTH at once, without a reply after 30 s; a token that was not requested is
 * ignored; leaving while the request is pending is allowed.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static void open_without_token(peer *p, const char *user, oh_call_options *what)
{
    oh_client_options where = OH_INIT(oh_client_options);
    recorder *rec = p->rec ? p->rec : rec_new();
    memset(p, 0, sizeof *p);
    p->rec = rec;
    snprintf(p->user, sizeof p->user, "%s", user);
    where.url = sfu_url();
    where.user_id = user;
    CHECK_OK(oh_client_new(&where, &p->client));
    what->call_id = "token";
    what->handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, what, &p->call));
}

static void answer_inside(recorder *r, oh_call call, const oh_event *event)
{
    (void)r;
    if (event->kind != OH_EVENT_TOKEN_NEEDED) return;
    char token[] = "development";
    CHECK_OK(oh_call_provide_token(call, token));
    memset(token, 'x', sizeof token - 1); /* it was copied */
}

static void *answer_later(void *arg)
{
    CHECK_OK(oh_call_provide_token(((peer *)arg)->call, "development"));
    return NULL;
}

int main(void)
{
    peer never = { 0 }, p = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    pthread_t thread;
    rec_event e;

    test_begin("token");
    test_step(10, "never answered: begins");
    open_without_token(&never, "never", &what);
    EXPECT(never.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));

    test_step(10, "answered inside the callback");
    p.rec = rec_new();
    p.rec->on_event = answer_inside;
    open_without_token(&p, "inside", &what);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_TOKEN_NEEDED), 1);
    CHECK_OK(oh_call_provide_token(p.call, "not-asked-for")); /* ignored */
    CHECK_OK(oh_call_provide_token(p.call, NULL));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0));
    oh_call left = p.call;
    CHECK_OK(oh_call_leave(left, NULL));
    EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_OH(oh_call_provide_token(left, "development"), OH_ERR_STATE);
    peer_close(&p);
    CHECK_OH(oh_call_provide_token(left, "development"), OH_ERR_HANDLE);

    test_step(10, "answered later, from another thread");
    open_without_token(&p, "later", &what);
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, 50), OH_ERR_TIMEOUT);
    CHECK_EQ(pthread_create(&thread, NULL, answer_later, &p), 0);
    pthread_join(thread, NULL);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    peer_close(&p);

    test_step(10, "answered with NULL, and with nothing");
    for (int i = 0; i < 2; i++) {
        open_without_token(&p, i ? "empty" : "null", &what);
        EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
        CHECK_OK(oh_call_provide_token(p.call, i ? "" : NULL));
        CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)), OH_ERR_AUTH);
        e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(1000));
        CHECK_EQ(e.code, OH_END_JOIN_FAILED);
        CHECK_EQ(e.error, OH_ERR_AUTH);
        peer_close(&p);
    }

    test_step(10, "answered with what cannot be a token");
    open_without_token(&p, "garbage", &what);
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OH(oh_call_provide_token(p.call, "\xff\xfe"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_provide_token(p.call, "two\r\nlines: x"), OH_ERR_ARGUMENT);
    CHECK_OK(oh_call_provide_token(p.call, NULL));
    e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK(e.error != OH_OK);
    CHECK(strstr(e.text, "lines") == NULL);
    peer_close(&p);

    test_step(10, "left while the question is open");
    open_without_token(&p, "leaves", &what);
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OK(oh_call_leave(p.call, NULL));
    e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(2500));
    CHECK_EQ(e.error, OH_ERR_CANCELLED);
    peer_close(&p);

    test_step(10, "a token of the call, and the user in the token");
    what.token = "development";
    open_without_token(&p, "own", &what);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_TOKEN_NEEDED), 0);
    peer_close(&p);
    oh_client_options where = OH_INIT(oh_client_options);
    where.url = sfu_url();
    where.token = "e30.eyJ1c2VyX2lkIjoiemVsZGEifQ.x"; /* {"user_id":"zelda"} */
    CHECK_OK(oh_client_new(&where, &p.client));
    p.rec = rec_new();
    what.token = NULL;
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    CHECK_EQ(ctl_session("zelda", "sockets"), 1);
    peer_close(&p);
    where.token = "e30.e30.x";
    CHECK_OH(oh_client_new(&where, &p.client), OH_ERR_ARGUMENT);

    test_step(40, "never answered: ends after 30 s");
    e = EXPECT(never.rec, OH_EVENT_ENDED, NULL, 30000 + ms(3000));
    CHECK_EQ(e.code, OH_END_JOIN_FAILED);
    CHECK_EQ(e.error, OH_ERR_AUTH);
    CHECK_THAT(e.at_ms >= 29500, "it ended after %llu ms", (unsigned long long)e.at_ms);
    peer_close(&never);
    return test_end();
}
