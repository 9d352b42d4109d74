/*
 * audio.c - participants in one call receive each other's audio.
 *
 * alice writes stereo s16 at 44100 Hz and receives the default format; bob writes mono f32 and receives mono f32 at
 * 16000 Hz; carol receives Opus packets and forwards alice's, as packets; dave receives carol in stereo. Expected:
 * every tone arrives with its frequency; participants, tracks, levels, mute and unmute, leave are reported to the
 * others; the statistics are right; no call gets an error.
 *
 * test: alone four sending participants in one process are the most that memcheck can run in time
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static oh_track relay;
static atomic_int relayed;

/* A callback may write to a track. */
static void pass_on(recorder *r, oh_call call, const oh_audio_frame *audio)
{
    (void)r, (void)call;
    if (strcmp(audio->user_id, "alice")) return;
    CHECK_EQ(audio->format, OH_AUDIO_OPUS);
    CHECK_EQ(audio->source, OH_SOURCE_MICROPHONE);
    oh_result result = oh_track_write_opus(relay, audio->opus_packet, audio->opus_packet_size);
    /* OH_ERR_CLOSED: carol is leaving. */
    CHECK_THAT(result == OH_OK || result == OH_ERR_FULL || result == OH_ERR_CLOSED, "a packet cannot be passed on: %s", oh_result_get_name(result));
    atomic_fetch_add(&relayed, result == OH_OK);
}

static void no_errors(peer *p)
{
    oh_call_stats s = peer_stats(p);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOST), 0);
    CHECK_EQ(s.error_events, 0);
    CHECK_EQ(s.events_dropped, 0);
    CHECK_EQ(s.offers_failed, 0);
    CHECK_EQ(s.malformed_messages, 0);
    CHECK_EQ(s.join_attempts, 1);
}

static int level_of_speech(recorder *r, void *user)
{
    for (size_t i = 0; i < r->count; i++) {
        rec_event *e = &r->events[i];
        if (e->kind == OH_EVENT_AUDIO_LEVEL && !strcmp(e->user, user) && e->level > 0.05f && e->cause) return 1;
    }
    return 0;
}

int main(void)
{
    peer alice = { 0 }, bob = { 0 }, carol = { 0 }, dave = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    rec_event e;
    rec_received received;
    char text[256];

    test_begin("audio");
    test_step(15, "alice and bob join");
    peer_join(&alice, "alice", "audio", NULL);
    what.audio_format = OH_AUDIO_F32;
    what.audio_sample_rate_hz = 16000;
    what.audio_channels = 1;
    peer_join(&bob, "bob", "audio", &what);
    e = EXPECT(bob.rec, OH_EVENT_JOINED, NULL, ms(2000));
    CHECK_EQ(e.count, 2);
    CHECK(e.session[0] != 0);
    CHECK_EQ(e.call, bob.call.id);
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_JOINED, "bob", ms(5000));
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(5000)); /* joined before bob */

    test_step(20, "both publish and receive each other's audio");
    track_options.sample_rate_hz = 44100;
    track_options.no_dtx = 1;
    track_options.channels = 2;
    CHECK_OK(oh_call_publish_audio(alice.call, &track_options, &alice.mic));
    alice.tone = tone_start(alice.mic, OH_AUDIO_S16, 44100, 2, 440);
    oh_struct_init(&track_options, sizeof track_options);
    track_options.format = OH_AUDIO_F32;
    track_options.no_dtx = 1;
    CHECK_OK(oh_call_publish_audio(bob.call, &track_options, &bob.mic));
    bob.tone = tone_start(bob.mic, OH_AUDIO_F32, 48000, 1, 1000);
    e = EXPECT(alice.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    CHECK_EQ(e.track, alice.mic.id);
    CHECK_EQ(e.error, OH_OK);
    e = EXPECT(alice.rec, OH_EVENT_TRACK_PUBLISHED, "bob", ms(10000));
    CHECK_EQ(e.code, OH_SOURCE_MICROPHONE);
    EXPECT(bob.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(10000));
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's tone");
    CHECK_THAT(rec_wait_tone(alice.rec, "bob", 1000, ms(10000)), "alice does not receive bob's tone");
    CHECK(rec_received_of(bob.rec, "alice", &received));
    CHECK_EQ(received.rate, 16000);
    CHECK_EQ(received.channels, 1);
    CHECK_EQ(received.format, OH_AUDIO_F32);
    CHECK_THAT(received.level > 0.05f, "the level of a loud tone is %g", (double)received.level);
    CHECK(rec_received_of(alice.rec, "bob", &received));
    CHECK_EQ(received.rate, 48000);
    CHECK_EQ(received.channels, 1);
    CHECK_EQ(received.format, OH_AUDIO_S16);
    CHECK_EQ(rec_frames(alice.rec, "alice"), 0); /* a participant does not receive its own audio */

    test_step(15, "levels");
    CHECK_THAT(rec_wait_until(alice.rec, level_of_speech, "bob", ms(8000)), "alice gets no speaking level of bob");
    CHECK_THAT(rec_wait_until(bob.rec, level_of_speech, "alice", ms(8000)), "bob gets no speaking level of alice");

    test_step(20, "Opus packets in and out");
    oh_struct_init(&what, sizeof what);
    what.audio_format = OH_AUDIO_OPUS;
    carol.rec = rec_new();
    peer_join(&carol, "carol", "audio", &what);
    EXPECT(carol.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000)); /* published before she joined */
    oh_struct_init(&track_options, sizeof track_options);
    track_options.format = OH_AUDIO_OPUS;
    track_options.buffer_ms = 2000; /* on a slow machine packets arrive in bursts */
    CHECK_OK(oh_call_publish_audio(carol.call, &track_options, &relay));
    carol.mic = relay;
    int16_t pcm[960] = { 0 };
    CHECK_OH(oh_track_write_s16(relay, pcm, 960), OH_ERR_STATE);
    CHECK_OH(oh_track_write_opus(relay, (const uint8_t *)"\xff\xff\xff", 3), OH_ERR_ARGUMENT); /* code 3, 63 frames */
    CHECK_OH(oh_track_write_opus(relay, (const uint8_t *)"x", 0), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_opus(relay, (const uint8_t *)"x", 1501), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_opus(alice.mic, (const uint8_t *)"\xf8\xff\xfe", 3), OH_ERR_STATE);
    pthread_mutex_lock(&carol.rec->lock);
    carol.rec->on_audio = pass_on;
    pthread_mutex_unlock(&carol.rec->lock);
    oh_struct_init(&what, sizeof what);
    what.audio_channels = 2;
    peer_join(&dave, "dave", "audio", &what);
    EXPECT(dave.rec, OH_EVENT_TRACK_PUBLISHED, "carol", ms(10000));
    CHECK_THAT(rec_wait_tone(dave.rec, "carol", 440, ms(10000)), "dave does not receive what carol forwards");
    CHECK_THAT(rec_wait_tone(dave.rec, "bob", 1000, ms(10000)), "dave does not receive bob, too");
    CHECK(rec_received_of(dave.rec, "carol", &received));
    CHECK_EQ(received.channels, 2);
    CHECK(atomic_load(&relayed) > 0);

    test_step(25, "mute and unmute");
    for (int round = 0; round < 2; round++) {
        size_t mark = rec_mark(bob.rec);
        CHECK_OK(oh_track_set_muted(alice.mic, 1));
        e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
        CHECK_EQ(e.cause, 1);
        CHECK_EQ(e.code, OH_SOURCE_MICROPHONE);
        /* Audio in transit is still played, for the maximum delay at most; then there is silence. */
        nap(ms(400));
        CHECK(rec_received_of(bob.rec, "alice", &received));
        uint64_t loud = received.not_silent;
        nap(ms(300));
        CHECK(rec_received_of(bob.rec, "alice", &received));
        CHECK_THAT(received.not_silent <= loud + 1, "audio of a muted participant is received: %llu frames",
                   (unsigned long long)(received.not_silent - loud));
        CHECK_OK(oh_track_set_muted(alice.mic, 0));
        e = EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
        CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(5000)), "alice's audio is not received after unmuting");
    }

    test_step(10, "figures");
    oh_call_stats s = peer_stats(&alice);
    CHECK_EQ(s.participants, 4);
    CHECK(s.join_ms > 0 && s.first_audio_ms >= s.join_ms);
    CHECK(s.packets_sent > 10 && s.bytes_sent > s.packets_sent);
    CHECK(s.packets_received > 10 && s.bytes_received > s.packets_received);
    CHECK(s.frames_played > 10 && s.sfu_requests >= 3 && s.offers_answered >= 1);
    CHECK_EQ(s.late_offers, 0);

    test_step(10, "bob leaves");
    CHECK_OK(oh_call_leave(bob.call, "has had enough"));
    e = EXPECT(bob.rec, OH_EVENT_ENDED, NULL, ms(2500));
    CHECK_EQ(e.code, OH_END_LEFT);
    CHECK_EQ(e.error, OH_OK);
    CHECK_OK(oh_call_wait_state(bob.call, OH_STATE_LEFT, ms(2500)));
    CHECK_OH(oh_call_wait_state(bob.call, OH_STATE_JOINED, 0), OH_ERR_CANCELLED);
    EXPECT(alice.rec, OH_EVENT_PARTICIPANT_LEFT, "bob", ms(5000));
    EXPECT(dave.rec, OH_EVENT_PARTICIPANT_LEFT, "bob", ms(5000));
    ctl_session_wait("bob", "leave_received", 1, ms(3000));
    char *state = ctl_state();
    CHECK_STR(json_text(state, "gone/?user_id=bob/leave_reason", text, sizeof text), "has had enough");
    free(state);
    CHECK_OH(oh_track_set_muted(bob.mic, 1), OH_ERR_STATE);
    CHECK_OH(oh_track_write_s16(bob.mic, pcm, 960), OH_ERR_CLOSED);
    CHECK_OH(oh_track_wait_writable(bob.mic, 960, 1000), OH_ERR_CLOSED);
    CHECK_OH(oh_call_publish_audio(bob.call, NULL, &relay), OH_ERR_STATE);
    CHECK_THAT(rec_wait_tone(dave.rec, "carol", 440, ms(5000)), "the others no longer receive each other's audio");

    test_step(15, "the end");
    no_errors(&alice);
    no_errors(&bob);
    no_errors(&carol);
    no_errors(&dave);
    peer_close(&carol);
    peer_close(&bob);
    peer_close(&dave);
    peer_close(&alice);
    return test_end();
}
