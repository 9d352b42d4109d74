/*
 * free_everywhere.c - free and leave: twice, from eight threads at once, inside every kind of callback, in circles,
 * and while a callback runs on another thread.
 * test: timeout=120
 *
 * Expected: never a crash, a hang or a callback afterwards; destroy exactly once in every case; oh_call_free waits
 * for a callback in progress on another thread, and returns at once inside one.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_destroyed(recorder *r, void *arg)
{
    (void)arg;
    return r->destroyed;
}

static void wait_destroyed(recorder *r, const char *what)
{
    CHECK_THAT(rec_wait_until(r, is_destroyed, NULL, ms(10000)), "%s: destroy is not called", what);
}

/* ---- twice, and at once ---- */

static void everything_at_once(void *arg, unsigned i)
{
    peer *p = arg;
    for (int again = 0; again < 3; again++) {
        switch ((i + (unsigned)again) % 4) {
        case 0: oh_call_free(p->call); break;
        case 1: oh_client_free(p->client); break;
        case 2: {
            oh_result r = oh_call_leave(p->call, "one of many");
            CHECK(r == OH_OK || r == OH_ERR_HANDLE);
            break;
        }
        default: oh_track_free(p->mic); oh_call_free(p->call); break;
        }
    }
}

static void at_once(void)
{
    unsigned total = rounds(60);
    for (unsigned i = 0; i < total; i++) {
        peer p = { 0 };
        char user[32];
        test_step(15, "freed by eight threads at once, %u", i);
        snprintf(user, sizeof user, "many-%u", i);
        if (i % 2) {
            peer_open(&p, user, "free", NULL);
            if (i % 4 == 1) CHECK_OK(oh_call_publish_audio(p.call, NULL, &p.mic));
        } else {
            peer_join(&p, user, "free", NULL);
            CHECK_OK(oh_call_publish_audio(p.call, NULL, &p.mic));
        }
        on_threads(8, everything_at_once, &p);
        oh_call_free(p.call);
        rec_call_freed(p.rec); /* destroy has been called */
        oh_client_free(p.client);
        oh_client_free(p.client);
        CHECK_OH(oh_call_leave(p.call, NULL), OH_ERR_HANDLE);
        rec_free(p.rec);
    }
}

/* ---- inside callbacks ---- */

enum way { FREE_CALL, FREE_CLIENT, LEAVE, FREE_ALL_TWICE, CLOSE_PARTS, WAYS };
static const char *const way_names[] = { "oh_call_free", "oh_client_free", "oh_call_leave", "everything, twice", "closing the parts" };

typedef struct plan {
    int kind; /* OH_EVENT_AUDIO: inside on_audio */
    enum way way;
    peer *p;
    atomic_int begun, done;
} plan;

static void act(plan *plan, oh_call call)
{
    peer *p = plan->p;
    oh_subscriber sub;
    oh_publisher pub;
    if (atomic_exchange(&plan->begun, 1)) return;
    CHECK_OH(oh_call_wait_state(call, OH_STATE_LEFT, OH_FOREVER), OH_ERR_WOULD_DEADLOCK);
    switch (plan->way) {
    case FREE_CALL:
        oh_call_free(call);
        CHECK_OH(oh_call_leave(call, NULL), OH_ERR_HANDLE);
        break;
    case FREE_CLIENT: oh_client_free(p->client); break;
    case LEAVE:
        CHECK_OK(oh_call_leave(call, NULL));
        CHECK_OK(oh_call_leave(call, NULL));
        break;
    case FREE_ALL_TWICE:
        for (int i = 0; i < 2; i++) {
            oh_track_free(p->mic);
            oh_call_leave(call, NULL);
            oh_call_free(call);
            oh_client_free(p->client);
        }
        break;
    default:
        CHECK_OK(oh_call_get_subscriber(call, &sub));
        CHECK_OK(oh_call_get_publisher(call, &pub));
        oh_track_free(p->mic);
        CHECK_OK(oh_subscriber_close(sub));
        oh_subscriber_free(sub);
        CHECK_OK(oh_publisher_close(pub));
        oh_publisher_free(pub);
        break;
    }
    atomic_store(&plan->done, 1); /* `plan` may be freed from here on */
}

static void act_on_event(recorder *r, oh_call call, const oh_event *event)
{
    plan *plan = r->data;
    if (event->kind == OH_EVENT_TOKEN_NEEDED && (plan->kind != OH_EVENT_TOKEN_NEEDED || plan->way == CLOSE_PARTS))
        CHECK_OK(oh_call_provide_token(call, "development"));
    if (event->kind == plan->kind) act(plan, call);
}

static void act_on_audio(recorder *r, oh_call call, const oh_audio_frame *audio)
{
    plan *plan = r->data;
    (void)audio;
    if (plan->kind == OH_EVENT_AUDIO) act(plan, call);
}

static peer noise; /* a participant who sends audio, so that there is audio to receive */
static char noise_session[64];

/* Makes the SFU send the events of the plan's kind to a participant; stops when the plan was carried out. */
static void provoke(plan *plan, const char *user)
{
    double end = now_ms() + ms(10000);
    peer guest = { 0 };
    char guest_name[64];
#define UNTIL_DONE if (atomic_load(&plan->done)) goto done
    /* The events of the join arrive before this. */
    oh_call_wait_state(plan->p->call, OH_STATE_JOINED, ms(10000));
    UNTIL_DONE;
    switch (plan->kind) {
    case OH_EVENT_PARTICIPANT_JOINED: case OH_EVENT_PARTICIPANT_LEFT:
    case OH_EVENT_TRACK_PUBLISHED: case OH_EVENT_TRACK_UNPUBLISHED:
        snprintf(guest_name, sizeof guest_name, "%.40s-guest", user);
        peer_join(&guest, guest_name, "callbacks", NULL);
        peer_publish_tone(&guest, 300);
        EXPECT(guest.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
        CHECK_OK(oh_track_set_muted(guest.mic, 1));
        break;
    case OH_EVENT_PARTICIPANT_UPDATED:
        ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"participantUpdated\":{\"callCid\":\"default:callbacks\","
            "\"participant\":{\"userId\":\"noise\",\"sessionId\":\"%s\",\"name\":\"another\"}}}}", user, noise_session);
        break;
    case OH_EVENT_CONNECTION_QUALITY:
        ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"connectionQualityChanged\":{\"connectionQualityUpdates\":"
            "[{\"userId\":\"noise\",\"sessionId\":\"%s\",\"connectionQuality\":\"CONNECTION_QUALITY_POOR\"}]}}}", user, noise_session);
        break;
    case OH_EVENT_AUDIO_LEVEL:
        ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"audioLevelChanged\":{\"audioLevels\":"
            "[{\"userId\":\"noise\",\"sessionId\":\"%s\",\"level\":0.5,\"isSpeaking\":true}]}}}", user, noise_session);
        break;
    case OH_EVENT_DOMINANT_SPEAKER:
        ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"dominantSpeakerChanged\":{\"userId\":\"noise\",\"sessionId\":\"%s\"}}}",
            user, noise_session);
        break;
    case OH_EVENT_COUNTS:
        ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"healthCheckResponse\":{\"participantCount\":{\"total\":77,\"anonymous\":1}}}}", user);
        break;
    case OH_EVENT_RIGHTS:
        ctl("grants", "{\"user_id\":\"%s\",\"audio\":true,\"video\":false}", user);
        break;
    case OH_EVENT_PINS:
        ctl("pins", "{\"cid\":\"default:callbacks\",\"sessions\":[\"%s\"]}", noise_session);
        ctl("pins", "{\"cid\":\"default:callbacks\",\"sessions\":[]}");
        break;
    case OH_EVENT_ERROR:
        ctl("error", "{\"user_id\":\"%s\",\"code\":500,\"message\":\"only a report\",\"strategy\":0}", user);
        break;
    case OH_EVENT_LOCAL_TRACK_FAILED:
        /* Without the right to send audio the published track ends. */
        ctl("grants", "{\"user_id\":\"%s\",\"audio\":false}", user);
        break;
    case OH_EVENT_ENDED:
        ctl("call_ended", "{\"user_id\":\"%s\",\"reason\":3}", user);
        break;
    default:
        break;
    }
    while (!atomic_load(&plan->done)) {
        CHECK_THAT(now_ms() < end, "no %s comes", oh_event_kind_get_name(plan->kind));
        if (plan->kind == OH_EVENT_PARTICIPANT_LEFT && guest.rec) peer_close(&guest);
        nap(1);
    }
done:
    peer_close(&guest);
}

static void in_callback(int kind, enum way way)
{
    static unsigned number;
    peer p = { .rec = rec_new() };
    plan plan = { .kind = kind, .way = way, .p = &p };
    char user[32];
    recorder *r = p.rec;
    oh_call_options what = OH_INIT(oh_call_options);
    oh_client_options where = OH_INIT(oh_client_options);

    test_step(20, "inside %s: %s", oh_event_kind_get_name(kind), way_names[way]);
    snprintf(user, sizeof user, "inside-%u", number++);
    r->data = &plan;
    r->on_event = act_on_event;
    r->on_audio = act_on_audio;
    where.url = sfu_url();
    where.user_id = user;
    if (kind != OH_EVENT_TOKEN_NEEDED) where.token = "development";
    CHECK_OK(oh_client_new(&where, &p.client));
    what.call_id = "callbacks";
    what.handlers = rec_handlers(r);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    oh_call call = p.call;
    oh_result published = oh_call_publish_audio(call, NULL, &p.mic); /* the call may have ended already */
    CHECK(published == OH_OK || published == OH_ERR_HANDLE || published == OH_ERR_STATE || published == OH_ERR_CLOSED);
    provoke(&plan, user);
    if (way == LEAVE || (way == CLOSE_PARTS && kind == OH_EVENT_ENDED)) {
        rec_event e = EXPECT(r, OH_EVENT_ENDED, NULL, ms(5000));
        CHECK(kind == OH_EVENT_ENDED || e.code == OH_END_LEFT);
    } else if (way == CLOSE_PARTS) {
        oh_subscriber sub;
        CHECK_OK(oh_call_get_subscriber(call, &sub));
        CHECK_OH(oh_subscriber_close(sub), OH_ERR_HANDLE);
        uint64_t before = rec_frames(r, NULL);
        if (kind == OH_EVENT_AUDIO) CHECK_EQ(before, 1); /* no audio after the callback */
        CHECK_OK(oh_call_leave(call, NULL));
        EXPECT(r, OH_EVENT_ENDED, NULL, ms(5000));
    }
    if (way == FREE_CALL || way == FREE_CLIENT || way == FREE_ALL_TWICE) wait_destroyed(r, oh_event_kind_get_name(kind));
    oh_call_free(call);
    wait_destroyed(r, oh_event_kind_get_name(kind));
    rec_call_freed(r);
    oh_client_free(p.client);
    int32_t state;
    CHECK_OH(oh_call_get_state(call, &state), OH_ERR_HANDLE);
    rec_free(r);
}

static void in_callbacks(void)
{
    static const int kinds[] = {
        OH_EVENT_STATE, OH_EVENT_JOINED, OH_EVENT_TOKEN_NEEDED, OH_EVENT_PARTICIPANT_JOINED, OH_EVENT_PARTICIPANT_UPDATED,
        OH_EVENT_PARTICIPANT_LEFT, OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED, OH_EVENT_AUDIO_LEVEL,
        OH_EVENT_DOMINANT_SPEAKER, OH_EVENT_CONNECTION_QUALITY, OH_EVENT_COUNTS, OH_EVENT_RIGHTS, OH_EVENT_PINS,
        OH_EVENT_LOCAL_TRACK_PUBLISHED, OH_EVENT_LOCAL_TRACK_FAILED, OH_EVENT_ERROR, OH_EVENT_ENDED, OH_EVENT_AUDIO,
    };
    test_step(15, "a participant sends audio");
    peer_join(&noise, "noise", "callbacks", NULL);
    peer_publish_tone(&noise, 700);
    rec_event e = EXPECT(noise.rec, OH_EVENT_JOINED, NULL, ms(1000));
    snprintf(noise_session, sizeof noise_session, "%s", e.session);
    EXPECT(noise.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int way = 0; way < WAYS; way++) /* on a slow run only oh_call_free and one other way for each kind */
            if (test_scale() < 10 || way == FREE_CALL || way == 1 + (int)k % (WAYS - 1)) in_callback(kinds[k], (enum way)way);
    test_step(10, "the sending participant is unaffected");
    CHECK_OK(oh_call_wait_state(noise.call, OH_STATE_JOINED, 0));
    CHECK_EQ(rec_count(noise.rec, OH_EVENT_ERROR), 0);
    peer_close(&noise);
}

/* ---- in circles ---- */

typedef struct ring {
    unsigned size;
    peer p[3];
    atomic_uint inside;
    atomic_int gave_up;
} ring;

static void free_the_next(recorder *r, oh_call call, const oh_event *event)
{
    ring *ring = r->data;
    unsigned i = 0;
    if (event->kind != OH_EVENT_JOINED) return;
    while (ring->p[i].rec != r) i++;
    /* All callbacks are in progress when the first one frees. */
    atomic_fetch_add(&ring->inside, 1);
    for (double end = now_ms() + ms(10000); atomic_load(&ring->inside) < ring->size; nap(0))
        if (now_ms() > end) FAIL("the callbacks of %u calls do not run at the same time", ring->size);
    oh_call_free(ring->p[(i + 1) % ring->size].call);
    (void)call;
}

static void circles(void)
{
    unsigned total = rounds(50);
    for (unsigned i = 0; i < total; i++) {
        ring ring = { .size = 2 + i % 2 };
        test_step(15, "%u calls free each other, %u", ring.size, i);
        oh_client client = client_for("circle");
        oh_call_options what = OH_INIT(oh_call_options);
        for (unsigned k = 0; k < ring.size; k++) {
            ring.p[k].rec = rec_new();
            ring.p[k].rec->data = &ring;
            ring.p[k].rec->on_event = free_the_next;
        }
        for (unsigned k = 0; k < ring.size; k++) {
            what.call_id = "circle";
            what.handlers = rec_handlers(ring.p[k].rec);
            CHECK_OK(oh_call_join(client, &what, &ring.p[k].call));
        }
        for (unsigned k = 0; k < ring.size; k++) wait_destroyed(ring.p[k].rec, "a circle");
        oh_client_free(client);
        for (unsigned k = 0; k < ring.size; k++) {
            rec_call_freed(ring.p[k].rec);
            CHECK_OH(oh_call_leave(ring.p[k].call, NULL), OH_ERR_HANDLE);
            rec_free(ring.p[k].rec);
        }
    }
}

/* ---- a client freed inside a callback of one of its calls ---- */

static void free_client_inside(recorder *r, oh_call call, const oh_event *event)
{
    oh_client *client = r->data;
    (void)call;
    if (event->kind == OH_EVENT_JOINED) oh_client_free(*client);
}

static void client_of_several(void)
{
    for (unsigned i = 0; i < rounds(20); i++) {
        recorder *r[4];
        oh_call calls[4];
        oh_call_options what = OH_INIT(oh_call_options);
        test_step(15, "a client with four calls is freed inside a callback of one, %u", i);
        oh_client client = client_for("several");
        for (int k = 0; k < 4; k++) {
            r[k] = rec_new();
            if (k == 3) r[k]->data = &client, r[k]->on_event = free_client_inside;
            what.call_id = "several";
            what.handlers = rec_handlers(r[k]);
            CHECK_OK(oh_call_join(client, &what, &calls[k]));
        }
        for (int k = 0; k < 4; k++) {
            wait_destroyed(r[k], "a client of several calls");
            oh_call_free(calls[k]);
        }
        oh_client_free(client);
        for (int k = 0; k < 4; k++) {
            rec_call_freed(r[k]);
            rec_free(r[k]);
        }
    }
}

/* ---- free waits for a callback on another thread ---- */

typedef struct slow {
    atomic_int inside, release, returned;
} slow;

static void stay(recorder *r, oh_call call, const oh_event *event)
{
    slow *s = r->data;
    (void)call;
    if (event->kind != OH_EVENT_JOINED) return;
    atomic_store(&s->inside, 1);
    for (double end = now_ms() + ms(20000); !atomic_load(&s->release); nap(1)) CHECK(now_ms() < end);
    atomic_store(&s->returned, 1);
}

static void *let_go(void *arg)
{
    slow *s = arg;
    nap(100); /* long enough that a free that does not wait is caught */
    atomic_store(&s->release, 1);
    return NULL;
}

static void waits(void)
{
    for (int way = 0; way < 2; way++) {
        slow s = { 0 };
        peer p = { .rec = rec_new() };
        pthread_t thread;
        test_step(15, "%s waits for a callback in progress", way ? "oh_client_free" : "oh_call_free");
        p.rec->data = &s;
        p.rec->on_event = stay;
        peer_open(&p, way ? "waits-2" : "waits-1", "free", NULL);
        for (double end = now_ms() + ms(10000); !atomic_load(&s.inside); nap(1)) CHECK(now_ms() < end);
        double began = now_ms();
        CHECK_OK(oh_call_leave(p.call, NULL)); /* does not wait */
        CHECK_THAT(now_ms() - began < ms(90), "oh_call_leave takes %.0f ms", now_ms() - began);
        CHECK_EQ(pthread_create(&thread, NULL, let_go, &s), 0);
        way ? oh_client_free(p.client) : oh_call_free(p.call);
        CHECK_THAT(atomic_load(&s.returned), "it returned while a callback was running");
        rec_call_freed(p.rec);
        pthread_join(thread, NULL);
        oh_client_free(p.client);
        rec_free(p.rec);
    }
}

/* ---- a call whose join fails, and one that never started ---- */

static void failures(void)
{
    oh_call_options what = OH_INIT(oh_call_options);
    test_step(15, "failed joins");
    recorder *r = rec_new();
    oh_client client = client_for("fails");
    oh_call call = { 0 };
    what.handlers = rec_handlers(r);
    CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT); /* without id */
    what.call_id = "x";
    what.join_retries = 11;
    CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT);
    what.join_retries = OH_ZERO;
    CHECK_OH(oh_call_join((oh_client){ 0 }, &what, &call), OH_ERR_HANDLE);
    CHECK_EQ(call.id, 0);
    CHECK_EQ(r->destroyed, 0); /* user_data stays the caller's */
    ctl("refuse_join", "{\"http_status\":403,\"code\":17,\"message\":\"no\",\"user_id\":\"fails\",\"count\":1}");
    CHECK_OK(oh_call_join(client, &what, &call));
    EXPECT(r, OH_EVENT_ENDED, NULL, ms(5000));
    oh_call_free(call);
    rec_call_freed(r);
    oh_call_free(call);
    oh_client_free(client);
    rec_free(r);
}

int main(void)
{
    test_begin("free_everywhere");
    failures();
    waits();
    circles();
    client_of_several();
    at_once();
    in_callbacks();
    test_step(10, "shutdown");
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    return test_end();
}
