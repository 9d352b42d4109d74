/* recorder.c - see recorder.h. */
#include "recorder.h"
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

recorder *rec_new(void)
{
    recorder *r = calloc(1, sizeof *r);
    pthread_condattr_t clock;
    CHECK(r != NULL);
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &clock);
    pthread_condattr_destroy(&clock);
    return r;
}

/* A hash of the contents (FNV-1a). */
int rec_sum(const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < size; i++) sum = (sum ^ b[i]) * 16777619u;
    return (int)(sum & 0x7fffffff);
}

static void copy(char *to, size_t size, const char *from)
{
    CHECK_THAT(from != NULL, "a text of an event is NULL");
    snprintf(to, size, "%s", from);
}

static void enter(recorder *r)
{
    CHECK_THAT(!atomic_load(&r->freed), "a callback runs after oh_call_free has returned");
    CHECK_THAT(atomic_fetch_add(&r->inside, 1) == 0, "two callbacks of one call run at the same time");
    CHECK_THAT(!r->destroyed, "a callback runs after destroy");
    atomic_fetch_add(&r->callbacks, 1);
}

static void leave(recorder *r)
{
    atomic_fetch_sub(&r->inside, 1);
}

static void keep(rec_event *k, const oh_event *e)
{
    memset(k, 0, sizeof *k);
    k->kind = e->kind;
    k->when = now_ms();
    k->at_ms = e->at_ms;
    k->call = e->call.id;
    switch (e->kind) {
    case OH_EVENT_STATE:
        k->code = e->u.state->state;
        k->cause = e->u.state->previous;
        break;
    case OH_EVENT_JOINED:
        copy(k->session, sizeof k->session, e->u.joined->session_id);
        k->count = e->u.joined->participants;
        break;
    case OH_EVENT_PARTICIPANT_JOINED:
    case OH_EVENT_PARTICIPANT_UPDATED:
    case OH_EVENT_PARTICIPANT_LEFT:
        copy(k->user, sizeof k->user, e->u.participant->user_id);
        copy(k->session, sizeof k->session, e->u.participant->session_id);
        copy(k->text, sizeof k->text, *e->u.participant->custom_json ? e->u.participant->custom_json : e->u.participant->metadata);
        CHECK(e->u.participant->attributes_json != NULL);
        CHECK(e->u.participant->name && e->u.participant->image_url);
        k->level = e->u.participant->audio_level;
        break;
    case OH_EVENT_TRACK_PUBLISHED:
    case OH_EVENT_TRACK_UNPUBLISHED:
        copy(k->user, sizeof k->user, e->u.track->user_id);
        copy(k->session, sizeof k->session, e->u.track->session_id);
        copy(k->text, sizeof k->text, e->u.track->track_id);
        k->code = e->u.track->source;
        k->cause = e->u.track->cause;
        break;
    case OH_EVENT_DOMINANT_SPEAKER:
        copy(k->user, sizeof k->user, e->u.dominant_speaker->user_id);
        copy(k->session, sizeof k->session, e->u.dominant_speaker->session_id);
        break;
    case OH_EVENT_AUDIO_LEVEL:
        copy(k->user, sizeof k->user, e->u.audio_level->user_id);
        copy(k->session, sizeof k->session, e->u.audio_level->session_id);
        k->level = e->u.audio_level->level;
        k->cause = (int)e->u.audio_level->speaking;
        break;
    case OH_EVENT_CONNECTION_QUALITY:
        copy(k->user, sizeof k->user, e->u.connection_quality->user_id);
        k->code = e->u.connection_quality->quality;
        break;
    case OH_EVENT_COUNTS:
        k->count = e->u.counts->participants;
        break;
    case OH_EVENT_PINS:
        k->count = (uint32_t)e->u.pins->pin_count;
        CHECK((e->u.pins->pins != NULL) == (e->u.pins->pin_count > 0));
        if (k->count) copy(k->user, sizeof k->user, e->u.pins->pins[0]->user_id);
        break;
    case OH_EVENT_LOCAL_TRACK_PUBLISHED:
    case OH_EVENT_LOCAL_TRACK_FAILED:
        k->track = e->u.local_track->track.id;
        k->error = e->u.local_track->error;
        k->server_code = e->u.local_track->server_code;
        copy(k->text, sizeof k->text, e->u.local_track->text);
        break;
    case OH_EVENT_ERROR:
        k->error = e->u.error->error;
        k->server_code = e->u.error->server_code;
        copy(k->text, sizeof k->text, e->u.error->text);
        break;
    case OH_EVENT_CUSTOM:
        copy(k->user, sizeof k->user, e->u.custom->user_id);
        copy(k->session, sizeof k->session, e->u.custom->custom_type);
        copy(k->text, sizeof k->text, e->u.custom->data_json);
        break;
    case OH_EVENT_ROOM:
        copy(k->session, sizeof k->session, e->u.room->name);
        copy(k->text, sizeof k->text, e->u.room->metadata);
        break;
    case OH_EVENT_DATA:
        copy(k->user, sizeof k->user, e->u.data->user_id);
        copy(k->session, sizeof k->session, e->u.data->topic);
        CHECK((e->u.data->data != NULL) == (e->u.data->data_size > 0));
        k->count = (uint32_t)e->u.data->data_size;
        k->code = (int)e->u.data->lossy;
        k->cause = rec_sum(e->u.data->data, e->u.data->data_size);
        break;
    case OH_EVENT_TEXT:
        copy(k->user, sizeof k->user, e->u.text->user_id);
        copy(k->session, sizeof k->session, e->u.text->topic);
        copy(k->text, sizeof k->text, e->u.text->text);
        k->count = (uint32_t)strlen(e->u.text->text);
        k->cause = rec_sum(e->u.text->text, k->count);
        break;
    case OH_EVENT_RPC_REQUEST:
        copy(k->user, sizeof k->user, e->u.rpc_request->user_id);
        copy(k->session, sizeof k->session, e->u.rpc_request->method);
        copy(k->text, sizeof k->text, e->u.rpc_request->request_id);
        k->count = e->u.rpc_request->timeout_ms;
        break;
    case OH_EVENT_RPC_RESPONSE:
        k->track = e->u.rpc_response->rpc_id;
        k->code = (int)e->u.rpc_response->error_code;
        copy(k->session, sizeof k->session, e->u.rpc_response->text);
        copy(k->text, sizeof k->text, e->u.rpc_response->payload);
        break;
    case OH_EVENT_SUBSCRIPTION_PERMISSION:
        copy(k->user, sizeof k->user, e->u.subscription_permission->user_id);
        copy(k->text, sizeof k->text, e->u.subscription_permission->track_id);
        k->code = (int)e->u.subscription_permission->allowed;
        break;
    case OH_EVENT_RIGHTS:
        k->code = (e->u.rights->rights & OH_RIGHT_AUDIO) != 0;
        break;
    case OH_EVENT_TEXT_PART:
        copy(k->user, sizeof k->user, e->u.text_part->user_id);
        copy(k->session, sizeof k->session, e->u.text_part->topic);
        copy(k->text, sizeof k->text, e->u.text_part->text_id);
        k->count = (uint32_t)strlen(e->u.text_part->text);
        k->track = e->u.text_part->offset_bytes;
        break;
    case OH_EVENT_LOST:
        k->count = (uint32_t)e->u.lost->total;
        k->cause = (int)e->u.lost->texts;
        break;
    case OH_EVENT_RECONNECTED:
        copy(k->session, sizeof k->session, e->u.reconnected->session_id);
        k->code = e->u.reconnected->kind;
        k->count = e->u.reconnected->attempts;
        break;
    case OH_EVENT_ENDED:
        k->code = e->u.ended->reason;
        k->error = e->u.ended->error;
        k->server_code = e->u.ended->server_code;
        copy(k->text, sizeof k->text, e->u.ended->text);
        break;
    case OH_EVENT_ICE_SERVER:
        k->code = (int)e->u.ice_server->code;
        copy(k->text, sizeof k->text, e->u.ice_server->url);
        break;
    case OH_EVENT_MEDIA:
        k->code = e->u.media->direction;
        k->count = e->u.media->connected;
        copy(k->text, sizeof k->text, e->u.media->text);
        break;
    default:
        break;
    }
}

static void take_audio(recorder *r, const oh_audio_frame *a);

void rec_take(recorder *r, const oh_event *e)
{
    CHECK_EQ(e->size, sizeof *e);
    if (e->kind == OH_EVENT_AUDIO) {
        pthread_mutex_lock(&r->lock);
        CHECK_THAT(!r->ended, "audio arrives after OH_EVENT_ENDED");
        pthread_mutex_unlock(&r->lock);
        take_audio(r, e->u.audio);
        return;
    }
    if (e->kind == OH_EVENT_DATA && r->skip_data) return;
    pthread_mutex_lock(&r->lock);
    CHECK_THAT(!r->ended, "event %s comes after OH_EVENT_ENDED", oh_event_kind_get_name(e->kind));
    if (e->kind == OH_EVENT_ENDED) r->ended++;
    if (e->kind != OH_EVENT_AUDIO_LEVEL || r->levels++ < REC_LEVELS) {
        if (r->count == r->room) {
            r->room = r->room ? r->room * 2 : 64;
            CHECK_THAT(r->room <= 1 << 20, "a flood of events");
            r->events = realloc(r->events, r->room * sizeof *r->events);
            CHECK(r->events != NULL);
        }
        keep(&r->events[r->count++], e);
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static rec_received *find(recorder *r, const char *user)
{
    for (int i = 0; i < r->received_count; i++)
        if (!strcmp(r->received_from[i].user, user)) return &r->received_from[i];
    return NULL;
}

static void take_audio(recorder *r, const oh_audio_frame *a)
{
    CHECK_EQ(a->size, sizeof *a);
    CHECK(a->user_id && a->session_id && a->user_id[0] && a->session_id[0]);
    CHECK_EQ((a->samples_s16 != NULL) + (a->samples_f32 != NULL) + (a->opus_packet != NULL), 1);
    CHECK_THAT(a->level >= 0 && a->level <= 1, "a level of %g", (double)a->level);
    pthread_mutex_lock(&r->lock);
    rec_received *h = find(r, a->user_id);
    double now = now_ms();
    if (!h) {
        CHECK_THAT(r->received_count < REC_RECEIVED, "too many participants for this test");
        h = &r->received_from[r->received_count++];
        memset(h, 0, sizeof *h);
        snprintf(h->user, sizeof h->user, "%s", a->user_id);
        h->first = h->last = now;
        h->rate = a->sample_rate_hz;
        h->channels = a->channels;
        h->format = a->format;
        h->room = a->format == OH_AUDIO_OPUS ? 0 : a->sample_rate_hz / 10;
        h->window = calloc((size_t)h->room * h->channels + 1, sizeof(float));
        h->filling = calloc((size_t)h->room * h->channels + 1, sizeof(float));
        CHECK(h->window && h->filling);
    }
    CHECK_EQ(a->format, h->format);
    CHECK_EQ(a->sample_rate_hz, h->rate);
    CHECK_EQ(a->channels, h->channels);
    h->frames++;
    h->not_silent += !a->silence && !a->concealed;
    if (now - h->last > h->gap) h->gap = now - h->last;
    h->last = now;
    if (a->level > h->level) h->level = a->level;
    if (a->format == OH_AUDIO_OPUS) {
        CHECK(a->opus_packet_size > 0 && a->frames == 0);
    } else {
        CHECK_EQ(a->frames, a->sample_rate_hz / 50);
        for (uint32_t i = 0; i < a->frames; i++) {
            for (uint32_t c = 0; c < a->channels; c++) {
                size_t at = (size_t)i * a->channels + c;
                h->filling[(size_t)h->filled * a->channels + c] =
                    a->format == OH_AUDIO_F32 ? a->samples_f32[at] : a->samples_s16[at] / 32768.0f;
            }
            if (++h->filled == h->room) {
                float *full = h->filling;
                h->filling = h->window;
                h->window = full;
                h->filled = 0;
                h->windows++;
            }
        }
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void on_event(void *user, oh_call call, const oh_event *event)
{
    recorder *r = user;
    enter(r);
    CHECK_EQ(event->call.id, call.id);
    if (r->first) r->first(r, call, event);
    rec_take(r, event);
    if (r->on_event) r->on_event(r, call, event);
    leave(r);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *audio)
{
    recorder *r = user;
    enter(r);
    CHECK_THAT(!rec_has_ended(r), "audio arrives after OH_EVENT_ENDED");
    take_audio(r, audio);
    if (r->on_audio) r->on_audio(r, call, audio);
    leave(r);
}

static void destroy(void *user)
{
    recorder *r = user;
    CHECK_THAT(!atomic_load(&r->freed), "destroy runs after oh_call_free has returned");
    CHECK_THAT(!atomic_load(&r->inside), "destroy runs while a callback runs");
    pthread_mutex_lock(&r->lock);
    CHECK_THAT(r->destroyed == 0, "destroy is called twice");
    r->destroyed++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

const oh_call_handlers *rec_handlers(recorder *r)
{
    r->handlers = (oh_call_handlers){ .size = sizeof r->handlers, .on_event = on_event, .on_audio = on_audio,
                                      .destroy = destroy, .user_data = r };
    return &r->handlers;
}

void rec_call_freed(recorder *r)
{
    pthread_mutex_lock(&r->lock);
    CHECK_THAT(r->destroyed == 1, "destroy was not called before oh_call_free returned");
    pthread_mutex_unlock(&r->lock);
    atomic_store(&r->freed, 1);
}

void rec_free(recorder *r)
{
    if (!r) return;
    for (int i = 0; i < r->received_count; i++) {
        free(r->received_from[i].window);
        free(r->received_from[i].filling);
    }
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    free(r->events);
    free(r);
}

static struct timespec deadline(uint32_t timeout_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

int rec_wait_until(recorder *r, int (*pred)(recorder *r, void *arg), void *arg, uint32_t timeout_ms)
{
    struct timespec end = deadline(timeout_ms);
    int yes, over = 0;
    pthread_mutex_lock(&r->lock);
    while (!(yes = pred(r, arg)) && !over) over = pthread_cond_timedwait(&r->changed, &r->lock, &end) != 0;
    pthread_mutex_unlock(&r->lock);
    return yes;
}

typedef struct wanted {
    int kind;
    const char *user;
    size_t from;
    long found;
    rec_event *out;
} wanted;

static int has_event(recorder *r, void *arg)
{
    wanted *w = arg;
    for (; w->from < r->count; w->from++) {
        rec_event *e = &r->events[w->from];
        if (e->kind == w->kind && (!w->user || !strcmp(e->user, w->user))) {
            if (w->out) *w->out = *e;
            w->found = (long)w->from;
            return 1;
        }
    }
    return 0;
}

long rec_wait(recorder *r, int kind, const char *user, size_t from, uint32_t timeout_ms, rec_event *out)
{
    wanted w = { kind, user, from, -1, out };
    rec_wait_until(r, has_event, &w, timeout_ms);
    return w.found;
}

rec_event rec_expect_at(const char *file, int line, recorder *r, int kind, const char *user, size_t from,
                        uint32_t timeout_ms)
{
    rec_event e = { 0 };
    if (rec_wait(r, kind, user, from, timeout_ms, &e) < 0) {
        char all[700] = "";
        pthread_mutex_lock(&r->lock);
        for (size_t i = r->count > 20 ? r->count - 20 : 0; i < r->count; i++) {
            size_t n = strlen(all);
            snprintf(all + n, sizeof all - n, " %s(%s%s%s)", oh_event_kind_get_name(r->events[i].kind), r->events[i].user,
                     r->events[i].user[0] ? " " : "", r->events[i].text);
        }
        pthread_mutex_unlock(&r->lock);
        test_fail(file, line, "no event %s%s%s within %u ms; the last ones:%s", oh_event_kind_get_name(kind),
                  user ? " of " : "", user ? user : "", timeout_ms, all);
    }
    return e;
}

size_t rec_mark(recorder *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

size_t rec_count(recorder *r, int kind)
{
    size_t count = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count; i++) count += r->events[i].kind == kind;
    if (kind == OH_EVENT_AUDIO_LEVEL) count = r->levels;
    pthread_mutex_unlock(&r->lock);
    return count;
}

int rec_has_ended(recorder *r)
{
    pthread_mutex_lock(&r->lock);
    int ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

static uint64_t frames_of(recorder *r, const char *user)
{
    uint64_t sum = 0;
    for (int i = 0; i < r->received_count; i++)
        if (!user || !strcmp(r->received_from[i].user, user)) sum += r->received_from[i].frames;
    return sum;
}

uint64_t rec_frames(recorder *r, const char *user)
{
    pthread_mutex_lock(&r->lock);
    uint64_t frames = frames_of(r, user);
    pthread_mutex_unlock(&r->lock);
    return frames;
}

typedef struct more {
    const char *user;
    uint64_t frames;
} more;

static int has_more(recorder *r, void *arg)
{
    more *m = arg;
    return frames_of(r, m->user) >= m->frames;
}

int rec_wait_audio(recorder *r, const char *user, unsigned frames, uint32_t timeout_ms)
{
    more m = { user, rec_frames(r, user) + frames };
    return rec_wait_until(r, has_more, &m, timeout_ms);
}

int rec_received_of(recorder *r, const char *user, rec_received *out)
{
    pthread_mutex_lock(&r->lock);
    rec_received *h = find(r, user);
    if (h) *out = *h;
    pthread_mutex_unlock(&r->lock);
    return h != NULL;
}

double tone_share(const float *samples, size_t count, size_t stride, double hz, double rate)
{
    double k = 2 * cos(2 * 3.14159265358979323846 * hz / rate), a = 0, b = 0, energy = 0;
    for (size_t i = 0; i < count; i++) {
        double x = samples[i * stride], next = x + k * a - b;
        b = a;
        a = next;
        energy += x * x;
    }
    /* A level below -50 dB is silence and contains no tone. */
    return energy / (double)count < 1e-5 ? 0 : 2 * (a * a + b * b - k * a * b) / ((double)count * energy);
}

typedef struct tone_wanted {
    const char *user;
    double hz;
    int present;
    uint64_t after;
} tone_wanted;

static int has_tone(recorder *r, void *arg)
{
    tone_wanted *t = arg;
    rec_received *h = find(r, t->user);
    if (!h || h->windows <= t->after) return 0;
    t->after = h->windows;
    int in_all = 1;
    /* A machine too slow for real time breaks up a tone; it is still the largest part of the energy. */
    double enough = test_scale() >= 10 ? 0.3 : 0.8;
    for (uint32_t c = 0; c < h->channels; c++)
        if (tone_share(h->window + c, h->room, h->channels, t->hz, h->rate) < enough) in_all = 0;
    return in_all == t->present;
}

static int wait_tone(recorder *r, const char *user, double hz, int present, uint32_t timeout_ms)
{
    tone_wanted t = { user, hz, present, 0 };
    pthread_mutex_lock(&r->lock);
    rec_received *h = find(r, user);
    if (h) t.after = h->windows; /* windows recorded before this call do not count */
    pthread_mutex_unlock(&r->lock);
    return rec_wait_until(r, has_tone, &t, timeout_ms);
}

int rec_wait_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms)
{
    return wait_tone(r, user, hz, 1, timeout_ms);
}

int rec_wait_no_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms)
{
    rec_received h;
    for (double end = now_ms() + timeout_ms; now_ms() < end;) {
        if (wait_tone(r, user, hz, 0, ms(300))) return 1;
        /* No audio at all is no tone either: a track that has ended sends no silence. */
        if (!rec_received_of(r, user, &h) || now_ms() - h.last > ms(400)) return 1;
    }
    return 0;
}

static pthread_once_t metronome_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t metronome_lock = PTHREAD_MUTEX_INITIALIZER;
static double metronome_stall;

static void *metronome(void *unused)
{
    struct timespec beat = { 0, 5000000 };
    (void)unused;
    for (double last = now_ms();;) {
        nanosleep(&beat, NULL);
        double now = now_ms(), late = now - last - 5;
        pthread_mutex_lock(&metronome_lock);
        if (late > metronome_stall) metronome_stall = late;
        pthread_mutex_unlock(&metronome_lock);
        last = now;
    }
    return NULL;
}

static void metronome_start(void)
{
    pthread_t thread;
    if (!pthread_create(&thread, NULL, metronome, NULL)) pthread_detach(thread);
}

double rec_stall(void)
{
    pthread_mutex_lock(&metronome_lock);
    double stall = metronome_stall;
    pthread_mutex_unlock(&metronome_lock);
    return stall;
}

void rec_gaps_begin(recorder *r)
{
    pthread_once(&metronome_once, metronome_start);
    pthread_mutex_lock(&metronome_lock);
    metronome_stall = 0;
    pthread_mutex_unlock(&metronome_lock);
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < r->received_count; i++) {
        r->received_from[i].gap = 0;
        r->received_from[i].last = now_ms();
    }
    pthread_mutex_unlock(&r->lock);
}

double rec_gap(recorder *r, const char *user)
{
    double gap = -1;
    pthread_mutex_lock(&r->lock);
    rec_received *h = find(r, user);
    if (h) {
        double open = now_ms() - h->last;
        gap = h->gap > open ? h->gap : open;
    }
    pthread_mutex_unlock(&r->lock);
    return gap;
}
