/* SPDX-License-Identifier: MIT
 *
 * Taking entries out of a native table, and with them out of every further translation: the one
 * path of munmap, truncate, MADV_DONTNEED, mremap and exit.
 *
 * Order: further translations first (their zap returns when no guest can use the pages), native
 * entries, TLBs, and only then the pages. All under pt_lock; pages are dropped in batches.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "vm/vm_priv.h"

#define ZAP_TABLES 8 /* of level 0, and of level 1, that are freed before others may run */

/* As pte_next1, through *tables level-1 tables at most. Without a slot *va is where it ended. */
static u64 *pte_walk1(const struct pgtable *pt, u64 *va, u64 end, u64 *tables)
{
    const u64 *root = pte_root(pt);
    u64 at = *va;

    while (at < end && *tables) {
        u64 e3 = root[pte_slot(at, 3)], e2;
        u64 *t1;

        if (!(e3 & PTE_P)) {
            at = ALIGN_DOWN(at, SPAN3) + SPAN3;
            continue;
        }
        e2 = pte_table(e3)[pte_slot(at, 2)];
        if (!(e2 & PTE_P)) {
            at = ALIGN_DOWN(at, SPAN2) + SPAN2;
            continue;
        }
        t1 = pte_table(e2);
        --*tables;
        do {
            u64 *slot = &t1[pte_slot(at, 1)];

            if (*slot) {
                *va = at;
                return slot;
            }
            at = align_down_huge(at) + SPAN1;
        } while (at < end && pte_slot(at, 1));
    }
    *va = at;
    return NULL;
}

u64 *pte_next1(const struct pgtable *pt, u64 *va, u64 end)
{
    u64 all = U64_MAX;

    return pte_walk1(pt, va, end, &all);
}

/* Where so much work (PTE_WORK_*), or so many tables of level 1, end from va on. */
static u64 pte_after(const struct pgtable *pt, u64 va, u64 end, s64 work, u64 tables)
{
    const u64 *slot;

    while (va < end && work > 0 && tables) {
        slot = pte_walk1(pt, &va, end, &tables);
        if (!slot)
            continue;
        work -= pte_huge(READ_ONCE(*slot)) ? PTE_WORK_LEAF : PTE_WORK_TABLE;
        va = align_down_huge(va) + SPAN1;
    }
    return MIN(va, end);
}

u64 pte_stretch(const struct pgtable *pt, u64 va, u64 end)
{
    if (end - va <= SPAN1)
        return end;
    return pte_after(pt, va, end, PTE_WORK_TABLE, PTE_STRETCH_TABLES);
}

void zap_translations_locked(struct aspace *as, u64 start, u64 end, bool protect_only)
{
    struct translation *t;

    ASSERT_HELD(&as->pt_lock);
    as->seq++;
    list_for_each (t, &as->translations, node) {
        if (protect_only && t->write_protect)
            t->write_protect(t, start, end);
        else
            t->zap(t, start, end);
    }
}

/* Flushes what the batch covers and drops its pages. Their shares go after the flush: a mapper that
 * finds itself alone writes to the page, which no TLB of ours may show any more. */
static void zap_flush(struct zap *z)
{
    struct aspace *as = z->as;

    if (z->end > z->start && READ_ONCE(as->cpus))
        tlb_flush(as, z->start, z->end);
    for (unsigned i = 0; i < z->n; i++) {
        struct page *page = z->pages[i];
        s32 left = atomic_dec(&page->share);

        ASSERT(left >= 0);
        page_put(page);
    }
    if (z->restock)
        charge_restock(as, z->restock);
    if (z->anon + z->file) /* what there was is a peak only just before it shrinks */
        as->rss_peak = MAX(as->rss_peak, as->rss_anon + as->rss_file);
    as->rss_anon -= z->anon;
    as->rss_file -= z->file;
    z->n = z->anon = z->file = z->restock = 0;
    z->start = U64_MAX;
    z->end = 0;
}

static inline void zap_cover(struct zap *z, u64 start, u64 end)
{
    z->start = MIN(z->start, start);
    z->end = MAX(z->end, end);
}

/* The entry is gone; its page follows at the next flush. */
static void zap_entry(struct zap *z, u64 va, u64 entry, u64 size)
{
    unsigned n = (unsigned)(size >> PAGE_SHIFT);
    struct page *head;

    zap_cover(z, va, va + size);
    if (entry & PTE_SPECIAL)
        return;
    head = pte_head(entry);
    if (!page_is_anon(head)) {
        z->file += n;
    } else {
        z->anon += n;
        /* No other thread can find a sole anonymous page: its charge goes back to the stock. */
        if (n == 1 && !(head->flags & PG_COMPOUND) && atomic_read(&head->ref) == 1 &&
            head->account && head->account == z->as->account) {
            head->account = NULL;
            z->restock++;
        }
    }
    z->pages[z->n++] = head;
    if (z->n == ZAP_BATCH)
        zap_flush(z);
}

static bool zap_keeps(const struct zap *z, u64 entry)
{
    return !z->even_cow && !(entry & PTE_SPECIAL) && page_is_anon(pte_head(entry));
}

static void zap_table(struct zap *z, u64 *table, u64 va, u64 end)
{
    u64 *slot = &table[pte_slot(va, 0)];

    for (; va < end; va += PAGE_SIZE, slot++) {
        u64 entry = *slot;

        if (!entry || zap_keeps(z, entry))
            continue;
        /* Atomic: another CPU may be setting A or D. */
        entry = __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED);
        zap_entry(z, va, entry, PAGE_SIZE);
    }
}

int zap_range_locked(struct aspace *as, u64 start, u64 end, bool even_cow)
{
    struct zap z = {.as = as, .even_cow = even_cow, .start = U64_MAX};
    u64 *slot;
    int err = 0;

    ASSERT_HELD(&as->pt_lock);
    ASSERT(start <= end && end <= USER_MAX);
    zap_translations_locked(as, start, end, false);
    for (u64 va = start, next; !err && (slot = pte_next1(&as->pt, &va, end)); va = next) {
        next = MIN(end, align_down_huge(va) + SPAN1);
        if (pte_huge(*slot) && zap_keeps(&z, *slot))
            continue;
        if (pte_huge(*slot) && next - va == SPAN1)
            zap_entry(&z, va, __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED), SPAN1);
        else if (pte_huge(*slot) && zap_split_huge_locked(as, slot, va))
            err = -ENOMEM;
        else
            zap_table(&z, pte_table(*slot), va, next);
    }
    zap_flush(&z);
    return err;
}

/* stop, or the edge of the 2 MiB leaf that it lies in: none is split that goes as a whole. */
static u64 zap_whole_leaf_locked(struct aspace *as, u64 start, u64 stop, u64 end)
    REQUIRES(as->pt_lock)
{
    u64 edge = align_down_huge(stop), va = edge;
    u64 *slot = stop == edge ? NULL : pte_next1(&as->pt, &va, stop);

    ASSERT_HELD(&as->pt_lock);
    if (!slot || !pte_huge(READ_ONCE(*slot)))
        return stop;
    return edge > start ? edge : MIN(end, edge + SPAN1);
}

/* What of [start, end) goes in one hold of pt_lock. */
static u64 zap_stretch_locked(struct aspace *as, u64 start, u64 end) REQUIRES(as->pt_lock)
{
    u64 stop = pte_stretch(&as->pt, start, end);
    struct translation *t;

    ASSERT_HELD(&as->pt_lock);
    list_for_each (t, &as->translations, node)
        stop = t->stretch(t, start, stop);
    return stop == end ? end : zap_whole_leaf_locked(as, start, stop, end);
}

int zap_range_cut(struct aspace *as, u64 start, u64 end, bool even_cow)
{
    u64 stop;
    int err;

    for (;; start = stop) {
        spin_lock(&as->pt_lock);
        stop = zap_stretch_locked(as, start, end);
        err = zap_range_locked(as, start, stop, even_cow);
        spin_unlock(&as->pt_lock);
        if (err || stop == end)
            return err;
        vm_pause();
    }
}

void zap_range(struct aspace *as, u64 start, u64 end, bool even_cow)
{
    int err = zap_range_cut(as, start, end, even_cow);

    ASSERT_HELD(&as->lock);
    ASSERT(!err); /* the edges were cut before */
}

/* Those of [floor, ceiling), few enough. INVLPG drops paging-structure caches too: SDM 3A 4.10.4.1
 */
static void zap_tables_locked(struct aspace *as, u64 floor, u64 ceiling) REQUIRES(as->pt_lock)
{
    int err = pgtable_unmap(&as->pt, floor, ceiling - floor, NULL, NULL);

    ASSERT_HELD(&as->pt_lock);
    ASSERT(!err);
    if (as->pt.retired && READ_ONCE(as->cpus))
        tlb_flush(as, floor, ceiling);
    pgtable_reap(&as->pt);
}

void zap_tables(struct aspace *as, u64 floor, u64 ceiling)
{
    u64 stop;

    /* What they mapped has just been taken out, the last of it without a pause. */
    if (ceiling - floor > SPAN1)
        vm_pause();
    for (; floor < ceiling; floor = stop) {
        spin_lock(&as->pt_lock);
        stop = pte_after(&as->pt, floor, ceiling, ZAP_TABLES * PTE_WORK_TABLE, ZAP_TABLES);
        zap_tables_locked(as, floor, stop);
        spin_unlock(&as->pt_lock);
        vm_pause();
    }
}

/* A 2 MiB block that only this leaf holds becomes 512 pages of their own. */
static void zap_split_block(struct page *head)
{
    struct account *account = head->account;

    for (unsigned i = 0; i < PTRS; i++) {
        struct page *page = head + i;

        page->flags = 0;
        page->order = 0;
        page->head_offset = 0;
        page->object = NULL;
        page->account = account;
        atomic_set(&page->share, 1);
        if (i) /* the head's stays: a stale look-up under RCU may hold it for a moment */
            atomic_set(&page->ref, 1);
    }
}

int zap_split_huge_locked(struct aspace *as, u64 *slot1, u64 va)
{
    u64 base = align_down_huge(va), entry, *slot0;
    struct page *head;

    ASSERT_HELD(&as->pt_lock);
    zap_translations_locked(as, base, base + SPAN1, false);
    /* Take the leaf out, flush, make a table, fill it: a TLB that has one address in two sizes is a
     * machine check on many CPUs (SDM 3A 4.10.2.3; AMD erratum 383). Faults wait for pt_lock. */
    entry = __atomic_exchange_n(slot1, 0, __ATOMIC_SEQ_CST);
    if (READ_ONCE(as->cpus))
        tlb_flush(as, base, base + SPAN1);
    slot0 = pgtable_entry(&as->pt, base, 0);
    if (!slot0) {
        WRITE_ONCE(*slot1, entry);
        return -ENOMEM;
    }
    for (u64 i = 0; i < PTRS; i++)
        slot0[i] = (entry & ~PTE_PS) + (i << PAGE_SHIFT);
    head = pte_page(entry);
    if (entry & PTE_SPECIAL)
        return 0;
    if (atomic_read(&head->ref) == 1) {
        zap_split_block(head);
    } else {
        atomic_add(&head->ref, PTRS - 1);
        atomic_add(&head->share, PTRS - 1);
    }
    return 0;
}

int zap_split_at(struct aspace *as, u64 va)
{
    u64 *slot;
    int err = 0;

    if (!(va & (SPAN1 - 1)))
        return 0;
    spin_lock(&as->pt_lock);
    slot = pte_lookup1(&as->pt, va);
    if (slot && *slot && pte_huge(*slot))
        err = zap_split_huge_locked(as, slot, va);
    spin_unlock(&as->pt_lock);
    return err;
}

int zap_split_all(struct aspace *as, u64 start, u64 end)
{
    u64 *slot, stop;
    int err = 0;

    for (; !err && start < end; start = stop) {
        spin_lock(&as->pt_lock);
        stop = pte_stretch(&as->pt, start, end);
        for (u64 va = start; !err && (slot = pte_next1(&as->pt, &va, stop));
             va = align_down_huge(va) + SPAN1)
            if (pte_huge(*slot))
                err = zap_split_huge_locked(as, slot, va);
        spin_unlock(&as->pt_lock);
        vm_pause();
    }
    return err;
}
