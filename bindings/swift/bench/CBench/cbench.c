/* cbench.c - see cbench.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cbench.h"

#include <dlfcn.h>
#include <errno.h>
#include <offhook.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

enum { ROOM = 1 << 21 };

static cb_sample samples[2][ROOM];
static atomic_ullong taken[2];
static atomic_int measuring;
static _Thread_local uint64_t began, entered;
static _Thread_local uint32_t allocations;

/* glibc's own allocator, under the names reserved for programs that replace malloc. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t size) { allocations++; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { allocations++; return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { allocations++; return __libc_realloc(old, size); }
void *aligned_alloc(size_t align, size_t size) { allocations++; return __libc_memalign(align, size); }
void *memalign(size_t align, size_t size) { allocations++; return __libc_memalign(align, size); }
int posix_memalign(void **out, size_t align, size_t size)
{
    allocations++;
    *out = __libc_memalign(align, size);
    return *out ? 0 : ENOMEM;
}
void free(void *old) { __libc_free(old); }

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t since(uint64_t then, uint64_t at)
{
    uint64_t ns = at - then;
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

void cb_entered(void) { entered = now(); }
void cb_measure(int on) { atomic_store(&measuring, on); }

const cb_sample *cb_samples(int audio, uint64_t *count)
{
    uint64_t n = atomic_load(&taken[audio]);
    *count = n < ROOM ? n : ROOM;
    return samples[audio];
}

static void begin(void)
{
    entered = 0;
    allocations = 0;
    began = now();
}

static void end(int audio)
{
    uint64_t at = now();
    uint32_t count = allocations;
    if (!atomic_load(&measuring)) return;
    uint64_t i = atomic_fetch_add(&taken[audio], 1);
    if (i < ROOM) samples[audio][i] = (cb_sample){ entered ? since(began, entered) : 0, since(began, at), count };
}

static void on_event(void *user, oh_call call, const oh_event *event)
{
    begin();
    ((oh_call_handlers *)user)->on_event(((oh_call_handlers *)user)->user_data, call, event);
    end(0);
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *frame)
{
    begin();
    ((oh_call_handlers *)user)->on_audio(((oh_call_handlers *)user)->user_data, call, frame);
    end(1);
}

static void destroy(void *user)
{
    ((oh_call_handlers *)user)->destroy(((oh_call_handlers *)user)->user_data);
    free(user);
}

oh_result oh_call_join(oh_client client, const oh_call_options *options, oh_call *call)
{
    oh_result (*join)(oh_client, const oh_call_options *, oh_call *) =
        (oh_result(*)(oh_client, const oh_call_options *, oh_call *))dlsym(RTLD_NEXT, "oh_call_join");
    oh_call_options changed = *options;
    oh_call_handlers handlers = *options->handlers;
    oh_call_handlers *theirs = malloc(sizeof *theirs);
    *theirs = *options->handlers;
    if (theirs->on_event) handlers.on_event = on_event;
    if (theirs->on_audio) handlers.on_audio = on_audio;
    handlers.destroy = destroy;
    handlers.user_data = theirs;
    changed.handlers = &handlers;
    oh_result result = join(client, &changed, call);
    if (result != OH_OK) free(theirs);
    return result;
}
