// SPDX-License-Identifier: MIT
// TEST(promise) { ... EXPECT(condition); ... }, as in tests/unit, for programs of the C library.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;

struct unit_test {
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};

void unit_register(struct unit_test *test);
void unit_fail(const char *file, int line, const char *what);
u64 unit_rand(u64 *state); /* splitmix64 */

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
