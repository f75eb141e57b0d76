/* SPDX-License-Identifier: MIT
 *
 * Work queues. A queue is a list and a worker thread; the system queue and the urgent one have such
 * a pair per CPU. CPU 0's worker of the system queue exists from the start, and makes the others
 * when they are first wanted: until then CPU 0's list takes their work.
 *
 * Lock order: worker lock, taken under wait-queue locks, above run queues.
 */
#include "sched/work.h"

#include "arch/x86/regs.h"
#include "lib/format.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/mutex.h"
#include "sched/rq_priv.h"

#define WORKER_ORDER 6

struct worker {
    struct spinlock lock;
    struct list_node list;  /* lock  queued work */
    struct work *running;   /* lock  compared, never followed */
    struct thread *thread;  /* a  NULL: not made yet */
    struct waitq *flushers; /* woken after each job */
    u8 wanted;              /* a  work came while there was no thread */
    u8 stop;                /* a  it ends when its list is empty */
    struct completion ended;
};

struct workq {
    struct worker *cpus; /* I  per CPU, of those > 0; NULL: `one` is all there is */
    bool urgent;         /* I */
    struct worker one;   /* the only worker, or CPU 0's */
    struct waitq flushers;
};

static DEFINE_PER_CPU(struct worker, work_system_workers);
static DEFINE_PER_CPU(struct worker, work_urgent_workers);
static struct workq work_system_queue = {.cpus = &work_system_workers};
static struct workq work_urgent_queue = {.cpus = &work_urgent_workers, .urgent = true};
struct workq *workq_system = &work_system_queue, *workq_urgent = &work_urgent_queue;
static u8 work_wanting; /* a  some worker of the two is wanted */

void work_init(struct work *w, void (*run)(struct work *w))
{
    list_init(&w->node);
    w->run = run;
    w->worker = NULL;
    w->pending = 0;
}

static void work_make_wanted(void);

static bool work_must_make(const struct worker *worker)
{
    return worker == &work_system_queue.one && READ_ONCE(work_wanting);
}

/* Takes and runs one job; false when there is none. */
static bool work_run_one(struct worker *worker)
{
    struct work *w;
    u64 flags;

    spin_lock_irqsave(&worker->lock, &flags);
    w = list_first(&worker->list, struct work, node);
    if (w) {
        list_del(&w->node);
        worker->running = w;
        __atomic_store_n(&w->pending, 0, __ATOMIC_SEQ_CST);
    }
    spin_unlock_irqrestore(&worker->lock, flags);
    if (!w)
        return false;
    w->run(w); /* may free it */
    spin_lock_irqsave(&worker->lock, &flags);
    worker->running = NULL;
    spin_unlock_irqrestore(&worker->lock, flags);
    waitq_wake_all(worker->flushers);
    return true;
}

static void work_loop(void *arg)
{
    struct worker *worker = arg;
    struct thread *t = current_thread();

    for (;;) {
        bool stop = load_acquire(&worker->stop); /* before it looks for the last job */

        while (work_run_one(worker))
            cond_yield();
        if (work_must_make(worker))
            work_make_wanted();
        if (stop)
            break;
        t->sleep_kind = SLEEP_UNINTERRUPTIBLE;
        __atomic_store_n(&t->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
        if (list_empty(&worker->list) && !READ_ONCE(worker->stop) && !work_must_make(worker))
            schedule();
        WRITE_ONCE(t->state, THREAD_RUNNING);
    }
    completion_signal(&worker->ended);
}

static void worker_init(struct workq *q, struct worker *worker)
{
    spinlock_init(&worker->lock, RANK_SCHED, WORKER_ORDER, "worker");
    list_init(&worker->list);
    completion_init(&worker->ended);
    worker->flushers = &q->flushers;
}

static bool worker_start(struct worker *worker, const char *name, u64 affinity, bool urgent)
{
    struct thread *t = thread_create(name, work_loop, worker);

    if (!t)
        return false;
    if (urgent)
        thread_set_urgent(t, (unsigned)__builtin_ctzl(affinity));
    else
        t->affinity = t->allowed = affinity;
    store_release(&worker->thread, t);
    thread_start(t);
    return true;
}

static void worker_make_wanted(struct workq *q, struct worker *worker, unsigned cpu)
{
    char name[16];

    if (!__atomic_exchange_n(&worker->wanted, 0, __ATOMIC_SEQ_CST))
        return;
    if (worker->thread) { /* it was made while its list grew */
        thread_wake(worker->thread);
        return;
    }
    snprintf(name, sizeof(name), "%s/%02u", q->urgent ? "urgent" : "worker", cpu);
    if (worker != &q->one)
        worker_init(q, worker);
    if (worker_start(worker, name, 1UL << cpu, q->urgent) || worker != &q->one)
        return; /* no memory for another CPU's: another time */
    while (work_run_one(worker))
        cond_yield();
}

static void work_make_wanted(void)
{
    unsigned cpu;

    __atomic_store_n(&work_wanting, 0, __ATOMIC_SEQ_CST);
    worker_make_wanted(workq_urgent, &work_urgent_queue.one, 0);
    cpu_for_each (cpu) {
        worker_make_wanted(workq_system, per_cpu_ptr(work_system_workers, cpu), cpu);
        worker_make_wanted(workq_urgent, per_cpu_ptr(work_urgent_workers, cpu), cpu);
    }
}

/* A thread is wanted for the worker: CPU 0's of the system queue makes it. */
static void worker_want(struct worker *worker)
{
    __atomic_store_n(&worker->wanted, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&work_wanting, 1, __ATOMIC_SEQ_CST);
    thread_wake(work_system_queue.one.thread);
}

struct workq *workq_create(const char *name)
{
    struct workq *q = kzalloc(sizeof(*q));

    if (!q)
        return NULL;
    waitq_init(&q->flushers);
    worker_init(q, &q->one);
    if (!worker_start(&q->one, name, U64_MAX, false)) {
        kfree(q);
        return NULL;
    }
    return q;
}

void workq_destroy(struct workq *q)
{
    struct worker *worker;

    if (!q)
        return;
    worker = &q->one;
    ASSERT(!q->cpus && worker->thread != current_thread());
    store_release(&worker->stop, 1);
    thread_wake(worker->thread);
    completion_wait(&worker->ended);
    thread_put(worker->thread);
    kfree(q);
}

/* Interrupts off. */
static struct worker *work_choose(struct workq *q)
{
    struct worker *worker;

    ASSERT_IRQS_OFF();
    if (!q->cpus || cpu_id() == 0)
        return &q->one;
    worker = this_cpu_ptr(*q->cpus);
    if (load_acquire(&worker->thread))
        return worker;
    worker_want(worker);
    return &q->one;
}

/* Interrupts off, w pending by the caller. A worker of q that runs w at this moment has it again;
 * no other can, as w runs only where it was last queued. */
static struct worker *work_choose_for(struct workq *q, const struct work *w)
{
    struct worker *worker = work_choose(q), *last = w->worker;
    bool runs;

    if (likely(!last || last == worker || last->flushers != &q->flushers))
        return worker;
    spin_lock(&last->lock);
    runs = last->running == w;
    spin_unlock(&last->lock);
    return runs ? last : worker;
}

bool work_queue(struct workq *q, struct work *w)
{
    struct worker *worker;
    u64 flags;

    if (__atomic_exchange_n(&w->pending, 1, __ATOMIC_SEQ_CST))
        return false;
    flags = irq_save();
    worker = work_choose_for(q, w);
    w->worker = worker;
    spin_lock(&worker->lock);
    list_add_tail(&worker->list, &w->node);
    spin_unlock(&worker->lock);
    smp_mb(); /* the list, then the thread; a maker: the thread, then (running) the list */
    if (likely(load_acquire(&worker->thread)))
        thread_wake(worker->thread);
    else
        worker_want(worker);
    irq_restore(flags);
    return true;
}

static bool worker_busy_with(struct worker *worker, const struct work *w)
{
    u64 flags;
    bool busy;

    spin_lock_irqsave(&worker->lock, &flags);
    busy = worker->running == w || __atomic_load_n(&w->pending, __ATOMIC_SEQ_CST);
    spin_unlock_irqrestore(&worker->lock, flags);
    return busy;
}

static bool work_busy(struct workq *q, const struct work *w)
{
    unsigned cpu;

    if (worker_busy_with(&q->one, w))
        return true;
    if (!q->cpus)
        return false;
    cpu_for_each (cpu) {
        struct worker *worker = per_cpu_ptr(*q->cpus, cpu);

        if (cpu && load_acquire(&worker->thread) && worker_busy_with(worker, w))
            return true;
    }
    return false;
}

void work_flush(struct workq *q, struct work *w)
{
    wait_event(&q->flushers, !work_busy(q, w));
}

static void workq_start(void)
{
    waitq_init(&work_system_queue.flushers);
    waitq_init(&work_urgent_queue.flushers);
    worker_init(workq_system, &work_system_queue.one);
    worker_init(workq_urgent, &work_urgent_queue.one);
    if (!worker_start(&work_system_queue.one, "worker/0", U64_MAX, false))
        panic("no memory for the system work queue");
}
INIT_HOOK(workq_start, INIT_CORE);
