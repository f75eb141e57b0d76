/* SPDX-License-Identifier: MIT
 *
 * The end: what happened, the registers, the backtrace, the last of the log; then the panic shell
 * on the debug port, or with `panic=poweroff` or `panic=reboot` on the command line the machine
 * goes down. The other CPUs are stopped by NMI first. Takes no lock.
 */
#include "debug/debug_priv.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/format.h"
#include "lib/string.h"

u64 __stack_chk_guard = 0x57ac6b1de0ff00adUL;
__noreturn void __stack_chk_fail(void);

static u8 panic_started; /* a */
static u8 panic_nested;  /* the panicking CPU's: a panic inside the panic */

bool debug_panicking(void)
{
    return READ_ONCE(panic_started);
}

static __noreturn void panic_end(void)
{
    debug_port_settle();
    if (boot_option_is("panic", "poweroff"))
        acpi_poweroff();
    else if (boot_option_is("panic", "reboot"))
        machine_reboot();
    else if (debug_port_present())
        panic_shell();
    for (;;)
        halt();
}

/* One CPU reports; a second one that panics meanwhile waits to be stopped; a panic inside the
 * report goes straight to the end. */
static void panic_enter(void)
{
    unsigned cpu;

    irq_disable();
    if (__atomic_exchange_n(&panic_started, 1, __ATOMIC_SEQ_CST) == 0) {
        cpu_for_each (cpu)
            if (cpu != cpu_id())
                apic_send_nmi(cpu);
        return;
    }
    if (READ_ONCE(panic_nested) == cpu_id() + 1) {
        log_emit_raw("panic inside the panic\n");
        panic_end();
    }
    for (;;)
        halt();
}

static __noreturn void panic_report(u64 rip, u64 rbp, const char *text)
{
    panic_nested = (u8)(cpu_id() + 1);
    log_panic_flush();
    log_emit_raw("\nPANIC on CPU %u: %s\n", cpu_id(), text);
    log_emit_raw("cr2 %016lx cr3 %016lx thread %p\nbacktrace:\n", read_cr2(), read_cr3(),
                 (void *)current);
    backtrace_print(log_emit_raw, rip, rbp);
    log_emit_raw("end of panic\n");
    panic_end();
}

void panic(const char *fmt, ...)
{
    char text[256];
    va_list ap;

    panic_enter();
    va_start(ap, fmt);
    vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    panic_report(0, 0, text);
}

void panic_at(u64 rip, u64 rbp, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    panic_enter();
    va_start(ap, fmt);
    vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    panic_report(rip, rbp, text);
}

static void panic_log_line(const char *fmt, ...)
{
    char text[128];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    log_err("%s", text);
}

/* A program's or a guest's rbp is no frame of ours, wherever it points. */
static u64 panic_frame_of(const struct trap_frame *frame)
{
    bool ours = !trap_from_user(frame) && frame->rbp - frame->rsp < FRAME_SPAN;

    return ours ? frame->rbp : FRAME_NONE;
}

/* In a panic the other CPUs stop on the spot. An NMI that no CPU sent came from the NMI button:
 * each CPU says where it is and goes on. */
bool up_nmi(struct trap_frame *frame)
{
    while (debug_panicking())
        halt();
    log_err("NMI: CPU %u, thread %p, rflags %lx", cpu_id(), (void *)current, frame->rflags);
    backtrace_print(panic_log_line, frame->rip, panic_frame_of(frame));
    return true;
}

/* Called by the compiler's stack protector. */
void __stack_chk_fail(void)
{
    panic("kernel stack smashed");
}
