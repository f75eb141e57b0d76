/* SPDX-License-Identifier: MIT */
/*
 * Runs the unit tests on the host and stands in for the layers above lib: log, panic and the
 * up-calls of lib/up.h. Usage: unit [PATTERN]: only tests whose name contains it.
 */
#include "harness.h"
#include "lib/log.h"
#include "lib/up.h"
#include "sync/spinlock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct unit_test *host_tests, **host_tail = &host_tests;
static bool host_failed;

void unit_register(struct unit_test *test)
{
    *host_tail = test;
    host_tail = &test->next;
}

void unit_fail(const char *file, int line, const char *what)
{
    printf("%s:%d: %s\n", file, line, what);
    host_failed = true;
}

u64 unit_rand(u64 *state)
{
    u64 z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

u64 unit_times(void)
{
    const char *times = getenv("UNIT_TIMES");
    int n = times ? atoi(times) : 1;

    return n > 0 ? (u64)n : 1;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

void trace_record(const struct trace_point *tp, u64 a, u64 b, u64 c)
{
}

bool fail_point_hit(const char *name, u32 every)
{
    return false;
}

u64 up_irq_save(void)
{
    return 0;
}

void up_irq_restore(u64 flags)
{
}

bool up_entropy(u64 *out)
{
    static u64 state = 1;

    *out = unit_rand(&state);
    return true;
}

u64 up_cycles(void)
{
    return 42;
}

/* One thread: a lock is always free. */
void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
}

void lockdep_release(struct spinlock *lock)
{
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct unit_test *t = host_tests; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        host_failed = false;
        t->run();
        printf("%s %s\n", host_failed ? "FAIL" : "ok", t->name);
        if (host_failed)
            failed++;
        else
            passed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
