/* SPDX-License-Identifier: MIT
 *
 * The timing wheel (wheel.h). Why `base` never passes a slot: it only goes to the smallest
 * `soonest` of all, which no slot's last tick lies before, or to a tick before that.
 */
#include "sched/wheel.h"

#include "lib/log.h"

#define WHEEL_LAST ((1ULL << WHEEL_LEVELS * WHEEL_DIGIT) - 1)
#define WHEEL_LOOKS 8 /* at entries of which none has expired */

static u64 wheel_ticks_up(u64 ns)
{
    u64 part = ns & ((1U << WHEEL_TICK_SHIFT) - 1);

    return MIN((ns >> WHEEL_TICK_SHIFT) + (part != 0), WHEEL_LAST);
}

/* A multiple of the largest power of two in a quarter of the slack. */
static u64 wheel_key(const struct wheel_entry *e)
{
    u64 first = wheel_ticks_up(e->deadline), last, quarter = e->slack >> (2 + WHEEL_TICK_SHIFT);

    if (!quarter)
        return first;
    if (add_overflows(e->deadline, e->slack, &last))
        return first;
    last >>= WHEEL_TICK_SHIFT;
    return last & ~((1ULL << (63 - __builtin_clzll(quarter))) - 1);
}

static void wheel_put(struct wheel *w, struct wheel_entry *e, u64 key)
{
    u64 differs = key ^ w->base;
    unsigned level = differs ? (63 - (unsigned)__builtin_clzll(differs)) / WHEEL_DIGIT : 0;
    unsigned digit = key >> level * WHEEL_DIGIT & (WHEEL_SLOTS - 1);
    struct wheel_slot *slot = &w->slot[level * WHEEL_SLOTS + digit];
    struct wheel_entry *first = slot->first;

    e->slot = (u8)(level * WHEEL_SLOTS + digit);
    if (first) {
        e->next = first;
        e->prev = first->prev;
        e->prev->next = first->prev = e;
        slot->soonest = MIN(slot->soonest, key);
        return;
    }
    e->next = e->prev = slot->first = e;
    slot->soonest = key;
    w->slots[level] |= (u16)(1U << digit);
    w->levels |= (u16)(1U << level);
}

u64 wheel_add(struct wheel *w, struct wheel_entry *e)
{
    u64 key = MAX(wheel_key(e), w->seen); /* late: behind those that were due before */

    wheel_put(w, e, key);
    return key << WHEEL_TICK_SHIFT;
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
    struct wheel_slot *slot = &w->slot[e->slot];
    unsigned level = e->slot / WHEEL_SLOTS;

    if (e->next == e) {
        slot->first = NULL;
        w->slots[level] &= (u16) ~(1U << e->slot % WHEEL_SLOTS);
        if (!w->slots[level])
            w->levels &= (u16) ~(1U << level);
    } else {
        e->next->prev = e->prev;
        e->prev->next = e->next;
        if (slot->first == e)
            slot->first = e->next;
    }
    e->next = NULL;
}

/* The slot whose first key is the smallest. A level's lowest is the one that holds base, if that
 * has entries, or else lies before the level's others. */
static const struct wheel_slot *wheel_soonest(const struct wheel *w)
{
    const struct wheel_slot *best = NULL;

    for (unsigned left = w->levels; left; left &= left - 1) {
        unsigned level = (unsigned)__builtin_ctz(left);
        unsigned digit = (unsigned)__builtin_ctz(w->slots[level]);
        const struct wheel_slot *slot = &w->slot[level * WHEEL_SLOTS + digit];

        if (!best || slot->soonest < best->soonest)
            best = slot;
    }
    return best;
}

/* Of the slot that comes next, one whose deadline has passed though its key has not been reached:
 * it needs no call of its own. */
static struct wheel_entry *wheel_early(struct wheel *w, const struct wheel_slot *slot, u64 now)
{
    struct wheel_entry *e = slot->first;

    for (unsigned looks = 0; looks < WHEEL_LOOKS; looks++, e = e->next) {
        if (e->deadline <= now) {
            wheel_remove(w, e);
            return e;
        }
        if (e->next == slot->first)
            break;
    }
    return NULL;
}

struct wheel_entry *wheel_expired(struct wheel *w, u64 now, unsigned *steps)
{
    const struct wheel_slot *slot;
    struct wheel_entry *e;

    DEBUG_ASSERT(*steps && now >> WHEEL_TICK_SHIFT >= w->seen);
    w->seen = now >> WHEEL_TICK_SHIFT;
    while (*steps) {
        slot = wheel_soonest(w);
        if (!slot || slot->soonest > w->seen) {
            w->base = w->seen;
            e = slot ? wheel_early(w, slot, now) : NULL;
            *steps -= e != NULL;
            return e;
        }
        --*steps;
        w->base = MAX(w->base, slot->soonest);
        e = slot->first;
        wheel_remove(w, e);
        if (wheel_key(e) <= w->base)
            return e;
        wheel_put(w, e, MAX(wheel_key(e), w->base));
    }
    return NULL;
}

u64 wheel_next(const struct wheel *w)
{
    const struct wheel_slot *slot = wheel_soonest(w);

    return slot ? slot->soonest << WHEEL_TICK_SHIFT : U64_MAX;
}
