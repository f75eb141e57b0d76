/* SPDX-License-Identifier: MIT
 *
 * The run queue of one CPU and the groups' parts in it. Shared by the files of sched only.
 *
 * Lock order (RANK_SCHED): wait queues (WAITQ_ORDER and below), rq->lock, timers, group->pool_lock.
 * Two run queue locks are never held at once.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "sync/spinlock.h"

#define RQ_ORDER 4
#define TIMER_ORDER 3
#define POOL_ORDER 2
#define THREADS_ORDER 1

#define WEIGHT_NICE_0 1024
#define SCHED_LATENCY (6 * NSEC_PER_MSEC)     /* every thread should run once within it */
#define SCHED_SLICE_MIN (750 * NSEC_PER_USEC) /* but not for less than this */
#define SCHED_WAKE_GRAN (1 * NSEC_PER_MSEC)   /* a waker is preempted by a thread so far behind */
#define SCHED_SAMPLE (10 * NSEC_PER_MSEC)     /* is a busy thread in user mode or in the kernel? */
#define QUOTA_SLICE (5 * NSEC_PER_MSEC)

/* A group's tree on one CPU; all under that CPU's rq->lock. */
struct group_rq {
    struct rb_root tree;       /* waiting entities by vruntime; the running one is not in it */
    struct sched_entity *curr; /* the entity that runs, or NULL */
    u64 min_vruntime;          /* never goes back */
    u32 nr;                    /* entities, curr included */
    u32 depth;                 /* 0: the root group's */
    struct sched_group *group;
    struct sched_entity se; /* this tree as an entity of its parent's; unused in the root's */
    u64 usage, user;        /* ns run here; of it in user mode */
    s64 runtime;            /* ns of quota in hand; negative: overdrawn */
};

/* p pool_lock */
struct sched_group {
    struct sched_group *parent; /* I */
    struct group_rq **cpu;      /* I  by CPU number */
    u32 weight;                 /* p  of each CPU's se */
    u64 cpus;                   /* a  where its threads may run */
    refcount_t ref;             /* a  the creator's, each thread's, each child's */
    struct spinlock pool_lock;
    u64 quota, period;  /* p  ns; quota 0: none */
    u64 pool;           /* p  ns left in this period */
    bool period_used;   /* p  something was taken since the last refill */
    bool timer_running; /* p */
    struct timer refill;
    struct waitq
        throttled; /* threads that wait for quota, or the thaw, on their way to user mode */
    bool frozen;   /* a  its threads reach user mode no more */
    u64 nr_periods, nr_throttled, throttled_ns; /* p */
    bool throttled_now;                         /* p  a CPU found the pool empty in this period */
    u64 throttle_start;                         /* p */
};

struct rq {
    struct spinlock lock;
    struct thread *curr; /* who runs */
    struct thread *idle;
    u32 nr; /* runnable threads, the running one included; not idle */
    u16 cpu;
    u64 slice_start; /* when curr was put on the CPU */
    struct group_rq *root;
    u64 user_ns;
    /* Urgent threads. */
    u32 urgent_nr;                /* on the two lists */
    struct list_node urgent;      /* wait in front; the running one is not in it */
    struct list_node urgent_fair; /* wait, or run, among the fair ones */
    s64 urgent_left;              /* ns of budget */
    u64 urgent_refill;            /* when it is whole again */
};
DECLARE_PER_CPU(struct rq, sched_rq);

static inline struct rq *rq_this(void)
{
    return this_cpu_ptr(sched_rq);
}
static inline struct rq *rq_of(unsigned cpu)
{
    return per_cpu_ptr(sched_rq, cpu);
}
static inline struct thread *rq_thread(struct sched_entity *se)
{
    return container_of(se, struct thread, se);
}
/* t's run queue, locked; interrupts off. */
struct rq *rq_lock_thread(struct thread *t);

/* rq.c */
void rq_init(struct rq *rq, unsigned cpu, struct group_rq *root);
void group_rq_init(struct group_rq *g, struct sched_group *group, struct group_rq *parent);
/* The others under rq->lock. */
static inline void cpu_clock_add(struct cpu_clock *c, u64 user, u64 system)
{
    __atomic_fetch_add(&c->user, user, __ATOMIC_RELAXED);
    __atomic_fetch_add(&c->system, system, __ATOMIC_RELAXED);
}
/* Time up to now is curr's. */
void rq_account(struct rq *rq, u64 now) REQUIRES(rq->lock);
void rq_enqueue(struct rq *rq, struct thread *t, bool fresh) REQUIRES(rq->lock);
/* t waits in the tree: takes it out. */
void rq_dequeue(struct rq *rq, struct thread *t) REQUIRES(rq->lock);
/* curr leaves the CPU: back into the trees, or (sleeps) out of the count. */
void rq_put_curr(struct rq *rq, bool sleeps) REQUIRES(rq->lock);
/* The same, and chooses the next, taken out of the trees; rq->idle when there is none. */
struct thread *rq_switch_curr(struct rq *rq, bool sleeps) REQUIRES(rq->lock);
/* t, counted nowhere, runs already: makes it curr of its path. */
void rq_adopt_curr(struct rq *rq, struct thread *t) REQUIRES(rq->lock);
bool rq_should_preempt(struct rq *rq, struct thread *t) REQUIRES(rq->lock);
/* An urgent one waits that should run instead of rq->curr. */
bool rq_urgent_wants(const struct rq *rq, u64 now) REQUIRES(rq->lock);
static inline u64 rq_slice(const struct rq *rq)
{
    if (likely(rq->nr <= 2))
        return SCHED_LATENCY / 2;
    return MAX(SCHED_LATENCY / rq->nr, SCHED_SLICE_MIN);
}
/* Some waiting thread that may run on `cpu`, or NULL: only the first are looked at. */
struct thread *rq_find_movable(struct rq *rq, unsigned cpu) REQUIRES(rq->lock);

/* group.c */
/* rq->lock held: ns that g may still run here before its quota asks again; draws from the pool. <=
 * 0: out of quota. S64_MAX: no quota on it or above it. */
s64 group_quota_left(struct group_rq *g);
void group_init_root(void);
void group_get(struct sched_group *g);
void group_put(struct sched_group *g);
u32 group_weight_of_nice(int nice);
/* Some group has or had a quota. */
bool group_quotas_used(void);
/* The tail of sched_user_work: sleeps until there is quota, or a kill. */
void group_throttle(struct thread *t);

/* policy.c: by policy and nice. */
u32 policy_weight(const struct thread *t);

/* core.c: what a thread runs first after its first switch. */
void sched_finish_switch(struct arch_thread *prev);
void sched_kick_cpu(unsigned cpu);
/* Makes t, which runs nowhere and is in no tree, runnable on a CPU that the policy chooses. */
void sched_activate(struct thread *t);
/* The same for a new thread. */
void sched_activate_new(struct thread *t);

/* cpus.c: in the reschedule interrupt. */
void cpus_answer(void);

/* timer.c */
void timer_run(u64 now);
void timer_init_cpu(unsigned cpu);
/* The scheduler wants a timer interrupt at `deadline` at the latest; an earlier one does no harm.
 */
void timer_want(u64 deadline);
void timer_reprogram(void);

/* load.c: interrupts off. */
void load_update(u64 now);
