/* shim.c - see shim.h. The callbacks at the end lead into callbacks.go. */
#include "shim.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* On failure the text is read here, on the same thread. */
static ohgo_result done(oh_result code, uint64_t value)
{
    ohgo_result result = { .code = code, .value = value };
    if (code == OH_OK || code == OH_ERR_FORKED) return result; /* in a forked child no text is stored */
    result.value = 0;
    size_t size = oh_get_last_error(NULL, 0);
    if (size && (result.text = malloc(size + 1))) oh_get_last_error(result.text, size + 1);
    return result;
}

/* Outputs are written on success only: they start as 0. */
#define GIVES(type, call) do { type out = { 0 }; oh_result code = call; return done(code, (uint64_t)out.id); } while (0)
#define GIVES_NUMBER(type, call) do { type out = 0; oh_result code = call; return done(code, (uint64_t)out); } while (0)

#define CLIENT (oh_client){ client }
#define CALL (oh_call){ call }
#define PUBLISHER (oh_publisher){ publisher }
#define SUBSCRIBER (oh_subscriber){ subscriber }
#define TRACK (oh_track){ track }

ohgo_result ohgo_client_new(const oh_client_options *options)
{
    GIVES(oh_client, oh_client_new(options, &out));
}

static void on_event(void *user, oh_call call, const oh_event *event);
static void on_audio(void *user, oh_call call, const oh_audio_frame *frame);
static void on_log(void *user, const oh_log_record *record);
static void on_diagnosis(void *user, const oh_diagnosis *diagnosis);

static void call_destroy(void *user)
{
    ohgoCallDestroyed((uintptr_t)user);
}

static void log_destroy(void *user)
{
    ohgoLogDestroyed((uintptr_t)user);
}

static void diagnosis_destroy(void *user)
{
    ohgoDiagnosisDestroyed((uintptr_t)user);
}

ohgo_result ohgo_diagnose(const oh_diagnose_options *options, const oh_client_options *client, const oh_ice_server *servers,
                          uintptr_t user)
{
    enum { MOST = 32 }; /* more than the library takes: it then says so */
    const oh_ice_server *pointers[MOST];
    oh_diagnose_options copy = *options;
    for (size_t i = 0; i < copy.ice_server_count && i < MOST; i++) pointers[i] = servers + i;
    copy.client = client;
    copy.ice_servers = copy.ice_server_count ? pointers : NULL;
    return done(oh_diagnose(&copy, on_diagnosis, (void *)user, diagnosis_destroy), 0);
}

ohgo_result ohgo_call_join(uint64_t client, const oh_call_options *options, uintptr_t user, int with_audio)
{
    /* Built here, because user is not an address and Go must not treat it as a pointer. */
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    oh_call_options copy = *options;
    if (user) {
        handlers.user_data = (void *)user;
        handlers.on_event = on_event;
        handlers.on_audio = with_audio ? on_audio : NULL;
        handlers.destroy = call_destroy;
        copy.handlers = &handlers;
    }
    GIVES(oh_call, oh_call_join(CLIENT, &copy, &out));
}

ohgo_result ohgo_call_wait_state(uint64_t call, oh_call_state state, uint32_t timeout_ms)
{
    return done(oh_call_wait_state(CALL, state, timeout_ms), 0);
}

ohgo_result ohgo_call_get_state(uint64_t call)
{
    GIVES_NUMBER(oh_call_state, oh_call_get_state(CALL, &out));
}

ohgo_result ohgo_call_get_trace(uint64_t call, char *buf, size_t buf_size)
{
    GIVES_NUMBER(size_t, oh_call_get_trace(CALL, buf, buf_size, &out));
}

ohgo_result ohgo_call_provide_token(uint64_t call, ohgo_text token)
{
    return done(oh_call_provide_token(CALL, token), 0);
}

ohgo_result ohgo_call_send_custom_event(uint64_t call, ohgo_text data_json)
{
    return done(oh_call_send_custom_event(CALL, data_json), 0);
}

ohgo_result ohgo_call_leave(uint64_t call, ohgo_text reason)
{
    return done(oh_call_leave(CALL, reason), 0);
}

ohgo_result ohgo_call_send_data(uint64_t call, const oh_data_options *options, const void *data, size_t data_size)
{
    return done(oh_call_send_data(CALL, options, data, data_size), 0);
}

ohgo_result ohgo_call_send_text(uint64_t call, const oh_data_options *options, ohgo_text text)
{
    return done(oh_call_send_text(CALL, options, text), 0);
}

ohgo_result ohgo_call_perform_rpc(uint64_t call, const oh_rpc_options *options)
{
    GIVES_NUMBER(uint64_t, oh_call_perform_rpc(CALL, options, &out));
}

ohgo_result ohgo_call_answer_rpc(uint64_t call, ohgo_text request_id, ohgo_text payload, uint32_t error_code,
                                 ohgo_text error_text)
{
    return done(oh_call_answer_rpc(CALL, request_id, payload, error_code, error_text), 0);
}

ohgo_result ohgo_call_get_capabilities(uint64_t call)
{
    GIVES_NUMBER(uint64_t, oh_call_get_capabilities(CALL, &out));
}

ohgo_result ohgo_call_set_attributes(uint64_t call, ohgo_text name, ohgo_text metadata, ohgo_text attributes_json)
{
    return done(oh_call_set_attributes(CALL, name, metadata, attributes_json), 0);
}

ohgo_result ohgo_call_get_stats(uint64_t call, oh_call_stats *stats)
{
    stats->size = sizeof *stats;
    return done(oh_call_get_stats(CALL, stats), 0);
}

ohgo_result ohgo_call_get_participants(uint64_t call)
{
    const oh_participants *participants = NULL;
    ohgo_result result = done(oh_call_get_participants(CALL, &participants), 0);
    result.pointer = participants;
    return result;
}

ohgo_result ohgo_call_wait_event(uint64_t call, uint32_t timeout_ms)
{
    const oh_event *event = NULL;
    ohgo_result result = done(oh_call_wait_event(CALL, timeout_ms, &event), 0);
    result.pointer = event;
    return result;
}

ohgo_result ohgo_call_get_wake_fd(uint64_t call)
{
    GIVES_NUMBER(int32_t, oh_call_get_wake_fd(CALL, &out));
}

ohgo_result ohgo_call_get_publisher(uint64_t call)
{
    GIVES(oh_publisher, oh_call_get_publisher(CALL, &out));
}

ohgo_result ohgo_publisher_close(uint64_t publisher)
{
    return done(oh_publisher_close(PUBLISHER), 0);
}

ohgo_result ohgo_call_get_subscriber(uint64_t call)
{
    GIVES(oh_subscriber, oh_call_get_subscriber(CALL, &out));
}

ohgo_result ohgo_subscriber_set_track(uint64_t subscriber, ohgo_text track_id, const oh_remote_track_options *options)
{
    return done(oh_subscriber_set_track(SUBSCRIBER, track_id, options), 0);
}

ohgo_result ohgo_subscriber_get_track_stats(uint64_t subscriber, ohgo_text session_id, ohgo_text track_id, oh_track_source source,
                                            oh_remote_track_stats *stats)
{
    stats->size = sizeof *stats;
    return done(oh_subscriber_get_track_stats(SUBSCRIBER, session_id, track_id, source, stats), 0);
}

ohgo_result ohgo_subscriber_close(uint64_t subscriber)
{
    return done(oh_subscriber_close(SUBSCRIBER), 0);
}

ohgo_result ohgo_call_publish_audio(uint64_t call, const oh_audio_track_options *options)
{
    GIVES(oh_track, oh_call_publish_audio(CALL, options, &out));
}

ohgo_result ohgo_track_write_s16(uint64_t track, const int16_t *samples, size_t frames)
{
    return done(oh_track_write_s16(TRACK, samples, frames), 0);
}

ohgo_result ohgo_track_write_f32(uint64_t track, const float *samples, size_t frames)
{
    return done(oh_track_write_f32(TRACK, samples, frames), 0);
}

ohgo_result ohgo_track_write_opus(uint64_t track, const uint8_t *packet, size_t packet_size)
{
    return done(oh_track_write_opus(TRACK, packet, packet_size), 0);
}

ohgo_result ohgo_track_wait_writable(uint64_t track, size_t frames, uint32_t timeout_ms)
{
    return done(oh_track_wait_writable(TRACK, frames, timeout_ms), 0);
}

ohgo_result ohgo_track_get_buffered_ms(uint64_t track)
{
    GIVES_NUMBER(uint32_t, oh_track_get_buffered_ms(TRACK, &out));
}

ohgo_result ohgo_track_wait_drained(uint64_t track, uint32_t timeout_ms)
{
    return done(oh_track_wait_drained(TRACK, timeout_ms), 0);
}

ohgo_result ohgo_track_clear(uint64_t track, uint64_t *sent_ms, uint64_t *dropped_ms)
{
    return done(oh_track_clear(TRACK, sent_ms, dropped_ms), 0);
}

ohgo_result ohgo_track_get_stats(uint64_t track, oh_track_stats *stats)
{
    stats->size = sizeof *stats;
    return done(oh_track_get_stats(TRACK, stats), 0);
}

ohgo_result ohgo_track_set_muted(uint64_t track, oh_bool muted)
{
    return done(oh_track_set_muted(TRACK, muted), 0);
}

ohgo_result ohgo_access_token_create(const oh_access_token_options *options, char *buf, size_t buf_size, size_t *length)
{
    return done(oh_access_token_create(options, buf, buf_size, length), 0);
}

ohgo_result ohgo_log_set(oh_log_level level, uintptr_t user)
{
    return done(oh_log_set(level, user ? on_log : NULL, (void *)user, user ? log_destroy : NULL), 0);
}

ohgo_result ohgo_limits_set(const oh_limits *limits)
{
    return done(oh_limits_set(limits), 0);
}

ohgo_result ohgo_network_report(oh_network_change change)
{
    return done(oh_network_report(change), 0);
}

ohgo_result ohgo_shutdown_wait(uint32_t timeout_ms)
{
    return done(oh_shutdown_wait(timeout_ms), 0);
}

void ohgo_client_free(uint64_t client) { oh_client_free(CLIENT); }
void ohgo_call_free(uint64_t call) { oh_call_free(CALL); }
void ohgo_publisher_free(uint64_t publisher) { oh_publisher_free(PUBLISHER); }
void ohgo_subscriber_free(uint64_t subscriber) { oh_subscriber_free(SUBSCRIBER); }
void ohgo_track_free(uint64_t track) { oh_track_free(TRACK); }

/* ---- callbacks: on threads of the library, into Go ---- */

static void on_log(void *user, const oh_log_record *record)
{
    ohgoLog((uintptr_t)user, (oh_log_record *)record);
}

static void on_diagnosis(void *user, const oh_diagnosis *diagnosis)
{
    ohgoDiagnosis((uintptr_t)user, (oh_diagnosis *)diagnosis);
}

#ifndef OHGO_BENCH

static void on_event(void *user, oh_call call, const oh_event *event)
{
    ohgoEvent((uintptr_t)user, call.id, (oh_event *)event);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *frame)
{
    ohgoAudio((uintptr_t)user, call.id, (oh_audio_frame *)frame);
}

#else /* the same, measured */

#include <stdatomic.h>
#include <time.h>

enum { ROOM = 1 << 20 };
static struct { uint32_t entry, whole; } samples[OHGO_KINDS][ROOM];
static _Atomic uint64_t count[OHGO_KINDS];
static __thread uint64_t marked;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void ohgo_bench_mark(void) { marked = now_ns(); }

static void keep(int kind, uint64_t began)
{
    uint64_t ended = now_ns();
    if (!marked) return; /* no handler of the application ran */
    uint64_t index = atomic_fetch_add(&count[kind], 1);
    if (index >= ROOM) return;
    samples[kind][index].entry = (uint32_t)(marked - began);
    samples[kind][index].whole = (uint32_t)(ended - began);
}

static void on_event(void *user, oh_call call, const oh_event *event)
{
    uint64_t began = now_ns();
    marked = 0;
    ohgoEvent((uintptr_t)user, call.id, (oh_event *)event);
    keep(OHGO_EVENT, began);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *frame)
{
    uint64_t began = now_ns();
    marked = 0;
    ohgoAudio((uintptr_t)user, call.id, (oh_audio_frame *)frame);
    keep(OHGO_FRAME, began);
}

void ohgo_bench_reset(void) { atomic_store(&count[OHGO_FRAME], 0); }

uint64_t ohgo_bench_count(int kind)
{
    uint64_t n = atomic_load(&count[kind]);
    return n < ROOM ? n : ROOM;
}

uint32_t ohgo_bench_entry(int kind, uint64_t index) { return samples[kind][index].entry; }
uint32_t ohgo_bench_whole(int kind, uint64_t index) { return samples[kind][index].whole; }

#endif
