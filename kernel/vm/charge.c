/* SPDX-License-Identifier: MIT
 *
 * Pages that belong to an account, and what happens when there are none: reclaim, then the OOM
 * upcall. An address space takes its anonymous pages from a small stock charged in advance, so that
 * a fault walks the accounts' tree once in many times; pages freed by unmapping restock it.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/rcu.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define BATCH_MAX 16UL
#define STOCK_MORE 8 /* pages beyond a batch that may come back before any are uncharged */
#define RECLAIM_PAGES 32
#define RECLAIM_NAMES 256
#define RECLAIM_ROUNDS 16
#define RAM_SPARE 1024UL /* pages: with more there is RAM */
#define CPU_SPARE 80UL   /* as many may be in a processor's own cache (mm/page.c) */

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

/* The process that first touches a page pays for it: the object may outlive its maker. */
struct account *object_account(void)
{
    struct aspace *as = aspace_current();

    return as && as->account ? as->account : &account_root_memory;
}

/* A small process must not be charged for a large one's stock: an eighth of what it has. */
static unsigned charge_batch(const struct aspace *as)
{
    return (unsigned)MAX(1UL, MIN(READ_ONCE(as->rss_anon) / 8, BATCH_MAX));
}

/* One page's charge out of the stock, filling it if it is empty. */
static int charge_take(struct aspace *as, struct account **failed)
{
    s32 n = atomic_read(&as->stock);
    unsigned batch;

    while (n > 0)
        if (atomic_cas(&as->stock, &n, n - 1))
            return 0;
    batch = charge_batch(as);
    if (batch > 1 && !account_charge(as->account, batch, NULL)) {
        atomic_add(&as->stock, (s32)batch - 1);
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
    s32 now = atomic_add(&as->stock, (s32)n), keep = (s32)charge_batch(as);

    if (now <= keep + STOCK_MORE)
        return;
    /* Down to a batch; another CPU may be taking meanwhile. */
    if (atomic_cas(&as->stock, &now, keep))
        account_uncharge(as->account, (u64)(now - keep));
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

/* Whether the machine has a page again: pages have come back since there was none. What
 * other CPUs keep for themselves does not count. */
static bool charge_has_ram(void)
{
    struct mem_info mem;

    mem_info_get(&mem);
    return mem.free > RAM_SPARE + CPU_SPARE * cpu_count();
}

int charge_relieve(struct account *failed)
{
    COUNT(charge_relieves);
    /* A thread that writes back, or is inside a transaction, takes clean pages and does not wait.
     */
    if (unlikely(current_thread()->takes_reserves))
        return reclaim_pages(failed, RECLAIM_PAGES) ? 0 : -ENOMEM;
    if (charge_reclaim(failed) || writeback_relieve(failed))
        return 0;
    if (!failed && charge_has_ram())
        return 0; /* no process has to die for it */
    if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
        return -EINTR;
    return up_oom(failed) ? 0 : -ENOMEM;
}

/* Above memory.high: caches are emptied; a group that still stays above it is slowed, the more the
 * further it is: 0.64 s at a tenth, at most 2 s, each time it charges more. */
static void charge_slow_down(struct account *high)
{
    s64 mark = READ_ONCE(high->high), used;
    u64 over, delay;

    while (atomic_read(&high->used) > mark && charge_reclaim(high)) {
        vm_pause();
        if (thread_sleep_interrupted(current_thread(), SLEEP_INTERRUPTIBLE))
            return;
    }
    used = atomic_read(&high->used);
    if (used <= mark)
        return;
    up_memory_high(high);
    over = (u64)(used - mark) * 1000 / (u64)MAX(mark, 1L);
    delay = MIN(MIN(over, 1000UL) * MIN(over, 1000UL) * (64 * NSEC_PER_SEC / 1000000),
                2 * NSEC_PER_SEC);
    if (delay > 10 * NSEC_PER_MSEC)
        (void)sleep_until(time_ns() + delay, SLEEP_INTERRUPTIBLE);
}

void memory_relieve(void)
{
    struct thread *me = current_thread();
    struct account *over;

    thread_work_clear(me, WORK_MEMORY);
    while ((over = account_over(me->account)))
        if (charge_relieve(over))
            return;
    if (unlikely((over = account_over_high(me->account))))
        charge_slow_down(over);
    for (unsigned i = 0; i < RECLAIM_ROUNDS && pages_short(); i++)
        if (!charge_reclaim(NULL))
            return;
}

int memory_relieve_kernel(void)
{
    struct account *full = account_refuses(account_current());

    return full || pages_short() ? charge_relieve(full) : 0;
}
