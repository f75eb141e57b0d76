/* SPDX-License-Identifier: MIT
 *
 * Which of the known flaws of speculation a CPU has, and what this kernel does about them: a pure
 * function of what CPUID and IA32_ARCH_CAPABILITIES say, also built on the host. Sources: Intel's
 * "Affected Processors: Guidance for Security Issues", AMD's security bulletins, SDM vol. 4 on
 * IA32_ARCH_CAPABILITIES, APM vol. 3 appendix E.
 */
#pragma once

#include "lib/types.h"

enum spec_vendor { SPEC_INTEL, SPEC_AMD, SPEC_HYGON, SPEC_OTHER };

struct spec_cpu {
    enum spec_vendor vendor;
    u16 family;
    u8 model;
    u32 leaf7_ebx, leaf7_edx;    /* CPUID 7.0 */
    u32 leaf88_ebx, leaf821_eax; /* CPUID 80000008, 80000021 */
    u64 capabilities;            /* 0: no such register */
    bool emulated;               /* by a program that executes one instruction after the other */
    bool smt;                    /* a core has several threads */
    bool no_v2;                  /* a hypervisor's word: it has not SPEC_V2 */
};

/* In the order of /sys/devices/system/cpu/vulnerabilities. */
enum spec_flaw {
    SPEC_GDS,
    SPEC_MULTIHIT,
    SPEC_L1TF,
    SPEC_MDS,
    SPEC_MELTDOWN,
    SPEC_MMIO,
    SPEC_RFDS,
    SPEC_RETBLEED,
    SPEC_SRSO,
    SPEC_SSB,
    SPEC_V1,
    SPEC_V2,
    SPEC_SRBDS,
    SPEC_TAA,
    SPEC_FLAWS,
};

enum spec_act {
    SPEC_ENHANCED_IBRS = 1 << 0, /* once for all: the CPU tells the kernel's branches apart */
    SPEC_AUTO_IBRS = 1 << 1,     /* likewise, AMD's */
    SPEC_RETPOLINES = 1 << 2,    /* it does not: indirect branches go through thunks */
    SPEC_STIBP = 1 << 3,    /* once for all: nor are they shared with the core's other thread */
    SPEC_IBPB = 1 << 4,     /* at a switch of accounts: forget what branches were taken */
    SPEC_FILL_RSB = 1 << 5, /* at a switch of accounts and at a guest's exit: and returns */
    SPEC_CLEAR_BUFFERS = 1 << 6, /* at a switch of accounts and at a guest's entry: VERW */
    SPEC_FLUSH_L1D = 1 << 7,     /* at a guest's entry */
    SPEC_SMALL_CODE = 1 << 8,    /* guests execute out of small pages only */
};

struct spec_plan {
    u32 flaws; /* a bit each */
    u32 acts;  /* enum spec_act */
};

void spec_decide(const struct spec_cpu *cpu, struct spec_plan *out);
/* What Linux's file of its name says, as far as it is true here: "Not affected", "Mitigation: ..."
 * or "Vulnerable...". */
const char *spec_flaw_state(const struct spec_plan *plan, enum spec_flaw flaw);
