/*
 * secrets.c - plants tokens and passwords, and searches for them in all output of the library.
 *
 * Planted: the user's token, the API key, the password of a TURN server, a password in a URL, and the SFU's token;
 * servers repeat them when they refuse. Searched: every log line at the level TRACE, the text of every event,
 * oh_get_last_error, statistics, standard output and standard error. Expected: no occurrence.
 */
#include "collect.h"
#include "fake.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN "tkn5ecretZq7RvW0pLx9TOKEN"
#define API_KEY "key5ecretHn2BcX4mQd8APIKEY"
#define TURN_PASSWORD "trn5ecretJf6KsY1wUg3TURN"
#define URL_PASSWORD "url5ecretMp8DvT5eRb2URL"
#define CALL_TOKEN "cll5ecretXa3NoE7yIk6CALL"
#define LATER_TOKEN "ltr5ecretCw1GhS9uOz4LATER"

static char sfu_token[4096];
static const secret secrets[] = {
    { "the token", TOKEN }, { "the API key", API_KEY }, { "the TURN password", TURN_PASSWORD }, { "a password in a URL", URL_PASSWORD },
    { "the call's token", CALL_TOKEN }, { "the token asked for", LATER_TOKEN }, { "the SFU's token", sfu_token },
};

static void on_event(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    collect_event(e);
    if (e->kind == OH_EVENT_TOKEN_NEEDED) CHECK_OK(oh_call_provide_token(call, LATER_TOKEN));
}

static const char *refuse_with; /* the coordinator's response instead of the real one */

static int plant(void *arg, const char *request, char **body)
{
    (void)arg;
    if (refuse_with) {
        *body = strdup(refuse_with);
        return 403;
    }
    int status = fake_forward(request, body);
    *body = replace(*body, "\"ice_servers\":[]",
                    "\"ice_servers\":[{\"urls\":[\"turn:127.0.0.1:9?transport=udp\"],\"username\":\"someone\",\"password\":\"" TURN_PASSWORD
                    "\"},{\"urls\":\"turn:127.0.0.1:9\",\"username\":\"x\",\"credential\":\"" TURN_PASSWORD "\"}]");
    json_text(*body, "credentials/token", sfu_token, sizeof sfu_token);
    CHECK(strlen(sfu_token) > 20);
    return status;
}

static void join(peer *p, const char *url, const char *token, const char *call_token, oh_result wanted)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    where.url = url;
    where.api_key = API_KEY;
    where.user_id = "planter";
    where.token = token;
    CHECK_OK(oh_client_new(&where, &p->client));
    p->rec = rec_new();
    p->rec->on_event = on_event;
    what.call_id = "secrets";
    what.token = call_token;
    what.join_retries = OH_ZERO;
    what.handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, &what, &p->call));
    CHECK_OH(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(10000)), wanted);
    collect_last_error();
}

int main(void)
{
    peer p = { 0 }, other = { 0 };
    const char *url;
    char with_password[256];

    test_begin("secrets");
    test_step(20, "all that is put out is collected");
    collect_begin();
    fake *f = fake_start(plant, NULL, &url);

    test_step(60, "a call, with all that belongs to it");
    join(&p, url, TOKEN, NULL, OH_OK);
    peer_join(&other, "other", "secrets", NULL);
    peer_publish_tone(&other, 500);
    peer_publish_tone(&p, 700);
    CHECK_THAT(rec_wait_audio(p.rec, "other", 10, ms(15000)) && rec_wait_audio(other.rec, "planter", 10, ms(15000)),
               "they do not receive each other's audio; a TURN server that does not answer must not matter");
    ctl("error", "{\"user_id\":\"planter\",\"code\":500,\"message\":\"the ticket %s of %s is odd\",\"strategy\":0}", sfu_token, TOKEN);
    EXPECT(p.rec, OH_EVENT_ERROR, NULL, ms(5000));
    ctl("raw_frame", "{\"user_id\":\"planter\",\"size\":100,\"seed\":3}");
    ctl("late_offer", "{\"user_id\":\"planter\",\"count\":3,\"when\":\"leave\"}");
    oh_call_stats s = peer_stats(&p);
    collect_bytes(&s, sizeof s);
    tone_stop(p.tone);
    p.tone = NULL;
    peer_close(&p);
    peer_close(&other);

    test_step(20, "refusals that repeat the secrets");
    join(&p, url, TOKEN, CALL_TOKEN, OH_OK);
    peer_close(&p);
    join(&p, url, NULL, NULL, OH_OK); /* requests a token */
    peer_close(&p);
    static const struct { const char *answer, *token, *call_token; } refusals[] = {
        { "{\"code\":17,\"message\":\"the token " TOKEN " is not valid\"}", TOKEN, NULL },
        { "{\"code\":17,\"message\":\"" CALL_TOKEN " " CALL_TOKEN "\"}", TOKEN, CALL_TOKEN },
        { "{\"code\":17,\"message\":\"Bearer " LATER_TOKEN "\"}", NULL, NULL },
        { "{\"code\":\"" TOKEN "\",\"message\":\"x\"}", TOKEN, NULL },
        { "not JSON, but " TOKEN, TOKEN, NULL },
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        refuse_with = refusals[i].answer;
        join(&p, url, refusals[i].token, refusals[i].call_token, OH_ERR_REFUSED);
        peer_close(&p);
    }
    refuse_with = NULL;
    ctl("join_error", "{\"user_id\":\"planter\",\"code\":403,\"message\":\"no: %s\",\"count\":1}", TOKEN);
    join(&p, url, TOKEN, NULL, OH_ERR_REFUSED);
    peer_close(&p);

    test_step(20, "arguments that are wrong, with secrets in them");
    oh_client_options where = OH_INIT(oh_client_options);
    oh_client client;
    static const char *const bad_urls[] = {
        "http://user:" URL_PASSWORD "@192.0.2.1/", "http://user:" URL_PASSWORD "@127.0.0.1/", "https://" URL_PASSWORD "@example.com",
        "http://192.0.2.1/?password=" URL_PASSWORD, "http://[::1" URL_PASSWORD,
        "nothing://" URL_PASSWORD, URL_PASSWORD, "http://127.0.0.1:99999/" URL_PASSWORD,
    };
    where.user_id = "planter";
    where.token = TOKEN;
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++) {
        where.url = bad_urls[i];
        CHECK(oh_client_new(&where, &client) != OH_OK);
        collect_last_error();
        where.url = url;
        where.hint_url = bad_urls[i];
        CHECK(oh_client_new(&where, &client) != OH_OK);
        collect_last_error();
        where.hint_url = NULL;
    }
    where.url = url;
    where.user_id = NULL; /* the token has no claim */
    CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
    collect_last_error();
    where.user_id = "planter";
    where.token = TOKEN "\r\nx: y";
    CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
    collect_last_error();
    snprintf(with_password, sizeof with_password, "http://127.0.0.1:%d/?secret=" URL_PASSWORD, sfu_port());
    join(&p, with_password, TOKEN, NULL, OH_OK);
    peer_close(&p);
    snprintf(with_password, sizeof with_password, "http://127.0.0.1:1/" URL_PASSWORD "?secret=" URL_PASSWORD);
    join(&p, with_password, TOKEN, NULL, OH_ERR_NETWORK);
    peer_close(&p);
    fake_stop(f);
    CHECK_OK(oh_shutdown_wait(ms(3000)));

    test_step(20, "the search");
    collect_search(secrets, sizeof secrets / sizeof *secrets, "other");
    return test_end();
}
