/* SPDX-License-Identifier: MIT
 *
 * What speculation's flaws are of real CPUs, as their CPUID reads, and what is done about them.
 */
#include "harness.h"

#include "arch/x86/spec_core.c"

#include <stdio.h>
#include <string.h>

#define FLAW(f) (1U << SPEC_##f)
#define V1_V2 (FLAW(V1) | FLAW(V2))

struct known {
    const char *name;
    struct spec_cpu cpu;
    u32 flaws, acts;
};

static const struct known known[] = {
    {"Sandy Bridge, microcode of 2020",
     {.vendor = SPEC_INTEL, .family = 6, .model = 0x2a, .leaf7_edx = 0x9c000400, .smt = true},
     V1_V2 | FLAW(SSB) | FLAW(MELTDOWN) | FLAW(L1TF) | FLAW(MDS) | FLAW(MULTIHIT),
     SPEC_RETPOLINES | SPEC_IBPB | SPEC_STIBP | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS |
         SPEC_FLUSH_L1D | SPEC_SMALL_CODE},
    {"Nehalem without microcode",
     {.vendor = SPEC_INTEL, .family = 6, .model = 0x1a},
     V1_V2 | FLAW(SSB) | FLAW(MELTDOWN) | FLAW(L1TF) | FLAW(MDS) | FLAW(MULTIHIT),
     SPEC_RETPOLINES | SPEC_FILL_RSB | SPEC_SMALL_CODE},
    {"Skylake client",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x5e,
      .leaf7_ebx = 1 << 11,
      .leaf7_edx = 0x9c000600},
     V1_V2 | FLAW(SSB) | FLAW(MELTDOWN) | FLAW(L1TF) | FLAW(MDS) | FLAW(MULTIHIT) | FLAW(TAA) |
         FLAW(MMIO) | FLAW(RETBLEED) | FLAW(GDS) | FLAW(SRBDS),
     SPEC_RETPOLINES | SPEC_IBPB | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS | SPEC_FLUSH_L1D |
         SPEC_SMALL_CODE},
    {"Cascade Lake",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x55,
      .leaf7_ebx = 1 << 11,
      .leaf7_edx = 0xbc000400,
      .capabilities = 0x2b},
     V1_V2 | FLAW(SSB) | FLAW(MULTIHIT) | FLAW(TAA) | FLAW(MMIO) | FLAW(RETBLEED) | FLAW(GDS),
     SPEC_ENHANCED_IBRS | SPEC_IBPB | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS | SPEC_SMALL_CODE},
    {"Ice Lake server",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x6a,
      .leaf7_edx = 0xbc040412,
      .capabilities = 0x2018d6b | 1 << 17},
     V1_V2 | FLAW(SSB) | FLAW(MMIO) | FLAW(GDS),
     SPEC_ENHANCED_IBRS | SPEC_IBPB | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS},
    {"Sapphire Rapids",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x8f,
      .leaf7_edx = 0xbfd14410,
      .capabilities = 0xe16b | 1UL << 27},
     V1_V2 | FLAW(SSB),
     SPEC_ENHANCED_IBRS | SPEC_IBPB | SPEC_FILL_RSB},
    {"Alder Lake with its small cores",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x97,
      .leaf7_edx = 0xbc18c410,
      .capabilities = 0x180fd6b | 1UL << 28},
     V1_V2 | FLAW(SSB) | FLAW(RFDS),
     SPEC_ENHANCED_IBRS | SPEC_IBPB | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS},
    {"Bonnell", {.vendor = SPEC_INTEL, .family = 6, .model = 0x1c}, 0, 0},
    {"Goldmont Plus",
     {.vendor = SPEC_INTEL,
      .family = 6,
      .model = 0x7a,
      .leaf7_edx = 0xac000000,
      .capabilities = 0x1},
     V1_V2 | FLAW(SSB) | FLAW(RFDS),
     SPEC_RETPOLINES | SPEC_IBPB | SPEC_FILL_RSB},
    {"K8",
     {.vendor = SPEC_AMD, .family = 0xf, .model = 0x41},
     V1_V2,
     SPEC_RETPOLINES | SPEC_FILL_RSB},
    {"Zen 2",
     {.vendor = SPEC_AMD, .family = 0x17, .model = 0x31, .leaf88_ebx = 0x108b657, .smt = true},
     V1_V2 | FLAW(SSB) | FLAW(RETBLEED) | FLAW(SRSO),
     SPEC_RETPOLINES | SPEC_IBPB | SPEC_STIBP | SPEC_FILL_RSB},
    {"Zen 4",
     {.vendor = SPEC_AMD,
      .family = 0x19,
      .model = 0x11,
      .leaf88_ebx = 0x791ef257,
      .leaf821_eax = 0x1006f,
      .smt = true},
     V1_V2 | FLAW(SSB) | FLAW(SRSO),
     SPEC_RETPOLINES | SPEC_IBPB | SPEC_STIBP | SPEC_FILL_RSB},
    {"Zen 5",
     {.vendor = SPEC_AMD,
      .family = 0x1a,
      .model = 0x02,
      .leaf88_ebx = 0x791ef257,
      .leaf821_eax = 0x20000100,
      .smt = true},
     V1_V2 | FLAW(SSB),
     SPEC_AUTO_IBRS | SPEC_IBPB | SPEC_STIBP | SPEC_FILL_RSB},
    {"Zen 2, of which the hypervisor knows better",
     {.vendor = SPEC_AMD, .family = 0x17, .model = 0x31, .leaf88_ebx = 0x108b657, .no_v2 = true},
     FLAW(V1) | FLAW(SSB) | FLAW(RETBLEED) | FLAW(SRSO),
     0},
    {"QEMU's TCG, as a Skylake",
     {.vendor = SPEC_INTEL, .family = 6, .model = 0x5e, .leaf7_edx = 0x84000000, .emulated = true},
     0,
     0},
};

TEST(flaws_and_acts_of_real_processors_are_known)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        struct spec_plan plan;

        spec_decide(&known[i].cpu, &plan);
        if (plan.flaws != known[i].flaws || plan.acts != known[i].acts)
            fprintf(stderr, "%s: flaws %x for %x, acts %x for %x\n", known[i].name, plan.flaws,
                    known[i].flaws, plan.acts, known[i].acts);
        EXPECT(plan.flaws == known[i].flaws);
        EXPECT(plan.acts == known[i].acts);
    }
}

/* Words that a program looks for: one of three begins each. */
TEST(state_of_each_flaw_is_said_in_the_words_that_programs_know)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        struct spec_plan plan;

        spec_decide(&known[i].cpu, &plan);
        for (enum spec_flaw f = 0; f < SPEC_FLAWS; f++) {
            const char *s = spec_flaw_state(&plan, f);

            EXPECT(!strcmp(s, "Not affected") == !(plan.flaws & 1U << f));
            EXPECT(!strncmp(s, "Mitigation: ", 12) || !strncmp(s, "Vulnerable", 10) ||
                   !strncmp(s, "KVM: ", 5) || !strcmp(s, "Not affected"));
        }
    }
}

/* Nothing is claimed that no act stands for. */
TEST(no_mitigation_is_claimed_that_is_not_made)
{
    struct spec_plan none = {.flaws = ~0U, .acts = 0};

    for (enum spec_flaw f = 0; f < SPEC_FLAWS; f++)
        EXPECT(!strstr(spec_flaw_state(&none, f), "Mitigation"));
}
