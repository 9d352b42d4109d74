/*
 * fail.h - lets the nth call of the library into the system fail; see fail.c.
 */
#ifndef FAIL_H
#define FAIL_H

enum fail_kind {
    FAIL_SOCKET,      /* socket */
    FAIL_SOCKETPAIR,  /* socketpair */
    FAIL_CONNECT,     /* connect */
    FAIL_BIND,        /* bind */
    FAIL_NAME,        /* getsockname */
    FAIL_OPTION,      /* getsockopt, setsockopt */
    FAIL_EPOLL,       /* epoll_create1 */
    FAIL_REGISTER,    /* epoll_ctl */
    FAIL_WAIT,        /* epoll_wait */
    FAIL_EVENTFD,     /* eventfd */
    FAIL_READ,        /* read, readv, recv, recvfrom, recvmsg, recvmmsg */
    FAIL_WRITE,       /* write, writev, send, sendto, sendmsg, sendmmsg */
    FAIL_THREAD,      /* pthread_create */
    FAIL_INTERFACES,  /* getifaddrs */
    FAIL_RESOLVE,     /* getaddrinfo: EAI_SYSTEM with the errno */
    FAIL_KINDS
};

/* From now on the calls of a kind are counted from 1, and those from the nth on fail with an errno: `times` of
 * them, 0: all. Replaces what was armed before. */
void fail_arm(int kind, unsigned nth, unsigned times, int error);
/* Nothing fails any more. */
void fail_disarm(void);
/* Calls of the armed kind since fail_arm, and how many of them were made to fail. */
unsigned fail_seen(void);
unsigned fail_hits(void);
const char *fail_name(int kind);

#endif
