/* SPDX-License-Identifier: MIT
 *
 * Runs the unit tests that are linked with it. Usage: PROGRAM [PATTERN]: only tests whose name
 * contains it. For the kernel's pure parts, userland's and the engine's alike.
 */
#include "harness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct unit_test *runner_tests, **runner_tail = &runner_tests;
static bool runner_failed;

void unit_register(struct unit_test *test)
{
    *runner_tail = test;
    runner_tail = &test->next;
}

void unit_fail(const char *file, int line, const char *what)
{
    printf("%s:%d: %s\n", file, line, what);
    runner_failed = true;
}

u64 unit_rand(u64 *state)
{
    u64 z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

u64 unit_times(void)
{
    const char *times = getenv("UNIT_TIMES");
    int n = times ? atoi(times) : 1;

    return n > 0 ? (u64)n : 1;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct unit_test *t = runner_tests; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        runner_failed = false;
        t->run();
        printf("%s %s\n", runner_failed ? "FAIL" : "ok", t->name);
        if (runner_failed)
            failed++;
        else
            passed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
