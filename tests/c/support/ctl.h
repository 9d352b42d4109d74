/*
 * ctl.h - the control API of the development SFU, over plain loopback sockets; and just enough JSON.
 */
#ifndef CTL_H
#define CTL_H

#include <stddef.h>

/* The SFU's URL, from OFFHOOK_SFU_URL; the test fails without one. */
const char *sfu_url(void);
int sfu_port(void);

/* One HTTP request; the body of the answer, to be freed. Fails the test when nothing answers in time. */
char *http(const char *method, const char *path, const char *body, int *status);

/* POST /ctl/{what} with a JSON body (printf style); must answer 200. The answer, to be freed. */
char *ctl_answer(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As ctl_answer, without the answer. */
void ctl(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Everything that /ctl/state tells; to be freed. */
char *ctl_state(void);

/*
 * A value inside JSON: a path of steps parted by '/'. A step is a member's name, #3 (fourth element),
 * #-1 (the last), or ?user_id=bob (the last element whose member is that text). NULL when it is not there.
 */
const char *json_get(const char *json, const char *path);
long long json_int(const char *json, const char *path, long long otherwise);
/* The text of a string (escapes left as they are) or of any other value; "" when not there. */
const char *json_text(const char *json, const char *path, char *out, size_t size);
int json_count(const char *json, const char *path);

/* A number of a user's session at the SFU, live or gone (the last one); -1 when there is none. */
long long ctl_session(const char *user, const char *field);

/* Waits until ctl_session(user, field) >= value; the number seen, or fails the test. */
long long ctl_session_wait(const char *user, const char *field, long long value, unsigned timeout_ms);

/* Waits until a path of the state is at least a number. */
long long ctl_wait(const char *path, long long value, unsigned timeout_ms);

#endif
