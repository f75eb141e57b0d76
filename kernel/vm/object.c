/* SPDX-License-Identifier: MIT
 *
 * Memory objects: the page cache of one object, and the reverse map through its list of areas.
 *
 * A page in the cache holds one reference for the cache. obj->lock guards the map, nr_pages and
 * marks; look-ups may run under RCU instead (mem_object_peek): they take a reference unless it is
 * zero and then look again whether the page is still there. Taking a page out therefore first
 * brings its count to zero ("freezes" it), or does not mind that it is still being read (truncate).
 *
 * Lock order: obj->lock, aspace->pt_lock, LRU lock. A page lock (PG_LOCKED) is outside all of them.
 */
#include "vm/object.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/wait.h"
#include "sync/rcu.h"
#include "vm/vm_priv.h"

#define PAGE_QUEUES 64
#define DROP_AT_ONCE 512 /* pages that the last reference drops without a pause */

static struct waitq page_queues[PAGE_QUEUES];
static struct slab_cache *object_node_cache;

static void object_init(void)
{
    for (unsigned i = 0; i < PAGE_QUEUES; i++)
        waitq_init(&page_queues[i]);
    object_node_cache = slab_cache_create("xa_node", sizeof(struct xa_node), 0);
}
INIT_HOOK(object_init, INIT_CORE);

/* The page lock. Waiters share hashed queues. */

static struct waitq *page_queue(const struct page *page)
{
    return &page_queues[((u64)page / sizeof(*page)) % PAGE_QUEUES];
}

/* Its place in the order of locks. That a thread has it is not noted: others may let go of it, when
 * a page has been read. */
static struct lock_tag page_lock_tag = LOCK_TAG(RANK_OPS, ORDER_PAGE, KIND_BIT, "page");

bool page_trylock(struct page *page)
{
    return !(page_flag_set(page, PG_LOCKED) & PG_LOCKED);
}

void page_lock(struct page *page)
{
    lockdep_want(&page_lock_tag, page, HELD_WRITE, code_here());
    wait_event(page_queue(page), page_trylock(page));
}

int page_lock_killable(struct page *page)
{
    lockdep_want(&page_lock_tag, page, HELD_WRITE, code_here());
    return wait_event_killable(page_queue(page), page_trylock(page)) ? -EINTR : 0;
}

void page_wait(struct page *page, u32 flags)
{
    lockdep_want(&page_lock_tag, page, HELD_WRITE, code_here());
    wait_event(page_queue(page), !page_flag_test(page, flags));
}

int page_wait_killable(struct page *page, u32 flags)
{
    lockdep_want(&page_lock_tag, page, HELD_WRITE, code_here());
    return wait_event_killable(page_queue(page), !page_flag_test(page, flags)) ? -EINTR : 0;
}

void page_flag_release(struct page *page, u32 flag)
{
    struct waitq *q = page_queue(page);

    /* A full barrier: pairs with the waiter, which queues itself and then tests the flag. */
    page_flag_clear(page, flag);
    if (!list_empty(&q->waiters))
        waitq_wake_all(q);
}

void page_unlock(struct page *page)
{
    page_flag_release(page, PG_LOCKED);
}

/* Nodes of the map: freed after a grace period, as readers may be inside. */

static void object_node_free_rcu(struct rcu_head *head)
{
    slab_free(object_node_cache, container_of((void *)head, struct xa_node, reclaim));
}

void object_node_free(struct xa_node *node)
{
    static_assert(sizeof(node->reclaim) >= sizeof(struct rcu_head), "space for rcu_head");
    rcu_call((struct rcu_head *)(void *)node->reclaim, object_node_free_rcu);
}

void *object_node_alloc(size_t size, void *ctx)
{
    return slab_alloc(object_node_cache);
}

void object_node_drop(struct xa_node *node)
{
    slab_free(object_node_cache, node);
}

void mem_object_init(struct mem_object *obj, const struct mem_object_ops *ops, void *owner)
{
    *obj = (struct mem_object){.ops = ops, .owner = owner};
    refcount_init(&obj->ref, 1);
    spinlock_init(&obj->lock, RANK_VM, RANK_ORDER_OBJECT, "mem_object");
    xa_init(&obj->pages, object_node_free);
    list_init(&obj->areas);
}

u64 mem_object_id(struct mem_object *obj)
{
    static u64 last; /* a */
    u64 none = 0, id = READ_ONCE(obj->id);

    if (likely(id))
        return id;
    id = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n(&obj->id, &none, id, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED)
               ? id
               : none; /* another CPU was faster */
}

/* On one CPU the number may be below zero. */
static DEFINE_PER_CPU(u64, object_memory_pages); /* of objects that live in memory alone */

u64 mem_object_memory_pages(void)
{
    u64 n = 0;
    unsigned cpu;

    cpu_for_each (cpu)
        n += READ_ONCE(*per_cpu_ptr(object_memory_pages, cpu));
    return MAX((s64)n, 0L);
}

void object_count_page(const struct mem_object *obj, const struct page *page, s64 change)
{
    bool memory = !obj->ops->read_run;

    ASSERT_HELD(&obj->lock);
    if (memory)
        *this_cpu_ptr(object_memory_pages) += (u64)change;
    account_use(page->account, memory ? ACCOUNT_SHARED : ACCOUNT_FILE, change);
}

void object_uncount_locked(struct mem_object *obj, u64 pages)
{
    ASSERT_HELD(&obj->lock);
    obj->nr_pages -= pages;
    if (obj->bound)
        atomic_sub(&obj->bound->now, (s64)pages);
}

void mem_object_unbind(struct mem_object *obj)
{
    spin_lock(&obj->lock);
    if (obj->bound)
        atomic_sub(&obj->bound->now, (s64)obj->nr_pages);
    obj->bound = NULL;
    spin_unlock(&obj->lock);
}

/* One more, if that stays within the bound. */
static bool object_bound_take(struct mem_bound *b)
{
    s64 now = atomic_read(&b->now);

    do {
        if ((u64)now >= READ_ONCE(b->max))
            return false;
    } while (!atomic_cas(&b->now, &now, now + 1));
    return true;
}

static void object_drop_page(void *entry, void *ctx)
{
    struct page *page = entry;

    object_count_page(ctx, page, -1);
    object_lru_del(page);
    page_put(page);
}

void mem_object_put(struct mem_object *obj)
{
    if (!refcount_put(&obj->ref))
        return;
    ASSERT(list_empty(&obj->areas));
    /* Inputs and outputs under way are waited for there. */
    if (obj->nr_pages > DROP_AT_ONCE || (obj->nr_pages && obj->ops->read_run))
        mem_object_truncate(obj, 0, U64_MAX);
    /* The lock keeps reclaim out, which comes by way of the LRU. */
    spin_lock(&obj->lock);
    xa_destroy(&obj->pages, object_drop_page, obj);
    object_uncount_locked(obj, obj->nr_pages);
    spin_unlock(&obj->lock);
    if (obj->ops->destroy)
        obj->ops->destroy(obj);
}

/* A reference unless the count is zero. */
static bool page_tryget(struct page *page)
{
    s32 n = atomic_read(&page->ref);

    while (n > 0)
        if (atomic_cas(&page->ref, &n, n + 1))
            return true;
    return false;
}

struct page *mem_object_peek(struct mem_object *obj, u64 index)
{
    struct page *page;

    rcu_read_lock();
    while ((page = xa_load(&obj->pages, index))) {
        if (page_tryget(page)) {
            if (likely(xa_load(&obj->pages, index) == page))
                break;
            page_put(page);
        }
        cpu_relax();
    }
    rcu_read_unlock();
    return page;
}

bool object_has_page(const struct mem_object *obj, u64 index)
{
    bool has;

    rcu_read_lock();
    has = xa_load(&obj->pages, index) != NULL;
    rcu_read_unlock();
    return has;
}

bool object_holds(struct mem_object *obj, const struct page *page)
{
    bool holds;

    spin_lock(&obj->lock);
    holds = xa_load(&obj->pages, page->index) == page;
    spin_unlock(&obj->lock);
    return holds;
}

static struct page *object_page_own(struct mem_object *obj, u64 index, struct page *page)
{
    page->object = obj;
    page->index = index;
    return page;
}

struct page *object_page_new(struct mem_object *obj, u64 index, unsigned flags)
{
    struct account *failed;
    struct page *page;

    while (!(page = charge_page_alloc(object_account(), 0, flags, &failed)))
        if (charge_relieve(failed))
            return NULL;
    return object_page_own(obj, index, page);
}

struct page *object_page_try(struct mem_object *obj, u64 index)
{
    struct account *failed;
    struct page *page = pages_short() ? NULL : charge_page_alloc(object_account(), 0, 0, &failed);

    return page ? object_page_own(obj, index, page) : NULL;
}

/* Others see the page once it is in the map: the bound comes first, and a page that is there
 * already takes nothing of it, or others would be refused what there is. */
static int object_map_insert_locked(struct mem_object *obj, struct page *page, struct xa_pool *pool)
    REQUIRES(obj->lock)
{
    int err;

    ASSERT_HELD(&obj->lock);
    if (unlikely(obj->shut))
        return -EIO;
    if (obj->bound && xa_load(&obj->pages, page->index))
        return -EEXIST;
    if (obj->bound && !object_bound_take(obj->bound))
        return -ENOSPC;
    err = xa_insert(&obj->pages, page->index, page, pool);
    if (err && obj->bound)
        atomic_dec(&obj->bound->now);
    return err;
}

int object_page_insert(struct mem_object *obj, struct page *page)
{
    struct xa_pool pool = {0};
    unsigned nodes = 0;
    int err;

    for (;;) {
        spin_lock(&obj->lock);
        err = object_map_insert_locked(obj, page, &pool);
        if (!err) {
            page_get(page);
            obj->nr_pages++;
            object_count_page(obj, page, 1);
            if (obj->ops->read_run)
                object_lru_add(page);
        }
        spin_unlock(&obj->lock);
        if (err != -ENOMEM || nodes == XA_POOL_MAX)
            break;
        /* A dense map seldom needs any; a failed attempt has used up what it was given. */
        nodes = nodes ? XA_POOL_MAX : 2;
        if (xa_pool_fill(&pool, nodes, object_node_alloc, NULL))
            break;
    }
    xa_pool_drain(&pool, object_node_drop);
    return err;
}

/* Of an object without a store: what is not there is zero. */
static int object_page_zero(struct mem_object *obj, u64 index, struct page **out)
{
    struct page *page = object_page_new(obj, index, PA_ZERO);
    int err;

    if (!page)
        return thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE) ? -EINTR : -ENOMEM;
    page->flags |= PG_UPTODATE;
    err = object_page_insert(obj, page);
    if (err) {
        page->object = NULL;
        page_put(page);
    } else {
        *out = page;
    }
    return err;
}

int mem_object_page(struct mem_object *obj, u64 index, bool create, struct page **out)
{
    struct page *page;
    int err;

    if (obj->ops->read_run) {
        err = object_page_read(obj, index, index, index + 1, U64_MAX, &page);
        if (err)
            return err;
    } else {
        while (!(page = mem_object_peek(obj, index))) {
            if (!create) {
                *out = NULL;
                return 0;
            }
            err = object_page_zero(obj, index, &page);
            if (!err)
                break;
            if (err != -EEXIST)
                return err;
        }
    }
    if (!(page->flags & PG_REFERENCED))
        page_flag_set(page, PG_REFERENCED);
    *out = page;
    return 0;
}

void mem_object_shut(struct mem_object *obj)
{
    spin_lock(&obj->lock);
    obj->shut = true;
    spin_unlock(&obj->lock);
    mem_object_truncate(obj, 0, U64_MAX);
}

int mem_object_forbid_writers(struct mem_object *obj)
{
    int err = 0;

    spin_lock(&obj->lock);
    if (obj->nr_writable)
        err = -EBUSY;
    else
        obj->no_writers = true;
    spin_unlock(&obj->lock);
    return err;
}
