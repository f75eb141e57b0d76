/* SPDX-License-Identifier: MIT
 *
 * What the boot CPU can do, read once (SDM vol. 2A, CPUID). The others are taken to be equal.
 */
#pragma once

#include "lib/types.h"

/* word * 32 + bit; the words are listed in cpufeature.c. */
enum cpu_feature {
    X86_PCID = 0 * 32 + 17, /* leaf 1 ecx */
    X86_X2APIC = 0 * 32 + 21,
    X86_TSC_DEADLINE = 0 * 32 + 24,
    X86_XSAVE = 0 * 32 + 26,
    X86_RDRAND = 0 * 32 + 30,
    X86_HYPERVISOR = 0 * 32 + 31,
    X86_VMX = 0 * 32 + 5,
    X86_MCE = 1 * 32 + 7, /* leaf 1 edx */
    X86_PGE = 1 * 32 + 13,
    X86_MCA = 1 * 32 + 14,
    X86_PAT = 1 * 32 + 16,
    X86_FSGSBASE = 2 * 32 + 0, /* leaf 7 ebx */
    X86_TSC_ADJUST = 2 * 32 + 1,
    X86_SMEP = 2 * 32 + 7,
    X86_RDSEED = 2 * 32 + 18,
    X86_SMAP = 2 * 32 + 20,
    X86_UMIP = 3 * 32 + 2, /* leaf 7 ecx */
    X86_ARCH_CAPABILITIES = 4 * 32 + 29,
    X86_SVM = 5 * 32 + 2, /* leaf 0x80000001 ecx */
    X86_NX = 6 * 32 + 20, /* leaf 0x80000001 edx */
    X86_PDPE1GB = 6 * 32 + 26,
    X86_RDTSCP = 6 * 32 + 27,
    X86_XSAVEOPT = 8 * 32 + 0, /* leaf 0xd:1 eax */
};
#define CPU_FEATURE_WORDS 10

extern u32 cpu_features[CPU_FEATURE_WORDS];
static inline bool cpu_has(enum cpu_feature f)
{
    return cpu_features[f / 32] >> (f % 32) & 1;
}
void cpu_features_read(void);
/* Whether we are the guest of the hypervisor with this signature, 12 bytes (leaf 0x40000000). */
bool cpu_hypervisor_is(const char *signature);
/* Control registers and MSRs of protection (NX, WP, SMEP, SMAP, UMIP, PGE, PAT): each CPU, early.
 */
void cpu_features_enable(void);
/* The boot CPU's word that XSAVE, and what stands on it, is not to be used: cpu_has says so from
 * now on, and CR4 here, so that programs do not take to AVX either. */
void cpu_features_drop_xsave(void);
/* IA32_ARCH_CAPABILITIES: what the CPU is not vulnerable to; 0 where there is none. */
u64 cpu_capabilities(void);
