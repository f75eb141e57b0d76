/* SPDX-License-Identifier: MIT
 *
 * Taking pages out of an object and of every mapping. Both may be as many as programs have made, so
 * the work is done in batches, and others run in between.
 *
 * Pages leave the cache first: a fault finds pages there alone, under object->lock, so no mapping
 * of theirs is new from then on. Then the mappings go. The walk over the areas pauses, and an area
 * may be moved behind it meanwhile (mremap, then a merge): the walk is repeated while page->share
 * says that a mapping is left.
 *
 * Private copies beyond a new end go too (even_cow); size was lowered before, and a fault looks at
 * it once more when it has made one.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "vm/object.h"
#include "vm/vm_priv.h"

#define BATCH_PAGES 64
#define BATCH_SPAN 2048 /* pages from the first to the last of a batch */

struct truncate_batch {
    struct page *pages[BATCH_PAGES];
    unsigned n;
    u64 first, end; /* indices */
};

struct area *object_next_area(struct mem_object *obj, struct list_node *at)
{
    ASSERT_HELD(&obj->lock);
    while ((at = at->next) != &obj->areas) {
        struct area *a = list_entry(at, struct area, object_node);

        if (likely(a->aspace))
            return a;
    }
    return NULL;
}

/* Zaps what a shows of [from, to), a stretch of it: the index to go on from, `to` when that is all.
 */
static u64 truncate_area_locked(struct area *a, u64 from, u64 to, bool even_cow)
    REQUIRES(a->object->lock)
{
    u64 first = a->offset >> PAGE_SHIFT, n = (a->end - a->start) >> PAGE_SHIFT;
    u64 lo = MAX(from, first), hi = MIN(to, first + n), start, end, stop;
    int err;

    ASSERT_HELD(&a->object->lock);
    if (lo >= hi)
        return to;
    start = a->start + ((lo - first) << PAGE_SHIFT);
    end = a->start + ((hi - first) << PAGE_SHIFT);
    spin_lock(&a->aspace->pt_lock);
    stop = pte_stretch(&a->aspace->pt, start, end);
    err = zap_range_locked(a->aspace, start, stop, even_cow);
    spin_unlock(&a->aspace->pt_lock);
    ASSERT(!err); /* an area with an object has no 2 MiB leaf */
    return stop == end ? to : lo + ((stop - start) >> PAGE_SHIFT);
}

/* Removes the mappings of [from, to) from all areas. Context: may sleep. */
static void truncate_mappings(struct mem_object *obj, u64 from, u64 to, bool even_cow)
{
    struct area cursor = {.aspace = NULL}, *a, *in = NULL;
    unsigned left = OBJECT_AREAS_MANY;
    u64 at = from;

    spin_lock(&obj->lock);
    list_add(&obj->areas, &cursor.object_node);
    while ((a = object_next_area(obj, &cursor.object_node))) {
        ASSERT_HELD(&a->object->lock); /* the same lock, as the callee names it */
        at = truncate_area_locked(a, a == in ? at : from, to, even_cow);
        in = a;
        if (at == to) {
            list_del(&cursor.object_node);
            list_add(&a->object_node, &cursor.object_node);
            in = NULL;
        }
        if (at != to || !--left) {
            spin_unlock(&obj->lock);
            vm_pause();
            spin_lock(&obj->lock);
            left = OBJECT_AREAS_MANY;
        }
    }
    list_del(&cursor.object_node);
    spin_unlock(&obj->lock);
}

bool object_unmap_page_locked(struct mem_object *obj, struct page *page)
{
    unsigned left = OBJECT_AREAS_MANY;
    struct area *a;

    ASSERT_HELD(&obj->lock);
    object_for_each_area (a, obj) {
        if (!atomic_read(&page->share) || !--left)
            break;
        ASSERT_HELD(&a->object->lock); /* the same lock, as the callee names it */
        (void)truncate_area_locked(a, page->index, page->index + 1, false);
    }
    return !atomic_read(&page->share);
}

static void truncate_wait_io(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    ASSERT_HELD(&obj->lock);
    page_get(page);
    spin_unlock(&obj->lock);
    page_wait(page, PG_LOCKED | PG_WRITEBACK);
    page_put(page);
    spin_lock(&obj->lock);
}

static void truncate_take_page_locked(struct mem_object *obj, struct page *page) REQUIRES(obj->lock)
{
    ASSERT_HELD(&obj->lock);
    object_clean_locked(obj, page);
    xa_erase(&obj->pages, page->index);
    object_uncount_locked(obj, 1);
    object_lru_del(page);
    object_count_page(obj, page, -1);
}

/* Out of the cache: the next pages at or after *index. False: there are none below to. */
static bool truncate_take(struct mem_object *obj, u64 *index, u64 to, struct truncate_batch *b)
{
    struct page *page;

    b->n = 0;
    spin_lock(&obj->lock);
    while (b->n < BATCH_PAGES && *index < to && (page = xa_next(&obj->pages, index)) &&
           *index < to) {
        if (b->n && *index - b->first >= BATCH_SPAN)
            break;
        if (page_flag_test(page, PG_LOCKED | PG_WRITEBACK)) {
            truncate_wait_io(obj, page);
            continue; /* it may have gone meanwhile: look again */
        }
        truncate_take_page_locked(obj, page);
        if (!b->n)
            b->first = *index;
        b->end = ++*index;
        b->pages[b->n++] = page;
    }
    spin_unlock(&obj->lock);
    return b->n;
}

static bool truncate_mapped(const struct truncate_batch *b)
{
    for (unsigned i = 0; i < b->n; i++)
        if (atomic_read(&b->pages[i]->share))
            return true;
    return false;
}

void mem_object_truncate(struct mem_object *obj, u64 from, u64 to)
{
    struct truncate_batch b;
    u64 index = from;

    if (to == U64_MAX && !list_empty(&obj->areas))
        truncate_mappings(obj, from, to, true);
    while (truncate_take(obj, &index, to, &b)) {
        while (truncate_mapped(&b)) {
            truncate_mappings(obj, b.first, b.end, false);
            vm_pause();
        }
        for (unsigned i = 0; i < b.n; i++)
            page_put(b.pages[i]);
        vm_pause();
    }
}

/* Zeroes what lies from `at` on in its page, if that page is there. */
static void truncate_zero_rest(struct mem_object *obj, u64 at)
{
    struct page *page = at % PAGE_SIZE ? mem_object_peek(obj, at >> PAGE_SHIFT) : NULL;

    if (!page)
        return;
    if (page_flag_test(page, PG_UPTODATE)) /* else page_read_end clears it */
        memset((char *)page_virt(page) + at % PAGE_SIZE, 0, PAGE_SIZE - at % PAGE_SIZE);
    page_put(page);
}

void mem_object_shrink(struct mem_object *obj, u64 size)
{
    WRITE_ONCE(obj->size, size);
    mem_object_truncate(obj, DIV_ROUND_UP(size, PAGE_SIZE), U64_MAX);
    truncate_zero_rest(obj, size);
}
