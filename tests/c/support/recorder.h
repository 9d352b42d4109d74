/*
 * recorder.h - hears everything a call says, and lets a test wait for it.
 *
 * A recorder is the user_data of one call's handlers. It checks by itself what holds for every call:
 * callbacks one at a time, exactly one terminal event and nothing but destroy after it, nothing at all
 * after oh_call_free has returned, destroy exactly once.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <offhook.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* What is kept of an event; which members hold depends on its kind. */
typedef struct rec_event {
    int kind;
    double when;          /* now_ms() */
    uint64_t at_ms;       /* as the event says */
    uint64_t call;
    int error;            /* local, error, ended */
    int server_code;      /* local, error, ended */
    int code;             /* ended: oh_end_reason; state: the new one; track: the track kind */
    int cause;            /* state: the former one; track: the cause; level: speaking */
    uint32_t count;       /* joined, counts: total; lost: the number; pins: how many */
    uint64_t track;       /* local */
    float level;
    char user[64], session[64];
    char text[256];       /* local, error: text; ended: reason; participant: custom, or metadata; custom: json (and its
                             type in session); track, subscribable: track id; room: metadata (and its name in session) */
    /* text part: topic in session, id in text, size in count, offset in track; lost: texts in cause. data, text: topic in session, size in count, rec_sum() in cause; data: lossy in code. rpc request: method in
     * session, request id in text; rpc response: call id in track, error code in code and text in session, payload in
     * text. subscribable: allowed in code; grants: audio in code. media: direction in code, connected in count. */
} rec_event;

/* A number that different contents hardly share. */
int rec_sum(const void *bytes, size_t size);

/* One participant that is heard. */
typedef struct rec_heard {
    char user[64];
    uint64_t frames;      /* frames of 20 ms, or packets */
    uint64_t not_silent;  /* of these, neither silence nor concealed */
    double first, last;   /* now_ms() */
    double gap;           /* longest pause between two frames since rec_gaps_begin, ms */
    float level;          /* of the loudest frame: the last one may be a pause on a slow machine */
    uint32_t rate, channels;
    int format;
    float *window;        /* the last full 100 ms, per channel */
    float *filling;
    uint32_t room, filled;
    uint64_t windows;
} rec_heard;

enum { REC_HEARD = 48, REC_LEVELS = 2000 };

typedef struct recorder {
    oh_call_handlers handlers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rec_event *events;
    size_t count, room;
    size_t levels;            /* level events, of which only the first are kept */
    rec_heard heard[REC_HEARD];
    int heard_count;
    int ended, destroyed;
    atomic_int inside;        /* callbacks running now */
    atomic_int freed;         /* oh_call_free has returned */
    atomic_ulong callbacks;
    /* Called inside the callback, before the event is recorded: who waits for the event sees what this has done. */
    void (*first)(struct recorder *r, oh_call call, const oh_event *event);
    /* The same after it was recorded, without the lock; both may be NULL. */
    void (*on_event)(struct recorder *r, oh_call call, const oh_event *event);
    void (*on_audio)(struct recorder *r, oh_call call, const oh_audio_frame *audio);
    void *data;               /* the test's own */
    int skip_data;            /* OH_EVENT_DATA goes to on_event only: for floods */
} recorder;

recorder *rec_new(void);

/* Handlers that record, for oh_call_options.handlers; valid as long as the recorder. */
const oh_call_handlers *rec_handlers(recorder *r);

/* Says that oh_call_free has returned: from now on a callback fails the test. destroy must have been called. */
void rec_call_freed(recorder *r);

/* Frees the recorder of a call that was freed. */
void rec_free(recorder *r);

/* Records an event by hand, for tests in pull mode. */
void rec_take(recorder *r, const oh_event *event);

/* Waits for the first event of a kind (of a user, unless NULL) at or after index `from`; its index, or -1. */
long rec_wait(recorder *r, int kind, const char *user, size_t from, uint32_t timeout_ms, rec_event *out);

/* Waits until pred says so; it is asked under the lock. 0 when the time is up. */
int rec_wait_until(recorder *r, int (*pred)(recorder *r, void *arg), void *arg, uint32_t timeout_ms);

size_t rec_mark(recorder *r);                    /* the index of the next event */
size_t rec_count(recorder *r, int kind);
int rec_has_ended(recorder *r);

/* Waits until n more frames of a user (NULL: of anyone) have come. 0 when the time is up. */
int rec_wait_audio(recorder *r, const char *user, unsigned frames, uint32_t timeout_ms);
uint64_t rec_frames(recorder *r, const char *user);
int rec_heard_of(recorder *r, const char *user, rec_heard *out);

/* Waits until a user's tone of that frequency fills a window of 100 ms, on every channel. */
int rec_wait_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms);
/* Waits for a window of a user in which the tone is not, or for a pause in which nothing comes. */
int rec_wait_no_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms);

void rec_gaps_begin(recorder *r);
/* The longest pause of a user since rec_gaps_begin, the present one included; -1 when never heard. */
double rec_gap(recorder *r, const char *user);
/* How long the machine itself kept a thread that was due from running, at most, since the last
 * rec_gaps_begin, in ms: a thread that does nothing but wake every 5 ms tells. What a call suffers
 * beyond that is the library's doing. */
double rec_stall(void);

/* Share of a frequency in the energy of samples, 0 to 1 (Goertzel). */
double tone_share(const float *samples, size_t count, size_t stride, double hz, double rate);

/* As rec_wait, but failing the test when it does not come. */
rec_event rec_expect_at(const char *file, int line, recorder *r, int kind, const char *user, size_t from,
                        uint32_t timeout_ms);
#define EXPECT(r, kind, user, timeout_ms) rec_expect_at(__FILE__, __LINE__, r, kind, user, 0, timeout_ms)
#define EXPECT_FROM(r, from, kind, user, timeout_ms) rec_expect_at(__FILE__, __LINE__, r, kind, user, from, timeout_ms)

#endif
