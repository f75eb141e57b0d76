/* SPDX-License-Identifier: MIT
 *
 * Changing the rights of entries in place: mprotect, and write-protecting a page before writeback.
 * A right taken away is flushed before the call returns; a right given waits for a fault, but for
 * anonymous pages that are ours alone, which become writable at once.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "vm/vm_priv.h"

/* The entry as the area's rights want it. */
static u64 protect_entry(u64 entry, const struct area *a)
{
    u64 rights = pte_rights(a->prot);
    bool sole;

    if (rights & PTE_W) {
        sole = !(entry & PTE_SPECIAL) && page_is_anon(pte_head(entry)) &&
               atomic_read(&pte_head(entry)->share) == 1;
        if (!sole && !((a->flags & AREA_SHARED) && (entry & PTE_W)))
            rights &= ~PTE_W;
    }
    return (entry & ~PTE_RIGHTS) | rights;
}

/* True when b lacks something that a had. */
static bool protect_lowers(u64 a, u64 b)
{
    return ((a & (PTE_P | PTE_W)) & ~b) || (!(a & PTE_NX) && (b & PTE_NX));
}

/* A or D may be set by the CPU meanwhile. */
static bool protect_slot(u64 *slot, const struct area *a)
{
    u64 old = READ_ONCE(*slot), entry;

    do {
        entry = protect_entry(old, a);
        if (entry == old)
            return false;
    } while (
        !__atomic_compare_exchange_n(slot, &old, entry, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return protect_lowers(old, entry);
}

static void protect_stretch_locked(struct aspace *as, u64 start, u64 end, const struct area *a)
    REQUIRES(as->pt_lock)
{
    u64 *slot;
    bool lowered = false;

    ASSERT_HELD(&as->pt_lock);
    zap_translations_locked(as, start, end, false);
    for (u64 va = start, next; (slot = pte_next1(&as->pt, &va, end)); va = next) {
        next = MIN(end, align_down_huge(va) + SPAN1);
        if (pte_huge(*slot)) { /* whole, and with some right: the caller has split the others */
            lowered |= protect_slot(slot, a);
            continue;
        }
        slot = &pte_table(*slot)[pte_slot(va, 0)];
        for (u64 at = va; at < next; at += PAGE_SIZE, slot++)
            if (*slot)
                lowered |= protect_slot(slot, a);
    }
    if (lowered && READ_ONCE(as->cpus))
        tlb_flush(as, start, end);
}

void protect_range(struct aspace *as, u64 start, u64 end, const struct area *a)
{
    u64 stop;

    for (; start < end; start = stop) {
        spin_lock(&as->pt_lock);
        stop = pte_stretch(&as->pt, start, end);
        protect_stretch_locked(as, start, stop, a);
        spin_unlock(&as->pt_lock);
        if (stop < end)
            vm_pause();
    }
}

/* Takes the right to write off one entry. pt_lock held. */
static bool protect_slot_of(struct aspace *as, u64 va, const struct page *page)
    REQUIRES(as->pt_lock)
{
    u64 *slot = pte_lookup1(&as->pt, va), entry;

    ASSERT_HELD(&as->pt_lock);
    if (!slot || !(*slot & PTE_P) || pte_huge(*slot))
        return false;
    slot = &pte_table(*slot)[pte_slot(va, 0)];
    entry = *slot;
    if (!(entry & PTE_W) || entry & PTE_SPECIAL || pte_page(entry) != page)
        return false;
    __atomic_fetch_and(slot, ~(PTE_W | PTE_D), __ATOMIC_RELAXED);
    return true;
}

/* As many entries cost what finding the area did. */
#define PROTECT_SLOTS_AN_AREA 4

/* How many pages of the run the area shows. */
static unsigned protect_run_in(struct area *a, const struct page_run *run)
{
    struct aspace *as = a->aspace;
    u64 first = a->offset >> PAGE_SHIFT, end = first + ((a->end - a->start) >> PAGE_SHIFT);
    u64 from = MAX(first, run->index), to = MIN(end, run->index + run->n);
    u64 start = a->start + ((from - first) << PAGE_SHIFT);
    bool was = false;

    if (from >= to)
        return 0;
    spin_lock(&as->pt_lock);
    zap_translations_locked(as, start, start + ((to - from) << PAGE_SHIFT), true);
    for (u64 i = from; i < to; i++) {
        struct page *page = run->pages[i - run->index];

        if (atomic_read(&page->share))
            was |= protect_slot_of(as, start + ((i - from) << PAGE_SHIFT), page);
    }
    if (was)
        tlb_flush(as, start, start + ((to - from) << PAGE_SHIFT));
    spin_unlock(&as->pt_lock);
    return (unsigned)(to - from);
}

static bool protect_run_is_mapped(const struct page_run *run)
{
    for (unsigned i = 0; i < run->n; i++)
        if (atomic_read(&run->pages[i]->share))
            return true;
    return false;
}

/* The walk pauses. A page that is locked becomes writable in no mapping meanwhile. An entry may
 * come into another area, but into one behind its own in the list: a fork's or a move's is new, one
 * that has taken in its neighbour has grown. */
void protect_object_run(struct mem_object *obj, const struct page_run *run)
{
    struct area cursor = {.aspace = NULL}, *a;
    unsigned left = OBJECT_AREAS_MANY;

    if (!protect_run_is_mapped(run))
        return;
    spin_lock(&obj->lock);
    list_add(&obj->areas, &cursor.object_node);
    while ((a = object_next_area(obj, &cursor.object_node))) {
        list_del(&cursor.object_node);
        list_add(&a->object_node, &cursor.object_node);
        left--;
        if (a->flags & AREA_SHARED)
            left -= MIN(left, protect_run_in(a, run) / PROTECT_SLOTS_AN_AREA);
        if (!left) {
            spin_unlock(&obj->lock);
            DELAYPOINT(protect_pause);
            vm_pause();
            spin_lock(&obj->lock);
            left = OBJECT_AREAS_MANY;
        }
    }
    list_del(&cursor.object_node);
    spin_unlock(&obj->lock);
}
