/* SPDX-License-Identifier: MIT
 *
 * Scheduling groups: weight and quota of a control group. Each group has a part on every CPU. Its
 * quota is a pool refilled each period; a CPU draws slices from it and its threads use them up. A
 * thread that finds neither goes on until it would return to user mode, and waits there.
 *
 * An overdrawn CPU pays its debt out of the next slice, so what a group got over many periods is
 * its quota to the nanosecond.
 *
 * Lock order: rq->lock, then pool_lock, innermost. The refill timer is started under neither.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/rq_priv.h"
#include "sched/up.h"

#define PERIOD_MIN (1 * NSEC_PER_MSEC)

struct sched_group sched_group_root;
static struct group_rq group_root_rqs[MAX_CPUS], *group_root_parts[MAX_CPUS];
static u32 group_nice_weight[40]; /* nice -20..19 */
static bool group_any_quota;      /* a  some group has or had one: else no CPU looks */

/* Each step of nice is a quarter more or a fifth less. */
static void group_init_weights(void)
{
    u64 up = (u64)WEIGHT_NICE_0 << 16, down = up;

    group_nice_weight[20] = WEIGHT_NICE_0;
    for (int i = 1; i <= 20; i++) {
        up = up * 5 / 4;
        group_nice_weight[20 - i] = (u32)(up >> 16);
        down = down * 4 / 5;
        if (i < 20)
            group_nice_weight[20 + i] = (u32)(down >> 16);
    }
}

void group_init_root(void)
{
    for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
        group_rq_init(&group_root_rqs[cpu], &sched_group_root, NULL);
        group_root_parts[cpu] = &group_root_rqs[cpu];
    }
    sched_group_root.cpu = group_root_parts;
    sched_group_root.weight = WEIGHT_NICE_0;
    sched_group_root.cpus = U64_MAX;
    refcount_init(&sched_group_root.ref, 1);
    spinlock_init(&sched_group_root.pool_lock, RANK_SCHED, POOL_ORDER, "group pool");
    waitq_init(&sched_group_root.throttled);
    group_init_weights();
}

u32 group_weight_of_nice(int nice)
{
    return group_nice_weight[nice + 20];
}

bool group_quotas_used(void)
{
    return READ_ONCE(group_any_quota);
}

/* rq->lock held, g is out of quota: draws from the pool. The first draw starts the period. */
static void group_draw(struct sched_group *group, struct group_rq *g)
{
    bool start;
    u64 want;

    ASSERT_HELD(&rq_this()->lock);
    spin_lock(&group->pool_lock);
    want = MIN(group->pool, QUOTA_SLICE + (u64)-g->runtime);
    group->pool -= want;
    g->runtime += (s64)want;
    group->period_used = true;
    start = !group->timer_running;
    group->timer_running = true;
    spin_unlock(&group->pool_lock);
    if (start)
        timer_start(&group->refill, time_ns() + group->period);
}

s64 group_quota_left(struct group_rq *g)
{
    s64 least = S64_MAX;

    ASSERT_HELD(&rq_this()->lock);
    if (likely(!READ_ONCE(group_any_quota)))
        return S64_MAX;
    for (; g; g = g->se.parent) {
        if (!READ_ONCE(g->group->quota))
            continue;
        if (g->runtime <= 0)
            group_draw(g->group, g);
        least = MIN(least, g->runtime);
    }
    return least;
}

static void group_refill(struct timer *timer)
{
    struct sched_group *g = container_of(timer, struct sched_group, refill);
    u64 flags, next = 0;
    bool wake;

    spin_lock_irqsave(&g->pool_lock, &flags);
    wake = g->throttled_now;
    if (wake) {
        g->nr_throttled++;
        g->throttled_ns += time_ns() - g->throttle_start;
        g->throttled_now = false;
    }
    if (g->quota && (g->period_used || wake)) {
        g->nr_periods++;
        g->pool = g->quota;
        g->period_used = false;
        next = timer_deadline(&g->refill) + g->period;
        if (next < time_ns())
            next = time_ns() + g->period;
    } else {
        g->pool = g->quota;
        g->timer_running = false; /* idle for a period: the next throttle or use starts it again */
    }
    spin_unlock_irqrestore(&g->pool_lock, flags);
    if (next)
        timer_start(timer, next);
    if (wake)
        waitq_wake_all(&g->throttled);
}

/* The first group on the way up from t's that has no quota left: a reference, or NULL. */
static struct sched_group *group_out_of_quota(struct thread *t)
{
    struct sched_group *out = NULL;
    u64 flags = irq_save(), now = time_ns();
    struct rq *rq = rq_this();

    spin_lock(&rq->lock);
    rq_account(rq, now);
    if (group_quota_left(t->se.parent) <= 0) {
        for (struct group_rq *g = t->se.parent; g && !out; g = g->se.parent)
            if (g->group->quota && g->runtime <= 0)
                out = g->group;
    }
    if (out) {
        group_get(out);
        spin_lock(&out->pool_lock);
        /* A refill that came in between is found by the caller's next turn: it is not asleep yet.
         */
        if (!out->pool && !out->throttled_now) {
            out->throttled_now = true;
            out->throttle_start = now;
        }
        spin_unlock(&out->pool_lock);
    }
    spin_unlock(&rq->lock);
    irq_restore(flags);
    return out;
}

/* What keeps t from user mode: a reference to its own group, which is frozen, or to one that has no
 * quota left; or NULL. */
static struct sched_group *group_holding(struct thread *t)
{
    struct sched_group *g, *frozen = NULL;
    u64 flags = irq_save();
    struct rq *rq = rq_this();

    spin_lock(&rq->lock); /* t is current: it changes its group under this lock only */
    g = t->group;
    if (READ_ONCE(g->frozen)) {
        group_get(g);
        frozen = g;
    }
    spin_unlock(&rq->lock);
    irq_restore(flags);
    return frozen ? frozen : group_out_of_quota(t);
}

static bool group_holds(const struct sched_group *g, const struct thread *t)
{
    return READ_ONCE(g->throttled_now) || (READ_ONCE(g->frozen) && READ_ONCE(t->group) == g);
}

void group_throttle(struct thread *t)
{
    struct sched_group *g;

    thread_work_clear(t, WORK_THROTTLE);
    while ((g = group_holding(t))) {
        struct wait_thread w = {.queue = NULL};
        int err = 0;

        wait_begin(&w, &g->throttled, SLEEP_KILLABLE);
        if (READ_ONCE(g->frozen))
            up_thread_frozen(t); /* it counts as asleep from here on */
        if (group_holds(g, t))
            err = wait_commit(&w, 0);
        wait_end(&w);
        group_put(g);
        if (err)
            return; /* it is killed: it may run */
    }
}

void sched_group_set_frozen(struct sched_group *g, bool frozen)
{
    WRITE_ONCE(g->frozen, frozen);
    if (!frozen)
        waitq_wake_all(&g->throttled);
}

bool sched_group_frozen(const struct sched_group *g)
{
    return READ_ONCE(g->frozen);
}

void group_get(struct sched_group *g)
{
    if (g != &sched_group_root)
        refcount_get(&g->ref);
}

static void group_free(struct sched_group *g)
{
    if (g->cpu)
        for (unsigned cpu = 0; cpu < acpi_cpu_count(); cpu++)
            kfree(g->cpu[cpu]);
    kfree(g->cpu);
    kfree(g);
}

struct sched_group *sched_group_create(struct sched_group *parent)
{
    struct sched_group *g = kzalloc(sizeof(*g));

    if (!g)
        return NULL;
    g->cpu = kcalloc(MAX_CPUS, sizeof(g->cpu[0]));
    if (!g->cpu)
        goto fail;
    for (unsigned cpu = 0; cpu < MIN(acpi_cpu_count(), MAX_CPUS); cpu++) {
        g->cpu[cpu] = kzalloc(sizeof(*g->cpu[cpu]));
        if (!g->cpu[cpu])
            goto fail;
        group_rq_init(g->cpu[cpu], g, parent->cpu[cpu]);
    }
    g->parent = parent;
    g->weight = WEIGHT_NICE_0;
    g->cpus = READ_ONCE(parent->cpus);
    spinlock_init(&g->pool_lock, RANK_SCHED, POOL_ORDER, "group pool");
    timer_init(&g->refill, group_refill);
    waitq_init(&g->throttled);
    refcount_init(&g->ref, 1);
    group_get(parent);
    return g;

fail:
    group_free(g);
    return NULL;
}

void group_put(struct sched_group *g)
{
    while (g != &sched_group_root && refcount_put(&g->ref)) {
        struct sched_group *parent = g->parent;

        timer_cancel(&g->refill);
        group_free(g);
        g = parent;
    }
}

void sched_group_destroy(struct sched_group *g)
{
    group_put(g);
}

void sched_group_set_weight(struct sched_group *g, u32 weight)
{
    unsigned cpu;

    g->weight = MAX(weight * WEIGHT_NICE_0 / 100, 2U);
    if (!g->parent)
        return;
    for (cpu = 0; cpu < acpi_cpu_count(); cpu++)
        WRITE_ONCE(g->cpu[cpu]->se.weight, g->weight); /* counts from the next accounting on */
}

void sched_group_set_cpus(struct sched_group *g, u64 mask)
{
    WRITE_ONCE(g->cpus, mask);
}

void sched_group_set_quota(struct sched_group *g, u64 quota_ns, u64 period_ns)
{
    unsigned cpu;
    u64 flags;

    spin_lock_irqsave(&g->pool_lock, &flags);
    g->quota = quota_ns;
    g->period = MAX(period_ns, PERIOD_MIN);
    g->pool = quota_ns;
    g->throttled_now = false;
    spin_unlock_irqrestore(&g->pool_lock, flags);
    /* From before, when it was not looked at. */
    cpu_for_each (cpu) {
        struct rq *rq = rq_of(cpu);

        spin_lock_irqsave(&rq->lock, &flags);
        g->cpu[cpu]->runtime = 0;
        spin_unlock_irqrestore(&rq->lock, flags);
    }
    if (quota_ns)
        WRITE_ONCE(group_any_quota, true);
    waitq_wake_all(&g->throttled);
    cpu_for_each (cpu)
        sched_kick_cpu(cpu); /* to start a timer where the group runs alone */
}

void sched_group_stat(struct sched_group *g, struct sched_group_stat *out)
{
    u64 usage = 0, user = 0, flags;

    for (unsigned cpu = 0; cpu < MIN(acpi_cpu_count(), MAX_CPUS); cpu++) {
        usage += READ_ONCE(g->cpu[cpu]->usage);
        user += READ_ONCE(g->cpu[cpu]->user);
    }
    spin_lock_irqsave(&g->pool_lock, &flags);
    *out = (struct sched_group_stat){.usage_ns = usage,
                                     .user_ns = user,
                                     .system_ns = usage - MIN(user, usage),
                                     .nr_periods = g->nr_periods,
                                     .nr_throttled = g->nr_throttled,
                                     .throttled_ns = g->throttled_ns};
    spin_unlock_irqrestore(&g->pool_lock, flags);
}
