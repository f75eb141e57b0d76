/* SPDX-License-Identifier: MIT
 *
 * Things in the order of their times, so that what is due is found without a look at the others.
 * Lock: the caller's, over tree and things.
 */
#pragma once

#include "lib/rbtree.h"
#include "lib/types.h"

/* Zeroed: it has no time. */
struct ip_due {
    struct rb_node node; /* in the tree, while at is not 0 */
    u64 at;
};

static inline bool ip_due_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct ip_due, node)->at < rb_entry(b, struct ip_due, node)->at;
}

/* at: its time from here on; 0: none. */
static inline void ip_due_set(struct rb_root *tree, struct ip_due *d, u64 at)
{
    if (d->at == at)
        return;
    if (d->at)
        rb_erase(tree, &d->node);
    d->at = at;
    if (at)
        rb_insert(tree, &d->node, ip_due_less);
}

static inline struct ip_due *ip_due_of(struct rb_node *n)
{
    return n ? rb_entry(n, struct ip_due, node) : NULL;
}

/* The first of all, and the next one; or NULL. */
static inline struct ip_due *ip_due_first(const struct rb_root *tree)
{
    return ip_due_of(rb_first(tree));
}
static inline struct ip_due *ip_due_after(const struct ip_due *d)
{
    return ip_due_of(rb_next(&d->node));
}

/* When the first is due, or 0. */
static inline u64 ip_due_next(const struct rb_root *tree)
{
    const struct ip_due *d = ip_due_first(tree);

    return d ? d->at : 0;
}
