/* SPDX-License-Identifier: MIT
 *
 * Trace points and fail points. A trace event is a number, a time and three words in one ring
 * shared by all CPUs: events cost one atomic add and keep their order; the ring is read without
 * stopping it, so a record may be torn while it is being overwritten.
 */
#include "debug/debug_priv.h"

#include "arch/x86/bootinfo.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "debug/up.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define TRACE_SLOTS 2048

struct trace_slot {
    const struct trace_point *tp;
    u64 ns;
    u64 arg[3];
    u32 cpu;
};
static struct trace_slot trace_ring[TRACE_SLOTS];
static u64 trace_next; /* a */

TABLE_DECLARE(struct trace_point, traces);
TABLE_DECLARE(struct fail_point, failpoints);

void trace_record(const struct trace_point *tp, u64 a, u64 b, u64 c)
{
    u64 n = __atomic_fetch_add(&trace_next, 1, __ATOMIC_RELAXED);
    struct trace_slot *slot = &trace_ring[n % TRACE_SLOTS];

    slot->ns = time_ns();
    slot->arg[0] = a;
    slot->arg[1] = b;
    slot->arg[2] = c;
    slot->cpu = cpu_id();
    store_release(&slot->tp, tp);
}

static void trace_show(emit_fn emit)
{
    u64 end = __atomic_load_n(&trace_next, __ATOMIC_RELAXED);
    u64 n = end > TRACE_SLOTS ? end - TRACE_SLOTS : 0;

    for (; n < end; n++) {
        const struct trace_slot *slot = &trace_ring[n % TRACE_SLOTS];
        const struct trace_point *tp = load_acquire(&slot->tp);

        if (!tp)
            continue;
        emit("%5lu.%06lu cpu%u %s ", slot->ns / 1000000000, slot->ns / 1000 % 1000000, slot->cpu,
             tp->name);
        emit(tp->fmt, slot->arg[0], slot->arg[1], slot->arg[2]);
        emit("\n");
    }
}

static int trace_switch(const char *name, bool on, emit_fn emit)
{
    const struct trace_point *tp;
    unsigned hits = 0;

    TABLE_FOR_EACH(tp, traces)
    {
        if (strcmp(name, "all") != 0 && strcmp(name, tp->name) != 0)
            continue;
        WRITE_ONCE(*tp->on, on);
        hits++;
    }
    if (hits == 0)
        emit("trace: no point %s\n", name);
    return hits == 0;
}

static int cmd_trace(int argc, char **argv, emit_fn emit)
{
    const struct trace_point *tp;

    if (argc == 2 && strcmp(argv[1], "show") == 0) {
        trace_show(emit);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "on") == 0)
        return trace_switch(argv[2], true, emit);
    if (argc == 3 && strcmp(argv[1], "off") == 0)
        return trace_switch(argv[2], false, emit);
    TABLE_FOR_EACH(tp, traces)
    emit("%-24s %s\n", tp->name, *tp->on ? "on" : "off");
    return 0;
}
CONSOLE_CMD(trace)
= {"trace", "[show | on NAME | off NAME]: trace points", cmd_trace, true};

static u64 fail_delay = 500000; /* a  ns that a delay point takes */

static u64 fail_seen;      /* a  hits of armed fail points, of all together */
static bool fail_once;     /* a  one hit of them all fails, and no more */
static char fail_only[16]; /* threads of this name alone; "": all */

/* True for each every-th time, or for that one. */
bool fail_point_hit(const char *name, u32 every)
{
    u64 n;

    if (fail_only[0] && strcmp(fail_only, up_thread_name()) != 0)
        return false;
    n = __atomic_add_fetch(&fail_seen, 1, __ATOMIC_RELAXED);
    if (READ_ONCE(fail_once) ? n != every : n % every != 0)
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

bool fail_point_arm(const char *name, u32 every)
{
    const struct fail_point *fp;

    TABLE_FOR_EACH(fp, failpoints)
    {
        if (strcmp(fp->name, name) == 0) {
            WRITE_ONCE(*fp->every, every);
            return true;
        }
    }
    return false;
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

/* What is armed beside it keeps its threads. */
static void fail_set_how(bool once, const char *only)
{
    strlcpy(fail_only, only, sizeof(fail_only));
    WRITE_ONCE(fail_once, once);
    if (once)
        WRITE_ONCE(fail_seen, 0);
}

static int cmd_fail(int argc, char **argv, emit_fn emit)
{
    const struct fail_point *fp;
    bool only = argc == 6 && strcmp(argv[4], "of") == 0, arms = argc == 4 || only;
    bool once = arms && strcmp(argv[2], "once") == 0;
    u64 n = 0;

    if (arms && (once || strcmp(argv[2], "every") == 0) && parse_u64(argv[3], 10, &n) == 0) {
        if (n)
            fail_set_how(once, only ? argv[5] : "");
        if (fail_point_arm(argv[1], (u32)n))
            return 0;
        emit("fail: no point %s\n", argv[1]);
        return 1;
    }
    if (argc == 2 && strcmp(argv[1], "hits") == 0) {
        emit("%lu\n", READ_ONCE(fail_seen));
        return 0;
    }
    TABLE_FOR_EACH(fp, failpoints)
    emit("%-24s every %u\n", fp->name, *fp->every);
    return 0;
}
CONSOLE_CMD(fail)
= {"fail", "[hits | NAME every|once N [of THREAD]]: fail points of the debug build; 0 disarms",
   cmd_fail, false};
