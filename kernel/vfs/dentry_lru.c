/* SPDX-License-Identifier: MIT
 *
 * Unused names. They are, oldest first, on the list of the account that pays for them,
 * and on the list of their super: neither an account at its limit nor a super that goes looks at
 * another account's.
 */
#include "lib/log.h"
#include "mm/account_cache.h"
#include "mm/cache.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/cached_inode.h"
#include "vfs/dentry_priv.h"
#include "vfs/vfs_priv.h"
#include "vm/up.h"

static struct spinlock dentry_lru_lock = SPINLOCK_INIT(RANK_VFS, 1, "dentry lru");
static struct account_caches dentry_unused =
    ACCOUNT_CACHES_INIT(dentry_unused, ACCOUNT_NAMES); /* the LRU lock */

static struct account *dentry_account(const struct dentry *d)
{
    struct account *account = slab_account(d);

    return account ? account : &account_root_memory;
}

void dentry_lru_add(struct dentry *d)
{
    struct account *account = dentry_account(d);

    ASSERT_HELD(&d->lock);
    spin_lock(&dentry_lru_lock);
    account_cache_add(&dentry_unused, account, &d->lru);
    list_add_tail(&d->super->cached, &d->by_super);
    spin_unlock(&dentry_lru_lock);
}

static void dentry_lru_remove_locked(struct dentry *d) REQUIRES(dentry_lru_lock)
{
    ASSERT_HELD(&dentry_lru_lock);
    if (list_empty(&d->lru))
        return;
    account_cache_del(&dentry_unused, dentry_account(d), &d->lru);
    list_del(&d->by_super);
}

void dentry_lru_remove(struct dentry *d)
{
    ASSERT_HELD(&d->lock);
    spin_lock(&dentry_lru_lock);
    dentry_lru_remove_locked(d);
    spin_unlock(&dentry_lru_lock);
}

static struct dentry *dentry_oldest_locked(struct super *super, struct account *top)
    REQUIRES(dentry_lru_lock)
{
    struct account *a;

    ASSERT_HELD(&dentry_lru_lock);
    if (super)
        return list_first(&super->cached, struct dentry, by_super);
    a = account_cache_pick(&dentry_unused, top);
    return a ? list_first(&a->cached[ACCOUNT_NAMES].items, struct dentry, lru) : NULL;
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

    while (done < n && looked <= READ_ONCE(dentry_unused.nr_accounts)) {
        if (dentry_evict_one(super, top, &done))
            looked = 0;
        else if (top)
            looked += ACCOUNT_CACHES_LOOK;
        else
            break;
        cond_yield();
    }
    return done;
}

u64 up_reclaim_names(struct account *account, u64 n)
{
    u64 done = dentry_shrink(NULL, account, n);

    return done < n ? done + inode_reclaim(account, n - done) : done;
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
