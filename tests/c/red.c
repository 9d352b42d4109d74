/*
 * red.c - redundant audio restores lost packets.
 *
 * bob's connection loses a tenth of its packets, with a fixed seed. He receives ann, who sends redundant audio (the
 * default), and in another room carl, who disabled it. Expected: most of ann's lost audio is restored and counted;
 * nothing of carl's is restored, and several times as many frames are damaged. Without loss nothing is restored.
 */
#include "beside.h"

#include <stdio.h>
#include <string.h>

#define PACKETS 250

/* Frames concealed or rebuilt by FEC while PACKETS packets arrive. */
static unsigned damaged(peer *listener, const char *what, oh_call_stats *out)
{
    oh_call_stats before = peer_stats(listener), s = before;
    for (double end = now_ms() + ms(30000); s.packets_received < before.packets_received + PACKETS && now_ms() < end; nap(20))
        s = peer_stats(listener);
    CHECK_THAT(s.packets_received >= before.packets_received + PACKETS, "%s: too few packets come", what);
    unsigned n = (unsigned)(s.frames_concealed + s.frames_recovered_fec - before.frames_concealed - before.frames_recovered_fec);
    out->frames_recovered_red = s.frames_recovered_red - before.frames_recovered_red;
    out->packets_lost = s.packets_lost - before.packets_lost;
    printf("%s: %u frames damaged, %u restored from redundant audio, %u packets lost\n", what, n,
           (unsigned)out->frames_recovered_red, (unsigned)out->packets_lost);
    return n;
}

/*
 * One sender and bob in a room; the damaged frames at bob's with loss. Checks that nothing is restored without loss.
 */
static unsigned room(const char *user, uint32_t red, oh_call_stats *lossy)
{
    peer sender = { 0 }, bob = { 0 };
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);
    oh_call_stats calm;

    test_step(60, "%s sends audio, bob receives", user);
    peer_join(&bob, "bob", user, NULL);
    peer_join(&sender, user, user, NULL);
    options.red_frames = red;
    CHECK_OK(oh_call_publish_audio(sender.call, &options, &sender.mic));
    sender.tone = tone_start(sender.mic, OH_AUDIO_S16, 48000, 1, 440);
    CHECK(rec_wait_tone(bob.rec, user, 440, ms(10000)));
    damaged(&bob, "without loss", &calm);
    CHECK_EQ(calm.frames_recovered_red, 0);
    ctl("lossy", "{\"user_id\":\"bob\",\"down\":10,\"seed\":7}");
    unsigned n = damaged(&bob, "with loss", lossy);
    ctl("reset", "{}");
    no_errors(&sender);
    no_errors(&bob);
    peer_close(&sender);
    peer_close(&bob);
    return n;
}

int main(void)
{
    oh_call_stats with, without;
    oh_audio_track_options bad = OH_INIT(oh_audio_track_options);
    peer ann = { 0 };

    test_begin("red");
    test_step(20, "values out of range");
    peer_join(&ann, "ann", "range", NULL);
    static const uint32_t out_of_range[] = { 3, INT32_MAX, OH_ZERO - 1, UINT32_MAX };
    for (size_t i = 0; i < sizeof out_of_range / sizeof *out_of_range; i++) {
        bad.red_frames = out_of_range[i];
        CHECK_EQ(oh_call_publish_audio(ann.call, &bad, &ann.mic), OH_ERR_ARGUMENT);
    }
    bad.red_frames = 2;
    CHECK_OK(oh_call_publish_audio(ann.call, &bad, &ann.mic));
    peer_close(&ann);

    unsigned damage_with = room("ann", 0, &with), damage_without = room("carl", OH_ZERO, &without);
    CHECK_THAT(with.frames_recovered_red >= PACKETS / 40, "only %u frames were restored", (unsigned)with.frames_recovered_red);
    CHECK_EQ(without.frames_recovered_red, 0);
    CHECK_THAT(without.packets_lost >= PACKETS / 20, "only %u packets were lost", (unsigned)without.packets_lost);
    CHECK_THAT(damage_with * 2 < damage_without, "%u frames damaged with redundant audio, %u without", damage_with, damage_without);
    return test_end();
}
