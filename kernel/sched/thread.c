/* SPDX-License-Identifier: MIT
 *
 * Making and ending threads. A thread that can run holds a reference to itself, dropped by the
 * thread that runs next on its last CPU; the structure, stack and FPU area go with the last
 * reference.
 *
 * Kernel stacks are virtually mapped with guard pages; each CPU keeps a few mapped, because mapping
 * one costs more than all the rest of a thread.
 */
#include "sched/thread.h"

#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "debug/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "mm/up.h"
#include "sched/rq_priv.h"
#include "sched/work.h"

#define STACK_SIZE (4 * PAGE_SIZE)
#define STACKS_KEPT 4

/* c this CPU, interrupts off: ASSERT_IRQS_OFF */
struct thread_stacks {
    u32 n;                    /* c */
    void *stack[STACKS_KEPT]; /* c */
};
static DEFINE_PER_CPU(struct thread_stacks, thread_stacks);
static struct slab_cache *thread_cache __ro_after_init, *thread_fpu_cache __ro_after_init;
static struct spinlock threads_lock = SPINLOCK_INIT(RANK_SCHED, THREADS_ORDER, "all threads");
static LIST_HEAD(threads_all); /* threads_lock */
static u64 threads_count;      /* threads_lock */

static void *thread_stack_alloc(void)
{
    u64 flags = irq_save();
    struct thread_stacks *kept = this_cpu_ptr(thread_stacks);
    void *stack = kept->n ? kept->stack[--kept->n] : NULL;

    irq_restore(flags);
    if (stack)
        return stack;
    stack = vmap_alloc(STACK_SIZE);
    if (stack)
        mem_count_stacks(STACK_SIZE / PAGE_SIZE);
    return stack;
}

static void thread_stack_free(void *stack)
{
    u64 flags = irq_save();
    struct thread_stacks *kept = this_cpu_ptr(thread_stacks);

    if (kept->n < STACKS_KEPT) {
        kept->stack[kept->n++] = stack;
        stack = NULL;
    }
    irq_restore(flags);
    if (stack) {
        mem_count_stacks(-(s64)(STACK_SIZE / PAGE_SIZE));
        vmap_free(stack);
    }
}

/* Some, then the worker's other jobs. */
static void thread_purge_run(struct work *w)
{
    if (vmap_purge_some())
        (void)work_queue(workq_system, w);
}

static struct work thread_purge_work;
static u8 thread_purge_ready; /* a */

void up_vmap_gathered(void)
{
    if (load_acquire(&thread_purge_ready)) /* before that, later ones see to it */
        (void)work_queue(workq_system, &thread_purge_work);
}

static void thread_purge_init(void)
{
    work_init(&thread_purge_work, thread_purge_run);
    store_release(&thread_purge_ready, 1);
}
INIT_HOOK(thread_purge_init, INIT_LATE);

void reserves_begin(void)
{
    current_thread()->takes_reserves++;
}

void reserves_end(void)
{
    DEBUG_ASSERT(current_thread()->takes_reserves);
    current_thread()->takes_reserves--;
}

bool up_takes_reserves(void)
{
    struct thread *t = current_thread();

    return t && t->takes_reserves;
}

void up_shrink_cpu(void)
{
    struct thread_stacks *kept = this_cpu_ptr(thread_stacks);

    ASSERT_IRQS_OFF();
    while (kept->n) {
        mem_count_stacks(-(s64)(STACK_SIZE / PAGE_SIZE));
        vmap_free(kept->stack[--kept->n]);
    }
}

void *thread_stack_top(const struct thread *t)
{
    return (u8 *)t->stack + STACK_SIZE;
}

static void *thread_fpu_alloc(void)
{
    void *area = thread_fpu_cache ? slab_alloc(thread_fpu_cache) : kmalloc(fpu_size());

    if (area)
        fpu_init_state(area);
    return area;
}

static void thread_fpu_free(void *area)
{
    if (!area)
        return;
    if (thread_fpu_cache)
        slab_free(thread_fpu_cache, area);
    else
        kfree(area);
}

/* The maker's group, with a reference: a move of the maker meanwhile releases the old group at
 * once. */
static struct sched_group *thread_group_of_maker(void)
{
    u64 flags = irq_save();
    struct rq *rq = rq_this();
    struct sched_group *g;

    spin_lock(&rq->lock); /* the maker runs: its group changes under this lock only */
    g = rq->curr->group;
    DELAYPOINT(thread_group);
    group_get(g);
    spin_unlock(&rq->lock);
    irq_restore(flags);
    return g;
}

/* Inherits the maker's scheduling parameters, but a kernel thread's none. */
static void thread_setup(struct thread *t, const char *name, bool user)
{
    const struct thread *maker = current_thread();
    u64 flags;

    strlcpy(t->name, name, sizeof(t->name));
    refcount_init(&t->ref, 1);
    t->state = THREAD_SLEEPING;
    t->sleep_kind = SLEEP_UNINTERRUPTIBLE;
    t->cpu = (u16)cpu_id();
    t->affinity = t->allowed = U64_MAX;
    t->group = &sched_group_root;
    t->se.weight = WEIGHT_NICE_0;
    if (user && maker->task) {
        t->affinity = maker->affinity;
        t->allowed = maker->allowed;
        t->group = thread_group_of_maker();
        t->nice = maker->nice;
        t->policy = maker->policy;
        t->se.weight = maker->se.weight;
        if (maker->reset_on_fork && t->nice < 0) {
            t->nice = 0;
            t->se.weight = policy_weight(t);
        }
    }
    t->se.parent = t->group->cpu[t->cpu];
    t->user_mode = user;
    spin_lock_irqsave(&threads_lock, &flags);
    list_add_tail(&threads_all, &t->all);
    threads_count++;
    spin_unlock_irqrestore(&threads_lock, flags);
}

static void thread_free(struct thread *t)
{
    thread_fpu_free(t->arch.xsave);
    if (t->stack)
        thread_stack_free(t->stack);
    if (t->stack_payer)
        account_uncharge_kernel(t->stack_payer, STACK_SIZE / PAGE_SIZE);
    slab_free(thread_cache, t);
}

static struct thread *thread_alloc(void)
{
    struct thread *t = slab_zalloc(thread_cache);
    struct account *payer = account_current();

    if (!t)
        return NULL;
    if (account_charge_kernel(payer, STACK_SIZE / PAGE_SIZE)) {
        thread_free(t);
        return NULL;
    }
    t->stack_payer = payer;
    t->stack = thread_stack_alloc();
    if (t->stack)
        return t;
    thread_free(t);
    return NULL;
}

/* A kernel thread serves all: it is uncharged. */
static struct thread *thread_alloc_kernel(void)
{
    struct account *payer = account_swap(NULL);
    struct thread *t = thread_alloc();

    (void)account_swap(payer);
    return t;
}

struct thread_start {
    void (*fn)(void *arg);
    void *arg;
};

static void thread_first(struct arch_thread *prev, void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;

    sched_finish_switch(prev);
    irq_enable();
    start.fn(start.arg);
    thread_exit();
}

struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg)
{
    struct thread *t = thread_alloc_kernel();
    struct thread_start *start;

    if (!t)
        return NULL;
    /* What the first frame needs lies at the bottom of its own stack, read before it can grow
     * there. */
    start = t->stack;
    *start = (struct thread_start){fn, arg};
    arch_thread_init_kernel(&t->arch, thread_stack_top(t), thread_first, start);
    thread_setup(t, name, false);
    return t;
}

static void thread_first_user(struct arch_thread *prev, void *arg)
{
    sched_finish_switch(prev);
}

struct thread *thread_create_user(const char *name, const struct trap_frame *frame)
{
    struct thread *t = thread_alloc();

    if (!t)
        return NULL;
    t->arch.xsave = thread_fpu_alloc();
    if (!t->arch.xsave) {
        thread_free(t);
        return NULL;
    }
    arch_thread_init_user(&t->arch, thread_stack_top(t), frame, thread_first_user);
    thread_setup(t, name, true);
    t->timer_slack = THREAD_TIMER_SLACK;
    return t;
}

void thread_start(struct thread *t)
{
    DEBUG_ASSERT(t->state == THREAD_SLEEPING);
    refcount_get(&t->ref); /* its own */
    sched_activate_new(t);
}

void thread_exit(void)
{
    struct thread *t = current_thread();

    lockdep_nothing_held("a thread ends");
    WRITE_ONCE(t->state, THREAD_DEAD);
    schedule();
    panic("a dead thread runs");
}

void thread_put(struct thread *t)
{
    u64 flags;

    if (likely(!refcount_put(&t->ref)))
        return;
    spin_lock_irqsave(&threads_lock, &flags);
    list_del(&t->all);
    threads_count--;
    spin_unlock_irqrestore(&threads_lock, flags);
    group_put(t->group);
    thread_free(t);
}

/* t's queue, locked, with what t has run up to now. */
static struct rq *rq_lock_accounted(struct thread *t) NO_THREAD_SAFETY /* returns it locked */
{
    struct rq *rq = rq_lock_thread(t);

    if (rq->curr == t)
        rq_account(rq, time_ns());
    return rq;
}

void sched_thread_times(struct thread *t, u64 *user, u64 *system)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_accounted(t);

    ASSERT_HELD(&rq->lock);
    *user = t->utime;
    *system = t->stime;
    spin_unlock(&rq->lock);
    irq_restore(flags);
}

void cpu_clock_join(struct cpu_clock *c, struct thread *t)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_accounted(t);

    ASSERT_HELD(&rq->lock);
    if (t->clock != c) {
        cpu_clock_add(c, t->utime, t->stime);
        t->clock = c;
    }
    spin_unlock(&rq->lock);
    irq_restore(flags);
}

void cpu_clock_leave(struct thread *t, u64 *user, u64 *system)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_accounted(t);

    ASSERT_HELD(&rq->lock);
    t->clock = NULL;
    *user = t->utime;
    *system = t->stime;
    spin_unlock(&rq->lock);
    irq_restore(flags);
}

void cpu_clock_read(struct cpu_clock *c, u64 *user, u64 *system)
{
    unsigned cpu;
    u64 flags;

    cpu_for_each (cpu) {
        struct rq *rq = rq_of(cpu);

        if (READ_ONCE(rq->curr) == rq->idle)
            continue;
        spin_lock_irqsave(&rq->lock, &flags);
        if (rq->curr->clock == c)
            rq_account(rq, time_ns());
        spin_unlock_irqrestore(&rq->lock, flags);
    }
    *user = __atomic_load_n(&c->user, __ATOMIC_RELAXED);
    *system = __atomic_load_n(&c->system, __ATOMIC_RELAXED);
}

u64 sched_nr_threads(void)
{
    return READ_ONCE(threads_count);
}

const char *up_thread_name(void)
{
    const struct thread *t = current_thread();

    return t ? t->name : "";
}

static int thread_cmd(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    static const char states[] = "WRSD";
    struct thread *t;

    emit("%-16s %-18s st cpu nice   run ms  switches\n", "name", "thread");
    list_for_each (t, &threads_all, all)
        emit("%-16s %p  %c %3u %4d %8lu %9lu\n", t->name, (void *)t, states[t->state & 3], t->cpu,
             t->nice, t->sum_exec / NSEC_PER_MSEC, t->nvcsw + t->nivcsw);
    return 0;
}
CONSOLE_CMD(threads)
= {"threads", "all threads", thread_cmd, true};

static void sched_start(void)
{
    u32 fpu = fpu_size();

    thread_cache = slab_cache_create("thread", sizeof(struct thread), 64);
    if (fpu <= PAGE_SIZE)
        thread_fpu_cache = slab_cache_create("thread_fpu", fpu, 64);
    group_init_root();
    sched_init_cpu(0);
}
INIT_HOOK(sched_start, INIT_SCHED);
