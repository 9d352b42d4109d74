/*
 * test: timeout=120 stand=--proxy
 * faults_socket.c - faults of the signalling socket to a real LiveKit server (fault list, docs/reliability.md).
 *
 * Sockets are cut, closed, refused, hang, freeze and deliver garbage; messages are lost, duplicated, delayed and
 * reordered; the server simulates its scenarios. Expected: a call that can reconnect does, by FAST without an
 * interruption of the audio while the session exists; others end with one typed event; two participants in another
 * room are unaffected.
 */
#include "beside.h"
#include "livekit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A resume restarts ICE, and the server sends nothing until a pair is selected again. It waits a second for a
 * candidate that was not signalled (pion's prflxAcceptanceMinWait), as behind the proxy. cluster.c measures without
 * the proxy.
 */
enum { RESTART = 1500 };

static peer bob; /* sends audio in the room of all these */

static void settle_in(peer *p, const char *user, double hz)
{
    peer_join(p, user, "socket", NULL);
    peer_publish_tone(p, hz);
}

static void both_receive(peer *p, double hz, unsigned timeout_ms)
{
    receives_tone(p, "bob", 1200, ms(timeout_ms));
    receives_tone(&bob, p->user, hz, ms(timeout_ms));
}

static void h10_h23_h24_cut(void)
{
    peer p = { 0 };
    settle_in(&p, "cut", 500);
    both_receive(&p, 500, 10000);
    for (int i = 0; i < 2; i++) {
        size_t mark = rec_mark(p.rec);
        rec_gaps_begin(p.rec);
        rec_gaps_begin(bob.rec);
        ctl("cut", "{\"identity\":\"cut\"}");
        back_from(&p, mark, OH_RECONNECT_FAST, ms(5000));
        both_receive(&p, 500, 10000);
        printf("           gaps of %.0f and %.0f ms\n", rec_gap(p.rec, "bob"), rec_gap(bob.rec, "cut"));
        CHECK_THAT(rec_gap(p.rec, "bob") < ms(RESTART) + 3 * rec_stall(), "a gap of %.0f ms in received audio", rec_gap(p.rec, "bob"));
        CHECK_THAT(rec_gap(bob.rec, "cut") < ms(RESTART) + 3 * rec_stall(), "a gap of %.0f ms in sent audio", rec_gap(bob.rec, "cut"));
        CHECK_EQ(rec_count(p.rec, OH_EVENT_RECONNECTED), 1 + (size_t)i);
        CHECK_EQ(livekit_identity("cut", "live"), 1);
        CHECK_EQ(livekit_identity("cut", "resumes"), 1 + i);
    }
    CHECK_EQ(rec_count(bob.rec, OH_EVENT_RECONNECTED), 0);
    CHECK(rec_wait(bob.rec, OH_EVENT_PARTICIPANT_LEFT, "cut", 0, 0, NULL) < 0);
    no_errors(&p);
    peer_close(&p);
}

/* Whatever the close code: the session is resumed, unless the server gave a reason to end before. */
static void close_codes(void)
{
    static const int codes[] = { 1000, 1001, 1011, 4001 };
    enum { N = sizeof codes / sizeof *codes };
    peer p[N] = { 0 };
    size_t marks[N];
    char user[32];
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "code-%d", codes[i]);
        settle_in(&p[i], user, 300 + 50 * i);
    }
    for (int i = 0; i < N; i++) both_receive(&p[i], 300 + 50 * i, 10000);
    for (int i = 0; i < N; i++) {
        marks[i] = rec_mark(p[i].rec);
        ctl("close", "{\"identity\":\"code-%d\",\"code\":%d,\"reason\":\"x\"}", codes[i], codes[i]);
    }
    for (int i = 0; i < N; i++) back_from(&p[i], marks[i], OH_RECONNECT_FAST, ms(8000));
    for (int i = 0; i < N; i++) {
        both_receive(&p[i], 300 + 50 * i, 10000);
        no_errors(&p[i]);
        peer_close(&p[i]);
    }
}

/* H27: at any stage of a join the server does not respond, or refuses. */
static void h12_h27_refused_joins(void)
{
    static const struct {
        const char *user, *word, *rest;
        int retries, error, code;
        unsigned within;
    } all[] = {
        { "j-503", "refuse", "\"status\":503", 1, OH_ERR_REFUSED, 503, 6000 },
        { "j-401", "refuse", "\"status\":401", 3, OH_ERR_AUTH, 401, 3000 },
        { "j-404", "refuse", "\"status\":404", 3, OH_ERR_REFUSED, 404, 3000 },
        { "j-hang", "refuse", "\"status\":\"hang\"", 0, OH_ERR_TIMEOUT, 0, 15000 },
        { "j-silent", "silent", "\"status\":0", 0, OH_ERR_TIMEOUT, 0, 9000 },
        { "j-once", "refuse", "\"status\":503,\"count\":2", 3, 0, 0, 8000 },
        { "j-leaves", "refuse", "\"status\":\"hang\"", 3, OH_ERR_CANCELLED, 0, 2000 }, /* H12 */
    };
    enum { N = sizeof all / sizeof *all };
    peer p[N] = { 0 };
    double began = now_ms();
    for (int i = 0; i < N; i++) {
        oh_call_options what = OH_INIT(oh_call_options);
        what.join_retries = all[i].retries ? (uint32_t)all[i].retries : OH_ZERO;
        ctl(all[i].word, "{\"identity\":\"%s\",%s}", all[i].user, all[i].rest);
        peer_open(&p[i], all[i].user, "socket", &what);
    }
    livekit_identity_wait("j-leaves", "refused", 1, ms(5000));
    CHECK_OK(oh_call_leave(p[N - 1].call, "does not wait"));
    EXPECT(p[N - 1].rec, OH_EVENT_ENDED, NULL, ms(2000));
    for (int i = 0; i < N; i++) {
        if (!all[i].error) {
            CHECK_OK(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(all[i].within)));
            CHECK_EQ(peer_stats(&p[i]).join_attempts, 3);
        } else {
            rec_event e = EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, ms(all[i].within));
            CHECK_THAT(e.when - began < ms(all[i].within) + 1000, "%s ended after %.0f ms", all[i].user, e.when - began);
            CHECK_THAT(e.error == all[i].error, "%s: %s, expected %s", all[i].user, oh_result_get_name(e.error),
                       oh_result_get_name(all[i].error));
            CHECK_EQ(e.server_code, all[i].code);
            CHECK_EQ(e.code, i == N - 1 ? OH_END_LEFT : OH_END_JOIN_FAILED);
            CHECK_EQ(rec_count(p[i].rec, OH_EVENT_JOINED), 0);
        }
        peer_close(&p[i]);
    }
    ctl("reset", "{}");
}

/*
 * Faults of a resume; and a socket that freezes during use (H10: its late close does not cause a second reconnect).
 */
static void h10_h27_resumes(void)
{
    static const struct {
        const char *user, *word, *rest;
        int how; /* 0: the call ends */
    } all[] = {
        { "r-503", "refuse", "\"status\":503,\"count\":1", OH_RECONNECT_FAST },
        { "r-hang", "refuse", "\"status\":\"hang\",\"count\":1", OH_RECONNECT_FAST },
        { "r-silent", "silent", "\"count\":1", OH_RECONNECT_FAST },
        { "r-404", "refuse", "\"status\":404,\"count\":3", OH_RECONNECT_REJOIN },
        { "r-401", "refuse", "\"status\":401", 0 },
        { "half", "half_open", "\"x\":0", OH_RECONNECT_FAST },
    };
    enum { N = sizeof all / sizeof *all };
    peer p[N] = { 0 };
    size_t marks[N];
    for (int i = 0; i < N; i++) settle_in(&p[i], all[i].user, 300 + 60 * i);
    for (int i = 0; i < N; i++) both_receive(&p[i], 300 + 60 * i, 10000);
    for (int i = 0; i < N; i++) {
        marks[i] = rec_mark(p[i].rec);
        rec_gaps_begin(p[i].rec);
        ctl(all[i].word, "{\"identity\":\"%s\",%s}", all[i].user, all[i].rest);
        if (strcmp(all[i].word, "half_open")) ctl("cut", "{\"identity\":\"%s\"}", all[i].user);
    }
    for (int i = 0; i < N; i++) {
        if (!all[i].how) {
            rec_event e = EXPECT_FROM(p[i].rec, marks[i], OH_EVENT_ENDED, NULL, ms(20000));
            CHECK_EQ(e.code, OH_END_RECONNECT_REFUSED);
            CHECK_EQ(e.error, OH_ERR_AUTH);
            CHECK_EQ(e.server_code, 401);
            peer_close(&p[i]);
            continue;
        }
        rec_event e = back_from(&p[i], marks[i], 0, ms(25000));
        CHECK_THAT(e.code == all[i].how, "%s reconnected by %d, expected %d", all[i].user, e.code, all[i].how);
        both_receive(&p[i], 300 + 60 * i, 10000);
        /* Audio does not depend on the socket; but the new ICE parameters were sent on the silent one. */
        if (all[i].how == OH_RECONNECT_FAST && strcmp(all[i].user, "r-silent"))
            CHECK_THAT(rec_gap(p[i].rec, "bob") < ms(RESTART) + 3 * rec_stall(), "%s had a gap of %.0f ms", all[i].user, rec_gap(p[i].rec, "bob"));
        CHECK_EQ(rec_count(p[i].rec, OH_EVENT_RECONNECTED), 1);
        CHECK_EQ(peer_stats(&p[i]).error_events, 0);
        peer_close(&p[i]);
    }
    ctl("reset", "{}");
}

static void h35_h36_garbage(void)
{
    peer p = { 0 }, q = { 0 };
    size_t mark;
    long before;
    settle_in(&p, "junk", 500);
    settle_in(&q, "flood", 700);
    both_receive(&p, 500, 10000);
    both_receive(&q, 700, 10000);
    mark = rec_mark(p.rec);
    for (int i = 0; i < 20; i++) ctl("garbage", "{\"identity\":\"junk\",\"bytes\":\"/////w==\",\"text\":\"no protobuf \xc3\xa4\"}");
    for (double end = now_ms() + ms(5000); peer_stats(&p).malformed_messages < 40; nap(5))
        CHECK_THAT(now_ms() < end, "%llu malformed messages", (unsigned long long)peer_stats(&p).malformed_messages);
    CHECK(rec_wait(p.rec, OH_EVENT_STATE, NULL, mark, 0, NULL) < 0); /* the socket stays open */
    no_errors(&p);
    ctl("garbage", "{\"identity\":\"junk\",\"raw\":\"8////////w==\"}"); /* not a valid frame: reserved bits are set */
    back_from(&p, mark, OH_RECONNECT_FAST, ms(8000));
    both_receive(&p, 500, 10000);
    before = anonymous_kb();
    mark = rec_mark(q.rec);
    ctl("huge", "{\"identity\":\"flood\",\"size\":4194304,\"claim\":209715200}");
    back_from(&q, mark, OH_RECONNECT_FAST, ms(8000));
    CHECK_THAT(anonymous_kb() - before < 16384 || test_scale() > 1, "memory grew by %ld KiB", anonymous_kb() - before);
    both_receive(&q, 700, 10000);
    no_errors(&p);
    CHECK_EQ(rec_count(q.rec, OH_EVENT_ERROR), 1); /* an oversized message is reported */
    CHECK_EQ(rec_count(q.rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(peer_stats(&q).offers_failed, 0);
    CHECK_EQ(rec_has_ended(q.rec), 0);
    peer_close(&p);
    peer_close(&q);
}

/* H2, H7, H18, H20, H29: signalling messages are lost, duplicated, delayed and reordered while pairs join. */
static void lossy_signalling(void)
{
    static const char *const how[] = { "\"drop\":0.2", "\"duplicate\":0.5", "\"reorder\":0.4", "\"delay_ms\":150,\"jitter_ms\":250",
                                       "\"drop\":0.08,\"duplicate\":0.1,\"reorder\":0.1,\"jitter_ms\":80" };
    enum { N = sizeof how / sizeof *how };
    peer a[N] = { 0 }, b[N] = { 0 };
    char user[32], room[32];
    for (int i = 0; i < N; i++) {
        snprintf(room, sizeof room, "lossy-%d", i);
        snprintf(user, sizeof user, "lossy-a%d", i);
        ctl("signal", "{\"identity\":\"%s\",\"seed\":%d,%s}", user, i + 1, how[i]);
        peer_open(&a[i], user, room, NULL);
        peer_publish_tone(&a[i], 500);
        snprintf(user, sizeof user, "lossy-b%d", i);
        ctl("signal", "{\"identity\":\"%s\",\"seed\":%d,%s}", user, i + 77, how[i]);
        peer_open(&b[i], user, room, NULL);
        peer_publish_tone(&b[i], 800);
    }
    for (double end = now_ms() + ms(6000); now_ms() < end; nap(50))
        for (int i = 0; i < N; i++) CHECK_THAT(!rec_has_ended(a[i].rec) && !rec_has_ended(b[i].rec), "a call ended: %s", how[i]);
    ctl("signal", "{\"drop\":0}"); /* this rule hides the others */
    for (int i = 0; i < N; i++) {
        CHECK_OK(oh_call_wait_state(a[i].call, OH_STATE_JOINED, ms(20000)));
        CHECK_OK(oh_call_wait_state(b[i].call, OH_STATE_JOINED, ms(20000)));
        receives_tone(&a[i], b[i].user, 800, ms(25000));
        receives_tone(&b[i], a[i].user, 500, ms(25000));
        oh_call_stats s = peer_stats(&a[i]), t = peer_stats(&b[i]);
        printf("           %s: %llu and %llu errors, %llu and %llu reconnects\n", how[i], (unsigned long long)s.error_events,
               (unsigned long long)t.error_events, (unsigned long long)(s.reconnects_fast + s.reconnects_rejoin),
               (unsigned long long)(t.reconnects_fast + t.reconnects_rejoin));
        CHECK_THAT(s.error_events + t.error_events <= 4, "%s: a loop of errors", how[i]);
        peer_close(&a[i]);
        peer_close(&b[i]);
    }
    ctl("reset", "{}");
}

/* All fault scenarios of the server, and leave messages with each action (H9, H16, H28). */
static void simulated(void)
{
    static const struct {
        const char *user, *scenario, *inject;
        int cut, how;
    } all[] = {
        { "s-failure", "node_failure", NULL, 0, OH_RECONNECT_REJOIN },
        { "s-migration", "migration", NULL, 0, OH_RECONNECT_REJOIN },
        { "s-leave", "server_leave", NULL, 0, OH_RECONNECT_REJOIN },
        { "s-resume", "disconnect_signal_on_resume", NULL, 1, OH_RECONNECT_FAST },
        { "s-silent", "disconnect_signal_on_resume_no_messages", NULL, 1, OH_RECONNECT_FAST },
        { "s-reconnect", NULL, "QgIYAg==", 0, OH_RECONNECT_REJOIN }, /* leave: action RECONNECT */
        { "s-again", NULL, "QgIYAQ==", 0, OH_RECONNECT_FAST },       /* leave: action RESUME */
        { "s-over", NULL, "QgIQBQ==", 0, 0 },                        /* leave: the room was deleted */
    };
    enum { N = sizeof all / sizeof *all };
    peer p[N] = { 0 };
    size_t marks[N];
    for (int i = 0; i < N; i++) settle_in(&p[i], all[i].user, 300 + 60 * i);
    for (int i = 0; i < N; i++) both_receive(&p[i], 300 + 60 * i, 10000);
    for (int i = 0; i < N; i++) {
        marks[i] = rec_mark(p[i].rec);
        if (all[i].scenario) ctl("simulate", "{\"identity\":\"%s\",\"scenario\":\"%s\"}", all[i].user, all[i].scenario);
        if (all[i].inject) ctl("inject", "{\"identity\":\"%s\",\"message\":\"%s\"}", all[i].user, all[i].inject);
    }
    for (int i = 0; i < N; i++) /* after the request, on the same path */
        if (all[i].cut) ctl("close", "{\"identity\":\"%s\",\"code\":1001}", all[i].user);
    for (int i = 0; i < N; i++) {
        if (!all[i].how) {
            CHECK_EQ(EXPECT_FROM(p[i].rec, marks[i], OH_EVENT_ENDED, NULL, ms(3000)).code, OH_END_CALL_ENDED);
            CHECK_EQ(rec_count(p[i].rec, OH_EVENT_RECONNECTED), 0);
            peer_close(&p[i]);
            continue;
        }
        rec_event e = back_from(&p[i], marks[i], 0, ms(10000));
        CHECK_THAT(e.code == all[i].how, "%s reconnected by %d, expected %d", all[i].user, e.code, all[i].how);
        both_receive(&p[i], 300 + 60 * i, 15000);
        CHECK_OK(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(5000)));
        CHECK_EQ(peer_stats(&p[i]).error_events, 0);
    }
    for (int i = 0; i < N; i++) peer_close(&p[i]);
}

#define SHOW(item) test_step(60, #item), item(), beside_check(#item)

int main(void)
{
    test_begin("faults_socket");
    test_step(20, "two participants in another call");
    beside_begin();
    peer_join(&bob, "bob", "socket", NULL);
    peer_publish_tone(&bob, 1200);
    SHOW(h10_h23_h24_cut);
    SHOW(close_codes);
    SHOW(h12_h27_refused_joins);
    SHOW(h10_h27_resumes);
    SHOW(h35_h36_garbage);
    SHOW(simulated);
    SHOW(lossy_signalling);
    test_step(20, "the end");
    no_errors(&bob);
    peer_close(&bob);
    beside_end();
    return test_end();
}
