/*
 * beside.h - a control group: two participants in a separate room that must be unaffected by what a test does to
 * other calls of the process; and helpers shared by the fault tests.
 */
#ifndef BESIDE_H
#define BESIDE_H

#include "peer.h"

/* Two participants join a room, publish tones and receive each other's. */
void beside_begin(void);
/* From now on they must be unaffected. */
void beside_mark(void);
/* Checks that audio had no gap and no state event was delivered since beside_mark; then marks anew. */
void beside_check(const char *what);
/* How many frames they have played, and how many of these were damaged: concealed, or late. */
void beside_frames(uint64_t *played, uint64_t *damaged);
/* Checks that nothing failed in their call; closes both. */
void beside_end(void);

/* Waits until p has reconnected after `mark`. how: the expected oh_reconnect_kind, or 0 for any. */
rec_event back_from(peer *p, size_t mark, int how, unsigned timeout_ms);

/* Waits until p receives user's tone, in a window that begins after this call. */
void receives_tone(peer *p, const char *user, double hz, unsigned timeout_ms);

/* Checks that nothing failed in this call: no errors, no failed offers, no end. */
void no_errors(peer *p);

#endif
