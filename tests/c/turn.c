/*
 * turn.c - media through a relay: coturn (https://github.com/coturn/coturn) on 127.0.0.1, over UDP and TCP.
 * test: timeout=90
 * test: not-under=valgrind peer connections have 5 s to connect, and a relay needs several round trips
 *
 * The SFU is behind a firewall that passes only the relay's ports. Expected: two participants receive each other's
 * audio through the relay, one over UDP, one over TCP; with a wrong password OH_EVENT_ICE_SERVER comes within 5 s, and
 * the call ends with OH_END_NETWORK_UNSUPPORTED and a text that the relay refused with 401, with a stopped server that
 * it did not answer; when the relay dies during a call, the loss is reported, and leaving takes no longer than usual.
 * Skipped (77) without coturn.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORTS = 64, FIRST = 20000, LAST = 32000 }; /* below the system's ephemeral ports */

typedef struct relay { pid_t pid; int port, least; } relay;

/* The path of coturn; NULL: not installed. */
static const char *turnserver(void)
{
    static const char *const places[] = { "/usr/bin/turnserver", "/usr/sbin/turnserver", "/usr/local/bin/turnserver" };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!access(places[i], X_OK)) return places[i];
    return NULL;
}

/* A socket bound to 127.0.0.1:port (0: any); -1: the port is taken. */
static int bound(int type, int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    if (!bind(fd, (struct sockaddr *)&at, sizeof at)) return fd;
    close(fd);
    return -1;
}

/* The first of n ports in a row that are free now, for UDP and TCP: coturn listens on both, and waits up to a minute
 * for a port that another program's connection has. */
static int free_range(int n)
{
    for (int attempt = 0; attempt < 200; attempt++) {
        int least = FIRST + (int)(test_random() % (LAST - FIRST)), free = 0;
        for (; free < n; free++) {
            int one = bound(SOCK_DGRAM, least + free), other = bound(SOCK_STREAM, least + free);
            if (one >= 0) close(one);
            if (other >= 0) close(other);
            if (one < 0 || other < 0) break;
        }
        if (free == n) return least;
    }
    FAIL("no %d free ports in a row", n);
}

/* Whether a STUN binding request (RFC 8489) is answered: the server is running. */
static int answers(int port)
{
    static const unsigned char request[20] = { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'o', 'f', 'f', 'h', 'o', 'o', 'k' };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    unsigned char answer[256];
    int fd = bound(SOCK_DGRAM, 0);
    struct pollfd in = { .fd = fd, .events = POLLIN };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int there = !connect(fd, (struct sockaddr *)&to, sizeof to) && send(fd, request, sizeof request, 0) > 0 &&
                poll(&in, 1, 100) > 0 && recv(fd, answer, sizeof answer, 0) >= 20 && answer[0] == 1 && answer[1] == 1;
    close(fd);
    return there;
}

static void relay_stop(relay *r)
{
    if (r->pid <= 0) return;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static relay relay_start(const char *program)
{
    relay r = { 0 };
    char listen[64], least[64], most[64];
    int status = 0;
    /* The port can be taken between the check and coturn's bind: then with other ports. */
    for (int attempt = 0; attempt < 4; attempt++) {
        r.port = free_range(2 + PORTS); /* the second one is coturn's alternative port (RFC 5780) */
        r.least = r.port + 2;
        snprintf(listen, sizeof listen, "--listening-port=%d", r.port);
        snprintf(least, sizeof least, "--min-port=%d", r.least);
        snprintf(most, sizeof most, "--max-port=%d", r.least + PORTS - 1);
        r.pid = fork();
        CHECK(r.pid >= 0);
        if (r.pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            int null = open("/dev/null", O_RDWR);
            dup2(null, 0), dup2(null, 1), dup2(null, 2);
            execl(program, "turnserver", "-n", "--listening-ip=127.0.0.1", listen, "--relay-ip=127.0.0.1", least, most,
                  "--lt-cred-mech", "--user=relay:secret", "--realm=test", "--no-tls", "--no-dtls", "--no-cli",
                  "--cli-password=unused", "--allow-loopback-peers", "--log-file=stdout", "--pidfile=/dev/null",
                  "--userdb=/proc/none", (char *)NULL);
            _exit(127);
        }
        for (double end = now_ms() + ms(5000); r.pid && now_ms() < end; nap(20)) {
            if (answers(r.port)) return r;
            if (waitpid(r.pid, &status, WNOHANG) == r.pid) r.pid = 0;
        }
        relay_stop(&r);
    }
    FAIL("%s does not answer on four ports (last status %d)", program, status);
}

/* Keeps the whole reason of the end, which is longer than a recorder's copy. */
static void note_end(recorder *r, oh_call call, const oh_event *event)
{
    (void)call;
    if (event->kind == OH_EVENT_ENDED) snprintf(r->data, 1024, "%s", event->u.ended->text);
}

static void shut_out(peer *p, const char *user, char *reason)
{
    p->rec = rec_new();
    p->rec->data = reason;
    p->rec->first = note_end;
    peer_join(p, user, "turn", NULL);
    peer_publish_tone(p, 900);
}

static void ended(peer *p, const char *reason, const char *wanted)
{
    rec_event e = EXPECT(p->rec, OH_EVENT_ENDED, NULL, ms(40000));
    CHECK_EQ(e.code, OH_END_NETWORK_UNSUPPORTED);
    CHECK_EQ(e.error, OH_ERR_NETWORK);
    printf("           %s\n", reason);
    CHECK_THAT(strstr(reason, wanted), "'%s' is not in: %s", wanted, reason);
    CHECK_THAT(!strstr(reason, "secret") && !strstr(reason, "wrong"), "a password is in: %s", reason);
    peer_close(p);
}

int main(void)
{
    peer a = { 0 }, b = { 0 }, wrong = { 0 }, stopped = { 0 };
    char refused[1024] = "", silence[1024] = "", expected[128];
    const char *program = turnserver();

    test_begin("turn");
    if (!program) {
        printf("SKIPPED: no coturn (turnserver): no relay was tried; Debian: apt-get install coturn\n");
        return 77;
    }
    test_step(60, "two relays, one of which is stopped");
    relay live = relay_start(program), dead = relay_start(program);
    relay_stop(&dead);
    ctl("lossy", "{\"only_ports\":[%d,%d]}", live.least, live.least + PORTS - 1);
    const char *servers = "{%s\"servers\":[{\"urls\":[\"turn:127.0.0.1:%d?transport=udp\"],\"username\":\"relay\",\"password\":\"%s\"}]}";
    char body[512];
    snprintf(body, sizeof body, servers, "", live.port, "secret");
    ctl("ice_servers", "%s", body);
    snprintf(body, sizeof body,
             "{\"user_id\":\"b\",\"servers\":[{\"urls\":[\"turn:127.0.0.1:%d?transport=tcp\"],\"username\":\"relay\","
             "\"password\":\"secret\"}]}", live.port);
    ctl("ice_servers", "%s", body);
    snprintf(body, sizeof body, servers, "\"user_id\":\"mistaken\",", live.port, "wrong");
    ctl("ice_servers", "%s", body);
    snprintf(body, sizeof body, servers, "\"user_id\":\"late\",", dead.port, "secret");
    ctl("ice_servers", "%s", body);

    test_step(30, "a call through the relay");
    shut_out(&wrong, "mistaken", refused);
    rec_event failed = EXPECT(wrong.rec, OH_EVENT_ICE_SERVER, NULL, ms(5000));
    CHECK_EQ(failed.code, 401);
    CHECK_THAT(strstr(failed.text, "turn:127.0.0.1"), "the event names '%s'", failed.text);
    shut_out(&stopped, "late", silence);
    peer_join(&a, "a", "turn", NULL);
    peer_join(&b, "b", "turn", NULL);
    peer_publish_tone(&a, 400);
    peer_publish_tone(&b, 700);
    CHECK_THAT(rec_wait_tone(a.rec, "b", 700, ms(15000)), "a does not receive b's audio");
    CHECK_THAT(rec_wait_tone(b.rec, "a", 400, ms(15000)), "b does not receive a's audio");
    CHECK_THAT(rec_wait_audio(a.rec, "b", 100, ms(10000)), "it does not go on");

    test_step(50, "a wrong password, and a stopped server");
    snprintf(expected, sizeof expected, "TURN 127.0.0.1:%d: refused with 401", live.port);
    ended(&wrong, refused, expected);
    snprintf(expected, sizeof expected, "TURN 127.0.0.1:%d: did not answer", dead.port);
    ended(&stopped, silence, expected);

    test_step(30, "the relay dies");
    CHECK_THAT(rec_wait_tone(a.rec, "b", 700, ms(5000)), "the other call is affected");
    size_t mark = rec_mark(a.rec);
    relay_stop(&live);
    rec_event e;
    long at = rec_wait(a.rec, OH_EVENT_MEDIA, NULL, mark, ms(20000), &e);
    CHECK_THAT(at >= 0 && e.count == 0, "the loss is not reported");
    double began = now_ms();
    peer_close(&a);
    peer_close(&b);
    CHECK_THAT(now_ms() - began < ms(4000), "leaving took %.0f ms", now_ms() - began);
    return test_end();
}
