/* SPDX-License-Identifier: MIT
 *
 * Physical pages. A buddy allocator with per-CPU caches hands out blocks of 2^order pages; every
 * page has a struct page in the vmemmap, whose section is initialised when it is first allocated
 * from, so boot does not grow with RAM. All RAM is mapped at DIRECT_MAP.
 *
 * Context: everything here is irq-safe and never sleeps. Reclaim is the caller's business (vm).
 */
#pragma once

#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"

struct account;
struct mem_object;

#define DIRECT_MAP 0xffff888000000000UL
#define VMEMMAP 0xffffea0000000000UL
#define MAX_ORDER 10 /* largest block: 4 MiB */

enum page_flags {
    PG_BUDDY = 1 << 0,     /* free, head of a block */
    PG_SLAB = 1 << 1,      /* owner points to the slab */
    PG_COMPOUND = 1 << 2,  /* head of an allocated block of order > 0 */
    PG_TAIL = 1 << 3,      /* part of a block; head_offset pages after its head */
    PG_DIRTY = 1 << 4,     /* page cache: differs from the backing store */
    PG_UPTODATE = 1 << 5,  /* page cache: contents are valid */
    PG_LOCKED = 1 << 6,    /* page cache: under I/O; wait with page_lock */
    PG_WRITEBACK = 1 << 7, /* page cache: being written */
    PG_LRU = 1 << 8,       /* on a reclaim list */
    PG_REFERENCED = 1 << 9,
    PG_RESERVED = 1 << 10, /* never allocated: firmware, kernel image */
    PG_KERNEL = 1 << 11,   /* charged as the kernel's own */
    PG_BOUNCE = 1 << 12,   /* a device's copy of other memory: kernel/dev/dma.c */
    PG_AHEAD = 1 << 13,    /* page cache: read-ahead goes on from here */
};

/* 64 bytes. Fields of a page's user: o its object's lock, b the buddy lock, a atomic. */
struct page {
    u32 flags;    /* a  enum page_flags, through page_flag_* */
    atomic_t ref; /* a  0 = free */
    u8 order;     /* b/owner: of the block this page heads */
    u8 zone_pad;
    u16 head_offset; /* tail pages: distance to the head */
    atomic_t share;  /* a  page-table entries that map it, of all translation lists */
    union {
        struct mem_object *object; /* o  page cache or anonymous memory */
        void *owner;               /*    slab, page table: private to the user */
    };
    u64 index;               /* o  in pages within object */
    struct account *account; /*    who is charged; NULL: the kernel */
    struct list_node node;   /* b free list · o LRU or user's list */
    u64 private;             /*    the user's; anything after page_alloc */
};
static_assert(sizeof(struct page) == 64, "struct page: a power of two");

enum page_alloc_flags {
    PA_ZERO = 1 << 0,
    PA_EMERGENCY = 1 << 1, /* may use the last reserve: forward progress of reclaim, exit, irq */
    PA_CHARGE = 1 << 2,    /* kernel memory, charged to the thread that runs */
};

/* Returns a block of 2^order pages with ref 1, or NULL. Charges nothing but with
 * PA_CHARGE; see account.h. */
struct page *page_alloc(unsigned order, unsigned flags) __must_check;
/* The same of memory whose last byte is at most `last`, for devices that reach no further: as far
 * as a look at some of the free blocks finds one. The kernel's own. */
struct page *page_alloc_below(unsigned order, u64 last, unsigned flags) __must_check;
/* The same as page_alloc of one page with PA_ZERO, and of those that page_free_zeroed() has kept
 * first. */
struct page *page_alloc_table(unsigned flags) __must_check;
/* Clears n pages of a block from its first-th on: blocks that take long are cleared by parts. */
void page_clear_part(struct page *head, unsigned first, unsigned n);
static inline void page_get(struct page *page)
{
    atomic_inc(&page->ref);
}
/* Drops a reference; the last one uncharges page->account and frees the block. Takes head pages. */
void page_put(struct page *page);
/* Drops the last reference to a single page that holds nothing but zeros. */
void page_free_zeroed(struct page *page);

static inline struct page *page_of(hpa_t pa)
{
    return (struct page *)VMEMMAP + (pa.v >> PAGE_SHIFT);
}
static inline hpa_t page_hpa(const struct page *page)
{
    return HPA((u64)(page - (struct page *)VMEMMAP) << PAGE_SHIFT);
}
static inline void *hpa_virt(hpa_t pa)
{
    return (void *)(DIRECT_MAP + pa.v);
}
static inline void *page_virt(const struct page *page)
{
    return hpa_virt(page_hpa(page));
}
/* Of an address inside the direct map, or (slower) of the kernel image. */
hpa_t virt_hpa(const void *va);
static inline struct page *virt_page(const void *va)
{
    return page_of(virt_hpa(va));
}
static inline struct page *page_head(struct page *page)
{
    return page->flags & PG_TAIL ? page - page->head_offset : page;
}
static inline bool page_flag_test(const struct page *page, u32 flag)
{
    return READ_ONCE(page->flags) & flag;
}
/* Both return the flags before. */
static inline u32 page_flag_set(struct page *page, u32 flag)
{
    return __atomic_fetch_or(&page->flags, flag, __ATOMIC_SEQ_CST);
}
static inline u32 page_flag_clear(struct page *page, u32 flag)
{
    return __atomic_fetch_and(&page->flags, ~flag, __ATOMIC_SEQ_CST);
}

/* A page's worth of kernel memory by address. */
void *page_alloc_virt(unsigned order, unsigned flags) __must_check;
void page_free_virt(void *va, unsigned order);

/* So few pages are left that caches should be emptied. */
bool pages_short(void);

/* Figures for /proc/meminfo, in pages. */
struct mem_info {
    u64 total, free, slab, page_tables, kernel_stacks;
};
void mem_info_get(struct mem_info *out);
/* sched: pages of kernel stacks, more or less. */
void mem_count_stacks(s64 pages);
/* True for RAM (not firmware, not MMIO): what KVM and /dev/mem may treat as memory. */
bool hpa_is_ram(hpa_t pa);
