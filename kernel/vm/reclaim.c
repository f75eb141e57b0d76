/* SPDX-License-Identifier: MIT
 *
 * Clean cached pages that can be read again, on a list of the account that pays for them, oldest
 * first, with a second chance for those used since they were last looked at. Pages of objects
 * without a store (tmpfs), dirty pages and those being written are on none.
 *
 * An account at its limit takes from its own list, then from those below it. For the machine the
 * accounts take turns, and none loses pages while it has less than the average and another has
 * more: an account that reads much loses its own pages.
 *
 * Rules: a page is on the list only while it is in its object's cache, and leaves both under the
 * object's lock; so holding lru_lock keeps the object of a listed page alive. The lock order is
 * object, then LRU: reclaim, which comes the other way, only tries the object's lock.
 */
#include "lib/log.h"
#include "mm/account_cache.h"
#include "mm/cache.h"
#include "sched/timer.h"
#include "vm/vm_priv.h"

static struct spinlock lru_lock = SPINLOCK_INIT(RANK_VM, RANK_ORDER_LRU, "lru");
static struct account_caches lru_pages =
    ACCOUNT_CACHES_INIT(lru_pages, ACCOUNT_PAGES); /* lru_lock */
COUNTER(reclaimed);

void object_lru_add(struct page *page)
{
    spin_lock(&lru_lock);
    if (!(page_flag_set(page, PG_LRU) & PG_LRU))
        account_cache_add(&lru_pages, page->account, &page->node);
    spin_unlock(&lru_lock);
}

void object_lru_del(struct page *page)
{
    if (!page_flag_test(page, PG_LRU))
        return;
    spin_lock(&lru_lock);
    if (page_flag_clear(page, PG_LRU) & PG_LRU)
        account_cache_del(&lru_pages, page->account, &page->node);
    spin_unlock(&lru_lock);
}

/* Object locked: mlock(2) keeps it in memory. One with very many mappings is not worth the search.
 */
static bool reclaim_page_is_locked(struct mem_object *obj, const struct page *page)
    REQUIRES(obj->lock)
{
    unsigned left = OBJECT_AREAS_MANY;
    struct area *a;

    ASSERT_HELD(&obj->lock);
    object_for_each_area (a, obj) {
        u64 first = a->offset >> PAGE_SHIFT;

        if (!--left)
            return true;
        if (a->flags & AREA_LOCKED && page->index >= first &&
            page->index - first < (a->end - a->start) >> PAGE_SHIFT)
            return true;
    }
    return false;
}

/* Object locked, page off the list: takes it out of the cache if only the cache holds it. */
static bool reclaim_page_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    s32 one = 1;

    ASSERT_HELD(&obj->lock);
    if (page_flag_test(page, PG_LOCKED | PG_DIRTY | PG_WRITEBACK))
        return false;
    if (atomic_read(&page->share) &&
        (reclaim_page_is_locked(obj, page) || !object_unmap_page_locked(obj, page)))
        return false;
    /* Frozen at 0: mem_object_peek spins until it finds the page gone. */
    if (!atomic_cas(&page->ref, &one, 0))
        return false;
    xa_erase(&obj->pages, page->index);
    object_uncount_locked(obj, 1);
    object_count_page(obj, page, -1);
    atomic_set(&page->ref, 1);
    page_put(page);
    return true;
}

/* memory.low and memory.min: a group's pages stay while it has no more than it may keep, which is
 * at most what each group above it, below the one that needs memory, may. */
static bool reclaim_is_protected(const struct account *a, const struct account *needy, bool low)
{
    s64 used, kept = S64_MAX;

    if (a == needy || !a->parent)
        return false;
    used = atomic_read(&a->used);
    for (; a->parent && a != needy; a = a->parent) {
        s64 own = low ? MAX(READ_ONCE(a->low), READ_ONCE(a->min)) : READ_ONCE(a->min);

        kept = MIN(kept, own);
    }
    return used <= kept;
}

static void reclaim_to_back(struct account *a, struct page *page)
{
    list_del(&page->node);
    list_add_tail(&a->cached[ACCOUNT_PAGES].items, &page->node);
}

/* The oldest page of a that may go: off the list, its object locked. NULL: none among the next
 * *scan. */
static struct page *reclaim_pick_from(struct account *a,
                                      u64 *scan) NO_THREAD_SAFETY /* returns its object locked */
{
    struct page *page;

    while (*scan && (page = list_first(&a->cached[ACCOUNT_PAGES].items, struct page, node))) {
        --*scan;
        if (page_flag_test(page, PG_REFERENCED) || !spin_trylock(&page->object->lock)) {
            page_flag_clear(page, PG_REFERENCED);
            reclaim_to_back(a, page);
            continue;
        }
        page_flag_clear(page, PG_LRU);
        account_cache_del(&lru_pages, a, &page->node);
        return page;
    }
    return NULL;
}

#define FORGET_TRIES 4   /* a millisecond apart, for a page in use */
#define DROP_AT_ONCE 64  /* pages of an object looked at without a pause */
#define SCAN_AT_ONCE 128 /* pages of one account that are looked at before another's turn */

/* The same of the account whose turn it is. Each look at an account counts in *scan, too. low: not
 * of groups below their memory.low either. */
static struct page *reclaim_pick(struct account *needy, bool low, u64 *scan)
{
    struct page *page = NULL;
    struct account *a;
    u64 part, left;

    spin_lock(&lru_lock);
    a = account_cache_pick(&lru_pages, needy);
    part = left = a && !reclaim_is_protected(a, needy, low) ? MIN(*scan, SCAN_AT_ONCE) : 0;
    if (part)
        page = reclaim_pick_from(a, &left);
    *scan -= MIN(*scan, part - left + 1);
    spin_unlock(&lru_lock);
    return page;
}

#define LOOKS_AT_ONCE 64 /* before it yields */
static u64 reclaim_round(struct account *account, u64 n, bool low)
{
    u64 done = 0, scan = account ? 8 * n + 1024 : 4 * n + 4096;

    for (u64 looks = 1; done < n && scan && READ_ONCE(lru_pages.count); looks++) {
        struct page *page;
        struct mem_object *obj;

        if (looks % LOOKS_AT_ONCE == 0)
            vm_pause();
        page = reclaim_pick(account, low, &scan);
        if (!page)
            continue;
        obj = page->object;
        ASSERT_HELD(&obj->lock);
        if (reclaim_page_locked(obj, page))
            done++;
        else if (!page_flag_test(page, PG_DIRTY | PG_WRITEBACK))
            object_lru_add(page);
        spin_unlock(&obj->lock);
    }
    return done;
}

u64 reclaim_pages(struct account *account, u64 n)
{
    u64 done;

    if (account == &account_root_memory)
        account = NULL;
    done = reclaim_round(account, n, true);
    if (!done)
        done = reclaim_round(account, n, false);
    COUNT_ADD(reclaimed, done);
    return done;
}

u64 mem_object_drop_clean(struct mem_object *obj, u64 from, u64 to)
{
    u64 index = from, done = 0;
    struct page *page;
    unsigned left = DROP_AT_ONCE;

    if (!obj->ops->read_run)
        return 0;
    spin_lock(&obj->lock);
    while ((page = xa_next(&obj->pages, &index)) && index < to) {
        object_lru_del(page);
        if (reclaim_page_locked(obj, page))
            done++;
        else if (!page_flag_test(page, PG_DIRTY | PG_WRITEBACK))
            object_lru_add(page);
        if (++index == 0)
            break;
        if (--left)
            continue;
        spin_unlock(&obj->lock);
        vm_pause();
        spin_lock(&obj->lock);
        left = DROP_AT_ONCE;
    }
    spin_unlock(&obj->lock);
    return done;
}

/* The first page of [*index, to), a reference, or NULL; *index becomes its place. */
static struct page *object_next_page(struct mem_object *obj, u64 *index, u64 to)
{
    struct page *page;

    spin_lock(&obj->lock);
    page = *index < to ? xa_next(&obj->pages, index) : NULL;
    if (page && *index >= to)
        page = NULL;
    if (page)
        page_get(page);
    spin_unlock(&obj->lock);
    return page;
}

bool mem_object_forget(struct mem_object *obj, u64 from, u64 to)
{
    u64 index = from;
    unsigned tries = 0;
    struct page *page;
    bool all = true;

    (void)mem_object_drop_clean(obj, from, to);
    while ((page = object_next_page(obj, &index, to))) {
        bool dirty;

        page_wait(page, PG_LOCKED | PG_WRITEBACK);
        dirty = page_flag_test(page, PG_DIRTY);
        page_put(page);
        if (!dirty && mem_object_drop_clean(obj, index, index + 1)) {
            tries = 0;
        } else if (dirty || ++tries == FORGET_TRIES) {
            all = false;
            tries = 0;
            index++;
        } else {
            (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
        }
    }
    return all;
}

u64 reclaim_cached_pages(void)
{
    return READ_ONCE(lru_pages.count);
}

static u64 reclaim_drop(void)
{
    return reclaim_pages(NULL, reclaim_cached_pages());
}
CACHE_KIND("20") = {"file pages", reclaim_drop};
