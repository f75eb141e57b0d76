/* SPDX-License-Identifier: MIT
 *
 * Address spaces: creation and end. `users` keeps the contents (tasks, and callers that work
 * inside); `ref` keeps the structure. The users together hold one ref.
 */
#include "vm/aspace.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define TABLES_AT_ONCE 512 /* that pgtable_destroy frees in one go */

static struct slab_cache *aspace_cache;

static void aspace_init(void)
{
    aspace_cache = slab_cache_create("aspace", sizeof(struct aspace), 0);
}
INIT_HOOK(aspace_init, INIT_CORE);

struct aspace *aspace_create(struct account *account)
{
    struct aspace *as = slab_zalloc(aspace_cache);

    if (!as)
        return NULL;
    if (pgtable_init_user(&as->pt)) {
        slab_free(aspace_cache, as);
        return NULL;
    }
    rwlock_init(&as->lock, RANK_VM, RANK_ORDER_ASPACE, "aspace");
    spinlock_init(&as->pt_lock, RANK_VM, RANK_ORDER_PT, "aspace->pt");
    refcount_init(&as->ref, 1);
    refcount_init(&as->users, 1);
    as->areas = RB_ROOT;
    list_init(&as->translations);
    if (account)
        up_account_get(account);
    as->account = account;
    return as;
}

/* Returns the program's file, which the caller puts. */
static struct file *aspace_empty(struct aspace *as)
{
    struct rb_node *n;
    struct file *exe;

    aspace_write_lock(as);
    tlb_drop(as);
    while ((n = rb_first(&as->areas))) {
        struct area *a = rb_entry(n, struct area, node);

        zap_range(as, a->start, a->end, true);
        area_remove(as, a);
        vm_pause();
    }
    if (as->pt.tables > TABLES_AT_ONCE)
        zap_tables(as, 0, USER_MAX);
    exe = as->exe;
    as->exe = NULL;
    aspace_write_unlock(as);
    charge_stock_drop(as);
    return exe;
}

#define ASPACE_LARGE 1024 /* pages */

/* Counted in each account above, so that a full one waits only for what comes back to it. */
static void aspace_count_emptying(struct account *a, int change)
{
    for (; a; a = a->parent)
        atomic_add(&a->emptying, change);
}

bool aspace_gives_back(struct account *a)
{
    return atomic_read(&a->emptying) > 0;
}

void aspace_put(struct aspace *as)
{
    struct file *exe;
    bool large;

    if (!refcount_put(&as->users))
        return;
    large = as->rss_anon > ASPACE_LARGE;
    if (large)
        aspace_count_emptying(as->account, 1);
    exe = aspace_empty(as);
    if (large)
        aspace_count_emptying(as->account, -1);
    if (exe)
        up_file_put(exe);
    if (as->account)
        up_account_put(as->account);
    aspace_put_ref(as);
}

void aspace_put_ref(struct aspace *as)
{
    if (!refcount_put(&as->ref))
        return;
    tlb_drop(as); /* a lazy CPU may have kept it */
    ASSERT(list_empty(&as->translations));
    pgtable_destroy(&as->pt);
    slab_free(aspace_cache, as);
}

int aspace_attach(struct aspace *as, struct translation *t)
{
    int err = 0;

    spin_lock(&as->pt_lock);
    if (as->nr_translations == ASPACE_TRANSLATIONS_MAX) {
        err = -EMFILE;
    } else {
        as->nr_translations++;
        list_add_tail(&as->translations, &t->node);
    }
    spin_unlock(&as->pt_lock);
    return err;
}

void aspace_detach(struct aspace *as, struct translation *t)
{
    spin_lock(&as->pt_lock);
    list_del(&t->node);
    as->nr_translations--;
    spin_unlock(&as->pt_lock);
}

int aspace_for_each(struct aspace *as, u64 from, int (*fn)(struct area *a, void *arg), void *arg)
{
    int err = 0;

    rwlock_read_lock(&as->lock);
    for (struct area *a = area_find(as, from); a && !err; a = area_next(a)) {
        err = fn(a, arg);
        if (!err)
            vm_pause();
    }
    rwlock_read_unlock(&as->lock);
    return err;
}
