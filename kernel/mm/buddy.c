/* SPDX-License-Identifier: MIT
 *
 * The buddy lists: free blocks of 2^order pages, by order. A block never reaches past its section
 * of 2^MAX_ORDER pages, so a look at the buddy's struct page needs no test that it exists.
 *
 * Lock order: buddy_lock is innermost, and taken with interrupts off.
 */
#include "lib/log.h"
#include "mm/mm_priv.h"
#include "sync/spinlock.h"

/* b: buddy_lock */
static struct spinlock buddy_lock = SPINLOCK_INIT(RANK_MM, 0, "buddy");
static struct list_node buddy_lists[MAX_ORDER + 1]; /* b */
static u32 buddy_orders;                            /* b  bit n: list n is not empty */
static u64 buddy_free;                              /* b  pages on the lists */
static u64 buddy_total;                             /* b  pages that ever came here */
static u64 buddy_reserve;                           /* b  kept for PA_EMERGENCY */

void buddy_init(void)
{
    for (unsigned i = 0; i <= MAX_ORDER; i++)
        list_init(&buddy_lists[i]);
}

static inline void buddy_push(struct page *page, unsigned order)
{
    page->flags = PG_BUDDY;
    page->order = (u8)order;
    list_add(&buddy_lists[order], &page->node);
    buddy_orders |= 1U << order;
}

static inline void buddy_unlink(struct page *page, unsigned order)
{
    page->flags = 0;
    page->node.prev->next = page->node.next;
    page->node.next->prev = page->node.prev;
    if (list_empty(&buddy_lists[order]))
        buddy_orders &= ~(1U << order);
}

/* Takes the first 2^order pages of a free block of order `at`. */
static struct page *buddy_split_locked(struct page *page, unsigned at, unsigned order)
    REQUIRES(buddy_lock)
{
    ASSERT_HELD(&buddy_lock);
    buddy_unlink(page, at);
    while (at > order) {
        at--;
        buddy_push(page + (1UL << at), at);
    }
    buddy_free -= 1UL << order;
    return page;
}

static struct page *buddy_take_locked(unsigned order) REQUIRES(buddy_lock)
{
    u32 fit = buddy_orders >> order << order;
    unsigned at;

    ASSERT_HELD(&buddy_lock);
    if (unlikely(!fit))
        return NULL;
    at = (unsigned)__builtin_ctz(fit);
    return buddy_split_locked(list_entry(buddy_lists[at].next, struct page, node), at, order);
}

#define BELOW_LOOKS 64 /* blocks of a list, lock held */

static struct page *buddy_take_below_locked(unsigned order, u64 end) REQUIRES(buddy_lock)
{
    ASSERT_HELD(&buddy_lock);
    for (unsigned at = order; at <= MAX_ORDER; at++) {
        unsigned looks = 0;
        struct page *page;

        list_for_each (page, &buddy_lists[at], node) {
            if ((page_hpa(page).v >> PAGE_SHIFT) + (1UL << order) <= end)
                return buddy_split_locked(page, at, order);
            if (++looks == BELOW_LOOKS)
                break;
        }
    }
    return NULL;
}

static void buddy_give_locked(struct page *page, unsigned order) REQUIRES(buddy_lock)
{
    u64 pfn = (u64)(page - (struct page *)VMEMMAP);

    ASSERT_HELD(&buddy_lock);
    buddy_free += 1UL << order;
    while (order < MAX_ORDER) {
        struct page *buddy = (struct page *)VMEMMAP + (pfn ^ 1UL << order);

        if (!(buddy->flags & PG_BUDDY) || buddy->order != order)
            break;
        buddy_unlink(buddy, order);
        pfn &= ~(1UL << order);
        order++;
    }
    buddy_push((struct page *)VMEMMAP + pfn, order);
}

struct page *buddy_take(unsigned order, bool emergency)
{
    struct page *page = NULL;
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    if (emergency || buddy_free >= buddy_reserve + (1UL << order))
        page = buddy_take_locked(order);
    spin_unlock_irqrestore(&buddy_lock, flags);
    return page;
}

struct page *buddy_take_below(unsigned order, u64 end)
{
    struct page *page = NULL;
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    if (buddy_free >= buddy_reserve + (1UL << order))
        page = buddy_take_below_locked(order, end);
    spin_unlock_irqrestore(&buddy_lock, flags);
    return page;
}

unsigned buddy_take_batch(struct page **out, unsigned n, bool emergency)
{
    unsigned got = 0;
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    while (got < n && (emergency || buddy_free > buddy_reserve)) {
        struct page *page = buddy_take_locked(0);

        if (!page)
            break;
        out[got++] = page;
    }
    spin_unlock_irqrestore(&buddy_lock, flags);
    return got;
}

void buddy_give(struct page *page, unsigned order)
{
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    buddy_give_locked(page, order);
    spin_unlock_irqrestore(&buddy_lock, flags);
}

void buddy_give_batch(struct page **pages, unsigned n)
{
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    for (unsigned i = 0; i < n; i++)
        buddy_give_locked(pages[i], 0);
    spin_unlock_irqrestore(&buddy_lock, flags);
}

void buddy_give_range(u64 start, u64 end)
{
    u64 flags;

    while (start < end) {
        unsigned order = start ? (unsigned)__builtin_ctzl(start) : MAX_ORDER;

        order = MIN(order, MAX_ORDER);
        while (start + (1UL << order) > end)
            order--;
        spin_lock_irqsave(&buddy_lock, &flags);
        buddy_give_locked((struct page *)VMEMMAP + start, order);
        spin_unlock_irqrestore(&buddy_lock, flags);
        start += 1UL << order;
    }
}

void buddy_add_total(u64 pages)
{
    u64 flags;

    spin_lock_irqsave(&buddy_lock, &flags);
    buddy_total += pages;
    buddy_reserve = MIN(buddy_total / 64, 256UL);
    spin_unlock_irqrestore(&buddy_lock, flags);
}

u64 buddy_free_pages(void)
{
    return READ_ONCE(buddy_free);
}

u64 buddy_total_pages(void)
{
    return READ_ONCE(buddy_total);
}
