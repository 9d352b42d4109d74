/*
 * blocked_callback.c - a callback that blocks delays only its own call.
 *
 * Eight calls block: four inside an event, four inside on_audio with a short queue. Four others send audio in pairs.
 * Expected: these continue without a gap while the eight are blocked, functions on a blocked call do not wait, and
 * when the eight callbacks return their calls continue; the audio they missed is dropped and counted.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKED = 8, SENDERS = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open;
static atomic_int inside;

static void gate(void)
{
    atomic_fetch_add(&inside, 1);
    pthread_mutex_lock(&lock);
    while (!is_open) pthread_cond_wait(&opened, &lock);
    pthread_mutex_unlock(&lock);
}

static void block_event(recorder *r, oh_call call, const oh_event *event)
{
    (void)r, (void)call;
    if (event->kind == OH_EVENT_JOINED) gate();
}

static void block_audio(recorder *r, oh_call call, const oh_audio_frame *audio)
{
    (void)call, (void)audio;
    if (!r->data) {
        r->data = r; /* once */
        gate();
    }
}

int main(void)
{
    peer blocked[BLOCKED] = { 0 }, sender[SENDERS] = { 0 };
    char name[32];
    int32_t state;

    test_begin("blocked_callback");
    test_step(20, "four participants send audio in pairs");
    for (int i = 0; i < SENDERS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        peer_join(&sender[i], name, i / 2 ? "pair-2" : "pair-1", NULL);
        peer_publish_tone(&sender[i], 400 + 100 * i);
    }
    for (int i = 0; i < SENDERS; i++)
        CHECK_THAT(rec_wait_tone(sender[i].rec, sender[i ^ 1].user, 400 + 100 * (i ^ 1), ms(10000)), "t%d receives no audio", i);

    test_step(20, "eight block");
    for (int i = 0; i < BLOCKED; i++) {
        oh_call_options what = OH_INIT(oh_call_options);
        snprintf(name, sizeof name, "b%d", i);
        blocked[i].rec = rec_new();
        if (i % 2) blocked[i].rec->on_audio = block_audio;
        else blocked[i].rec->on_event = block_event;
        what.max_queued_audio_frames = 5;
        peer_open(&blocked[i], name, "pair-1", &what); /* they receive t0 and t1 */
    }
    for (double end = now_ms() + ms(15000); atomic_load(&inside) < BLOCKED; nap(1))
        CHECK_THAT(now_ms() < end, "only %d of %d callbacks run: blocked ones delay the others", atomic_load(&inside), BLOCKED);

    test_step(20, "the others go on");
    for (int i = 0; i < SENDERS; i++) rec_gaps_begin(sender[i].rec);
    uint64_t received[SENDERS];
    for (int i = 0; i < SENDERS; i++) received[i] = rec_frames(sender[i].rec, sender[i ^ 1].user);
    CHECK(rec_wait_audio(sender[0].rec, "t1", 75, ms(10000)));
    for (int i = 1; i < SENDERS; i++) /* in the same time */
        CHECK_THAT(rec_frames(sender[i].rec, sender[i ^ 1].user) >= received[i] + 50 || test_scale() > 4, "t%d receives less audio", i);
    for (int i = 0; i < SENDERS; i++) {
        double gap = rec_gap(sender[i].rec, sender[i ^ 1].user);
        CHECK_THAT(gap <= ms(200) + 3 * rec_stall(), "t%d received no audio for %.0f ms, the machine stalled for %.0f", i, gap, rec_stall());
        CHECK(rec_wait_tone(sender[i].rec, sender[i ^ 1].user, 400 + 100 * (i ^ 1), ms(5000)));
    }
    peer extra = { 0 };
    peer_join(&extra, "extra", "pair-2", NULL); /* a new call works as well */
    CHECK(rec_wait_tone(extra.rec, "t2", 600, ms(10000)));
    peer_close(&extra);

    test_step(15, "functions on blocked calls do not wait");
    double began = now_ms();
    for (int i = 0; i < BLOCKED; i++) {
        CHECK_OK(oh_call_get_state(blocked[i].call, &state));
        CHECK_EQ(state, OH_STATE_JOINED);
        CHECK_OK(oh_call_publish_audio(blocked[i].call, NULL, &blocked[i].mic));
        CHECK_OK(oh_track_set_muted(blocked[i].mic, 1));
        oh_track_free(blocked[i].mic);
        CHECK(peer_stats(&blocked[i]).join_attempts == 1);
    }
    CHECK_OK(oh_call_leave(blocked[0].call, NULL));
    CHECK_OK(oh_call_leave(blocked[1].call, NULL));
    CHECK_THAT(now_ms() - began < ms(500), "they took %.0f ms", now_ms() - began);
    for (int i = 0; i < 2; i++) { /* it leaves although its callback does not return */
        double end = now_ms() + ms(2000);
        do {
            CHECK_OK(oh_call_get_state(blocked[i].call, &state));
            CHECK_THAT(now_ms() < end, "b%d does not leave while its callback blocks", i);
            nap(1);
        } while (state != OH_STATE_LEFT);
        CHECK_OH(oh_call_wait_state(blocked[i].call, OH_STATE_LEFT, 0), OH_ERR_TIMEOUT); /* ENDED was not delivered */
    }
    CHECK_EQ(atomic_load(&inside), BLOCKED);
    CHECK(!rec_has_ended(blocked[0].rec));

    test_step(15, "let go");
    pthread_mutex_lock(&lock);
    is_open = 1;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 2; i++) {
        rec_event e = EXPECT(blocked[i].rec, OH_EVENT_ENDED, NULL, ms(5000));
        CHECK_EQ(e.code, OH_END_LEFT);
        CHECK_OK(oh_call_wait_state(blocked[i].call, OH_STATE_LEFT, ms(2000)));
    }
    for (int i = 2; i < BLOCKED; i++) {
        CHECK_THAT(rec_wait_audio(blocked[i].rec, "t0", 20, ms(10000)), "b%d receives no audio after its callback has returned", i);
        CHECK_THAT(peer_stats(&blocked[i]).audio_frames_dropped > 10, "b%d has dropped %llu frames only", i,
                   (unsigned long long)peer_stats(&blocked[i]).audio_frames_dropped);
        CHECK_EQ(rec_count(blocked[i].rec, OH_EVENT_JOINED), 1);
        CHECK_EQ(rec_count(blocked[i].rec, OH_EVENT_LOST), 0);
    }
    for (int i = 0; i < SENDERS; i++) CHECK_EQ(peer_stats(&sender[i]).audio_frames_dropped, 0);

    test_step(20, "the end");
    for (int i = 0; i < BLOCKED; i++) peer_close(&blocked[i]);
    for (int i = 0; i < SENDERS; i++) peer_close(&sender[i]);
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    return test_end();
}
