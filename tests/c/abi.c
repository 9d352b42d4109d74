/*
 * abi.c - sizes of structures, defaults by macro and by function, names of codes, version.
 *
 * Expected: OH_INIT and oh_struct_init give the same bytes. A structure that is smaller than in the first release,
 * absurdly large, or larger with unknown members set gives OH_ERR_ABI with the structure's name; one that is larger
 * with zeros is accepted. Statistics are filled only as far as both sides know them.
 */
#include "peer.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(oh_client) == 8 && sizeof(oh_call) == 8 && sizeof(oh_publisher) == 8 &&
               sizeof(oh_subscriber) == 8 && sizeof(oh_track) == 8, "a handle is one 64-bit number");
_Static_assert(sizeof(oh_result) == 4, "oh_result is an int32_t");
_Static_assert(sizeof(oh_bool) == 4 && sizeof(oh_call_state) == 4 && sizeof(oh_rights) == 8, "widths");
_Static_assert(sizeof(oh_event_payload) == sizeof(void *), "events hold pointers");

/* Each structure that a program creates begins with its size, and its defaults are zeros. */
#define DEFAULTS(type) do { \
        type by_macro = OH_INIT(type), by_function; \
        memset(&by_function, 0xa5, sizeof by_function); \
        oh_struct_init(&by_function, sizeof by_function); \
        CHECK(!memcmp(&by_macro, &by_function, sizeof by_macro)); \
        CHECK_EQ(by_macro.size, sizeof by_macro); \
        CHECK_EQ(offsetof(type, size), 0); \
        memset(&by_function, 0, sizeof by_function); \
        by_function.size = sizeof by_function; \
        CHECK(!memcmp(&by_macro, &by_function, sizeof by_macro)); \
    } while (0)

static void defaults(void)
{
    DEFAULTS(oh_client_options);
    DEFAULTS(oh_call_options);
    DEFAULTS(oh_call_handlers);
    DEFAULTS(oh_audio_track_options);
    DEFAULTS(oh_data_options);
    DEFAULTS(oh_rpc_options);
    DEFAULTS(oh_remote_track_options);
    DEFAULTS(oh_access_token_options);
    DEFAULTS(oh_diagnose_options);
    DEFAULTS(oh_ice_server);
    DEFAULTS(oh_limits);
    DEFAULTS(oh_call_stats);
    DEFAULTS(oh_track_stats);
    DEFAULTS(oh_remote_track_stats);
    unsigned char room[16];
    memset(room, 0xa5, sizeof room);
    oh_struct_init(room, 4); /* no room for a size */
    CHECK_EQ(room[0], 0xa5);
    oh_struct_init(NULL, 64);
}

static void names(void)
{
    static const struct { int32_t code; const char *name; } results[] = {
        { 0, "OH_OK" }, { -1, "OH_ERR_ARGUMENT" }, { -2, "OH_ERR_HANDLE" }, { -3, "OH_ERR_STATE" },
        { -4, "OH_ERR_CLOSED" }, { -5, "OH_ERR_FULL" }, { -6, "OH_ERR_TIMEOUT" }, { -7, "OH_ERR_WOULD_DEADLOCK" },
        { -8, "OH_ERR_UNSUPPORTED" }, { -9, "OH_ERR_NETWORK" }, { -10, "OH_ERR_TLS" }, { -11, "OH_ERR_REFUSED" },
        { -12, "OH_ERR_PROTOCOL" }, { -13, "OH_ERR_AUTH" }, { -14, "OH_ERR_CANCELLED" }, { -15, "OH_ERR_LIMIT" },
        { -16, "OH_ERR_INSECURE" }, { -17, "OH_ERR_FORKED" }, { -18, "OH_ERR_MEDIA" }, { -19, "OH_ERR_INTERNAL" },
        { -20, "OH_ERR_ABI" }, { -21, "OH_ERR_EMPTY" }, { -22, "OH_ERR_BUFFER" },
    };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        CHECK_STR(oh_result_get_name(results[i].code), results[i].name);
        CHECK(strlen(oh_result_get_message(results[i].code)) > 3);
        CHECK(strcmp(oh_result_get_message(results[i].code), "unknown result") != 0);
    }
    static const int32_t unknown[] = { 100, 1000000, -1000, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_STR(oh_result_get_message(unknown[i]), "unknown result");
        CHECK(oh_result_get_name(unknown[i])[0] != 0);
        CHECK_STR(oh_event_kind_get_name(unknown[i]), "unknown");
        CHECK_STR(oh_call_state_get_name(unknown[i]), "unknown");
    }
    CHECK_STR(oh_result_get_message(1), "unknown result");
    CHECK_STR(oh_event_kind_get_name(0), "unknown");
    CHECK_STR(oh_call_state_get_name(-1), "unknown");
    CHECK_STR(oh_event_kind_get_name(OH_EVENT_PARTICIPANT_JOINED), "participant_joined");
    CHECK_STR(oh_call_state_get_name(OH_STATE_JOINED), "joined");
    for (int i = OH_EVENT_STATE; i <= OH_EVENT_ICE_SERVER; i++) {
        CHECK(strcmp(oh_event_kind_get_name(i), "unknown") != 0);
        for (int j = OH_EVENT_STATE; j < i; j++) CHECK(strcmp(oh_event_kind_get_name(i), oh_event_kind_get_name(j)) != 0);
    }
    for (int i = OH_STATE_IDLE; i <= OH_STATE_LEFT; i++) {
        CHECK(strcmp(oh_call_state_get_name(i), "unknown") != 0);
        for (int j = OH_STATE_IDLE; j < i; j++) CHECK(strcmp(oh_call_state_get_name(i), oh_call_state_get_name(j)) != 0);
    }
}

static void last_error(void)
{
    char whole[1024], part[8];
    memset(part, 'x', sizeof part);
    CHECK_OH(oh_call_leave((oh_call){ 0 }, NULL), OH_ERR_HANDLE);
    size_t need = oh_get_last_error(whole, sizeof whole);
    CHECK(need > 8 && need < sizeof whole);
    CHECK_EQ(strlen(whole), need);
    CHECK_EQ(oh_get_last_error(part, 4), need);
    CHECK(!memcmp(part, whole, 3) && part[3] == 0 && part[4] == 'x');
    CHECK_EQ(oh_get_last_error(part, 1), need);
    CHECK_EQ(part[0], 0);
    part[0] = 'x';
    CHECK_EQ(oh_get_last_error(part, 0), need);
    CHECK_EQ(part[0], 'x');
    CHECK_EQ(oh_get_last_error(NULL, 0), need);
    CHECK(oh_get_version() && oh_get_last_error(part, 4) == need); /* success does not clear it */
}

/* A structure of the library, followed by `extra` bytes of a later header. */
typedef struct larger {
    union {
        size_t size;
        oh_client_options client;
        oh_call_options call;
        oh_audio_track_options track;
        oh_data_options data;
        oh_rpc_options rpc;
        oh_remote_track_options remote;
        oh_access_token_options token;
        oh_call_stats stats;
    } u;
    unsigned char later[8192];
} larger;

static oh_result try_client(larger *l)
{
    oh_client client = { 0 };
    oh_result r = oh_client_new(&l->u.client, &client);
    CHECK_EQ(client.id != 0, r == OH_OK);
    oh_client_free(client);
    return r;
}

static oh_client joined_by;
static oh_result try_call(larger *l)
{
    oh_call call = { 0 };
    oh_result r = oh_call_join(joined_by, &l->u.call, &call);
    CHECK_EQ(call.id != 0, r == OH_OK);
    oh_call_free(call);
    return r;
}

static oh_call published_in;
static oh_result try_track(larger *l)
{
    oh_track track = { 0 };
    oh_result r = oh_call_publish_audio(published_in, &l->u.track, &track);
    CHECK_EQ(track.id != 0, r == OH_OK);
    oh_track_free(track);
    return r;
}

/*
 * The call's protocol supports none of these functions: OH_ERR_UNSUPPORTED is returned after the structure was
 * checked.
 */
static oh_result supported(oh_result r)
{
    return r == OH_ERR_UNSUPPORTED ? OH_OK : r;
}

static oh_result try_data(larger *l) { return supported(oh_call_send_data(published_in, &l->u.data, "x", 1)); }
static oh_result try_text(larger *l) { return supported(oh_call_send_text(published_in, &l->u.data, "x")); }
static oh_result try_rpc(larger *l) { return supported(oh_call_perform_rpc(published_in, &l->u.rpc, NULL)); }

static oh_result try_remote(larger *l)
{
    oh_subscriber subscriber;
    CHECK_OK(oh_call_get_subscriber(published_in, &subscriber));
    return supported(oh_subscriber_set_track(subscriber, "x", &l->u.remote));
}

static oh_result try_token(larger *l)
{
    char token[2048];
    return oh_access_token_create(&l->u.token, token, sizeof token, NULL);
}

/* `name`: of the structure; the error text must begin with it. */
static void sizes(const char *name, larger *l, size_t size, oh_result (*try)(larger *))
{
    const size_t bad[] = { 0, 1, 4, 8, 16, size - 1, size + 4097, 1u << 20, INT32_MAX, SIZE_MAX };
    unsigned char *end = (unsigned char *)l + size; /* the later part begins here, whatever the union's size */
    char why[512];
    test_step(20, "sizes of %s", name);
    memset(end, 0, sizeof *l - size);
    CHECK_EQ(l->u.size, size);
    CHECK_OK(try(l));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        l->u.size = bad[i];
        CHECK_OH(try(l), OH_ERR_ABI);
        oh_get_last_error(why, sizeof why);
        CHECK_THAT(!strncmp(why, name, strlen(name)) && why[strlen(name)] == '.', "'%s' does not begin with %s", why, name);
    }
    for (size_t more = 1; more <= 256; more *= 4) {
        l->u.size = size + more;
        CHECK_OK(try(l));
        end[more - 1] = 1; /* an option that this library does not know */
        CHECK_OH(try(l), OH_ERR_ABI);
        oh_get_last_error(why, sizeof why);
        CHECK_THAT(!strncmp(why, name, strlen(name)) && why[strlen(name)] == ' ', "'%s' does not begin with %s", why, name);
        end[more - 1] = 0;
    }
    l->u.size = size;
    end[0] = 1; /* beyond the given size: ignored */
    CHECK_OK(try(l));
    end[0] = 0;
}

int main(void)
{
    unsigned major, minor, patch;
    char rest;
    peer p = { 0 };
    larger *l = calloc(1, sizeof *l);

    test_begin("abi");
    test_step(5, "version");
    CHECK(l != NULL);
    CHECK_EQ(oh_get_abi_version(), OH_ABI_VERSION);
    CHECK_EQ(sscanf(oh_get_version(), "%u.%u.%u%c", &major, &minor, &patch, &rest), 3);
    CHECK_STR(oh_get_version(), OH_VERSION);
    CHECK(major == OH_VERSION_MAJOR && minor == OH_VERSION_MINOR && patch == OH_VERSION_PATCH);
    CHECK_EQ(oh_get_version_number(), OH_VERSION_NUMBER);
    CHECK_EQ(OH_VERSION_NUMBER, major * 1000000 + minor * 1000 + patch);
    test_step(5, "defaults");
    defaults();
    test_step(5, "names");
    names();
    test_step(5, "oh_get_last_error");
    last_error();

    test_step(15, "a call to try with");
    peer_join(&p, "abi", "abi", NULL);
    joined_by = p.client;
    published_in = p.call;

    oh_struct_init(&l->u.client, sizeof l->u.client);
    l->u.client.url = sfu_url();
    l->u.client.user_id = "abi2";
    sizes("oh_client_options", l, sizeof l->u.client, try_client);
    oh_struct_init(&l->u.call, sizeof l->u.call);
    l->u.call.call_id = "abi2";
    sizes("oh_call_options", l, sizeof l->u.call, try_call);
    oh_struct_init(&l->u.track, sizeof l->u.track);
    sizes("oh_audio_track_options", l, sizeof l->u.track, try_track);

    oh_struct_init(&l->u.data, sizeof l->u.data);
    sizes("oh_data_options", l, sizeof l->u.data, try_data);
    sizes("oh_data_options", l, sizeof l->u.data, try_text);
    oh_struct_init(&l->u.rpc, sizeof l->u.rpc);
    l->u.rpc.to = l->u.rpc.method = "x";
    sizes("oh_rpc_options", l, sizeof l->u.rpc, try_rpc);
    oh_struct_init(&l->u.remote, sizeof l->u.remote);
    sizes("oh_remote_track_options", l, sizeof l->u.remote, try_remote);
    oh_struct_init(&l->u.token, sizeof l->u.token);
    l->u.token.api_key = l->u.token.api_secret = l->u.token.user_id = l->u.token.call_id = "x";
    sizes("oh_access_token_options", l, sizeof l->u.token, try_token);

    test_step(5, "oh_call_stats");
    const size_t whole = sizeof l->u.stats, wrong[] = { 0, 4, 8, whole - 1, whole + 4097, SIZE_MAX };
    memset(l, 0x77, sizeof *l);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        l->u.size = wrong[i];
        CHECK_OH(oh_call_get_stats(p.call, &l->u.stats), OH_ERR_ABI);
        for (size_t k = sizeof l->u.size; k < sizeof *l; k++) CHECK_EQ(((unsigned char *)l)[k], 0x77);
    }
    for (size_t more = 0; more <= 4096; more += 2048) { /* a later header: only known members are written */
        memset(l, 0x77, sizeof *l);
        l->u.size = whole + more;
        CHECK_OK(oh_call_get_stats(p.call, &l->u.stats));
        CHECK_EQ(l->u.stats.size, whole);
        CHECK_EQ(l->u.stats.participants, 1);
        for (size_t i = whole; i < sizeof *l; i++) CHECK_EQ(((unsigned char *)l)[i], 0x77);
    }

    test_step(10, "the end");
    peer_close(&p);
    free(l);
    return test_end();
}
