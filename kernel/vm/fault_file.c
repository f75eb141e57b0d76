/* SPDX-License-Identifier: MIT
 *
 * A page fault's attempt where the area maps an object: its cached pages, private copies of them,
 * and devices' frames. With as->lock held for reading.
 */
#include "lib/string.h"
#include "vm/fault_priv.h"

COUNTER(faults_copied);

static u64 fault_index(const struct area *a, u64 addr)
{
    return (addr - a->start + a->offset) >> PAGE_SHIFT;
}

/* The object's pages; what lies beyond them is not to be mapped. */
static u64 fault_pages(const struct mem_object *obj)
{
    return DIV_ROUND_UP(READ_ONCE(obj->size), PAGE_SIZE);
}

static int fault_read_in(struct fault *f, struct mem_object *obj, u64 index)
{
    mem_object_get(obj);
    f->object = obj;
    f->index = index;
    return FAULT_READ_IN;
}

/* A shared mapping may be writable at once where dirty pages are not tracked. */
static bool fault_untracked(const struct area *a)
{
    return !mem_object_tracked(a->object);
}

static unsigned fault_file_prot(const struct area *a)
{
    bool writable = (a->flags & AREA_SHARED) && fault_untracked(a);

    return writable ? a->prot : pte_prot_unwritten(a->prot);
}

/* Maps the cached neighbours of f->addr too. The object's lock and pt_lock are held. */
static unsigned fault_around(struct fault *f, u64 *slot, unsigned prot)
{
    struct area *a = f->area;
    u64 window = AROUND_PAGES << PAGE_SHIFT, start = ALIGN_DOWN(f->addr, window);
    u64 end = MIN(start + window, a->end), rights = pte_rights(prot);
    u64 index, pages = fault_pages(a->object);
    unsigned n = 0;

    start = MAX(start, a->start);
    index = fault_index(a, start);
    slot -= (f->addr - start) >> PAGE_SHIFT;
    /* A truncation lowers the size, then zaps under pt_lock: after us, if it has not done so yet.
     */
    for (u64 va = start; va < end && index < pages; va += PAGE_SIZE, slot++, index++) {
        struct page *page = *slot ? NULL : xa_load(&a->object->pages, index);

        if (!page || !page_flag_test(page, PG_UPTODATE))
            continue;
        page_get(page);
        atomic_inc(&page->share);
        WRITE_ONCE(*slot, page_hpa(page).v | rights | (va == f->addr ? PTE_A : 0));
        n++;
    }
    return n;
}

static int fault_file_map(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    u64 index = fault_index(f->area, f->addr);
    struct page *page;

    spin_lock(&obj->lock);
    page = xa_load(&obj->pages, index);
    if (!page || !page_flag_test(page, PG_UPTODATE)) {
        spin_unlock(&obj->lock);
        return fault_read_in(f, obj, index);
    }
    if (!(page->flags & PG_REFERENCED))
        page_flag_set(page, PG_REFERENCED);
    spin_lock(&f->as->pt_lock);
    f->as->rss_file += fault_around(f, slot, fault_file_prot(f->area));
    spin_unlock(&f->as->pt_lock);
    spin_unlock(&obj->lock);
    /* A tracked shared page is mapped read-only first, and made writable by the next round. */
    return fault_writes(f) && !fault_untracked(f->area) ? FAULT_AGAIN : 0;
}

static int fault_file_copy(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    u64 index = fault_index(f->area, f->addr);
    struct page *from = mem_object_peek(obj, index), *page;
    int err;

    if (!from)
        return fault_read_in(f, obj, index);
    if (!page_flag_test(from, PG_UPTODATE)) {
        page_put(from);
        return fault_read_in(f, obj, index);
    }
    page = charge_anon_alloc(f->as, 0, &f->failed);
    if (!page) {
        page_put(from);
        return FAULT_RELIEVE;
    }
    COUNT(faults_copied);
    memcpy(page_virt(page), page_virt(from), PAGE_SIZE);
    page_put(from);
    __atomic_fetch_or(&f->area->flags, AREA_COWED, __ATOMIC_RELAXED);
    err = fault_install_new(f, slot, page);
    /* pt_lock orders this: truncation lowers size and then zaps, we install and then look. */
    if (!err && unlikely(index >= fault_pages(obj))) {
        zap_range(f->as, f->addr, f->addr + PAGE_SIZE, true);
        err = -EIO;
    }
    return err;
}

static int fault_device(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    unsigned prot = f->prot, caching = 0;
    hpa_t pa;
    int err = obj->ops->frame(obj, fault_index(f->area, f->addr), &pa, &caching);

    if (err)
        return err;
    if (!(f->flags & AREA_SHARED))
        prot = pte_prot_unwritten(prot);
    fault_install(f, slot, 0, pt_native.leaf(pa, prot | PT_USER | caching, 0) | PTE_SPECIAL, 0, 0);
    return fault_writes(f) && !(prot & PT_WRITE) ? FAULT_AGAIN : 0;
}

int fault_file(struct fault *f, u64 *slot)
{
    if (fault_index(f->area, f->addr) >= fault_pages(f->area->object))
        return -EIO;
    if (f->area->object->ops->frame)
        return fault_device(f, slot);
    if (fault_writes(f) && !(f->flags & AREA_SHARED))
        return fault_file_copy(f, slot);
    return fault_file_map(f, slot);
}

/* The object is asked without as->lock, the page stays locked till the right is given: write-back,
 * which takes pages and rights away under the page's lock, does not come in between. */
int fault_write_shared(struct fault *f, u64 *slot, u64 entry, struct page *page)
{
    struct mem_object *obj = f->area->object;

    if (page != f->granted) {
        mem_object_get(obj);
        f->object = obj;
        f->page = page;
        return FAULT_MAKE_WRITABLE;
    }
    /* Writable first, dirty after: see mem_object_dirty. */
    if (fault_install(f, slot, entry, entry | PTE_W | PTE_D, 0, 0))
        mem_object_dirty(obj, page);
    page_put(page);
    return 0;
}
