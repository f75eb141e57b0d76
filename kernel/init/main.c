/* SPDX-License-Identifier: MIT
 *
 * Brings the levels up in order and starts PID 1. The only code that may see every layer.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/mce.h"
#include "arch/x86/percpu.h"
#include "arch/x86/spec.h"
#include "arch/x86/switch.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "debug/debug.h"
#include "init/init.h"
#include "lib/log.h"
#include "mm/mm_boot.h"

TABLE_DECLARE(struct init_hook, init_hooks);

extern char boot_stack_top[];

__noreturn void kernel_main(void);

static void init_run_level(enum init_level level)
{
    const struct init_hook *hook;

    TABLE_FOR_EACH(hook, init_hooks)
    if (hook->level == level)
        hook->run();
}

/* Before any layer: what makes a fault show itself instead of rebooting the machine. */
static void init_arch(void)
{
    this_cpu_write(percpu_work, &percpu_no_work);
    cpu_features_read();
    cpu_features_enable();
    uaccess_patch();
    trap_init_cpu();
    if (!cpu_has(X86_NX))
        panic("the CPU has no execute protection, or the firmware has disabled it");
    spec_init();
    mce_init_cpu();
    trap_set_stack((u64)boot_stack_top);
    fpu_init_cpu();
    apic_init_early();
    acpi_init();
    apic_init_boot();
    tsc_init();
    apic_timer_measure();
}

void kernel_main(void)
{
    debug_port_init();
    init_arch();
    log_info("Bothy: %s boot, TSC %lu kHz, up to %u CPUs", boot_info.loader, tsc_hz / 1000,
             acpi_cpu_count());
    if (boot_info.cmdline_cut)
        log_warn("the command line is longer than %u bytes: words at its end are left out",
                 BOOT_CMDLINE_MAX - 1);
    for (enum init_level level = INIT_ARCH; level <= INIT_LATE; level++)
        init_run_level(level);
    mm_protect_ro_after_init();
    init_start();
}
