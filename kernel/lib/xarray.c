/* SPDX-License-Identifier: MIT
 *
 * The radix tree behind xarray.h.
 *
 * A link to a node has bit 1 set, an entry has not. A node at `shift` covers 64 << shift indices; a
 * child's shift is its parent's less XA_BITS, entries sit at shift 0. No node is empty, and the
 * root covers more than its first slot: erase frees and shrinks as it goes.
 *
 * Readers take each link with an acquire load (partner: the release store in xa_set_link) and never
 * touch `parent`, `used` or `slot`. A node taken out keeps its links until it is freed, so that a
 * reader inside it goes on.
 */
#include "lib/xarray.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/string.h"

#define XA_NODE_TAG 2ul

static bool xa_is_node(const void *link)
{
    return ((uintptr_t)link & 3) == XA_NODE_TAG;
}

static struct xa_node *xa_to_node(const void *link)
{
    return (struct xa_node *)((uintptr_t)link & ~XA_NODE_TAG);
}

static void *xa_from_node(const struct xa_node *node)
{
    return (void *)((uintptr_t)node | XA_NODE_TAG);
}

static void xa_set_link(void **link, void *value)
{
    store_release(link, value);
}

static unsigned xa_slot_of(const struct xa_node *node, u64 index)
{
    return (unsigned)(index >> node->shift) & (XA_SLOTS - 1);
}

/* Largest index that a node at `shift` can hold as the root. */
static u64 xa_max_index(unsigned shift)
{
    return shift + XA_BITS >= 64 ? U64_MAX : (1ull << (shift + XA_BITS)) - 1;
}

int xa_pool_fill(struct xa_pool *pool, unsigned count, void *(*alloc)(size_t size, void *ctx),
                 void *ctx)
{
    while (pool->count < count) {
        struct xa_node *node = alloc(sizeof(*node), ctx);

        if (!node)
            return -ENOMEM;
        node->parent = pool->free;
        pool->free = node;
        pool->count++;
    }
    return 0;
}

void xa_pool_drain(struct xa_pool *pool, xa_free_fn free_node)
{
    struct xa_node *node;

    while ((node = pool->free)) {
        pool->free = node->parent;
        pool->count--;
        free_node(node);
    }
}

static struct xa_node *xa_pool_take(struct xa_pool *pool, unsigned shift)
{
    struct xa_node *node = pool ? pool->free : NULL;

    if (!node)
        return NULL;
    pool->free = node->parent;
    pool->count--;
    memset(node, 0, sizeof(*node));
    node->shift = (u8)shift;
    return node;
}

void *xa_load(const struct xarray *xa, u64 index)
{
    void *link = load_acquire(&xa->head);

    if (!xa_is_node(link))
        return index ? NULL : link;
    if (index > xa_max_index(xa_to_node(link)->shift))
        return NULL;
    while (xa_is_node(link)) {
        struct xa_node *node = xa_to_node(link);

        link = load_acquire(&node->slots[xa_slot_of(node, index)]);
    }
    return link;
}

/* Writer side: the node whose slot holds (or would hold) `index`, or NULL. */
static struct xa_node *xa_find_leaf(const struct xarray *xa, u64 index)
{
    void *link = xa->head;
    struct xa_node *node = NULL;

    if (!xa_is_node(link) || index > xa_max_index(xa_to_node(link)->shift))
        return NULL;
    while (xa_is_node(link)) {
        node = xa_to_node(link);
        link = node->slots[xa_slot_of(node, index)];
    }
    return node->shift ? NULL : node;
}

/* The shift of the smallest root that can hold `index`. */
static unsigned xa_root_shift(u64 index)
{
    unsigned shift = 0;

    while (index > xa_max_index(shift))
        shift += XA_BITS;
    return shift;
}

/* Puts one node above the head, or the right root into an empty map. Marks move along. */
static int xa_grow(struct xarray *xa, u64 index, struct xa_pool *pool)
{
    struct xa_node *old = xa_is_node(xa->head) ? xa_to_node(xa->head) : NULL;
    unsigned shift = old ? old->shift + XA_BITS : xa->head ? 0u : xa_root_shift(index);
    struct xa_node *node = xa_pool_take(pool, shift);

    if (!node)
        return -ENOMEM;
    for (unsigned m = 0; m < XA_MARKS; m++)
        node->marks[m] = old ? old->marks[m] != 0 : xa->head_marks >> m & 1;
    if (old) {
        old->parent = node;
        old->slot = 0;
    }
    node->slots[0] = xa->head;
    node->used = xa->head ? 1 : 0;
    xa->head_marks = 0;
    xa_set_link(&xa->head, xa_from_node(node));
    return 0;
}

/* While the root has nothing but its first slot, takes it off. */
static void xa_shrink(struct xarray *xa)
{
    while (xa_is_node(xa->head)) {
        struct xa_node *node = xa_to_node(xa->head);

        if (node->used > 1 || (node->used && !node->slots[0]))
            return;
        if (xa_is_node(node->slots[0])) {
            xa_to_node(node->slots[0])->parent = NULL;
        } else {
            for (unsigned m = 0; m < XA_MARKS; m++)
                xa->head_marks |= (u8)((node->marks[m] & 1) << m);
        }
        xa_set_link(&xa->head, node->slots[0]);
        xa->free_node(node);
    }
}

/* Frees `node` and its ancestors as far as they are empty. */
static void xa_prune(struct xarray *xa, struct xa_node *node)
{
    while (node && !node->used) {
        struct xa_node *parent = node->parent;

        if (parent) {
            xa_set_link(&parent->slots[node->slot], NULL);
            parent->used--;
        } else {
            xa_set_link(&xa->head, NULL);
        }
        xa->free_node(node);
        node = parent;
    }
    xa_shrink(xa);
}

/* Makes the path to the leaf of `index`. On failure, frees what has become empty again. */
static int xa_make_leaf(struct xarray *xa, u64 index, struct xa_pool *pool, struct xa_node **leaf)
{
    while (!xa_is_node(xa->head) || index > xa_max_index(xa_to_node(xa->head)->shift)) {
        if (xa_grow(xa, index, pool)) {
            xa_shrink(xa);
            return -ENOMEM;
        }
    }

    struct xa_node *node = xa_to_node(xa->head);

    while (node->shift) {
        unsigned slot = xa_slot_of(node, index);

        if (!node->slots[slot]) {
            struct xa_node *child = xa_pool_take(pool, node->shift - XA_BITS);

            if (!child) {
                xa_prune(xa, node);
                return -ENOMEM;
            }
            child->parent = node;
            child->slot = (u8)slot;
            node->used++;
            xa_set_link(&node->slots[slot], xa_from_node(child));
        }
        node = xa_to_node(node->slots[slot]);
    }
    *leaf = node;
    return 0;
}

static int xa_put(struct xarray *xa, u64 index, void *entry, struct xa_pool *pool, bool replace)
{
    struct xa_node *node = NULL;

    /* Index 0 of a map without nodes lives in the head. */
    if (index || xa_is_node(xa->head)) {
        int err = xa_make_leaf(xa, index, pool, &node);

        if (err)
            return err;
    }

    void **link = node ? &node->slots[xa_slot_of(node, index)] : &xa->head;

    if (*link && !replace)
        return -EEXIST;
    if (node && !*link)
        node->used++;
    xa_set_link(link, entry);
    return 0;
}

int xa_store(struct xarray *xa, u64 index, void *entry, struct xa_pool *pool)
{
    return xa_put(xa, index, entry, pool, true);
}

int xa_insert(struct xarray *xa, u64 index, void *entry, struct xa_pool *pool)
{
    return xa_put(xa, index, entry, pool, false);
}

/* Clears the bit of `slot` and, where that was a node's last one, the parent's. */
static void xa_unmark(struct xa_node *node, unsigned slot, unsigned mark)
{
    for (; node; slot = node->slot, node = node->parent) {
        WRITE_ONCE(node->marks[mark], node->marks[mark] & ~(1ull << slot));
        if (node->marks[mark])
            return;
    }
}

void *xa_erase(struct xarray *xa, u64 index)
{
    struct xa_node *node = xa_find_leaf(xa, index);

    if (!node) {
        if (index || xa_is_node(xa->head))
            return NULL;
        void *entry = xa->head;

        xa->head_marks = 0;
        xa_set_link(&xa->head, NULL);
        return entry;
    }

    unsigned slot = xa_slot_of(node, index);
    void *entry = node->slots[slot];

    if (!entry)
        return NULL;
    for (unsigned m = 0; m < XA_MARKS; m++)
        xa_unmark(node, slot, m);
    xa_set_link(&node->slots[slot], NULL);
    node->used--;
    xa_prune(xa, node);
    return entry;
}

/* Slots from `slot` on that may lead to what is looked for: marked ones, or all non-empty. */
static unsigned xa_next_slot(const struct xa_node *node, unsigned slot, int mark)
{
    if (mark >= 0) {
        u64 bits = READ_ONCE(node->marks[mark]) & (~0ull << slot);

        return bits ? (unsigned)__builtin_ctzll(bits) : XA_SLOTS;
    }
    while (slot < XA_SLOTS && !READ_ONCE(node->slots[slot]))
        slot++;
    return slot;
}

/*
 * One descent towards the first entry at or after *index. Returns it; or NULL with *index moved to
 * where to look next; or NULL with *end set if nothing follows.
 */
static void *xa_descend(void *link, u64 *index, int mark, bool *end)
{
    u64 at = *index;
    bool root = true;

    while (xa_is_node(link)) {
        struct xa_node *node = xa_to_node(link);
        unsigned want = xa_slot_of(node, at);
        unsigned slot = xa_next_slot(node, want, mark);

        if (slot == XA_SLOTS) {
            u64 span = xa_max_index(node->shift);

            *end = root || (at | span) == U64_MAX;
            *index = (at | span) + 1;
            return NULL;
        }
        if (slot != want) {
            /* Beyond the first slot's range: everything below starts at zero. */
            u64 below = xa_max_index(node->shift);

            at = (at & ~below) | (u64)slot << node->shift;
        }
        link = load_acquire(&node->slots[slot]);
        root = false;
    }
    *index = at;
    if (!link) { /* erased since its slot was looked at */
        *end = at == U64_MAX;
        *index = at + 1;
    }
    return link;
}

static void *xa_search(const struct xarray *xa, u64 *index, int mark)
{
    u64 at = *index;
    bool end = false;

    while (!end) {
        void *link = load_acquire(&xa->head);

        if (!xa_is_node(link)) {
            if (at || !link || (mark >= 0 && !(READ_ONCE(xa->head_marks) >> mark & 1)))
                return NULL;
        } else if (at > xa_max_index(xa_to_node(link)->shift)) {
            return NULL;
        }

        void *entry = xa_descend(link, &at, mark, &end);

        if (entry) {
            *index = at;
            return entry;
        }
    }
    return NULL;
}

void *xa_next(const struct xarray *xa, u64 *index)
{
    return xa_search(xa, index, -1);
}

void *xa_next_marked(const struct xarray *xa, u64 *index, unsigned mark)
{
    return xa_search(xa, index, (int)mark);
}

void xa_set_mark(struct xarray *xa, u64 index, unsigned mark)
{
    struct xa_node *node = xa_find_leaf(xa, index);

    if (!node) {
        if (!index && xa->head && !xa_is_node(xa->head))
            WRITE_ONCE(xa->head_marks, (u8)(xa->head_marks | 1u << mark));
        return;
    }

    unsigned slot = xa_slot_of(node, index);

    if (!node->slots[slot])
        return;
    for (; node; slot = node->slot, node = node->parent)
        WRITE_ONCE(node->marks[mark], node->marks[mark] | 1ull << slot);
}

void xa_clear_mark(struct xarray *xa, u64 index, unsigned mark)
{
    struct xa_node *node = xa_find_leaf(xa, index);

    if (node)
        xa_unmark(node, xa_slot_of(node, index), mark);
    else if (!index && !xa_is_node(xa->head))
        WRITE_ONCE(xa->head_marks, (u8)(xa->head_marks & ~(1u << mark)));
}

bool xa_get_mark(const struct xarray *xa, u64 index, unsigned mark)
{
    u64 at = index;

    return xa_next_marked(xa, &at, mark) && at == index;
}

bool xa_any_marked(const struct xarray *xa, unsigned mark)
{
    void *link = load_acquire(&xa->head);

    if (xa_is_node(link))
        return READ_ONCE(xa_to_node(link)->marks[mark]) != 0;
    return link && (READ_ONCE(xa->head_marks) >> mark & 1);
}

void xa_destroy(struct xarray *xa, void (*drop)(void *entry, void *ctx), void *ctx)
{
    u64 index;
    void *entry;

    xa_for_each (xa, index, entry) {
        xa_erase(xa, index);
        if (drop)
            drop(entry, ctx);
    }
}
