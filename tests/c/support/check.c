/* check.c - see check.h. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char step[256] = "the beginning";
static const char *test_name = "test";
static double began;
int test_stderr = 2;

double test_scale(void)
{
    static double scale;
    if (scale == 0) {
        const char *text = getenv("OFFHOOK_TEST_SCALE");
        double value = text ? atof(text) : 1;
        scale = value >= 1 && value <= 100 ? value : 1;
    }
    return scale;
}

uint32_t ms(uint32_t plain)
{
    return (uint32_t)(plain * test_scale());
}

unsigned rounds(unsigned plain)
{
    unsigned fewer = (unsigned)(plain / test_scale());
    unsigned least = plain < 50 ? plain : 50;
    return fewer < least ? least : fewer;
}

double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

void nap(unsigned ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* Async-signal-safe: only write and _exit. */
static void on_alarm(int signal)
{
    static const char words[] = "\nHANG: the deadline of this step has passed: ";
    (void)signal;
    ssize_t ignored = write(test_stderr, words, sizeof words - 1);
    ignored = write(test_stderr, step, strlen(step));
    ignored = write(test_stderr, "\n", 1);
    (void)ignored;
    _exit(1);
}

/* With OFFHOOK_TEST_LOG=1..5 the library's log is written to standard error. */
static void print_log(void *user, const oh_log_record *record)
{
    (void)user;
    dprintf(2, "    %9.3f [%d] %s\n", now_ms() / 1000, (int)record->level, record->text);
}

void test_begin(const char *name)
{
    if (getenv("OFFHOOK_TEST_LOG")) oh_log_set(atoi(getenv("OFFHOOK_TEST_LOG")), print_log, NULL, NULL);
    struct sigaction action = { .sa_handler = on_alarm };
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_name = name;
    began = now_ms();
    sigaction(SIGALRM, &action, NULL);
    printf("%s: scale %g, library %s\n", name, test_scale(), oh_get_version());
}

void test_step(unsigned seconds, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(step, sizeof step, format, list);
    va_end(list);
    double stretched = seconds * test_scale();
    alarm((unsigned)(stretched < 3600 ? stretched : 3600));
    printf("%8.3f s  %s\n", (now_ms() - began) / 1e3, step);
}

int test_end(void)
{
    alarm(0);
    printf("%8.3f s  %s: passed\n", (now_ms() - began) / 1e3, test_name);
    return 0;
}

uint64_t test_random(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t state = 0x0ff4001;
    pthread_mutex_lock(&lock);
    /* splitmix64 */
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    pthread_mutex_unlock(&lock);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fflush(stdout);
    dprintf(test_stderr, "%s:%d: FAILED in step '%s': %s\n", file, line, step, text);
    _exit(1);
}

void check_result(const char *file, int line, const char *what, oh_result is, oh_result wanted)
{
    if (is == wanted) return;
    char why[512] = "";
    if (is != OH_OK) oh_get_last_error(why, sizeof why);
    test_fail(file, line, "%s is %s, expected %s%s%s", what, oh_result_get_name(is), oh_result_get_name(wanted),
              why[0] ? "; last error: " : "", why);
}

void check_equal(const char *file, int line, const char *what, long long is, long long wanted)
{
    if (is != wanted) test_fail(file, line, "%s is %lld, expected %lld", what, is, wanted);
}

void check_text(const char *file, int line, const char *what, const char *is, const char *wanted)
{
    if (!is || strcmp(is, wanted))
        test_fail(file, line, "%s is '%s', expected '%s'", what, is ? is : "(NULL)", wanted);
}
