/*
 * subscribe.c - subscription settings of the listener.
 * test: timeout=180 stand=--proxy
 *
 * Expected: with no_auto_subscribe no audio is received before it is requested; unsubscribe, pause and resume work;
 * subscription settings survive a resume and a new session, and end with their track; a track that does not exist is
 * reported, invalid arguments are refused; a bot without a subscriber stays joined and is received for longer than
 * the server waits for a peer connection, and receives nothing; so does a participant without the right to subscribe
 * that publishes nothing; after oh_subscriber_close there is neither audio nor data, while the call continues.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t audible_frames(peer *p, const char *user)
{
    rec_received h;
    return rec_received_of(p->rec, user, &h) ? h.not_silent : 0;
}

/* Waits until the listener receives no (more) audio of the speaker: none while the clock, who receives `of`, gets
 * a second of audio. */
static void receives_nothing(peer *listener, const char *speaker, peer *clock, const char *of)
{
    for (double end = now_ms() + ms(15000);;) {
        uint64_t before = audible_frames(listener, speaker);
        CHECK_THAT(rec_wait_audio(clock->rec, of, 50, ms(10000)), "%s does not receive %s, and cannot be the clock", clock->user, of);
        if (audible_frames(listener, speaker) == before) return;
        CHECK_THAT(now_ms() < end, "%s still receives %s", listener->user, speaker);
    }
}

static void receives(peer *listener, const char *speaker, double hz)
{
    CHECK_THAT(rec_wait_tone(listener->rec, speaker, hz, ms(15000)), "%s does not receive %s", listener->user, speaker);
}

static oh_subscriber subscriber_of(peer *p)
{
    oh_subscriber s;
    CHECK_OK(oh_call_get_subscriber(p->call, &s));
    return s;
}

enum what { SUBSCRIBE, UNSUBSCRIBE, PAUSE };

static void set_subscription(peer *p, const char *track, enum what what)
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
    o.layer = OH_LAYER_LOW; /* audio has one layer: allowed, without effect */
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
    CHECK_THAT(rec_wait_until(p->rec, is_refused, &w, timeout_ms), "%s gets no error for the missing track %s", p->user, track);
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
    enum { JOIN_TIMEOUT = 60000 }; /* how long the server waits for the peer connection of a participant */
    peer alice = { 0 }, selective = { 0 }, receiver = { 0 }, closed = { 0 }, bot = { 0 }, idle = { 0 };
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
    peer_publish_tone(&alice, 440);
    what.no_subscriber = 1;
    peer_join(&bot, "bot", "subscribe", &what);
    peer_publish_tone(&bot, 880);
    grants.no_subscribe = 1;
    oh_struct_init(&what, sizeof what);
    livekit_token("idle", "subscribe", &grants, token, sizeof token);
    what.token = token;
    peer_join(&idle, "idle", "subscribe", &what);
    double bot_since = now_ms();
    peer_join(&receiver, "receiver", "subscribe", NULL);
    receives(&receiver, "alice", 440);
    receives(&receiver, "bot", 880);

    test_step(20, "no audio before it is requested");
    oh_struct_init(&what, sizeof what);
    what.no_auto_subscribe = 1;
    peer_join(&selective, "selective", "subscribe", &what);
    e = EXPECT(selective.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    snprintf(track, sizeof track, "%s", e.text);
    CHECK_THAT(!strncmp(track, "TR_", 3), "the track is '%s', not as the server names it", track);
    set_subscription(&selective, "TR_unknown", SUBSCRIBE);
    double unknown_since = now_ms();
    receives_nothing(&selective, "alice", &receiver, "alice");
    CHECK_EQ(rec_frames(selective.rec, NULL), 0);
    set_subscription(&selective, track, SUBSCRIBE);
    receives(&selective, "alice", 440);
    CHECK_EQ(rec_frames(selective.rec, "bot"), 0);

    test_step(60, "unsubscribe and subscribe, pause and go on");
    for (int i = 0; i < 2; i++) {
        set_subscription(&selective, track, UNSUBSCRIBE);
        receives_nothing(&selective, "alice", &receiver, "alice");
        set_subscription(&selective, track, SUBSCRIBE);
        receives(&selective, "alice", 440);
    }
    set_subscription(&selective, track, PAUSE);
    receives_nothing(&selective, "alice", &receiver, "alice");
    set_subscription(&selective, track, SUBSCRIBE);
    receives(&selective, "alice", 440);
    set_subscription(&receiver, track, UNSUBSCRIBE); /* the same for one that subscribes automatically */
    receives_nothing(&receiver, "alice", &receiver, "bot");
    for (int i = 0; i < 20; i++) set_subscription(&selective, track, i % 2 ? SUBSCRIBE : UNSUBSCRIBE); /* the last one wins */
    receives(&selective, "alice", 440);

    test_step(10, "wrong arguments");
    wrong_arguments(&selective, track);

    test_step(40, "subscription settings survive a resume");
    mark = rec_mark(selective.rec);
    mark2 = rec_mark(receiver.rec);
    ctl("cut", "{\"identity\":\"selective\"}");
    ctl("cut", "{\"identity\":\"receiver\"}");
    e = EXPECT_FROM(selective.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(10000));
    CHECK_EQ(e.code, OH_RECONNECT_FAST);
    e = EXPECT_FROM(receiver.rec, mark2, OH_EVENT_RECONNECTED, NULL, ms(10000));
    CHECK_EQ(e.code, OH_RECONNECT_FAST);
    receives(&selective, "alice", 440);
    receives(&receiver, "bot", 880);
    receives_nothing(&receiver, "alice", &selective, "alice");
    CHECK_EQ(rec_frames(selective.rec, "bot"), 0);

    test_step(60, "subscription settings survive a new session");
    mark = rec_mark(selective.rec);
    mark2 = rec_mark(receiver.rec);
    /* LeaveRequest { action: RECONNECT } */
    ctl("inject", "{\"identity\":\"selective\",\"to\":\"client\",\"message\":\"QgIYAg==\"}");
    ctl("inject", "{\"identity\":\"receiver\",\"to\":\"client\",\"message\":\"QgIYAg==\"}");
    e = EXPECT_FROM(selective.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
    e = EXPECT_FROM(receiver.rec, mark2, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
    receives(&selective, "alice", 440);
    receives(&receiver, "bot", 880);
    receives_nothing(&receiver, "alice", &selective, "alice");
    CHECK_EQ(rec_frames(selective.rec, "bot"), 0);

    test_step(30, "a subscription setting ends with its track");
    snprintf(gone, sizeof gone, "%s", track);
    mark = rec_mark(selective.rec);
    mark2 = rec_mark(receiver.rec);
    tone_stop(alice.tone);
    oh_track_free(alice.mic);
    e = EXPECT_FROM(selective.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    CHECK_STR(e.text, gone);
    set_subscription(&selective, gone, SUBSCRIBE); /* the track has ended */
    double gone_since = now_ms();
    peer_publish_tone(&alice, 620);
    e = EXPECT_FROM(selective.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_THAT(strcmp(e.text, gone) != 0, "another track has the name of the one that is gone");
    snprintf(track, sizeof track, "%s", e.text);
    receives(&receiver, "alice", 620); /* its setting was for the other track */
    receives_nothing(&selective, "alice", &receiver, "alice");
    set_subscription(&selective, track, SUBSCRIBE);
    receives(&selective, "alice", 620);

    test_step(30, "a closed subscriber");
    peer_join(&closed, "closed", "subscribe", NULL);
    receives(&closed, "alice", 620);
    peer_publish_tone(&closed, 1000);
    receives(&receiver, "closed", 1000);
    to.topic = "before";
    CHECK_OK(oh_call_send_data(alice.call, &to, "x", 1));
    EXPECT(closed.rec, OH_EVENT_DATA, "alice", ms(10000));
    CHECK_OK(oh_subscriber_close(subscriber_of(&closed)));
    uint64_t frames = rec_frames(closed.rec, NULL);
    mark = rec_mark(closed.rec);
    mark2 = rec_mark(receiver.rec);
    to.topic = "after";
    CHECK_OK(oh_call_send_data(alice.call, &to, "y", 1));
    EXPECT_FROM(receiver.rec, mark2, OH_EVENT_DATA, "alice", ms(10000));
    CHECK_OK(oh_subscriber_set_track(subscriber_of(&closed), track, NULL)); /* without effect */
    receives(&receiver, "closed", 1000); /* still sends audio, */
    mark2 = rec_mark(receiver.rec);
    CHECK_OK(oh_call_send_data(closed.call, NULL, "z", 1)); /* and still sends data */
    EXPECT_FROM(receiver.rec, mark2, OH_EVENT_DATA, "closed", ms(10000));
    mark2 = rec_mark(receiver.rec);
    oh_track_free(closed.mic);
    EXPECT_FROM(receiver.rec, mark2, OH_EVENT_TRACK_UNPUBLISHED, "closed", ms(5000));

    test_step(120, "missing tracks are reported after the server's minute");
    expect_refused(&selective, "TR_unknown", (unsigned)(unknown_since + ms(85000) - now_ms()));
    expect_refused(&selective, gone, (unsigned)(gone_since + ms(85000) - now_ms()));

    test_step(60, "a participant that receives nothing stays joined");
    for (double until = bot_since + JOIN_TIMEOUT + 3000; now_ms() < until; nap(50)) CHECK_OK(oh_call_wait_state(idle.call, OH_STATE_JOINED, 0));
    CHECK_OK(oh_call_wait_state(bot.call, OH_STATE_JOINED, 0));
    receives(&receiver, "bot", 880);
    never_reconnected(&bot);
    CHECK_EQ(rec_frames(bot.rec, NULL), 0);
    CHECK_EQ(rec_count(bot.rec, OH_EVENT_DATA), 0);
    never_reconnected(&idle);
    CHECK_EQ(rec_frames(idle.rec, NULL), 0);
    never_reconnected(&closed);
    CHECK_EQ(rec_frames(closed.rec, NULL), frames);
    CHECK_EQ(rec_wait(closed.rec, OH_EVENT_DATA, NULL, mark, 0, NULL), -1);
    never_reconnected(&alice);

    test_step(20, "the end");
    oh_subscriber subscriber = subscriber_of(&selective);
    CHECK_OK(oh_call_leave(selective.call, NULL));
    EXPECT(selective.rec, OH_EVENT_ENDED, NULL, ms(3000));
    CHECK_OH(oh_subscriber_set_track(subscriber, track, NULL), OH_ERR_STATE);
    peer_close(&selective);
    CHECK_OH(oh_subscriber_set_track(subscriber, track, NULL), OH_ERR_HANDLE);
    peer_close(&idle);
    peer_close(&bot);
    peer_close(&closed);
    peer_close(&receiver);
    peer_close(&alice);
    return test_end();
}
