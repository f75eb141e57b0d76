/* SPDX-License-Identifier: MIT
 *
 * sim runs FROM N | one SEED | lies FROM N | soak FROM N [JOBS] | scripts [PATTERN] | suite
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* Seeds that have found something. */
static const u64 kept_runs[] = {
    501261, /* a clamp below one segment kept the window closed */
};
static const u64 kept_lies[] = {1};

static u32 main_many(bool (*one)(u64), u64 from, u64 n)
{
    u32 failed = 0;

    for (u64 seed = from; seed < from + n && failed < 20; seed++)
        failed += !one(seed);
    return failed;
}

static bool main_run(u64 seed)
{
    return sim_run(seed, false);
}

static u32 main_say(const char *name, u32 failed)
{
    printf("%s %s\n", failed ? "FAIL" : "ok", name);
    return failed != 0;
}

static u32 main_kept(bool (*one)(u64), const u64 *seeds, u32 n)
{
    u32 failed = 0;

    for (u32 i = 0; i < n; i++)
        failed += !one(seeds[i]);
    return failed;
}

static int main_suite(u64 runs)
{
    u32 passed = 0, failed = sim_scripts("tests/sim/scripts", NULL, &passed);

    failed += sim_bulk(NULL, &passed, false);
    failed += main_say("what_a_seed_has_found_stays_right",
                       main_kept(main_run, kept_runs, ARRAY_SIZE(kept_runs)) +
                           main_kept(sim_lie, kept_lies, ARRAY_SIZE(kept_lies)));
    failed +=
        main_say("bytes_arrive_over_any_wire_and_both_ends_end", main_many(main_run, 1, runs));
    failed += main_say("a_peer_that_lies_does_no_harm", main_many(sim_lie, 1, runs / 2));
    failed += main_say("what_waits_out_of_order_is_bounded_in_number", !sim_hoard());
    printf("%u passed, %u failed\n", passed + 4 - MIN(failed, 4U), failed);
    return failed != 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "suite";
    u64 from = argc > 2 ? strtoull(argv[2], NULL, 0) : 1,
        n = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    u32 passed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "one"))
        return !sim_run(from, true);
    if (!strcmp(what, "runs"))
        return main_many(main_run, from, n) != 0;
    if (!strcmp(what, "lies"))
        return main_many(sim_lie, from, n) != 0;
    if (!strcmp(what, "soak"))
        return sim_soak(from, n, argc > 4 ? (u32)strtoul(argv[4], NULL, 0) : 0);
    if (!strcmp(what, "bulk"))
        return sim_bulk(argc > 2 ? argv[2] : NULL, &passed, argc > 3) != 0;
    if (!strcmp(what, "scripts"))
        return sim_scripts("tests/sim/scripts", argc > 2 ? argv[2] : NULL, &passed) != 0;
    return main_suite(argc > 2 ? from : 10000);
}
