/* SPDX-License-Identifier: MIT
 *
 * setitimer(2) and POSIX timers of a process. A periodic timer *rests* from its signal's sending
 * until that is taken: it is not armed meanwhile, and the periods that go by are overruns.
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
void itimer_watch_cpu_locked(struct process *p) REQUIRES(p->siglock);
void itimer_check_cpu(void);
void itimer_end_rests_locked(struct process *p, u64 set, struct siginfo *info) REQUIRES(p->siglock);
/* Signals of the set have been taken, or are ignored no more: timers that wait for it go on. info:
 * of the one signal that was taken, or NULL; a timer's gets its overrun. REQUIRES(p->siglock) */
static inline void itimer_signals_taken_locked(struct process *p, u64 set, struct siginfo *info)
    REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    if (unlikely(p->timers_rest))
        itimer_end_rests_locked(p, set, info);
}

/* The first expiration after now of a timer that expired at `expires`; *missed: those between. */
#define ITIMER_MIN_INTERVAL 100000ULL /* ns: bounds a process's interrupts */
u64 itimer_next(u64 now, u64 expires, u64 interval, u64 *missed);
/* Until the next expiration, armed or not; 0: there is none. */
u64 itimer_left(u64 now, u64 expires, u64 interval, bool rests);
/* ITIMER_REAL goes on after a rest. REQUIRES(p->siglock) */
void itimer_resume_locked(struct process *p) REQUIRES(p->siglock);

/* posix_timer.c */
#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD 2 /* a signal like the first: the C library makes the thread */
#define SIGEV_THREAD_ID 4
enum posix_clock { POSIX_CLOCK_BOOT, POSIX_CLOCK_WALL, POSIX_CLOCK_CPU, POSIX_CLOCK_CPU_USER };
struct posix_timer_spec {
    enum posix_clock clock;
    s64 shift; /* ns by which the caller's namespace moves a clock that counts from boot */
    struct task *counts; /* clocks of CPU time: a reference, taken; NULL: the whole process */
    int notify, signo;   /* signo is judged, or notify is SIGEV_NONE */
    u64 value;
    bool default_value;  /* the value is the timer's id */
    struct task *target; /* SIGEV_THREAD_ID: a reference, taken */
};
/* 0 or -EAGAIN; then the references stay the caller's. */
int posix_timer_create(struct posix_timer_spec *spec, s32 *id) __must_check;
/* Times in ns; value 0 disarms; absolute as clock says. -EINVAL: no such timer. */
int posix_timer_set(s32 id, bool absolute, u64 value, u64 interval, struct itimer *old);
int posix_timer_get(s32 id, struct itimer *out);
int posix_timer_overrun(s32 id);
int posix_timer_delete(s32 id);
/* Sends what has come due of the timers of CPU time; all: what p has had. */
void posix_timers_check_cpu(struct process *p, const struct process_times *all);
/* The callback of p->timers_resume. */
void posix_timers_resume_fire(struct timer *timer);
/* Some timer of CPU time is running. REQUIRES(p->siglock) */
bool posix_timers_count_cpu_locked(const struct process *p) REQUIRES(p->siglock);
/* In a timer's interrupt: what is kept for p is charged to p's memory account from here on, not to
 * the thread that was interrupted. Returns the former one, for account_swap. REQUIRES(siglock) */
struct account *itimer_account_locked(struct process *p) REQUIRES(p->siglock);
