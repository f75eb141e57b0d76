/* SPDX-License-Identifier: MIT
 *
 * page_alloc and page_put. Single pages go through a stack per CPU, filled and drained in batches,
 * so that the common path takes no lock; larger blocks go to the buddy lists at once. The stack is
 * last in, first out: the page that comes next is the one whose lines are warm. Beside it lie a few
 * pages that are known to be zero, as the tables of a process that has ended are, for the next
 * tables.
 *
 * Debug builds fill a freed page with a pattern and look at it when the page is given out again.
 */
#include "mm/page.h"

#include "arch/x86/regs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/mm_priv.h"
#include "mm/slab.h"
#include "mm/up.h"

#define CACHE_PAGES 64
#define CACHE_BATCH 16
#define CACHE_ZEROED 16
#define GROW_BELOW                                                                \
    512 /* free pages, twice the reserve: another section before the last ones go \
         */
#define POISON_PAGE 0x5a5a5a5a5a5a5a5aUL

/* c this CPU, interrupts off: ASSERT_THIS_CPU */
struct page_cache {
    u32 n, zeroed;                         /* c */
    struct page *pages[CACHE_PAGES];       /* c */
    struct page *zero_pages[CACHE_ZEROED]; /* c */
};
static DEFINE_PER_CPU(struct page_cache, page_caches);
DEFINE_PER_CPU(struct mm_stats, mm_stats);

#ifdef DEBUG
static void page_poison(struct page *page, unsigned order)
{
    u64 n = PAGE_SIZE / 8 << order;
    void *p = page_virt(page);

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(POISON_PAGE) : "memory");
}

static void page_poison_check(struct page *page, unsigned order)
{
    const u64 *p = page_virt(page);

    /* The first words of a block that was never allocated hold anything: mark by the second word.
     */
    if (p[1] != POISON_PAGE)
        return;
    for (u64 i = 0; i < 1UL << order; i++) {
        const u64 *word = p + i * (PAGE_SIZE / 8);
        u64 left = *word == POISON_PAGE ? PAGE_SIZE / 8 : 0;

        if (!left)
            continue;
        /* RCX counts down to the first word that differs: a few ms less for a large block. */
        __asm__ volatile("repe scasq" : "+D"(word), "+c"(left) : "a"(POISON_PAGE) : "cc", "memory");
        if (word[-1] != POISON_PAGE)
            panic("page %lx written after it was freed: word %lu is %lx", page_hpa(page).v,
                  (u64)(word - 1 - p), word[-1]);
    }
}
#else
static inline void page_poison(struct page *page, unsigned order)
{
}
static inline void page_poison_check(struct page *page, unsigned order)
{
}
#endif

/* For assertions. */
static __maybe_unused bool page_is_zero(const struct page *page)
{
    const u64 *p = page_virt(page), *end = p + PAGE_SIZE / 8;

    while (p < end && !*p)
        p++;
    return p == end;
}

bool pages_short(void)
{
    return unlikely(buddy_free_pages() < GROW_BELOW + GROW_BELOW / 2) && !section_pages_left();
}

static inline void page_setup(struct page *page, u32 flags)
{
    page->flags = flags;
    page->account = NULL;
    page->object = NULL;
    atomic_set(&page->share, 0);
    atomic_set(&page->ref, 1);
}

static __noinline struct page *page_alloc_slow(unsigned order, unsigned flags)
{
    bool emergency = flags & PA_EMERGENCY || up_takes_reserves();
    struct page *page;

    if (pages_short())
        up_memory_short();
    if (buddy_free_pages() < GROW_BELOW + (1UL << order))
        section_grow();
    while (!(page = buddy_take(order, emergency)))
        if (!section_grow())
            return NULL;
    return page;
}

/* Interrupts off: fills the CPU's stack and returns one page more, or NULL. */
static __noinline struct page *page_cache_fill(struct page_cache *cache, unsigned flags)
{
    struct page *page = page_alloc_slow(0, flags);

    ASSERT_THIS_CPU(cache, page_caches);
    if (page && cache->n < CACHE_BATCH)
        cache->n += buddy_take_batch(cache->pages + cache->n, CACHE_BATCH - 1, false);
    return page;
}

static __noinline void page_cache_drain(struct page_cache *cache, unsigned keep)
{
    unsigned n = cache->n - keep;

    ASSERT_THIS_CPU(cache, page_caches);
    /* The oldest go: they lie at the bottom. */
    buddy_give_batch(cache->pages, n);
    memmove(cache->pages, cache->pages + n, keep * sizeof(cache->pages[0]));
    cache->n = keep;
}

static void page_setup_tails(struct page *page, unsigned order)
{
    for (u16 i = 1; i < 1U << order; i++) {
        page[i].flags = PG_TAIL;
        page[i].head_offset = i;
    }
    page->order = (u8)order;
}

void page_clear_part(struct page *head, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        page_clear(page_virt(head + i));
}

static struct page *page_setup_block(struct page *page, unsigned order, unsigned flags)
{
    page_setup_tails(page, order);
    page_setup(page, order ? PG_COMPOUND : 0);
    page_poison_check(page, order);
    if (flags & PA_ZERO)
        page_clear_part(page, 0, 1U << order);
    return page;
}

static struct page *page_alloc_block(unsigned order, unsigned flags)
{
    struct page *page = order <= MAX_ORDER ? page_alloc_slow(order, flags) : NULL;

    return page ? page_setup_block(page, order, flags) : NULL;
}

struct page *page_alloc_below(unsigned order, u64 last, unsigned flags)
{
    u64 end = last == ~0ULL ? last >> PAGE_SHIFT : (last + 1) >> PAGE_SHIFT;
    struct page *page;

    if (order > MAX_ORDER || FAILPOINT(page_alloc_below))
        return NULL;
    while (!(page = buddy_take_below(order, end)))
        if (!section_left_below(end) || !section_grow())
            return NULL;
    return page_setup_block(page, order, flags);
}

static struct page *page_alloc_free(unsigned order, unsigned flags)
{
    struct page_cache *cache;
    struct page *page;
    u64 irq;

    if (unlikely(order))
        return page_alloc_block(order, flags);
    irq = irq_save();
    cache = this_cpu_ptr(page_caches);
    if (likely(cache->n))
        page = cache->pages[--cache->n];
    else
        page = page_cache_fill(cache, flags);
    irq_restore(irq);
    if (unlikely(!page))
        return NULL;
    page_setup(page, 0);
    page_poison_check(page, 0);
    if (flags & PA_ZERO)
        page_clear(page_virt(page));
    return page;
}

/* Charged to a. */
static __noinline struct page *page_alloc_paid(struct account *a, unsigned order, unsigned flags)
{
    struct page *page;

    if (account_charge_kernel(a, 1UL << order))
        return NULL;
    page = page_alloc_free(order, flags);
    if (likely(page)) {
        page->account = a;
        page->flags |= PG_KERNEL;
    } else {
        account_uncharge_kernel(a, 1UL << order);
    }
    return page;
}

struct page *page_alloc(unsigned order, unsigned flags)
{
    struct account *account = flags & PA_CHARGE ? account_current() : NULL;

    if (FAILPOINT(page_alloc))
        return NULL;
    return account ? page_alloc_paid(account, order, flags) : page_alloc_free(order, flags);
}

/* A page of this CPU's that is zero already, or NULL. */
static struct page *page_alloc_zeroed(void)
{
    u64 irq = irq_save();
    struct page_cache *cache = this_cpu_ptr(page_caches);
    struct page *page = cache->zeroed ? cache->zero_pages[--cache->zeroed] : NULL;

    irq_restore(irq);
    if (!page)
        return NULL;
    page_setup(page, 0);
    DEBUG_ASSERT(page_is_zero(page));
    return page;
}

struct page *page_alloc_table(unsigned flags)
{
    struct account *account = flags & PA_CHARGE ? account_current() : NULL;
    struct page *page = page_alloc_zeroed();

    if (!page)
        return page_alloc(0, flags | PA_ZERO);
    if (FAILPOINT(page_alloc) || account_charge_kernel(account, 1)) {
        page_free_zeroed(page);
        return NULL;
    }
    page->account = account;
    page->flags |= account ? PG_KERNEL : 0;
    return page;
}

static void page_free_block(struct page *page)
{
    unsigned order = page->order;

    page_poison(page, order);
    page->flags = 0;
    buddy_give(page, order);
}

static inline void page_uncharge(struct page *page)
{
    u64 n = page->flags & PG_COMPOUND ? 1UL << page->order : 1;

    if (!page->account)
        return;
    if (page->flags & PG_KERNEL)
        account_use(page->account, ACCOUNT_KERNEL, -(s64)n);
    account_uncharge(page->account, n);
    page->account = NULL;
}

static void page_free(struct page *page)
{
    struct page_cache *cache;
    u64 irq;

    DEBUG_ASSERT(atomic_read(&page->share) == 0);
    DEBUG_ASSERT(!(page->flags & (PG_BUDDY | PG_TAIL | PG_LRU | PG_LOCKED)));
    page_uncharge(page);
    if (unlikely(page->flags & PG_COMPOUND)) {
        page_free_block(page);
        return;
    }
    page_poison(page, 0);
    page->flags = 0;
    irq = irq_save();
    cache = this_cpu_ptr(page_caches);
    if (unlikely(cache->n == CACHE_PAGES))
        page_cache_drain(cache, CACHE_PAGES - CACHE_BATCH);
    cache->pages[cache->n++] = page;
    irq_restore(irq);
}

void page_put(struct page *page)
{
    s32 left = atomic_dec(&page->ref);

    if (left == 0)
        page_free(page);
    else
        ASSERT(left > 0);
}

void page_free_zeroed(struct page *page)
{
    struct page_cache *cache;
    s32 last = 1;
    bool kept;
    u64 irq;

    DEBUG_ASSERT(!(page->flags & PG_COMPOUND));
    DEBUG_ASSERT(page_is_zero(page));
    irq = irq_save();
    cache = this_cpu_ptr(page_caches);
    /* A stale look-up under RCU (mem_object_peek) may have a reference for a moment: then the page
     * goes with that. */
    kept = cache->zeroed < CACHE_ZEROED && atomic_cas(&page->ref, &last, 0);
    if (kept) {
        page_uncharge(page);
        page->flags = 0;
        cache->zero_pages[cache->zeroed++] = page;
    }
    irq_restore(irq);
    if (!kept)
        page_put(page);
}

void page_cache_drain_cpu(void)
{
    u64 irq = irq_save();
    struct page_cache *cache = this_cpu_ptr(page_caches);

    while (cache->zeroed) {
        struct page *page = cache->zero_pages[--cache->zeroed];

        page_poison(page, 0);
        buddy_give_batch(&page, 1);
    }
    if (cache->n)
        page_cache_drain(cache, 0);
    irq_restore(irq);
}

void *page_alloc_virt(unsigned order, unsigned flags)
{
    struct page *page = page_alloc(order, flags);

    return page ? page_virt(page) : NULL;
}

void page_free_virt(void *va, unsigned order)
{
    struct page *page = virt_page(va);

    DEBUG_ASSERT((page->flags & PG_COMPOUND ? page->order : 0) == order);
    page_put(page);
}

void mem_info_get(struct mem_info *out)
{
    s64 stat[MM_STATS] = {0};
    u64 cached = 0;
    unsigned cpu;

    cpu_for_each (cpu) {
        cached += READ_ONCE(per_cpu_ptr(page_caches, cpu)->n) +
                  READ_ONCE(per_cpu_ptr(page_caches, cpu)->zeroed);
        for (unsigned i = 0; i < MM_STATS; i++)
            stat[i] += READ_ONCE(per_cpu_ptr(mm_stats, cpu)->n[i]);
    }
    out->total = buddy_total_pages() + section_pages_left();
    out->free = buddy_free_pages() + cached + section_pages_left();
    out->slab = (u64)MAX(stat[MM_STAT_SLAB], 0);
    out->page_tables = (u64)MAX(stat[MM_STAT_PAGE_TABLES], 0);
    out->kernel_stacks = (u64)MAX(stat[MM_STAT_STACKS], 0);
}

void mem_count_stacks(s64 pages)
{
    mm_stat_add(MM_STAT_STACKS, pages);
}

static int page_cmd_mem(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    struct mem_info info;

    mem_info_get(&info);
    emit("total %lu KiB, free %lu KiB, slab %lu KiB, page tables %lu KiB, stacks %lu KiB\n",
         info.total * 4, info.free * 4, info.slab * 4, info.page_tables * 4,
         info.kernel_stacks * 4);
    return 0;
}
CONSOLE_CMD(mem)
= {"mem", "memory figures", page_cmd_mem, true};
