/*
 * cbench.h - interposes oh_call_join and malloc between library and binding to measure: the time from the entry of a
 * C callback to the entry of the handler in Swift, and until the callback returns; and the allocations on that
 * thread in between.
 */
#ifndef CBENCH_H
#define CBENCH_H

#include <stdint.h>

typedef struct cb_sample {
    uint32_t enter_ns;    /* until the handler; 0: the handler did not run */
    uint32_t return_ns;   /* until the callback returns */
    uint32_t allocations; /* until the callback returns */
} cb_sample;

/* Call it first in the handler. */
void cb_entered(void);
/* From now on samples are recorded, until the buffer is full or this is called with 0. */
void cb_measure(int on);
/* The samples of audio frames (audio != 0) or events; *count of them. */
const cb_sample *cb_samples(int audio, uint64_t *count);

#endif
