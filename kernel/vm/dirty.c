/* SPDX-License-Identifier: MIT
 *
 * Pages that differ from their store, counted for the account that pays for the page and for those
 * above it. An account may have a share of its limit dirty, or being written, the machine a share
 * of what could be free. A writer of more waits, before it locks anything, until some is
 * written; readers, and threads of other accounts, do not.
 *
 * When the machine has too much, those wait that have much themselves: a store that stands still
 * holds the machine's share, and its writers, and no others, while there is a rest. What threads
 * that write back need (thread->takes_reserves) they never wait for here.
 */
#include "lib/log.h"
#include "mm/account.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define DIRTY_PART 5  /* of its limit an account may have a fifth dirty */
#define DIRTY_MIN 32L /* pages that any may */
#define DIRTY_QUEUES 16
#define THROTTLE_LOOK (200 * NSEC_PER_MSEC)
#define RELIEVE_WAIT (NSEC_PER_SEC)

COUNTER(dirty_throttles);

static struct waitq
    dirty_queues[DIRTY_QUEUES]; /* by account: some of its pages have been written */

static void dirty_init(void)
{
    for (unsigned i = 0; i < DIRTY_QUEUES; i++)
        waitq_init(&dirty_queues[i]);
}
INIT_HOOK(dirty_init, INIT_CORE);

static struct waitq *dirty_queue(const struct account *a)
{
    return &dirty_queues[((u64)a >> 6) % DIRTY_QUEUES];
}

static s64 dirty_of(const struct account *a)
{
    return atomic_read(&a->dirty) + atomic_read(&a->writing);
}

/* How many a may have. */
static s64 dirty_max(const struct account *a)
{
    s64 whole = READ_ONCE(a->limit);

    if (a == &account_root_memory) {
        struct mem_info mem;

        mem_info_get(&mem);
        whole = MIN(whole, (s64)(mem.free + reclaim_cached_pages()) + dirty_of(a));
    }
    return MAX(whole / DIRTY_PART, DIRTY_MIN);
}

void dirty_count(struct page *page, s64 dirty, s64 writing)
{
    struct account *a = page->account;

    for (; a; a = a->parent) {
        struct waitq *q = dirty_queue(a);

        if (dirty)
            atomic_add(&a->dirty, dirty);
        if (writing)
            atomic_add(&a->writing, writing);
        if (dirty + writing < 0 && !list_empty(&q->waiters))
            waitq_wake_all(q);
    }
}

void object_clean_locked(struct mem_object *obj, struct page *page)
{
    ASSERT_HELD(&obj->lock);
    if (!(page_flag_clear(page, PG_DIRTY) & PG_DIRTY))
        return;
    xa_clear_mark(&obj->pages, page->index, MARK_DIRTY);
    xa_clear_mark(&obj->pages, page->index, MARK_TOWRITE);
    dirty_count(page, -1, 0);
}

/* The account whose share is used up, that the writer's own a is in. The machine's binds those who
 * have much of it themselves, and all when half as much again is dirty. */
static const struct account *dirty_full(const struct account *a)
{
    s64 own = dirty_of(a);

    for (; a; a = a->parent) {
        s64 max = dirty_max(a), now = dirty_of(a);

        if (now >= max && (a != &account_root_memory || own >= max / 8 || now >= max + max / 2))
            return a;
    }
    return NULL;
}

/* Half of the share is dirty: time to begin. */
static bool dirty_much(const struct account *a)
{
    for (; a; a = a->parent)
        if (dirty_of(a) >= dirty_max(a) / 2)
            return true;
    return false;
}

int mem_object_throttle(struct mem_object *obj)
{
    const struct account *full;
    struct account *own;

    if (!mem_object_tracked(obj) || current_thread()->takes_reserves)
        return 0;
    own = object_account();
    if (likely(!dirty_much(own)))
        return 0;
    obj->ops->write_wanted(obj);
    while ((full = dirty_full(own))) {
        COUNT(dirty_throttles);
        if (wait_event_deadline(dirty_queue(full), dirty_of(full) < dirty_max(full), SLEEP_KILLABLE,
                                time_ns() + THROTTLE_LOOK) == -ERESTARTSYS)
            return -EINTR;
        obj->ops->write_wanted(obj);
    }
    return 0;
}

bool writeback_relieve(struct account *account)
{
    struct account *a = account ? account : &account_root_memory;
    s64 before = dirty_of(a);

    if (!before || current_thread()->takes_reserves || !up_write_back(account))
        return false;
    return wait_event_deadline(dirty_queue(a), dirty_of(a) < before, SLEEP_KILLABLE,
                               time_ns() + RELIEVE_WAIT) == 0;
}
