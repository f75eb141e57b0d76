/* SPDX-License-Identifier: MIT
 *
 * Process ids and their namespaces. A pid has a number in its namespace and in each ancestor; the
 * numbers of one namespace are handed out in a circle, so that a number just freed is not used
 * again at once.
 *
 * Locks: ns->lock, one namespace at a time. Look-ups run under RCU and try for a reference.
 */
#include "obj/pid.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/cred.h"

#define PID_RESERVED 300 /* after the first round numbers below it stay with early processes */

static void pid_node_free_rcu(struct rcu_head *head)
{
    kfree(container_of((void *)head, struct xa_node, reclaim));
}

static void pid_node_free(struct xa_node *node)
{
    rcu_call((struct rcu_head *)(void *)node->reclaim, pid_node_free_rcu);
}

static void pid_node_drop(struct xa_node *node)
{
    kfree(node);
}

static void *pid_node_alloc(size_t size, void *ctx)
{
    return kmalloc(size);
}

struct pid_ns pid_ns_init = {
    .ref = {REFCOUNT_SATURATED},
    .inum = 0xEFFFFFFC, /* Linux's PROC_PID_INIT_INO */
    .lock = SPINLOCK_INIT(RANK_OBJ, 30, "pid_ns"),
    .pids = {.free_node = pid_node_free},
    .user_ns = &user_ns_init,
};

/* The next free number after ns->last. 0: none. */
static u32 pid_pick_locked(struct pid_ns *ns) REQUIRES(ns->lock)
{
    u32 nr = ns->last;

    ASSERT_HELD(&ns->lock);
    if (ns->count >= PID_MAX - PID_RESERVED)
        return 0;
    do {
        nr = nr + 1 < PID_MAX ? nr + 1 : PID_RESERVED;
    } while (xa_load(&ns->pids, nr));
    return nr;
}

/* Gives pid a number in ns. 0, -EAGAIN, -ENOMEM (also: the namespace is dead), -EEXIST. */
static int pid_number(struct pid *pid, unsigned level, struct pid_ns *ns, u32 want)
{
    struct xa_pool pool = {0};
    unsigned nodes = 0; /* a failed attempt has used up what it was given */
    int err;
    u32 nr;

    do {
        nodes = MIN(nodes + 2, (unsigned)XA_POOL_MAX);
        if (xa_pool_fill(&pool, nodes, pid_node_alloc, NULL)) {
            err = -ENOMEM;
            break;
        }
        spin_lock(&ns->lock);
        nr = want ? want : pid_pick_locked(ns);
        if (ns->dying)
            err = -ENOMEM;
        else if (!nr)
            err = -EAGAIN;
        else
            err = xa_insert(&ns->pids, nr, pid, &pool);
        if (!err) {
            ns->count++;
            if (!want)
                ns->last = nr;
            pid->numbers[level].nr = nr;
            pid->numbers[level].ns = ns;
        }
        spin_unlock(&ns->lock);
    } while (err == -ENOMEM && !READ_ONCE(ns->dying) && nodes < XA_POOL_MAX);
    xa_pool_drain(&pool, pid_node_drop);
    return err;
}

/* The init of a namespace that ends is woken when its last other number is freed. */
static void pid_unnumber(struct pid *pid, unsigned level)
{
    struct pid_ns *ns = pid->numbers[level].ns;
    bool tell = false;

    spin_lock(&ns->lock);
    if (xa_load(&ns->pids, pid->numbers[level].nr) == pid) {
        xa_erase(&ns->pids, pid->numbers[level].nr);
        ns->count--;
        tell = ns->dying;
    }
    spin_unlock(&ns->lock);
    if (unlikely(tell))
        waitq_wake_all(&ns->ending);
}

static void pid_free_rcu(struct rcu_head *head)
{
    kfree(container_of(head, struct pid, rcu));
}

/* A namespace begins with its first process, which has number 1. */
static bool pid_wanted_ok(const struct pid_ns *ns, const u32 *want, unsigned n)
{
    if (n > ns->level + 1)
        return false;
    for (unsigned i = 0; i < n; i++, ns = ns->parent)
        if (want[i] < 1 || want[i] >= PID_MAX || (want[i] != 1 && !READ_ONCE(ns->reaper)))
            return false;
    return true;
}

struct pid *pid_alloc(struct pid_ns *ns, const u32 *want, unsigned n)
{
    struct pid_ns *at = ns;
    unsigned level = ns->level;
    struct pid *pid;
    int err;

    if (!pid_wanted_ok(ns, want, n))
        return ERR_PTR(-EINVAL);
    pid = kzalloc(sizeof(*pid) + (level + 1) * sizeof(pid->numbers[0]));
    if (!pid)
        return ERR_PTR(-ENOMEM);
    refcount_init(&pid->ref, 0); /* look-ups fail until all numbers are there */
    pid->level = level;
    spinlock_init(&pid->lock, RANK_OBJ, 25, "pid");
    for (unsigned i = 0; i < PID_KINDS; i++)
        list_init(&pid->tasks[i]);
    waitq_init(&pid->exit_wait);
    pid_ns_get(ns);
    for (unsigned i = 0; i <= level; i++, at = at->parent) {
        err = FAILPOINT(pid_number) ? -EAGAIN : pid_number(pid, level - i, at, i < n ? want[i] : 0);
        if (err)
            goto undo;
    }
    __atomic_store_n(&pid->ref.v, 1, __ATOMIC_RELEASE);
    return pid;

undo:
    pid_free_numbers(pid);
    pid_ns_put(ns);
    rcu_call(&pid->rcu, pid_free_rcu); /* a look-up may have seen it */
    return ERR_PTR(err);
}

void pid_free_numbers(struct pid *pid)
{
    for (unsigned i = 0; i <= pid->level; i++)
        if (pid->numbers[i].ns)
            pid_unnumber(pid, i);
}

void pid_free_numbers_dying(struct pid *pid)
{
    for (unsigned i = 0; i <= pid->level; i++)
        if (READ_ONCE(pid->numbers[i].ns->dying))
            pid_unnumber(pid, i);
}

void pid_free_numbers_unused(struct pid *pid)
{
    for (unsigned i = 0; i < PID_KINDS; i++)
        if (!list_empty(&pid->tasks[i]))
            return;
    pid_free_numbers(pid);
}

void pid_get(struct pid *pid)
{
    refcount_get(&pid->ref);
}

void pid_put(struct pid *pid)
{
    if (!refcount_put(&pid->ref))
        return;
    pid_free_numbers(pid);
    pid_ns_put(pid->numbers[pid->level].ns);
    rcu_call(&pid->rcu, pid_free_rcu);
}

struct pid *pid_find(struct pid_ns *ns, u32 nr)
{
    struct pid *pid;

    rcu_read_lock();
    pid = nr < PID_MAX ? xa_load(&ns->pids, nr) : NULL;
    if (pid && !refcount_get_unless_zero(&pid->ref))
        pid = NULL;
    rcu_read_unlock();
    return pid;
}

u32 pid_nr(const struct pid *pid, const struct pid_ns *ns)
{
    if (!pid || ns->level > pid->level || pid->numbers[ns->level].ns != ns)
        return 0;
    return pid->numbers[ns->level].nr;
}

struct pid *pid_next(struct pid_ns *ns, u32 nr)
{
    struct pid *pid;
    u64 at = nr;

    rcu_read_lock();
    while ((pid = xa_next(&ns->pids, &at)) && !refcount_get_unless_zero(&pid->ref))
        at++;
    rcu_read_unlock();
    return pid;
}

struct pid_ns *pid_ns_create(struct pid_ns *parent, struct user_ns *user_ns)
{
    struct pid_ns *ns;

    if (parent->level + 1 >= PID_NS_LEVELS)
        return ERR_PTR(-ENOSPC);
    ns = kzalloc(sizeof(*ns));
    if (!ns)
        return ERR_PTR(-ENOMEM);
    refcount_init(&ns->ref, 1);
    pid_ns_get(parent);
    user_ns_get(user_ns);
    ns->parent = parent;
    ns->user_ns = user_ns;
    ns->level = parent->level + 1;
    ns->inum = inum_alloc();
    spinlock_init(&ns->lock, RANK_OBJ, 30, "pid_ns");
    waitq_init(&ns->ending);
    xa_init(&ns->pids, pid_node_free);
    return ns;
}

void pid_ns_get(struct pid_ns *ns)
{
    refcount_get(&ns->ref);
}

void pid_ns_put(struct pid_ns *ns)
{
    while (ns && refcount_put(&ns->ref)) {
        struct pid_ns *parent = ns->parent;

        user_ns_put(ns->user_ns);
        kfree(ns);
        ns = parent;
    }
}
