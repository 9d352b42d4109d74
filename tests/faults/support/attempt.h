/*
 * attempt.h - one complete attempt of a participant, in which any call of the library into the system may fail:
 * join, send audio, leave, free. It works, or it ends with one typed error; nothing else is accepted.
 */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "peer.h"

/* How far an attempt came. */
enum attempt_stage {
    ATTEMPT_NO_CLIENT,  /* oh_client_new failed */
    ATTEMPT_NO_CALL,    /* oh_call_join failed */
    ATTEMPT_NOT_JOINED, /* the join ended with an error */
    ATTEMPT_CUT,        /* joined, and ended before it left */
    ATTEMPT_SILENT,     /* joined; the track could not be published */
    ATTEMPT_COMPLETE,   /* joined, sent audio, left */
    ATTEMPT_STAGES
};

typedef struct attempt {
    int stage;
    int error;      /* an oh_result */
    int end;        /* oh_end_reason, once there was a terminal event; else -1 */
    double ms;      /* from the first call to the last */
    char text[256]; /* the error text */
} attempt;

/* Where to join; NULL: the SFU as the runner names it. */
extern const char *attempt_url;

/* Runs one attempt. Fails the test for an unexpected error, a missing terminal event, a missed deadline. */
attempt attempt_run(const char *user, const char *call_id);

const char *attempt_stage_name(int stage);

#endif
