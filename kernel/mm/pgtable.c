/* SPDX-License-Identifier: MIT
 *
 * The walk over four-level tables. Levels count from the leaf: 0 is a page table, 3 the root. A
 * table page that becomes empty is retired, not freed: a CPU may still hold it in its
 * paging-structure caches until the owner has flushed.
 */
#include "mm/pgtable.h"

#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/page.h"

#define ROOT_LEVEL 3
#define KERNEL_HALF 256 /* first root entry of kernel addresses */
#define USER_HALF (1UL << 47)

/* page->private of a table: between which entries it has ever had tables below it, so that its end
 * need not look at all; changed under the lock under which entries are made. The kernel's own have
 * no end, and may have no struct page. */
#define TABLE_SPAN(first, end) ((u64)(end) << 16 | (first))
#define TABLE_FIRST(span) ((unsigned)((span)&0xffff))
#define TABLE_END(span) ((unsigned)((span) >> 16))

struct pgtable pgtable_kernel = {.format = &pt_native};

static inline unsigned pgtable_index(u64 va, unsigned level)
{
    return va >> (PAGE_SHIFT + 9 * level) & 511;
}

/* A table's memory comes before its struct page while the direct map is built. */
static u64 *pgtable_page(const struct pgtable *pt)
{
    hpa_t pa;
    struct page *page;

    if (unlikely(!mm_page_alloc_ready)) {
        pa = mm_alloc_early(PAGE_SIZE);
        page_clear(hpa_virt(pa));
        return hpa_virt(pa);
    }
    /* The kernel's own tables are what more memory is reached through. */
    page = page_alloc_table(pt == &pgtable_kernel ? PA_EMERGENCY : PA_CHARGE);
    if (!page)
        return NULL;
    page->index = 0;
    page->private = TABLE_SPAN(512, 0);
    mm_stat_add(MM_STAT_PAGE_TABLES, 1);
    return page_virt(page);
}

static void pgtable_page_free(u64 *table)
{
    mm_stat_add(MM_STAT_PAGE_TABLES, -1);
    page_put(page_of(HPA((u64)table - DIRECT_MAP)));
}

/* The same for one that is empty. */
static void pgtable_page_free_zeroed(u64 *table)
{
    mm_stat_add(MM_STAT_PAGE_TABLES, -1);
    page_free_zeroed(page_of(HPA((u64)table - DIRECT_MAP)));
}

static u64 *pgtable_down(const struct pgtable *pt, u64 entry, unsigned level)
{
    return hpa_virt(pt->format->address(entry, 0));
}

int pgtable_init(struct pgtable *pt, const struct pt_format *format)
{
    u64 *root = pgtable_page(pt);

    if (!root)
        return -ENOMEM;
    pt->root = HPA((u64)root - DIRECT_MAP);
    pt->format = format;
    pt->tables = 1;
    pt->user = false;
    pt->retired = NULL;
    return 0;
}

int pgtable_init_user(struct pgtable *pt)
{
    const u64 *kernel = hpa_virt(pgtable_kernel.root);
    int err = pgtable_init(pt, &pt_native);
    u64 *root;

    if (err)
        return err;
    pt->user = true;
    root = hpa_virt(pt->root);
    /* Fixed since boot: mm_init makes every kernel root entry that will ever be used. */
    memcpy(root + KERNEL_HALF, kernel + KERNEL_HALF, (512 - KERNEL_HALF) * sizeof(*root));
    return 0;
}

void pgtable_reap(struct pgtable *pt)
{
    struct page *page = pt->retired;

    pt->retired = NULL;
    while (page) {
        struct page *next = page->owner;

        pgtable_page_free_zeroed(page_virt(page));
        page = next;
    }
}

/* The first entry from i on that is not zero, as most are in any format, or end. */
static unsigned pgtable_next_used(const u64 *table, unsigned i, unsigned end)
{
    for (; i + 8 <= end; i += 8) {
        const u64 *e = &table[i];

        if (e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7])
            break;
    }
    while (i < end && !table[i])
        i++;
    return i;
}

/* A process's leaves are gone by now, since they hold references: its tables are empty when the
 * ones below have gone. */
static void pgtable_free_level(struct pgtable *pt, u64 *table, unsigned level)
{
    const struct page *page = virt_page(table);
    bool empty = pt->user && level < ROOT_LEVEL;
    unsigned end = TABLE_END(page->private);
    unsigned i = pgtable_next_used(table, TABLE_FIRST(page->private), end);

    for (; i < end; i = pgtable_next_used(table, i + 1, end)) {
        u64 e = table[i];

        if (!pt->format->present(e) || pt->format->is_leaf(e, level)) {
            empty = false;
            continue;
        }
        table[i] = 0;
        pgtable_free_level(pt, pgtable_down(pt, e, level), level - 1);
    }
    if (empty)
        pgtable_page_free_zeroed(table);
    else
        pgtable_page_free(table);
    pt->tables--;
}

void pgtable_destroy(struct pgtable *pt)
{
    pgtable_reap(pt);
    pgtable_free_level(pt, hpa_virt(pt->root), ROOT_LEVEL);
    pt->root = HPA(0);
}

u64 *pgtable_lookup(struct pgtable *pt, u64 va, unsigned *level)
{
    u64 *table = hpa_virt(pt->root);

    for (unsigned l = ROOT_LEVEL;; l--) {
        u64 *e = &table[pgtable_index(va, l)];
        u64 v = READ_ONCE(*e);

        if (l == 0 || (pt->format->present(v) && pt->format->is_leaf(v, l))) {
            *level = l;
            return e;
        }
        if (!pt->format->present(v)) {
            *level = l;
            return NULL;
        }
        table = pgtable_down(pt, v, l);
    }
}

static void pgtable_note_table(const struct pgtable *pt, const u64 *table, unsigned i)
{
    struct page *page = pt == &pgtable_kernel ? NULL : virt_page(table);

    if (page)
        page->private =
            TABLE_SPAN(MIN(TABLE_FIRST(page->private), i), MAX(TABLE_END(page->private), i + 1));
}

u64 *pgtable_entry(struct pgtable *pt, u64 va, unsigned level)
{
    u64 *table = hpa_virt(pt->root);

    ASSERT(!pt->user || va < USER_HALF);
    for (unsigned l = ROOT_LEVEL; l > level; l--) {
        u64 *e = &table[pgtable_index(va, l)];

        if (!pt->format->present(*e)) {
            u64 *next = pgtable_page(pt);

            if (!next)
                return NULL;
            pt->tables++;
            pgtable_note_table(pt, table, pgtable_index(va, l));
            store_release(e, pt->format->table(HPA((u64)next - DIRECT_MAP)));
        } else if (l < ROOT_LEVEL && pt->format->is_leaf(*e, l)) {
            return NULL;
        }
        table = pgtable_down(pt, *e, l);
    }
    return &table[pgtable_index(va, level)];
}

/* The largest leaf that fits here. */
static unsigned pgtable_leaf_level(u64 va, u64 pa, u64 n)
{
    for (unsigned level = mm_leaf_level_max; level; level--)
        if (IS_ALIGNED(va | pa, pgtable_span(level)) && n >= pgtable_span(level))
            return level;
    return 0;
}

/* Leaves side by side in one table, from `e` on: up to the table's end, or to an entry that is a
 * table already. An entry has the address in its own bits, in either format. Returns the bytes
 * mapped. */
static u64 pgtable_map_run(struct pgtable *pt, u64 *e, u64 va, hpa_t pa, u64 n, unsigned prot,
                           unsigned level)
{
    u64 span = pgtable_span(level), leaf = pt->format->leaf(pa, prot, level);
    u64 count = MIN(512 - pgtable_index(va, level), level ? n / span : DIV_ROUND_UP(n, span)), i;

    for (i = 0; i < count; i++) {
        if (i && level && pt->format->present(e[i]) && !pt->format->is_leaf(e[i], level))
            break;
        WRITE_ONCE(e[i], leaf + i * span);
    }
    return i * span;
}

int pgtable_map(struct pgtable *pt, u64 va, hpa_t pa, u64 n, unsigned prot)
{
    while (n) {
        unsigned level = pgtable_leaf_level(va, pa.v, n);
        u64 *e = pgtable_entry(pt, va, level), done;

        /* A table that is already there takes the place of a large leaf. */
        while (e && level && pt->format->present(*e) && !pt->format->is_leaf(*e, level))
            e = pgtable_entry(pt, va, --level);
        if (!e)
            return -ENOMEM;
        done = pgtable_map_run(pt, e, va, pa, n, prot, level);
        va += done;
        pa.v += done;
        n -= MIN(n, done);
    }
    return 0;
}

struct unmap {
    struct pgtable *pt;
    void (*leaf)(void *arg, u64 va, u64 entry, unsigned level);
    void *arg;
};

/* Eight at a time. Where something was found last time, page->index, it mostly still is; the
 * kernel's own tables may have no struct page. */
static bool pgtable_table_empty(const struct pgtable *pt, const u64 *table)
{
    struct page *page = pt == &pgtable_kernel ? NULL : page_of(HPA((u64)table - DIRECT_MAP));

    for (u64 first = page ? page->index : 0, n = 0; n < 512; n += 8) {
        u64 i = (first + n) % 512;
        const u64 *t = table + i;

        if (!(t[0] | t[1] | t[2] | t[3] | t[4] | t[5] | t[6] | t[7]))
            continue;
        if (page)
            page->index = i;
        return false;
    }
    return true;
}

static void pgtable_retire(struct pgtable *pt, u64 *table)
{
    struct page *page = page_of(HPA((u64)table - DIRECT_MAP));

    page->owner = pt->retired;
    pt->retired = page;
    pt->tables--;
}

/* Clears [va, end) inside one table. 0 or -EINVAL at a leaf only partly inside. */
static int pgtable_unmap_level(struct unmap *u, u64 *table, unsigned level, u64 va, u64 end)
{
    const struct pt_format *f = u->pt->format;
    u64 span = pgtable_span(level), next;
    int err = 0;

    for (; va < end && !err; va = next) {
        u64 *e = &table[pgtable_index(va, level)];
        u64 v = *e;

        next = MIN(end, ALIGN_DOWN(va, span) + span);
        if (!v || !f->present(v))
            continue;
        if (!f->is_leaf(v, level)) {
            u64 *down = pgtable_down(u->pt, v, level);
            bool keep = u->pt == &pgtable_kernel && level == ROOT_LEVEL; /* user tables share it */

            if (!pgtable_table_empty(u->pt, down))
                err = pgtable_unmap_level(u, down, level - 1, va, next);
            if (!keep && pgtable_table_empty(u->pt, down)) {
                *e = 0;
                pgtable_retire(u->pt, down);
            }
            continue;
        }
        if (next - va != span)
            return -EINVAL;
        WRITE_ONCE(*e, 0);
        if (u->leaf)
            u->leaf(u->arg, va, v, level);
    }
    return err;
}

int pgtable_unmap(struct pgtable *pt, u64 va, u64 n,
                  void (*leaf)(void *arg, u64 va, u64 entry, unsigned level), void *arg)
{
    struct unmap u = {.pt = pt, .leaf = leaf, .arg = arg};
    u64 end;

    /* The walk trusts its end: one beyond would free what every other table shares. */
    ASSERT(!add_overflows(va, n, &end) && (!pt->user || end <= USER_HALF));
    return n ? pgtable_unmap_level(&u, hpa_virt(pt->root), ROOT_LEVEL, va, va + n) : 0;
}
