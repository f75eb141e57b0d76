/* SPDX-License-Identifier: MIT
 *
 * Indirect branches are compiled into calls of and jumps to thunks (thunk.S), which the branch
 * predictor cannot lead astray. The build makes each the indirect branch that it stands for
 * (tools/branches), of the same length, since most CPUs need no such thing. Where one does they are
 * put back at boot: their list, spec_sites, is made by tools/symbols out of the first link.
 *
 * What has an account of its own, a container with or without a VM, is kept apart. Programs of one
 * account are not kept from each other.
 */
#include "arch/x86/spec.h"

#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"

#define MSR_FLUSH_CMD 0x10b
#define SPEC_CTRL_STIBP (1UL << 1)
#define PRED_CMD_IBPB 1
#define THUNK_SIZE 32 /* in the order of the registers' numbers: thunk.S */
#define CALL_REL 0xe8
#define JUMP_REL 0xe9
#define SITE_LEN 5
#define AT_SWITCH (SPEC_IBPB | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS)

struct spec_plan spec_plan __ro_after_init;
u32 spec_switch_acts __ro_after_init;

COUNTER(spec_switches);
COUNTER(spec_guest_entries);

/* ------------------------------------------------------------- the CPU */

static enum spec_vendor spec_vendor(struct cpuid_regs r)
{
    char id[12];

    memcpy(id, &r.ebx, 4);
    memcpy(id + 4, &r.edx, 4);
    memcpy(id + 8, &r.ecx, 4);
    if (!memcmp(id, "GenuineIntel", 12))
        return SPEC_INTEL;
    if (!memcmp(id, "AuthenticAMD", 12))
        return SPEC_AMD;
    return memcmp(id, "HygonGenuine", 12) ? SPEC_OTHER : SPEC_HYGON;
}

/* Threads of a core, by leaf 0xb: of level 0. */
static bool spec_has_threads(u32 max)
{
    struct cpuid_regs r;

    if (max < 0xb)
        return cpu_features[1] >> 28 & 1;
    r = cpuid_count(0xb, 0);
    return (r.ebx & 0xffff) > 1;
}

static void spec_read_cpu(struct spec_cpu *c)
{
    struct cpuid_regs leaf0 = cpuid_count(0, 0);
    u32 max_ext = cpuid_count(0x80000000, 0).eax;
    u32 sig = cpuid_count(1, 0).eax, family = sig >> 8 & 15, model = sig >> 4 & 15;

    if (family == 6 || family == 15)
        model += (sig >> 16 & 15) << 4;
    if (family == 15)
        family += sig >> 20 & 0xff;
    *c = (struct spec_cpu){
        .vendor = spec_vendor(leaf0),
        .family = (u16)family,
        .model = (u8)model,
        .leaf7_ebx = cpu_features[2],
        .leaf7_edx = cpu_features[4],
        .leaf821_eax = cpu_features[9],
        .capabilities = cpu_capabilities(),
        .emulated = cpu_hypervisor_is("TCGTCGTCGTCG"),
        .smt = spec_has_threads(leaf0.eax),
        .no_v2 = boot_option_is("spec", "no_v2"),
    };
    if (max_ext >= 0x80000008)
        c->leaf88_ebx = cpuid_count(0x80000008, 0).ebx;
}

/* ------------------------------------------------------------- code */

extern const u32 spec_sites_count[] __weak, spec_sites[] __weak;
extern char __text_start[], spec_thunks[];
extern u8 *__spec_guest_start[], *__spec_guest_end[];

/* call *%reg and jmp *%reg, of five bytes, become a call of or jump to the register's thunk. */
static void spec_guard_site(u8 *at)
{
    u32 reg = (at[4] & 7) | (at[2] == 0x41 ? 8 : 0);
    s32 distance = (s32)((u64)spec_thunks + reg * THUNK_SIZE - ((u64)at + SITE_LEN));

    ASSERT(at[0] == 0x2e && at[3] == 0xff);
    at[0] = at[4] & 0x20 ? JUMP_REL : CALL_REL;
    memcpy(at + 1, &distance, sizeof(distance));
}

static void spec_patch(u32 acts)
{
    if ((acts & SPEC_RETPOLINES) && spec_sites_count)
        for (u32 i = 0; i < *spec_sites_count; i++)
            spec_guard_site((u8 *)__text_start + spec_sites[i]);
    if (acts & SPEC_FILL_RSB)
        for (u8 **p = __spec_guest_start; p < __spec_guest_end; p++)
            memcpy(*p, (u8[]){0x66, 0x90}, 2); /* a NOP for the jump over it */
}

/* ------------------------------------------------------------- once */

/* A hypervisor may offer the bits and refuse the registers: what it refuses, of the plan. */
static u32 spec_set_registers(u32 acts)
{
    u64 control = (acts & SPEC_ENHANCED_IBRS ? SPEC_CTRL_IBRS : 0) |
                  (acts & SPEC_STIBP ? SPEC_CTRL_STIBP : 0);
    u32 refused = 0;

    if ((acts & SPEC_AUTO_IBRS) && wrmsr_safe(MSR_EFER, rdmsr(MSR_EFER) | EFER_AIBRSE))
        refused |= SPEC_AUTO_IBRS;
    if (control && wrmsr_safe(MSR_IA32_SPEC_CTRL, control))
        refused |= acts & (SPEC_ENHANCED_IBRS | SPEC_STIBP);
    if ((acts & SPEC_IBPB) && wrmsr_safe(MSR_IA32_PRED_CMD, PRED_CMD_IBPB))
        refused |= SPEC_IBPB;
    if ((acts & SPEC_FLUSH_L1D) && wrmsr_safe(MSR_FLUSH_CMD, 1))
        refused |= SPEC_FLUSH_L1D;
    return refused;
}

void spec_init(void)
{
    struct spec_cpu cpu;
    u32 refused;

    spec_read_cpu(&cpu);
    spec_decide(&cpu, &spec_plan);
    if (boot_option_is("spec", "off"))
        spec_plan.acts &= SPEC_SMALL_CODE;
    else if (boot_option_is("spec", "force"))
        spec_plan.acts |= SPEC_RETPOLINES | SPEC_FILL_RSB | SPEC_CLEAR_BUFFERS;
    refused = spec_set_registers(spec_plan.acts);
    if (refused & (SPEC_ENHANCED_IBRS | SPEC_AUTO_IBRS))
        spec_plan.acts |= SPEC_RETPOLINES;
    spec_plan.acts &= ~refused;
    spec_switch_acts = spec_plan.acts & AT_SWITCH;
    spec_patch(spec_plan.acts);
}

void spec_init_cpu(void)
{
    if (spec_set_registers(spec_plan.acts))
        log_once(LOG_WARN, "spec: CPU %u refuses what the first one took", cpu_id());
}

/* ------------------------------------------------------------- at switches */

static void spec_clear_buffers(void)
{
    static const u16 selector = KERNEL_DS;

    __asm__ volatile("verw %0" ::"m"(selector) : "cc", "memory");
}

void spec_switch_now(void)
{
    COUNT(spec_switches);
    if (spec_switch_acts & SPEC_IBPB)
        wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
    if (spec_switch_acts & SPEC_CLEAR_BUFFERS)
        spec_clear_buffers();
    if (spec_switch_acts & SPEC_FILL_RSB)
        spec_fill_returns();
}

void spec_enter_guest_now(void)
{
    COUNT(spec_guest_entries);
    if (spec_plan.acts & SPEC_FLUSH_L1D)
        wrmsr(MSR_FLUSH_CMD, 1);
    if (spec_plan.acts & SPEC_CLEAR_BUFFERS)
        spec_clear_buffers();
}
