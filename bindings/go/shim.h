/*
 * shim.h - the functions of offhook.h for Go: each returns its result together with the text of its failure.
 * oh_get_last_error() is per thread, and a goroutine can be on another thread when it calls that.
 */
#ifndef OHGO_SHIM_H
#define OHGO_SHIM_H

#include <offhook.h>

/* A result: the code, on failure its text (malloc'ed; Go frees it), and the output of the function. */
typedef struct ohgo_result {
    oh_result code;
    char *text;
    uint64_t value;      /* a handle's id, a state, a number */
    const void *pointer; /* an event, a snapshot */
} ohgo_result;

typedef const char *ohgo_text;

ohgo_result ohgo_client_new(const oh_client_options *options);

/* user: the number of a cgo.Handle; 0: pull mode. with_audio: audio is delivered as well. */
ohgo_result ohgo_call_join(uint64_t client, const oh_call_options *options, uintptr_t user, int with_audio);
ohgo_result ohgo_call_wait_state(uint64_t call, oh_call_state state, uint32_t timeout_ms);
ohgo_result ohgo_call_get_state(uint64_t call);
ohgo_result ohgo_call_get_trace(uint64_t call, char *buf, size_t buf_size);
ohgo_result ohgo_call_provide_token(uint64_t call, ohgo_text token);
ohgo_result ohgo_call_send_custom_event(uint64_t call, ohgo_text data_json);
ohgo_result ohgo_call_leave(uint64_t call, ohgo_text reason);
ohgo_result ohgo_call_send_data(uint64_t call, const oh_data_options *options, const void *data, size_t data_size);
ohgo_result ohgo_call_send_text(uint64_t call, const oh_data_options *options, ohgo_text text);
ohgo_result ohgo_call_perform_rpc(uint64_t call, const oh_rpc_options *options);
ohgo_result ohgo_call_answer_rpc(uint64_t call, ohgo_text request_id, ohgo_text payload, uint32_t error_code,
                                 ohgo_text error_text);
ohgo_result ohgo_call_get_capabilities(uint64_t call);
ohgo_result ohgo_call_set_attributes(uint64_t call, ohgo_text name, ohgo_text metadata, ohgo_text attributes_json);
ohgo_result ohgo_call_get_stats(uint64_t call, oh_call_stats *stats);
ohgo_result ohgo_call_get_participants(uint64_t call);
ohgo_result ohgo_call_wait_event(uint64_t call, uint32_t timeout_ms);
ohgo_result ohgo_call_get_wake_fd(uint64_t call);

ohgo_result ohgo_call_get_publisher(uint64_t call);
ohgo_result ohgo_publisher_close(uint64_t publisher);
ohgo_result ohgo_call_get_subscriber(uint64_t call);
ohgo_result ohgo_subscriber_set_track(uint64_t subscriber, ohgo_text track_id, const oh_remote_track_options *options);
ohgo_result ohgo_subscriber_get_track_stats(uint64_t subscriber, ohgo_text session_id, ohgo_text track_id, oh_track_source source,
                                            oh_remote_track_stats *stats);
ohgo_result ohgo_subscriber_close(uint64_t subscriber);

ohgo_result ohgo_call_publish_audio(uint64_t call, const oh_audio_track_options *options);
ohgo_result ohgo_track_write_s16(uint64_t track, const int16_t *samples, size_t frames);
ohgo_result ohgo_track_write_f32(uint64_t track, const float *samples, size_t frames);
ohgo_result ohgo_track_write_opus(uint64_t track, const uint8_t *packet, size_t packet_size);
ohgo_result ohgo_track_wait_writable(uint64_t track, size_t frames, uint32_t timeout_ms);
ohgo_result ohgo_track_get_buffered_ms(uint64_t track);
ohgo_result ohgo_track_wait_drained(uint64_t track, uint32_t timeout_ms);
ohgo_result ohgo_track_clear(uint64_t track, uint64_t *sent_ms, uint64_t *dropped_ms);
ohgo_result ohgo_track_get_stats(uint64_t track, oh_track_stats *stats);
ohgo_result ohgo_track_set_muted(uint64_t track, oh_bool muted);

ohgo_result ohgo_access_token_create(const oh_access_token_options *options, char *buf, size_t buf_size, size_t *length);
/* user: the number of a cgo.Handle; client and servers are set here, so that no Go memory holds a Go pointer. */
ohgo_result ohgo_diagnose(const oh_diagnose_options *options, const oh_client_options *client, const oh_ice_server *servers,
                          uintptr_t user);
ohgo_result ohgo_log_set(oh_log_level level, uintptr_t user); /* user 0: no handler */
ohgo_result ohgo_limits_set(const oh_limits *limits);
ohgo_result ohgo_network_report(oh_network_change change);
ohgo_result ohgo_shutdown_wait(uint32_t timeout_ms);

void ohgo_client_free(uint64_t client);
void ohgo_call_free(uint64_t call);
void ohgo_publisher_free(uint64_t publisher);
void ohgo_subscriber_free(uint64_t subscriber);
void ohgo_track_free(uint64_t track);

#ifdef OHGO_BENCH
/* Only for the benchmark (build tag offhook_bench): the monotonic clock at the callbacks of this thread. */
enum { OHGO_EVENT, OHGO_FRAME, OHGO_KINDS };
void ohgo_bench_mark(void);            /* the user's handler begins */
void ohgo_bench_reset(void);
uint64_t ohgo_bench_count(int kind);
uint32_t ohgo_bench_entry(int kind, uint64_t index); /* ns from the callback's entry to the mark */
uint32_t ohgo_bench_whole(int kind, uint64_t index); /* ns from the callback's entry to its return */
#endif

#endif
