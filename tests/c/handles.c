/*
 * handles.c - every function of the header with handles that are none, stale, forged or of another kind, and with
 * NULL for required arguments.
 *
 * Expected: OH_ERR_HANDLE (OH_ERR_ARGUMENT for NULL with a good handle), no effect for functions without a result,
 * outputs unchanged, the good objects unaffected; from any thread. The test parses the header, so that no function
 * is omitted.
 */
#include "peer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { CLIENT, CALL, PUBLISHER, SUBSCRIBER, TRACK, KINDS };

static const char SENTINEL = 0x5a;

/* Calls one function with a handle of that number; `null` passes NULL for required arguments. Checks outputs. */
typedef oh_result (*caller)(uint64_t id, int null);

static int16_t pcm[960];
static float pcm_f32[960];
static const uint8_t opus_silence[] = { 0xf8, 0xff, 0xfe }; /* 20 ms of silence, CELT */

#define OUTPUT(type, name) type name; memset(&name, SENTINEL, sizeof name)
#define UNTOUCHED(r, name) ((r) != OH_OK ? untouched(__LINE__, &name, sizeof name) : (void)0)

static void untouched(int line, const void *bytes, size_t size)
{
    const char *b = bytes;
    for (size_t i = 0; i < size; i++)
        if (b[i] != SENTINEL) test_fail(__FILE__, line, "an output was written although the function failed");
}

static oh_result join(uint64_t id, int null)
{
    oh_call_options what = OH_INIT(oh_call_options);
    OUTPUT(oh_call, call);
    what.call_id = "never";
    oh_result r = oh_call_join((oh_client){ id }, &what, null ? NULL : &call);
    UNTOUCHED(r, call);
    return r;
}

static oh_result join_without_options(uint64_t id, int null)
{
    OUTPUT(oh_call, call);
    (void)null;
    oh_result r = oh_call_join((oh_client){ id }, NULL, &call);
    UNTOUCHED(r, call);
    return r;
}

static oh_result wait_call(uint64_t id, int null) { (void)null; return oh_call_wait_state((oh_call){ id }, OH_STATE_LEFT, 0); }

static oh_result state(uint64_t id, int null)
{
    OUTPUT(int32_t, s);
    oh_result r = oh_call_get_state((oh_call){ id }, null ? NULL : &s);
    UNTOUCHED(r, s);
    return r;
}

static oh_result trace(uint64_t id, int null)
{
    OUTPUT(size_t, needed);
    char text[64] = "untouched";
    oh_result r = oh_call_get_trace((oh_call){ id }, null ? NULL : text, sizeof text, null ? NULL : &needed);
    UNTOUCHED(r, needed);
    if (r != OH_OK) CHECK(!strcmp(text, "untouched"));
    return r;
}

static oh_result provide_token(uint64_t id, int null)
{
    (void)null;
    return oh_call_provide_token((oh_call){ id }, "development");
}

static oh_result send_custom(uint64_t id, int null) { return oh_call_send_custom_event((oh_call){ id }, null ? NULL : "{}"); }

static oh_result send_data(uint64_t id, int null) { return oh_call_send_data((oh_call){ id }, NULL, null ? NULL : "x", 1); }
static oh_result send_text(uint64_t id, int null) { return oh_call_send_text((oh_call){ id }, NULL, null ? NULL : "x"); }

static oh_result rpc(uint64_t id, int null)
{
    oh_rpc_options what = OH_INIT(oh_rpc_options);
    OUTPUT(uint64_t, number);
    what.to = what.method = "x";
    oh_result r = oh_call_perform_rpc((oh_call){ id }, null ? NULL : &what, &number);
    UNTOUCHED(r, number);
    return r;
}

static oh_result rpc_answer(uint64_t id, int null) { return oh_call_answer_rpc((oh_call){ id }, null ? NULL : "x", "", 0, NULL); }
static oh_result set_attributes(uint64_t id, int null) { (void)null; return oh_call_set_attributes((oh_call){ id }, "x", NULL, NULL); }

static oh_result capabilities(uint64_t id, int null)
{
    OUTPUT(uint64_t, can);
    oh_result r = oh_call_get_capabilities((oh_call){ id }, null ? NULL : &can);
    UNTOUCHED(r, can);
    return r;
}

static oh_result set_track(uint64_t id, int null) { return oh_subscriber_set_track((oh_subscriber){ id }, null ? NULL : "x", NULL); }

static oh_result leave(uint64_t id, int null) { (void)null; return oh_call_leave((oh_call){ id }, NULL); }

static oh_result next_event(uint64_t id, int null)
{
    OUTPUT(const oh_event *, e);
    oh_result r = oh_call_wait_event((oh_call){ id }, 0, null ? NULL : &e);
    UNTOUCHED(r, e);
    return r;
}

static oh_result wake_fd(uint64_t id, int null)
{
    OUTPUT(int32_t, fd);
    oh_result r = oh_call_get_wake_fd((oh_call){ id }, null ? NULL : &fd);
    UNTOUCHED(r, fd);
    return r;
}

static oh_result publisher(uint64_t id, int null)
{
    OUTPUT(oh_publisher, p);
    oh_result r = oh_call_get_publisher((oh_call){ id }, null ? NULL : &p);
    UNTOUCHED(r, p);
    return r;
}

static oh_result subscriber(uint64_t id, int null)
{
    OUTPUT(oh_subscriber, s);
    oh_result r = oh_call_get_subscriber((oh_call){ id }, null ? NULL : &s);
    UNTOUCHED(r, s);
    return r;
}

static oh_result get_stats(uint64_t id, int null)
{
    OUTPUT(oh_call_stats, stats);
    stats.size = sizeof stats;
    oh_result r = oh_call_get_stats((oh_call){ id }, null ? NULL : &stats);
    if (r != OH_OK) untouched(__LINE__, (char *)&stats + sizeof stats.size, sizeof stats - sizeof stats.size);
    return r;
}

static oh_result track_stats(uint64_t id, int null)
{
    OUTPUT(oh_track_stats, stats);
    stats.size = sizeof stats;
    oh_result r = oh_track_get_stats((oh_track){ id }, null ? NULL : &stats);
    if (r != OH_OK) untouched(__LINE__, (char *)&stats + sizeof stats.size, sizeof stats - sizeof stats.size);
    return r;
}

static oh_result remote_track_stats(uint64_t id, int null)
{
    OUTPUT(oh_remote_track_stats, stats);
    stats.size = sizeof stats;
    oh_result r = oh_subscriber_get_track_stats((oh_subscriber){ id }, "x", NULL, OH_SOURCE_MICROPHONE, null ? NULL : &stats);
    if (r != OH_OK) untouched(__LINE__, (char *)&stats + sizeof stats.size, sizeof stats - sizeof stats.size);
    return r;
}

static oh_result participants(uint64_t id, int null)
{
    OUTPUT(const oh_participants *, all);
    oh_result r = oh_call_get_participants((oh_call){ id }, null ? NULL : &all);
    UNTOUCHED(r, all);
    if (r == OH_OK) oh_participants_free(all);
    return r;
}

static oh_result publish_audio(uint64_t id, int null)
{
    OUTPUT(oh_track, track);
    oh_result r = oh_call_publish_audio((oh_call){ id }, NULL, null ? NULL : &track);
    UNTOUCHED(r, track);
    return r;
}

static oh_result publisher_close(uint64_t id, int null) { (void)null; return oh_publisher_close((oh_publisher){ id }); }
static oh_result subscriber_close(uint64_t id, int null) { (void)null; return oh_subscriber_close((oh_subscriber){ id }); }
static oh_result write_s16(uint64_t id, int null) { return oh_track_write_s16((oh_track){ id }, null ? NULL : pcm, 960); }
static oh_result write_f32(uint64_t id, int null) { return oh_track_write_f32((oh_track){ id }, null ? NULL : pcm_f32, 960); }

static oh_result write_opus(uint64_t id, int null)
{
    return oh_track_write_opus((oh_track){ id }, null ? NULL : opus_silence, sizeof opus_silence);
}

static oh_result track_wait(uint64_t id, int null) { (void)null; return oh_track_wait_writable((oh_track){ id }, 1, 0); }

static oh_result buffered_ms(uint64_t id, int null)
{
    OUTPUT(uint32_t, n);
    oh_result r = oh_track_get_buffered_ms((oh_track){ id }, null ? NULL : &n);
    UNTOUCHED(r, n);
    return r;
}

static oh_result track_drain(uint64_t id, int null) { (void)null; return oh_track_wait_drained((oh_track){ id }, 0); }

static oh_result track_clear(uint64_t id, int null)
{
    OUTPUT(uint64_t, n);
    (void)null;
    oh_result r = oh_track_clear((oh_track){ id }, NULL, &n);
    UNTOUCHED(r, n);
    return r;
}

static oh_result set_muted(uint64_t id, int null) { (void)null; return oh_track_set_muted((oh_track){ id }, 0); }
static oh_result call_free(uint64_t id, int null) { (void)null; oh_call_free((oh_call){ id }); return OH_ERR_HANDLE; }
static oh_result client_free(uint64_t id, int null) { (void)null; oh_client_free((oh_client){ id }); return OH_ERR_HANDLE; }
static oh_result publisher_free(uint64_t id, int null) { (void)null; oh_publisher_free((oh_publisher){ id }); return OH_ERR_HANDLE; }
static oh_result subscriber_free(uint64_t id, int null) { (void)null; oh_subscriber_free((oh_subscriber){ id }); return OH_ERR_HANDLE; }
static oh_result track_free(uint64_t id, int null) { (void)null; oh_track_free((oh_track){ id }); return OH_ERR_HANDLE; }

static const struct function {
    const char *name;
    enum kind kind;
    caller call;
    int nullable; /* NULL with a good handle is OH_ERR_ARGUMENT */
} functions[] = {
    { "oh_call_join", CLIENT, join, 1 },
    { "oh_call_join", CLIENT, join_without_options, 1 },
    { "oh_call_wait_state", CALL, wait_call, 0 },
    { "oh_call_get_state", CALL, state, 1 },
    { "oh_call_get_trace", CALL, trace, 1 },
    { "oh_call_provide_token", CALL, provide_token, 0 },
    { "oh_call_send_custom_event", CALL, send_custom, 1 },
    { "oh_call_send_data", CALL, send_data, 1 },
    { "oh_call_send_text", CALL, send_text, 1 },
    { "oh_call_perform_rpc", CALL, rpc, 1 },
    { "oh_call_answer_rpc", CALL, rpc_answer, 1 },
    { "oh_call_set_attributes", CALL, set_attributes, 0 },
    { "oh_call_get_capabilities", CALL, capabilities, 1 },
    { "oh_subscriber_set_track", SUBSCRIBER, set_track, 1 },
    { "oh_call_leave", CALL, leave, 0 },
    { "oh_call_free", CALL, call_free, 0 },
    { "oh_client_free", CLIENT, client_free, 0 },
    { "oh_call_wait_event", CALL, next_event, 1 },
    { "oh_call_get_wake_fd", CALL, wake_fd, 1 },
    { "oh_call_get_publisher", CALL, publisher, 1 },
    { "oh_publisher_close", PUBLISHER, publisher_close, 0 },
    { "oh_publisher_free", PUBLISHER, publisher_free, 0 },
    { "oh_call_get_stats", CALL, get_stats, 1 },
    { "oh_call_get_participants", CALL, participants, 1 },
    { "oh_track_get_stats", TRACK, track_stats, 1 },
    { "oh_subscriber_get_track_stats", SUBSCRIBER, remote_track_stats, 1 },
    { "oh_call_get_subscriber", CALL, subscriber, 1 },
    { "oh_subscriber_close", SUBSCRIBER, subscriber_close, 0 },
    { "oh_subscriber_free", SUBSCRIBER, subscriber_free, 0 },
    { "oh_call_publish_audio", CALL, publish_audio, 1 },
    { "oh_track_write_s16", TRACK, write_s16, 1 },
    { "oh_track_write_f32", TRACK, write_f32, 1 },
    { "oh_track_write_opus", TRACK, write_opus, 1 },
    { "oh_track_wait_writable", TRACK, track_wait, 0 },
    { "oh_track_get_buffered_ms", TRACK, buffered_ms, 1 },
    { "oh_track_wait_drained", TRACK, track_drain, 0 },
    { "oh_track_clear", TRACK, track_clear, 0 },
    { "oh_track_set_muted", TRACK, set_muted, 0 },
    { "oh_track_free", TRACK, track_free, 0 },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* The functions without a handle; without_handles() calls them. */
static const char *const others[] = {
    "oh_struct_init", "oh_client_new", "oh_participants_free", "oh_get_version_number",
    "oh_event_kind_get_name", "oh_call_state_get_name", "oh_event_free", "oh_get_abi_version", "oh_get_version", "oh_log_set",
    "oh_shutdown_wait", "oh_result_get_message", "oh_result_get_name", "oh_get_last_error", "oh_network_report",
    "oh_access_token_create", "oh_limits_set", "oh_diagnose",
};

static int is_known(const char *name)
{
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (!strcmp(functions[i].name, name)) return 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(others[i], name)) return 1;
    return 0;
}

/* Every declaration after extern "C" must be in one of the two lists. */
static void nothing_is_forgotten(void)
{
    char line[512];
    int seen = 0, inside = 0;
    FILE *header = fopen("include/offhook.h", "r");
    CHECK_THAT(header != NULL, "include/offhook.h is not here: run this test from the root of the project");
    while (fgets(line, sizeof line, header)) {
        if (strstr(line, "extern \"C\"")) inside = 1;
        if (strstr(line, "} /* extern")) inside = 0;
        char *paren = strchr(line, '(');
        /* Declarations begin in the first column, comments and continued lines do not. */
        if (!inside || !paren || line[0] == ' ' || line[0] == '/' || line[0] == '#' || line[0] == '*') continue;
        *paren = 0;
        char *name = paren;
        while (name > line && (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z') || (name[-1] >= '0' && name[-1] <= '9')))
            name--;
        if (strncmp(name, "oh_", 3)) continue;
        CHECK_THAT(is_known(name), "%s is in the header, but not in this test", name);
        seen++;
    }
    fclose(header);
    CHECK_THAT(seen >= 52, "only %d functions were found in the header", seen);
}

static oh_track track_of(oh_call call)
{
    oh_track track;
    CHECK_OK(oh_call_publish_audio(call, NULL, &track));
    return track;
}

/* Creates five good handles, all of one call that `p` owns. */
static void make(peer *p, const char *user, uint64_t ids[KINDS])
{
    oh_publisher pub;
    oh_subscriber sub;
    peer_join(p, user, "handles", NULL);
    p->mic = track_of(p->call);
    CHECK_OK(oh_call_get_publisher(p->call, &pub));
    CHECK_OK(oh_call_get_subscriber(p->call, &sub));
    ids[CLIENT] = p->client.id;
    ids[CALL] = p->call.id;
    ids[PUBLISHER] = pub.id;
    ids[SUBSCRIBER] = sub.id;
    ids[TRACK] = p->mic.id;
}

typedef struct bad {
    uint64_t *ids;
    size_t count;
    const uint64_t *good;
} bad;

static int is_good(const bad *b, uint64_t id, enum kind kind)
{
    return b->good[kind] == id;
}

static void try_all(void *arg, unsigned thread)
{
    bad *b = arg;
    char why[256];
    (void)thread;
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (size_t i = 0; i < b->count; i++) {
            if (is_good(b, b->ids[i], functions[f].kind)) continue;
            for (int null = 0; null <= functions[f].nullable; null++) {
                oh_result r = functions[f].call(b->ids[i], null);
                CHECK_THAT(r == OH_ERR_HANDLE || (null && r == OH_ERR_ARGUMENT), "%s(%#llx)%s is %s", functions[f].name,
                           (unsigned long long)b->ids[i], null ? " with NULL" : "", oh_result_get_name(r));
            }
            oh_call_leave((oh_call){ b->ids[i] == b->good[CALL] ? 0 : b->ids[i] }, NULL);
            CHECK(oh_get_last_error(why, sizeof why) > 0 && strstr(why, "handle"));
        }
    }
}

static void without_handles(void)
{
    oh_client_options where = OH_INIT(oh_client_options);
    OUTPUT(oh_client, client);
    int unowned = 0;

    oh_struct_init(NULL, 64);
    oh_struct_init(&unowned, sizeof unowned); /* no room for a size */
    CHECK_EQ(unowned, 0);
    CHECK_OK(oh_limits_set(NULL)); /* the defaults */
    oh_access_token_options grant = OH_INIT(oh_access_token_options);
    OUTPUT(uint64_t, token);
    CHECK_OH(oh_access_token_create(NULL, (char *)&token, sizeof token, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_access_token_create(&grant, (char *)&token, sizeof token, NULL), OH_ERR_ARGUMENT); /* without key, secret, user, call */
    grant.api_key = grant.api_secret = grant.user_id = grant.call_id = "x";
    CHECK_OH(oh_access_token_create(&grant, NULL, 2048, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_access_token_create(&grant, (char *)&token, sizeof token, NULL), OH_ERR_BUFFER);
    UNTOUCHED(OH_ERR_BUFFER, token);
    CHECK_OH(oh_diagnose(NULL, NULL, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_network_report(-1), OH_ERR_ARGUMENT);
    CHECK_OH(oh_network_report(0), OH_ERR_ARGUMENT);
    CHECK_OH(oh_network_report(4), OH_ERR_ARGUMENT);
    CHECK_OK(oh_network_report(OH_NETWORK_ONLINE));
    CHECK_OH(oh_client_new(NULL, &client), OH_ERR_ARGUMENT);
    UNTOUCHED(OH_ERR_ARGUMENT, client);
    CHECK_OH(oh_client_new(NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT); /* without url */
    where.url = sfu_url();
    CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT); /* without user or token */
    where.user_id = "nobody";
    CHECK_OH(oh_client_new(&where, NULL), OH_ERR_ARGUMENT);
    UNTOUCHED(OH_ERR_ARGUMENT, client);
    oh_event_free(NULL);
    oh_event_free((const oh_event *)&unowned);
    oh_event_free((const oh_event *)(uintptr_t)0x1234567890);
    CHECK_OH(oh_log_set(-1, NULL, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_log_set(6, NULL, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OK(oh_log_set(OH_LOG_OFF, NULL, NULL, NULL));
    CHECK(oh_get_last_error(NULL, 0) > 0);
    CHECK(oh_get_last_error(NULL, 100) > 0);
    CHECK(oh_event_kind_get_name(INT_MIN) && oh_call_state_get_name(INT_MAX));
    CHECK(oh_result_get_message(INT_MIN) && oh_result_get_name(INT_MAX));
}

int main(void)
{
    peer good = { 0 }, gone = { 0 };
    uint64_t ids[KINDS], stale[KINDS];
    bad b = { .good = ids };

    test_begin("handles");
    test_step(5, "no function is forgotten");
    nothing_is_forgotten();
    test_step(5, "functions without handles");
    without_handles();

    test_step(20, "good handles, and stale ones of each kind");
    make(&good, "good", ids);
    make(&gone, "gone", stale);
    oh_call gone_call = gone.call;
    peer_close(&gone);

    b.ids = calloc(20000, sizeof *b.ids);
    CHECK(b.ids != NULL);
    uint64_t fixed[] = { 0, 1, 2, 255, 256, UINT32_MAX, UINT64_MAX, 1ull << 63, INT64_MAX, 0xdeadbeefdeadbeefull };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) b.ids[b.count++] = fixed[i];
    for (int k = 0; k < KINDS; k++) {
        b.ids[b.count++] = stale[k];
        b.ids[b.count++] = ids[k]; /* of the wrong kind for most functions */
        for (int bit = 0; bit < 64; bit++) b.ids[b.count++] = stale[k] ^ (1ull << bit);
    }
    /* One bit away from a good handle, but not another good one. */
    for (int k = 0; k < KINDS; k++)
        for (int bit = 0; bit < 64; bit++) {
            uint64_t id = ids[k] ^ (1ull << bit);
            int taken = 0;
            for (int other = 0; other < KINDS; other++) taken |= ids[other] == id;
            if (!taken) b.ids[b.count++] = id;
        }
    for (unsigned i = 0; i < rounds(2000); i++) b.ids[b.count++] = test_random();
    /* A stale handle with a changed bit may happen to be a good one: remove those. */
    for (size_t i = 0; i < b.count; i++)
        for (int k = 0; k < KINDS; k++)
            if (b.ids[i] == ids[k] && i >= sizeof fixed / sizeof *fixed + KINDS * 66) b.ids[i] = 0;

    test_step(30, "%zu bad handles, every function", b.count);
    try_all(&b, 0);
    test_step(60, "the same from four threads at once");
    b.count = b.count < 400 ? b.count : 400;
    on_threads(4, try_all, &b);

    test_step(10, "the good ones still work; NULL with them is an argument error");
    for (size_t f = 0; f < FUNCTIONS; f++)
        if (functions[f].nullable)
            CHECK_OH(functions[f].call(ids[functions[f].kind], 1),
                     !strcmp(functions[f].name, "oh_track_write_opus") ? functions[f].call(ids[TRACK], 1) : OH_ERR_ARGUMENT);
    CHECK_OH(write_opus(ids[TRACK], 0), OH_ERR_STATE); /* a track of samples */
    int32_t s;
    /* Under a checker it may have lost the connection while the threads above took the machine. */
    CHECK_OK(oh_call_wait_state(good.call, OH_STATE_JOINED, test_scale() > 1 ? ms(15000) : 0));
    CHECK_OH(oh_call_wait_state(good.call, OH_STATE_LEFT, 0), OH_ERR_TIMEOUT);
    CHECK_OH(oh_call_wait_state(good.call, 99, 0), OH_ERR_ARGUMENT);
    CHECK_OK(oh_track_set_muted(good.mic, 1));
    CHECK_OH(next_event(ids[CALL], 0), OH_ERR_STATE); /* it has handlers */
    CHECK_OH(wake_fd(ids[CALL], 0), OH_ERR_STATE);

    test_step(10, "the parts of a call are freed with it, or before it");
    oh_subscriber sub, sub2;
    oh_publisher pub, pub2;
    CHECK_OK(oh_call_get_subscriber(good.call, &sub));
    CHECK_EQ(sub.id, ids[SUBSCRIBER]);
    CHECK_OK(oh_call_get_publisher(good.call, &pub));
    CHECK_EQ(pub.id, ids[PUBLISHER]);
    oh_subscriber_free(sub);
    oh_subscriber_free(sub);
    CHECK_OH(oh_subscriber_close(sub), OH_ERR_HANDLE);
    CHECK_OK(oh_call_get_subscriber(good.call, &sub2)); /* the same, stale one */
    CHECK_EQ(sub2.id, sub.id);
    CHECK_OK(oh_publisher_close(pub));
    CHECK_OK(oh_publisher_close(pub));
    CHECK_OH(write_s16(ids[TRACK], 0), OH_ERR_CLOSED);
    CHECK_OH(publish_audio(ids[CALL], 0), OH_ERR_CLOSED);
    oh_publisher_free(pub);
    oh_publisher_free(pub);
    CHECK_OH(oh_publisher_close(pub), OH_ERR_HANDLE);
    CHECK_OK(oh_call_get_publisher(good.call, &pub2));
    CHECK_EQ(pub2.id, pub.id);
    oh_track_free(good.mic);
    oh_track_free(good.mic);
    CHECK_OH(write_s16(ids[TRACK], 0), OH_ERR_HANDLE);
    CHECK_OK(oh_call_wait_state(good.call, OH_STATE_JOINED, 0)); /* the call continues */

    test_step(10, "after the end, and after the client was freed");
    CHECK_OH(oh_call_get_state(gone_call, &s), OH_ERR_HANDLE);
    oh_client client = good.client;
    oh_call call = good.call;
    peer_close(&good);
    CHECK_OH(oh_call_get_state(call, &s), OH_ERR_HANDLE);
    CHECK_OH(join(client.id, 0), OH_ERR_HANDLE);
    oh_call_free(call);
    oh_client_free(client);
    for (int k = 0; k < KINDS; k++)
        for (size_t f = 0; f < FUNCTIONS; f++) CHECK_OH(functions[f].call(ids[k], 0), OH_ERR_HANDLE);
    free(b.ids);
    return test_end();
}
