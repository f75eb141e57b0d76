/* SPDX-License-Identifier: MIT
 *
 * A CPU that tells what it does not have is believed. For the rest there are two tables of Intel's
 * models: those that lack flaws which their time had, and those that have flaws which were found in
 * some designs only. What the tables do not name has what its vendor's CPUs have had.
 */
#include "arch/x86/spec_core.h"

#include "lib/compiler.h"

#define BIT_OF(n) (1U << (n))

#define LEAF7_EBX_RTM BIT_OF(11)
#define LEAF7_EDX_MD_CLEAR BIT_OF(10)
#define LEAF7_EDX_IBPB BIT_OF(26)
#define LEAF7_EDX_STIBP BIT_OF(27)
#define LEAF7_EDX_FLUSH_L1D BIT_OF(28)
#define LEAF88_EBX_IBPB BIT_OF(12)
#define LEAF88_EBX_STIBP BIT_OF(15)
#define LEAF88_EBX_SSB_NO BIT_OF(26)
#define LEAF88_EBX_BTC_NO BIT_OF(29)
#define LEAF821_EAX_AUTO_IBRS BIT_OF(8)
#define LEAF821_EAX_SRSO_NO BIT_OF(29)

#define CAP_RDCL_NO (1UL << 0)
#define CAP_IBRS_ALL (1UL << 1)
#define CAP_RSBA (1UL << 2)
#define CAP_SKIP_L1DFL (1UL << 3)
#define CAP_SSB_NO (1UL << 4)
#define CAP_MDS_NO (1UL << 5)
#define CAP_PSCHANGE_MC_NO (1UL << 6)
#define CAP_TAA_NO (1UL << 8)
#define CAP_MMIO_NO (7UL << 13) /* SBDR_SSDP, FBSDP and PSDP: all three */
#define CAP_FB_CLEAR (1UL << 17)
#define CAP_GDS_NO (1UL << 26)
#define CAP_RFDS_NO (1UL << 27)
#define CAP_RFDS_CLEAR (1UL << 28)

#define HAS(flaw) BIT_OF(flaw)
#define ALL_FLAWS (BIT_OF(SPEC_FLAWS) - 1)
/* Of a CPU that is not known better, by who made it. */
#define FLAWS_OF_ALL (HAS(SPEC_V1) | HAS(SPEC_V2) | HAS(SPEC_SSB))
#define FLAWS_OF_INTEL \
    (FLAWS_OF_ALL | HAS(SPEC_MELTDOWN) | HAS(SPEC_L1TF) | HAS(SPEC_MDS) | HAS(SPEC_MULTIHIT))

struct spec_model {
    u8 model;
    u32 flaws;
};

#define ATOM_LACKS (HAS(SPEC_L1TF) | HAS(SPEC_MULTIHIT) | HAS(SPEC_SSB))
#define GOLDMONT_LACKS (HAS(SPEC_MDS) | HAS(SPEC_L1TF) | HAS(SPEC_MULTIHIT))

/* Family 6: what these lack of FLAWS_OF_INTEL. */
static const struct spec_model spec_lacking[] = {
    {0x1c, ALL_FLAWS}, /* Bonnell and Saltwell execute in order */
    {0x26, ALL_FLAWS},          {0x27, ALL_FLAWS},
    {0x35, ALL_FLAWS},          {0x36, ALL_FLAWS},
    {0x0e, HAS(SPEC_SSB)}, /* Yonah */
    {0x37, ATOM_LACKS},    /* Silvermont */
    {0x4a, ATOM_LACKS},         {0x4d, ATOM_LACKS},
    {0x4c, ATOM_LACKS}, /* Airmont */
    {0x5a, ATOM_LACKS},         {0x75, ATOM_LACKS},
    {0x57, ATOM_LACKS},                                 /* Xeon Phi */
    {0x85, ATOM_LACKS},         {0x5c, GOLDMONT_LACKS}, /* Goldmont, Goldmont Plus */
    {0x5f, GOLDMONT_LACKS},     {0x7a, GOLDMONT_LACKS},
    {0x86, HAS(SPEC_MULTIHIT)}, /* Tremont */
    {0x96, HAS(SPEC_MULTIHIT)}, {0x9c, HAS(SPEC_MULTIHIT)},
};

#define SKYLAKE_HAS (HAS(SPEC_MMIO) | HAS(SPEC_RETBLEED) | HAS(SPEC_GDS))

/* Family 6: what these have beyond FLAWS_OF_INTEL. */
static const struct spec_model spec_having[] = {
    {0x3a, HAS(SPEC_SRBDS)}, /* Ivy Bridge */
    {0x3c, HAS(SPEC_SRBDS)}, /* Haswell */
    {0x45, HAS(SPEC_SRBDS)},
    {0x46, HAS(SPEC_SRBDS)},
    {0x3f, HAS(SPEC_MMIO)},
    {0x3d, HAS(SPEC_SRBDS)}, /* Broadwell */
    {0x47, HAS(SPEC_SRBDS)},
    {0x4f, HAS(SPEC_MMIO)},
    {0x56, HAS(SPEC_MMIO)},
    {0x55, SKYLAKE_HAS}, /* Skylake to Cascade Lake servers */
    {0x4e, SKYLAKE_HAS | HAS(SPEC_SRBDS)},
    {0x5e, SKYLAKE_HAS | HAS(SPEC_SRBDS)},
    {0x8e, SKYLAKE_HAS | HAS(SPEC_SRBDS)}, /* Kaby Lake */
    {0x9e, SKYLAKE_HAS | HAS(SPEC_SRBDS)},
    {0x66, HAS(SPEC_RETBLEED)},             /* Cannon Lake */
    {0x6a, HAS(SPEC_MMIO) | HAS(SPEC_GDS)}, /* Ice Lake */
    {0x6c, HAS(SPEC_MMIO) | HAS(SPEC_GDS)},
    {0x7e, SKYLAKE_HAS},
    {0xa5, SKYLAKE_HAS}, /* Comet Lake */
    {0xa6, SKYLAKE_HAS},
    {0xa7, SKYLAKE_HAS},   /* Rocket Lake */
    {0x8c, HAS(SPEC_GDS)}, /* Tiger Lake */
    {0x8d, HAS(SPEC_GDS)},
    {0x8a, HAS(SPEC_MMIO) | HAS(SPEC_RETBLEED)}, /* Lakefield */
    {0x5c, HAS(SPEC_RFDS)},                      /* Goldmont and later small cores */
    {0x5f, HAS(SPEC_RFDS)},
    {0x7a, HAS(SPEC_RFDS)},
    {0x86, HAS(SPEC_RFDS) | HAS(SPEC_MMIO)},
    {0x96, HAS(SPEC_RFDS) | HAS(SPEC_MMIO)},
    {0x9c, HAS(SPEC_RFDS) | HAS(SPEC_MMIO)},
    {0x97, HAS(SPEC_RFDS)}, /* Alder Lake, Raptor Lake */
    {0x9a, HAS(SPEC_RFDS)},
    {0xb7, HAS(SPEC_RFDS)},
    {0xba, HAS(SPEC_RFDS)},
    {0xbe, HAS(SPEC_RFDS)},
    {0xbf, HAS(SPEC_RFDS)},
};

static u32 spec_of_model(const struct spec_model *table, size_t n, u8 model)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].model == model)
            return table[i].flaws;
    return 0;
}

static u32 spec_drop(u32 flaws, bool none, u32 which)
{
    return none ? flaws & ~which : flaws;
}

static u32 spec_flaws_intel(const struct spec_cpu *c)
{
    u64 cap = c->capabilities;
    u32 flaws = FLAWS_OF_INTEL;

    if (c->family < 6)
        return 0; /* in order */
    if (c->family == 6) {
        flaws &= ~spec_of_model(spec_lacking, ARRAY_SIZE(spec_lacking), c->model);
        flaws |= spec_of_model(spec_having, ARRAY_SIZE(spec_having), c->model);
    }
    if (c->leaf7_ebx & LEAF7_EBX_RTM)
        flaws |= HAS(SPEC_TAA);
    if (cap & CAP_RFDS_CLEAR)
        flaws |= HAS(SPEC_RFDS);
    if (cap & CAP_RSBA)
        flaws |= HAS(SPEC_RETBLEED);
    flaws = spec_drop(flaws, cap & CAP_RDCL_NO, HAS(SPEC_MELTDOWN) | HAS(SPEC_L1TF));
    flaws = spec_drop(flaws, cap & CAP_SSB_NO, HAS(SPEC_SSB));
    flaws = spec_drop(flaws, cap & CAP_MDS_NO, HAS(SPEC_MDS));
    flaws = spec_drop(flaws, cap & CAP_PSCHANGE_MC_NO, HAS(SPEC_MULTIHIT));
    flaws = spec_drop(flaws, cap & CAP_TAA_NO, HAS(SPEC_TAA));
    flaws = spec_drop(flaws, (cap & CAP_MMIO_NO) == CAP_MMIO_NO, HAS(SPEC_MMIO));
    flaws = spec_drop(flaws, cap & CAP_GDS_NO, HAS(SPEC_GDS));
    return spec_drop(flaws, cap & CAP_RFDS_NO, HAS(SPEC_RFDS));
}

/* Zen 1 and 2 are family 17h, Hygon's 18h; Zen 3 and 4 are 19h. */
static u32 spec_flaws_amd(const struct spec_cpu *c)
{
    u32 flaws = FLAWS_OF_ALL;

    if (c->family <= 0x12)
        flaws &= ~HAS(SPEC_SSB);
    if (c->family >= 0x15 && c->family <= 0x18)
        flaws |= HAS(SPEC_RETBLEED);
    if (c->family >= 0x17 && c->family <= 0x19)
        flaws |= HAS(SPEC_SRSO);
    flaws = spec_drop(flaws, c->leaf88_ebx & LEAF88_EBX_SSB_NO, HAS(SPEC_SSB));
    flaws = spec_drop(flaws, c->leaf88_ebx & LEAF88_EBX_BTC_NO, HAS(SPEC_RETBLEED));
    return spec_drop(flaws, c->leaf821_eax & LEAF821_EAX_SRSO_NO, HAS(SPEC_SRSO));
}

static u32 spec_flaws(const struct spec_cpu *c)
{
    if (c->emulated)
        return 0;
    switch (c->vendor) {
    case SPEC_INTEL:
        return spec_flaws_intel(c);
    case SPEC_AMD:
    case SPEC_HYGON:
        return spec_flaws_amd(c);
    default:
        return FLAWS_OF_INTEL; /* the worst that is not some design's own */
    }
}

static u32 spec_acts_branches(const struct spec_cpu *c)
{
    bool ibpb = (c->leaf7_edx & LEAF7_EDX_IBPB) || (c->leaf88_ebx & LEAF88_EBX_IBPB);
    bool stibp = (c->leaf7_edx & LEAF7_EDX_STIBP) || (c->leaf88_ebx & LEAF88_EBX_STIBP);
    u32 acts = SPEC_FILL_RSB | (ibpb ? SPEC_IBPB : 0);

    if (c->leaf821_eax & LEAF821_EAX_AUTO_IBRS)
        acts |= SPEC_AUTO_IBRS;
    else if ((c->leaf7_edx & LEAF7_EDX_IBPB) && (c->capabilities & CAP_IBRS_ALL))
        return acts | SPEC_ENHANCED_IBRS; /* which keeps threads apart as well */
    else
        acts |= SPEC_RETPOLINES;
    return acts | (stibp && c->smt ? SPEC_STIBP : 0);
}

void spec_decide(const struct spec_cpu *c, struct spec_plan *out)
{
    const u32 buffers = HAS(SPEC_MDS) | HAS(SPEC_TAA) | HAS(SPEC_MMIO) | HAS(SPEC_RFDS);
    u32 flaws = spec_drop(spec_flaws(c), c->no_v2, HAS(SPEC_V2)), acts = 0;
    bool verw =
        (c->leaf7_edx & LEAF7_EDX_MD_CLEAR) || (c->capabilities & (CAP_FB_CLEAR | CAP_RFDS_CLEAR));

    if (flaws & HAS(SPEC_V2))
        acts |= spec_acts_branches(c);
    if ((flaws & buffers) && verw)
        acts |= SPEC_CLEAR_BUFFERS;
    if ((flaws & HAS(SPEC_L1TF)) && (c->leaf7_edx & LEAF7_EDX_FLUSH_L1D) &&
        !(c->capabilities & CAP_SKIP_L1DFL))
        acts |= SPEC_FLUSH_L1D;
    if (flaws & HAS(SPEC_MULTIHIT))
        acts |= SPEC_SMALL_CODE;
    *out = (struct spec_plan){flaws, acts};
}

/* ------------------------------------------------------------- in words */

static const char *spec_state_v2(u32 acts)
{
    if (acts & SPEC_ENHANCED_IBRS)
        return acts & SPEC_IBPB ? "Mitigation: Enhanced IBRS, IBPB: conditional, RSB filling"
                                : "Mitigation: Enhanced IBRS, RSB filling";
    if (acts & SPEC_AUTO_IBRS)
        return acts & SPEC_STIBP
                   ? "Mitigation: Automatic IBRS, IBPB: conditional, STIBP: always-on, RSB filling"
                   : "Mitigation: Automatic IBRS, IBPB: conditional, STIBP: disabled, RSB filling";
    if (!(acts & SPEC_RETPOLINES))
        return "Vulnerable";
    if (!(acts & SPEC_IBPB))
        return "Vulnerable: Retpolines, no IBPB, RSB filling";
    return acts & SPEC_STIBP
               ? "Mitigation: Retpolines, IBPB: conditional, STIBP: always-on, RSB filling"
               : "Mitigation: Retpolines, IBPB: conditional, STIBP: disabled, RSB filling";
}

/* What a program samples of the kernel's work for its own account is not kept from it. */
static const char *spec_state_buffers(u32 acts)
{
    return acts & SPEC_CLEAR_BUFFERS
               ? "Vulnerable: CPU buffers are cleared for other domains and guests only"
               : "Vulnerable: no microcode";
}

const char *spec_flaw_state(const struct spec_plan *plan, enum spec_flaw flaw)
{
    if (!(plan->flaws & HAS(flaw)))
        return "Not affected";
    switch (flaw) {
    case SPEC_V2:
        return spec_state_v2(plan->acts);
    case SPEC_MDS:
    case SPEC_TAA:
    case SPEC_MMIO:
    case SPEC_RFDS:
        return spec_state_buffers(plan->acts);
    case SPEC_MULTIHIT:
        return plan->acts & SPEC_SMALL_CODE ? "KVM: Mitigation: Split huge pages"
                                            : "KVM: Vulnerable";
    case SPEC_L1TF:
        return plan->acts & SPEC_FLUSH_L1D ? "Vulnerable: VMX: cache flushes" : "Vulnerable";
    default: /* nothing is done, unless by microcode, about which we do not ask */
        return "Vulnerable";
    }
}
