/*
 * ctl.h - the control API of the development SFU, over plain loopback sockets, with a minimal JSON reader.
 */
#ifndef CTL_H
#define CTL_H

#include <stddef.h>

/* The SFU's URL, from OFFHOOK_SFU_URL; the test fails without one. */
const char *sfu_url(void);
int sfu_port(void);

/* One HTTP request. Returns the response body; free it. Fails the test when there is no response in time. */
char *http(const char *method, const char *path, const char *body, int *status);

/* POST /ctl/{what} with a JSON body (printf style); the status must be 200. Returns the response body; free it. */
char *ctl_answer(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As ctl_answer, without the response body. */
void ctl(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns the body of GET /ctl/state; free it. */
char *ctl_state(void);

/*
 * A value inside JSON. The path has steps separated by '/'. A step is a member's name, #3 (fourth element), #-1 (the
 * last), or ?user_id=bob (the last element whose member has that text). NULL when not found.
 */
const char *json_get(const char *json, const char *path);
long long json_int(const char *json, const char *path, long long otherwise);
/* The text of a string (escapes are not decoded) or of any other value; "" when not found. */
const char *json_text(const char *json, const char *path, char *out, size_t size);
int json_count(const char *json, const char *path);

/* A number of a user's session at the SFU, live or ended (the last one); -1 when there is none. */
long long ctl_session(const char *user, const char *field);

/* A user's session inside the result of ctl_state(), for json_int and json_text; NULL when there is none. */
const char *session_of(const char *state, const char *user);

/* Waits until ctl_session(user, field) >= value. Returns the number seen, or fails the test. */
long long ctl_session_wait(const char *user, const char *field, long long value, unsigned timeout_ms);

/* Waits until the number at a path of the state is at least `value`. */
long long ctl_wait(const char *path, long long value, unsigned timeout_ms);

#endif
