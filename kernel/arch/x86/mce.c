/* SPDX-License-Identifier: MIT
 *
 * Turning machine checks on (SDM vol. 3, 15.8). A bank whose errors are not enabled stores them and
 * says nothing: what an uncorrected one has spoiled would be used. What is reported stops the
 * machine (trap.c).
 */
#include "arch/x86/mce.h"

#include "arch/x86/cpufeature.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "lib/log.h"

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MC0_CTL 0x400 /* CTL STATUS ADDR MISC of each bank */
#define MCG_CAP_CTL (1UL << 8)
#define MC_STATUS_VALID (1UL << 63)
#define BANKS_MAX 32u /* those with registers at MSR_MC0_CTL */

/* Family 6 before Nehalem: its first bank is the firmware's (15.3.2.1). */
static bool mce_first_is_firmwares(void)
{
    u32 id = cpuid_count(1, 0).eax;

    return (id >> 8 & 15) == 6 && (id >> 4 & 15) + (id >> 16 & 15) * 16 < 0x1a;
}

static void mce_init_bank(unsigned bank)
{
    u32 msr = MSR_MC0_CTL + bank * 4;
    u64 status;

    if (!rdmsr_safe(msr + 1, &status) && (status & MC_STATUS_VALID))
        log_warn("CPU %u: machine check from before the start, bank %u: %016lx", cpu_id(), bank,
                 status);
    (void)wrmsr_safe(msr + 1, 0);
    if (bank || !mce_first_is_firmwares())
        (void)wrmsr_safe(msr, U64_MAX);
}

void mce_init_cpu(void)
{
    u64 cap;

    if (!cpu_has(X86_MCE) || !cpu_has(X86_MCA) || rdmsr_safe(MSR_MCG_CAP, &cap))
        return;
    if (cap & MCG_CAP_CTL)
        (void)wrmsr_safe(MSR_MCG_CTL, U64_MAX);
    for (unsigned bank = 0; bank < MIN((u32)cap & 0xff, BANKS_MAX); bank++)
        mce_init_bank(bank);
    (void)wrmsr_safe(MSR_MCG_STATUS, 0); /* one in progress would make the next a shutdown */
}
