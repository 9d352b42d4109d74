/*
 * garbage_args.c - invalid arguments: text, options, samples.
 *
 * Expected: OH_ERR_ARGUMENT with a text, or OH_OK where the header allows it; outputs unchanged; no reads beyond the
 * end of a buffer; NaN and infinity in samples are harmless.
 */
#include "peer.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *megabyte, *too_long; /* as long as a text may be, less one byte; and longer */
static const char *const not_utf8[] = { "\xff", "caf\xe9", "\xc3", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "ok\x80" };
enum { NOT_UTF8 = sizeof not_utf8 / sizeof *not_utf8 };

static void check_words(const char *word)
{
    char why[512];
    CHECK(oh_get_last_error(why, sizeof why) > 0);
    CHECK_THAT(strstr(why, word) != NULL, "'%s' is not in '%s'", word, why);
}

static void clients(void)
{
    test_step(10, "oh_client_options");
    for (int field = 0; field < 8; field++)
        for (int i = 0; i <= NOT_UTF8; i++) {
            oh_client_options where = OH_INIT(oh_client_options);
            const char **fields[] = { &where.url, &where.api_key, &where.user_id, &where.token,
                                      &where.ca_file, &where.hint_url, &where.proxy, &where.interfaces };
            static const char *const names[] = { "url", "api_key", "user_id", "token", "ca_file", "hint_url", "proxy", "interfaces" };
            oh_client client = { 77 };
            where.url = sfu_url();
            where.user_id = "u";
            where.token = "t";
            *fields[field] = i < NOT_UTF8 ? not_utf8[i] : too_long;
            CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
            check_words(names[field]);
            CHECK_EQ(client.id, 77);
        }
    oh_client_options where = OH_INIT(oh_client_options);
    oh_client client = { 77 };
    where.url = sfu_url();
    where.user_id = "u";
    static const uint32_t sizes[] = { 1, 1023, 67108865, UINT32_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        where.max_message_bytes = sizes[i];
        CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
        check_words("max_message_bytes");
    }
    CHECK_EQ(client.id, 77);
}

static void networks(void)
{
    oh_client client = { 77 };
    test_step(10, "network options");
    static const struct { size_t at; const char *name; uint32_t bad[4]; } numbers[] = {
        { offsetof(oh_client_options, ip_family), "ip_family", { 3, (uint32_t)-1, INT32_MAX, (uint32_t)INT32_MIN } },
        { offsetof(oh_client_options, media_port_min), "media_port_min", { 1, 65535, 65536, UINT32_MAX } }, /* no last one */
        { offsetof(oh_client_options, media_port_max), "media_port_max", { 1, 65535, 65536, UINT32_MAX } }, /* no first one */
        { offsetof(oh_client_options, dscp), "dscp", { 64, 255, 256, UINT32_MAX } },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int k = 0; k < 4; k++) {
            oh_client_options where = OH_INIT(oh_client_options);
            where.url = sfu_url();
            where.user_id = "u";
            memcpy((char *)&where + numbers[i].at, &numbers[i].bad[k], 4);
            CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
            check_words(numbers[i].name);
        }
    static const uint32_t ranges[][2] = { { 5000, 5000 }, { 5001, 5000 }, { 1, 65536 }, { 65536, 65537 } };
    static const char *const names[] = { ",", "eth0,", ",eth0", "a,,b", "!", "a b", "e*h", "**", "a/b", "a\nb", "sixteen-letters-" };
    static const char *const proxies[] = { "proxy:3128", "ftp://u:5ecret@h", "u:5ecret@h", "5ecret5ecret://h", "http://u:5ecret @h", " ", "None" };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        oh_client_options where = OH_INIT(oh_client_options);
        where.url = sfu_url();
        where.user_id = "u";
        where.media_port_min = ranges[i][0];
        where.media_port_max = ranges[i][1];
        CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
        check_words("media_port_min");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        oh_client_options where = OH_INIT(oh_client_options);
        where.url = sfu_url();
        where.user_id = "u";
        where.interfaces = names[i];
        CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
        check_words("interfaces");
    }
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        oh_client_options where = OH_INIT(oh_client_options);
        char why[512];
        where.url = sfu_url();
        where.user_id = "u";
        where.proxy = proxies[i];
        CHECK_OH(oh_client_new(&where, &client), OH_ERR_ARGUMENT);
        check_words("proxy");
        oh_get_last_error(why, sizeof why);
        CHECK_THAT(!strstr(why, "5ecret"), "a password is in '%s'", why);
    }
    oh_client_options where = OH_INIT(oh_client_options);
    where.url = sfu_url();
    where.user_id = "u";
    where.reserved = 1;
    CHECK_OH(oh_client_new(&where, &client), OH_ERR_ABI);
    CHECK_EQ(client.id, 77);
    where.reserved = 0;
    where.proxy = " socks5h://user:p%20w@127.0.0.1:1080\n";
    where.interfaces = "lo, wl*,!docker*";
    where.ip_family = OH_IP_V4;
    where.relay_only = 1;
    where.media_port_min = 1;
    where.media_port_max = 65535;
    where.dscp = 63;
    CHECK_OK(oh_client_new(&where, &client));
    oh_client_free(client);
}

static void calls(oh_client client)
{
    oh_call call = { 77 };
    test_step(10, "oh_call_options");
    for (int field = 0; field < 4; field++)
        for (int i = 0; i <= NOT_UTF8; i++) {
            oh_call_options what = OH_INIT(oh_call_options);
            const char **fields[] = { &what.call_id, &what.call_type, &what.token, &what.data_json };
            static const char *const names[] = { "call_id", "call_type", "token", "data_json" };
            what.call_id = "x";
            *fields[field] = i < NOT_UTF8 ? not_utf8[i] : too_long;
            CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT);
            check_words(names[field]);
        }
    static const char *const data[] = { "x", "[1]", "1", "\"text\"", "null", "{", "{}}", "{\"a\":}", "{'a':1}" };
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        oh_call_options what = OH_INIT(oh_call_options);
        what.call_id = "x";
        what.data_json = data[i];
        CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT);
        check_words("data_json");
    }
    static const struct { size_t at; const char *name; uint32_t bad[4]; } numbers[] = {
        { offsetof(oh_call_options, join_retries), "join_retries", { (uint32_t)-1, 11, INT32_MAX, (uint32_t)INT32_MIN } },
        { offsetof(oh_call_options, audio_sample_rate_hz), "audio_sample_rate_hz", { 1, 7999, 192001, UINT32_MAX } },
        { offsetof(oh_call_options, audio_channels), "audio_channels", { 3, 255, 257, UINT32_MAX } },
        { offsetof(oh_call_options, audio_format), "audio_format", { 3, (uint32_t)-1, INT32_MAX, (uint32_t)INT32_MIN } },
        { offsetof(oh_call_options, audio_min_delay_ms), "audio_min_delay_ms", { 201, 2001, INT32_MAX, UINT32_MAX } },
        { offsetof(oh_call_options, audio_max_delay_ms), "audio_max_delay_ms", { 2001, 100000, INT32_MAX, UINT32_MAX } },
        { offsetof(oh_call_options, max_queued_events), "max_queued_events", { 1, 15, 65537, UINT32_MAX } },
        { offsetof(oh_call_options, max_queued_audio_frames), "max_queued_audio_frames", { 4097, 65536, INT32_MAX, UINT32_MAX } },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int k = 0; k < 4; k++) {
            oh_call_options what = OH_INIT(oh_call_options);
            what.call_id = "x";
            what.audio_max_delay_ms = 200; /* less than the minimum of 201 */
            memcpy((char *)&what + numbers[i].at, &numbers[i].bad[k], 4);
            CHECK_OH(oh_call_join(client, &what, &call), OH_ERR_ARGUMENT);
            check_words(numbers[i].name);
        }
    CHECK_EQ(call.id, 77);

    test_step(20, "odd names that are allowed");
    static const char *const odd[] = { "a/b", "..", ".", "a?b=c", "a#b", "a%2Fb", "a b", "\xc3\xa9\xe2\x82\xac", "a\nb", ":", "-" };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int type = 0; type < 2; type++) {
            oh_call_options what = OH_INIT(oh_call_options);
            recorder *r = rec_new();
            what.call_id = type ? "x" : odd[i];
            what.call_type = type ? odd[i] : NULL;
            what.join_retries = OH_ZERO;
            what.handlers = rec_handlers(r);
            oh_result result = oh_call_join(client, &what, &call);
            CHECK(result == OH_OK || result == OH_ERR_ARGUMENT);
            if (result == OH_OK) {
                /* Joined, or refused with a text; never another call. */
                result = oh_call_wait_state(call, OH_STATE_JOINED, ms(5000));
                CHECK_THAT(result != OH_ERR_TIMEOUT && result != OH_ERR_INTERNAL, "'%s': %s", odd[i], oh_result_get_name(result));
                oh_call_free(call);
                rec_call_freed(r);
            }
            rec_free(r);
        }
}

static void tracks(peer *p)
{
    oh_track track = { 77 };
    test_step(10, "oh_audio_track_options");
    static const struct { size_t at; const char *name; uint32_t bad[4]; } numbers[] = {
        { offsetof(oh_audio_track_options, format), "format", { 3, (uint32_t)-1, INT32_MAX, (uint32_t)INT32_MIN } },
        { offsetof(oh_audio_track_options, sample_rate_hz), "sample_rate_hz", { 1, 7999, 192001, UINT32_MAX } },
        { offsetof(oh_audio_track_options, channels), "channels", { 9, 256, 65537, UINT32_MAX } },
        { offsetof(oh_audio_track_options, bitrate_bps), "bitrate_bps", { 1, 5999, 510001, UINT32_MAX } },
        { offsetof(oh_audio_track_options, complexity), "complexity", { (uint32_t)-1, 11, INT32_MAX, (uint32_t)INT32_MIN } },
        { offsetof(oh_audio_track_options, buffer_ms), "", { 1, 39, 5001, UINT32_MAX } },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int k = 0; k < 4; k++) {
            oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
            memcpy((char *)&track_options + numbers[i].at, &numbers[i].bad[k], 4);
            CHECK_OH(oh_call_publish_audio(p->call, &track_options, &track), OH_ERR_ARGUMENT);
            check_words(numbers[i].name);
        }
    CHECK_EQ(track.id, 77);
    CHECK_EQ(rec_count(p->rec, OH_EVENT_LOCAL_TRACK_FAILED), 0);

    test_step(20, "every rate and number of channels at the edges");
    static const uint32_t rates[] = { 8000, 11025, 22050, 44100, 47999, 96000, 192000 };
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        for (uint32_t channels = 1; channels <= 8; channels += i % 2 ? 7 : 3) {
            oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
            int16_t *pcm = calloc((size_t)rates[i] / 50 * channels, 2);
            track_options.sample_rate_hz = rates[i];
            track_options.channels = channels;
            track_options.buffer_ms = i % 2 ? 40 : 5000;
            size_t mark = rec_mark(p->rec);
            CHECK_OK(oh_call_publish_audio(p->call, &track_options, &track));
            CHECK_OK(oh_track_write_s16(track, pcm, rates[i] / 50));
            EXPECT_FROM(p->rec, mark, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(5000));
            CHECK_OK(oh_track_wait_writable(track, rates[i] / 50, ms(2000)));
            oh_track_free(track);
            free(pcm);
        }
}

/* Memory whose end is followed by an inaccessible page. */
static char *before_unmapped_page(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && size <= page);
    CHECK_EQ(mprotect(pages + page, page, PROT_NONE), 0);
    return pages + page - size;
}

static void samples(peer *p)
{
    oh_audio_track_options track_options = OH_INIT(oh_audio_track_options);
    oh_track track;
    uint32_t n;

    test_step(10, "numbers of frames");
    track_options.channels = 2;
    track_options.buffer_ms = 200;
    track_options.muted = 0;
    size_t mark = rec_mark(p->rec);
    CHECK_OK(oh_call_publish_audio(p->call, &track_options, &track));
    EXPECT_FROM(p->rec, mark, OH_EVENT_LOCAL_TRACK_PUBLISHED, NULL, ms(5000));
    char *end = before_unmapped_page(4);
    CHECK_OK(oh_track_write_s16(track, NULL, 0));
    CHECK_OK(oh_track_write_f32(track, NULL, 0));
    CHECK_OH(oh_track_write_s16(track, NULL, 1), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_f32(track, NULL, UINT32_MAX), OH_ERR_ARGUMENT);
    CHECK_OK(oh_track_write_s16(track, (const int16_t *)end, 1));
    /* More than the buffer holds: refused before any sample is read. */
    static const uint32_t huge[] = { 9601, 48000, 1u << 20, INT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        CHECK_OH(oh_track_write_s16(track, (const int16_t *)end, huge[i]), OH_ERR_FULL);
        CHECK_OH(oh_track_write_f32(track, (const float *)end, huge[i]), OH_ERR_FULL);
        CHECK_OH(oh_track_wait_writable(track, huge[i], OH_FOREVER), OH_ERR_ARGUMENT); /* can never fit */
    }
    CHECK_OK(oh_track_wait_writable(track, 0, 0));

    test_step(10, "what is no number");
    static float bad[1920];
    static const float values[] = { NAN, -NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 1e-45f, 2, -2 };
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        for (int i = 0; i < 1920; i++) bad[i] = values[v];
        CHECK_OK(oh_track_wait_writable(track, 960, ms(2000)));
        CHECK_OK(oh_track_write_f32(track, bad, 960));
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1920; i++) {
            uint32_t bits = (uint32_t)test_random();
            memcpy(&bad[i], &bits, 4);
        }
        CHECK_OK(oh_track_wait_writable(track, 960, ms(2000)));
        CHECK_OK(oh_track_write_f32(track, bad, 960));
    }
    CHECK_OK(oh_track_get_buffered_ms(track, &n));
    CHECK_THAT(n <= 200, "%u ms are buffered of at most 200", n);

    test_step(15, "after which audio is audible again");
    tone *t = tone_start(track, OH_AUDIO_F32, 48000, 2, 500);
    peer listener = { 0 };
    peer_join(&listener, "listener", "garbage", NULL);
    CHECK_THAT(rec_wait_tone(listener.rec, "garbage", 500, ms(10000)), "a tone is not received after NaN");
    peer_close(&listener);
    tone_stop(t);
    oh_track_free(track);

    test_step(10, "Opus packets");
    track_options.format = OH_AUDIO_OPUS;
    CHECK_OK(oh_call_publish_audio(p->call, &track_options, &track));
    char *packet = before_unmapped_page(2);
    memcpy(packet, "\xf8\xff", 2);
    CHECK_OH(oh_track_write_opus(track, (const uint8_t *)packet, 0), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_opus(track, (const uint8_t *)packet, 1501), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_opus(track, (const uint8_t *)packet, UINT32_MAX), OH_ERR_ARGUMENT);
    CHECK_OH(oh_track_write_opus(track, NULL, 3), OH_ERR_ARGUMENT);
    for (unsigned i = 0; i < rounds(2000); i++) {
        uint8_t random[1500];
        uint32_t size = 1 + (uint32_t)(test_random() % 1500);
        for (uint32_t k = 0; k < size; k++) random[k] = (uint8_t)test_random();
        oh_result r = oh_track_write_opus(track, random, size);
        CHECK(r == OH_OK || r == OH_ERR_ARGUMENT || r == OH_ERR_FULL);
    }
    CHECK_OH(oh_track_wait_writable(track, UINT32_MAX, OH_FOREVER), OH_ERR_ARGUMENT);
    oh_track_free(track);
}

/* Arguments are checked before the protocol's capabilities: valid ones are unsupported here. */
static void data(peer *p)
{
    test_step(10, "packets and texts");
    char *end = before_unmapped_page(1);
    for (int i = 0; i <= NOT_UTF8; i++) {
        const char *bad = i < NOT_UTF8 ? not_utf8[i] : too_long;
        for (int field = 0; field < 2; field++) {
            oh_data_options to = OH_INIT(oh_data_options);
            const char *users[] = { "u", bad };
            if (field == 0) to.topic = bad;
            else to.to = users, to.to_count = 2;
            CHECK_OH(oh_call_send_data(p->call, &to, "x", 1), OH_ERR_ARGUMENT);
            check_words(field ? "to" : "topic");
            CHECK_OH(oh_call_send_text(p->call, &to, "x"), OH_ERR_ARGUMENT);
        }
        if (i < NOT_UTF8) CHECK_OH(oh_call_send_text(p->call, NULL, bad), OH_ERR_ARGUMENT);
    }
    static const uint32_t counts[] = { 1, 257, INT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        oh_data_options to = OH_INIT(oh_data_options);
        to.to_count = counts[i];
        CHECK_OH(oh_call_send_data(p->call, &to, "x", 1), OH_ERR_ARGUMENT);
        check_words("to");
        to.to = (const char *const *)(void *)end; /* refused before it is read */
        if (counts[i] > 1) CHECK_OH(oh_call_send_data(p->call, &to, "x", 1), OH_ERR_ARGUMENT);
    }
    static const size_t sizes[] = { 60001, 1 << 20, INT32_MAX, UINT32_MAX, SIZE_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) CHECK_OH(oh_call_send_data(p->call, NULL, end, sizes[i]), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_data(p->call, NULL, NULL, 1), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_text(p->call, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_send_data(p->call, NULL, end, 1), OH_ERR_UNSUPPORTED);
    CHECK_OH(oh_call_send_text(p->call, NULL, megabyte), OH_ERR_UNSUPPORTED); /* one byte below the limit */

    test_step(10, "procedures");
    static const uint32_t timeouts[] = { 1, 999, 600001, UINT32_MAX };
    for (int i = 0; i <= NOT_UTF8; i++) {
        const char *bad = i < NOT_UTF8 ? not_utf8[i] : too_long;
        for (int field = 0; field < 3; field++) {
            static const char *const names[] = { "to", "method", "payload" };
            oh_rpc_options rpc = OH_INIT(oh_rpc_options);
            const char **fields[] = { &rpc.to, &rpc.method, &rpc.payload };
            uint64_t id = 77;
            rpc.to = rpc.method = "x";
            *fields[field] = bad;
            CHECK_OH(oh_call_perform_rpc(p->call, &rpc, &id), OH_ERR_ARGUMENT);
            check_words(names[field]);
            if (field < 2) *fields[field] = i % 2 ? NULL : "";
            if (field < 2) CHECK_OH(oh_call_perform_rpc(p->call, &rpc, &id), OH_ERR_ARGUMENT);
            CHECK_EQ(id, 77);
        }
        CHECK_OH(oh_call_answer_rpc(p->call, bad, NULL, 0, NULL), OH_ERR_ARGUMENT);
        CHECK_OH(oh_call_answer_rpc(p->call, "x", bad, 0, NULL), OH_ERR_ARGUMENT);
        CHECK_OH(oh_call_answer_rpc(p->call, "x", NULL, 1500, bad), OH_ERR_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        oh_rpc_options rpc = OH_INIT(oh_rpc_options);
        rpc.to = rpc.method = "x";
        rpc.timeout_ms = timeouts[i];
        CHECK_OH(oh_call_perform_rpc(p->call, &rpc, NULL), OH_ERR_ARGUMENT);
        check_words("timeout_ms");
    }
    CHECK_OH(oh_call_perform_rpc(p->call, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_answer_rpc(p->call, NULL, NULL, 0, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_answer_rpc(p->call, "", NULL, 0, NULL), OH_ERR_ARGUMENT);
}

static void attributes_and_tracks(peer *p)
{
    static const char *const objects[] = { "x", "[1]", "1", "null", "{", "{}}", "{\"a\":1}", "{\"a\":null}", "{\"a\":{}}" };
    static const uint32_t layers[] = { (uint32_t)-1, 3, INT32_MAX, (uint32_t)INT32_MIN };
    oh_subscriber subscriber;
    test_step(10, "attributes, remote tracks, tokens");
    CHECK_OK(oh_call_get_subscriber(p->call, &subscriber));
    for (int i = 0; i <= NOT_UTF8; i++) {
        const char *bad = i < NOT_UTF8 ? not_utf8[i] : too_long;
        CHECK_OH(oh_call_set_attributes(p->call, bad, NULL, NULL), OH_ERR_ARGUMENT);
        check_words("name");
        CHECK_OH(oh_call_set_attributes(p->call, NULL, bad, NULL), OH_ERR_ARGUMENT);
        check_words("metadata");
        CHECK_OH(oh_call_set_attributes(p->call, NULL, NULL, bad), OH_ERR_ARGUMENT);
        check_words("attributes_json");
        CHECK_OH(oh_subscriber_set_track(subscriber, bad, NULL), OH_ERR_ARGUMENT);
        check_words("track_id");
        for (int field = 0; field < 7; field++) {
            oh_access_token_options o = OH_INIT(oh_access_token_options);
            const char **fields[] = { &o.api_key, &o.api_secret, &o.user_id, &o.call_id, &o.name, &o.metadata, &o.attributes_json };
            static const char *const names[] = { "api_key", "api_secret", "user_id", "call_id", "name", "metadata", "attributes_json" };
            char token[8] = "before";
            o.api_key = o.api_secret = o.user_id = o.call_id = "x";
            *fields[field] = bad;
            CHECK_OH(oh_access_token_create(&o, token, sizeof token, NULL), OH_ERR_ARGUMENT);
            check_words(names[field]);
            CHECK_STR(token, "before");
        }
    }
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        CHECK_OH(oh_call_set_attributes(p->call, NULL, NULL, objects[i]), OH_ERR_ARGUMENT);
        check_words("attributes_json");
    }
    CHECK_OH(oh_subscriber_set_track(subscriber, NULL, NULL), OH_ERR_ARGUMENT);
    CHECK_OH(oh_subscriber_set_track(subscriber, "", NULL), OH_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        oh_remote_track_options o = OH_INIT(oh_remote_track_options);
        memcpy(&o.layer, &layers[i], 4);
        CHECK_OH(oh_subscriber_set_track(subscriber, "x", &o), OH_ERR_ARGUMENT);
        check_words("layer");
    }
    CHECK_OH(oh_call_get_capabilities(p->call, NULL), OH_ERR_ARGUMENT);
}

int main(void)
{
    peer p = { 0 };

    test_begin("garbage_args");
    megabyte = malloc(1 << 20);
    too_long = malloc((1 << 20) + 2);
    CHECK(megabyte != NULL && too_long != NULL);
    memset(megabyte, 'x', 1 << 20);
    memset(too_long, 'x', (1 << 20) + 1);
    too_long[(1 << 20) + 1] = 0;
    megabyte[(1 << 20) - 1] = 0;
    clients();
    networks();
    test_step(15, "a call");
    peer_join(&p, "garbage", "garbage", NULL);
    calls(p.client);
    tracks(&p);
    samples(&p);
    data(&p);
    attributes_and_tracks(&p);
    test_step(10, "reasons");
    CHECK_OH(oh_call_leave(p.call, "caf\xe9"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_provide_token(p.call, "\xff"), OH_ERR_ARGUMENT);
    CHECK_OH(oh_call_wait_state(p.call, -1, 0), OH_ERR_ARGUMENT);
    CHECK_OK(oh_call_wait_state(p.call, OH_STATE_JOINED, 0));
    rec_event error = { 0 };
    rec_wait(p.rec, OH_EVENT_ERROR, NULL, 0, 0, &error);
    CHECK_THAT(!error.kind, "%zu errors, the first: %s", rec_count(p.rec, OH_EVENT_ERROR), error.text);
    char reason[400] = "";
    for (int i = 0; i < 100; i++) strcat(reason, "\xc3\xa9"); /* cut between characters, not inside one */
    CHECK_OK(oh_call_leave(p.call, reason));
    peer_close(&p);
    ctl_session_wait("garbage", "leave_received", 1, ms(3000));
    char *state = ctl_state(), text[400];
    json_text(session_of(state, "garbage"), "leave_reason", text, sizeof text);
    CHECK_THAT(strlen(text) == 114 && !memcmp(text, reason, 114), "the reason arrived as '%s'", text);
    free(state);
    free(megabyte);
    free(too_long);
    return test_end();
}
