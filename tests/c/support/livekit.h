/*
 * livekit.h - tests against the real LiveKit server, run by the test stand (docs/livekit-stand.md). The stand's first
 * line is in OFFHOOK_LIVEKIT; its control API is where ctl.h finds the SFU's, with the same shape.
 */
#ifndef LIVEKIT_H
#define LIVEKIT_H

#include <offhook.h>

/* Whether this run is against a LiveKit server; then peers (peer.h) join it. */
int on_livekit(void);

/* Where new peers go: the number of a node, or -1 (at first): all nodes, the first one first. */
extern int livekit_node;
/* Of all nodes, the one that is asked first; 0 at first. */
extern int livekit_first;
/* Non-zero: new peers go past the proxies. */
extern int livekit_direct;

/* The URL, or URLs parted by spaces, of livekit_node; static text. */
const char *livekit_url(void);

/* How many nodes the stand has. */
int livekit_nodes(void);

/* A token for a user in a room; options NULL: may do everything, good for an hour. buf: 4096 bytes suffice. */
void livekit_token(const char *user, const char *room, const oh_access_token_options *options, char *buf, size_t size);

/* Something the stand counts of an identity, as in GET /ctl/state; -1 when there is none. */
long long livekit_identity(const char *user, const char *field);
/* Waits until that is at least a number; what it was then, or fails the test. */
long long livekit_identity_wait(const char *user, const char *field, long long value, unsigned timeout_ms);

#endif
