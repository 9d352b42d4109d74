/*
 * test: timeout=120 stand=--proxy
 * faults_media.c - packet faults between a client and a real LiveKit server.
 *
 * Expected: audio is recognised with 5 % loss, jitter, duplicates and reordering, without a reconnect; when all
 * packets are lost, of either peer connection or of both, briefly or for long, the call recovers by itself while its
 * socket is open; two participants in another room are unaffected.
 */
#include "beside.h"
#include "livekit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static peer bob; /* sends audio in the room of all these */

static void settle_in(peer *p, const char *user, double hz)
{
    peer_join(p, user, "media", NULL);
    peer_publish_tone(p, hz);
}

static void both_receive(peer *p, double hz, unsigned timeout_ms)
{
    receives_tone(p, "bob", 1200, ms(timeout_ms));
    receives_tone(&bob, p->user, hz, ms(timeout_ms));
}

/* Impairs all packets of a participant for some seconds. */
static void impaired_paths(void)
{
    static const char *const how[] = { "\"loss\":0.05", "\"loss\":0.05,\"jitter_ms\":40", "\"duplicate\":0.3", "\"reorder\":0.1",
                                       "\"delay_ms\":150" };
    enum { N = sizeof how / sizeof *how };
    peer p[N] = { 0 };
    uint64_t frames[N], audible_before[N];
    rec_received reception;
    char user[32];
    for (int i = 0; i < N; i++) {
        snprintf(user, sizeof user, "line-%d", i);
        settle_in(&p[i], user, 300 + 70 * i);
    }
    for (int i = 0; i < N; i++) both_receive(&p[i], 300 + 70 * i, 10000);
    for (int i = 0; i < N; i++) ctl("media", "{\"identity\":\"line-%d\",\"seed\":%d,%s}", i, i + 1, how[i]);
    for (int i = 0; i < N; i++) {
        CHECK(rec_received_of(p[i].rec, "bob", &reception));
        frames[i] = reception.frames;
        audible_before[i] = reception.not_silent;
    }
    for (int i = 0; i < N; i++) { /* about four seconds for all of them */
        uint64_t more = rec_frames(p[i].rec, "bob");
        if (more < frames[i] + 200) CHECK(rec_wait_audio(p[i].rec, "bob", (unsigned)(frames[i] + 200 - more), ms(15000)));
    }
    for (int i = 0; i < N; i++) {
        both_receive(&p[i], 300 + 70 * i, 5000);
        CHECK(rec_received_of(p[i].rec, "bob", &reception));
        double share = (double)(reception.not_silent - audible_before[i]) / (double)(reception.frames - frames[i]);
        oh_call_stats s = peer_stats(&p[i]);
        printf("           %s: %.0f %% of the frames were received, %llu restored, %llu from redundant audio, %llu concealed\n", how[i],
               100 * share, (unsigned long long)s.frames_recovered_fec, (unsigned long long)s.frames_recovered_red,
               (unsigned long long)s.frames_concealed);
        CHECK_THAT(!strstr(how[i], "loss") || s.frames_recovered_red > 0, "%s: nothing was restored from redundant audio", how[i]);
        CHECK_THAT(share > 0.8, "%s: only %.0f %% of the frames were received", how[i], 100 * share);
        no_errors(&p[i]);
        CHECK_EQ(rec_count(p[i].rec, OH_EVENT_RECONNECTED), 0);
        ctl("heal", "{\"identity\":\"line-%d\"}", i);
        peer_close(&p[i]);
    }
}

/* Packets are lost, the socket stays open (H15, H22, H25). */
static void black_holes(void)
{
    static const struct {
        const char *user, *pc;
        unsigned ms; /* 0: until it has recovered over another network path */
    } all[] = {
        { "h-pub-2", "publisher", 2000 },  { "h-sub-2", "subscriber", 2000 },  { "h-both-2", "both", 2000 },
        { "h-pub-7", "publisher", 7000 },  { "h-sub-7", "subscriber", 7000 },  { "h-both-7", "both", 7000 },
        { "h-both-12", "both", 12000 },
    };
    enum { N = sizeof all / sizeof *all };
    peer p[N] = { 0 };
    int healed[N] = { 0 };
    double began;
    for (int i = 0; i < N; i++) settle_in(&p[i], all[i].user, 300 + 60 * i);
    for (int i = 0; i < N; i++) both_receive(&p[i], 300 + 60 * i, 10000);
    for (int i = 0; i < N; i++) {
        ctl("media", "{\"identity\":\"%s\",\"pc\":\"%s\",\"blackhole\":true}", all[i].user, all[i].pc);
    }
    began = now_ms();
    for (int left = N; left > 0; nap(5))
        for (int i = 0; i < N; i++)
            if (!healed[i] && now_ms() - began > ms(all[i].ms)) {
                ctl("heal", "{\"identity\":\"%s\"}", all[i].user);
                healed[i] = 1;
                left--;
            }
    for (int i = 0; i < N; i++) {
        both_receive(&p[i], 300 + 60 * i, 20000);
        CHECK_OK(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(10000)));
        oh_call_stats s = peer_stats(&p[i]);
        printf("           %s: back after %.0f ms, %llu FAST, %llu REJOIN\n", all[i].user, now_ms() - began,
               (unsigned long long)s.reconnects_fast, (unsigned long long)s.reconnects_rejoin);
        if (all[i].ms == 2000) CHECK_EQ(s.reconnects_rejoin, 0);
        no_errors(&p[i]);
    }
    for (int i = 0; i < N; i++) peer_close(&p[i]);
}

/*
 * H25: no packet ever passes: a typed end, in time. H12: a leave meanwhile. H25 takes long, so it runs beside the
 * others.
 */
static peer never;

static void h12_h25_never_connects(void)
{
    peer gone = { 0 };
    ctl("media", "{\"identity\":\"never\",\"blackhole\":true}");
    ctl("media", "{\"identity\":\"gone\",\"blackhole\":true}");
    peer_join(&never, "never", "media", NULL);
    peer_publish_tone(&never, 500);
    peer_join(&gone, "gone", "media", NULL);
    peer_publish_tone(&gone, 500);
    EXPECT(gone.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    peer_close(&gone);
}

static void h25_never_connected(void)
{
    rec_event e = EXPECT(never.rec, OH_EVENT_ENDED, NULL, ms(40000));
    CHECK_EQ(e.code, OH_END_NETWORK_UNSUPPORTED);
    CHECK_EQ(e.error, OH_ERR_NETWORK);
    CHECK_THAT(strstr(e.text, "pairs with host") && strstr(e.text, "nothing was received"), "the text is %s", e.text);
    peer_close(&never);
    ctl("reset", "{}");
}

#define SHOW(item) test_step(60, #item), item(), beside_check(#item)

int main(void)
{
    test_begin("faults_media");
    test_step(20, "two participants in another call");
    beside_begin();
    peer_join(&bob, "bob", "media", NULL);
    peer_publish_tone(&bob, 1200);
    SHOW(h12_h25_never_connects);
    SHOW(impaired_paths);
    SHOW(black_holes);
    SHOW(h25_never_connected);
    test_step(20, "the end");
    no_errors(&bob);
    peer_close(&bob);
    beside_end();
    return test_end();
}
