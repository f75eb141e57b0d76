/* SPDX-License-Identifier: MIT
 *
 * Output: dirty pages go to the store in runs. For each run the pages are locked, the store finds
 * their place (which may take a transaction), then they become clean and under write-back in one
 * step, lose the right to be written through mappings, and are handed over.
 *
 * A sync marks what is dirty at its call and writes that: what others dirty meanwhile is not its
 * business, so it ends.
 */
#include "lib/log.h"
#include "vm/object.h"
#include "vm/vm_priv.h"

#define MARK_AT_ONCE 256 /* pages marked without a pause */

COUNTER(writeback_runs);
COUNTER(writeback_pages);
COUNTER(writeback_errors);

static void dirty_mark_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    bool first = !xa_any_marked(&obj->pages, MARK_DIRTY);

    ASSERT_HELD(&obj->lock);
    xa_set_mark(&obj->pages, page->index, MARK_DIRTY);
    object_lru_del(page);
    dirty_count(page, 1, 0);
    if (first)
        obj->ops->dirtied(obj);
}

void mem_object_dirty(struct mem_object *obj, struct page *page)
{
    if (!mem_object_tracked(obj))
        return;
    /* What was written, or made writable, before the mark is looked at: pairs with
     * write_clean_locked, which clears the mark (a full barrier) and then takes the right and the
     * contents. */
    smp_mb();
    if (page_flag_test(page, PG_DIRTY))
        return;
    spin_lock(&obj->lock);
    if (xa_load(&obj->pages, page->index) == page && !(page_flag_set(page, PG_DIRTY) & PG_DIRTY))
        dirty_mark_locked(obj, page);
    spin_unlock(&obj->lock);
}

bool mem_object_is_dirty(const struct mem_object *obj)
{
    return xa_any_marked(&obj->pages, MARK_DIRTY);
}

/* Marks what is dirty of the range, so that what gets dirty later is distinguished. */
static void write_tag(struct mem_object *obj, const struct write_control *wc)
{
    u64 index = wc->from;
    unsigned left = MARK_AT_ONCE;

    spin_lock(&obj->lock);
    while (xa_next_marked(&obj->pages, &index, MARK_DIRTY) && index < wc->to) {
        xa_set_mark(&obj->pages, index, MARK_TOWRITE);
        index++;
        if (--left)
            continue;
        spin_unlock(&obj->lock);
        cond_yield();
        spin_lock(&obj->lock);
        left = MARK_AT_ONCE;
    }
    spin_unlock(&obj->lock);
}

/* The next page to write at or behind *index, with a reference; NULL: none. What lies behind the
 * end stays: it belongs to a write that has not moved the end yet. */
static struct page *write_next(struct mem_object *obj, u64 *index, const struct write_control *wc)
{
    u64 to = MIN(wc->to, DIV_ROUND_UP(READ_ONCE(obj->size), PAGE_SIZE));
    struct page *page;

    spin_lock(&obj->lock);
    page = xa_next_marked(&obj->pages, index, wc->why == WRITE_SYNC ? MARK_TOWRITE : MARK_DIRTY);
    if (page && *index < to)
        page_get(page);
    else
        page = NULL;
    spin_unlock(&obj->lock);
    return page;
}

/* The page is dirty, and not being written already: then it is locked, else false. */
static bool write_take(struct mem_object *obj, struct page *page, const struct write_control *wc)
{
    bool sync = wc->why == WRITE_SYNC;

    for (;;) {
        if (!page_trylock(page)) {
            if (!sync)
                return false;
            page_lock(page);
        }
        if (!page_flag_test(page, PG_DIRTY) || !object_holds(obj, page))
            break;
        if (!page_flag_test(page, PG_WRITEBACK))
            return true;
        page_unlock(page); /* what it is being written with is not what it has now */
        if (!sync)
            return false;
        page_wait(page, PG_WRITEBACK);
    }
    spin_lock(&obj->lock);
    if (xa_load(&obj->pages, page->index) == page)
        xa_clear_mark(&obj->pages, page->index, MARK_TOWRITE);
    spin_unlock(&obj->lock);
    page_unlock(page);
    return false;
}

/* The neighbour behind the run, if it is dirty and can be had at once. */
static struct page *write_neighbour(struct mem_object *obj, u64 index,
                                    const struct write_control *wc)
{
    u64 at = index;
    struct page *page = write_next(obj, &at, wc);

    if (!page)
        return NULL;
    if (at == index && page_trylock(page)) {
        if (page_flag_test(page, PG_DIRTY) && !page_flag_test(page, PG_WRITEBACK) &&
            object_holds(obj, page))
            return page;
        page_unlock(page);
    }
    page_put(page);
    return NULL;
}

static void write_gather(struct mem_object *obj, struct page *first, struct page_run *run,
                         const struct write_control *wc)
{
    *run = (struct page_run){.index = first->index, .n = 1, .pages = {first}};
    while (run->n < PAGE_RUN_MAX) {
        struct page *page = write_neighbour(obj, run->index + run->n, wc);

        if (!page)
            break;
        run->pages[run->n++] = page;
    }
}

/* Clean, and under write-back, in one step. */
static void write_clean_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    ASSERT_HELD(&obj->lock);
    page_flag_clear(page, PG_DIRTY);
    page_flag_set(page, PG_WRITEBACK);
    xa_clear_mark(&obj->pages, page->index, MARK_DIRTY);
    xa_clear_mark(&obj->pages, page->index, MARK_TOWRITE);
    xa_set_mark(&obj->pages, page->index, MARK_WRITING);
    dirty_count(page, -1, 1);
}

static void write_fail(struct mem_object *obj, int err)
{
    COUNT(writeback_errors);
    errseq_set(&obj->error, err);
    if (obj->store_error)
        errseq_set(obj->store_error, err);
}

/* No place was found: the pages stay dirty, or are given up. */
static void write_refused(struct mem_object *obj, struct page_run *run, int err)
{
    spin_lock(&obj->lock);
    for (unsigned i = 0; i < run->n; i++) {
        struct page *page = run->pages[i];

        if (err == -EAGAIN) {
            xa_clear_mark(&obj->pages, page->index, MARK_TOWRITE);
            continue;
        }
        object_clean_locked(obj, page);
        if (obj->ops->read_run)
            object_lru_add(page);
    }
    spin_unlock(&obj->lock);
    if (err == -EAGAIN)
        return;
    protect_object_run(obj, run);
    write_fail(obj, err);
}

static void write_send(struct mem_object *obj, struct page_run *run, struct write_control *wc)
{
    int err = obj->ops->place_run ? obj->ops->place_run(obj, run, wc) : 0;

    if (err) {
        wc->left_out |= err == -EAGAIN;
        write_refused(obj, run, err);
        return;
    }
    spin_lock(&obj->lock);
    for (unsigned i = 0; i < run->n; i++)
        write_clean_locked(obj, run->pages[i]);
    spin_unlock(&obj->lock);
    protect_object_run(obj, run);
    COUNT(writeback_runs);
    COUNT_ADD(writeback_pages, run->n);
    wc->written += run->n;
}

/* Locked pages become a run under write-back, or not; then they are unlocked and handed over. */
static void write_run(struct mem_object *obj, struct page_run *run, struct write_control *wc)
{
    u64 before = wc->written;

    write_send(obj, run, wc);
    for (unsigned i = 0; i < run->n; i++)
        page_unlock(run->pages[i]);
    if (wc->written == before)
        return;
    if (FAILPOINT(object_write))
        for (unsigned i = 0; i < run->n; i++)
            page_write_end(run->pages[i], -EIO);
    else
        obj->ops->write_run(obj, run, wc);
}

void mem_object_write_back(struct mem_object *obj, struct write_control *wc)
{
    u64 index = wc->from, before = wc->written;
    struct page_run run;
    struct page *page;

    if (!mem_object_tracked(obj))
        return;
    if (wc->why == WRITE_SYNC)
        write_tag(obj, wc);
    while ((wc->why == WRITE_SYNC || wc->written - before < wc->budget) &&
           (page = write_next(obj, &index, wc))) {
        if (!write_take(obj, page, wc)) {
            wc->left_out |= page_flag_test(page, PG_DIRTY);
            page_put(page);
            index++;
            cond_yield();
            continue;
        }
        write_gather(obj, page, &run, wc);
        index = run.index + run.n;
        write_run(obj, &run, wc);
        for (unsigned i = 0; i < run.n; i++)
            page_put(run.pages[i]);
        cond_yield();
    }
}

void mem_object_wait(struct mem_object *obj, u64 from, u64 to)
{
    u64 index = from;
    struct page *page;

    for (;;) {
        spin_lock(&obj->lock);
        page = xa_next_marked(&obj->pages, &index, MARK_WRITING);
        if (page && index < to)
            page_get(page);
        else
            page = NULL;
        spin_unlock(&obj->lock);
        if (!page)
            return;
        page_wait(page, PG_WRITEBACK);
        page_put(page);
        if (++index == 0)
            return;
        cond_yield();
    }
}

void mem_object_sync(struct mem_object *obj, u64 from, u64 to)
{
    struct write_control wc = {.why = WRITE_SYNC, .from = from, .to = to};

    mem_object_write_back(obj, &wc);
    mem_object_wait(obj, from, to);
}

/* The last look at page and object: a thread that waits to take the page out looks at the flag with
 * object->lock held. */
static void write_end_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    ASSERT_HELD(&obj->lock);
    xa_clear_mark(&obj->pages, page->index, MARK_WRITING);
    dirty_count(page, 0, -1);
    if (!page_flag_test(page, PG_DIRTY) && obj->ops->read_run)
        object_lru_add(page);
    page_flag_release(page, PG_WRITEBACK);
}

void page_write_end(struct page *page, int err)
{
    struct mem_object *obj = page->object;

    DEBUG_ASSERT(page_flag_test(page, PG_WRITEBACK));
    if (unlikely(err))
        write_fail(obj, err);
    spin_lock(&obj->lock);
    write_end_locked(obj, page);
    spin_unlock(&obj->lock);
}

void page_write_again(struct page *page)
{
    struct mem_object *obj = page->object;

    DEBUG_ASSERT(page_flag_test(page, PG_WRITEBACK));
    spin_lock(&obj->lock);
    if (!(page_flag_set(page, PG_DIRTY) & PG_DIRTY))
        dirty_mark_locked(obj, page);
    write_end_locked(obj, page);
    spin_unlock(&obj->lock);
}
