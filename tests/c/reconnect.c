/*
 * test: timeout=120
 * reconnect.c - calls reconnect: after lost sockets, lost peer connections, edges that go away or die, and an
 * application that reports the network as offline. Handles, tracks and received audio survive; other participants
 * see only what the protocol shows them.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static peer alice, bob, witness, friend;

/* Alice and bob receive each other's tones again. */
static void both_receive(void)
{
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's audio");
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)), "alice does not receive bob's audio");
}

/* Waits for a reconnect of p after `mark` and checks its kind. */
static rec_event back(peer *p, size_t mark, int how)
{
    rec_event e = EXPECT_FROM(p->rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
    CHECK_EQ(e.code, how);
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(1000)));
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ENDED), 0);
    return e;
}

/* Checks that no event of these kinds was delivered since `mark`: the participant must be unaffected. */
static void no_participant_events(peer *p, size_t mark, const char *what)
{
    static const int kinds[] = { OH_EVENT_PARTICIPANT_JOINED, OH_EVENT_PARTICIPANT_LEFT, OH_EVENT_ERROR,
                                 OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED, OH_EVENT_STATE };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        CHECK_THAT(rec_wait(p->rec, kinds[k], NULL, mark, 0, NULL) < 0, "%s: %s gets %s", what, p->user,
                   oh_event_kind_get_name(kinds[k]));
}

int main(void)
{
    rec_event e;
    char session[64];
    size_t mark, others, far;

    test_begin("reconnect");
    test_step(20, "two calls");
    peer_join(&alice, "alice", "reconnect", NULL);
    peer_join(&bob, "bob", "reconnect", NULL);
    peer_publish_tone(&alice, 440);
    peer_publish_tone(&bob, 1000);
    peer_join(&witness, "witness", "other", NULL);
    peer_join(&friend, "friend", "other", NULL);
    peer_publish_tone(&friend, 700);
    both_receive();
    CHECK(rec_wait_tone(witness.rec, "friend", 700, ms(10000)));
    snprintf(session, sizeof session, "%s", EXPECT(alice.rec, OH_EVENT_JOINED, NULL, 0).session);
    far = rec_mark(witness.rec);

    test_step(20, "a lost socket: FAST, without a gap in the audio");
    for (int i = 0; i < 2; i++) {
        mark = rec_mark(alice.rec);
        others = rec_mark(bob.rec);
        rec_gaps_begin(bob.rec);
        ctl("drop_ws", "{\"user_id\":\"alice\"%s}", i ? ",\"hard\":true" : "");
        e = back(&alice, mark, OH_RECONNECT_FAST);
        CHECK(!strcmp(e.session, session));
        both_receive();
        CHECK_THAT(rec_gap(bob.rec, "alice") < ms(500) + rec_stall(), "a gap of %.0f ms", rec_gap(bob.rec, "alice"));
        no_participant_events(&bob, others, "FAST");
        EXPECT_FROM(alice.rec, mark, OH_EVENT_STATE, NULL, 0);
    }
    CHECK_EQ(peer_stats(&alice).reconnects_fast, 2);
    CHECK_EQ(peer_stats(&alice).reconnects_rejoin, 0);
    CHECK_EQ(ctl_session("alice", "sockets"), 3); /* one session, its first socket and one for each FAST */

    test_step(20, "the SFU requests REJOIN: a new session, the same tracks");
    mark = rec_mark(alice.rec);
    others = rec_mark(bob.rec);
    ctl("error", "{\"user_id\":\"alice\",\"code\":500,\"message\":\"start over\",\"strategy\":3}");
    e = back(&alice, mark, OH_RECONNECT_REJOIN);
    CHECK(strcmp(e.session, session) != 0);
    snprintf(session, sizeof session, "%s", e.session);
    both_receive();
    CHECK_THAT(rec_wait(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "alice", mark, 0, NULL) < 0, "alice meets herself");
    CHECK_THAT(rec_wait(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", mark, 0, NULL) < 0, "bob joined twice");
    CHECK_THAT(rec_wait(alice.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, mark, 0, NULL) < 0, "a track is announced twice");
    EXPECT_FROM(bob.rec, others, OH_EVENT_PARTICIPANT_LEFT, "alice", ms(5000));
    EXPECT_FROM(bob.rec, others, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(5000));
    CHECK_OK(oh_track_wait_writable(alice.mic, 960, ms(1000)));

    test_step(20, "muted during a reconnect: muted after it");
    mark = rec_mark(alice.rec);
    others = rec_mark(bob.rec);
    ctl("error", "{\"user_id\":\"alice\",\"code\":500,\"message\":\"start over\",\"strategy\":3}");
    EXPECT_FROM(alice.rec, mark, OH_EVENT_STATE, NULL, ms(5000));
    CHECK_OK(oh_track_set_muted(alice.mic, 1));
    back(&alice, mark, OH_RECONNECT_REJOIN);
    double quiet_by = now_ms() + ms(5000);
    for (uint64_t frames = UINT64_MAX; frames != rec_frames(bob.rec, "alice"); nap(300)) {
        CHECK_THAT(now_ms() < quiet_by, "bob still receives alice's audio, which is muted");
        frames = rec_frames(bob.rec, "alice");
        nap(300);
        if (frames == rec_frames(bob.rec, "alice")) break;
    }
    CHECK_OK(oh_track_set_muted(alice.mic, 0));
    both_receive();

    test_step(30, "the edge of alice goes away: another one takes over while audio flows");
    mark = rec_mark(alice.rec);
    others = rec_mark(bob.rec);
    rec_gaps_begin(bob.rec);
    rec_gaps_begin(alice.rec);
    ctl("go_away", "{\"user_id\":\"alice\",\"reason\":2}");
    e = back(&alice, mark, OH_RECONNECT_MIGRATE);
    both_receive();
    CHECK_THAT(rec_gap(bob.rec, "alice") < ms(300) + rec_stall(), "bob receives alice's audio after a gap of %.0f ms",
               rec_gap(bob.rec, "alice"));
    CHECK_THAT(rec_gap(alice.rec, "bob") < ms(300) + rec_stall(), "alice receives bob's audio after a gap of %.0f ms",
               rec_gap(alice.rec, "bob"));
    no_participant_events(&bob, others, "MIGRATE");
    CHECK_EQ(peer_stats(&alice).reconnects_migrate, 1);

    test_step(40, "an edge dies: its calls reconnect to the other");
    mark = rec_mark(bob.rec);
    ctl("kill_edge", "{\"edge\":\"sfu-a\",\"hide\":true}");
    e = EXPECT_FROM(bob.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(20000));
    CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
    both_receive();
    ctl("revive_edge", "{\"edge\":\"sfu-a\"}");
    EXPECT_FROM(witness.rec, far, OH_EVENT_RECONNECTED, NULL, ms(20000)); /* it was on that edge, too */
    CHECK(rec_wait_tone(witness.rec, "friend", 700, ms(10000)));

    test_step(20, "offline, and online again");
    mark = rec_mark(alice.rec);
    CHECK_OK(oh_network_report(OH_NETWORK_OFFLINE));
    CHECK_OK(oh_network_report(OH_NETWORK_OFFLINE));
    e = EXPECT_FROM(alice.rec, mark, OH_EVENT_STATE, NULL, ms(5000));
    CHECK_EQ(e.code, OH_STATE_OFFLINE);
    CHECK_OH(oh_call_wait_state(alice.call, OH_STATE_JOINED, 100), OH_ERR_TIMEOUT);
    CHECK_OK(oh_network_report(OH_NETWORK_ONLINE));
    CHECK_OK(oh_network_report(OH_NETWORK_ONLINE));
    back(&alice, mark, OH_RECONNECT_FAST);
    both_receive();
    mark = rec_mark(alice.rec);
    CHECK_OK(oh_network_report(OH_NETWORK_CHANGED));
    back(&alice, mark, OH_RECONNECT_REJOIN);
    both_receive();

    test_step(20, "leaving in the middle of it");
    ctl("silent", "{\"stage\":\"ws_upgrade\",\"user_id\":\"alice\"}");
    mark = rec_mark(alice.rec);
    ctl("drop_ws", "{\"user_id\":\"alice\"}");
    e = EXPECT_FROM(alice.rec, mark, OH_EVENT_STATE, NULL, ms(5000));
    CHECK_EQ(e.code, OH_STATE_RECONNECTING);
    double began = now_ms();
    CHECK_OK(oh_call_leave(alice.call, "enough"));
    e = EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(2000));
    CHECK_EQ(e.code, OH_END_LEFT);
    CHECK_THAT(now_ms() - began < ms(2000), "it took %.0f ms", now_ms() - began);
    ctl("reset", "{}");
    peer_close(&alice);

    test_step(30, "what does not come back ends with a reason, in time");
    peer lost = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    what.reconnect_timeout_ms = 1500;
    peer_join(&lost, "lost", "lost", &what);
    ctl("refuse_join", "{\"user_id\":\"lost\",\"http_status\":503}");
    ctl("silent", "{\"stage\":\"ws_upgrade\",\"user_id\":\"lost\"}");
    began = now_ms();
    ctl("drop_ws", "{\"user_id\":\"lost\"}");
    e = EXPECT(lost.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_EQ(e.code, OH_END_CONNECTION_LOST);
    CHECK_EQ(e.error, OH_ERR_NETWORK);
    CHECK_THAT(now_ms() - began >= 1400, "after %.0f ms", now_ms() - began);
    ctl("reset", "{}");
    peer_close(&lost);

    test_step(20, "without reconnecting");
    peer never = { 0 };
    what.reconnect_timeout_ms = OH_ZERO;
    peer_join(&never, "never", "never", &what);
    ctl("drop_ws", "{\"user_id\":\"never\"}");
    e = EXPECT(never.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_EQ(e.code, OH_END_CONNECTION_LOST);
    CHECK_EQ(rec_count(never.rec, OH_EVENT_RECONNECTED), 0);
    peer_close(&never);

    test_step(20, "the end");
    peer_close(&bob);
    peer_close(&friend);
    peer_close(&witness);
    return test_end();
}
