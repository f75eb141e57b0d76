/* SPDX-License-Identifier: MIT
 *
 * The areas of an address space: a red-black tree by address, augmented with the largest free gap
 * below any area of a subtree, so that mmap finds a place without visiting the areas.
 *
 * Rules: everything here needs as->lock (for writing where it changes something). An area's bounds
 * and offset are also read under its object's lock (reverse map), so they change under both.
 */
#include "vm/aspace.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

static struct slab_cache *area_cache;

static void area_init(void)
{
    area_cache = slab_cache_create("area", sizeof(struct area), 0);
}
INIT_HOOK(area_init, INIT_CORE);

struct area *area_alloc(void)
{
    if (FAILPOINT(area_alloc))
        return NULL;
    return slab_zalloc(area_cache);
}

static inline struct area *area_of(const struct rb_node *n)
{
    return n ? rb_entry(n, struct area, node) : NULL;
}

static void area_augment(struct rb_node *n)
{
    struct area *a = area_of(n);
    u64 max = a->gap;

    if (n->left)
        max = MAX(max, area_of(n->left)->max_gap);
    if (n->right)
        max = MAX(max, area_of(n->right)->max_gap);
    a->max_gap = max;
}

struct area *area_next(const struct area *a)
{
    return area_of(rb_next(&a->node));
}

struct area *area_prev(const struct area *a)
{
    return area_of(rb_prev(&a->node));
}

struct area *area_find(struct aspace *as, u64 addr)
{
    struct area *a = READ_ONCE(as->cache), *best = NULL;

    if (a && addr >= a->start && addr < a->end)
        return a;
    for (struct rb_node *n = as->areas.node; n;) {
        a = area_of(n);
        if (addr >= a->end) {
            n = n->right;
            continue;
        }
        best = a;
        if (addr >= a->start)
            break;
        n = n->left;
    }
    if (best && addr >= best->start)
        WRITE_ONCE(as->cache, best);
    return best;
}

/* Each pointer was one of the tree, and the area it led to alive, at a moment when seq still held.
 */
static const struct area *area_walk_unlocked(struct aspace *as, u64 addr, u64 seq)
{
    const struct rb_node *n = READ_ONCE(as->areas.node);

    while (n && aspace_areas_are(as, seq)) {
        const struct area *a = area_of(n);

        if (addr >= READ_ONCE(a->end))
            n = READ_ONCE(n->right);
        else if (addr < READ_ONCE(a->start))
            n = READ_ONCE(n->left);
        else
            return a;
    }
    return NULL;
}

const struct area *area_find_unlocked(struct aspace *as, u64 addr, u64 seq)
{
    struct thread *me = current_thread();
    const struct area *a = me->area_hint;

    DEBUG_ASSERT(as == me->aspace); /* the hint is of it */
    if (a && me->area_hint_seq == seq && addr >= READ_ONCE(a->start) && addr < READ_ONCE(a->end))
        return a;
    a = area_walk_unlocked(as, addr, seq);
    if (a && aspace_areas_are(as, seq)) {
        me->area_hint = a;
        me->area_hint_seq = seq;
    }
    return a;
}

void area_around(struct aspace *as, u64 addr, struct area **prev, struct area **next)
{
    *next = area_find(as, addr);
    *prev = *next ? area_prev(*next) : area_of(rb_last(&as->areas));
}

/* Recomputes a's gap after it or its lower neighbour changed. */
static void area_update_gap(struct aspace *as, struct area *a)
{
    struct area *prev = area_prev(a);

    a->gap = a->start - (prev ? prev->end : USER_MIN);
    rb_augment_up(&as->areas, &a->node);
}

static bool area_needs_list(const struct area *a)
{
    return a->object != NULL;
}

/* Once attached, neither changes. */
static bool area_may_write_object(const struct area *a)
{
    return a->flags & AREA_SHARED && a->max_prot & PT_WRITE;
}

void area_attach(struct area *a)
{
    list_init(&a->object_node);
    if (a->file)
        up_file_get(a->file);
    if (!area_needs_list(a))
        return;
    mem_object_get(a->object);
    spin_lock(&a->object->lock);
    if (a->object->no_writers && a->flags & AREA_SHARED) { /* forbidden since mmap(2) looked */
        a->max_prot &= (u8)~PT_WRITE;
        a->prot &= (u8)~PT_WRITE;
    }
    list_add_tail(&a->object->areas, &a->object_node);
    a->object->nr_areas++;
    a->object->nr_writable += area_may_write_object(a);
    spin_unlock(&a->object->lock);
}

/* Off its object's list; its references go when the lock is released, by aspace_write_unlock: the
 * last one of a file or an object runs code of higher layers. */
static void area_bury(struct aspace *as, struct area *a)
{
    if (area_needs_list(a)) {
        spin_lock(&a->object->lock);
        list_del(&a->object_node);
        a->object->nr_areas--;
        a->object->nr_writable -= area_may_write_object(a);
        spin_unlock(&a->object->lock);
    }
    a->node.right = as->dead ? &as->dead->node : NULL;
    as->dead = a;
}

static void area_free(struct area *a)
{
    if (a->object && a->object->ops->unmapped)
        a->object->ops->unmapped(a->object);
    if (a->object)
        mem_object_put(a->object);
    if (a->file)
        up_file_put(a->file);
    slab_free(area_cache, a);
}

void aspace_write_unlock(struct aspace *as)
{
    struct area *a = as->dead, *next;

    as->dead = NULL;
    area_changes_end(as);
    rwlock_write_unlock(&as->lock);
    for (; a; a = next) {
        next = area_of(a->node.right);
        area_free(a);
        if (next)
            vm_pause();
    }
}

/* n pages more, which may wrap: less. */
static void area_count(struct aspace *as, const struct area *a, u64 n)
{
    as->total_pages += n;
    if (a->flags & AREA_LOCKED)
        as->locked_pages += n;
    if (area_is_data(a->flags, a->prot))
        as->data_pages += n;
}

void area_insert(struct aspace *as, struct area *a)
{
    struct rb_node **link = &as->areas.node, *parent = NULL;

    DEBUG_ASSERT(as->areas_seq & 1);
    as->areas.augment = area_augment;
    a->aspace = as;
    a->gap = a->max_gap = 0;
    while (*link) {
        parent = *link;
        link = a->start < area_of(parent)->start ? &parent->left : &parent->right;
    }
    rb_link(&as->areas, &a->node, parent, link);
    area_update_gap(as, a);

    struct area *next = area_next(a);

    if (next)
        area_update_gap(as, next);
    as->nr_areas++;
    area_count(as, a, (a->end - a->start) >> PAGE_SHIFT);
}

/* Out of the tree alone. */
static void area_unlink(struct aspace *as, struct area *a)
{
    struct area *next = area_next(a);

    DEBUG_ASSERT(as->areas_seq & 1);
    rb_erase(&as->areas, &a->node);
    if (next)
        area_update_gap(as, next);
    if (as->cache == a)
        as->cache = NULL;
    as->nr_areas--;
    area_count(as, a, -((a->end - a->start) >> PAGE_SHIFT));
}

void area_remove(struct aspace *as, struct area *a)
{
    area_unlink(as, a);
    area_bury(as, a);
}

void area_resize(struct aspace *as, struct area *a, u64 start,
                 u64 end) NO_THREAD_SAFETY /* of an object, if there is one */
{
    u64 delta = ((end - start) - (a->end - a->start)) >> PAGE_SHIFT; /* wraps when it shrinks */
    struct area *next = area_next(a);

    DEBUG_ASSERT(as->areas_seq & 1);
    if (a->object)
        spin_lock(&a->object->lock);
    if (a->object)
        a->offset += start - a->start;
    if (area_needs_list(a) && end - start > a->end - a->start) {
        list_del(&a->object_node); /* a walk that has come by it comes by once more */
        list_add_tail(&a->object->areas, &a->object_node);
    }
    a->start = start;
    a->end = end;
    if (a->object)
        spin_unlock(&a->object->lock);
    area_count(as, a, (u64)((s64)(delta << PAGE_SHIFT) >> PAGE_SHIFT));
    area_update_gap(as, a);
    if (next)
        area_update_gap(as, next);
}

void area_set_prot(struct aspace *as, struct area *a, u8 prot)
{
    u64 n = (a->end - a->start) >> PAGE_SHIFT;

    DEBUG_ASSERT(as->areas_seq & 1);
    area_count(as, a, -n);
    a->prot = prot;
    area_count(as, a, n);
}

u64 area_covered(struct aspace *as, u64 start, u64 end)
{
    u64 n = 0;

    for (struct area *a = area_find(as, start); a && a->start < end; a = area_next(a)) {
        n += MIN(end, a->end) - MAX(start, a->start);
        if (a->end < end)
            vm_pause();
    }
    return n;
}

bool area_may_add_data(const struct aspace *as, u64 len)
{
    u64 data = up_memory_limit(MEMORY_DATA);

    return data == U64_MAX || as->data_pages + (len >> PAGE_SHIFT) <= data >> PAGE_SHIFT;
}

int area_may_add(const struct aspace *as, u64 len, u32 flags, u8 prot)
{
    u64 space = up_memory_limit(MEMORY_SPACE), locked;

    if (space != U64_MAX && as->total_pages + (len >> PAGE_SHIFT) > space >> PAGE_SHIFT)
        return -ENOMEM;
    if (area_is_data(flags, prot) && !area_may_add_data(as, len))
        return -ENOMEM;
    if (!(flags & AREA_LOCKED))
        return 0;
    locked = up_memory_limit(MEMORY_LOCKED);
    if (!locked)
        return -EPERM;
    return locked != U64_MAX && as->locked_pages + (len >> PAGE_SHIFT) > locked >> PAGE_SHIFT
               ? -EAGAIN
               : 0;
}

/* Cuts at addr, strictly inside a; the new area is the upper part. */
static int area_split(struct aspace *as, struct area *a, u64 addr, struct area **upper)
{
    struct area *b = as->nr_areas < AREAS_MAX ? area_alloc() : NULL;

    ASSERT(addr > a->start && addr < a->end);
    if (!b)
        return -ENOMEM;
    b->start = addr;
    b->end = a->end;
    b->flags = a->flags;
    b->prot = a->prot;
    b->max_prot = a->max_prot;
    b->object = a->object;
    b->file = a->file;
    b->aspace = as;
    b->offset = a->object ? a->offset + (addr - a->start) : 0;
    area_attach(b); /* before a shrinks: the reverse map may see a page twice, never not at all */
    area_resize(as, a, a->start, addr);
    area_insert(as, b);
    if (upper)
        *upper = b;
    return 0;
}

int area_split_range(struct aspace *as, u64 start, u64 end)
{
    struct area *a = area_find(as, start);
    int err = 0;

    if (a && a->start < start)
        err = area_split(as, a, start, NULL);
    if (err)
        return err;
    a = area_find(as, end);
    if (a && a->start < end)
        err = area_split(as, a, end, NULL);
    return err;
}

static bool area_alike(const struct area *a, const struct area *b)
{
    if (a->end != b->start || a->flags != b->flags || a->prot != b->prot ||
        a->max_prot != b->max_prot || a->object != b->object || a->file != b->file)
        return false;
    return !a->object || a->offset + (a->end - a->start) == b->offset;
}

/* b goes, a grows over it: b's references go with b, so a's stand. */
static struct area *area_join(struct aspace *as, struct area *a, struct area *b)
{
    u64 end = b->end;

    area_unlink(as, b);
    area_resize(as, a, a->start, end);
    area_bury(as, b);
    return a;
}

struct area *area_merge(struct aspace *as, struct area *a)
{
    struct area *prev = area_prev(a), *next = area_next(a);

    if (prev && area_alike(prev, a))
        a = area_join(as, prev, a);
    if (next && area_alike(a, next))
        a = area_join(as, a, next);
    return a;
}

/* Where len bytes fit, highest in [low, high): the address or 0. */
static u64 area_fit(u64 low, u64 high, u64 len, u64 align)
{
    if (high < low || high - low < len)
        return 0;

    u64 addr = ALIGN_DOWN(high - len, align);

    return addr >= low ? addr : 0;
}

/* The area with the highest gap of at least want bytes whose gap starts below limit. */
static struct area *area_gap_below(struct rb_node *n, u64 want, u64 limit)
{
    while (n) {
        struct area *a = area_of(n);

        if (a->max_gap < want)
            return NULL;
        if (a->start - a->gap < limit && n->right) {
            struct area *r = area_gap_below(n->right, want, limit);

            if (r)
                return r;
        }
        if (a->gap >= want && a->start - a->gap + want <= limit)
            return a;
        n = n->left;
    }
    return NULL;
}

u64 area_find_gap_in(struct aspace *as, u64 len, u64 low, u64 high)
{
    struct area *a = area_gap_below(as->areas.node, len, high);
    struct rb_node *last = rb_last(&as->areas);
    u64 top = MAX(last ? area_of(last)->end : USER_MIN, low);

    if (top < high && high - top >= len)
        return high - len;
    return a ? area_fit(MAX(a->start - a->gap, low), MIN(a->start, high), len, PAGE_SIZE) : 0;
}

u64 area_find_gap(struct aspace *as, u64 len, u64 align)
{
    u64 base = as->mmap_base ? as->mmap_base : USER_MAX, addr;
    struct rb_node *last = rb_last(&as->areas);
    u64 top = last ? area_of(last)->end : USER_MIN;

    /* Above the last area, then in gaps from the top, at last above the base. */
    if (top < base && (addr = area_fit(top, base, len, align)))
        return addr;
    for (u64 want = len;; want = len + align - PAGE_SIZE) {
        struct area *a = area_gap_below(as->areas.node, want, base);

        if (a && (addr = area_fit(a->start - a->gap, MIN(a->start, base), len, align)))
            return addr;
        if (want != len || align == PAGE_SIZE)
            break;
    }
    if (align != PAGE_SIZE)
        return area_find_gap(as, len, PAGE_SIZE);
    return area_fit(MAX(top, base), USER_MAX, len, align);
}
