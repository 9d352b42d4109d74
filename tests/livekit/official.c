/*
 * official.c - an Offhook participant and one on the official client of the LiveKit project.
 * test: timeout=300 stand=--proxy
 *
 * The other participant is a separate program (tests/livekit/official/peer.py) that takes commands line by line. Two
 * runs: the official client with one peer connection, and with two, as older ones have. Expected: each receives the
 * other's audio, mutes are reported, a camera is not sent to Offhook, data of 15 kB and 200 small packets, texts of
 * 100 kB and RPCs arrive unchanged both ways, metadata is reported, a participant that leaves is removed. When the
 * official client cannot be installed the test prints that and does not fail.
 */
#include "livekit.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OFFICIAL "tests/livekit/official/"
extern char **environ;

/* ---- SHA-256 (FIPS 180-4), the checksum that the official peer prints for received data ---- */

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The first 32 bits of the fractional parts of square or cube roots of primes, by integer search. */
static uint32_t root_bits(unsigned prime, int power)
{
    unsigned __int128 low = 0, high = (unsigned __int128)20 << 32;
    while (high - low > 1) {
        unsigned __int128 mid = (low + high) / 2;
        if (power == 2 ? mid * mid > (unsigned __int128)prime << 64 : mid * mid * mid > (unsigned __int128)prime << 96) high = mid;
        else low = mid;
    }
    return (uint32_t)low;
}

static const char *sha256(const void *bytes, size_t size, char out[65])
{
    static uint32_t k[64], start[8];
    if (!k[0])
        for (unsigned p = 2, n = 0; n < 64; p++) {
            unsigned d = 2;
            while (d * d <= p && p % d) d++;
            if (d * d <= p) continue;
            if (n < 8) start[n] = root_bits(p, 2);
            k[n++] = root_bits(p, 3);
        }
    uint32_t h[8];
    size_t blocks = (size + 9 + 63) / 64;
    memcpy(h, start, sizeof h);
    for (size_t b = 0; b < blocks; b++) {
        unsigned char block[64] = { 0 };
        uint32_t w[64], v[8];
        for (size_t i = 0; i < 64; i++) {
            size_t at = b * 64 + i;
            if (at < size) block[i] = ((const unsigned char *)bytes)[at];
            else if (at == size) block[i] = 0x80;
            else if (b == blocks - 1 && i >= 56) block[i] = (unsigned char)((uint64_t)size * 8 >> 8 * (63 - i));
        }
        for (int i = 0; i < 64; i++)
            w[i] = i < 16 ? (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3]
                          : w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
                                (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t one = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
            uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += one;
            v[0] = one + two;
        }
        for (int i = 0; i < 8; i++) h[i] += v[i];
    }
    for (int i = 0; i < 8; i++) snprintf(out + 8 * i, 9, "%08x", h[i]);
    return out;
}

/* ---- contents that both sides can generate (patterns.py) ---- */

static unsigned char *pattern(size_t size, uint32_t n)
{
    unsigned char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i < 4 ? n >> 8 * (3 - i) : i * 7 + n * 13 + (i >> 8) * 31);
    return bytes;
}

/* `size` bytes, or fewer so that the last character is not cut. */
static char *text_pattern(size_t size, unsigned n)
{
    static const char unit[] = "0123456789abcd\xc3\xa9\xe2\x86\x92";
    char *text = malloc(size + sizeof unit + 16);
    CHECK(text != NULL);
    size_t at = (size_t)sprintf(text, "%u:", n);
    /* One more character than fits: the byte after the cut shows whether a character is cut. */
    for (; at <= size; at += sizeof unit - 1) memcpy(text + at, unit, sizeof unit - 1);
    at = size;
    while ((text[at] & 0xc0) == 0x80) at--;
    text[at] = 0;
    return text;
}

/* ---- the official peer as a process ---- */

typedef struct official {
    pid_t pid;
    int in;
    FILE *out;
    pthread_t reader;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *lines[20000];
    size_t count;
    int over, ids;
} official;

static void *read_lines(void *arg)
{
    official *o = arg;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, o->out) > 0) {
        pthread_mutex_lock(&o->lock);
        CHECK_THAT(o->count < sizeof o->lines / sizeof *o->lines, "the official peer prints too much");
        CHECK((o->lines[o->count] = strdup(line)) != NULL);
        o->count++;
        pthread_cond_broadcast(&o->changed);
        pthread_mutex_unlock(&o->lock);
    }
    free(line);
    pthread_mutex_lock(&o->lock);
    o->over = 1;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static void start(official *o, char *const argv[])
{
    posix_spawn_file_actions_t actions;
    int in[2], out[2];
    memset(o, 0, sizeof *o);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    CHECK(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    CHECK_EQ(posix_spawn(&o->pid, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    o->in = in[1];
    CHECK((o->out = fdopen(out[0], "r")) != NULL);
    CHECK_EQ(pthread_create(&o->reader, NULL, read_lines, o), 0);
}

/*
 * Closes its stdin unless it has ended by itself. Returns its exit code after its last line was read. Frees the
 * lines.
 */
static int end(official *o)
{
    int status;
    if (o->in >= 0) close(o->in);
    pthread_join(o->reader, NULL);
    fclose(o->out);
    CHECK_EQ(waitpid(o->pid, &status, 0), o->pid);
    int left = 0;
    for (size_t i = 0; i < o->count; i++) {
        left |= strstr(o->lines[i], "\"event\": \"disconnected\"") != NULL;
        free(o->lines[i]);
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    printf("the official client died of signal %d%s\n", WTERMSIG(status), left ? " after it had left" : "");
    return left ? 0 : -1;
}

static size_t mark(official *o)
{
    pthread_mutex_lock(&o->lock);
    size_t count = o->count;
    pthread_mutex_unlock(&o->lock);
    return count;
}

/* The first line at or after `from` that pred accepts; fails the test on timeout. */
static const char *wait_line(official *o, size_t from, int (*pred)(const char *line, void *arg), void *arg,
                             unsigned timeout_ms, const char *what)
{
    struct timespec until;
    const char *found = NULL;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&o->lock);
    for (int late = 0; !found; ) {
        for (; from < o->count && !found; from++)
            if (pred(o->lines[from], arg)) found = o->lines[from];
        if (found || late || o->over) break;
        late = pthread_cond_timedwait(&o->changed, &o->lock, &until) == ETIMEDOUT;
    }
    char last[600] = "";
    for (size_t i = o->count > 6 ? o->count - 6 : 0; !found && i < o->count; i++)
        snprintf(last + strlen(last), sizeof last - strlen(last), "  %.90s", o->lines[i]);
    int over = o->over;
    pthread_mutex_unlock(&o->lock);
    CHECK_THAT(found, "the official peer%s: no %s; its last lines:\n%s", over ? ", which has ended" : "", what, last);
    return found;
}

/* `event`, and up to two members with their values. */
typedef struct wanted {
    const char *event, *names[2], *values[2];
} wanted;

static int is_it(const char *line, void *arg)
{
    wanted *w = arg;
    char value[512];
    if (*line != '{' || strcmp(json_text(line, "event", value, sizeof value), w->event)) return 0;
    for (int i = 0; i < 2 && w->names[i]; i++)
        if (strcmp(json_text(line, w->names[i], value, sizeof value), w->values[i])) return 0;
    return 1;
}

static const char *expect(official *o, size_t from, const char *event, const char *name, const char *value, const char *name2,
                          const char *value2)
{
    wanted w = { event, { name, name2 }, { value, value2 } };
    return wait_line(o, from, is_it, &w, ms(15000), event);
}

static int has_id(const char *line, void *arg)
{
    char event[64];
    json_text(line, "event", event, sizeof event);
    return (!strcmp(event, "done") || !strcmp(event, "failed") || !strcmp(event, "rpc_answer")) && json_int(line, "id", -1) == *(int *)arg;
}

/* Sends a command; returns its response. `values`: members of the command's object with a leading comma, or "". */
static const char *order(official *o, const char *word, const char *values)
{
    char line[1024], event[64];
    int id = ++o->ids;
    size_t from = mark(o);
    int size = snprintf(line, sizeof line, "%s {\"id\":%d%s}\n", word, id, values);
    CHECK(size < (int)sizeof line && write(o->in, line, (size_t)size) == size);
    const char *answer = wait_line(o, from, has_id, &id, ms(30000), word);
    CHECK_THAT(strcmp(json_text(answer, "event", event, sizeof event), "failed"), "%s failed: %s", word, answer);
    return answer;
}

/* Five windows in a row that are almost only this tone (0: silence). */
typedef struct tone_run {
    const char *hz;
    int run;
} tone_run;

static int in_a_row(const char *line, void *arg)
{
    tone_run *t = arg;
    char value[64];
    if (*line != '{' || strcmp(json_text(line, "event", value, sizeof value), "tone")) return 0;
    int right = !strcmp(json_text(line, "hz", value, sizeof value), t->hz) &&
                (!strcmp(t->hz, "0") || atof(json_text(line, "share", value, sizeof value)) > 0.8);
    t->run = right ? t->run + 1 : 0;
    return t->run >= 5;
}

static void it_receives(official *o, size_t from, const char *hz)
{
    tone_run t = { hz, 0 };
    wait_line(o, from, in_a_row, &t, ms(15000), hz);
}

/* ---- tests of both together ---- */

static void serve(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    if (e->kind != OH_EVENT_RPC_REQUEST) return;
    const char *id = e->u.rpc_request->request_id;
    if (!strcmp(e->u.rpc_request->method, "echo")) CHECK_OK(oh_call_answer_rpc(call, id, e->u.rpc_request->payload, 0, NULL));
    else if (!strcmp(e->u.rpc_request->method, "fail")) CHECK_OK(oh_call_answer_rpc(call, id, "because", 1999, "not today"));
    else CHECK_OK(oh_call_answer_rpc(call, id, NULL, OH_RPC_UNSUPPORTED_METHOD, "no such procedure"));
}

static rec_event call_rpc(peer *p, const char *method, const char *payload)
{
    oh_rpc_options o = OH_INIT(oh_rpc_options);
    uint64_t id = 0;
    rec_event e;
    o.to = "theirs";
    o.method = method;
    o.payload = payload;
    CHECK_OK(oh_call_perform_rpc(p->call, &o, &id));
    for (size_t from = 0;;) {
        long at = rec_wait(p->rec, OH_EVENT_RPC_RESPONSE, NULL, from, ms(20000), &e);
        CHECK_THAT(at >= 0, "the call of %s gets no response", method);
        if (e.track == id) return e;
        from = (size_t)at + 1;
    }
}

static void send_pattern(peer *p, const char *topic, size_t size, uint32_t n)
{
    oh_data_options to = OH_INIT(oh_data_options);
    unsigned char *bytes = pattern(size, n);
    to.topic = topic;
    CHECK_OK(oh_call_send_data(p->call, &to, bytes, size));
    free(bytes);
}

/* Waits until the next packet of a topic is message n; returns the index to continue at. */
static size_t expect_pattern(peer *p, size_t from, const char *topic, size_t size, uint32_t n)
{
    for (rec_event e;;) {
        long at = rec_wait(p->rec, OH_EVENT_DATA, NULL, from, ms(10000), &e);
        CHECK_THAT(at >= 0, "packet %u of '%s' does not come", n, topic);
        from = (size_t)at + 1;
        if (strcmp(e.session, topic)) continue;
        unsigned char *bytes = pattern(size, n);
        CHECK_STR(e.user, "theirs");
        CHECK_EQ(e.count, size);
        CHECK_THAT(e.cause == rec_sum(bytes, size), "packet %u of '%s' is another one", n, topic);
        free(bytes);
        return from;
    }
}

static void audio(peer *p, official *o)
{
    size_t at, from;
    rec_event e;
    test_step(60, "both receive each other's audio");
    order(o, "tone", ",\"hz\":620");
    peer_publish_tone(p, 440);
    CHECK_THAT(rec_wait_tone(p->rec, "theirs", 620, ms(15000)), "no audio of the official client");
    it_receives(o, 0, "440");

    test_step(60, "mute and unmute, both ways");
    from = mark(o);
    CHECK_OK(oh_track_set_muted(p->mic, 1));
    expect(o, from, "track_muted", "from", "ours", NULL, NULL);
    it_receives(o, from, "0");
    from = mark(o);
    CHECK_OK(oh_track_set_muted(p->mic, 0));
    expect(o, from, "track_unmuted", "from", "ours", NULL, NULL);
    it_receives(o, from, "440");
    at = rec_mark(p->rec);
    order(o, "mute", "");
    e = EXPECT_FROM(p->rec, at, OH_EVENT_TRACK_UNPUBLISHED, "theirs", ms(5000));
    CHECK_EQ(e.cause, 1);
    CHECK_THAT(rec_wait_no_tone(p->rec, "theirs", 620, ms(5000)), "audio of the official client, which is muted");
    order(o, "unmute", "");
    EXPECT_FROM(p->rec, at, OH_EVENT_TRACK_PUBLISHED, "theirs", ms(5000));
    CHECK_THAT(rec_wait_tone(p->rec, "theirs", 620, ms(10000)), "no audio of the official client after unmute");
}

static void camera(peer *p, official *o)
{
    enum { FRAMES = 100 }; /* frames of 20 ms */
    size_t at = rec_mark(p->rec);
    test_step(30, "a camera costs an audio-only call nothing");
    order(o, "camera", "");
    EXPECT_FROM(p->rec, at, OH_EVENT_TRACK_PUBLISHED, "theirs", ms(5000));
    CHECK_THAT(rec_wait_tone(p->rec, "theirs", 620, ms(10000)), "no audio of the official client beside its camera");
    oh_call_stats before = peer_stats(p);
    CHECK(rec_wait_audio(p->rec, "theirs", FRAMES, ms(10000)));
    oh_call_stats now = peer_stats(p);
    /* Audio is one packet per frame; a camera sends many more. */
    uint64_t packets = now.packets_received - before.packets_received;
    CHECK_THAT(packets < (now.frames_played - before.frames_played) + 30, "%llu packets for %d frames", (unsigned long long)packets, FRAMES);
    CHECK_EQ(now.packets_unassigned, before.packets_unassigned);
}

static void data(peer *p, official *o)
{
    enum { SMALL = 200 };
    char number[16], sum[65];
    size_t from, at;
    const char *line;

    test_step(60, "15 kB both ways, and many small ones");
    from = mark(o);
    at = rec_mark(p->rec);
    send_pattern(p, "big", 15000, 70000);
    line = expect(o, from, "data", "topic", "big", "n", "70000");
    CHECK_EQ(json_int(line, "size", 0), 15000);
    CHECK_EQ(json_int(line, "reliable", 0), 1);
    order(o, "data", ",\"size\":15000,\"topic\":\"big\",\"n\":70001");
    expect_pattern(p, at, "big", 15000, 70001);
    from = mark(o);
    at = rec_mark(p->rec);
    for (unsigned n = 0; n < SMALL; n++) send_pattern(p, "small", 100, n);
    order(o, "data", ",\"size\":100,\"topic\":\"small\",\"count\":200,\"n\":0,\"to\":[\"ours\"]");
    for (unsigned n = 0; n < SMALL; n++) at = expect_pattern(p, at, "small", 100, n);
    snprintf(number, sizeof number, "%d", SMALL - 1);
    expect(o, from, "data", "topic", "small", "n", number);
    pthread_mutex_lock(&o->lock);
    for (unsigned n = 0; from < o->count; from++) { /* in order, each once */
        wanted w = { "data", { "topic" }, { "small" } };
        if (is_it(o->lines[from], &w)) CHECK_EQ(json_int(o->lines[from], "n", -1), n++);
    }
    pthread_mutex_unlock(&o->lock);

    test_step(60, "100 kB of text, both ways");
    oh_data_options to = OH_INIT(oh_data_options);
    char *text = text_pattern(100000, 7);
    to.topic = "story";
    from = mark(o);
    at = rec_mark(p->rec);
    CHECK_OK(oh_call_send_text(p->call, &to, text));
    line = expect(o, from, "text", "topic", "story", "from", "ours");
    CHECK_EQ(json_int(line, "size", 0), strlen(text));
    json_text(line, "sha256", number, sizeof number);
    CHECK_THAT(!strncmp(sha256(text, strlen(text), sum), number, 15), "a text of ours arrived as another one");
    free(text);
    order(o, "data", ",\"size\":4,\"topic\":\"number\",\"n\":41"); /* texts continue the numbers: the next one is 42 */
    order(o, "text", ",\"size\":100000,\"topic\":\"story\"");
    text = text_pattern(100000, 42);
    rec_event e = EXPECT_FROM(p->rec, at, OH_EVENT_TEXT, "theirs", ms(15000));
    CHECK_EQ(e.count, strlen(text));
    CHECK_EQ(e.cause, rec_sum(text, strlen(text)));
    CHECK_STR(e.session, "story");
    free(text);
}

static void procedures(peer *p, official *o)
{
    char value[256];
    const char *line;
    rec_event e;
    test_step(60, "procedure calls both ways");
    order(o, "rpc_serve", ",\"method\":\"turn\"");
    order(o, "rpc_serve", ",\"method\":\"refuse\",\"error\":{\"code\":77,\"message\":\"no\",\"data\":\"why\"}");
    e = call_rpc(p, "turn", "abcd\xc3\xa9");
    CHECK_EQ(e.code, 0);
    CHECK_STR(e.text, "\xc3\xa9" "dcba");
    e = call_rpc(p, "refuse", NULL);
    CHECK_EQ(e.code, 77);
    CHECK_STR(e.session, "no");
    CHECK_STR(e.text, "why");
    CHECK_EQ(call_rpc(p, "nothing", NULL).code, OH_RPC_UNSUPPORTED_METHOD);
    line = order(o, "rpc", ",\"to\":\"ours\",\"method\":\"echo\",\"payload\":\"p \xc3\xa9\"");
    CHECK_STR(json_text(line, "payload", value, sizeof value), "p \xc3\xa9");
    line = order(o, "rpc", ",\"to\":\"ours\",\"method\":\"fail\"");
    CHECK_EQ(json_int(line, "error/code", 0), 1999);
    CHECK_STR(json_text(line, "error/message", value, sizeof value), "not today");
    CHECK_STR(json_text(line, "error/data", value, sizeof value), "because");
    line = order(o, "rpc", ",\"to\":\"ours\",\"method\":\"unknown\"");
    CHECK_EQ(json_int(line, "error/code", 0), OH_RPC_UNSUPPORTED_METHOD);
}

static void about(peer *p, official *o)
{
    size_t from = mark(o), at = rec_mark(p->rec);
    rec_event e;
    test_step(30, "metadata, names and attributes");
    order(o, "metadata", ",\"metadata\":\"m1\"");
    do {
        e = EXPECT_FROM(p->rec, at, OH_EVENT_PARTICIPANT_UPDATED, "theirs", ms(5000));
        at = (size_t)rec_wait(p->rec, OH_EVENT_PARTICIPANT_UPDATED, "theirs", at, 0, NULL) + 1;
    } while (strcmp(e.text, "m1"));
    CHECK_OK(oh_call_set_attributes(p->call, "Ours", "m2", "{\"a\":\"1\"}"));
    expect(o, from, "metadata", "from", "ours", "metadata", "m2");
    expect(o, from, "name", "from", "ours", "name", "Ours");
    CHECK_EQ(json_int(json_get(expect(o, from, "attributes", "from", "ours", NULL, NULL), "changed"), "a", -1), -1); /* a text */
}

static void together(const char *room, const char *option)
{
    static official o;
    peer p = { 0 };
    char token[4096], url[256];
    char *argv[] = { OFFICIAL "env.sh", OFFICIAL "peer.py", "--url", url, "--token", token, (char *)option, NULL };

    test_step(60, "%s: both join", room);
    p.rec = rec_new();
    p.rec->on_event = serve;
    peer_join(&p, "ours", room, NULL);
    livekit_token("theirs", room, NULL, token, sizeof token);
    snprintf(url, sizeof url, "%s", livekit_url());
    start(&o, argv);
    expect(&o, 0, "joined", "identity", "theirs", NULL, NULL);
    expect(&o, 0, "participant_joined", "identity", "ours", NULL, NULL);
    EXPECT(p.rec, OH_EVENT_PARTICIPANT_JOINED, "theirs", ms(5000));
    audio(&p, &o);
    camera(&p, &o);
    data(&p, &o);
    procedures(&p, &o);
    about(&p, &o);

    test_step(30, "a participant that leaves is removed");
    if (option) {
        size_t from = mark(&o);
        CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
        peer_close(&p);
        expect(&o, from, "participant_left", "identity", "ours", "reason", "CLIENT_INITIATED");
        CHECK_EQ(end(&o), 0);
        return;
    }
    order(&o, "leave", "");
    EXPECT(p.rec, OH_EVENT_PARTICIPANT_LEFT, "theirs", ms(5000));
    CHECK_EQ(end(&o), 0);
    CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(peer_stats(&p).reconnect_attempts, 0);
    peer_close(&p);
}

int main(void)
{
    static official o;
    char sum[65], *argv[] = { OFFICIAL "env.sh", NULL };

    test_begin("official");
    test_step(5, "the sum");
    CHECK_STR(sha256("abc", 3, sum), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    test_step(200, "the official client is installed, once");
    start(&o, argv);
    pthread_join(o.reader, NULL);
    o.reader = 0;
    char first[300] = "SKIPPED: livekit: the official client cannot be installed\n";
    if (o.count) snprintf(first, sizeof first, "%s", o.lines[0]);
    int status;
    CHECK_EQ(waitpid(o.pid, &status, 0), o.pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("%s", first);
        return 0;
    }
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "env.sh failed: %s", first);
    close(o.in);
    fclose(o.out);
    together("official-one", NULL);
    together("official-two", "--two-connections");
    return test_end();
}
