/*
 * rights.c - rights by token and by the server API, and their enforcement.
 * test: timeout=150
 *
 * Expected: publishing without the right is refused at once, or by LOCAL_FAILED when that is known later or the
 * right is revoked while the track is published, and is allowed again when the right is restored; a remotely muted
 * track is reported, is silent, and may be unmuted; removed, room deleted and replaced are three different ends;
 * name, metadata and attributes reach the others, or are refused; the room's metadata is reported; tokens that are
 * expired, forged or of a wrong key end with OH_ERR_AUTH and the server's text, and no text or log line contains a
 * token; oh_access_token_create names invalid arguments.
 */
#include "livekit.h"
#include "peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A participant's name, metadata and attributes in its last event. */
typedef struct self {
    char user[64], name[64], metadata[256], attributes[256];
} self;

static void remember(recorder *r, oh_call call, const oh_event *e)
{
    self *s = r->data;
    (void)call;
    if (e->kind != OH_EVENT_PARTICIPANT_JOINED && e->kind != OH_EVENT_PARTICIPANT_UPDATED) return;
    if (strcmp(e->u.participant->user_id, s->user)) return;
    pthread_mutex_lock(&r->lock);
    snprintf(s->name, sizeof s->name, "%s", e->u.participant->name);
    snprintf(s->metadata, sizeof s->metadata, "%s", e->u.participant->metadata);
    snprintf(s->attributes, sizeof s->attributes, "%s", e->u.participant->attributes_json);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static int has_values(recorder *r, void *arg)
{
    self *is = r->data, *wanted = arg;
    return !strcmp(is->name, wanted->name) && !strcmp(is->metadata, wanted->metadata) &&
           !strcmp(is->attributes, wanted->attributes);
}

static void expect_self(peer *listener, const char *name, const char *metadata, const char *attributes)
{
    self wanted = { 0 }, *is = listener->rec->data;
    snprintf(wanted.name, sizeof wanted.name, "%s", name);
    snprintf(wanted.metadata, sizeof wanted.metadata, "%s", metadata);
    snprintf(wanted.attributes, sizeof wanted.attributes, "%s", attributes);
    CHECK_THAT(rec_wait_until(listener->rec, has_values, &wanted, ms(5000)), "%s has name '%s', metadata '%s', attributes '%s'",
               is->user, is->name, is->metadata, is->attributes);
}

static void join_with(peer *p, const char *user, const char *room, const oh_access_token_options *grants)
{
    oh_call_options what = OH_INIT(oh_call_options);
    char token[4096];
    livekit_token(user, room, grants, token, sizeof token);
    what.token = token;
    peer_join(p, user, room, &what);
}

/* Exactly one LOCAL_FAILED event with OH_ERR_REFUSED for this track of `p`. */
static void expect_refused(peer *p, size_t mark, uint64_t track)
{
    rec_event e = EXPECT_FROM(p->rec, mark, OH_EVENT_LOCAL_TRACK_FAILED, NULL, ms(5000));
    CHECK_EQ(e.error, OH_ERR_REFUSED);
    CHECK_EQ(e.track, track);
}

static void permit(const char *room, const char *user, int publish)
{
    ctl("update_participant",
        "{\"room\":\"%s\",\"identity\":\"%s\",\"permission\":{\"can_subscribe\":true,\"can_publish\":%s,\"can_publish_data\":true}}",
        room, user, publish ? "true" : "false");
}

static void without_the_right(void)
{
    peer no_publish_peer = { 0 }, receive_disabled = { 0 }, bob = { 0 };
    oh_access_token_options grants = OH_INIT(oh_access_token_options);
    oh_call_options what = OH_INIT(oh_call_options);
    char token[4096];
    rec_event e;

    test_step(20, "a token without the right to publish");
    grants.no_publish = 1;
    join_with(&no_publish_peer, "no_publish", "without", &grants);
    e = EXPECT(no_publish_peer.rec, OH_EVENT_RIGHTS, NULL, ms(5000));
    CHECK_EQ(e.code, 0);
    CHECK_OH(oh_call_publish_audio(no_publish_peer.call, NULL, &no_publish_peer.mic), OH_ERR_REFUSED);
    peer_close(&no_publish_peer);
    livekit_token("no_publish", "without", &grants, token, sizeof token); /* published before the rights are known */
    what.token = token;
    peer_open(&no_publish_peer, "no_publish", "without", &what);
    if (oh_call_publish_audio(no_publish_peer.call, NULL, &no_publish_peer.mic) != OH_ERR_REFUSED) /* known already after a quick join */
        expect_refused(&no_publish_peer, 0, no_publish_peer.mic.id);
    CHECK_OK(oh_call_wait_state(no_publish_peer.call, OH_STATE_JOINED, ms(5000)));

    test_step(20, "a token without the right to receive");
    grants.no_publish = 0;
    grants.no_subscribe = 1;
    peer_join(&bob, "bob", "without", NULL);
    join_with(&receive_disabled, "receive_disabled", "without", &grants);
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "receive_disabled", ms(5000)); /* is present, although it is not active */
    peer_publish_tone(&bob, 440);
    peer_publish_tone(&receive_disabled, 620);
    CHECK_THAT(rec_wait_tone(bob.rec, "receive_disabled", 620, ms(10000)), "bob does not receive the participant without subscribe right");
    CHECK_THAT(rec_wait_tone(no_publish_peer.rec, "bob", 440, ms(10000)), "no_publish_peer does not receive bob's audio");
    CHECK_EQ(rec_frames(receive_disabled.rec, NULL), 0);
    CHECK_EQ(peer_stats(&receive_disabled).reconnect_attempts, 0);
    peer_close(&receive_disabled);
    peer_close(&no_publish_peer);
    peer_close(&bob);
}

static void taken_away(void)
{
    peer alice = { 0 }, bob = { 0 };
    rec_event e;
    size_t mark, mark2;
    char track[256];

    test_step(20, "the right is revoked while published");
    peer_join(&alice, "alice", "taken", NULL);
    peer_join(&bob, "bob", "taken", NULL);
    peer_publish_tone(&alice, 440);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's audio");
    mark = rec_mark(alice.rec);
    mark2 = rec_mark(bob.rec);
    permit("taken", "alice", 0);
    e = EXPECT_FROM(alice.rec, mark, OH_EVENT_RIGHTS, NULL, ms(5000));
    CHECK_EQ(e.code, 0);
    expect_refused(&alice, mark, alice.mic.id);
    EXPECT_FROM(bob.rec, mark2, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    tone_stop(alice.tone);
    oh_track_free(alice.mic);
    CHECK_OH(oh_call_publish_audio(alice.call, NULL, &alice.mic), OH_ERR_REFUSED);

    test_step(20, "and given back");
    mark = rec_mark(alice.rec);
    mark2 = rec_mark(bob.rec);
    permit("taken", "alice", 1);
    e = EXPECT_FROM(alice.rec, mark, OH_EVENT_RIGHTS, NULL, ms(5000));
    CHECK_EQ(e.code, 1);
    peer_publish_tone(&alice, 620);
    EXPECT_FROM(alice.rec, mark, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(5000));
    e = EXPECT_FROM(bob.rec, mark2, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    snprintf(track, sizeof track, "%s", e.text);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 620, ms(10000)), "bob does not receive alice's audio after her right is restored");
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_LOCAL_TRACK_FAILED), 1);

    test_step(20, "muted from outside, and unmuted by the application");
    for (int round = 0; round < 2; round++) {
        mark = rec_mark(alice.rec);
        mark2 = rec_mark(bob.rec);
        ctl("mute", "{\"room\":\"taken\",\"identity\":\"alice\",\"track_sid\":\"%s\",\"muted\":true}", track);
        e = EXPECT_FROM(alice.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
        CHECK_EQ(e.cause, 3);
        CHECK_EQ(e.code, OH_SOURCE_MICROPHONE);
        EXPECT_FROM(bob.rec, mark2, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
        CHECK_THAT(rec_wait_no_tone(bob.rec, "alice", 620, ms(5000)), "bob receives alice's audio, which was muted");
        mark2 = rec_mark(bob.rec);
        CHECK_OK(oh_track_set_muted(alice.mic, 0));
        e = EXPECT_FROM(bob.rec, mark2, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
        CHECK_STR(e.text, track);
        CHECK_THAT(rec_wait_tone(bob.rec, "alice", 620, ms(5000)), "bob does not receive alice's audio after her own unmute");
    }
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(peer_stats(&alice).reconnect_attempts, 0);
    peer_close(&alice);
    peer_close(&bob);
}

static void expect_end(peer *p, int code)
{
    rec_event e = EXPECT(p->rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_EQ(e.code, code);
    CHECK_EQ(peer_stats(p).reconnect_attempts, 0);
    peer_close(p);
}

static void ends(void)
{
    peer alice = { 0 }, bob = { 0 }, twin = { 0 }, other = { 0 };

    test_step(20, "removed");
    peer_join(&alice, "alice", "ends", NULL);
    peer_join(&bob, "bob", "ends", NULL);
    peer_publish_tone(&alice, 440);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's audio");
    ctl("remove", "{\"room\":\"ends\",\"identity\":\"alice\"}");
    expect_end(&alice, OH_END_KICKED);
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_LEFT, "alice", ms(5000));

    test_step(20, "replaced by another one of the same name");
    peer_join(&twin, "twin", "ends", NULL);
    EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "twin", ms(5000));
    size_t mark = rec_mark(bob.rec);
    peer_join(&other, "twin", "ends", NULL);
    expect_end(&twin, OH_END_REPLACED);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_PARTICIPANT_JOINED, "twin", ms(5000));
    peer_publish_tone(&other, 620);
    CHECK_THAT(rec_wait_tone(bob.rec, "twin", 620, ms(10000)), "bob does not receive the second twin's audio");
    CHECK_OK(oh_call_wait_state(other.call, OH_STATE_JOINED, 0));
    CHECK_EQ(peer_stats(&other).reconnect_attempts, 0);

    test_step(20, "the room is deleted");
    ctl("delete_room", "{\"room\":\"ends\"}");
    expect_end(&other, OH_END_CALL_ENDED);
    expect_end(&bob, OH_END_CALL_ENDED);
}

static void attributes(void)
{
    peer alice = { 0 }, bob = { 0 }, carol = { 0 };
    oh_access_token_options grants = OH_INIT(oh_access_token_options);
    self alice_is = { .user = "alice" };
    rec_event e;

    test_step(20, "name, metadata and attributes, from the token and changed");
    bob.rec = rec_new();
    bob.rec->on_event = remember;
    bob.rec->data = &alice_is;
    peer_join(&bob, "bob", "attributes", NULL);
    grants.name = "Alice";
    grants.metadata = "m0";
    grants.attributes_json = "{\"b\":\"2\",\"a\":\"1\"}";
    grants.allow_set_attributes = 1;
    join_with(&alice, "alice", "attributes", &grants);
    expect_self(&bob, "Alice", "m0", "{\"a\":\"1\",\"b\":\"2\"}");
    CHECK_OK(oh_call_set_attributes(alice.call, "Alice \xc3\x84.", NULL, NULL));
    expect_self(&bob, "Alice \xc3\x84.", "m0", "{\"a\":\"1\",\"b\":\"2\"}");
    CHECK_OK(oh_call_set_attributes(alice.call, NULL, "{\"m\":1}", "{\"a\":\"\",\"c\":\"3\"}"));
    expect_self(&bob, "Alice \xc3\x84.", "{\"m\":1}", "{\"b\":\"2\",\"c\":\"3\"}");
    CHECK_OH(oh_call_set_attributes(alice.call, NULL, NULL, "{\"a\":1}"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_set_attributes(alice.call, "\xff", NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OK(oh_call_set_attributes(alice.call, NULL, NULL, NULL)); /* without any change */
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_ERROR), 0);

    test_step(20, "refused without the right, and by the application's server");
    grants.allow_set_attributes = 0;
    join_with(&carol, "carol", "attributes", &grants);
    CHECK_OH(oh_call_set_attributes(carol.call, "Caroline", NULL, NULL), OH_ERR_REFUSED);
    CHECK_EQ(rec_count(carol.rec, OH_EVENT_ERROR), 0);
    ctl("update_participant", "{\"room\":\"attributes\",\"identity\":\"alice\",\"metadata\":\"from outside\"}");
    expect_self(&bob, "Alice \xc3\x84.", "from outside", "{\"b\":\"2\",\"c\":\"3\"}");

    test_step(20, "the room's metadata");
    size_t mark = rec_mark(bob.rec);
    ctl("update_room", "{\"room\":\"attributes\",\"metadata\":\"a fine room\"}");
    do { /* changed counts are reported as well */
        e = EXPECT_FROM(bob.rec, mark, OH_EVENT_ROOM, NULL, ms(5000));
        mark++;
    } while (strcmp(e.text, "a fine room"));
    CHECK_STR(e.session, "attributes");
    peer_close(&carol);
    peer_join(&carol, "carol", "attributes", NULL);
    e = EXPECT(carol.rec, OH_EVENT_ROOM, NULL, ms(5000));
    CHECK_STR(e.text, "a fine room");
    peer_close(&carol);
    peer_close(&alice);
    CHECK_OH(oh_call_set_attributes((oh_call){ 12345 }, "x", NULL, NULL), OH_ERR_HANDLE);
    peer_close(&bob);
}

/* ---- tokens ---- */

/* Parts of the used tokens; no text may contain them. */
static char secrets[64][1024];
static int secret_count;
static atomic_int leaks;

static void keep_secret(const char *token)
{
    const char *payload = strchr(token, '.'), *signature = strrchr(token, '.');
    CHECK(secret_count + 2 <= 64 && payload && signature);
    snprintf(secrets[secret_count++], 1024, "%.*s", (int)(signature - payload), payload);
    snprintf(secrets[secret_count++], 1024, "%s", signature + 1);
}

static int leaked(const char *text)
{
    for (int i = 0; i < secret_count; i++)
        if (strstr(text, secrets[i])) return 1;
    return 0;
}

static void hunt(void *user, const oh_log_record *record)
{
    (void)user;
    if (leaked(record->text)) atomic_fetch_add(&leaks, 1);
}

static void open_with_token(peer *p, const char *user, const char *room, const char *token, int renew)
{
    oh_call_options what = OH_INIT(oh_call_options);
    keep_secret(token);
    what.token = token;
    what.renew_token = (uint32_t)renew;
    peer_open(p, user, room, &what);
}

static void expect_auth(peer *p, const char *words)
{
    CHECK_OH(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(10000)), OH_ERR_AUTH);
    rec_event e = EXPECT(p->rec, OH_EVENT_ENDED, NULL, ms(5000));
    char why[1024];
    CHECK_EQ(e.code, OH_END_JOIN_FAILED);
    CHECK_EQ(e.error, OH_ERR_AUTH);
    CHECK_EQ(e.server_code, 401);
    CHECK_THAT(strstr(e.text, words), "the server's word '%s' is not in '%s'", words, e.text);
    oh_get_last_error(why, sizeof why);
    CHECK_THAT(!leaked(e.text) && !leaked(why), "a token stands in '%s' or '%s'", e.text, why);
    CHECK_EQ(peer_stats(p).join_attempts, 1);
    peer_close(p);
}

static void stands_token(char *out, size_t size, const char *more)
{
    char *answer = ctl_answer("token", "{\"identity\":\"tina\",\"room\":\"tokens\"%s}", more);
    json_text(answer, "token", out, size);
    CHECK_THAT(strlen(out) > 20, "the stand gives the token '%s'", out);
    free(answer);
}

static void tokens(void)
{
    peer p = { 0 };
    oh_access_token_options o = OH_INIT(oh_access_token_options);
    oh_call_options what = OH_INIT(oh_call_options);
    char token[4096], good[4096], why[1024];
    rec_event e;

    test_step(20, "expired, and renewed");
    if (!getenv("OFFHOOK_TEST_LOG")) CHECK_OK(oh_log_set(OH_LOG_TRACE, hunt, NULL, NULL));
    livekit_token("tina", "tokens", NULL, good, sizeof good);
    stands_token(token, sizeof token, ",\"ttl_s\":-3600");
    open_with_token(&p, "tina", "tokens", token, 0);
    expect_auth(&p, "expired");
    open_with_token(&p, "tina", "tokens", token, 1);
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, 0), OH_ERR_TIMEOUT);
    keep_secret(good);
    CHECK_OK(oh_call_provide_token(p.call, good));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(10000)));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_TOKEN_NEEDED), 1);
    peer_close(&p);
    open_with_token(&p, "tina", "tokens", token, 1); /* followed by another one that has expired */
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OK(oh_call_provide_token(p.call, token));
    CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(10000)), OH_ERR_AUTH);
    CHECK_EQ(rec_count(p.rec, OH_EVENT_TOKEN_NEEDED), 1);
    peer_close(&p);

    test_step(20, "none at first, and one for another room");
    livekit_token("tina", "elsewhere", NULL, token, sizeof token);
    keep_secret(token);
    p.client = client_for("tina");
    p.rec = rec_new();
    what.call_id = "tokens";
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    EXPECT(p.rec, OH_EVENT_TOKEN_NEEDED, NULL, ms(5000));
    CHECK_OH(oh_call_provide_token(p.call, token), OH_ERR_ARGUMENT);
    oh_get_last_error(why, sizeof why);
    CHECK_THAT(strstr(why, "another call") && !leaked(why), "the error text is '%s'", why);
    CHECK_OK(oh_call_provide_token(p.call, good));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(10000)));
    peer_close(&p);

    test_step(20, "forged, and of a wrong key or secret");
    stands_token(token, sizeof token, ",\"forged\":true");
    open_with_token(&p, "tina", "tokens", token, 0);
    expect_auth(&p, "token");
    o.user_id = "tina";
    o.call_id = "tokens";
    o.api_key = "nobody";
    o.api_secret = "a secret of sufficient length, or so";
    CHECK_OK(oh_access_token_create(&o, token, sizeof token, NULL));
    open_with_token(&p, "tina", "tokens", token, 0);
    expect_auth(&p, "API key");

    test_step(20, "of another room");
    livekit_token("tina", "tokens", NULL, token, sizeof token);
    keep_secret(token);
    p.client = client_for("tina");
    what.call_id = "elsewhere";
    what.token = token;
    what.handlers = NULL; /* the previous ones were freed */
    p.call.id = 77;
    CHECK_OH(oh_call_join(p.client, &what, &p.call), OH_ERR_ARGUMENT);
    CHECK_EQ(p.call.id, 77);
    oh_get_last_error(why, sizeof why);
    CHECK_THAT(strstr(why, "oh_call_options.call_id") && strstr(why, "token") && !leaked(why), "the error text is '%s'", why);
    what.call_id = NULL; /* taken from the token */
    p.rec = rec_new();
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(10000)));
    e = EXPECT(p.rec, OH_EVENT_ROOM, NULL, ms(5000));
    CHECK_STR(e.session, "tokens");
    peer_close(&p);
    oh_log_set(OH_LOG_OFF, NULL, NULL, NULL);
    CHECK_EQ(atomic_load(&leaks), 0);
}

static void access_token(void)
{
    static const char *const names[] = { "api_key", "api_secret", "user_id", "call_id" };
    static const char *const bad_json[] = { "x", "[]", "{", "{\"a\":1}", "null", "{\"a\":{}}" };
    static const uint32_t bad_ttl[] = { 31536001, INT32_MAX, UINT32_MAX };
    oh_access_token_options good = OH_INIT(oh_access_token_options), o;
    char buf[4096], why[512];

    test_step(10, "oh_access_token_create");
    good.api_key = "key";
    good.api_secret = "secret-of-the-service";
    good.user_id = "u";
    good.call_id = "c";
    memset(buf, 'x', sizeof buf);
    for (int field = 0; field < 4; field++)
        for (int i = 0; i < 3; i++) {
            o = good;
            const char **fields[] = { &o.api_key, &o.api_secret, &o.user_id, &o.call_id };
            *fields[field] = i == 0 ? NULL : i == 1 ? "" : "\xff";
            CHECK_OH(oh_access_token_create(&o, buf, sizeof buf, NULL), OH_ERR_ARGUMENT);
            oh_get_last_error(why, sizeof why);
            CHECK_THAT(strstr(why, names[field]), "'%s' is not in '%s'", names[field], why);
        }
    for (size_t i = 0; i < sizeof bad_json / sizeof *bad_json; i++) {
        o = good;
        o.attributes_json = bad_json[i];
        CHECK_OH(oh_access_token_create(&o, buf, sizeof buf, NULL), OH_ERR_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof bad_ttl / sizeof *bad_ttl; i++) {
        o = good;
        o.ttl_s = bad_ttl[i];
        CHECK_OH(oh_access_token_create(&o, buf, sizeof buf, NULL), OH_ERR_ARGUMENT);
    }
    CHECK_OH(oh_access_token_create(NULL, buf, sizeof buf, NULL), OH_ERR_ARGUMENT);
    size_t need = 0, length = 0;
    CHECK_OH(oh_access_token_create(&good, NULL, 1, &need), OH_ERR_ARGUMENT);
    CHECK_EQ(need, 0);
    CHECK_OH(oh_access_token_create(&good, NULL, 0, &need), OH_ERR_BUFFER);
    CHECK_THAT(need > 100 && need < sizeof buf, "a length of %zu", need);
    o = good;
    o.size = 8;
    CHECK_OH(oh_access_token_create(&o, buf, sizeof buf, NULL), OH_ERR_ABI);
    CHECK_OH(oh_access_token_create(&good, buf, 0, NULL), OH_ERR_BUFFER);
    CHECK_OH(oh_access_token_create(&good, buf, 40, NULL), OH_ERR_BUFFER);
    for (size_t i = 0; i < sizeof buf; i++) CHECK_EQ(buf[i], 'x');
    CHECK_OH(oh_access_token_create(&good, buf, need, &length), OH_ERR_BUFFER);
    CHECK_EQ(length, need);
    CHECK_EQ(buf[0], 'x');
    CHECK_OK(oh_access_token_create(&good, buf, need + 1, &length));
    CHECK_EQ(length, need);
    CHECK_EQ(strlen(buf), need);
    CHECK_EQ(buf[need + 1], 'x');
    CHECK_THAT(!strstr(buf, "secret"), "the secret stands in the token");
}

int main(void)
{
    test_begin("rights");
    access_token();
    without_the_right();
    taken_away();
    ends();
    attributes();
    tokens();
    return test_end();
}
