/* SPDX-License-Identifier: MIT
 *
 * The longest prefix of an address.
 */
#include "net/ip/lpm.h"
#include "lib/atomic.h"

struct lpm_key lpm_mask(struct lpm_key key, u32 len)
{
    if (len < 64)
        key.w[0] &= len ? ~0ULL << (64 - len) : 0;
    if (len <= 64)
        key.w[1] = 0;
    else if (len < LPM_BITS)
        key.w[1] &= ~0ULL << (LPM_BITS - len);
    return key;
}

static u32 lpm_bit(const struct lpm_key *key, u32 at)
{
    return key->w[at >> 6] >> (63 - (at & 63)) & 1;
}

/* Bits that both have in common, at most `most`. */
static u32 lpm_common(const struct lpm_key *a, const struct lpm_key *b, u32 most)
{
    u64 x = a->w[0] ^ b->w[0], y = a->w[1] ^ b->w[1];
    u32 n = x ? (u32)__builtin_clzll(x) : y ? 64 + (u32)__builtin_clzll(y) : LPM_BITS;

    return n < most ? n : most;
}

static bool lpm_has(const struct lpm_node *n, const struct lpm_key *key)
{
    u64 x = n->key.w[0] ^ key->w[0];

    if (n->len <= 64)
        return !n->len || x >> (64 - n->len) == 0;
    return !x && (n->key.w[1] ^ key->w[1]) >> (LPM_BITS - n->len) == 0;
}

/* n's place is taken by what has both. */
static void lpm_split(struct lpm_node **link, struct lpm_node *n, struct lpm_node *node, u32 common,
                      struct lpm_node *glue)
{
    glue->key = lpm_mask(node->key, common);
    glue->len = common;
    glue->value = NULL;
    glue->child[lpm_bit(&n->key, common)] = n;
    glue->child[lpm_bit(&node->key, common)] = node;
    store_release(link, glue);
}

struct lpm_node *lpm_insert(struct lpm_node **root, struct lpm_node *node, struct lpm_node *glue,
                            bool *used)
{
    struct lpm_node **link = root, *n;

    *used = false;
    node->child[0] = node->child[1] = NULL;
    while ((n = *link)) {
        u32 common = lpm_common(&n->key, &node->key, n->len < node->len ? n->len : node->len);

        if (common == n->len && n->len == node->len)
            return n;
        if (common == n->len) {
            link = &n->child[lpm_bit(&node->key, n->len)];
            continue;
        }
        if (common == node->len) {
            node->child[lpm_bit(&n->key, node->len)] = n;
            break;
        }
        *used = true;
        lpm_split(link, n, node, common, glue);
        return NULL;
    }
    store_release(link, node);
    return NULL;
}

struct lpm_node *lpm_find(struct lpm_node *root, const struct lpm_key *key, u32 len)
{
    struct lpm_node *n = root;

    while (n && n->len < len && lpm_has(n, key))
        n = n->child[lpm_bit(key, n->len)];
    return n && n->len == len && lpm_has(n, key) ? n : NULL;
}

u32 lpm_remove(struct lpm_node **root, struct lpm_node *node, struct lpm_node *gone[2])
{
    struct lpm_node **above = NULL, **link = root, *parent, *only;
    u32 n = 0;

    while (*link != node) {
        above = link;
        link = &(*link)->child[lpm_bit(&node->key, (*link)->len)];
    }
    if (node->value || (node->child[0] && node->child[1]))
        return 0;
    only = node->child[0] ? node->child[0] : node->child[1];
    store_release(link, only);
    gone[n++] = node;
    parent = above ? *above : NULL;
    if (only || !parent || parent->value)
        return n;
    only = parent->child[0] ? parent->child[0] : parent->child[1];
    store_release(above, only); /* it joined the two, and one has gone */
    gone[n++] = parent;
    return n;
}

struct lpm_node *lpm_lookup(struct lpm_node *const *root, const struct lpm_key *key, u32 most)
{
    struct lpm_node *n = load_acquire(root), *best = NULL;

    while (n && n->len <= most && lpm_has(n, key)) {
        if (READ_ONCE(n->value))
            best = n;
        if (n->len == LPM_BITS)
            break;
        n = load_acquire(&n->child[lpm_bit(key, n->len)]);
    }
    return best;
}
