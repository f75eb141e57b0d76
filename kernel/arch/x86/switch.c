/* SPDX-License-Identifier: MIT
 *
 * Context switch and floating-point state (SDM vol. 1, chapter 13). Areas keep XSAVE's standard
 * format, which is also what a signal frame shows to user programs.
 */
#include "arch/x86/switch.h"

#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define FXSAVE_SIZE 512
#define XSAVE_HEADER 64
#define XCR0_X87 (1UL << 0)
#define XCR0_SSE (1UL << 1)
#define XCR0_AVX (1UL << 2)
#define XCR0_AVX512 (7UL << 5)
#define MXCSR_DEFAULT 0x1f80U
#define MXCSR_MASK_OFFSET 28
#define MXCSR_MASK_DEFAULT 0xffbfU /* of a CPU that tells none */

/* Of all components that we turn on: 2688 bytes with AVX-512. */
static u8 fpu_initial[PAGE_SIZE] __aligned(64) __ro_after_init;
static u32 fpu_area_size __ro_after_init = FXSAVE_SIZE;
static u64 fpu_components __ro_after_init;
static u32 fpu_mxcsr_mask __ro_after_init;

/* uaccess.S */
int uaccess_xsave(void *area, u64 components);
int uaccess_xrstor(const void *area, u64 components);
int uaccess_fxrstor(const void *area);
/* switch.S */
struct arch_thread *switch_stacks(struct arch_thread *prev, struct arch_thread *next);
void switch_first_kernel(void);
void switch_first_user(void);

u32 fpu_size(void)
{
    return fpu_area_size;
}

u64 fpu_xcr0(void)
{
    return fpu_components;
}

/* The MXCSR bits this CPU has (SDM 1, 11.6.6): DAZ is one that not all do. */
static u32 fpu_read_mxcsr_mask(void)
{
    struct {
        u32 words[FXSAVE_SIZE / 4];
    } __aligned(16) area = {{0}};

    __asm__ volatile("fxsave64 %0" : "=m"(area));
    return area.words[MXCSR_MASK_OFFSET / 4] ?: MXCSR_MASK_DEFAULT;
}

/* A hypervisor that has not been told of our XSETBV (QEMU's SVM, up to 7.2 at least, does not
 * intercept it) loads another XCR0 when it comes back: XSAVE would leave registers out. */
static void fpu_drop_xsave(void)
{
    log_warn("fpu: XCR0 does not hold %#lx under this hypervisor: no XSAVE, no AVX",
             fpu_components);
    fpu_components = 0;
    fpu_area_size = FXSAVE_SIZE;
    cpu_features_drop_xsave();
}

static void fpu_init_xsave(void)
{
    fpu_components = cpuid_count(0xd, 0).eax & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);
    xsetbv(0, fpu_components);
    fpu_area_size = cpuid_count(0xd, 0).ebx; /* for what XCR0 has on now; every hypervisor exits */
    if (xgetbv(0) != fpu_components)
        fpu_drop_xsave();
    if (fpu_area_size > sizeof(fpu_initial))
        panic("FPU state of %u bytes", fpu_area_size);
}

/* What holds for all is set by the boot CPU: the others find it read-only. */
void fpu_init_cpu(void)
{
    bool first = cpu_id() == 0;

    __asm__ volatile("fninit");
    if (first) {
        fpu_mxcsr_mask = fpu_read_mxcsr_mask();
        fpu_init_state(fpu_initial); /* the rest is zero */
    }
    if (!cpu_has(X86_XSAVE))
        return;
    if (first)
        fpu_init_xsave();
    else
        xsetbv(0, fpu_components);
}

void fpu_init_state(void *area)
{
    memset(area, 0, fpu_area_size);
    *(u16 *)area = 0x37f;                      /* FCW */
    *(u32 *)((u8 *)area + 24) = MXCSR_DEFAULT; /* MXCSR */
}

void fpu_save(void *area)
{
    u32 lo = (u32)fpu_components, hi = (u32)(fpu_components >> 32);

    if (cpu_has(X86_XSAVEOPT))
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
    else if (fpu_components)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_restore(const void *area)
{
    u32 lo = (u32)fpu_components, hi = (u32)(fpu_components >> 32);

    if (fpu_components)
        __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

void fpu_reset(void)
{
    fpu_restore(fpu_initial);
}

/* SDM 1, 8.1.3, 8.1.5 and 10.2.3: status bits, less those whose mask bit is set. */
u32 fpu_exceptions(bool simd)
{
    u16 control, status;
    u32 mxcsr;

    if (simd) {
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        return mxcsr & ~(mxcsr >> 7) & 0x3f;
    }
    __asm__ volatile("fnstcw %0" : "=m"(control));
    __asm__ volatile("fnstsw %0" : "=m"(status));
    return status & ~control & 0x3fU;
}

int fpu_save_user(void __user *area)
{
    void __user *header = (u8 __user *)area + FXSAVE_SIZE;

    if (!fpu_components)
        return -ENXIO;
    if (!user_range_ok((u64)area, fpu_area_size))
        return -EFAULT;
    /* XSAVE writes the header's first word alone, and XRSTOR wants zeros in the others. */
    if (user_zero(header, XSAVE_HEADER) || uaccess_xsave((void *)area, fpu_components))
        return -EFAULT;
    return 0;
}

/* The legacy part alone: the other components are as after a reset. */
static int fpu_load_user_legacy(const void *area)
{
    fpu_reset();
    return uaccess_fxrstor(area);
}

/* The program may write to the area meanwhile: what has been loaded is what is judged. Processors
 * refuse it with #GP; emulators let reserved bits of MXCSR through. */
int fpu_restore_user(const void __user *area, bool whole)
{
    u32 mxcsr;
    int err;

    if (!user_range_ok((u64)area, fpu_area_size)) /* Linux asks this of a legacy part, too */
        return -EFAULT;
    if (whole && fpu_components)
        err = uaccess_xrstor((const void *)area, fpu_components);
    else
        err = fpu_load_user_legacy((const void *)area);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    if (likely(!err && !(mxcsr & ~fpu_mxcsr_mask)))
        return 0;
    fpu_reset();
    return -EFAULT;
}

/* XRSTOR faults on reserved MXCSR bits, unknown components and a header that is not zero. */
int fpu_validate(void *area)
{
    u64 *header = (u64 *)((u8 *)area + FXSAVE_SIZE), rest = 0;
    u32 *mxcsr = (u32 *)((u8 *)area + 24);

    if (*mxcsr & ~fpu_mxcsr_mask)
        return -EINVAL;
    if (!fpu_components)
        return 0;
    if (header[0] & ~fpu_components)
        return -EINVAL;
#pragma GCC unroll 8
    for (unsigned i = 1; i < XSAVE_HEADER / 8; i++)
        rest |= header[i];
    return rest ? -EINVAL : 0;
}

static __noinline void arch_write_tsd(bool faults)
{
    u64 cr4 = read_cr4() & ~CR4_TSD;

    write_cr4(cr4 | (faults ? CR4_TSD : 0));
}

struct arch_thread *arch_switch(struct arch_thread *prev, struct arch_thread *next, u64 stack_top)
{
    ASSERT_IRQS_OFF();
    if (prev->xsave)
        fpu_save(prev->xsave);
    trap_set_stack(stack_top);
    if (unlikely(prev->tsc_faults != next->tsc_faults))
        arch_write_tsd(next->tsc_faults);
    if (next->xsave) {
        fpu_restore(next->xsave);
        if (rdmsr(MSR_FS_BASE) != next->fs_base)
            wrmsr(MSR_FS_BASE, next->fs_base);
        if (rdmsr(MSR_KERNEL_GS_BASE) != next->gs_base)
            wrmsr(MSR_KERNEL_GS_BASE, next->gs_base);
    }
    return switch_stacks(prev, next);
}

/* What switch_stacks pops, from the stack pointer up. */
struct switch_frame {
    u64 r15, r14, r13, r12, rbx, rbp, rip;
};

static void switch_push_first(struct arch_thread *t, u64 sp, void (*first)(void), void *fn,
                              void *arg)
{
    struct switch_frame *f = (struct switch_frame *)sp - 1;

    *f = (struct switch_frame){.rip = (u64)first, .rbx = (u64)fn, .r12 = (u64)arg};
    t->rsp = (u64)f;
}

void arch_thread_init_kernel(struct arch_thread *t, void *stack_top,
                             void (*fn)(struct arch_thread *prev, void *arg), void *arg)
{
    /* 16-byte alignment at the call in switch_first_kernel. */
    switch_push_first(t, (u64)stack_top - 16, switch_first_kernel, fn, arg);
}

void arch_thread_init_user(struct arch_thread *t, void *stack_top, const struct trap_frame *frame,
                           void (*fn)(struct arch_thread *prev, void *arg))
{
    struct trap_frame *f = (struct trap_frame *)stack_top - 1;

    *f = *frame;
    switch_push_first(t, (u64)f, switch_first_user, fn, NULL);
}

/* The running thread's machine part is the first member of struct thread. */
static struct arch_thread *arch_current(void)
{
    return (struct arch_thread *)current_thread();
}

void arch_set_fs_base(u64 base)
{
    ASSERT(arch_user_base_ok(base));
    arch_current()->fs_base = base;
    wrmsr(MSR_FS_BASE, base);
}

/* No switch comes between the two. */
void arch_set_tsc_faults(bool faults)
{
    u64 flags = irq_save();

    arch_current()->tsc_faults = faults;
    arch_write_tsd(faults);
    irq_restore(flags);
}

void arch_set_gs_base(u64 base)
{
    ASSERT(arch_user_base_ok(base));
    arch_current()->gs_base = base;
    wrmsr(MSR_KERNEL_GS_BASE, base);
}

u64 arch_get_fs_base(void)
{
    return arch_current()->fs_base;
}

u64 arch_get_gs_base(void)
{
    return arch_current()->gs_base;
}
