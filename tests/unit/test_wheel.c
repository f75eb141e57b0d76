/* SPDX-License-Identifier: MIT
 *
 * The timing wheel against a list of the same timers: never early, late by no more than the slack,
 * and as dear with a million as with ten.
 */
#include "harness.h"
#include "lib/compiler.h"
#include "lib/string.h"
#include "sched/wheel.h"

#include <stdlib.h>

enum { MODEL = 300, ALL_STEPS = 1 << 30, TICK = 1 << WHEEL_TICK_SHIFT };

struct model {
    struct wheel wheel;
    struct wheel_entry entry[MODEL];
    u64 latest[MODEL]; /* when it must have been handed out; 0: in no wheel */
    u64 now, seed;
};

/* Distances of all orders: from nothing to years. */
static u64 wheel_some_time(u64 *seed)
{
    return unit_rand(seed) >> (8 + unit_rand(seed) % 56);
}

static u64 wheel_latest(const struct wheel_entry *e, u64 now)
{
    u64 late = e->deadline + MAX((u64)e->slack, (u64)TICK - 1);

    return MAX(late, now);
}

static void model_add(struct model *m, u32 i)
{
    struct wheel_entry *e = &m->entry[i];
    u64 at = m->now + wheel_some_time(&m->seed), key;

    if (unit_rand(&m->seed) % 8 == 0)
        at = unit_rand(&m->seed) % (m->now + 1); /* it has passed */
    e->deadline = at;
    e->slack = unit_rand(&m->seed) % 2 ? 0 : (u32)unit_rand(&m->seed) >> unit_rand(&m->seed) % 32;
    m->latest[i] = wheel_latest(e, m->now);
    key = wheel_add(&m->wheel, e);
    EXPECT(key <= m->latest[i] && (key >= e->deadline || e->deadline <= m->now));
}

static void model_change(struct model *m)
{
    u32 i = unit_rand(&m->seed) % MODEL;
    struct wheel_entry *e = &m->entry[i];

    EXPECT(wheel_has(e) == (m->latest[i] != 0));
    if (!wheel_has(e)) {
        model_add(m, i);
    } else if (unit_rand(&m->seed) % 2) {
        wheel_remove(&m->wheel, e);
        m->latest[i] = 0;
    } else {
        e->deadline += wheel_some_time(&m->seed) / 2;
        m->latest[i] = wheel_latest(e, m->now);
    }
}

static u64 model_first(const struct model *m)
{
    u64 first = U64_MAX;

    for (u32 i = 0; i < MODEL; i++)
        if (m->latest[i])
            first = MIN(first, m->latest[i]);
    return first;
}

/* Hands out what it will, with so many steps each time. */
static void model_run(struct model *m, unsigned steps_each)
{
    struct wheel_entry *e;
    unsigned steps;

    do {
        steps = steps_each;
        while (steps && (e = wheel_expired(&m->wheel, m->now, &steps)) != NULL) {
            EXPECT(e->deadline <= m->now && !wheel_has(e));
            EXPECT(m->latest[e - m->entry]);
            m->latest[e - m->entry] = 0;
        }
    } while (!steps);
    EXPECT(model_first(m) > m->now || model_first(m) == U64_MAX);
}

/* The clock goes to what the wheel names, or to somewhere before or after that. */
static void model_pass(struct model *m)
{
    u64 next = wheel_next(&m->wheel), to = m->now + wheel_some_time(&m->seed);

    EXPECT(next <= model_first(m));
    if (next != U64_MAX && unit_rand(&m->seed) % 4)
        to = MAX(next, m->now);
    if (to < 1ULL << 60)
        m->now = to;
}

static void model_try(u64 seed)
{
    static struct model m;

    memset(&m, 0, sizeof(m));
    m.seed = seed;
    m.now = wheel_some_time(&m.seed) >> 8;
    for (u32 round = 0; round < 200; round++) {
        u32 changes = unit_rand(&m.seed) % 20;

        for (u32 i = 0; i < changes; i++)
            model_change(&m);
        model_pass(&m);
        model_run(&m, 1 + (unsigned)unit_rand(&m.seed) % 100);
    }
}

TEST(wheel_hands_out_each_within_its_slack_and_none_early)
{
    for (u64 seed = 1; seed <= 1000 * unit_times(); seed++)
        model_try(seed);
}

/* What is far away, too, is handed out at its tick and needs no call before. */
TEST(wheel_calls_once_for_one_entry)
{
    static struct wheel w;
    u64 seed = 3, now = 1000;

    for (u32 i = 0; i < 100000; i++) {
        struct wheel_entry e = {.deadline = now + (wheel_some_time(&seed) >> 20)};
        u64 at = wheel_add(&w, &e);
        unsigned steps = 1;

        EXPECT(at == wheel_next(&w) && at >= MIN(e.deadline, now) && at < e.deadline + TICK);
        EXPECT(e.deadline <= now || !wheel_expired(&w, e.deadline - 1, &steps));
        EXPECT(wheel_expired(&w, at, &steps) == &e && wheel_next(&w) == U64_MAX);
        now = at;
    }
}

/* One call for all whose time is between the last deadline and the first latest time. */
TEST(wheel_calls_once_for_all_within_the_slack)
{
    enum { MANY = 64, SLACK = 50000 };
    static struct wheel w;
    struct wheel_entry e[MANY];
    u64 seed = 5, now = 0;

    for (u32 round = 0; round < 10000; round++) {
        unsigned steps = ALL_STEPS, calls = 0, got = 0;
        u64 start = now + wheel_some_time(&seed) / 1024;

        for (u32 i = 0; i < MANY; i++) {
            e[i].deadline = start + unit_rand(&seed) % (SLACK / 2);
            e[i].slack = SLACK;
            wheel_add(&w, &e[i]);
        }
        for (; wheel_next(&w) != U64_MAX; calls++) {
            now = MAX(now, wheel_next(&w));
            while (wheel_expired(&w, now, &steps))
                got++;
        }
        EXPECT(calls == 1 && got == MANY);
    }
}

TEST(wheel_keeps_the_order_of_deadlines)
{
    enum { MANY = 1000 };
    static struct wheel w;
    static struct wheel_entry e[MANY];
    unsigned steps = ALL_STEPS;
    u64 seed = 9, last = 0;

    for (u32 i = 0; i < MANY; i++) {
        e[i].deadline = unit_rand(&seed) % 1000000000;
        wheel_add(&w, &e[i]);
    }
    for (u32 i = 0; i < MANY; i++) {
        const struct wheel_entry *next = wheel_expired(&w, 1000000000, &steps);

        EXPECT(next && next->deadline / TICK + 1 >= last / TICK);
        last = next->deadline;
    }
}

/* Each entry is moved once per digit at most, and no call does more than its steps. */
TEST(wheel_of_a_million_expires_in_bounded_steps)
{
    enum { MILLION = 1000000, STEPS = 256 };
    struct wheel *w = calloc(1, sizeof(*w));
    struct wheel_entry *e = calloc(MILLION, sizeof(*e));
    u64 seed = 1, calls = 0, got = 0, now = 0;

    EXPECT(w && e);
    for (u32 i = 0; i < MILLION; i++) {
        e[i].deadline = 5000000000 + unit_rand(&seed) % 1000000000;
        wheel_add(w, &e[i]);
    }
    while (wheel_next(w) != U64_MAX) {
        unsigned steps = STEPS;

        now = MAX(now, wheel_next(w) + 10000000);
        while (steps && wheel_expired(w, now, &steps))
            got++;
        calls += steps == 0;
    }
    EXPECT(got == MILLION && calls * STEPS < 9ULL * MILLION);
    free(e);
    free(w);
}

/* One that is late when it is added comes behind what was due before it. */
TEST(wheel_starves_nothing_by_what_is_added_late)
{
    static struct wheel w;
    struct wheel_entry victim = {.deadline = 2000}, noise[2] = {0};
    unsigned steps = ALL_STEPS;

    wheel_add(&w, &victim);
    noise[0].deadline = noise[1].deadline = 1;
    EXPECT(!wheel_expired(&w, 1900, &steps));
    wheel_add(&w, &noise[0]);
    EXPECT(wheel_expired(&w, 3000, &steps) == &noise[0]);
    wheel_add(&w, &noise[1]);
    EXPECT(wheel_expired(&w, 3000, &steps) == &victim);
    EXPECT(wheel_expired(&w, 3000, &steps) == &noise[1]);
}

/* However often it was made later, it is looked at once where it was. */
TEST(wheel_looks_once_at_what_was_made_later)
{
    static struct wheel w;
    struct wheel_entry e = {.deadline = 1000};
    unsigned steps = 1000;

    wheel_add(&w, &e);
    for (u32 i = 0; i < 1000000; i++)
        e.deadline += 1000;
    EXPECT(wheel_next(&w) < 1000 + TICK);
    EXPECT(!wheel_expired(&w, 1010, &steps) && steps == 999);
    EXPECT(wheel_next(&w) >= e.deadline && wheel_next(&w) < e.deadline + TICK);
    EXPECT(wheel_expired(&w, e.deadline + TICK, &steps) == &e);
}
