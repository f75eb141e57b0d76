/* SPDX-License-Identifier: MIT
 *
 * Runs the self-tests: `ok NAME`, `FAIL NAME why`, and at the end `N passed, N failed`. They run
 * one after the other in the thread that asked, which is a plain kernel thread or a process's.
 */
#include "debug/debug_priv.h"

#include "lib/format.h"
#include "lib/string.h"

TABLE_DECLARE(struct selftest, selftests);

static char selftest_why[160]; /* "": the running test has not failed */
static u8 selftest_running;    /* a  one runner at a time */

void selftest_fail(const char *file, int line, const char *what)
{
    if (!selftest_why[0])
        snprintf(selftest_why, sizeof(selftest_why), "%s:%d: %s", file, line, what);
}

static bool selftest_one(const struct selftest *t, emit_fn emit)
{
    selftest_why[0] = '\0';
    log_info("selftest: %s", t->name); /* loglevel=2 shows which one does not end */
    t->run();
    if (selftest_why[0])
        emit("FAIL %s %s\n", t->name, selftest_why);
    else
        emit("ok %s\n", t->name);
    return !selftest_why[0];
}

/* Runs the self-tests whose name starts with prefix; prints each and the totals; the failures. */
static unsigned selftest_run(const char *prefix, bool timed, emit_fn emit)
{
    const struct selftest *t;
    unsigned passed = 0, failed = 0;

    if (__atomic_exchange_n(&selftest_running, 1, __ATOMIC_ACQUIRE)) {
        emit("selftest: already running\n");
        return 1;
    }
    TABLE_FOR_EACH(t, selftests)
    {
        if (t->timed != timed || !str_starts(t->name, prefix))
            continue;
        if (selftest_one(t, emit))
            passed++;
        else
            failed++;
    }
    __atomic_store_n(&selftest_running, 0, __ATOMIC_RELEASE);
    emit("%u passed, %u failed\n", passed, failed);
    return failed + (passed + failed == 0);
}

static int cmd_selftest(int argc, char **argv, emit_fn emit)
{
    bool timed = argc > 1 && strcmp(argv[1], "-t") == 0;

    return selftest_run(argc > 1 + timed ? argv[1 + timed] : "", timed, emit) ? 1 : 0;
}
CONSOLE_CMD(selftest)
= {"selftest", "[-t] [PREFIX]: run the kernel's self-tests; -t: those that measure time",
   cmd_selftest, false};
