/* SPDX-License-Identifier: MIT
 *
 * Entries of native page tables, for vm alone: the fault, fork and unmap paths read and write them
 * in place. An entry that is not zero holds a page, present or not: PROT_NONE keeps the page and
 * clears PTE_P (SDM 3A 4.5: all other bits of a non-present entry are software's).
 *
 * A leaf with PTE_SPECIAL has no counted page: the zero page, or a device frame. Any other leaf
 * holds one reference and one share of its page's head.
 */
#pragma once

#include "arch/x86/pte.h"
#include "mm/page.h"
#include "mm/pgtable.h"

#define PTE_NONE                                                                    \
    PTE_G /* with PTE_P clear: mapped with no rights (user leaves are never global) \
           */
#define PTE_SPECIAL PTE_SOFT1
#define PTE_PA PTE_ADDR
#define PTE_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_NONE | PTE_NX)

#define PTRS 512UL
#define SPAN1 HUGE_SIZE /* what one level-1 entry covers */
#define SPAN2 (SPAN1 * PTRS)
#define SPAN3 (SPAN2 * PTRS)

static inline u64 *pte_table(u64 entry)
{
    return hpa_virt(HPA(entry & PTE_PA));
}
static inline u64 *pte_root(const struct pgtable *pt)
{
    return hpa_virt(pt->root);
}
static inline unsigned pte_slot(u64 va, unsigned level)
{
    return (va >> (PAGE_SHIFT + 9 * level)) & (PTRS - 1);
}
/* A level-1 entry that is a 2 MiB leaf, with rights or without. */
static inline bool pte_huge(u64 entry)
{
    return entry & PTE_PS;
}
static inline struct page *pte_page(u64 entry)
{
    return page_of(HPA(entry & PTE_PA));
}
/* The page whose reference a counted leaf holds. */
static inline struct page *pte_head(u64 entry)
{
    return page_head(pte_page(entry));
}
static inline u64 pte_rights(unsigned prot)
{
    if (!(prot & (PT_READ | PT_WRITE | PT_EXEC)))
        return PTE_NONE | PTE_NX;
    return PTE_P | PTE_U | (prot & PT_WRITE ? PTE_W : 0) | (prot & PT_EXEC ? 0 : PTE_NX);
}
/* The rights of a page that is not to be written yet. What may be written may be read (SDM 3A 4.6:
 * there is no other way): an area of PROT_WRITE alone has readable pages. */
static inline unsigned pte_prot_unwritten(unsigned prot)
{
    return (prot & ~PT_WRITE) | (prot & PT_WRITE ? PT_READ : 0);
}
static inline u64 pte_make(const struct page *page, unsigned prot)
{
    return page_hpa(page).v | pte_rights(prot) | PTE_A;
}
/* The frame of a leaf with PTE_SPECIAL is memory, not a device's registers: it may be copied. It is
 * the kernel's own and is never freed. */
static inline bool pte_frame_is_ram(u64 entry)
{
    return !(entry & PTE_PCD) && hpa_is_ram(HPA(entry & PTE_PA));
}
static inline bool page_is_anon(const struct page *head)
{
    return !head->object;
}

/* The level-1 slot of va, or NULL where an upper table is missing. Tables go only under pt_lock
 * with aspace->lock held for writing, so a holder of either lock may walk. */
static inline u64 *pte_lookup1(const struct pgtable *pt, u64 va)
{
    u64 e = READ_ONCE(pte_root(pt)[pte_slot(va, 3)]);

    if (!(e & PTE_P))
        return NULL;
    e = READ_ONCE(pte_table(e)[pte_slot(va, 2)]);
    if (!(e & PTE_P))
        return NULL;
    return &pte_table(e)[pte_slot(va, 1)];
}

/* What a walk does before it lets others run: a table of 512 pages, or four leaves of 2 MiB; it
 * looks through that many tables of level 1 meanwhile, which may be empty. */
#define PTE_WORK_TABLE 4
#define PTE_WORK_LEAF 1
#define PTE_STRETCH_TABLES 16
/* Where a stretch from va on ends. */
u64 pte_stretch(const struct pgtable *pt, u64 va, u64 end);
/* The first level-1 slot in use at or after *va and below end; *va moves there. NULL: none. */
u64 *pte_next1(const struct pgtable *pt, u64 *va, u64 end);
