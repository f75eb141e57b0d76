// SPDX-License-Identifier: MIT
// Host tests of userland's pure parts, under ASan and UBSan: TEST(promise) { ... EXPECT(what); }.
#pragma once

#include <stdint.h>

struct user_test {
    const char *name;
    void (*run)(void);
    struct user_test *next;
};

void user_register(struct user_test *test);
void user_fail(const char *file, int line, const char *what);
uint64_t user_rand(uint64_t *state); /* reproducible */
unsigned user_times(void);           /* 1, or UNIT_TIMES: how often random tests go round */

#define TEST(id)                                                      \
    static void user_test_##id(void);                                 \
    __attribute__((constructor)) static void user_register_##id(void) \
    {                                                                 \
        static struct user_test test = {#id, user_test_##id, 0};      \
        user_register(&test);                                         \
    }                                                                 \
    static void user_test_##id(void)

#define EXPECT(cond)                              \
    do {                                          \
        if (!(cond)) {                            \
            user_fail(__FILE__, __LINE__, #cond); \
            return;                               \
        }                                         \
    } while (0)
