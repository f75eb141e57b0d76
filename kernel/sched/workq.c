/* SPDX-License-Identifier: MIT
 *
 * Work queues. A queue is a list and a worker thread; the system queue has one such pair per CPU:
 * CPU 0's exists from the start, and makes the others when they are first wanted.
 *
 * Lock order: worker lock, taken under wait-queue locks, above run queues.
 */
#include "sched/work.h"

#include "arch/x86/regs.h"
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
    u8 wanted;              /* a  system queue: work came for a CPU without a worker */
    u8 stop;                /* a  it ends when its list is empty */
    struct completion ended;
};

struct workq {
    bool per_cpu;
    struct worker one; /* the only worker, or CPU 0's */
    struct waitq flushers;
};

static struct workq work_system_queue = {.per_cpu = true};
static DEFINE_PER_CPU(struct worker, work_cpu_workers); /* CPUs > 0 */
struct workq *workq_system = &work_system_queue;

void work_init(struct work *w, void (*run)(struct work *w))
{
    list_init(&w->node);
    w->run = run;
    w->worker = NULL;
    w->pending = 0;
}

static void work_make_wanted(void);

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
        if (worker == &work_system_queue.one)
            work_make_wanted();
        if (stop)
            break;
        t->sleep_kind = SLEEP_UNINTERRUPTIBLE;
        __atomic_store_n(&t->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
        if (list_empty(&worker->list) && !READ_ONCE(worker->stop))
            schedule();
        WRITE_ONCE(t->state, THREAD_RUNNING);
    }
    completion_signal(&worker->ended);
}

static bool worker_make(struct workq *q, struct worker *worker, const char *name, u64 affinity)
{
    struct thread *t;

    spinlock_init(&worker->lock, RANK_SCHED, WORKER_ORDER, "worker");
    list_init(&worker->list);
    completion_init(&worker->ended);
    worker->flushers = &q->flushers;
    t = thread_create(name, work_loop, worker);
    if (!t)
        return false;
    t->affinity = t->allowed = affinity;
    store_release(&worker->thread, t);
    thread_start(t);
    return true;
}

static void work_make_wanted(void)
{
    unsigned cpu;

    cpu_for_each (cpu) {
        struct worker *worker = per_cpu_ptr(work_cpu_workers, cpu);
        char name[16] = "worker/";

        if (!READ_ONCE(worker->wanted) || worker->thread)
            continue;
        name[7] = (char)('0' + cpu / 10);
        name[8] = (char)('0' + cpu % 10);
        if (!worker_make(workq_system, worker, name, 1UL << cpu))
            WRITE_ONCE(worker->wanted, 0); /* no memory: another time */
    }
}

struct workq *workq_create(const char *name)
{
    struct workq *q = kzalloc(sizeof(*q));

    if (!q)
        return NULL;
    waitq_init(&q->flushers);
    if (!worker_make(q, &q->one, name, U64_MAX)) {
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
    ASSERT(!q->per_cpu && worker->thread != current_thread());
    store_release(&worker->stop, 1);
    thread_wake(worker->thread);
    completion_wait(&worker->ended);
    thread_put(worker->thread);
    kfree(q);
}

/* Interrupts off. */
static struct worker *work_choose(struct workq *q)
{
    struct worker *worker = this_cpu_ptr(work_cpu_workers);

    ASSERT_IRQS_OFF();
    if (!q->per_cpu || cpu_id() == 0)
        return &q->one;
    if (load_acquire(&worker->thread))
        return worker;
    WRITE_ONCE(worker->wanted, 1);
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
    thread_wake(worker->thread);
    irq_restore(flags);
    return true;
}

static bool worker_busy_with(struct worker *worker, const struct work *w)
{
    u64 flags;
    bool busy;

    if (!load_acquire(&worker->thread))
        return false;
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
    cpu_for_each (cpu)
        if (q->per_cpu && cpu && worker_busy_with(per_cpu_ptr(work_cpu_workers, cpu), w))
            return true;
    return false;
}

void work_flush(struct workq *q, struct work *w)
{
    wait_event(&q->flushers, !work_busy(q, w));
}

static void workq_start(void)
{
    waitq_init(&work_system_queue.flushers);
    if (!worker_make(workq_system, &work_system_queue.one, "worker/0", U64_MAX))
        panic("no memory for the system work queue");
}
INIT_HOOK(workq_start, INIT_CORE);
