/*
 * soak.h - what the parts of the soak worker share. tools/README.md describes its lines and words.
 *
 * worker.c  words in, lines out, the beat
 * slot.c    one participant's lives: joins, leaves, and what it does in between
 * hear.c    callbacks: what a call says is checked, and sometimes answered from inside
 * gaps.c    how long sound was missing, and how long the machine itself stood still
 */
#ifndef SOAK_H
#define SOAK_H

#include <offhook.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { MOST_SLOTS = 512, MOST_ROOM = 8, FRAME = 960 };

/* What everybody is to do. */
enum phase { PHASE_NONE, PHASE_ALL, PHASE_CHAOS, PHASE_CALM };

/* What one does of itself, besides what is done to it. */
enum role {
    ROLE_QUIET,       /* a room that nothing happens in */
    ROLE_QUIET_GUEST, /* comes and goes in such a room: its partner sees that and nothing else */
    ROLE_STEADY,      /* stays */
    ROLE_BLOCKER,     /* its callbacks block and call the library */
    ROLE_CHURNER,     /* comes and goes in every way there is */
};

struct slot;

/* One stay in a call, from oh_call_join to destroy; user_data of its handlers. */
typedef struct life {
    oh_call_handlers handlers;
    struct slot *slot;
    int number;
    oh_call call;
    uint32_t random;        /* of the callbacks, which run one at a time */
    double began, leave_at, act_at;
    atomic_int state, joined, ended, end_code, destroyed, inside;
    atomic_int closed;      /* oh_call_free has returned: nothing may come any more */
    atomic_int damaged;     /* it has closed a part of itself and can only come anew */
    atomic_int freed;       /* freed inside a callback */
    atomic_int blocked_ms;  /* how long its callbacks slept, together */
    atomic_llong heard_us[MOST_ROOM];
    double real_ms;         /* when the last real frame came; 0: none yet */
} life;

typedef struct slot {
    int index, place;       /* in all, in its room */
    int room, room_size, first;
    enum role role;
    char user[16], call[32];
    uint32_t random;        /* of its manager thread */
    int lives;
    double next_at;
    oh_client client;
    life *life, *grave;     /* of its manager thread */
    pthread_mutex_t lock;   /* guards `seen` */
    life *seen;             /* what the main thread may look at */
    _Atomic uint64_t track; /* what the pacing thread writes to; stale handles are fine */
    atomic_int fresh;
} slot;

extern struct args { const char *url; uint32_t seed; int quiet, storm, verbose, republish; } args;
extern slot slots[MOST_SLOTS];
extern int slot_count;
extern atomic_int phase, armed; /* armed: the quiet rooms have settled, every event there is wrong */

/* worker.c */
double now_ms(void);
void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void wrong(const slot *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t draw(uint32_t *state);                        /* the next of a sequence */
int chance(uint32_t *state, int percent);
double between(uint32_t *state, double least, double most);
void escape(char *out, size_t size, const char *text); /* for a JSON string */

/* slot.c */
void slots_make(void);
void *slot_manager(void *number); /* one of MANAGERS threads */
void *slot_pace(void *unused);
void slot_publish(slot *s, oh_call call);
enum { MANAGERS = 4 };

/* hear.c */
const oh_call_handlers *hear_handlers(life *l);

/* gaps.c */
void gaps_start(void);
void gap_seen(double from_ms, double to_ms); /* an interval between two real frames of one stream */
void gaps_judge(void);                       /* now and then, by one thread */
void gaps_line(void);
double gaps_stall(void);                     /* longest stall since the last call, ms */

#endif
