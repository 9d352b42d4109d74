/*
 * call.c - the canonical program: join a call, send a WAV file, record what is received, leave.
 *
 *   cc call.c -o call $(pkg-config --cflags --libs offhook)
 *   ./call --url http://127.0.0.1:PORT --user alice --call demo --play in.wav --record out.wav
 *   ./call --livekit ws://127.0.0.1:PORT --token T --play in.wav --record out.wav
 *
 * --hear NAME records that participant (else the first one received); --seconds N stays that long;
 * --json prints an object per line. Of a cluster several URLs may be given, separated by spaces; they are tried in order.
 */
#include <offhook.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "report.h"
#include "wav.h"

typedef struct app {
    report report;
    wav out;
    char recorded_user[256]; /* who is recorded */
    int received_any;
    uint32_t timestamp;     /* where the recording stands, 48 kHz */
    double since;           /* when there was something to receive, ms */
    double real;            /* when the last frame came that was not concealed, ms */
    int pause;              /* that frame was silence: the speaker pauses */
    atomic_int frames, concealed; /* received so far: real ones, and concealed ones */
    atomic_uint recorded;   /* samples of the recording so far */
    double reported;        /* when all this was reported last, ms */
} app;

/* Four times a second: what was received since, and where the recording stands. For programs that watch. */
static void say_receive_stats(app *a, oh_call call)
{
    oh_call_stats s = { .size = sizeof s };
    double now = ms_since(&a->report.began);
    char more[160];
    if (!a->report.json || now < a->reported + 250 || oh_call_get_stats(call, &s)) return;
    a->reported = now;
    snprintf(more, sizeof more, ",\"frames\":%d,\"concealed\":%d,\"lost\":%llu,\"received\":%llu,\"recorded_ms\":%.0f",
             atomic_exchange(&a->frames, 0), atomic_exchange(&a->concealed, 0), (unsigned long long)s.packets_lost,
             (unsigned long long)s.packets_received, atomic_load(&a->recorded) / 48.0);
    say(&a->report, "receive_stats", NULL, NULL, more);
}

static void on_event(void *user, oh_call call, const oh_event *event)
{
    app *a = user;
    (void)call;
    if (event->kind == OH_EVENT_TRACK_PUBLISHED && !a->since) a->since = ms_since(&a->report.began);
    say_event(&a->report, event);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    static const int16_t silence[960];
    app *a = user;
    (void)call;
    if (!a->recorded_user[0]) snprintf(a->recorded_user, sizeof a->recorded_user, "%s", audio->user_id);
    if (strcmp(a->recorded_user, audio->user_id)) return;
    if (!a->received_any) {
        char ms[32];
        snprintf(ms, sizeof ms, ",\"ms\":%.1f", ms_since(&a->report.began) - a->since);
        say(&a->report, "first_audio", NULL, NULL, ms);
    }
    atomic_fetch_add(audio->concealed ? &a->concealed : &a->frames, 1);
    if (!audio->concealed) {
        double now = ms_since(&a->report.began), gap = now - a->real;
        if (a->received_any && !a->pause && gap > 60) {
            char ms[32];
            snprintf(ms, sizeof ms, ",\"ms\":%.1f", gap);
            say(&a->report, "gap", NULL, NULL, ms);
        }
        a->real = now;
        a->pause = audio->silence != 0;
    }
    if (a->out.file) {
        /* Long silence is not sent, and not handed over: the timestamp says how long it was. */
        int32_t gap = a->received_any ? (int32_t)(audio->rtp_timestamp - a->timestamp) : 0;
        for (; gap >= 960 && gap < 48000 * 60; gap -= 960) wav_write(&a->out, silence, 960);
        wav_write(&a->out, audio->samples_s16, (uint32_t)audio->frames);
        atomic_store(&a->recorded, a->out.frames);
    }
    a->received_any = 1;
    a->timestamp = audio->rtp_timestamp + (uint32_t)audio->frames;
}

static int usage(FILE *to, const char *name)
{
    fprintf(to, "usage: %s --url URL --user NAME --call ID [--token T] [--play in.wav] [--record out.wav]\n"
                    "       [--hear NAME] [--seconds N] [--json]\n"
                "   or: %s --livekit URL --token T [...]: user and call are those of the token\n", name, name);
    return 2;
}

int main(int argc, char **argv)
{
    const char *play = NULL, *record = NULL;
    double seconds = 0;
    app a = { .received_any = 0 };
    wav in = { .file = NULL };
    int16_t pcm[WAV_CHANNELS * WAV_RATE / 50];
    oh_client client;
    oh_call call;
    oh_track mic = { 0 };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);

    where.token = "development"; /* a real service wants the user's JWT */
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) { a.report.json = 1; continue; }
        if (!strcmp(argv[i], "--help")) { usage(stdout, argv[0]); return 0; }
        if (i + 1 == argc) return usage(stderr, argv[0]);
        char *value = argv[++i];
        if (!strcmp(argv[i - 1], "--url")) where.url = value;
        else if (!strcmp(argv[i - 1], "--livekit")) where.url = value, where.protocol = OH_PROTOCOL_LIVEKIT;
        else if (!strcmp(argv[i - 1], "--user")) where.user_id = value;
        else if (!strcmp(argv[i - 1], "--token")) where.token = value;
        else if (!strcmp(argv[i - 1], "--call")) what.call_id = value;
        else if (!strcmp(argv[i - 1], "--play")) play = value;
        else if (!strcmp(argv[i - 1], "--record")) record = value;
        else if (!strcmp(argv[i - 1], "--hear")) snprintf(a.recorded_user, sizeof a.recorded_user, "%s", value);
        else if (!strcmp(argv[i - 1], "--seconds")) seconds = atof(value);
        else return usage(stderr, argv[0]);
    }
    if (!where.url) return usage(stderr, argv[0]);
    if (where.protocol == OH_PROTOCOL_STREAM && (!where.user_id || !what.call_id)) return usage(stderr, argv[0]);
    if (play && wav_open(&in, play)) return fprintf(stderr, "%s cannot be played: %s\n", play, in.error), 2;
    if (record && wav_create(&a.out, record, 48000, 1)) return perror(record), 2;
    clock_gettime(CLOCK_MONOTONIC, &a.report.began);

    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = on_event;
    handlers.on_audio = on_audio;
    handlers.user_data = &a;
    what.handlers = &handlers;
    if (oh_client_new(&where, &client)) return fail("client");
    if (oh_call_join(client, &what, &call) || oh_call_wait_state(call, OH_STATE_JOINED, 15000)) return fail("join");

    if (in.file) {
        options.sample_rate_hz = in.rate;
        options.channels = in.channels;
        if (oh_call_publish_audio(call, &options, &mic)) return fail("publish");
    }
    while (!seconds || ms_since(&a.report.began) < seconds * 1e3) {
        say_receive_stats(&a, call);
        uint32_t frames = in.file ? wav_read(&in, pcm, in.rate / 50) : 0;
        if (frames) { /* the library sends at its own pace: wait for room, then write */
            if (oh_track_wait_writable(mic, frames, 10000) || oh_track_write_s16(mic, pcm, frames)) break;
        } else if (!seconds) {
            break;
        } else if (oh_call_wait_state(call, OH_STATE_LEFT, 50) != OH_ERR_TIMEOUT) {
            break; /* nothing to say: listen until the time is up or the call is over */
        }
    }
    oh_call_leave(call, "bye");
    oh_call_wait_state(call, OH_STATE_LEFT, 3000);
    say_stats(&a.report, call);
    oh_client_free(client); /* frees what is left, in any order; no callback runs after it */
    wav_close(&in, 0);
    wav_close(&a.out, 1);
    return a.report.errors != 0;
}
