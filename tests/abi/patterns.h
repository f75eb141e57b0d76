/* SPDX-License-Identifier: MIT
 *
 * Words that tell their owner, generation and place, and random numbers that a seed repeats.
 */
#pragma once

#include "place.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define WORDS(bytes) ((bytes) / 8)

static uint64_t seed = 1;
static double end_time;

static uint64_t random_u64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static inline size_t random_below(size_t n)
{
    return (size_t)(random_u64() % n);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline bool more(void)
{
    return now() < end_time;
}

/* The word at byte `at` (a multiple of 8) of generation `gen`. */
static uint64_t word(uint64_t gen, uint64_t at)
{
    return (gen * 0x9e3779b97f4a7c15) ^ (at * 0xc2b2ae3d27d4eb4f) ^ gen << 48;
}

static inline void fill(void *p, size_t n, uint64_t gen, uint64_t at)
{
    uint64_t *w = p;

    for (size_t i = 0; i < WORDS(n); i++)
        w[i] = word(gen, at + i * 8);
}

/* Says once what differs, with what is around it. */
static void differs(const char *what, const uint64_t *w, size_t i, size_t n, uint64_t want)
{
    printf("DIFFERS %s: pid %d word %zu of %zu at %p: is %016lx, should be %016lx; then", what,
           getpid(), i, n, (const void *)&w[i], w[i], want);
    for (size_t k = i + 1; k < n && k < i + 8; k++)
        printf(" %016lx", w[k]);
    printf("; now %016lx\n", *(volatile const uint64_t *)&w[i]);
    fflush(stdout);
}

static inline bool same(const char *what, const void *p, size_t n, uint64_t gen, uint64_t at)
{
    const uint64_t *w = p;

    for (size_t i = 0; i < WORDS(n); i++) {
        if (w[i] == word(gen, at + i * 8))
            continue;
        differs(what, w, i, WORDS(n), word(gen, at + i * 8));
        return false;
    }
    return true;
}

static inline bool zero(const char *what, const void *p, size_t n)
{
    const uint64_t *w = p;

    for (size_t i = 0; i < WORDS(n); i++) {
        if (!w[i])
            continue;
        differs(what, w, i, WORDS(n), 0);
        return false;
    }
    return true;
}

#define SAME(p, n, gen, at) EXPECT(same(__func__, p, n, gen, at))
#define ZERO(p, n) EXPECT(zero(__func__, p, n))

static inline void *map(size_t n, int flags, int fd)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, fd, 0);

    EXPECT(p != MAP_FAILED);
    return p;
}

static inline void *map_anonymous(size_t n)
{
    return map(n, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}
