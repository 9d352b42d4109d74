/* peer.c - see peer.h. */
#include "peer.h"
#include "livekit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

oh_client client_for(const char *user)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_client client;
    where.user_id = user;
    if (on_livekit()) { /* a token is for one room: it is set per call */
        where.protocol = OH_PROTOCOL_LIVEKIT;
        where.url = livekit_url();
    } else {
        where.url = sfu_url();
        where.token = "development";
    }
    CHECK_OK(oh_client_new(&where, &client));
    return client;
}

void peer_open(peer *p, const char *user, const char *call_id, const oh_call_options *options)
{
    oh_call_options what = OH_INIT(oh_call_options);
    if (options) what = *options;
    recorder *rec = p->rec; /* a test may provide one with hooks */
    memset(p, 0, sizeof *p);
    p->rec = rec ? rec : rec_new();
    snprintf(p->user, sizeof p->user, "%s", user);
    p->client = client_for(user);
    what.call_id = call_id;
    what.handlers = rec_handlers(p->rec);
    char token[4096];
    if (on_livekit() && !what.token) {
        livekit_token(user, call_id, NULL, token, sizeof token);
        what.token = token;
    }
    CHECK_OK(oh_call_join(p->client, &what, &p->call));
}

void peer_join(peer *p, const char *user, const char *call_id, const oh_call_options *options)
{
    peer_open(p, user, call_id, options);
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(10000)));
}

void peer_publish_tone(peer *p, double hz)
{
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    track_options.no_dtx = 1; /* without pauses, even if the encoder does not take the tone for speech */
    CHECK_OK(oh_call_publish_audio(p->call, &track_options, &p->mic));
    p->tone = tone_start(p->mic, OH_AUDIO_S16, 48000, 1, hz);
}

void peer_close(peer *p)
{
    if (!p->rec) return;
    CHECK_OK(oh_call_leave(p->call, "bye"));
    EXPECT(p->rec, OH_EVENT_ENDED, NULL, ms(5000));
    /* ENDED was delivered; LEFT means that destroy has been called, too. */
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_LEFT, ms(5000)));
    pthread_mutex_lock(&p->rec->lock);
    CHECK_EQ(p->rec->destroyed, 1);
    pthread_mutex_unlock(&p->rec->lock);
    tone_stop(p->tone);
    oh_client_free(p->client);
    rec_call_freed(p->rec);
    rec_free(p->rec);
    memset(p, 0, sizeof *p);
}

oh_call_stats peer_stats(peer *p)
{
    oh_call_stats stats = { .size = sizeof stats };
    CHECK_OK(oh_call_get_stats(p->call, &stats));
    return stats;
}

struct tone {
    pthread_t thread;
    atomic_int stop;
    oh_track track;
    int format;
    uint32_t rate, channels;
    double hz;
};

static void *play(void *arg)
{
    tone *t = arg;
    uint32_t frames = t->rate / 50;
    size_t count = (size_t)frames * t->channels;
    int16_t *s16 = calloc(count, sizeof *s16);
    float *f32 = calloc(count, sizeof *f32);
    double phase = 0;
    int ready = 0;
    CHECK(s16 && f32);
    while (!atomic_load(&t->stop)) {
        if (!ready) {
            for (uint32_t i = 0; i < frames; i++, phase += 2 * 3.14159265358979323846 * t->hz / t->rate)
                for (uint32_t c = 0; c < t->channels; c++) {
                    f32[i * t->channels + c] = (float)(0.3 * sin(phase));
                    s16[i * t->channels + c] = (int16_t)(9830 * sin(phase));
                }
            ready = 1;
        }
        oh_result r = oh_track_wait_writable(t->track, frames, 100);
        if (r == OH_ERR_TIMEOUT) continue;
        if (r == OH_OK)
            r = t->format == OH_AUDIO_F32 ? oh_track_write_f32(t->track, f32, frames)
                                          : oh_track_write_s16(t->track, s16, frames);
        if (r == OH_ERR_FULL) continue;
        if (r == OH_ERR_CLOSED || r == OH_ERR_HANDLE) break; /* the call has ended, or was freed */
        CHECK_THAT(r == OH_OK, "a tone cannot be written: %s", oh_result_get_name(r));
        ready = 0;
    }
    free(s16);
    free(f32);
    return NULL;
}

tone *tone_start(oh_track track, int format, uint32_t rate, uint32_t channels, double hz)
{
    tone *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->track = track;
    t->format = format;
    t->rate = rate;
    t->channels = channels;
    t->hz = hz;
    CHECK_EQ(pthread_create(&t->thread, NULL, play, t), 0);
    return t;
}

void tone_stop(tone *t)
{
    if (!t) return;
    atomic_store(&t->stop, 1);
    pthread_join(t->thread, NULL);
    free(t);
}

typedef struct job {
    pthread_t thread;
    pthread_barrier_t *start;
    void (*fn)(void *arg, unsigned index);
    void *arg;
    unsigned index;
} job;

static void *run(void *arg)
{
    job *j = arg;
    pthread_barrier_wait(j->start);
    j->fn(j->arg, j->index);
    return NULL;
}

void on_threads(unsigned n, void (*fn)(void *arg, unsigned index), void *arg)
{
    pthread_barrier_t start;
    job *jobs = calloc(n, sizeof *jobs);
    CHECK(jobs != NULL);
    pthread_barrier_init(&start, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        jobs[i] = (job){ .start = &start, .fn = fn, .arg = arg, .index = i };
        CHECK_EQ(pthread_create(&jobs[i].thread, NULL, run, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) pthread_join(jobs[i].thread, NULL);
    pthread_barrier_destroy(&start);
    free(jobs);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

int count_fds(void)
{
    return entries("/proc/self/fd") - 1; /* the descriptor of the directory itself */
}

/*
 * Whether the kernel is ending this thread (proc(5): the ninth field of stat, PF_EXITING). pthread_join returns when
 * the thread gives up its memory. /proc still lists it for a moment, but it cannot run code of this process then.
 */
static int exiting(const char *tid)
{
    enum { EXITING = 0x4 };
    char path[300], line[512], *after;
    unsigned flags = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
    FILE *f = fopen(path, "r");
    if (!f) return 1; /* it ended after the directory was read */
    if (!fgets(line, sizeof line, f)) line[0] = 0, flags = EXITING;
    fclose(f);
    after = strrchr(line, ')'); /* a name may contain spaces */
    if (after) CHECK_EQ(sscanf(after, ") %*c %*d %*d %*d %*d %*d %u", &flags), 1);
    return (flags & EXITING) != 0;
}

int count_threads(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.' && !exiting(e->d_name);
    closedir(dir);
    return count;
}

const char *thread_names(void)
{
    static char names[1024];
    char path[300], name[32];
    names[0] = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f) continue;
        if (fgets(name, sizeof name, f) && strlen(names) + sizeof name < sizeof names) {
            name[strcspn(name, "\n")] = 0;
            strcat(strcat(names, " "), name);
        }
        fclose(f);
    }
    closedir(dir);
    return names;
}

long anonymous_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) sscanf(line, "RssAnon: %ld", &kb);
    fclose(f);
    return kb;
}

int settle(int (*count)(void), int most, uint32_t timeout_ms)
{
    double end = now_ms() + timeout_ms;
    int is;
    while ((is = count()) > most && now_ms() < end) nap(5);
    return is;
}

int silent_server(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof at) && !listen(fd, 64));
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}
