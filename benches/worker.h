/* worker.h - declarations shared by the parts of the benchmark's worker; see worker.c. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <offhook.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { FRAME = 960, FRAME_MS = 20, TONE_FRAMES = 50, LIMIT_MS = 20000 };

struct args { const char *url, *call, *user, *prefix, *key, *secret; long count, n; int livekit; };
extern struct args args;
extern int16_t tone[TONE_FRAMES][FRAME];

double now_ms(void);
void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what);                            /* with the library's last error, if there is one */
void need(oh_result result, const char *what);
int word(char *out, size_t size, int timeout_ms);      /* 0 on timeout; ends the process when stdin closes */
oh_client client_of(const char *user);
oh_result enter(oh_client client, const char *user, oh_call_options *options, oh_call *call); /* joins, with a token if one is needed */
oh_track publish(oh_call call);
void next_frame(struct timespec *at);
void log_errors(const oh_event *event);

/* worker.c: starts n sessions that publish and receive, two per call. Returns once all receive audio. */
void sessions_start(long n);

/* reconnect.c */
void reconnect(void);
void leaves(void);

/* packets.c */
void packets(void);

#endif
