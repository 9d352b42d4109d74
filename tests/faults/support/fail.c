/*
 * fail.c - a library that stands between liboffhook and the C library and makes chosen calls fail.
 *
 * Only calls that come out of liboffhook count; those of the program and of the C library itself pass. A
 * program linked with it uses fail.h; any other is run with LD_PRELOAD and
 *   OFFHOOK_FAIL=kind:nth:errno[:times]      for instance OFFHOOK_FAIL=socket:3:24
 */
#include "fail.h"

#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <link.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *const names[FAIL_KINDS] = { "socket",    "socketpair", "connect", "bind",       "getsockname",
                                               "sockopt",   "epoll_create", "epoll_ctl", "epoll_wait", "eventfd",
                                               "read",      "write",      "thread",  "interfaces", "resolve" };

/* All of it in one number, so that counting needs no lock: kind + 1 armed, 0 nothing. */
static atomic_int armed;
static atomic_uint seen, hits, first, times;
static atomic_int number;
static uintptr_t begin, end;

static int find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!info->dlpi_name || !strstr(info->dlpi_name, "liboffhook")) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) continue;
        begin = info->dlpi_addr + segment->p_vaddr;
        end = begin + segment->p_memsz;
    }
    return 1;
}

void fail_arm(int kind, unsigned nth, unsigned many, int error)
{
    atomic_store(&armed, 0);
    if (!begin) dl_iterate_phdr(find_library, NULL);
    atomic_store(&seen, 0);
    atomic_store(&hits, 0);
    atomic_store(&first, nth);
    atomic_store(&times, many);
    atomic_store(&number, error);
    atomic_store(&armed, kind + 1);
}

void fail_disarm(void)
{
    atomic_store(&armed, 0);
}

unsigned fail_seen(void)
{
    return atomic_load(&seen);
}

unsigned fail_hits(void)
{
    return atomic_load(&hits);
}

const char *fail_name(int kind)
{
    return kind >= 0 && kind < FAIL_KINDS ? names[kind] : "?";
}

__attribute__((constructor)) static void from_environment(void)
{
    const char *text = getenv("OFFHOOK_FAIL");
    char kind[32];
    unsigned nth, many = 1;
    int error;
    if (!text) return;
    if (sscanf(text, "%31[a-z_]:%u:%d:%u", kind, &nth, &error, &many) < 3) nth = 0;
    for (int i = 0; i < FAIL_KINDS; i++)
        if (nth && !strcmp(kind, names[i])) {
            fail_arm(i, nth, many, error);
            return;
        }
    fprintf(stderr, "OFFHOOK_FAIL=%s is not kind:nth:errno[:times]\n", text);
    _exit(2);
}

/* The errno with which this call is to fail; 0: it is not. */
static int fails(int kind, void *caller)
{
    if (atomic_load_explicit(&armed, memory_order_acquire) != kind + 1) return 0;
    if ((uintptr_t)caller < begin || (uintptr_t)caller >= end) return 0;
    unsigned n = atomic_fetch_add(&seen, 1) + 1, from = atomic_load(&first), many = atomic_load(&times);
    if (n < from || (many && n - from >= many)) return 0;
    atomic_fetch_add(&hits, 1);
    return atomic_load(&number);
}

/* Reading and writing fails on sockets only: what wakes threads inside the process cannot fail like that. */
static int fails_on(int kind, int fd, void *caller)
{
    struct stat what;
    if (atomic_load_explicit(&armed, memory_order_acquire) != kind + 1) return 0;
    if (fstat(fd, &what) || !S_ISSOCK(what.st_mode)) return 0;
    return fails(kind, caller);
}

/* The function of the same name that comes after this library. */
static void *real(const char *name, _Atomic(void *) *known)
{
    void *found = atomic_load(known);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        if (!found) abort();
        atomic_store(known, found);
    }
    return found;
}

#define PASS(kind, result, type, name, parameters, arguments) \
    PASS_IF(fails(kind, __builtin_return_address(0)), result, type, name, parameters, arguments)
#define PASS_IO(kind, type, name, parameters, arguments) \
    PASS_IF(fails_on(kind, fd, __builtin_return_address(0)), -1, type, name, parameters, arguments)
#define PASS_IF(condition, result, type, name, parameters, arguments)          \
    type name parameters                                                       \
    {                                                                          \
        static _Atomic(void *) known;                                          \
        type(*function) parameters;                                            \
        int error = condition;                                                 \
        if (error) {                                                           \
            errno = error;                                                     \
            return result;                                                     \
        }                                                                      \
        *(void **)&function = real(#name, &known);                             \
        return function arguments;                                             \
    }

PASS(FAIL_SOCKET, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
PASS(FAIL_SOCKETPAIR, -1, int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
PASS(FAIL_CONNECT, -1, int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
PASS(FAIL_BIND, -1, int, bind, (int fd, const struct sockaddr *at, socklen_t size), (fd, at, size))
PASS(FAIL_NAME, -1, int, getsockname, (int fd, struct sockaddr *at, socklen_t *size), (fd, at, size))
PASS(FAIL_OPTION, -1, int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))
PASS(FAIL_OPTION, -1, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
PASS(FAIL_EPOLL, -1, int, epoll_create1, (int flags), (flags))
PASS(FAIL_REGISTER, -1, int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event), (epoll, what, fd, event))
PASS(FAIL_WAIT, -1, int, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout),
     (epoll, events, most, timeout))
PASS(FAIL_EVENTFD, -1, int, eventfd, (unsigned value, int flags), (value, flags))
PASS_IO(FAIL_READ, ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
PASS_IO(FAIL_READ, ssize_t, readv, (int fd, const struct iovec *to, int count), (fd, to, count))
PASS_IO(FAIL_READ, ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
PASS_IO(FAIL_READ, ssize_t, recvfrom, (int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *length),
     (fd, to, size, flags, from, length))
PASS_IO(FAIL_READ, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
PASS_IO(FAIL_READ, int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
     (fd, messages, count, flags, timeout))
PASS_IO(FAIL_WRITE, ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
PASS_IO(FAIL_WRITE, ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count))
PASS_IO(FAIL_WRITE, ssize_t, send, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))
PASS_IO(FAIL_WRITE, ssize_t, sendto,
     (int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t length),
     (fd, from, size, flags, to, length))
PASS_IO(FAIL_WRITE, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
PASS_IO(FAIL_WRITE, int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags))
PASS(FAIL_THREAD, error, int, pthread_create,
     (pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument),
     (thread, attributes, start, argument))
PASS(FAIL_INTERFACES, -1, int, getifaddrs, (struct ifaddrs **list), (list))
PASS(FAIL_RESOLVE, EAI_SYSTEM, int, getaddrinfo,
     (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result),
     (node, service, hints, result))
