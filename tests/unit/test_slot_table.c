/* SPDX-License-Identifier: MIT
 *
 * Slots of guest memory against a list of them that is searched from end to end.
 */
#include "harness.h"
#include "hv/emul/slot_table.h"
#include "lib/compiler.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 60, PAGES = 400, ROUNDS = 4000 };

struct model {
    struct slot_range *slots[SLOTS];
    struct slot_table *table;
};

static void model_change(struct model *m, struct slot_range *out, struct slot_range *in)
{
    struct slot_table *t = malloc(slot_table_size(m->table->nr + 1));

    slot_table_build(t, m->table, out, in);
    free(m->table);
    m->table = t;
    free(out);
}

static bool model_has(const struct model *m, u64 gfn, u64 pages, const struct slot_range *except)
{
    for (u32 i = 0; i < SLOTS; i++) {
        const struct slot_range *r = m->slots[i];

        if (r && r != except && r->gfn < gfn + pages && gfn < r->gfn + r->pages)
            return true;
    }
    return false;
}

static void model_check_pages(const struct model *m)
{
    for (u64 gfn = 0; gfn < PAGES + 50; gfn++) {
        struct slot_range *found = NULL;

        for (u32 i = 0; i < SLOTS; i++)
            if (m->slots[i] && gfn - m->slots[i]->gfn < m->slots[i]->pages)
                found = m->slots[i];
        EXPECT(slot_table_find(m->table, gfn) == found);
    }
}

struct seen {
    struct slot_range *r[SLOTS];
    u32 n;
};

static void seen_add(void *arg, struct slot_range *r)
{
    struct seen *s = arg;

    EXPECT(!s->n || s->r[s->n - 1]->hva <= r->hva);
    s->r[s->n++] = r;
}

static void model_check_addresses(const struct model *m, u64 start, u64 end)
{
    struct seen seen = {.n = 0};
    u32 want = 0, n = slot_table_each(m->table, start, end, seen_add, &seen);

    EXPECT(n == seen.n && n == slot_table_each(m->table, start, end, NULL, NULL));
    for (u32 most = 0; most < n + 2; most++)
        EXPECT(slot_table_count(m->table, start, end, most) == (most < n ? most : n));
    for (u32 i = 0; i < SLOTS; i++) {
        struct slot_range *r = m->slots[i];
        bool found = false;

        if (!r || r->hva >= end || slot_range_end(r) <= start)
            continue;
        want++;
        for (u32 k = 0; k < n; k++)
            found |= seen.r[k] == r;
        EXPECT(found);
    }
    EXPECT(n == want);
}

/* Slots come, go and take each other's place; pages overlap in none, addresses in many. */
TEST(slots_are_found_by_page_and_by_address)
{
    static struct model m;
    u64 seed = 11;

    m.table = calloc(1, slot_table_size(0));
    for (u32 round = 0; round < ROUNDS; round++) {
        u32 id = unit_rand(&seed) % SLOTS;
        struct slot_range *old = m.slots[id], *new = NULL;
        u64 gfn = unit_rand(&seed) % PAGES, pages = 1 + unit_rand(&seed) % 30;

        EXPECT(slot_table_has(m.table, gfn, pages, old) == model_has(&m, gfn, pages, old));
        if (unit_rand(&seed) % 3 && !model_has(&m, gfn, pages, old)) {
            new = malloc(sizeof(*new));
            *new = (struct slot_range){gfn, pages, (unit_rand(&seed) % 200) << PAGE_SHIFT};
        }
        if (!old && !new)
            continue;
        m.slots[id] = new;
        model_change(&m, old, new);
        model_check_pages(&m);
        gfn = unit_rand(&seed) % 230;
        model_check_addresses(&m, gfn << PAGE_SHIFT,
                              (gfn + 1 + unit_rand(&seed) % 20) << PAGE_SHIFT);
    }
    for (u32 i = 0; i < SLOTS; i++)
        free(m.slots[i]);
    free(m.table);
}

/* One that spans all the others does not make each be looked at. */
TEST(slots_by_address_leave_out_what_lies_elsewhere)
{
    enum { MANY = 500 };
    static struct slot_range r[MANY + 1];
    struct slot_table *t = calloc(1, slot_table_size(0)), *next;

    for (u32 i = 0; i <= MANY; i++) {
        r[i] = i < MANY ? (struct slot_range){i * 2, 1, (1 + i * 2UL) << PAGE_SHIFT}
                        : (struct slot_range){2 * MANY, 2 * MANY, 0};
        next = malloc(slot_table_size(t->nr + 1));
        slot_table_build(next, t, NULL, &r[i]);
        free(t);
        t = next;
    }
    EXPECT(t->nr == MANY + 1);
    for (u32 i = 0; i < MANY; i++)
        EXPECT(slot_table_each(t, (1 + i * 2UL) << PAGE_SHIFT, (2 + i * 2UL) << PAGE_SHIFT, NULL,
                               NULL) == 2);
    EXPECT(slot_table_each(t, 0, PAGE_SIZE, NULL, NULL) == 1);
    EXPECT(slot_table_each(t, 0, 0, NULL, NULL) == 0);
    free(t);
}
