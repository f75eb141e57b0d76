/* SPDX-License-Identifier: MIT
 *
 * The list of names, and the worker that notifies devfs. A name that goes before devfs has seen it
 * is told as gone only.
 */
#include "dev/node.h"

#include "dev/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/work.h"
#include "sync/spinlock.h"

static void dev_node_tell(struct work *w);

static struct spinlock dev_node_lock = SPINLOCK_INIT(RANK_DEV, 13, "device nodes");
static LIST_HEAD(dev_nodes);        /* dev_node_lock */
static LIST_HEAD(dev_node_changes); /* dev_node_lock */
static struct work dev_node_work;

static void dev_node_init(void)
{
    work_init(&dev_node_work, dev_node_tell);
}
INIT_HOOK(dev_node_init, INIT_CORE);

struct dev_node *dev_node_add(const struct dev_node *what)
{
    struct dev_node *n = kmalloc(sizeof(*n));
    static u64 order;
    u64 flags;

    if (!n)
        return NULL;
    *n = *what;
    n->gone = false;
    spin_lock_irqsave(&dev_node_lock, &flags);
    n->order = ++order;
    list_add_tail(&dev_nodes, &n->node);
    list_add_tail(&dev_node_changes, &n->changed);
    spin_unlock_irqrestore(&dev_node_lock, flags);
    work_queue(workq_system, &dev_node_work);
    return n;
}

void dev_node_remove(struct dev_node *n)
{
    u64 flags;

    if (!n)
        return;
    spin_lock_irqsave(&dev_node_lock, &flags);
    n->gone = true;
    list_del(&n->node);
    if (list_empty(&n->changed))
        list_add_tail(&dev_node_changes, &n->changed);
    spin_unlock_irqrestore(&dev_node_lock, flags);
    work_queue(workq_system, &dev_node_work);
}

static void dev_node_tell(struct work *w)
{
    struct dev_node *n;
    bool gone;
    u64 flags;

    for (;;) {
        spin_lock_irqsave(&dev_node_lock, &flags);
        n = list_first(&dev_node_changes, struct dev_node, changed);
        gone = n && n->gone;
        if (n) {
            list_del(&n->changed);
            list_init(&n->changed);
        }
        spin_unlock_irqrestore(&dev_node_lock, flags);
        if (!n)
            return;
        /* One that goes in this moment comes back to the list: only this worker frees it. */
        if (gone)
            up_dev_node_removed(n);
        else if (up_dev_node_added(n))
            log_warn("/dev/%s: no memory for the name", n->name);
        if (gone)
            kfree(n);
    }
}

/* The first behind `order`, copied. */
static bool dev_node_next(u64 order, struct dev_node *out)
{
    struct dev_node *n;
    bool found = false;
    u64 flags;

    spin_lock_irqsave(&dev_node_lock, &flags);
    list_for_each (n, &dev_nodes, node) {
        if (n->order <= order)
            continue;
        *out = *n;
        found = true;
        break;
    }
    spin_unlock_irqrestore(&dev_node_lock, flags);
    return found;
}

void dev_node_for_each(void (*fn)(const struct dev_node *n, void *arg), void *arg)
{
    struct dev_node n = {.order = 0};

    while (dev_node_next(n.order, &n))
        fn(&n, arg);
}
