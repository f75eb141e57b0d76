/* SPDX-License-Identifier: MIT
 *
 * Interval timers, and what POSIX timers share with them. Callbacks run in the timer interrupt:
 * they send the signal. The next period is armed when that has been taken, and what went by
 * meanwhile counts as overruns: so a process makes no more interrupts than it takes signals,
 * however many timers it has.
 *
 * Timers of CPU time, setitimer's, POSIX ones and RLIMIT_CPU, make no interrupt of their own: the
 * process's tasks look at them after each tick of the scheduler.
 *
 * Lock order: siglock guards the list and each timer's figures; the timers' own locks are inside.
 */
#include "proc/itimer.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "proc/proc_priv.h"
#include "vm/aspace.h"

u64 itimer_next(u64 now, u64 expires, u64 interval, u64 *missed)
{
    u64 n = 0;

    interval = MAX(interval, ITIMER_MIN_INTERVAL);
    if (now > expires)
        n = (now - expires) / interval;
    *missed = n;
    return expires + (n + 1) * interval;
}

u64 itimer_left(u64 now, u64 expires, u64 interval, bool rests)
{
    u64 missed;

    if (!expires)
        return 0;
    if (expires > now)
        return expires - now;
    if (!rests)
        return 1;
    return interval ? itimer_next(now, expires, interval, &missed) - now : 0;
}

struct account *itimer_account_locked(struct process *p)
{
    ASSERT_HELD(&p->siglock);
    return account_swap(p->aspace ? p->aspace->account : NULL);
}

static void itimer_expire_locked(struct process *p) REQUIRES(p->siglock)
{
    struct itimer *it = &p->itimers[ITIMER_REAL];
    struct account *former;

    ASSERT_HELD(&p->siglock);
    if (it->interval)
        p->real_timer_rests = p->timers_rest = true;
    else
        it->expires = 0;
    former = itimer_account_locked(p);
    (void)signal_post_locked(p, NULL, SIGALRM, NULL);
    (void)account_swap(former);
}

static void itimer_fire(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, real_timer);
    const struct itimer *it = &p->itimers[ITIMER_REAL];
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    /* Set anew, or off, while this callback was on its way: not due. */
    if (it->expires && time_ns() >= it->expires)
        itimer_expire_locked(p);
    spin_unlock_irqrestore(&p->siglock, flags);
}

void itimer_resume_locked(struct process *p)
{
    struct itimer *it = &p->itimers[ITIMER_REAL];
    u64 missed;

    ASSERT_HELD(&p->siglock);
    p->real_timer_rests = false;
    it->expires = itimer_next(time_ns(), it->expires, it->interval, &missed);
    timer_start(&p->real_timer, it->expires);
}

void itimer_process_init(struct process *p)
{
    list_init(&p->posix_timers);
    list_init(&p->timers_taken);
    timer_init_bulk(&p->real_timer, itimer_fire);
    timer_init_bulk(&p->timers_resume, posix_timers_resume_fire);
}

void itimer_process_exit(struct process *p)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    p->itimers[ITIMER_REAL].expires = p->itimers[ITIMER_REAL].interval = 0;
    p->real_timer_rests = false;
    spin_unlock_irqrestore(&p->siglock, flags);
    timer_cancel(&p->real_timer);
}

/* ITIMER_VIRTUAL, ITIMER_PROF and RLIMIT_CPU count CPU time: while one is set, every task of the
 * process looks at it on its way to user mode after each tick of the scheduler. */
void itimer_watch_cpu_locked(struct process *p)
{
    ASSERT_HELD(&p->siglock);
    DEBUG_ASSERT(p->clock_state == CLOCK_KEPT);
    WRITE_ONCE(p->clock.watched, 1);
}

/* What the timer counts, now. */
static u64 itimer_clock(unsigned which)
{
    struct process_times t;

    if (which == ITIMER_REAL)
        return time_ns();
    process_times_cpu(current_process(), &t);
    return which == ITIMER_VIRTUAL ? t.utime : t.utime + t.stime;
}

static bool itimer_cpu_expired_locked(struct process *p, unsigned which, u64 now)
    REQUIRES(p->siglock)
{
    struct itimer *it = &p->itimers[which];

    ASSERT_HELD(&p->siglock);
    if (!it->expires || now < it->expires)
        return false;
    it->expires = it->interval ? MAX(it->expires + it->interval, now + 1) : 0;
    return true;
}

/* setrlimit(2): SIGXCPU at the soft limit and each second after, SIGKILL at the hard one. */
static int itimer_cpu_limit_locked(struct process *p, u64 now) REQUIRES(p->siglock)
{
    struct rlimit *limit = &p->rlimits[RLIMIT_CPU];
    u64 seconds = now / NSEC_PER_SEC;

    ASSERT_HELD(&p->siglock);
    if (seconds >= limit->max)
        return SIGKILL;
    if (seconds < limit->cur)
        return 0;
    limit->cur = MIN(seconds + 1, limit->max);
    return SIGXCPU;
}

void itimer_check_cpu(void)
{
    struct process *p = current_process();
    struct itimer *it = p->itimers;
    struct process_times t;
    u64 flags;

    process_times_cpu(p, &t);
    spin_lock_irqsave(&p->siglock, &flags);
    bool virtual = itimer_cpu_expired_locked(p, ITIMER_VIRTUAL, t.utime);
    bool prof = itimer_cpu_expired_locked(p, ITIMER_PROF, t.utime + t.stime);
    int limit = itimer_cpu_limit_locked(p, t.utime + t.stime);
    if (!it[ITIMER_VIRTUAL].expires && !it[ITIMER_PROF].expires &&
        !rlimit_is_set(&p->rlimits[RLIMIT_CPU]) && !posix_timers_count_cpu_locked(p))
        WRITE_ONCE(p->clock.watched, 0);
    spin_unlock_irqrestore(&p->siglock, flags);
    if (virtual)
        signal_send_process(p, SIGVTALRM, NULL);
    if (prof)
        signal_send_process(p, SIGPROF, NULL);
    if (limit)
        signal_send_process(p, limit, NULL);
    posix_timers_check_cpu(p, &t);
}

static void itimer_left_locked(const struct process *p, unsigned which, u64 now, struct itimer *out)
    REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    *out = p->itimers[which];
    if (!out->expires)
        return;
    if (which == ITIMER_REAL)
        out->expires = itimer_left(now, out->expires, out->interval, p->real_timer_rests);
    else
        out->expires = out->expires > now ? out->expires - now : 1;
    out->expires = MAX(out->expires, NSEC_PER_USEC); /* it is told in whole ones, and is not off */
}

int itimer_get(unsigned which, struct itimer *out)
{
    struct process *p = current_process();
    u64 flags;

    if (which > ITIMER_PROF)
        return -EINVAL;
    u64 now = itimer_clock(which);
    spin_lock_irqsave(&p->siglock, &flags);
    itimer_left_locked(p, which, now, out);
    spin_unlock_irqrestore(&p->siglock, flags);
    return 0;
}

static void itimer_set_cpu(unsigned which, const struct itimer *new_timer, struct itimer *old)
{
    struct process *p = current_process();
    u64 flags, now;

    if (new_timer->expires)
        process_clock_keep(p);
    now = itimer_clock(which);
    spin_lock_irqsave(&p->siglock, &flags);
    itimer_left_locked(p, which, now, old);
    p->itimers[which] = *new_timer;
    if (new_timer->expires) {
        p->itimers[which].expires += now; /* both far below 2^63 */
        itimer_watch_cpu_locked(p);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}

/* All in one hold: two threads that set it leave one's figures and the same one's timer. */
static void itimer_set_real(const struct itimer *new_timer, struct itimer *old)
{
    struct process *p = current_process();
    struct itimer *it = &p->itimers[ITIMER_REAL];
    u64 flags, now;

    spin_lock_irqsave(&p->siglock, &flags);
    now = time_ns();
    itimer_left_locked(p, ITIMER_REAL, now, old);
    *it = (struct itimer){0};
    p->real_timer_rests = false;
    timer_cancel_nowait(&p->real_timer);
    if (new_timer->expires) {
        *it = *new_timer;
        if (add_overflows(now, new_timer->expires, &it->expires))
            it->expires = U64_MAX - 1;
        timer_start(&p->real_timer, it->expires);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}

int itimer_set(unsigned which, const struct itimer *new_timer, struct itimer *old)
{
    if (which > ITIMER_PROF)
        return -EINVAL;
    if (which == ITIMER_REAL)
        itimer_set_real(new_timer, old);
    else
        itimer_set_cpu(which, new_timer, old);
    return 0;
}
