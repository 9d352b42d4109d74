/* collect.c - see collect.h. */
#include "collect.h"
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *all;
static size_t all_size, all_room, lines;
static int out, err, file;

void collect_bytes(const void *bytes, size_t size)
{
    pthread_mutex_lock(&lock);
    if (all_size + size + 1 > all_room) {
        all_room = (all_size + size + 1) * 2;
        all = realloc(all, all_room);
        CHECK(all != NULL);
    }
    memcpy(all + all_size, bytes, size);
    all_size += size;
    all[all_size++] = '\n';
    pthread_mutex_unlock(&lock);
}

void collect(const char *text)
{
    collect_bytes(text, strlen(text));
}

static void on_log(void *user, const oh_log_record *record)
{
    (void)user;
    CHECK(record->level >= OH_LOG_ERROR && record->level <= OH_LOG_TRACE);
    CHECK_THAT(strchr(record->text, '\n') == NULL, "a log line of two lines");
    collect(record->text);
    pthread_mutex_lock(&lock);
    lines++;
    pthread_mutex_unlock(&lock);
}

void collect_event(const oh_event *e)
{
    switch (e->kind) {
    case OH_EVENT_ERROR: collect(e->u.error->text); break;
    case OH_EVENT_ENDED: collect(e->u.ended->text); break;
    case OH_EVENT_LOCAL_TRACK_FAILED: collect(e->u.local_track->text); break;
    case OH_EVENT_PARTICIPANT_JOINED: collect(e->u.participant->custom_json); collect(e->u.participant->user_id); break;
    default: break;
    }
}

void collect_last_error(void)
{
    char text[4096] = "";
    oh_get_last_error(text, sizeof text);
    collect(text);
}

void collect_begin(void)
{
    char path[] = "/tmp/offhook-secrets-XXXXXX";
    out = dup(1), err = dup(2), file = mkstemp(path);
    CHECK(out >= 0 && err >= 0 && file >= 0);
    test_stderr = err;
    unlink(path);
    CHECK_OK(oh_log_set(OH_LOG_TRACE, on_log, NULL, NULL));
    fflush(stdout);
    CHECK(dup2(file, 1) >= 0 && dup2(file, 2) >= 0);
    setenv("RUST_LOG", "trace", 1);
}

void collect_search(const secret *secrets, size_t count, const char *known)
{
    size_t before, written = 0;
    char text[1024];
    ssize_t n;
    int found = 0;

    CHECK_OK(oh_log_set(OH_LOG_OFF, NULL, NULL, NULL));
    fflush(stdout);
    CHECK(dup2(out, 1) >= 0 && dup2(err, 2) >= 0);
    before = all_size;
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    while ((n = read(file, text, sizeof text)) > 0) {
        written += (size_t)n;
        collect_bytes(text, (size_t)n);
        if (n == sizeof text) lseek(file, -100, SEEK_CUR); /* keep an overlap, for a secret across two pieces */
    }
    close(file);
    printf("           %zu log lines, %zu bytes in all, %zu bytes on standard output and error\n", lines, before, written);
    CHECK_THAT(lines >= 3, "only %zu log lines: this test tested nothing", lines);
    CHECK_THAT(memmem(all, all_size, known, strlen(known)), "%s was not put out: this test tested nothing", known);
    if (getenv("OFFHOOK_TEST_SHOW")) printf("%.*s\n", (int)before, all);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(secrets[i].text);
        CHECK(length > 10);
        for (char *at = all; (at = memmem(at, (size_t)(all + all_size - at), secrets[i].text, length)); at += length) {
            char *begin = at, *end = at;
            while (begin > all && begin[-1] != '\n' && at - begin < 300) begin--;
            while (end < all + all_size && *end != '\n' && end - at < 300) end++;
            printf("           %s was put out: %.*s\n", secrets[i].what, (int)(end - begin), begin);
            found++;
        }
    }
    CHECK_EQ(found, 0);
    free(all);
    close(out);
    close(err);
}
