/*
 * steady.c - a loud, steady tone published with the default options is never treated as silence.
 *
 * Discontinuous transmission is for pauses in speech. Expected: three seconds of a tone of -10 dB arrive as that
 * tone throughout, and real silence is not sent at the full packet rate.
 */
#include "peer.h"

int main(void)
{
    peer alice = { 0 }, bob = { 0 };
    rec_received before, after;

    test_begin("steady");
    test_step(30, "a tone, for three seconds");
    peer_join(&alice, "alice", "steady", NULL);
    peer_join(&bob, "bob", "steady", NULL);
    CHECK_OK(oh_call_publish_audio(alice.call, NULL, &alice.mic));
    alice.tone = tone_start(alice.mic, OH_AUDIO_S16, 48000, 1, 500);
    CHECK(rec_wait_tone(bob.rec, "alice", 500, ms(10000)));
    CHECK(rec_received_of(bob.rec, "alice", &before));
    CHECK(rec_wait_audio(bob.rec, "alice", 150, ms(10000)));
    CHECK(rec_received_of(bob.rec, "alice", &after));
    uint64_t frames = after.frames - before.frames, loud = after.not_silent - before.not_silent;
    CHECK_THAT(loud * 10 >= frames * 8, "of %llu frames of a loud tone only %llu were not silent", (unsigned long long)frames,
               (unsigned long long)loud);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 500, ms(1000)), "a loud tone fades away");

    test_step(20, "silence is not sent at the full rate");
    tone_stop(alice.tone);
    alice.tone = NULL;
    int16_t silence[960] = { 0 };
    uint64_t sent = 0;
    for (int i = 0; i < 150; i++) {
        if (i == 50) sent = peer_stats(&alice).packets_sent;
        CHECK_OK(oh_track_wait_writable(alice.mic, 960, ms(2000)));
        CHECK_OK(oh_track_write_s16(alice.mic, silence, 960));
    }
    sent = peer_stats(&alice).packets_sent - sent;
    CHECK_THAT(sent < 50, "%llu packets were sent for 2 s of silence", (unsigned long long)sent);

    test_step(10, "the end");
    peer_close(&alice);
    peer_close(&bob);
    return test_end();
}
