/*
 * livekit.h - tests against a real LiveKit server, run by the test stand (docs/livekit-stand.md). OFFHOOK_LIVEKIT
 * holds the stand's first line; ctl.h reaches its control API at the address of the development SFU's, in the same
 * format.
 */
#ifndef LIVEKIT_H
#define LIVEKIT_H

#include <offhook.h>

/* Whether this run is against a LiveKit server; peers (peer.h) then join it. */
int on_livekit(void);

/* The node that new peers join, or -1 (the initial value): all nodes, the first one first. */
extern int livekit_node;
/* With all nodes: the index of the one tried first; initially 0. */
extern int livekit_first;
/* Non-zero: new peers connect directly, not through the proxies. */
extern int livekit_direct;

/* The URL of livekit_node, or space-separated URLs; static text. */
const char *livekit_url(void);

/* The number of nodes of the stand. */
int livekit_nodes(void);

/* Creates a token for a user in a room. options NULL: all rights, valid for an hour. buf: 4096 bytes suffice. */
void livekit_token(const char *user, const char *room, const oh_access_token_options *options, char *buf, size_t size);

/* A counter that the stand keeps for an identity, as in GET /ctl/state; -1 when there is none. */
long long livekit_identity(const char *user, const char *field);
/* Waits until that counter is at least `value`. Returns the value seen, or fails the test. */
long long livekit_identity_wait(const char *user, const char *field, long long value, unsigned timeout_ms);

#endif
