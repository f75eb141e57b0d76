// SPDX-License-Identifier: MIT
// The frame of the engine's unit tests: see harness.h.
#include <stdio.h>
#include <string.h>

#include "harness.h"

static struct unit_test *tests, **tests_end = &tests;
static int test_failed;

void unit_register(struct unit_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

void unit_fail(const char *file, int line, const char *what)
{
    test_failed = 1;
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

u64 unit_rand(u64 *state)
{
    u64 z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (struct unit_test *t = tests; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        test_failed = 0;
        t->run();
        printf("%s %s\n", test_failed ? "FAIL" : "ok", t->name);
        failed += test_failed;
    }
    return failed ? 1 : 0;
}
