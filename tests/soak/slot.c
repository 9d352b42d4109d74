/*
 * slot.c - a slot: a place in a room and its consecutive calls: when each joins, what it does, how it ends.
 *
 * A few manager threads drive the slots, one thread writes audio for all of them. All of these use handles
 * concurrently, including stale ones, because the library allows that.
 */
#include "soak.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TONE_FRAMES = 50, QUIET_ROOM = 2, STORM_ROOM = 3, LOST_AFTER_MS = 15000, JOIN_APART_MS = 30 };

slot slots[MOST_SLOTS];
int slot_count;
static int16_t tone[TONE_FRAMES][FRAME];

static void make_tone(void)
{
    uint32_t seed = 1;
    double loud = 0.5;
    for (int i = 0; i < TONE_FRAMES * FRAME; i++) {
        if (i % 240 == 0) loud += (draw(&seed) / 4294967296.0 - loud) * 0.3;
        tone[i / FRAME][i % FRAME] = (int16_t)((3000 + 9000 * loud) * sin(i * 440 * 6.283185307179586 / 48000));
    }
}

void slots_make(void)
{
    static const enum role storm[STORM_ROOM] = { ROLE_STEADY, ROLE_BLOCKER, ROLE_CHURNER };
    make_tone();
    slot_count = args.quiet + args.storm;
    for (int i = 0; i < slot_count; i++) {
        slot *s = &slots[i];
        int quiet = i < args.quiet, begin = quiet ? 0 : args.quiet, size = quiet ? QUIET_ROOM : STORM_ROOM;
        int end = quiet ? args.quiet : slot_count;
        s->index = i;
        s->room = (i - begin) / size;
        s->place = (i - begin) % size;
        s->first = i - s->place;
        s->room_size = s->first + size <= end ? size : end - s->first;
        s->role = quiet ? ROLE_QUIET : storm[s->place];
        if (quiet && s->first + size >= end && s->place == size - 1) s->role = ROLE_QUIET_GUEST;
        s->random = args.seed * 2654435761u + (uint32_t)i * 40503u + 1;
        snprintf(s->user, sizeof s->user, "%c%d", quiet ? 'q' : 's', i);
        snprintf(s->call, sizeof s->call, "%s-%d", quiet ? "quiet" : "storm", s->room);
        pthread_mutex_init(&s->lock, NULL);
    }
}

void slot_publish(slot *s, oh_call call)
{
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);
    oh_track track;
    options.no_dtx = 1;
    options.complexity = s->role == ROLE_QUIET ? 0 : OH_ZERO; /* the storm rooms do not need high quality */
    if (oh_call_publish_audio(call, &options, &track) != OH_OK) return;
    s->track = track.id;
    s->fresh = 1;
}

void *slot_pace(void *unused)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (int i = 0;; i = (i + 1) % TONE_FRAMES) {
        for (int k = 0; k < slot_count; k++) {
            oh_track track = { slots[k].track };
            int frames = atomic_exchange(&slots[k].fresh, 0) ? 3 : 1;
            /*
             * Results are ignored: FULL before the track is published or while the connection is lost, CLOSED or
             * HANDLE after the end.
             */
            while (track.id && frames--) oh_track_write_s16(track, tone[(i + k) % TONE_FRAMES], FRAME);
        }
        at.tv_nsec += 20000000L;
        if (at.tv_nsec >= 1000000000L) at.tv_nsec -= 1000000000L, at.tv_sec++;
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) { }
    }
    return unused;
}

static void show(slot *s, session *l)
{
    pthread_mutex_lock(&s->lock);
    s->seen = l;
    pthread_mutex_unlock(&s->lock);
}

static void plan(session *l, double now)
{
    slot *s = l->slot;
    int goes = s->role == ROLE_CHURNER || s->role == ROLE_QUIET_GUEST;
    l->leave_at = goes ? now + between(&s->random, 2000, 16000) : 0;
    l->act_at = now + between(&s->random, 500, 4000);
}

static void join(slot *s, double now)
{
    static const int32_t formats[] = { OH_AUDIO_S16, OH_AUDIO_OPUS, OH_AUDIO_F32 };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    session *l = calloc(1, sizeof *l);
    oh_result result;
    s->next_at = now + 1000;
    if (!l) return;
    where.url = args.url;
    where.user_id = s->user;
    where.token = "development";
    if (!s->client.id && (result = oh_client_new(&where, &s->client)) != OH_OK) {
        wrong(s, "no client: %s", oh_result_get_name(result));
        free(l);
        return;
    }
    l->slot = s;
    l->number = ++s->joins;
    l->random = draw(&s->random) | 1;
    l->began = now;
    plan(l, now);
    what.call_id = s->call;
    what.handlers = callback_handlers(l);
    what.audio_format = s->role == ROLE_QUIET ? OH_AUDIO_S16 : formats[s->place];
    what.reconnect_timeout_ms = LOST_AFTER_MS;
    result = oh_call_join(s->client, &what, &l->call);
    if (result != OH_OK) {
        char why[256] = "";
        oh_get_last_error(why, sizeof why);
        wrong(s, "join: %s: %s", oh_result_get_name(result), why);
        free(l);
        return;
    }
    s->session = l;
    show(s, l);
    if (s->place % 2 == 0) slot_publish(s, l->call);
}

/* Ends a call in one of the possible ways, and checks that it really has ended. */
static void finish(slot *s, int how)
{
    session *l = s->session;
    oh_call call = l->call;
    double began = now_ms(), limit;
    if (how == 0 && !l->ended) {
        int blocked = l->blocked_ms;
        oh_call_leave(call, "bye");
        oh_result result = oh_call_wait_state(call, OH_STATE_LEFT, 8000);
        double took = now_ms() - began - (l->blocked_ms - blocked);
        if (!l->freed && !l->ended && result == OH_OK) wrong(s, "LEFT without a terminal event");
        if (!l->freed && s->role != ROLE_BLOCKER && took > 2500) wrong(s, "leaving took %.0f ms", took);
        line("{\"kind\":\"left\",\"slot\":%d,\"ms\":%.1f}", s->index, took);
    }
    s->track = 0;
    if (how == 2) {
        oh_client_free(s->client);
        s->client.id = 0;
    } else {
        oh_call_free(call);
    }
    /* A call freed inside a callback is freed when that returns; otherwise it is freed now. */
    limit = now_ms() + 10000;
    if (!l->freed && !l->destroyed) wrong(s, "destroy was not called before %s returned", how == 2 ? "oh_client_free" : "oh_call_free");
    while (!l->destroyed && now_ms() < limit) {
        struct timespec t = { 0, 5000000 };
        nanosleep(&t, NULL);
    }
    if (!l->destroyed) wrong(s, "destroy was never called");
    l->closed = 1;
    line("{\"kind\":\"over\",\"slot\":%d}", s->index);
    show(s, NULL);
    /* Kept until the next call ends, so that a late callback is detected and does not crash. */
    if (s->grave && s->grave->destroyed) free(s->grave);
    s->grave = l;
    s->session = NULL;
}

/* What an application does with its call while joined. */
static void act(slot *s, session *l)
{
    oh_call_stats stats = { .size = sizeof stats };
    oh_track track = { s->track };
    switch (draw(&s->random) % 8) {
    case 0: oh_track_set_muted(track, 1); break;
    case 1: oh_track_set_muted(track, 0); break;
    case 2:
    case 4:
        if (!args.republish) break;
        oh_track_free(track);
        oh_track_free(track); /* freeing twice is allowed */
        slot_publish(s, l->call);
        break;
    case 3: oh_network_report(OH_NETWORK_ONLINE); break;
    default: oh_call_get_stats(l->call, &stats);
    }
}

static void look_after(slot *s, double now)
{
    session *l = s->session;
    int now_phase = phase;
    if (!l) {
        if (now_phase != PHASE_NONE && now >= s->next_at) join(s, now);
        return;
    }
    if (now_phase == PHASE_NONE) {
        finish(s, (int)(draw(&s->random) % 3));
        if (s->client.id) oh_client_free(s->client);
        s->client.id = 0;
        s->next_at = 0;
        return;
    }
    if (l->ended || l->freed) {
        if (s->role == ROLE_QUIET && !l->freed) wrong(s, "a quiet session has ended");
        finish(s, 1 + chance(&s->random, 20));
        s->next_at = now + between(&s->random, 100, 1500);
        return;
    }
    if (now_phase == PHASE_CALM) {
        oh_track track = { s->track };
        if (l->damaged) {
            finish(s, 0);
            s->next_at = now;
        } else if (now >= l->act_at) {
            l->act_at = now + 1000;
            oh_track_set_muted(track, 0);
            /* Closed while it was being replaced, or refused: publish again. */
            uint32_t ms;
            if (!track.id || oh_track_get_buffered_ms(track, &ms) != OH_OK) slot_publish(s, l->call);
        }
        return;
    }
    if (now_phase != PHASE_CHAOS) return;
    if (l->leave_at && now >= l->leave_at) {
        finish(s, s->role == ROLE_CHURNER ? (int)(draw(&s->random) % 3) : 0);
        s->next_at = now + between(&s->random, 100, 3000);
    } else if (s->role != ROLE_QUIET && s->role != ROLE_QUIET_GUEST && now >= l->act_at) {
        l->act_at = now + between(&s->random, 500, 4000);
        act(s, l);
    }
}

void *slot_manager(void *number)
{
    int first_slot = (int)(intptr_t)number;
    double join_at = 0;
    for (;;) {
        struct timespec t = { 0, 10000000 };
        for (int i = first_slot; i < slot_count; i += MANAGERS) {
            double now = now_ms();
            /* Joins are spread over time. */
            if (!slots[i].session && now < join_at) continue;
            int was = slots[i].session != NULL;
            look_after(&slots[i], now);
            if (!was && slots[i].session) join_at = now + JOIN_APART_MS;
        }
        nanosleep(&t, NULL);
    }
    return NULL;
}
