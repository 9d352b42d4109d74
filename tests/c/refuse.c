/*
 * refuse.c - refused joins: by the coordinator, by the SFU, permanently or temporarily.
 *
 * Expected: the server's code and text are kept; codes 700, 600 and 301, HTTP 5xx and 429 are retried join_retries
 * times, on another edge when an edge failed, with the failed edges listed; all other codes, and "unrecoverable",
 * are final at once; Retry-After is obeyed.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int joins_of(const char *state, const char *user)
{
    char path[64], name[64];
    int count = 0;
    for (int i = 0;; i++) {
        snprintf(path, sizeof path, "joins/#%d/user_id", i);
        if (!json_get(state, path)) return count;
        count += !strcmp(json_text(state, path, name, sizeof name), user);
    }
}

/* A member of the nth join request of a user, as text. */
static const char *nth_join(const char *state, const char *user, int n, const char *member, char out[256])
{
    char path[64], name[64];
    for (int i = 0;; i++) {
        snprintf(path, sizeof path, "joins/#%d/user_id", i);
        if (!json_get(state, path)) FAIL("%s has no join %d", user, n);
        if (strcmp(json_text(state, path, name, sizeof name), user) || n-- > 0) continue;
        snprintf(path, sizeof path, "joins/#%d/%s", i, member);
        return json_text(state, path, out, 256);
    }
}

typedef struct refusal {
    const char *user;
    const char *what, *rule;  /* switch of the control API, and its members */
    int retries;
    oh_result error;          /* OH_OK: joined in the end */
    int server_code;
    const char *text;         /* part of the event's text */
    int attempts;
} refusal;

static const refusal refusals[] = {
    /* The coordinator, permanently. */
    { "r403", "refuse_join", "\"http_status\":403,\"code\":17,\"message\":\"banned for singing\"", 3, OH_ERR_REFUSED, 17, "banned for singing", 1 },
    { "r404", "refuse_join", "\"http_status\":404,\"code\":16,\"message\":\"no such call\"", 3, OH_ERR_REFUSED, 16, "no such call", 1 },
    { "r400", "refuse_join", "\"http_status\":400,\"code\":0,\"message\":\"\"", 3, OH_ERR_REFUSED, 400, "400", 1 },
    { "r401", "refuse_join", "\"http_status\":401,\"code\":5,\"message\":\"who are you\"", 3, OH_ERR_AUTH, 5, "who are you", 1 },
    { "expired", "expire_tokens", "\"count\":1", 3, OH_ERR_AUTH, 40, "token is expired", 1 },
    { "final", "refuse_join", "\"http_status\":503,\"code\":9,\"message\":\"never again\",\"unrecoverable\":true", 3, OH_ERR_REFUSED, 9, "never again", 1 },
    { "weird", "refuse_join", "\"http_status\":403,\"code\":99999999999,\"message\":\"\\u0001\\u0007 caf\\u00e9 \\u202e\\n\"", 3, OH_ERR_REFUSED, 403, "caf\xc3\xa9", 1 },
    /* The coordinator, temporarily. */
    { "r500", "refuse_join", "\"http_status\":500,\"code\":-1,\"message\":\"oops\",\"count\":1", 3, OH_OK, 0, "", 2 },
    { "r502", "refuse_join", "\"http_status\":502,\"code\":-1,\"message\":\"oops\"", 1, OH_ERR_REFUSED, -1, "oops", 2 },
    { "r429", "refuse_join", "\"http_status\":429,\"code\":9,\"message\":\"slower\",\"retry_after\":2,\"count\":1", 3, OH_OK, 0, "", 2 },
    { "r503", "refuse_join", "\"http_status\":503,\"code\":9,\"message\":\"busy\",\"count\":1", 0, OH_ERR_REFUSED, 9, "busy", 1 },
    /* The SFU, permanently. */
    { "s401", "join_error", "\"code\":401,\"message\":\"bad ticket\"", 3, OH_ERR_AUTH, 401, "bad ticket", 1 },
    { "s403", "join_error", "\"code\":403,\"message\":\"not you\"", 3, OH_ERR_REFUSED, 403, "not you", 1 },
    { "s300", "join_error", "\"code\":300,\"message\":\"what call\"", 3, OH_ERR_REFUSED, 300, "what call", 1 },
    /* The SFU, temporarily: retried on another edge. */
    { "s700", "join_error", "\"code\":700,\"message\":\"full\",\"edge\":\"sfu-a\"", 3, OH_OK, 0, "", 2 },
    { "s600", "join_error", "\"code\":600,\"message\":\"closing\",\"count\":1", 3, OH_OK, 0, "", 2 },
    { "s301", "join_error", "\"code\":301,\"message\":\"too many\",\"count\":1", 3, OH_OK, 0, "", 2 },
    { "everywhere", "join_error", "\"code\":700,\"message\":\"full everywhere\"", 3, OH_ERR_REFUSED, 700, "full everywhere", 4 },
    { "once", "join_error", "\"code\":700,\"message\":\"full here\"", 0, OH_ERR_REFUSED, 700, "full here", 1 },
    { "twice", "join_error", "\"code\":600,\"message\":\"both\",\"count\":2", 2, OH_OK, 0, "", 3 },
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

int main(void)
{
    peer p[REFUSALS] = { 0 };
    char text[256], why[512];

    test_begin("refuse");
    test_step(5, "join_retries out of range");
    oh_client client = client_for("range");
    oh_call_options what = OH_INIT(oh_call_options);
    oh_call none = { 77 };
    what.call_id = "refuse";
    static const uint32_t bad[] = { 11, INT32_MAX, OH_ZERO - 1, UINT32_MAX };
    for (int i = 0; i < 4; i++) {
        what.join_retries = bad[i];
        CHECK_OH(oh_call_join(client, &what, &none), OH_ERR_ARGUMENT);
        CHECK_EQ(none.id, 77);
    }
    oh_client_free(client);

    test_step(30, "%d refusals", REFUSALS);
    for (int i = 0; i < REFUSALS; i++) {
        oh_struct_init(&what, sizeof what);
        what.join_retries = refusals[i].retries ? (uint32_t)refusals[i].retries : OH_ZERO;
        what.ring = 1;
        ctl(refusals[i].what, "{\"user_id\":\"%s\",%s}", refusals[i].user, refusals[i].rule);
        peer_open(&p[i], refusals[i].user, "refuse", &what);
    }
    for (int i = 0; i < REFUSALS; i++) {
        const refusal *want = &refusals[i];
        test_step(20, "%s", want->user);
        CHECK_OH(oh_call_wait_state(p[i].call, OH_STATE_JOINED, ms(15000)), want->error);
        if (want->error == OH_OK) {
            EXPECT(p[i].rec, OH_EVENT_JOINED, NULL, ms(1000));
            CHECK_EQ(rec_count(p[i].rec, OH_EVENT_ERROR), 0);
        } else {
            CHECK(oh_get_last_error(why, sizeof why) > 0);
            CHECK_THAT(strstr(why, want->text) != NULL, "'%s' is not in oh_get_last_error '%s'", want->text, why);
            rec_event e = EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, ms(1000));
            CHECK_EQ(e.code, OH_END_JOIN_FAILED);
            CHECK_EQ(e.error, want->error);
            CHECK_EQ(e.server_code, want->server_code);
            CHECK_THAT(strstr(e.text, want->text) != NULL, "'%s' is not in '%s'", want->text, e.text);
            for (const char *c = e.text; *c; c++) CHECK_THAT((unsigned char)*c >= 32, "a control character in '%s'", e.text);
            CHECK_EQ(rec_count(p[i].rec, OH_EVENT_JOINED), 0);
            int32_t state;
            CHECK_OK(oh_call_get_state(p[i].call, &state));
            CHECK_EQ(state, OH_STATE_LEFT);
        }
        char *state = ctl_state();
        oh_call_stats stats = peer_stats(&p[i]);
        CHECK_EQ(stats.join_attempts, want->attempts);
        /* Under a checker, who has joined may lose the connection while this test is slow: each more join is a reconnect. */
        int joins = joins_of(state, want->user), more = test_scale() > 1 ? (int)stats.reconnect_attempts : 0;
        CHECK_THAT(joins >= want->attempts && joins <= want->attempts + more, "%d joins, expected %d", joins,
                   want->attempts);
        /*
         * The members are rung until the coordinator has admitted this participant once; later requests do not ring.
         */
        for (int n = 0, rung = 0; n < want->attempts; n++) {
            CHECK_STR(nth_join(state, want->user, n, "ring", text), rung ? "false" : "true");
            rung |= nth_join(state, want->user, n, "edge", text)[0] != 0;
        }
        free(state);
    }

    test_step(10, "the edges that failed are listed");
    char *state = ctl_state();
    CHECK_STR(nth_join(state, "s700", 0, "migrating_from", text), "");
    CHECK_STR(nth_join(state, "s700", 0, "edge", text), "sfu-a");
    CHECK_STR(nth_join(state, "s700", 1, "migrating_from", text), "sfu-a");
    CHECK_STR(nth_join(state, "s700", 1, "migrating_from_list/#0", text), "sfu-a");
    CHECK_STR(nth_join(state, "s700", 1, "migrating_from_list/#1", text), "");
    CHECK_STR(nth_join(state, "s700", 1, "edge", text), "sfu-b");
    CHECK_STR(nth_join(state, "twice", 2, "migrating_from", text), "sfu-b");
    CHECK_STR(nth_join(state, "twice", 2, "migrating_from_list/#0", text), "sfu-a");
    CHECK_STR(nth_join(state, "twice", 2, "migrating_from_list/#1", text), "sfu-b");
    CHECK_STR(nth_join(state, "everywhere", 3, "migrating_from_list/#1", text)[0] ? "two" : "fewer", "two");
    CHECK_STR(nth_join(state, "everywhere", 3, "migrating_from_list/#2", text), "");
    CHECK_STR(nth_join(state, "r500", 1, "migrating_from", text), ""); /* no edge had failed */
    free(state);

    test_step(10, "Retry-After, and waiting longer each time");
    for (int i = 0; i < REFUSALS; i++) {
        rec_event e;
        if (!strcmp(refusals[i].user, "r429")) {
            e = EXPECT(p[i].rec, OH_EVENT_JOINED, NULL, 0);
            CHECK_THAT(e.at_ms >= 2000 && e.at_ms < ms(3500), "in after %llu ms; Retry-After is 2 s", (unsigned long long)e.at_ms);
        }
        if (!strcmp(refusals[i].user, "everywhere")) {
            e = EXPECT(p[i].rec, OH_EVENT_ENDED, NULL, 0);
            CHECK_THAT(e.at_ms >= 2600, "four attempts within %llu ms", (unsigned long long)e.at_ms);
        }
    }
    for (int i = 0; i < REFUSALS; i++) peer_close(&p[i]);
    ctl("reset", "{}");

    test_step(20, "leaving while it waits to try again");
    oh_struct_init(&what, sizeof what);
    peer q = { 0 };
    ctl("refuse_join", "{\"user_id\":\"waits\",\"http_status\":503,\"retry_after\":20}");
    peer_open(&q, "waits", "refuse", &what);
    for (double end = now_ms() + ms(5000); peer_stats(&q).join_attempts < 1; nap(1)) CHECK(now_ms() < end);
    state = NULL;
    do {
        free(state);
        state = ctl_state();
    } while (joins_of(state, "waits") < 1);
    free(state);
    CHECK_OK(oh_call_leave(q.call, NULL));
    rec_event e = EXPECT(q.rec, OH_EVENT_ENDED, NULL, ms(2500));
    CHECK_EQ(e.error, OH_ERR_CANCELLED);
    peer_close(&q);
    ctl("reset", "{}");

    test_step(20, "an SFU that is dead");
    ctl("kill_edge", "{\"edge\":\"sfu-a\"}");
    peer_join(&q, "survivor", "refuse", NULL);
    CHECK_EQ(peer_stats(&q).join_attempts, 3);
    peer_close(&q);
    ctl("reset", "{}");

    test_step(20, "an unreachable server");
    oh_client_options where = OH_INIT(oh_client_options);
    where.url = "http://127.0.0.1:1";
    where.user_id = "nobody";
    where.token = "development";
    CHECK_OK(oh_client_new(&where, &q.client));
    q.rec = rec_new();
    what.call_id = "refuse";
    what.join_retries = 1;
    what.handlers = rec_handlers(q.rec);
    CHECK_OK(oh_call_join(q.client, &what, &q.call));
    CHECK_OH(oh_call_wait_state(q.call, OH_STATE_JOINED, ms(10000)), OH_ERR_NETWORK);
    CHECK_EQ(peer_stats(&q).join_attempts, 2);
    peer_close(&q);
    return test_end();
}
