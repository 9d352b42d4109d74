/*
 * check.h - checks, deadlines and steps of the C tests.
 *
 * A check that fails prints file, line and the value seen, and ends the process with code 1 at once, because the
 * library's threads may still be running. Every test is divided into steps with a deadline; SIGALRM ends a test that
 * hangs and names the step. All times are milliseconds on a machine at full speed; ms() multiplies them by
 * OFFHOOK_TEST_SCALE (1 plain, 4 AddressSanitizer, 20 valgrind).
 */
#ifndef CHECK_H
#define CHECK_H

#include <offhook.h>
#include <stdint.h>

/* How much slower than real time this run is; at least 1. */
double test_scale(void);

/* A deadline of `plain` ms, scaled. */
uint32_t ms(uint32_t plain);

/* The number of repetitions: fewer on a slow run, but never below 50 (nor above `plain`). */
unsigned rounds(unsigned plain);

/* Milliseconds of the monotonic clock. */
double now_ms(void);

/* Sleeps for about `ms` ms. For polling loops only, never as a substitute for a condition. */
void nap(unsigned ms);

/* File descriptor for failure messages; 2, unless a test redirects its own output. */
extern int test_stderr;

/* Starts the test: prints the name, prepares deadlines, sets a fixed seed for test_random(). */
void test_begin(const char *name);

/* Names the current step. The next step or test_end must follow within `seconds`, scaled. */
void test_step(unsigned seconds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the test successfully; main returns its value. */
int test_end(void);

/* Reproducible random numbers; any thread. */
uint64_t test_random(void);

_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
void check_result(const char *file, int line, const char *what, oh_result is, oh_result wanted);
void check_equal(const char *file, int line, const char *what, long long is, long long wanted);
void check_text(const char *file, int line, const char *what, const char *is, const char *wanted);

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "not so: %s", #condition))
/* As CHECK, with a custom message. */
#define CHECK_THAT(condition, ...) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, __VA_ARGS__))
#define CHECK_EQ(is, wanted) check_equal(__FILE__, __LINE__, #is, (long long)(is), (long long)(wanted))
#define CHECK_STR(is, wanted) check_text(__FILE__, __LINE__, #is, is, wanted)
/* The call must return this oh_result. */
#define CHECK_OH(call, wanted) check_result(__FILE__, __LINE__, #call, (call), (wanted))
#define CHECK_OK(call) CHECK_OH(call, OH_OK)

#endif
