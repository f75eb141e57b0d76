/* SPDX-License-Identifier: MIT
 *
 * A timing wheel: what is to expire, and when the next is looked for. A pure core: no locks, no
 * clock, no memory of its own but the slots; entries lie in their owners. Adding and removing cost
 * the same with ten entries as with a million.
 *
 * Time is counted in ticks of 16 ns, 15 digits of 4 bits. Each entry has a key, the tick at which
 * it is looked at; it lies in the slot of the highest digit in which its key differed from `base`
 * when it was put there. So all of a level's slots lie before those of the levels above it, but for
 * the slots that hold `base` itself (one of each level at most, and open as it were), and a slot is
 * divided among the levels below only when the first of its keys is reached: an entry moves once
 * for each digit at most, and one alone in its slot never.
 *
 * An entry may be late by its slack: its key is the latest tick that allows, or a rounder one in
 * the last quarter of the slack. It is handed out at its key, or from its deadline on when an
 * earlier key brings the caller here. Never before its deadline; at its key at the latest, if the
 * caller comes then and has steps left.
 *
 * The owner of an entry in a wheel may make `deadline` later without telling the wheel.
 */
#pragma once

#include "lib/types.h"

#define WHEEL_TICK_SHIFT 4
#define WHEEL_DIGIT 4
#define WHEEL_LEVELS 15
#define WHEEL_SLOTS (1U << WHEEL_DIGIT)

struct wheel_entry {
    struct wheel_entry *next, *prev; /* a ring, in the order of arrival; NULL: in no wheel */
    u64 deadline;                    /* ns; below 2^64 - 32 */
    u32 slack;                       /* ns */
    u8 slot;                         /* where it is, while it is in a wheel */
};

struct wheel_slot {
    struct wheel_entry *first;
    u64 soonest; /* no key of its entries is smaller */
};

/* All zeroes: empty. */
struct wheel {
    u64 base;   /* no entry has a smaller key, or one that was smaller is due */
    u64 seen;   /* the last tick that the caller told: what is added late is due then */
    u16 levels; /* those with entries */
    u16 slots[WHEEL_LEVELS]; /* those with entries */
    struct wheel_slot slot[WHEEL_LEVELS * WHEEL_SLOTS];
};

static inline bool wheel_has(const struct wheel_entry *e)
{
    return READ_ONCE(e->next) != NULL;
}

/* e is in no wheel, its deadline and slack are set. ns: when it is looked at. */
u64 wheel_add(struct wheel *w, struct wheel_entry *e);
/* e is in w. */
void wheel_remove(struct wheel *w, struct wheel_entry *e);
/* The next that has expired, taken out, or NULL: none that has, or no steps left. now: ns, never
 * less than the last time. Each entry that is handed out or moved is one of *steps, which are at
 * least one. Entries with the same slack come in the order of their keys. */
struct wheel_entry *wheel_expired(struct wheel *w, u64 now, unsigned *steps) __must_check;
/* ns: when wheel_expired is to be called; U64_MAX: never. What was removed or made later may make
 * it too early, never too late. */
u64 wheel_next(const struct wheel *w);
