/* SPDX-License-Identifier: MIT
 *
 * What of an area is in memory, for /proc: read from the native page tables, which stay while
 * as->lock is held for reading. Entries may change beneath; each is looked at once.
 */
#include "vm/vm_priv.h"

static void residency_add(struct residency *r, u64 entry, u64 pages)
{
    const struct page *head = pte_head(entry);
    u64 sharers = (u64)MAX(atomic_read(&head->share), 1);
    u64 dirty = entry & PTE_D || page_is_anon(head) ? pages : 0;

    r->present += pages;
    r->anon += page_is_anon(head) ? pages : 0;
    r->huge += pte_huge(entry) ? pages : 0;
    r->dirty += dirty;
    r->share_sum += (pages << RESIDENCY_SHIFT) / sharers;
    if (sharers > 1)
        return;
    r->private += pages;
    r->private_dirty += dirty;
}

static void residency_stretch(struct aspace *as, u64 start, u64 end, struct residency *r)
{
    u64 *slot;

    for (u64 va = start, next; (slot = pte_next1(&as->pt, &va, end)); va = next) {
        u64 entry = READ_ONCE(*slot);

        next = MIN(align_down_huge(va) + HUGE_SIZE, end);
        if (pte_huge(entry)) {
            if (!(entry & PTE_SPECIAL))
                residency_add(r, entry, (next - va) >> PAGE_SHIFT);
            continue;
        }
        for (; entry && va < next; va += PAGE_SIZE) {
            u64 e = READ_ONCE(pte_table(entry)[pte_slot(va, 0)]);
            if (e && !(e & PTE_SPECIAL))
                residency_add(r, e, 1);
        }
    }
}

void aspace_residency(struct aspace *as, const struct area *a, struct residency *r)
{
    for (u64 va = a->start, stop; va < a->end; va = stop) {
        stop = pte_stretch(&as->pt, va, a->end);
        residency_stretch(as, va, stop, r);
        vm_pause();
    }
}

enum page_kind aspace_page_kind(const struct area *a, u64 addr)
{
    u64 *slot = pte_lookup1(&a->aspace->pt, addr);
    u64 entry = slot ? READ_ONCE(*slot) : 0;

    if (entry && !pte_huge(entry))
        entry = READ_ONCE(pte_table(entry)[pte_slot(addr, 0)]);
    if (!entry)
        return PAGE_ABSENT;
    return entry & PTE_SPECIAL || page_is_anon(pte_head(entry)) ? PAGE_OF_PROCESS : PAGE_OF_FILE;
}
