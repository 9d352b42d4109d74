/*
 * subscribe.c - who hears what is for the listener to say.   test: timeout=180 stand=--proxy
 *
 * Expected: with no_auto_subscribe nothing is heard until it is asked for; unsubscribe, pause and back; wishes hold
 * over a resume and over a new session, and end with their track; a track that is not there is told of, wrong
 * arguments are refused; a bot without a subscriber is heard for longer than a server waits for who does not come
 * up, and hears nothing, and so does who may not listen at all, and says nothing; after oh_subscriber_close there is neither sound nor data, while the call goes on.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t sounds(peer *p, const char *user)
{
    rec_heard h;
    return rec_heard_of(p->rec, user, &h) ? h.not_silent : 0;
}

/* The listener hears nothing of the speaker (any more): nothing while the clock, who listens to somebody as well, hears a
 * second of sound. */
static void hears_nothing(peer *listener, const char *speaker, peer *clock, const char *of)
{
    for (double end = now_ms() + ms(15000);;) {
        uint64_t before = sounds(listener, speaker);
        CHECK_THAT(rec_wait_audio(clock->rec, of, 50, ms(10000)), "%s does not hear %s, and is no clock", clock->user, of);
        if (sounds(listener, speaker) == before) return;
        CHECK_THAT(now_ms() < end, "%s still hears %s", listener->user, speaker);
    }
}

static void hears(peer *listener, const char *speaker, double hz)
{
    CHECK_THAT(rec_wait_tone(listener->rec, speaker, hz, ms(15000)), "%s does not hear %s", listener->user, speaker);
}

static oh_subscriber subscriber_of(peer *p)
{
    oh_subscriber s;
    CHECK_OK(oh_call_get_subscriber(p->call, &s));
    return s;
}

enum what { SUBSCRIBE, UNSUBSCRIBE, PAUSE };

static void wish(peer *p, const char *track, enum what what)
{
    oh_remote_track_options o = OH_INIT(oh_remote_track_options);
    o.unsubscribe = what == UNSUBSCRIBE;
    o.pause = what == PAUSE;
    CHECK_OK(oh_subscriber_set_track(subscriber_of(p), track, what == SUBSCRIBE ? NULL : &o));
}

static void wrong_arguments(peer *p, const char *track)
{
    oh_remote_track_options o = OH_INIT(oh_remote_track_options);
    static const int32_t layers[] = { -1, 3, INT32_MAX, INT32_MIN };
    oh_subscriber s = subscriber_of(p);
    char text[256];
    CHECK_OH(oh_subscriber_set_track(s, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_subscriber_set_track(s, "", NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_subscriber_set_track(s, "\xff", NULL), OH_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        o.layer = layers[i];
        CHECK_OH(oh_subscriber_set_track(s, track, &o), OH_ERR_ARGUMENT);
        oh_get_last_error(text, sizeof text);
        CHECK_THAT(strstr(text, "layer"), "the refusal does not name the layer: %s", text);
    }
    o.layer = OH_LAYER_LOW; /* of audio there is one: allowed, and changes nothing */
    CHECK_OK(oh_subscriber_set_track(s, track, &o));
    o.size = 4;
    CHECK_OH(oh_subscriber_set_track(s, track, &o), OH_ERR_ABI);
    CHECK_OH(oh_subscriber_set_track((oh_subscriber){ 12345 }, track, NULL), OH_ERR_HANDLE);
}

struct refusal {
    const char *track;
};

static int is_refused(recorder *r, void *arg)
{
    struct refusal *w = arg;
    for (size_t i = 0; i < r->count; i++)
        if (r->events[i].kind == OH_EVENT_ERROR && strstr(r->events[i].text, w->track)) return 1;
    return 0;
}

static void expect_refused(peer *p, const char *track, unsigned timeout_ms)
{
    struct refusal w = { track };
    CHECK_THAT(rec_wait_until(p->rec, is_refused, &w, timeout_ms), "%s is not told that %s is not there", p->user, track);
}

static void never_reconnected(peer *p)
{
    oh_call_stats s = peer_stats(p);
    CHECK_EQ(s.reconnect_attempts, 0);
    CHECK_EQ(s.join_attempts, 1);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), 0);
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_JOINED, 0));
}

int main(void)
{
    enum { JOIN_TIMEOUT = 60000 }; /* how long the server waits for who has joined to come up */
    peer alice = { 0 }, asks = { 0 }, hearer = { 0 }, deaf = { 0 }, bot = { 0 }, idle = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    oh_access_token_options grants = OH_INIT(oh_access_token_options);
    oh_data_options to = OH_INIT(oh_data_options);
    char token[4096];
    char track[256], gone[256];
    rec_event e;
    size_t mark, mark2;

    test_begin("subscribe");
    test_step(20, "a speaker, and a bot that only speaks");
    peer_join(&alice, "alice", "subscribe", NULL);
    peer_talk(&alice, 440);
    what.no_subscriber = 1;
    peer_join(&bot, "bot", "subscribe", &what);
    peer_talk(&bot, 880);
    grants.no_subscribe = 1;
    oh_struct_init(&what, sizeof what);
    livekit_token("idle", "subscribe", &grants, token, sizeof token);
    what.token = token;
    peer_join(&idle, "idle", "subscribe", &what);
    double bot_since = now_ms();
    peer_join(&hearer, "hearer", "subscribe", NULL);
    hears(&hearer, "alice", 440);
    hears(&hearer, "bot", 880);

    test_step(20, "nothing is heard until it is asked for");
    oh_struct_init(&what, sizeof what);
    what.no_auto_subscribe = 1;
    peer_join(&asks, "asks", "subscribe", &what);
    e = EXPECT(asks.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    snprintf(track, sizeof track, "%s", e.text);
    CHECK_THAT(!strncmp(track, "TR_", 3), "the track is '%s', not as the server names it", track);
    wish(&asks, "TR_unheard_of", SUBSCRIBE);
    double unknown_since = now_ms();
    hears_nothing(&asks, "alice", &hearer, "alice");
    CHECK_EQ(rec_frames(asks.rec, NULL), 0);
    wish(&asks, track, SUBSCRIBE);
    hears(&asks, "alice", 440);
    CHECK_EQ(rec_frames(asks.rec, "bot"), 0);

    test_step(60, "unsubscribe and subscribe, pause and go on");
    for (int i = 0; i < 2; i++) {
        wish(&asks, track, UNSUBSCRIBE);
        hears_nothing(&asks, "alice", &hearer, "alice");
        wish(&asks, track, SUBSCRIBE);
        hears(&asks, "alice", 440);
    }
    wish(&asks, track, PAUSE);
    hears_nothing(&asks, "alice", &hearer, "alice");
    wish(&asks, track, SUBSCRIBE);
    hears(&asks, "alice", 440);
    wish(&hearer, track, UNSUBSCRIBE); /* the same for who gets everything otherwise */
    hears_nothing(&hearer, "alice", &hearer, "bot");
    for (int i = 0; i < 20; i++) wish(&asks, track, i % 2 ? SUBSCRIBE : UNSUBSCRIBE); /* the last one wins */
    hears(&asks, "alice", 440);

    test_step(10, "wrong arguments");
    wrong_arguments(&asks, track);

    test_step(40, "wishes hold over a resume");
    mark = rec_mark(asks.rec);
    mark2 = rec_mark(hearer.rec);
    ctl("cut", "{\"identity\":\"asks\"}");
    ctl("cut", "{\"identity\":\"hearer\"}");
    e = EXPECT_FROM(asks.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(10000));
    CHECK_EQ(e.code, OH_RECONNECT_FAST);
    e = EXPECT_FROM(hearer.rec, mark2, OH_EVENT_RECONNECTED, NULL, ms(10000));
    CHECK_EQ(e.code, OH_RECONNECT_FAST);
    hears(&asks, "alice", 440);
    hears(&hearer, "bot", 880);
    hears_nothing(&hearer, "alice", &asks, "alice");
    CHECK_EQ(rec_frames(asks.rec, "bot"), 0);

    test_step(60, "wishes hold over a new session");
    mark = rec_mark(asks.rec);
    mark2 = rec_mark(hearer.rec);
    /* LeaveRequest { action: RECONNECT } */
    ctl("inject", "{\"identity\":\"asks\",\"to\":\"client\",\"message\":\"QgIYAg==\"}");
    ctl("inject", "{\"identity\":\"hearer\",\"to\":\"client\",\"message\":\"QgIYAg==\"}");
    e = EXPECT_FROM(asks.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
    e = EXPECT_FROM(hearer.rec, mark2, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
    hears(&asks, "alice", 440);
    hears(&hearer, "bot", 880);
    hears_nothing(&hearer, "alice", &asks, "alice");
    CHECK_EQ(rec_frames(asks.rec, "bot"), 0);

    test_step(30, "a wish ends with its track");
    snprintf(gone, sizeof gone, "%s", track);
    mark = rec_mark(asks.rec);
    mark2 = rec_mark(hearer.rec);
    tone_stop(alice.tone);
    oh_track_free(alice.mic);
    e = EXPECT_FROM(asks.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    CHECK_STR(e.text, gone);
    wish(&asks, gone, SUBSCRIBE); /* too late */
    double gone_since = now_ms();
    peer_talk(&alice, 620);
    e = EXPECT_FROM(asks.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(strcmp(e.text, gone) != 0, "another track has the name of the one that is gone");
    snprintf(track, sizeof track, "%s", e.text);
    hears(&hearer, "alice", 620); /* whose wish was about the other one */
    hears_nothing(&asks, "alice", &hearer, "alice");
    wish(&asks, track, SUBSCRIBE);
    hears(&asks, "alice", 620);

    test_step(30, "a closed subscriber");
    peer_join(&deaf, "deaf", "subscribe", NULL);
    hears(&deaf, "alice", 620);
    peer_talk(&deaf, 1000);
    hears(&hearer, "deaf", 1000);
    to.topic = "before";
    CHECK_OK(oh_call_send_data(alice.call, &to, "x", 1));
    EXPECT(deaf.rec, OH_EVENT_DATA, "alice", ms(10000));
    CHECK_OK(oh_subscriber_close(subscriber_of(&deaf)));
    uint64_t frames = rec_frames(deaf.rec, NULL);
    mark = rec_mark(deaf.rec);
    mark2 = rec_mark(hearer.rec);
    to.topic = "after";
    CHECK_OK(oh_call_send_data(alice.call, &to, "y", 1));
    EXPECT_FROM(hearer.rec, mark2, OH_EVENT_DATA, "alice", ms(10000));
    CHECK_OK(oh_subscriber_set_track(subscriber_of(&deaf), track, NULL)); /* without effect */
    hears(&hearer, "deaf", 1000); /* still speaks, */
    mark2 = rec_mark(hearer.rec);
    CHECK_OK(oh_call_send_data(deaf.call, NULL, "z", 1)); /* and still writes */
    EXPECT_FROM(hearer.rec, mark2, OH_EVENT_DATA, "deaf", ms(10000));
    mark2 = rec_mark(hearer.rec);
    oh_track_free(deaf.mic);
    EXPECT_FROM(hearer.rec, mark2, OH_EVENT_TRACK_UNPUBLISHED, "deaf", ms(5000));

    test_step(120, "tracks that are not there are told of, after a minute by the server's clock");
    expect_refused(&asks, "TR_unheard_of", (unsigned)(unknown_since + ms(85000) - now_ms()));
    expect_refused(&asks, gone, (unsigned)(gone_since + ms(85000) - now_ms()));

    test_step(60, "who does not listen is not sent away");
    for (double until = bot_since + JOIN_TIMEOUT + 3000; now_ms() < until; nap(50)) CHECK_OK(oh_call_wait_state(idle.call, OH_STATE_JOINED, 0));
    CHECK_OK(oh_call_wait_state(bot.call, OH_STATE_JOINED, 0));
    hears(&hearer, "bot", 880);
    never_reconnected(&bot);
    CHECK_EQ(rec_frames(bot.rec, NULL), 0);
    CHECK_EQ(rec_count(bot.rec, OH_EVENT_DATA), 0);
    never_reconnected(&idle);
    CHECK_EQ(rec_frames(idle.rec, NULL), 0);
    never_reconnected(&deaf);
    CHECK_EQ(rec_frames(deaf.rec, NULL), frames);
    CHECK_EQ(rec_wait(deaf.rec, OH_EVENT_DATA, NULL, mark, 0, NULL), -1);
    never_reconnected(&alice);

    test_step(20, "the end");
    oh_subscriber subscriber = subscriber_of(&asks);
    CHECK_OK(oh_call_leave(asks.call, NULL));
    EXPECT(asks.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_OH(oh_subscriber_set_track(subscriber, track, NULL), OH_ERR_STATE);
    peer_close(&asks);
    CHECK_OH(oh_subscriber_set_track(subscriber, track, NULL), OH_ERR_HANDLE);
    peer_close(&idle);
    peer_close(&bot);
    peer_close(&deaf);
    peer_close(&hearer);
    peer_close(&alice);
    return test_end();
}
