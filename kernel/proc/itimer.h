/* SPDX-License-Identifier: MIT
 *
 * setitimer(2) and POSIX timers of a process.
 */
#pragma once

#include "proc/proc.h"

#define ITIMER_REAL 0
#define ITIMER_VIRTUAL 1
#define ITIMER_PROF 2

/* ns: time left and interval; at most an eighth of U64_MAX. -EINVAL: no such timer. */
int itimer_get(unsigned which, struct itimer *out);
int itimer_set(unsigned which, const struct itimer *new_timer, struct itimer *old);
/* Timers and the limit that count CPU time: every task of p watches, REQUIRES(p->siglock); sends
 * what has come due, called by a task that watches on its way to user mode. */
void itimer_watch_cpu_locked(struct process *p);
void itimer_check_cpu(void);
/* Signals of the set have been taken, or are ignored no more: timers that wait for it go on. info:
 * of the one signal that was taken, or NULL; a timer's gets its overrun. REQUIRES(p->siglock) */
void itimer_signals_taken_locked(struct process *p, u64 set, struct siginfo *info);

#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD_ID 4
struct posix_timer_spec {
    int clock; /* CLOCK_REALTIME, MONOTONIC, BOOTTIME */
    int notify, signo;
    u64 value;
    bool default_value;  /* the value is the timer's id */
    struct task *target; /* SIGEV_THREAD_ID: a reference, taken */
};
int posix_timer_create(struct posix_timer_spec *spec, s32 *id);
/* Times in ns; value 0 disarms; absolute as clock says. */
int posix_timer_set(s32 id, bool absolute, u64 value, u64 interval, struct itimer *old);
int posix_timer_get(s32 id, struct itimer *out);
int posix_timer_overrun(s32 id);
int posix_timer_delete(s32 id);
