/*
 * insecure.c - plain http and ws are allowed to loopback hosts only, unless the application allows more.
 *
 * Expected: oh_client_new refuses such a URL with OH_ERR_INSECURE without any network traffic; a plain ws SFU
 * elsewhere that a coordinator names ends the join with OH_ERR_INSECURE; loopback in all its forms works; names that
 * only look like loopback do not.
 */
#include "peer.h"
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static oh_result try_url(const char *url, uint32_t allow, const char *hint)
{
    oh_client_options where = OH_INIT(oh_client_options);
    oh_client client = { 0 };
    where.url = url;
    where.user_id = "u";
    where.token = "development";
    where.allow_insecure = allow;
    where.hint_url = hint;
    oh_result r = oh_client_new(&where, &client);
    CHECK_EQ(client.id != 0, r == OH_OK);
    oh_client_free(client);
    return r;
}

static const char *edit_what, *edit_by;

/* The SFU's real response, with another address in it. */
static int elsewhere(void *arg, const char *request, char **body)
{
    (void)arg;
    int status = fake_forward(request, body);
    *body = replace(*body, edit_what, edit_by);
    return status;
}

int main(void)
{
    /* 192.0.2.0/24 is reserved for documentation: no host is there, and nothing may be sent there. */
    static const char *const refused[] = {
        "http://192.0.2.1", "http://192.0.2.1:8080/base", "http://example.com", "http://localhost.example.com",
        "http://127.0.0.1.example.com", "http://[2001:db8::1]:80", "http://0.0.0.0:80",
        "http://[::ffff:192.0.2.1]/", "HTTP://192.0.2.1", "http://notlocalhost",
    };
    static const char *const loopback[] = {
        "http://127.0.0.1:1", "http://127.1.2.3:1", "http://localhost:1", "http://LOCALHOST:1/base/", "http://[::1]:1",
    };
    static const char *const nonsense[] = {
        "", "x", "127.0.0.1", "ftp://127.0.0.1", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:99999",
        "mailto:a@b", "http://a b", "javascript:1", "data:,x",
        /* A URL with user information is refused: the password could leak, and the host is easily misread. */
        "http://127.0.0.1@192.0.2.1/", "http://localhost@example.com", "http://user:password@127.0.0.1:1",
    };
    const char *url;
    char why[512], edit[64], host[64];

    test_begin("insecure");
    test_step(10, "URLs");
    int fds = count_fds();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        oh_result r = try_url(refused[i], 0, NULL);
        CHECK_THAT(r == OH_ERR_INSECURE, "%s gives %s", refused[i], oh_result_get_name(r));
        CHECK(oh_get_last_error(why, sizeof why) > 0 && strstr(why, "url"));
        r = try_url(sfu_url(), 0, refused[i]);
        CHECK_THAT(r == OH_ERR_INSECURE, "%s as hint_url gives %s", refused[i], oh_result_get_name(r));
        r = try_url(refused[i], 1, NULL);
        CHECK_THAT(r == OH_OK, "%s gives %s although it is allowed", refused[i], oh_result_get_name(r));
    }
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        oh_result r = try_url(loopback[i], 0, NULL);
        CHECK_THAT(r == OH_OK, "%s gives %s", loopback[i], oh_result_get_name(r));
    }
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        oh_result r = try_url(nonsense[i], i % 2, NULL);
        CHECK_THAT(r == OH_ERR_ARGUMENT, "'%s' gives %s", nonsense[i], oh_result_get_name(r));
    }
    CHECK_OK(try_url("https://192.0.2.1", 0, "https://192.0.2.1/hint")); /* no connection is made yet */
    CHECK_EQ(count_fds(), fds);
    CHECK_EQ(count_threads(), 1);

    test_step(10, "by name");
    peer p = { 0 };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    snprintf(edit, sizeof edit, "http://localhost:%d", sfu_port());
    where.url = edit;
    where.user_id = "by-name";
    where.token = "development";
    CHECK_OK(oh_client_new(&where, &p.client));
    p.rec = rec_new();
    what.call_id = "insecure";
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    peer_close(&p);

    snprintf(host, sizeof host, "127.0.0.1:%d", sfu_port());
    static const char *const answers[][2] = { { "\"ws://%s", "\"ws://192.0.2.1" }, { "\"http://%s", "\"http://192.0.2.1" } };
    for (int i = 0; i < 2; i++) {
        test_step(10, "a coordinator that names %s", answers[i][1] + 1);
        snprintf(edit, sizeof edit, i ? "\"http://%s" : "\"ws://%s", host);
        edit_what = edit;
        edit_by = answers[i][1];
        fake *f = fake_start(elsewhere, NULL, &url);
        where.url = url;
        where.user_id = "u";
        CHECK_OK(oh_client_new(&where, &p.client));
        p.rec = rec_new();
        what.handlers = rec_handlers(p.rec);
        CHECK_OK(oh_call_join(p.client, &what, &p.call));
        CHECK_OH(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)), OH_ERR_INSECURE);
        rec_event e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(1000));
        CHECK_EQ(e.code, OH_END_JOIN_FAILED);
        CHECK_EQ(e.error, OH_ERR_INSECURE);
        CHECK_EQ(peer_stats(&p).join_attempts, 1); /* a retry would not help */
        CHECK_EQ(fake_requests(f), 1);
        peer_close(&p);
        fake_stop(f);
    }
    return test_end();
}
