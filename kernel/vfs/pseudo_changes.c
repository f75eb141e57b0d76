/* SPDX-License-Identifier: MIT
 *
 * Texts whose changes are told: counted for polls, and passed on to inotify, which a worker does
 * since they come in any context. What passes them on hangs on a node from the first watch to the
 * end of its inode; such a node has one inode.
 */
#include "mm/slab.h"
#include "sched/work.h"
#include "vfs/inotify.h"
#include "vfs/pseudo_priv.h"
#include "vfs/vfs_priv.h"

void pseudo_changes_init(struct pseudo_changes *c)
{
    c->count = 1;
    waitq_init(&c->wait);
}

void pseudo_changed(struct pseudo_changes *c)
{
    __atomic_fetch_add(&c->count, 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&c->wait);
}

struct pseudo_teller {
    struct waiter waiter;
    struct waitq *queue;
    struct inode *inode; /* borrowed: the inode's end is its own */
    struct work work;    /* with references to the inode and its super */
    u8 queued;           /* a */
};

static int teller_wake(struct waiter *w, u32 events)
{
    struct pseudo_teller *t = container_of(w, struct pseudo_teller, waiter);

    if (!READ_ONCE(t->inode->watches) || __atomic_exchange_n(&t->queued, 1, __ATOMIC_SEQ_CST))
        return 0;
    if (refcount_get_unless_zero(&t->inode->ref)) { /* else it is about to end */
        super_pin(t->inode->super);
        work_queue(workq_system, &t->work);
    }
    return 0;
}

static void teller_run(struct work *w)
{
    struct pseudo_teller *t = container_of(w, struct pseudo_teller, work);
    struct inode *i = t->inode;
    struct super *s = i->super;

    __atomic_store_n(&t->queued, 0, __ATOMIC_SEQ_CST); /* what changes from here on is told again */
    inotify_tell_inode(i, IN_MODIFY);
    inode_put(i);
    super_unpin(s);
}

int pseudo_watch(struct inode *i)
{
    struct pseudo_node *node = i->priv;
    struct pseudo_teller *t, *none = NULL;

    if (!node->ops->changes || load_acquire(&node->teller))
        return 0;
    t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->queue = &node->ops->changes(node)->wait;
    t->inode = i;
    work_init(&t->work, teller_run);
    t->waiter.wake = teller_wake;
    WRITE_ONCE(i->super->told, true);
    if (__atomic_compare_exchange_n(&node->teller, &none, t, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
        waitq_add(t->queue, &t->waiter);
    else
        kfree(t);
    return 0;
}

/* The inode ends, so nothing of its teller's is queued. */
void pseudo_unwatch(struct inode *i)
{
    struct pseudo_node *node = i->priv;
    struct pseudo_teller *t = node->teller;

    if (!t || t->inode != i)
        return;
    waitq_remove(t->queue, &t->waiter);
    node->teller = NULL;
    kfree(t);
}
