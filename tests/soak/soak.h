/*
 * soak.h - declarations shared by the parts of the soak worker. tools/README.md describes its output and commands.
 *
 * worker.c     commands, output lines, the periodic status
 * slot.c       one participant's consecutive calls: joins, leaves, and actions in between
 * callbacks.c  callbacks: check the events and audio of a call, and sometimes call the library from inside
 * gaps.c       gaps in received audio, and stalls of the machine
 */
#ifndef SOAK_H
#define SOAK_H

#include <offhook.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { MOST_SLOTS = 512, MOST_ROOM = 8, FRAME = 960 };

/* The phase, for all participants. */
enum phase { PHASE_NONE, PHASE_ALL, PHASE_CHAOS, PHASE_CALM };

/* What a participant does by itself, apart from the faults of the driver. */
enum role {
    ROLE_QUIET,       /* in a room without any faults */
    ROLE_QUIET_GUEST, /* joins and leaves such a room: its partner gets these events and no others */
    ROLE_STEADY,      /* stays joined */
    ROLE_BLOCKER,     /* its callbacks block and call the library */
    ROLE_CHURNER,     /* joins and leaves in every possible way */
};

struct slot;

/* One call, from oh_call_join to destroy; user_data of its handlers. */
typedef struct session {
    oh_call_handlers handlers;
    struct slot *slot;
    int number;
    oh_call call;
    uint32_t random;        /* of the callbacks, which run one at a time */
    double began, leave_at, act_at;
    atomic_int state, joined, ended, end_code, destroyed, inside;
    atomic_int closed;      /* oh_call_free has returned: no callback may run any more */
    atomic_int damaged;     /* it has closed its publisher or subscriber, and must join again */
    atomic_int freed;       /* freed inside a callback */
    atomic_int blocked_ms;  /* total time that its callbacks slept */
    atomic_llong received_us[MOST_ROOM];
    double real_ms;         /* time of the last real frame; 0: none yet */
} session;

typedef struct slot {
    int index, place;       /* index in all slots, and in its room */
    int room, room_size, first;
    enum role role;
    char user[16], call[32];
    uint32_t random;        /* of its manager thread */
    int joins;
    double next_at;
    oh_client client;
    session *session, *grave; /* of its manager thread */
    pthread_mutex_t lock;   /* guards `seen` */
    session *seen;          /* for the main thread */
    _Atomic uint64_t track; /* the track that the pacing thread writes to; may be stale */
    atomic_int fresh;
} slot;

extern struct args { const char *url; uint32_t seed; int quiet, storm, verbose, republish; } args;
extern slot slots[MOST_SLOTS];
extern int slot_count;
extern atomic_int phase, armed; /* armed: the quiet rooms have settled, any event there is an error */

/* worker.c */
double now_ms(void);
void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void wrong(const slot *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t draw(uint32_t *state);                        /* the next number of a sequence */
int chance(uint32_t *state, int percent);
double between(uint32_t *state, double least, double most);
void escape(char *out, size_t size, const char *text); /* for a JSON string */

/* slot.c */
void slots_make(void);
void *slot_manager(void *number); /* one of MANAGERS threads */
void *slot_pace(void *unused);
void slot_publish(slot *s, oh_call call);
enum { MANAGERS = 4 };

/* callbacks.c */
const oh_call_handlers *callback_handlers(session *l);

/* gaps.c */
void gaps_start(void);
void gap_seen(double from_ms, double to_ms); /* an interval between two real frames of one stream */
void gaps_judge(void);                       /* called periodically, by one thread */
void gaps_line(void);
double gaps_stall(void);                     /* longest stall since the last call, ms */

#endif
