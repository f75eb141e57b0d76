/* SPDX-License-Identifier: MIT
 *
 * The harness of unit tests on the host (runner.c): TEST(name) { ... } registers itself;
 * EXPECT(cond) fails the test it stands in and returns. A test's name states the promise it checks.
 */
#pragma once

#include <stdint.h>

typedef uint64_t u64;

struct unit_test {
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};

void unit_register(struct unit_test *test);
void unit_fail(const char *file, int line, const char *what);

#define TEST(id)                                                      \
    static void unit_test_##id(void);                                 \
    __attribute__((constructor)) static void unit_register_##id(void) \
    {                                                                 \
        static struct unit_test test = {#id, unit_test_##id, 0};      \
        unit_register(&test);                                         \
    }                                                                 \
    static void unit_test_##id(void)

#define EXPECT(cond)                              \
    do {                                          \
        if (!(cond)) {                            \
            unit_fail(__FILE__, __LINE__, #cond); \
            return;                               \
        }                                         \
    } while (0)

/* A reproducible stream of pseudo-random words (splitmix64). */
u64 unit_rand(u64 *state);

/* How many times the usual rounds a test on random input makes: 1, or UNIT_TIMES (make fuzz). */
u64 unit_times(void);
