/* SPDX-License-Identifier: MIT
 *
 * Input: pages that are not there come from the store in runs, the one that is needed with its
 * neighbours. Those that a reader will want next are asked for while it still has the last ones:
 * the window doubles with each stretch that was read in order.
 *
 * A page is put into the cache locked and not up to date; from then on others find it and wait.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "vm/iov.h"
#include "vm/object.h"
#include "vm/vm_priv.h"

#define AHEAD_FIRST 4U /* pages of a first window beyond what is asked for */

COUNTER(object_runs_read);
COUNTER(object_pages_read);

static void run_send(struct mem_object *obj, struct page_run *run)
{
    if (!run->n)
        return;
    COUNT(object_runs_read);
    COUNT_ADD(object_pages_read, run->n);
    if (FAILPOINT(object_read))
        for (unsigned i = 0; i < run->n; i++)
            page_read_end(run->pages[i], -EIO);
    else
        obj->ops->read_run(obj, run);
    run->n = 0;
}

static void run_add(struct mem_object *obj, struct page_run *run, struct page *page)
{
    if (run->n && (run->n == PAGE_RUN_MAX || run->index + run->n != page->index))
        run_send(obj, run);
    if (!run->n)
        run->index = page->index;
    run->pages[run->n++] = page;
}

void page_read_end(struct page *page, int err)
{
    struct mem_object *obj = page->object;
    u64 size = READ_ONCE(obj->size);

    DEBUG_ASSERT(page_flag_test(page, PG_LOCKED) && !page_flag_test(page, PG_UPTODATE));
    if (!err) {
        if (size >> PAGE_SHIFT == page->index)
            memset((char *)page_virt(page) + (size & (PAGE_SIZE - 1)), 0,
                   PAGE_SIZE - (size & (PAGE_SIZE - 1)));
        page_flag_set(page, PG_UPTODATE);
    }
    page_unlock(page); /* from here on it may leave the cache */
}

/* A new page, locked, in the cache. -EEXIST: one is there. */
static int read_new_page(struct mem_object *obj, u64 index, bool needed, struct page **out)
{
    struct page *page = needed ? object_page_new(obj, index, 0) : object_page_try(obj, index);
    int err;

    if (!page)
        return -ENOMEM;
    page->flags |= PG_LOCKED;
    err = object_page_insert(obj, page);
    if (err) {
        page->flags &= ~(u32)PG_LOCKED;
        page->object = NULL;
        page_put(page);
        return err;
    }
    *out = page;
    return 0;
}

/* Those of [first, end) that are not there. */
static void read_stretch(struct mem_object *obj, u64 first, u64 end, u64 mark)
{
    struct page_run run = {.n = 0};
    struct page *page;

    for (u64 i = first; i < end; i++) {
        int err = object_has_page(obj, i) ? -EEXIST : read_new_page(obj, i, false, &page);

        if (err == -EEXIST)
            continue;
        if (err)
            break; /* no memory, or no space: what is read ahead can wait */
        if (i == mark)
            page_flag_set(page, PG_AHEAD);
        run_add(obj, &run, page);
        page_put(page); /* the cache's stays while it is locked */
    }
    run_send(obj, &run);
}

static u64 object_pages(const struct mem_object *obj)
{
    return DIV_ROUND_UP(READ_ONCE(obj->size), PAGE_SIZE);
}

void mem_object_read_ahead(struct mem_object *obj, u64 first, u64 n)
{
    u64 pages = object_pages(obj);

    if (obj->ops->read_run && first < pages)
        read_stretch(obj, first, first + MIN(n, pages - first), U64_MAX);
}

/* For the end of an input that this thread has asked for: 0, -EIO, -EINTR. */
static int read_wait(struct page *page)
{
    int err = page_wait_killable(page, PG_LOCKED);

    return err ? err : page_flag_test(page, PG_UPTODATE) ? 0 : -EIO;
}

/* Not up to date: waits for the input under way, or reads it alone. 0, -EIO, -EINTR; -EAGAIN: it
 * has left the cache. */
static int read_again(struct mem_object *obj, struct page *page)
{
    struct page_run run = {.index = page->index, .n = 1, .pages = {page}};
    int err = page_lock_killable(page);

    if (err)
        return err;
    if (!object_holds(obj, page))
        err = -EAGAIN;
    if (err || page_flag_test(page, PG_UPTODATE)) {
        page_unlock(page);
        return err;
    }
    if (!obj->ops->read_run) {
        page_unlock(page);
        return -EIO;
    }
    run_send(obj, &run);
    return read_wait(page);
}

static int read_uptodate(struct mem_object *obj, struct page *page)
{
    return likely(page_flag_test(page, PG_UPTODATE)) ? 0 : read_again(obj, page);
}

/* The page at index, which is needed, is in the cache afterwards, and asked for; with it, without
 * waiting for memory, others of [first, end). A reference in *out. */
static int read_around(struct mem_object *obj, u64 index, u64 first, u64 end, u64 mark,
                       struct page **out)
{
    struct page *page;
    struct page_run run = {.n = 0};
    int err = read_new_page(obj, index, true, &page);

    if (err)
        return err;
    /* It lies locked in the cache: nothing sleeps for memory until it is on its way. */
    *out = page;
    if (first < index)
        read_stretch(obj, first, index, mark);
    run_add(obj, &run, page);
    for (u64 i = index + 1; i < end && !object_has_page(obj, i); i++) {
        if (read_new_page(obj, i, false, &page))
            break;
        if (i == mark)
            page_flag_set(page, PG_AHEAD);
        run_add(obj, &run, page);
        page_put(page);
    }
    run_send(obj, &run);
    return 0;
}

int object_page_read(struct mem_object *obj, u64 index, u64 first, u64 end, u64 mark,
                     struct page **out)
{
    struct page *page;
    int err;

    end = MIN(end, object_pages(obj));
    for (;;) {
        page = mem_object_peek(obj, index);
        if (page) {
            err = read_uptodate(obj, page);
        } else {
            err = read_around(obj, index, first, end, mark, &page);
            if (err == -EEXIST)
                continue;
            if (err)
                return err == -ENOMEM && vm_killed() ? -EINTR : err;
            err = read_wait(page);
        }
        if (!err)
            break;
        page_put(page);
        if (err != -EAGAIN)
            return err;
    }
    *out = page;
    return 0;
}

/* How far to read beyond what is asked for, [index, end), and where the reader shall start the next
 * stretch. */
static u64 ahead_window(struct read_ahead *ahead, u64 index, u64 end, u64 *mark)
{
    u32 window = READ_ONCE(ahead->window);
    u64 next = READ_ONCE(ahead->next);

    *mark = U64_MAX;
    if (window == READ_AHEAD_NONE)
        return end;
    if (index != next && index + 1 != next) { /* elsewhere: no more than is asked for */
        WRITE_ONCE(ahead->window, 0);
        return MIN(end, index + READ_AHEAD_MAX);
    }
    window = window ? MIN(2 * window, READ_AHEAD_MAX) : AHEAD_FIRST;
    window = (u32)MAX((u64)window, MIN(end - index, (u64)READ_AHEAD_MAX));
    WRITE_ONCE(ahead->window, window);
    WRITE_ONCE(ahead->end, index + window);
    *mark = index + window / 2;
    return index + window;
}

int object_read_page(struct mem_object *obj, u64 index, u64 end, struct read_ahead *ahead,
                     struct page **out)
{
    u64 mark = U64_MAX;

    if (!obj->ops->read_run)
        return mem_object_page(obj, index, false, out);
    if (ahead)
        end = ahead_window(ahead, index, end, &mark);
    return object_page_read(obj, index, index, MIN(end, index + READ_AHEAD_MAX), mark, out);
}

void object_ahead_reached(struct mem_object *obj, struct page *page, struct read_ahead *ahead)
{
    u64 from, pages = object_pages(obj);
    u32 window;

    page_flag_clear(page, PG_AHEAD);
    if (!ahead || READ_ONCE(ahead->window) == READ_AHEAD_NONE)
        return;
    from = MAX(READ_ONCE(ahead->end), page->index + 1);
    window = MIN(MAX(2 * READ_ONCE(ahead->window), AHEAD_FIRST), READ_AHEAD_MAX);
    if (from >= pages)
        return;
    WRITE_ONCE(ahead->window, window);
    WRITE_ONCE(ahead->end, from + window);
    read_stretch(obj, from, MIN(from + window, pages), from);
}
