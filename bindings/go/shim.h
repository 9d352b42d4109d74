/*
 * shim.h - what lies between Go and offhook.h: each function once more, returning its result together with the text of
 * its failure. oh_last_error() is per thread, and a goroutine may be on another thread by the time it would ask.
 */
#ifndef OHGO_SHIM_H
#define OHGO_SHIM_H

#include <offhook.h>

/* One result for all: the code, on failure its text (malloc'ed; Go frees it), and what the function gave. */
typedef struct ohgo_result {
    oh_result code;
    char *text;
    uint64_t value;      /* a handle's id, a state, a number */
    const void *pointer; /* an event */
} ohgo_result;

typedef const char *ohgo_text;

/* The defaults, of the size that the header has: a newer library's own _init would write more. */
void ohgo_client_options(oh_client_options *options);
void ohgo_call_options(oh_call_options *options);
void ohgo_audio_track_options(oh_audio_track_options *options);
void ohgo_data_options(oh_data_options *options);
void ohgo_rpc_options(oh_rpc_options *options);
void ohgo_remote_track_options(oh_remote_track_options *options);
void ohgo_access_token_options(oh_access_token_options *options);
void ohgo_limits(oh_limits *options);

ohgo_result ohgo_client_new(const oh_client_options *options);

/* user: the number of a cgo.Handle; 0: pull mode. with_audio: sound is wanted as well. */
ohgo_result ohgo_call_join(uint64_t client, const oh_call_options *options, uintptr_t user, int with_audio);
ohgo_result ohgo_call_wait(uint64_t call, int32_t state, uint32_t timeout_ms);
ohgo_result ohgo_call_state(uint64_t call);
ohgo_result ohgo_call_trace(uint64_t call, char *buf, size_t len);
ohgo_result ohgo_call_provide_token(uint64_t call, ohgo_text token);
ohgo_result ohgo_call_send_custom(uint64_t call, ohgo_text json);
ohgo_result ohgo_call_leave(uint64_t call, ohgo_text reason);
ohgo_result ohgo_call_send_data(uint64_t call, const oh_data_options *options, const void *data, size_t size);
ohgo_result ohgo_call_send_text(uint64_t call, const oh_data_options *options, ohgo_text text);
ohgo_result ohgo_call_rpc(uint64_t call, const oh_rpc_options *options);
ohgo_result ohgo_call_rpc_answer(uint64_t call, ohgo_text request_id, ohgo_text payload, uint32_t error_code,
                                 ohgo_text error_text);
ohgo_result ohgo_call_capabilities(uint64_t call);
ohgo_result ohgo_call_set_attributes(uint64_t call, ohgo_text name, ohgo_text metadata, ohgo_text attributes_json);
ohgo_result ohgo_call_get_stats(uint64_t call, oh_call_stats *stats);
ohgo_result ohgo_call_next_event(uint64_t call, uint32_t timeout_ms);
ohgo_result ohgo_call_wake_fd(uint64_t call);

ohgo_result ohgo_call_publisher(uint64_t call);
ohgo_result ohgo_publisher_close(uint64_t publisher);
ohgo_result ohgo_call_subscriber(uint64_t call);
ohgo_result ohgo_subscriber_set_track(uint64_t subscriber, ohgo_text track_id, const oh_remote_track_options *options);
ohgo_result ohgo_subscriber_close(uint64_t subscriber);

ohgo_result ohgo_call_publish_audio(uint64_t call, const oh_audio_track_options *options);
ohgo_result ohgo_track_write_s16(uint64_t track, const int16_t *samples, uint32_t frames);
ohgo_result ohgo_track_write_f32(uint64_t track, const float *samples, uint32_t frames);
ohgo_result ohgo_track_write_opus(uint64_t track, const uint8_t *packet, uint32_t size);
ohgo_result ohgo_track_wait(uint64_t track, uint32_t frames, uint32_t timeout_ms);
ohgo_result ohgo_track_buffered_ms(uint64_t track);
ohgo_result ohgo_track_drain(uint64_t track, uint32_t timeout_ms);
ohgo_result ohgo_track_clear(uint64_t track, uint64_t *sent_ms, uint32_t *dropped_ms);
ohgo_result ohgo_track_set_muted(uint64_t track, int32_t muted);

ohgo_result ohgo_access_token(const oh_access_token_options *options, char *buf, size_t len);
ohgo_result ohgo_log_set(int32_t level, uintptr_t user); /* user 0: no handler */
ohgo_result ohgo_limits_set(const oh_limits *limits);
ohgo_result ohgo_network_changed(int32_t what);
ohgo_result ohgo_shutdown_wait(uint32_t timeout_ms);

void ohgo_client_free(uint64_t client);
void ohgo_call_free(uint64_t call);
void ohgo_publisher_free(uint64_t publisher);
void ohgo_subscriber_free(uint64_t subscriber);
void ohgo_track_free(uint64_t track);

#ifdef OHGO_BENCH
/* For the benchmark alone (build tag offhook_bench): the monotonic clock at the callbacks of this thread. */
enum { OHGO_EVENT, OHGO_FRAME, OHGO_KINDS };
void ohgo_bench_mark(void);            /* the user's handler begins */
void ohgo_bench_reset(void);
uint64_t ohgo_bench_count(int kind);
uint32_t ohgo_bench_entry(int kind, uint64_t index); /* ns from the callback's entry to the mark */
uint32_t ohgo_bench_whole(int kind, uint64_t index); /* ns from the callback's entry to its return */
#endif

#endif
