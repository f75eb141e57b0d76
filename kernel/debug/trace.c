/* SPDX-License-Identifier: MIT
 *
 * Trace points. A trace event is a number, a time, its thread and three words in one ring shared by
 * all CPUs: events keep their order, for one atomic add of the hundred instructions that an event
 * takes; the ring is read without stopping it, so a record may be torn while it is being
 * overwritten.
 *
 * A point that is off is not there: a traced function is called as if nothing were. Where its calls
 * stand in the code the linker knows (tools/symbols); while a point of it is on, each of them leads
 * to its twin instead, which differs in the four bytes of the distance.
 */
#include "debug/debug_priv.h"

#include "arch/x86/percpu.h"
#include "arch/x86/time.h"
#include "debug/up.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define TRACE_SLOTS 1536

struct trace_slot {
    const struct trace_point *tp;
    u64 ns;
    u64 arg[3];
    u32 cpu;
    char thread[16];
};
static struct trace_slot trace_ring[TRACE_SLOTS];
static u64 trace_next;  /* a */
static u64 trace_shown; /* a  where `trace show` begins */

TABLE_DECLARE(struct trace_point, traces);

/* Of the distances in calls of traced functions, from the start of the text, and of the functions;
 * made by tools/symbols out of the first link. */
struct trace_site {
    u32 place, fn;
};
extern const u32 trace_sites_count[] __weak;
extern const struct trace_site trace_sites[] __weak;
extern u8 __text_start[], __text_end[];

static u8 trace_changing; /* a  one at a time turns points on and off */

void trace_record(const struct trace_point *tp, u64 a, u64 b, u64 c)
{
    u64 n = __atomic_fetch_add(&trace_next, 1, __ATOMIC_RELAXED);
    struct trace_slot *slot = &trace_ring[n % TRACE_SLOTS];

    slot->ns = time_ns();
    slot->arg[0] = a;
    slot->arg[1] = b;
    slot->arg[2] = c;
    slot->cpu = cpu_id();
    strlcpy(slot->thread, up_thread_name(), sizeof(slot->thread));
    store_release(&slot->tp, tp);
}

/* By its name, or by its kind, which the name begins with: `vm` is all of vm_*. */
static bool trace_is_named(const struct trace_point *tp, const char *name)
{
    size_t n = strlen(name);

    if (strcmp(name, "all") == 0 || strcmp(name, tp->name) == 0)
        return true;
    return strncmp(name, tp->name, n) == 0 && tp->name[n] == '_';
}

static void trace_show_slot(const struct trace_slot *slot, const struct trace_point *tp,
                            emit_fn emit)
{
    emit("%5lu.%09lu cpu%u %-15s %s ", slot->ns / 1000000000, slot->ns % 1000000000, slot->cpu,
         slot->thread, tp->name);
    emit(tp->fmt, slot->arg[0], slot->arg[1], slot->arg[2]);
    emit("\n");
}

static void trace_show(const char *name, emit_fn emit)
{
    u64 end = __atomic_load_n(&trace_next, __ATOMIC_RELAXED);
    u64 n = MAX(end > TRACE_SLOTS ? end - TRACE_SLOTS : 0, READ_ONCE(trace_shown));

    for (; n < end; n++) {
        const struct trace_slot *slot = &trace_ring[n % TRACE_SLOTS];
        const struct trace_point *tp = load_acquire(&slot->tp);

        if (tp && trace_is_named(tp, name))
            trace_show_slot(slot, tp, emit);
    }
}

static u32 trace_offset(void (*fn)(void))
{
    return (u32)((u64)fn - (u64)__text_start);
}

/* Where calls of tp's function are to lead: to its twin while any of its points is on. */
static void (*trace_target(const struct trace_point *tp))(void)
{
    const struct trace_point *other;

    TABLE_FOR_EACH(other, traces)
    {
        if (other->fn == tp->fn && READ_ONCE(*other->on))
            return tp->twin;
    }
    return tp->fn;
}

static const struct trace_point *trace_of(u32 fn)
{
    const struct trace_point *tp;

    TABLE_FOR_EACH(tp, traces)
    {
        if (trace_offset(tp->fn) == fn)
            return tp;
    }
    return NULL;
}

/* Every call of every traced function. Interrupts off; alias: the text, to be written. */
static void trace_lead(void *arg, u8 *alias)
{
    ASSERT_IRQS_OFF();
    for (u32 i = 0; i < *trace_sites_count; i++) {
        const struct trace_point *tp = trace_of(trace_sites[i].fn);
        u32 place = trace_sites[i].place, distance;

        if (!tp) /* a function with a twin and no point */
            continue;
        distance = trace_offset(trace_target(tp)) - (place + (u32)sizeof(distance));
        memcpy(alias + place, &distance, sizeof(distance));
    }
}

static int trace_apply(void)
{
    if (!trace_sites_count)
        return -1;
    return up_code_change(__text_start, (size_t)(__text_end - __text_start), trace_lead, NULL);
}

static int trace_switch(const char *name, bool on, emit_fn emit)
{
    const struct trace_point *tp;
    unsigned hits = 0;
    int err;

    if (debug_panicking() || __atomic_exchange_n(&trace_changing, 1, __ATOMIC_ACQUIRE)) {
        emit("trace: not now\n");
        return 1;
    }
    TABLE_FOR_EACH(tp, traces)
    {
        if (!trace_is_named(tp, name))
            continue;
        WRITE_ONCE(*tp->on, on);
        hits++;
    }
    err = hits ? trace_apply() : 0;
    store_release(&trace_changing, 0);
    if (hits == 0)
        emit("trace: no point %s\n", name);
    if (err)
        emit("trace: the code stays as it is\n");
    return hits == 0 || err;
}

static int cmd_trace(int argc, char **argv, emit_fn emit)
{
    const struct trace_point *tp;

    if ((argc == 2 || argc == 3) && strcmp(argv[1], "show") == 0) {
        trace_show(argc == 3 ? argv[2] : "all", emit);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "clear") == 0) {
        WRITE_ONCE(trace_shown, __atomic_load_n(&trace_next, __ATOMIC_RELAXED));
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
= {"trace", "[show [NAME] | on NAME | off NAME | clear]: trace points, by name, kind or `all`",
   cmd_trace, true};
