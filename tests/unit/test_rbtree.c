/* SPDX-License-Identifier: MIT
 *
 * Red-black trees against a model, with an augmented value.
 */
#include "harness.h"
#include "lib/rbtree.h"
#include "lib/string.h"

/* Nodes ordered by key; the augmented value is the largest weight below. */
struct item {
    struct rb_node node;
    u64 key, weight, max;
    bool in;
};

static struct item *item_of(const struct rb_node *n)
{
    return rb_entry((struct rb_node *)n, struct item, node);
}

static bool item_less(const struct rb_node *a, const struct rb_node *b)
{
    return item_of(a)->key < item_of(b)->key;
}

static u64 item_max(const struct rb_node *n)
{
    return n ? item_of(n)->max : 0;
}

static void item_augment(struct rb_node *n)
{
    struct item *it = item_of(n);

    it->max = MAX(it->weight, MAX(item_max(n->left), item_max(n->right)));
}

/* Black height, or -1 if an invariant is broken. */
static int item_check(const struct rb_node *n, const struct rb_node *parent)
{
    if (!n)
        return 0;
    bool black = n->parent_color & 1;

    if (rb_parent(n) != parent || (!black && parent && !(parent->parent_color & 1)))
        return -1;
    if (item_of(n)->max != MAX(item_of(n)->weight, MAX(item_max(n->left), item_max(n->right))))
        return -1;
    int l = item_check(n->left, n), r = item_check(n->right, n);

    return l < 0 || l != r ? -1 : l + black;
}

static size_t item_count_in_order(struct rb_root *root)
{
    struct rb_node *n, *prev = NULL;
    size_t count = 0;

    rb_for_each (n, root) {
        if (rb_prev(n) != prev || (prev && item_less(n, prev)))
            return (size_t)-1;
        prev = n;
        count++;
    }
    return rb_last(root) == prev ? count : (size_t)-1;
}

TEST(rbtree_keeps_its_invariants_under_random_churn)
{
    static struct item items[300];
    struct rb_root root = RB_ROOT_AUGMENTED(item_augment);
    u64 seed = 11;
    size_t count = 0;

    for (int step = 0; step < 6000; step++) {
        struct item *it = &items[unit_rand(&seed) % ARRAY_SIZE(items)];

        if (it->in) {
            rb_erase(&root, &it->node);
            count--;
        } else {
            it->key = unit_rand(&seed) % 100;
            it->weight = unit_rand(&seed) % 1000;
            rb_insert(&root, &it->node, item_less);
            count++;
        }
        it->in = !it->in;
        EXPECT(item_check(root.node, NULL) >= 0);
        EXPECT(item_count_in_order(&root) == count);
    }
}
