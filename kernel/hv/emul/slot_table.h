/* SPDX-License-Identifier: MIT
 *
 * Where guest memory lies: ranges of guest-physical pages, each at an address of the VMM, found by
 * page and by address in O(log n). Pages belong to one range at most; the same addresses may belong
 * to many.
 *
 * A table is immutable: a change builds a new one. It has no locks and frees nothing: its owner
 * says how long a reader may use it, and its ranges.
 */
#pragma once

#include "lib/types.h"

struct slot_range {
    u64 gfn, pages; /* pages > 0 */
    u64 hva;        /* of the first; hva + pages does not wrap */
};

struct slot_table {
    u32 nr;
    struct slot_range **by_hva; /* sorted by hva: a balanced tree whose root is the middle */
    u64 *max_end;               /* of the subtree whose root lies there: the highest address */
    struct slot_range *by_gfn[];
};

static inline u64 slot_range_end(const struct slot_range *r)
{
    return r->hva + (r->pages << PAGE_SHIFT);
}

/* Bytes of a table of so many ranges. */
size_t slot_table_size(u32 nr);
/* Fills t: what `from` has, without `out` and with `in` (each may be NULL). In O(n). */
void slot_table_build(struct slot_table *t, const struct slot_table *from,
                      const struct slot_range *out, struct slot_range *in);
/* Does a range other than `except` (may be NULL) have one of these pages? gfn + pages does not
 * wrap. */
bool slot_table_has(const struct slot_table *t, u64 gfn, u64 pages,
                    const struct slot_range *except);
/* Calls fn for each range that has some of [start, end), in the order of their addresses, in
 * O(log n) and what is found. Returns how many that were; fn may be NULL. */
u32 slot_table_each(const struct slot_table *t, u64 start, u64 end,
                    void (*fn)(void *arg, struct slot_range *r), void *arg);
/* How many such there are, or `most`, in O(log n) and what is counted. */
u32 slot_table_count(const struct slot_table *t, u64 start, u64 end, u32 most);

/* How many ranges begin at gfn or below. */
static inline u32 slot_table_upto(const struct slot_table *t, u64 gfn)
{
    u32 low = 0, high = t->nr;

    while (low < high) {
        u32 middle = (low + high) / 2;

        if (t->by_gfn[middle]->gfn <= gfn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The range that has gfn, or NULL. */
static inline struct slot_range *slot_table_find(const struct slot_table *t, u64 gfn)
{
    u32 n = slot_table_upto(t, gfn);
    struct slot_range *r = n ? t->by_gfn[n - 1] : NULL;

    return r && gfn - r->gfn < r->pages ? r : NULL;
}
