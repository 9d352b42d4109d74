/*
 * credentials.c - pasted credentials, and names that a server must not give.
 *
 * Expected: blanks and line breaks around keys and tokens are ignored, inside they are an argument error that names
 * the option; ids that would change a URL path are argument errors; ws:// means LiveKit when no protocol is set; a
 * query in the URL is sent; a server reached without TLS can only name its own host, unless allowed; an edge's name,
 * an error text, and a custom field that repeat a token do not show it.
 */
#include "fake.h"
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN "eyJh5ecretHeaderGc1.eyJ15ecretClaimsZWI.sIg5ecretSignatureXyZ"

static const char *edge_by, *url_by, *refuse_with;
static int query_seen;

static int answer(void *arg, const char *request, char **body)
{
    (void)arg;
    if (strstr(request, "tenant=7&") && strstr(request, "authorization: " TOKEN "\r\n")) query_seen++;
    if (refuse_with) {
        *body = strdup(refuse_with);
        return 403;
    }
    int status = fake_forward(request, body);
    if (edge_by) *body = replace(*body, "\"edge_name\":\"", edge_by);
    if (url_by) *body = replace(*body, "\"ws://127.0.0.1", url_by);
    return status;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int leaked, replaced;
static char leak[256];

static void on_log(void *user, const oh_log_record *record)
{
    (void)user,    pthread_mutex_lock(&lock);
    replaced += strstr(record->text, "<secret>") != NULL;
    if (strstr(record->text, "5ecret") && leaked++ == 0) snprintf(leak, sizeof leak, "%s", record->text);
    pthread_mutex_unlock(&lock);
}

static oh_result make(const char *url, const char *token, int32_t protocol, uint32_t others, oh_client *client)
{
    oh_client_options where = OH_INIT(oh_client_options);
    where.url = url;
    where.api_key = " key\n";
    where.user_id = "u";
    where.token = token;
    where.protocol = protocol;
    where.allow_insecure = 1;
    where.allow_other_hosts = others;
    return oh_client_new(&where, client);
}

/* Joins with a client made of these; returns the result. */
static oh_result joined(const char *url, const char *token, uint32_t others, char *why, size_t size)
{
    peer p = { 0 };
    oh_call_options what = OH_INIT(oh_call_options);
    CHECK_OK(make(url, token, 0, others, &p.client));
    p.rec = rec_new();
    what.call_id = "credentials";
    what.join_retries = OH_ZERO;
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    oh_result r = oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000));
    why[0] = 0;
    if (r != OH_OK) oh_get_last_error(why, size);
    peer_close(&p);
    return r;
}

int main(void)
{
    const char *url;
    char with_query[128], why[1024];
    oh_client client;
    oh_call call;

    test_begin("credentials");
    CHECK_OK(oh_log_set(OH_LOG_TRACE, on_log, NULL, NULL));
    fake *f = fake_start(answer, NULL, &url);

    test_step(10, "what surrounds them");
    snprintf(with_query, sizeof with_query, " %s/?tenant=7\n", url);
    CHECK_OH(joined(with_query, "\n " TOKEN "\r\n", 0, why, sizeof why), OH_OK);
    CHECK_THAT(query_seen > 0, "the coordinator did not get the query and the bare token");
    static const char *const bad[] = { "a b", TOKEN "\n" TOKEN, " \n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_OH(make(url, bad[i], 0, 0, &client), OH_ERR_ARGUMENT);
        CHECK(oh_get_last_error(why, sizeof why) > 0 && strstr(why, "token") && !strstr(why, "5ecret"));
    }

    test_step(10, "ids");
    CHECK_OK(make(url, TOKEN, 0, 0, &client));
    static const char *const ids[][2] = {
        { ".", NULL }, { "..", NULL }, { ".\t.", NULL }, { "a\nb", NULL }, { "ok", ".." }, { "ok", "." }, { "ok", "a\rb" },
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        oh_call_options what = OH_INIT(oh_call_options);
        what.call_id = ids[i][0];
        what.call_type = ids[i][1];
        CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT);
        CHECK(oh_get_last_error(why, sizeof why) > 0 && strstr(why, ids[i][1] ? "call_type" : "id"));
    }
    oh_client_free(client);

    test_step(10, "the protocol of a URL");
    uint64_t capabilities = 0;
    CHECK_OK(make("ws://127.0.0.1:1", TOKEN, 0, 0, &client));
    oh_call_options what = OH_INIT(oh_call_options);
    what.call_id = "x";
    what.join_retries = OH_ZERO;
    CHECK_OK(oh_call_join(client, &what, &call));
    CHECK_OK(oh_call_get_capabilities(call, &capabilities));
    CHECK_THAT(capabilities & OH_CAP_DATA, "not LiveKit's capabilities: %llx", (unsigned long long)capabilities);
    oh_call_free(call);
    oh_client_free(client);

    test_step(10, "hosts that a server must not name");
    url_by = "\"ws://192.0.2.1";
    CHECK_OH(joined(url, TOKEN, 0, why, sizeof why), OH_ERR_INSECURE);
    CHECK_THAT(strstr(why, "192.0.2.1") && strstr(why, "allow_other_hosts"), "the error text is %s", why);
    url_by = NULL;

    test_step(20, "a token that is repeated");
    edge_by = "\"edge_name\":\"edge " TOKEN " of ";
    CHECK_OH(joined(url, TOKEN, 0, why, sizeof why), OH_OK);
    edge_by = NULL;
    refuse_with = "{\"code\":17,\"message\":\"a sIg5ecretSignatureXyZ b\"}";
    CHECK_OH(joined(url, TOKEN, 0, why, sizeof why), OH_ERR_REFUSED);
    CHECK_THAT(strstr(why, "<secret>") && !strstr(why, "5ecret"), "the error text is %s", why);
    fake_stop(f);
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_OK(oh_log_set(OH_LOG_TRACE, NULL, NULL, NULL));
    CHECK_THAT(replaced > 0, "nothing of it is logged at all");
    CHECK_THAT(leaked == 0, "logged: %s", leak);
    return test_end();
}
