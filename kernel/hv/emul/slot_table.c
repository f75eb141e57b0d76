/* SPDX-License-Identifier: MIT
 *
 * The tree by address lies in a sorted array: the root of [low, high) is its middle, and max_end
 * there is of all of it. So a part without an address that is high enough is left out at once.
 */
#include "hv/emul/slot_table.h"

#include "lib/compiler.h"

size_t slot_table_size(u32 nr)
{
    return sizeof(struct slot_table) + nr * (2 * sizeof(struct slot_range *) + sizeof(u64));
}

static u64 slot_table_key(const struct slot_range *r, bool by_hva)
{
    return by_hva ? r->hva : r->gfn;
}

/* One of the two orders; the new one comes after those of the same key. */
static u32 slot_table_merge(struct slot_range **to, struct slot_range *const *from, u32 nr,
                            const struct slot_range *out, struct slot_range *in, bool by_hva)
{
    u32 n = 0;

    for (u32 i = 0; i < nr; i++) {
        if (from[i] == out)
            continue;
        if (in && slot_table_key(in, by_hva) < slot_table_key(from[i], by_hva)) {
            to[n++] = in;
            in = NULL;
        }
        to[n++] = from[i];
    }
    if (in)
        to[n++] = in;
    return n;
}

/* Depth: the logarithm of their number. */
static u64 slot_table_fill_ends(struct slot_table *t, u32 low, u32 high)
{
    u32 root = (low + high) / 2;
    u64 end;

    if (low == high)
        return 0;
    end = slot_range_end(t->by_hva[root]);
    end = MAX(end, slot_table_fill_ends(t, low, root));
    end = MAX(end, slot_table_fill_ends(t, root + 1, high));
    t->max_end[root] = end;
    return end;
}

void slot_table_build(struct slot_table *t, const struct slot_table *from,
                      const struct slot_range *out, struct slot_range *in)
{
    t->nr = slot_table_merge(t->by_gfn, from->by_gfn, from->nr, out, in, false);
    t->by_hva = t->by_gfn + t->nr;
    t->max_end = (u64 *)(t->by_hva + t->nr);
    slot_table_merge(t->by_hva, from->by_hva, from->nr, out, in, true);
    slot_table_fill_ends(t, 0, t->nr);
}

bool slot_table_has(const struct slot_table *t, u64 gfn, u64 pages, const struct slot_range *except)
{
    u32 i = slot_table_upto(t, gfn);

    if (i && gfn - t->by_gfn[i - 1]->gfn < t->by_gfn[i - 1]->pages && t->by_gfn[i - 1] != except)
        return true;
    if (i < t->nr && t->by_gfn[i] == except)
        i++;
    return i < t->nr && t->by_gfn[i]->gfn < gfn + pages;
}

struct slot_walk {
    const struct slot_table *t;
    u64 start, end;
    u32 left; /* how many more are looked for */
    void (*fn)(void *arg, struct slot_range *r);
    void *arg;
};

static u32 slot_table_walk(struct slot_walk *w, u32 low, u32 high)
{
    u32 root = (low + high) / 2, n;
    struct slot_range *r;

    if (low == high || w->t->max_end[root] <= w->start)
        return 0;
    r = w->t->by_hva[root];
    n = slot_table_walk(w, low, root);
    if (r->hva >= w->end || !w->left)
        return n;
    if (slot_range_end(r) > w->start) {
        n++;
        w->left--;
        if (w->fn)
            w->fn(w->arg, r);
    }
    return n + slot_table_walk(w, root + 1, high);
}

u32 slot_table_each(const struct slot_table *t, u64 start, u64 end,
                    void (*fn)(void *arg, struct slot_range *r), void *arg)
{
    struct slot_walk w = {t, start, end, U32_MAX, fn, arg};

    return start < end ? slot_table_walk(&w, 0, t->nr) : 0;
}

u32 slot_table_count(const struct slot_table *t, u64 start, u64 end, u32 most)
{
    struct slot_walk w = {t, start, end, most, NULL, NULL};

    return start < end && most ? slot_table_walk(&w, 0, t->nr) : 0;
}
