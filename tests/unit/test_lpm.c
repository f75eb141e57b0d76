/* SPDX-License-Identifier: MIT
 *
 * The longest prefix, against a list that is searched.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "net/ip/lpm.h"

#define PREFIXES 200

static struct lpm_key lpm_some(u64 *seed)
{
    u64 r = unit_rand(seed);

    /* Few values, so that prefixes lie in each other. */
    return (struct lpm_key){
        {(r & 3) << 62 | (r >> 2 & 7) << 29 | (r >> 5 & 1), (r >> 6 & 3) << 62 | (r >> 8 & 1)}};
}

static u32 lpm_some_len(u64 *seed)
{
    static const u32 lens[] = {0, 1, 2, 8, 24, 32, 33, 35, 63, 64, 65, 66, 96, 127, 128};

    return lens[unit_rand(seed) % (sizeof(lens) / sizeof(lens[0]))];
}

static bool lpm_same(struct lpm_key a, struct lpm_key b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static void lpm_take(struct lpm_node **root, struct lpm_node *node, u32 *nr)
{
    struct lpm_node *gone[2];

    node->value = NULL;
    for (u32 n = lpm_remove(root, node, gone); n--; (*nr)--)
        free(gone[n]);
}

static struct lpm_node *lpm_put(struct lpm_node **root, struct lpm_key key, u32 len, u32 *nr)
{
    struct lpm_node *node = calloc(1, sizeof(*node)), *glue = calloc(1, sizeof(*glue)), *there;
    bool used;

    node->key = lpm_mask(key, len);
    node->len = len;
    node->value = node;
    there = lpm_insert(root, node, glue, &used);
    if (!used)
        free(glue);
    *nr += used + !there;
    if (!there)
        return node;
    free(node);
    there->value = there;
    return there;
}

static bool lpm_known(struct lpm_node *root, struct lpm_key key, u32 len)
{
    struct lpm_key k = lpm_mask(key, len);
    struct lpm_node *n = lpm_find(root, &k, len);

    return n && n->value;
}

static struct lpm_node *lpm_slow(struct lpm_node **all, struct lpm_key key, u32 most)
{
    struct lpm_node *best = NULL;

    for (u32 i = 0; i < PREFIXES; i++)
        if (all[i] && all[i]->len <= most && lpm_same(lpm_mask(key, all[i]->len), all[i]->key) &&
            (!best || all[i]->len > best->len))
            best = all[i];
    return best;
}

TEST(lpm_finds_the_longest_prefix_as_prefixes_come_and_go)
{
    struct lpm_node *all[PREFIXES] = {0}, *root = NULL;
    u64 seed = 42;
    u32 nr = 0;

    for (u32 round = 0; round < 20000; round++) {
        u32 i = (u32)unit_rand(&seed) % PREFIXES, len = lpm_some_len(&seed), used = 0;
        struct lpm_key key = lpm_some(&seed);

        if (all[i]) {
            lpm_take(&root, all[i], &nr);
            all[i] = NULL;
        } else if (!lpm_known(root, key, len)) {
            all[i] = lpm_put(&root, key, len, &nr);
        }
        key = lpm_some(&seed);
        len = round % 3 ? LPM_BITS : lpm_some_len(&seed);
        EXPECT(lpm_lookup(&root, &key, len) == lpm_slow(all, key, len));
        for (u32 k = 0; k < PREFIXES; k++)
            used += !!all[k];
        EXPECT(nr <= 2 * used); /* no node stays that is not needed */
    }
    for (u32 i = 0; i < PREFIXES; i++)
        if (all[i])
            lpm_take(&root, all[i], &nr);
    EXPECT(!root && !nr);
}
