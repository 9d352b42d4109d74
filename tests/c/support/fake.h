/*
 * fake.h - a fake coordinator: a thread that answers HTTP requests with the test's responses, for responses that the
 * development SFU does not give.
 */
#ifndef FAKE_H
#define FAKE_H

typedef struct fake fake;

/*
 * Answers one request (head and body, NUL-terminated). Returns the status and sets *body (malloc'd), or returns 0 to
 * close the connection without a response. One request at a time, on the fake's thread.
 */
typedef int (*fake_answer)(void *arg, const char *request, char **body);

/* Starts the server; *url is "http://127.0.0.1:PORT", valid until fake_stop. */
fake *fake_start(fake_answer answer, void *arg, const char **url);
void fake_stop(fake *f);

/* Requests received so far. */
unsigned fake_requests(fake *f);

/* Forwards a request to the SFU; returns the status and sets *body. */
int fake_forward(const char *request, char **body);

/* Returns a copy of `text` with the first `what` replaced; frees `text`. Fails the test when `what` is not found. */
char *replace(char *text, const char *what, const char *by);

#endif
