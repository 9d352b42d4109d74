/*
 * frames.c - malformed, fragmented and oversized frames from the SFU.
 *
 * Expected: a message that cannot be parsed is dropped and counted, and the call continues; a message in many
 * fragments is read; a frame that claims 200 MiB, or streams them, ends its connection, without memory for it; a
 * broken WebSocket protocol ends its connection, too. Other calls in the process are unaffected.
 */
#include "peer.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static void base64(const unsigned char *in, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (i + 1 < size ? in[i + 1] << 8 : 0) | (i + 2 < size ? in[i + 2] : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? digits[v & 63] : '=';
    }
    *out = 0;
}

static void raw(const char *user, const char *opcode, const void *bytes, size_t size, unsigned fragments)
{
    char text[4096];
    CHECK(size <= 3000);
    base64(bytes, size, text);
    ctl("raw_frame", "{\"user_id\":\"%s\",\"opcode\":%s,\"base64\":\"%s\",\"fragments\":%u}", user, opcode, text, fragments);
}

static void wait_malformed(peer *p, uint64_t at_least)
{
    for (double end = now_ms() + ms(5000); peer_stats(p).malformed_messages < at_least; nap(2))
        CHECK_THAT(now_ms() < end, "%llu malformed messages are counted, expected %llu",
                   (unsigned long long)peer_stats(p).malformed_messages, (unsigned long long)at_least);
}

/* The call is still joined and receives events. */
static void goes_on(peer *p, unsigned errors)
{
    size_t mark = rec_mark(p->rec);
    CHECK_OK(oh_call_wait_state(p->call, OH_STATE_JOINED, 0));
    ctl("send_event", "{\"user_id\":\"%s\",\"event\":{\"healthCheckResponse\":{\"participantCount\":{\"total\":%u}}}}", p->user,
        1000 + (unsigned)(test_random() % 100000));
    EXPECT_FROM(p->rec, mark, OH_EVENT_COUNTS, NULL, ms(5000));
    CHECK_EQ(rec_count(p->rec, OH_EVENT_ERROR), errors);
}

static peer left, right; /* must be unaffected */

static void undisturbed(void)
{
    double a = rec_gap(left.rec, "right"), b = rec_gap(right.rec, "left");
    double limit = ms(200) + 3 * rec_stall();
    CHECK_THAT(a <= limit && b <= limit, "others had gaps of %.0f and %.0f ms, the machine stalled for %.0f", a, b, rec_stall());
    CHECK_EQ(rec_count(left.rec, OH_EVENT_ERROR) + rec_count(right.rec, OH_EVENT_ERROR), 0);
    CHECK_OK(oh_call_wait_state(left.call, OH_STATE_JOINED, 0));
    rec_gaps_begin(left.rec);
    rec_gaps_begin(right.rec);
}

int main(void)
{
    peer p = { 0 };
    unsigned char bytes[3000];
    char user[32];
    uint64_t count = 0;

    test_begin("frames");
    test_step(20, "two participants send audio");
    peer_join(&left, "left", "frames-2", NULL);
    peer_join(&right, "right", "frames-2", NULL);
    peer_publish_tone(&left, 400);
    peer_publish_tone(&right, 600);
    CHECK(rec_wait_tone(left.rec, "right", 600, ms(10000)));
    CHECK(rec_wait_tone(right.rec, "left", 400, ms(10000)));
    rec_gaps_begin(left.rec);
    rec_gaps_begin(right.rec);

    test_step(20, "messages that cannot be read");
    peer_join(&p, "reader", "frames", NULL);
    static const struct { const char *opcode, *bytes; size_t size; } garbage[] = {
        { "\"binary\"", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12 },
        { "\"binary\"", "\x0a\x7f\x01", 3 },            /* a length beyond the end */
        { "\"binary\"", "\x6a\xff\xff\xff\xff\x0f", 6 }, /* a join_response of 4 GiB */
        { "\"text\"", "{\"subscriberOffer\":", 19 },
        { "\"text\"", "{]", 2 },
        { "\"text\"", "{\"subscriberOffer\":{\"sdp\":12}}", 30 },
        { "\"text\"", "\xff\xfe\xfd", 3 },              /* not UTF-8, and no protobuf */
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        raw("reader", garbage[i].opcode, garbage[i].bytes, garbage[i].size, 1);
        wait_malformed(&p, ++count);
    }
    goes_on(&p, 0);
    test_step(20, "random bytes");
    for (unsigned i = 0; i < rounds(200); i++) {
        size_t size = 1 + test_random() % sizeof bytes;
        for (size_t k = 0; k < size; k++) bytes[k] = (unsigned char)test_random();
        if (i % 4 == 0) bytes[0] = '{';
        raw("reader", i % 2 ? "\"binary\"" : "\"text\"", bytes, size, 1 + (unsigned)(test_random() % 3));
    }
    goes_on(&p, 0);
    CHECK_THAT(peer_stats(&p).malformed_messages > count + rounds(200) / 2, "only %llu of the random messages are counted",
               (unsigned long long)(peer_stats(&p).malformed_messages - count));
    test_step(20, "deep JSON, an empty message, control frames");
    memset(bytes, '[', sizeof bytes);
    bytes[0] = '{';
    memcpy(bytes, "{\"a\":", 5);
    count = peer_stats(&p).malformed_messages;
    raw("reader", "\"text\"", bytes, sizeof bytes, 1);
    wait_malformed(&p, count + 1);
    raw("reader", "\"binary\"", "", 0, 1);
    raw("reader", "9", "ping", 4, 1); /* answered with a pong */
    raw("reader", "10", "pong", 4, 1);
    goes_on(&p, 0);
    test_step(20, "a readable message in many fragments");
    size_t mark = rec_mark(p.rec);
    static const char json[] = "{\"healthCheckResponse\":{\"participantCount\":{\"total\":4242}}}";
    raw("reader", "\"text\"", json, sizeof json - 1, 20);
    rec_event e = EXPECT_FROM(p.rec, mark, OH_EVENT_COUNTS, NULL, ms(5000));
    CHECK_EQ(e.count, 4242);
    peer_close(&p);
    undisturbed();

    static const struct { const char *what, *arguments; unsigned too_large; } oversized[] = {
        { "200 MiB claimed", "\"claim\":209715200,\"base64\":\"AAAA\"", 1 },
        { "200 MiB streamed", "\"size\":209715200", 1 },
        { "200 MiB streamed as text", "\"size\":209715200,\"opcode\":\"text\"", 1 },
        { "200 MiB in 200 fragments", "\"size\":209715200,\"fragments\":200", 1 },
        { "2 MiB in 2,000 fragments", "\"size\":2097152,\"fragments\":2000", 1 },
        { "2^63 bytes claimed", "\"claim\":9223372036854775808,\"base64\":\"AAAA\"", 1 },
        { "a reserved opcode", "\"opcode\":3,\"base64\":\"AAAA\"", 0 },
        { "a ping of 200 bytes", "\"opcode\":9,\"size\":200", 0 },
        { "a continuation of nothing", "\"opcode\":0,\"base64\":\"AAAA\"", 0 },
    };
    for (size_t i = 0; i < sizeof oversized / sizeof *oversized; i++) {
        test_step(20, "%s", oversized[i].what);
        snprintf(user, sizeof user, "big-%zu", i);
        peer_join(&p, user, "frames", NULL);
        malloc_trim(0);
        long before = anonymous_kb(), most = before;
        ctl("raw_frame", "{\"user_id\":\"%s\",%s}", user, oversized[i].arguments);
        double end = now_ms() + ms(8000);
        while (rec_count(p.rec, OH_EVENT_RECONNECTED) == 0) {
            long now = anonymous_kb();
            most = now > most ? now : most;
            CHECK_THAT(now_ms() < end, "the call does not reconnect");
            nap(1);
        }
        /* The connection failed because of the SFU; the session continues on a new one. */
        CHECK_EQ(peer_stats(&p).reconnects_fast, 1);
        /* Exceeding a local limit is reported as an error; a broken WebSocket is not. */
        goes_on(&p, oversized[i].too_large);
        /* Memory is only meaningful in a plain run. */
        CHECK_THAT(most - before < 8192 || test_scale() > 1, "memory grew by %ld KiB", most - before);
        peer_close(&p);
        undisturbed();
    }

    test_step(20, "a limit set by the application");
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    where.url = sfu_url();
    where.user_id = "small";
    where.token = "development";
    where.max_message_bytes = 1023;
    CHECK_OH(oh_client_new(&where, &p.client), OH_ERR_ARGUMENT);
    where.max_message_bytes = 67108865;
    CHECK_OH(oh_client_new(&where, &p.client), OH_ERR_ARGUMENT);
    where.max_message_bytes = 16384;
    CHECK_OK(oh_client_new(&where, &p.client));
    p.rec = rec_new();
    what.call_id = "small";
    what.handlers = rec_handlers(p.rec);
    CHECK_OK(oh_call_join(p.client, &what, &p.call));
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, ms(5000)));
    ctl("raw_frame", "{\"user_id\":\"small\",\"size\":16384}");
    wait_malformed(&p, 1);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0));
    ctl("raw_frame", "{\"user_id\":\"small\",\"size\":16385}");
    e = EXPECT(p.rec, OH_EVENT_RECONNECTED, NULL, ms(5000));
    CHECK_EQ(e.code, OH_RECONNECT_FAST);
    e = EXPECT(p.rec, OH_EVENT_ERROR, NULL, 0);
    CHECK_EQ(e.error, OH_ERR_LIMIT);
    CHECK_STR(e.text, "a message of 16385 bytes is larger than oh_client_options.max_message_bytes (16384)");
    ctl("raw_frame", "{\"user_id\":\"small\",\"size\":16385}"); /* the same again: no loop of reconnects */
    e = EXPECT(p.rec, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_EQ(e.error, OH_ERR_LIMIT);
    CHECK_EQ(e.code, OH_END_CONNECTION_LOST);
    CHECK_EQ(peer_stats(&p).reconnects_fast, 1);
    peer_close(&p);

    test_step(20, "the end");
    undisturbed();
    peer_close(&left);
    peer_close(&right);
    return test_end();
}
