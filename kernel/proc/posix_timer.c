/* SPDX-License-Identifier: MIT
 *
 * POSIX timers. One rests from its signal's sending until that is taken (itimer.c). Many may wait
 * for one signal: its taking lists them, and sets the first few going again; a timer of the
 * process's does the others, as few at a time. One in that list counts as resting still; whatever
 * asks for it sets it going first. One of CPU time is only marked: the next look at it does that. A
 * timer that notifies in no way (SIGEV_NONE) is never armed: it is only looked at. One of CPU time
 * is looked at by the process's tasks after each tick.
 *
 * Lock order: siglock guards the list and each timer's figures; the timers' own locks are inside.
 */
#include "lib/errno.h"
#include "mm/slab.h"
#include "proc/itimer.h"
#include "proc/proc_priv.h"

#define POSIX_TIMERS_MAX 1024
#define QUEUE_RETRY 10000000ULL
#define RESUME_AT_ONCE 16
#define LOOKS_AT_ONCE 64

/* I immutable · s siglock */
struct posix_timer {
    struct list_node node;        /* s */
    struct process *process;      /* I */
    struct posix_timer_spec spec; /* I */
    s32 id;                       /* I */
    struct timer timer;           /*    clocks of CPU time use none */
    u64 expires, interval;        /* s  ns of its clock (time_ns() for WALL, too) */
    u32 overrun;                  /* s */
    bool rests;                   /* s  it has fired, the next period is not armed */
    struct list_node taken;       /* s  of process->timers_taken: it rests, its signal was taken */
    bool behind;                  /* s  CPU time: it runs, but `expires` is of the last period */
};

static bool posix_timer_is_cpu(const struct posix_timer *t)
{
    return t->spec.clock >= POSIX_CLOCK_CPU;
}

/* A clock of CPU time now; *all: what the process has had. */
static u64 posix_timer_cpu(const struct posix_timer *t, const struct process_times *all)
{
    u64 user = all->utime, system = all->stime;

    if (t->spec.counts)
        sched_thread_times(t->spec.counts->thread, &user, &system);
    return user + (t->spec.clock == POSIX_CLOCK_CPU ? system : 0);
}

/* What the process has had, asked for once for all the timers that one hold of siglock looks at: it
 * is a look at each CPU. */
struct cpu_seen {
    bool asked;
    struct process_times all;
};

/* The timer's clock now. REQUIRES(siglock) */
static u64 posix_timer_now_locked(const struct posix_timer *t, struct cpu_seen *seen)
    REQUIRES(t->process->siglock)
{
    ASSERT_HELD(&t->process->siglock);
    if (!posix_timer_is_cpu(t))
        return time_ns();
    if (!seen->asked && !t->spec.counts)
        cpu_clock_read(&t->process->clock, &seen->all.utime, &seen->all.stime);
    seen->asked |= !t->spec.counts;
    return posix_timer_cpu(t, &seen->all);
}

/* REQUIRES(siglock) */
static void posix_timer_arm_locked(struct posix_timer *t) REQUIRES(t->process->siglock)
{
    ASSERT_HELD(&t->process->siglock);
    t->rests = false;
    if (t->spec.notify == SIGEV_NONE)
        return;
    if (posix_timer_is_cpu(t))
        itimer_watch_cpu_locked(t->process);
    else
        timer_start(&t->timer, t->expires);
}

static void posix_timer_stop_locked(struct posix_timer *t) REQUIRES(t->process->siglock)
{
    ASSERT_HELD(&t->process->siglock);
    t->expires = t->interval = 0;
    t->rests = t->behind = false;
    t->overrun = 0;
    list_del(&t->taken);
}

/* It has come due: sends the signal. False: the queue has no space for it, so it is due still.
 * REQUIRES(siglock) */
static bool posix_timer_expire_locked(struct posix_timer *t) REQUIRES(t->process->siglock)
{
    struct siginfo info = {.signo = t->spec.signo, .code = SI_TIMER};

    ASSERT_HELD(&t->process->siglock);
    info.timer.id = t->id;
    info.timer.value = t->spec.value;
    if (signal_post_locked(t->process, t->spec.target, t->spec.signo, &info))
        return false;
    if (t->interval)
        t->rests = t->process->timers_rest = true;
    else
        t->expires = 0;
    return true;
}

static void posix_timer_fire(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    struct process *p = t->process;
    struct account *former;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
    former = itimer_account_locked(p);
    /* Set anew while this callback was on its way: not yet due. */
    if (t->expires && time_ns() >= t->expires && !posix_timer_expire_locked(t))
        timer_start(&t->timer, time_ns() + QUEUE_RETRY);
    (void)account_swap(former);
    spin_unlock_irqrestore(&p->siglock, flags);
}

/* The next period begins. now: of its clock. */
static void posix_timer_go_on_locked(struct posix_timer *t, u64 now) REQUIRES(t->process->siglock)
{
    u64 missed;

    ASSERT_HELD(&t->process->siglock);
    t->expires = itimer_next(now, t->expires, t->interval, &missed);
    t->overrun = (u32)MIN(missed, (u64)INT32_MAX);
    t->rests = t->behind = false;
}

static bool posix_timer_runs_cpu(const struct posix_timer *t)
{
    return posix_timer_is_cpu(t) && t->expires && !t->rests && t->spec.notify != SIGEV_NONE;
}

bool posix_timers_count_cpu_locked(const struct process *p)
{
    struct posix_timer *t;

    ASSERT_HELD(&p->siglock);
    list_for_each (t, &p->posix_timers, node) {
        if (posix_timer_runs_cpu(t))
            return true;
    }
    return false;
}

/* True: it was due, and a signal's sending was tried. That may walk over the threads, for one that
 * takes the signal; where there was no space for it, the next tick tries again. */
static bool posix_timer_check_cpu_locked(struct posix_timer *t, const struct process_times *all)
    REQUIRES(t->process->siglock)
{
    u64 now;

    ASSERT_HELD(&t->process->siglock);
    if (!posix_timer_runs_cpu(t) || (now = posix_timer_cpu(t, all)) < t->expires)
        return false;
    if (t->behind) {
        posix_timer_go_on_locked(t, now);
        return false;
    }
    (void)posix_timer_expire_locked(t);
    return true;
}

/* Looks at some of them, first those that were not looked at for longest: each goes to the end of
 * the list. How many that were. */
static unsigned posix_timers_check_some(struct process *p, const struct process_times *all)
{
    struct posix_timer *t;
    unsigned looks = 0;
    bool sent = false;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    while (!sent && looks < MIN(p->nr_posix_timers, (unsigned)LOOKS_AT_ONCE)) {
        looks++;
        t = list_first(&p->posix_timers, struct posix_timer, node);
        list_del(&t->node);
        list_add_tail(&p->posix_timers, &t->node);
        ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
        sent = posix_timer_check_cpu_locked(t, all);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    return looks;
}

/* Each once: where other tasks look meanwhile, those that one of them passes over have been looked
 * at by another. */
void posix_timers_check_cpu(struct process *p, const struct process_times *all)
{
    unsigned n = READ_ONCE(p->nr_posix_timers), looks;

    for (unsigned done = 0; done < n; done += looks) {
        looks = posix_timers_check_some(p, all);
        if (!looks)
            return;
        cond_yield();
    }
}

static void posix_timer_resume_locked(struct posix_timer *t, struct cpu_seen *seen)
    REQUIRES(t->process->siglock)
{
    ASSERT_HELD(&t->process->siglock);
    list_del(&t->taken);
    posix_timer_go_on_locked(t, posix_timer_now_locked(t, seen));
    if (posix_timer_is_cpu(t))
        itimer_watch_cpu_locked(t->process);
    else
        timer_start(&t->timer, t->expires);
}

/* Some of those whose signals have been taken; the rest soon after. */
static void posix_timers_resume_some_locked(struct process *p) REQUIRES(p->siglock)
{
    struct cpu_seen seen = {.asked = false};
    struct posix_timer *t;
    unsigned n = 0;

    ASSERT_HELD(&p->siglock);
    while (n++ < RESUME_AT_ONCE && (t = list_first(&p->timers_taken, struct posix_timer, taken))) {
        ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
        posix_timer_resume_locked(t, &seen);
    }
    if (!list_empty(&p->timers_taken))
        timer_start(&p->timers_resume, time_ns());
}

void posix_timers_resume_fire(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, timers_resume);
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    posix_timers_resume_some_locked(p);
    spin_unlock_irqrestore(&p->siglock, flags);
}

/* Real-time signals are queued one for each timer; of the others one stands for all. */
static bool posix_timer_waits_for(const struct posix_timer *t, u64 set, const struct siginfo *info)
{
    if (t->spec.notify == SIGEV_NONE || !(set & SIGMASK(t->spec.signo)))
        return false;
    return !info || info->code != SI_TIMER || info->signo < SIGRTMIN || info->timer.id == t->id;
}

/* The one whose signal it is hears of its overrun at once. */
static void posix_timer_taken_locked(struct posix_timer *t, struct siginfo *info)
    REQUIRES(t->process->siglock)
{
    struct cpu_seen seen = {.asked = false};

    ASSERT_HELD(&t->process->siglock);
    if (info && info->code == SI_TIMER && info->timer.id == t->id) {
        posix_timer_resume_locked(t, &seen);
        info->timer.overrun = (s32)t->overrun;
    } else if (posix_timer_is_cpu(t)) {
        t->rests = false;
        t->behind = true;
    } else {
        list_add_tail(&t->process->timers_taken, &t->taken);
    }
}

void itimer_end_rests_locked(struct process *p, u64 set, struct siginfo *info)
{
    struct posix_timer *t;
    bool rest, cpu = false;

    ASSERT_HELD(&p->siglock);
    if (p->real_timer_rests && (set & SIGMASK(SIGALRM)))
        itimer_resume_locked(p);
    rest = p->real_timer_rests;
    list_for_each (t, &p->posix_timers, node) {
        if (!t->rests || !list_empty(&t->taken))
            continue;
        ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
        if (posix_timer_waits_for(t, set, info))
            posix_timer_taken_locked(t, info);
        else
            rest = true;
        cpu |= t->behind;
    }
    p->timers_rest = rest;
    if (cpu)
        itimer_watch_cpu_locked(p);
    posix_timers_resume_some_locked(p);
}

/* Set going first, if its signal has been taken. */
static struct posix_timer *posix_timer_find_locked(struct process *p, s32 id) REQUIRES(p->siglock)
{
    struct cpu_seen seen = {.asked = false};
    struct posix_timer *t;

    ASSERT_HELD(&p->siglock);
    list_for_each (t, &p->posix_timers, node) {
        if (t->id != id)
            continue;
        ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
        if (!list_empty(&t->taken) || t->behind)
            posix_timer_resume_locked(t, &seen);
        return t;
    }
    return NULL;
}

/* The next number that no timer has. */
static s32 posix_timer_number_locked(struct process *p) REQUIRES(p->siglock)
{
    s32 id;

    ASSERT_HELD(&p->siglock);
    do {
        id = p->next_timer_id;
        p->next_timer_id = id == INT32_MAX ? 0 : id + 1;
    } while (unlikely(posix_timer_find_locked(p, id)));
    return id;
}

int posix_timer_create(struct posix_timer_spec *spec, s32 *id)
{
    struct process *p = current_process();
    struct posix_timer *t = kzalloc(sizeof(*t));
    u64 flags;

    if (!t)
        return -EAGAIN;
    if (spec->clock >= POSIX_CLOCK_CPU)
        process_clock_keep(p);
    timer_init_bulk(&t->timer, posix_timer_fire);
    t->process = p;
    t->spec = *spec;
    list_init(&t->taken);
    spin_lock_irqsave(&p->siglock, &flags);
    bool space = p->nr_posix_timers < MIN(p->rlimits[RLIMIT_SIGPENDING].cur, (u64)POSIX_TIMERS_MAX);
    if (space) {
        *id = t->id = posix_timer_number_locked(p);
        if (spec->default_value)
            t->spec.value = (u64)t->id;
        list_add_tail(&p->posix_timers, &t->node);
        p->nr_posix_timers++;
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    if (space)
        return 0;
    kfree(t);
    return -EAGAIN;
}

static void posix_timer_left_locked(const struct posix_timer *t, struct itimer *out)
    REQUIRES(t->process->siglock)
{
    bool rests = t->rests || t->spec.notify == SIGEV_NONE;
    struct cpu_seen seen = {.asked = false};
    u64 now = t->expires ? posix_timer_now_locked(t, &seen) : 0;

    ASSERT_HELD(&t->process->siglock);
    *out = (struct itimer){itimer_left(now, t->expires, t->interval, rests), t->interval};
}

/* When a timer set to `value` expires, on the clock that `expires` is in. */
static u64 posix_timer_deadline_locked(const struct posix_timer *t, bool absolute, u64 value)
    REQUIRES(t->process->siglock)
{
    s64 shift = t->spec.clock == POSIX_CLOCK_WALL ? (s64)time_wall_offset() : t->spec.shift;
    struct cpu_seen seen = {.asked = false};
    u64 at;

    ASSERT_HELD(&t->process->siglock);
    if (absolute) {
        s64 left = (s64)MIN(value, (u64)INT64_MAX) - shift;
        return left > 0 ? (u64)left : 1;
    }
    return add_overflows(posix_timer_now_locked(t, &seen), value, &at) ? U64_MAX - 1 : at;
}

/* Only current's own process changes its timers, and each under siglock; posix_timer_free waits for
 * a callback that runs. */
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
    ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
    posix_timer_left_locked(t, old);
    posix_timer_stop_locked(t);
    timer_cancel_nowait(&t->timer);
    if (value) {
        t->expires = posix_timer_deadline_locked(t, absolute, value);
        t->interval = interval ? MAX(interval, ITIMER_MIN_INTERVAL) : 0;
        posix_timer_arm_locked(t);
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
    if (t) {
        ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
        posix_timer_left_locked(t, out);
    }
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

/* Takes t, which may be NULL, off the list: from here on only the caller knows it. */
static void posix_timer_unlink_locked(struct posix_timer *t)
{
    if (!t)
        return;
    ASSERT_HELD(&t->process->siglock);
    list_del(&t->node);
    t->process->nr_posix_timers--;
    posix_timer_stop_locked(t);
}

static void posix_timer_free(struct posix_timer *t)
{
    timer_cancel(&t->timer);
    if (t->spec.target)
        task_put(t->spec.target);
    if (t->spec.counts)
        task_put(t->spec.counts);
    kfree(t);
}

int posix_timer_delete(s32 id)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct posix_timer *t = posix_timer_find_locked(p, id);
    posix_timer_unlink_locked(t);
    spin_unlock_irqrestore(&p->siglock, flags);
    if (!t)
        return -EINVAL;
    posix_timer_free(t);
    return 0;
}

void posix_timers_drop(struct process *p)
{
    struct posix_timer *t;
    u64 flags;

    do {
        spin_lock_irqsave(&p->siglock, &flags);
        t = list_first(&p->posix_timers, struct posix_timer, node);
        posix_timer_unlink_locked(t);
        spin_unlock_irqrestore(&p->siglock, flags);
        if (t)
            posix_timer_free(t);
        cond_yield();
    } while (t);
    timer_cancel(&p->timers_resume);
}
