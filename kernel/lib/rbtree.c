/* SPDX-License-Identifier: MIT
 *
 * Red-black tree. Invariants: the root is black; a red node has no red child; every path from a
 * node down to a missing child passes the same number of black nodes.
 */
#include "lib/rbtree.h"

#define RB_BLACK 1ul

static bool rb_is_black(const struct rb_node *node)
{
    return !node || (node->parent_color & RB_BLACK);
}

static void rb_set_black(struct rb_node *node)
{
    node->parent_color |= RB_BLACK;
}

static void rb_set_red(struct rb_node *node)
{
    node->parent_color &= ~RB_BLACK;
}

static void rb_set_parent(struct rb_node *node, struct rb_node *parent)
{
    node->parent_color = (uintptr_t)parent | (node->parent_color & RB_BLACK);
}

static void rb_copy_color(struct rb_node *node, const struct rb_node *from)
{
    node->parent_color = (node->parent_color & ~RB_BLACK) | (from->parent_color & RB_BLACK);
}

/* Makes `new` the child of `parent` that `old` was. */
static void rb_change_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                            struct rb_node *new)
{
    if (!parent)
        root->node = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
}

/* Common end of both rotations: `up` takes the place of `down` and becomes its parent. */
static void rb_rotate_finish(struct rb_root *root, struct rb_node *down, struct rb_node *up)
{
    struct rb_node *parent = rb_parent(down);

    rb_set_parent(up, parent);
    rb_change_child(root, parent, down, up);
    rb_set_parent(down, up);
    if (root->augment) {
        root->augment(down);
        root->augment(up);
    }
}

static void rb_rotate_left(struct rb_root *root, struct rb_node *down)
{
    struct rb_node *up = down->right;

    down->right = up->left;
    if (up->left)
        rb_set_parent(up->left, down);
    up->left = down;
    rb_rotate_finish(root, down, up);
}

static void rb_rotate_right(struct rb_root *root, struct rb_node *down)
{
    struct rb_node *up = down->left;

    down->left = up->right;
    if (up->right)
        rb_set_parent(up->right, down);
    up->right = down;
    rb_rotate_finish(root, down, up);
}

/* `left` says on which side of `node` the child lies that moves away from it: rotate towards it. */
static void rb_rotate(struct rb_root *root, struct rb_node *node, bool left)
{
    if (left)
        rb_rotate_left(root, node);
    else
        rb_rotate_right(root, node);
}

void rb_augment_up(struct rb_root *root, struct rb_node *node)
{
    if (!root->augment)
        return;
    for (; node; node = rb_parent(node))
        root->augment(node);
}

static void rb_insert_fixup(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *parent;

    while ((parent = rb_parent(node)) && !rb_is_black(parent)) {
        /* A red node is not the root, so there is a grandparent. */
        struct rb_node *grand = rb_parent(parent);
        bool left = grand->left == parent;
        struct rb_node *uncle = left ? grand->right : grand->left;

        if (!rb_is_black(uncle)) {
            rb_set_black(parent);
            rb_set_black(uncle);
            rb_set_red(grand);
            node = grand;
            continue;
        }
        if (node == (left ? parent->right : parent->left)) {
            rb_rotate(root, parent, left);
            struct rb_node *tmp = parent;
            parent = node;
            node = tmp;
        }
        rb_set_black(parent);
        rb_set_red(grand);
        rb_rotate(root, grand, !left);
    }
    rb_set_black(root->node);
}

void rb_link(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
             struct rb_node **link)
{
    node->left = node->right = NULL;
    *link = node;
    if (!parent) { /* alone: run queues mostly hold one thread */
        node->parent_color = RB_BLACK;
        root->first = node;
        if (root->augment)
            root->augment(node);
        return;
    }
    node->parent_color = (uintptr_t)parent;
    if (parent == root->first && link == &parent->left)
        root->first = node;
    rb_augment_up(root, node);
    rb_insert_fixup(root, node);
}

void rb_insert(struct rb_root *root, struct rb_node *node, rb_less_fn less)
{
    struct rb_node **link = &root->node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = less(node, parent) ? &parent->left : &parent->right;
    }
    rb_link(root, node, parent, link);
}

/*
 * The path through `parent` to `node` (which may be NULL) has lost a black node. The sibling
 * exists: its side is at least as high as the missing black one.
 */
static void rb_erase_fixup(struct rb_root *root, struct rb_node *node, struct rb_node *parent)
{
    while (parent && rb_is_black(node)) {
        bool left = parent->left == node;
        struct rb_node *sib = left ? parent->right : parent->left;

        if (!rb_is_black(sib)) {
            rb_set_black(sib);
            rb_set_red(parent);
            rb_rotate(root, parent, left);
            sib = left ? parent->right : parent->left;
        }

        struct rb_node *near = left ? sib->left : sib->right;
        struct rb_node *far = left ? sib->right : sib->left;

        if (rb_is_black(near) && rb_is_black(far)) {
            rb_set_red(sib);
            node = parent;
            parent = rb_parent(node);
            continue;
        }
        if (rb_is_black(far)) {
            rb_set_black(near);
            rb_set_red(sib);
            rb_rotate(root, sib, !left);
            far = sib;
            sib = near;
        }
        rb_copy_color(sib, parent);
        rb_set_black(parent);
        rb_set_black(far);
        rb_rotate(root, parent, left);
        return;
    }
    if (node)
        rb_set_black(node);
}

/* Takes `node`, which has at most one child, out; returns whether a black node was lost. */
static bool rb_unlink_simple(struct rb_root *root, struct rb_node *node, struct rb_node **child,
                             struct rb_node **parent)
{
    *child = node->left ? node->left : node->right;
    *parent = rb_parent(node);
    rb_change_child(root, *parent, node, *child);
    if (*child)
        rb_set_parent(*child, *parent);
    return rb_is_black(node);
}

/* Gives `new` the place, links and colour of `old`. */
static void rb_take_place(struct rb_root *root, struct rb_node *old, struct rb_node *new)
{
    *new = *old;
    rb_change_child(root, rb_parent(old), old, new);
    if (new->left)
        rb_set_parent(new->left, new);
    if (new->right)
        rb_set_parent(new->right, new);
}

void rb_erase(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *child, *parent;
    bool lost_black;

    if (root->node == node && !node->left && !node->right) {
        root->node = root->first = NULL;
        return;
    }
    if (root->first == node)
        root->first = rb_next(node);
    if (node->left && node->right) {
        struct rb_node *heir = node->right;

        while (heir->left)
            heir = heir->left;
        lost_black = rb_unlink_simple(root, heir, &child, &parent);
        rb_take_place(root, node, heir);
        if (parent == node)
            parent = heir;
    } else {
        lost_black = rb_unlink_simple(root, node, &child, &parent);
    }
    rb_augment_up(root, parent);
    if (lost_black)
        rb_erase_fixup(root, child, parent);
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node && node->right)
        node = node->right;
    return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    struct rb_node *next = node->right, *parent;

    if (next) {
        while (next->left)
            next = next->left;
        return next;
    }
    while ((parent = rb_parent(node)) && node == parent->right)
        node = parent;
    return parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    struct rb_node *prev = node->left, *parent;

    if (prev) {
        while (prev->right)
            prev = prev->right;
        return prev;
    }
    while ((parent = rb_parent(node)) && node == parent->left)
        node = parent;
    return parent;
}
