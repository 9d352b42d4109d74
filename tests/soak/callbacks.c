/*
 * callbacks.c - the callbacks of the soak. They check what holds for every call: callbacks run one at a time, there
 * is one terminal event and only destroy after it, nothing runs once oh_call_free has returned, all participants
 * belong to the room, and in a quiet room no event occurs that its participants did not cause.
 */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A freed call may send its rest for so long, reconnects included. */
enum { REST_MS = 5000 };

static void enter(session *l, const char *what)
{
    if (l->closed) wrong(l->slot, "%s runs after oh_call_free has returned", what);
    if (l->destroyed) wrong(l->slot, "%s runs after destroy", what);
    if (atomic_fetch_add(&l->inside, 1)) wrong(l->slot, "two callbacks of one call run at the same time");
}

static void leave(session *l)
{
    atomic_fetch_sub(&l->inside, 1);
}

static void sleep_ms(session *l, double ms)
{
    struct timespec t = { (time_t)(ms / 1e3), (long)(ms * 1e6) % 1000000000L };
    atomic_fetch_add(&l->blocked_ms, (int)ms);
    nanosleep(&t, NULL);
}

/* Whether this event is allowed in a quiet room. */
static int expected_in_quiet(const session *l, const oh_event *e)
{
    const slot *s = l->slot;
    const char *about = NULL;
    switch (e->kind) {
    case OH_EVENT_AUDIO_LEVEL:
    case OH_EVENT_DOMINANT_SPEAKER:
    case OH_EVENT_CONNECTION_QUALITY:
        return 1;
    case OH_EVENT_COUNTS: /* sent with every health check */
        return 1;
    case OH_EVENT_PARTICIPANT_JOINED:
    case OH_EVENT_PARTICIPANT_UPDATED:
    case OH_EVENT_PARTICIPANT_LEFT:
        about = e->u.participant->user_id;
        break;
    case OH_EVENT_TRACK_PUBLISHED:
    case OH_EVENT_TRACK_UNPUBLISHED:
        about = e->u.track->user_id;
        break;
    default:
        return 0;
    }
    for (int i = s->first; i < s->first + s->room_size; i++)
        if (slots[i].role == ROLE_QUIET_GUEST && !strcmp(slots[i].user, about)) return 1;
    return 0;
}

/* Calls the library from inside a callback: everything but waiting is allowed, and waiting must be refused. */
static void call_from_callback(session *l, oh_call call)
{
    slot *s = l->slot;
    oh_call_stats stats = { .size = sizeof stats };
    oh_subscriber subscriber;
    oh_publisher publisher;
    oh_track track = { s->track };
    oh_result result;
    switch (draw(&l->random) % 16) {
    case 0: case 1: case 2:
        result = oh_call_get_stats(call, &stats);
        if (result != OH_OK) wrong(s, "stats inside a callback: %s", oh_result_get_name(result));
        break;
    case 3: case 4:
        oh_track_set_muted(track, 1);
        break;
    case 5: case 6: case 7:
        oh_track_set_muted(track, 0);
        break;
    case 8: case 9:
        if (!args.republish) break;
        oh_track_free(track);
        slot_publish(s, call);
        break;
    case 10:
        result = oh_call_wait_state(call, OH_STATE_LEFT, 1000);
        if (result == OH_ERR_TIMEOUT) wrong(s, "oh_call_wait_state inside a callback waited for itself");
        break;
    case 11:
        oh_network_report(OH_NETWORK_ONLINE); /* online, without having been offline: no effect */
        break;
    case 12:
        if (chance(&l->random, 25) && !oh_call_get_subscriber(call, &subscriber)) {
            l->damaged = 1;
            oh_subscriber_close(subscriber);
        }
        break;
    case 13:
        if (chance(&l->random, 25) && !oh_call_get_publisher(call, &publisher)) {
            l->damaged = 1;
            oh_publisher_free(publisher);
        }
        break;
    case 14:
        if (chance(&l->random, 15)) oh_call_leave(call, "from inside");
        break;
    default:
        if (chance(&l->random, 15)) {
            l->freed = 1;
            oh_call_free(call);
        }
    }
}

static void print_event(session *l, const oh_event *e)
{
    const slot *s = l->slot;
    char text[400];
    switch (e->kind) {
    case OH_EVENT_STATE:
        l->state = e->u.state->state;
        line("{\"kind\":\"state\",\"slot\":%d,\"session\":%d,\"state\":\"%s\"}", s->index, l->number,
             oh_call_state_get_name(e->u.state->state));
        break;
    case OH_EVENT_JOINED:
        l->joined = 1;
        break;
    case OH_EVENT_RECONNECTED:
        line("{\"kind\":\"back\",\"slot\":%d,\"how\":%d,\"attempts\":%u,\"ms\":%llu}", s->index,
             e->u.reconnected->kind, e->u.reconnected->attempts, (unsigned long long)e->u.reconnected->elapsed_ms);
        break;
    case OH_EVENT_ERROR:
    case OH_EVENT_LOCAL_TRACK_FAILED: {
        int local = e->kind == OH_EVENT_LOCAL_TRACK_FAILED;
        int32_t error = local ? e->u.local_track->error : e->u.error->error;
        escape(text, sizeof text, local ? e->u.local_track->text : e->u.error->text);
        if (error == OH_ERR_INTERNAL) wrong(s, "an internal error: %s", text);
        line("{\"kind\":\"error\",\"slot\":%d,\"error\":\"%s\",\"text\":\"%s\"}", s->index, oh_result_get_name(error), text);
        break;
    }
    case OH_EVENT_ENDED:
        escape(text, sizeof text, e->u.ended->text);
        l->end_code = e->u.ended->reason;
        if (e->u.ended->reason == OH_END_INTERNAL || e->u.ended->error == OH_ERR_INTERNAL)
            wrong(s, "the call ended by a defect: %s", text);
        if (e->u.ended->reason != OH_END_LEFT && e->u.ended->reason != OH_END_SHUTDOWN && !text[0])
            wrong(s, "the call ended with code %d and no reason", e->u.ended->reason);
        line("{\"kind\":\"ended\",\"slot\":%d,\"session\":%d,\"code\":%d,\"error\":\"%s\",\"reason\":\"%s\"}", s->index,
             l->number, e->u.ended->reason, oh_result_get_name(e->u.ended->error), text);
        break;
    default:
        break;
    }
}

static void on_event(void *user, oh_call call, const oh_event *e)
{
    session *l = user;
    slot *s = l->slot;
    enter(l, "an event");
    if (l->ended) wrong(s, "%s comes after the terminal event", oh_event_kind_get_name(e->kind));
    if (armed && s->role == ROLE_QUIET && !expected_in_quiet(l, e))
        wrong(s, "an unexpected event in a quiet room: %s", oh_event_kind_get_name(e->kind));
    /* A track that was stopped and restarted was silent in between; that is not a gap. */
    if (e->kind == OH_EVENT_TRACK_UNPUBLISHED || e->kind == OH_EVENT_PARTICIPANT_LEFT) l->real_ms = 0;
    print_event(l, e);
    if (e->kind == OH_EVENT_JOINED && s->place % 2) slot_publish(s, call);
    if (e->kind == OH_EVENT_ENDED) {
        if (atomic_fetch_add(&l->ended, 1)) wrong(s, "a second terminal event");
    } else if (s->role == ROLE_BLOCKER && phase == PHASE_CHAOS && e->kind != OH_EVENT_AUDIO_LEVEL) {
        if (chance(&l->random, 12)) sleep_ms(l, between(&l->random, 5, chance(&l->random, 10) ? 3000 : 400));
        if (chance(&l->random, 50)) call_from_callback(l, call);
    }
    leave(l);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    session *l = user;
    slot *s = l->slot;
    double now = now_ms();
    int from = -1;
    enter(l, "audio");
    if (l->ended) wrong(s, "audio arrives after the terminal event");
    for (int i = 0; i < s->room_size; i++)
        if (i != s->place && !strcmp(slots[s->first + i].user, audio->user_id)) from = i;
    if (from < 0 && l->number > 1 && now < l->began + REST_MS && !strcmp(s->user, audio->user_id)) {
        /* The rest of its previous call, which was freed and is still sending. */
    } else if (from < 0) {
        char name[64];
        escape(name, sizeof name, audio->user_id);
        wrong(s, "receives %s, which is not in its room", name);
    } else if (!audio->silence && !audio->concealed) {
        l->received_us[from] = (long long)(now * 1e3);
        if (s->role == ROLE_QUIET && s->room_size == 2 && slots[s->first + from].role == ROLE_QUIET) {
            if (armed && l->real_ms > 0) gap_seen(l->real_ms, now);
            l->real_ms = now;
        }
    }
    if (s->role == ROLE_BLOCKER && phase == PHASE_CHAOS && draw(&l->random) % 500 == 0) {
        sleep_ms(l, between(&l->random, 5, 600));
        if (chance(&l->random, 30)) call_from_callback(l, call);
    }
    leave(l);
}

static void destroy(void *user)
{
    session *l = user;
    if (l->inside) wrong(l->slot, "destroy runs while a callback runs");
    if (atomic_fetch_add(&l->destroyed, 1)) wrong(l->slot, "destroy is called twice");
}

const oh_call_handlers *callback_handlers(session *l)
{
    l->handlers = (oh_call_handlers){ .size = sizeof l->handlers, .on_event = on_event, .on_audio = on_audio,
                                      .destroy = destroy, .user_data = l };
    return &l->handlers;
}
