/*
 * collect.h - collects all output of the library, to search it for secrets: log lines at the level TRACE, texts of
 * events, oh_get_last_error, standard output and standard error.
 */
#ifndef COLLECT_H
#define COLLECT_H

#include "recorder.h"

#include <stddef.h>

typedef struct secret {
    const char *what, *text;
} secret;

/* From now on, collects the log, standard output and standard error; test_step still writes to the terminal. */
void collect_begin(void);
void collect(const char *text);
void collect_bytes(const void *bytes, size_t size);
/* Collects the texts of an event; for recorder.on_event. */
void collect_event(const oh_event *e);
void collect_last_error(void);
/*
 * Stops collecting. Fails the test when a secret was collected, or when `known`, a text that is not secret, was not.
 */
void collect_search(const secret *secrets, size_t count, const char *known);

#endif
