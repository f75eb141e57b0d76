/* SPDX-License-Identifier: MIT
 *
 * The watch (lib/watch.h): per CPU the beginnings of the stretch and of the time with interrupts
 * off. Each place is reported once, and again when it takes half as long again; a place is its
 * backtrace. A stretch is also looked at where interrupts come back on, so that the report comes
 * while the culprit is still on the stack.
 *
 * A report restarts both clocks: writing it takes time of its own.
 */
#include "lib/watch.h"

#ifdef WATCH
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "debug/debug.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sync/percpu.h"

#define PLACE_FRAMES 8
#define PLACES 128

/* All of it is this CPU's alone, and changes with interrupts off or not at all. */
struct watch_cpu {
    u64 since;     /* of the stretch; 0: none */
    u64 off_since; /* 0: interrupts are on, or not watched */
    u64 handler;   /* an interrupt of the stretch began here; 0: none */
    u64 call;      /* the system call that the stretch began with, and 1; 0: another beginning */
    u32 quiet;     /* inside a report */
};
static DEFINE_PER_CPU(struct watch_cpu, watch_cpus);

static struct watch_place {
    u64 key; /* a  0: free */
    u64 max; /* a  cycles */
} watch_places[PLACES];
static u64 watch_stretch, watch_off; /* cycles allowed; 0: not begun */

static void watch_emit(const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vscnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    while (n > 0 && line[n - 1] == '\n')
        line[--n] = '\0';
    log_err("watch:%s", line);
}

static u64 watch_key(const struct watch_cpu *w)
{
    const u64 *frame = __builtin_frame_address(0);
    u64 key = 0xcbf29ce484222325UL + w->call;

    for (unsigned i = 0; i < PLACE_FRAMES && (u64)frame >> 47; i++) {
        key = (key ^ frame[1]) * 0x100000001b3UL;
        if ((const u64 *)frame[0] <= frame || frame[0] - (u64)frame > FRAME_SPAN)
            break;
        frame = (const u64 *)frame[0];
    }
    return key | 1;
}

/* True: this is news. */
static bool watch_note(const struct watch_cpu *w, u64 cycles)
{
    u64 key = watch_key(w);

    for (unsigned i = 0; i < PLACES; i++) {
        struct watch_place *p = &watch_places[(key + i) % PLACES];
        u64 free = 0;

        if (READ_ONCE(p->key) != key &&
            !__atomic_compare_exchange_n(&p->key, &free, key, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            continue;
        if (cycles <= READ_ONCE(p->max) + READ_ONCE(p->max) / 2)
            return false;
        WRITE_ONCE(p->max, cycles);
        return true;
    }
    return true;
}

static __noinline void watch_report(struct watch_cpu *w, const char *what, u64 cycles)
{
    w->quiet++;
    if (watch_note(w, cycles)) {
        watch_emit(" %lu us %s", tsc_to_ns(cycles) / 1000, what);
        if (w->call)
            watch_emit("  in system call %lu", w->call - 1);
        backtrace_print(watch_emit, 0, 0);
    }
    w->quiet--;
    if (w->since)
        w->since = rdtsc();
    if (w->off_since)
        w->off_since = rdtsc();
}

/* An interrupt after `now` was read has moved `since` past it. */
static inline void watch_check(struct watch_cpu *w, u64 now)
{
    if (unlikely(w->since && !w->handler && (s64)(now - w->since) > (s64)watch_stretch))
        watch_report(w, "without a yield", now - w->since);
}

void watch_begin(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    w->handler = 0;
    w->call = 0;
    w->since = watch_stretch ? rdtsc() : 0;
}

void watch_call(u64 nr)
{
    this_cpu_ptr(watch_cpus)->call = nr + 1;
}

void watch_end(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    watch_check(w, rdtsc());
    w->since = 0;
}

void watch_end_unless(const u32 *work)
{
    if (!READ_ONCE(*work))
        watch_end();
}

void watch_yield(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    watch_check(w, rdtsc());
    if (w->since && !w->handler)
        w->since = rdtsc();
}

void watch_irqs_off(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    if (watch_off && !w->quiet)
        w->off_since = rdtsc();
}

void watch_irqs_on(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);
    u64 now = rdtsc();

    if (w->quiet)
        return;
    if (unlikely(w->off_since && now - w->off_since > watch_off))
        watch_report(w, "with interrupts off", now - w->off_since);
    w->off_since = 0;
    watch_check(w, rdtsc());
}

void watch_handler(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    watch_irqs_off();
    if (w->since && !w->handler)
        w->handler = rdtsc();
}

void watch_handled(void)
{
    struct watch_cpu *w = this_cpu_ptr(watch_cpus);

    watch_irqs_on();
    if (w->handler && w->since)
        w->since += rdtsc() - w->handler;
    w->handler = 0;
}

void watch_start(void)
{
    watch_off = tsc_hz / 1000000 * WATCH_IRQS_OFF_US;
    watch_stretch = tsc_hz / 1000000 * WATCH_STRETCH_US;
}

/* `watch spin US`, `watch spin US off`: does what is forbidden, for the test of the watch. */
static int cmd_watch(int argc, char **argv, emit_fn emit)
{
    u64 us = 0;
    bool off = argc > 3 && !strcmp(argv[3], "off");

    if (argc < 3 || strcmp(argv[1], "spin") != 0 || parse_u64(argv[2], 10, &us) || us > 1000000) {
        emit("watch spin US [off]\n");
        return 2;
    }
    watch_yield();
    if (off)
        irq_disable();
    delay_us(us);
    if (off)
        irq_enable();
    watch_yield();
    return 0;
}
CONSOLE_CMD(watch)
= {"watch", "spin US [off]: runs for so long without a yield", cmd_watch, false};
#endif
