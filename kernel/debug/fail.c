/* SPDX-License-Identifier: MIT
 *
 * Fail points and delay points of the debug build. A fail point stands at an edge where the kernel
 * asks for memory, for a number, for a charge or for input and output, and can be refused.
 *
 * Armed `every N`, each N-th hit fails; `once N`: the N-th from now on. Armed `next DEPTH`, the
 * first hit fails at a place that has not failed yet: a place is a point and up to DEPTH callers
 * above it. So a test that arms again and again, and does the same each time, fails each place in
 * turn until none is left; `places` tells how many have failed, and where the last one is.
 *
 * `of A,B` and `but A,B` choose the threads by name. What is armed at a time shares how.
 */
#include "arch/x86/bootinfo.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "debug/debug_priv.h"
#include "debug/up.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/hash.h"
#include "lib/string.h"

#ifdef DEBUG
#define PLACES 16384 /* a power of two; no more than three quarters are used */
#else
#define PLACES 4 /* there are no points */
#endif
#define DEPTH_MAX 16

enum fail_how { FAIL_EVERY, FAIL_ONCE, FAIL_NEXT };

static u64 fail_delay = 500000; /* a  ns that a delay point takes */

static enum fail_how fail_how; /* a */
static u64 fail_seen;          /* a  hits of armed fail points, of all together */
static char fail_threads[64];  /* names with commas between; "": all threads */
static bool fail_but;          /* all but those */

static u32 fail_depth;          /* a  of `next` */
static s32 fail_left;           /* a  1: the next new place fails */
static u64 fail_places[PLACES]; /* a  hashes of what has failed; 0: none */
static u32 fail_places_count;   /* a */
static struct {
    const char *name;
    u32 depth;
    u64 callers[DEPTH_MAX];
} fail_last; /* of the hit that took fail_left */

TABLE_DECLARE(struct fail_point, failpoints);

static bool fail_names(const char *thread)
{
    size_t len = strlen(thread);
    const char *at = fail_threads;

    while (strncmp(at, thread, len) != 0 || (at[len] && at[len] != ',')) {
        at = strchr(at, ',');
        if (!at)
            return false;
        at++;
    }
    return true;
}

/* Where the place is in the table, or the free slot for it; NULL: the table is full. */
static u64 *fail_slot(u64 hash)
{
    for (u32 i = 0; i < PLACES; i++) {
        u64 *slot = &fail_places[(hash + i) % PLACES];
        u64 now = READ_ONCE(*slot);

        if (now == hash || (!now && READ_ONCE(fail_places_count) < PLACES / 4 * 3))
            return slot;
        if (!now)
            return NULL;
    }
    return NULL;
}

/* Two processors that come to the same new place: one of them takes fail_left. */
static bool fail_is_next(const char *name, u64 rbp)
{
    u64 callers[DEPTH_MAX], hash = (u64)name;
    u32 n = backtrace_callers(rbp, callers, READ_ONCE(fail_depth));
    s32 left = 1;
    u64 *slot;

    for (u32 i = 0; i < n; i++)
        hash = hash_u64(hash ^ callers[i]);
    hash |= 1;
    slot = READ_ONCE(fail_left) ? fail_slot(hash) : NULL;
    if (!slot || *slot ||
        !__atomic_compare_exchange_n(&fail_left, &left, 0, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    WRITE_ONCE(*slot, hash);
    fail_places_count++;
    fail_last.name = name;
    fail_last.depth = n;
    memcpy(fail_last.callers, callers, n * sizeof(callers[0]));
    return true;
}

/* True for each every-th time, for that one, or for the next place. */
bool fail_point_hit(const char *name, u32 every)
{
    enum fail_how how = READ_ONCE(fail_how);
    u64 n;

    if (fail_threads[0] && fail_names(up_thread_name()) == fail_but)
        return false;
    n = __atomic_add_fetch(&fail_seen, 1, __ATOMIC_RELAXED);
    if (how == FAIL_EVERY  ? n % every != 0
        : how == FAIL_ONCE ? n != every
                           : !fail_is_next(name, (u64)__builtin_frame_address(0)))
        return false;
    log_debug("fail point %s", name);
    return true;
}

void fail_point_delay(void)
{
    u64 end = time_ns() + READ_ONCE(fail_delay);

    while (time_ns() < end)
        cpu_relax();
}

static int cmd_delay(int argc, char **argv, emit_fn emit)
{
    u64 us;

    if (argc == 2 && !parse_u64(argv[1], 10, &us) && us <= 100000) {
        WRITE_ONCE(fail_delay, us * 1000);
        return 0;
    }
    emit("%lu\n", fail_delay / 1000);
    return argc != 1;
}
CONSOLE_CMD(delay)
= {"delay", "[MICROSECONDS]: how long a delay point keeps its processor", cmd_delay, false};

/* "all": but for those that are armed by their own name only. */
bool fail_point_arm(const char *name, u32 every)
{
    bool all = strcmp(name, "all") == 0, found = false;
    const struct fail_point *fp;

    TABLE_FOR_EACH(fp, failpoints)
    {
        if (all ? fp->apart : strcmp(fp->name, name) != 0)
            continue;
        WRITE_ONCE(*fp->every, every);
        found = true;
    }
    return found;
}

/* `fail=NAME` on the kernel's command line: armed before there is a console. */
static void fail_boot(void)
{
    char name[32];
    size_t len;
    const char *value = boot_option("fail", &len);

    if (!value || len >= sizeof(name))
        return;
    memcpy(name, value, len);
    name[len] = '\0';
    if (!fail_point_arm(name, 1))
        log_warn("fail: no point %s", name);
}
INIT_HOOK(fail_boot, INIT_LATE);

static bool fail_parse_how(const char *word, enum fail_how *how)
{
    static const char *const words[] = {"every", "once", "next"};

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        *how = (enum fail_how)i;
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

/* NAME HOW N [of|but THREADS]. Disarming leaves how and threads to what is armed still. */
static int fail_arm(int argc, char **argv, emit_fn emit)
{
    enum fail_how how;
    u64 n;

    if (!fail_parse_how(argv[2], &how) || parse_u64(argv[3], 10, &n) || n > U32_MAX)
        return 1;
    if (n) {
        strlcpy(fail_threads, argc == 6 ? argv[5] : "", sizeof(fail_threads));
        fail_but = argc == 6 && strcmp(argv[4], "but") == 0;
        WRITE_ONCE(fail_how, how);
        WRITE_ONCE(fail_depth, (u32)MIN(n, DEPTH_MAX));
        store_release(&fail_left, how == FAIL_NEXT);
    }
    if (n && how != FAIL_EVERY)
        WRITE_ONCE(fail_seen, 0);
    if (fail_point_arm(argv[1], (u32)n))
        return 0;
    emit("fail: no point %s\n", argv[1]);
    return 1;
}

/* How many places have failed, and if one has since it was armed: which. */
static void fail_show_places(emit_fn emit)
{
    emit("%u\n", READ_ONCE(fail_places_count));
    if (READ_ONCE(fail_how) != FAIL_NEXT || load_acquire(&fail_left))
        return;
    emit("%s", fail_last.name);
    for (u32 i = 0; i < fail_last.depth; i++) {
        u64 offset;
        const char *name = symbol_find(fail_last.callers[i] - 1, &offset);

        emit(" %s", name ? name : "?");
    }
    emit("\n");
}

static void fail_forget(void)
{
    memset(fail_places, 0, sizeof(fail_places));
    WRITE_ONCE(fail_places_count, 0);
}

static void fail_list(emit_fn emit)
{
    const struct fail_point *fp;

    TABLE_FOR_EACH(fp, failpoints)
    {
        emit("%-24s every %u\n", fp->name, *fp->every);
    }
}

static int cmd_fail(int argc, char **argv, emit_fn emit)
{
    if (argc == 4 || (argc == 6 && (strcmp(argv[4], "of") == 0 || strcmp(argv[4], "but") == 0)))
        return fail_arm(argc, argv, emit);
    if (argc == 2 && strcmp(argv[1], "hits") == 0)
        emit("%lu\n", READ_ONCE(fail_seen));
    else if (argc == 2 && strcmp(argv[1], "places") == 0)
        fail_show_places(emit);
    else if (argc == 2 && strcmp(argv[1], "forget") == 0)
        fail_forget();
    else if (argc != 1)
        return 1;
    else
        fail_list(emit);
    return 0;
}
CONSOLE_CMD(fail)
= {"fail",
   "[hits | places | forget | NAME|all every|once|next N [of|but THREAD,...]]: fail points of the "
   "debug build; 0 disarms",
   cmd_fail, false};
