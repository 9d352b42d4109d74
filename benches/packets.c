/*
 * packets.c - the benchmark worker's mode for counting instructions: sessions that send Opus packets and receive the
 * remote audio as packets, so that no codec runs. It prints the packets since the process started. The driver runs it
 * twice, with different counts, and takes the difference.
 */
#include "worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { OPUS_BYTES = 160, PATIENCE_MS = 120000 };

struct party { oh_call call; oh_track track; atomic_int published, ended; atomic_long received; };

static void party_event(void *user, oh_call call, const oh_event *event)
{
    struct party *p = user;
    (void)call;
    log_errors(event);
    if (event->kind == OH_EVENT_LOCAL_TRACK_PUBLISHED) p->published = 1;
    if (event->kind == OH_EVENT_ENDED) p->ended = 1;
}

static void party_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    struct party *p = user;
    (void)call;
    if (audio->opus_packet_size) p->received++;
}

/* Waits until the field is set for all parties. Ends the process on timeout or if a call ends. */
static void all_are(struct party *parties, int (*set)(struct party *), const char *what)
{
    char ignored[64];
    double deadline = now_ms() + PATIENCE_MS;
    for (long i = 0; i < args.n; i++)
        while (!set(&parties[i])) {
            if (parties[i].ended || now_ms() > deadline) die(what);
            word(ignored, sizeof ignored, 10);
        }
}

static int is_published(struct party *p)
{
    return p->published;
}

void packets(void)
{
    struct party *parties = calloc((size_t)args.n, sizeof *parties);
    oh_client clients[2] = { client_of("u0"), client_of("u1") };
    uint8_t packet[OPUS_BYTES];
    uint64_t sent = 0, received = 0;
    long rounds = 0;
    double deadline;
    struct timespec at;

    if (!parties) die("no memory");
    memset(packet, 0x78, sizeof packet); /* 20 ms, one frame (RFC 6716) */
    for (long i = 0; i < args.n; i++) {
        struct party *p = &parties[i];
        oh_call_options options = OH_INIT(oh_call_options);
        oh_audio_track_options track = OH_INIT(oh_audio_track_options);
        char id[128];
        snprintf(id, sizeof id, "%s%ld", args.prefix, i / 2);
        options.call_id = id;
        options.audio_format = OH_AUDIO_OPUS;
        oh_call_handlers handlers = OH_INIT(oh_call_handlers);
        handlers.on_event = party_event;
        handlers.on_audio = party_audio;
        handlers.user_data = p;
        options.handlers = &handlers;
        need(enter(clients[i % 2], i % 2 ? "u1" : "u0", &options, &p->call), "join");
        need(oh_call_wait_state(p->call, OH_STATE_JOINED, PATIENCE_MS), "join");
        track.format = OH_AUDIO_OPUS;
        track.red_frames = OH_ZERO; /* no redundancy: one frame per packet */
        need(oh_call_publish_audio(p->call, &track, &p->track), "publish");
    }
    all_are(parties, is_published, "not published in time");
    deadline = now_ms() + PATIENCE_MS;
    for (clock_gettime(CLOCK_MONOTONIC, &at); rounds < args.count; next_frame(&at)) {
        int all_receive = 1;
        for (long i = 0; i < args.n; i++) {
            oh_track_write_opus(parties[i].track, packet, sizeof packet);
            all_receive &= parties[i].received > 0;
        }
        rounds += all_receive; /* counted once all receive packets */
        if (!all_receive && now_ms() > deadline) die("no packets received in time");
    }
    for (long i = 0; i < args.n; i++) {
        oh_call_stats stats = { .size = sizeof stats };
        need(oh_call_get_stats(parties[i].call, &stats), "stats");
        sent += stats.packets_sent;
        received += stats.packets_received;
    }
    line("{\"kind\":\"packets\",\"sent\":%llu,\"received\":%llu}", (unsigned long long)sent,
         (unsigned long long)received);
    exit(0); /* without leave messages, like the baseline program */
}
