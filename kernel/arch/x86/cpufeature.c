/* SPDX-License-Identifier: MIT
 *
 * CPUID, read once by the boot CPU, and the protections that each CPU turns on, as the boot CPU has
 * them.
 */
#include "arch/x86/cpufeature.h"

#include "arch/x86/msr.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "lib/string.h"

#define DR7_NONE 0x400UL

u32 cpu_features[CPU_FEATURE_WORDS];

bool cpu_hypervisor_is(const char *signature)
{
    struct cpuid_regs r;

    if (!cpu_has(X86_HYPERVISOR))
        return false;
    r = cpuid_count(0x40000000, 0);
    return !memcmp((u32[]){r.ebx, r.ecx, r.edx}, signature, 12);
}

void cpu_features_read(void)
{
    u32 max = cpuid_count(0, 0).eax, max_ext = cpuid_count(0x80000000, 0).eax;
    struct cpuid_regs r = cpuid_count(1, 0);

    cpu_features[0] = r.ecx;
    cpu_features[1] = r.edx;
    if (max >= 7) {
        r = cpuid_count(7, 0);
        cpu_features[2] = r.ebx;
        cpu_features[3] = r.ecx;
        cpu_features[4] = r.edx;
    }
    if (max >= 0xd && cpu_has(X86_XSAVE))
        cpu_features[8] = cpuid_count(0xd, 1).eax;
    if (max_ext >= 0x80000001) {
        r = cpuid_count(0x80000001, 0);
        cpu_features[5] = r.ecx;
        cpu_features[6] = r.edx;
    }
    if (max_ext >= 0x80000007)
        cpu_features[7] = cpuid_count(0x80000007, 0).edx;
    if (max_ext >= 0x80000021)
        cpu_features[9] = cpuid_count(0x80000021, 0).eax;
}

/* From scratch: what the firmware had on (FSGSBASE, TSD, FFXSR, breakpoints) is not ours. */
void cpu_features_enable(void)
{
    u64 cr4 = CR4_PAE | CR4_DE, efer = rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA | EFER_SCE);

    wrmsr(MSR_EFER, efer | (cpu_has(X86_NX) ? EFER_NXE : 0));
    write_dr7(DR7_NONE);
    if (cpu_has(X86_PAT))
        wrmsr(MSR_IA32_PAT, PAT_VALUE);
    write_cr0((read_cr0() | CR0_WP | CR0_NE | CR0_MP | CR0_AM) &
              ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW));
    cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE;
    cr4 |= cpu_has(X86_PGE) ? CR4_PGE : 0;
    cr4 |= cpu_has(X86_SMEP) ? CR4_SMEP : 0;
    cr4 |= cpu_has(X86_SMAP) ? CR4_SMAP : 0;
    cr4 |= cpu_has(X86_UMIP) ? CR4_UMIP : 0;
    cr4 |= cpu_has(X86_XSAVE) ? CR4_OSXSAVE : 0;
    write_cr4(cr4);
}

/* Word * 32 + bit, of leaf 1's ECX, leaf 7's EBX, ECX and EDX, and 0x80000001's ECX: FMA, XSAVE,
 * OSXSAVE, AVX, F16C, AVX2, AVX-512, the vector forms of AES and PCLMULQDQ, AMX, XOP, FMA4. */
static const u8 cpu_wants_xsave[] = {
    12,  26,  27,  28,  29,  69,  80,  81,  85,  90,  91,  92,  94,  95,  97,
    102, 105, 106, 107, 108, 110, 130, 131, 136, 150, 151, 152, 153, 171, 176,
};

void cpu_features_drop_xsave(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(cpu_wants_xsave); i++)
        cpu_features[cpu_wants_xsave[i] / 32] &= ~(1U << cpu_wants_xsave[i] % 32);
    cpu_features[8] = 0;
    write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

u64 cpu_capabilities(void)
{
    u64 value = 0;

    if (!cpu_has(X86_ARCH_CAPABILITIES) || rdmsr_safe(MSR_ARCH_CAPABILITIES, &value))
        return 0;
    return value;
}
