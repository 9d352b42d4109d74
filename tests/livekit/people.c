/*
 * people.c - participants of the room, updates of the local participant, and rights.
 * test: timeout=120
 *
 * Expected: a participant that joins under the identity of another one replaces it: LEFT with its reason, its call
 * ends accordingly, the count is right; a change of the local participant by the server is an event, with all 60 kB
 * of metadata; an action without the right is refused at once, with the name of the right; kind, rights and a muted
 * track of remote participants are reported; a moderator's unmute is reported before audio is sent, and waits for
 * the application with hold_unmute; a message beyond max_message_bytes gives a limit error with that name and the
 * size, without a loop of resumes.
 */
#include "livekit.h"
#include "peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the events that the recorder does not keep; guarded by the recorder's lock. */
typedef struct seen {
    char user[64];                    /* the observed participant */
    size_t metadata;                  /* length of its metadata */
    char name[64], attributes[256];
    int local, kind, reason, left;
    oh_rights rights;
    int muted_published, published;   /* TRACK_PUBLISHED of its tracks, muted and not */
    int published_events, held, received_before; /* of the local track */
    oh_event_rights local_rights;
    rec_received before;
    recorder *listener;               /* of a participant that receives the local one */
} seen;

static void watch(recorder *r, oh_call call, const oh_event *e)
{
    seen *s = r->data;
    (void)call;
    if (e->kind == OH_EVENT_TRACK_PUBLISHED && e->u.track->local && s->listener)
        /* No packets are sent until this callback returns. */
        s->received_before = rec_wait_tone(s->listener, e->u.track->user_id, 620, ms(400));
    pthread_mutex_lock(&r->lock);
    switch (e->kind) {
    case OH_EVENT_PARTICIPANT_JOINED:
    case OH_EVENT_PARTICIPANT_UPDATED:
    case OH_EVENT_PARTICIPANT_LEFT:
        if (strcmp(e->u.participant->user_id, s->user)) break;
        s->metadata = strlen(e->u.participant->metadata);
        snprintf(s->name, sizeof s->name, "%s", e->u.participant->name);
        snprintf(s->attributes, sizeof s->attributes, "%s", e->u.participant->attributes_json);
        s->local = (int)e->u.participant->local;
        s->kind = e->u.participant->kind;
        s->rights = e->u.participant->rights;
        if (e->kind == OH_EVENT_PARTICIPANT_LEFT) {
            s->reason = e->u.participant->leave_reason;
            s->left++;
        }
        break;
    case OH_EVENT_TRACK_PUBLISHED:
        if (e->u.track->local) {
            s->published_events++;
            s->held = (int)e->u.track->held;
        } else if (!strcmp(e->u.track->user_id, s->user)) {
            if (e->u.track->muted) s->muted_published++;
            else s->published++;
        }
        break;
    case OH_EVENT_RIGHTS:
        s->local_rights = *e->u.rights;
        break;
    default:
        break;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void watched(peer *p, seen *s, const char *user)
{
    memset(s, 0, sizeof *s);
    snprintf(s->user, sizeof s->user, "%s", user);
    p->rec = rec_new();
    p->rec->first = watch;
    p->rec->data = s;
}

static int metadata_is(recorder *r, void *arg)
{
    return ((seen *)r->data)->metadata == *(size_t *)arg;
}

static int was_published(recorder *r, void *arg)
{
    return ((seen *)r->data)->published_events >= *(int *)arg;
}

static int has_left(recorder *r, void *arg)
{
    return ((seen *)r->data)->left >= *(int *)arg;
}

static void join_with(peer *p, const char *user, const char *room, const oh_access_token_options *grants,
                      const oh_call_options *more)
{
    oh_call_options what = OH_INIT(oh_call_options);
    char token[8192];
    if (more) what = *more;
    livekit_token(user, room, grants, token, sizeof token);
    what.token = token;
    peer_join(p, user, room, &what);
}

static void replaced(void)
{
    peer bob = { 0 }, first = { 0 }, second = { 0 };
    seen s;
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    uint64_t id;
    int once = 1;

    test_step(30, "a participant that comes back under its identity");
    watched(&bob, &s, "alice");
    peer_join(&bob, "bob", "replaced", NULL);
    peer_join(&first, "alice", "replaced", NULL);
    rec_event joined = EXPECT(bob.rec, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(5000));
    peer_publish_tone(&first, 440);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 440, ms(10000)), "bob does not receive alice's audio");
    rpc.to = "alice";
    rpc.method = "never answered";
    CHECK_OK(oh_call_perform_rpc(bob.call, &rpc, &id));
    EXPECT(first.rec, OH_EVENT_RPC_REQUEST, "bob", ms(5000));
    size_t mark = rec_mark(bob.rec);
    peer_join(&second, "alice", "replaced", NULL);
    CHECK_THAT(rec_wait_until(bob.rec, has_left, &once, ms(5000)), "no LEFT event for the first alice");
    CHECK_EQ(s.reason, OH_LEAVE_REPLACED);
    rec_event left = EXPECT_FROM(bob.rec, mark, OH_EVENT_PARTICIPANT_LEFT, "alice", 0);
    CHECK_STR(left.session, joined.session);
    rec_event answer = EXPECT_FROM(bob.rec, mark, OH_EVENT_RPC_RESPONSE, NULL, ms(5000));
    CHECK_EQ(answer.track, id);
    CHECK_EQ(answer.code, OH_RPC_RECIPIENT_DISCONNECTED);
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_PARTICIPANT_JOINED, "alice", ms(5000));
    CHECK_EQ(peer_stats(&bob).participants, 2);
    peer_publish_tone(&second, 620);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 620, ms(10000)), "bob does not receive the second alice's audio");
    CHECK_EQ(s.left, 1);
    peer_close(&first);
    peer_close(&second);
    peer_close(&bob);
}

/*
 * Sets this much metadata with the server API. Newer servers respond when the change was applied; `ends`: the
 * participant may have ended because of it before that.
 */
static void metadata(const char *room, const char *user, size_t size, int ends)
{
    char *body = malloc(size + 512);
    int status, head;
    CHECK(body);
    head = sprintf(body, "{\"room\":\"%s\",\"identity\":\"%s\",\"metadata\":\"", room, user);
    memset(body + head, 'm', size);
    strcpy(body + head + size, "\"}");
    char *answer = http("POST", "/ctl/update_participant", body, &status);
    CHECK_THAT(status == 200 || (ends && strstr(answer, "not_found")), "the server does not take %zu bytes of metadata: %s", size, answer);
    free(answer);
    free(body);
}

static void about_me(void)
{
    peer alice = { 0 }, bob = { 0 };
    seen me, her;
    oh_access_token_options grants = OH_INIT(oh_access_token_options);
    size_t length = 2;

    test_step(20, "updates of the local participant, at the join and later");
    watched(&alice, &me, "alice");
    watched(&bob, &her, "alice");
    peer_join(&bob, "bob", "about", NULL);
    grants.name = "Alice";
    grants.metadata = "m0";
    grants.attributes_json = "{\"a\":\"1\"}";
    join_with(&alice, "alice", "about", &grants, NULL);
    CHECK_THAT(rec_wait_until(alice.rec, metadata_is, &length, ms(5000)), "alice gets no update of herself");
    CHECK_EQ(me.local, 1);
    CHECK_STR(me.name, "Alice");
    CHECK_STR(me.attributes, "{\"a\":\"1\"}");
    CHECK_THAT(rec_wait_until(bob.rec, metadata_is, &length, ms(5000)), "bob gets no update of alice");
    CHECK_EQ(her.local, 0);
    CHECK_EQ(her.kind, OH_PARTICIPANT_STANDARD);
    CHECK_EQ(her.rights, OH_RIGHT_AUDIO | OH_RIGHT_VIDEO | OH_RIGHT_SCREEN_SHARE | OH_RIGHT_DATA | OH_RIGHT_SUBSCRIBE);
    long first = rec_wait(alice.rec, OH_EVENT_PARTICIPANT_UPDATED, "alice", 0, 0, NULL);
    CHECK(first > rec_wait(alice.rec, OH_EVENT_JOINED, NULL, 0, 0, NULL));
    length = 60000; /* the server accepts at most 64000 */
    metadata("about", "alice", length, 0);
    CHECK_THAT(rec_wait_until(alice.rec, metadata_is, &length, ms(5000)), "alice has %zu bytes of metadata", me.metadata);
    CHECK_THAT(rec_wait_until(bob.rec, metadata_is, &length, ms(5000)), "of alice there are %zu bytes", her.metadata);
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_ERROR) + rec_count(bob.rec, OH_EVENT_ERROR), 0);
    peer_close(&alice);

    test_step(20, "a track that is published muted");
    oh_audio_track_options muted = OH_INIT(oh_audio_track_options);
    int published = 0;
    muted.muted = 1;
    peer_join(&alice, "alice", "about", NULL);
    CHECK_OK(oh_call_publish_audio(alice.call, &muted, &alice.mic));
    rec_event e = EXPECT(bob.rec, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK(*e.text);
    CHECK_EQ(her.muted_published, 1);
    size_t mark = rec_mark(bob.rec);
    CHECK_OK(oh_track_set_muted(alice.mic, 0));
    EXPECT_FROM(bob.rec, mark, OH_EVENT_TRACK_PUBLISHED, "alice", ms(5000));
    CHECK_EQ(her.muted_published, 1);
    published = her.published;
    CHECK_EQ(published, 1);
    peer_close(&alice);
    peer_close(&bob);
}

static void expect_refused(oh_result result, const char *which)
{
    char text[512];
    CHECK_EQ(result, OH_ERR_REFUSED);
    oh_get_last_error(text, sizeof text);
    CHECK_THAT(strstr(text, which), "'%s' does not name the missing right (%s)", text, which);
}

static int knows_grants(recorder *r, void *arg)
{
    return (((seen *)r->data)->local_rights.rights & OH_RIGHT_DATA) == *(oh_rights *)arg;
}

static void rights(void)
{
    peer p = { 0 };
    seen s;
    oh_access_token_options grants = OH_INIT(oh_access_token_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    oh_subscriber subscriber;
    oh_track track;
    oh_rights yes = OH_RIGHT_DATA;

    test_step(20, "what may not be done is refused at once");
    watched(&p, &s, "none");
    grants.no_publish = grants.no_subscribe = grants.no_data = 1;
    join_with(&p, "none", "rights", &grants, NULL);
    EXPECT(p.rec, OH_EVENT_RIGHTS, NULL, ms(5000));
    CHECK_EQ(s.local_rights.rights, 0);
    rpc.to = "somebody";
    rpc.method = "m";
    expect_refused(oh_call_publish_audio(p.call, NULL, &track), "send audio");
    expect_refused(oh_call_send_data(p.call, NULL, "x", 1), "send data");
    expect_refused(oh_call_send_text(p.call, NULL, "x"), "send data");
    expect_refused(oh_call_perform_rpc(p.call, &rpc, NULL), "send data");
    expect_refused(oh_call_answer_rpc(p.call, "id", "x", 0, NULL), "send data");
    expect_refused(oh_call_set_attributes(p.call, "N", NULL, NULL), "name, metadata and attributes");
    CHECK_OK(oh_call_get_subscriber(p.call, &subscriber));
    expect_refused(oh_subscriber_set_track(subscriber, "TR_x", NULL), "receive tracks");
    CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR) + rec_count(p.rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);

    test_step(20, "and may be once it is allowed");
    ctl("update_participant",
        "{\"room\":\"rights\",\"identity\":\"none\",\"permission\":{\"can_subscribe\":true,\"can_publish\":true,"
        "\"can_publish_data\":true,\"can_update_metadata\":true}}");
    CHECK_THAT(rec_wait_until(p.rec, knows_grants, &yes, ms(5000)), "the new rights are not reported");
    const oh_rights some = OH_RIGHT_AUDIO | OH_RIGHT_SUBSCRIBE | OH_RIGHT_SET_ATTRIBUTES;
    CHECK_EQ(s.local_rights.rights & some, some);
    CHECK_OK(oh_call_send_data(p.call, NULL, "x", 1));
    CHECK_OK(oh_call_set_attributes(p.call, "N", NULL, NULL));
    CHECK_OK(oh_call_publish_audio(p.call, NULL, &p.mic));
    EXPECT(p.rec, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(10000));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
    peer_close(&p);
}

static void unmuted(int hold)
{
    peer alice = { 0 }, bob = { 0 };
    seen s;
    oh_call_options what = OH_INIT(oh_call_options);
    char track[256], room[32];
    int once = 1;

    test_step(30, hold ? "a moderator unmutes, and the application agrees" : "a moderator unmutes");
    snprintf(room, sizeof room, "unmuted%d", hold);
    what.hold_unmute = (uint32_t)hold;
    watched(&alice, &s, "nobody");
    peer_join(&bob, "bob", room, NULL);
    join_with(&alice, "alice", room, NULL, &what);
    peer_publish_tone(&alice, 620);
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 620, ms(10000)), "bob does not receive alice's audio");
    snprintf(track, sizeof track, "%s", EXPECT(bob.rec, OH_EVENT_TRACK_PUBLISHED, "alice", 0).text);
    ctl("mute", "{\"room\":\"%s\",\"identity\":\"alice\",\"track_sid\":\"%s\",\"muted\":true}", room, track);
    rec_event e = EXPECT(alice.rec, OH_EVENT_TRACK_UNPUBLISHED, "alice", ms(5000));
    CHECK_EQ(e.cause, 3);
    CHECK_STR(e.text, track);
    CHECK_THAT(rec_wait_no_tone(bob.rec, "alice", 620, ms(5000)), "bob receives alice's audio, which was muted");
    s.listener = bob.rec;
    ctl("mute", "{\"room\":\"%s\",\"identity\":\"alice\",\"track_sid\":\"%s\",\"muted\":false}", room, track);
    CHECK_THAT(rec_wait_until(alice.rec, was_published, &once, ms(5000)), "alice gets no event");
    CHECK_THAT(!s.received_before, "bob received alice's audio before her event");
    CHECK_EQ(s.held, hold);
    if (hold) {
        CHECK_THAT(!rec_wait_tone(bob.rec, "alice", 620, ms(400)), "bob receives alice's audio without her consent");
        CHECK_OK(oh_track_set_muted(alice.mic, 0));
    }
    CHECK_THAT(rec_wait_tone(bob.rec, "alice", 620, ms(5000)), "bob does not receive alice's audio");
    CHECK_EQ(s.published_events, 1);
    CHECK_EQ(rec_count(alice.rec, OH_EVENT_ERROR), 0);
    peer_close(&alice);
    peer_close(&bob);
}

static void too_large(void)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    peer p = { 0 };
    rec_event e;
    char token[8192], room[] = "large";

    test_step(40, "a message that is larger than the application takes");
    livekit_token("small", room, NULL, token, sizeof token);
    where.protocol = OH_PROTOCOL_LIVEKIT;
    where.url = livekit_url();
    where.token = token;
    where.max_message_bytes = 16384;
    p.rec = rec_new();
    snprintf(p.user, sizeof p.user, "small");
    CHECK_OK(oh_client_new(&where, &p.client));
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(10000)));
    metadata(room, "small", 30000, 1);
    e = EXPECT(p.rec, OH_EVENT_ERROR, NULL, ms(5000));
    CHECK_EQ(e.error, OH_ERR_LIMIT);
    CHECK_THAT(strstr(e.text, "max_message_bytes") && strstr(e.text, "(16384)"), "which limit? %s", e.text);
    EXPECT(p.rec, OH_EVENT_RECONNECTED, NULL, ms(10000));
    metadata(room, "small", 30000, 1); /* the same again: no loop of reconnects */
    e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(10000));
    CHECK_EQ(e.error, OH_ERR_LIMIT);
    CHECK_THAT(strstr(e.text, "max_message_bytes"), "which limit? %s", e.text);
    CHECK(rec_count(p.rec, OH_EVENT_RECONNECTED) == 1);
    peer_close(&p);
}

int main(void)
{
    test_begin("people");
    replaced();
    about_me();
    rights();
    unmuted(0);
    unmuted(1);
    too_large();
    return test_end();
}
