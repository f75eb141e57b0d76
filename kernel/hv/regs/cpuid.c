/* SPDX-License-Identifier: MIT
 *
 * CPUID as guests see it: what KVM_GET_SUPPORTED_CPUID offers (the host's leaves, less what is not
 * virtualised), and what a guest's CPUID instruction finds in the leaves that its VMM has set.
 * Leaves: SDM vol. 2A, CPUID; APM vol. 3 appendix E; KVM's leaves at 0x40000000.
 *
 * A bit that is not in the masks below is not offered: a new CPU's features stay hidden until their
 * state is switched.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "hv/regs/regs.h"
#include "lib/string.h"

#define BIT(n) (1U << (n))

/* Leaf 1 ecx: SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND.
 */
#define CPUID_1_ECX                                                                         \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | \
     BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define CPUID_1_ECX_X2APIC BIT(21) /* the emulated APIC has it, regardless of the host's */
#define CPUID_1_ECX_OSXSAVE BIT(27)
#define CPUID_1_ECX_HYPERVISOR BIT(31)
#define CPUID_1_EDX_APIC BIT(9)
/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC; PGE MCA CMOV PAT PSE36 are 13 to 17. */
#define CPUID_EDX_COMMON (0x3ffU | 0x1fU << 13)
/* and SEP MTRR CLFLUSH MMX FXSR SSE SSE2 SELFSNOOP. */
#define CPUID_1_EDX                                                                           \
    (CPUID_EDX_COMMON | BIT(11) | BIT(12) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | \
     BIT(27))
/* Leaf 7 ebx: FSGSBASE TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512{F,DQ} RDSEED ADX SMAP
 * IFMA CLFLUSHOPT CLWB AVX512CD SHA AVX512{BW,VL}. */
#define CPUID_7_EBX                                                                               \
    (BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(16) | BIT(17) | \
     BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) |    \
     BIT(31))
#define CPUID_7_EBX_TSC_ADJUST BIT(1)
#define CPUID_7_EBX_AVX512 (BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
/* ecx: VBMI UMIP VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID; edx: FSRM MD_CLEAR. */
#define CPUID_7_ECX \
    (BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | BIT(22))
#define CPUID_7_ECX_AVX512 (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define CPUID_7_ECX_AVX (BIT(9) | BIT(10))
#define CPUID_7_EDX (BIT(4) | BIT(10))
/* 0x80000001 ecx: LAHF CR8 ABM SSE4A MISALIGN PREFETCH XOP FMA4 TBM; edx: the common ones and
 * SYSCALL NX MMXEXT MMX FXSR FXSR_OPT GBPAGES RDTSCP LM 3DNOW. */
#define CPUID_E1_ECX \
    (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
#define CPUID_E1_ECX_AVX (BIT(11) | BIT(16))
#define CPUID_E1_EDX                                                                          \
    (CPUID_EDX_COMMON | BIT(11) | BIT(20) | BIT(22) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | \
     BIT(27) | BIT(29) | BIT(30) | BIT(31))
#define CPUID_E7_EDX BIT(8) /* invariant TSC */
#define CPUID_XSAVE_BITS 3U /* 0xd:1 eax: XSAVEOPT XSAVEC */
#define CPUID_D1_XGETBV1 BIT(2)

#define XCR0_AVX (1UL << 2)
#define XCR0_AVX512 (7UL << 5)
#define XSAVE_LEGACY_SIZE 576U /* FXSAVE area and header */

#define EFER_FFXSR (1UL << 14)

#define CPUID_KVM_EBX 0x4b4d564bU /* "KVMKVMKVM" */
#define CPUID_KVM_ECX 0x564b4d56U
#define CPUID_KVM_EDX 0x4dU

#define CPUID_BASIC_MAX 0x1fU
#define CPUID_EXT_MAX 0x80000008U

struct cpuid_out {
    struct kvm_cpuid_entry2 *entries;
    u32 max, count;
};

/* Beyond max it only counts, so that the caller learns how much space it takes. */
static void cpuid_add(struct cpuid_out *out, u32 leaf, u32 sub, bool indexed, struct cpuid_regs r)
{
    if (out->count < out->max)
        out->entries[out->count] = (struct kvm_cpuid_entry2){
            .function = leaf,
            .index = sub,
            .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = r.eax,
            .ebx = r.ebx,
            .ecx = r.ecx,
            .edx = r.edx,
        };
    out->count++;
}

static struct cpuid_regs cpuid_leaf_1(void)
{
    struct cpuid_regs r = cpuid_count(1, 0);
    u32 mask = CPUID_1_ECX;

    if (!fpu_xcr0())
        mask &= ~(u32)BIT(26);
    if (!(fpu_xcr0() & XCR0_AVX))
        mask &= ~(BIT(12) | BIT(28) | BIT(29));
    r.ebx &= 0xff00; /* CLFLUSH size; the VMM gives each vCPU its APIC id */
    r.ecx = (r.ecx & mask) | CPUID_1_ECX_X2APIC | CPUID_1_ECX_HYPERVISOR;
    r.edx = (r.edx & CPUID_1_EDX) | CPUID_1_EDX_APIC;
    return r;
}

static struct cpuid_regs cpuid_leaf_7(void)
{
    struct cpuid_regs r = cpuid_count(7, 0);

    r.eax = 0; /* no further subleaves */
    r.ebx = (r.ebx & CPUID_7_EBX) | CPUID_7_EBX_TSC_ADJUST;
    r.ecx &= CPUID_7_ECX;
    r.edx &= CPUID_7_EDX;
    if ((fpu_xcr0() & XCR0_AVX512) != XCR0_AVX512) {
        r.ebx &= ~CPUID_7_EBX_AVX512;
        r.ecx &= ~CPUID_7_ECX_AVX512;
    }
    if (!(fpu_xcr0() & XCR0_AVX)) {
        r.ebx &= ~(u32)BIT(5);
        r.ecx &= ~CPUID_7_ECX_AVX;
    }
    return r;
}

static void cpuid_add_caches(struct cpuid_out *out)
{
    for (u32 sub = 0; sub < 8; sub++) {
        struct cpuid_regs r = cpuid_count(4, sub);

        r.eax &= 0x3fff; /* not shared: the VMM knows how many cores there are */
        cpuid_add(out, 4, sub, true, r);
        if (!(r.eax & 0x1f))
            return;
    }
}

/* One thread, one core: a VMM that has more says so here. */
static void cpuid_add_topology(struct cpuid_out *out, u32 leaf)
{
    cpuid_add(out, leaf, 0, true, (struct cpuid_regs){.ebx = 1, .ecx = 1U << 8});
    cpuid_add(out, leaf, 1, true, (struct cpuid_regs){.ebx = 1, .ecx = 2U << 8 | 1});
    cpuid_add(out, leaf, 2, true, (struct cpuid_regs){.ecx = 2});
}

static void cpuid_add_xsave(struct cpuid_out *out)
{
    u64 xcr0 = fpu_xcr0();
    struct cpuid_regs r = cpuid_count(0xd, 1);

    cpuid_add(
        out, 0xd, 0, true,
        (struct cpuid_regs){
            .eax = (u32)xcr0, .ebx = fpu_size(), .ecx = fpu_size(), .edx = (u32)(xcr0 >> 32)});
    r.eax &= CPUID_XSAVE_BITS | CPUID_D1_XGETBV1;
    cpuid_add(out, 0xd, 1, true, (struct cpuid_regs){.eax = r.eax});
    for (u32 i = 2; i < 63; i++) {
        if (!(xcr0 >> i & 1))
            continue;
        r = cpuid_count(0xd, i);
        r.edx = 0;
        cpuid_add(out, 0xd, i, true, r);
    }
}

static void cpuid_add_basic(struct cpuid_out *out)
{
    u32 max = MIN(cpuid_count(0, 0).eax, CPUID_BASIC_MAX);
    struct cpuid_regs r = cpuid_count(0, 0);

    r.eax = max;
    cpuid_add(out, 0, 0, false, r);
    cpuid_add(out, 1, 0, false, cpuid_leaf_1());
    if (max >= 2)
        cpuid_add(out, 2, 0, false, cpuid_count(2, 0));
    if (max >= 4)
        cpuid_add_caches(out);
    if (max >= 6)
        cpuid_add(out, 6, 0, false, (struct cpuid_regs){.eax = 4}); /* the APIC timer never stops */
    if (max >= 7)
        cpuid_add(out, 7, 0, true, cpuid_leaf_7());
    if (max >= 0xb)
        cpuid_add_topology(out, 0xb);
    if (max >= 0xd && fpu_xcr0())
        cpuid_add_xsave(out);
    if (max >= 0x1f)
        cpuid_add_topology(out, 0x1f);
}

static struct cpuid_regs cpuid_leaf_ext_1(void)
{
    struct cpuid_regs r = cpuid_count(0x80000001, 0);

    r.ecx &= CPUID_E1_ECX;
    r.edx &= CPUID_E1_EDX;
    if (!(fpu_xcr0() & XCR0_AVX))
        r.ecx &= ~CPUID_E1_ECX_AVX;
    return r;
}

static void cpuid_add_extended(struct cpuid_out *out)
{
    struct cpuid_regs r = cpuid_count(0x80000000, 0);
    u32 max = MIN(r.eax, CPUID_EXT_MAX);

    r.eax = max;
    cpuid_add(out, 0x80000000, 0, false, r);
    if (max >= 0x80000001)
        cpuid_add(out, 0x80000001, 0, false, cpuid_leaf_ext_1());
    for (u32 leaf = 0x80000002; leaf <= MIN(max, 0x80000006U); leaf++)
        cpuid_add(out, leaf, 0, false, cpuid_count(leaf, 0));
    if (max >= 0x80000007)
        cpuid_add(out, 0x80000007, 0, false,
                  (struct cpuid_regs){.edx = cpuid_count(0x80000007, 0).edx & CPUID_E7_EDX});
    if (max >= 0x80000008) {
        r = cpuid_count(0x80000008, 0);
        /* 48 bits: neither the nested tables nor the guest's own have five levels. */
        r.eax = MIN(r.eax & 0xff, 48U) | 48U << 8;
        cpuid_add(out, 0x80000008, 0, false, (struct cpuid_regs){.eax = r.eax});
    }
}

static void cpuid_add_kvm(struct cpuid_out *out)
{
    struct cpuid_regs r = {.eax = KVM_CPUID_FEATURES,
                           .ebx = CPUID_KVM_EBX,
                           .ecx = CPUID_KVM_ECX,
                           .edx = CPUID_KVM_EDX};

    cpuid_add(out, KVM_CPUID_SIGNATURE, 0, false, r);
    r = (struct cpuid_regs){.eax = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
                                   BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_PV_SEND_IPI) |
                                   BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)};
    cpuid_add(out, KVM_CPUID_FEATURES, 0, false, r);
}

int hv_supported_cpuid(struct kvm_cpuid_entry2 *entries, u32 max, u32 *count)
{
    struct cpuid_out out = {.entries = entries, .max = max};

    cpuid_add_basic(&out);
    cpuid_add_extended(&out);
    cpuid_add_kvm(&out);
    if (out.count > max)
        return -E2BIG;
    *count = out.count;
    return 0;
}

/* ------------------------------------------------------------- a guest's CPUID */

static const struct kvm_cpuid_entry2 *cpuid_find(const struct vcpu *v, u32 leaf, u32 sub)
{
    for (u32 i = 0; i < v->nr_cpuid; i++) {
        const struct kvm_cpuid_entry2 *e = &v->cpuid[i];

        if (e->function == leaf &&
            (e->index == sub || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
            return e;
    }
    return NULL;
}

/* Intel: a leaf beyond its range reads as the last basic leaf; AMD (AuthenticAMD, HygonGenuine):
 * zeros. */
static const struct kvm_cpuid_entry2 *cpuid_find_out_of_range(const struct vcpu *v, u32 leaf,
                                                              u32 sub)
{
    const struct kvm_cpuid_entry2 *basic = cpuid_find(v, 0, 0), *top;
    u32 base = leaf >= 0xc0000000 ? 0xc0000000 : leaf & 0x80000000;

    if (leaf - 0x40000000 < 0x10000)
        base = leaf & 0xffffff00;
    if (!basic || basic->ebx == 0x68747541 || basic->ebx == 0x6f677948)
        return NULL;
    top = base ? cpuid_find(v, base, 0) : basic;
    if (top && leaf <= top->eax)
        return NULL; /* within it, but not set */
    return cpuid_find(v, basic->eax, sub);
}

/* How much XSAVE writes with these components on, in the standard or the compacted format. */
static u32 cpuid_xsave_size(u64 xcr0, bool compact)
{
    u32 size = XSAVE_LEGACY_SIZE;

    for (u32 i = 2; i < 63; i++) {
        struct cpuid_regs r;

        if (!(xcr0 >> i & 1))
            continue;
        r = cpuid_count(0xd, i);
        if (!compact)
            size = MAX(size, r.ebx + r.eax);
        else
            size = (u32)(r.ecx & 2 ? ALIGN_UP(size, 64U) : size) + r.eax;
    }
    return size;
}

/* What a guest may not use when it does not see it: bits of CR4 and EFER. */
static const struct {
    u32 leaf;
    u8 reg; /* eax ebx ecx edx */
    u32 feature;
    u64 cr4, efer;
} cpuid_guards[] = {
    {1, 2, BIT(26), CR4_OSXSAVE, 0},
    {1, 2, BIT(17), CR4_PCIDE, 0},
    {7, 1, BIT(0), CR4_FSGSBASE, 0},
    {7, 1, BIT(7), CR4_SMEP, 0},
    {7, 1, BIT(20), CR4_SMAP, 0},
    {7, 2, BIT(2), CR4_UMIP, 0},
    {0x80000001, 3, BIT(20), 0, EFER_NXE},
    {0x80000001, 3, BIT(25), 0, EFER_FFXSR},
    {0x80000001, 3, BIT(29), 0, EFER_LME | EFER_LMA},
};

bool vcpu_pv_allowed(const struct vcpu *v, unsigned feature)
{
    ASSERT_HELD(&v->lock);
    return !v->pv_enforced || !(v->hidden_pv >> feature & 1);
}

/* KVM's leaves are at 0x40000000, or behind those of another interface. */
static const struct kvm_cpuid_entry2 *cpuid_find_kvm(const struct vcpu *v)
{
    for (u32 base = KVM_CPUID_SIGNATURE; base < KVM_CPUID_SIGNATURE + 0x10000; base += 0x100) {
        const struct kvm_cpuid_entry2 *e = cpuid_find(v, base, 0);

        if (e && e->ebx == CPUID_KVM_EBX && e->ecx == CPUID_KVM_ECX && e->edx == CPUID_KVM_EDX)
            return cpuid_find(v, base | (KVM_CPUID_FEATURES & 0xff), 0);
    }
    return NULL;
}

static void cpuid_find_hyperv(struct vcpu *v)
{
    const struct kvm_cpuid_entry2 *interface = cpuid_find(v, HYPERV_CPUID_INTERFACE, 0);
    const struct kvm_cpuid_entry2 *registers = cpuid_find(v, HYPERV_CPUID_REGISTERS, 0);
    const struct kvm_cpuid_entry2 *hints = cpuid_find(v, HYPERV_CPUID_HINTS, 0);

    v->hyperv.on = interface && interface->eax == HYPERV_SIGNATURE;
    v->hyperv.registers = registers ? registers->eax : 0;
    v->hyperv.more_registers = registers ? registers->edx : 0;
    v->hyperv.hints = hints ? hints->eax : 0;
    v->hyperv.spins = hints ? hints->ebx : 0;
}

void vcpu_cpuid_changed(struct vcpu *v)
{
    const struct kvm_cpuid_entry2 *pv = cpuid_find_kvm(v);

    ASSERT_HELD(&v->lock);
    cpuid_find_hyperv(v);
    v->hidden_pv = pv ? ~(u64)pv->eax : U64_MAX;
    v->hidden_cr4 = v->hidden_efer = 0;
    for (unsigned i = 0; v->nr_cpuid && i < ARRAY_SIZE(cpuid_guards); i++) {
        const struct kvm_cpuid_entry2 *e = cpuid_find(v, cpuid_guards[i].leaf, 0);
        const u32 regs[4] = {e ? e->eax : 0, e ? e->ebx : 0, e ? e->ecx : 0, e ? e->edx : 0};

        if (regs[cpuid_guards[i].reg] & cpuid_guards[i].feature)
            continue;
        v->hidden_cr4 |= cpuid_guards[i].cr4;
        v->hidden_efer |= cpuid_guards[i].efer;
    }
}

/* Bits that follow the vCPU's registers. */
static void cpuid_adapt(struct vcpu *v, u32 leaf, u32 sub, u32 out[4])
{
    switch (leaf) {
    case 1:
        out[2] &= ~CPUID_1_ECX_OSXSAVE;
        if (hv_ops->get_cr(v, 4) & CR4_OSXSAVE)
            out[2] |= CPUID_1_ECX_OSXSAVE;
        if (!(v->apic_base & APIC_BASE_ENABLE))
            out[3] &= ~CPUID_1_EDX_APIC;
        break;
    case 0xd:
        if (sub == 0)
            out[1] = cpuid_xsave_size(v->xcr0, false);
        else if (sub == 1 && (out[0] & BIT(1)))
            out[1] = cpuid_xsave_size(v->xcr0, true);
        break;
    default:
        break;
    }
}

void vcpu_cpuid_adapt(struct vcpu *v, struct kvm_cpuid_entry2 *e)
{
    u32 out[4] = {e->eax, e->ebx, e->ecx, e->edx};

    cpuid_adapt(v, e->function, e->index, out);
    e->eax = out[0];
    e->ebx = out[1];
    e->ecx = out[2];
    e->edx = out[3];
}

static void cpuid_answer(struct vcpu *v, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
    v->gpr[EMUL_RAX] = eax;
    v->gpr[EMUL_RBX] = ebx;
    v->gpr[EMUL_RCX] = ecx;
    v->gpr[EMUL_RDX] = edx;
}

static void cpuid_answer_adapted(struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 sub)
{
    u32 out[4] = {e->eax, e->ebx, e->ecx, e->edx};

    cpuid_adapt(v, e->function, sub, out);
    cpuid_answer(v, out[0], out[1], out[2], out[3]);
}

static void cpuid_answer_missing(struct vcpu *v, u32 leaf, u32 sub)
{
    const struct kvm_cpuid_entry2 *e;

    if (leaf == 0xb || leaf == 0x1f) {
        /* A level that does not exist still tells the x2APIC id. */
        e = cpuid_find(v, leaf, 0);
        cpuid_answer(v, 0, 0, sub & 0xff, e ? e->edx : 0);
        return;
    }
    e = cpuid_find_out_of_range(v, leaf, sub);
    if (e)
        cpuid_answer_adapted(v, e, sub);
    else
        cpuid_answer(v, 0, 0, 0, 0);
}

void vcpu_cpuid(struct vcpu *v)
{
    u32 leaf = (u32)v->gpr[EMUL_RAX], sub = (u32)v->gpr[EMUL_RCX];
    const struct kvm_cpuid_entry2 *e = cpuid_find(v, leaf, sub);

    ASSERT_HELD(&v->lock);
    if (unlikely(!e))
        cpuid_answer_missing(v, leaf, sub);
    else if (leaf == 1 || leaf == 0xd)
        cpuid_answer_adapted(v, e, sub);
    else
        cpuid_answer(v, e->eax, e->ebx, e->ecx, e->edx);
}
