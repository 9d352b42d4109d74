/*
 * collect.h - everything that the library puts out, kept to be searched for secrets: log lines at the level TRACE,
 * texts of events, oh_get_last_error, standard output and standard error.
 */
#ifndef COLLECT_H
#define COLLECT_H

#include "recorder.h"

#include <stddef.h>

typedef struct secret {
    const char *what, *text;
} secret;

/* From now on the log and what goes to standard output and error are kept; test_step still reaches the terminal. */
void collect_begin(void);
void collect(const char *text);
void collect_bytes(const void *bytes, size_t size);
/* The texts of an event; for recorder.on_event. */
void collect_event(const oh_event *e);
void collect_last_error(void);
/* Ends it and fails the test when a secret was put out, or when `known`, which is none, was not (nothing was kept). */
void collect_search(const secret *secrets, size_t count, const char *known);

#endif
