/*
 * test: timeout=170 stand=--nodes,2,--proxy
 * cluster.c - two LiveKit nodes that meet in a Redis, one of which is killed or stopped.
 *
 * Rounds with the nodes in turn; OFFHOOK_ROUNDS=n makes n (default 3). In each, four participants are in a room on the
 * node that goes, two of them with their sockets at the other one; four more are in a room on the other node, two
 * of them with their sockets at the one that goes. Expected: everybody hears everybody of his room, wherever his
 * socket is; who loses the room is heard again, and hears, within 10 s (p99); who loses only the socket comes back to
 * the same session and hears no gap; who loses nothing is told nothing and hears no gap. Every other round goes past
 * the fault proxies.
 */
#include "livekit.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM = 4,        /* participants of a room */
    PAUSE = 400,     /* ms without sound that are a loss */
    PROMISE = 10000, /* ms until a room that was lost is heard again */
    MAX_TIMES = 1000,
};

/* What one listener hears of one speaker. */
struct ear {
    char user[64];
    double last; /* when there was sound, which was not invented */
    double back; /* when it came back after the last loss */
    double worst;
};

struct ears {
    pthread_mutex_t lock;
    struct ear of[ROOM];
};

struct times {
    const char *what;
    double ms[MAX_TIMES];
    int count;
};

static struct times lost_both = { .what = "room and socket lost" }, lost_room = { .what = "room lost, socket elsewhere" },
                    lost_socket = { .what = "socket lost, room elsewhere" },
                    lost_socket_proxy = { .what = "the same, behind proxies" }, all_rooms = { .what = "rooms, together" };

static void listen_to(recorder *r, oh_call call, const oh_audio_frame *audio)
{
    struct ears *ears = r->data;
    double now = now_ms();
    (void)call;
    if (audio->silence || audio->concealed || audio->level < 0.02f) return;
    pthread_mutex_lock(&ears->lock);
    for (int i = 0; i < ROOM; i++) {
        struct ear *e = &ears->of[i];
        if (!e->user[0]) snprintf(e->user, sizeof e->user, "%s", audio->user_id);
        if (strcmp(e->user, audio->user_id)) continue;
        if (e->last > 0 && now - e->last > e->worst) e->worst = now - e->last;
        if (e->last > 0 && now - e->last > PAUSE) e->back = now;
        e->last = now;
        break;
    }
    pthread_mutex_unlock(&ears->lock);
}

static struct ear ear(peer *listener, const char *user)
{
    struct ears *ears = listener->rec->data;
    struct ear found = { 0 };
    pthread_mutex_lock(&ears->lock);
    for (int i = 0; i < ROOM; i++)
        if (!strcmp(ears->of[i].user, user)) found = ears->of[i];
    pthread_mutex_unlock(&ears->lock);
    return found;
}

static void begin_gaps(peer *listener)
{
    struct ears *ears = listener->rec->data;
    rec_gaps_begin(listener->rec);
    pthread_mutex_lock(&ears->lock);
    for (int i = 0; i < ROOM; i++) ears->of[i].worst = ears->of[i].back = 0;
    pthread_mutex_unlock(&ears->lock);
}

/* Everybody of a room hears everybody else of it later than `when`. */
static void all_hear(peer *room, double when, unsigned timeout_ms)
{
    for (double end = now_ms() + timeout_ms;; nap(5)) {
        peer *deaf = NULL, *mute = NULL;
        for (int i = 0; i < ROOM; i++)
            for (int j = 0; j < ROOM; j++)
                if (i != j && ear(&room[i], room[j].user).last <= when) deaf = &room[i], mute = &room[j];
        if (!deaf) return;
        CHECK_THAT(now_ms() < end, "%s does not hear %s", deaf->user, mute->user);
    }
}

static void join(peer *p, const char *kind, int round, int index, int node)
{
    char user[64], room[64];
    struct ears *ears = calloc(1, sizeof *ears);
    CHECK(ears != NULL);
    pthread_mutex_init(&ears->lock, NULL);
    snprintf(user, sizeof user, "%s-%d-%d", kind, round, index);
    snprintf(room, sizeof room, "%s-%d", kind, round);
    p->rec = rec_new();
    p->rec->data = ears;
    p->rec->on_audio = listen_to;
    livekit_first = node;
    peer_open(p, user, room, NULL);
}

static void close_room(peer *room)
{
    for (int i = 0; i < ROOM; i++) {
        struct ears *ears = room[i].rec->data;
        peer_close(&room[i]);
        free(ears);
    }
}

static void place(const char *kind, int round, int node)
{
    char *answer;
    ctl("place", "{\"room\":\"%s-%d\",\"node\":%d}", kind, round, node);
    answer = ctl_answer("where", "{\"room\":\"%s-%d\"}", kind, round);
    CHECK_EQ(json_int(answer, "node", -2), node);
    free(answer);
}

static void note(struct times *t, double ms)
{
    if (t->count < MAX_TIMES) t->ms[t->count++] = ms;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double part(struct times *t, double share)
{
    int at = (int)(share * t->count + 0.9999) - 1;
    return t->count ? t->ms[at < 0 ? 0 : at] : 0;
}

static void print_times(struct times *t)
{
    qsort(t->ms, (size_t)t->count, sizeof *t->ms, by_size);
    printf("           %s: %d times, heard again after p50 %.0f, p95 %.0f, p99 %.0f, at most %.0f ms\n", t->what, t->count,
           part(t, 0.5), part(t, 0.95), part(t, 0.99), part(t, 1));
}

static void one_round(int round)
{
    peer hall[ROOM] = { 0 }, yard[ROOM] = { 0 };
    size_t hall_marks[ROOM], yard_marks[ROOM];
    int victim = round % 2, other = 1 - victim, stop = round % 3 == 1;
    double when, joined = 0;
    char *answer;

    livekit_direct = round % 4 >= 2;
    test_step(60, "round %d: node %d is %s%s", round, victim, stop ? "stopped" : "killed", livekit_direct ? ", past the proxies" : "");
    place("hall", round, victim);
    place("yard", round, other);
    for (int i = 0; i < ROOM; i++) {
        join(&hall[i], "hall", round, i, i % 2 ? other : victim);
        join(&yard[i], "yard", round, i, i % 2 ? other : victim);
    }
    for (int i = 0; i < ROOM; i++) {
        CHECK_OK(oh_call_wait_state(hall[i].call, OH_STATE_JOINED, ms(10000)));
        CHECK_OK(oh_call_wait_state(yard[i].call, OH_STATE_JOINED, ms(10000)));
        peer_talk(&hall[i], 300 + 100 * i);
        peer_talk(&yard[i], 350 + 100 * i);
    }
    all_hear(hall, now_ms(), ms(10000));
    all_hear(yard, now_ms(), ms(10000));
    for (int i = 0; i < ROOM; i++) {
        hall_marks[i] = rec_mark(hall[i].rec);
        yard_marks[i] = rec_mark(yard[i].rec);
    }
    for (int i = 0; i < ROOM; i++) begin_gaps(&hall[i]), begin_gaps(&yard[i]);
    when = now_ms();
    if (stop) ctl("stop", "{\"node\":%d,\"grace_ms\":100}", victim);
    else ctl("kill", "{\"node\":%d}", victim);
    for (int i = 0; i < ROOM; i++) {
        rec_event e = EXPECT_FROM(hall[i].rec, hall_marks[i], OH_EVENT_RECONNECTED, NULL, ms(20000));
        CHECK_EQ(e.code, OH_RECONNECT_REJOIN);
        if (e.when > joined) joined = e.when;
    }
    all_hear(hall, joined, ms(10000));
    for (int i = 0; i < ROOM; i++) {
        double back = 0;
        for (int j = 0; j < ROOM; j++) {
            struct ear e = ear(&hall[i], hall[j].user);
            if (i != j && e.back > when && e.back - when > back) back = e.back - when;
        }
        if (back == 0) /* so fast that it is no loss */
            for (int j = 0; j < ROOM; j++) {
                double worst = i == j ? 0 : ear(&hall[i], hall[j].user).worst;
                if (worst > back) back = worst;
            }
        note(i % 2 ? &lost_room : &lost_both, back);
        note(&all_rooms, back);
        printf("           %s: joined after %.0f ms, hears all after %.0f ms\n", hall[i].user,
               EXPECT_FROM(hall[i].rec, hall_marks[i], OH_EVENT_RECONNECTED, NULL, 0).when - when, back);
    }
    answer = ctl_answer("where", "{\"room\":\"hall-%d\"}", round);
    CHECK_EQ(json_int(answer, "node", -2), other);
    free(answer);
    /* The other room: the same session with another socket, or nothing at all. */
    for (int i = 0; i < ROOM; i++) {
        /* A resume restarts ICE, and behind the proxy the server waits a second before it chooses a pair. */
        double limit = ms(i % 2 ? 200 : livekit_direct ? 500 : 1500) + 3 * rec_stall();
        if (i % 2 == 0) CHECK_EQ(EXPECT_FROM(yard[i].rec, yard_marks[i], OH_EVENT_RECONNECTED, NULL, ms(1000)).code, OH_RECONNECT_FAST);
        else CHECK_THAT(rec_wait(yard[i].rec, OH_EVENT_STATE, NULL, yard_marks[i], 0, NULL) < 0, "%s is told", yard[i].user);
        for (int j = 0; j < ROOM; j++) {
            struct ear e = ear(&yard[i], yard[j].user);
            if (i == j) continue;
            if (i % 2 == 0) {
                note(livekit_direct ? &lost_socket : &lost_socket_proxy, e.worst);
                if (j % 2 == 0) continue; /* both were away */
            } else if (j % 2 == 0) {
                limit = ms(livekit_direct ? 500 : 1500) + 3 * rec_stall();
            }
            CHECK_THAT(e.worst < limit, "%s hears %s after a gap of %.0f ms (the machine stalled %.0f ms)", yard[i].user,
                       yard[j].user, e.worst, rec_stall());
        }
        CHECK_EQ(peer_stats(&yard[i]).error_events, 0);
        CHECK_EQ(peer_stats(&yard[i]).reconnects_rejoin, 0);
    }
    all_hear(yard, now_ms(), ms(5000));
    close_room(hall);
    close_room(yard);
    ctl("start", "{\"node\":%d}", victim);
}

int main(void)
{
    const char *wanted = getenv("OFFHOOK_ROUNDS");
    int total = wanted ? atoi(wanted) : 3;

    test_begin("cluster");
    for (int round = 0; round < total; round++) one_round(round);
    test_step(5, "times");
    print_times(&lost_both);
    print_times(&lost_room);
    print_times(&lost_socket);
    print_times(&lost_socket_proxy);
    print_times(&all_rooms);
    CHECK_THAT(part(&all_rooms, 0.99) <= ms(PROMISE), "p99 is more than %d ms", PROMISE);
    return test_end();
}
