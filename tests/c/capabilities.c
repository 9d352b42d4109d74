/*
 * capabilities.c - the functions that the Stream protocol supports, and those that only LiveKit supports.
 *
 * Expected: oh_call_get_capabilities is the same at any time of the call; every function of the other protocol
 * returns OH_ERR_UNSUPPORTED with a text that names the missing function and the protocol, before, during and after
 * the call, with no other effect; an unknown protocol is refused, and so is no_auto_subscribe.
 */
#include "peer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    HAS = OH_CAP_CUSTOM_EVENTS | OH_CAP_RING | OH_CAP_PINS | OH_CAP_DOMINANT_SPEAKER | OH_CAP_MIGRATE,
    LACKS = OH_CAP_DATA | OH_CAP_TEXT | OH_CAP_RPC | OH_CAP_ATTRIBUTES | OH_CAP_ROOM | OH_CAP_SUBSCRIPTIONS,
};

static void unsupported(int line, oh_result result, const char *what)
{
    char why[512];
    oh_get_last_error(why, sizeof why);
    if (result != OH_ERR_UNSUPPORTED) test_fail(__FILE__, line, "%s is %s: %s", what, oh_result_get_name(result), why);
    if (!strstr(why, what)) test_fail(__FILE__, line, "'%s' does not name %s", why, what);
    if (!strstr(why, "Stream")) test_fail(__FILE__, line, "'%s' does not name the protocol", why);
}

#define UNSUPPORTED(call, what) unsupported(__LINE__, call, what)

static void capabilities(oh_call call)
{
    uint64_t can = 0;
    CHECK_OK(oh_call_get_capabilities(call, &can));
    CHECK_EQ(can & HAS, HAS);
    CHECK_EQ(can & LACKS, 0);
    CHECK_OH(oh_call_get_capabilities(call, NULL), OH_ERR_ARGUMENT);
}

static void everything_of_the_other(oh_call call, oh_subscriber subscriber)
{
    oh_data_options to = OH_INIT(oh_data_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    oh_remote_track_options track = OH_INIT(oh_remote_track_options);
    const char *both[] = { "a", "b" };
    uint64_t id = 77;
    to.topic = "topic";
    to.to = both;
    to.to_count = 2;
    rpc.to = rpc.method = "x";
    UNSUPPORTED(oh_call_send_data(call, NULL, NULL, 0), "oh_call_send_data");
    UNSUPPORTED(oh_call_send_data(call, &to, "bytes", 5), "oh_call_send_data");
    UNSUPPORTED(oh_call_send_text(call, &to, "text"), "oh_call_send_text");
    UNSUPPORTED(oh_call_perform_rpc(call, &rpc, &id), "rpc");
    UNSUPPORTED(oh_call_answer_rpc(call, "id", "payload", 0, NULL), "rpc");
    UNSUPPORTED(oh_call_set_attributes(call, "name", "metadata", "{\"k\":\"v\"}"), "attributes");
    UNSUPPORTED(oh_call_set_attributes(call, NULL, NULL, NULL), "attributes");
    UNSUPPORTED(oh_subscriber_set_track(subscriber, "track", NULL), "subscribe");
    UNSUPPORTED(oh_subscriber_set_track(subscriber, "track", &track), "subscribe");
    CHECK_EQ(id, 77);
}

int main(void)
{
    static const int32_t none[] = { -1, 3, 77, INT32_MAX, INT32_MIN };
    peer p = { 0 }, other = { 0 };
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_client client = { 77 };
    oh_call call = { 77 };
    oh_subscriber subscriber;
    char why[512];

    test_begin("capabilities");
    test_step(10, "what is no protocol");
    where.url = sfu_url();
    where.user_id = "u";
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        where.protocol = none[i];
        CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
        oh_get_last_error(why, sizeof why);
        CHECK_THAT(strstr(why, "protocol"), "the error text is '%s'", why);
    }
    CHECK_EQ(client.id, 77);

    test_step(20, "before the join, during the call, after its end");
    peer_open(&p, "can", "capabilities", NULL);
    CHECK_OK(oh_call_get_subscriber(p.call, &subscriber));
    capabilities(p.call);
    everything_of_the_other(p.call, subscriber);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    capabilities(p.call);
    for (int i = 0; i < 3; i++) everything_of_the_other(p.call, subscriber);
    peer_join(&other, "other", "capabilities", NULL);
    peer_publish_tone(&other, 440);
    CHECK_THAT(rec_wait_tone(p.rec, "other", 440, ms(10000)), "the call has suffered");
    CHECK_OK(oh_call_send_custom_event(p.call, "{}"));
    CHECK_EQ(rec_count(p.rec, OH_EVENT_ERROR), 0);
    CHECK_EQ(rec_count(p.rec, OH_EVENT_ROOM) + rec_count(p.rec, OH_EVENT_SUBSCRIPTION_PERMISSION), 0);
    CHECK_OK(oh_call_leave(p.call, NULL));
    EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(3000));
    capabilities(p.call);
    everything_of_the_other(p.call, subscriber);

    test_step(10, "no_auto_subscribe");
    what.call_id = "capabilities";
    what.no_auto_subscribe = 1;
    UNSUPPORTED(oh_call_join(p.client, &what, &call), "no_auto_subscribe");
    CHECK_EQ(call.id, 77);
    peer_close(&p);
    peer_close(&other);
    return test_end();
}
