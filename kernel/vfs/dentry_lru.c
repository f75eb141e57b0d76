/* SPDX-License-Identifier: MIT
 *
 * Names that nobody uses. They hang, oldest first, on the list of the account that pays for them,
 * and on the list of their super: neither a domain at its limit nor a super that goes looks at
 * anybody else's.
 */
#include "lib/log.h"
#include "mm/account.h"
#include "mm/cache.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/dentry_priv.h"
#include "vfs/vfs_priv.h"
#include "vm/up.h"

#define CACHERS_LOOK 64 /* accounts looked at for one below another, without a pause */

static struct spinlock dentry_lru_lock = SPINLOCK_INIT(RANK_VFS, 1, "dentry lru");
/* The LRU lock: accounts with unused names; the one in front is next to lose some. */
static LIST_HEAD(dentry_cachers);
static u32 dentry_nr_cachers; /* the LRU lock; a to read */

static struct account *dentry_account(const struct dentry *d)
{
    struct account *account = slab_account(d);

    return account ? account : &account_root_memory;
}

void dentry_lru_add(struct dentry *d)
{
    struct account *account = dentry_account(d);

    spin_lock(&dentry_lru_lock);
    if (list_empty(&account->cache)) {
        list_add_tail(&dentry_cachers, &account->cachers);
        WRITE_ONCE(dentry_nr_cachers, dentry_nr_cachers + 1);
    }
    list_add_tail(&account->cache, &d->lru);
    list_add_tail(&d->super->cached, &d->by_super);
    spin_unlock(&dentry_lru_lock);
}

static void dentry_lru_remove_locked(struct dentry *d)
{
    struct account *account = dentry_account(d);

    if (list_empty(&d->lru))
        return;
    list_del(&d->lru);
    list_del(&d->by_super);
    if (list_empty(&account->cache)) {
        list_del(&account->cachers);
        WRITE_ONCE(dentry_nr_cachers, dentry_nr_cachers - 1);
    }
}

void dentry_lru_remove(struct dentry *d)
{
    spin_lock(&dentry_lru_lock);
    dentry_lru_remove_locked(d);
    spin_unlock(&dentry_lru_lock);
}

static bool dentry_account_below(const struct account *a, const struct account *top)
{
    while (a && a != top)
        a = a->parent;
    return a;
}

/* LRU lock held: the account that is to lose a name so that `top` (NULL: the machine) has more
 * room. The accounts take turns for the machine. One below top stays in front: it may have more.
 * NULL: none of the first few is below top. */
static struct account *dentry_cacher_locked(struct account *top)
{
    if (top && !list_empty(&top->cache))
        return top;
    for (unsigned i = 0; i < CACHERS_LOOK; i++) {
        struct account *a = list_first(&dentry_cachers, struct account, cachers);

        if (!a || (top && dentry_account_below(a, top)))
            return a;
        list_del(&a->cachers);
        list_add_tail(&dentry_cachers, &a->cachers);
        if (!top)
            return a;
    }
    return NULL;
}

static struct dentry *dentry_oldest_locked(struct super *super, struct account *top)
{
    struct account *a;

    if (super)
        return list_first(&super->cached, struct dentry, by_super);
    a = dentry_cacher_locked(top);
    return a ? list_first(&a->cache, struct dentry, lru) : NULL;
}

/* Ends the oldest unused name, or takes it off the lists when it is in use again; false: there is
 * none. Between the two locks it may die, but we are an RCU reader; its super stays for the pin. */
static bool dentry_evict_one(struct super *super, struct account *top, u64 *done)
{
    struct dentry *d;

    spin_lock(&dentry_lru_lock);
    d = dentry_oldest_locked(super, top);
    if (d) {
        super = d->super;
        super_pin(super);
        dentry_lru_remove_locked(d);
    }
    spin_unlock(&dentry_lru_lock);
    if (!d)
        return false;
    spin_lock(&d->lock);
    d->flags &= ~(u32)DENTRY_LRU;
    if (d->ref > 0 || (d->flags & DENTRY_DEAD)) {
        spin_unlock(&d->lock);
    } else {
        dentry_put(dentry_kill(d));
        ++*done;
    }
    super_unpin(super);
    return true;
}

/* For `top` all accounts are looked at, some at a time, before there is none to be had. */
static u64 dentry_shrink(struct super *super, struct account *top, u64 n)
{
    u64 done = 0;
    u32 looked = 0;

    while (done < n && looked <= READ_ONCE(dentry_nr_cachers)) {
        if (dentry_evict_one(super, top, &done))
            looked = 0;
        else if (top)
            looked += CACHERS_LOOK;
        else
            break;
        cond_yield();
    }
    return done;
}

u64 up_reclaim_names(struct account *account, u64 n)
{
    return dentry_shrink(NULL, account, n);
}

static u64 dentry_drop_cached(void)
{
    return dentry_shrink(NULL, NULL, U64_MAX);
}
CACHE_KIND("10") = {"names", dentry_drop_cached};

void dentry_shrink_super(struct super *s)
{
    dentry_shrink(s, NULL, U64_MAX);
}
