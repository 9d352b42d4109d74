/* ctl.c - see ctl.h. */
#include "ctl.h"
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const char *sfu_url(void)
{
    const char *url = getenv("OFFHOOK_SFU_URL");
    if (!url || strncmp(url, "http://127.0.0.1:", 17)) FAIL("OFFHOOK_SFU_URL must be http://127.0.0.1:PORT");
    return url;
}

int sfu_port(void)
{
    return atoi(sfu_url() + 17);
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) FAIL("the SFU takes no request: %s", strerror(errno));
        bytes += n;
        size -= (size_t)n;
    }
}

char *http(const char *method, const char *path, const char *body, int *status)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)sfu_port()) };
    struct timeval limit = { .tv_sec = ms(10000) / 1000 };
    char head[512];
    size_t size = 0, room = 1 << 16;
    char *reply = malloc(room + 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && reply);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) FAIL("the SFU cannot be reached: %s", strerror(errno));
    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nconnection: close\r\ncontent-type: application/json\r\n"
             "content-length: %zu\r\n\r\n",
             method, path, sfu_port(), strlen(body));
    send_all(fd, head, strlen(head));
    send_all(fd, body, strlen(body));
    for (;;) {
        if (size == room) {
            CHECK_THAT(room < (64u << 20), "%s answers without end", path);
            reply = realloc(reply, (room *= 2) + 1);
            CHECK(reply);
        }
        ssize_t n = recv(fd, reply + size, room - size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) FAIL("%s %s: no answer: %s", method, path, strerror(errno));
        if (n == 0) break;
        size += (size_t)n;
    }
    close(fd);
    reply[size] = 0;
    char *end = strstr(reply, "\r\n\r\n");
    if (!end || strncmp(reply, "HTTP/1.1 ", 9)) FAIL("%s %s: the answer is not HTTP", method, path);
    *status = atoi(reply + 9);
    memmove(reply, end + 4, strlen(end + 4) + 1);
    return reply;
}

static char *post(const char *what, const char *format, va_list list)
{
    char path[64], *body = NULL;
    int status;
    if (vasprintf(&body, format, list) < 0) FAIL("no memory");
    snprintf(path, sizeof path, "/ctl/%s", what);
    char *answer = http("POST", path, body, &status);
    if (status != 200) FAIL("%s %s: HTTP %d: %.200s", path, body, status, answer);
    free(body);
    return answer;
}

char *ctl_answer(const char *what, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *answer = post(what, format, list);
    va_end(list);
    return answer;
}

void ctl(const char *what, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    free(post(what, format, list));
    va_end(list);
}

char *ctl_state(void)
{
    int status;
    char *state = http("GET", "/ctl/state", "", &status);
    CHECK_EQ(status, 200);
    return state;
}

/* ---- JSON: only for responses of the SFU, which are well-formed ---- */

static const char *space(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
    return p;
}

static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1]) p++;
    return *p ? p + 1 : p;
}

/* States are half a megabyte and are read often, so this is a single pass over the characters. */
static const char *skip_value(const char *p)
{
    int depth = 0;
    for (p = space(p);; p++) {
        switch (*p) {
        case 0: return p;
        case '"':
            p = skip_string(p);
            if (depth == 0) return p;
            p--;
            break;
        case '{': case '[': depth++; break;
        case '}': case ']':
            if (depth == 0) return p;
            if (--depth == 0) return p + 1;
            break;
        case ',': case ' ': case '\n': case '\r': case '\t':
            if (depth == 0) return p;
            break;
        default: break;
        }
    }
}

static const char *member(const char *p, const char *name, size_t length)
{
    p = space(p);
    if (*p != '{') return NULL;
    p = space(p + 1);
    while (*p == '"') {
        const char *key = p + 1;
        p = skip_string(p);
        size_t size = (size_t)(p - key - 1);
        p = space(p);
        if (*p != ':') return NULL;
        p = space(p + 1);
        if (size == length && !memcmp(key, name, length)) return p;
        p = space(skip_value(p));
        if (*p == ',') p = space(p + 1);
    }
    return NULL;
}

static int is_text(const char *value, const char *text, size_t length)
{
    return value && *value == '"' && skip_string(value) - value - 2 == (ptrdiff_t)length &&
           !memcmp(value + 1, text, length);
}

static const char *element(const char *p, const char *want, size_t length)
{
    const char *found = NULL, *equals = memchr(want, '=', length);
    long index = *want == '#' ? atol(want + 1) : 0;
    p = space(p);
    if (*p != '[') return NULL;
    p = space(p + 1);
    for (long i = 0; *p && *p != ']'; i++) {
        if (*want == '#') {
            if (i == index || index == -1) found = p;
        } else if (equals) {
            const char *value = member(p, want + 1, (size_t)(equals - want - 1));
            if (is_text(value, equals + 1, (size_t)(want + length - equals - 1))) found = p;
        }
        p = space(skip_value(p));
        if (*p == ',') p = space(p + 1);
    }
    return found;
}

const char *json_get(const char *json, const char *path)
{
    while (json && *path) {
        size_t length = strcspn(path, "/");
        json = *path == '#' || *path == '?' ? element(json, path, length) : member(json, path, length);
        path += length;
        if (*path == '/') path++;
    }
    return json ? space(json) : NULL;
}

long long json_int(const char *json, const char *path, long long otherwise)
{
    const char *value = json_get(json, path);
    if (!value) return otherwise;
    if (!strncmp(value, "true", 4)) return 1;
    if (!strncmp(value, "false", 5)) return 0;
    return *value == '-' || (*value >= '0' && *value <= '9') ? atoll(value) : otherwise;
}

const char *json_text(const char *json, const char *path, char *out, size_t size)
{
    const char *value = json_get(json, path);
    out[0] = 0;
    if (value) {
        const char *end = skip_value(value);
        if (*value == '"') value++, end--;
        snprintf(out, size, "%.*s", (int)(end - value), value);
    }
    return out;
}

int json_count(const char *json, const char *path)
{
    int count = 0;
    const char *p = json_get(json, path);
    if (!p || *p != '[') return -1;
    for (p = space(p + 1); *p && *p != ']'; count++) {
        p = space(skip_value(p));
        if (*p == ',') p = space(p + 1);
    }
    return count;
}

const char *session_of(const char *state, const char *user)
{
    char path[256];
    static const char *const lists[] = { "sessions", "gone" };
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/?user_id=%s", lists[i], user);
        const char *session = json_get(state, path);
        if (session) return session;
    }
    return NULL;
}

long long ctl_session(const char *user, const char *field)
{
    char *state = ctl_state();
    long long value = json_int(session_of(state, user), field, -1);
    free(state);
    return value;
}

long long ctl_session_wait(const char *user, const char *field, long long value, unsigned timeout_ms)
{
    double end = now_ms() + timeout_ms;
    for (;;) {
        long long is = ctl_session(user, field);
        if (is >= value) return is;
        if (now_ms() > end) FAIL("%s of %s is %lld at the SFU, expected at least %lld", field, user, is, value);
        nap(10);
    }
}

long long ctl_wait(const char *path, long long value, unsigned timeout_ms)
{
    double end = now_ms() + timeout_ms;
    for (;;) {
        char *state = ctl_state();
        long long is = json_int(state, path, -1);
        free(state);
        if (is >= value) return is;
        if (now_ms() > end) FAIL("%s is %lld at the SFU, expected at least %lld", path, is, value);
        nap(10);
    }
}
