/* SPDX-License-Identifier: MIT
 *
 * Pages that belong to an account, and what happens when there are none: reclaim, then the OOM
 * upcall. An address space takes its anonymous pages from a small stock charged in advance, so that
 * a fault walks the accounts' tree once in CHARGE_BATCH times; pages freed by unmapping restock it.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "sync/rcu.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define CHARGE_BATCH 16
#define STOCK_MAX 64
#define RECLAIM_PAGES 32
#define RECLAIM_NAMES 256

COUNTER(charge_relieves);

struct page *charge_page_alloc(struct account *account, unsigned order, unsigned flags,
                               struct account **failed)
{
    struct page *page;

    *failed = NULL;
    if (FAILPOINT(charge_page_alloc))
        return NULL;
    if (account && account_charge(account, 1UL << order, failed))
        return NULL;
    page = page_alloc(order, flags);
    if (!page) {
        if (account)
            account_uncharge(account, 1UL << order);
        return NULL;
    }
    page->account = account;
    return page;
}

/* One page's charge out of the stock, filling it if it is empty. */
static int charge_take(struct aspace *as, struct account **failed)
{
    s32 n = atomic_read(&as->stock);

    while (n > 0)
        if (atomic_cas(&as->stock, &n, n - 1))
            return 0;
    if (!account_charge(as->account, CHARGE_BATCH, NULL)) {
        atomic_add(&as->stock, CHARGE_BATCH - 1);
        return 0;
    }
    return account_charge(as->account, 1, failed);
}

struct page *charge_anon_alloc(struct aspace *as, unsigned flags, struct account **failed)
{
    struct page *page;

    *failed = NULL;
    if (FAILPOINT(charge_anon_alloc))
        return NULL;
    if (as->account && charge_take(as, failed))
        return NULL;
    page = page_alloc(0, flags);
    if (!page) {
        if (as->account)
            charge_restock(as, 1);
        return NULL;
    }
    page->account = as->account;
    return page;
}

void charge_restock(struct aspace *as, unsigned n)
{
    s32 now = atomic_add(&as->stock, (s32)n);

    if (now <= STOCK_MAX)
        return;
    /* Down to a batch; another CPU may be taking meanwhile. */
    if (atomic_cas(&as->stock, &now, CHARGE_BATCH))
        account_uncharge(as->account, (u64)(now - CHARGE_BATCH));
}

void charge_stock_drop(struct aspace *as)
{
    s32 n = atomic_xchg(&as->stock, 0);

    if (n > 0)
        account_uncharge(as->account, (u64)n);
}

/* What can be read or looked up again goes first. Names are freed after a grace period. */
static bool charge_reclaim(struct account *account)
{
    if (reclaim_pages(account, RECLAIM_PAGES))
        return true;
    if (!up_reclaim_names(account, RECLAIM_NAMES))
        return false;
    rcu_synchronize();
    return true;
}

int charge_relieve(struct account *failed)
{
    COUNT(charge_relieves);
    if (charge_reclaim(failed))
        return 0;
    if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
        return -EINTR;
    return up_oom(failed) ? 0 : -ENOMEM;
}

void memory_relieve(void)
{
    struct thread *me = current_thread();
    struct account *over;

    thread_work_clear(me, WORK_MEMORY);
    while ((over = account_over(me->account)))
        if (charge_relieve(over))
            return;
    if (pages_short() && !reclaim_pages(NULL, RECLAIM_PAGES))
        up_reclaim_names(NULL, RECLAIM_NAMES);
}
