/*
 * bot.c - a bot that only publishes: plays a tone, frees its subscriber, and stays in the call. The
 * offers that the SFU still makes for that subscriber are dropped without a word; the figures count
 * them.
 *
 *   ./bot --url http://127.0.0.1:PORT --user bot --call demo --seconds 20
 */
#include <math.h>
#include <stdlib.h>
#include "report.h"

static void on_event(void *user, oh_call call, const oh_event *event)
{
    (void)call;
    say_event(user, event);
}

static int usage(FILE *to, const char *name)
{
    fprintf(to, "usage: %s --url URL --user NAME --call ID [--token T] [--seconds N] [--tone HZ] [--json]\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    double seconds = 10, tone = 440, phase = 0, reported = 0;
    report r = { .json = 0 };
    int16_t pcm[960];
    oh_client client;
    oh_call call;
    oh_subscriber subscriber;
    oh_track track;
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);

    where.token = "development";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) { r.json = 1; continue; }
        if (!strcmp(argv[i], "--help")) { usage(stdout, argv[0]); return 0; }
        if (i + 1 == argc) return usage(stderr, argv[0]);
        char *value = argv[++i];
        if (!strcmp(argv[i - 1], "--url")) where.url = value;
        else if (!strcmp(argv[i - 1], "--user")) where.user_id = value;
        else if (!strcmp(argv[i - 1], "--token")) where.token = value;
        else if (!strcmp(argv[i - 1], "--call")) what.call_id = value;
        else if (!strcmp(argv[i - 1], "--seconds")) seconds = atof(value);
        else if (!strcmp(argv[i - 1], "--tone")) tone = atof(value);
        else return usage(stderr, argv[0]);
    }
    if (!where.url || !where.user_id || !what.call_id) return usage(stderr, argv[0]);
    clock_gettime(CLOCK_MONOTONIC, &r.began);
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.on_event = on_event;
    handlers.user_data = &r;
    what.handlers = &handlers;
    if (oh_client_new(&where, &client)) return fail("client");
    if (oh_call_join(client, &what, &call) || oh_call_wait_state(call, OH_STATE_JOINED, 15000)) return fail("join");
    if (oh_call_get_subscriber(call, &subscriber)) return fail("subscriber");
    oh_subscriber_free(subscriber); /* from now on every offer for it is late */
    say(&r, "subscriber_freed", NULL, NULL, "");
    if (oh_call_publish_audio(call, NULL, &track)) return fail("publish");
    while (ms_since(&r.began) < seconds * 1e3) {
        for (int i = 0; i < 960; i++, phase += tone * 6.283185307179586 / 48000) pcm[i] = (int16_t)(6000 * sin(phase));
        if (oh_track_wait_writable(track, 960, 10000) || oh_track_write_s16(track, pcm, 960)) break;
        if (ms_since(&r.began) - reported >= 100) reported = ms_since(&r.began), say_stats(&r, call);
    }
    oh_call_leave(call, "bye");
    oh_call_wait_state(call, OH_STATE_LEFT, 3000);
    say_stats(&r, call);
    oh_client_free(client);
    return r.errors != 0;
}
