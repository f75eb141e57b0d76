/* SPDX-License-Identifier: MIT
 *
 * The end: what happened, the registers, the backtrace, the last of the log; then the panic shell on
 * the debug port, or with `panic=poweroff` or `panic=reboot` on the command line the machine goes down.
 * The other CPUs are stopped by NMI first. Takes no lock.
 */
#include "debug/debug_priv.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "lib/format.h"
#include "lib/string.h"

u64 __stack_chk_guard = 0x57ac6b1de0ff00adUL;
__noreturn void __stack_chk_fail(void);

static u8 panic_started;  /* a */
static u8 panic_nested;   /* the panicking CPU's: a panic inside the panic */

bool debug_panicking(void)
{
    return READ_ONCE(panic_started);
}

static void panic_registers(const struct trap_frame *f)
{
    log_emit_raw("rip %016llx cs %04llx rflags %08llx rsp %016llx ss %04llx error %llx\n", f->rip,
                 f->cs, f->rflags, f->rsp, f->ss, f->orig_rax);
    log_emit_raw("rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", f->rax, f->rbx, f->rcx,
                 f->rdx);
    log_emit_raw("rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", f->rsi, f->rdi, f->rbp,
                 f->r8);
    log_emit_raw("r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", f->r9, f->r10, f->r11,
                 f->r12);
    log_emit_raw("r13 %016llx r14 %016llx r15 %016llx cr2 %016llx\n", f->r13, f->r14, f->r15,
                 read_cr2());
    log_emit_raw("cr0 %016llx cr3 %016llx cr4 %016llx\n", read_cr0(), read_cr3(), read_cr4());
}

static __noreturn void panic_end(void)
{
    if (boot_option_is("panic", "poweroff"))
        acpi_poweroff();
    else if (boot_option_is("panic", "reboot"))
        machine_reboot();
    else if (debug_port_present())
        panic_shell();
    for (;;)
        halt();
}

/* One CPU reports; a second one that panics meanwhile waits to be stopped; a panic inside the report
 * goes straight to the end. */
static void panic_enter(void)
{
    irq_disable();
    if (__atomic_exchange_n(&panic_started, 1, __ATOMIC_SEQ_CST) == 0) {
        if (cpu_count() > 1)
            apic_send_nmi_others();
        return;
    }
    if (READ_ONCE(panic_nested) == cpu_id() + 1) {
        log_emit_raw("panic inside the panic\n");
        panic_end();
    }
    for (;;)
        halt();
}

static __noreturn void panic_report(const struct trap_frame *frame, const char *text)
{
    panic_nested = (u8)(cpu_id() + 1);
    log_panic_flush();
    log_emit_raw("\nPANIC on CPU %u: %s\n", cpu_id(), text);
    if (frame)
        panic_registers(frame);
    log_emit_raw("backtrace:\n");
    if (frame)
        backtrace_print(log_emit_raw, frame->rip, frame->rbp);
    else
        backtrace_print(log_emit_raw, 0, 0);
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
    panic_report(NULL, text);
}

void panic_trap(const struct trap_frame *frame, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    panic_enter();
    va_start(ap, fmt);
    vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    panic_report(frame, text);
}

/* Called by the compiler's stack protector. */
void __stack_chk_fail(void)
{
    panic("kernel stack smashed");
}
