/* SPDX-License-Identifier: MIT
 *
 * Sections: the 4 MiB units in which memory gets its struct pages, when the allocator first needs
 * them, lowest first. A section's 64 KiB of page array come from the buddy lists, or from the
 * section itself when those are empty. Until then nothing of a section but its bounds exists, so
 * boot costs the same for 64 MiB and for 64 GiB.
 *
 * Lock order: section_lock, then buddy_lock. The owner test lets the allocations made inside come
 * back here without harm: they find no section to grow.
 */
#include "arch/x86/regs.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/pgtable.h"
#include "sync/spinlock.h"

#define SECTION_PAGES (1UL << MAX_ORDER)
#define ARRAY_PAGES (SECTION_PAGES * sizeof(struct page) / PAGE_SIZE)

/* s: section_lock */
static struct spinlock section_lock = SPINLOCK_INIT(RANK_MM, 4, "section");
static unsigned section_owner = ~0U; /* a  CPU inside */
static unsigned section_range;       /* s  index in mm_free of the next one to initialise */
static u64 section_next;             /* s  its first page number not yet initialised */
static u64 section_left;             /* s  pages not yet initialised */

void section_init_ranges(void)
{
    section_next = mm_free_count ? mm_free[0].start : 0;
    for (unsigned i = 0; i < mm_free_count; i++)
        section_left += mm_free[i].end - mm_free[i].start;
}

/* What is still to come, less the array it will need. */
u64 section_pages_left(void)
{
    u64 left = READ_ONCE(section_left);

    return left - left * ARRAY_PAGES / SECTION_PAGES;
}

static u64 section_array(u64 base)
{
    return VMEMMAP + base * sizeof(struct page);
}

static bool section_has_array(u64 base)
{
    unsigned level;
    u64 *e = pgtable_lookup(&pgtable_kernel, section_array(base), &level);

    return e && pgtable_kernel.format->present(*e);
}

/* The first free page number >= from inside [base, base + SECTION_PAGES), with the end of its run;
 * false when there is none. */
static bool section_next_free(u64 base, u64 from, u64 *start, u64 *end)
{
    for (unsigned i = 0; i < mm_free_count; i++) {
        u64 s = MAX(mm_free[i].start, from), e = MIN(mm_free[i].end, base + SECTION_PAGES);

        if (s < e) {
            *start = s;
            *end = e;
            return true;
        }
    }
    return false;
}

/* Takes ARRAY_PAGES page numbers for the array of `base`: a block of the buddy lists, or the
 * section's first free pages, which are cut off it by moving *cut. */
static bool section_array_memory(u64 base, u64 *pfns, u64 *cut)
{
    struct page *block = buddy_take(__builtin_ctzl(ARRAY_PAGES), true);
    u64 n = 0, at = base, s, e;

    if (block) {
        for (n = 0; n < ARRAY_PAGES; n++)
            pfns[n] = (u64)(block - (struct page *)VMEMMAP) + n;
        return true;
    }
    while (n < ARRAY_PAGES && section_next_free(base, at, &s, &e)) {
        for (at = s; at < e && n < ARRAY_PAGES; at++)
            pfns[n++] = at;
    }
    *cut = at;
    return n == ARRAY_PAGES;
}

/* The array lies within one page table, so it is there wholly or not at all. */
static bool section_map_array(u64 base, const u64 *pfns)
{
    u64 *e = pgtable_entry(&pgtable_kernel, section_array(base), 0);

    static_assert(ARRAY_PAGES <= 512 && 512 % ARRAY_PAGES == 0, "a section's array");
    if (!e)
        return false;
    for (u64 i = 0; i < ARRAY_PAGES; i++) {
        hpa_t pa = HPA(pfns[i] << PAGE_SHIFT);

        page_clear(hpa_virt(pa));
        store_release(&e[i], pgtable_kernel.format->leaf(pa, PT_READ | PT_WRITE | PT_GLOBAL, 0));
    }
    return true;
}

static void section_mark_reserved(u64 from, u64 to)
{
    for (u64 pfn = from; pfn < to; pfn++) {
        struct page *page = page_of(HPA(pfn << PAGE_SHIFT));

        page->flags = PG_RESERVED;
        atomic_set(&page->ref, 1);
    }
}

/* Free runs go to the buddy lists, all else is reserved. */
static void section_populate(u64 base, u64 cut)
{
    u64 at = base, given = 0, s, e;

    while (section_next_free(base, MAX(at, cut), &s, &e)) {
        section_mark_reserved(at, s);
        given += e - s;
        at = e;
    }
    section_mark_reserved(at, base + SECTION_PAGES);
    buddy_add_total(given - (cut == base ? ARRAY_PAGES : 0)); /* the array's pages count no more */
    for (at = base; section_next_free(base, MAX(at, cut), &s, &e); at = e)
        buddy_give_range(s, e);
}

static u64 section_count_free(u64 base)
{
    u64 n = 0, s, e;

    for (u64 at = base; section_next_free(base, at, &s, &e); at = e)
        n += e - s;
    return n;
}

/* section_lock held. False when there is no memory for the array: the section stays as it is, for a
 * later attempt. */
static bool section_init(u64 base) REQUIRES(section_lock)
{
    u64 pfns[ARRAY_PAGES], cut = base, pages = section_count_free(base);

    ASSERT_HELD(&section_lock);
    if (!section_array_memory(base, pfns, &cut))
        return false;
    if (!section_map_array(base, pfns)) {
        if (cut == base)
            buddy_give(page_of(HPA(pfns[0] << PAGE_SHIFT)), __builtin_ctzl(ARRAY_PAGES));
        return false;
    }
    section_populate(base, cut);
    section_left -= pages;
    return true;
}

/* The next section with free memory and no array, or false. */
static bool section_find_next(u64 *base)
{
    for (; section_range < mm_free_count; section_range++) {
        const struct mm_range *r = &mm_free[section_range];

        section_next = MAX(section_next, r->start);
        while (section_next < r->end) {
            *base = ALIGN_DOWN(section_next, SECTION_PAGES);
            section_next = *base + SECTION_PAGES;
            if (!section_has_array(*base))
                return true;
        }
    }
    return false;
}

static bool section_lock_enter(u64 *flags)
    TRY_ACQUIRES(true, section_lock) NO_THREAD_SAFETY /* unless this CPU has it */
{
    *flags = irq_save();
    if (__atomic_load_n(&section_owner, __ATOMIC_RELAXED) == cpu_id()) {
        irq_restore(*flags);
        return false;
    }
    spin_lock(&section_lock);
    __atomic_store_n(&section_owner, cpu_id(), __ATOMIC_RELAXED);
    return true;
}

static void section_lock_leave(u64 flags) RELEASES(section_lock)
{
    __atomic_store_n(&section_owner, ~0U, __ATOMIC_RELAXED);
    spin_unlock_irqrestore(&section_lock, flags);
}

/* The next section's free pages go to the buddy lists. False: there is none. */
static bool section_grow_locked(void) REQUIRES(section_lock)
{
    bool done = false;
    u64 base;

    ASSERT_HELD(&section_lock);
    while (!done && section_find_next(&base)) {
        done = section_init(base);
        /* Too small to carry its own array: perhaps the next one is larger. */
        if (!done && section_count_free(base) > ARRAY_PAGES) {
            section_next = base;
            break;
        }
    }
    return done;
}

bool section_grow(void)
{
    bool done;
    u64 flags;

    if (!READ_ONCE(section_left) || !section_lock_enter(&flags))
        return false;
    done = section_grow_locked();
    section_lock_leave(flags);
    return done;
}

bool section_left_below(u64 end)
{
    return READ_ONCE(section_left) && READ_ONCE(section_next) < end;
}

int section_reserve(u64 start, u64 end)
{
    bool ok = true;
    u64 flags;

    if (!section_lock_enter(&flags))
        return -EDEADLK;
    for (u64 base = ALIGN_DOWN(start, SECTION_PAGES); ok && base < end; base += SECTION_PAGES)
        while (!section_has_array(base) && !section_init(base) && ok)
            ok = section_grow_locked(); /* it has no free page itself: another's carry its array */
    section_lock_leave(flags);
    return ok ? 0 : -ENOMEM;
}

/* Of a section that has its array. */
static void section_free_reserved(u64 start, u64 end)
{
    buddy_add_total(end - start);
    for (u64 pfn = start; pfn < end; pfn++) {
        struct page *page = page_of(HPA(pfn << PAGE_SHIFT));

        if (!page_flag_test(page, PG_RESERVED))
            panic("page %lx given back twice", pfn << PAGE_SHIFT);
        page->flags = 0;
        atomic_set(&page->ref, 0);
    }
    buddy_give_range(start, end);
}

/* Of one that has none: it waits for its turn like all others, and can carry its array itself. */
static bool section_add_free(u64 start, u64 end)
{
    if (!mm_free_insert(start, end))
        return false;
    section_left += end - start;
    section_range = 0;
    section_next = MIN(section_next, start);
    return true;
}

int section_give(u64 start, u64 end)
{
    bool ok = true;
    u64 flags, next;

    if (!section_lock_enter(&flags))
        return -EDEADLK;
    for (; ok && start < end; start = next) {
        u64 base = ALIGN_DOWN(start, SECTION_PAGES);

        next = MIN(end, base + SECTION_PAGES);
        if (section_has_array(base))
            section_free_reserved(start, next);
        else
            ok = section_add_free(start, next);
    }
    section_lock_leave(flags);
    return ok ? 0 : -ENOMEM;
}

struct page *section_adopt(u64 pfn, u64 n)
{
    struct page *first = page_of(HPA(pfn << PAGE_SHIFT));

    if (section_reserve(pfn, pfn + n))
        return NULL;
    for (struct page *page = first; page < first + n; page++) {
        if (!page_flag_test(page, PG_RESERVED))
            panic("page %p adopted twice", page);
        page->flags = 0;
        page->account = NULL;
        page->object = NULL;
        atomic_set(&page->share, 0); /* its one reference it has already */
    }
    buddy_add_total(n);
    return first;
}
