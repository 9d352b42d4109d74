/*
 * beside.h - two talkers in a room of their own, who must not notice what is done to other calls of the process;
 * and what tests of faults ask again and again.
 */
#ifndef BESIDE_H
#define BESIDE_H

#include "peer.h"

/* Two talkers join a room and hear each other. */
void beside_begin(void);
/* From here on they must not notice anything. */
void beside_mark(void);
/* They have heard each other without a gap since beside_mark, and nobody told them anything; marks anew. */
void beside_check(const char *what);
/* How many frames they have played, and how many of these were not as they were sent: concealed, or too late. */
void beside_frames(uint64_t *played, uint64_t *damaged);
/* Nothing failed in their call; closes both. */
void beside_end(void);

/* p has come back after `mark`; how: one of oh_reconnect_kind, or 0 for any. */
rec_event back_from(peer *p, size_t mark, int how, unsigned timeout_ms);

/* p hears user's tone now: a window that begins after the call does. */
void hears(peer *p, const char *user, double hz, unsigned timeout_ms);

/* Nothing failed in this call: no errors, no failed offers, no end. */
void no_errors(peer *p);

#endif
