/*
 * secrets.c - plants tokens and secrets, and searches for them in all output of the library, with LiveKit.
 * test: stand=--proxy
 *
 * Planted: the API secret, tokens that are valid, expired, forged and refreshed by the server, passwords in URLs, of
 * a TURN server and of ICE; the server repeats tokens in its refusals, and injected messages repeat more of them.
 * Searched: log lines at the level TRACE, texts of events, oh_get_last_error, statistics, standard output and error.
 * Expected: no occurrence, and refusals still have a reason.
 */
#include "collect.h"
#include "ctl.h"
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_PASSWORD "url5ecretMp8DvT5eRb2URL"
#define FRESH_TOKEN "frs5ecretUz1LqW7oTn3FRESH"
#define TURN_PASSWORD "trn5ecretJf6KsY1wUg3TURN"
#define ICE_PASSWORD "ice5ecretVb4RmX9eQk7ICEP"

static char good[4096], forged[4096], expired[4096], asked[4096], api_secret[256];
static char good_signature[256], forged_signature[256], expired_signature[256], asked_signature[256];
static const secret secrets[] = {
    { "the API secret", api_secret }, { "the token", good }, { "the forged token", forged }, { "the expired token", expired },
    { "the token asked for", asked }, { "the token's signature", good_signature }, { "the forged token's signature", forged_signature },
    { "the expired token's signature", expired_signature }, { "the signature of the token asked for", asked_signature },
    { "a password in a URL", URL_PASSWORD }, { "the server's new token", FRESH_TOKEN }, { "the TURN password", TURN_PASSWORD },
    { "the ICE password", ICE_PASSWORD },
};

static void sign(char *token, char *signature, const char *user, const char *more)
{
    char *answer = ctl_answer("token", "{\"identity\":\"%s\",\"room\":\"secrets\"%s}", user, more);
    json_text(answer, "token", token, sizeof good);
    free(answer);
    const char *last = strrchr(token, '.');
    CHECK(last && strlen(last) > 20 && strlen(last) < sizeof good_signature);
    strcpy(signature, last + 1);
}

static void on_event(recorder *r, oh_call call, const oh_event *e)
{
    (void)r;
    collect_event(e);
    if (e->kind == OH_EVENT_TOKEN_NEEDED) CHECK_OK(oh_call_provide_token(call, asked));
}

static void join(peer *p, const char *url, const char *token, const char *call_token, oh_result wanted)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    where.protocol = OH_PROTOCOL_LIVEKIT;
    where.url = url;
    where.token = token;
    where.user_id = token ? NULL : "planter";
    CHECK_OK(oh_client_new(&where, &p->client));
    p->rec = rec_new();
    p->rec->on_event = on_event;
    what.call_id = "secrets";
    what.token = call_token;
    what.join_retries = OH_ZERO;
    what.handlers = rec_handlers(p->rec);
    CHECK_OK(oh_call_join(p->client, &what, &p->call));
    CHECK_OH(oh_call_wait_state(p->call, OH_STATE_JOINED, ms(15000)), wanted);
    collect_last_error();
}

/* Appends a field of a protobuf message, of the wire type LEN; sizes below 16384. */
static size_t field(unsigned char *to, unsigned number, const void *bytes, size_t size)
{
    size_t n = 0;
    unsigned key = number << 3 | 2;
    if (key > 127) to[n++] = (unsigned char)(key & 127) | 128, key >>= 7;
    to[n++] = (unsigned char)key;
    to[n++] = (unsigned char)(size & 127) | 128;
    to[n++] = (unsigned char)(size >> 7);
    memcpy(to + n, bytes, size);
    return n + size;
}

static size_t text_field(unsigned char *to, unsigned number, const char *text)
{
    return field(to, number, text, strlen(text));
}

/* Injects a message of the server: a member of SignalResponse. */
static void inject(const char *user, unsigned number, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char message[8192] = { 0 };
    char text[12000], *to = text;
    size_t length = field(message, number, bytes, size), i = 0;
    for (; i < length; i += 3) {
        unsigned group = (unsigned)message[i] << 16 | (unsigned)message[i + 1] << 8 | message[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *to++ = digits[group >> shift & 63];
    }
    for (; i > length; i--) to[-(long)(i - length)] = '=';
    *to = 0;
    ctl("inject", "{\"identity\":\"%s\",\"message\":\"%s\"}", user, text);
}

static void inject_secrets(const char *user)
{
    unsigned char message[8192], inner[4096];
    char sdp[2048];
    size_t n, m;

    /* RequestResponse: refuses a request that was never sent. */
    n = text_field(message, 3, good);
    inject(user, 22, message, n);
    /* An invalid offer, and one that is almost valid. */
    snprintf(sdp, sizeof sdp, "v=0\r\na=ice-pwd:" ICE_PASSWORD "\r\nm=%s\r\n", good_signature);
    n = text_field(message, 1, "offer");
    n += text_field(message + n, 2, sdp);
    inject(user, 3, message, n);
    snprintf(sdp, sizeof sdp,
             "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"
             "a=ice-ufrag:u\r\na=ice-pwd:" ICE_PASSWORD "\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n");
    n = text_field(message, 1, "offer");
    n += text_field(message + n, 2, sdp);
    inject(user, 3, message, n);
    /* An invalid candidate. */
    n = text_field(message, 1, "{\"candidate\":\"candidate:" ICE_PASSWORD "\",\"sdpMLineIndex\":0}");
    inject(user, 4, message, n);
    /* ReconnectResponse with a TURN server. */
    m = text_field(inner, 1, "turn:127.0.0.1:9?transport=udp");
    m += text_field(inner + m, 2, "someone");
    m += text_field(inner + m, 3, TURN_PASSWORD);
    n = field(message, 1, inner, m);
    inject(user, 19, message, n);
    /* A second JoinResponse, with a TURN server. */
    n = field(message, 5, inner, m);
    inject(user, 1, message, n);
}

int main(void)
{
    peer p = { 0 }, other = { 0 };
    const char *url = livekit_url();
    char with_password[256];
    oh_client client;

    test_begin("secrets");
    test_step(20, "all that is put out is collected");
    json_text(getenv("OFFHOOK_LIVEKIT"), "secret", api_secret, sizeof api_secret);
    sign(good, good_signature, "planter", ",\"grants\":{\"canUpdateOwnMetadata\":true}");
    sign(asked, asked_signature, "planter", ",\"name\":\"asked\"");
    sign(expired, expired_signature, "planter", ",\"ttl_s\":-3600");
    sign(forged, forged_signature, "planter", ",\"forged\":true");
    collect_begin();

    test_step(60, "a call, with all that belongs to it");
    join(&p, url, good, NULL, OH_OK);
    peer_join(&other, "other", "secrets", NULL);
    peer_publish_tone(&other, 500);
    peer_publish_tone(&p, 700);
    CHECK_THAT(rec_wait_audio(p.rec, "other", 10, ms(15000)) && rec_wait_audio(other.rec, "planter", 10, ms(15000)),
               "they do not receive each other's audio");
    inject_secrets("planter");
    ctl("garbage", "{\"identity\":\"other\",\"text\":\"%s\"}", good);
    oh_call_stats s = peer_stats(&p);
    collect_bytes(&s, sizeof s);
    ctl("close", "{\"identity\":\"planter\",\"code\":1000,\"reason\":\"your token is " FRESH_TOKEN "\"}");
    EXPECT(p.rec, OH_EVENT_RECONNECTED, NULL, ms(20000));
    size_t mark = rec_mark(p.rec);
    /* If the server later refuses the refreshed token, the application's token is used. */
    inject("planter", 16, FRESH_TOKEN, strlen(FRESH_TOKEN));
    inject("planter", 16, forged, strlen(forged));
    ctl("cut", "{\"identity\":\"planter\"}");
    EXPECT_FROM(p.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(20000));
    tone_stop(p.tone);
    p.tone = NULL;
    peer_close(&p);
    peer_close(&other);

    test_step(60, "refusals that repeat the secrets");
    join(&p, url, good, forged, OH_ERR_AUTH);
    peer_close(&p);
    join(&p, url, good, expired, OH_ERR_AUTH);
    peer_close(&p);
    join(&p, url, NULL, NULL, OH_OK); /* requests a token */
    peer_close(&p);

    test_step(20, "arguments that are wrong, with secrets in them");
    static const char *const bad_urls[] = {
        "ws://user:" URL_PASSWORD "@192.0.2.1/", "ws://user:" URL_PASSWORD "@127.0.0.1/", "wss://" URL_PASSWORD "@example.com",
        "ws://192.0.2.1/?password=" URL_PASSWORD, "ws://[::1" URL_PASSWORD, "nothing://" URL_PASSWORD, URL_PASSWORD,
        "ws://127.0.0.1:99999/" URL_PASSWORD, "ws://127.0.0.1:1 ws://x:" URL_PASSWORD "@127.0.0.1/",
    };
    oh_client_options where = OH_INIT(oh_client_options);
    where.protocol = OH_PROTOCOL_LIVEKIT;
    where.token = good;
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++) {
        where.url = bad_urls[i];
        CHECK(oh_client_new(&where, &client) != OH_OK);
        collect_last_error();
    }
    snprintf(with_password, sizeof with_password, "ws://127.0.0.1:1/" URL_PASSWORD "?secret=" URL_PASSWORD);
    join(&p, with_password, good, NULL, OH_ERR_NETWORK);
    peer_close(&p);
    oh_access_token_options token = OH_INIT(oh_access_token_options);
    char small[16];
    token.api_key = "key";
    token.api_secret = api_secret;
    token.user_id = "planter";
    CHECK(oh_access_token_create(&token, small, sizeof small, NULL) != OH_OK);
    collect_last_error();
    token.user_id = "";
    CHECK(oh_access_token_create(&token, with_password, sizeof with_password, NULL) != OH_OK);
    collect_last_error();
    CHECK_OK(oh_shutdown_wait(ms(3000)));

    test_step(20, "the search");
    collect_search(secrets, sizeof secrets / sizeof *secrets, "other");
    return test_end();
}
