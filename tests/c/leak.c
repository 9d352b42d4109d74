/*
 * leak.c - joins, sends audio and leaves fifty times; then shuts down; then does it again.
 * test: timeout=90
 *
 * Expected: after each round the numbers of descriptors and threads are as before, memory does not grow (some KiB
 * per round are due to the C library), and after oh_shutdown_wait no thread of the library is left.
 */
#include "peer.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static void cycle(int i)
{
    peer a = { 0 }, b = { 0 };
    char name[32];
    snprintf(name, sizeof name, "a%d", i);
    peer_join(&a, name, "leak", NULL);
    peer_join(&b, "b", "leak", NULL);
    peer_publish_tone(&a, 500);
    peer_publish_tone(&b, 700);
    CHECK(rec_wait_audio(b.rec, name, 2, ms(10000)));
    CHECK(rec_wait_audio(a.rec, "b", 2, ms(10000)));
    if (i % 2) ctl("late_offer", "{\"user_id\":\"b\",\"count\":5,\"when\":\"leave\"}");
    peer_close(&a);
    peer_close(&b);
}

int main(void)
{
    int total = (int)rounds(50), warm = total / 5;
    long begin_kb = 0;

    test_begin("leak");
    int threads_before = count_threads(), fds_before = count_fds();
    int threads = 0, fds = 0;
    for (int i = 0; i < total; i++) {
        test_step(15, "round %d", i);
        cycle(i);
        if (i == warm) {
            malloc_trim(0);
            begin_kb = anonymous_kb();
            fds = settle(count_fds, fds_before, ms(300));
            threads = settle(count_threads, threads_before, ms(300));
        }
    }
    test_step(20, "what is left");
    CHECK_THAT(settle(count_fds, fds, ms(3000)) <= fds, "%d descriptors, %d after the first rounds", count_fds(), fds);
    /*
     * A callback thread that was added under load ends after five idle seconds, except for the second of the two that
     * stay once they are needed: it may have been needed only after the first rounds.
     */
    CHECK_THAT(settle(count_threads, threads + 1, ms(9000)) <= threads + 1, "%d threads, %d after the first rounds:%s", count_threads(), threads,
               thread_names());
    malloc_trim(0);
    long grown = anonymous_kb() - begin_kb;
    printf("           memory grew by %ld KiB in %d rounds; %d descriptors, %d threads\n", grown, total - warm - 1, fds, threads);
    CHECK_THAT(grown <= 24L * (total - warm) || test_scale() > 1, "memory grew by %ld KiB in %d rounds", grown, total - warm - 1);

    test_step(20, "after shutdown");
    CHECK_OK(oh_shutdown_wait(ms(2500)));
    CHECK_THAT(count_threads() <= threads_before, "%d threads when oh_shutdown_wait returns, %d at the beginning", count_threads(), threads_before);
    CHECK_THAT(settle(count_fds, fds_before, ms(2000)) <= fds_before, "%d descriptors, %d at the beginning", count_fds(), fds_before);
    for (int i = 0; i < 3; i++) {
        test_step(20, "used again, %d", i);
        cycle(1000 + i);
        CHECK_OK(oh_shutdown_wait(ms(2500)));
        CHECK_THAT(count_threads() <= threads_before, "%d threads, %d at the beginning", count_threads(), threads_before);
        CHECK_THAT(settle(count_fds, fds_before, ms(2000)) <= fds_before, "%d descriptors, %d at the beginning", count_fds(), fds_before);
    }

    test_step(30, "clients, calls and tracks without a server");
    malloc_trim(0);
    begin_kb = anonymous_kb();
    for (unsigned i = 0; i < rounds(500); i++) {
        oh_client_options where = OH_INIT(oh_client_options);
        oh_call_options what = OH_INIT(oh_call_options);
        oh_client client;
        oh_call call;
        oh_track track;
        where.url = "http://127.0.0.1:1";
        where.user_id = "u";
        CHECK_OK(oh_client_new(&where, &client)); /* without a token: the join waits for one */
        what.call_id = "x";
        CHECK_OK(oh_call_join(client, &what, &call));
        CHECK_OK(oh_call_publish_audio(call, NULL, &track));
        oh_client_free(client);
    }
    CHECK_OK(oh_shutdown_wait(ms(5000)));
    malloc_trim(0);
    grown = anonymous_kb() - begin_kb;
    printf("           memory grew by %ld KiB\n", grown);
    CHECK_THAT(grown <= 4096 || test_scale() > 1, "memory grew by %ld KiB", grown);
    CHECK_THAT(count_threads() <= threads_before, "%d threads, %d at the beginning", count_threads(), threads_before);
    CHECK_THAT(settle(count_fds, fds_before, ms(2000)) <= fds_before, "%d descriptors, %d at the beginning", count_fds(), fds_before);
    return test_end();
}
