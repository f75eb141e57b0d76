/* SPDX-License-Identifier: MIT
 *
 * Intrusive red-black tree with the first node cached and optional augmentation.
 *
 * The caller owns the nodes and the lock; the tree allocates nothing. An augmented tree keeps in
 * each node a value computed from the node and its two children (a maximum, a sum): `augment`
 * recomputes it for one node, and the tree calls it wherever a subtree changed. After changing a
 * node's own contribution in place, call rb_augment_up().
 *
 * To search, walk root->node by hand. To insert without a comparison call-back, walk to the
 * empty link, then rb_link(); otherwise rb_insert().
 */
#pragma once

#include "lib/types.h"
#include "lib/compiler.h"

struct rb_node {
    uintptr_t parent_color; /* parent's address, bit 0: black */
    struct rb_node *left, *right;
};

typedef void (*rb_augment_fn)(struct rb_node *node);
typedef bool (*rb_less_fn)(const struct rb_node *a, const struct rb_node *b);

struct rb_root {
    struct rb_node *node;  /* the root, or NULL */
    struct rb_node *first; /* leftmost node, or NULL */
    rb_augment_fn augment; /* NULL: not augmented */
};

#define RB_ROOT          \
    (struct rb_root)     \
    {                    \
        NULL, NULL, NULL \
    }
#define RB_ROOT_AUGMENTED(fn) \
    (struct rb_root)          \
    {                         \
        NULL, NULL, (fn)      \
    }

#define rb_entry(ptr, type, member) container_of(ptr, type, member)

static inline bool rb_empty(const struct rb_root *root)
{
    return !root->node;
}

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
    return (struct rb_node *)(node->parent_color & ~(uintptr_t)1);
}

/* Smallest node in O(1), or NULL. */
static inline struct rb_node *rb_first(const struct rb_root *root)
{
    return root->first;
}

/* Largest node, O(log n), or NULL. */
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

/*
 * Puts `node` at the empty link `*link` below `parent` (NULL: link is &root->node) and rebalances.
 */
void rb_link(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
             struct rb_node **link);

/* Inserts after all equal nodes. */
void rb_insert(struct rb_root *root, struct rb_node *node, rb_less_fn less);

/* `node` must be in the tree; afterwards its memory is the caller's again, its fields undefined. */
void rb_erase(struct rb_root *root, struct rb_node *node);

/* Recomputes the augmented values from `node` up to the root. */
void rb_augment_up(struct rb_root *root, struct rb_node *node);

/* A node that is in no tree, for those who need to ask. */
static inline void rb_clear(struct rb_node *node)
{
    node->parent_color = (uintptr_t)node;
}

static inline bool rb_is_clear(const struct rb_node *node)
{
    return node->parent_color == (uintptr_t)node;
}

#define rb_for_each(pos, root) for (pos = rb_first(root); pos; pos = rb_next(pos))
