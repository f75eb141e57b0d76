/* SPDX-License-Identifier: MIT
 *
 * The tasks of a process: joining and leaving, and walks over them, which may be many: a walk lets
 * go of siglock and yields between. A task that leaves corrects the walks that are under way. One
 * that begins where nothing may yield, as siglock is held or this is an interrupt, is a worker's.
 */
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "proc/proc_priv.h"
#include "sched/thread.h"
#include "sched/work.h"
#include "vm/aspace.h"

void process_times_add(struct process_times *sum, const struct process_times *part)
{
    sum->utime += part->utime;
    sum->stime += part->stime;
    sum->min_faults += part->min_faults;
    sum->maj_faults += part->maj_faults;
    sum->nvcsw += part->nvcsw;
    sum->nivcsw += part->nivcsw;
    sum->bytes_read += part->bytes_read;
    sum->bytes_written += part->bytes_written;
    sum->reads += part->reads;
    sum->writes += part->writes;
    sum->max_rss = MAX(sum->max_rss, part->max_rss);
}

/* All but utime and stime. */
static struct process_times process_times_of_thread(const struct thread *t)
{
    return (struct process_times){
        .nvcsw = t->nvcsw,
        .nivcsw = t->nivcsw,
        .min_faults = t->min_faults,
        .maj_faults = t->maj_faults,
        .bytes_read = t->bytes_read,
        .bytes_written = t->bytes_written,
        .reads = t->reads,
        .writes = t->writes,
    };
}

#define TASKS_AT_ONCE 32 /* bounds the time with interrupts off */

struct task_walk {
    struct list_node node;  /* siglock */
    struct list_node *next; /* siglock: the place in tasks */
    u64 seen;               /* siglock: task->nr of the last that it came to */
    /* siglock  Of a walk that adds up, else NULL: a task that ends before it is reached is added.
     */
    struct process_times *times;
};

void process_link_task_locked(struct process *p, struct task *t)
{
    ASSERT_HELD(&p->siglock);
    t->nr = ++p->tasks_made;
    if (p->clock_state)
        cpu_clock_join(&p->clock, t->thread);
    list_add_tail(&p->tasks, &t->node);
}

void process_unlink_task_locked(struct process *p, struct task *t)
{
    struct process_times last = process_times_of_thread(t->thread);
    struct task_walk *w;

    ASSERT_HELD(&p->siglock);
    if (p->clock_state)
        cpu_clock_join(&p->clock, t->thread); /* process_clock_keep may not have reached it yet */
    cpu_clock_leave(t->thread, &last.utime, &last.stime);
    process_times_add(&p->times, &last);
    list_for_each (w, &p->walks, node) {
        if (w->times && t->nr > w->seen)
            process_times_add(w->times, &last);
        if (w->next == &t->node)
            w->next = t->node.next;
    }
    list_del(&t->node);
    list_del(&t->queued);
    death_signal_drop_locked(p, t);
}

/* Some tasks from w->next on. REQUIRES(siglock) */
static int process_walk_some_locked(struct process *p, struct task_walk *w,
                                    int (*fn)(struct task *t, void *arg), void *arg)
    REQUIRES(p->siglock)
{
    int r = 0;

    ASSERT_HELD(&p->siglock);
    for (unsigned n = 0; !r && n < TASKS_AT_ONCE && w->next != &p->tasks; n++) {
        struct task *t = list_entry(w->next, struct task, node);

        w->next = t->node.next;
        w->seen = t->nr;
        r = fn(t, arg);
    }
    return r;
}

int process_for_each_task(struct process *p, int (*fn)(struct task *t, void *arg), void *arg)
{
    struct task_walk w = {.next = NULL};
    bool more;
    u64 flags;
    int r;

    do {
        spin_lock_irqsave(&p->cgroup.lock, &flags);
        spin_lock(&p->siglock);
        if (!w.next) {
            w.next = p->tasks.next;
            list_add(&p->walks, &w.node);
        }
        r = process_walk_some_locked(p, &w, fn, arg);
        more = !r && w.next != &p->tasks;
        if (!more)
            list_del(&w.node);
        spin_unlock(&p->siglock);
        spin_unlock_irqrestore(&p->cgroup.lock, flags);
        cond_yield();
    } while (more);
    return r;
}

/* s siglock · I immutable */
struct task_tell {
    struct task_walk walk;   /* s */
    struct process *process; /* I  a reference */
    struct work work;
    bool again; /* s  there is news for those that have been passed */
};

/* The work bits that it is to get now. REQUIRES(siglock) */
static int task_tell_one(struct task *t, void *arg)
{
    struct process *p = t->process;

    ASSERT_HELD(&p->siglock);
    if (t->exiting)
        return 0;
    if (unlikely(p->unclaimed))
        signal_claim_locked(p, t);
    if (p->group_exit || (p->group_exec && p->group_exec != t))
        thread_work_set(t->thread, WORK_SIGNAL | WORK_KILL);
    else if (task_is_to_stop(t))
        thread_work_set(t->thread, WORK_SIGNAL);
    return 0;
}

/* Some more, then the worker's other jobs. */
static void task_tell_run(struct work *work)
{
    struct task_tell *tell = container_of(work, struct task_tell, work);
    struct process *p = tell->process;
    bool more;
    u64 flags;

    DELAYPOINT(task_tell);
    spin_lock_irqsave(&p->siglock, &flags);
    process_walk_some_locked(p, &tell->walk, task_tell_one, NULL);
    if (tell->walk.next == &p->tasks && tell->again) {
        tell->again = false;
        tell->walk.next = p->tasks.next;
    }
    more = tell->walk.next != &p->tasks;
    if (!more) {
        list_del(&tell->walk.node);
        p->tell = NULL;
        p->unclaimed = 0; /* all tasks block them */
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    if (more) {
        (void)work_queue(workq_system, &tell->work);
        return;
    }
    kfree(tell);
    process_put(p);
}

/* The rest of w is a worker's; false: no memory for that. */
static bool task_tell_rest_locked(struct process *p, const struct task_walk *w) REQUIRES(p->siglock)
{
    struct account *former;
    struct task_tell *tell;

    ASSERT_HELD(&p->siglock);
    if (p->tell) {
        p->tell->again = true;
        return true;
    }
    former = account_swap(NULL);
    tell = kzalloc(sizeof(*tell));
    (void)account_swap(former);
    if (!tell)
        return false;
    process_get(p);
    tell->process = p;
    tell->walk.next = w->next;
    tell->walk.seen = w->seen;
    list_add(&p->walks, &tell->walk.node);
    work_init(&tell->work, task_tell_run);
    p->tell = tell;
    (void)work_queue(workq_system, &tell->work);
    return true;
}

bool process_tell_later_locked(struct process *p)
{
    struct task_walk w = {.next = p->tasks.next};

    ASSERT_HELD(&p->siglock);
    return task_tell_rest_locked(p, &w);
}

void process_tell_tasks_locked(struct process *p)
{
    struct task_walk w = {.next = p->tasks.next};
    struct task *me = current_task();

    ASSERT_HELD(&p->siglock);
    process_walk_some_locked(p, &w, task_tell_one, NULL);
    if (likely(w.next == &p->tasks))
        return;
    if (me && me->process == p) /* a system call of its own does not return before it knows */
        (void)task_tell_one(me, NULL);
    if (!task_tell_rest_locked(p, &w))
        while (w.next != &p->tasks)
            process_walk_some_locked(p, &w, task_tell_one, NULL);
}

static int process_times_visit(struct task *t, void *sum)
{
    struct process_times part = process_times_of_thread(t->thread);

    sched_thread_times(t->thread, &part.utime, &part.stime);
    process_times_add(sum, &part);
    return 0;
}

static u64 process_max_rss_locked(const struct process *p) REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    return p->aspace ? MAX(p->times.max_rss, aspace_rss_peak(p->aspace)) : p->times.max_rss;
}

u64 process_max_rss(struct process *p)
{
    u64 flags, pages;

    spin_lock_irqsave(&p->siglock, &flags);
    pages = process_max_rss_locked(p);
    spin_unlock_irqrestore(&p->siglock, flags);
    return pages;
}

/* Each thread counts once: one that has ended is in p->times at the start, one that ends before the
 * walk comes there adds itself. */
void process_times_get(struct process *p, struct process_times *out)
{
    struct task_walk w = {.next = NULL, .times = out};
    bool more;
    u64 flags;

    do {
        spin_lock_irqsave(&p->siglock, &flags);
        if (!w.next) {
            *out = p->times;
            w.next = p->tasks.next;
            list_add(&p->walks, &w.node);
        }
        process_walk_some_locked(p, &w, process_times_visit, out);
        more = w.next != &p->tasks;
        if (!more) {
            list_del(&w.node);
            out->max_rss = process_max_rss_locked(p);
        }
        spin_unlock_irqrestore(&p->siglock, flags);
        cond_yield();
    } while (more);
}

static int process_clock_visit(struct task *t, void *clock)
{
    cpu_clock_join(clock, t->thread);
    return 0;
}

/* Two may do it at once: a thread joins but once, and each walk ends when all have joined. */
void process_clock_keep(struct process *p)
{
    u64 flags;

    if (load_acquire(&p->clock_state) == CLOCK_KEPT)
        return;
    spin_lock_irqsave(&p->siglock, &flags);
    if (!p->clock_state) {
        p->clock.user = p->times.utime;
        p->clock.system = p->times.stime;
        p->clock_state = CLOCK_BEGUN;
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    (void)process_for_each_task(p, process_clock_visit, &p->clock);
    store_release(&p->clock_state, CLOCK_KEPT);
}

void process_times_cpu(struct process *p, struct process_times *out)
{
    if (load_acquire(&p->clock_state) == CLOCK_KEPT)
        cpu_clock_read(&p->clock, &out->utime, &out->stime);
    else
        process_times_get(p, out);
}
