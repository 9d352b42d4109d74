/*
 * media_events.c - OH_EVENT_MEDIA: each direction, once for each change.
 *
 * Expected: sending and receiving are reported as connected, once each, and before the audio that flows is heard; the
 * SFU that lets a participant go without a word of its peer connections gives lost and connected, in turn; a direction
 * that the application closes, and the end of the call, are no loss.
 */
#include "peer.h"

#include <stdio.h>

/* The events of one direction from `from` on, as text: "+" connected, "-" lost. */
static const char *told(recorder *r, size_t from, int direction)
{
    static char text[2][64];
    char *to = text[direction == OH_DIRECTION_SEND];
    size_t used = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = from; i < r->count && used + 1 < sizeof text[0]; i++) {
        const rec_event *e = &r->events[i];
        if (e->kind != OH_EVENT_MEDIA || e->code != direction) continue;
        CHECK_THAT((e->text[0] == 0) == (e->count != 0), "connected %u with the text '%s'", e->count, e->text);
        to[used++] = e->count ? '+' : '-';
    }
    pthread_mutex_unlock(&r->lock);
    to[used] = 0;
    return to;
}

int main(void)
{
    peer a = { 0 }, b = { 0 };

    test_begin("media_events");
    test_step(30, "connected");
    peer_join(&a, "a", "media", NULL);
    peer_join(&b, "b", "media", NULL);
    peer_talk(&a, 400);
    peer_talk(&b, 700);
    CHECK_THAT(rec_wait_audio(a.rec, "b", 10, ms(15000)) && rec_wait_audio(b.rec, "a", 10, ms(15000)), "they do not hear each other");
    CHECK_STR(told(a.rec, 0, OH_DIRECTION_SEND), "+");
    CHECK_STR(told(a.rec, 0, OH_DIRECTION_RECEIVE), "+");

    test_step(30, "made anew");
    size_t mark = rec_mark(a.rec);
    CHECK_OK(oh_network_report(OH_NETWORK_CHANGED));
    EXPECT_FROM(a.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
    rec_event e;
    long at = rec_wait(a.rec, OH_EVENT_MEDIA, NULL, mark, ms(10000), &e);
    for (int connected = 0; at >= 0 && connected < 2;) {
        connected += e.count != 0;
        if (connected < 2) at = rec_wait(a.rec, OH_EVENT_MEDIA, NULL, (size_t)at + 1, ms(10000), &e);
    }
    CHECK_STR(told(a.rec, mark, OH_DIRECTION_SEND), "-+");
    CHECK_STR(told(a.rec, mark, OH_DIRECTION_RECEIVE), "-+");

    test_step(20, "closed by the application");
    mark = rec_mark(a.rec);
    tone_stop(a.tone);
    a.tone = NULL;
    oh_publisher publisher;
    CHECK_OK(oh_call_get_publisher(a.call, &publisher));
    oh_publisher_close(publisher);
    recorder *kept = a.rec;
    CHECK_OK(oh_call_leave(a.call, NULL));
    EXPECT_FROM(kept, mark, OH_EVENT_ENDED, NULL, ms(5000));
    CHECK_STR(told(kept, mark, OH_DIRECTION_SEND), "");
    CHECK_STR(told(kept, mark, OH_DIRECTION_RECEIVE), "");
    peer_close(&a);
    peer_close(&b);
    return test_end();
}
