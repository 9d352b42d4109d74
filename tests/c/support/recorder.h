/*
 * recorder.h - records all events and audio of a call, and lets a test wait for them.
 *
 * A recorder is the user_data of one call's handlers. It checks what holds for every call: callbacks run one at a
 * time, exactly one terminal event is delivered and only destroy follows it, nothing runs after oh_call_free has
 * returned, and destroy runs exactly once.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <offhook.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* The recorded part of an event; which members are set depends on its kind. */
typedef struct rec_event {
    int kind;
    double when;          /* now_ms() */
    uint64_t at_ms;       /* copied from the event */
    uint64_t call;
    int error;            /* local, error, ended */
    int server_code;      /* local, error, ended */
    int code;             /* ended: oh_end_reason; state: the new one; track: the track kind */
    int cause;            /* state: the previous one; track: the cause; level: speaking */
    uint32_t count;       /* joined, counts: total; lost: the number; pins: how many */
    uint64_t track;       /* local */
    float level;
    char user[64], session[64];
    char text[256];       /* local, error: text; ended: reason; participant: custom, or metadata; custom: json (and its
                             type in session); track, subscribable: track id; room: metadata (and its name in session) */
    /* text part: topic in session, id in text, size in count, offset in track; lost: texts in cause. data, text: topic
     * in session, size in count, rec_sum() in cause; data: lossy in code. rpc request: method in session, request id in
     * text; rpc response: call id in track, error code in code and text in session, payload in text. subscribable:
     * allowed in code; grants: audio in code. media: direction in code, connected in count. */
} rec_event;

/* A hash of the contents. */
int rec_sum(const void *bytes, size_t size);

/* One participant whose audio was received. */
typedef struct rec_received {
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
} rec_received;

enum { REC_RECEIVED = 48, REC_LEVELS = 2000 };

typedef struct recorder {
    oh_call_handlers handlers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rec_event *events;
    size_t count, room;
    size_t levels;            /* level events; only the first REC_LEVELS are kept */
    rec_received received_from[REC_RECEIVED];
    int received_count;
    int ended, destroyed;
    atomic_int inside;        /* callbacks running now */
    atomic_int freed;         /* oh_call_free has returned */
    atomic_ulong callbacks;
    /*
     * Called inside the callback, before the event is recorded: its effects are visible to a test that waits for the
     * event.
     */
    void (*first)(struct recorder *r, oh_call call, const oh_event *event);
    /* The same after the event was recorded, without the lock. All three hooks may be NULL. */
    void (*on_event)(struct recorder *r, oh_call call, const oh_event *event);
    void (*on_audio)(struct recorder *r, oh_call call, const oh_audio_frame *audio);
    void *data;               /* for the test */
    int skip_data;            /* OH_EVENT_DATA goes to on_event only: for floods */
} recorder;

recorder *rec_new(void);

/* Handlers that record, for oh_call_options.handlers; valid as long as the recorder. */
const oh_call_handlers *rec_handlers(recorder *r);

/* Call after oh_call_free has returned: from now on a callback fails the test. destroy must have been called. */
void rec_call_freed(recorder *r);

/* Frees the recorder of a call that was freed. */
void rec_free(recorder *r);

/* Records an event directly, for tests in pull mode. */
void rec_take(recorder *r, const oh_event *event);

/* Waits for the first event of a kind (of a user, unless NULL) at or after index `from`. Returns its index, or -1. */
long rec_wait(recorder *r, int kind, const char *user, size_t from, uint32_t timeout_ms, rec_event *out);

/* Waits until pred, called with the lock held, is true. Returns 0 on timeout. */
int rec_wait_until(recorder *r, int (*pred)(recorder *r, void *arg), void *arg, uint32_t timeout_ms);

size_t rec_mark(recorder *r);                    /* the index of the next event */
size_t rec_count(recorder *r, int kind);
int rec_has_ended(recorder *r);

/* Waits for n more frames of a user (NULL: of any). Returns 0 on timeout. */
int rec_wait_audio(recorder *r, const char *user, unsigned frames, uint32_t timeout_ms);
uint64_t rec_frames(recorder *r, const char *user);
int rec_received_of(recorder *r, const char *user, rec_received *out);

/* Waits until a user's tone of that frequency fills a window of 100 ms, on every channel. */
int rec_wait_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms);
/* Waits for a window of a user without the tone, or for a pause in which no audio arrives. */
int rec_wait_no_tone(recorder *r, const char *user, double hz, uint32_t timeout_ms);

void rec_gaps_begin(recorder *r);
/* The longest pause of a user since rec_gaps_begin, the current one included; -1 when no audio was received. */
double rec_gap(recorder *r, const char *user);
/* The longest time since the last rec_gaps_begin, in ms, for which the machine delayed a runnable thread, as
 * measured by a thread that only wakes every 5 ms. A longer gap in a call is caused by the library. */
double rec_stall(void);

/* Share of a frequency in the energy of samples, 0 to 1 (Goertzel). */
double tone_share(const float *samples, size_t count, size_t stride, double hz, double rate);

/* As rec_wait, but fails the test when the event does not arrive. */
rec_event rec_expect_at(const char *file, int line, recorder *r, int kind, const char *user, size_t from,
                        uint32_t timeout_ms);
#define EXPECT(r, kind, user, timeout_ms) rec_expect_at(__FILE__, __LINE__, r, kind, user, 0, timeout_ms)
#define EXPECT_FROM(r, from, kind, user, timeout_ms) rec_expect_at(__FILE__, __LINE__, r, kind, user, from, timeout_ms)

#endif
