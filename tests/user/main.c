// SPDX-License-Identifier: MIT
// user [PATTERN]: runs the tests whose name contains it.
#include "harness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct user_test *tests, **tests_tail = &tests;
static bool failed;

void user_register(struct user_test *test)
{
    *tests_tail = test;
    tests_tail = &test->next;
}

void user_fail(const char *file, int line, const char *what)
{
    printf("%s:%d: %s\n", file, line, what);
    failed = true;
}

uint64_t user_rand(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

unsigned user_times(void)
{
    const char *times = getenv("UNIT_TIMES");
    int n = times ? atoi(times) : 1;

    return n > 0 ? (unsigned)n : 1;
}

int main(int argc, char **argv)
{
    int passed = 0, bad = 0;

    for (struct user_test *t = tests; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        failed = false;
        t->run();
        printf("%s %s\n", failed ? "FAIL" : "ok", t->name);
        fflush(stdout);
        passed += !failed;
        bad += failed;
    }
    printf("%d passed, %d failed\n", passed, bad);
    return bad ? 1 : 0;
}
