/*
 * secrets.c - tokens and passwords are planted and searched for in everything the library puts out.
 *
 * Planted: the user's token, the API key, the password of a TURN server, a password in a URL, and the SFU's
 * token; servers repeat them in their refusals. Searched: every log line at the level TRACE, the text of
 * every event, oh_last_error, statistics, standard output and standard error. Expected: found nowhere.
 */
#include "peer.h"
#include "fake.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN "tkn5ecretZq7RvW0pLx9TOKEN"
#define API_KEY "key5ecretHn2BcX4mQd8APIKEY"
#define TURN_PASSWORD "trn5ecretJf6KsY1wUg3TURN"
#define URL_PASSWORD "url5ecretMp8DvT5eRb2URL"
#define CALL_TOKEN "cll5ecretXa3NoE7yIk6CALL"
#define LATER_TOKEN "ltr5ecretCw1GhS9uOz4LATER"

static char sfu_token[4096];
static const char *const secrets[] = { TOKEN, API_KEY, TURN_PASSWORD, URL_PASSWORD, CALL_TOKEN, LATER_TOKEN, sfu_token };
static const char *const names[] = { "the token", "the API key", "the TURN password", "a password in a URL", "the call's token",
                                     "the token asked for", "the SFU's token" };

/* Everything that was put out. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *all;
static size_t all_size, all_room, lines;

static void collect_bytes(const void *bytes, size_t size)
{
    pthread_mutex_lock(&lock);
    if (all_size + size + 1 > all_room) {
        all_room = (all_size + size + 1) * 2;
        all = realloc(all, all_room);
        CHECK(all != NULL);
    }
    memcpy(all + all_size, bytes, size);
    all_size += size;
    all[all_size++] = '\n';
    pthread_mutex_unlock(&lock);
}

static void collect(const char *text)
{
    collect_bytes(text, strlen(text));
}

static void on_log(void *user, int32_t level, const char *text)
{
    (void)user;
    CHECK(level >= OH_LOG_ERROR && level <= OH_LOG_TRACE);
    CHECK_THAT(strchr(text, '\n') == NULL, "a log line of two lines");
    collect(text);
    pthread_mutex_lock(&lock);
    lines++;
    pthread_mutex_unlock(&lock);
}

static void on_event(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    switch (e->kind) {
    case OH_EVENT_ERROR: collect(e->u.error.text); break;
    case OH_EVENT_ENDED: collect(e->u.ended.reason); break;
    case OH_EVENT_LOCAL_FAILED: collect(e->u.local.text); break;
    case OH_EVENT_TOKEN_NEEDED: CHECK_OK(oh_call_provide_token(call, LATER_TOKEN)); break;
    case OH_EVENT_PARTICIPANT_JOINED: collect(e->u.participant.custom); collect(e->u.participant.user_id); break;
    default: break;
    }
}

static void collect_last_error(void)
{
    char text[4096] = "";
    oh_last_error(text, sizeof text);
    collect(text);
}

static const char *refuse_with; /* what the coordinator says instead of its answer */

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
    oh_client_options where = OH_CLIENT_OPTIONS_INIT;
    oh_call_options what = OH_CALL_OPTIONS_INIT;
    where.url = url;
    where.api_key = API_KEY;
    where.user_id = "planter";
    where.token = token;
    CHECK_OK(oh_client_new(&where, &p->client));
    p->rec = rec_new();
    p->rec->on_event = on_event;
    what.id = "secrets";
    what.token = call_token;
    what.join_retries = 0;
    what.handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, &what, &p->call));
    CHECK_OH(oh_call_wait(p->call, OH_STATE_JOINED, ms(10000)), wanted);
    collect_last_error();
}

static void search(void)
{
    int found = 0;
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        size_t length = strlen(secrets[i]);
        CHECK(length > 10);
        for (char *at = all; (at = memmem(at, (size_t)(all + all_size - at), secrets[i], length)); at += length) {
            char *begin = at, *end = at;
            while (begin > all && begin[-1] != '\n' && at - begin < 300) begin--;
            while (end < all + all_size && *end != '\n' && end - at < 300) end++;
            printf("           %s was put out: %.*s\n", names[i], (int)(end - begin), begin);
            found++;
        }
    }
    CHECK_EQ(found, 0);
}

int main(void)
{
    peer p = { 0 }, other = { 0 };
    const char *url;
    char with_password[256], path[] = "/tmp/offhook-secrets-XXXXXX", text[1024];

    test_begin("secrets");
    test_step(20, "all that is put out is collected");
    int out = dup(1), err = dup(2), file = mkstemp(path);
    CHECK(out >= 0 && err >= 0 && file >= 0);
    test_stderr = err;
    unlink(path);
    CHECK_OK(oh_log_set(OH_LOG_TRACE, on_log, NULL, NULL));
    fake *f = fake_start(plant, NULL, &url);
    fflush(stdout);
    CHECK(dup2(file, 1) >= 0 && dup2(file, 2) >= 0);
    setenv("RUST_LOG", "trace", 1);

    test_step(60, "a call, with all that belongs to it");
    join(&p, url, TOKEN, NULL, OH_OK);
    peer_join(&other, "other", "secrets", NULL);
    peer_talk(&other, 500);
    peer_talk(&p, 700);
    CHECK_THAT(rec_wait_audio(p.rec, "other", 10, ms(15000)) && rec_wait_audio(other.rec, "planter", 10, ms(15000)),
               "they do not hear each other; a TURN server that does not answer must not matter");
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
    join(&p, url, NULL, NULL, OH_OK); /* asks for a token */
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
    oh_client_options where = OH_CLIENT_OPTIONS_INIT;
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
    join(&p, url, TOKEN "\r\nx: y", NULL, OH_ERR_PROTOCOL);
    peer_close(&p);
    snprintf(with_password, sizeof with_password, "http://127.0.0.1:%d/?secret=" URL_PASSWORD, sfu_port());
    join(&p, with_password, TOKEN, NULL, OH_OK);
    peer_close(&p);
    snprintf(with_password, sizeof with_password, "http://127.0.0.1:1/" URL_PASSWORD "?secret=" URL_PASSWORD);
    join(&p, with_password, TOKEN, NULL, OH_ERR_NETWORK);
    peer_close(&p);
    fake_stop(f);
    CHECK_OK(oh_shutdown_wait(ms(3000)));
    CHECK_OK(oh_log_set(OH_LOG_OFF, NULL, NULL, NULL));

    fflush(stdout);
    CHECK(dup2(out, 1) >= 0 && dup2(err, 2) >= 0);
    test_step(20, "the search");
    size_t before = all_size, written = 0;
    ssize_t n;
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    while ((n = read(file, text, sizeof text)) > 0) {
        written += (size_t)n;
        collect_bytes(text, (size_t)n);
        if (n == sizeof text) lseek(file, -100, SEEK_CUR); /* a secret across two pieces */
    }
    close(file);
    printf("           %zu log lines, %zu bytes in all, %zu bytes on standard output and error\n", lines, before, written);
    CHECK_THAT(lines >= 3, "only %zu log lines: this test tested nothing", lines);
    CHECK(memmem(all, all_size, "default:secrets", 15) || memmem(all, all_size, "other", 5)); /* what is no secret is there */
    if (getenv("OFFHOOK_TEST_SHOW")) printf("%.*s\n", (int)before, all);
    search();
    free(all);
    close(out);
    close(err);
    return test_end();
}
