/*
 * abi.c - sizes of structures, defaults by macro and by function, names of numbers, version.
 *
 * Expected: the INIT macros give byte for byte what the init functions give; a structure that is smaller
 * than the library's, absurdly large, or larger with something unknown in it is OH_ERR_ABI, one that is
 * larger with zeros is fine; of oh_call_stats no more is written than both sides know.
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
_Static_assert(offsetof(oh_client_options, size) == 0 && offsetof(oh_call_options, size) == 0 &&
               offsetof(oh_audio_track_options, size) == 0 && offsetof(oh_call_stats, size) == 0 &&
               offsetof(oh_data_options, size) == 0 && offsetof(oh_rpc_options, size) == 0 &&
               offsetof(oh_remote_track_options, size) == 0 && offsetof(oh_access_token_options, size) == 0 &&
               offsetof(oh_event, size) == 0 && offsetof(oh_audio_frame, size) == 0, "structures begin with their size");
_Static_assert(sizeof(oh_event_data) == 24 * 8, "the size of an event does not change");
_Static_assert(sizeof(oh_client_options) % 8 == 0 && sizeof(oh_call_options) % 8 == 0, "no padding at the end");
_Static_assert(sizeof(oh_data_options) == 8 + 2 * sizeof(void *) + 8 && sizeof(oh_rpc_options) == 8 + 3 * sizeof(void *) &&
               sizeof(oh_remote_track_options) == 32 && sizeof(oh_access_token_options) == 8 + 7 * sizeof(void *) + 24,
               "no padding");

static void defaults(void)
{
    oh_client_options client = OH_INIT(oh_client_options), client2;
    oh_call_options call = OH_INIT(oh_call_options), call2;
    oh_audio_track_options track = OH_INIT(oh_audio_track_options), track2;
    memset(&client2, 0xa5, sizeof client2);
    memset(&call2, 0xa5, sizeof call2);
    memset(&track2, 0xa5, sizeof track2);
    oh_struct_init(&client2, sizeof client2);
    oh_struct_init(&call2, sizeof call2);
    oh_struct_init(&track2, sizeof track2);
    CHECK(!memcmp(&client, &client2, sizeof client));
    CHECK(!memcmp(&call, &call2, sizeof call));
    CHECK(!memcmp(&track, &track2, sizeof track));
    CHECK_EQ(client.size, sizeof client);
    CHECK_EQ(call.size, sizeof call);
    CHECK_EQ(call.join_retries, 3);
    CHECK_EQ(track.size, sizeof track);
    CHECK_EQ(track.complexity, -1);
    oh_data_options data = OH_INIT(oh_data_options), data2;
    oh_rpc_options rpc = OH_INIT(oh_rpc_options), rpc2;
    oh_remote_track_options remote = OH_INIT(oh_remote_track_options), remote2;
    oh_access_token_options token = OH_INIT(oh_access_token_options), token2;
    memset(&data2, 0xa5, sizeof data2);
    memset(&rpc2, 0xa5, sizeof rpc2);
    memset(&remote2, 0xa5, sizeof remote2);
    memset(&token2, 0xa5, sizeof token2);
    oh_struct_init(&data2, sizeof data2);
    oh_struct_init(&rpc2, sizeof rpc2);
    oh_struct_init(&remote2, sizeof remote2);
    oh_struct_init(&token2, sizeof token2);
    CHECK(!memcmp(&data, &data2, sizeof data));
    CHECK(!memcmp(&rpc, &rpc2, sizeof rpc));
    CHECK(!memcmp(&remote, &remote2, sizeof remote));
    CHECK(!memcmp(&token, &token2, sizeof token));
    CHECK_EQ(data.size, sizeof data);
    CHECK_EQ(rpc.size, sizeof rpc);
    CHECK_EQ(remote.size, sizeof remote);
    CHECK_EQ(token.size, sizeof token);
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
    for (int i = OH_EVENT_STATE; i <= OH_EVENT_SUBSCRIPTION_PERMISSION; i++) {
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

/* A structure of the library with `extra` bytes of a later header behind it. */
typedef struct larger {
    union {
        uint32_t size;
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

/* The call's protocol has none of these: what it says then is said after the structure was looked at. */
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

/* `first` is the size in the first version of the header: what is between is of an older one, and taken. */
static void sizes(const char *what, larger *l, uint32_t size, uint32_t first, oh_result (*try)(larger *))
{
    static const uint32_t bad[] = { 0, 1, 4, 8, 16, 1u << 20, INT32_MAX, UINT32_MAX };
    unsigned char *end = (unsigned char *)l + size; /* the later part begins here, whatever the union's size */
    test_step(20, "sizes of %s", what);
    memset(end, 0, sizeof *l - size);
    CHECK_EQ(l->u.size, size);
    CHECK_OK(try(l));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        l->u.size = bad[i];
        CHECK_OH(try(l), OH_ERR_ABI);
    }
    l->u.size = first - 1;
    CHECK_OH(try(l), OH_ERR_ABI);
    for (uint32_t old = first; old < size; old += 4) {
        unsigned char *grown = (unsigned char *)l + old;
        unsigned char kept[256];
        CHECK(size - old <= sizeof kept);
        memcpy(kept, grown, size - old);
        memset(grown, 0xff, size - old); /* what an older header does not have is not read */
        l->u.size = old;
        CHECK_OK(try(l));
        memcpy(grown, kept, size - old);
    }
    for (uint32_t more = 1; more <= 256; more *= 4) {
        l->u.size = size + more;
        CHECK_OK(try(l));
        end[more - 1] = 1; /* an option that this library does not know */
        CHECK_OH(try(l), OH_ERR_ABI);
        end[more - 1] = 0;
    }
    l->u.size = size;
    end[0] = 1; /* beyond the size that is said: not looked at */
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
    sizes("oh_client_options", l, sizeof l->u.client, offsetof(oh_client_options, allow_other_hosts), try_client);
    oh_struct_init(&l->u.call, sizeof l->u.call);
    l->u.call.id = "abi2";
    sizes("oh_call_options", l, sizeof l->u.call, offsetof(oh_call_options, drain_ms), try_call);
    oh_struct_init(&l->u.track, sizeof l->u.track);
    sizes("oh_audio_track_options", l, sizeof l->u.track, offsetof(oh_audio_track_options, live), try_track);

    oh_struct_init(&l->u.data, sizeof l->u.data);
    sizes("oh_data_options, packets", l, sizeof l->u.data, sizeof l->u.data, try_data);
    sizes("oh_data_options, texts", l, sizeof l->u.data, sizeof l->u.data, try_text);
    oh_struct_init(&l->u.rpc, sizeof l->u.rpc);
    l->u.rpc.to = l->u.rpc.method = "x";
    sizes("oh_rpc_options", l, sizeof l->u.rpc, sizeof l->u.rpc, try_rpc);
    oh_struct_init(&l->u.remote, sizeof l->u.remote);
    sizes("oh_remote_track_options", l, sizeof l->u.remote, sizeof l->u.remote, try_remote);
    oh_struct_init(&l->u.token, sizeof l->u.token);
    l->u.token.api_key = l->u.token.api_secret = l->u.token.user_id = l->u.token.call_id = "x";
    sizes("oh_access_token_options", l, sizeof l->u.token, sizeof l->u.token, try_token);

    test_step(5, "oh_call_stats");
    memset(l, 0x77, sizeof *l);
    const uint32_t first = offsetof(oh_call_stats, packets_unplayable);
    for (uint32_t size = 0; size < first; size += 4) {
        l->u.size = size;
        CHECK_OH(oh_call_get_stats(p.call, &l->u.stats), OH_ERR_ABI);
    }
    for (uint32_t size = first; size < sizeof l->u.stats; size += 4) { /* of an older header */
        memset(l, 0x77, sizeof *l);
        l->u.size = size;
        CHECK_OK(oh_call_get_stats(p.call, &l->u.stats));
        CHECK_EQ(l->u.stats.size, size);
        for (size_t i = size; i < sizeof *l; i++) CHECK_EQ(((unsigned char *)l)[i], 0x77);
    }
    l->u.size = sizeof l->u.stats;
    CHECK_OK(oh_call_get_stats(p.call, &l->u.stats));
    CHECK_EQ(l->u.stats.size, sizeof l->u.stats);
    CHECK_EQ(l->u.stats.participants, 1);
    l->u.size = sizeof *l; /* of a later header: only what this library knows is written */
    CHECK_OK(oh_call_get_stats(p.call, &l->u.stats));
    for (size_t i = sizeof l->u.stats; i < sizeof *l; i++) CHECK_EQ(((unsigned char *)l)[i], 0x77);

    test_step(10, "the end");
    peer_close(&p);
    free(l);
    return test_end();
}
