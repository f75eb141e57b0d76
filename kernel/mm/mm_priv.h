/* SPDX-License-Identifier: MIT
 *
 * What the files of mm share with each other only.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "mm/page.h"

/* Before the page allocator stands: memory from the firmware's map, never given back. */
hpa_t mm_alloc_early(u64 bytes);
extern bool mm_page_alloc_ready;
/* 2 where the CPU has 1 GiB leaves, else 1. */
extern unsigned mm_leaf_level_max;

/* Figures kept per CPU and summed by the reader. */
enum mm_stat { MM_STAT_SLAB, MM_STAT_PAGE_TABLES, MM_STAT_STACKS, MM_STATS };
struct mm_stats {
    s64 n[MM_STATS];
};
DECLARE_PER_CPU(struct mm_stats, mm_stats);

static inline void mm_stat_add(enum mm_stat which, s64 pages)
{
    u64 off = (u64)&mm_stats.n[which];

    __asm__ volatile("addq %0, %%gs:(%1)" ::"re"(pages), "r"(off) : "memory");
}

/* REP STOSQ counts one instruction per 8 bytes under an instruction counter and runs as fast as
 * anything on the CPU. */
static inline void page_clear(void *p)
{
    u64 n = PAGE_SIZE / 8;

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0UL) : "memory");
}

/* section.c: memory that has no struct page yet. */
void section_init_ranges(void);
/* Initialises one more section and gives its pages to the buddy lists; false when none is left or
 * this CPU is inside already. */
bool section_grow(void);
/* The next one begins below page number `end`. */
bool section_left_below(u64 end);
/* Gives [start, end) page numbers, RAM that was reserved at boot, a struct page (reserved). */
int section_reserve(u64 start, u64 end);
/* Reserved memory becomes allocated pages; NULL: no memory for a section's array. */
struct page *section_adopt(u64 pfn, u64 n);
/* Makes [start, end) page numbers, RAM that was reserved at boot, free. 0 or -ENOMEM. */
int section_give(u64 start, u64 end);
u64 section_pages_left(void);

/* buddy.c */
void buddy_init(void);
struct page *buddy_take(unsigned order, bool emergency);
/* The same below page number `end`: of the first few blocks of each list. */
struct page *buddy_take_below(unsigned order, u64 end);
/* n order-0 pages at most into out; the count. */
unsigned buddy_take_batch(struct page **out, unsigned n, bool emergency);
void buddy_give(struct page *page, unsigned order);
void buddy_give_batch(struct page **pages, unsigned n);
/* Page numbers [start, end): the largest aligned blocks. */
void buddy_give_range(u64 start, u64 end);
u64 buddy_free_pages(void);
u64 buddy_total_pages(void);
void buddy_add_total(u64 pages);

/* mm_boot.c: the RAM map, sorted, in page numbers. */
struct mm_range {
    u64 start, end;
};
extern struct mm_range mm_free[];
extern unsigned mm_free_count;
/* Adds page numbers [start, end) to mm_free. False: there are too many ranges. section_lock. */
bool mm_free_insert(u64 start, u64 end);
/* page.c: gives this CPU's cached pages back to the buddy lists. irq-safe. */
void page_cache_drain_cpu(void);
/* slab.c */
struct slab_cache;
size_t slab_object_size(const struct slab_cache *cache);
/* Uncharged. */
void *slab_alloc_unpaid(struct slab_cache *cache) __must_check;
/* A slab's table of payers: at most 2048 bytes. */
void *slab_payers_alloc(size_t bytes) __must_check;
/* Gives this CPU's free objects back to their slabs. Interrupts off. */
void slab_shrink_cpu(void);
/* Gives the empty slabs of all caches back. irq-safe. */
void slab_shrink_empty(void);
/* kmalloc.c, vmap.c: once pages can be had. */
void slab_init(void);
void vmap_init(void);
