/* SPDX-License-Identifier: MIT
 *
 * The xarray against a model, with an allocator that fails.
 */
#include "harness.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/xarray.h"

#include <stdlib.h>

enum { KEYS = 400 };

static long xat_live;
static long xat_budget;

static void *xat_alloc(size_t size, void *ctx)
{
    if (xat_budget-- <= 0)
        return NULL;
    xat_live++;
    return malloc(size);
}

static void xat_free(struct xa_node *node)
{
    xat_live--;
    free(node);
}

/* A model: keys spread over all magnitudes, with what each should hold. */
struct xat_model {
    u64 key;
    void *entry;
    bool mark[XA_MARKS];
};

static struct xat_model xat[KEYS];

static u64 xat_key(u64 *seed)
{
    u64 r = unit_rand(seed);

    switch (r % 5) {
    case 0:
        return r >> 32 & 63;
    case 1:
        return r >> 32 & 4095;
    case 2:
        return U64_MAX - (r >> 32 & 255);
    default:
        return unit_rand(seed) >> (r >> 8 & 63);
    }
}

static void xat_make_keys(u64 seed)
{
    for (int i = 0; i < KEYS; i++) {
        bool fresh;

        do {
            fresh = true;
            xat[i] = (struct xat_model){.key = i == 0 ? 0 : i == 1 ? U64_MAX : xat_key(&seed)};
            for (int k = 0; k < i; k++)
                fresh &= xat[k].key != xat[i].key;
        } while (!fresh);
    }
}

static struct xat_model *xat_model_next(u64 from, int mark)
{
    struct xat_model *best = NULL;

    for (int i = 0; i < KEYS; i++) {
        struct xat_model *m = &xat[i];

        if (m->entry && m->key >= from && (mark < 0 || m->mark[mark]) &&
            (!best || m->key < best->key))
            best = m;
    }
    return best;
}

static bool xat_search_agrees(struct xarray *xa, u64 from, int mark)
{
    struct xat_model *m = xat_model_next(from, mark);
    u64 index = from;
    void *e = mark < 0 ? xa_next(xa, &index) : xa_next_marked(xa, &index, (unsigned)mark);

    return m ? e == m->entry && index == m->key : !e && index == from;
}

static bool xat_step(struct xarray *xa, u64 *seed)
{
    struct xat_model *m = &xat[unit_rand(seed) % KEYS];
    unsigned mark = (unsigned)(unit_rand(seed) % XA_MARKS);
    struct xa_pool pool = {0};
    void *old;

    switch (unit_rand(seed) % 5) {
    case 0:
    case 1:
        xat_budget = 100;
        if (xa_pool_fill(&pool, XA_POOL_MAX, xat_alloc, NULL))
            return false;
        void *entry = xa_value(unit_rand(seed) >> 2);

        if (xa_store(xa, m->key, entry, &pool))
            return false;
        m->entry = entry;
        xa_pool_drain(&pool, xat_free);
        return true;
    case 2:
        old = xa_erase(xa, m->key);
        if (old != m->entry)
            return false;
        *m = (struct xat_model){.key = m->key};
        return true;
    case 3:
        xa_set_mark(xa, m->key, mark);
        m->mark[mark] = m->entry != NULL;
        return true;
    default:
        xa_clear_mark(xa, m->key, mark);
        m->mark[mark] = false;
        return true;
    }
}

TEST(xarray_agrees_with_a_model_under_random_churn)
{
    struct xarray xa;
    u64 seed = 5;

    xat_make_keys(99);
    xa_init(&xa, xat_free);
    for (int step = 0; step < 20000; step++) {
        EXPECT(xat_step(&xa, &seed));
        struct xat_model *m = &xat[unit_rand(&seed) % KEYS];

        EXPECT(xa_load(&xa, m->key) == m->entry);
        u64 from = unit_rand(&seed) % 3 ? m->key : xat_key(&seed);

        for (int mark = -1; mark < XA_MARKS; mark++)
            EXPECT(xat_search_agrees(&xa, from, mark));
        for (unsigned mark = 0; mark < XA_MARKS; mark++) {
            EXPECT(xa_get_mark(&xa, m->key, mark) == m->mark[mark]);
            EXPECT(xa_any_marked(&xa, mark) == (xat_model_next(0, (int)mark) != NULL));
        }
    }
    xa_destroy(&xa, NULL, NULL);
    EXPECT(xa_empty(&xa) && xat_live == 0);
}

TEST(xarray_store_without_nodes_fails_and_changes_nothing)
{
    struct xarray xa;
    struct xa_pool pool = {0};

    xa_init(&xa, xat_free);
    EXPECT(!xa_store(&xa, 0, xa_value(7), NULL) && xat_live == 0);
    for (long budget = 0; budget < 12; budget++) {
        xat_budget = budget;
        EXPECT(xa_pool_fill(&pool, XA_POOL_MAX, xat_alloc, NULL) == -ENOMEM);
        int err = xa_insert(&xa, U64_MAX, xa_value(8), &pool);

        xa_pool_drain(&pool, xat_free);
        EXPECT(err == -ENOMEM && xat_live == 0);
        EXPECT(xa_load(&xa, 0) == xa_value(7) && !xa_load(&xa, U64_MAX));
    }
    xat_budget = XA_POOL_MAX;
    EXPECT(!xa_pool_fill(&pool, XA_POOL_MAX, xat_alloc, NULL));
    EXPECT(!xa_insert(&xa, U64_MAX, xa_value(8), &pool));
    EXPECT(xa_insert(&xa, U64_MAX, xa_value(9), &pool) == -EEXIST);
    xa_pool_drain(&pool, xat_free);
    xa_destroy(&xa, NULL, NULL);
    EXPECT(xat_live == 0);
}
