/* SPDX-License-Identifier: MIT
 *
 * The structures of processes and tasks: made with one reference and linked nowhere, and freed.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

static struct slab_cache *task_cache, *process_cache;

static void process_caches_init(void)
{
    task_cache = slab_cache_create("task", sizeof(struct task), 64);
    process_cache = slab_cache_create("process", sizeof(struct process), 64);
}
INIT_HOOK(process_caches_init, INIT_CORE);

void task_free(struct task *t)
{
    slab_free(task_cache, t);
}

void process_free(struct process *p)
{
    user_ns_put(p->exec_ns);
    slab_free(process_cache, p);
}

struct process *process_alloc(void)
{
    struct process *p = slab_zalloc(process_cache);

    if (!p)
        return NULL;
    refcount_init(&p->ref, 1);
    list_init(&p->tasks);
    list_init(&p->walks);
    list_init(&p->queued_tasks);
    list_init(&p->death_signals);
    list_init(&p->children);
    list_init(&p->sibling);
    p->actions = p->own_actions;
    list_init(&p->tgid_node);
    list_init(&p->pgid_node);
    list_init(&p->sid_node);
    list_init(&p->cgroup.node);
    waitq_init(&p->child_wait);
    waitq_init(&p->signal_wait);
    waitq_init(&p->stop_wait);
    p->stop_round = 1;
    sigpending_init(&p->pending);
    /* Over copies of its arguments: only calls that change or inspect this process wait. */
    mutex_init(&p->cred_guard, RANK_OPS, ORDER_EXEC | LOCK_OVER_COPY, "cred_guard");
    spinlock_init(&p->siglock, RANK_PROC, 2, "siglock");
    p->start_time = time_ns();
    p->dumpable = true;
    p->login_uid = p->login_session = ~0U;
    p->exec_ns = &user_ns_init;
    user_ns_get(p->exec_ns);
    return p;
}

struct task *task_alloc(void)
{
    struct task *t = slab_zalloc(task_cache);

    if (!t)
        return NULL;
    refcount_init(&t->ref, 1);
    list_init(&t->node);
    list_init(&t->pid_node);
    list_init(&t->queued);
    list_init(&t->death_node);
    list_init(&t->death_ring);
    sigpending_init(&t->pending);
    t->altstack.flags = SS_DISABLE;
    t->start_time = time_ns();
    t->default_slack = THREAD_TIMER_SLACK;
    return t;
}
