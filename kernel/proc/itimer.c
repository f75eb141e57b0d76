/* SPDX-License-Identifier: MIT
 *
 * Interval timers and POSIX timers. Callbacks run in the timer interrupt: they send the signal. The
 * next period is armed when that has been taken, and what went by meanwhile counts as overruns: so
 * a process makes no more interrupts than it hears of, however many timers it has.
 *
 * Lock order: siglock guards the list and each timer's figures; the timers' own locks are inside.
 */
#include "proc/itimer.h"
#include "lib/errno.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

#define CLOCK_REALTIME 0
#define POSIX_TIMERS_MAX 1024
#define MIN_INTERVAL 100000ULL /* 0.1 ms: an interrupt storm is nobody's wish */
#define QUEUE_RETRY 10000000ULL

struct posix_timer {
    struct list_node node; /* siglock */
    struct process *process;
    struct task *target; /* NULL: the process */
    struct timer timer;
    int clock, notify, signo;
    s32 id;
    u64 value;
    u64 expires, interval; /* siglock; ns of time_ns() */
    u32 overrun;           /* siglock */
    bool rests;            /* siglock: it has fired, the next period is not armed */
};

/* The first expiration after now of a timer that expired at `expires`; *missed: those between. */
static u64 itimer_next(u64 expires, u64 interval, u64 *missed)
{
    u64 now = time_ns(), n = 0;

    interval = MAX(interval, MIN_INTERVAL);
    if (now > expires)
        n = (now - expires) / interval;
    *missed = n;
    return expires + (n + 1) * interval;
}

/* Until the next expiration, armed or not; 0: there is none. */
static u64 itimer_left(u64 expires, u64 interval, bool rests)
{
    u64 now = time_ns(), missed;

    if (!expires)
        return 0;
    if (expires > now)
        return expires - now;
    if (!rests)
        return 1;
    return interval ? itimer_next(expires, interval, &missed) - now : 0;
}

static void itimer_fire(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, real_timer);
    struct itimer *it = &p->itimers[ITIMER_REAL];
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (it->interval)
        p->real_timer_rests = p->timers_rest = true;
    else
        it->expires = 0;
    spin_unlock_irqrestore(&p->siglock, flags);
    signal_send_process(p, SIGALRM, NULL);
}

static void itimer_resume_locked(struct process *p)
{
    struct itimer *it = &p->itimers[ITIMER_REAL];
    u64 missed;

    p->real_timer_rests = false;
    it->expires = itimer_next(it->expires, it->interval, &missed);
    timer_start(&p->real_timer, it->expires);
}

void itimer_process_init(struct process *p)
{
    timer_init(&p->real_timer, itimer_fire);
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
    struct task *t;

    list_for_each (t, &p->tasks, node)
        WRITE_ONCE(t->thread->watched, 1);
}

/* What the timer counts, now. */
static u64 itimer_clock(unsigned which)
{
    struct process_times t;

    if (which == ITIMER_REAL)
        return time_ns();
    process_times_get(current_process(), &t);
    return which == ITIMER_VIRTUAL ? t.utime : t.utime + t.stime;
}

static bool itimer_cpu_expired_locked(struct itimer *it, u64 now)
{
    if (!it->expires || now < it->expires)
        return false;
    it->expires = it->interval ? MAX(it->expires + it->interval, now + 1) : 0;
    return true;
}

/* setrlimit(2): SIGXCPU at the soft limit and each second after, SIGKILL at the hard one. */
static int itimer_cpu_limit_locked(struct rlimit *limit, u64 now)
{
    u64 seconds = now / NSEC_PER_SEC;

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

    process_times_get(p, &t);
    spin_lock_irqsave(&p->siglock, &flags);
    bool virtual = itimer_cpu_expired_locked(&it[ITIMER_VIRTUAL], t.utime);
    bool prof = itimer_cpu_expired_locked(&it[ITIMER_PROF], t.utime + t.stime);
    int limit = itimer_cpu_limit_locked(&p->rlimits[RLIMIT_CPU], t.utime + t.stime);
    if (!it[ITIMER_VIRTUAL].expires && !it[ITIMER_PROF].expires &&
        p->rlimits[RLIMIT_CPU].cur == RLIM_INFINITY && p->rlimits[RLIMIT_CPU].max == RLIM_INFINITY)
        WRITE_ONCE(current_thread()->watched, 0);
    spin_unlock_irqrestore(&p->siglock, flags);
    if (virtual)
        signal_send_process(p, SIGVTALRM, NULL);
    if (prof)
        signal_send_process(p, SIGPROF, NULL);
    if (limit)
        signal_send_process(p, limit, NULL);
}

static void itimer_left_locked(const struct process *p, unsigned which, u64 now, struct itimer *out)
{
    *out = p->itimers[which];
    if (!out->expires)
        return;
    if (which == ITIMER_REAL)
        out->expires = itimer_left(out->expires, out->interval, p->real_timer_rests);
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
    u64 flags, now = itimer_clock(which);

    spin_lock_irqsave(&p->siglock, &flags);
    itimer_left_locked(p, which, now, old);
    p->itimers[which] = *new_timer;
    if (new_timer->expires) {
        p->itimers[which].expires += now; /* both far below 2^63 */
        itimer_watch_cpu_locked(p);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}

int itimer_set(unsigned which, const struct itimer *new_timer, struct itimer *old)
{
    struct process *p = current_process();
    u64 flags;

    if (which > ITIMER_PROF)
        return -EINVAL;
    if (which != ITIMER_REAL) {
        itimer_set_cpu(which, new_timer, old);
        return 0;
    }
    spin_lock_irqsave(&p->siglock, &flags);
    itimer_left_locked(p, which, time_ns(), old);
    p->itimers[ITIMER_REAL].expires = p->itimers[ITIMER_REAL].interval = 0;
    p->real_timer_rests = false;
    spin_unlock_irqrestore(&p->siglock, flags);
    timer_cancel(&p->real_timer);
    if (!new_timer->expires)
        return 0;
    u64 expires;
    if (add_overflows(time_ns(), new_timer->expires, &expires))
        expires = U64_MAX - 1;
    spin_lock_irqsave(&p->siglock, &flags);
    p->itimers[ITIMER_REAL] = (struct itimer){expires, new_timer->interval};
    spin_unlock_irqrestore(&p->siglock, flags);
    timer_start(&p->real_timer, expires);
    return 0;
}

static void posix_timer_fire(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    struct process *p = t->process;
    struct siginfo info = {.signo = t->signo, .code = SI_TIMER};
    u64 flags;
    int err;

    spin_lock_irqsave(&p->siglock, &flags);
    if (t->interval)
        t->rests = p->timers_rest = true;
    else
        t->expires = 0;
    spin_unlock_irqrestore(&p->siglock, flags);
    info.timer.id = t->id;
    info.timer.value = t->value;
    err = t->target ? signal_send_task(t->target, t->signo, &info)
                    : signal_send_process(p, t->signo, &info);
    if (!err)
        return;
    spin_lock_irqsave(&p->siglock, &flags);
    if (t->rests) /* no room in the queue: nobody will take it, so later once more */
        timer_start(&t->timer, time_ns() + QUEUE_RETRY);
    spin_unlock_irqrestore(&p->siglock, flags);
}

static void posix_timer_resume_locked(struct posix_timer *t)
{
    u64 missed;

    t->rests = false;
    t->expires = itimer_next(t->expires, t->interval, &missed);
    t->overrun = (u32)MIN(missed, (u64)INT32_MAX);
    timer_start(&t->timer, t->expires);
}

/* Real-time signals are queued one for each timer; of the others one stands for all. */
static bool posix_timer_waits_for(const struct posix_timer *t, u64 set, const struct siginfo *info)
{
    if (!t->rests || !(set & SIGMASK(t->signo)))
        return false;
    return !info || info->code != SI_TIMER || info->signo < SIGRTMIN || info->timer.id == t->id;
}

void itimer_signals_taken_locked(struct process *p, u64 set, struct siginfo *info)
{
    struct posix_timer *t;
    bool rest = false;

    if (likely(!p->timers_rest))
        return;
    if (p->real_timer_rests && (set & SIGMASK(SIGALRM)))
        itimer_resume_locked(p);
    rest = p->real_timer_rests;
    list_for_each (t, &p->posix_timers, node) {
        if (posix_timer_waits_for(t, set, info)) {
            posix_timer_resume_locked(t);
            if (info && info->code == SI_TIMER && info->timer.id == t->id)
                info->timer.overrun = (s32)t->overrun;
        }
        rest |= t->rests;
    }
    p->timers_rest = rest;
}

static struct posix_timer *posix_timer_find_locked(struct process *p, s32 id)
{
    struct posix_timer *t;

    list_for_each (t, &p->posix_timers, node) {
        if (t->id == id)
            return t;
    }
    return NULL;
}

int posix_timer_create(struct posix_timer_spec *spec, s32 *id)
{
    struct process *p = current_process();
    struct posix_timer *t = kzalloc(sizeof(*t)), *other;
    unsigned count = 0;
    u64 flags;

    if (!t)
        return -EAGAIN;
    timer_init(&t->timer, posix_timer_fire);
    t->process = p;
    t->target = spec->target;
    t->clock = spec->clock;
    t->notify = spec->notify;
    t->signo = spec->signo;
    t->value = spec->value;
    spin_lock_irqsave(&p->siglock, &flags);
    list_for_each (other, &p->posix_timers, node)
        count++;
    if (count < POSIX_TIMERS_MAX) {
        t->id = p->next_timer_id++;
        if (spec->default_value)
            t->value = (u64)t->id;
        *id = t->id;
        list_add_tail(&p->posix_timers, &t->node);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    if (count < POSIX_TIMERS_MAX)
        return 0;
    kfree(t);
    return -EAGAIN;
}

static void posix_timer_left_locked(const struct posix_timer *t, struct itimer *out)
{
    *out = (struct itimer){itimer_left(t->expires, t->interval, t->rests), t->interval};
}

/* Only current's own process changes its timers, and a timer is freed by its tasks alone: between
 * the steps the pointer stays valid unless two tasks race to delete it, which posix_timer_delete
 * orders. */
int posix_timer_set(s32 id, bool absolute, u64 value, u64 interval, struct itimer *old)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct posix_timer *t = posix_timer_find_locked(p, id);
    if (!t) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return -EINVAL;
    }
    posix_timer_left_locked(t, old);
    t->expires = t->interval = 0;
    t->rests = false;
    timer_cancel_nowait(&t->timer);
    t->overrun = 0;
    if (value) {
        u64 base = absolute ? 0 : time_ns();
        if (absolute && t->clock == CLOCK_REALTIME)
            t->expires = value > time_wall_offset() ? value - time_wall_offset() : 1;
        else if (add_overflows(base, value, &t->expires))
            t->expires = U64_MAX - 1;
        t->interval = interval ? MAX(interval, MIN_INTERVAL) : 0;
        if (t->notify == SIGEV_NONE) /* only looked at: it rests from the first on */
            t->rests = true;
        else
            timer_start(&t->timer, t->expires);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    return 0;
}

int posix_timer_get(s32 id, struct itimer *out)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct posix_timer *t = posix_timer_find_locked(p, id);
    if (t)
        posix_timer_left_locked(t, out);
    spin_unlock_irqrestore(&p->siglock, flags);
    return t ? 0 : -EINVAL;
}

int posix_timer_overrun(s32 id)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct posix_timer *t = posix_timer_find_locked(p, id);
    int n = t ? (int)t->overrun : -EINVAL;
    spin_unlock_irqrestore(&p->siglock, flags);
    return n;
}

static void posix_timer_free(struct posix_timer *t)
{
    timer_cancel(&t->timer);
    if (t->target)
        task_put(t->target);
    kfree(t);
}

int posix_timer_delete(s32 id)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct posix_timer *t = posix_timer_find_locked(p, id);
    if (t) {
        list_del(&t->node);
        t->expires = t->interval = 0;
        t->rests = false;
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    if (!t)
        return -EINVAL;
    posix_timer_free(t);
    return 0;
}

void posix_timers_drop(struct process *p)
{
    u64 flags;

    for (;;) {
        spin_lock_irqsave(&p->siglock, &flags);
        struct posix_timer *t = list_first(&p->posix_timers, struct posix_timer, node);
        if (t) {
            list_del(&t->node);
            t->expires = t->interval = 0;
            t->rests = false;
        }
        spin_unlock_irqrestore(&p->siglock, flags);
        if (!t)
            return;
        posix_timer_free(t);
    }
}
