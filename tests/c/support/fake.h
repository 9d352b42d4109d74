/*
 * fake.h - a coordinator of the test's own: a thread that answers HTTP requests as the test says, for
 * what the development SFU cannot be asked to say.
 */
#ifndef FAKE_H
#define FAKE_H

typedef struct fake fake;

/*
 * Answers one request (head and body, NUL-terminated): returns the status and sets *body (malloc'd), or
 * returns 0 to hang up without a word. One request at a time, on the fake's thread.
 */
typedef int (*fake_answer)(void *arg, const char *request, char **body);

/* Starts it; *url is "http://127.0.0.1:PORT", valid until fake_stop. */
fake *fake_start(fake_answer answer, void *arg, const char **url);
void fake_stop(fake *f);

/* Requests that have come so far. */
unsigned fake_requests(fake *f);

/* Passes a request on to the SFU; its answer. */
int fake_forward(const char *request, char **body);

/* A copy of `text` in which the first `what` is replaced; frees `text`. Fails the test without it. */
char *replace(char *text, const char *what, const char *by);

#endif
