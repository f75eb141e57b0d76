/* SPDX-License-Identifier: MIT
 *
 * The inode cache: see cached_inode.h. Each super maps numbers to inodes; look-ups run under RCU
 * and take a reference unless there is none left. Those that must wait, for an inode to be filled
 * or to be gone, do so on queues shared by number.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account_cache.h"
#include "mm/cache.h"
#include "mm/slab.h"
#include "obj/pipe.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "vfs/flusher.h"
#include "vfs/vfs_priv.h"

#define QUEUES 16

static struct waitq inode_queues[QUEUES];
static struct spinlock inode_lru_lock = SPINLOCK_INIT(RANK_VFS, 1, "inode lru");
static struct account_caches inode_kept =
    ACCOUNT_CACHES_INIT(inode_kept, ACCOUNT_INODES); /* the LRU lock */

COUNTER(inodes_read);
COUNTER(inodes_evicted);

void inode_cache_init(void)
{
    for (unsigned i = 0; i < QUEUES; i++)
        waitq_init(&inode_queues[i]);
}

static struct waitq *inode_queue(u64 ino)
{
    return &inode_queues[ino % QUEUES];
}

static struct account *inode_account(struct cached_inode *ci)
{
    struct account *account = slab_account(ci);

    return account ? account : &account_root_memory;
}

static struct cached_inode *cache_load(const struct super *s, u64 ino)
{
    return xa_load(&s->inodes, ino);
}

/* ------------------------------------------------------------- those that are only kept */

/* One reference is left, the cache's; under RCU. */
static void inode_keep(struct cached_inode *ci)
{
    spin_lock(&inode_lru_lock);
    if (list_empty(&ci->unused) && ci->state == CACHED_READY && refcount_read(&ci->inode.ref) == 1)
        account_cache_add(&inode_kept, inode_account(ci), &ci->unused);
    spin_unlock(&inode_lru_lock);
}

static void inode_unkeep(struct cached_inode *ci)
{
    spin_lock(&inode_lru_lock);
    if (!list_empty(&ci->unused))
        account_cache_del(&inode_kept, inode_account(ci), &ci->unused);
    spin_unlock(&inode_lru_lock);
}

/* The cache's reference is the last one: it is given up, the inode is the caller's to evict. */
static bool inode_leave(struct cached_inode *ci)
{
    struct super *s = ci->inode.super;
    bool leaves;

    spin_lock(&s->inodes_lock);
    leaves = ci->state == CACHED_READY && refcount_end(&ci->inode.ref);
    if (leaves)
        ci->state = CACHED_LEAVING;
    spin_unlock(&s->inodes_lock);
    if (leaves)
        inode_unkeep(ci);
    return leaves;
}

static void inode_free_rcu(struct rcu_head *head)
{
    struct inode *i = container_of(head, struct inode, rcu);

    cached_inode_of(i)->free(i);
}

void inode_object_destroy(struct mem_object *obj)
{
    struct inode *i = obj->owner;

    rcu_call(&i->rcu, inode_free_rcu);
}

/* It is out of the cache. Its memory stays while its object is referenced. */
static void inode_free(struct inode *i)
{
    if (i->pipe)
        pipe_put(i->pipe);
    lock_inode_free(i);
    if (i->object)
        mem_object_put(i->object);
    else
        rcu_call(&i->rcu, inode_free_rcu);
}

/* A thread that finds nothing there from now on may fill another. */
static void inode_erase(struct cached_inode *ci)
{
    struct super *s = ci->inode.super;
    struct waitq *q = inode_queue(ci->inode.ino);

    spin_lock(&s->inodes_lock);
    ci->state = CACHED_LEAVING;
    xa_erase(&s->inodes, ci->inode.ino);
    spin_unlock(&s->inodes_lock);
    waitq_wake_all(q);
}

/* Context: may sleep; the inode is the caller's, by inode_leave. */
static void inode_evict(struct cached_inode *ci)
{
    struct inode *i = &ci->inode;

    COUNT(inodes_evicted);
    if (i->object)
        mem_object_shut(i->object);
    if (i->super->ops->evict)
        i->super->ops->evict(i);
    inode_erase(ci);
    inode_free(i);
}

void cached_inode_put(struct inode *i)
{
    struct cached_inode *ci = cached_inode_of(i);
    bool nameless = READ_ONCE(i->nlink) == 0, leaves = false;
    s32 left;

    /* From the put on it may go, but not its memory. */
    rcu_read_lock();
    left = refcount_put_left(&i->ref);
    if (left == 2 && nameless && flusher_forget(ci))
        left = 1;
    if (left == 1 && nameless)
        leaves = inode_leave(ci);
    else if (left == 1)
        inode_keep(ci);
    rcu_read_unlock();
    if (leaves)
        inode_evict(ci);
    else if (left == 0)
        inode_free(i); /* it could not be filled, or was not published */
}

/* The oldest that is kept for an account (NULL: any), off the list; its super is pinned. */
static struct cached_inode *inode_oldest(struct account *account, bool *leaves)
{
    struct cached_inode *ci = NULL;
    struct account *a;

    *leaves = false;
    rcu_read_lock();
    spin_lock(&inode_lru_lock);
    a = account_cache_pick(&inode_kept, account);
    if (a) {
        ci = list_first(&a->cached[ACCOUNT_INODES].items, struct cached_inode, unused);
        account_cache_del(&inode_kept, a, &ci->unused);
        super_pin(ci->inode.super);
    }
    spin_unlock(&inode_lru_lock);
    if (ci)
        *leaves = inode_leave(ci);
    rcu_read_unlock();
    return ci;
}

u64 inode_reclaim(struct account *account, u64 n)
{
    u32 looked = 0;
    u64 done = 0;

    while (done < n && looked <= READ_ONCE(inode_kept.nr_accounts)) {
        bool leaves;
        struct cached_inode *ci = inode_oldest(account, &leaves);

        if (ci && leaves) {
            struct super *s = ci->inode.super;

            inode_evict(ci);
            super_unpin(s);
            done++;
        } else if (ci) {
            super_unpin(ci->inode.super); /* in use again: listed when it is put */
        } else if (!account) {
            break;
        }
        looked = ci ? 0 : looked + ACCOUNT_CACHES_LOOK;
        cond_yield();
    }
    return done;
}

static u64 inode_drop_kept(void)
{
    return inode_reclaim(NULL, U64_MAX);
}
CACHE_KIND("15") = {"inodes", inode_drop_kept};

/* Inodes that nothing names any more go; all of them are gone when it returns. */
static void inode_cache_drop(struct super *s)
{
    struct cached_inode *ci;
    u64 at = 0;

    for (;;) {
        bool leaves = false;

        rcu_read_lock();
        ci = xa_next(&s->inodes, &at);
        if (ci)
            leaves = inode_leave(ci);
        rcu_read_unlock();
        if (leaves)
            inode_evict(ci);
        else if (ci) /* another is about to evict it, or puts its last reference */
            (void)wait_event_deadline(inode_queue(at), cache_load(s, at) != ci,
                                      SLEEP_UNINTERRUPTIBLE, time_ns() + NSEC_PER_MSEC);
        else if (at == 0)
            return;
        else
            at = 0;
        cond_yield();
    }
}

/* ------------------------------------------------------------- finding and filling */

static struct cached_inode *inode_alloc(struct super *s, u64 ino, u32 mode)
{
    struct cached_inode *ci = s->ops->alloc_inode(s);

    if (!ci)
        return NULL;
    inode_setup(&ci->inode, s, ino, mode);
    ci->inode.cached = true;
    list_init(&ci->unused);
    list_init(&ci->dirty);
    ci->free = s->ops->free_inode;
    ci->state = CACHED_FILLING;
    return ci;
}

/* 0: in the map, with a reference for it. */
static int inode_insert(struct super *s, struct cached_inode *ci)
{
    struct xa_pool pool = {0};
    int err;

    for (;;) {
        spin_lock(&s->inodes_lock);
        err = xa_insert(&s->inodes, ci->inode.ino, ci, &pool);
        if (!err)
            inode_get(&ci->inode);
        spin_unlock(&s->inodes_lock);
        if (err != -ENOMEM || pool.count)
            break;
        if (xa_pool_fill(&pool, XA_POOL_MAX, object_node_alloc, NULL))
            break;
    }
    xa_pool_drain(&pool, object_node_drop);
    return err;
}

static void inode_ready(struct cached_inode *ci)
{
    __atomic_store_n(&ci->state, CACHED_READY, __ATOMIC_SEQ_CST);
    waitq_wake_all(inode_queue(ci->inode.ino));
}

void inode_discard(struct inode *i)
{
    inode_erase(cached_inode_of(i));
    inode_put(i); /* the map's */
    inode_put(i);
}

/* The thread that has put it into the map fills it. */
static int inode_fill(struct cached_inode *ci)
{
    int err = ci->inode.super->ops->read_inode(&ci->inode);

    COUNT(inodes_read);
    if (err)
        inode_discard(&ci->inode);
    else
        inode_ready(ci);
    return err;
}

/* What is in the map under ino, once it is whole: a reference in *out; NULL: nothing. */
static int inode_wait(struct super *s, u64 ino, struct inode **out)
{
    struct waitq *q = inode_queue(ino);
    struct cached_inode *ci;
    bool got;
    int err = 0;

    *out = NULL;
    while (!err) {
        rcu_read_lock();
        ci = cache_load(s, ino);
        got = ci && refcount_get_unless_zero(&ci->inode.ref);
        rcu_read_unlock();
        if (!ci)
            return 0;
        if (!got) { /* it is on its way out */
            err = wait_event_killable(q, cache_load(s, ino) != ci);
            continue;
        }
        if (likely(load_acquire(&ci->state) == CACHED_READY)) {
            *out = &ci->inode;
            return 0;
        }
        err = wait_event_killable(q, READ_ONCE(ci->state) != CACHED_FILLING);
        if (!err && READ_ONCE(ci->state) == CACHED_READY) {
            *out = &ci->inode;
            return 0;
        }
        inode_put(&ci->inode);
    }
    return -EINTR;
}

int inode_find(struct super *s, u64 ino, struct inode **out)
{
    struct cached_inode *ci;
    int err;

    for (;;) {
        err = inode_wait(s, ino, out);
        if (err || *out)
            return err;
        ci = inode_alloc(s, ino, 0);
        if (!ci)
            return -ENOMEM;
        err = inode_insert(s, ci);
        if (!err)
            break;
        inode_put(&ci->inode);
        if (err != -EEXIST)
            return err;
    }
    err = inode_fill(ci);
    if (!err)
        *out = &ci->inode;
    return err;
}

int inode_find_new(struct super *s, u64 ino, u32 mode, struct inode **out)
{
    struct cached_inode *ci = inode_alloc(s, ino, mode);
    int err;

    if (!ci)
        return -ENOMEM;
    err = inode_insert(s, ci);
    if (err) {
        inode_put(&ci->inode);
        return err;
    }
    *out = &ci->inode;
    return 0;
}

void inode_publish(struct inode *i)
{
    inode_ready(cached_inode_of(i));
}

void inode_set_object(struct inode *i, struct mem_object *obj)
{
    obj->owner = i;
    if (i->super->flusher)
        obj->store_error = &i->super->flusher->error;
    i->object = obj;
}

int super_cache_begin(struct super *s, bool writes)
{
    spinlock_init(&s->inodes_lock, RANK_VFS, 3, "super inodes");
    xa_init(&s->inodes, object_node_free);
    if (!writes)
        return 0;
    s->flusher = flusher_create(s);
    return s->flusher ? 0 : -ENOMEM;
}

void super_cache_end(struct super *s)
{
    inode_cache_drop(s);
    if (s->flusher)
        flusher_destroy(s->flusher);
    s->flusher = NULL;
}
