/* SPDX-License-Identifier: MIT
 *
 * The console's own commands: log, counters, traces, fail points, backtrace, power.
 */
#include "debug/debug_priv.h"

#include "arch/x86/acpi.h"
#include "arch/x86/percpu.h"
#include "arch/x86/switch.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define DIRECT_MAP_START 0xffff888000000000UL

static int cmd_log(int argc, char **argv, emit_fn emit)
{
    static const char level[] = "EWID";
    struct log_record rec;

    for (u64 seq = 0; log_read(&seq, &rec);)
        emit("[%5lu.%06lu] %c %s\n", rec.ns / 1000000000, rec.ns / 1000 % 1000000,
             level[rec.level & 3], rec.text);
    return 0;
}
CONSOLE_CMD(log)
= {"log", "the kernel's log", cmd_log, true};

static int cmd_loglevel(int argc, char **argv, emit_fn emit)
{
    u64 level;

    if (argc != 2 || parse_u64(argv[1], 10, &level) || level > LOG_DEBUG) {
        emit("usage: loglevel 0..3\n");
        return 1;
    }
    log_set_console_level((enum log_level)level);
    return 0;
}
CONSOLE_CMD(loglevel)
= {"loglevel", "N: what the console shows, 0 errors .. 3 all", cmd_loglevel, true};

static u64 counter_sum(const struct counter *c)
{
    u64 sum = 0;
    unsigned cpu;

    cpu_for_each (cpu)
        sum += READ_ONCE(*(u64 *)((u64)c->value + percpu_delta[cpu]));
    return sum;
}

static int cmd_counters(int argc, char **argv, emit_fn emit)
{
    const struct counter *c;
    TABLE_DECLARE(struct counter, counters);

    TABLE_FOR_EACH(c, counters)
    {
        if (argc < 2 || strstr(c->name, argv[1]))
            emit("%-32s %lu\n", c->name, counter_sum(c));
    }
    return 0;
}
CONSOLE_CMD(counters)
= {"counters", "[TEXT]: counters whose name has TEXT", cmd_counters, true};

static int cmd_backtrace(int argc, char **argv, emit_fn emit)
{
    backtrace_print(emit, 0, 0);
    return 0;
}
CONSOLE_CMD(backtrace)
= {"backtrace", "of the console itself", cmd_backtrace, true};

/* switch_stacks leaves r15..r12, rbx and rbp on the stack of a thread that does not run. */
static int cmd_stack(int argc, char **argv, emit_fn emit)
{
    u64 address;
    const u64 *rsp;

    if (argc != 2 || parse_u64(argv[1], 0, &address) || address < DIRECT_MAP_START ||
        address % 8 != 0) {
        emit("usage: stack THREAD, as `threads` shows it; not of one that runs\n");
        return 1;
    }
    rsp = (const u64 *)((const struct arch_thread *)address)->rsp;
    if ((u64)rsp < DIRECT_MAP_START)
        return 1;
    backtrace_print(emit, 0, rsp[5]);
    return 0;
}
CONSOLE_CMD(stack)
= {"stack", "THREAD: where a sleeping thread is", cmd_stack, true};

static int cmd_symbol(int argc, char **argv, emit_fn emit)
{
    u64 address, offset;
    const char *name;

    if (argc != 2 || parse_u64(argv[1], 16, &address)) {
        emit("usage: symbol HEX\n");
        return 1;
    }
    name = symbol_find(address, &offset);
    if (!name)
        emit("no function there\n");
    else
        emit("%s+0x%lx\n", name, offset);
    return name ? 0 : 1;
}
CONSOLE_CMD(symbol)
= {"symbol", "HEX: the function at an address", cmd_symbol, true};

static int cmd_panic(int argc, char **argv, emit_fn emit)
{
    panic("asked for on the console");
}
CONSOLE_CMD(panic)
= {"panic", "panics", cmd_panic, false};

static int cmd_poweroff(int argc, char **argv, emit_fn emit)
{
    debug_port_settle();
    acpi_poweroff();
    emit("poweroff: the firmware names no way\n");
    return 1;
}
CONSOLE_CMD(poweroff)
= {"poweroff", "at once, without syncing", cmd_poweroff, true};

static int cmd_reboot(int argc, char **argv, emit_fn emit)
{
    debug_port_settle();
    machine_reboot();
    emit("reboot: nothing worked\n");
    return 1;
}
CONSOLE_CMD(reboot)
= {"reboot", "at once, without syncing", cmd_reboot, true};
