/*
 * life.h - the whole life of one participant, in which any call of the library into the system may fail:
 * join, talk, leave, free. It works, or it ends with one typed error; nothing else is accepted.
 */
#ifndef LIFE_H
#define LIFE_H

#include "peer.h"

/* How far a life came. */
enum life_stage {
    LIFE_NO_CLIENT,  /* oh_client_new failed */
    LIFE_NO_CALL,    /* oh_call_join failed */
    LIFE_NOT_JOINED, /* the join ended with an error */
    LIFE_CUT,        /* joined, and ended before it left */
    LIFE_SILENT,     /* joined; the track could not be published */
    LIFE_WHOLE,      /* joined, talked, left */
    LIFE_STAGES
};

typedef struct life {
    int stage;
    int error;      /* an oh_result */
    int end;        /* oh_end_reason, once there was a terminal event; else -1 */
    double ms;      /* from the first call to the last */
    char text[256]; /* the error's words */
} life;

/* Where to join; NULL: the SFU as the runner names it. */
extern const char *life_url;

/* Lives it. Fails the test for an error that is none of those expected, a missing terminal event, a deadline. */
life live(const char *user, const char *call_id);

const char *life_name(int stage);

#endif
