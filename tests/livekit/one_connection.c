/*
 * one_connection.c - one peer connection for both directions, and two where the server does not know the newer path.
 * test: timeout=180 stand=--proxy
 *
 * Expected: a server with /rtc/v1 gets no other request, also on a resume; media and data pass in both directions; an
 * older server is asked once, and the client's next calls take its path at once; participants of both kinds receive
 * each other. Closing one direction leaves the other one, over resumes and new sessions. Sixteen tracks at a time, and
 * many one after another, are received; lines of ended ones are used again. A candidate, an answer and requests for
 * m-lines that no correct server sends have no effect.
 */
#include "beside.h"
#include "livekit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static peer bob; /* all others receive him */

/* The path of an identity's last socket. */
static const char *path_of(const char *user)
{
    static _Thread_local char path[64];
    char where[256], *state = ctl_state();
    snprintf(where, sizeof where, "identities/?identity=%s/queries", user);
    int count = json_count(state, where);
    CHECK_THAT(count > 0, "%s has no socket", user);
    snprintf(where, sizeof where, "identities/?identity=%s/queries/#%d/path", user, count - 1);
    json_text(state, where, path, sizeof path);
    free(state);
    return path;
}

static void both_ways(peer *p, double hz)
{
    receives_tone(p, "bob", 1200, ms(10000));
    receives_tone(&bob, p->user, hz, ms(10000));
}

static void settle_in(peer *p, const char *user, double hz, const char *path)
{
    peer_join(p, user, "one", NULL);
    peer_publish_tone(p, hz);
    both_ways(p, hz);
    CHECK_THAT(!strcmp(path_of(user), path), "%s joined at %s", user, path_of(user));
    EXPECT(p->rec, OH_EVENT_MEDIA, NULL, ms(5000));
}

static void packets_pass(peer *from, peer *to)
{
    oh_data_options what = OH_INIT(oh_data_options);
    size_t mark = rec_mark(to->rec);
    what.topic = "t";
    CHECK_OK(oh_call_send_data(from->call, &what, "hello", 5));
    EXPECT_FROM(to->rec, mark, OH_EVENT_DATA, from->user, ms(10000));
}

static void it_is_used_and_resumed(void)
{
    peer p = { 0 };
    settle_in(&p, "newer", 500, "/rtc/v1");
    packets_pass(&p, &bob);
    packets_pass(&bob, &p);
    for (int i = 0; i < 2; i++) {
        size_t mark = rec_mark(p.rec);
        ctl("cut", "{\"identity\":\"newer\"}");
        back_from(&p, mark, OH_RECONNECT_FAST, ms(8000));
        both_ways(&p, 500);
        CHECK(!strcmp(path_of("newer"), "/rtc/v1"));
        CHECK_EQ(livekit_identity("newer", "resumes"), 1 + i);
        packets_pass(&p, &bob);
        packets_pass(&bob, &p);
    }
    CHECK_EQ(livekit_identity("newer", "sockets"), 3);
    CHECK_EQ(livekit_identity("newer", "offers"), 0);
    no_errors(&p);
    peer_close(&p);
}

static void an_older_server_has_two(void)
{
    peer p = { 0 };
    oh_call second;
    oh_call_options what = OH_INIT(oh_call_options);
    char token[4096];
    ctl("refuse", "{\"identity\":\"older\",\"path\":\"/rtc/v1\",\"status\":404}");
    settle_in(&p, "older", 600, "/rtc");
    CHECK(livekit_identity("older", "offers") > 0);
    packets_pass(&p, &bob);
    packets_pass(&bob, &p);
    size_t mark = rec_mark(p.rec);
    ctl("cut", "{\"identity\":\"older\"}");
    back_from(&p, mark, OH_RECONNECT_FAST, ms(8000));
    both_ways(&p, 600);
    CHECK(!strcmp(path_of("older"), "/rtc"));
    /* The client knows the server: its next call does not try the newer path, which now exists. */
    ctl("heal", "{\"identity\":\"older\"}");
    recorder *other = rec_new();
    livekit_token("older-2", "one", NULL, token, sizeof token);
    what.token = token;
    what.handlers = rec_handlers(other);
    CHECK_OK(oh_call_join(p.client, &what, &second));
    CHECK_OK(oh_call_wait_state(second, OH_STATE_JOINED, ms(10000)));
    CHECK_THAT(!strcmp(path_of("older-2"), "/rtc"), "the second call joined at %s", path_of("older-2"));
    CHECK_OK(oh_call_leave(second, "bye"));
    CHECK_OK(oh_call_wait_state(second, OH_STATE_LEFT, ms(5000)));
    no_errors(&p);
    peer_close(&p);
    rec_call_freed(other);
    rec_free(other);
}

/* A new session, by the server's request. */
static void rejoin(peer *p)
{
    size_t mark = rec_mark(p->rec);
    ctl("inject", "{\"identity\":\"%s\",\"message\":\"QgIYAg==\"}", p->user); /* leave, with the action RECONNECT */
    back_from(p, mark, OH_RECONNECT_REJOIN, ms(15000));
}

static void a_closed_subscriber_receives_nothing(void)
{
    peer p = { 0 };
    oh_subscriber sub;
    settle_in(&p, "closed", 700, "/rtc/v1");
    CHECK_OK(oh_call_get_subscriber(p.call, &sub));
    CHECK_OK(oh_subscriber_close(sub));
    uint64_t frames = rec_frames(p.rec, "bob");
    receives_tone(&bob, "closed", 700, ms(10000));
    size_t mark = rec_mark(p.rec);
    ctl("cut", "{\"identity\":\"closed\"}");
    back_from(&p, mark, OH_RECONNECT_FAST, ms(8000));
    receives_tone(&bob, "closed", 700, ms(10000));
    rejoin(&p);
    receives_tone(&bob, "closed", 700, ms(10000));
    CHECK_EQ(rec_frames(p.rec, "bob"), frames);
    no_errors(&p);
    peer_close(&p);
}

static void a_closed_publisher_sends_nothing(void)
{
    peer p = { 0 };
    oh_publisher pub;
    settle_in(&p, "mute", 800, "/rtc/v1");
    CHECK_OK(oh_call_get_publisher(p.call, &pub));
    size_t mark = rec_mark(bob.rec);
    CHECK_OK(oh_publisher_close(pub));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "mute", ms(10000));
    uint64_t frames = rec_frames(bob.rec, "mute");
    receives_tone(&p, "bob", 1200, ms(10000));
    rejoin(&p);
    receives_tone(&p, "bob", 1200, ms(10000));
    packets_pass(&bob, &p);
    CHECK_EQ(rec_frames(bob.rec, "mute"), frames);
    no_errors(&p);
    peer_close(&p);
}

/* Tracks one after another in the same places, and then more than the first offer has m-lines for. */
static void many_tracks(void)
{
    enum { TRACKS = 16, ROUNDS = 6 };
    peer p = { 0 };
    settle_in(&p, "many", 500, "/rtc/v1");
    for (int round = 0; round < ROUNDS; round++) {
        oh_track tracks[TRACKS];
        tone *tones[TRACKS];
        size_t mark = rec_mark(bob.rec);
        int count = round < ROUNDS - 1 ? 1 : TRACKS;
        for (int i = 0; i < count; i++) {
            oh_audio_track_options o = OH_INIT(oh_audio_track_options);
            CHECK_OK(oh_call_publish_audio(p.call, &o, &tracks[i]));
            tones[i] = tone_start(tracks[i], OH_AUDIO_S16, 48000, 1, 300 + 20 * i);
        }
        for (int i = 0; i < count; i++) {
            long at = rec_wait(bob.rec, OH_EVENT_TRACK_PUBLISHED, "many", mark, ms(15000), NULL);
            CHECK_THAT(at >= 0, "track %d of round %d is not published", i, round);
            mark = (size_t)at + 1;
        }
        for (int i = 0; i < count; i++) {
            tone_stop(tones[i]);
            oh_track_free(tracks[i]);
        }
        for (int i = 0; i < count; i++) {
            long at = rec_wait(bob.rec, OH_EVENT_TRACK_UNPUBLISHED, "many", mark, ms(15000), NULL);
            CHECK_THAT(at >= 0, "track %d of round %d does not end", i, round);
            mark = (size_t)at + 1;
        }
        both_ways(&p, 500);
    }
    no_errors(&p);
    peer_close(&p);
}

/* Requests for m-lines (field 25), an offer and an answer (2) that no correct server sends. */
static void nonsense(void)
{
    static const char *const messages[] = {
        "ygECCP8=", /* a broken requirement */
        "ygEGCICU69wD", /* 1,000,000,000 audio m-lines */
        "ygEGEP////8P", /* 4,294,967,295 video m-lines */
        "EgA=", /* an empty answer */
    };
    peer p = { 0 };
    settle_in(&p, "nonsense", 900, "/rtc/v1");
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        ctl("inject", "{\"identity\":\"nonsense\",\"message\":\"%s\"}", messages[i]);
        both_ways(&p, 900);
    }
    CHECK_EQ(peer_stats(&p).reconnects_rejoin, 0);
    CHECK_EQ(peer_stats(&p).reconnects_fast, 0);
    CHECK_THAT(rec_count(p.rec, OH_EVENT_ERROR) == 1, "%zu errors for an excessive request", rec_count(p.rec, OH_EVENT_ERROR));
    peer_close(&p);
}

#define SHOW(item) test_step(40, #item), item()

int main(void)
{
    test_begin("one_connection");
    test_step(20, "a participant whom all others receive");
    peer_join(&bob, "bob", "one", NULL);
    peer_publish_tone(&bob, 1200);
    SHOW(it_is_used_and_resumed);
    SHOW(an_older_server_has_two);
    SHOW(a_closed_subscriber_receives_nothing);
    SHOW(a_closed_publisher_sends_nothing);
    SHOW(many_tracks);
    SHOW(nonsense);
    test_step(20, "the end");
    no_errors(&bob);
    peer_close(&bob);
    return test_end();
}
