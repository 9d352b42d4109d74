/*
 * diagnose.c - oh_diagnose: the handler exactly once, then destroy, whatever happens.
 *
 * Expected: against the development SFU every step is ok, with a token and a call media too, and the report has no
 * token; a closed port is one failed step; wrong options are refused by name, and neither the handler nor destroy is
 * called; a handler may begin another diagnosis; eight are in progress at most; a shutdown ends those in progress at
 * once, with what is known.
 */
#include "check.h"
#include "ctl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN "eyJh5ecretHeaderGc1.eyJ15ecretClaimsZWI.sIg5ecretSignatureXyZ"

typedef struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int handled, destroyed, early; /* early: destroy before the handler, or a handler after it */
    uint32_t failed, warnings;
    oh_bool incomplete;
    char text[32768], json[32768];
    oh_diagnose_options *again; /* what the handler begins; NULL: nothing */
    struct outcome *next;       /* its outcome */
    oh_result began;
} outcome;

static void on_destroy(void *user_data)
{
    outcome *o = user_data;
    pthread_mutex_lock(&o->lock);
    o->early += o->handled != 1;
    o->destroyed++;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void on_diagnosis(void *user_data, const oh_diagnosis *diagnosis)
{
    outcome *o = user_data;
    CHECK_EQ(diagnosis->size, sizeof *diagnosis);
    CHECK_EQ(diagnosis->reserved, 0);
    if (o->again) o->began = oh_diagnose(o->again, on_diagnosis, o->next, on_destroy);
    pthread_mutex_lock(&o->lock);
    o->early += o->destroyed;
    o->handled++;
    o->failed = diagnosis->steps_failed;
    o->warnings = diagnosis->steps_warning;
    o->incomplete = diagnosis->incomplete;
    CHECK(strlen(diagnosis->text) < sizeof o->text && strlen(diagnosis->report_json) < sizeof o->json);
    strcpy(o->text, diagnosis->text);
    strcpy(o->json, diagnosis->report_json);
    pthread_mutex_unlock(&o->lock);
}

static outcome *made[32];
static int made_count;

static outcome *outcome_new(void)
{
    outcome *o = calloc(1, sizeof *o);
    CHECK(o != NULL && made_count < (int)(sizeof made / sizeof *made));
    made[made_count++] = o;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    return o;
}

/* Waits for destroy; the step's deadline ends a test that waits for ever. */
static void finished(outcome *o)
{
    pthread_mutex_lock(&o->lock);
    while (!o->destroyed) pthread_cond_wait(&o->changed, &o->lock);
    CHECK_EQ(o->handled, 1);
    CHECK_EQ(o->destroyed, 1);
    CHECK_EQ(o->early, 0);
    pthread_mutex_unlock(&o->lock);
    CHECK_THAT(!strstr(o->text, "5ecret") && !strstr(o->json, "5ecret"), "a secret is in the report:\n%s", o->text);
    CHECK(o->json[0] == '{' && strlen(o->text) > 20);
}

/* A listener that accepts nothing and never answers; its port. */
static int silent(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof at) && !listen(fd, 64));
    CHECK(!getsockname(fd, (struct sockaddr *)&at, &size));
    *port = ntohs(at.sin_port);
    return fd;
}

static outcome *refused_one;

static void refused(const oh_diagnose_options *options, oh_result wanted, const char *word)
{
    char why[512] = "";
    CHECK_OH(oh_diagnose(options, on_diagnosis, refused_one, on_destroy), wanted);
    oh_get_last_error(why, sizeof why);
    CHECK_THAT(strstr(why, word) != NULL, "'%s' is not in '%s'", word, why);
}

static void wrong_options(void)
{
    oh_client_options client = OH_INIT(oh_client_options);
    oh_diagnose_options o = OH_INIT(oh_diagnose_options);
    oh_ice_server server = OH_INIT(oh_ice_server);
    const oh_ice_server *servers[17] = { 0 };

    test_step(10, "wrong options are refused by name");
    refused_one = outcome_new();
    refused(NULL, OH_ERR_ARGUMENT, "options");
    refused(&o, OH_ERR_ARGUMENT, "oh_diagnose_options.client");
    o.client = &client;
    refused(&o, OH_ERR_ARGUMENT, "oh_client_options.url");
    client.url = sfu_url();
    CHECK_OH(oh_diagnose(&o, NULL, refused_one, on_destroy), OH_ERR_ARGUMENT);
    o.timeout_ms = 99;
    refused(&o, OH_ERR_ARGUMENT, "timeout_ms is 99");
    o.timeout_ms = OH_FOREVER;
    refused(&o, OH_ERR_ARGUMENT, "timeout_ms");
    o.timeout_ms = 0;
    o.ice_server_count = 17;
    o.ice_servers = servers;
    refused(&o, OH_ERR_ARGUMENT, "ice_server_count is 17");
    o.ice_server_count = 1;
    refused(&o, OH_ERR_ARGUMENT, "ice_servers[0]");
    o.ice_servers = NULL;
    refused(&o, OH_ERR_ARGUMENT, "ice_servers is NULL");
    o.ice_servers = servers;
    servers[0] = &server;
    refused(&o, OH_ERR_ARGUMENT, "oh_ice_server.url");
    server.size = 8;
    refused(&o, OH_ERR_ABI, "oh_ice_server.size");
    o.ice_server_count = 0;
    client.size = 8;
    refused(&o, OH_ERR_ABI, "oh_client_options.size");
    client = (oh_client_options)OH_INIT(oh_client_options);
    client.url = sfu_url();
    client.token = TOKEN;
    o.call_id = "..";
    refused(&o, OH_ERR_ARGUMENT, "user_id");
    client.user_id = "doctor";
    refused(&o, OH_ERR_ARGUMENT, "oh_diagnose_options.call_id");
    client.proxy = "ftp://user:5ecret@proxy.example.com";
    refused(&o, OH_ERR_ARGUMENT, "oh_client_options.proxy");
    o.reserved = 1;
    refused(&o, OH_ERR_ABI, "oh_diagnose_options.reserved");
    CHECK_EQ(refused_one->handled + refused_one->destroyed, 0);
}

int main(void)
{
    oh_client_options client = OH_INIT(oh_client_options);
    oh_diagnose_options o = OH_INIT(oh_diagnose_options);
    outcome *first, *second, *many[8];
    char url[64];
    int port, fd;
    double begun;

    test_begin("diagnose");
    wrong_options();
    client.url = sfu_url();
    o.client = &client;

    test_step(30, "without a token");
    first = outcome_new();
    CHECK_OK(oh_diagnose(&o, on_diagnosis, first, on_destroy));
    finished(first);
    CHECK_THAT(first->failed == 0 && !first->incomplete, "%s", first->text);
    CHECK_THAT(strstr(first->json, "\"name\":\"http\""), "%s", first->json);

    test_step(40, "a join, and another one begun in its handler");
    first = outcome_new();
    second = outcome_new();
    client.token = TOKEN;
    client.user_id = "doctor";
    o.call_id = "diagnose";
    first->again = &o;
    first->next = second;
    CHECK_OK(oh_diagnose(&o, on_diagnosis, first, on_destroy));
    finished(first);
    CHECK_OK(first->began);
    finished(second);
    for (int i = 0; i < 2; i++) {
        outcome *each = i ? second : first;
        CHECK_THAT(each->failed == 0 && !each->incomplete, "%s", each->text);
        CHECK_THAT(strstr(each->json, "\"name\":\"publisher\""), "%s", each->json);
    }

    test_step(20, "a closed port");
    fd = silent(&port);
    close(fd);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    client.url = url;
    o.call_id = NULL;
    first = outcome_new();
    CHECK_OK(oh_diagnose(&o, on_diagnosis, first, on_destroy));
    finished(first);
    CHECK_THAT(first->failed == 1 && strstr(first->json, "\"cause\":\"refused\""), "%s", first->json);

    test_step(20, "eight in progress, and a shutdown in the middle");
    fd = silent(&port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    o.timeout_ms = 600000;
    for (int i = 0; i < 8; i++) CHECK_OK(oh_diagnose(&o, on_diagnosis, many[i] = outcome_new(), on_destroy));
    refused(&o, OH_ERR_LIMIT, "8 are in progress");
    begun = now_ms();
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_THAT(now_ms() - begun < ms(2500), "the shutdown took %.0f ms", now_ms() - begun);
    for (int i = 0; i < 8; i++) {
        finished(many[i]);
        CHECK_THAT(many[i]->incomplete, "%s", many[i]->text);
    }

    test_step(20, "afterwards, without destroy");
    close(fd);
    client.url = sfu_url();
    o.timeout_ms = 0;
    first = outcome_new();
    CHECK_OK(oh_diagnose(&o, on_diagnosis, first, NULL));
    for (int handled = 0; !handled; nap(5)) {
        pthread_mutex_lock(&first->lock);
        handled = first->handled;
        pthread_mutex_unlock(&first->lock);
    }
    CHECK_THAT(first->failed == 0, "%s", first->text);
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_EQ(first->handled, 1);
    CHECK_EQ(refused_one->handled + refused_one->destroyed, 0);
    while (made_count > 0) free(made[--made_count]);
    return test_end();
}
