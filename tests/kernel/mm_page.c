/* SPDX-License-Identifier: MIT
 *
 * Promises of kernel/mm. What is taken is given back: each test compares the free pages of before
 * and after, with the caches emptied.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"

static u64 mm_free_now(void)
{
    struct mem_info info;
    u64 before;

    /* A slab that goes frees its table of payers, which may be the last object of another. */
    mem_info_get(&info);
    do {
        before = info.free;
        slab_shrink_all();
        mem_info_get(&info);
    } while (info.free > before);
    return info.free;
}

/* Whether a round leaves as many free pages as it found. Other CPUs may still give pages back that
 * earlier tests have freed, or take some: not in every round. */
static bool mm_gives_all_back(void (*round)(void))
{
    for (unsigned i = 0; i < 100; i++) {
        u64 before = mm_free_now();

        round();
        if (mm_free_now() == before)
            return true;
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    }
    return false;
}

/* The highest order of which there are two blocks now. Of a section whose pages hold the next one's
 * page array there is none of MAX_ORDER; later no section need come up for what was had here. */
static unsigned mm_top_order(void)
{
    for (unsigned o = MAX_ORDER; o > 0; o--) {
        struct page *p = page_alloc(o, 0), *q = page_alloc(o, 0);

        if (p)
            page_put(p);
        if (q)
            page_put(q);
        if (p && q)
            return o;
    }
    return 0;
}

static void mm_block_round(void)
{
    unsigned top = mm_top_order();
    struct page *p[MAX_ORDER + 1];

    CHECK(top >= 9); /* what a huge page needs */
    for (unsigned o = 0; o <= top; o++) {
        p[o] = page_alloc(o, PA_ZERO);
        CHECK(p[o]);
        CHECK(IS_ALIGNED(page_hpa(p[o]).v, PAGE_SIZE << o));
        CHECK(hpa_is_ram(page_hpa(p[o])));
        CHECK(page_head(p[o] + (1UL << o) - 1) == p[o]);
        for (u64 i = 0; i < PAGE_SIZE << o; i += 8)
            CHECK(*(u64 *)((u8 *)page_virt(p[o]) + i) == 0);
    }
    for (unsigned o = 0; o <= top; o++)
        page_put(p[o]);
}

SELFTEST(page_alloc_blocks_are_aligned_and_come_back)
{
    CHECK(mm_gives_all_back(mm_block_round));
}

/* A free block of one page beside another: they should be one. */
static bool page_parted(const struct page *p)
{
    const struct page *buddy = page_of(HPA(page_hpa(p).v ^ PAGE_SIZE));

    return (p->flags & PG_BUDDY) && p->order == 0 && (buddy->flags & PG_BUDDY) && buddy->order == 0;
}

SELFTEST(page_free_merges_buddies)
{
    enum { N = 2048 };
    struct page **p = kcalloc(N, sizeof(*p));
    unsigned parted = 0, alone = 0;

    CHECK(p);
    for (unsigned i = 0; i < N; i++)
        CHECK((p[i] = page_alloc(0, 0)));
    /* Every other one first: nothing can merge until the second pass. */
    for (unsigned i = 0; i < N; i += 2)
        page_put(p[i]);
    for (unsigned i = 1; i < N; i += 2)
        page_put(p[i]);
    slab_shrink_all();
    for (unsigned i = 0; i < N; i++) {
        parted += page_parted(p[i]);
        alone += (p[i]->flags & PG_BUDDY) && p[i]->order == 0;
    }
    kfree(p);
    CHECK(parted == 0);
    CHECK(alone < N / 2); /* most had their neighbours here */
}

SELFTEST(page_put_keeps_what_is_still_held)
{
    struct page *p = page_alloc(0, 0);

    CHECK(p);
    page_get(p);
    page_put(p);
    CHECK(atomic_read(&p->ref) == 1);
    page_put(p);
}

/* As mem_object_peek does it, with what was a cached page when it looked. */
SELFTEST(page_that_a_stale_look_holds_goes_with_that)
{
    void *block = kmalloc(PAGE_SIZE);
    struct page *table = page_alloc(0, PA_ZERO), *again;

    CHECK(block && table);
    page_get(virt_page(block));
    kfree(block);
    CHECK(atomic_read(&virt_page(block)->ref) == 1);
    page_put(virt_page(block));
    page_get(table);
    page_free_zeroed(table);
    CHECK(atomic_read(&table->ref) == 1);
    again = page_alloc_table(0);
    CHECK(again && again != table);
    page_put(again);
    page_put(table);
}

/* Takes all there is, in a list through the pages themselves, and gives it back. */
SELFTEST(page_exhaustion_is_null_and_leaves_a_reserve)
{
    u64 before = mm_free_now(), taken = 0;
    struct page *list = NULL, *p;
    struct mem_info info;

    if (before > 1UL << 19)
        return; /* a large machine: it would take its time */
    while ((p = page_alloc(0, 0))) {
        p->owner = list;
        list = p;
        taken++;
    }
    mem_info_get(&info);
    p = page_alloc(0, PA_EMERGENCY);
    if (p)
        page_put(p);
    while (list) {
        struct page *next = list->owner;

        list->owner = NULL;
        page_put(list);
        list = next;
    }
    CHECK(p);
    CHECK(taken > before / 2);
    CHECK(info.free < 1024);
    /* Sections that came up cost their page arrays, which the estimate has counted already. */
    CHECK(mm_free_now() + 64 >= before);
}

SELFTEST(page_charge_goes_with_the_page)
{
    struct account parent, child, *failed = NULL;
    struct page *p;

    account_init(&parent, NULL, NULL);
    account_init(&child, &parent, NULL);
    parent.limit = 3;
    CHECK(account_charge(&child, 2, NULL) == 0);
    CHECK(account_charge(&child, 2, &failed) == -12 && failed == &parent);
    CHECK(atomic_read(&child.used) == 2 && atomic_read(&parent.used) == 2);
    p = page_alloc(1, 0);
    CHECK(p);
    p->account = &child;
    page_put(p);
    CHECK(atomic_read(&child.used) == 0 && atomic_read(&parent.used) == 0);
    CHECK(atomic_read(&parent.peak) == 2);
}

SELFTEST(account_peak_is_of_what_was_granted)
{
    struct account parent, child;

    account_init(&parent, NULL, NULL);
    account_init(&child, &parent, NULL);
    parent.limit = 10;
    child.limit = 30;
    CHECK(account_charge(&child, 8, NULL) == 0);
    CHECK(account_charge(&child, 20, NULL) == -12);
    CHECK(atomic_read(&child.peak) == 8 && atomic_read(&parent.peak) == 8);
    CHECK(!account_full_for(&child, 2) && account_full_for(&child, 3) == &parent);
    CHECK(account_full_for(&child, 23) == &child && atomic_read(&child.peak) == 8);
    account_uncharge(&child, 8);
}

static void mm_slab_round(void)
{
    enum { N = 1000 };
    u8 **p = kcalloc(N, sizeof(*p));

    CHECK(p);
    for (unsigned i = 0; i < N; i++) {
        CHECK((p[i] = kmalloc(1 + i * 7 % 3000)));
        memset(p[i], (int)i, 1 + i * 7 % 3000);
    }
    for (unsigned i = 0; i < N; i++) {
        size_t n = 1 + i * 7 % 3000;

        CHECK(p[i][0] == (u8)i && p[i][n - 1] == (u8)i && ksize(p[i]) >= n);
        kfree(p[i]);
    }
    kfree(p);
}

SELFTEST(slab_objects_do_not_overlap)
{
    CHECK(mm_gives_all_back(mm_slab_round));
}

SELFTEST(kmalloc_refuses_what_cannot_be)
{
    void *p = kmalloc(100), *q;

    CHECK(p);
    CHECK(!kmalloc(PAGE_SIZE << (MAX_ORDER + 1)));
    CHECK(!kcalloc(U64_MAX / 2, 3));
    memset(p, 7, 100);
    q = krealloc(p, 100000);
    CHECK(q && ((u8 *)q)[99] == 7);
    kfree(q);
    p = kmalloc(PAGE_SIZE);
    CHECK(p && IS_ALIGNED((u64)p, PAGE_SIZE));
    kfree(p);
}

/* A block is no slab: what its user before it has left in the page is none of its own. */
SELFTEST(slab_account_of_a_large_block_is_its_pages)
{
    static struct account payer;
    u8 *p = kmalloc(PAGE_SIZE << 5);
    struct page *page;
    struct account *was;

    CHECK(p);
    page = virt_page(p);
    page->private = 1;
    was = page->account;
    CHECK(slab_account(p) == was);
    page->account = &payer;
    CHECK(slab_account(p) == &payer && slab_account(p + PAGE_SIZE) == &payer);
    page->account = was;
    kfree(p);
}

static void mm_vmap_round(void)
{
    void *p[8];
    unsigned level;

    for (unsigned i = 0; i < 8; i++) {
        u64 *e;

        p[i] = vmap_alloc((i + 1) * PAGE_SIZE);
        CHECK(p[i]);
        memset(p[i], 0xff, (i + 1) * PAGE_SIZE);
        e = pgtable_lookup(&pgtable_kernel, (u64)p[i] + (i + 1) * PAGE_SIZE, &level);
        CHECK(!e || !*e);
        e = pgtable_lookup(&pgtable_kernel, (u64)p[i] - PAGE_SIZE, &level);
        CHECK(!e || !*e);
    }
    for (unsigned i = 0; i < 8; i++)
        vmap_free(p[(i * 3) % 8]);
}

SELFTEST(vmap_areas_have_guard_pages_and_come_back)
{
    CHECK(mm_gives_all_back(mm_vmap_round));
    CHECK(!vmap_alloc(0) && !vmap_alloc(1UL << 45));
}

static u64 mm_leaves;
static void mm_count_leaf(void *arg, u64 va, u64 entry, unsigned level)
{
    mm_leaves++;
}

static void mm_table_round(void)
{
    struct pgtable pt;
    unsigned level;

    CHECK(pgtable_init_user(&pt) == 0);
    CHECK(pgtable_map(&pt, 0x400000, HPA(0x200000), 3 * HUGE_SIZE + PAGE_SIZE, PT_READ | PT_USER) ==
          0);
    CHECK(pgtable_lookup(&pt, 0x401000, &level) && level == 1);
    CHECK(pgtable_lookup(&pt, 0x400000 + 3 * HUGE_SIZE, &level) && level == 0);
    CHECK(pt.tables == 4);
    CHECK(pgtable_unmap(&pt, 0x401000, PAGE_SIZE, NULL, NULL) == -22);
    mm_leaves = 0;
    CHECK(pgtable_unmap(&pt, 0x400000, 4 * HUGE_SIZE, mm_count_leaf, NULL) == 0);
    CHECK(mm_leaves == 4);
    CHECK(pt.tables == 1);
    pgtable_reap(&pt);
    /* Whichever entry is the last one. */
    CHECK(pgtable_map(&pt, 0x1fe000, HPA(0x200000), 2 * PAGE_SIZE, PT_READ | PT_USER) == 0);
    CHECK(pgtable_unmap(&pt, 0x1fe000, PAGE_SIZE, NULL, NULL) == 0 && pt.tables == 4);
    CHECK(pgtable_map(&pt, 0, HPA(0x200000), PAGE_SIZE, PT_READ | PT_USER) == 0);
    CHECK(pgtable_unmap(&pt, 0x1ff000, PAGE_SIZE, NULL, NULL) == 0 && pt.tables == 4);
    CHECK(pgtable_unmap(&pt, 0, PAGE_SIZE, NULL, NULL) == 0 && pt.tables == 1);
    pgtable_destroy(&pt);
}

SELFTEST(pgtable_unmap_frees_empty_tables)
{
    CHECK(mm_gives_all_back(mm_table_round));
}

SELFTEST(a_page_freed_as_zero_is_the_next_table_and_counts_as_free)
{
    struct page *page = page_alloc(0, PA_ZERO), *next;
    struct mem_info before, after;

    CHECK(page);
    mem_info_get(&before);
    page_free_zeroed(page);
    mem_info_get(&after);
    CHECK(after.free == before.free + 1);
    next = page_alloc_table(0);
    CHECK(next);
    for (u64 i = 0; i < PAGE_SIZE / 8; i++)
        CHECK(((u64 *)page_virt(next))[i] == 0);
    page_put(next);
}

/* Uncached, each of a guest's LOCKs would hold the whole machine's bus. */
SELFTEST(a_guests_ram_is_cached_whatever_its_pat_says)
{
    u64 ram = pt_ept.leaf(HPA(PAGE_SIZE), PT_READ | PT_WRITE, 0);
    u64 device = pt_ept.leaf(HPA(PAGE_SIZE), PT_READ | PT_WRITE | PT_UNCACHED, 0);

    CHECK((ram >> 3 & 7) == 6 && (ram >> 6 & 1)); /* SDM 3C 28.2.6 */
    CHECK((device >> 3 & 7) == 0);
}

/* As far as there is some: how much lies low depends on the machine. */
SELFTEST(page_alloc_below_keeps_to_its_limit)
{
    static const u64 lasts[] = {(64UL << 20) - 1, (256UL << 20) - 1, (4UL << 30) - 1, ~0UL};

    for (unsigned i = 0; i < ARRAY_SIZE(lasts); i++)
        for (unsigned order = 0; order <= 4; order++) {
            struct page *page = page_alloc_below(order, lasts[i], PA_ZERO);
            bool low = page && page_hpa(page).v + (PAGE_SIZE << order) - 1 <= lasts[i];
            bool zero = page && !*(const u64 *)page_virt(page);

            if (page)
                page_put(page);
            CHECK(page ? low && zero : lasts[i] < 1UL << 30);
        }
    CHECK(!page_alloc_below(0, PAGE_SIZE - 2, 0)); /* not even one page */
    CHECK(!page_alloc_below(MAX_ORDER + 1, ~0UL, 0));
}

/* Though all that has been looked at is in use: the rest of memory is still to come. */
SELFTEST(page_alloc_below_finds_large_blocks_anywhere)
{
    struct page *page = page_alloc_below(MAX_ORDER, ~0UL, 0);

    CHECK(page);
    page_put(page);
}
