/* SPDX-License-Identifier: MIT
 *
 * The shifts of a time namespace: parsed, checked, and fixed with the first process.
 *
 * Locks: time_ns_lock, a leaf, over every namespace's shifts until they are fixed.
 */
#include "proc/time_ns.h"

#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/timer.h"
#include "sync/spinlock.h"

#define SECONDS_MAX ((s64)(S64_MAX / NSEC_PER_SEC / 2)) /* about 146 years */

static struct spinlock time_ns_lock = SPINLOCK_INIT(RANK_PROC, 4, "time_ns");

void time_ns_enter(struct time_ns *ns)
{
    spin_lock(&time_ns_lock);
    ns->entered = true;
    spin_unlock(&time_ns_lock);
}

static bool time_ns_shift_ok(s64 shift)
{
    s64 now = (s64)time_ns() + shift;

    return now >= 0 && now / (s64)NSEC_PER_SEC <= SECONDS_MAX;
}

/* -EACCES: a process is in it; -ERANGE: a clock would be below 0 or beyond what is told. */
static int time_ns_shift(struct time_ns *ns, s64 monotonic, s64 boottime)
{
    int err = 0;

    if (!time_ns_shift_ok(monotonic) || !time_ns_shift_ok(boottime))
        return -ERANGE;
    spin_lock(&time_ns_lock);
    if (ns->entered) {
        err = -EACCES;
    } else {
        ns->monotonic = monotonic;
        ns->boottime = boottime;
    }
    spin_unlock(&time_ns_lock);
    return err;
}

static const char *time_ns_skip(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* A number with an optional sign, at most SECONDS_MAX; -EINVAL, -ERANGE. */
static int time_ns_number(const char **text, s64 *out)
{
    const char *s = time_ns_skip(*text);
    bool negative = *s == '-';
    u64 n;
    int err = parse_u64_prefix(s + negative, 10, &n, text);

    if (err)
        return err;
    if (n > (u64)SECONDS_MAX)
        return -ERANGE;
    *out = negative ? -(s64)n : (s64)n;
    return 0;
}

/* The clock's name or number at *text; which of the two shifts it is, or NULL. */
static s64 *time_ns_clock(const char **text, s64 *monotonic, s64 *boottime)
{
    static const struct {
        const char *word;
        bool boot;
    } clocks[] = {{"monotonic ", false}, {"boottime ", true}, {"1 ", false}, {"7 ", true}};
    const char *s = time_ns_skip(*text);

    for (unsigned i = 0; i < ARRAY_SIZE(clocks); i++) {
        if (!str_starts(s, clocks[i].word))
            continue;
        *text = s + strlen(clocks[i].word);
        return clocks[i].boot ? boottime : monotonic;
    }
    return NULL;
}

static int time_ns_line(const char **text, s64 *monotonic, s64 *boottime)
{
    s64 *shift = time_ns_clock(text, monotonic, boottime), sec, nsec;
    int err;

    if (!shift)
        return -EINVAL;
    err = time_ns_number(text, &sec);
    if (!err)
        err = time_ns_number(text, &nsec);
    if (err)
        return err;
    *text = time_ns_skip(*text);
    if (nsec < 0 || nsec >= (s64)NSEC_PER_SEC || (**text && **text != '\n'))
        return -EINVAL;
    *text += **text == '\n';
    *shift = sec * (s64)NSEC_PER_SEC + nsec;
    return 0;
}

int time_ns_write(struct time_ns *ns, const char *text)
{
    s64 monotonic = READ_ONCE(ns->monotonic), boottime = READ_ONCE(ns->boottime);

    do {
        int err = time_ns_line(&text, &monotonic, &boottime);
        if (err)
            return err;
    } while (*text);
    return time_ns_shift(ns, monotonic, boottime);
}
