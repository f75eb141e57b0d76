/* SPDX-License-Identifier: MIT
 *
 * The longest prefix of an address: a binary trie without chains (each node has a value, or two
 * children). The pure core: its user brings the nodes. One writer at a time; readers need none of
 * its locks, if what was taken out is not freed before they have gone (RCU): each change is one
 * pointer.
 */
#pragma once

#include "lib/types.h"

#define LPM_BITS 128

/* Bits of an address, the first one highest; those behind len are zero. */
struct lpm_key {
    u64 w[2];
};
struct lpm_node {
    struct lpm_key key;
    u32 len; /* bits */
    void *value;
    struct lpm_node *child[2];
};

struct lpm_key lpm_mask(struct lpm_key key, u32 len);
/* node: with key, len and value. glue: another one, zeroed, that may be needed. The node that has
 * this key already, which stays (its value NULL: it may be given one); NULL: node was put in, and
 * *used says whether glue was. */
struct lpm_node *lpm_insert(struct lpm_node **root, struct lpm_node *node, struct lpm_node *glue,
                            bool *used);
struct lpm_node *lpm_find(struct lpm_node *root, const struct lpm_key *key, u32 len);
/* Takes out a node whose value is NULL by now, if it is not needed; up to two nodes to free: their
 * number. */
u32 lpm_remove(struct lpm_node **root, struct lpm_node *node, struct lpm_node *gone[2]);
/* The node of the longest prefix of key, at most `most` bits, that has a value; or NULL. */
struct lpm_node *lpm_lookup(struct lpm_node *const *root, const struct lpm_key *key, u32 most);
