/* SPDX-License-Identifier: MIT
 *
 * The kernel's own mappings between VMAP_BASE and VMAP_END: page by page memory (vmap_alloc) and
 * device registers (mmio_map). Each area ends in an unmapped guard page, and the first page of all
 * is one, so every area lies between two.
 *
 * A freed area is unmapped at once but its pages, page tables and addresses are given out again
 * only after all CPUs have flushed: it waits on the purge list until enough has gathered. Then a
 * thread of the layer above purges: one flush for PURGE_PAGES, which are given back GIVE_PAGES at a
 * time.
 *
 * Lock order: vmap_lock, then section_lock, cache locks, buddy_lock. Interrupts are off under it.
 */
#include "arch/x86/regs.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/rbtree.h"
#include "mm/mm_boot.h"
#include "mm/mm_priv.h"
#include "mm/pgtable.h"
#include "mm/slab.h"
#include "mm/up.h"
#include "sync/spinlock.h"

#define PURGE_PAGES 1024
#define GIVE_PAGES 64

struct vmap_area {
    union {
        struct rb_node node;    /* in vmap_free_tree or vmap_busy_tree, by start */
        struct list_node pages; /* in vmap_purge_list: its pages, through page->node */
    };
    struct list_node purge; /* in vmap_purge_list, then in vmap_flushed_list */
    u64 start, size;        /* bytes, guard page included */
    u64 gap;                /* free areas: the largest size in this subtree */
};

/* v: vmap_lock, all of it */
static struct spinlock vmap_lock = SPINLOCK_INIT(RANK_MM, 12, "vmap");
static void vmap_augment(struct rb_node *node);
static struct rb_root vmap_free_tree = {.augment = vmap_augment};
static struct rb_root vmap_busy_tree;
static LIST_HEAD(vmap_purge_list); /* areas */
static LIST_HEAD(vmap_flushed_list);
static u64 vmap_purge_count; /* pages of address space that wait in vmap_purge_list */
static u64 vmap_purging;     /* pages that have been taken off it and are not free yet */
static struct slab_cache *vmap_cache __ro_after_init;

static inline struct vmap_area *vmap_of(struct rb_node *node)
{
    return rb_entry(node, struct vmap_area, node);
}

static void vmap_augment(struct rb_node *node)
{
    struct vmap_area *a = vmap_of(node);

    a->gap = a->size;
    if (node->left)
        a->gap = MAX(a->gap, vmap_of(node->left)->gap);
    if (node->right)
        a->gap = MAX(a->gap, vmap_of(node->right)->gap);
}

static bool vmap_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct vmap_area, node)->start < rb_entry(b, struct vmap_area, node)->start;
}

/* The lowest free area of at least that size. */
static struct vmap_area *vmap_find_free(u64 size)
{
    struct rb_node *n = vmap_free_tree.node;

    if (!n || vmap_of(n)->gap < size)
        return NULL;
    for (;;) {
        if (n->left && vmap_of(n->left)->gap >= size)
            n = n->left;
        else if (vmap_of(n)->size >= size)
            return vmap_of(n);
        else
            n = n->right;
    }
}

/* The free tree is augmented, so its roots must be told of a changed size. */
static bool vmap_carve(struct vmap_area *a, u64 size)
{
    struct vmap_area *f = vmap_find_free(size);

    if (!f)
        return false;
    a->start = f->start;
    a->size = size;
    if (f->size == size) {
        rb_erase(&vmap_free_tree, &f->node);
        slab_free(vmap_cache, f);
    } else {
        f->start += size;
        f->size -= size;
        rb_augment_up(&vmap_free_tree, &f->node);
    }
    rb_insert(&vmap_busy_tree, &a->node, vmap_less);
    return true;
}

/* Gives the addresses of `a` back and joins them with free neighbours. */
static void vmap_give(struct vmap_area *a)
{
    struct rb_node *prev, *next;

    rb_insert(&vmap_free_tree, &a->node, vmap_less);
    prev = rb_prev(&a->node);
    if (prev && vmap_of(prev)->start + vmap_of(prev)->size == a->start) {
        struct vmap_area *p = vmap_of(prev);

        rb_erase(&vmap_free_tree, &a->node);
        p->size += a->size;
        rb_augment_up(&vmap_free_tree, &p->node);
        slab_free(vmap_cache, a);
        a = p;
    }
    next = rb_next(&a->node);
    if (next && a->start + a->size == vmap_of(next)->start) {
        struct vmap_area *n = vmap_of(next);

        rb_erase(&vmap_free_tree, &n->node);
        a->size += n->size;
        rb_augment_up(&vmap_free_tree, &a->node);
        slab_free(vmap_cache, n);
    }
}

/* Global entries go only with CR4.PGE (SDM 3A 4.10.4.1). */
static void vmap_flush_cpu(void)
{
    u64 cr4 = read_cr4();

    write_cr4(cr4 & ~CR4_PGE);
    write_cr4(cr4);
    if (!(cr4 & CR4_PGE))
        write_cr3(read_cr3());
}

/* Moves areas of PURGE_PAGES in all to `areas`; how many pages those have. REQUIRES(vmap_lock) */
static u64 vmap_purge_take_locked(struct list_node *areas) REQUIRES(vmap_lock)
{
    struct vmap_area *a;
    u64 pages = 0;

    ASSERT_HELD(&vmap_lock);
    while (pages < PURGE_PAGES && (a = list_first(&vmap_purge_list, struct vmap_area, purge))) {
        list_del(&a->purge);
        list_add_tail(areas, &a->purge);
        pages += a->size >> PAGE_SHIFT;
    }
    vmap_purge_count -= pages;
    vmap_purging += pages;
    return pages;
}

static void vmap_purge_area(struct vmap_area *a)
{
    struct page *page;
    u64 flags;

    while ((page = list_first(&a->pages, struct page, node))) {
        list_del(&page->node);
        page_put(page);
    }
    spin_lock_irqsave(&vmap_lock, &flags);
    vmap_purging -= a->size >> PAGE_SHIFT;
    vmap_give(a);
    spin_unlock_irqrestore(&vmap_lock, flags);
}

/* The next areas may be given back. */
static void vmap_flush_some(void)
{
    LIST_HEAD(areas);
    struct pgtable dead = {.format = &pt_native};
    u64 flags, pages;

    spin_lock_irqsave(&vmap_lock, &flags);
    pages = vmap_purge_take_locked(&areas);
    dead.retired = pgtable_kernel.retired;
    pgtable_kernel.retired = NULL;
    spin_unlock_irqrestore(&vmap_lock, flags);
    if (!pages)
        return;
    up_run_on_each_cpu(vmap_flush_cpu);
    pgtable_reap(&dead);
    spin_lock_irqsave(&vmap_lock, &flags);
    list_splice_tail(&vmap_flushed_list, &areas);
    spin_unlock_irqrestore(&vmap_lock, flags);
}

/* One of those that were flushed, or NULL. */
static struct vmap_area *vmap_flushed_take(void)
{
    struct vmap_area *a;
    u64 flags;

    spin_lock_irqsave(&vmap_lock, &flags);
    a = list_first(&vmap_flushed_list, struct vmap_area, purge);
    if (a)
        list_del(&a->purge);
    spin_unlock_irqrestore(&vmap_lock, flags);
    return a;
}

bool vmap_purge_some(void)
{
    struct vmap_area *a;
    u64 pages = 0;

    if (list_empty(&vmap_flushed_list))
        vmap_flush_some();
    while (pages < GIVE_PAGES && (a = vmap_flushed_take())) {
        pages += a->size >> PAGE_SHIFT;
        vmap_purge_area(a);
    }
    return !list_empty(&vmap_flushed_list) || READ_ONCE(vmap_purge_count) >= PURGE_PAGES;
}

/* All, and what others are at just now. */
static void vmap_purge(void)
{
    while (READ_ONCE(vmap_purge_count) || READ_ONCE(vmap_purging)) {
        (void)vmap_purge_some();
        cpu_relax();
    }
}

static struct vmap_area *vmap_reserve(u64 size)
{
    struct vmap_area *a = slab_alloc_unpaid(vmap_cache);
    u64 flags;
    bool ok;

    if (!a)
        return NULL;
    spin_lock_irqsave(&vmap_lock, &flags);
    ok = vmap_carve(a, size);
    spin_unlock_irqrestore(&vmap_lock, flags);
    if (!ok) {
        slab_free(vmap_cache, a);
        return NULL;
    }
    return a;
}

static void vmap_unmap_leaf(void *arg, u64 va, u64 entry, unsigned level)
{
    struct list_node *pages = arg;

    if (pages)
        list_add(pages, &page_of(pt_native.address(entry, level))->node);
}

/* Unmaps an area and queues it for the flush. memory: its pages are ours to free. */
static void vmap_retire(u64 start, bool memory)
{
    struct vmap_area *a;
    struct rb_node *n;
    u64 flags, waiting;

    spin_lock_irqsave(&vmap_lock, &flags);
    for (n = vmap_busy_tree.node; n && vmap_of(n)->start != start;)
        n = start < vmap_of(n)->start ? n->left : n->right;
    if (!n)
        panic("vmap_free: %lx is no area", start);
    rb_erase(&vmap_busy_tree, n);
    a = vmap_of(n);
    list_init(&a->pages);
    pgtable_unmap(&pgtable_kernel, start, a->size, vmap_unmap_leaf, memory ? &a->pages : NULL);
    list_add_tail(&vmap_purge_list, &a->purge);
    waiting = vmap_purge_count += a->size >> PAGE_SHIFT;
    spin_unlock_irqrestore(&vmap_lock, flags);
    if (waiting >= PURGE_PAGES)
        up_vmap_gathered();
}

static bool vmap_install(u64 va, hpa_t pa, u64 n, unsigned prot)
{
    u64 flags;
    int err;

    spin_lock_irqsave(&vmap_lock, &flags);
    err = pgtable_map(&pgtable_kernel, va, pa, n, prot | PT_GLOBAL);
    spin_unlock_irqrestore(&vmap_lock, flags);
    return !err;
}

void *vmap_alloc(size_t size)
{
    struct vmap_area *a;

    size = PAGE_ALIGN(size);
    if (!size || size > VMAP_END - VMAP_BASE)
        return NULL;
    a = vmap_reserve(size + PAGE_SIZE);
    if (!a)
        return NULL;
    for (u64 at = 0; at < size; at += PAGE_SIZE) {
        struct page *page = page_alloc(0, 0);

        if (page && vmap_install(a->start + at, page_hpa(page), PAGE_SIZE, PT_READ | PT_WRITE))
            continue;
        if (page)
            page_put(page);
        vmap_retire(a->start, true);
        return NULL;
    }
    return (void *)a->start;
}

void vmap_free(void *p)
{
    if (p)
        vmap_retire((u64)p, true);
}

static void *mmio_map_as(hpa_t pa, size_t size, unsigned cache)
{
    u64 offset = pa.v & ~PAGE_MASK, bytes;
    struct vmap_area *a;

    if (!size || add_overflows(size, offset + PAGE_SIZE - 1, &bytes))
        return NULL;
    bytes &= PAGE_MASK;
    if (bytes > VMAP_END - VMAP_BASE - PAGE_SIZE)
        return NULL;
    a = vmap_reserve(bytes + PAGE_SIZE);
    if (!a)
        return NULL;
    if (!vmap_install(a->start, HPA(pa.v - offset), bytes, PT_READ | PT_WRITE | cache)) {
        vmap_retire(a->start, false);
        return NULL;
    }
    return (void *)(a->start + offset);
}

void *mmio_map(hpa_t pa, size_t size)
{
    return mmio_map_as(pa, size, PT_UNCACHED);
}

void *mmio_map_combining(hpa_t pa, size_t size)
{
    return mmio_map_as(pa, size, PT_WRITECOMBINE);
}

void *vmap_alias(hpa_t pa, size_t size)
{
    return mmio_map_as(pa, size, 0);
}

void mmio_unmap(void *va, size_t size)
{
    if (va)
        vmap_retire((u64)va & PAGE_MASK, false);
}

void slab_shrink_all(void)
{
    up_run_on_each_cpu(up_shrink_cpu);
    vmap_purge();
    up_run_on_each_cpu(slab_shrink_cpu);
    slab_shrink_empty();
    up_run_on_each_cpu(page_cache_drain_cpu);
}

void vmap_init(void)
{
    struct vmap_area *all;

    vmap_cache = slab_cache_create("vmap_area", sizeof(struct vmap_area), 0);
    all = slab_alloc_unpaid(vmap_cache);
    if (!all)
        panic("no memory for vmap");
    all->start = VMAP_BASE + PAGE_SIZE;
    all->size = VMAP_END - all->start;
    rb_insert(&vmap_free_tree, &all->node, vmap_less);
}
