/*
 * lookups.c - names that hang in the system's resolver do not delay other calls.
 *
 * The program defines its own getaddrinfo, which the library resolves before that of the C library: look-ups of
 * names that begin with "hang" block until the test releases them. Expected: with twelve clients whose look-ups
 * hang, others still join by name; the threads for look-ups are bounded; calls whose look-ups hang leave in time;
 * oh_shutdown_wait does not wait for the resolver; afterwards the library is usable again, and no thread is left
 * once the resolver has returned.
 */
#include "peer.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define HANGING 12

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int hanging, released;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    pthread_mutex_lock(&lock);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && strncmp(name, "hang", 4) == 0) {
        hanging++;
        pthread_cond_broadcast(&changed);
        while (!released) pthread_cond_wait(&changed, &lock);
        hanging--;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        return EAI_AGAIN;
    }
    pthread_mutex_unlock(&lock);
    return real(name, service, hints, out);
}

static void wait_hanging(int count)
{
    pthread_mutex_lock(&lock);
    while (hanging != count) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void open_by_name(peer *p, const char *host, const char *user)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    char url[128];
    snprintf(url, sizeof url, "http://%s:%d", host, sfu_port());
    where.url = url;
    where.user_id = user;
    where.token = "development";
    where.allow_insecure = 1;
    CHECK_OK(oh_client_new(&where, &p->client));
    p->rec = rec_new();
    what.call_id = "lookups";
    what.join_retries = OH_ZERO;
    what.handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, &what, &p->call));
}

static int lookup_threads(void)
{
    const char *names = thread_names(), *at = names;
    int count = 0;
    while ((at = strstr(at, "oh-names")) != NULL) at++, count++;
    return count;
}

int main(void)
{
    peer stuck[HANGING] = { 0 }, p = { 0 };
    char name[64];

    test_begin("lookups");
    test_step(20, "%d clients, whose names hang", HANGING);
    for (int i = 0; i < HANGING; i++) {
        snprintf(name, sizeof name, "hang-%d.example.com", i);
        open_by_name(&stuck[i], name, "stuck");
    }
    wait_hanging(HANGING);

    test_step(20, "joins of others by name");
    for (int i = 0; i < 5; i++) {
        open_by_name(&p, i % 2 ? "LOCALHOST" : "localhost", "quick");
        CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(4000)));
        peer_close(&p);
    }
    int threads = lookup_threads();
    CHECK_THAT(threads >= HANGING && threads <= 32, "%d threads for look-ups: %s", threads, thread_names());

    test_step(20, "calls whose names hang leave in time");
    for (int i = 0; i < HANGING; i++) peer_close(&stuck[i]);
    double began = now_ms();
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_THAT(now_ms() - began < ms(2000), "the shutdown took %.0f ms", now_ms() - began);

    test_step(20, "used again, while they still hang");
    open_by_name(&p, "localhost", "again");
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(4000)));
    peer_close(&p);
    CHECK_OK(oh_shutdown_wait(ms(2500)));

    test_step(20, "the resolver returns");
    pthread_mutex_lock(&lock);
    released = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    wait_hanging(0);
    CHECK_THAT(settle(count_threads, 1, ms(5000)) == 1, "threads stay: %s", thread_names());
    return test_end();
}
