/* SPDX-License-Identifier: MIT
 *
 * Promises of kernel/debug and kernel/arch that a running kernel can check about itself.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "arch/x86/up.h"
#include "debug/debug.h"
#include "lib/crc.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

SELFTEST(log_keeps_lines_in_order)
{
    static struct log_record rec;
    u64 seq = log_end();

    log_debug("selftest line %d", 1);
    log_debug("selftest line %d", 2);
    while (log_read(&seq, &rec))
        if (strcmp(rec.text, "selftest line 1") == 0)
            break;
    CHECK(strcmp(rec.text, "selftest line 1") == 0);
    while (log_read(&seq, &rec))
        if (strcmp(rec.text, "selftest line 2") == 0)
            return;
    CHECK(!"the second line came after the first");
}

/* How many of the records from seq on have that text. */
static unsigned log_count(u64 seq, const char *text)
{
    static struct log_record rec;
    unsigned n = 0;

    while (log_read(&seq, &rec))
        n += strcmp(rec.text, text) == 0;
    return n;
}

/* The printer may be another CPU, which comes to a line when the console is quiet already. */
SELFTEST(log_line_is_shown_by_the_level_that_held_when_it_came)
{
    static struct log_record rec;
    u64 seq = log_end();
    u32 right = 0;

    log_set_console_level(LOG_WARN);
    log_warn("selftest is shown");
    log_info("selftest is not shown");
    log_set_console_level(LOG_ERR);
    while (log_read(&seq, &rec))
        right += rec.shown ? strcmp(rec.text, "selftest is shown") == 0
                           : strcmp(rec.text, "selftest is not shown") == 0;
    CHECK(right == 2);
}

SELFTEST(log_shows_no_control_characters)
{
    u64 seq = log_end();

    log_debug("name %s", "\033[2J\nforged\t\x7f");
    CHECK(log_count(seq, "name ?[2J?forged\t?") == 1);
}

SELFTEST(log_limits_what_users_repeat)
{
    u64 seq = log_end();
    unsigned n;

    for (int i = 0; i < 100; i++)
        log_limited(LOG_DEBUG, "selftest repeats");
    n = log_count(seq, "selftest repeats");
    CHECK(n >= LOG_LIMIT && n <= 2 * LOG_LIMIT); /* a second may have begun */
}

static unsigned emitted;
static char emit_text[128];

static void emit_count(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(emit_text, sizeof(emit_text), fmt, ap);
    va_end(ap);
    emitted++;
}

SELFTEST(symbol_table_names_functions)
{
    u64 offset;
    const char *name = symbol_find((u64)symbol_find + 1, &offset);

    CHECK(name && strcmp(name, "symbol_find") == 0 && offset == 1);
    CHECK(!symbol_find(0x1000, &offset));
}

SELFTEST(backtrace_reaches_this_test)
{
    emitted = 0;
    backtrace_print(emit_count, 0, 0);
    CHECK(emitted >= 3);
}

SELFTEST(console_refuses_the_unknown)
{
    char line[] = "  nosuchcommand  x";

    emitted = 0;
    CHECK(console_run(line, emit_count) == 127 && emitted == 1);
}

SELFTEST(time_does_not_go_back)
{
    u64 last = time_ns(), start = last;

    for (unsigned i = 0; i < 10000; i++) {
        u64 now = time_ns();

        CHECK(now >= last);
        last = now;
    }
    delay_us(200);
    CHECK(time_ns() - start >= 200000);
    CHECK(tsc_to_ns(tsc_of_ns(5000000000ULL) - tsc_of_ns(0)) - 4999999000ULL < 2000);
}

/* Early or in the past, the interrupt of a far deadline would come at once, again and again. */
SELFTEST(timer_interrupts_are_asked_for_when_the_clock_gets_there)
{
    static const u64 spans[] = {1, 1000000007, 86400UL * 365 * 1000000000, S64_MAX};
    u64 now = time_ns(), wraps = U64_MAX / tsc_hz + 1, base, mul;

    tsc_clock_params(&base, &mul);
    for (unsigned i = 0; i < ARRAY_SIZE(spans); i++) {
        u64 tsc = tsc_of_ns(now + spans[i]);

        CHECK(tsc == U64_MAX || tsc_to_ns(tsc - base) >= now + spans[i]);
        CHECK(tsc == U64_MAX || tsc_to_ns(tsc - base - 1) < now + spans[i]);
    }
    CHECK(tsc_of_ns(U64_MAX - 1) > rdtsc() + tsc_hz);
    /* So many seconds times the frequency are next to nothing. */
    CHECK(wraps > U64_MAX / 1000000000 || tsc_of_ns(wraps * 1000000000) > rdtsc() + tsc_hz);
}

SELFTEST(nmi_follows_no_frame_that_is_not_the_kernels)
{
    struct trap_frame user = {.cs = USER_CS, .rip = 0x1000, .rbp = (u64)-16, .rsp = (u64)-24};
    struct trap_frame guest = {.cs = KERNEL_CS, .rip = 0x1000, .rbp = (u64)-16, .rsp = (u64)&user};

    CHECK(up_nmi(&user) && up_nmi(&guest));
}

SELFTEST(user_copy_refuses_kernel_addresses)
{
    char buf[8] = "kernel";

    CHECK(copy_in(buf, (const void __user *)(uintptr_t)log_write, 4) == -EFAULT);
    CHECK(copy_out((void __user *)(uintptr_t)buf, "x", 1) == -EFAULT);
    CHECK(copy_in(buf, (const void __user *)(uintptr_t)(USER_TOP - 2), 4) == -EFAULT);
    CHECK(strcmp(buf, "kernel") == 0);
}

SELFTEST(kernel_runs_with_its_protections)
{
    CHECK(read_cr0() & CR0_WP);
    CHECK(!cpu_has(X86_SMEP) || read_cr4() & CR4_SMEP);
    CHECK(!cpu_has(X86_SMAP) || read_cr4() & CR4_SMAP);
    CHECK(!cpu_has(X86_UMIP) || read_cr4() & CR4_UMIP);
    CHECK(!(read_cr4() & (CR4_TSD | CR4_FSGSBASE | CR4_PCIDE)));
}

SELFTEST(this_cpu_is_its_own)
{
    u64 flags = irq_save();
    unsigned cpu = cpu_id();

    CHECK(*per_cpu_ptr(percpu_id, cpu) == cpu &&
          this_cpu_ptr(percpu_id) == per_cpu_ptr(percpu_id, cpu));
    irq_restore(flags);
}

/* ------------------------------------------------------------- trace points */

static unsigned trace_lines;
static char trace_line[256];

static void trace_count_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vscnprintf(trace_line, sizeof(trace_line), fmt, args);
    va_end(args);
    trace_lines += strchr(trace_line, '\n') != NULL;
}

static int trace_command(const char *words)
{
    char line[64];

    strlcpy(line, words, sizeof(line));
    trace_lines = 0;
    return console_run(line, trace_count_line);
}

static u32 trace_text_sum(void)
{
    extern const u8 __text_start[], __text_end[];

    return crc32(0, __text_start, (size_t)(__text_end - __text_start));
}

SELFTEST(trace_points_that_are_off_leave_the_code_as_it_was_linked)
{
    u32 linked = trace_text_sum(), on;

    CHECK(trace_command("trace on sched") == 0);
    on = trace_text_sum();
    CHECK(trace_command("trace off sched_wake") == 0);
    CHECK(trace_text_sum() != on);
    CHECK(trace_command("trace off all") == 0);
    CHECK(on != linked && trace_text_sum() == linked);
    CHECK(trace_command("trace on nothing_such") == 1);
}

SELFTEST(trace_point_records_while_it_is_on)
{
    CHECK(trace_command("trace clear") == 0 && trace_command("trace on signal_send") == 0);
    CHECK(trace_command("trace show net_receive") == 0 && trace_lines == 0);
    CHECK(trace_command("trace on sched_wake") == 0);
    thread_wake(current_thread());
    CHECK(trace_command("trace off all") == 0);
    CHECK(trace_command("trace show sched") == 0);
    CHECK(trace_lines >= 1);
    CHECK(trace_command("trace clear") == 0);
    thread_wake(current_thread());
    CHECK(trace_command("trace show all") == 0 && trace_lines == 0);
}
