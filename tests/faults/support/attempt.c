/* attempt.c - see attempt.h. */
#include "attempt.h"

#include <stdio.h>
#include <string.h>

const char *attempt_url;

const char *attempt_stage_name(int stage)
{
    static const char *const names[ATTEMPT_STAGES] = { "no client", "no call", "not joined", "cut short", "silent", "complete" };
    return names[stage];
}

/* The accepted errors for a system fault. OH_ERR_INTERNAL would be a bug, a timeout at the caller a hang. */
static void check_typed(int error, const char *text)
{
    switch (error) {
    case OH_ERR_LIMIT: case OH_ERR_NETWORK: case OH_ERR_TIMEOUT: case OH_ERR_MEDIA: case OH_ERR_PROTOCOL:
    case OH_ERR_REFUSED: case OH_ERR_CANCELLED:
        break;
    default: FAIL("a fault of the system became %s: %s", oh_result_get_name(error), text);
    }
    CHECK_THAT(text[0] != 0, "%s without a text", oh_result_get_name(error));
}

static int published_or_not(recorder *r, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < r->count; i++) {
        int kind = r->events[i].kind;
        if (kind == OH_EVENT_LOCAL_TRACK_PUBLISHED || kind == OH_EVENT_LOCAL_TRACK_FAILED || kind == OH_EVENT_ENDED) return 1;
    }
    return 0;
}

static void fail_attempt(attempt *one, int stage, int error)
{
    one->ms = now_ms() - one->ms;
    one->stage = stage;
    one->error = error;
    oh_get_last_error(one->text, sizeof one->text);
    check_typed(error, one->text);
}

static void send_audio(attempt *one, recorder *r, oh_call call)
{
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);
    oh_call_stats stats = { .size = sizeof stats };
    int16_t pcm[960];
    oh_track mic;
    rec_event e;
    options.no_dtx = 1;
    for (int i = 0; i < 960; i++) pcm[i] = (int16_t)(i % 48 * 400);
    oh_result result = oh_call_publish_audio(call, &options, &mic);
    if (result != OH_OK) {
        if (rec_has_ended(r)) return;
        fail_attempt(one, ATTEMPT_SILENT, result);
        return;
    }
    for (int i = 0; i < 10; i++) {
        result = oh_track_write_s16(mic, pcm, 960);
        CHECK_THAT(result == OH_OK || result == OH_ERR_FULL || result == OH_ERR_CLOSED, "a write is %s", oh_result_get_name(result));
    }
    CHECK_THAT(rec_wait_until(r, published_or_not, NULL, ms(20000)), "publishing neither works nor fails");
    if (rec_wait(r, OH_EVENT_LOCAL_TRACK_FAILED, NULL, 0, 0, &e) >= 0) {
        one->stage = ATTEMPT_SILENT;
        one->error = e.error;
        snprintf(one->text, sizeof one->text, "%s", e.text);
        check_typed(e.error, e.text);
    }
    /* Media flows, or the call ends: nothing more is required here. */
    for (double until = now_ms() + ms(400); now_ms() < until && !rec_has_ended(r); nap(2)) {
        CHECK_OK(oh_call_get_stats(call, &stats));
        if (stats.packets_sent >= 5) break;
    }
}

attempt attempt_run(const char *user, const char *call_id)
{
    attempt one = { .stage = ATTEMPT_COMPLETE, .end = -1, .ms = now_ms() };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_client client;
    oh_call call;
    oh_result result;
    rec_event e;
    double began = now_ms();

    where.url = attempt_url ? attempt_url : sfu_url();
    where.user_id = user;
    where.token = "development";
    result = oh_client_new(&where, &client);
    if (result != OH_OK) {
        fail_attempt(&one, ATTEMPT_NO_CLIENT, result);
        return one;
    }
    recorder *r = rec_new();
    what.call_id = call_id;
    what.join_retries = 1;
    what.handlers = rec_handlers(r);
    result = oh_call_join(client, &what, &call);
    if (result != OH_OK) {
        fail_attempt(&one, ATTEMPT_NO_CALL, result);
        CHECK_THAT(r->destroyed == 0, "destroy was called for a join that failed at once");
        oh_client_free(client);
        rec_free(r);
        return one;
    }
    result = oh_call_wait_state(call, OH_STATE_JOINED, ms(40000));
    if (result != OH_OK) {
        fail_attempt(&one, ATTEMPT_NOT_JOINED, result);
        CHECK_THAT(rec_wait(r, OH_EVENT_ENDED, NULL, 0, ms(2000), &e) >= 0, "not joined (%s), but not ended: %s", oh_result_get_name(result), one.text);
    } else {
        send_audio(&one, r, call);
    }
    int cut = rec_has_ended(r);
    CHECK_OK(oh_call_leave(call, "done"));
    e = EXPECT(r, OH_EVENT_ENDED, NULL, ms(2500));
    CHECK_OK(oh_call_wait_state(call, OH_STATE_LEFT, ms(2500)));
    CHECK_EQ(rec_count(r, OH_EVENT_ENDED), 1);
    one.end = e.code;
    CHECK_THAT(e.code != OH_END_INTERNAL, "the call ended by a defect: %s", e.text);
    if (cut && one.stage > ATTEMPT_CUT) {
        one.stage = ATTEMPT_CUT;
        one.error = e.error;
        snprintf(one.text, sizeof one.text, "%s", e.text);
        CHECK_THAT(e.text[0] != 0, "a call ended without a text");
    } else if (one.stage > ATTEMPT_CUT) {
        CHECK_EQ(e.code, OH_END_LEFT);
    }
    oh_client_free(client);
    rec_call_freed(r);
    rec_free(r);
    one.ms = now_ms() - began;
    return one;
}
