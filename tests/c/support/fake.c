/* fake.c - see fake.h. */
#include "fake.h"
#include "check.h"
#include "ctl.h"
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct fake {
    int listener;
    char url[64];
    fake_answer answer;
    void *arg;
    pthread_t thread;
    atomic_int stop;
    atomic_uint requests;
};

/* Reads head and body of one request; NULL when the client closes the connection. */
static char *read_request(int fd)
{
    size_t size = 0, room = 1 << 18;
    char *text = malloc(room + 1);
    CHECK(text != NULL);
    for (;;) {
        ssize_t n = recv(fd, text + size, room - size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        size += (size_t)n;
        text[size] = 0;
        char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (end && size >= (size_t)(end + 4 - text) + body) return text;
    }
    free(text);
    return NULL;
}

static void serve(fake *f, int fd)
{
    struct timeval limit = { .tv_sec = ms(1000) / 1000 };
    char head[256], *body = NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char *request = read_request(fd);
    if (!request) return;
    atomic_fetch_add(&f->requests, 1);
    int status = f->answer(f->arg, request, &body);
    if (status) {
        snprintf(head, sizeof head,
                 "HTTP/1.1 %d x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n",
                 status, body ? strlen(body) : 0);
        if (send(fd, head, strlen(head), MSG_NOSIGNAL) > 0 && body)
            (void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
    }
    free(body);
    free(request);
}

static void *run(void *arg)
{
    fake *f = arg;
    while (!atomic_load(&f->stop)) {
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        if (!atomic_load(&f->stop)) serve(f, fd);
        close(fd);
    }
    return NULL;
}

fake *fake_start(fake_answer answer, void *arg, const char **url)
{
    int port;
    fake *f = calloc(1, sizeof *f);
    CHECK(f != NULL);
    f->listener = silent_server(&port);
    f->answer = answer;
    f->arg = arg;
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", port);
    *url = f->url;
    CHECK_EQ(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

void fake_stop(fake *f)
{
    atomic_store(&f->stop, 1);
    shutdown(f->listener, SHUT_RDWR); /* wakes accept */
    pthread_join(f->thread, NULL);
    close(f->listener);
    free(f);
}

unsigned fake_requests(fake *f)
{
    return atomic_load(&f->requests);
}

int fake_forward(const char *request, char **body)
{
    char method[16], path[4096];
    int status;
    CHECK_EQ(sscanf(request, "%15s %4095s", method, path), 2);
    *body = http(method, path, strstr(request, "\r\n\r\n") + 4, &status);
    return status;
}

char *replace(char *text, const char *what, const char *by)
{
    char *at = strstr(text, what), *out = NULL;
    CHECK_THAT(at != NULL, "'%s' is not in '%.200s'", what, text);
    if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what)) < 0) FAIL("no memory");
    free(text);
    return out;
}
