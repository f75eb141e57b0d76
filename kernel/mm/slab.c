/* SPDX-License-Identifier: MIT
 *
 * Slab caches. A slab is one page block cut into objects; its struct page carries the free list
 * (index), the count of objects out (share) and the cache (owner). Each CPU keeps a short list of
 * free objects per cache, linked through the objects themselves: the common path is a pop or a push
 * with interrupts off. The lists of all caches lie together in one per-CPU array, so CPUs share no
 * line.
 *
 * An object made for a program is charged to its account, which is stored in a table that the
 * slab gets when the first such object is made (private): a pointer for each object, NULL:
 * uncharged.
 *
 * A debug object is [redzone 16][object, poisoned while free][link 8][redzone 8].
 *
 * Lock order: slab_list_lock, then cache->lock, then buddy_lock.
 */
#include "mm/slab.h"

#include "arch/x86/regs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/mm_priv.h"
#include "sync/spinlock.h"

#define CACHES_MAX 192
#define SLAB_ORDER_MAX 3

struct slab_free {
    struct slab_free *next;
};

/* I immutable after create · l lock */
struct slab_cache {
    struct spinlock lock;
    const char *name;         /* I */
    u32 id;                   /* I  index into slab_cpus */
    u32 size;                 /* I  what the user asked for */
    u32 stride;               /* I  distance of objects */
    u32 start;                /* I  of the user's part in an object */
    u32 link;                 /* I  of the free link, from the user's part */
    u32 order, per_slab;      /* I */
    u32 batch;                /* I  objects moved to or from a CPU's list at once */
    struct list_node partial; /* l  slabs with free objects */
    struct list_node empty;   /* l  slabs with nothing out */
    u32 nr_empty, nr_slabs;   /* l */
};

/* c this CPU, interrupts off: ASSERT_IRQS_OFF */
struct slab_cpu {
    struct slab_free *head; /* c */
    u32 n, max;             /* c */
};
static DEFINE_PER_CPU(struct slab_cpu, slab_cpus)[CACHES_MAX];

static struct slab_cache slab_caches[CACHES_MAX];
static u32 slab_nr_caches;
static struct spinlock slab_list_lock = SPINLOCK_INIT(RANK_MM, 8, "slab list");

#ifdef DEBUG
#define REDZONE 16
#define REDZONE_WORD 0xbadc0ffee0ddf00dUL
#define POISON_FREE 0x6b
#define POISON_NEW 0xa5

static void slab_debug_zones(const struct slab_cache *c, u8 *obj)
{
    u64 *before = (u64 *)obj - 2, *after = (u64 *)(obj + c->link) + 1;

    before[0] = before[1] = *after = REDZONE_WORD;
}

static void slab_debug_make(const struct slab_cache *c, u8 *obj)
{
    slab_debug_zones(c, obj);
    memset(obj, POISON_FREE, c->link);
}

static void slab_debug_alloc(const struct slab_cache *c, u8 *obj)
{
    for (u32 i = 0; i < c->link; i++)
        if (obj[i] != POISON_FREE)
            panic("%s object %p written after it was freed: byte %u is %02x", c->name, obj, i,
                  obj[i]);
    memset(obj, POISON_NEW, c->link);
}

static void slab_debug_free(const struct slab_cache *c, const struct page *page, u8 *obj)
{
    u64 at = (u64)obj - (u64)page_virt(page);
    const u64 *before = (u64 *)obj - 2, *after = (u64 *)(obj + c->link) + 1;
    u32 same = 0;

    if (at < c->start || (at - c->start) % c->stride)
        panic("%s object %p freed: no object begins there", c->name, obj);
    if (before[0] != REDZONE_WORD || before[1] != REDZONE_WORD)
        panic("%s object %p: written before its start", c->name, obj);
    if (*after != REDZONE_WORD)
        panic("%s object %p: written past its end", c->name, obj);
    while (same < c->link && obj[same] == POISON_FREE)
        same++;
    if (same == c->link)
        panic("%s object %p freed twice", c->name, obj);
    memset(obj, POISON_FREE, c->link);
}
#else
#define REDZONE 0
static inline void slab_debug_make(const struct slab_cache *c, u8 *obj)
{
}
static inline void slab_debug_alloc(const struct slab_cache *c, u8 *obj)
{
}
static inline void slab_debug_free(const struct slab_cache *c, const struct page *page, u8 *obj)
{
}
#endif

static inline struct slab_free *slab_link_of(const struct slab_cache *c, void *obj)
{
#ifdef DEBUG
    return (struct slab_free *)((u8 *)obj + c->link);
#else
    return obj;
#endif
}

static inline void *slab_object(const struct slab_cache *c, struct slab_free *link)
{
#ifdef DEBUG
    return (u8 *)link - c->link;
#else
    return link;
#endif
}

/* The smallest order that wastes at most an eighth and holds several objects. */
static u32 slab_choose_order(u32 stride)
{
    for (u32 order = 0; order < SLAB_ORDER_MAX; order++) {
        u64 bytes = PAGE_SIZE << order;

        if (bytes / stride >= 4 && bytes % stride * 8 <= bytes)
            return order;
    }
    return SLAB_ORDER_MAX;
}

static void slab_cache_setup(struct slab_cache *c, const char *name, size_t size, size_t align)
{
    if (!align)
        align = 16;
    c->name = name;
    c->size = (u32)size;
    c->start = (u32)ALIGN_UP((size_t)REDZONE, REDZONE ? align : 1);
    c->link = (u32)ALIGN_UP(MAX(size, 8UL), 8UL);
    c->stride = (u32)ALIGN_UP(c->start + c->link + REDZONE, align);
    c->order = slab_choose_order(c->stride);
    c->per_slab = (u32)((PAGE_SIZE << c->order) / c->stride);
    c->batch = c->stride <= 256 ? 16 : c->stride <= 1024 ? 8 : 4;
    spinlock_init(&c->lock, RANK_MM, 6, name);
    list_init(&c->partial);
    list_init(&c->empty);
}

struct slab_cache *slab_cache_create(const char *name, size_t size, size_t align)
{
    struct slab_cache *c;
    u64 flags;

    if (size > PAGE_SIZE || (align & (align - 1)) || align > PAGE_SIZE)
        panic("slab cache %s: size %zu, align %zu", name, size, align);
    spin_lock_irqsave(&slab_list_lock, &flags);
    if (slab_nr_caches == CACHES_MAX)
        panic("too many slab caches");
    c = &slab_caches[slab_nr_caches];
    c->id = slab_nr_caches;
    slab_cache_setup(c, name, size, align);
    store_release(&slab_nr_caches, slab_nr_caches + 1);
    spin_unlock_irqrestore(&slab_list_lock, flags);
    return c;
}

/* cache->lock is not held; the new slab is empty and on no list. */
static struct page *slab_make(struct slab_cache *c)
{
    struct page *page = page_alloc(c->order, 0);
    struct slab_free *head = NULL;
    u8 *base;

    if (!page)
        return NULL;
    base = page_virt(page);
    for (u32 i = c->per_slab; i-- > 0;) {
        u8 *obj = base + i * c->stride + c->start;
        struct slab_free *link = slab_link_of(c, obj);

        slab_debug_make(c, obj);
        link->next = head;
        head = link;
    }
    page->owner = c;
    page->index = (u64)head;
    page->private = 0;
    page_flag_set(page, PG_SLAB);
    mm_stat_add(MM_STAT_SLAB, 1L << c->order);
    return page;
}

static void slab_release(struct slab_cache *c, struct page *page)
{
    kfree((void *)page->private);
    page_flag_clear(page, PG_SLAB);
    page->owner = NULL;
    mm_stat_add(MM_STAT_SLAB, -(1L << c->order));
    page_put(page);
}

/* cache->lock held: moves up to n objects of one slab to the CPU's list. */
static u32 slab_draw(struct slab_cache *c, struct page *page, struct slab_cpu *cpu, u32 n)
    REQUIRES(c->lock)
{
    struct slab_free *link = (struct slab_free *)page->index;
    u32 got = 0;

    ASSERT_HELD(&c->lock);
    while (link && got < n) {
        struct slab_free *next = link->next;

        link->next = cpu->head;
        cpu->head = link;
        link = next;
        got++;
    }
    page->index = (u64)link;
    page->share.v += (s32)got;
    cpu->n += got;
    return got;
}

/* Interrupts off. False: no memory. */
static __noinline bool slab_fill(struct slab_cache *c, struct slab_cpu *cpu)
{
    u32 want = c->batch;
    struct page *page;

    ASSERT_IRQS_OFF();
    cpu->max = c->batch * 2;
    spin_lock(&c->lock);
    while (want) {
        page = list_first(&c->partial, struct page, node);
        if (!page && (page = list_first(&c->empty, struct page, node)))
            c->nr_empty--;
        if (!page) {
            if (cpu->n)
                break;
            spin_unlock(&c->lock);
            page = slab_make(c);
            if (!page)
                return false;
            spin_lock(&c->lock);
            c->nr_slabs++;
            list_init(&page->node);
        }
        list_del(&page->node);
        want -= slab_draw(c, page, cpu, want);
        if (page->index)
            list_add(&c->partial, &page->node);
    }
    spin_unlock(&c->lock);
    return true;
}

/* cache->lock held: one object back into its slab; a slab that should go to the pages is returned.
 */
static struct page *slab_put_back(struct slab_cache *c, struct slab_free *link) REQUIRES(c->lock)
{
    struct page *page = page_head(page_of(HPA((u64)link - DIRECT_MAP)));
    bool was_full = !page->index;

    ASSERT_HELD(&c->lock);
    ASSERT(page->owner == c && page->share.v > 0);
    link->next = (struct slab_free *)page->index;
    page->index = (u64)link;
    if (--page->share.v == 0) {
        if (!was_full)
            list_del(&page->node);
        if (c->nr_empty >= 1) {
            c->nr_slabs--;
            return page;
        }
        c->nr_empty++;
        list_add(&c->empty, &page->node);
    } else if (was_full) {
        list_add(&c->partial, &page->node);
    }
    return NULL;
}

/* Interrupts off: gives back all but `keep` of this CPU's objects. */
static __noinline void slab_drain(struct slab_cache *c, struct slab_cpu *cpu, u32 keep)
{
    struct list_node gone;
    struct page *page, *tmp;

    ASSERT_IRQS_OFF();
    list_init(&gone);
    spin_lock(&c->lock);
    while (cpu->n > keep) {
        struct slab_free *link = cpu->head;

        cpu->head = link->next;
        cpu->n--;
        page = slab_put_back(c, link);
        if (page)
            list_add(&gone, &page->node);
    }
    spin_unlock(&c->lock);
    list_for_each_safe (page, tmp, &gone, node)
        slab_release(c, page);
}

/* ------------------------------------------------------------- who pays */

static inline struct page *slab_page(const void *obj)
{
    return page_head(page_of(HPA((u64)obj - DIRECT_MAP)));
}

static inline struct account **slab_payer(const struct slab_cache *c, const struct page *page,
                                          const void *obj)
{
    struct account **payers = (struct account **)page->private;

    return payers + (u32)((u64)obj - (u64)page_virt(page)) / c->stride;
}

/* The table itself is uncharged: it serves all accounts that have objects in the slab. */
static bool slab_make_payers(const struct slab_cache *c, struct page *page)
{
    size_t bytes = c->per_slab * sizeof(struct account *);
    void *payers = slab_payers_alloc(bytes);
    u64 none = 0;

    if (!payers)
        return false;
    memset(payers, 0, bytes);
    if (!__atomic_compare_exchange_n(&page->private, &none, (u64)payers, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        kfree(payers); /* another CPU was faster */
    return true;
}

/* False: the account is full, or there is no space to write it down. */
static bool slab_set_payer(struct slab_cache *c, void *obj, struct account *account)
{
    struct page *page = slab_page(obj);

    if (unlikely(!READ_ONCE(page->private)) && !slab_make_payers(c, page))
        return false;
    if (account_charge_bytes(account, c->stride))
        return false;
    *slab_payer(c, page, obj) = account;
    return true;
}

static inline void slab_drop_payer(const struct slab_cache *c, const struct page *page,
                                   const void *obj)
{
    struct account **payer, *account;

    if (!READ_ONCE(page->private))
        return;
    payer = slab_payer(c, page, obj);
    account = *payer;
    if (!account)
        return;
    *payer = NULL;
    account_uncharge_bytes(account, c->stride);
}

struct account *slab_account(const void *obj)
{
    const struct page *page = slab_page(obj);

    if (!(page->flags & PG_SLAB))
        return page->account;
    return page->private ? *slab_payer(page->owner, page, obj) : NULL;
}

/* ------------------------------------------------------------- objects */

static void *slab_alloc_free(struct slab_cache *c)
{
    struct slab_free *link;
    struct slab_cpu *cpu;
    void *obj = NULL;
    u64 flags;

    flags = irq_save();
    cpu = &(*this_cpu_ptr(slab_cpus))[c->id];
    if (likely(cpu->n) || slab_fill(c, cpu)) {
        link = cpu->head;
        cpu->head = link->next;
        cpu->n--;
        obj = slab_object(c, link);
    }
    irq_restore(flags);
    if (likely(obj))
        slab_debug_alloc(c, obj);
    return obj;
}

void *slab_alloc_unpaid(struct slab_cache *c)
{
    return FAILPOINT(slab_alloc) ? NULL : slab_alloc_free(c);
}

void *slab_alloc(struct slab_cache *c)
{
    struct account *account = account_current();
    void *obj = slab_alloc_unpaid(c);

    if (!account || !obj || likely(slab_set_payer(c, obj, account)))
        return obj;
    slab_free(c, obj);
    return NULL;
}

void *slab_zalloc(struct slab_cache *c)
{
    void *obj = slab_alloc(c);

    return obj ? memset(obj, 0, c->size) : NULL;
}

static __noinline __cold __noreturn void slab_bad_free(const struct slab_cache *c, const void *obj,
                                                       const char *why)
{
    panic("%s object %p: %s", c->name, obj, why);
}

void slab_free(struct slab_cache *c, void *obj)
{
    struct slab_free *link = slab_link_of(c, obj);
    const struct page *page = slab_page(obj);
    struct slab_cpu *cpu;
    u64 flags;

    if (unlikely(page->owner != c || !(page->flags & PG_SLAB)))
        slab_bad_free(c, obj, "freed, but none of this cache");
    slab_debug_free(c, page, obj);
    slab_drop_payer(c, page, obj);
    flags = irq_save();
    cpu = &(*this_cpu_ptr(slab_cpus))[c->id];
    if (unlikely(cpu->head == link))
        slab_bad_free(c, obj, "freed twice");
    link->next = cpu->head;
    cpu->head = link;
    if (unlikely(++cpu->n > cpu->max)) {
        cpu->max = c->batch * 2; /* 0 before this CPU's first use */
        if (cpu->n > cpu->max)
            slab_drain(c, cpu, c->batch);
    }
    irq_restore(flags);
}

size_t slab_object_size(const struct slab_cache *c)
{
    return c->size;
}

/* Interrupts off: this CPU's lists and its share of the empty slabs. */
void slab_shrink_cpu(void)
{
    u32 n = load_acquire(&slab_nr_caches);

    ASSERT_IRQS_OFF();
    for (u32 i = 0; i < n; i++) {
        struct slab_cpu *cpu = &(*this_cpu_ptr(slab_cpus))[i];

        if (cpu->n)
            slab_drain(&slab_caches[i], cpu, 0);
    }
}

void slab_shrink_empty(void)
{
    u32 n = load_acquire(&slab_nr_caches);

    for (u32 i = 0; i < n; i++) {
        struct slab_cache *c = &slab_caches[i];
        struct list_node gone;
        struct page *page, *tmp;
        u64 flags;

        list_init(&gone);
        spin_lock_irqsave(&c->lock, &flags);
        list_splice_tail(&gone, &c->empty);
        c->nr_slabs -= c->nr_empty;
        c->nr_empty = 0;
        spin_unlock_irqrestore(&c->lock, flags);
        list_for_each_safe (page, tmp, &gone, node)
            slab_release(c, page);
    }
}

/* Objects that are out: in use, or on a CPU's list. */
static u64 slab_objects(struct slab_cache *c)
{
    struct page *page;
    u64 flags, n;

    spin_lock_irqsave(&c->lock, &flags);
    n = (u64)(c->nr_slabs - c->nr_empty) * c->per_slab;
    list_for_each (page, &c->partial, node)
        n -= c->per_slab - (u32)atomic_read(&page->share);
    spin_unlock_irqrestore(&c->lock, flags);
    return n;
}

static int slab_cmd(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    for (u32 i = 0; i < slab_nr_caches; i++) {
        struct slab_cache *c = &slab_caches[i];

        if (c->nr_slabs)
            emit("%-20s size %5u  slabs %5u of %u KiB  objects %lu\n", c->name, c->size,
                 c->nr_slabs, 4U << c->order, slab_objects(c));
    }
    return 0;
}
CONSOLE_CMD(slab)
= {"slab", "slab caches that hold pages", slab_cmd, false};
