/*
 * peer.h - a participant for tests: client, call, recorder and optionally a tone; and other helpers: threads,
 * process counters.
 */
#ifndef PEER_H
#define PEER_H

#include "check.h"
#include "ctl.h"
#include "recorder.h"

typedef struct tone tone;

typedef struct peer {
    char user[64];
    recorder *rec;
    oh_client client;
    oh_call call;
    oh_track mic;
    tone *tone;
} peer;

/* A client of the SFU with the token "development"; of a LiveKit server without a token, which is set per call. */
oh_client client_for(const char *user);

/* Starts a join; options NULL: the defaults. call_id and handlers are set here. */
void peer_open(peer *p, const char *user, const char *call_id, const oh_call_options *options);
/* As peer_open, and waits until the call is joined. */
void peer_join(peer *p, const char *user, const char *call_id, const oh_call_options *options);
/* Publishes a mono s16 tone at 48 kHz. */
void peer_publish_tone(peer *p, double hz);
/* Leaves, waits for the end, frees everything; checks ENDED and destroy. Does nothing when already closed. */
void peer_close(peer *p);
oh_call_stats peer_stats(peer *p);

/* Writes a tone of amplitude 0.3 to a track, from a separate thread, until tone_stop or the track's end. */
tone *tone_start(oh_track track, int format, uint32_t rate, uint32_t channels, double hz);
void tone_stop(tone *t);

/* Runs fn(arg, 0..n-1) on n threads at once and waits for all of them. */
void on_threads(unsigned n, void (*fn)(void *arg, unsigned index), void *arg);

int count_fds(void);
int count_threads(void);
/* The threads' names, for messages; static text. */
const char *thread_names(void);
/* Anonymous memory in use, KiB. */
long anonymous_kb(void);
/* Waits until a count is at most `most`; returns the last count. */
int settle(int (*count)(void), int most, uint32_t timeout_ms);

/* Opens a listening TCP socket on 127.0.0.1 that never accepts; returns its descriptor and port. */
int silent_server(int *port);

#endif
