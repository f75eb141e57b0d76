/* SPDX-License-Identifier: MIT
 *
 * Stands in for the layers above lib, for its tests on the host: log, panic and the up-calls of
 * lib/up.h.
 */
#include "harness.h"
#include "lib/log.h"
#include "lib/up.h"
#include "sync/spinlock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void lockdep_acquire_tried(struct spinlock *lock, u64 rip)
{
}

void lockdep_release(struct spinlock *lock)
{
}

/* Nothing else runs. */
void cond_yield(void);
void cond_yield(void)
{
}
