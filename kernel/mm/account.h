/* SPDX-License-Identifier: MIT
 *
 * Limit accounts: hierarchical counters that a charge passes from a leaf up to the root. The
 * account knows numbers only; container/ names accounts, arranges them and decides what exceeding
 * means.
 *
 * User memory is charged exactly, and a charge that would pass the limit fails. What the kernel
 * keeps for a program (slab objects, page tables, stacks, buffers) is charged to the account of the
 * thread that runs, objects by the byte out of a stock of whole pages; it may pass the limit by
 * ACCOUNT_SLACK, since its caller can neither reclaim nor wait: the thread then brings the account
 * back below its limit on its way to user mode (up_memory_short).
 *
 * Context: irq-safe, never sleeps.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"

/* What pages are used for, where that is distinguished; the rest is anonymous. */
enum account_use { ACCOUNT_FILE, ACCOUNT_SHARED, ACCOUNT_KERNEL, ACCOUNT_USES };

/* What went to and from block devices. */
struct account_io {
    atomic64_t bytes, requests;
};

/* What is kept because it may be wanted again, each kind under a lock of its own:
 * mm/account_cache.h. */
enum account_cached { ACCOUNT_NAMES, ACCOUNT_INODES, ACCOUNT_PAGES, ACCOUNT_CACHED };
struct account_cache {
    struct list_node items;    /* in the order in which they may go */
    struct list_node accounts; /* while count > 0 */
    u64 count;
};

struct account {
    struct account *parent;        /* I  NULL at the root */
    atomic64_t used;               /* a  unit: pages for memory, tasks for pids */
    atomic64_t peak;               /* a */
    s64 limit;                     /* a  S64_MAX: none */
    s64 high;                      /* a  a charge beyond it calls up_memory_short; S64_MAX: none */
    s64 low, min;                  /* a  pages below these are reclaimed last, or not at all */
    atomic64_t uses[ACCOUNT_USES]; /* a  pages charged here itself, not below */
    atomic64_t stock;              /* a  bytes charged, and not in use by an object */
    struct account_io io[2];       /* a  reads and writes of block devices, here and below */
    atomic_t state;                /* a  enum account_state */
    atomic_t emptying;             /* a  vm: large address spaces, here and below, being unmapped */
    void *owner;                   /* I  for container: the control group */
    struct account_cache cached[ACCOUNT_CACHED];
    /* Pages charged here or below that differ from their store, and that are being written to it:
     * vm counts them. */
    atomic64_t dirty, writing; /* a */
};

#define ACCOUNT_SLACK 256 /* pages; never more than an eighth of the limit */
#define ACCOUNT_STOCK_MAX (16L << PAGE_SHIFT)
/* Open, then closed (no new charges), then gone: up_account_empty is called once, when nothing is
 * charged any more. */
enum account_state { ACCOUNT_OPEN, ACCOUNT_CLOSED, ACCOUNT_GONE };

void account_init(struct account *a, struct account *parent, void *owner);
/* 0, or -ENOMEM with *failed (may be NULL) set to the account that refused; all or nothing. */
int account_charge(struct account *a, u64 n, struct account **failed) __must_check;
/* Charges past the limit too: for what cannot be refused any more. */
void account_charge_forced(struct account *a, u64 n);
void account_uncharge(struct account *a, u64 n);
/* n pages, charged to a, begin to be used so; negative: end. a may be NULL. */
static inline void account_use(struct account *a, enum account_use use, s64 n)
{
    if (a)
        atomic_add(&a->uses[use], n);
}
/* A request of a block device is done: n bytes. a may be NULL. */
void account_io(struct account *a, bool write, u64 n);
extern struct account account_root_memory;

/* Kernel memory. a may be NULL: uncharged. 0 or -ENOMEM. */
int account_charge_kernel(struct account *a, u64 pages) __must_check;
void account_uncharge_kernel(struct account *a, u64 pages);
/* The stock is n bytes short: adds whole pages to it; -ENOMEM: puts the n bytes back. */
int account_stock_fill(struct account *a, u64 n) __must_check;
void account_stock_trim(struct account *a, s64 stock);
/* n bytes out of a stock of whole pages. a may be NULL: uncharged. 0 or -ENOMEM. */
static inline __must_check int account_charge_bytes(struct account *a, u64 n)
{
    if (!a || likely(atomic_sub(&a->stock, (s64)n) >= 0))
        return 0;
    return account_stock_fill(a, n);
}
static inline void account_uncharge_bytes(struct account *a, u64 n)
{
    s64 stock = atomic_add(&a->stock, (s64)n);

    if (unlikely(stock > ACCOUNT_STOCK_MAX || atomic_read(&a->state) != ACCOUNT_OPEN))
        account_stock_trim(a, stock);
}
/* The first account from a upwards that is past its high mark; NULL: none. */
struct account *account_over_high(struct account *a);
/* The first account from a upwards that is past its limit; NULL: none. */
struct account *account_over(struct account *a);
/* The first account from a upwards that n pages more would take past its limit; NULL: none. */
struct account *account_full_for(struct account *a, u64 n);
/* The first account from a upwards that would refuse another page of kernel memory; NULL: none. */
struct account *account_refuses(struct account *a);
/* No more charges to a will come; true when nothing is charged to it now, else up_account_empty is
 * called when that is so. */
bool account_close(struct account *a);

/* Kernel memory on this CPU is charged now to the account of the thread that runs. NULL: uncharged.
 */
DECLARE_PER_CPU(struct account *, account_of_cpu);
static inline struct account *account_current(void)
{
    return this_cpu_read(account_of_cpu);
}
/* For work that is not the running thread's: kernel memory is charged to a until the former account
 * is put back. Between the two there is no switch: with interrupts off, or where nothing yields. */
static inline struct account *account_swap(struct account *a)
{
    struct account *former = account_current();

    this_cpu_write(account_of_cpu, a);
    return former;
}
