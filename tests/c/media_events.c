/*
 * media_events.c - OH_EVENT_MEDIA: each direction, once for each change.
 *
 * Expected: sending and receiving are each reported as connected once, and before audio is received; when the peer
 * connections are replaced, each direction is reported as lost, then as connected; a direction that the application
 * closes, and the end of the call, are not reported as lost.
 */
#include "peer.h"

#include <stdio.h>

/* The events of one direction from `from` on, as text: "+" connected, "-" lost. */
static const char *media_changes(recorder *r, size_t from, int direction)
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
    peer_publish_tone(&a, 400);
    peer_publish_tone(&b, 700);
    CHECK_THAT(rec_wait_audio(a.rec, "b", 10, ms(15000)) && rec_wait_audio(b.rec, "a", 10, ms(15000)), "they do not receive each other's audio");
    CHECK_STR(media_changes(a.rec, 0, OH_DIRECTION_SEND), "+");
    CHECK_STR(media_changes(a.rec, 0, OH_DIRECTION_RECEIVE), "+");

    test_step(30, "replaced");
    size_t mark = rec_mark(a.rec);
    CHECK_OK(oh_network_report(OH_NETWORK_CHANGED));
    EXPECT_FROM(a.rec, mark, OH_EVENT_RECONNECTED, NULL, ms(15000));
    rec_event e;
    long at = rec_wait(a.rec, OH_EVENT_MEDIA, NULL, mark, ms(10000), &e);
    for (int connected = 0; at >= 0 && connected < 2;) {
        connected += e.count != 0;
        if (connected < 2) at = rec_wait(a.rec, OH_EVENT_MEDIA, NULL, (size_t)at + 1, ms(10000), &e);
    }
    CHECK_STR(media_changes(a.rec, mark, OH_DIRECTION_SEND), "-+");
    CHECK_STR(media_changes(a.rec, mark, OH_DIRECTION_RECEIVE), "-+");

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
    CHECK_STR(media_changes(kept, mark, OH_DIRECTION_SEND), "");
    CHECK_STR(media_changes(kept, mark, OH_DIRECTION_RECEIVE), "");
    peer_close(&a);
    peer_close(&b);
    return test_end();
}
