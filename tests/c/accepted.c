/*
 * accepted.c - accepted data is sent: the tail of a track before a leave, a free of the call or of the track; custom
 * events. Data that was not sent is reported with its amounts before the end. Commands that cannot be refused are
 * never lost.
 *
 * "alice" writes a number of frames and leaves at once, in each way; "bob" must receive every one of them. Also
 * expected: oh_track_clear, oh_track_wait_drained and live tracks count correctly; a second track waits for the
 * first; with 256 queued commands, oh_subscriber_close takes effect.
 * test: timeout=120
 */
#include "peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 960, TAIL = 45 }; /* nearly the second for which a call is drained, and some time for its end */

static int16_t tone_of[5 * 48000];

static oh_track publish(peer *p, uint32_t buffer_ms, int live)
{
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    oh_track track;
    size_t mark = rec_mark(p->rec);
    track_options.no_dtx = 1;
    track_options.buffer_ms = buffer_ms;
    track_options.live = (uint32_t)live;
    CHECK_OK(oh_call_publish_audio(p->call, &track_options, &track));
    EXPECT_FROM(p->rec, mark, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    return track;
}

static uint64_t received(peer *p)
{
    return peer_stats(p).packets_received;
}

/* Waits until `p` has received exactly this many packets since `base`; fails on timeout. */
static void all_arrive(peer *p, uint64_t base, uint64_t packets, const char *what)
{
    double end = now_ms() + ms(5000);
    while (received(p) < base + packets)
        CHECK_THAT((nap(5), now_ms() < end), "%s: %llu of %llu packets arrived", what,
                   (unsigned long long)(received(p) - base), (unsigned long long)packets);
}

/* A call whose first audio bob has received completely: from here on every packet counts. */
static oh_track join_and_receive(peer *alice, peer *bob, const char *room, const oh_call_options *options, uint64_t *base)
{
    peer_join(alice, "alice", room, options);
    oh_track track = publish(alice, 5000, 0);
    tone *t = tone_start(track, OH_AUDIO_S16, 48000, 1, 500);
    CHECK(rec_wait_tone(bob->rec, "alice", 500, ms(15000)));
    tone_stop(t);
    CHECK_OK(oh_track_wait_drained(track, ms(8000)));
    uint64_t sent;
    do { /* until packets in transit have arrived */
        sent = received(bob);
        nap(300);
    } while (received(bob) != sent);
    *base = sent;
    return track;
}

static void write_tail(oh_track track)
{
    CHECK_OK(oh_track_write_s16(track, tone_of, TAIL * FRAME));
}

static void gone(peer *p)
{
    rec_call_freed(p->rec);
    oh_client_free(p->client);
    rec_free(p->rec);
    memset(p, 0, sizeof *p);
}

static oh_event_unsent reported;
static size_t reported_at, ended_at;

static void keep(recorder *r, oh_call call, const oh_event *e)
{
    (void)call;
    if (e->kind == OH_EVENT_UNSENT) reported = *e->u.unsent, reported_at = r->count;
    if (e->kind == OH_EVENT_ENDED) ended_at = r->count;
}

static void ways_to_go(void)
{
    peer alice = { 0 }, bob = { 0 };
    uint64_t base, sent;
    oh_track track;

    peer_join(&bob, "bob", "tail", NULL);

    test_step(40, "a second of audio, then oh_call_leave");
    track = join_and_receive(&alice, &bob, "tail", NULL, &base);
    write_tail(track);
    double began = now_ms();
    CHECK_OK(oh_call_leave(alice.call, "bye"));
    CHECK_OH(oh_track_write_s16(track, tone_of, FRAME), OH_ERR_CLOSED); /* no more audio is accepted */
    CHECK_OH(oh_call_publish_audio(alice.call, NULL, &alice.mic), OH_ERR_STATE);
    rec_event e = EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
    oh_call_stats s = peer_stats(&alice);
    if (rec_count(alice.rec, OH_EVENT_UNSENT) == 0) /* a machine that is too slow reports it, with the right number */
        all_arrive(&bob, base, TAIL, "leave");
    else
        CHECK_THAT(test_scale() > 1 || rec_stall() > 20, "not everything is sent, and the machine stalled for %.0f ms only", rec_stall());
    CHECK_EQ(s.data_unsent, 0);
    peer_close(&alice);

    test_step(40, "a second of audio, then oh_call_free");
    track = join_and_receive(&alice, &bob, "tail", NULL, &base);
    write_tail(track);
    oh_call_free(alice.call);
    if (test_scale() == 1) all_arrive(&bob, base, TAIL, "free");
    gone(&alice);

    test_step(40, "a second of audio, then oh_track_free and the next track");
    track = join_and_receive(&alice, &bob, "tail", NULL, &base);
    write_tail(track);
    oh_track_free(track);
    CHECK_OH(oh_track_wait_drained(track, 0), OH_ERR_HANDLE);
    track = publish(&alice, 5000, 0); /* waits until the first is drained */
    if (test_scale() == 1) all_arrive(&bob, base, TAIL, "track");
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);

    test_step(20, "oh_track_wait_drained");
    write_tail(track);
    CHECK_OH(oh_track_wait_drained(track, 0), OH_ERR_TIMEOUT);
    sent = peer_stats(&alice).packets_sent;
    CHECK_OK(oh_track_wait_drained(track, ms(5000)));
    CHECK(peer_stats(&alice).packets_sent > sent);
    uint32_t left = 1;
    CHECK_OK(oh_track_get_buffered_ms(track, &left));
    CHECK_EQ(left, 0);
    oh_track none = { 0 };
    CHECK_OH(oh_track_wait_drained(none, 10), OH_ERR_HANDLE);

    test_step(20, "oh_track_clear");
    uint64_t before, after, dropped;
    CHECK_OK(oh_track_clear(track, &before, &dropped));
    CHECK_EQ(dropped, 0);
    write_tail(track);
    write_tail(track);
    CHECK_OK(oh_track_wait_writable(track, 5 * 48000 - 2 * TAIL * FRAME + 10 * FRAME, ms(5000))); /* 0.2 s were sent */
    CHECK_OK(oh_track_clear(track, &after, &dropped));
    CHECK_THAT(after - before >= 180 && after - before + dropped >= 2 * TAIL * 20 - 1 && after - before + dropped <= 2 * TAIL * 20 + 1,
               "%llu ms sent and %llu ms dropped of %d", (unsigned long long)(after - before), (unsigned long long)dropped, 2 * TAIL * 20);
    CHECK_EQ(peer_stats(&alice).audio_dropped_ms, dropped);
    CHECK_OK(oh_track_wait_drained(track, ms(200))); /* the buffer is empty, except for the packet being sent */
    CHECK_OK(oh_track_clear(track, NULL, NULL));
    CHECK_OH(oh_track_clear(none, NULL, NULL), OH_ERR_HANDLE);
    CHECK_OK(oh_call_leave(alice.call, NULL));
    EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(2000));
    CHECK(rec_count(alice.rec, OH_EVENT_UNSENT) == 0 || test_scale() > 1 || rec_stall() > 20);
    CHECK_OH(oh_track_clear(track, NULL, NULL), OH_ERR_CLOSED);
    CHECK_OH(oh_track_wait_drained(track, 1000), OH_ERR_CLOSED);
    peer_close(&alice);
    peer_close(&bob);
}

static void too_much_to_send(void)
{
    peer alice = { 0 };
    oh_call_options at_once = OH_INIT(oh_call_options);
    at_once.drain_ms = OH_ZERO;
    for (int how = 0; how < 4; how++) {
        static const char *const names[] = { "more than fits into a second", "OH_ZERO", "kicked", "oh_publisher_close" };
        test_step(20, "not everything is sent: %s", names[how]);
        memset(&reported, 0, sizeof reported);
        reported_at = ended_at = 0;
        alice.rec = rec_new();
        alice.rec->on_event = keep;
        peer_join(&alice, "alice", "much", how == 1 ? &at_once : NULL);
        oh_track track = publish(&alice, 5000, 0);
        CHECK_OK(oh_track_write_s16(track, tone_of, 4 * 48000));
        double began = now_ms();
        oh_publisher publisher;
        switch (how) {
        case 2: ctl("kick", "{\"user_id\":\"alice\"}"); break;
        case 3:
            CHECK_OK(oh_call_get_publisher(alice.call, &publisher));
            CHECK_OK(oh_publisher_close(publisher));
            /* fall through */
        default: CHECK_OK(oh_call_leave(alice.call, NULL));
        }
        rec_event e = EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(5000));
        CHECK_THAT(e.when - began <= ms(2000), "ending took %.0f ms", e.when - began);
        CHECK_OK(oh_call_wait_state(alice.call, OH_STATE_LEFT, ms(5000)));
        CHECK_EQ(rec_count(alice.rec, OH_EVENT_UNSENT), 1);
        CHECK_THAT(reported_at < ended_at, "OH_EVENT_UNSENT arrives after the end");
        CHECK_THAT(reported.audio_ms <= 4000 && reported.audio_ms + (test_scale() > 1 ? 1500 : 0) >= (how ? 3000u : 2500u),
                   "%llu ms unsent", (unsigned long long)reported.audio_ms);
        if (!how && test_scale() == 1) CHECK_THAT(reported.audio_ms <= 3200 + 2 * rec_stall(), "%llu ms unsent: it did not drain", (unsigned long long)reported.audio_ms);
        CHECK_EQ(reported.bytes + reported.texts + reported.data_packets + reported.custom_events + reported.rpc_answers, 0);
        peer_close(&alice);
    }
}

/* Waits for the event of a state, which may already be over. */
static void in_state(peer *p, size_t mark, int state)
{
    rec_event e;
    do {
        long found = rec_wait(p->rec, OH_EVENT_STATE, NULL, mark, ms(5000), &e);
        if (found < 0) FAIL("%s does not enter state %d", p->user, state);
        mark = (size_t)found + 1;
    } while (e.code != state);
}

/* During a reconnect: over a connection that still works, or over one that is restored in time. */
static void while_reconnecting(void)
{
    static const struct { const char *name, *silent, *command, *body; int state, arrives; } ways[] = {
        { "a FAST reconnect", "ws_upgrade", "drop_ws", "{\"user_id\":\"alice\"}", OH_STATE_RECONNECTING, 1 },
        { "a REJOIN", NULL, "error", "{\"user_id\":\"alice\",\"code\":500,\"strategy\":3}", OH_STATE_RECONNECTING, 1 },
        { "a REJOIN that does not come back", "join_http", "error", "{\"user_id\":\"alice\",\"code\":500,\"strategy\":3}", OH_STATE_RECONNECTING, 0 },
        { "a migration", "ws_upgrade", "go_away", "{\"user_id\":\"alice\",\"reason\":2}", OH_STATE_MIGRATING, 1 },
    };
    peer alice = { 0 }, bob = { 0 };
    uint64_t base;
    peer_join(&bob, "bob", "again", NULL);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char silent[128];
        test_step(40, "a second of audio, then oh_call_leave in %s", ways[i].name);
        memset(&reported, 0, sizeof reported);
        alice.rec = rec_new();
        alice.rec->on_event = keep;
        oh_track track = join_and_receive(&alice, &bob, "again", NULL, &base);
        snprintf(silent, sizeof silent, "{\"stage\":\"%s\",\"user_id\":\"alice\",\"count\":100}", ways[i].silent ? ways[i].silent : "");
        if (ways[i].silent) ctl("silent", silent);
        else ctl("slow", "{\"ms\":200}"); /* it would be over in a few milliseconds */
        size_t mark = rec_mark(alice.rec);
        ctl(ways[i].command, ways[i].body);
        in_state(&alice, mark, ways[i].state);
        double written_at = now_ms();
        write_tail(track);
        double began = now_ms();
        CHECK_OK(oh_call_leave(alice.call, "bye"));
        /* Audio that is due before the leave is sent without a connection. */
        uint64_t gone = 1 + (uint64_t)((now_ms() - written_at) / 20);
        rec_event e = EXPECT(alice.rec, OH_EVENT_ENDED, NULL, ms(5000));
        CHECK_THAT(e.when - began <= ms(2000), "leaving took %.0f ms", e.when - began);
        CHECK_EQ(e.code, OH_END_LEFT);
        uint64_t unsent = reported.audio_ms;
        if (!ways[i].arrives) /* all of it, except for what was sent before the loss was detected */
            CHECK_THAT(unsent + 20 * gone > 20 * TAIL - 200 && unsent <= 20 * TAIL + 20, "%llu ms unsent", (unsigned long long)unsent);
        else if (!unsent) all_arrive(&bob, base, gone < TAIL ? TAIL - gone : 0, ways[i].name);
        else /* a connection that has to be re-established may take longer */
            CHECK_THAT(test_scale() > 1 || rec_stall() > 20 || !ways[i].silent,
                       "%llu ms unsent, and the machine stalled for %.0f ms only", (unsigned long long)unsent, rec_stall());
        ctl("reset", "{}");
        peer_close(&alice);
    }
    peer_close(&bob);
}

/* A peer connection takes three round trips of 200 ms to come up: audio that is written meanwhile waits for it. */
static void first_words(void)
{
    peer alice = { 0 }, bob = { 0 };
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    oh_track track;
    test_step(40, "audio written at once, over a long way");
    peer_join(&bob, "bob", "first", NULL);
    ctl("lossy", "{\"user_id\":\"alice\",\"delay_up_ms\":100,\"delay_down_ms\":100}");
    peer_join(&alice, "alice", "first", NULL);
    track_options.no_dtx = 1;
    track_options.buffer_ms = 5000;
    uint64_t base = received(&bob);
    CHECK_OK(oh_call_publish_audio(alice.call, &track_options, &track));
    write_tail(track);
    CHECK_OK(oh_track_wait_drained(track, ms(8000)));
    if (test_scale() == 1) all_arrive(&bob, base, TAIL, "over a long way");
    CHECK_THAT(peer_stats(&alice).packets_sent >= TAIL, "%llu packets sent", (unsigned long long)peer_stats(&alice).packets_sent);
    ctl("reset", "{}");
    peer_close(&alice);
    peer_close(&bob);
}

static void live(void)
{
    peer alice = { 0 };
    uint32_t left;
    test_step(20, "a live track never carries more than 40 ms");
    peer_join(&alice, "alice", "live", NULL);
    oh_track track = publish(&alice, 0, 1);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(oh_track_write_s16(track, tone_of, FRAME));
        CHECK_OK(oh_track_get_buffered_ms(track, &left));
        CHECK_THAT(left <= 40, "%u ms wait", left);
    }
    CHECK_OK(oh_track_write_s16(track, tone_of, 48000)); /* more than the buffer holds: the last part is kept */
    CHECK_OK(oh_track_get_buffered_ms(track, &left));
    CHECK_THAT(left <= 40, "%u ms wait", left);
    CHECK_OK(oh_track_wait_drained(track, ms(5000)));
    uint64_t sent, dropped = peer_stats(&alice).audio_dropped_ms;
    CHECK_OK(oh_track_clear(track, &sent, NULL));
    CHECK_THAT(sent + dropped >= 2995 && sent + dropped <= 3001, "%llu ms sent and %llu dropped of 3000",
               (unsigned long long)sent, (unsigned long long)dropped);
    peer_close(&alice);
}

static void customs(void)
{
    peer ann = { 0 }, bob = { 0 };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    test_step(30, "twenty custom events, then oh_call_leave");
    ann.rec = rec_new();
    where.url = sfu_url();
    where.user_id = "ann";
    where.token = "development";
    where.receive_custom_events = 1;
    what.call_id = "customs";
    what.handlers = rec_handlers(ann.rec);
    CHECK_OK(oh_client_new(&where, &ann.client));
    CHECK_OK(oh_call_join(ann.client, &what, &ann.call));
    CHECK_OK(oh_call_wait_state(ann.call, OH_STATE_JOINED, ms(10000)));
    for (double end = now_ms() + ms(20000);; nap(10)) { /* the call receives coordinator events now */
        char *answer = ctl_answer("custom_event", "{\"cid\":\"default:customs\",\"user_id\":\"server\",\"custom\":{}}");
        long long sockets = json_int(answer, "sockets", -1);
        free(answer);
        if (sockets > 0) break;
        CHECK(now_ms() < end);
    }
    peer_join(&bob, "bob", "customs", NULL);
    char json[32];
    size_t before = rec_mark(ann.rec);
    for (int i = 0; i < 20; i++) {
        snprintf(json, sizeof json, "{\"n\":%d}", i);
        CHECK_OK(oh_call_send_custom_event(bob.call, json));
    }
    CHECK_OK(oh_call_leave(bob.call, NULL));
    CHECK_OH(oh_call_send_custom_event(bob.call, "{}"), OH_ERR_STATE);
    EXPECT(bob.rec, OH_EVENT_ENDED, NULL, ms(3000));
    if (!rec_count(bob.rec, OH_EVENT_UNSENT))
        for (int i = 0; i < 20; i++) {
            rec_event e;
            long at = rec_wait(ann.rec, OH_EVENT_CUSTOM, "bob", before, ms(5000), &e);
            CHECK_THAT(at >= 0, "only %d of 20 custom events came", i);
            snprintf(json, sizeof json, "{\"n\":%d}", i);
            CHECK_STR(e.text, json);
            before = (size_t)at + 1;
        }
    else CHECK(test_scale() > 1);
    peer_close(&bob);
    peer_close(&ann);
}

/* Commands that cannot be refused are not lost when the command queue is full. */
static void flood(void)
{
    unsigned full = 0;
    for (unsigned round = 0; round < 14; round++) {
        peer p = { 0 };
        char user[32];
        oh_subscriber sub;
        test_step(20, "a full queue of commands, then oh_subscriber_close: round %u", round);
        snprintf(user, sizeof user, "flood-%u", round);
        peer_join(&p, user, user, NULL);
        CHECK_OK(oh_call_get_subscriber(p.call, &sub));
        oh_result r;
        unsigned given = 0;
        do r = oh_call_provide_token(p.call, "development"); /* no token was requested: ignored */
        while (r == OH_OK && ++given < 100000);
        full += r == OH_ERR_FULL;
        CHECK_OK(oh_subscriber_close(sub));
        while (oh_call_provide_token(p.call, "development") == OH_OK && ++given < 200000) {}
        ctl("late_offer", "{\"user_id\":\"%s\",\"count\":20,\"wait\":true}", user);
        for (double end = now_ms() + ms(5000); peer_stats(&p).late_offers < 20; nap(2))
            CHECK_THAT(now_ms() < end, "only %llu of 20 offers are counted as late", (unsigned long long)peer_stats(&p).late_offers);
        CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0));
        peer_close(&p);
    }
    printf("           the queue was full in %u of 14 rounds\n", full);
    CHECK_THAT(full > 0, "the queue was never full: this tested nothing");
}

int main(void)
{
    for (size_t i = 0; i < sizeof tone_of / sizeof *tone_of; i++)
        tone_of[i] = (int16_t)(9830 * sin(2 * 3.14159265358979323846 * 500 * (double)i / 48000));
    test_begin("accepted");
    ways_to_go();
    while_reconnecting();
    first_words();
    too_much_to_send();
    live();
    customs();
    flood();
    test_step(10, "shut down");
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    return test_end();
}
